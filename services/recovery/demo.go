package recovery

import (
	"context"
	"fmt"
	"time"

	"google.golang.org/protobuf/proto"

	recoveryv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/recovery/v1"
	"github.com/cellar-commerce/cellar/internal/ident"
	"github.com/cellar-commerce/cellar/internal/problem"
	"github.com/cellar-commerce/cellar/internal/saga"
	"github.com/cellar-commerce/cellar/internal/sqldb"
)

const (
	kindDemo    = "demo"
	kindRelease = "demo_release"
	// demoTries of a poisoned demo's last step: it is parked within some seconds.
	demoTries = 6
	// demoLooks at a release, demoGap apart, before a demo that waits stores that it is alive.
	demoLooks = 5
	demoGap   = time.Second
)

// demo is the saga of the package comment.
func (s *Service) demo() *saga.Definition {
	say := func(what string) func(context.Context, proto.Message) error {
		return demoStep(func(ctx context.Context, d *recoveryv1.DemoState) error {
			s.deps.Log.InfoContext(ctx, "a demo "+what, "saga", d.GetSagaId())
			return nil
		})
	}
	return &saga.Definition{
		Kind: kindDemo, Tries: demoTries,
		NewState: func() proto.Message { return &recoveryv1.DemoState{} },
		Steps: []saga.Step{
			{Name: "prepare", Do: say("prepares"), Undo: say("takes back what it prepared")},
			{Name: "wait", Do: demoStep(s.await), Undo: say("waits no more")},
			{Name: "finish", Do: demoStep(s.finish), Forward: true},
		},
		Refused: func(m proto.Message, cause error) {
			if d, ok := m.(*recoveryv1.DemoState); ok {
				if p := problem.As(cause); p != nil {
					d.Refusal = p.Reason
				}
			}
		},
	}
}

func demoStep(do func(context.Context, *recoveryv1.DemoState) error) func(context.Context, proto.Message) error {
	return func(ctx context.Context, m proto.Message) error {
		d, ok := m.(*recoveryv1.DemoState)
		if !ok {
			return fmt.Errorf("a demo has a state of type %T", m)
		}
		return do(ctx, d)
	}
}

// await the release. From time to time it sends itself back, which stores that somebody is at it.
func (s *Service) await(ctx context.Context, d *recoveryv1.DemoState) error {
	if d.GetPoison() {
		return nil
	}
	s.deps.Log.InfoContext(ctx, "a demo waits to be released", "saga", d.GetSagaId())
	for range demoLooks {
		released, err := s.released(ctx, d)
		if err != nil || released {
			return err
		}
		if err := s.deps.Clock.Sleep(ctx, demoGap); err != nil {
			return err
		}
	}
	return saga.BackTo("wait")
}

func (s *Service) finish(ctx context.Context, d *recoveryv1.DemoState) error {
	if d.GetPoison() {
		released, err := s.released(ctx, d)
		if err != nil {
			return err
		}
		if !released {
			return problem.New(problem.Unavailable, "DEMO_POISONED", "the demo fails until it is released")
		}
	}
	s.deps.Log.InfoContext(ctx, "a demo is finished", "saga", d.GetSagaId())
	return nil
}

// release is a saga that says by its being there that a demo may go on.
func release() *saga.Definition {
	return &saga.Definition{
		Kind: kindRelease, NewState: func() proto.Message { return &recoveryv1.DemoState{} },
		Steps:   []saga.Step{{Name: "release", Forward: true}},
		Refused: func(proto.Message, error) {},
	}
}

func releaseOf(demo string) string { return demo + "/release" }

func (s *Service) released(ctx context.Context, d *recoveryv1.DemoState) (bool, error) {
	_, err := s.demos.Get(ctx, ident.CustomerID(d.GetCustomerId()).Region(), releaseOf(d.GetSagaId()))
	if problem.Is(err, "UNKNOWN_SAGA") {
		return false, nil
	}
	return err == nil, err
}

func (s *Service) beginDemo(ctx context.Context, poison bool) (saga.Look, error) {
	customer := s.deps.Fence.MintCustomer()
	id := "demo-" + ident.NewToken()
	ticket, err := s.begin(ctx, kindDemo, saga.Begun{ID: id, CustomerID: customer, State: &recoveryv1.DemoState{SagaId: id, CustomerId: string(customer), Poison: poison}})
	if err != nil {
		return saga.Look{}, err
	}
	select {
	case s.begun <- ticket:
	default: // the sweep runs it
	}
	return s.demos.Look(ctx, customer.Region(), id)
}

// releaseDemo once; again it changes nothing.
func (s *Service) releaseDemo(ctx context.Context, l saga.Look) error {
	ticket, err := s.begin(ctx, kindRelease, saga.Begun{ID: releaseOf(l.ID), CustomerID: l.CustomerID, State: &recoveryv1.DemoState{SagaId: l.ID}})
	if _, before := sqldb.UniqueViolation(err); before {
		return nil
	}
	if err != nil {
		return err
	}
	if _, _, err = s.demos.Run(ctx, ticket); saga.Lost(err) { // the sweep has taken it on, and releases the demo itself
		return s.demos.Await(ctx, l.CustomerID.Region(), releaseOf(l.ID))
	}
	return err
}

func (s *Service) begin(ctx context.Context, kind string, in saga.Begun) (saga.Ticket, error) {
	ticket, part, err := s.demos.Part(kind, in)
	if err != nil {
		return ticket, err
	}
	return ticket, s.deps.Fence.Join(ctx, in.CustomerID, part)
}
