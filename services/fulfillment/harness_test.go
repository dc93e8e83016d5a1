package fulfillment

import (
	"context"
	"log/slog"
	"sync"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/cellar-commerce/cellar/internal/clock"
	fulfillmentv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/fulfillment/v1"
	inventoryv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/inventory/v1"
	orderv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/order/v1"
	postalv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/postal/v1"
	"github.com/cellar-commerce/cellar/internal/geo"
	"github.com/cellar-commerce/cellar/internal/ident"
	"github.com/cellar-commerce/cellar/internal/problem"
	"github.com/cellar-commerce/cellar/internal/sqldb"
	"github.com/cellar-commerce/cellar/internal/sqldb/sqldbtest"
)

func TestMain(m *testing.M) { sqldbtest.Main(m) }

const handling = time.Hour

var opened = time.Date(2031, time.May, 4, 12, 0, 0, 0, time.UTC)

// lister plays a region's inventory: what it has, or why it does not answer.
type lister struct {
	stocks []*inventoryv1.Stock
	err    error
}

func (l lister) ListStock(context.Context, *inventoryv1.ListStockRequest) (*inventoryv1.ListStockResponse, error) {
	return &inventoryv1.ListStockResponse{Stocks: l.stocks}, l.err
}

// shelf plays the inventory that stock is shipped from, and counts.
type shelf struct {
	mu    sync.Mutex
	calls map[string]int // by FC and order
	err   error
	// writtenOff are units that were not found, by write-off.
	writtenOff map[string]int64
}

func (s *shelf) Ship(_ context.Context, req *inventoryv1.ShipRequest) (*inventoryv1.ShipResponse, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls[req.GetFcId()+"/"+req.GetOrderId()]++
	return &inventoryv1.ShipResponse{}, s.err
}

func (s *shelf) count(fc string, order ident.OrderID) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.calls[fc+"/"+string(order)]
}

func (s *shelf) fail(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.err = err
}

type world struct {
	*Service
	db    *sqldb.DB // cellar_regional
	clock *clock.Manual
	shelf *shelf
	// nudges counts what Committed is told.
	nudges *counter
	// extra are the carrier, and what goes with it, of the next cell.
	extra *Deps
}

type counter struct {
	mu sync.Mutex
	n  int
}

func (c *counter) add() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.n++
}

// centers far enough apart that the nearest is never in doubt.
var centers = []Center{
	{ID: "ewr1", Region: "us-east-1", Name: "Newark", City: "Newark", CountryCode: "US", At: geo.Point{Lat: 40.7, Lon: -74.2}},
	{ID: "iad1", Region: "us-east-1", Name: "Ashburn", City: "Ashburn", CountryCode: "US", At: geo.Point{Lat: 39.0, Lon: -77.5}},
	{ID: "sea1", Region: "us-west-2", Name: "Seattle", City: "Seattle", CountryCode: "US", At: geo.Point{Lat: 47.6, Lon: -122.3}},
}

func newWorld(t *testing.T, stock map[ident.Region]StockLister, options ...sqldbtest.Option) world {
	t.Helper()
	w := world{
		db: sqldbtest.New(t, sqldb.Regional, options...), clock: clock.NewManual(opened), shelf: &shelf{calls: map[string]int{}, writtenOff: map[string]int64{}}, nudges: &counter{}, extra: &Deps{},
	}
	w.Service = w.cell(sqldbtest.New(t, sqldb.Global), w.db, stock)
	if err := w.OpenCenters(t.Context(), centers); err != nil {
		t.Fatal(err)
	}
	return w
}

// cell of this region on some databases.
func (w world) cell(global, regional *sqldb.DB, stock map[ident.Region]StockLister) *Service {
	deps := *w.extra
	deps.Global, deps.Regional, deps.Region, deps.Stock, deps.Shipper, deps.Corrector, deps.HandlingTime = global, regional, "us-east-1", stock, w.shelf, w.shelf, handling
	if deps.CollectEvery == 0 {
		deps.CollectEvery = time.Microsecond // whatever is ready is collected
	}
	deps.Clock, deps.Log, deps.Committed = w.clock, slog.New(slog.DiscardHandler), w.nudges.add
	return New(deps)
}

func has(fc, sku string, n int64) *inventoryv1.Stock {
	return &inventoryv1.Stock{FcId: fc, Sku: sku, Available: n}
}

func toNewYork(lines ...*fulfillmentv1.PlanLine) *fulfillmentv1.PlanOrderRequest {
	return &fulfillmentv1.PlanOrderRequest{ShipTo: &postalv1.PostalAddress{RegionCode: "US", PostalCode: "10001"}, Lines: lines}
}

func request(order ident.OrderID, fc string) *orderv1.FulfillmentRequested {
	return &orderv1.FulfillmentRequested{
		OrderId: string(order), CustomerId: "c-usw2-000000000000000000000000", FcId: fc,
		Lines: []*orderv1.ParcelLine{{Line: 1, Sku: "ale", Quantity: 2}}, PaidAt: timestamppb.New(opened),
		ShipTo: &postalv1.PostalAddress{Locality: "New York", RegionCode: "US", PostalCode: "10001"},
	}
}

func (w world) requested(t *testing.T, order ident.OrderID, fc string) {
	t.Helper()
	payload, err := proto.Marshal(request(order, fc))
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Requested(t.Context(), Request{MessageID: "order/" + string(order) + "/" + fc + "/requested", Payload: payload}); err != nil {
		t.Fatal(err)
	}
}

// shipDue expects a number of shipments to be taken on.
func (w world) shipDue(t *testing.T, want int) {
	t.Helper()
	if n, err := w.ShipDue(t.Context()); err != nil || n != want {
		t.Fatalf("took on %d shipments, %v; want %d", n, err, want)
	}
}

func (w world) shipments(t *testing.T, order ident.OrderID) []*fulfillmentv1.Shipment {
	t.Helper()
	resp, err := w.ListShipments(t.Context(), &fulfillmentv1.ListShipmentsRequest{OrderId: string(order)})
	if err != nil {
		t.Fatal(err)
	}
	return resp.GetShipments()
}

// sent is one row of the outbox.
type sent struct {
	messageID, destination, subject string
	event                           *fulfillmentv1.ShipmentShipped
}

func (w world) outbox(t *testing.T) []sent {
	t.Helper()
	rows, err := w.db.QueryText(t.Context(), "SELECT message_id, destination, subject, payload FROM outbox WHERE region = 'us-east-1' AND subject NOT LIKE '%.short' ORDER BY message_id")
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	var all []sent
	for rows.Next() {
		s := sent{event: &fulfillmentv1.ShipmentShipped{}}
		var payload []byte
		if err := rows.Scan(&s.messageID, &s.destination, &s.subject, &payload); err != nil {
			t.Fatal(err)
		}
		if err := proto.Unmarshal(payload, s.event); err != nil {
			t.Fatal(err)
		}
		all = append(all, s)
	}
	return all
}

func refused(t *testing.T, err error, kind problem.Kind, reason string) {
	t.Helper()
	if problem.KindOf(err) != kind || !problem.Is(err, reason) {
		t.Fatalf("got %v, want %s", err, reason)
	}
}
