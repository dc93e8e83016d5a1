package order

import (
	"context"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/cellar-commerce/cellar/internal/clock"
	"github.com/cellar-commerce/cellar/internal/fence/fencetest"
	moneyv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/money/v1"
	orderv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/order/v1"
	postalv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/postal/v1"
	"github.com/cellar-commerce/cellar/internal/ident"
	"github.com/cellar-commerce/cellar/internal/money"
	"github.com/cellar-commerce/cellar/internal/problem"
	"github.com/cellar-commerce/cellar/internal/session"
	"github.com/cellar-commerce/cellar/internal/sqldb"
	"github.com/cellar-commerce/cellar/internal/sqldb/sqldbtest"
)

func TestMain(m *testing.M) { sqldbtest.Main(m) }

var opened = time.Date(2031, time.May, 4, 12, 0, 0, 0, time.UTC)

// reporter is what *testing.T and *rapid.T have in common.
type reporter interface {
	Helper()
	Fatal(args ...any)
	Fatalf(format string, args ...any)
}

type world struct {
	*Service
	db      *sqldb.DB
	clock   *clock.Manual
	till    *till
	centers *centers
}

func newWorld(t testing.TB, options ...sqldbtest.Option) world {
	t.Helper()
	return onDB(sqldbtest.New(t, sqldb.Customer, options...))
}

func onDB(db *sqldb.DB) world {
	w := world{db: db, clock: clock.NewManual(opened), till: newTill(), centers: newCenters()}
	w.Service = w.cell("use1-a")
	return w
}

// cell that serves the world's orders.
func (w world) cell(name string) *Service {
	return New(Deps{
		DB: w.db, Fence: fencetest.Owner(w.db, "us-east-1"), Clock: w.clock, Payments: w.till, Planner: w.centers, Cell: name,
		Shipments: map[ident.Region]Shipments{"us-east-1": w.centers, "us-west-2": w.centers},
		Stock:     map[ident.Region]Stock{"us-east-1": w.centers, "us-west-2": w.centers},
		Rings:     func() ([]ident.Region, uint64) { return []ident.Region{"us-east-1"}, 1 },
	})
}

// timeFlies advances the clock whenever somebody waits, until the test ends.
func (w world) timeFlies(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		for w.clock.AwaitSleepers(ctx, 1) == nil {
			w.clock.Advance(time.Second)
		}
	}()
	t.Cleanup(func() { cancel(); <-done })
}

// placement is one order of one customer, with two parcels to come.
type placement struct {
	customer ident.CustomerID
	id       ident.OrderID
}

func newPlacement() placement {
	return placement{customer: ident.NewCustomer("use1"), id: ident.NewOrder("use1")}
}

func (p placement) session(ctx context.Context) context.Context {
	return session.With(ctx, session.Principal{CustomerID: p.customer})
}

// order of three lines: discounts and taxes that do not divide by the units, and one line that two FCs share.
func (p placement) order() *orderv1.Order {
	return &orderv1.Order{
		OrderId: string(p.id), CustomerId: string(p.customer),
		Lines: []*orderv1.Line{
			{Line: 1, Sku: "ale", Title: "Pale ale", Seller: "Acme", Quantity: 3, UnitPrice: usd(500), Discount: usd(100), Tax: usd(124)},
			{Line: 2, Sku: "port", Title: "Tawny port", Quantity: 1, UnitPrice: usd(2500), Discount: usd(0), Tax: usd(222)},
		},
		ShipTo:     &postalv1.PostalAddress{RegionCode: "US", PostalCode: "10001", Lines: []string{"1 Example Street"}},
		ItemsTotal: usd(4000), Discount: usd(100), Shipping: usd(499), Tax: usd(390), ShippingTax: usd(44), Total: usd(4789),
	}
}

func usd(cents int64) *moneyv1.Money { return money.USD(cents).Proto() }

// parcels by FC: of the three units of the first line each has some.
func (p placement) parcels() []*orderv1.Parcel {
	return []*orderv1.Parcel{
		{FcId: "iad1", Region: "us-east-1", Lines: []*orderv1.ParcelLine{{Line: 1, Sku: "ale", Quantity: 2}}},
		{FcId: "sea1", Region: "us-west-2", Lines: []*orderv1.ParcelLine{{Line: 1, Sku: "ale", Quantity: 1}, {Line: 2, Sku: "port", Quantity: 1}}},
	}
}

func (w world) create(p placement) error {
	_, err := w.CreateOrder(context.Background(), &orderv1.CreateOrderRequest{Order: p.order()})
	return err
}

func (w world) pay(p placement) error { return w.payAs(p, false) }

// hold the money of an order, to be taken as parcels leave.
func (w world) hold(p placement) error { return w.payAs(p, true) }

// payAs placement does, which says where the order goes.
func (w world) payAs(p placement, held bool) error {
	_, err := w.MarkPaid(context.Background(), &orderv1.MarkPaidRequest{
		CustomerId: string(p.customer), OrderId: string(p.id), Parcels: p.parcels(), Authorized: held, ShipTo: p.order().GetShipTo(),
	})
	if err == nil { // before it, in truth; here nobody asks the till in between
		w.till.pay(string(p.id), p.order().GetTotal().GetMinorUnits(), held)
	}
	return err
}

func (w world) fail(p placement) error {
	_, err := w.MarkFailed(context.Background(), &orderv1.MarkFailedRequest{CustomerId: string(p.customer), OrderId: string(p.id), Reason: "OUT_OF_STOCK"})
	return err
}

func (w world) ship(p placement, fc, shipment string) error {
	return w.shipIn(context.Background(), p, fc, shipment)
}

func (w world) shipIn(ctx context.Context, p placement, fc, shipment string) error {
	_, err := w.RecordShipment(ctx, &orderv1.RecordShipmentRequest{
		CustomerId: string(p.customer), OrderId: string(p.id), FcId: fc, ShipmentId: shipment, TrackingNumber: "CL-" + shipment, ShippedAt: timestamppb.New(opened),
	})
	return err
}

func must(t reporter, errs ...error) {
	t.Helper()
	for _, err := range errs {
		if err != nil {
			t.Fatal(err)
		}
	}
}

func (w world) get(t reporter, p placement) *orderv1.Order {
	t.Helper()
	resp, err := w.GetOrder(p.session(context.Background()), &orderv1.GetOrderRequest{OrderId: string(p.id)})
	if err != nil {
		t.Fatal(err)
	}
	return resp.GetOrder()
}

// sent is one row of the outbox.
type sent struct {
	messageID, destination, subject string
	request                         *orderv1.FulfillmentRequested
}

func outboxOf(t reporter, db *sqldb.DB, id ident.OrderID) []sent {
	t.Helper()
	rows, err := db.QueryText(context.Background(), `
SELECT message_id, destination, subject, payload
FROM outbox
WHERE region = 'us-east-1' AND message_id LIKE $1
ORDER BY id`, "order/"+string(id)+"/%")
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	var all []sent
	for rows.Next() {
		s := sent{request: &orderv1.FulfillmentRequested{}}
		var payload []byte
		if err := rows.Scan(&s.messageID, &s.destination, &s.subject, &payload); err != nil {
			t.Fatal(err)
		}
		must(t, proto.Unmarshal(payload, s.request))
		all = append(all, s)
	}
	must(t, rows.Err())
	return all
}

func refused(t reporter, err error, kind problem.Kind, reason string) {
	t.Helper()
	if problem.KindOf(err) != kind || !problem.Is(err, reason) {
		t.Fatalf("got %v, want %s", err, reason)
	}
}
