package order

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"google.golang.org/protobuf/proto"

	orderv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/order/v1"
	"github.com/cellar-commerce/cellar/internal/money"
	"github.com/cellar-commerce/cellar/internal/problem"
	"github.com/cellar-commerce/cellar/internal/sqldb"
	"github.com/cellar-commerce/cellar/internal/sqldb/sqldbtest"
)

func TestAnOrderIsShownAsItWasAgreed(t *testing.T) {
	w, p := newWorld(t), newPlacement()
	must(t, w.create(p))
	got := w.get(t, p)
	if got.GetStatus() != orderv1.Status_STATUS_PENDING || !got.GetPlacedAt().AsTime().Equal(opened) || len(got.GetEvents()) != 1 {
		t.Errorf("got %v", got)
	}
	got.Status, got.PlacedAt, got.Events = 0, nil, nil
	if !proto.Equal(got, p.order()) {
		t.Errorf("got %v, want %v", got, p.order())
	}
}

func TestCreatingAgainChangesNothingNotEvenWithOtherLines(t *testing.T) {
	w, p := newWorld(t), newPlacement()
	must(t, w.create(p))
	before := w.get(t, p)
	other := p.order()
	other.Lines = append(other.Lines, &orderv1.Line{Line: 3, Sku: "rum", Quantity: 1, UnitPrice: money.USD(100).Proto()})
	other.ItemsTotal, other.Total = money.USD(4100).Proto(), money.USD(4889).Proto()
	for _, again := range []*orderv1.Order{p.order(), other} {
		if _, err := w.CreateOrder(t.Context(), &orderv1.CreateOrderRequest{Order: again}); err != nil {
			t.Fatal(err)
		}
		if after := w.get(t, p); !proto.Equal(before, after) {
			t.Errorf("before %v, after %v", before, after)
		}
	}
}

func TestPayingTwiceAsksEachCenterOnce(t *testing.T) {
	w, p := newWorld(t), newPlacement()
	must(t, w.create(p), w.pay(p), w.pay(p))
	got := outboxOf(t, w.db, p.id)
	if len(got) != 2 {
		t.Fatalf("%d requests for two parcels", len(got))
	}
	for i, parcel := range p.parcels() {
		want := sent{
			messageID:   "order/" + string(p.id) + "/" + parcel.GetFcId() + "/requested",
			destination: parcel.GetRegion(),
			subject:     "fulfillment." + parcel.GetRegion() + "." + parcel.GetFcId() + ".requested",
		}
		request := got[i].request
		if got[i].request = nil; got[i] != want {
			t.Errorf("got %v, want %v", got[i], want)
		}
		if request.GetOrderId() != string(p.id) || request.GetFcId() != parcel.GetFcId() || request.GetCustomerId() != string(p.customer) ||
			!proto.Equal(request.GetShipTo(), p.order().GetShipTo()) || !proto.Equal(request.GetLines()[0], parcel.GetLines()[0]) {
			t.Errorf("the request says %v", request)
		}
	}
}

func TestAnOrderEndsOnlyOneWay(t *testing.T) {
	w := newWorld(t)
	paid, failed := newPlacement(), newPlacement()
	must(t, w.create(paid), w.pay(paid), w.create(failed), w.fail(failed), w.fail(failed))
	refused(t, w.fail(paid), problem.Precondition, "ORDER_ENDED")
	refused(t, w.pay(failed), problem.Precondition, "ORDER_ENDED")
	if got := w.get(t, failed); got.GetStatus() != orderv1.Status_STATUS_FAILED || got.GetFailureReason() != "OUT_OF_STOCK" {
		t.Errorf("got %v", got)
	}
	if requests := outboxOf(t, w.db, failed.id); len(requests) != 0 {
		t.Errorf("a failed order asks for %v", requests)
	}
}

func TestPayingAndFailingAtOnceEndsOneWay(t *testing.T) {
	w := newWorld(t)
	for range 10 {
		p := newPlacement()
		must(t, w.create(p))
		var paid, failed error
		var wg sync.WaitGroup
		wg.Go(func() { paid = w.pay(p) })
		wg.Go(func() { failed = w.fail(p) })
		wg.Wait()
		lost := errors.Join(paid, failed)
		if (paid == nil) == (failed == nil) || !problem.Is(lost, "ORDER_ENDED") {
			t.Fatalf("paid: %v, failed: %v", paid, failed)
		}
		if requests := len(outboxOf(t, w.db, p.id)); (requests == 2) != (paid == nil) {
			t.Fatalf("%d requests to ship, paid: %v", requests, paid)
		}
	}
}

func TestFailingAnOrderThatWasNeverMadeIsNoError(t *testing.T) {
	w, p := newWorld(t), newPlacement()
	must(t, w.fail(p))
	refused(t, w.pay(p), problem.NotFound, "UNKNOWN_ORDER")
}

