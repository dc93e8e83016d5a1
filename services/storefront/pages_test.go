package storefront

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"
	"pgregory.net/rapid"

	"github.com/cellar-commerce/cellar/internal/clock"
	catalogv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/catalog/v1"
	"github.com/cellar-commerce/cellar/internal/gen/cellar/catalog/v1/catalogv1connect"
	recommendationv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/recommendation/v1"
	"github.com/cellar-commerce/cellar/internal/gen/cellar/recommendation/v1/recommendationv1connect"
	reviewv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/review/v1"
	"github.com/cellar-commerce/cellar/internal/gen/cellar/review/v1/reviewv1connect"
	storefrontv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/storefront/v1"
	"github.com/cellar-commerce/cellar/internal/money"
	"github.com/cellar-commerce/cellar/internal/problem"
	"github.com/cellar-commerce/cellar/internal/sqldb"
	"github.com/cellar-commerce/cellar/internal/sqldb/sqldbtest"
)

func TestMain(m *testing.M) { sqldbtest.Main(m) }

// stock of products that pages are made of: priced as a test wants, counting how often they are read.
type stock struct {
	catalogv1connect.CatalogServiceClient
	reviewv1connect.ReviewServiceClient
	recommendationv1connect.RecommendationServiceClient

	mu     sync.Mutex
	prices map[string]int64
	reads  int
	// families has the colours of those that are of the one family there is.
	families map[string]string
	// withdrawn of these.
	withdrawn map[string]bool
	// offers of other sellers.
	offers []*catalogv1.Product
	// past prices, by SKU.
	past map[string]*catalogv1.PriceHistory
	// away is what reviews answer with.
	away error
	// between the reading of products and what is made of them.
	between func()
}

func (f *stock) product(sku string) *catalogv1.Product {
	p := &catalogv1.Product{Sku: sku, Title: "The " + sku, CategoryPath: []string{"Lamps"}, Price: money.USD(f.prices[sku]).Proto()}
	if colour, found := f.families[sku]; found {
		p.Family, p.VariesBy, p.Attributes = "family", []string{"colour"}, map[string]string{"colour": colour}
	}
	if f.withdrawn[sku] {
		p.WithdrawnAt = timestamppb.New(now)
	}
	return p
}

// sold products of these: as the catalogue lists them.
func (f *stock) sold(skus ...string) []*catalogv1.Product {
	var all []*catalogv1.Product
	for _, sku := range skus {
		if !f.withdrawn[sku] {
			all = append(all, f.product(sku))
		}
	}
	return all
}

func (f *stock) ListFamilies(context.Context, *catalogv1.ListFamiliesRequest) (*catalogv1.ListFamiliesResponse, error) {
	return &catalogv1.ListFamiliesResponse{Products: f.sold(slices.Sorted(maps.Keys(f.families))...)}, nil
}

func (f *stock) BatchGetProducts(_ context.Context, r *catalogv1.BatchGetProductsRequest) (*catalogv1.BatchGetProductsResponse, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.reads++
	var resp catalogv1.BatchGetProductsResponse
	for _, sku := range r.GetSkus() {
		if _, found := f.prices[sku]; found {
			resp.Products = append(resp.Products, f.product(sku))
		}
	}
	return &resp, nil
}

func (f *stock) BrowseCategory(context.Context, *catalogv1.BrowseCategoryRequest) (*catalogv1.BrowseCategoryResponse, error) {
	if f.between != nil {
		f.between()
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	return &catalogv1.BrowseCategoryResponse{Products: f.sold("LAMP", "SHADE")}, nil
}

func (f *stock) ListOffers(context.Context, *catalogv1.ListOffersRequest) (*catalogv1.ListOffersResponse, error) {
	return &catalogv1.ListOffersResponse{Offers: f.offers}, nil
}

func (f *stock) ListPriceHistories(_ context.Context, r *catalogv1.ListPriceHistoriesRequest) (*catalogv1.ListPriceHistoriesResponse, error) {
	var resp catalogv1.ListPriceHistoriesResponse
	for _, sku := range r.GetSkus() {
		if h := f.past[sku]; h != nil {
			resp.Histories = append(resp.Histories, h)
		}
	}
	return &resp, nil
}

func (f *stock) BatchGetOpinions(context.Context, *reviewv1.BatchGetOpinionsRequest) (*reviewv1.BatchGetOpinionsResponse, error) {
	return &reviewv1.BatchGetOpinionsResponse{Opinions: map[string]*reviewv1.Opinion{"LAMP": {Rating: lampRating()}}}, f.away
}

func (f *stock) BatchGetRatings(context.Context, *reviewv1.BatchGetRatingsRequest) (*reviewv1.BatchGetRatingsResponse, error) {
	return &reviewv1.BatchGetRatingsResponse{Ratings: []*reviewv1.Rating{lampRating()}}, f.away
}

func (f *stock) BatchForProduct(context.Context, *recommendationv1.BatchForProductRequest) (*recommendationv1.BatchForProductResponse, error) {
	return &recommendationv1.BatchForProductResponse{Others: map[string]*recommendationv1.AlsoBought{"LAMP": {Others: []*recommendationv1.Recommended{{Sku: "BULB"}, {Sku: "GONE"}}}}}, nil
}

func (f *stock) price(sku string, minor int64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.prices[sku] = minor
}

func (f *stock) asked() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.reads
}

