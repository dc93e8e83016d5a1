package storefront

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"google.golang.org/protobuf/proto"

	catalogv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/catalog/v1"
	moneyv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/money/v1"
	reviewv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/review/v1"
	storefrontv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/storefront/v1"
)

const (
	// shownSize products, whose page takes some 10 kB: 50 MB.
	shownSize = 5_000
	// shownFresh and shownStale: a page is forgotten as soon as its row has been made anew. What it shows of other products, and what is
	// sold out, is at most two minutes old; after the first twenty seconds whoever looks has it read anew, and waits for nothing.
	shownFresh = 20 * time.Second
	shownStale = 100 * time.Second
	// shownLoad bounds the reading.
	shownLoad = 5 * time.Second
)

// shownProduct is a product's page as everybody sees it.
type shownProduct struct {
	Product *catalogv1.Product
	// Gallery of its pictures, one at least.
	Gallery []shot
	Crumbs  []crumb
	Facts   []fact
	// Choices among its family.
	Choices []choices
	// Best offer to sell it, and the Others.
	Best    offer
	Others  []offer
	Related []card
	// AlsoBought by those who bought it.
	AlsoBought []card
	// Data for search engines.
	Data map[string]any

	said *reviewv1.Opinion
}

type fact struct{ Name, Value string }

// product's page.
func (s *Service) product(w http.ResponseWriter, r *http.Request) error {
	shown, err := s.shown.Get(r.Context(), r.PathValue("sku"), s.readProduct)
	if err != nil {
		return err
	}
	if of := shown.Product.GetOfferOf(); of != "" {
		http.Redirect(w, r, productLink(of), http.StatusFound)
		return nil
	}
	sku := shown.Product.GetSku()
	c := s.chromeOf(r)
	c.Canonical, c.Description = productLink(sku), shown.Product.GetDescription()
	saw(w, r, sku)
	there, country := s.arrivalOf(r, shown.Best.SKU), ""
	if there != nil {
		country = there.Place.Country
	}
	return s.draw(w, r, http.StatusOK, "product", struct {
		Chrome chrome
		*shownProduct
		Opinion   opinion
		Arrival   *arrival
		Link      string
		Countries []choice
	}{c, shown, s.opinionOf(r, sku, shown.said), there, productLink(sku), countries(country)})
}

func (s *Service) readProduct(ctx context.Context, sku string) (*shownProduct, error) {
	page, err := s.deps.Pages.Page(ctx, sku)
	if err != nil {
		return nil, err
	}
	p, soldOut := page.GetProduct(), s.soldOut(ctx, page)
	offers := offersOf(page, soldOut)
	shown := &shownProduct{
		Product: p, Gallery: galleryOf(p), Crumbs: crumbs(p.GetCategoryPath()), Related: packedCards(page.GetRelated()),
		AlsoBought: packedCards(page.GetAlsoBought()), Data: dataOf(p, offers[0].Price, ratingOf(page.GetOpinion().GetRating())), said: page.GetOpinion(),
		Choices: choicesOf(p, page.GetVariants(), soldOut), Best: offers[0], Others: offers[1:],
	}
	for name, value := range p.GetAttributes() {
		shown.Facts = append(shown.Facts, fact{titled(name), value})
	}
	slices.SortFunc(shown.Facts, func(a, b fact) int { return strings.Compare(a.Name, b.Name) })
	return shown, nil
}

// Rebuilt takes PagesRebuilt events: what is in memory of these pages is old.
func (s *Service) Rebuilt(_ context.Context, payload []byte) error {
	var e storefrontv1.PagesRebuilt
	if err := proto.Unmarshal(payload, &e); err != nil {
		return fmt.Errorf("pages rebuilt: %w", err)
	}
	for _, sku := range e.GetSkus() {
		s.shown.Forget(sku)
	}
	return nil
}

// titled makes a label of an attribute's name.
func titled(name string) string {
	name = strings.ReplaceAll(name, "_", " ")
	if name == "" {
		return ""
	}
	return strings.ToUpper(name[:1]) + name[1:]
}

// dataOf a product at a price, for search engines (schema.org).
func dataOf(p *catalogv1.Product, cost *moneyv1.Money, by *rating) map[string]any {
	data := map[string]any{
		"@context": "https://schema.org", "@type": "Product", "name": p.GetTitle(), "sku": p.GetSku(), "description": p.GetDescription(),
		"brand": map[string]any{"@type": "Brand", "name": p.GetBrand()}, "category": strings.Join(p.GetCategoryPath(), levels),
		"offers": map[string]any{
			"@type": "Offer", "priceCurrency": cost.GetCurrencyCode(), "price": strconv.FormatFloat(float64(cost.GetMinorUnits())/100, 'f', 2, 64), "url": productLink(p.GetSku()),
		},
	}
	if by != nil {
		data["aggregateRating"] = map[string]any{"@type": "AggregateRating", "ratingValue": by.Exact, "reviewCount": by.Count, "bestRating": 5, "worstRating": 1}
	}
	return data
}
