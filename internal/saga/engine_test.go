package saga

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/cellar-commerce/cellar/internal/problem"
	"github.com/cellar-commerce/cellar/internal/sqldb"
)

func TestARunKeepsItsStateAndEnds(t *testing.T) {
	p, w := newPlatform(t), newWorld()
	e := p.engine("use1-a", trip(w, ""))
	status, state, err := e.Run(t.Context(), p.begin(e, "trip-1"))
	if err != nil || status != Done || textOf(state) != "a b c" {
		t.Errorf("got %s, %v, %v", status, state, err)
	}
	in := p.expect("trip-1", Done, "c")
	stored := &wrapperspb.StringValue{}
	if err := proto.Unmarshal(in.State, stored); err != nil || stored.GetValue() != "a b c" || in.CustomerID != p.customer || in.Kind != "trip" {
		t.Errorf("stored %+v", in)
	}
}

func TestOnlyAnAnswerThatAsksForAChangeIsARefusal(t *testing.T) {
	for err, refused := range map[error]bool{
		problem.New(problem.Precondition, "A", ""):                        true,
		problem.New(problem.Invalid, "B", ""):                             true,
		problem.New(problem.NotFound, "C", ""):                            true,
		problem.New(problem.Denied, "D", ""):                              true,
		problem.New(problem.AlreadyExists, "E", ""):                       true,
		problem.New(problem.Exhausted, "F", ""):                           true,
		problem.ToConnect(problem.New(problem.Precondition, "G", "")):     true, // of another process
		fmt.Errorf("reserve: %w", problem.New(problem.NotFound, "H", "")): true,
		problem.New(problem.Unavailable, "I", ""):                         false,
		problem.New(problem.Aborted, "J", ""):                             false,
		problem.New(problem.Internal, "K", ""):                            false,
		problem.New(problem.Unauthenticated, "L", ""):                     false,
		context.DeadlineExceeded:                                          false,
		errFault:                                                          false,
	} {
		if got := refusal(err); got != refused {
			t.Errorf("%v: got %v", err, got)
		}
	}
}

func TestWhatTheRowSaysOfAnErrorIsNeverItsText(t *testing.T) {
	for want, err := range map[string]error{
		"INTERNAL":          fmt.Errorf("charge 4242424242424242 of ann@example.com: %w", errFault),
		"DEADLINE_EXCEEDED": fmt.Errorf("charge: %w", context.DeadlineExceeded),
		"OUT_OF_STOCK":      fmt.Errorf("reserve: %w", errRefusal),
	} {
		if got := reason(err); got != want {
			t.Errorf("%v: got %q, want %q", err, got, want)
		}
	}
}

func TestAStepMaySendTheSagaBackWithAChangedState(t *testing.T) {
	p, w := newPlatform(t), newWorld()
	d := trip(w, "")
	doC := d.Steps[2].Do
	d.Steps[2].Do = func(ctx context.Context, s proto.Message) error {
		if err := doC(ctx, s); err != nil || strings.Contains(textOf(s), "again") {
			return err
		}
		note(s, "again")
		return BackTo("b")
	}
	w.before["do b"] = func(_ context.Context, try int) error {
		in := p.get("trip-1")
		if again := strings.Contains(string(in.State), "again"); again != (try == 2) || in.Step != "b" {
			t.Errorf("before try %d the row has step %s and state %q", try, in.Step, in.State)
		}
		return nil
	}
	e := p.engine("use1-a", d)
	status, state, err := e.Run(t.Context(), p.begin(e, "trip-1"))
	if err != nil || status != Done || textOf(state) != "a b c again" {
		t.Errorf("got %s, %v, %v", status, state, err)
	}
	w.expect(t, "do a, do b, do c, do b, do c", "a b c")
}

func TestASagaAtAStepOfAnotherReleaseIsParked(t *testing.T) {
	p, w := newPlatform(t), newWorld()
	w.after["do a"] = always(BackTo("of the next release"))
	e := p.engine("use1-a", trip(w, ""))
	status, _, err := e.Run(t.Context(), p.begin(e, "trip-1"))
	if err != nil || status != Parked {
		t.Errorf("got %s, %v", status, err)
	}
	p.expect("trip-1", Parked, "of the next release")
}

func TestAKindOfAnotherReleaseIsLeftAlone(t *testing.T) {
	p, w := newPlatform(t), newWorld()
	newer := p.engine("use1-b", trip(w, ""))
	ticket := p.begin(newer, "trip-1")
	other := trip(w, "")
	other.Kind = "cruise"
	older := p.engine("use1-a", other)
	if _, _, err := older.Run(t.Context(), ticket); err == nil {
		t.Error("it ran a kind that it does not know")
	}
	p.clock.Advance(holdTime)
	if _, err := older.Sweep(t.Context()); err != nil {
		t.Error(err)
	}
	p.expect("trip-1", Running, "a")
	err := p.fence.InSlotTx(t.Context(), p.customer, func(tx sqldb.Tx) error {
		_, err := older.Begin(t.Context(), tx, "trip", Begun{ID: "trip-2", CustomerID: p.customer, State: &wrapperspb.StringValue{}})
		return err
	})
	if err == nil {
		t.Error("it began a kind that it does not know")
	}
	p.sweepToTheEnd(newer)
	p.expect("trip-1", Done, "c")
}

