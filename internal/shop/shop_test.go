package shop

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"connectrpc.com/connect"

	cartv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/cart/v1"
	"github.com/cellar-commerce/cellar/internal/gen/cellar/cart/v1/cartv1connect"
	checkoutv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/checkout/v1"
	"github.com/cellar-commerce/cellar/internal/gen/cellar/checkout/v1/checkoutv1connect"
	orderv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/order/v1"
	"github.com/cellar-commerce/cellar/internal/problem"
	"github.com/cellar-commerce/cellar/internal/rpc"
	"github.com/cellar-commerce/cellar/internal/telemetry"
	"log/slog"
)

func TestQuantilesAreThoseOfTheNearestRank(t *testing.T) {
	var times []time.Duration
	for i := range 100 {
		times = append(times, time.Duration(i+1)*time.Millisecond)
	}
	for q, want := range map[float64]float64{0: 1, .5: 50, .9: 90, .99: 99, 1: 100} {
		if got := quantile(times, q); got != want {
			t.Errorf("quantile %v is %v, want %v", q, got, want)
		}
	}
	if got := quantile(times[:1], .99); got != 1 {
		t.Errorf("of one it is %v", got)
	}
}

func TestOnlyWhatAShopMayAnswerIsClean(t *testing.T) {
	for _, c := range []struct {
		report Report
		clean  bool
	}{
		{Report{Outcomes: map[string]int{Placed: 9, "OUT_OF_STOCK": 1, "PAYMENT_DECLINED": 1}}, true},
		{Report{Outcomes: map[string]int{Placed: 9, Unresolved: 1}}, false},
		{Report{Outcomes: map[string]int{Placed: 9, "INTERNAL": 1}}, false},
		{Report{Outcomes: map[string]int{Placed: 9}, Faults: []string{"a parcel is late"}}, false},
		{Report{Outcomes: map[string]int{Placed: 9}, Canceled: map[string]int{CanceledWhole: 1, CanceledPart: 1, tooLate: 1}}, true},
		{Report{Outcomes: map[string]int{Placed: 9}, Canceled: map[string]int{"INTERNAL": 1}}, false},
		{Report{Outcomes: map[string]int{Placed: 9}, Canceled: map[string]int{Unresolved: 1}}, false},
		{Report{Outcomes: map[string]int{Placed: 9}, Sale: &Sale{Units: 9}}, true},
		{Report{Outcomes: map[string]int{Placed: 8}, Sale: &Sale{Units: 9}}, false},
		{Report{Outcomes: map[string]int{Placed: 10}, Sale: &Sale{Units: 9}}, false},
	} {
		if c.report.Clean() != c.clean {
			t.Errorf("%+v is clean: %v", c.report, !c.clean)
		}
	}
}

// booth is a shop with one product and few units. It may lose answers, after the order is placed or before.
type booth struct {
	cartv1connect.UnimplementedCartServiceHandler
	checkoutv1connect.UnimplementedCheckoutServiceHandler

	mu       sync.Mutex
	units    int
	placed   map[string]string // orders by key
	lose     func(try int) bool
	tries    int
	forgetIt bool // it does not place what it loses
	early    bool // it tells at the quote that there is no more
}

func (b *booth) AddItem(context.Context, *cartv1.AddItemRequest) (*cartv1.AddItemResponse, error) {
	return &cartv1.AddItemResponse{}, nil
}

func (b *booth) Quote(context.Context, *checkoutv1.QuoteRequest) (*checkoutv1.QuoteResponse, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.early && b.units == 0 {
		return nil, problem.New(problem.Precondition, "OUT_OF_STOCK", "there is no more")
	}
	return &checkoutv1.QuoteResponse{QuoteToken: "q"}, nil
}

func (b *booth) PlaceOrder(ctx context.Context, _ *checkoutv1.PlaceOrderRequest) (*checkoutv1.PlaceOrderResponse, error) {
	info, _ := connect.CallInfoForHandlerContext(ctx)
	key := info.RequestHeader().Get("Idempotency-Key")
	b.mu.Lock()
	defer b.mu.Unlock()
	b.tries++
	lost := b.lose != nil && b.lose(b.tries)
	if b.placed[key] == "" && (!lost || !b.forgetIt) {
		if b.units == 0 {
			return nil, problem.New(problem.Precondition, "OUT_OF_STOCK", "there is no more")
		}
		b.units--
		b.placed[key] = "order-" + key
	}
	if lost {
		return nil, problem.New(problem.Unavailable, "LOST", "played by a test")
	}
	return &checkoutv1.PlaceOrderResponse{Order: &orderv1.Order{OrderId: b.placed[key]}}, nil
}

