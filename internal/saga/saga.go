package saga

import (
	"context"
	"errors"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/cellar-commerce/cellar/internal/fence"
	"github.com/cellar-commerce/cellar/internal/ident"
	"github.com/cellar-commerce/cellar/internal/problem"
)

// Status of a saga; see the package comment.
type Status string

// The statuses.
const (
	Running Status = "RUNNING"
	Undoing Status = "UNDOING"
	Done    Status = "DONE"
	Undone  Status = "UNDONE"
	Parked  Status = "PARKED"
)

// Ended tells whether nothing more will happen by itself.
func (s Status) Ended() bool { return s == Done || s == Undone || s == Parked }

// Step of a saga.
type Step struct {
	// Name is stored; it may not change while sagas are under way.
	Name string
	// Do the step; the state may be changed and is stored afterwards.
	Do func(ctx context.Context, state proto.Message) error
	// Undo the step, also when it was half done or not at all. Nil for a step without effect outside the state.
	Undo func(ctx context.Context, state proto.Message) error
	// Quiet marks a step that leaves nothing in the state that doing it again from the state before would not: what it came
	// to is not stored by itself, and a run that takes the saga over begins again at the last step that was. The last step
	// before the first Forward one is stored all the same: there the way back ends.
	Quiet bool
	// With gives what is committed together with the end of this step; may be nil. Only for a step that is not quiet, and
	// for rows of the saga's own customer.
	With func(state proto.Message) ([]fence.Part, error)
	// Ending gives what all steps after this one would write, to be committed together with the saga's end; may be nil. Only
	// where they leave nothing but rows of the saga's own customer. Where it gives an error, or the transaction is refused, they
	// are done one by one.
	Ending func(state proto.Message) ([]fence.Part, error)
	// Forward marks a step from which there is no way back: whatever it answers, it is tried again, and parked in
	// the end. Every step after it must be one too.
	Forward bool
}

// backTo is what BackTo returns.
type backTo struct{ step string }

func (b backTo) Error() string { return "go back to step " + b.step }

// BackTo is returned by a Do that wants an earlier step done again with the state as it has changed it. The state is
// stored before that step runs. The caller bounds how often it asks.
func BackTo(step string) error { return backTo{step} }

// Definition of a kind of saga.
type Definition struct {
	// Kind is stored, for example "placement".
	Kind string
	// NewState makes an empty state to read a stored one into.
	NewState func() proto.Message
	// Steps in order.
	Steps []Step
	// Refused notes in the state why the saga is being undone.
	Refused func(state proto.Message, cause error)
	// Tries of a step before the saga is turned back, or parked; 0 is the usual, which takes about an hour.
	Tries int
}

// Instance of a saga as stored.
type Instance struct {
	ID         string
	Kind       string
	CustomerID ident.CustomerID
	Status     Status
	Step       string
	State      []byte
	Attempts   int
	DueAt      time.Time
	LastError  string
	CreatedAt  time.Time
}

var (
	// errLost: another run holds the saga now.
	errLost = errors.New("another run holds the saga")
	// errLater: a step failed, and a later sweep will try it again.
	errLater = errors.New("to be tried again by a later sweep")
)

// Lost tells whether a run ended because another has taken its saga over, here or in another cell: Await its end.
func Lost(err error) bool { return errors.Is(err, errLost) }

// refusal tells a "no" that undoes the saga from a fault that is tried again.
func refusal(err error) bool {
	p := problem.As(err)
	if p == nil {
		return false
	}
	switch p.Kind {
	case problem.Precondition, problem.Invalid, problem.NotFound, problem.Denied, problem.AlreadyExists, problem.Exhausted:
		return true
	case problem.Internal, problem.Aborted, problem.Unauthenticated, problem.Unavailable:
		return false
	}
	return false
}

// stored tells whether the end of a step is stored.
func (d *Definition) stored(at int) bool {
	last := at+1 == len(d.Steps)
	return last || !d.Steps[at].Quiet || (d.Steps[at+1].Forward && !d.Steps[at].Forward)
}

// reach of a run that died with this step stored: the last it may have done anything of.
func (d *Definition) reach(at int) int {
	for !d.stored(at) {
		at++
	}
	return at
}

func (d *Definition) tries() int {
	if d.Tries > 0 {
		return d.Tries
	}
	return maxTries
}

func (d *Definition) index(step string) int {
	for i := range d.Steps {
		if d.Steps[i].Name == step {
			return i
		}
	}
	return -1
}

const (
	// quietTime is after how long the end of a quiet step is stored all the same, so that a slow run is not taken for dead:
	// with one more try of a step it stays below holdTime.
	quietTime = 2 * time.Second
	// holdTime is how long a run may be silent before the sweep takes its saga over: longer than any one step's
	// deadline, so that two runs of one step overlap only when a process was frozen.
	holdTime = 15 * time.Second
	// stepTimeout bounds one try of one step.
	stepTimeout = 12 * time.Second
	// maxTries of a step before the saga is parked while undoing, or undone while running: with the back-off below,
	// about an hour.
	maxTries = 120
	// firstBackoff doubles with each try up to maxBackoff.
	firstBackoff = 50 * time.Millisecond
	maxBackoff   = 30 * time.Second
	// countEvery is the pace of counting what is parked: for a gauge, and a person who looks at it.
	countEvery = 15 * time.Second
	// sweepLimit is the number of sagas that an engine's sweeps have under way at most.
	sweepLimit = 64
)

func backoff(tries int) time.Duration {
	return min(firstBackoff<<min(tries, 12), maxBackoff)
}
