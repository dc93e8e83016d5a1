package saga

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/cellar-commerce/cellar/internal/problem"
)

var because = Note{Reason: "the carrier's ticket 7 is closed"}

func (p *platform) look(e *Engine, id string) Look {
	p.t.Helper()
	l, err := e.Look(p.t.Context(), home, id)
	if err != nil {
		p.t.Fatal(err)
	}
	return l
}

// parked trip that could not be undone, or not be done any more, as long as broken tells an error.
func (p *platform) parked(w *world, forward bool) (e *Engine, mend func()) {
	p.t.Helper()
	d := trip(w, "")
	broken := true
	failing := func(context.Context, int) error {
		if broken {
			return errFault
		}
		return nil
	}
	if forward {
		d.Steps[1].Forward, d.Steps[2].Forward = true, true
		w.before["do b"] = failing
	} else {
		w.before["do c"], w.before["undo b"] = always(errRefusal), failing
	}
	d.Tries = 3
	e = p.engine("use1-a", d)
	ticket := p.begin(e, "trip-1")
	p.timeFlies()
	if status, _, err := e.Run(p.t.Context(), ticket); status != Parked || err != nil {
		p.t.Fatalf("got %s, %v", status, err)
	}
	return e, func() { broken = false }
}

func TestAParkedSagaIsPutBackToWhatItWas(t *testing.T) {
	for name, c := range map[string]struct {
		forward bool
		was     Status
		ends    Status
		booked  string
	}{
		"it was undoing": {false, Undoing, Undone, ""},
		"it was running": {true, Running, Done, "a b c"},
	} {
		t.Run(name, func(t *testing.T) {
			p, w := newPlatform(t), newWorld()
			e, mend := p.parked(w, c.forward)
			l := p.look(e, "trip-1")
			if l.Status != Parked || l.ParkedFrom != c.was || l.Attempts != 3 || l.LastError != "INTERNAL" {
				t.Errorf("parked as %+v", l)
			}
			if n := p.sweepToTheEnd(e); n != 0 {
				t.Errorf("%d sweeps took it on", n)
			}
			if err := e.Retry(t.Context(), l, because); err != nil {
				t.Fatal(err)
			}
			l = p.look(e, "trip-1")
			if l.Status != c.was || l.Attempts != 0 || l.ParkedFrom != "" || !strings.HasSuffix(l.Notes, " retry: the carrier's ticket 7 is closed\n") {
				t.Errorf("put back as %+v", l)
			}
			mend()
			p.sweepToTheEnd(e)
			if in := p.get("trip-1"); in.Status != c.ends || w.bookings() != c.booked {
				t.Errorf("it ends %s with %q", in.Status, w.bookings())
			}
			if err := e.Retry(t.Context(), l, because); !problem.Is(err, "NOT_PARKED") {
				t.Errorf("once more: %v", err)
			}
		})
	}
}

func TestASagaParkedByAnEarlierReleaseIsPutBackByWhereItStands(t *testing.T) {
	for _, c := range []struct {
		forward bool
		was     Status
	}{{false, Undoing}, {true, Running}} {
		p, w := newPlatform(t), newWorld()
		e, _ := p.parked(w, c.forward)
		if err := p.db.ExecText(t.Context(), "UPDATE sagas SET parked_from = ''"); err != nil {
			t.Fatal(err)
		}
		if err := e.Retry(t.Context(), p.look(e, "trip-1"), because); err != nil {
			t.Fatal(err)
		}
		if got := p.look(e, "trip-1").Status; got != c.was {
			t.Errorf("it is %s, want %s", got, c.was)
		}
	}
}

func TestWhatCannotBeUndoneIsRefusedWithItsReason(t *testing.T) {
	end := func(status Status, from Status, step string) func(*platform, *Engine) {
		return func(p *platform, _ *Engine) {
			if err := p.db.ExecText(p.t.Context(), "UPDATE sagas SET status = '"+string(status)+"', parked_from = '"+string(from)+"', step = '"+step+"'"); err != nil {
				p.t.Fatal(err)
			}
		}
	}
	for name, c := range map[string]struct {
		prepare func(*platform, *Engine)
		reason  string
	}{
		"it is done":                  {end(Done, "", "c"), "SAGA_ENDED"},
		"it is undone":                {end(Undone, "", "a"), "SAGA_ENDED"},
		"it is undoing":               {end(Undoing, "", "b"), "ALREADY_UNDOING"},
		"it was parked while undoing": {end(Parked, Undoing, "b"), "ALREADY_UNDOING"},
		"it is beyond":                {end(Running, "", "c"), "PAST_POINT_OF_NO_RETURN"},
		"it was parked beyond":        {end(Parked, Running, "c"), "PAST_POINT_OF_NO_RETURN"},
		"its step is unknown":         {end(Parked, Running, "x"), "UNKNOWN_STEP"},
	} {
		t.Run(name, func(t *testing.T) {
			p, w := newPlatform(t), newWorld()
			d := trip(w, "")
			d.Steps[2].Forward = true
			e := p.engine("use1-a", d)
			p.begin(e, "trip-1")
			c.prepare(p, e)
			before := p.look(e, "trip-1")
			if err := e.Undo(t.Context(), before, because); !problem.Is(err, c.reason) || problem.KindOf(err) != problem.Precondition {
				t.Errorf("got %v", err)
			}
			if after := p.look(e, "trip-1"); after.Status != before.Status || after.Notes != "" {
				t.Errorf("it has become %+v", after)
			}
		})
	}
}

