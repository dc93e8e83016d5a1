package fulfillment

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	fulfillmentv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/fulfillment/v1"
	"github.com/cellar-commerce/cellar/internal/ident"
	"github.com/cellar-commerce/cellar/internal/sqldb"
	"github.com/cellar-commerce/cellar/internal/sqldb/sqldbtest"
)

func TestARequestDeliveredTwiceIsOneShipment(t *testing.T) {
	w := newWorld(t, nil)
	order := ident.NewOrder("usw2")
	w.requested(t, order, "iad1")
	first := w.shipments(t, order)
	w.requested(t, order, "iad1")
	again := w.shipments(t, order)
	if len(first) != 1 || len(again) != 1 || first[0].GetShipmentId() != again[0].GetShipmentId() || first[0].GetShipmentId() == "" {
		t.Errorf("first %v, then %v", first, again)
	}
}

func TestRequestsThatComeTogetherAreEachOneShipment(t *testing.T) {
	w := newWorld(t, nil)
	var orders []ident.OrderID
	var requests []Request
	for range 5 {
		order := ident.NewOrder("usw2")
		orders = append(orders, order)
		for _, fc := range []string{"iad1", "ewr1", "iad1"} { // the last is a twin
			payload, err := proto.Marshal(request(order, fc))
			if err != nil {
				t.Fatal(err)
			}
			requests = append(requests, Request{MessageID: string(order) + "/" + fc, Payload: payload})
		}
	}
	w.requested(t, orders[0], "iad1") // it was there before
	before := w.shipments(t, orders[0])
	if err := w.Requested(t.Context(), requests...); err != nil {
		t.Fatal(err)
	}
	for _, order := range orders {
		if all := w.shipments(t, order); len(all) != 2 {
			t.Errorf("%s: %v", order, all)
		}
	}
	for _, sh := range w.shipments(t, orders[0]) {
		if sh.GetFcId() == "iad1" && sh.GetShipmentId() != before[0].GetShipmentId() {
			t.Errorf("%v was made anew: %v", before[0], sh)
		}
	}
}

func TestARequestThatCannotBeReadIsAnError(t *testing.T) {
	w := newWorld(t, nil)
	if err := w.Requested(t.Context(), Request{MessageID: "m1", Payload: []byte("no message")}); err == nil {
		t.Error("it was swallowed")
	}
}

func TestAShipmentLeavesOnceWhenItsTimeHasCome(t *testing.T) {
	w := newWorld(t, nil)
	order := ident.NewOrder("usw2") // the customer's home is another region
	w.requested(t, order, "iad1")
	w.clock.Advance(handling - time.Microsecond)
	w.shipDue(t, 0)
	w.clock.Advance(time.Microsecond)
	w.shipDue(t, 1)
	w.clock.Advance(handling)
	w.shipDue(t, 0)
	w.requested(t, order, "iad1") // the broker delivers late once more
	w.clock.Advance(handling)
	w.shipDue(t, 0)
	if n := w.shelf.count("iad1", order); n != 1 {
		t.Errorf("the stock was shipped %d times", n)
	}
	w.left(t, order)
}

// left expects one event, and that it says what the shipment does.
func (w world) left(t *testing.T, order ident.OrderID) {
	t.Helper()
	all, events := w.shipments(t, order), w.outbox(t)
	if len(all) != 1 || all[0].GetState() != fulfillmentv1.ShipmentState_SHIPMENT_STATE_SHIPPED || len(events) != 1 {
		t.Fatalf("shipments %v, events %v", all, events)
	}
	sh, e := all[0], events[0]
	if e.messageID != "shipment/"+sh.GetShipmentId()+"/shipped" || e.destination != string(order.Region()) || e.subject != "order."+string(order.Ring())+".shipped" {
		t.Errorf("got %v", e)
	}
	if e.event.GetOrderId() != string(order) || e.event.GetFcId() != "iad1" || e.event.GetTrackingNumber() != sh.GetTrackingNumber() ||
		e.event.GetCustomerId() != sh.GetCustomerId() || !e.event.GetShippedAt().AsTime().Equal(sh.GetShippedAt().AsTime()) {
		t.Errorf("the event says %v, the shipment %v", e.event, sh)
	}
}

