package placement

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cellar-commerce/cellar/internal/fence"
	orderv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/order/v1"
	problemv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/problem/v1"
	"github.com/cellar-commerce/cellar/internal/ident"
	"github.com/cellar-commerce/cellar/internal/problem"
	"github.com/cellar-commerce/cellar/internal/sqldb/sqldbtest"
	"github.com/cellar-commerce/cellar/services/checkout"
)

// ownMap has a cell own every slot: each cell of these tests has one, and the rows decide.
type ownMap string

// Owner implements fence.Owners.
func (m ownMap) Owner(ident.CustomerID) (string, uint64, bool) { return string(m), 1, true }

// fencedCells a and b of a world, and who gives b the slots of a's customers. The map of b is new whenever it is looked at.
func (w *world) fencedCells(t *testing.T) (a, b *cell, move func(ident.CustomerID)) {
	t.Helper()
	var all []fence.Assignment
	for s := range ident.Slots {
		all = append(all, fence.Assignment{Slot: ident.Slot(s), Owner: "use1-a", Epoch: 1})
	}
	must(t, fence.Assign(t.Context(), w.customers, here, w.clock.Now(), all))
	var version atomic.Uint64
	open := func(name string) *cell {
		f, err := fence.New(fence.Deps{DB: w.customers, Cell: name, Region: here, Owners: ownMap(name)})
		must(t, err)
		w.fence = f
		c := w.start(t, name, func(d *checkout.Deps) {
			d.Rings = func() ([]ident.Region, uint64) { return []ident.Region{here}, version.Add(1) }
		})
		t.Cleanup(c.stop)
		return c
	}
	return open("use1-a"), open("use1-b"), func(id ident.CustomerID) {
		must(t, w.customers.ExecText(context.WithoutCancel(t.Context()),
			fmt.Sprintf("UPDATE slots SET owner = 'use1-b', epoch = epoch + 1 WHERE region = '%s' AND slot = %d AND owner = 'use1-a'", here, id.Slot())))
	}
}

// The slot moves at each point of a placement. The old owner takes the request to the new one, never answers with a fault or a
// refusal; the new owner goes on with the saga at once, and the same key is answered there with the order.
func TestAnOrderWhoseSlotMovesIsPlacedOnceAndAnsweredByTheNewOwner(t *testing.T) {
	w := newWorld(t)
	a, b, move := w.fencedCells(t)
	w.timeFlies(t)
	sku := w.stocked(t, map[string]int64{"ewr1": 500})
	first := a.shopper()
	req := payBy(first.quoteOf(t, sku, 1), goodCard)
	a.faults.arm(nil)
	first.mustPlace(t, "key", req)
	points := a.faults.passed()
	redirected, moved := 0, map[ident.Slot]bool{}
	for i, point := range points {
		s := a.shopper()
		for moved[s.id.Slot()] { // a slot of those before, by chance, is not a's any more
			s = a.shopper()
		}
		moved[s.id.Slot()] = true
		req := payBy(s.quoteOf(t, sku, 1), goodCard)
		a.faults.arm(func(n int, _ string) error {
			if n == i {
				move(s.id)
			}
			return nil
		})
		o, err := s.place("key", req)
		if err != nil {
			redirected++
			d, ok := problem.Detail[*problemv1.WrongCell](err)
			if !ok || !problem.Is(err, fence.ReasonWrongCell) || d.GetOwner() != "use1-b" {
				t.Fatalf("%d %s: the old owner answers %v", i, point, err)
			}
		}
		var sweep sync.WaitGroup
		sweep.Go(func() {
			if _, err := b.checkout.Sweep(t.Context()); err != nil {
				t.Error(err)
			}
		})
		again, err := s.at(b).place("key", req)
		if err != nil {
			t.Fatalf("%d %s: %v; %v", i, point, err, sqldbtest.Texts(t, w.customers, "SELECT step || ' ' || status || ' ' || attempts || ' ' || last_error || ' ' || holder FROM sagas WHERE customer_id = $1", string(s.id)))
		}
		sweep.Wait()
		if again.GetStatus() != orderv1.Status_STATUS_PAID || (o != nil && o.GetOrderId() != again.GetOrderId()) {
			t.Errorf("%d %s: the new owner answers %v", i, point, again)
		}
		if n := len(sqldbtest.Texts(t, w.customers, "SELECT order_id FROM orders WHERE region = 'us-east-1' AND customer_id = $1", string(s.id))); n != 1 {
			t.Errorf("%d %s: %d orders", i, point, n)
		}
	}
	if redirected < len(points)/2 {
		t.Errorf("only %d of %d were redirected", redirected, len(points))
	}
	w.consistent(t)
}

// A request comes to the new owner while the saga is not taken over yet, and waits for whoever does.
func TestARequestAttachesToASagaThatNobodyRunsYet(t *testing.T) {
	w := newWorld(t)
	a, b, move := w.fencedCells(t)
	s := a.shopper()
	req := payBy(s.quoteOf(t, w.stocked(t, map[string]int64{"ewr1": 9}), 1), goodCard)
	a.faults.meanwhile = func(point string) {
		if point == "before the charge" {
			move(s.id)
		}
	}
	if _, err := s.place("key", req); !problem.Is(err, fence.ReasonWrongCell) {
		t.Fatalf("got %v", err)
	}
	var o *orderv1.Order
	var err error
	var attached sync.WaitGroup
	attached.Go(func() { o, err = s.at(b).place("key", req) })
	must(t, w.clock.AwaitSleepers(t.Context(), 1)) // it has found the key without an answer
	if _, err := b.checkout.Sweep(t.Context()); err != nil {
		t.Error(err)
	}
	w.clock.Advance(time.Second)
	attached.Wait()
	if err != nil || o.GetStatus() != orderv1.Status_STATUS_PAID {
		t.Errorf("answered %v, %v", o, err)
	}
	w.consistent(t)
}
