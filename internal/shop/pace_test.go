package shop

import (
	"context"
	"log/slog"
	"math"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"connectrpc.com/connect"

	"github.com/cellar-commerce/cellar/internal/clock"
	accountv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/account/v1"
	"github.com/cellar-commerce/cellar/internal/gen/cellar/account/v1/accountv1connect"
	"github.com/cellar-commerce/cellar/internal/gen/cellar/cart/v1/cartv1connect"
	catalogv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/catalog/v1"
	"github.com/cellar-commerce/cellar/internal/gen/cellar/catalog/v1/catalogv1connect"
	"github.com/cellar-commerce/cellar/internal/gen/cellar/checkout/v1/checkoutv1connect"
	orderv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/order/v1"
	"github.com/cellar-commerce/cellar/internal/gen/cellar/order/v1/orderv1connect"
	searchv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/search/v1"
	"github.com/cellar-commerce/cellar/internal/gen/cellar/search/v1/searchv1connect"
	"github.com/cellar-commerce/cellar/internal/rpc"
	"github.com/cellar-commerce/cellar/internal/telemetry"
)

// mall has all that a visit takes, with goods without end; each search asks the test first, unless that has nothing to say.
type mall struct {
	booth
	accountv1connect.UnimplementedAccountServiceHandler
	catalogv1connect.UnimplementedCatalogServiceHandler
	searchv1connect.UnimplementedSearchServiceHandler
	orderv1connect.UnimplementedOrderServiceHandler
	first func()
}

func (m *mall) SignUp(context.Context, *accountv1.SignUpRequest) (*accountv1.SignUpResponse, error) {
	return &accountv1.SignUpResponse{}, nil
}

func (m *mall) ListCategories(context.Context, *catalogv1.ListCategoriesRequest) (*catalogv1.ListCategoriesResponse, error) {
	return &catalogv1.ListCategoriesResponse{Categories: []*catalogv1.Category{{Path: "Things"}}}, nil
}

func (m *mall) BrowseCategory(context.Context, *catalogv1.BrowseCategoryRequest) (*catalogv1.BrowseCategoryResponse, error) {
	return &catalogv1.BrowseCategoryResponse{}, nil
}

func (m *mall) Search(context.Context, *searchv1.SearchRequest) (*searchv1.SearchResponse, error) {
	if m.first != nil {
		m.first()
	}
	return &searchv1.SearchResponse{Hits: []*searchv1.Hit{{Sku: "S"}}}, nil
}

func (m *mall) CancelOrder(context.Context, *orderv1.CancelOrderRequest) (*orderv1.CancelOrderResponse, error) {
	return &orderv1.CancelOrderResponse{}, nil
}

func (m *mall) open(t *testing.T) string {
	t.Helper()
	m.units, m.placed = math.MaxInt, map[string]string{}
	mux, options := http.NewServeMux(), connect.WithHandlerOptions(rpc.HandlerOptions(slog.New(slog.DiscardHandler), telemetry.NewMetrics(nil))...)
	mux.Handle(accountv1connect.NewAccountServiceHandler(m, options))
	mux.Handle(catalogv1connect.NewCatalogServiceHandler(m, options))
	mux.Handle(searchv1connect.NewSearchServiceHandler(m, options))
	mux.Handle(cartv1connect.NewCartServiceHandler(m, options))
	mux.Handle(checkoutv1connect.NewCheckoutServiceHandler(m, options))
	mux.Handle(orderv1connect.NewOrderServiceHandler(m, options))
	s := httptest.NewServer(mux)
	t.Cleanup(s.Close)
	return s.URL
}

var opened = time.Date(2031, 5, 4, 12, 0, 0, 0, time.UTC)

// played runs a play beside the test.
func played(ctx context.Context, cfg Config) func() (Report, error) {
	type end struct {
		report Report
		err    error
	}
	ended := make(chan end, 1)
	go func() {
		r, err := Run(ctx, cfg)
		ended <- end{r, err}
	}()
	return func() (Report, error) { e := <-ended; return e.report, e.err }
}

