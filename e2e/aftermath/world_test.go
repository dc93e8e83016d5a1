package aftermath

import (
	"context"
	"log/slog"
	"sync"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/cellar-commerce/cellar/internal/clock"
	"github.com/cellar-commerce/cellar/internal/fence/fencetest"
	fulfillmentv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/fulfillment/v1"
	inventoryv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/inventory/v1"
	orderv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/order/v1"
	paymentv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/payment/v1"
	postalv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/postal/v1"
	"github.com/cellar-commerce/cellar/internal/geo"
	"github.com/cellar-commerce/cellar/internal/ident"
	"github.com/cellar-commerce/cellar/internal/money"
	"github.com/cellar-commerce/cellar/internal/session"
	"github.com/cellar-commerce/cellar/internal/sqldb"
	"github.com/cellar-commerce/cellar/internal/sqldb/sqldbtest"
	"github.com/cellar-commerce/cellar/services/fulfillment"
	"github.com/cellar-commerce/cellar/services/inventory"
	"github.com/cellar-commerce/cellar/services/order"
)

func TestMain(m *testing.M) { sqldbtest.Main(m) }

const home = ident.Region("us-east-1")

var (
	opened  = time.Date(2031, time.May, 4, 12, 0, 0, 0, time.UTC)
	regions = []ident.Region{"us-east-1", "us-west-2"}
	centers = []fulfillment.Center{
		{ID: "iad1", Region: "us-east-1", Name: "Ashburn", City: "Ashburn", CountryCode: "US", At: geo.Point{Lat: 39.0, Lon: -77.5}},
		{ID: "sea1", Region: "us-west-2", Name: "Seattle", City: "Seattle", CountryCode: "US", At: geo.Point{Lat: 47.6, Lon: -122.3}},
		{ID: "ord1", Region: "us-east-1", Name: "Chicago", City: "Chicago", CountryCode: "US", At: geo.Point{Lat: 41.9, Lon: -87.6}},
		{ID: "pdx1", Region: "us-west-2", Name: "Portland", City: "Portland", CountryCode: "US", At: geo.Point{Lat: 45.5, Lon: -122.7}},
	}
)

// till is the money: what was taken of each order and what was given back, each part once.
type till struct {
	mu       sync.Mutex
	captured map[string]map[string]int64
	refunded map[string]map[string]int64
}

func (t *till) Capture(_ context.Context, q *paymentv1.CaptureRequest) (*paymentv1.CaptureResponse, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	keep(t.captured, q.GetOrderId(), q.GetCaptureId(), q.GetAmount().GetMinorUnits())
	return &paymentv1.CaptureResponse{}, nil
}

func (t *till) Refund(_ context.Context, q *paymentv1.RefundRequest) (*paymentv1.RefundResponse, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	amount := q.GetAmount().GetMinorUnits()
	if q.GetRefundId() == "" {
		amount = sum(t.captured[q.GetOrderId()]) - sum(t.refunded[q.GetOrderId()])
	}
	keep(t.refunded, q.GetOrderId(), q.GetRefundId(), amount)
	return &paymentv1.RefundResponse{}, nil
}

func keep(all map[string]map[string]int64, order, id string, amount int64) {
	if all[order] == nil {
		all[order] = map[string]int64{}
	}
	if _, again := all[order][id]; !again {
		all[order][id] = amount
	}
}

func sum(parts map[string]int64) (n int64) {
	for _, part := range parts {
		n += part
	}
	return n
}

// kept of an order's money.
func (t *till) kept(order string) int64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	return sum(t.captured[order]) - sum(t.refunded[order])
}

type world struct {
	customers, regional *sqldb.DB
	clock               *clock.Manual
	till                *till
	orders              *order.Service
	stock               map[ident.Region]*inventory.Service
	shipping            map[ident.Region]*fulfillment.Service
}

func newWorld(t *testing.T) *world { t.Helper(); return newFloor(t, nil) }

