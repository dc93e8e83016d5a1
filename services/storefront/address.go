package storefront

import (
	"net/http"
	"strings"

	postalv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/postal/v1"
)

// addressNames gives the form's field by the service's.
var addressNames = map[string]string{
	"address.recipient": "recipient", "address.lines": "line1", "address.lines[0]": "line1", "address.lines[1]": "line2", "address.locality": "locality",
	"address.administrative_area": "area", "address.postal_code": "postal", "address.region_code": "country", "address.phone": "phone", "speed": "speed", "voucher_code": "voucher",
}

// addressFields of a form, filled with an address.
func addressFields(a *postalv1.PostalAddress) []field {
	var lines [2]string
	copy(lines[:], a.GetLines())
	return []field{
		{ID: "recipient", Label: labels["recipient"], Value: a.GetRecipient(), Autocomplete: "shipping name", Required: true, MaxLength: 120},
		{ID: "line1", Label: labels["line1"], Value: lines[0], Autocomplete: "shipping address-line1", Required: true, MaxLength: 120},
		{ID: "line2", Label: "Apartment, floor (optional)", Value: lines[1], Autocomplete: "shipping address-line2", MaxLength: 120},
		{ID: "postal", Label: labels["postal"], Value: a.GetPostalCode(), Autocomplete: "shipping postal-code", Required: true, MaxLength: 12},
		{ID: "locality", Label: labels["locality"], Value: a.GetLocality(), Autocomplete: "shipping address-level2", Required: true, MaxLength: 80},
		{ID: "area", Label: labels["area"], Hint: "Two letters in the United States.", Value: a.GetAdministrativeArea(), Autocomplete: "shipping address-level1", MaxLength: 80},
		{ID: "phone", Label: "Telephone (optional)", Hint: "For the carrier only.", Type: "tel", Value: a.GetPhone(), Autocomplete: "shipping tel", MaxLength: 32},
	}
}

// addressOf a form.
func addressOf(r *http.Request) *postalv1.PostalAddress {
	value := func(name string) string { return strings.TrimSpace(r.PostFormValue(name)) }
	a := &postalv1.PostalAddress{
		Recipient: value("recipient"), Locality: value("locality"), AdministrativeArea: value("area"), PostalCode: value("postal"),
		RegionCode: value("country"), Phone: value("phone"),
	}
	if a.GetRegionCode() == "US" {
		a.AdministrativeArea = strings.ToUpper(a.GetAdministrativeArea())
	}
	for _, name := range []string{"line1", "line2"} {
		if line := value(name); line != "" {
			a.Lines = append(a.Lines, line)
		}
	}
	return a
}

// delivered to: the countries that a form offers. More can be delivered to; these have tax tables and postal centroids.
var delivered = []choice{
	{Value: "US", Label: "United States"}, {Value: "AT", Label: "Austria"}, {Value: "BE", Label: "Belgium"}, {Value: "FR", Label: "France"}, {Value: "DE", Label: "Germany"},
	{Value: "IE", Label: "Ireland"}, {Value: "IT", Label: "Italy"}, {Value: "NL", Label: "Netherlands"}, {Value: "ES", Label: "Spain"},
}

func countries(chosen string) []choice {
	all := make([]choice, len(delivered))
	for i, c := range delivered {
		c.Chosen = c.Value == chosen
		all[i] = c
	}
	return all
}
