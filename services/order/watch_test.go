package order

import (
	"context"
	"testing"

	"google.golang.org/protobuf/types/known/timestamppb"
	"pgregory.net/rapid"

	orderv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/order/v1"
	"github.com/cellar-commerce/cellar/internal/ident"
	"github.com/cellar-commerce/cellar/internal/problem"
)

// wayOf a parcel, whole.
func wayOf(states ...orderv1.WayState) (scans []*orderv1.Scan) {
	for i, state := range states {
		scans = append(scans, &orderv1.Scan{Seq: int32(i + 1), State: state, At: timestamppb.New(opened), Place: "somewhere"})
	}
	return scans
}

var toTheDoor = wayOf(orderv1.WayState_WAY_STATE_PICKED_UP, orderv1.WayState_WAY_STATE_IN_TRANSIT, orderv1.WayState_WAY_STATE_EXCEPTION,
	orderv1.WayState_WAY_STATE_OUT_FOR_DELIVERY, orderv1.WayState_WAY_STATE_DELIVERED)

// scanned tells the first n scans of a parcel.
func (w world) scanned(p placement, fc string, n int) error {
	_, err := w.RecordShipment(context.Background(), &orderv1.RecordShipmentRequest{
		CustomerId: string(p.customer), OrderId: string(p.id), FcId: fc, ShipmentId: "s-" + fc, TrackingNumber: "CL-s-" + fc, Carrier: "Parcel Post", ShippedAt: timestamppb.New(opened),
		Scans: toTheDoor[:n],
	})
	return err
}

// News of two parcels come in any order, some twice, some never but the last: the order ends the same, and each event has
// happened once.
func TestNewsOfParcelsInAnyOrderEndInTheSameOrder(t *testing.T) {
	w := newWorld(t)
	w.timeFlies(t)
	rapid.Check(t, func(rt *rapid.T) {
		p := newPlacement()
		must(rt, w.create(p))
		if rapid.Bool().Draw(rt, "held") {
			must(rt, w.hold(p))
		} else {
			must(rt, w.pay(p))
		}
		for range rapid.IntRange(0, 8).Draw(rt, "news") {
			must(rt, w.scanned(p, rapid.SampledFrom([]string{"iad1", "sea1"}).Draw(rt, "fc"), rapid.IntRange(0, len(toTheDoor)).Draw(rt, "scans")))
		}
		must(rt, w.scanned(p, "iad1", len(toTheDoor)), w.scanned(p, "sea1", len(toTheDoor)))
		w.Drain()
		o := w.get(rt, p)
		if o.GetStatus() != orderv1.Status_STATUS_SHIPPED || o.GetPaymentStatus() != captured || !Ended(o) {
			rt.Fatalf("it is %v, %v", o.GetStatus(), o.GetPaymentStatus())
		}
		kinds := map[string]int{}
		for i, e := range o.GetEvents() {
			if kinds[e.GetKind()]++; int(e.GetSeq()) != i+1 {
				rt.Fatalf("event %d follows %d others", e.GetSeq(), i)
			}
		}
		if kinds[kindShipped] != 2 || kinds[kindScanned] != 2*len(toTheDoor) {
			rt.Fatalf("events: %v", kinds)
		}
		for _, parcel := range o.GetParcels() {
			if len(parcel.GetScans()) != len(toTheDoor) || parcel.GetWay() != orderv1.WayState_WAY_STATE_DELIVERED || parcel.GetCarrier() != "Parcel Post" {
				rt.Fatalf("parcel %v", parcel)
			}
		}
	})
}

func TestAParcelThatHasNotLeftIsNotScanned(t *testing.T) {
	w, p := newWorld(t), newPlacement()
	must(t, w.create(p), w.pay(p), w.scanned(p, "iad1", 1))
	_, err := w.RecordShipment(t.Context(), &orderv1.RecordShipmentRequest{
		CustomerId: string(p.customer), OrderId: string(p.id), FcId: "iad1", ShipmentId: "another", Scans: toTheDoor[:1],
	})
	refused(t, err, problem.Precondition, "PARCEL_SHIPPED")
	must(t, w.scanned(p, "iad1", len(toTheDoor)))
	if o := w.get(t, p); Ended(o) {
		t.Error("the other parcel has not left, and nothing more is to come")
	}
}

