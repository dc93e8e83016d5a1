package evacuation

import (
	"context"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/cellar-commerce/cellar/cells/topology"
	"github.com/cellar-commerce/cellar/internal/clock"
	topologyv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/topology/v1"
	"github.com/cellar-commerce/cellar/internal/ident"
	"github.com/cellar-commerce/cellar/internal/problem"
	"github.com/cellar-commerce/cellar/internal/sqldb"
)

// Fleet is what moves need of whoever keeps cells and maps. Everything in it may be done twice.
type Fleet interface {
	// Map is the newest one that was published.
	Map() *topology.Map
	// Mark cells with states, for the maps to come, in a transaction of cellar_global in which wanted is asked first: if it
	// answers an error, nothing is marked, and that is the answer. Wanted may run several times. Mark publishes nothing.
	Mark(ctx context.Context, states map[string]topology.State, cause Cause, wanted func(ctx context.Context, tx sqldb.Tx) error) error
	// Publish a map of what cells and slots say now, unless the newest says the same, and hand it out. It tells the version
	// that has it.
	Publish(ctx context.Context, cause Cause) (version uint64, err error)
	// Missing names the routers and cells that do not have this version of the map, or a newer one, as far as is known; cells
	// by their ids.
	Missing(ctx context.Context, version uint64) ([]string, error)
	// Load of a cell in requests a second; of one that has just failed, what it was before. False when nobody has counted.
	Load(cell string) (perSecond float64, known bool)
	// Serves tells whether a cell is ready, as far as is known. Slots go to no other.
	Serves(cell string) bool
}

// Deps of Moves.
type Deps struct {
	// Global is cellar_global, which has the moves; Customers is cellar_customer, which has slots and sagas. A driver uses up
	// to DriverConns connections of the latter at once.
	Global, Customers *sqldb.DB
	Fleet             Fleet
	Clock             clock.Clock
	Log               *slog.Logger
	// Changed is told of a move whenever its row has changed; may be nil. It must not wait.
	Changed func(*topologyv1.Evacuation)
}

// Cause is by whom and why a move is wanted.
type Cause struct{ Who, Reason string }

// maxCause bounds both in bytes: a sentence.
const maxCause = 300

func (c Cause) check() error {
	for _, text := range []string{c.Who, c.Reason} {
		if strings.TrimSpace(text) == "" || len(text) > maxCause {
			return problem.New(problem.Invalid, "CAUSE_REQUIRED", "say who wants this and why, in 1 to 300 bytes each")
		}
	}
	return nil
}

// Wish is what a move is to achieve. An undo is not wished for: see Undo.
type Wish struct {
	// Kind is EVACUATION, REBALANCE or REVERT.
	Kind topologyv1.EvacuationKind
	// Cells to be evacuated; for a region, all of its cells that own anything (CellsOf).
	Cells []string
	// Region whose ring is rebalanced.
	Region ident.Region
	// Earlier map that slots go back to.
	Earlier *topology.Map
}

// Order to start a move.
type Order struct {
	Wish
	Cause
	// Hash of the plan that was looked at.
	Hash string
	// ExpiresIn is after how long an evacuation is undone by itself: a minute to 30 days. Other kinds do not expire.
	ExpiresIn time.Duration
	// OverCapacity goes ahead though a cell would get more than it can carry.
	OverCapacity bool
	// Automatic moves are the control plane's own.
	Automatic bool
}

// The limits of an evacuation's life: less is no time to look, and after a month a fleet should be planned anew.
const (
	minExpiry = time.Minute
	maxExpiry = 30 * 24 * time.Hour
)

// DriverConns is how many connections to cellar_customer a driver may use at once: a flip in each of two rings, somebody who
// ends the sessions that are in its way, and a look at the rows.
const DriverConns = 4

// Moves plans and drives moves of slots. All methods may be called at the same time, and by several processes.
type Moves struct {
	deps  Deps
	store store
	kick  chan struct{} // of one: there is something new to drive

	mu      sync.Mutex
	driving map[string]bool // moves that this process drives
	told    map[string]string
	homed   totals

	// at is called between the steps of a driver, with a name of the point; an error ends the step. For tests.
	at func(ctx context.Context, point string) error
}

// New Moves.
func New(deps Deps) *Moves {
	if deps.Changed == nil {
		deps.Changed = func(*topologyv1.Evacuation) {}
	}
	return &Moves{
		deps: deps, store: store{deps.Global}, kick: make(chan struct{}, 1), driving: map[string]bool{}, told: map[string]string{},
		at: func(context.Context, string) error { return nil },
	}
}

// CellsOf a region that own slots or serve single customers, in the order of the map: those that its evacuation is of.
func CellsOf(m *topology.Map, region ident.Region) []string {
	var ids []string
	for i := range m.Cells {
		if c := &m.Cells[i]; c.Region == region && (len(m.SlotsOf(c.ID)) > 0 || len(m.OverridesTo(c.ID)) > 0) {
			ids = append(ids, c.ID)
		}
	}
	return ids
}

// Plan a move, without changing anything. A plan that cannot be started says why. UNKNOWN_CELL, UNKNOWN_REGION.
func (m *Moves) Plan(ctx context.Context, w Wish) (*topologyv1.Plan, error) {
	p, err := m.plan(ctx, w)
	if err != nil {
		return nil, err
	}
	if p.GetRefusalReason() == "" {
		busy, err := m.store.changing(ctx)
		if err != nil {
			return nil, err
		}
		if busy != "" {
			refuse(p, reasonUnderWay, "the move "+busy+" is under way: wait for its end, or abort it")
		}
	}
	return p, nil
}

// Get a move, as it stands. UNKNOWN_MOVE.
func (m *Moves) Get(ctx context.Context, id string) (*topologyv1.Evacuation, error) {
	mv, err := m.store.get(ctx, id)
	if err != nil {
		return nil, err
	}
	return mv.e, nil
}

// maxListed moves, and what is listed when nobody says how many.
const (
	maxListed     = 500
	defaultListed = 50
)

// List moves, the newest first; at most limit, of 500, and 50 for 0.
func (m *Moves) List(ctx context.Context, limit int) ([]*topologyv1.Evacuation, error) {
	if limit <= 0 {
		limit = defaultListed
	}
	moves, err := m.store.list(ctx, min(limit, maxListed))
	all := make([]*topologyv1.Evacuation, len(moves))
	for i, mv := range moves {
		all[i] = mv.e
	}
	return all, err
}
