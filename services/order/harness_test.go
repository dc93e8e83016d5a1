package order

import (
	"context"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/cellar-commerce/cellar/internal/clock"
	"github.com/cellar-commerce/cellar/internal/fence/fencetest"
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
	db    *sqldb.DB
	clock *clock.Manual
}

func newWorld(t testing.TB, options ...sqldbtest.Option) world {
	t.Helper()
	return onDB(sqldbtest.New(t, sqldb.Customer, options...))
}

func onDB(db *sqldb.DB) world {
	manual := clock.NewManual(opened)
	return world{db: db, clock: manual, Service: New(Deps{DB: db, Fence: fencetest.Owner(db, "us-east-1"), Clock: manual})}
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

func (p placement) order() *orderv1.Order {
	return &orderv1.Order{
		OrderId: string(p.id), CustomerId: string(p.customer),
		Lines: []*orderv1.Line{
			{Line: 1, Sku: "ale", Title: "Pale ale", Quantity: 2, UnitPrice: money.USD(500).Proto()},
			{Line: 2, Sku: "port", Title: "Tawny port", Quantity: 1, UnitPrice: money.USD(2500).Proto()},
		},
		ShipTo:     &postalv1.PostalAddress{RegionCode: "US", PostalCode: "10001", Lines: []string{"1 Example Street"}},
		ItemsTotal: money.USD(3500).Proto(), Shipping: money.USD(499).Proto(), Tax: money.USD(311).Proto(), Total: money.USD(4310).Proto(),
	}
}

func (p placement) parcels() []*orderv1.Parcel {
	return []*orderv1.Parcel{
		{FcId: "iad1", Region: "us-east-1", Lines: []*orderv1.ParcelLine{{Line: 1, Sku: "ale", Quantity: 2}}},
		{FcId: "sea1", Region: "us-west-2", Lines: []*orderv1.ParcelLine{{Line: 2, Sku: "port", Quantity: 1}}},
	}
}

func (w world) create(p placement) error {
	_, err := w.CreateOrder(context.Background(), &orderv1.CreateOrderRequest{Order: p.order()})
	return err
}

func (w world) pay(p placement) error {
	_, err := w.MarkPaid(context.Background(), &orderv1.MarkPaidRequest{CustomerId: string(p.customer), OrderId: string(p.id), Parcels: p.parcels()})
	return err
}

func (w world) fail(p placement) error {
	_, err := w.MarkFailed(context.Background(), &orderv1.MarkFailedRequest{CustomerId: string(p.customer), OrderId: string(p.id), Reason: "OUT_OF_STOCK"})
	return err
}

func (w world) ship(p placement, fc, shipment string) error {
	_, err := w.RecordShipment(context.Background(), &orderv1.RecordShipmentRequest{
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
