package saga

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"runtime/debug"
	"sync"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/cellar-commerce/cellar/internal/clock"
	"github.com/cellar-commerce/cellar/internal/fence"
	"github.com/cellar-commerce/cellar/internal/ident"
	"github.com/cellar-commerce/cellar/internal/problem"
	"github.com/cellar-commerce/cellar/internal/sqldb"
)

// Deps of an Engine.
type Deps struct {
	// DB is cellar_customer.
	DB    *sqldb.DB
	Fence fence.Fence
	Clock clock.Clock
	Log   *slog.Logger
	// Cell names this cell in the rows it holds.
	Cell string
	// Rings lists those in which this cell serves anybody by the map, whose version it tells too: only there it looks for
	// sagas. Which of them are its own is for the slots' rows to say.
	Rings func() (rings []ident.Region, version uint64)
	// Definitions of the sagas this engine runs; it leaves other kinds to other engines.
	Definitions []*Definition
	// Observe is told how steps end; may be nil.
	Observe Observer
}

// Observer is told how steps end.
type Observer interface {
	// StepTried of a kind of saga: whether it went well, and how long it took. An undo is the step "undo <name>".
	StepTried(kind, step string, ok bool, took time.Duration)
	// SagaParked for an operator.
	SagaParked(kind string)
	// SagasStandParked in this cell's slots, by the last sweep.
	SagasStandParked(kind string, sagas int64)
}

type noObserver struct{}

func (noObserver) StepTried(string, string, bool, time.Duration) {}
func (noObserver) SagaParked(string)                             {}
func (noObserver) SagasStandParked(string, int64)                {}

// Engine runs sagas.
type Engine struct {
	deps  Deps
	kinds map[string]*Definition
	names []string      // of the kinds
	swept chan struct{} // one for each run that a sweep has begun
	// nudged: somebody wants the next sweep now.
	nudged chan struct{}

	mu sync.Mutex
	// seen is the version of the map at the last sweep of each ring that found all there was.
	seen map[ident.Region]uint64
	// crowded: the last sweep left sagas for want of room.
	crowded bool
	// live runs of this engine by saga; closed when the last of a saga's ends.
	live map[sagaKey]*liveRuns
}

// sagaKey is unique in the whole platform.
type sagaKey struct {
	ring ident.Region
	id   string
}

// liveRuns of one saga: more than one only where this process was taken for dead.
type liveRuns struct {
	n     int
	ended chan struct{}
}

// New engine.
func New(deps Deps) *Engine {
	if deps.Observe == nil {
		deps.Observe = noObserver{}
	}
	e := &Engine{
		deps: deps, kinds: map[string]*Definition{}, swept: make(chan struct{}, sweepLimit), nudged: make(chan struct{}, 1),
		seen: map[ident.Region]uint64{}, live: map[sagaKey]*liveRuns{},
	}
	for _, d := range deps.Definitions {
		e.kinds[d.Kind] = d
		e.names = append(e.names, d.Kind)
	}
	return e
}

// Ticket of a saga that was begun and is to be run by whoever began it.
type Ticket struct {
	in     Instance
	holder string
	// swept runs took the saga over from one that died, or gave up, and leave a step that fails to a later sweep instead of
	// waiting for it.
	swept bool
}

// Begin stores a new saga inside the caller's transaction. Run the ticket once that has committed; if nobody does, the
// sweep will.
func (e *Engine) Begin(ctx context.Context, tx sqldb.Tx, kind string, in Begun) (Ticket, error) {
	t, part, err := e.Part(kind, in)
	if err != nil {
		return t, err
	}
	var b sqldb.Batch
	fence.Queue(&b, in.CustomerID.Region(), []fence.Part{part})
	return t, tx.Send(ctx, &b)
}

// Part is Begin for a transaction that is still to come.
func (e *Engine) Part(kind string, in Begun) (Ticket, fence.Part, error) {
	d, ok := e.kinds[kind]
	if !ok {
		return Ticket{}, fence.Part{}, fmt.Errorf("saga: there is no kind %q", kind)
	}
	state, err := proto.Marshal(in.State)
	if err != nil {
		return Ticket{}, fence.Part{}, fmt.Errorf("saga: begin %s: %w", in.ID, err)
	}
	now := e.deps.Clock.Now()
	first := d.index(in.Done) + 1
	if first == len(d.Steps) || (in.Done != "" && first == 0) {
		return Ticket{}, fence.Part{}, fmt.Errorf("saga: no step of %s follows %q", kind, in.Done)
	}
	t := Ticket{holder: e.holder(), in: Instance{ID: in.ID, Kind: kind, CustomerID: in.CustomerID, Status: Running, Step: d.Steps[first].Name, State: state, CreatedAt: now}}
	t.in.DueAt = now.Add(holdTime)
	return t, opInsert.Part(held{t.in, t.holder, now}), nil
}

