package order

import (
	"context"
	"fmt"
	"maps"
	"sync"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"
	"pgregory.net/rapid"

	orderv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/order/v1"
	"github.com/cellar-commerce/cellar/internal/problem"
	"github.com/cellar-commerce/cellar/internal/sqldb"
	"github.com/cellar-commerce/cellar/internal/sqldb/sqldbtest"
)

// shortPick that one FC reports.
func shortPick(fc, id string, lines ...*orderv1.ParcelLine) *orderv1.RecordShortPickRequest {
	return &orderv1.RecordShortPickRequest{FcId: fc, ShortPicks: []*orderv1.ShortPick{{ShortPickId: id, FcId: fc, Lines: lines}}}
}

func lineOf(number int32, sku string, units int64) *orderv1.ParcelLine {
	return &orderv1.ParcelLine{Line: number, Sku: sku, Quantity: units}
}

// misses tells the order what an FC did not find, and waits for what follows.
func (w world) misses(ctx context.Context, p placement, req *orderv1.RecordShortPickRequest) error {
	err := w.reports(ctx, p, req)
	w.Drain()
	return err
}

// reports to the order what an FC did not find.
func (w world) reports(ctx context.Context, p placement, req *orderv1.RecordShortPickRequest) error {
	req.CustomerId, req.OrderId = string(p.customer), string(p.id)
	w.centers.writeOff(req.GetOrderId(), req.GetShortPicks()[0])
	_, err := w.RecordShortPick(ctx, req)
	return err
}

// stocked gives some FCs that have no parcel of any order a lot of everything.
func (c *centers) stocked(fcs ...string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, fc := range fcs {
		if c.spare[fc] == nil {
			c.spare[fc] = map[string]int64{"ale": 10_000, "port": 10_000}
		}
	}
}

// The share of the first unit of ale is 500 - 33 + 41.
const firstAle = 508

func shortPickStories() map[string]story {
	one := func() *orderv1.RecordShortPickRequest { return shortPick("iad1", "s1-1", lineOf(1, "ale", 1)) }
	whole := func(fc string) *orderv1.RecordShortPickRequest {
		lines := newPlacement().parcels()[0].GetLines()
		if fc == "sea1" {
			lines = newPlacement().parcels()[1].GetLines()
		}
		return shortPick(fc, "s-"+fc+"-1", lines...)
	}
	return map[string]story{
		"a short pick that another FC makes up for": {
			begin: func(ctx context.Context, w world, p placement) error {
				w.centers.stocked("ord1", "pdx1")
				return w.misses(ctx, p, one())
			},
			calls:    []string{"PlanOrder", "Reserve ord1", "Commit ord1"},
			captured: total, status: orderv1.Status_STATUS_PAID, payment: captured, parcels: "REQUESTED REQUESTED REQUESTED",
		},
		"a short pick of what nobody has": {
			begin:    func(ctx context.Context, w world, p placement) error { return w.misses(ctx, p, one()) },
			calls:    []string{"PlanOrder", "Refund"},
			captured: total, refunded: firstAle, status: orderv1.Status_STATUS_PAID, payment: partlyRefunded, parcels: "REQUESTED REQUESTED",
		},
		"short picks of all there was": {
			begin: func(ctx context.Context, w world, p placement) error {
				return first(w.misses(ctx, p, whole("iad1")), w.misses(ctx, p, whole("sea1")))
			},
			calls:    []string{"PlanOrder", "Refund"},
			captured: total, refunded: total, status: orderv1.Status_STATUS_CANCELED, payment: refunded, parcels: "CANCELED CANCELED",
		},
		"short picks of all there was, before money was taken": {
			held: true, begin: func(ctx context.Context, w world, p placement) error {
				return first(w.misses(ctx, p, whole("iad1")), w.misses(ctx, p, whole("sea1")))
			},
			calls:  []string{"PlanOrder", "Capture"},
			status: orderv1.Status_STATUS_CANCELED, payment: voided, parcels: "CANCELED CANCELED",
		},
		"a short pick, and the rest is canceled": {
			begin: func(ctx context.Context, w world, p placement) error {
				if err := w.misses(ctx, p, whole("iad1")); err != nil {
					return err
				}
				_, err := w.CancelOrder(p.session(ctx), &orderv1.CancelOrderRequest{OrderId: string(p.id)})
				return err
			},
			calls:    []string{"PlanOrder", "Refund", "CancelShipment sea1", "Release sea1"},
			captured: total, refunded: total, status: orderv1.Status_STATUS_CANCELED, payment: refunded, parcels: "CANCELED CANCELED",
		},
		"a short pick after another parcel was paid for": {
			held: true, begin: func(ctx context.Context, w world, p placement) error {
				w.centers.become("sea1", string(p.id), "shipped")
				err := w.shipIn(ctx, p, "sea1", "shipment-of-sea1")
				w.Drain()
				return first(err, w.misses(ctx, p, whole("iad1")))
			},
			calls:    []string{"PlanOrder", "Capture"},
			captured: 500 - 33 + 41 + 2500 + 222 + 499 + 44, status: orderv1.Status_STATUS_SHIPPED, payment: captured, parcels: "CANCELED SHIPPED",
		},
	}
}