// newFloor is a world whose pickers find what they find.
func newFloor(t *testing.T, finds fulfillment.Finds) *world {
	t.Helper()
	w := &world{
		customers: sqldbtest.New(t, sqldb.Customer), regional: sqldbtest.New(t, sqldb.Regional), clock: clock.NewManual(opened),
		till:  &till{captured: map[string]map[string]int64{}, refunded: map[string]map[string]int64{}},
		stock: map[ident.Region]*inventory.Service{}, shipping: map[ident.Region]*fulfillment.Service{},
	}
	global, log := sqldbtest.New(t, sqldb.Global), slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelWarn}))
	shipments, stock, listed := map[ident.Region]order.Shipments{}, map[ident.Region]order.Stock{}, map[ident.Region]fulfillment.StockLister{}
	for _, region := range regions {
		w.stock[region] = inventory.New(inventory.Deps{
			DB: w.regional, Region: region, Regions: regions, Clock: w.clock, Log: log, Swept: func(context.Context) []string { return nil },
			FC:      func(ctx context.Context, id string) (ident.Region, bool) { return w.shipping[region].FC(ctx, id) },
			Ordinal: func(ctx context.Context, id string) (int, bool) { return w.shipping[region].Ordinal(ctx, id) },
		})
		w.shipping[region] = fulfillment.New(fulfillment.Deps{Global: global, Regional: w.regional, Region: region, Stock: listed, Shipper: w.stock[region], Corrector: w.stock[region], Finds: finds, CollectEvery: time.Microsecond, Clock: w.clock, Log: log})
		shipments[region], stock[region], listed[region] = w.shipping[region], w.stock[region], w.stock[region]
	}
	must(t, w.shipping[home].OpenCenters(t.Context(), centers))
	for i, fc := range []string{"iad1", "sea1"} {
		_, err := w.stock[regions[i]].Restock(t.Context(), &inventoryv1.RestockRequest{FcId: fc, DeliveryId: "d1", Lines: []*inventoryv1.RestockLine{{Sku: "ale", Quantity: opening}}})
		must(t, err)
	}
	// A saga whose step has to be tried again does so at once: nobody moves the clock while a test waits for its end.
	w.orders = order.New(order.Deps{
		DB: w.customers, Fence: fencetest.Owner(w.customers, home), Clock: impatient{w.clock}, Log: log, Payments: w.till, Planner: w.shipping[home], Shipments: shipments, Stock: stock, Cell: "use1-a",
		Rings: func() ([]ident.Region, uint64) { return []ident.Region{home}, 1 },
	})
	return w
}

const (
	opening = 10_000 // units of ale at each FC
	total   = 3*1000 + 300 + 500
)

// purchase is one order: two units of ale from one FC and one from the other.
type purchase struct {
	customer ident.CustomerID
	id       string
}

func (p purchase) context() context.Context {
	return session.With(context.Background(), session.Principal{CustomerID: p.customer})
}

func parcels() []*orderv1.Parcel {
	return []*orderv1.Parcel{
		{FcId: "iad1", Region: "us-east-1", Lines: []*orderv1.ParcelLine{{Line: 1, Sku: "ale", Quantity: 2}}},
		{FcId: "sea1", Region: "us-west-2", Lines: []*orderv1.ParcelLine{{Line: 1, Sku: "ale", Quantity: 1}}},
	}
}

