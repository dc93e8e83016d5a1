package saga

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/cellar-commerce/cellar/internal/fence"
	"github.com/cellar-commerce/cellar/internal/problem"
)

// serve a customer by another cell than the slot's owner; the empty name takes the override away. The map follows.
func (p *platform) serve(cell string) {
	p.t.Helper()
	overrides := "NULL"
	if cell != "" {
		overrides = fmt.Sprintf(`'{"%s": "%s"}'`, p.customer, cell)
	}
	err := p.db.ExecText(p.t.Context(), fmt.Sprintf("UPDATE slots SET overrides = %s, epoch = epoch + 1 WHERE region = '%s' AND slot = %d", overrides, home, p.customer.Slot()))
	if err != nil {
		p.t.Fatal(err)
	}
	p.version.Add(1)
}

func (p *platform) sweep(e *Engine, want int, what string) {
	p.t.Helper()
	if n, err := e.Sweep(p.t.Context()); n != want || err != nil {
		p.t.Errorf("%s: took %d, %v, want %d", what, n, err, want)
	}
}

func TestTheSagasOfAnOverriddenCustomerAreTheOverridingCells(t *testing.T) {
	p, w := newPlatform(t), newWorld()
	p.give("use1-a", 1)
	owner, other := p.fenced("use1-a", trip(w, "A")), p.fenced("use1-b", trip(w, "B"))
	p.fence = owner.deps.Fence
	p.begin(owner, "trip-1") // and its run dies
	p.serve("use1-b")
	p.sweep(owner, 0, "the slot's owner, of a customer that is away")
	p.sweep(other, 1, "the overriding cell, as after a flip: nothing is due yet")
	p.expect("trip-1", Done, "c")
	p.fence = other.deps.Fence
	p.begin(other, "trip-2")
	p.clock.Advance(holdTime)
	p.sweep(owner, 0, "the slot's owner, of a saga that is due")
	p.serve("")
	p.sweep(other, 0, "the cell whose override is gone")
	p.sweep(owner, 1, "the owner that has its customer back")
	p.expect("trip-2", Done, "c")
}

// A slot's epoch is new because of somebody else in it, or because it went and came back: what runs here goes on.
func TestANewEpochDoesNotTakeItsOwnRunsFromACell(t *testing.T) {
	p, w := newPlatform(t), newWorld()
	p.give("use1-a", 1)
	frozen, thaw := make(chan struct{}), make(chan struct{})
	w.after["do b"] = func(context.Context, int) error {
		close(frozen)
		<-thaw
		return nil
	}
	e := p.fenced("use1-a", trip(w, ""))
	p.fence = e.deps.Fence
	ticket, ended := p.begin(e, "trip-1"), make(chan error, 1)
	go func() {
		_, _, err := e.Run(t.Context(), ticket)
		ended <- err
	}()
	<-frozen
	p.give("use1-a", 2)
	p.sweep(e, 0, "of what it runs")
	close(thaw)
	if err := <-ended; err != nil {
		t.Error(err)
	}
	w.expect(t, "do a, do b, do c", "a b c")
}

func TestANudgedEngineResumesAtOnceWhatHasComeToItsCell(t *testing.T) {
	p, w := newPlatform(t), newWorld()
	p.give("use1-a", 1)
	before, next := p.fenced("use1-a", trip(w, "")), p.fenced("use1-b", trip(w, ""))
	p.fence = before.deps.Fence
	const all = sweepLimit + 9 // more than run at once: the rest follow as there is room
	for i := range all {
		p.begin(before, fmt.Sprint("trip-", i))
	}
	ctx, cancel := context.WithCancel(t.Context())
	swept := make(chan struct{})
	go func() { defer close(swept); next.SweepEvery(ctx, time.Second) }()
	if err := p.clock.AwaitSleepers(ctx, 1); err != nil { // it has found nothing, and the clock stands still from here on
		t.Fatal(err)
	}
	p.give("use1-b", 2)
	next.Nudge()
	for i := range all {
		id := fmt.Sprint("trip-", i)
		for p.get(id).Status != Done {
			if t.Context().Err() != nil {
				t.Fatalf("%s is never resumed", id)
			}
		}
	}
	cancel()
	<-swept
}

func TestTheEndOfASagaIsAwaitedWhoeverRunsIt(t *testing.T) {
	p, w := newPlatform(t), newWorld()
	at, let := make(chan struct{}), make(chan struct{})
	w.after["do b"] = func(context.Context, int) error {
		close(at)
		<-let
		return nil
	}
	here, there := p.engine("use1-a", trip(w, "")), p.engine("use1-b", trip(w, ""))
	ticket := p.begin(here, "trip-1")
	ran := make(chan error, 1)
	go func() {
		_, _, err := here.Run(t.Context(), ticket)
		ran <- err
	}()
	<-at
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	for _, e := range []*Engine{here, there} {
		if err := e.Await(gone, home, "trip-1"); !errors.Is(err, context.Canceled) {
			t.Errorf("a caller who leaves: %v", err)
		}
	}
	told := make(chan error, 2)
	go func() { told <- here.Await(t.Context(), home, "trip-1") }() // needs no clock
	go func() { told <- there.Await(t.Context(), home, "trip-1") }()
	if err := p.clock.AwaitSleepers(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	close(let)
	if err := errors.Join(<-ran, <-told); err != nil {
		t.Error(err)
	}
	p.clock.Advance(awaitMost)
	if err := <-told; err != nil {
		t.Error(err)
	}
	if err := here.Await(t.Context(), home, "nothing"); !problem.Is(err, "UNKNOWN_SAGA") {
		t.Errorf("got %v", err)
	}
}

// The run of the owner before is told who goes on, whatever it was at.
func TestARunWhoseSlotHasMovedIsToldTheNewOwner(t *testing.T) {
	for _, step := range []string{"a", "b", "c"} {
		p, w := newPlatform(t), newWorld()
		p.give("use1-a", 1)
		e := p.fenced("use1-a", trip(w, ""))
		p.fence = e.deps.Fence
		w.after["do "+step] = func(_ context.Context, try int) error {
			if try == 1 {
				p.give("use1-b", 2)
			}
			return errFault
		}
		if _, _, err := e.Run(t.Context(), p.begin(e, "trip-1")); !problem.Is(err, fence.ReasonWrongCell) {
			t.Errorf("at %s: %v", step, err)
		}
	}
}
