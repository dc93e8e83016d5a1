package postal

import (
	"strings"
	"testing"

	postalv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/postal/v1"
	problemv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/problem/v1"
	"github.com/cellar-commerce/cellar/internal/problem"
)

func good() *postalv1.PostalAddress {
	return &postalv1.PostalAddress{Recipient: "R. Reader", Lines: []string{"1 Main St"}, Locality: "Boston", AdministrativeArea: "MA", PostalCode: "02108", RegionCode: "US", Phone: "+1 (617) 555-0100"}
}

func validate(a *postalv1.PostalAddress) error {
	var v problem.Violations
	Validate(&v, "to", a)
	return v.Err()
}

func TestAddressesOfOtherCountriesNeedNoState(t *testing.T) {
	berlin := &postalv1.PostalAddress{Recipient: "Ä. Öß", Lines: []string{"Straße 1", "Hof"}, Locality: "Berlin", PostalCode: "10115", RegionCode: "DE"}
	for _, a := range []*postalv1.PostalAddress{good(), berlin} {
		if err := validate(a); err != nil {
			t.Errorf("%v: %v", a, err)
		}
	}
}

func TestBadAddressesAreRefusedByField(t *testing.T) {
	for field, change := range map[string]func(*postalv1.PostalAddress){
		"to.recipient":           func(a *postalv1.PostalAddress) { a.Recipient = " " },
		"to.lines":               func(a *postalv1.PostalAddress) { a.Lines = nil },
		"to.lines[1]":            func(a *postalv1.PostalAddress) { a.Lines = []string{"ok", strings.Repeat("x", 121)} },
		"to.locality":            func(a *postalv1.PostalAddress) { a.Locality = "a\nb" },
		"to.administrative_area": func(a *postalv1.PostalAddress) { a.AdministrativeArea = "Massachusetts" },
		"to.postal_code":         func(a *postalv1.PostalAddress) { a.PostalCode = "2108" },
		"to.phone":               func(a *postalv1.PostalAddress) { a.Phone = "call me" },
		"to.region_code":         func(a *postalv1.PostalAddress) { a.RegionCode = "XX" },
	} {
		a := good()
		change(a)
		err := validate(a)
		d, ok := problem.Detail[*problemv1.FieldViolations](err)
		if !ok || len(d.GetViolations()) != 1 || d.GetViolations()[0].GetField() != field {
			t.Errorf("%s: got %v", field, err)
		}
	}
	if validate(nil) == nil {
		t.Error("no address passes")
	}
}
