package controlplane

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/cellar-commerce/cellar/cells/evacuation"
	"github.com/cellar-commerce/cellar/cells/topology"
	"github.com/cellar-commerce/cellar/internal/clock"
	"github.com/cellar-commerce/cellar/internal/fence"
	topologyv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/topology/v1"
	"github.com/cellar-commerce/cellar/internal/gen/cellar/topology/v1/topologyv1connect"
	"github.com/cellar-commerce/cellar/internal/ident"
	"github.com/cellar-commerce/cellar/internal/lease"
	"github.com/cellar-commerce/cellar/internal/problem"
	"github.com/cellar-commerce/cellar/internal/sqldb"
)

// Deps of the service.
type Deps struct {
	// Global is cellar_global, Customers cellar_customer.
	Global, Customers *sqldb.DB
	// Key that maps are signed with, and the public keys that those of the history may have been signed with.
	Key  topology.SigningKey
	Keys topology.Keys
	// Primary region: where the lease is.
	Primary ident.Region
	// Name of this process, unique among control planes, and the address at which others reach it.
	Name, Address string
	// Deployed are the cells that the platform is made of; may be empty. See publisher.deploy.
	Deployed []topology.Cell
	// Floor is the version of a map that processes may have though the database has none; 0 for none.
	Floor uint64
	// Automation is whether the lever is on before anybody has moved it; CoolDown is the least time between two automatic
	// moves of different cells.
	Automation bool
	CoolDown   time.Duration
	// LeaseTTL is how long a dead leader's office waits; 0 means lease.DefaultTTL.
	LeaseTTL time.Duration
	Clock    clock.Clock
	Log      *slog.Logger

	// Observe may be nil.
	Observe Observer

	probe prober // tests have their own
}

// Observer is told what the control plane does.
type Observer interface {
	// MapHeld: the newest map that this process has is of that version.
	MapHeld(version uint64)
	// Leads tells whether this process leads.
	Leads(bool)
	// Reporters that are known, and those of them that have spoken lately.
	Reporters(known, fresh int)
	// MoveChanged: a move of slots has come to that state.
	MoveChanged(state string)
}

type noObserver struct{}

func (noObserver) MapHeld(uint64)     {}
func (noObserver) Leads(bool)         {}
func (noObserver) Reporters(int, int) {}
func (noObserver) MoveChanged(string) {}

// Service implements cellar.topology.v1.TopologyService.
type Service struct {
	deps       Deps
	store      store
	publisher  *publisher
	feed       *feed
	board      *board
	leader     *leader
	probes     *probes
	automation *automation
	moves      *evacuation.Moves
	// stepped moves, for the audit trail.
	stepped chan *topologyv1.Evacuation
}

var _ topologyv1connect.TopologyServiceHandler = (*Service)(nil)

// New service; Run has it lead and follow.
func New(deps Deps) *Service {
	if deps.probe == nil {
		deps.probe = newProber()
	}
	if deps.Observe == nil {
		deps.Observe = noObserver{}
	}
	s := &Service{
		deps: deps, store: store{deps.Global}, feed: newFeed(maxWatchers, deps.Observe.MapHeld), board: newBoard(deps.Clock), stepped: make(chan *topologyv1.Evacuation, maxStepped),
	}
	s.publisher = &publisher{
		store: s.store, customers: deps.Customers, key: deps.Key, keys: deps.Keys, clock: deps.Clock, log: deps.Log, feed: s.feed, floor: deps.Floor,
	}
	s.moves = evacuation.New(evacuation.Deps{
		Global: deps.Global, Customers: deps.Customers, Fleet: seams{s.publisher, s.board}, Clock: deps.Clock, Log: deps.Log, Changed: s.moveChanged,
	})
	s.leader = &leader{
		name: deps.Name, address: deps.Address, log: deps.Log, observe: deps.Observe.Leads,
		keeper: lease.New(lease.Deps{
			DB: deps.Global, Region: deps.Primary, Holder: holderOf(deps.Name, deps.Address), TTL: deps.LeaseTTL, Clock: deps.Clock, Log: deps.Log,
		}),
	}
	s.probes = &probes{feed: s.feed, board: s.board, probe: deps.probe, clock: deps.Clock, observe: deps.Observe.Reporters, pending: map[string]bool{}}
	s.automation = &automation{
		store: s.store, feed: s.feed, board: s.board, clock: deps.Clock, log: deps.Log, mover: s, coolDown: deps.CoolDown,
	}
	return s
}