// The run that holds it may be in the middle of a step: nothing is undone before it must have fallen silent.
func TestALiveSagaIsUndoneOnlyWhenItsRunHasLostIt(t *testing.T) {
	p, w := newPlatform(t), newWorld()
	d := trip(w, "")
	d.Steps[0].Quiet, d.Steps[1].Quiet = true, true
	e := p.engine("use1-a", d)
	w.after["do b"] = func(context.Context, int) error { // c may have been begun by then
		if err := e.Undo(t.Context(), p.look(e, "trip-1"), because); err != nil {
			t.Error(err)
		}
		if n, err := e.Sweep(t.Context()); n != 0 || err != nil {
			t.Errorf("its run is at it: took %d, %v", n, err)
		}
		return nil
	}
	_, _, err := e.Run(t.Context(), p.begin(e, "trip-1"))
	if err == nil {
		t.Error("its run has not lost it")
	}
	l := p.look(e, "trip-1")
	if l.Status != Undoing || l.Step != "c" || !strings.Contains(string(l.State), "refused:UNDONE_BY_OPERATOR") {
		t.Errorf("got %+v", l)
	}
	p.clock.Advance(holdTime)
	if n, err := e.Sweep(t.Context()); n != 1 || err != nil {
		t.Errorf("took %d, %v", n, err)
	}
	p.expect("trip-1", Undone, "a")
	w.expect(t, "do a, do b, do c, undo c, undo b, undo a", "")
}

func TestADecisionNeedsAReason(t *testing.T) {
	p, w := newPlatform(t), newWorld()
	e, _ := p.parked(w, true)
	for _, reason := range []string{"", " \n ", strings.Repeat("x", maxReason+1)} {
		if err := e.Retry(t.Context(), p.look(e, "trip-1"), Note{reason}); !problem.Is(err, "REASON_MISSING") {
			t.Errorf("%.10q: %v", reason, err)
		}
	}
	p.expect("trip-1", Parked, "b")
}

func TestNotesOfAllDecisionsAreKept(t *testing.T) {
	p, w := newPlatform(t), newWorld()
	e, _ := p.parked(w, false)
	for i := range 2 {
		if i > 0 {
			p.sweepToTheEnd(e) // in vain: parked again
		}
		if err := e.Retry(t.Context(), p.look(e, "trip-1"), Note{"try\n" + string(rune('1'+i))}); err != nil {
			t.Fatal(err)
		}
	}
	lines := strings.Split(p.look(e, "trip-1").Notes, "\n")
	if len(lines) != 3 || !strings.HasSuffix(lines[0], "retry: try 1") || !strings.HasSuffix(lines[1], "retry: try 2") {
		t.Errorf("got %q", lines)
	}
}

func TestSagasAreListedByWhetherTheyAreParked(t *testing.T) {
	p, w := newPlatform(t), newWorld()
	e, _ := p.parked(w, true)
	p.begin(e, "trip-2")
	for parked, want := range map[bool]string{true: "trip-1", false: "trip-2"} {
		all, err := e.List(t.Context(), home, parked)
		if err != nil || len(all) != 1 || all[0].ID != want {
			t.Errorf("parked %v: %+v, %v", parked, all, err)
		}
	}
	if all, err := e.List(t.Context(), "us-west-2", true); err != nil || len(all) != 0 {
		t.Errorf("of another ring: %+v, %v", all, err)
	}
}

// told is what an observer was told.
type told struct {
	tries  []string
	parked int
	stand  map[string]int64
}

func (o *told) StepTried(kind, step string, ok bool, _ time.Duration) {
	if !ok {
		step += "!"
	}
	o.tries = append(o.tries, kind+" "+step)
}
func (o *told) SagaParked(string)                     { o.parked++ }
func (o *told) SagasStandParked(kind string, n int64) { o.stand[kind] = n }

func TestAnObserverIsToldOfEachTryAndOfWhatIsParked(t *testing.T) {
	p, w := newPlatform(t), newWorld()
	w.before["do b"] = always(errRefusal)
	w.before["undo b"] = once(errFault)
	w.before["undo a"] = always(errFault)
	d := trip(w, "")
	d.Tries = 2
	e := p.engine("use1-a", d)
	o := &told{stand: map[string]int64{}}
	e.deps.Observe = o
	ticket := p.begin(e, "trip-1")
	p.timeFlies()
	if status, _, err := e.Run(t.Context(), ticket); status != Parked || err != nil {
		t.Fatalf("got %s, %v", status, err)
	}
	if got := strings.Join(o.tries, ", "); got != "trip a, trip b!, trip undo b!, trip undo b, trip undo a!, trip undo a!" {
		t.Errorf("it was told of %s", got)
	}
	if _, err := e.Sweep(t.Context()); err != nil || o.parked != 1 || o.stand["trip"] != 1 {
		t.Errorf("%v; parked %d, standing %v", err, o.parked, o.stand)
	}
	if err := e.Retry(t.Context(), p.look(e, "trip-1"), because); err != nil {
		t.Fatal(err)
	}
	delete(w.before, "undo a")
	if _, err := e.Sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := e.Sweep(t.Context()); err != nil || o.stand["trip"] != 0 {
		t.Errorf("%v; standing %v", err, o.stand)
	}
}
