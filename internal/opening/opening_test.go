package opening

import (
	"slices"
	"testing"

	"github.com/cellar-commerce/cellar/internal/clock"
	catalogv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/catalog/v1"
	inventoryv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/inventory/v1"
	"github.com/cellar-commerce/cellar/internal/ident"
	"github.com/cellar-commerce/cellar/internal/seed"
	"github.com/cellar-commerce/cellar/internal/sqldb"
	"github.com/cellar-commerce/cellar/internal/sqldb/sqldbtest"
)

func TestMain(m *testing.M) { sqldbtest.Main(m) }

func newOpener(t *testing.T) *Opener {
	return assemble(sqldbtest.New(t, sqldb.Global), sqldbtest.New(t, sqldb.Regional), clock.System{})
}

func TestOpeningTwiceIsAsOpeningOnce(t *testing.T) {
	o, ctx := newOpener(t), t.Context()
	if empty, err := o.Empty(ctx); err != nil || !empty {
		t.Fatalf("empty %v, %v", empty, err)
	}
	products := slices.Collect(seed.Products(60, 3))
	want := map[string]int64{}
	var skus []string
	for _, p := range products {
		skus = append(skus, p.GetSku())
		for _, l := range seed.Stock(p, 3) {
			want[l.FC+"/"+p.GetSku()] += l.Quantity
		}
	}
	for range 2 {
		if n, err := o.Centers(ctx); err != nil || n != 175 {
			t.Fatalf("%d centres, %v", n, err)
		}
		if n, err := o.Products(ctx, slices.Values(products), Options{Seed: 3}); err != nil || n != len(products) {
			t.Fatalf("%d products, %v", n, err)
		}
	}
	if empty, err := o.Empty(ctx); err != nil || empty {
		t.Errorf("empty %v, %v", empty, err)
	}
	have := map[string]int64{}
	for _, region := range ident.Regions() {
		resp, err := o.inventory[region].ListStock(ctx, &inventoryv1.ListStockRequest{Skus: skus})
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range resp.GetStocks() {
			have[s.GetFcId()+"/"+s.GetSku()] = s.GetAvailable()
		}
	}
	for at, n := range want {
		if have[at] != n {
			t.Errorf("%s has %d, want %d", at, have[at], n)
		}
	}
	if len(have) != len(want) {
		t.Errorf("%d stocks, want %d", len(have), len(want))
	}
}

func TestAProductThatIsNotValidStopsTheOpening(t *testing.T) {
	o := newOpener(t)
	bad := []*catalogv1.Product{{Sku: "x"}}
	if n, err := o.Products(t.Context(), slices.Values(bad), Options{}); err == nil || n != 0 {
		t.Errorf("%d written, %v", n, err)
	}
}

func TestSomeGeneratedProductsHaveJustBecomeCheaperHoweverOftenTheyAreOpened(t *testing.T) {
	o, ctx := newOpener(t), t.Context()
	const n, seedOf = 400, 5
	want := map[string]int64{}
	var skus []string
	for p := range seed.Products(n, seedOf) {
		if was := seed.FormerPrice(p, seedOf); was != nil {
			want[p.GetSku()], skus = was.GetMinorUnits(), append(skus, p.GetSku())
		}
	}
	if _, err := o.Centers(ctx); err != nil || len(want) == 0 {
		t.Fatal(len(want), err)
	}
	for range 2 {
		if written, err := o.Generated(ctx, n, seedOf, false); err != nil || written != n {
			t.Fatalf("%d written, %v", written, err)
		}
	}
	resp, err := o.catalog.ListPriceHistories(ctx, &catalogv1.ListPriceHistoriesRequest{Skus: skus})
	if err != nil || len(resp.GetHistories()) != len(want) {
		t.Fatalf("%v, %v", resp, err)
	}
	for _, h := range resp.GetHistories() {
		if len(h.GetPast()) != 1 || h.GetPast()[0].GetPrice().GetMinorUnits() != want[h.GetSku()] {
			t.Errorf("%v, want %d", h, want[h.GetSku()])
		}
	}
	told := sqldbtest.Texts(t, o.global, "SELECT DISTINCT split_part(message_id, '/', 2) FROM outbox")
	if len(told) != len(want) {
		t.Errorf("%d are told of, want %d", len(told), len(want))
	}
}