// Run follows the map, probes cells and, while this process leads, drives what is under way, until ctx ends.
func (s *Service) Run(ctx context.Context) {
	var wg sync.WaitGroup
	defer wg.Wait()
	wg.Go(func() { s.publisher.follow(ctx) })
	wg.Go(func() { s.probes.run(ctx) })
	s.leader.run(ctx, s.lead)
}

// lead until ctx ends, which it does with the lease.
func (s *Service) lead(ctx context.Context) {
	if !s.begin(ctx) {
		return
	}
	var wg sync.WaitGroup
	defer wg.Wait()
	wg.Go(func() { s.automation.run(ctx) })
	wg.Go(func() { s.keepOverrides(ctx) })
	wg.Go(func() { s.keepTrail(ctx) })
	s.moves.Run(ctx)
}

// beginEvery is the pause after a start that failed.
const beginEvery = time.Second

// begin with what every leader sees to first: the lever, the cells of the platform, and a map.
func (s *Service) begin(ctx context.Context) bool {
	for {
		err := s.beginOnce(ctx)
		if err == nil {
			return true
		}
		if ctx.Err() == nil {
			s.deps.Log.ErrorContext(ctx, "this control plane cannot begin to lead; it is tried again", "error", err)
		}
		if s.deps.Clock.Sleep(ctx, beginEvery) != nil {
			return false
		}
	}
}

func (s *Service) beginOnce(ctx context.Context) error {
	cause := Cause{Who: "control plane", Reason: "as it is configured"}
	if err := s.store.makeLever(ctx, s.deps.Automation, cause, s.deps.Clock.Now()); err != nil {
		return err
	}
	if len(s.deps.Deployed) == 0 {
		return nil
	}
	_, err := s.publisher.deploy(ctx, s.deps.Deployed)
	return err
}

// overridesEvery bounds how late an override that has run out is taken away.
const overridesEvery = time.Second

// keepOverrides: what was begun is finished, and what has run out is taken away.
func (s *Service) keepOverrides(ctx context.Context) {
	for {
		if err := s.sweepOverrides(ctx); err != nil && ctx.Err() == nil {
			s.deps.Log.WarnContext(ctx, "overrides could not be swept; it is tried again", "error", err)
		}
		if s.deps.Clock.Sleep(ctx, overridesEvery) != nil {
			return
		}
	}
}