// buy as a placement does: hold, sell, take the money or hold it, and mark the order paid.
func (w *world) buy(t *testing.T, held bool) purchase {
	t.Helper()
	ctx := t.Context()
	p := purchase{ident.NewCustomer("use1"), string(ident.NewOrder("use1"))}
	to := &postalv1.PostalAddress{RegionCode: "US", PostalCode: "10001"}
	_, err := w.orders.CreateOrder(ctx, &orderv1.CreateOrderRequest{Order: &orderv1.Order{
		OrderId: p.id, CustomerId: string(p.customer), ShipTo: to,
		Lines:      []*orderv1.Line{{Line: 1, Sku: "ale", Title: "Ale", Quantity: 3, UnitPrice: money.USD(1000).Proto(), Tax: money.USD(250).Proto()}},
		ItemsTotal: money.USD(3000).Proto(), Tax: money.USD(300).Proto(), ShippingTax: money.USD(50).Proto(), Shipping: money.USD(500).Proto(), Total: money.USD(total).Proto(),
	}})
	must(t, err)
	for _, parcel := range parcels() {
		stock, fc := w.stock[ident.Region(parcel.GetRegion())], parcel.GetFcId()
		_, err := stock.Reserve(ctx, &inventoryv1.ReserveRequest{
			FcId: fc, OrderId: p.id, ExpiresAt: timestamppb.New(w.clock.Now().Add(time.Minute)), Lines: []*inventoryv1.ReserveLine{{Line: 1, Sku: "ale", Quantity: parcel.GetLines()[0].GetQuantity()}},
		})
		must(t, err)
		_, err = stock.Commit(ctx, &inventoryv1.CommitRequest{FcId: fc, OrderId: p.id})
		must(t, err)
	}
	if !held {
		_, err = w.till.Capture(ctx, &paymentv1.CaptureRequest{OrderId: p.id, Amount: money.USD(total).Proto()})
		must(t, err)
	}
	_, err = w.orders.MarkPaid(ctx, &orderv1.MarkPaidRequest{CustomerId: string(p.customer), OrderId: p.id, Parcels: parcels(), ShipTo: to, Authorized: held})
	must(t, err)
	return p
}

// event of an outbox.
type event struct {
	id, destination string
	payload         []byte
}

func events(ctx context.Context, db *sqldb.DB, like string) (all []event, err error) {
	rows, err := db.QueryText(ctx, "SELECT message_id, destination, payload FROM outbox WHERE message_id LIKE $1 ORDER BY id", like)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var e event
		if err := rows.Scan(&e.id, &e.destination, &e.payload); err != nil {
			return nil, err
		}
		all = append(all, e)
	}
	return all, rows.Err()
}

// request has the FCs asked for an order's parcels, as the broker does.
func (w *world) request(ctx context.Context, p purchase) error {
	all, err := events(ctx, w.customers, "order/"+p.id+"/%/requested")
	for _, e := range all {
		if err == nil {
			err = w.shipping[ident.Region(e.destination)].Requested(ctx, fulfillment.Request{MessageID: e.id, Payload: e.payload})
		}
	}
	return err
}

// ship what is due in each region.
func (w *world) ship(ctx context.Context) error {
	for _, region := range regions {
		if _, err := w.shipping[region].ShipDue(ctx); err != nil {
			return err
		}
	}
	return nil
}

// tell the orders which parcels have left.
func (w *world) tell(ctx context.Context) error {
	all, err := events(ctx, w.regional, "shipment/%/shipped")
	for _, e := range all {
		var d fulfillmentv1.ShipmentShipped
		if err == nil {
			err = proto.Unmarshal(e.payload, &d)
		}
		if err == nil {
			_, err = w.orders.RecordShipment(ctx, &orderv1.RecordShipmentRequest{
				CustomerId: d.GetCustomerId(), OrderId: d.GetOrderId(), FcId: d.GetFcId(), ShipmentId: d.GetShipmentId(), TrackingNumber: d.GetTrackingNumber(), ShippedAt: d.GetShippedAt(),
				ShortPicks: d.GetShortPicks(), Express: d.GetExpress(),
			})
		}
	}
	return err
}

func must(t *testing.T, errs ...error) {
	t.Helper()
	for _, err := range errs {
		if err != nil {
			t.Fatal(err)
		}
	}
}

// number that a query answers.
func number(t *testing.T, db *sqldb.DB, query string, args ...any) (n int64) {
	t.Helper()
	rows, err := db.QueryText(t.Context(), query, args...)
	must(t, err)
	defer rows.Close()
	for rows.Next() {
		must(t, rows.Scan(&n))
	}
	must(t, rows.Err())
	return n
}