// seen by a watcher.
type seen struct {
	order *orderv1.Order
	ended bool
}

// watching an order until the watch ends; what it shows comes over the channel.
func (w world) watching(ctx context.Context, s *Service, p placement, after int64, owned func() error) (shown chan seen, end chan error) {
	shown, end = make(chan seen), make(chan error, 1)
	go func() {
		defer close(shown)
		end <- s.watch(ctx, watched{id: p.id, customer: p.customer, seen: after, owned: owned}, func(o *orderv1.Order, ended bool) error {
			select {
			case shown <- seen{o, ended}:
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		})
	}()
	return shown, end
}

func here() error { return nil }

// tick lets a watcher that waits look again.
func (w world) tick(t *testing.T) error {
	t.Helper()
	if err := w.clock.AwaitSleepers(t.Context(), 1); err != nil {
		return err
	}
	w.clock.Advance(watchEvery)
	return nil
}

func TestAWatchEndsAfterAWhileSoThatNobodyWaitsForIt(t *testing.T) {
	w, p := newWorld(t), newPlacement()
	must(t, w.create(p), w.pay(p))
	shown, end := w.watching(t.Context(), w.Service, p, 0, here)
	<-shown
	for range watchFor / watchEvery {
		must(t, w.tick(t))
	}
	if more, any := <-shown; any {
		t.Errorf("nothing has happened, and it shows %v", more.order)
	}
	must(t, <-end)
}

func TestAWatchGoesOnAtAnotherCellBehindTheLastEventThatWasSeen(t *testing.T) {
	w, p := newWorld(t), newPlacement()
	must(t, w.create(p), w.pay(p))
	lost := make(chan error, 1)
	shown, end := w.watching(t.Context(), w.Service, p, 0, func() error {
		select {
		case err := <-lost:
			return err
		default:
			return nil
		}
	})
	first := <-shown
	if n := len(first.order.GetEvents()); n != 2 || first.ended {
		t.Fatalf("first it shows %d events, ended: %v", n, first.ended)
	}
	must(t, w.scanned(p, "iad1", 2), w.tick(t))
	second := <-shown
	if n := len(second.order.GetEvents()); n != 3 || second.order.GetEvents()[0].GetSeq() != 3 {
		t.Fatalf("then it shows %v", second.order.GetEvents())
	}
	gone := problem.New(problem.Unavailable, "WRONG_CELL", "the customer has moved")
	lost <- gone
	must(t, w.tick(t))
	if err := <-end; !problem.Is(err, "WRONG_CELL") {
		t.Fatalf("a cell that has lost the customer ends the watch with %v", err)
	}
	must(t, w.scanned(p, "iad1", len(toTheDoor)))
	shown, end = w.watching(t.Context(), w.cell("use1-b"), p, 5, here)
	third := <-shown
	if n := len(third.order.GetEvents()); n != 3 || third.order.GetEvents()[0].GetSeq() != 6 || third.order.GetEvents()[0].GetScan().GetSeq() != 3 {
		t.Fatalf("another cell shows %v", third.order.GetEvents())
	}
	must(t, w.scanned(p, "sea1", len(toTheDoor)), w.tick(t))
	last := <-shown
	if err := <-end; err != nil || !last.ended || !Ended(last.order) {
		t.Errorf("it ends with %v, %v", last.order, err)
	}
}

func TestAnOrderThatWasNotPlacedHasNoMoreNews(t *testing.T) {
	w, p := newWorld(t), newPlacement()
	must(t, w.create(p), w.fail(p))
	shown, end := w.watching(t.Context(), w.Service, p, 0, here)
	if only := <-shown; !only.ended || only.order.GetStatus() != orderv1.Status_STATUS_FAILED {
		t.Errorf("it shows %v", only.order)
	}
	must(t, <-end)
}

func TestNobodyWatchesAnotherCustomersOrder(t *testing.T) {
	w, p := newWorld(t), newPlacement()
	must(t, w.create(p))
	thief := placement{customer: ident.NewCustomer("use1"), id: p.id}
	_, end := w.watching(t.Context(), w.Service, thief, 0, here)
	refused(t, <-end, problem.NotFound, "UNKNOWN_ORDER")
}
