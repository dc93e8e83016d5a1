package catalog

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"

	"github.com/cellar-commerce/cellar/internal/clock"
	catalogv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/catalog/v1"
	problemv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/problem/v1"
	"github.com/cellar-commerce/cellar/internal/ident"
	"github.com/cellar-commerce/cellar/internal/money"
	"github.com/cellar-commerce/cellar/internal/problem"
	"github.com/cellar-commerce/cellar/internal/sqldb"
	"github.com/cellar-commerce/cellar/internal/sqldb/sqldbtest"
)

func TestMain(m *testing.M) { sqldbtest.Main(m) }

type fixture struct {
	*Service
	db        *sqldb.DB
	clock     *clock.Manual
	committed atomic.Int32
}

func newFixture(t testing.TB, options ...sqldbtest.Option) *fixture {
	f := &fixture{db: sqldbtest.New(t, sqldb.Global, options...), clock: clock.NewManual(time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC))}
	f.Service = New(Deps{DB: f.db, Clock: f.clock, PrimaryRegion: "us-east-1", Regions: ident.Regions(), Committed: func() { f.committed.Add(1) }})
	return f
}

func product(sku string, change ...func(*catalogv1.Product)) *catalogv1.Product {
	p := &catalogv1.Product{
		Sku: sku, Title: "Kettle " + sku, Description: "Boils.", Brand: "Hob", CategoryPath: []string{"Home", "Kettles"},
		Price: money.USD(1999).Proto(), ImageUrls: []string{"https://images.example/" + sku}, Attributes: map[string]string{"colour": "red"},
		WeightGrams: 900, Popularity: 10,
	}
	for _, c := range change {
		c(p)
	}
	return p
}

func (f *fixture) upsert(t testing.TB, p *catalogv1.Product) *catalogv1.Product {
	t.Helper()
	resp, err := f.UpsertProduct(context.Background(), &catalogv1.UpsertProductRequest{Product: p})
	if err != nil {
		t.Fatal(err)
	}
	return resp.GetProduct()
}

func (f *fixture) browse(t testing.TB, category string) (skus []string) {
	t.Helper()
	token := ""
	for {
		resp, err := f.BrowseCategory(context.Background(), &catalogv1.BrowseCategoryRequest{Category: category, PageSize: 2, PageToken: token})
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range resp.GetProducts() {
			skus = append(skus, p.GetSku())
		}
		if token = resp.GetNextPageToken(); token == "" {
			return skus
		}
	}
}

var stmtEvents = sqldb.Define(sqldb.Global, "catalog_test.events", `
SELECT message_id, destination, payload
FROM outbox
WHERE region = 'us-east-1'
ORDER BY id`)

type event struct {
	id, destination string
	changed         catalogv1.ProductChanged
}

