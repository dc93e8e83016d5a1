package saga

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/types/known/wrapperspb"
	"pgregory.net/rapid"

	"github.com/cellar-commerce/cellar/internal/fence"
	"github.com/cellar-commerce/cellar/internal/ident"
	"github.com/cellar-commerce/cellar/internal/sqldb"
)

// mortal cell: once it has died, it reaches nothing any more, and nobody hears of it.
type mortal struct {
	fence.Fence
	dead *bool
}

var errDead = errors.New("played by a test: the cell has died")

func (m mortal) InSlotTx(ctx context.Context, id ident.CustomerID, fn func(sqldb.Tx) error) error {
	if *m.dead {
		return errDead
	}
	return m.Fence.InSlotTx(ctx, id, fn)
}

func (m mortal) Join(ctx context.Context, id ident.CustomerID, parts ...fence.Part) error {
	if *m.dead {
		return errDead
	}
	return m.Fence.Join(ctx, id, parts...)
}

// fate of one pass of a point.
type fate int

const (
	passes fate = iota
	faults
	refuses
	perishes
)

// journey is a trip that was drawn: its definition, and what befalls it at each of its points, in the order of their
// passing by whichever cell.
type journey struct {
	id       string
	steps    []Step // flags only
	fates    []fate
	world    *world
	passed   int
	dead     *bool // the cell that runs it now
	cancel   func()
	platform *platform
}

func drawJourney(t *rapid.T, p *platform, n int) *journey {
	j := &journey{id: fmt.Sprint("trip-", n), world: newWorld(), platform: p}
	count := rapid.IntRange(1, 6).Draw(t, "steps")
	forward := rapid.IntRange(0, count).Draw(t, "steps that can be undone")
	for i := range count {
		j.steps = append(j.steps, Step{Name: string(rune('a' + i)), Quiet: rapid.Bool().Draw(t, "quiet"), Forward: i >= forward})
	}
	j.fates = rapid.SliceOfN(rapid.SampledFrom([]fate{passes, passes, passes, faults, refuses, perishes}), 0, 16).Draw(t, "fates")
	return j
}

// pass a point: what has befallen it there, at last nothing any more.
func (j *journey) pass(context.Context, int) error {
	if *j.dead {
		return errDead
	}
	what := passes
	if j.passed < len(j.fates) {
		what = j.fates[j.passed]
	}
	j.passed++
	switch what {
	case faults:
		return errFault
	case refuses:
		return errRefusal
	case perishes:
		*j.dead = true
		j.cancel()
		return errDead
	case passes:
	}
	return nil
}

// cell that runs the journey, until it dies.
func (j *journey) cell(ctx context.Context, name string) (*Engine, context.Context) {
	j.dead = new(bool)
	ctx, j.cancel = context.WithCancel(ctx)
	names := make([]string, len(j.steps))
	for i, s := range j.steps {
		names[i] = s.Name
		j.world.before["do "+s.Name], j.world.after["do "+s.Name] = j.pass, j.pass
		j.world.before["undo "+s.Name], j.world.after["undo "+s.Name] = j.pass, j.pass
	}
	d := tripOf(j.world, "", names...)
	d.Kind = j.id // no other journey's sagas are swept
	for i := range d.Steps {
		d.Steps[i].Quiet, d.Steps[i].Forward = j.steps[i].Quiet, j.steps[i].Forward
		if !j.steps[i].Quiet {
			j.platform.with(d, j.id, i)
		}
	}
	e := j.platform.engine(name, d)
	e.deps.Fence = mortal{e.deps.Fence, j.dead}
	return e, ctx
}

func TestWhateverBefallsASagaItEndsWhole(t *testing.T) {
	p := newPlatform(t)
	p.timeFlies()
	n := 0
	rapid.Check(t, func(t *rapid.T) {
		n++
		j := drawJourney(t, p, n)
		e, ctx := j.cell(context.Background(), "use1-a")
		ticket, part, err := e.Part(j.id, Begun{ID: j.id, CustomerID: p.customer, State: &wrapperspb.StringValue{}})
		if err == nil {
			err = p.fence.Join(ctx, p.customer, part)
		}
		if err != nil {
			t.Fatal(err)
		}
		if rapid.Bool().Draw(t, "its own run begins") {
			_, _, _ = e.Run(ctx, ticket) // whatever it comes to
		}
		for i := 0; !p.get(j.id).Status.Ended(); i++ {
			if i > 100 {
				t.Fatalf("it never ends: %s", j.world.history())
			}
			if *j.dead || i == 0 {
				e, ctx = j.cell(context.Background(), fmt.Sprint("use1-", i%2))
			}
			p.clock.Advance(2 * maxBackoff)
			_, _ = e.Sweep(ctx) // it may die
		}
		j.check(t)
	})
}

// check that everything was done, or nothing is left, and that the story makes sense.
func (j *journey) check(t *rapid.T) {
	var all []string
	for _, s := range j.steps {
		all = append(all, s.Name)
	}
	in, history := j.platform.get(j.id), j.world.history()
	switch got := j.world.bookings(); {
	case in.Status == Done && got != strings.Join(all, " "):
		t.Errorf("it is done with %q of %q: %s", got, all, history)
	case in.Status == Undone && got != "":
		t.Errorf("it is undone, and %q is left: %s", got, history)
	case in.Status == Parked:
		t.Errorf("it is parked: %s", history)
	}
	back := false
	for _, what := range j.world.log {
		verb, step, _ := strings.Cut(what, " ")
		at := slices.Index(all, step)
		switch {
		case verb == "undo" && j.steps[at].Forward:
			t.Errorf("a step without a way back is undone: %s", history)
		case verb == "do" && back:
			t.Errorf("something is done on the way back: %s", history)
		case verb == "do" && at > 0 && j.world.tries["do "+all[at-1]] == 0:
			t.Errorf("%s is done before the step before: %s", step, history)
		}
		back = back || verb == "undo"
	}
	var ends []string
	for _, s := range j.steps {
		if !s.Quiet {
			ends = append(ends, s.Name)
		}
	}
	if got := j.platform.written(j.id); in.Status == Done && got != strings.Join(ends, " ") {
		t.Errorf("with the ends of %v went %q: %s", ends, got, history)
	}
}