func (b *booth) GetCheckout(_ context.Context, req *checkoutv1.GetCheckoutRequest) (*checkoutv1.GetCheckoutResponse, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	id := b.placed[req.GetIdempotencyKey()]
	if id == "" {
		return nil, problem.New(problem.NotFound, "UNKNOWN_CHECKOUT", "nobody has asked for it")
	}
	return &checkoutv1.GetCheckoutResponse{State: checkoutv1.State_STATE_PLACED, OrderId: id}, nil
}

func (b *booth) open(t *testing.T) string {
	t.Helper()
	mux, options := http.NewServeMux(), connect.WithHandlerOptions(rpc.HandlerOptions(slog.New(slog.DiscardHandler), telemetry.NewMetrics(nil))...)
	mux.Handle(cartv1connect.NewCartServiceHandler(b, options))
	mux.Handle(checkoutv1connect.NewCheckoutServiceHandler(b, options))
	s := httptest.NewServer(mux)
	t.Cleanup(s.Close)
	return s.URL
}

func TestASaleEndsWhenAllShoppersHaveHeardThatItIsOver(t *testing.T) {
	for _, early := range []bool{false, true} {
		b := &booth{units: 30, placed: map[string]string{}, early: early}
		r, err := Run(t.Context(), Config{Routers: []string{b.open(t)}, Shoppers: 7, Sale: &Sale{SKU: "S", Units: 30}})
		if err != nil || !r.Clean() || r.Outcomes[Placed] != 30 || r.Outcomes["OUT_OF_STOCK"] != 7 || r.Orders != 37 {
			t.Errorf("told at the quote: %v: %+v, %v", early, r, err)
		}
	}
}

func TestALostAnswerIsAskedForUnderItsKey(t *testing.T) {
	// Each order takes two tries; the last, for which there is nothing left, hears so at once unless that is lost too.
	for forget, tries := range map[bool]int{false: 7, true: 8} {
		b := &booth{units: 3, placed: map[string]string{}, forgetIt: forget, lose: func(try int) bool { return try%2 == 1 }}
		r, err := Run(t.Context(), Config{Routers: []string{b.open(t)}, Shoppers: 1, Sale: &Sale{SKU: "S", Units: 3}})
		if err != nil || !r.Clean() || len(b.placed) != 3 || b.tries != tries {
			t.Errorf("forgotten %v: %+v, %v; %d tries", forget, r, err, b.tries)
		}
	}
}

func TestAnOrderThatWasNeverAnsweredIsResolvedByItsKey(t *testing.T) {
	b := &booth{units: 1, placed: map[string]string{}, lose: func(try int) bool { return try <= placeTries }}
	r, err := Run(t.Context(), Config{Routers: []string{b.open(t)}, Shoppers: 1, Sale: &Sale{SKU: "S", Units: 1}})
	if err != nil || !r.Clean() || b.tries != placeTries+1 {
		t.Errorf("%+v, %v; %d tries", r, err, b.tries)
	}
	// It is sent again when nothing has become of it.
	b = &booth{units: 1, placed: map[string]string{}, forgetIt: true, lose: func(try int) bool { return try <= 2*placeTries }}
	r, err = Run(t.Context(), Config{Routers: []string{b.open(t)}, Shoppers: 1, Sale: &Sale{SKU: "S", Units: 1}})
	if err != nil || !r.Clean() || r.Outcomes[Placed] != 1 {
		t.Errorf("%+v, %v", r, err)
	}
	b = &booth{units: 1, placed: map[string]string{}, forgetIt: true, lose: func(int) bool { return true }}
	r, err = Run(t.Context(), Config{Routers: []string{b.open(t)}, Shoppers: 1, Sale: &Sale{SKU: "S", Units: 1}, Patience: 2 * time.Second})
	if err != nil || r.Clean() || r.Outcomes[neverBegan]+r.Outcomes[Unresolved] != 1 {
		t.Errorf("%+v, %v", r, err)
	}
}

func TestAPlayEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	b := &booth{units: 1 << 40, placed: map[string]string{}, lose: func(try int) bool {
		if try == 20 {
			cancel()
		}
		return false
	}}
	if _, err := Run(ctx, Config{Routers: []string{b.open(t)}, Shoppers: 2, Sale: &Sale{SKU: "S", Units: 1}}); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

func TestAPlayNeedsARouterAShopperAndAnOrder(t *testing.T) {
	for _, cfg := range []Config{{Shoppers: 1, Orders: 1}, {Routers: []string{"http://x"}, Orders: 1}, {Routers: []string{"http://x"}, Shoppers: 1}} {
		if _, err := Run(t.Context(), cfg); err == nil || !strings.Contains(err.Error(), "it takes") {
			t.Errorf("%+v: %v", cfg, err)
		}
	}
}
