package placement

import (
	"bytes"
	"context"
	"log/slog"
	"net/http/httptest"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/cellar-commerce/cellar/internal/cardnetwork"
	"github.com/cellar-commerce/cellar/internal/clock"
	"github.com/cellar-commerce/cellar/internal/fence"
	"github.com/cellar-commerce/cellar/internal/fence/fencetest"
	accountv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/account/v1"
	catalogv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/catalog/v1"
	inventoryv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/inventory/v1"
	"github.com/cellar-commerce/cellar/internal/geo"
	"github.com/cellar-commerce/cellar/internal/ident"
	"github.com/cellar-commerce/cellar/internal/money"
	"github.com/cellar-commerce/cellar/internal/sandbox"
	"github.com/cellar-commerce/cellar/internal/session"
	"github.com/cellar-commerce/cellar/internal/sqldb"
	"github.com/cellar-commerce/cellar/internal/sqldb/sqldbtest"
	"github.com/cellar-commerce/cellar/services/account"
	"github.com/cellar-commerce/cellar/services/cart"
	"github.com/cellar-commerce/cellar/services/catalog"
	"github.com/cellar-commerce/cellar/services/fulfillment"
	"github.com/cellar-commerce/cellar/services/inventory"
)

const here ident.Region = "us-east-1"

var opened = time.Date(2031, time.May, 4, 12, 0, 0, 0, time.UTC)

// centers from the nearest to New York, where everybody lives, to the farthest.
var centers = []fulfillment.Center{
	{ID: "ewr1", Region: "us-east-1", Name: "Newark", City: "Newark", CountryCode: "US", At: geo.Point{Lat: 40.7, Lon: -74.2}},
	{ID: "iad1", Region: "us-east-1", Name: "Ashburn", City: "Ashburn", CountryCode: "US", At: geo.Point{Lat: 39.0, Lon: -77.5}},
	{ID: "sea1", Region: "us-west-2", Name: "Seattle", City: "Seattle", CountryCode: "US", At: geo.Point{Lat: 47.6, Lon: -122.3}},
	{ID: "fra1", Region: "eu-central-1", Name: "Frankfurt", City: "Frankfurt", CountryCode: "DE", At: geo.Point{Lat: 50.1, Lon: 8.7}},
}

// world is everything that cells share: databases, a card network, and the stock of three regions.
type world struct {
	customers, regional, global *sqldb.DB
	clock                       *clock.Manual
	fence                       fence.Fence
	network                     *cardnetwork.Client
	catalog                     *catalog.Service
	accounts                    accounts
	stock                       map[ident.Region]*inventory.Service
	planner                     *fulfillment.Service

	mu   sync.Mutex
	away []ident.Region
}

// patience of the client of the network: long enough for every answer that comes, short enough to wait for one that
// never does.
const patience = time.Second

// uncompiled queries: those that look at everything seem so dear without sequential scans that PostgreSQL would compile
// each, which takes a hundred times longer than to run it.
func uncompiled(c *sqldb.Config) { c.RuntimeParams["jit"] = "off" }

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{
		customers: sqldbtest.New(t, sqldb.Customer, uncompiled), regional: sqldbtest.New(t, sqldb.Regional, uncompiled),
		global: sqldbtest.New(t, sqldb.Global, uncompiled), clock: clock.NewManual(opened), stock: map[ident.Region]*inventory.Service{},
	}
	w.fence = fencetest.Owner(w.customers, here)
	w.catalog = catalog.New(catalog.Deps{DB: w.global, Clock: w.clock, PrimaryRegion: here, Regions: ident.Regions()})
	listers := map[ident.Region]fulfillment.StockLister{}
	for _, region := range ident.Regions() {
		w.stock[region] = inventory.New(inventory.Deps{
			DB: w.regional, Region: region, Clock: w.clock, Log: slog.New(slog.DiscardHandler),
			Regions: ident.Regions(),
			FC:      func(ctx context.Context, id string) (ident.Region, bool) { return w.planner.FC(ctx, id) },
			Ordinal: func(ctx context.Context, id string) (int, bool) { return w.planner.Ordinal(ctx, id) },
			Swept:   func(ctx context.Context) []string { return w.centersOf(ctx, region) },
		})
		listers[region] = lister{w.stock[region], func() error { return w.reach(region) }}
	}
	w.planner = fulfillment.New(fulfillment.Deps{
		Global: w.global, Regional: w.regional, Region: here, Stock: listers, Summaries: w.stock[here], Shipper: w.stock[here], HandlingTime: time.Hour,
		Clock: w.clock, Log: slog.New(slog.DiscardHandler),
	})
	must(t, w.planner.OpenCenters(t.Context(), centers))
	w.accounts = sync.OnceValue(w.openAccounts)
	w.openNetwork(t)
	w.timeFlies(t)
	return w
}

func (w *world) centersOf(ctx context.Context, region ident.Region) (ids []string) {
	all, err := w.planner.Centers(ctx)
	if err != nil {
		return nil
	}
	for id, c := range all {
		if c.Region == string(region) {
			ids = append(ids, id)
		}
	}
	return ids
}

// accounts is made when it is first needed: it computes a password's hash then, which takes its time.
type accounts func() *account.Service

