package order

import (
	"context"
	"fmt"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/cellar-commerce/cellar/internal/fence"
	"github.com/cellar-commerce/cellar/internal/ident"
	"github.com/cellar-commerce/cellar/internal/problem"
	"github.com/cellar-commerce/cellar/internal/saga"
)

// Kinds of sagas, as stored. Their ids begin with the order's and a slash.
const (
	kindCancellation = "cancellation"
	kindReturning    = "return"
	kindCapturing    = "capture"
	kindReplanning   = "short_pick"
)

const (
	// maxRun bounds how long the run of a request holds on to its saga; the sweep goes on after that.
	maxRun = time.Minute
	// sweepEvery is the pace at which sagas whose run died are looked for.
	sweepEvery = time.Second
	// maxFollowed captures, returns of parcels that were sent back, and plans of what was not found are run by this process at once: each waits for the
	// card network most of the time.
	maxFollowed = 32
)

// Run resumes cancellations, returns, captures and plans of what was not found whose run died, until ctx ends.
func (s *Service) Run(ctx context.Context) { s.sagas.SweepEvery(ctx, sweepEvery) }

// Sweep resumes what is due now, once, and waits for it.
func (s *Service) Sweep(ctx context.Context) (int, error) { return s.sagas.Sweep(ctx) }

// Drain waits for the sagas that this process began.
func (s *Service) Drain() { s.runs.Wait() }

// forward makes a saga of steps from which there is no way back: what follows an order always ends, by being done.
func forward[S proto.Message](kind string, fresh func() S, steps ...saga.Step) *saga.Definition {
	for i := range steps {
		steps[i].Forward = true
	}
	return &saga.Definition{
		Kind: kind, Steps: steps,
		NewState: func() proto.Message { return fresh() },
		Refused:  func(proto.Message, error) {}, // never: every step is forward
	}
}

// step adapts a step that knows its state's type.
func step[S proto.Message](name string, do func(context.Context, S) error) saga.Step {
	return saga.Step{Name: name, Do: func(ctx context.Context, m proto.Message) error {
		state, ok := m.(S)
		if !ok {
			return fmt.Errorf("step %s has a state of type %T", name, m)
		}
		return do(ctx, state)
	}}
}

// await runs the sagas that a request began, and waits for their end as long as the request does. They outlive the
// request: a shopper who leaves does not stop them half way.
func (s *Service) await(ctx context.Context, begun []saga.Ticket, late error) error {
	ended := make(chan error, 1)
	s.runs.Go(func() {
		var err error
		for _, ticket := range begun {
			err = first(err, s.run(ctx, ticket, late))
		}
		ended <- err
	})
	select {
	case err := <-ended:
		return err
	case <-ctx.Done():
		return late
	}
}

// run a saga to its end; late when it does not end by this run.
func (s *Service) run(ctx context.Context, ticket saga.Ticket, late error) error {
	ctx, cancel := context.WithTimeout(s.detached(ctx), maxRun)
	defer cancel()
	status, _, err := s.sagas.Run(ctx, ticket)
	if err != nil {
		s.deps.Log.WarnContext(ctx, "what follows an order is interrupted; the sweep will go on with it", "error", err)
		if problem.Is(err, fence.ReasonWrongCell) {
			return err // the new owner goes on with it, and the request is taken there
		}
		return late
	}
	if status != saga.Done {
		return late // parked: an operator will end it
	}
	return nil
}

func (s *Service) shipmentsIn(region string) (Shipments, error) {
	if shipments, ok := s.deps.Shipments[ident.Region(region)]; ok {
		return shipments, nil
	}
	return nil, unreachable()
}

func (s *Service) stockIn(region string) (Stock, error) {
	if stock, ok := s.deps.Stock[ident.Region(region)]; ok {
		return stock, nil
	}
	return nil, unreachable()
}

func unreachable() error {
	return problem.New(problem.Unavailable, "REGION_UNREACHABLE", "no cell of a fulfilment centre's region is known")
}
