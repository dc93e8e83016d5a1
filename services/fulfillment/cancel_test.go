package fulfillment

import (
	"context"
	"errors"
	"sync"
	"testing"

	fulfillmentv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/fulfillment/v1"
	"github.com/cellar-commerce/cellar/internal/ident"
	"github.com/cellar-commerce/cellar/internal/problem"
)

const (
	stateCanceled = fulfillmentv1.ShipmentState_SHIPMENT_STATE_CANCELED
	stateShipped  = fulfillmentv1.ShipmentState_SHIPMENT_STATE_SHIPPED
)

// cancel a shipment, and expect the state in which it is then.
func (w world) cancel(t *testing.T, order ident.OrderID, fc string, want fulfillmentv1.ShipmentState) {
	t.Helper()
	resp, err := w.CancelShipment(t.Context(), &fulfillmentv1.CancelShipmentRequest{FcId: fc, OrderId: string(order)})
	if err != nil || resp.GetState() != want || resp.GetCanceled() != (want == stateCanceled) {
		t.Fatalf("got %v, %v; want %v", resp, err, want)
	}
}

func TestWhatIsCanceledBeforeItIsPackedIsNeverSent(t *testing.T) {
	w := newWorld(t, nil)
	order, other := ident.NewOrder("usw2"), ident.NewOrder("usw2")
	w.requested(t, order, "iad1")
	w.requested(t, other, "iad1")
	w.cancel(t, order, "iad1", stateCanceled)
	w.cancel(t, order, "iad1", stateCanceled) // again
	w.clock.Advance(handling)
	w.shipDue(t, 1)
	w.cancel(t, other, "iad1", stateShipped)
	if n := w.shelf.count("iad1", order); n != 0 {
		t.Errorf("the stock of a canceled parcel was shipped %d times", n)
	}
	w.left(t, other)
}

func TestACancellationThatOvertakesTheRequestStopsItToo(t *testing.T) {
	w := newWorld(t, nil)
	order := ident.NewOrder("usw2")
	w.cancel(t, order, "iad1", stateCanceled)
	w.requested(t, order, "iad1")
	w.requested(t, order, "ewr1") // of the same order, and not canceled
	w.cancel(t, order, "iad1", stateCanceled)
	w.clock.Advance(handling)
	w.shipDue(t, 1)
	if events := w.outbox(t); len(events) != 1 || events[0].event.GetFcId() != "ewr1" || w.shelf.count("iad1", order) != 0 {
		t.Errorf("sent %v", events)
	}
}

func TestCancelMeetsShip(t *testing.T) {
	const orders = 60
	w := newWorld(t, nil)
	ids := make([]ident.OrderID, orders)
	for i := range ids {
		ids[i] = ident.NewOrder("use1")
		w.requested(t, ids[i], "iad1")
	}
	w.clock.Advance(handling)
	canceled, errs := make([]bool, orders), make([]error, orders)
	var wg sync.WaitGroup
	for i, id := range ids {
		wg.Go(func() {
			resp, err := w.CancelShipment(context.Background(), &fulfillmentv1.CancelShipmentRequest{FcId: "iad1", OrderId: string(id)})
			canceled[i], errs[i] = resp.GetCanceled(), err
		})
		if i%20 == 10 {
			wg.Go(func() {
				if _, err := w.ShipDue(context.Background()); err != nil {
					t.Error(err)
				}
			})
		}
	}
	wg.Wait()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
	w.clock.Advance(shipRetry)
	if _, err := w.ShipDue(t.Context()); err != nil {
		t.Fatal(err)
	}
	sent := map[string]int{}
	for _, e := range w.outbox(t) {
		sent[e.event.GetOrderId()]++
	}
	for i, id := range ids {
		want := 1
		if canceled[i] {
			want = 0
		}
		if sent[string(id)] != want || w.shelf.count("iad1", id) != want {
			t.Errorf("canceled: %v; sent %d times, its stock %d times", canceled[i], sent[string(id)], w.shelf.count("iad1", id))
		}
	}
}

func TestOnlyItsOwnRegionCancelsWhatAnFCSends(t *testing.T) {
	w := newWorld(t, nil)
	for _, c := range []struct {
		fc, order string
		kind      problem.Kind
		reason    string
	}{
		{"sea1", string(ident.NewOrder("use1")), problem.Invalid, "FOREIGN_FC"},
		{"nowhere", string(ident.NewOrder("use1")), problem.Unavailable, "UNKNOWN_FC"},
		{"iad1", "order-1", problem.Invalid, "MALFORMED_ORDER_ID"},
	} {
		_, err := w.CancelShipment(t.Context(), &fulfillmentv1.CancelShipmentRequest{FcId: c.fc, OrderId: c.order})
		refused(t, err, c.kind, c.reason)
	}
}