func (f *fixture) events(t testing.TB) []*event {
	t.Helper()
	all, err := sqldb.Collect(context.Background(), f.db, stmtEvents, func(r sqldb.Row) (*event, error) {
		var e event
		var payload []byte
		if err := r.Scan(&e.id, &e.destination, &payload); err != nil {
			return nil, err
		}
		return &e, proto.Unmarshal(payload, &e.changed)
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func TestAProductIsReadAsItWasWrittenWithItsVersion(t *testing.T) {
	f := newFixture(t)
	want := product("A-1")
	for version := int64(1); version <= 3; version++ {
		got := f.upsert(t, want)
		if got.GetVersion() != version || !got.GetUpdatedAt().AsTime().Equal(f.clock.Now()) {
			t.Errorf("version %d at %v, want %d", got.GetVersion(), got.GetUpdatedAt().AsTime(), version)
		}
		got = proto.CloneOf(got)
		got.Version, got.UpdatedAt = 0, nil
		if !proto.Equal(got, want) {
			t.Errorf("got %v, want %v", got, want)
		}
	}
	if n := f.committed.Load(); n != 3 {
		t.Errorf("the relay was told %d times of 3 changes", n)
	}
}

func TestEveryRegionIsToldOfEveryVersionOnce(t *testing.T) {
	f := newFixture(t)
	f.upsert(t, product("A-1"))
	if _, err := f.SetPrice(context.Background(), &catalogv1.SetPriceRequest{Sku: "A-1", Price: money.USD(5).Proto()}); err != nil {
		t.Fatal(err)
	}
	seen := map[string]int64{}
	for _, e := range f.events(t) {
		seen[e.id] = e.changed.GetProduct().GetPrice().GetMinorUnits()
	}
	for _, region := range ident.Regions() {
		for version, price := range map[int]int64{1: 1999, 2: 5} {
			id := fmt.Sprintf("product/A-1/%d/%s", version, region)
			if seen[id] != price {
				t.Errorf("%s carries price %d, want %d", id, seen[id], price)
			}
			delete(seen, id)
		}
	}
	if len(seen) > 0 {
		t.Errorf("more events than changes: %v", seen)
	}
}

func TestACategoryListsWhatIsInItAndBelowMostPopularFirst(t *testing.T) {
	f := newFixture(t)
	in := func(popularity int32, path ...string) func(*catalogv1.Product) {
		return func(p *catalogv1.Product) { p.Popularity, p.CategoryPath = popularity, path }
	}
	f.upsert(t, product("low", in(1, "Home", "Kettles")))
	f.upsert(t, product("high", in(900, "Home", "Pans")))
	f.upsert(t, product("twin-a", in(50, "Home", "Kettles")))
	f.upsert(t, product("twin-b", in(50, "Home", "Kettles")))
	f.upsert(t, product("other", in(999, "Books")))
	if got := fmt.Sprint(f.browse(t, "Home")); got != "[high twin-b twin-a low]" {
		t.Errorf("Home lists %s", got)
	}
	f.upsert(t, product("high", in(2, "Home", "Kettles")))
	if got := fmt.Sprint(f.browse(t, "Home > Pans"), f.browse(t, "Home > Kettles")); got != "[] [twin-b twin-a high low]" {
		t.Errorf("after the move: %s", got)
	}
	resp, err := f.ListCategories(context.Background(), &catalogv1.ListCategoriesRequest{})
	if err != nil {
		t.Fatal(err)
	}
	var counts []string
	for _, c := range resp.GetCategories() {
		counts = append(counts, fmt.Sprintf("%s=%d", c.GetPath(), c.GetProducts()))
	}
	if got := strings.Join(counts, ","); got != "Books=1,Home=4,Home > Kettles=4" {
		t.Errorf("categories: %s", got)
	}
}

func TestTheCacheForgetsWhatChangedHereAndWhatItIsToldOf(t *testing.T) {
	f := newFixture(t)
	other := New(Deps{DB: f.db, Clock: f.clock, PrimaryRegion: "us-east-1", Regions: ident.Regions()})
	ctx := context.Background()
	price := func(s *Service) int64 {
		resp, err := s.GetProduct(ctx, &catalogv1.GetProductRequest{Sku: "A-1"})
		if err != nil {
			t.Fatal(err)
		}
		return resp.GetProduct().GetPrice().GetMinorUnits()
	}
	f.upsert(t, product("A-1"))
	price(other)
	changed, err := f.SetPrice(ctx, &catalogv1.SetPriceRequest{Sku: "A-1", Price: money.USD(7).Proto()})
	if err != nil {
		t.Fatal(err)
	}
	if got := price(f.Service); got != 7 {
		t.Errorf("the cell that changed the price shows %d", got)
	}
	if got := price(other); got != 1999 {
		t.Errorf("the test proves nothing: the other cell has no cached price, but %d", got)
	}
	payload, err := proto.Marshal(&catalogv1.ProductChanged{Product: changed.GetProduct()})
	if err != nil {
		t.Fatal(err)
	}
	if err := other.HandleChanged(ctx, payload); err != nil {
		t.Fatal(err)
	}
	if got := price(other); got != 7 {
		t.Errorf("told of the change, the other cell shows %d", got)
	}
	if _, err := f.SetPrice(ctx, &catalogv1.SetPriceRequest{Sku: "A-1", Price: money.USD(8).Proto()}); err != nil {
		t.Fatal(err)
	}
	f.clock.Advance(cacheFresh)
	if got := price(other); got != 8 {
		t.Errorf("not told, but %s later, the other cell shows %d", cacheFresh, got)
	}
}

func TestConcurrentChangesEachGetAVersionOfTheirOwn(t *testing.T) {
	f := newFixture(t)
	f.upsert(t, product("A-1"))
	var wg sync.WaitGroup
	for i := 1; i <= 16; i++ {
		wg.Go(func() {
			if i%2 == 0 {
				changed := product("A-1", func(p *catalogv1.Product) { p.Popularity = int32(i) })
				if _, err := f.UpsertProduct(context.Background(), &catalogv1.UpsertProductRequest{Product: changed}); err != nil {
					t.Error(err)
				}
				return
			}
			if _, err := f.SetPrice(context.Background(), &catalogv1.SetPriceRequest{Sku: "A-1", Price: money.USD(int64(i)).Proto()}); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	versions := map[int64]bool{}
	for _, e := range f.events(t) {
		versions[e.changed.GetProduct().GetVersion()] = true
	}
	if len(versions) != 17 {
		t.Errorf("17 changes made %d versions", len(versions))
	}
	if got := f.browse(t, "Home"); len(got) != 1 {
		t.Errorf("one product is listed %d times", len(got))
	}
}

func TestAnImportStoresEverythingAndTwiceIsAsOnceButForVersions(t *testing.T) {
	f := newFixture(t)
	var products []*catalogv1.Product
	for i := range importBatch + 20 {
		products = append(products, product(fmt.Sprintf("P-%04d", i%(importBatch+10))))
	}
	for range 2 {
		if n, err := f.Import(context.Background(), products, ImportOptions{}); err != nil || n != len(products) {
			t.Fatalf("%d imported, %v", n, err)
		}
	}
	seen, after := 0, ""
	for {
		page, err := f.ScanProducts(context.Background(), after, 100)
		if err != nil {
			t.Fatal(err)
		}
		if len(page) == 0 {
			break
		}
		seen, after = seen+len(page), page[len(page)-1].GetSku()
	}
	if seen != importBatch+10 || len(f.events(t)) != 0 {
		t.Errorf("%d products, %d events; want %d and none", seen, len(f.events(t)), importBatch+10)
	}
}

func TestAFailedImportLeavesItsBatchUnwritten(t *testing.T) {
	f := newFixture(t)
	n, err := f.Import(context.Background(), []*catalogv1.Product{product("ok"), product("bad sku")}, ImportOptions{Announce: true})
	if n != 0 || !problem.Is(err, "INVALID_FIELDS") || len(f.events(t)) != 0 {
		t.Errorf("%d written, %v", n, err)
	}
	if _, err := f.GetProduct(context.Background(), &catalogv1.GetProductRequest{Sku: "ok"}); !problem.Is(err, "UNKNOWN_PRODUCT") {
		t.Errorf("half a batch was written: %v", err)
	}
}

func TestBadProductsAreRefusedByField(t *testing.T) {
	f := newFixture(t)
	long := strings.Repeat("x", 20_001)
	for field, change := range map[string]func(*catalogv1.Product){
		"product.sku":                 func(p *catalogv1.Product) { p.Sku = "no spaces" },
		"product.title":               func(p *catalogv1.Product) { p.Title = " " },
		"product.description":         func(p *catalogv1.Product) { p.Description = long },
		"product.brand":               func(p *catalogv1.Product) { p.Brand = "a\x00b" },
		"product.category_path":       func(p *catalogv1.Product) { p.CategoryPath = nil },
		"product.category_path[1]":    func(p *catalogv1.Product) { p.CategoryPath = []string{"a", "b > c"} },
		"product.price":               func(p *catalogv1.Product) { p.Price = nil },
		"product.price.currency_code": func(p *catalogv1.Product) { p.Price.CurrencyCode = "EUR" },
		"product.price.minor_units":   func(p *catalogv1.Product) { p.Price.MinorUnits = 0 },
		"product.image_urls[0]":       func(p *catalogv1.Product) { p.ImageUrls = []string{"javascript:alert(1)"} },
		"product.attributes":          func(p *catalogv1.Product) { p.Attributes = map[string]string{"": "x"} },
		"product.weight_grams":        func(p *catalogv1.Product) { p.WeightGrams = -1 },
		"product.popularity":          func(p *catalogv1.Product) { p.Popularity = 1_000_001 },
	} {
		_, err := f.UpsertProduct(context.Background(), &catalogv1.UpsertProductRequest{Product: product("A", change)})
		wantViolation(t, err, field)
	}
	if len(f.events(t)) != 0 {
		t.Error("a refused product had an effect")
	}
}

func wantViolation(t testing.TB, err error, field string) {
	t.Helper()
	d, ok := problem.Detail[*problemv1.FieldViolations](err)
	if !ok || !problem.Is(err, "INVALID_FIELDS") {
		t.Errorf("%s: got %v", field, err)
		return
	}
	for _, v := range d.GetViolations() {
		if v.GetField() == field {
			return
		}
	}
	t.Errorf("%s is not among %v", field, d.GetViolations())
}

func TestBadRequestsAreRefused(t *testing.T) {
	f, ctx := newFixture(t), context.Background()
	_, err := f.GetProduct(ctx, &catalogv1.GetProductRequest{})
	wantViolation(t, err, "sku")
	_, err = f.BatchGetProducts(ctx, &catalogv1.BatchGetProductsRequest{Skus: make([]string, 201)})
	wantViolation(t, err, "skus")
	_, err = f.BatchGetProducts(ctx, &catalogv1.BatchGetProductsRequest{Skus: []string{"a", "?"}})
	wantViolation(t, err, "skus[1]")
	_, err = f.BatchGetProducts(ctx, &catalogv1.BatchGetProductsRequest{View: 99})
	wantViolation(t, err, "view")
	_, err = f.BrowseCategory(ctx, &catalogv1.BrowseCategoryRequest{Category: "Home", PageSize: 101})
	wantViolation(t, err, "page_size")
	_, err = f.SetPrice(ctx, &catalogv1.SetPriceRequest{Sku: "a", Price: money.USD(-1).Proto()})
	wantViolation(t, err, "price.minor_units")
	if _, err = f.SetPrice(ctx, &catalogv1.SetPriceRequest{Sku: "a", Price: money.USD(1).Proto()}); !problem.Is(err, "UNKNOWN_PRODUCT") {
		t.Errorf("price of nothing: %v", err)
	}
	if _, err = f.BrowseCategory(ctx, &catalogv1.BrowseCategoryRequest{Category: "Home", PageToken: "???"}); !problem.Is(err, "BAD_PAGE_TOKEN") {
		t.Errorf("page token: %v", err)
	}
}

func TestPageTokensSurviveTheRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		l := listing{popularity: rapid.Int32Range(0, maxPopularity).Draw(t, "popularity"), sku: rapid.StringMatching(`[A-Za-z0-9._-]{1,64}`).Draw(t, "sku")}
		if got, err := parsePageToken(pageToken(l)); err != nil || got != l {
			t.Fatalf("%v became %v, %v", l, got, err)
		}
	})
}

func FuzzParsePageToken(f *testing.F) {
	f.Add(pageToken(listing{5, "A-1"}))
	f.Add("")
	f.Add("LTEvQQ")
	f.Fuzz(func(t *testing.T, token string) {
		l, err := parsePageToken(token)
		if err == nil && (l.popularity < 0 || !validSKU(l.sku)) {
			t.Errorf("%q gives %v", token, l)
		}
	})
}