func (a accounts) ResolveAddress(ctx context.Context, q *accountv1.ResolveAddressRequest) (*accountv1.ResolveAddressResponse, error) {
	return a().ResolveAddress(ctx, q)
}

func (a accounts) ResolvePaymentMethod(ctx context.Context, q *accountv1.ResolvePaymentMethodRequest) (*accountv1.ResolvePaymentMethodResponse, error) {
	return a().ResolvePaymentMethod(ctx, q)
}

func (w *world) openAccounts() *account.Service {
	sessions, err := session.NewSigner(bytes.Repeat([]byte("s"), 32))
	if err != nil {
		panic(err)
	}
	return account.New(account.Deps{
		Customers: w.customers, Global: w.global, Fence: w.fence, Sessions: sessions, Clock: w.clock, Log: slog.New(slog.DiscardHandler),
		Carts: cart.New(cart.Deps{DB: w.customers, Fence: w.fence, Products: w.catalog, Clock: w.clock}),
	})
}

// openNetwork on a clock of its own, which stands still: answers that the network withholds stay withheld.
func (w *world) openNetwork(t *testing.T) {
	t.Helper()
	network, err := sandbox.NewCardNetwork(sandbox.Deps{Ledger: sandbox.NewMemoryLedger(), Clock: clock.NewManual(opened), Logger: slog.New(slog.DiscardHandler)})
	must(t, err)
	server := httptest.NewServer(network)
	t.Cleanup(server.Close)
	t.Cleanup(network.Drain) // runs first: Close waits for requests
	w.network, err = cardnetwork.New(cardnetwork.Config{BaseURL: server.URL, Timeout: patience})
	must(t, err)
}

// timeFlies advances the clock a little whenever somebody waits for it, until the test ends.
func (w *world) timeFlies(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		for w.clock.AwaitSleepers(ctx, 1) == nil {
			w.clock.Advance(200 * time.Millisecond)
		}
	}()
	t.Cleanup(func() { cancel(); <-done })
}

// lister of a region's stock, while it can be reached.
type lister struct {
	fulfillment.StockLister
	away func() error
}

func (l lister) ListStock(ctx context.Context, q *inventoryv1.ListStockRequest) (*inventoryv1.ListStockResponse, error) {
	if err := l.away(); err != nil {
		return nil, err
	}
	return l.StockLister.ListStock(ctx, q)
}

// cutOff regions, and nothing else.
func (w *world) cutOff(regions ...ident.Region) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.away = regions
}

func (w *world) reach(region ident.Region) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if slices.Contains(w.away, region) {
		return errAway
	}
	return nil
}

// product of a price in cents, that nobody has yet.
func (w *world) product(t reporter, cents int64) (sku string) {
	t.Helper()
	sku = "sku-" + ident.NewToken()
	_, err := w.catalog.UpsertProduct(context.Background(), &catalogv1.UpsertProductRequest{Product: &catalogv1.Product{
		Sku: sku, Title: "Kettle " + sku, CategoryPath: []string{"Home"}, Price: money.USD(cents).Proto(),
	}})
	must(t, err)
	return sku
}

func (w *world) reprice(t reporter, sku string, cents int64) {
	t.Helper()
	_, err := w.catalog.SetPrice(context.Background(), &catalogv1.SetPriceRequest{Sku: sku, Price: money.USD(cents).Proto()})
	must(t, err)
}

// discontinue a product: no cell sells it a moment later.
func (w *world) discontinue(t reporter, sku string) {
	t.Helper()
	must(t, w.global.ExecText(context.Background(), "DELETE FROM products WHERE sku = '"+sku+"'"))
	w.clock.Advance(time.Minute) // no cache is older
}

func regionOf(fc string) ident.Region {
	i := slices.IndexFunc(centers, func(c fulfillment.Center) bool { return c.ID == fc })
	return ident.Region(centers[i].Region)
}

func (w *world) restock(t reporter, fc, sku string, units int64) {
	t.Helper()
	_, err := w.stock[regionOf(fc)].Restock(context.Background(), &inventoryv1.RestockRequest{
		FcId: fc, DeliveryId: ident.NewToken(), Lines: []*inventoryv1.RestockLine{{Sku: sku, Quantity: units}},
	})
	must(t, err)
}

// lose units, as a burst pipe does.
func (w *world) lose(t reporter, fc, sku string, units int64) {
	t.Helper()
	_, err := w.stock[regionOf(fc)].Adjust(context.Background(), &inventoryv1.AdjustRequest{
		FcId: fc, AdjustmentId: ident.NewToken(), Sku: sku, Delta: -units, Reason: "a burst pipe",
	})
	must(t, err)
}

// sweepHolds of every region until none is left that has run out.
func (w *world) sweepHolds(t reporter) {
	t.Helper()
	for _, region := range ident.Regions() {
		for n := 1; n > 0; {
			var err error
			n, err = w.stock[region].Sweep(context.Background())
			must(t, err)
		}
	}
}

// stocked is a product of 19.99 with units at FCs.
func (w *world) stocked(t reporter, units map[string]int64) (sku string) {
	t.Helper()
	sku = w.product(t, 19_99)
	for fc, n := range units {
		w.restock(t, fc, sku, n)
	}
	return sku
}
