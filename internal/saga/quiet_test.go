package saga

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"
)

// quietTrip books a to e; a, b and d are quiet, and d and e cannot be undone. Stored are the ends of c and e, and of b
// only when that is slow.
func quietTrip(w *world, cell string) *Definition {
	d := tripOf(w, cell, "a", "b", "c", "d", "e")
	d.Steps[0].Quiet, d.Steps[1].Quiet, d.Steps[3].Quiet = true, true, true
	d.Steps[3].Forward, d.Steps[4].Forward = true, true
	return d
}

func TestTheEndOfAQuietStepIsNotStored(t *testing.T) {
	p, w := newPlatform(t), newWorld()
	stored := map[string]string{}
	for _, step := range []string{"a", "b", "c", "d", "e"} {
		w.before["do "+step] = func(context.Context, int) error { stored[step] = p.get("trip-1").Step; return nil }
	}
	e := p.engine("use1-a", quietTrip(w, ""))
	if status, _, err := e.Run(t.Context(), p.begin(e, "trip-1")); status != Done || err != nil {
		t.Fatalf("got %s, %v", status, err)
	}
	if got := fmt.Sprint(stored); got != "map[a:a b:a c:a d:d e:d]" {
		t.Errorf("at each step the row was at %s", got)
	}
	p.expect("trip-1", Done, "e")
}

func TestTheLastStepBeforeThePointOfNoReturnIsStoredThoughItIsQuiet(t *testing.T) {
	p, w := newPlatform(t), newWorld()
	d := quietTrip(w, "")
	d.Steps[2].Quiet = true
	w.before["do d"] = func(context.Context, int) error { p.expect("trip-1", Running, "d"); return nil }
	e := p.engine("use1-a", d)
	if status, _, err := e.Run(t.Context(), p.begin(e, "trip-1")); status != Done || err != nil {
		t.Errorf("got %s, %v", status, err)
	}
}

// A run that dies at any point of a group of quiet steps is resumed at the group's first.
func TestARunThatDiesAmongQuietStepsIsResumedAtTheLastStored(t *testing.T) {
	for _, death := range []struct{ at, again string }{
		{"a", "do a"}, {"b", "do a, do b"}, {"c", "do a, do b, do c"}, {"d", "do d"}, {"e", "do d, do e"},
	} {
		for _, half := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s half done %v", death.at, half), func(t *testing.T) {
				p, w := newPlatform(t), newWorld()
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				at := w.before
				if half {
					at = w.after
				}
				at["do "+death.at] = func(ctx context.Context, try int) error {
					if try == 1 {
						cancel()
					}
					return ctx.Err()
				}
				e := p.engine("use1-a", quietTrip(w, ""))
				if _, _, err := e.Run(ctx, p.begin(e, "trip-1")); err == nil {
					t.Fatal("it has not died")
				}
				p.sweepToTheEnd(p.engine("use1-b", quietTrip(w, "")))
				p.expect("trip-1", Done, "e")
				until := strings.SplitAfter("do a, do b, do c, do d, do e", "do "+death.at)
				w.expect(t, until[0]+", "+death.again+until[1], "a b c d e")
			})
		}
	}
}

// The run before may have come as far as the group's end, although only its first step is stored.
func TestATakenOverSagaThatIsRefusedIsUndoneFromTheEndOfItsGroup(t *testing.T) {
	p, w := newPlatform(t), newWorld()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	w.after["do c"] = func(ctx context.Context, _ int) error { cancel(); return ctx.Err() } // it has had its effect
	w.before["do a"] = func(_ context.Context, try int) error {
		if try > 1 {
			return errRefusal
		}
		return nil
	}
	e := p.engine("use1-a", quietTrip(w, ""))
	if _, _, err := e.Run(ctx, p.begin(e, "trip-1")); err == nil {
		t.Fatal("it has not died")
	}
	p.sweepToTheEnd(p.engine("use1-b", quietTrip(w, "")))
	p.expect("trip-1", Undone, "a")
	w.expect(t, "do a, do b, do c, do a, undo c, undo b, undo a", "")
}

func TestARunThatKnowsHowFarItCameUndoesFromThere(t *testing.T) {
	p, w := newPlatform(t), newWorld()
	w.after["do b"] = always(errRefusal)
	e := p.engine("use1-a", quietTrip(w, ""))
	if status, _, err := e.Run(t.Context(), p.begin(e, "trip-1")); status != Undone || err != nil {
		t.Errorf("got %s, %v", status, err)
	}
	w.expect(t, "do a, do b, undo b, undo a", "")
}

// Undoing is stored step by step, quiet or not.
func TestEachUndoOfAQuietStepIsStored(t *testing.T) {
	p, w := newPlatform(t), newWorld()
	w.before["do c"] = always(errRefusal)
	w.before["undo a"] = func(context.Context, int) error { p.expect("trip-1", Undoing, "a"); return nil }
	e := p.engine("use1-a", quietTrip(w, ""))
	if status, _, err := e.Run(t.Context(), p.begin(e, "trip-1")); status != Undone || err != nil {
		t.Errorf("got %s, %v", status, err)
	}
}

func TestARunOfSlowQuietStepsStoresThatItLives(t *testing.T) {
	p, w := newPlatform(t), newWorld()
	other := p.engine("use1-b", quietTrip(w, "B"))
	for _, what := range verbs("do", "a", "b") {
		w.after[what] = func(context.Context, int) error {
			p.clock.Advance(quietTime)
			return nil
		}
	}
	w.before["do c"] = func(context.Context, int) error {
		p.expect("trip-1", Running, "c")
		p.clock.Advance(holdTime - time.Second)
		if n, err := other.Sweep(t.Context()); n != 0 || err != nil {
			t.Errorf("it is taken for dead: %d, %v", n, err)
		}
		return nil
	}
	e := p.engine("use1-a", quietTrip(w, "A"))
	if status, _, err := e.Run(t.Context(), p.begin(e, "trip-1")); status != Done || err != nil {
		t.Errorf("got %s, %v", status, err)
	}
	w.expect(t, "A do a, A do b, A do c, A do d, A do e", "a b c d e")
}