// shelf is the rows of a region, and what they are made of.
type shelf struct {
	*Pages
	of    *stock
	clock *clock.Manual
}

func newShelf(t testing.TB) shelf {
	t.Helper()
	s := shelf{of: &stock{prices: map[string]int64{"LAMP": 100, "SHADE": 200, "BULB": 300}, withdrawn: map[string]bool{}}, clock: clock.NewManual(now)}
	s.Pages = NewPages(PagesDeps{
		DB: sqldbtest.New(t, sqldb.Regional), Region: "us-east-1", Catalog: s.of, Reviews: s.of, Recommendations: s.of, Clock: s.clock, Log: slog.New(slog.DiscardHandler),
	})
	return s
}

// page as a reader gets it; by row when nothing else is asked for it.
func (s shelf) page(t testing.TB, sku string) (page *storefrontv1.Page, byRow bool) {
	t.Helper()
	before := s.of.asked()
	page, err := s.Page(t.Context(), sku)
	if err != nil {
		t.Fatal(err)
	}
	return page, s.of.asked() == before
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestAPageIsOneLookUpOnceItHasBeenMade(t *testing.T) {
	s := newShelf(t)
	composed, byRow := s.page(t, "LAMP")
	if byRow {
		t.Fatal("there is a row before anybody has made one")
	}
	must(t, s.Rebuild(t.Context(), "LAMP", "SHADE", "BULB", "GONE", "LAMP"))
	read, byRow := s.page(t, "LAMP")
	if !byRow || !proto.Equal(read, composed) {
		t.Errorf("by row %v it is %v, composed %v", byRow, read, composed)
	}
	if len(read.GetRelated()) != 1 || read.GetRelated()[0].GetSku() != "SHADE" || len(read.GetAlsoBought()) != 1 || read.GetAlsoBought()[0].GetSku() != "BULB" || read.GetOpinion().GetRating().GetReviews() != 3 {
		t.Errorf("it shows %v", read)
	}
	if _, err := s.Page(t.Context(), "GONE"); !problem.Is(err, "UNKNOWN_PRODUCT") {
		t.Errorf("what is no product answers %v", err)
	}
	if _, err := s.Page(t.Context(), "\x00\xff"); !problem.Is(err, "UNKNOWN_PRODUCT") {
		t.Errorf("what is no text answers %v", err)
	}
}

func TestAChangedProductIsNewOnItsPageAndOnThoseBesideIt(t *testing.T) {
	s := newShelf(t)
	must(t, s.Rebuild(t.Context(), "LAMP", "SHADE", "BULB"))
	s.of.price("SHADE", 250)
	payload, err := proto.Marshal(&catalogv1.ProductChanged{Product: &catalogv1.Product{Sku: "SHADE"}})
	must(t, err)
	must(t, s.Changed(t.Context(), payload, payload))
	own, _ := s.page(t, "SHADE")
	beside, byRow := s.page(t, "LAMP")
	if own.GetProduct().GetPrice().GetMinorUnits() != 250 || beside.GetRelated()[0].GetPrice().GetMinorUnits() != 250 || !byRow {
		t.Errorf("it costs %v on its page and %v beside another, by row %v", own.GetProduct().GetPrice(), beside.GetRelated()[0].GetPrice(), byRow)
	}
	events := sqldbtest.Texts(t, s.deps.DB, "SELECT subject FROM outbox")
	if len(events) != 2 || events[0] != SubjectRebuilt {
		t.Errorf("the cells are told %v", events)
	}
}

// Whoever reads a product's price first and writes last must not undo what was written meanwhile.
func TestOfTwoWhoMakeAPageAtOnceTheOneThatReadLastRemains(t *testing.T) {
	s := newShelf(t)
	s.of.between = func() {
		s.of.between = nil
		s.of.price("LAMP", 150)
		must(t, s.Rebuild(t.Context(), "LAMP"))
	}
	must(t, s.Rebuild(t.Context(), "LAMP"))
	if page, _ := s.page(t, "LAMP"); page.GetProduct().GetPrice().GetMinorUnits() != 150 {
		t.Errorf("the page says %v", page.GetProduct().GetPrice())
	}
	if told := sqldbtest.Texts(t, s.deps.DB, "SELECT subject FROM outbox"); len(told) != 1 {
		t.Errorf("the cells are told %d times", len(told))
	}
}

func TestAPageThatLacksSomethingIsShownAndNotKept(t *testing.T) {
	s := newShelf(t)
	s.of.away = problem.New(problem.Unavailable, "AWAY", "reviews are away")
	if page, _ := s.page(t, "LAMP"); page.GetProduct().GetSku() != "LAMP" {
		t.Errorf("it shows %v", page)
	}
	if err := s.Rebuild(t.Context(), "LAMP"); !errors.Is(err, s.of.away) {
		t.Errorf("the row is made of less: %v", err)
	}
	if _, byRow := s.page(t, "LAMP"); byRow {
		t.Error("it is kept without its reviews")
	}
}

func TestWhatIsLookedAtGetsARowAndAnOldOneIsMadeAnew(t *testing.T) {
	s := newShelf(t)
	ctx, stop := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	defer wg.Wait()
	defer stop()
	committed := make(chan struct{}, 10)
	s.deps.Committed = func() { committed <- struct{}{} }
	wg.Go(func() { s.Run(ctx) })
	s.page(t, "LAMP")
	<-committed
	s.clock.Advance(rowLife)
	if _, byRow := s.page(t, "LAMP"); !byRow || len(s.wanted) > 0 {
		t.Error("a row is old before its time")
	}
	s.of.price("LAMP", 175)
	s.clock.Advance(time.Second)
	if page, _ := s.page(t, "LAMP"); page.GetProduct().GetPrice().GetMinorUnits() != 100 {
		t.Error("whoever meets an old row waits for a new one")
	}
	<-committed
	if page, byRow := s.page(t, "LAMP"); page.GetProduct().GetPrice().GetMinorUnits() != 175 || !byRow {
		t.Errorf("the row is %v", page)
	}
}

func TestThePagesThatAreWantedAreBounded(t *testing.T) {
	s := newShelf(t)
	for range maxWanted + 10 {
		s.want("LAMP")
	}
	if len(s.wanted) != maxWanted {
		t.Errorf("%d wait", len(s.wanted))
	}
}

// However prices change and rows are made, in whatever order: once the last change's row is made, every page has it.
func TestRowsConverge(t *testing.T) {
	s := newShelf(t)
	skus := []string{"LAMP", "SHADE", "BULB"}
	rapid.Check(t, func(r *rapid.T) {
		for range rapid.IntRange(1, 4).Draw(r, "changes") {
			sku := rapid.SampledFrom(skus).Draw(r, "sku")
			s.of.price(sku, rapid.Int64Range(1, 1000).Draw(r, "price"))
			if rapid.Bool().Draw(r, "made") {
				must(t, s.Rebuild(t.Context(), rapid.SampledFrom(skus).Draw(r, "another")))
			}
			must(t, s.Rebuild(t.Context(), sku))
		}
		for _, sku := range skus {
			page, err := s.Page(t.Context(), sku)
			must(t, err)
			shown := append(slices.Clone(page.GetRelated()), page.GetAlsoBought()...)
			for _, c := range append(shown, packCard(page.GetProduct(), nil, nil)) {
				if c.GetPrice().GetMinorUnits() != s.of.prices[c.GetSku()] {
					r.Fatalf("%s shows %s for %v, it is %d", sku, c.GetSku(), c.GetPrice(), s.of.prices[c.GetSku()])
				}
			}
		}
	})
}

func TestAPageInMemoryIsForgottenWhenItsRowIsMadeAnew(t *testing.T) {
	s, rows := newShop(t), newShelf(t)
	s.deps.Pages = rows
	must(t, rows.Rebuild(t.Context(), "LAMP"))
	shows := func(text string) bool { return strings.Contains(s.get("/p/LAMP").Body.String(), text) }
	if !shows("$1.00") {
		t.Fatal("it does not cost a dollar")
	}
	rows.of.price("LAMP", 7700)
	must(t, rows.Rebuild(t.Context(), "LAMP"))
	if shows("$77.00") {
		t.Error("each page is a look-up")
	}
	payload, err := proto.Marshal(&storefrontv1.PagesRebuilt{Skus: []string{"SHADE", "LAMP"}})
	must(t, err)
	must(t, s.Rebuilt(t.Context(), payload))
	if !shows("$77.00") {
		t.Error("the old page is shown")
	}
}