func TestAShipmentWhoseCellDiedAfterTheStockLeftIsFinishedLater(t *testing.T) {
	var dead atomic.Bool
	w := newWorld(t, nil, sqldbtest.WithFaults(func(p sqldb.Point) error {
		if p == sqldb.BeforeCommit && dead.Load() {
			return errors.New("the process has died")
		}
		return nil
	}))
	order := ident.NewOrder("usw2")
	w.requested(t, order, "iad1")
	w.clock.Advance(handling)
	dead.Store(true)
	w.shipDue(t, 1)
	dead.Store(false)
	if got := w.shipments(t, order)[0]; got.GetState() != fulfillmentv1.ShipmentState_SHIPMENT_STATE_PACKED || len(w.outbox(t)) != 0 || w.nudges.n != 0 {
		t.Fatalf("it was only packed, but: %v, %d events", got, len(w.outbox(t)))
	}
	w.cancel(t, order, "iad1", fulfillmentv1.ShipmentState_SHIPMENT_STATE_PACKED)
	w.shipDue(t, 0) // it is still taken
	w.clock.Advance(shipRetry)
	w.shipDue(t, 1)
	if n := w.shelf.count("iad1", order); n != 2 {
		t.Errorf("inventory was asked %d times; asking again changes nothing there", n)
	}
	w.left(t, order)
}

func TestAShipmentWhoseCommitWasNotAnsweredIsNotSentAgain(t *testing.T) {
	var lose atomic.Bool
	w := newWorld(t, nil, sqldbtest.WithFaults(func(p sqldb.Point) error {
		switch {
		case !lose.Load():
			return nil
		case p == sqldb.AfterCommit:
			return fmt.Errorf("played by a test: %w", sqldb.ErrAmbiguous)
		}
		return nil
	}))
	order := ident.NewOrder("usw2")
	w.requested(t, order, "iad1")
	w.clock.Advance(handling)
	lose.Store(true)
	w.shipDue(t, 1)
	lose.Store(false)
	w.clock.Advance(shipRetry)
	w.shipDue(t, 0)
	w.left(t, order)
}

func TestStockThatCannotBeShippedNowIsTriedAgain(t *testing.T) {
	w := newWorld(t, nil)
	order := ident.NewOrder("use1")
	w.requested(t, order, "iad1")
	w.clock.Advance(handling)
	w.shelf.fail(errors.New("away"))
	w.shipDue(t, 1)
	w.shelf.fail(nil)
	w.clock.Advance(shipRetry)
	w.shipDue(t, 1)
	w.left(t, order)
}

func TestCellsOfARegionShareTheWorkAndSendEachParcelOnce(t *testing.T) {
	const orders, cells = 30, 4
	w := newWorld(t, nil)
	for range orders {
		w.requested(t, ident.NewOrder("use1"), "iad1")
	}
	w.clock.Advance(handling)
	var wg sync.WaitGroup
	var taken atomic.Int64
	errs := make([]error, cells)
	for i := range cells {
		cell := w.cell(nil, w.db, nil)
		wg.Go(func() {
			n, err := cell.ShipDue(context.Background())
			taken.Add(int64(n))
			errs[i] = err
		})
	}
	wg.Wait()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
	if events := len(w.outbox(t)); taken.Load() != orders || events != orders || len(w.shelf.calls) != orders {
		t.Errorf("%d taken, %d events, stock of %d orders shipped; want %d", taken.Load(), events, len(w.shelf.calls), orders)
	}
	for key, n := range w.shelf.calls {
		if n != 1 {
			t.Errorf("%s was shipped %d times", key, n)
		}
	}
}

func TestShippingRunsByTheClock(t *testing.T) {
	w := newWorld(t, nil)
	order := ident.NewOrder("usw2")
	w.requested(t, order, "iad1")
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); w.Run(ctx) }()
	for range 2 {
		if err := w.clock.AwaitSleepers(ctx, 1); err != nil {
			t.Fatal(err)
		}
		w.clock.Advance(handling)
	}
	if err := w.clock.AwaitSleepers(ctx, 1); err != nil {
		t.Fatal(err)
	}
	w.left(t, order)
	cancel()
	<-done
}
