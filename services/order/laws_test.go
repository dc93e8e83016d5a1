package order

import (
	"context"
	"errors"
	"maps"
	"strings"
	"sync"
	"testing"
	"time"

	orderv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/order/v1"
	"github.com/cellar-commerce/cellar/internal/problem"
	"github.com/cellar-commerce/cellar/internal/sqldb"
	"github.com/cellar-commerce/cellar/internal/sqldb/sqldbtest"
)

// The laws of sagas, held by those that follow an order. None of them has an undo: what an FC or a card network has said
// is not taken back, so the law of undoing twice has nothing to hold.

var (
	errFault   = errors.New("a part of the platform does not answer")
	errRefusal = problem.New(problem.Precondition, "NOT_NOW", "played by a test")
)

// story is one saga, from what it needs to what must be true once it has ended.
type story struct {
	held  bool
	begin func(ctx context.Context, w world, p placement) error
	calls []string // that it makes of others, in their order
	// total of what was captured and refunded in the end, and what the order shows.
	captured, refunded int64
	status             orderv1.Status
	payment            orderv1.PaymentStatus
	parcels            string
}

const total = 4789

func stories() map[string]story {
	cancel := func(ctx context.Context, w world, p placement) error {
		_, err := w.CancelOrder(p.session(ctx), &orderv1.CancelOrderRequest{OrderId: string(p.id)})
		return err
	}
	ship := func(ctx context.Context, w world, p placement, fcs ...string) error {
		var all []error
		for _, fc := range fcs {
			w.centers.become(fc, string(p.id), "shipped")
			all = append(all, w.shipIn(ctx, p, fc, "shipment-of-"+fc))
			w.Drain()
		}
		return errors.Join(all...)
	}
	all := shortPickStories()
	maps.Copy(all, map[string]story{
		"cancellation of a whole order": {
			begin: cancel, calls: []string{"CancelShipment iad1", "CancelShipment sea1", "Release iad1", "Release sea1", "Refund"},
			captured: total, refunded: total, status: orderv1.Status_STATUS_CANCELED, payment: refunded, parcels: "CANCELED CANCELED",
		},
		"cancellation of what was only held": {
			held: true, begin: cancel, calls: []string{"CancelShipment iad1", "CancelShipment sea1", "Release iad1", "Release sea1", "Refund"},
			status: orderv1.Status_STATUS_CANCELED, payment: voided, parcels: "CANCELED CANCELED",
		},
		"cancellation after one parcel has left": {
			begin: func(ctx context.Context, w world, p placement) error {
				return first(ship(ctx, w, p, "iad1"), cancel(ctx, w, p))
			},
			calls:    []string{"CancelShipment sea1", "Release sea1", "Refund"},
			captured: total, refunded: 2500 + 222 + 500 - 33 + 41, status: orderv1.Status_STATUS_SHIPPED, payment: partlyRefunded, parcels: "SHIPPED CANCELED",
		},
		"return of a line that came from two centres": {
			begin: func(ctx context.Context, w world, p placement) error {
				if err := ship(ctx, w, p, "iad1", "sea1"); err != nil {
					return err
				}
				_, err := w.ReturnItems(p.session(ctx), &orderv1.ReturnItemsRequest{OrderId: string(p.id), ReturnId: "r1", Lines: []*orderv1.ReturnLine{{Line: 1, Quantity: 3}}})
				return err
			},
			calls:    []string{"Return iad1", "Return sea1", "Refund"},
			captured: total, refunded: 1500 - 100 + 124, status: orderv1.Status_STATUS_SHIPPED, payment: partlyRefunded, parcels: "RETURNED PARTLY_RETURNED",
		},
		"a parcel that is sent back": {
			begin: func(ctx context.Context, w world, p placement) error {
				return first(ship(ctx, w, p, "iad1"), w.comesBack(ctx, p, "sea1"))
			},
			calls:    []string{"Return sea1", "Refund"},
			captured: total, refunded: 2500 + 222 + 500 - 33 + 41, status: orderv1.Status_STATUS_SHIPPED, payment: partlyRefunded, parcels: "SHIPPED RETURNED",
		},
		"a parcel that is sent back before its money is taken": {
			held: true, begin: func(ctx context.Context, w world, p placement) error {
				return first(ship(ctx, w, p, "iad1"), w.comesBack(ctx, p, "sea1"))
			},
			calls:    []string{"Return sea1", "Refund", "Capture"},
			captured: total, refunded: 2500 + 222 + 500 - 33 + 41, status: orderv1.Status_STATUS_SHIPPED, payment: partlyRefunded, parcels: "SHIPPED RETURNED",
		},
		"capture of each shipment": {
			held: true, begin: func(ctx context.Context, w world, p placement) error { return ship(ctx, w, p, "iad1", "sea1") },
			calls:    []string{"Capture"},
			captured: total, status: orderv1.Status_STATUS_SHIPPED, payment: captured, parcels: "SHIPPED SHIPPED",
		},
		"cancellation of the rest of what was only held": {
			held: true, begin: func(ctx context.Context, w world, p placement) error {
				return first(ship(ctx, w, p, "iad1"), cancel(ctx, w, p))
			},
			calls:    []string{"CancelShipment sea1", "Release sea1", "Capture"},
			captured: 1000 - 66 + 82 + 499 + 44, status: orderv1.Status_STATUS_SHIPPED, payment: captured, parcels: "SHIPPED CANCELED",
		},
	})
	return all
}

