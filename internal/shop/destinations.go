package shop

import postalv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/postal/v1"

// destinations of the parcels: real cities, made-up streets.
var destinations = []*postalv1.PostalAddress{
	to("US", "NY", "10001", "New York", "12 Sample St"),
	to("US", "MA", "02108", "Boston", "3 Sample Ave"),
	to("US", "FL", "33101", "Miami", "77 Sample Blvd"),
	to("US", "IL", "60601", "Chicago", "450 Sample Dr"),
	to("US", "TX", "77002", "Houston", "9 Sample Ln"),
	to("US", "CO", "80202", "Denver", "1600 Sample Ct"),
	to("US", "CA", "90012", "Los Angeles", "21 Sample Way"),
	to("US", "WA", "98101", "Seattle", "5 Sample Pl"),
	to("DE", "", "10115", "Berlin", "Musterstraße 1"),
	to("DE", "", "80331", "München", "Musterweg 22"),
	to("FR", "", "75001", "Paris", "8 rue du Test"),
	to("NL", "", "1011 AB", "Amsterdam", "Voorbeeldstraat 4"),
	to("ES", "", "28001", "Madrid", "Calle Ejemplo 15"),
	to("PL", "", "00-001", "Warszawa", "ul. Przykładowa 6"),
}

func to(country, area, code, city, line string) *postalv1.PostalAddress {
	return &postalv1.PostalAddress{Recipient: "A Shopper", Lines: []string{line}, Locality: city, AdministrativeArea: area, PostalCode: code, RegionCode: country}
}
