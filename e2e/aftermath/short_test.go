package aftermath

import (
	"context"
	"math/rand/v2"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/cellar-commerce/cellar/internal/audit"
	"github.com/cellar-commerce/cellar/internal/cardnetwork"
	"github.com/cellar-commerce/cellar/internal/clock"
	fulfillmentv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/fulfillment/v1"
	inventoryv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/inventory/v1"
	orderv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/order/v1"
	postalv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/postal/v1"
	"github.com/cellar-commerce/cellar/internal/ident"
	"github.com/cellar-commerce/cellar/internal/money"
	"github.com/cellar-commerce/cellar/internal/problem"
	"github.com/cellar-commerce/cellar/services/fulfillment"
)

// gift is an order that costs nothing, so that only its goods are to be audited: who pays what is held by the laws of its sagas.
func (w *world) gift(t *testing.T) purchase {
	t.Helper()
	ctx, free := t.Context(), money.USD(0).Proto()
	p := purchase{ident.NewCustomer("use1"), string(ident.NewOrder("use1"))}
	to := &postalv1.PostalAddress{RegionCode: "US", PostalCode: "10001"}
	_, err := w.orders.CreateOrder(ctx, &orderv1.CreateOrderRequest{Order: &orderv1.Order{
		OrderId: p.id, CustomerId: string(p.customer), ShipTo: to, Lines: []*orderv1.Line{{Line: 1, Sku: "ale", Title: "Ale", Quantity: 3, UnitPrice: free, Tax: free}},
		ItemsTotal: free, Tax: free, ShippingTax: free, Shipping: free, Total: free,
	}})
	must(t, err)
	for _, parcel := range parcels() {
		stock, fc, lines := w.stock[ident.Region(parcel.GetRegion())], parcel.GetFcId(), []*inventoryv1.ReserveLine{{Line: 1, Sku: "ale", Quantity: parcel.GetLines()[0].GetQuantity()}}
		_, err := stock.Reserve(ctx, &inventoryv1.ReserveRequest{FcId: fc, OrderId: p.id, ExpiresAt: timestamppb.New(w.clock.Now().Add(time.Minute)), Lines: lines})
		must(t, err)
		_, err = stock.Commit(ctx, &inventoryv1.CommitRequest{FcId: fc, OrderId: p.id})
		must(t, err)
	}
	_, err = w.orders.MarkPaid(ctx, &orderv1.MarkPaidRequest{CustomerId: string(p.customer), OrderId: p.id, Parcels: parcels(), ShipTo: to})
	must(t, err)
	return p
}

// tellShort the orders what was not found, as often as it is asked for.
func (w *world) tellShort(ctx context.Context) error {
	all, err := events(ctx, w.regional, "shipment/%/short/%")
	for _, e := range all {
		var d fulfillmentv1.ShipmentShort
		if err == nil {
			err = proto.Unmarshal(e.payload, &d)
		}
		if err == nil {
			_, err = w.orders.RecordShortPick(ctx, &orderv1.RecordShortPickRequest{
				CustomerId: d.GetCustomerId(), OrderId: d.GetOrderId(), FcId: d.GetFcId(), ShortPicks: d.GetShortPicks(), Express: d.GetExpress(),
			})
		}
	}
	w.orders.Drain()
	return err
}

// noCards were ever charged.
type noCards struct{}

func (noCards) Ledger(context.Context, int64, int) (cardnetwork.LedgerPage, error) {
	return cardnetwork.LedgerPage{}, nil
}

// impatient is a clock that does not wait.
type impatient struct{ *clock.Manual }

func (impatient) Sleep(ctx context.Context, _ time.Duration) error { return ctx.Err() }

// Pickers of every FC find nothing of a third of the lines. In rounds parcels are asked for, picked, sent and told of, more than once
// each, and some orders are canceled meanwhile: the books of orders and FCs agree in the end.
func TestManyShortPicksLeaveCleanBooks(t *testing.T) {
	const orders, rounds = 30, 8
	w := newFloor(t, fulfillment.Nothing(35))
	ctx := t.Context()
	for fc, region := range map[string]ident.Region{"ord1": "us-east-1", "pdx1": "us-west-2"} { // not enough for all
		_, err := w.stock[region].Restock(ctx, &inventoryv1.RestockRequest{FcId: fc, DeliveryId: "d1", Lines: []*inventoryv1.RestockLine{{Sku: "ale", Quantity: 9}}})
		must(t, err)
	}
	bought := make([]purchase, orders)
	for i := range bought {
		bought[i] = w.gift(t)
	}
	for range rounds {
		for _, i := range rand.Perm(orders) {
			must(t, w.request(ctx, bought[i]))
			if rand.IntN(10) == 0 {
				_, err := w.orders.CancelOrder(bought[i].context(), &orderv1.CancelOrderRequest{OrderId: bought[i].id})
				if err != nil && !problem.Is(err, "TOO_LATE_TO_CANCEL") && !problem.Is(err, "CANCELLATION_IN_PROGRESS") {
					t.Fatal(err)
				}
			}
		}
		must(t, w.ship(ctx), w.tellShort(ctx), w.tell(ctx), w.tellShort(ctx))
		w.clock.Advance(time.Minute)
	}
	w.published(t)
	missed, elsewhere := w.outcomes(t, bought)
	t.Logf("of %d orders, %d were short, and %d parcels were sent for it", orders, missed, elsewhere)
	if missed == 0 || elsewhere == 0 {
		t.Error("nothing was tested")
	}
	report, err := audit.Run(ctx, audit.Deps{
		Customers: w.customers, Regional: w.regional, Ledger: noCards{}, Regions: regions, Clock: impatient{w.clock}, Pause: time.Second, Grace: time.Minute,
	})
	must(t, err)
	for _, p := range report.Promises {
		for _, v := range p.Violations {
			t.Errorf("%d %s: %v", p.Number, p.Name, v)
		}
	}
}

// published are all events: the audit waits for those that are not.
func (w *world) published(t *testing.T) {
	t.Helper()
	must(t, w.customers.ExecText(t.Context(), "UPDATE outbox SET published_at = created_at"))
}

// outcomes of orders, each of which has ended: how many were short, and how many parcels were sent for it.
func (w *world) outcomes(t *testing.T, bought []purchase) (missed, elsewhere int) {
	t.Helper()
	for _, p := range bought {
		resp, err := w.orders.GetOrder(p.context(), &orderv1.GetOrderRequest{OrderId: p.id})
		must(t, err)
		o := resp.GetOrder()
		if o.GetStatus() != orderv1.Status_STATUS_SHIPPED && o.GetStatus() != orderv1.Status_STATUS_CANCELED {
			t.Errorf("%s is %v: %v", p.id, o.GetStatus(), o.GetEvents())
		}
		if elsewhere += len(o.GetParcels()) - 2; len(o.GetShortPicks()) > 0 {
			missed++
		}
	}
	return missed, elsewhere
}