// expect the end of a story, by all who took part.
func (s story) expect(t *testing.T, w world, p placement) {
	t.Helper()
	o, till := w.get(t, p), w.till.account(string(p.id))
	if o.GetStatus() != s.status || o.GetPaymentStatus() != s.payment {
		t.Errorf("the order is %v, its payment %v; want %v, %v", o.GetStatus(), o.GetPaymentStatus(), s.status, s.payment)
	}
	var parcels []string
	for _, parcel := range o.GetParcels() {
		parcels = append(parcels, strings.TrimPrefix(parcel.GetState().String(), "PARCEL_STATE_"))
	}
	if got := strings.Join(parcels, " "); got != s.parcels {
		t.Errorf("parcels %s, want %s", got, s.parcels)
	}
	if till.captured != s.captured || till.refunded != s.refunded || till.held != 0 {
		t.Errorf("captured %d, refunded %d, held %d; want %d and %d", till.captured, till.refunded, till.held, s.captured, s.refunded)
	}
	if o.GetCaptured().GetMinorUnits() != s.captured || o.GetRefunded().GetMinorUnits() != s.refunded {
		t.Errorf("shown: captured %v, refunded %v; want %d and %d", o.GetCaptured(), o.GetRefunded(), s.captured, s.refunded)
	}
	w.expectUnits(t, o)
	if open := sqldbtest.Texts(t, w.db, "SELECT saga_id || ' ' || status FROM sagas WHERE status <> 'DONE'"); len(open) > 0 {
		t.Errorf("sagas have not ended: %v", open)
	}
}

// tell a story on a world whose calls may fail.
func (s story) tell(ctx context.Context, t *testing.T, w world) placement {
	t.Helper()
	p := newPlacement()
	must(t, w.create(p), w.payAs(p, s.held))
	err := s.begin(ctx, w, p)
	if err != nil && ctx.Err() == nil {
		t.Errorf("got %v", err)
	}
	w.Drain()
	return p
}

func eachStory(t *testing.T, do func(t *testing.T, w world, s story)) {
	t.Helper()
	db := sqldbtest.New(t, sqldb.Customer)
	for name, s := range stories() {
		t.Run(name, func(t *testing.T) {
			w := onDB(db)
			w.timeFlies(t)
			do(t, w, s)
		})
	}
}

func TestWhatFollowsAnOrderEndsAsItShould(t *testing.T) {
	eachStory(t, func(t *testing.T, w world, s story) {
		p := s.tell(t.Context(), t, w)
		s.expect(t, w, p)
		for _, call := range s.calls {
			if w.till.calls[call]+w.centers.calls[call] == 0 {
				t.Errorf("%s was never called", call)
			}
		}
	})
}

func TestAStepDoneTwiceIsAsDoneOnce(t *testing.T) {
	eachStory(t, func(t *testing.T, w world, s story) {
		lost := func(_ string, n int) error { // the effect has happened, its answer is lost
			if n == 1 {
				return errFault
			}
			return nil
		}
		w.till.after, w.centers.after = lost, lost
		p := s.tell(t.Context(), t, w)
		s.expect(t, w, p)
	})
}

func TestAFailureAtEachStepOnlyDelaysTheEnd(t *testing.T) {
	for _, fault := range []error{errFault, errRefusal} {
		eachStory(t, func(t *testing.T, w world, s story) {
			for _, call := range s.calls {
				fail := func(c string, n int) error {
					if c == call && n <= 2 {
						return fault
					}
					return nil
				}
				w.till.before, w.centers.before = fail, fail
				w.till.calls, w.centers.calls = nil, nil
				p := s.tell(t.Context(), t, w)
				s.expect(t, w, p)
			}
		})
	}
}

// The process that runs the saga dies around each call, before its effect and after; another cell sweeps.
func TestARunThatDiesAtAnyStepIsFinishedByAnotherCell(t *testing.T) {
	eachStory(t, func(t *testing.T, w world, s story) {
		for _, call := range s.calls {
			for _, half := range []bool{false, true} {
				w.dies(t, s, call, half)
				if t.Failed() {
					t.Fatalf("it died at %s, half done: %v", call, half)
				}
			}
		}
	})
}

func (w world) dies(t *testing.T, s story, call string, half bool) {
	t.Helper()
	ctx, die := context.WithCancel(t.Context())
	defer die()
	var once sync.Once
	deadly := func(c string, _ int) (err error) {
		if c == call {
			once.Do(func() { die(); err = ctx.Err() })
		}
		return err
	}
	w.till.before, w.till.after, w.centers.before, w.centers.after = nil, nil, nil, nil
	if half {
		w.till.after, w.centers.after = deadly, deadly
	} else {
		w.till.before, w.centers.before = deadly, deadly
	}
	p := newPlacement()
	must(t, w.create(p), w.payAs(p, s.held))
	w.detached = func(ctx context.Context) context.Context { return ctx } // what it runs dies with the request
	if err := s.begin(ctx, w, p); err == nil && ctx.Err() == nil {
		t.Fatal("it lives")
	}
	w.Drain()
	other := w
	other.Service = w.cell("use1-b")
	other.sweepToTheEnd(t)
	if err := s.begin(t.Context(), other, p); err != nil { // whoever asked asks again
		t.Fatal(err)
	}
	other.Drain()
	s.expect(t, other, p)
}

func (w world) sweepToTheEnd(t *testing.T) {
	t.Helper()
	for {
		w.clock.Advance(time.Minute)
		n, err := w.Sweep(t.Context())
		must(t, err)
		if n == 0 {
			return
		}
	}
}
