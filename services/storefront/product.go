package storefront

import (
	"context"
	"fmt"
	"html/template"
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
	// shownSize products, whose page takes some 10 kB, and as it was drawn last 20 kB: 150 MB.
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
	Related template.HTML
	// AlsoBought by those who bought it.
	AlsoBought template.HTML
	// Data for search engines.
	Data map[string]any

	said *reviewv1.Opinion
	// lacking parts, as a sentence names them.
	lacking []string
	// reduction of the shop's own price.
	reduction *storefrontv1.Reduction
	// plain page as it was drawn last, with a saving or without.
	plain same[bool, drawnPage]
}

// saving that the best offer is, at this moment: only the shop's own prices have a history.
func (p *shownProduct) saving(now time.Time) *saving {
	if p.Best.SKU != p.Product.GetSku() {
		return nil
	}
	return savingOf(p.Product.GetPrice(), p.reduction, now)
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
	if shown.Product.GetWithdrawnAt() != nil {
		return s.gone(w, r, shown)
	}
	sku := shown.Product.GetSku()
	c := s.chromeOf(r)
	c.Canonical, c.Description, c.Missing = productLink(sku), shown.Product.GetDescription(), shown.lacking
	saw(w, r, sku)
	there, country, saves := s.arrivalOf(r, shown.Best), "", shown.saving(s.deps.Clock.Now())
	if there != nil {
		country = there.Place.Country
	}
	render := func() (drawnPage, error) {
		return s.render("product", struct {
			Chrome chrome
			*shownProduct
			Opinion   opinion
			Arrival   *arrival
			Saving    *saving
			Link      string
			Countries []choice
		}{c, shown, s.opinionOf(r, sku, shown.said), there, saves, productLink(sku), countries(country)})
	}
	page, err := shown.plain.getIf(there == nil && c.plain(), saves != nil, render)
	if err != nil {
		return err
	}
	send(w, r, http.StatusOK, page)
	return nil
}

func (s *Service) readProduct(ctx context.Context, sku string) (*shownProduct, error) {
	page, err := s.deps.Pages.Page(ctx, sku)
	if err != nil {
		return nil, err
	}
	p, soldOut, now := page.GetProduct(), s.soldOut(ctx, page), s.deps.Clock.Now()
	offers := offersOf(page, soldOut)
	shown := &shownProduct{
		Product: p, Gallery: galleryOf(p), Crumbs: crumbs(p.GetCategoryPath()), reduction: page.GetReduction(), lacking: page.GetLacking(), Data: dataOf(p, offers[0].Price, ratingOf(page.GetOpinion().GetRating())), said: page.GetOpinion(),
		Choices: choicesOf(p, page.GetVariants(), soldOut), Best: offers[0], Others: offers[1:],
	}
	if shown.Related, err = s.shelf(packedCards(page.GetRelated(), now)); err != nil {
		return nil, err
	}
	if shown.AlsoBought, err = s.shelf(packedCards(page.GetAlsoBought(), now)); err != nil {
		return nil, err
	}
	for name, value := range p.GetAttributes() {
		shown.Facts = append(shown.Facts, fact{titled(name), value})
	}
	slices.SortFunc(shown.Facts, func(a, b fact) int { return strings.Compare(a.Name, b.Name) })
	return shown, nil
}

// Rebuilt takes PagesRebuilt events: what is in memory of these pages is old, and so are the lists that everybody sees when one of them
// is withdrawn.
func (s *Service) Rebuilt(_ context.Context, payload []byte) error {
	var e storefrontv1.PagesRebuilt
	if err := proto.Unmarshal(payload, &e); err != nil {
		return fmt.Errorf("pages rebuilt: %w", err)
	}
	for _, sku := range e.GetSkus() {
		s.shown.Forget(sku)
	}
	if e.GetWithdrawn() {
		s.liked.Forget(struct{}{})
		s.deals.Forget(struct{}{})
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