// expectUnits: each unit that was ordered is in one parcel or canceled, and what FCs have sold anew is what they are to send.
func (w world) expectUnits(t reporter, o *orderv1.Order) {
	t.Helper()
	sold := map[string]int64{}
	for _, l := range o.GetLines() {
		units := w.droppedOf(o, l.GetLine())
		for _, parcel := range o.GetParcels() {
			for _, pl := range parcel.GetLines() {
				if pl.GetLine() != l.GetLine() {
					continue
				}
				units += pl.GetQuantity()
				if w.centers.spare[parcel.GetFcId()] != nil && parcel.GetState() != canceled {
					sold[fmt.Sprint(parcel.GetFcId(), "/", l.GetLine())] += pl.GetQuantity()
				}
			}
		}
		if units != l.GetQuantity() {
			t.Fatalf("of %d units of line %d, %d are in parcels or canceled: %v, %v", l.GetQuantity(), l.GetLine(), units, o.GetParcels(), o.GetShortPicks())
		}
	}
	if got := w.centers.soldTo(o.GetOrderId()); !maps.Equal(got, sold) {
		t.Fatalf("FCs have sold %v, and are to send %v", got, sold)
	}
}

func (w world) droppedOf(o *orderv1.Order, line int32) (units int64) {
	for _, pick := range o.GetShortPicks() {
		for _, l := range pick.GetCanceled() {
			if l.GetLine() == line {
				units += l.GetQuantity()
			}
		}
	}
	return units
}

func TestAShortPickCountsOnceAndFollowsTheLineToAnotherFC(t *testing.T) {
	w, p := newWorld(t), newPlacement()
	w.timeFlies(t)
	w.centers.stocked("pdx1")
	must(t, w.create(p), w.pay(p), w.misses(t.Context(), p, shortPick("sea1", "s2-1", lineOf(2, "port", 1))))
	once := w.get(t, p)
	must(t, w.misses(t.Context(), p, shortPick("sea1", "s2-1", lineOf(2, "port", 1))))
	o := w.get(t, p)
	if len(o.GetEvents()) != len(once.GetEvents()) || len(o.GetParcels()) != 3 || o.GetParcels()[2].GetFcId() != "pdx1" {
		t.Fatalf("%d events, then %d; parcels %v", len(once.GetEvents()), len(o.GetEvents()), o.GetParcels())
	}
	asked := outboxOf(t, w.db, p.id)
	if last := asked[len(asked)-1]; len(asked) != 3 || last.request.GetFcId() != "pdx1" || last.request.GetShipTo().GetLines()[0] != "1 Example Street" {
		t.Fatalf("asked for %v", asked)
	}
	if pick := o.GetShortPicks()[0]; !pick.GetDone() || Ended(o) {
		t.Errorf("the short pick is %v", pick)
	}
	// The FC that makes up for it finds none either, and nobody is left.
	must(t, w.misses(t.Context(), p, shortPick("pdx1", "s3-1", lineOf(2, "port", 1))))
	if o = w.get(t, p); o.GetLines()[1].GetCanceled() != 1 || o.GetRefunded().GetMinorUnits() != 2722 || o.GetParcels()[2].GetState() != canceled {
		t.Errorf("refunded %v, parcels %v", o.GetRefunded(), o.GetParcels())
	}
}

