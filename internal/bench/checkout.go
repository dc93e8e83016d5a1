package bench

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"connectrpc.com/connect"

	cartv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/cart/v1"
	"github.com/cellar-commerce/cellar/internal/gen/cellar/cart/v1/cartv1connect"
	checkoutv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/checkout/v1"
	"github.com/cellar-commerce/cellar/internal/gen/cellar/checkout/v1/checkoutv1connect"
	postalv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/postal/v1"
	"github.com/cellar-commerce/cellar/internal/ident"
	"github.com/cellar-commerce/cellar/internal/opening"
	"github.com/cellar-commerce/cellar/internal/platform"
	"github.com/cellar-commerce/cellar/internal/seed"
	"github.com/cellar-commerce/cellar/internal/session"
	"github.com/cellar-commerce/cellar/internal/sqldb"
)

// CheckoutConfig of the bench of the whole placement.
type CheckoutConfig struct {
	// Seconds that orders are placed for.
	Seconds float64
	// Shoppers at once.
	Shoppers int
	// BinDir has the platform's programs.
	BinDir string
	// PortOffset of the private platform.
	PortOffset int
	// CellsPerRegion of the private platform; 0 means the usual number of the local platform.
	CellsPerRegion int
	// Rate is how many carts a second are filled beforehand: more than can be ordered.
	Rate int
	// PlacementsOnly leaves out the comparison of an order's commit.
	PlacementsOnly bool
	// Progress is told what is measured now; may be nil.
	Progress func(string)
}

const (
	// checkoutProducts in the private catalogue.
	checkoutProducts = 2000
	// checkoutLines in a cart at most.
	checkoutLines = 3
	// handlingTime in the fulfilment centres: there, people take hours; what they do afterwards is not part of a placement.
	handlingTime = "1h"
	// poolSize of a cell: on two cores more connections only wait for each other.
	poolSize = "3"
	// checkoutCores of each program: nobody has a password hashed, and threads that look for work cost orders.
	checkoutCores = 1
	// checkoutSeed of catalogue, stock and carts.
	checkoutSeed = 1
)

// Checkout measures whole placements, from the request for a quote to PAID, through the router of a private platform whose
// every part is a process on this machine; and the commit of an order against the same order statement by statement.
func Checkout(ctx context.Context, cfg CheckoutConfig) (r Report, err error) {
	begun := time.Now()
	dir, remove, err := scratch()
	if err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, remove()) }()
	b := &checkoutBench{cfg: cfg, report: Report{Name: "checkout", Machine: machine(), Ratios: map[string]float64{}, Goals: map[string]Goal{}}}
	b.say("starting a platform with %d products", checkoutProducts)
	p, err := platform.Start(ctx, platform.Config{
		Dir: filepath.Join(dir, "platform"), BinDir: cfg.BinDir, PortOffset: cfg.PortOffset, Cores: checkoutCores, CellsPerRegion: cfg.CellsPerRegion, Fill: b.fill, CellFlags: []string{"--handling-time", handlingTime, "--pool-size", poolSize},
	})
	if err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, p.Stop()) }()
	b.router = "http://" + p.Layout().Routers[0].Listen
	if b.meter, err = newMeter(ctx, p); err != nil {
		return r, err
	}
	defer b.meter.close()
	if err := b.measure(ctx); err != nil {
		return r, err
	}
	if !cfg.PlacementsOnly {
		if err := b.commits(ctx, p.DatabaseURL()); err != nil {
			return r, err
		}
	}
	b.report.Seconds = time.Since(begun).Seconds()
	return b.report, nil
}

type checkoutBench struct {
	cfg    CheckoutConfig
	router string
	meter  *meter
	skus   []string
	carts  cartv1connect.CartServiceClient
	report Report
}

func (b *checkoutBench) say(format string, args ...any) {
	if b.cfg.Progress != nil {
		b.cfg.Progress(fmt.Sprintf(format, args...))
	}
}

func (b *checkoutBench) fill(ctx context.Context, url string) error {
	for p := range seed.Products(checkoutProducts, checkoutSeed) {
		b.skus = append(b.skus, p.GetSku())
	}
	return opening.Fill(ctx, url, checkoutProducts, checkoutSeed)
}

