package recovery

import (
	"context"
	"log/slog"
	"slices"
	"sync"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/cellar-commerce/cellar/internal/clock"
	"github.com/cellar-commerce/cellar/internal/fence"
	problemv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/problem/v1"
	recoveryv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/recovery/v1"
	"github.com/cellar-commerce/cellar/internal/gen/cellar/recovery/v1/recoveryv1connect"
	"github.com/cellar-commerce/cellar/internal/ident"
	"github.com/cellar-commerce/cellar/internal/problem"
	"github.com/cellar-commerce/cellar/internal/saga"
	"github.com/cellar-commerce/cellar/internal/sqldb"
)

// Engine of a service's sagas.
type Engine interface {
	// Kinds of sagas that it runs.
	Kinds() []string
	// List and Look at sagas of any kind.
	List(ctx context.Context, ring ident.Region, parked bool) ([]saga.Look, error)
	Look(ctx context.Context, ring ident.Region, id string) (saga.Look, error)
	// State, Retry and Undo one of its own kinds.
	State(in saga.Instance) (proto.Message, error)
	Retry(ctx context.Context, l saga.Look, note saga.Note) error
	Undo(ctx context.Context, l saga.Look, note saga.Note) error
}

var _ Engine = (*saga.Engine)(nil)

// Peer is this service in another cell.
type Peer interface {
	RetrySaga(context.Context, *recoveryv1.RetrySagaRequest) (*recoveryv1.RetrySagaResponse, error)
	UndoSaga(context.Context, *recoveryv1.UndoSagaRequest) (*recoveryv1.UndoSagaResponse, error)
	ReleaseDemo(context.Context, *recoveryv1.ReleaseDemoRequest) (*recoveryv1.ReleaseDemoResponse, error)
}

// Deps of the service.
type Deps struct {
	// DB is cellar_customer.
	DB    *sqldb.DB
	Fence fence.Fence
	Clock clock.Clock
	Log   *slog.Logger
	// Engines of the other services.
	Engines []Engine
	// At is this service in another cell.
	At func(cell string) Peer
	// Cell and Rings are for the engine of the demo; Observe may be nil.
	Cell    string
	Rings   func() (rings []ident.Region, version uint64)
	Observe saga.Observer
}

// Service implements cellar.recovery.v1.RecoveryService.
type Service struct {
	deps    Deps
	demos   *saga.Engine
	engines []Engine
	begun   chan saga.Ticket
}

var _ recoveryv1connect.RecoveryServiceHandler = (*Service)(nil)

// maxBegun demos wait for their run to start; one more is left to the sweep.
const maxBegun = 16

// New service.
func New(deps Deps) *Service {
	s := &Service{deps: deps, begun: make(chan saga.Ticket, maxBegun)}
	s.demos = saga.New(saga.Deps{
		DB: deps.DB, Fence: deps.Fence, Clock: deps.Clock, Log: deps.Log, Cell: deps.Cell, Rings: deps.Rings, Observe: deps.Observe,
		Definitions: []*saga.Definition{s.demo(), release()},
	})
	s.engines = append([]Engine{s.demos}, deps.Engines...)
	return s
}

// Run demos, and sweep up those whose run died, until ctx ends.
func (s *Service) Run(ctx context.Context) {
	var runs sync.WaitGroup
	defer runs.Wait()
	runs.Go(func() { s.demos.SweepEvery(ctx, time.Second) })
	for {
		select {
		case <-ctx.Done():
			return
		case ticket := <-s.begun:
			runs.Go(func() {
				if _, _, err := s.demos.Run(ctx, ticket); err != nil && ctx.Err() == nil {
					s.deps.Log.WarnContext(ctx, "a demo stopped; the sweep will go on with it", "error", err)
				}
			})
		}
	}
}

// Sagas is the engine that runs the demos.
func (s *Service) Sagas() *saga.Engine { return s.demos }

// Sweep resumes the demos that are due now, once, and waits for them.
func (s *Service) Sweep(ctx context.Context) (int, error) { return s.demos.Sweep(ctx) }

// engineOf a kind; nil when no service of this release runs it.
func (s *Service) engineOf(kind string) Engine {
	for _, e := range s.engines {
		if slices.Contains(e.Kinds(), kind) {
			return e
		}
	}
	return nil
}

// find a saga by its id alone, in whichever ring it is.
func (s *Service) find(ctx context.Context, id string) (saga.Look, error) {
	var l saga.Look
	var err error
	for _, ring := range ident.Regions() {
		if l, err = s.demos.Look(ctx, ring, id); !problem.Is(err, "UNKNOWN_SAGA") {
			break
		}
	}
	return l, err
}

// decide about a saga: here, when this cell owns its customer, else there, at the owner. A command that came from
// another cell goes no further.
func (s *Service) decide(ctx context.Context, l saga.Look, forwarded bool, here func() error, there func(Peer) error) error {
	err := s.deps.Fence.Check(ctx, l.CustomerID)
	if err == nil {
		err = here()
	}
	if !problem.Is(err, fence.ReasonWrongCell) || forwarded {
		return err
	}
	wrong, ok := problem.Detail[*problemv1.WrongCell](err)
	if !ok || wrong.GetOwner() == "" || wrong.GetOwner() == s.deps.Cell {
		return err
	}
	return there(s.deps.At(wrong.GetOwner()))
}

// change a saga by its engine, here or at its owner, and look at it again.
func (s *Service) change(ctx context.Context, id string, forwarded bool, here func(Engine, saga.Look) error, there func(Peer) error) (*recoveryv1.Saga, error) {
	l, err := s.find(ctx, id)
	if err != nil {
		return nil, err
	}
	engine := s.engineOf(l.Kind)
	if engine == nil {
		return nil, problem.New(problem.Precondition, "UNKNOWN_KIND", "no service of this cell runs sagas of the kind "+l.Kind)
	}
	if err := s.decide(ctx, l, forwarded, func() error { return here(engine, l) }, there); err != nil {
		return nil, err
	}
	if l, err = s.demos.Look(ctx, l.CustomerID.Region(), id); err != nil {
		return nil, err
	}
	return shown(l), nil
}
