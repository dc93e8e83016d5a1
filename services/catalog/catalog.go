package catalog

import (
	"fmt"
	"net/url"
	"slices"
	"strings"
	"unicode/utf8"

	catalogv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/catalog/v1"
	"github.com/cellar-commerce/cellar/internal/problem"
)

// Limits of a product. They keep the event of one product far below what the broker takes (512 KiB).
const (
	maxSKU           = 64
	maxTitle         = 500
	maxDescription   = 20_000
	maxBrand         = 120
	maxLevels        = 5
	maxLevel         = 80
	maxPrice         = 100_000_000 // one million dollars
	maxImages        = 20
	maxImageURL      = 2_000
	maxAttributes    = 100
	maxAttributeName = 80
	maxAttribute     = 500
	maxWeight        = 10_000_000 // ten tonnes in grams
	maxPopularity    = 1_000_000
	maxVariesBy      = 3
	// maxFamily products are shown as choices of each other.
	maxFamily = 100
	maxSeller = 120
	// maxOffers of a product are shown.
	maxOffers = 20
)

// currencySold is the one currency that prices are in.
const currencySold = "USD"

// Separator joins the levels of a category's path.
const Separator = " > "

// validSKU tells whether s is 1 to 64 characters of A-Z, a-z, 0-9, '-', '_' and '.'.
func validSKU(s string) bool {
	if s == "" || len(s) > maxSKU {
		return false
	}
	for i := range len(s) {
		c := s[i]
		switch {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', c == '-', c == '_', c == '.':
		default:
			return false
		}
	}
	return true
}

// validText tells whether s is UTF-8 of at most limit characters without control characters but line ends and tabs.
func validText(s string, limit int) bool {
	if !utf8.ValidString(s) || utf8.RuneCountInString(s) > limit {
		return false
	}
	return strings.IndexFunc(s, func(r rune) bool { return r == 0x7f || (r < 0x20 && r != '\n' && r != '\t' && r != '\r') }) < 0
}

// Validate adds what is wrong with a product, under field's name; a nil product is one violation.
func Validate(v *problem.Violations, field string, p *catalogv1.Product) {
	if p == nil {
		v.Add(field, "must be given")
		return
	}
	at := func(name string) string { return field + "." + name }
	v.Check(validSKU(p.GetSku()), at("sku"), "must be 1 to 64 characters of A-Z, a-z, 0-9, '-', '_' and '.'")
	v.Check(strings.TrimSpace(p.GetTitle()) != "" && validText(p.GetTitle(), maxTitle), at("title"), "must be 1 to 500 characters")
	v.Check(validText(p.GetDescription(), maxDescription), at("description"), "must be at most 20,000 characters")
	v.Check(validText(p.GetBrand(), maxBrand), at("brand"), "must be at most 120 characters")
	v.Check(p.GetWeightGrams() >= 0 && p.GetWeightGrams() <= maxWeight, at("weight_grams"), "must be 0 to 10,000,000")
	v.Check(p.GetPopularity() >= 0 && p.GetPopularity() <= maxPopularity, at("popularity"), "must be 0 to 1,000,000")
	validateCategory(v, at("category_path"), p.GetCategoryPath())
	validatePrice(v, at("price"), p)
	validateExtras(v, field, p)
	validateFamily(v, field, p)
	validateOffer(v, field, p)
}

func validateCategory(v *problem.Violations, field string, path []string) {
	v.Check(len(path) >= 1 && len(path) <= maxLevels, field, "must have 1 to 5 levels")
	for i, level := range path {
		ok := strings.TrimSpace(level) == level && level != "" && validText(level, maxLevel) && !strings.Contains(level, strings.TrimSpace(Separator))
		v.Check(ok, fmt.Sprintf("%s[%d]", field, i), "must be 1 to 80 characters without '>' and without spaces around it")
	}
}

func validatePrice(v *problem.Violations, field string, p *catalogv1.Product) {
	v.Check(p.GetPrice() != nil, field, "must be given")
	if p.GetPrice() == nil {
		return
	}
	v.Check(p.GetPrice().GetCurrencyCode() == currencySold, field+".currency_code", "must be USD")
	v.Check(p.GetPrice().GetMinorUnits() > 0 && p.GetPrice().GetMinorUnits() <= maxPrice, field+".minor_units", "must be 1 to 100,000,000")
}

func validateExtras(v *problem.Violations, field string, p *catalogv1.Product) {
	v.Check(len(p.GetImageUrls()) <= maxImages, field+".image_urls", "must be at most 20")
	for i, raw := range p.GetImageUrls() {
		u, err := url.Parse(raw)
		ok := err == nil && (u.Scheme == "https" || u.Scheme == "http") && u.Host != "" && len(raw) <= maxImageURL
		v.Check(ok, fmt.Sprintf("%s.image_urls[%d]", field, i), "must be an http or https address of at most 2,000 characters")
	}
	v.Check(len(p.GetAttributes()) <= maxAttributes, field+".attributes", "must be at most 100")
	for name, value := range p.GetAttributes() {
		ok := name != "" && validText(name, maxAttributeName) && validText(value, maxAttribute)
		v.Check(ok, field+".attributes", "must have names of 1 to 80 and values of at most 500 characters")
	}
}

func validateFamily(v *problem.Violations, field string, p *catalogv1.Product) {
	by := p.GetVariesBy()
	if p.GetFamily() == "" {
		v.Check(len(by) == 0, field+".varies_by", "must be empty without a family")
		return
	}
	v.Check(validSKU(p.GetFamily()), field+".family", "must be 1 to 64 characters of A-Z, a-z, 0-9, '-', '_' and '.'")
	v.Check(len(by) >= 1 && len(by) <= maxVariesBy, field+".varies_by", "must have 1 to 3 attributes")
	for i, name := range by {
		_, found := p.GetAttributes()[name]
		v.Check(found && !slices.Contains(by[:i], name), fmt.Sprintf("%s.varies_by[%d]", field, i), "must be an attribute of the product, named once")
	}
}

func validateOffer(v *problem.Violations, field string, p *catalogv1.Product) {
	_, known := catalogv1.Condition_name[int32(p.GetCondition())]
	if p.GetOfferOf() == "" {
		v.Check(p.GetSeller() == "", field+".seller", "must be empty for what is no offer")
		v.Check(p.GetCondition() == catalogv1.Condition_CONDITION_UNSPECIFIED, field+".condition", "must be unspecified for what is no offer")
		return
	}
	v.Check(validSKU(p.GetOfferOf()) && p.GetOfferOf() != p.GetSku(), field+".offer_of", "must be another product's SKU")
	v.Check(strings.TrimSpace(p.GetSeller()) != "" && validText(p.GetSeller(), maxSeller), field+".seller", "must be 1 to 120 characters")
	v.Check(known && p.GetCondition() != catalogv1.Condition_CONDITION_UNSPECIFIED, field+".condition", "must be one of the conditions")
	v.Check(p.GetFamily() == "", field+".family", "must be empty for an offer")
}

// joinCategory is a path as it is stored and asked for.
func joinCategory(path []string) string { return strings.Join(path, Separator) }

// splitCategory undoes joinCategory.
func splitCategory(path string) []string { return strings.Split(path, Separator) }

// ancestors of a category, itself included, from the root down.
func ancestors(path []string) []string {
	all := make([]string, len(path))
	for i := range path {
		all[i] = joinCategory(path[:i+1])
	}
	return all
}

func unknownProduct() error {
	return problem.New(problem.NotFound, "UNKNOWN_PRODUCT", "there is no such product")
}