// measure the orders of shoppers whose carts are full.
func (b *checkoutBench) measure(ctx context.Context) error {
	client := &http.Client{Timeout: 15 * time.Second, Transport: &http.Transport{MaxIdleConnsPerHost: b.cfg.Shoppers, IdleConnTimeout: time.Minute}}
	plain := connect.WithAcceptCompression("gzip", nil, nil)
	b.carts = cartv1connect.NewCartServiceClient(client, b.router, plain)
	carts := int(b.cfg.Seconds * float64(b.cfg.Rate))
	b.say("filling %d carts", carts)
	sessions := make([]string, carts)
	filled, took, err := b.each(ctx, carts, 0, func(ctx context.Context, _, n int) (err error) {
		sessions[n], err = b.fillCart(ctx, rand.New(rand.NewPCG(checkoutSeed, uint64(n))))
		return err
	})
	if err != nil {
		return fmt.Errorf("fill carts: %w", err)
	}
	b.report.Rows = append(b.report.Rows, row("fill a cart", b.cfg.Shoppers, "service", took, filled))
	resting, before, err := b.rest(ctx)
	if err != nil {
		return err
	}
	callers := make([]*unary, b.cfg.Shoppers)
	for i := range callers {
		if callers[i], err = dialUnary(ctx, strings.TrimPrefix(b.router, "http://")); err != nil {
			return err
		}
		defer func() { err = errors.Join(err, callers[i].close()) }()
	}
	b.say("ordering for %g s", b.cfg.Seconds)
	var refused atomic.Int64
	placed, took, err := b.each(ctx, carts, time.Duration(b.cfg.Seconds*float64(time.Second)), func(_ context.Context, shopper, n int) error {
		err := place(callers[shopper], sessions[n], n)
		if connect.CodeOf(err) == connect.CodeFailedPrecondition { // sold out
			refused.Add(1)
			return errRefused
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("order: %w", err)
	}
	after, err := b.settled(ctx)
	if err != nil {
		return err
	}
	b.report.Costs = costs(resting, before, after, len(placed))
	b.report.Ratios["cpu_ms_per_order"] = b.report.Costs[len(meteredParts)].CPUMS
	orders := row("quote to PAID", b.cfg.Shoppers, "service", took, placed)
	b.report.Rows = append(b.report.Rows, orders)
	b.say("%d orders were placed, %d refused", len(placed), refused.Load())
	b.report.Ratios["orders_per_second"], b.report.Goals["orders_per_second"] = orders.PerSecond, atLeast(556)
	b.report.Ratios["p99_ms"], b.report.Goals["p99_ms"] = orders.P99MS, atMost(100)
	return nil
}

const (
	// restFor is how long the platform is watched that has nothing to do, before it gets orders.
	restFor = 3 * time.Second
	// settleFor bounds the wait for what orders have left behind.
	settleFor = 10 * time.Second
)

// rest until what the carts have left is done, and watch what the platform takes by itself.
func (b *checkoutBench) rest(ctx context.Context) (begun, ended reading, err error) {
	if begun, err = b.settled(ctx); err != nil {
		return begun, begun, err
	}
	b.say("watching the platform rest for %s", restFor)
	select {
	case <-ctx.Done():
		return begun, begun, ctx.Err()
	case <-time.After(restFor):
	}
	ended, err = b.meter.read(ctx)
	return begun, ended, err
}

// What follows an order belongs to its cost: its events are published, and its parcels are known where they are packed.
var (
	stmtEventsLeft = sqldb.Define(sqldb.Customer, "bench.events_left", `
SELECT count(*)
FROM outbox
WHERE published_at IS NULL`)

	stmtEventsSent = sqldb.Define(sqldb.Customer, "bench.events_sent", `
SELECT count(*)
FROM outbox
WHERE subject LIKE 'fulfillment.%'`)

	stmtParcels = sqldb.Define(sqldb.Regional, "bench.parcels", `
SELECT count(*)
FROM shipments`)
)

// settled waits for the events of orders to arrive, and reads the meter.
func (b *checkoutBench) settled(ctx context.Context) (reading, error) {
	deadline := time.Now().Add(settleFor)
	for {
		left, sent, parcels, err := b.meter.events(ctx)
		if err != nil {
			return reading{}, err
		}
		if (left == 0 && sent == parcels) || time.Now().After(deadline) {
			if left > 0 || sent > parcels {
				b.say("%d events are still unpublished, and %d parcels unknown, after %s", left, sent-parcels, settleFor)
			}
			return b.meter.read(ctx)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// errRefused: the shop said no for a good reason; the time it took does not count.
var errRefused = errors.New("refused")

// each of n tasks by all shoppers, until they are done or the time is over; 0 is no limit. The first failure ends it.
func (b *checkoutBench) each(ctx context.Context, n int, limit time.Duration, task func(ctx context.Context, shopper, n int) error) ([]time.Duration, time.Duration, error) {
	var next atomic.Int64
	var mu sync.Mutex
	var all []time.Duration
	var first error
	var wg sync.WaitGroup
	begun := time.Now()
	for shopper := range b.cfg.Shoppers {
		wg.Go(func() {
			for ctx.Err() == nil && (limit == 0 || time.Since(begun) < limit) {
				i := int(next.Add(1)) - 1
				if i >= n {
					return
				}
				start := time.Now()
				err := task(ctx, shopper, i)
				took := time.Since(start)
				if errors.Is(err, errRefused) {
					continue
				}
				mu.Lock()
				if err == nil {
					all = append(all, took)
				} else if first == nil {
					first = err
				}
				failed := first != nil
				mu.Unlock()
				if failed {
					return
				}
			}
		})
	}
	wg.Wait()
	return all, time.Since(begun), errors.Join(first, ctx.Err())
}

// fillCart of a new guest; gives the session.
func (b *checkoutBench) fillCart(ctx context.Context, random *rand.Rand) (token string, err error) {
	for range 1 + random.IntN(checkoutLines) {
		call, info := connect.NewClientContext(ctx)
		if token != "" {
			info.RequestHeader().Set("Authorization", "Bearer "+token)
		}
		if _, err := b.carts.AddItem(call, &cartv1.AddItemRequest{Sku: b.skus[random.IntN(len(b.skus))], Quantity: 1}); err != nil {
			return "", err
		}
		if fresh := info.ResponseHeader().Get(session.Header); fresh != "" {
			token = fresh
		}
	}
	return token, nil
}

// place an order of what is in a session's cart.
func place(shopper *unary, token string, n int) error {
	var quote checkoutv1.QuoteResponse
	err := shopper.call(checkoutv1connect.CheckoutServiceQuoteProcedure, token, "", &checkoutv1.QuoteRequest{Destination: &checkoutv1.QuoteRequest_Address{Address: checkoutAddresses[n%len(checkoutAddresses)]}}, &quote)
	if err != nil {
		return fmt.Errorf("quote: %w", err)
	}
	var placed checkoutv1.PlaceOrderResponse
	err = shopper.call(checkoutv1connect.CheckoutServicePlaceOrderProcedure, token, ident.NewToken(), &checkoutv1.PlaceOrderRequest{QuoteToken: quote.GetQuoteToken(), Payment: &checkoutv1.PlaceOrderRequest_CardToken{CardToken: "tok_visa"}}, &placed)
	if err != nil {
		return fmt.Errorf("place: %w", err)
	}
	if placed.GetOrder().GetOrderId() == "" {
		return errors.New("place: the answer has no order")
	}
	return nil
}

// checkoutAddresses all over the United States.
var checkoutAddresses = []*postalv1.PostalAddress{
	{Recipient: "A Shopper", Lines: []string{"1 Main St"}, Locality: "New York", AdministrativeArea: "NY", PostalCode: "10001", RegionCode: "US"},
	{Recipient: "A Shopper", Lines: []string{"1 Main St"}, Locality: "Chicago", AdministrativeArea: "IL", PostalCode: "60601", RegionCode: "US"},
	{Recipient: "A Shopper", Lines: []string{"1 Main St"}, Locality: "Houston", AdministrativeArea: "TX", PostalCode: "77001", RegionCode: "US"},
	{Recipient: "A Shopper", Lines: []string{"1 Main St"}, Locality: "Seattle", AdministrativeArea: "WA", PostalCode: "98101", RegionCode: "US"},
	{Recipient: "A Shopper", Lines: []string{"1 Main St"}, Locality: "Miami", AdministrativeArea: "FL", PostalCode: "33101", RegionCode: "US"},
}
