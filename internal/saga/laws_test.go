package saga

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
)

var tripSteps = []string{"a", "b", "c"}

// travel runs one trip in a world, by its own run as far as that gets, then by sweeps.
func travel(t *testing.T, prepare func(w *world, cancel func())) (*world, Instance) {
	t.Helper()
	p, w := newPlatform(t), newWorld()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	prepare(w, cancel)
	e := p.engine("use1-a", trip(w, ""))
	ticket := p.begin(e, "trip-1")
	p.timeFlies()
	_, _, err := e.Run(ctx, ticket)
	if (err != nil) != (ctx.Err() != nil) {
		t.Fatalf("the run ended with %v, its context with %v", err, ctx.Err())
	}
	if err != nil {
		if !errors.Is(err, context.Canceled) {
			t.Errorf("got %v", err)
		}
		p.sweepToTheEnd(e)
	}
	return w, p.get("trip-1")
}

func TestAStepDoneTwiceIsAsDoneOnce(t *testing.T) {
	w, in := travel(t, func(w *world, _ func()) {
		for _, step := range tripSteps {
			w.after["do "+step] = once(errFault) // the effect has happened, its answer is lost
		}
	})
	w.expect(t, "do a, do a, do b, do b, do c, do c", "a b c")
	if in.Status != Done || in.Attempts != 0 || in.LastError != "" {
		t.Errorf("got %+v", in)
	}
}

func TestARefusalAtEachStepUndoesEverythingInReverse(t *testing.T) {
	for i, step := range tripSteps {
		for _, half := range []bool{false, true} {
			name := step + " not done"
			if half {
				name = step + " half done"
			}
			t.Run(name, func(t *testing.T) {
				w, in := travel(t, func(w *world, _ func()) {
					at := w.before
					if half {
						at = w.after
					}
					at["do "+step] = always(errRefusal)
				})
				back := slices.Clone(tripSteps[:i+1])
				slices.Reverse(back)
				want := append(verbs("do", tripSteps[:i+1]...), verbs("undo", back...)...)
				w.expect(t, strings.Join(want, ", "), "")
				if in.Status != Undone || !strings.Contains(string(in.State), "refused:OUT_OF_STOCK") {
					t.Errorf("got %+v", in)
				}
			})
		}
	}
}

func TestAStepUndoneTwiceIsAsUndoneOnce(t *testing.T) {
	w, in := travel(t, func(w *world, _ func()) {
		w.after["do c"] = always(errRefusal)
		for _, step := range tripSteps {
			w.after["undo "+step] = once(errFault)
		}
	})
	w.expect(t, "do a, do b, do c, undo c, undo c, undo b, undo b, undo a, undo a", "")
	if in.Status != Undone {
		t.Errorf("got %+v", in)
	}
}

// The run dies in each step, before its effect and after; whoever sweeps then goes on.
func TestARunThatDiesInAnyStepIsResumedWhereItWas(t *testing.T) {
	for _, refused := range []bool{false, true} {
		deaths := verbs("do", tripSteps...)
		if refused {
			deaths = append(deaths, verbs("undo", tripSteps...)...)
		}
		for _, death := range deaths {
			for _, half := range []bool{false, true} {
				name := death
				if refused {
					name += " of a refused trip"
				}
				if half {
					name += ", half done"
				}
				t.Run(name, func(t *testing.T) { dies(t, death, half, refused) })
			}
		}
	}
}

func dies(t *testing.T, death string, half, refused bool) {
	t.Helper()
	w, in := travel(t, func(w *world, cancel func()) {
		dying := func(ctx context.Context, try int) error {
			if try > 1 {
				return nil
			}
			cancel()
			return ctx.Err()
		}
		if half {
			w.after[death] = dying
		} else {
			w.before[death] = dying
		}
		if refused { // by a step after those that die, which is not among them
			w.before["do c"] = func(ctx context.Context, try int) error {
				if death == "do c" && try == 1 {
					return dying(ctx, try)
				}
				return errRefusal
			}
		}
	})
	want := verbs("do", tripSteps...)
	if refused {
		want = append(want, "undo c", "undo b", "undo a")
	}
	i := slices.Index(want, death)
	want = slices.Insert(want, i, death) // the step it died in is tried once more
	bookings, status := "a b c", Done
	if refused {
		bookings, status = "", Undone
	}
	w.expect(t, strings.Join(want, ", "), bookings)
	if in.Status != status {
		t.Errorf("it is %s, want %s", in.Status, status)
	}
}
