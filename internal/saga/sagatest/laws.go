package sagatest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/cellar-commerce/cellar/internal/fence"
	"github.com/cellar-commerce/cellar/internal/problem"
	"github.com/cellar-commerce/cellar/internal/saga"
)

// Harness lets sagas of one definition happen in a world that a test can look at.
type Harness struct {
	// Definition to be held against the laws.
	Definition *saga.Definition
	// Done is the last step that Begin does itself; empty for none.
	Done string
	// Begin a saga that shares nothing with those begun before. It does not run yet.
	Begin func(ctx context.Context) (id string, err error)
	// Run the saga by this definition, with as many runs and sweeps as it takes, and tell how it ended.
	Run func(ctx context.Context, d *saga.Definition, id string) (saga.Status, error)
	// Complete tells what is missing of a saga that is DONE, or there twice; nil when nothing is.
	Complete func(ctx context.Context, id string) error
	// Clean tells what is left of a saga that is UNDONE; nil when nothing is.
	Clean func(ctx context.Context, id string) error
}

// Laws holds the definition against every law, each case as a subtest.
func Laws(t *testing.T, h Harness) {
	t.Helper()
	for _, c := range Cases(h.Definition, h.Done) {
		t.Run(c.Name, func(t *testing.T) {
			if err := h.Try(t.Context(), c); err != nil {
				t.Error(err)
			}
		})
	}
}

// Case of a law: what befalls which step, and how the saga has to end.
type Case struct {
	Name string
	Ends saga.Status
	// befall gives the definition with the mishap, which happens anew.
	befall func(*saga.Definition) *saga.Definition
}

// Try one case in the world.
func (h Harness) Try(ctx context.Context, c Case) error {
	id, err := h.Begin(ctx)
	if err != nil {
		return fmt.Errorf("begin: %w", err)
	}
	status, err := h.Run(ctx, c.befall(h.Definition), id)
	switch {
	case err != nil:
		return fmt.Errorf("run %s: %w", id, err)
	case status != c.Ends:
		return fmt.Errorf("%s ends %s, want %s", id, status, c.Ends)
	case status == saga.Done:
		err = h.Complete(ctx, id)
	default:
		err = h.Clean(ctx, id)
	}
	if err != nil {
		return fmt.Errorf("%s is %s, but %w", id, status, err)
	}
	return nil
}

var (
	errRefused = problem.New(problem.Precondition, "REFUSED_BY_A_TEST", "a test refuses")
	errFault   = errors.New("played by a test: something broke")
)

// work of a step, in either direction.
type work = func(context.Context, proto.Message) error

// Cases of all laws for a definition whose sagas begin with a step done; empty for none.
func Cases(d *saga.Definition, done string) []Case {
	var all []Case
	first := 1 + slices.IndexFunc(d.Steps, func(s saga.Step) bool { return done != "" && s.Name == done })
	last := -1 // step that can be undone
	for i, s := range d.Steps {
		if !s.Forward {
			last = i
		}
	}
	do := func(i int, name string, ends saga.Status, mishap func(work) work) {
		all = append(all, Case{Name: d.Steps[i].Name + " " + name, Ends: ends, befall: around(mishap, i, false)})
	}
	for i, s := range d.Steps {
		if i < first {
			continue
		}
		if s.Ending != nil {
			all = append(all, Case{Name: d.Steps[i].Name + " has an ending that is refused", Ends: saga.Done, befall: unended(i)})
		}
		do(i, "is done twice", saga.Done, twice)
		do(i, "is done again from the state before", saga.Done, fromBefore)
		do(i, "fails once before it is done", saga.Done, before(errFault, 1))
		do(i, "fails once after it is done", saga.Done, after(errFault, 1))
		ends, times := saga.Undone, int64(always)
		if s.Forward { // a no is not taken for an answer
			ends, times = saga.Done, 1
		}
		do(i, "is refused before it is done", ends, before(errRefused, times))
		do(i, "is refused after it is done", ends, after(errRefused, times))
	}
	for i := range last + 1 {
		for name, mishap := range map[string]func(work) work{
			"is undone twice": twice, "fails once before it is undone": before(errFault, 1), "fails once after it is undone": after(errFault, 1),
		} {
			undo := around(mishap, i, true)
			refused := around(after(errRefused, always), last, false)
			all = append(all, Case{Name: d.Steps[i].Name + " " + name, Ends: saga.Undone, befall: func(d *saga.Definition) *saga.Definition { return refused(undo(d)) }})
		}
	}
	return all
}

// around a step of a copy of the definition.
func around(mishap func(work) work, at int, undo bool) func(*saga.Definition) *saga.Definition {
	return func(d *saga.Definition) *saga.Definition {
		c := *d
		c.Steps = slices.Clone(d.Steps)
		for i := range at {
			c.Steps[i].Ending = nil // it would pass the step over
		}
		s := &c.Steps[at]
		if undo {
			s.Undo = mishap(something(s.Undo))
		} else {
			s.Do = mishap(something(s.Do))
		}
		return &c
	}
}

// unended makes the ending of a step fail, so that the steps after it are done one by one.
func unended(at int) func(*saga.Definition) *saga.Definition {
	return func(d *saga.Definition) *saga.Definition {
		c := *d
		c.Steps = slices.Clone(d.Steps)
		c.Steps[at].Ending = func(proto.Message) ([]fence.Part, error) { return nil, errFault }
		return &c
	}
}

// something to do, also for a step that has nothing.
func something(w work) work {
	if w == nil {
		return func(context.Context, proto.Message) error { return nil }
	}
	return w
}

// twice, as when the answer to the first was lost.
func twice(w work) work {
	return func(ctx context.Context, state proto.Message) error {
		if err := w(ctx, state); err != nil {
			return err
		}
		return w(ctx, state)
	}
}

// fromBefore does it once with a state that is then lost, as when the run dies before that is stored.
func fromBefore(w work) work {
	return func(ctx context.Context, state proto.Message) error {
		_ = w(ctx, proto.Clone(state)) // nobody hears how it went
		return w(ctx, state)
	}
}

// always is how often a mishap happens that does not pass.
const always = 1 << 30

func before(err error, times int64) func(work) work {
	return func(w work) work {
		var n atomic.Int64
		return func(ctx context.Context, state proto.Message) error {
			if n.Add(1) <= times {
				return err
			}
			return w(ctx, state)
		}
	}
}

func after(err error, times int64) func(work) work {
	return func(w work) work {
		var n atomic.Int64
		return func(ctx context.Context, state proto.Message) error {
			if own := w(ctx, state); own != nil {
				return own
			}
			if n.Add(1) <= times {
				return err
			}
			return nil
		}
	}
}