func TestAShipmentThatOvertakesItsShortPickBringsItAlong(t *testing.T) {
	w, p := newWorld(t), newPlacement()
	w.timeFlies(t)
	must(t, w.create(p), w.hold(p))
	pick := shortPick("iad1", "s1-1", lineOf(1, "ale", 1))
	_, err := w.RecordShipment(t.Context(), &orderv1.RecordShipmentRequest{
		CustomerId: string(p.customer), OrderId: string(p.id), FcId: "iad1", ShipmentId: "s1", ShortPicks: pick.GetShortPicks(),
	})
	must(t, err)
	w.Drain()
	must(t, w.misses(t.Context(), p, pick)) // the news of it, late
	if got := w.till.account(string(p.id)).captured; got != firstAle+499+44 {
		t.Errorf("%d are taken for one unit", got)
	}
	w.expectUnits(t, w.get(t, p))
}

// Whoever looks for the missing unit dies; meanwhile all that was found is sent. What is sent for it later is paid for too.
func TestMoneyIsHeldForWhatIsStillLookedFor(t *testing.T) {
	w, p := newWorld(t), newPlacement()
	w.centers.stocked("pdx1")
	must(t, w.create(p), w.hold(p))
	ctx, die := context.WithCancel(t.Context())
	w.detached = func(context.Context) context.Context { return ctx }
	w.centers.before = func(string, int) error { die(); return ctx.Err() }
	must(t, w.misses(t.Context(), p, shortPick("iad1", "s1-1", lineOf(1, "ale", 1))))
	w.centers.before, w.detached = nil, context.WithoutCancel
	for _, fc := range []string{"iad1", "sea1"} {
		must(t, w.ship(p, fc, "shipment-of-"+fc))
		w.Drain()
	}
	if o := w.get(t, p); o.GetStatus() != orderv1.Status_STATUS_PAID || Ended(o) {
		t.Fatalf("it is %v while something is missing", o.GetStatus())
	}
	w.sweepToTheEnd(t)
	must(t, w.ship(p, "pdx1", "shipment-of-pdx1"))
	w.Drain()
	o, till := w.get(t, p), w.till.account(string(p.id))
	if o.GetStatus() != orderv1.Status_STATUS_SHIPPED || till.captured != total || till.held != 0 || o.GetPaymentStatus() != captured {
		t.Errorf("it is %v and %v; %d are taken and %d held", o.GetStatus(), o.GetPaymentStatus(), till.captured, till.held)
	}
}

func TestWhatACancellationHasTakenIsNotMissedBesides(t *testing.T) {
	w, p := newWorld(t), newPlacement()
	w.timeFlies(t)
	w.centers.stocked("pdx1")
	must(t, w.create(p), w.pay(p))
	_, err := w.cancelOrder(p)
	must(t, err, w.misses(t.Context(), p, shortPick("iad1", "s1-1", lineOf(1, "ale", 1))))
	if o := w.get(t, p); len(o.GetShortPicks()) != 0 || len(o.GetParcels()) != 2 || o.GetRefunded().GetMinorUnits() != total {
		t.Errorf("got %v", o)
	}
	_, err = w.RecordShortPick(t.Context(), &orderv1.RecordShortPickRequest{CustomerId: string(p.customer), OrderId: string(p.id), FcId: "iad1"})
	refused(t, err, problem.Invalid, "INVALID_FIELDS")
	refused(t, w.misses(t.Context(), p, shortPick("nowhere", "s1-1", lineOf(1, "ale", 1))), problem.Precondition, "UNKNOWN_PARCEL")
}

