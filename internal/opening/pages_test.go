package opening

import (
	"log/slog"
	"slices"
	"testing"

	"github.com/cellar-commerce/cellar/internal/clock"
	"github.com/cellar-commerce/cellar/internal/ident"
	"github.com/cellar-commerce/cellar/internal/seed"
	"github.com/cellar-commerce/cellar/services/storefront"
)

func TestEveryProductHasAPageOnceTheyAreMade(t *testing.T) {
	o, ctx := newOpener(t), t.Context()
	products := slices.Collect(seed.Products(pagesPage+3, 3)) // more than are read at once
	if _, err := o.Centers(ctx); err != nil {
		t.Fatal(err)
	}
	if _, err := o.Products(ctx, slices.Values(products), Options{Seed: 3}); err != nil {
		t.Fatal(err)
	}
	regions := ident.Regions()[:2]
	r, err := rebuild(ctx, o.global, o.regional, regions)
	if err != nil || r.Products != len(products) || len(r.Regions) != len(regions) {
		t.Fatalf("%+v, %v", r, err)
	}
	for _, region := range regions {
		// Nothing to compose a page of: what is shown is the row.
		pages := storefront.NewPages(storefront.PagesDeps{DB: o.regional, Region: region, Clock: clock.System{}, Log: slog.New(slog.DiscardHandler)})
		for _, p := range products {
			if page, err := pages.Page(ctx, p.GetSku()); err != nil || page.GetProduct().GetTitle() != p.GetTitle() {
				t.Fatalf("%s in %s: %v, %v", p.GetSku(), region, page, err)
			}
		}
	}
}
