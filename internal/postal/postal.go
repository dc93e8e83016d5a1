// Package postal says what a postal address must look like to be delivered to.
//
// The checks are those that any address in any country passes: a label can be printed and a
// point on the map be found. Whether the street exists is the carrier's business.
package postal

import (
	"fmt"
	"regexp"
	"strings"
	"unicode/utf8"

	postalv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/postal/v1"
	"github.com/cellar-commerce/cellar/internal/geo"
	"github.com/cellar-commerce/cellar/internal/problem"
)

// Limits in characters, as carriers' labels have them.
const (
	maxRecipient = 120
	maxLines     = 4
	maxLine      = 120
	maxLocality  = 80
	maxArea      = 80
	maxCode      = 12
	maxPhone     = 32
)

var (
	usState = regexp.MustCompile(`^[A-Z]{2}$`)
	usZIP   = regexp.MustCompile(`^[0-9]{5}(-[0-9]{4})?$`)
	phone   = regexp.MustCompile(`^[+0-9 ()./-]*$`)
)

// Validate adds what is wrong with an address, under field's name; a nil address is one violation.
func Validate(v *problem.Violations, field string, a *postalv1.PostalAddress) {
	if a == nil {
		v.Add(field, "must be given")
		return
	}
	at := func(name string) string { return field + "." + name }
	v.Check(text(a.GetRecipient(), 1, maxRecipient), at("recipient"), "must be 1 to 120 characters")
	v.Check(len(a.GetLines()) >= 1 && len(a.GetLines()) <= maxLines, at("lines"), "must be 1 to 4")
	for i, line := range a.GetLines() {
		v.Check(text(line, 1, maxLine), fmt.Sprintf("%s[%d]", at("lines"), i), "must be 1 to 120 characters")
	}
	v.Check(text(a.GetLocality(), 1, maxLocality), at("locality"), "must be 1 to 80 characters")
	v.Check(text(a.GetAdministrativeArea(), 0, maxArea), at("administrative_area"), "must be at most 80 characters")
	v.Check(validCode(a.GetPostalCode()), at("postal_code"), "must be 1 to 12 characters")
	v.Check(utf8.RuneCountInString(a.GetPhone()) <= maxPhone && phone.MatchString(a.GetPhone()), at("phone"), "must be at most 32 digits, spaces and signs")
	v.Check(geo.Supported(a.GetRegionCode()), at("region_code"), "must be the ISO 3166-1 code of a country that is delivered to")
	if a.GetRegionCode() == "US" {
		v.Check(usState.MatchString(a.GetAdministrativeArea()), at("administrative_area"), "must be the two-letter code of a state")
		v.Check(usZIP.MatchString(a.GetPostalCode()), at("postal_code"), "must be a ZIP code")
	}
}

// Place tells whether a country (ISO 3166-1 alpha-2) is delivered to, and a postal code can be one of its.
func Place(country, code string) bool {
	return geo.Supported(country) && validCode(code) && (country != "US" || usZIP.MatchString(code))
}

func validCode(code string) bool { return text(code, 1, maxCode) }

// text tells whether s is UTF-8 of low to high characters, without control characters, that is not all spaces.
func text(s string, low, high int) bool {
	if !utf8.ValidString(s) || strings.ContainsFunc(s, func(r rune) bool { return r < 0x20 || r == 0x7f }) {
		return false
	}
	n := utf8.RuneCountInString(s)
	return n >= low && n <= high && (low == 0 || strings.TrimSpace(s) != "")
}