func (s *Service) sweepOverrides(ctx context.Context) error {
	records, err := s.store.listOverrides(ctx)
	if err != nil {
		return err
	}
	held, now := s.feed.newest(), s.deps.Clock.Now()
	if held == nil {
		return nil
	}
	in := map[ident.CustomerID]string{}
	for _, o := range held.m.Overrides {
		in[o.Customer] = held.m.Cells[o.Cell].ID
	}
	for _, o := range records {
		switch {
		case !now.Before(o.expiresAt):
			err = s.removeOverride(ctx, o.customer, Cause{Who: "control plane", Reason: "the override has run out"})
		case !o.applied:
			err = s.applyOverride(ctx, o)
		case in[o.customer] == "":
			// A move has taken it away with the cell that it named.
			err = s.removeOverride(ctx, o.customer, Cause{Who: "control plane", Reason: "no slot has the override any more"})
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// applyOverride that is recorded: first to the slot, whose row decides, then to the map.
func (s *Service) applyOverride(ctx context.Context, o override) error {
	if _, err := fence.SetOverride(ctx, s.deps.Customers, o.customer, o.cell, s.deps.Clock.Now()); err != nil {
		return err
	}
	_, err := s.publisher.publish(ctx, edit{
		cause: Cause{Who: o.cause.Who, Reason: o.cause.Reason}, action: "customer pinned to " + o.cell, subject: string(o.customer),
		apply: func(ctx context.Context, tx sqldb.Tx, _ *draft) error { return applyOverride(ctx, tx, o.customer) },
	})
	return err
}

// removeOverride of a customer, from the slot, then from the map and the records.
func (s *Service) removeOverride(ctx context.Context, id ident.CustomerID, cause Cause) error {
	if _, err := fence.SetOverride(ctx, s.deps.Customers, id, "", s.deps.Clock.Now()); err != nil {
		return err
	}
	cause.Seen = 0 // it was looked at before anything was changed
	_, err := s.publisher.publish(ctx, edit{
		cause: cause, action: "customer unpinned", subject: string(id),
		apply: func(ctx context.Context, tx sqldb.Tx, _ *draft) error { return deleteOverride(ctx, tx, id) },
	})
	return err
}

// seen refuses a cause that was meant for another version than the newest.
func (s *Service) seen(ctx context.Context, cause Cause) (*publication, error) {
	held, err := s.publisher.newest(ctx)
	switch {
	case err != nil:
		return nil, err
	case held == nil:
		return nil, noMap()
	case cause.Seen != 0 && cause.Seen != held.m.Version:
		return nil, mapChanged(cause.Seen, held.m.Version)
	}
	return held, nil
}

// pin a customer to a cell for a time.
func (s *Service) pin(ctx context.Context, id ident.CustomerID, cell string, expiresIn time.Duration, cause Cause) (override, error) {
	held, err := s.seen(ctx, cause)
	if err != nil {
		return override{}, err
	}
	c := held.m.Cell(cell)
	if c == nil {
		return override{}, unknownCell(cell)
	}
	if !c.Serves() {
		return override{}, problem.New(problem.Precondition, "CELL_NOT_SERVING", "the cell "+cell+" is "+string(c.State)+" and serves nobody")
	}
	if _, _, ok := held.m.Owner(id); !ok {
		return override{}, problem.New(problem.NotFound, "UNKNOWN_REGION", "no map has the ring of the customer")
	}
	records, err := s.store.listOverrides(ctx)
	if err != nil {
		return override{}, err
	}
	if _, again := recordsByCustomer(records)[id]; !again && len(records) >= topology.MaxOverrides {
		return override{}, problem.New(problem.Exhausted, "TOO_MANY_OVERRIDES", "there are as many overrides as a map can have: move slots, or remove some")
	}
	now := s.deps.Clock.Now()
	o := override{customer: id, cell: cell, cause: Cause{Who: cause.Who, Reason: cause.Reason}, createdAt: now, expiresAt: now.Add(expiresIn)}
	if err := s.store.putOverride(ctx, o); err != nil {
		return override{}, err
	}
	return o, s.applyOverride(ctx, o)
}

// unpin a customer. NO_OVERRIDE.
func (s *Service) unpin(ctx context.Context, id ident.CustomerID, cause Cause) error {
	held, err := s.seen(ctx, cause)
	if err != nil {
		return err
	}
	records, err := s.store.listOverrides(ctx)
	if err != nil {
		return err
	}
	_, recorded := recordsByCustomer(records)[id]
	inMap := false
	for _, o := range held.m.Overrides {
		inMap = inMap || o.Customer == id
	}
	if !recorded && !inMap {
		return problem.New(problem.NotFound, "NO_OVERRIDE", "the customer is served by the owner of the slot, as all others")
	}
	return s.removeOverride(ctx, id, cause)
}