// Short picks of both parcels and a cancellation come at once: each unit is sent or paid back, never both.
func TestShortPicksMeetCancel(t *testing.T) {
	w := newWorld(t)
	w.timeFlies(t)
	w.centers.stocked("pdx1")
	for range 12 {
		p := newPlacement()
		must(t, w.create(p), w.pay(p))
		var wg sync.WaitGroup
		for _, miss := range []*orderv1.RecordShortPickRequest{shortPick("iad1", "s1-1", lineOf(1, "ale", 2)), shortPick("sea1", "s2-1", lineOf(2, "port", 1))} {
			wg.Go(func() {
				if err := w.reports(context.Background(), p, miss); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Go(func() {
			if _, err := w.cancelOrder(p); err != nil && !problem.Is(err, "CANCELLATION_IN_PROGRESS") {
				t.Error(err)
			}
		})
		wg.Wait()
		w.Drain()
		w.sweepToTheEnd(t)
		o := w.get(t, p)
		w.expectUnits(t, o)
		if o.GetStatus() != orderv1.Status_STATUS_CANCELED || o.GetRefunded().GetMinorUnits() != total || w.till.account(string(p.id)).refunded != total {
			t.Fatalf("%v with %v given back: %v", o.GetStatus(), o.GetRefunded(), o.GetEvents())
		}
	}
}

// Whatever is missed, wherever, before or after the customer cancels: what was taken and is not given back is, to the cent, what
// the units bear that are still sent, and delivery when any are.
func TestMoneyAddsUpWhateverIsMissed(t *testing.T) {
	db := sqldbtest.New(t, sqldb.Customer)
	fly := onDB(db)
	rapid.Check(t, func(t *rapid.T) {
		w, p := fly, newPlacement()
		w.centers = newCenters()
		w.Service = w.cell("use1-a")
		w.centers.spare["pdx1"] = map[string]int64{"ale": rapid.Int64Range(0, 2).Draw(t, "ale"), "port": rapid.Int64Range(0, 1).Draw(t, "port")}
		must(t, w.create(p), w.pay(p))
		for i := range rapid.IntRange(1, 5).Draw(t, "short picks") {
			o := w.get(t, p)
			parcel := rapid.SampledFrom(o.GetParcels()).Draw(t, "parcel")
			if parcel.GetState() != requested {
				continue
			}
			if rapid.IntRange(0, 5).Draw(t, "cancel") == 0 {
				if _, err := w.cancelOrder(p); err != nil && !problem.Is(err, "TOO_LATE_TO_CANCEL") {
					t.Fatal(err)
				}
				continue
			}
			l := rapid.SampledFrom(parcel.GetLines()).Draw(t, "line")
			must(t, w.misses(context.Background(), p, shortPick(parcel.GetFcId(), fmt.Sprint("s-", i), lineOf(l.GetLine(), l.GetSku(), rapid.Int64Range(1, l.GetQuantity()).Draw(t, "units")))))
		}
		o := w.get(t, p)
		w.expectUnits(t, o)
		kept := int64(0)
		for _, l := range o.GetLines() {
			kept += between(l, l.GetCanceled(), l.GetQuantity())
		}
		if o.GetStatus() != orderv1.Status_STATUS_CANCELED {
			kept += 499 + 44
		}
		till := w.till.account(string(p.id))
		if till.captured-till.refunded != kept || o.GetCaptured().GetMinorUnits()-o.GetRefunded().GetMinorUnits() != kept {
			t.Fatalf("kept %d, shown %v less %v, want %d: %v", till.captured-till.refunded, o.GetCaptured(), o.GetRefunded(), kept, o.GetEvents())
		}
		if open := sqldbtest.Texts(t, db, "SELECT saga_id FROM sagas WHERE status <> 'DONE'"); len(open) > 0 {
			t.Fatalf("sagas have not ended: %v", open)
		}
	})
}

func TestAnFCHearsWhenItWasPromisedNotOnlyWhenItWasPaid(t *testing.T) {
	w := newWorld(t)
	for said, want := range map[time.Duration]time.Duration{-20 * time.Minute: -20 * time.Minute, time.Hour: 0} {
		p := newPlacement()
		must(t, w.create(p))
		_, err := w.MarkPaid(t.Context(), &orderv1.MarkPaidRequest{
			CustomerId: string(p.customer), OrderId: string(p.id), Parcels: p.parcels(), ShipTo: p.order().GetShipTo(), PromisedAt: timestamppb.New(opened.Add(said)),
		})
		must(t, err)
		if got := outboxOf(t, w.db, p.id)[0].request; !got.GetPromisedAt().AsTime().Equal(opened.Add(want)) || !got.GetPaidAt().AsTime().Equal(opened) {
			t.Errorf("said %v before it was paid: %v", said, got)
		}
	}
}
