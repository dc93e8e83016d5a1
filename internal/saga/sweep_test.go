package saga

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"testing"
	"time"
)

func TestASagaIsTakenOverOnlyWhenItsHolderHasBeenSilentTooLong(t *testing.T) {
	p, w := newPlatform(t), newWorld()
	holder := p.engine("use1-a", trip(w, ""))
	p.begin(holder, "trip-1") // its run dies before it begins
	other := p.engine("use1-b", trip(w, ""))
	p.clock.Advance(holdTime - time.Microsecond)
	if n, err := other.Sweep(t.Context()); n != 0 || err != nil {
		t.Errorf("too early: took %d, %v", n, err)
	}
	p.clock.Advance(time.Microsecond)
	if n, err := other.Sweep(t.Context()); n != 1 || err != nil {
		t.Errorf("in time: took %d, %v", n, err)
	}
	p.expect("trip-1", Done, "c")
	w.expect(t, "do a, do b, do c", "a b c")
}

func TestEachStepHoldsTheSagaAnew(t *testing.T) {
	p, w := newPlatform(t), newWorld()
	other := p.engine("use1-b", trip(w, "B"))
	for _, what := range verbs("do", "a", "b", "c") {
		w.after[what] = func(context.Context, int) error {
			p.clock.Advance(holdTime - time.Second) // each is slow, all together far slower than holdTime
			if n, err := other.Sweep(t.Context()); n != 0 || err != nil {
				t.Errorf("after %s: took %d, %v", what, n, err)
			}
			return nil
		}
	}
	e := p.engine("use1-a", trip(w, "A"))
	if status, _, err := e.Run(t.Context(), p.begin(e, "trip-1")); status != Done || err != nil {
		t.Errorf("got %s, %v", status, err)
	}
	w.expect(t, "A do a, A do b, A do c", "a b c")
}

// A process is frozen in the middle of a step; when it wakes up, another cell has finished its saga.
func TestAHolderThatLostItsSagaStopsWithoutFurtherEffect(t *testing.T) {
	p, w := newPlatform(t), newWorld()
	frozen, thaw := make(chan struct{}), make(chan struct{})
	w.after["do b"] = func(_ context.Context, try int) error {
		if try == 1 {
			close(frozen)
			<-thaw
		}
		return nil
	}
	first, second := p.engine("use1-a", trip(w, "A")), p.engine("use1-b", trip(w, "B"))
	ticket := p.begin(first, "trip-1")
	lost := make(chan error, 1)
	go func() {
		_, _, err := first.Run(t.Context(), ticket)
		lost <- err
	}()
	<-frozen
	p.clock.Advance(holdTime)
	if n, err := second.Sweep(t.Context()); n != 1 || err != nil {
		t.Fatalf("took %d, %v", n, err)
	}
	close(thaw)
	if err := <-lost; !errors.Is(err, errLost) {
		t.Errorf("the first run ended with %v", err)
	}
	w.expect(t, "A do a, A do b, B do b, B do c", "a b c")
	p.expect("trip-1", Done, "c")
}

func TestASweptStepThatFailsIsLeftToALaterSweep(t *testing.T) {
	p, w := newPlatform(t), newWorld()
	w.before["do b"] = func(_ context.Context, try int) error {
		if try < 3 {
			return errFault
		}
		return nil
	}
	e := p.engine("use1-a", trip(w, ""))
	p.begin(e, "trip-1")
	p.clock.Advance(holdTime)
	for try := 1; try < 3; try++ {
		if n, err := e.Sweep(t.Context()); n != 1 || err != nil { // it returns without waiting out the back-off
			t.Fatalf("try %d: took %d, %v", try, n, err)
		}
		if in := p.expect("trip-1", Running, "b"); in.Attempts != try || in.LastError != "INTERNAL" {
			t.Errorf("try %d: got %+v", try, in)
		}
		if n, err := e.Sweep(t.Context()); n != 0 || err != nil {
			t.Errorf("within the back-off: took %d, %v", n, err)
		}
		p.clock.Advance(backoff(try))
	}
	if n, err := e.Sweep(t.Context()); n != 1 || err != nil {
		t.Fatalf("took %d, %v", n, err)
	}
	p.expect("trip-1", Done, "c")
	w.expect(t, "do a, do b, do b, do b, do c", "a b c")
}