func TestAnOrderIsShippedWhenItsLastParcelHasLeft(t *testing.T) {
	w, p := newWorld(t), newPlacement()
	must(t, w.create(p))
	refused(t, w.ship(p, "iad1", "s1"), problem.Precondition, "ORDER_NOT_PAID")
	must(t, w.pay(p), w.ship(p, "iad1", "s1"), w.ship(p, "iad1", "s1"))
	got := w.get(t, p)
	if got.GetStatus() != orderv1.Status_STATUS_PAID || got.GetParcels()[0].GetTrackingNumber() != "CL-s1" || got.GetParcels()[1].GetShipmentId() != "" {
		t.Errorf("after one of two parcels: %v", got)
	}
	must(t, w.ship(p, "sea1", "s2"))
	got = w.get(t, p)
	if got.GetStatus() != orderv1.Status_STATUS_SHIPPED {
		t.Errorf("after both parcels: %v", got)
	}
	var story []string
	for _, e := range got.GetEvents() {
		story = append(story, fmt.Sprint(e.GetSeq(), e.GetKind(), e.GetFcId()))
	}
	if fmt.Sprint(story) != "[1placed 2paid 3shippediad1 4shippedsea1]" {
		t.Errorf("events %v", story)
	}
}

func TestShipmentsRecordedAtOnceLeaveNoGap(t *testing.T) {
	w, p := newWorld(t), newPlacement()
	must(t, w.create(p), w.pay(p))
	errs := make([]error, 8)
	var wg sync.WaitGroup
	for i := range errs {
		fc := p.parcels()[i%2].GetFcId()
		wg.Go(func() { errs[i] = w.ship(p, fc, "shipment-of-"+fc) })
	}
	wg.Wait()
	must(t, errs...)
	got := w.get(t, p)
	if got.GetStatus() != orderv1.Status_STATUS_SHIPPED || len(got.GetEvents()) != 4 || got.GetEvents()[3].GetSeq() != 4 {
		t.Errorf("got %v", got)
	}
}

func TestWhateverIsAbortedOrLostRepeatingEndsInTheSameState(t *testing.T) {
	var passed atomic.Int64
	w := newWorld(t, sqldbtest.WithFaults(func(at sqldb.Point) error {
		switch n := passed.Add(1); {
		case n%5 == 0 && at == sqldb.AfterCommit:
			return fmt.Errorf("played by a test: %w", sqldb.ErrAmbiguous)
		case n%5 == 0:
			return sqldb.FakeSerializationFailure()
		}
		return nil
	}))
	for range 10 { // so that each fault meets each call
		p := newPlacement()
		for _, call := range []func() error{
			func() error { return w.create(p) }, func() error { return w.pay(p) },
			func() error { return w.ship(p, "iad1", "s1") }, func() error { return w.ship(p, "sea1", "s2") },
		} {
			err := call()
			for errors.Is(err, sqldb.ErrAmbiguous) {
				err = call()
			}
			must(t, err)
		}
		if got := w.get(t, p); got.GetStatus() != orderv1.Status_STATUS_SHIPPED || len(got.GetEvents()) != 4 {
			t.Fatalf("got %v", got)
		}
		if requests := outboxOf(t, w.db, p.id); len(requests) != 2 {
			t.Fatalf("%d requests to ship", len(requests))
		}
	}
}

func TestWhoHasNoSessionSeesNoOrders(t *testing.T) {
	w := newWorld(t)
	_, err := w.GetOrder(context.Background(), &orderv1.GetOrderRequest{OrderId: string(newPlacement().id)})
	refused(t, err, problem.Unauthenticated, "SESSION_REQUIRED")
	_, err = w.ListOrders(context.Background(), &orderv1.ListOrdersRequest{})
	refused(t, err, problem.Unauthenticated, "SESSION_REQUIRED")
}

func TestSomebodyElsesOrderDoesNotExist(t *testing.T) {
	w, p, other := newWorld(t), newPlacement(), newPlacement()
	must(t, w.create(p))
	for _, id := range []string{string(p.id), string(other.id), "usw2-0000-0000-0000-0", "nonsense", ""} {
		_, err := w.GetOrder(other.session(t.Context()), &orderv1.GetOrderRequest{OrderId: id})
		refused(t, err, problem.NotFound, "UNKNOWN_ORDER")
	}
	stolen := placement{customer: other.customer, id: p.id}
	refused(t, w.pay(stolen), problem.NotFound, "UNKNOWN_ORDER")
	must(t, w.create(stolen), w.fail(stolen))
	if got := w.get(t, p); got.GetStatus() != orderv1.Status_STATUS_PENDING || len(got.GetLines()) != 2 {
		t.Errorf("got %v", got)
	}
}
