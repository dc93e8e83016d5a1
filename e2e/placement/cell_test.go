package placement

import (
	"bytes"
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"connectrpc.com/connect"

	"github.com/cellar-commerce/cellar/internal/gen/cellar/checkout/v1/checkoutv1connect"
	"github.com/cellar-commerce/cellar/internal/ident"
	"github.com/cellar-commerce/cellar/internal/postal"
	"github.com/cellar-commerce/cellar/internal/rpc"
	"github.com/cellar-commerce/cellar/internal/session"
	"github.com/cellar-commerce/cellar/internal/tax"
	"github.com/cellar-commerce/cellar/services/cart"
	"github.com/cellar-commerce/cellar/services/checkout"
	"github.com/cellar-commerce/cellar/services/order"
	"github.com/cellar-commerce/cellar/services/payment"
)

// cell of a world, with faults of its own. Everything that it writes passes them.
type cell struct {
	*world
	faults   *faults
	carts    *cart.Service
	orders   *order.Service
	payments *payment.Service
	checkout *checkout.Service
	client   checkoutv1connect.CheckoutServiceClient
	server   *httptest.Server
}

// quoteKey is the same in every cell.
var quoteKey = bytes.Repeat([]byte("q"), 32)

var giftCardKey = bytes.Repeat([]byte("g"), 32)

// cell that serves until the test ends.
func (w *world) cell(t *testing.T, name string) *cell {
	t.Helper()
	c := w.start(t, name)
	t.Cleanup(c.stop)
	return c
}

// start a cell; the caller stops it.
func (w *world) start(t reporter, name string, settings ...func(*checkout.Deps)) *cell {
	t.Helper()
	f := &faults{}
	c := &cell{world: w, faults: f}
	fenced, log := faultyFence{w.fence, f}, slog.New(slog.DiscardHandler)
	c.carts = cart.New(cart.Deps{DB: w.customers, Fence: fenced, Products: w.catalog, Clock: w.clock})
	c.orders = order.New(order.Deps{DB: w.customers, Fence: fenced, Clock: w.clock})
	c.payments = payment.New(payment.Deps{DB: w.customers, Fence: fenced, Provider: faultyNetwork{w.network, f}, GiftCardKey: giftCardKey, Clock: w.clock})
	stock := map[ident.Region]checkout.Stock{}
	for _, region := range ident.Regions() {
		stock[region] = faultyStock{w.stock[region], f, func() error { return w.reach(region) }}
	}
	var err error
	deps := checkout.Deps{
		DB: w.customers, Global: w.global, Fence: fenced, Clock: w.clock, Log: log, Tax: tax.None{}, PrimaryRegion: here, Accounts: w.accounts, Carts: faultyCarts{c.carts, f},
		Products: faultyProducts{w.catalog, f}, Planner: faultyPlanner{w.planner, f}, Stock: stock, Payments: faultyPayments{c.payments, f},
		Orders: faultyOrders{c.orders, f}, ValidateAddress: postal.Validate, QuoteKey: quoteKey, Cell: name, Rings: everything,
	}
	for _, set := range settings {
		set(&deps)
	}
	c.checkout, err = checkout.New(deps)
	must(t, err)
	mux := http.NewServeMux()
	mux.Handle(checkoutv1connect.NewCheckoutServiceHandler(c.checkout, rpc.HandlerOptions(log, nobody{})...))
	c.server = httptest.NewServer(authenticated(mux))
	c.client = checkoutv1connect.NewCheckoutServiceClient(c.server.Client(), c.server.URL, connect.WithInterceptors(connect.UnaryInterceptorFunc(introduce)))
	return c
}

func (c *cell) stop() {
	c.checkout.Drain()
	c.server.Close()
}

// nobody observes.
type nobody struct{}

func (nobody) CallEnded(string, string, time.Duration) {}

// everything is owned, by whoever sweeps.
func everything() (rings []ident.Region, version uint64) { return []ident.Region{here}, 1 }

// customerHeader says who asks; the middleware of a cell reads a session token instead.
const customerHeader = "Test-Customer"

func authenticated(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if id, err := ident.Parse(r.Header.Get(customerHeader)); err == nil {
			r = r.WithContext(session.With(r.Context(), session.Principal{CustomerID: id}))
		}
		next.ServeHTTP(w, r)
	})
}

// introduce puts the context's principal into a request.
func introduce(next connect.UnaryFunc) connect.UnaryFunc {
	return func(ctx context.Context, req connect.AnyRequest) (connect.AnyResponse, error) {
		if p, ok := session.From(ctx); ok {
			req.Header().Set(customerHeader, string(p.CustomerID))
		}
		return next(ctx, req)
	}
}