func TestASweepTakesOnlySagasOfItsSlots(t *testing.T) {
	p, w := newPlatform(t), newWorld()
	p.begin(p.engine("use1-a", trip(w, "")), "trip-1")
	p.give("use1-c", 1)
	p.clock.Advance(holdTime)
	if n, err := p.engine("use1-b", trip(w, "")).Sweep(t.Context()); n != 0 || err != nil {
		t.Errorf("of other slots: took %d, %v", n, err)
	}
	if n, err := p.engine("use1-c", trip(w, "")).Sweep(t.Context()); n != 1 || err != nil {
		t.Errorf("of its slot: took %d, %v", n, err)
	}
	p.expect("trip-1", Done, "c")
}

func TestSweepsAtOnceTakeEachSagaOnce(t *testing.T) {
	const n = 20
	p, w := newPlatform(t), newWorld()
	begun := p.engine("use1-a", trip(w, ""))
	for i := range n {
		p.begin(begun, fmt.Sprint("trip-", i))
	}
	p.clock.Advance(holdTime)
	var wg sync.WaitGroup
	taken := make([]int, 4)
	for i := range taken {
		wg.Go(func() {
			var err error
			if taken[i], err = p.engine(fmt.Sprint("cell-", i), trip(w, "")).Sweep(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if sum := taken[0] + taken[1] + taken[2] + taken[3]; sum != n {
		t.Errorf("%v taken of %d", taken, n)
	}
	for i := range n {
		p.expect(fmt.Sprint("trip-", i), Done, "c")
	}
	if w.tries["do a"] != n || w.tries["do b"] != n || w.tries["do c"] != n {
		t.Errorf("tries %v, want %d each", w.tries, n)
	}
}

func TestSweepingGoesOnUntilItsContextEnds(t *testing.T) {
	p, w := newPlatform(t), newWorld()
	done := make(chan struct{})
	w.after["do c"] = func(context.Context, int) error { close(done); return nil }
	e := p.engine("use1-a", trip(w, ""))
	p.begin(e, "trip-1")
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() { defer close(ended); e.SweepEvery(ctx, time.Second) }()
	for range int(holdTime / time.Second) {
		if err := p.clock.AwaitSleepers(ctx, 1); err != nil {
			t.Fatal(err)
		}
		p.clock.Advance(time.Second)
	}
	<-done
	for p.get("trip-1").Status != Done { // its run is not waited for
		runtime.Gosched()
	}
	cancel()
	<-ended
}

// However long it waits after a fault: nobody takes the saga over before its next try has had its time.
func TestARunThatWaitsKeepsItsSagaForTheNextTry(t *testing.T) {
	p, w := newPlatform(t), newWorld()
	ctx, cancel := context.WithCancel(t.Context())
	still := make(chan struct{})
	go func() {
		defer close(still)
		for p.clock.AwaitSleepers(ctx, 1) == nil {
			p.clock.Advance(time.Second)
		}
	}()
	const tries = 18 // the last waits are the longest that there are
	w.before["do b"] = func(_ context.Context, try int) error {
		if left := p.get("trip-1").DueAt.Sub(p.clock.Now()); left < stepTimeout {
			t.Errorf("at try %d it is held for another %s", try, left)
		}
		if try < tries {
			return errFault
		}
		return nil
	}
	e := p.engine("use1-a", trip(w, ""))
	if status, _, err := e.Run(t.Context(), p.begin(e, "trip-1")); status != Done || err != nil {
		t.Errorf("got %s, %v", status, err)
	}
	cancel()
	<-still
}