func TestOrdersComeAtTheRateAndIndependentlyOfEachOther(t *testing.T) {
	const n, rate = 20_000, 18.5
	times := func(seed uint64) (all []float64) {
		p := newPace(clock.NewManual(opened), rate, seed)
		for last := opened; len(all) < n; {
			due := p.due()
			all, last = append(all, due.Sub(last).Seconds()), due
		}
		return all
	}
	gaps, mean, square := times(1), 0.0, 0.0
	for _, gap := range gaps {
		mean += gap / n
		square += gap * gap / n
	}
	if deviation := math.Sqrt(square - mean*mean); math.Abs(mean*rate-1) > .03 || math.Abs(deviation/mean-1) > .03 {
		t.Errorf("gaps of %v on average, with a deviation of %v; of a Poisson process both are %v", mean, deviation, 1/rate)
	}
	if again, other := times(1), times(2); again[n-1] != gaps[n-1] || other[n-1] == gaps[n-1] {
		t.Error("a seed gives the same times, another seed others")
	}
}

func TestShoppersKeepToTheRate(t *testing.T) {
	const shoppers, seconds, rate = 4, 60, 5
	m, now, stop := &mall{}, clock.NewManual(opened), make(chan struct{})
	end := played(t.Context(), Config{Routers: []string{m.open(t)}, Shoppers: shoppers, Orders: math.MaxInt32, Rate: rate, Seed: 7, Stop: stop, Clock: now})
	for range seconds {
		if err := now.AwaitSleepers(t.Context(), shoppers); err != nil {
			t.Fatal(err)
		}
		now.Advance(time.Second)
	}
	if err := now.AwaitSleepers(t.Context(), shoppers); err != nil {
		t.Fatal(err)
	}
	close(stop) // while all of them wait
	r, err := end()
	want := 0
	for p := newPace(clock.NewManual(opened), rate, 7); !p.due().After(now.Now()); {
		want++
	}
	if err != nil || !r.Clean() || r.Outcomes[Placed] != want || r.Orders != want || r.Pace.Rate != rate {
		t.Errorf("%d orders were due: %+v, %v", want, r, err)
	}
}

func TestWhatNobodyIsFreeForIsBegunLateAndTimedFromWhenItWasDue(t *testing.T) {
	const orders, hung = 30, 20 * time.Second
	come, let := make(chan struct{}), make(chan struct{})
	m, now, once := &mall{}, clock.NewManual(opened), false
	m.first = func() {
		if !once { // of the one shopper
			once = true
			close(come)
			<-let
		}
	}
	end := played(t.Context(), Config{Routers: []string{m.open(t)}, Shoppers: 1, Orders: orders, Rate: 5, Seed: 7, Clock: now})
	if err := now.AwaitSleepers(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	dues := newPace(clock.NewManual(opened), 5, 7)
	first := dues.due().Sub(opened)
	now.Advance(first)
	<-come
	now.Advance(hung) // by then all are due
	close(let)
	r, err := end()
	latest := hung - dues.due().Sub(opened) + first // the second
	if err != nil || !r.Clean() || r.Orders != orders || r.Pace.Late != orders-1 || math.Abs(r.Pace.Max-ms(latest)) > 1 {
		t.Errorf("%+v, %v; the latest is late by %s: %+v", r, err, latest, r.Pace)
	}
	for _, c := range r.Calls {
		if c.Call == visiting && (c.Count != orders || c.Max != ms(hung) || c.P50 < ms(hung)/2) {
			t.Errorf("from when they were due: %+v", c)
		}
	}
}

func TestARateIsNoneOfASale(t *testing.T) {
	for _, cfg := range []Config{{Rate: -1, Orders: 1}, {Rate: 1, Sale: &Sale{}}} {
		cfg.Routers, cfg.Shoppers = []string{"http://x"}, 1
		if _, err := Run(t.Context(), cfg); err == nil {
			t.Errorf("%+v is played", cfg)
		}
	}
}