func TestAStepThatStaysAwayTurnsTheSagaBack(t *testing.T) {
	p, w := newPlatform(t), newWorld()
	w.before["do b"] = always(errFault)
	e := p.engine("use1-a", trip(w, ""))
	ticket := p.begin(e, "trip-1")
	p.timeFlies()
	status, state, err := e.Run(t.Context(), ticket)
	if err != nil || status != Undone || !strings.Contains(textOf(state), "refused:GAVE_UP") {
		t.Errorf("got %s, %v, %v", status, state, err)
	}
	w.expect(t, "do a, "+strings.Repeat("do b, ", maxTries)+"undo b, undo a", "")
}

func TestAnUndoThatStaysAwayParksTheSaga(t *testing.T) {
	p, w := newPlatform(t), newWorld()
	w.before["do c"] = always(errRefusal)
	w.before["undo b"] = always(errRefusal) // not even a "no" ends an undo
	e := p.engine("use1-a", trip(w, ""))
	ticket := p.begin(e, "trip-1")
	p.timeFlies()
	status, _, err := e.Run(t.Context(), ticket)
	if err != nil || status != Parked {
		t.Errorf("got %s, %v", status, err)
	}
	w.expect(t, "do a, do b, do c, undo c"+strings.Repeat(", undo b", maxTries), "a b")
	if in := p.expect("trip-1", Parked, "b"); in.LastError != "OUT_OF_STOCK" || in.Attempts != maxTries {
		t.Errorf("got %+v", in)
	}
	if n := p.sweepToTheEnd(e); n != 0 {
		t.Errorf("%d sweeps took it on", n)
	}
}

func TestAForwardStepIsNeverUndone(t *testing.T) {
	for name, c := range map[string]struct {
		answer  func(context.Context, int) error
		status  Status
		history string
		booked  string
	}{
		"it refuses once":      {once(errRefusal), Done, "do a, do b, do b, do c", "a b c"},
		"it always refuses":    {always(errRefusal), Parked, "do a" + strings.Repeat(", do b", maxTries), "a"},
		"it never gets across": {always(errFault), Parked, "do a" + strings.Repeat(", do b", maxTries), "a"},
	} {
		t.Run(name, func(t *testing.T) {
			p, w := newPlatform(t), newWorld()
			d := trip(w, "")
			d.Steps[1].Forward, d.Steps[2].Forward = true, true
			w.before["do b"] = c.answer
			e := p.engine("use1-a", d)
			ticket := p.begin(e, "trip-1")
			p.timeFlies()
			if status, _, err := e.Run(t.Context(), ticket); err != nil || status != c.status {
				t.Errorf("got %s, %v", status, err)
			}
			w.expect(t, c.history, c.booked)
		})
	}
}

func TestAStepWithoutUndoIsPassedOnTheWayBack(t *testing.T) {
	p, w := newPlatform(t), newWorld()
	d := trip(w, "")
	d.Steps[1].Undo = nil
	w.before["do c"] = always(errRefusal)
	e := p.engine("use1-a", d)
	if status, _, err := e.Run(t.Context(), p.begin(e, "trip-1")); err != nil || status != Undone {
		t.Errorf("got %s, %v", status, err)
	}
	w.expect(t, "do a, do b, do c, undo c, undo a", "b")
}

func TestAPanicInAStepIsAFault(t *testing.T) {
	p, w := newPlatform(t), newWorld()
	w.after["do b"] = func(_ context.Context, try int) error {
		if try == 1 {
			panic("a bug")
		}
		return nil
	}
	e := p.engine("use1-a", trip(w, ""))
	ticket := p.begin(e, "trip-1")
	p.timeFlies()
	if status, _, err := e.Run(t.Context(), ticket); err != nil || status != Done {
		t.Errorf("got %s, %v", status, err)
	}
	w.expect(t, "do a, do b, do b, do c", "a b c")
}

func TestASagaOfARolledBackTransactionDoesNotExist(t *testing.T) {
	p, w := newPlatform(t), newWorld()
	e := p.engine("use1-a", trip(w, ""))
	err := p.fence.InSlotTx(t.Context(), p.customer, func(tx sqldb.Tx) error {
		if _, err := e.Begin(t.Context(), tx, "trip", Begun{ID: "trip-1", CustomerID: p.customer, State: &wrapperspb.StringValue{}}); err != nil {
			return err
		}
		return errFault
	})
	if !errors.Is(err, errFault) {
		t.Fatal(err)
	}
	if _, err := e.Get(t.Context(), home, "trip-1"); !problem.Is(err, "UNKNOWN_SAGA") {
		t.Errorf("got %v", err)
	}
	if n := p.sweepToTheEnd(e); n != 0 {
		t.Errorf("%d sweeps took it on", n)
	}
}
