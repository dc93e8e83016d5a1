package storefront

import (
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"time"

	catalogv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/catalog/v1"
	moneyv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/money/v1"
	searchv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/search/v1"
	storefrontv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/storefront/v1"
)

// chrome is what every page has around its own.
type chrome struct {
	Description string
	// Canonical address of what is shown; empty where there is none.
	Canonical string
	// Query in the search field.
	Query    string
	SignedIn bool
	// CartUnits as the browser remembers them.
	CartUnits int64
	// Notice of something that was done.
	Notice string
	// Missing are parts of the page that did not answer, as a sentence names them.
	Missing  []string
	Problems []wrong
	NoIndex  bool
	// Refresh after seconds; empty for never.
	Refresh string
}

// without a part of the page, if there is an error.
func (c *chrome) without(part string, err error) {
	if err != nil {
		c.Missing = append(c.Missing, part)
	}
}

// enumerated as in "a, b and c".
func enumerated(all []string) string {
	if len(all) < 2 {
		return strings.Join(all, "")
	}
	return strings.Join(all[:len(all)-1], ", ") + " and " + all[len(all)-1]
}

// wrong is a sentence about a field of a form, or about all of it.
type wrong struct{ Field, Text string }

// card is a product in a list.
type card struct {
	SKU, Title, Brand, Link, Image string
	Price                          string
	// Rating by the product's reviews; nil without any.
	Rating *rating
	// Saving that the price is; nil for none.
	Saving *saving
	Prime  bool
}

// crumb leads back up.
type crumb struct{ Name, Link string }

// levels of a category are joined by it.
const levels = " > "

// currencySigns stand before amounts; others have their code behind.
var currencySigns = map[string]string{"USD": "$", "EUR": "€", "GBP": "£"}

// price for people: "$1,234.50".
func price(m *moneyv1.Money) string {
	minor, sign := m.GetMinorUnits(), ""
	if minor < 0 {
		minor, sign = -minor, "−"
	}
	text := fmt.Sprintf("%s.%02d", grouped(minor/100), minor%100)
	if s, known := currencySigns[m.GetCurrencyCode()]; known {
		return sign + s + text
	}
	return sign + text + " " + m.GetCurrencyCode()
}

// grouped digits of a number that is not negative: "1,234".
func grouped(n int64) string {
	text := strconv.FormatInt(n, 10)
	for i := len(text) - 3; i > 0; i -= 3 {
		text = text[:i] + "," + text[i:]
	}
	return text
}

// day for people: "Tuesday, 3 June".
func day(date string) string {
	t, err := time.Parse(time.DateOnly, date)
	if err != nil {
		return date
	}
	return t.Format("Monday, 2 January")
}

// moment for people: "3 June 2031, 14:05 UTC".
func moment(t time.Time) string { return t.UTC().Format("2 January 2006, 15:04 UTC") }

// left of a time for people: "3 h 20 min", at least a minute.
func left(d time.Duration) string {
	minutes := max(1, int(d/time.Minute))
	if minutes < 60 {
		return fmt.Sprintf("%d min", minutes)
	}
	return fmt.Sprintf("%d h %d min", minutes/60, minutes%60)
}

func productLink(sku string) string { return "/p/" + url.PathEscape(sku) }

// categoryLink of a path of levels.
func categoryLink(path string) string {
	parts := strings.Split(path, levels)
	for i := range parts {
		parts[i] = url.PathEscape(parts[i])
	}
	return "/c/" + strings.Join(parts, "/")
}

// crumbs of a category's path, from the top.
func crumbs(path []string) []crumb {
	all := make([]crumb, len(path))
	for i := range path {
		all[i] = crumb{Name: path[i], Link: categoryLink(strings.Join(path[:i+1], levels))}
	}
	return all
}

func cardOf(p *catalogv1.Product) card {
	return card{SKU: p.GetSku(), Title: p.GetTitle(), Brand: p.GetBrand(), Link: productLink(p.GetSku()), Image: picture(p.GetSku(), p.GetImageUrls()...), Price: price(p.GetPrice()), Prime: p.GetPrime()}
}

func cardsOf(products []*catalogv1.Product) []card {
	all := make([]card, len(products))
	for i, p := range products {
		all[i] = cardOf(p)
	}
	return all
}

// packedCards as pages show them at a time.
func packedCards(packed []*storefrontv1.Card, now time.Time) []card {
	all := make([]card, len(packed))
	for i, c := range packed {
		all[i] = card{SKU: c.GetSku(), Title: c.GetTitle(), Brand: c.GetBrand(), Link: productLink(c.GetSku()), Image: c.GetPicture(), Price: price(c.GetPrice()), Rating: ratingOf(c.GetRating()), Prime: c.GetPrime(), Saving: savingOf(c.GetPrice(), c.GetReduction(), now)}
	}
	return all
}

func hitCards(hits []*searchv1.Hit) []card {
	all := make([]card, len(hits))
	for i, h := range hits {
		all[i] = card{SKU: h.GetSku(), Title: h.GetTitle(), Brand: h.GetBrand(), Link: productLink(h.GetSku()), Image: picture(h.GetSku(), h.GetImageUrl()), Price: price(h.GetPrice()), Prime: h.GetPrime()}
	}
	return all
}