// Begun is what a saga starts with.
type Begun struct {
	// ID is unique in the customer's ring.
	ID         string
	CustomerID ident.CustomerID
	State      proto.Message
	// Done names a step that the caller does in the same transaction, with all before it; empty for none.
	Done string
}

func (e *Engine) holder() string { return e.deps.Cell + "/" + ident.NewToken() }

// Run a saga to its end, or until ctx ends: then the sweep goes on with it. The state is the last one stored.
func (e *Engine) Run(ctx context.Context, t Ticket) (Status, proto.Message, error) {
	d, ok := e.kinds[t.in.Kind]
	if !ok { // of a newer release: it waits until this cell runs that
		return t.in.Status, nil, fmt.Errorf("saga %s: there is no kind %q", t.in.ID, t.in.Kind)
	}
	state, err := d.read(t.in)
	if err != nil {
		return t.in.Status, nil, err
	}
	defer e.enlist(t.in)()
	r := run{engine: e, def: d, in: t.in, holder: t.holder, state: state, swept: t.swept, storedAt: e.deps.Clock.Now()}
	for !r.in.Status.Ended() {
		if err := r.step(ctx); err != nil {
			return r.in.Status, r.state, err
		}
	}
	return r.in.Status, r.state, nil
}

// run of one saga by one goroutine.
type run struct {
	engine *Engine
	def    *Definition
	in     Instance
	holder string
	state  proto.Message
	swept  bool
	// storedAt is when the row was written last.
	storedAt time.Time
}

// step tries the current step once, stores what came of it, and waits out the back-off after a fault.
func (r *run) step(ctx context.Context) error {
	at := r.def.index(r.in.Step)
	if at < 0 {
		return r.park(ctx, fmt.Errorf("step %q is not in this release", r.in.Step))
	}
	work, name := r.def.Steps[at].Do, r.in.Step
	if r.in.Status == Undoing {
		work, name = r.def.Steps[at].Undo, "undo "+name
	}
	begun := r.engine.deps.Clock.Now()
	err := r.try(ctx, work)
	back, goBack := errors.AsType[backTo](err)
	r.engine.deps.Observe.StepTried(r.in.Kind, name, err == nil || goBack, r.engine.deps.Clock.Now().Sub(begun))
	switch {
	case err == nil:
		return r.forward(ctx, at)
	case goBack && r.in.Status == Running:
		r.in.Step, r.in.Attempts = back.step, 0
		return r.save(ctx, holdTime, nil)
	case ctx.Err() != nil:
		return fmt.Errorf("saga %s: %w", r.in.ID, ctx.Err())
	case r.in.Status == Running && refusal(err) && !r.def.Steps[at].Forward:
		return r.turnBack(ctx, at, err)
	default:
		return r.again(ctx, err)
	}
}

// try a step. A panic is a fault like any other: the saga that causes it must not end the whole process at each sweep.
func (r *run) try(ctx context.Context, work func(context.Context, proto.Message) error) (err error) {
	if work == nil {
		return nil
	}
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v\n%s", p, debug.Stack())
		}
	}()
	ctx, cancel := context.WithTimeout(ctx, stepTimeout)
	defer cancel()
	return work(ctx, r.state)
}

// forward to the next step of the direction, or to the end.
func (r *run) forward(ctx context.Context, at int) error {
	r.in.Attempts, r.in.LastError = 0, ""
	running := r.in.Status == Running
	if running && r.def.Steps[at].Ending != nil {
		if ended, err := r.end(ctx, at); ended || err != nil {
			return err
		}
	}
	switch {
	case r.in.Status == Running && at+1 < len(r.def.Steps):
		r.in.Step = r.def.Steps[at+1].Name
	case r.in.Status == Running:
		r.in.Status = Done
	case at > 0:
		r.in.Step = r.def.Steps[at-1].Name
	default:
		r.in.Status = Undone
	}
	if !running {
		return r.save(ctx, holdTime, nil)
	}
	if !r.def.stored(at) && r.engine.deps.Clock.Now().Sub(r.storedAt) < quietTime {
		return nil
	}
	return r.save(ctx, holdTime, r.def.Steps[at].With)
}

