package saga

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/cellar-commerce/cellar/internal/fence"
	"github.com/cellar-commerce/cellar/internal/ident"
	"github.com/cellar-commerce/cellar/internal/problem"
)

// owners as the map tells; the database decides.
type owners struct{ cell string }

func (o owners) Owner(ident.CustomerID) (string, uint64, bool) { return o.cell, 1, true }

// fenced engine of a cell: it writes only for the slots that the database gives it.
func (p *platform) fenced(cell string, d *Definition) *Engine {
	p.t.Helper()
	f, err := fence.New(fence.Deps{DB: p.db, Cell: cell, Region: home, Owners: owners{cell}})
	if err != nil {
		p.t.Fatal(err)
	}
	own := *p
	own.fence = f
	return own.engine(cell, d)
}

// give the customer's slot to a cell, under a new epoch, and publish a map that says so.
func (p *platform) give(cell string, epoch uint64) {
	p.t.Helper()
	slot := p.customer.Slot()
	err := fence.Assign(p.t.Context(), p.db, home, p.clock.Now(), []fence.Assignment{{Slot: slot, Owner: cell, Epoch: epoch}})
	if err == nil {
		err = p.db.ExecText(p.t.Context(), fmt.Sprintf("UPDATE slots SET owner = '%s', epoch = %d WHERE region = '%s' AND slot = %d", cell, epoch, home, slot))
	}
	if err != nil {
		p.t.Fatal(err)
	}
	p.version.Add(1)
}

func TestTheNextOwnerOfASlotDoesNotWaitForTheRunsOfTheOneBefore(t *testing.T) {
	p, w := newPlatform(t), newWorld()
	p.give("use1-a", 1)
	frozen, thaw := make(chan struct{}), make(chan struct{})
	w.after["do b"] = func(_ context.Context, try int) error {
		if try == 1 {
			close(frozen)
			<-thaw
		}
		return nil
	}
	before, next := p.fenced("use1-a", trip(w, "A")), p.fenced("use1-b", trip(w, "B"))
	p.fence = before.deps.Fence
	ticket := p.begin(before, "trip-1")
	fenced := make(chan error, 1)
	go func() {
		_, _, err := before.Run(t.Context(), ticket)
		fenced <- err
	}()
	<-frozen
	p.give("use1-b", 2)
	if n, err := next.Sweep(t.Context()); n != 1 || err != nil { // the clock stands still
		t.Errorf("took %d, %v", n, err)
	}
	p.expect("trip-1", Done, "c")
	close(thaw)
	if err := <-fenced; !problem.Is(err, fence.ReasonWrongCell) {
		t.Errorf("the run before ended with %v", err)
	}
	w.expect(t, "A do a, A do b, B do b, B do c", "a b c")
}

func TestASlotThatStaysKeepsItsRuns(t *testing.T) {
	p, w := newPlatform(t), newWorld()
	p.give("use1-a", 7)
	e := p.fenced("use1-a", trip(w, ""))
	p.fence = e.deps.Fence
	p.begin(e, "trip-1")
	again := p.fenced("use1-a", trip(w, "")) // the same cell, after it has crashed
	if n, err := again.Sweep(t.Context()); n != 0 || err != nil {
		t.Errorf("took %d, %v", n, err)
	}
	p.clock.Advance(holdTime)
	if n, err := again.Sweep(t.Context()); n != 1 || err != nil {
		t.Errorf("when it is due: took %d, %v", n, err)
	}
	p.expect("trip-1", Done, "c")
}

func TestAnEngineLeavesOtherKindsToOthers(t *testing.T) {
	p, w := newPlatform(t), newWorld()
	p.give("use1-a", 1)
	trips := p.fenced("use1-a", trip(w, ""))
	p.fence = trips.deps.Fence
	p.begin(trips, "trip-1")
	p.give("use1-b", 2)
	cruise := trip(w, "")
	cruise.Kind = "cruise"
	for _, wait := range []time.Duration{0, holdTime} { // stale, and due
		p.clock.Advance(wait)
		if n, err := p.fenced("use1-b", cruise).Sweep(t.Context()); n != 0 || err != nil {
			t.Errorf("after %s an engine of cruises took %d, %v", wait, n, err)
		}
	}
	if n, err := p.fenced("use1-b", trip(w, "")).Sweep(t.Context()); n != 1 || err != nil {
		t.Errorf("the engine of trips took %d, %v", n, err)
	}
}

// Whatever one saga waits for, the others are found: only so many runs are under way at once.
func TestASagaThatTakesLongDoesNotKeepTheSweepFromOthers(t *testing.T) {
	p, w := newPlatform(t), newWorld()
	stuck, let := make(chan struct{}), make(chan struct{})
	w.before["do a"] = func(_ context.Context, try int) error {
		if try == 1 {
			close(stuck)
			<-let
		}
		return nil
	}
	e := p.engine("use1-a", trip(w, ""))
	var runs sync.WaitGroup
	take := func(what string) {
		t.Helper()
		if n, err := e.sweep(t.Context(), &runs); n != 1 || err != nil {
			t.Errorf("%s: took %d, %v", what, n, err)
		}
	}
	p.begin(e, "trip-1")
	p.clock.Advance(holdTime / 3)
	p.begin(e, "trip-2")
	p.clock.Advance(holdTime - holdTime/3)
	take("the first")
	<-stuck
	p.clock.Advance(holdTime / 3)
	take("the second, while the first is under way")
	close(let)
	runs.Wait()
	p.expect("trip-1", Done, "c")
	p.expect("trip-2", Done, "c")
}

func TestSweepsHaveOnlySoManyRunsUnderWay(t *testing.T) {
	p, w := newPlatform(t), newWorld()
	let, entered := make(chan struct{}), make(chan struct{}, 2*sweepLimit)
	w.before["do a"] = func(context.Context, int) error {
		entered <- struct{}{}
		<-let
		return nil
	}
	e := p.engine("use1-a", trip(w, ""))
	for i := range sweepLimit + 3 {
		p.begin(e, fmt.Sprint("trip-", i))
	}
	p.clock.Advance(holdTime)
	var runs sync.WaitGroup
	for _, want := range []int{sweepLimit, 0} {
		if n, err := e.sweep(t.Context(), &runs); n != want || err != nil {
			t.Errorf("took %d, %v, want %d", n, err, want)
		}
	}
	for range sweepLimit {
		<-entered
	}
	close(let)
	runs.Wait()
	if n, err := e.Sweep(t.Context()); n != 3 || err != nil {
		t.Errorf("then took %d, %v", n, err)
	}
}