// end the saga together with all that is left to do, and tell whether that went well. Whatever refuses it is met again by the
// steps one by one; but for another run, or cell, that has the saga now.
func (r *run) end(ctx context.Context, at int) (bool, error) {
	from, begun := r.in, r.engine.deps.Clock.Now()
	r.in.Step, r.in.Status = r.def.Steps[len(r.def.Steps)-1].Name, Done
	err := r.save(ctx, holdTime, r.def.Steps[at].Ending)
	r.engine.deps.Observe.StepTried(r.in.Kind, "end", err == nil, r.engine.deps.Clock.Now().Sub(begun))
	if err == nil {
		return true, nil
	}
	r.in = from
	if Lost(err) || problem.Is(err, fence.ReasonWrongCell) || ctx.Err() != nil {
		return false, err
	}
	r.engine.deps.Log.WarnContext(ctx, "a saga is not ended in one transaction; its last steps are done one by one", "saga", r.in.ID, "kind", r.in.Kind, "error", err)
	return false, nil
}

// turnBack starts undoing with the step that refused: it may have been half done. A run that took the saga over does not
// know how far the one before came after the last step that was stored, and starts with the last it may have begun.
func (r *run) turnBack(ctx context.Context, at int, cause error) error {
	r.def.Refused(r.state, cause)
	if r.swept {
		at = r.def.reach(at)
	}
	r.in.Step, r.in.Status, r.in.Attempts, r.in.LastError = r.def.Steps[at].Name, Undoing, 0, reason(cause)
	return r.save(ctx, holdTime, nil)
}

// again stores the fault and waits. A saga that cannot go forward for too long goes back; one that cannot go back is
// parked.
func (r *run) again(ctx context.Context, cause error) error {
	r.in.Attempts++
	r.in.LastError = reason(cause)
	log := r.engine.deps.Log.With("saga", r.in.ID, "kind", r.in.Kind, "step", r.in.Step, "status", string(r.in.Status), "tries", r.in.Attempts)
	log.WarnContext(ctx, "a saga's step failed; it will be tried again", "error", cause)
	if r.in.Attempts >= r.def.tries() {
		at := r.def.index(r.in.Step)
		if r.in.Status == Undoing || r.def.Steps[at].Forward {
			return r.park(ctx, cause)
		}
		return r.turnBack(ctx, at, problem.Wrap(cause, problem.Unavailable, "GAVE_UP", "a part of the platform stayed unavailable"))
	}
	wait := backoff(r.in.Attempts)
	if r.swept {
		if err := r.save(ctx, wait, nil); err != nil {
			return err
		}
		return errLater
	}
	pause := wait/2 + rand.N(wait)
	if err := r.save(ctx, pause+holdTime, nil); err != nil { // nobody takes it over before the next try has had its time
		return err
	}
	if err := r.engine.deps.Clock.Sleep(ctx, pause); err != nil {
		return fmt.Errorf("saga %s: %w", r.in.ID, err)
	}
	return nil
}

func (r *run) park(ctx context.Context, cause error) error {
	r.engine.deps.Log.ErrorContext(ctx, "a saga is parked: an operator has to decide", "saga", r.in.ID, "kind", r.in.Kind, "step", r.in.Step, "error", cause)
	from := r.in.Status
	r.in.Status, r.in.LastError = Parked, reason(cause)
	r.engine.deps.Observe.SagaParked(r.in.Kind)
	return r.save(ctx, holdTime, func(proto.Message) ([]fence.Part, error) {
		return []fence.Part{opParkedFrom.Part(parking{r.in.ID, from})}, nil
	})
}

// save the saga, with what belongs to the step that has just ended.
func (r *run) save(ctx context.Context, hold time.Duration, with func(proto.Message) ([]fence.Part, error)) error {
	state, err := proto.Marshal(r.state)
	if err != nil {
		return fmt.Errorf("saga: state of %s: %w", r.in.ID, err)
	}
	now := r.engine.deps.Clock.Now()
	r.in.State, r.in.DueAt, r.storedAt = state, now.Add(hold), now
	var parts []fence.Part
	if with != nil {
		if parts, err = with(r.state); err != nil {
			return fmt.Errorf("saga: end of a step of %s: %w", r.in.ID, err)
		}
	}
	return r.engine.save(ctx, r.in, r.holder, parts)
}

// reason of an error for the row: never driver text or anything personal.
func reason(err error) string {
	if p := problem.As(err); p != nil {
		return p.Reason
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return "DEADLINE_EXCEEDED"
	}
	return "INTERNAL"
}
