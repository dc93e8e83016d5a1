package evacuation

import (
	"context"
	"log/slog"
	"slices"
	"testing"
	"time"

	"github.com/cellar-commerce/cellar/cells/topology"
	"github.com/cellar-commerce/cellar/internal/clock"
	"github.com/cellar-commerce/cellar/internal/fence"
	topologyv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/topology/v1"
	"github.com/cellar-commerce/cellar/internal/ident"
	"github.com/cellar-commerce/cellar/internal/problem"
	"github.com/cellar-commerce/cellar/internal/sqldb"
	"github.com/cellar-commerce/cellar/internal/sqldb/sqldbtest"
)

// ahead is a clock that a test can put forward; it goes on by itself, so that whoever sleeps wakes.
type ahead struct {
	clock.System
	by *time.Duration
}

// Now implements clock.Clock.
func (a ahead) Now() time.Time { return a.System.Now().Add(*a.by) }

// desk is where an operator of a small fleet sits: two cells in the east, one in the west.
type desk struct {
	t                 *testing.T
	global, customers *sqldb.DB
	fleet             *fleet
	moves             *Moves
	ahead             time.Duration
}

var cause = Cause{Who: "ada", Reason: "its disks are slow"}

func newDesk(t *testing.T) *desk {
	t.Helper()
	d := &desk{t: t, global: sqldbtest.New(t, sqldb.Global), customers: sqldbtest.New(t, sqldb.Customer)}
	d.fleet = newFleet(t, d.global, d.customers, cellOf("use1-a", east), cellOf("use1-b", east), cellOf("usw2-a", west))
	d.moves = d.newMoves()
	return d
}

func (d *desk) newMoves() *Moves {
	return New(Deps{Global: d.global, Customers: d.customers, Fleet: d.fleet, Clock: ahead{by: &d.ahead}, Log: slog.New(slog.DiscardHandler)})
}

func evacuating(cells ...string) Wish { return Wish{Kind: evacuate, Cells: cells} }

func (d *desk) plan(w Wish) *topologyv1.Plan {
	d.t.Helper()
	p, err := d.moves.Plan(d.t.Context(), w)
	if err != nil {
		d.t.Fatal(err)
	}
	return p
}

func (d *desk) order(w Wish) Order {
	d.t.Helper()
	return Order{Wish: w, Cause: cause, Hash: d.plan(w).GetHash(), ExpiresIn: time.Hour}
}

func (d *desk) start(w Wish) *topologyv1.Evacuation {
	d.t.Helper()
	e, err := d.moves.Start(d.t.Context(), d.order(w))
	if err != nil {
		d.t.Fatal(err)
	}
	return e
}

// drive a move to its end.
func (d *desk) drive(id string) *topologyv1.Evacuation {
	d.t.Helper()
	d.moves.drive(d.t.Context(), id)
	return d.get(id)
}

func (d *desk) get(id string) *topologyv1.Evacuation {
	d.t.Helper()
	e, err := d.moves.Get(d.t.Context(), id)
	if err != nil {
		d.t.Fatal(err)
	}
	return e
}

func (d *desk) expectState(e *topologyv1.Evacuation, want topologyv1.EvacuationState) {
	d.t.Helper()
	if e.GetState() != want || unmet(e) != "" {
		d.t.Fatalf("%s is %s, want %s; does not hold: %q; trouble: %q", e.GetEvacuationId(), e.GetState(), want, unmet(e), e.GetTrouble())
	}
}

func expectReason(t *testing.T, err error, reason string) {
	t.Helper()
	if !problem.Is(err, reason) {
		t.Errorf("got %v, want %s", err, reason)
	}
}

func TestAnEvacuationGivesEverySlotToTheOthersUnderItsNextEpoch(t *testing.T) {
	d := newDesk(t)
	e := d.drive(d.start(evacuating("use1-a")).GetEvacuationId())
	d.expectState(e, done)
	owner, epoch := owners(t, d.customers, east)
	for s := range owner {
		want := uint64(1)
		if s < ident.Slots/2 {
			want = 2
		}
		if owner[s] != "use1-b" || epoch[s] != want {
			t.Fatalf("slot %d is %s's at epoch %d", s, owner[s], epoch[s])
		}
	}
	if got := d.fleet.marks; !slices.Equal(got, []string{"use1-a draining", "use1-a evacuated"}) {
		t.Errorf("cells were marked %v", got)
	}
	if m := d.fleet.Map(); m.Cell("use1-a").State != topology.Evacuated || len(m.SlotsOf("use1-a")) != 0 {
		t.Error("the map does not say so")
	}
	if e.GetSlotsMoved() != ident.Slots/2 || e.GetLastOldWrite().AsDuration() <= 0 || len(e.GetPhases()) != 5 || len(e.GetFindings()) != 5 {
		t.Errorf("the report says %v", e)
	}
}

func TestARegionLeavesForOtherRegions(t *testing.T) {
	d := newDesk(t)
	cells := CellsOf(d.fleet.Map(), east)
	if !slices.Equal(cells, []string{"use1-a", "use1-b"}) {
		t.Fatalf("the region has %v", cells)
	}
	d.expectState(d.drive(d.start(evacuating(cells...)).GetEvacuationId()), done)
	owner, _ := owners(t, d.customers, east)
	for s := range owner {
		if owner[s] != "usw2-a" {
			t.Fatalf("slot %d is %s's", s, owner[s])
		}
	}
}

func TestAnUndoBringsBackOwnersAndStates(t *testing.T) {
	d := newDesk(t)
	before, _ := owners(t, d.customers, east)
	first := d.drive(d.start(evacuating("use1-a")).GetEvacuationId())
	back, err := d.moves.Undo(t.Context(), first.GetEvacuationId(), cause)
	if err != nil {
		t.Fatal(err)
	}
	_, err = d.moves.Undo(t.Context(), first.GetEvacuationId(), cause)
	expectReason(t, err, "ALREADY_UNDONE")
	back = d.drive(back.GetEvacuationId())
	d.expectState(back, done)
	d.expectState(d.get(first.GetEvacuationId()), undone)
	after, epoch := owners(t, d.customers, east)
	if after != before || epoch[0] != 3 || epoch[ident.Slots-1] != 1 {
		t.Errorf("the owners are not those before, or the epochs are %d and %d", epoch[0], epoch[ident.Slots-1])
	}
	if m := d.fleet.Map(); m.Cell("use1-a").State != topology.Active {
		t.Errorf("the map has %s", m.Cell("use1-a").State)
	}
	_, err = d.moves.Undo(t.Context(), back.GetEvacuationId(), cause)
	expectReason(t, err, "IS_AN_UNDO")
}

func TestNothingGoesBackToACellThatDoesNotServe(t *testing.T) {
	d := newDesk(t)
	id := d.drive(d.start(evacuating("use1-a")).GetEvacuationId()).GetEvacuationId()
	d.fleet.set(func() { d.fleet.down["use1-a"] = true })
	_, err := d.moves.Undo(t.Context(), id, cause)
	expectReason(t, err, reasonNotServing)
	d.ahead = 2 * time.Hour
	d.moves.expire(t.Context())
	if e := d.get(id); e.GetState() != done || e.GetUndoneById() != "" || e.GetTrouble() == "" {
		t.Errorf("it has expired, and is %v", e)
	}
	d.fleet.set(func() { d.fleet.down["use1-a"] = false })
	d.moves.expire(t.Context())
	by := d.get(id).GetUndoneById()
	if by == "" {
		t.Fatal("it has expired, and is not undone")
	}
	d.expectState(d.drive(by), done)
	if e := d.get(by); !e.GetAutomatic() || e.GetUndoesId() != id {
		t.Errorf("undone by %v", e)
	}
}

func TestAnAbortedEvacuationIsAsIfItHadNotBeen(t *testing.T) {
	for _, at := range []string{"before FLIPPING", "flip", "flipped", "before PUBLISHING", "before CONVERGING", "before VERIFYING", "before DONE"} {
		t.Run(at, func(t *testing.T) {
			d := newDesk(t)
			before, _ := owners(t, d.customers, east)
			id := d.start(evacuating("use1-a")).GetEvacuationId()
			given := false
			d.moves.at = func(ctx context.Context, point string) error {
				if point == at && !given {
					given = true
					if _, err := d.newMoves().Abort(ctx, id, cause); err != nil {
						t.Error(err)
					}
				}
				return nil
			}
			e := d.drive(id)
			if e.GetState() != aborted || !given {
				t.Fatalf("it is %s", e.GetState())
			}
			after, epoch := owners(t, d.customers, east)
			if after != before || epoch[0] < 2 || epoch[ident.Slots-1] != 1 {
				t.Errorf("the owners are not those before, or the epochs are %d and %d", epoch[0], epoch[ident.Slots-1])
			}
			if m := d.fleet.Map(); m.Cell("use1-a").State != topology.Active || len(m.SlotsOf("use1-a")[east]) != ident.Slots/2 {
				t.Error("the map does not say so")
			}
			_, err := d.moves.Undo(t.Context(), id, cause)
			expectReason(t, err, "MOVE_NOT_DONE")
			d.expectState(d.drive(d.start(evacuating("use1-a")).GetEvacuationId()), done)
		})
	}
}

func TestAMoveStartsOnlyFromThePlanThatWasLookedAt(t *testing.T) {
	d := newDesk(t)
	order := d.order(evacuating("use1-a"))
	if err := d.override("use1-b"); err != nil {
		t.Fatal(err)
	}
	_, err := d.moves.Start(t.Context(), order)
	expectReason(t, err, "PLAN_CHANGED")
	if order = d.order(evacuating("use1-a")); len(d.fleet.Map().Overrides) != 1 {
		t.Fatal("there is no override")
	}
	for reason, spoil := range map[string]func(*Order){
		"CAUSE_REQUIRED":  func(o *Order) { o.Reason = " " },
		"EXPIRY_REQUIRED": func(o *Order) { o.ExpiresIn = time.Second },
		"UNKNOWN_CELL":    func(o *Order) { o.Cells = []string{"use1-z"} },
		"CELL_REQUIRED":   func(o *Order) { o.Cells = nil },
	} {
		bad := order
		spoil(&bad)
		_, err := d.moves.Start(t.Context(), bad)
		expectReason(t, err, reason)
	}
	if _, err := d.moves.Start(t.Context(), order); err != nil {
		t.Fatal(err)
	}
	if p := d.plan(evacuating("use1-b")); p.GetRefusalReason() != reasonUnderWay {
		t.Errorf("a second move: refused with %q", p.GetRefusalReason())
	}
	_, err = d.moves.Start(t.Context(), d.order(evacuating("use1-b")))
	expectReason(t, err, reasonUnderWay)
}

// override a customer of a slot of use1-a.
func (d *desk) override(cell string) error {
	id := ident.NewCustomer("use1")
	for id.Slot() >= ident.Slots/2 {
		id = ident.NewCustomer("use1")
	}
	if _, err := fence.SetOverride(d.t.Context(), d.customers, id, cell, noon); err != nil {
		return err
	}
	_, err := d.fleet.Publish(d.t.Context(), cause)
	return err
}

func TestAPlanThatCannotBeIsRefused(t *testing.T) {
	d := newDesk(t)
	d.fleet.set(func() {
		d.fleet.cells = slices.Clone(d.fleet.cells)
		d.fleet.cells[1].Capacity = 250
		d.fleet.load = map[string]float64{"use1-a": 100, "use1-b": 200, "usw2-a": 0}
	})
	if _, err := d.fleet.Publish(t.Context(), cause); err != nil {
		t.Fatal(err)
	}
	order := d.order(evacuating("use1-a"))
	p := d.plan(evacuating("use1-a"))
	if g := p.GetTargets(); p.GetRefusalReason() != reasonOverCapacity || len(g) != 1 || g[0].GetLoadBefore() != 200 || g[0].GetLoadAfter() != 300 || g[0].GetSlotsAfter() != ident.Slots {
		t.Errorf("the plan is %v", p)
	}
	_, err := d.moves.Start(t.Context(), order)
	expectReason(t, err, reasonOverCapacity)
	d.fleet.set(func() { d.fleet.down["use1-b"], d.fleet.down["usw2-a"] = true, true })
	if p := d.plan(evacuating("use1-a")); p.GetRefusalReason() != reasonNobodyLeft {
		t.Errorf("with nobody left it is refused with %q", p.GetRefusalReason())
	}
	d.fleet.set(func() { clear(d.fleet.down) })
	order.OverCapacity = true
	e, err := d.moves.Start(t.Context(), order)
	if err != nil {
		t.Fatal(err)
	}
	d.expectState(d.drive(e.GetEvacuationId()), done)
	if p := d.plan(evacuating("use1-a")); p.GetRefusalReason() != reasonNothing {
		t.Errorf("an empty cell: refused with %q", p.GetRefusalReason())
	}
}

func TestOverridesToACellThatIsLeftEnd(t *testing.T) {
	d := newDesk(t)
	if err := d.override("usw2-a"); err != nil { // of a slot of use1-a
		t.Fatal(err)
	}
	if p := d.plan(evacuating("usw2-a")); len(p.GetOverrides()) != 1 {
		t.Fatalf("the plan is %v", p)
	}
	d.expectState(d.drive(d.start(evacuating("usw2-a")).GetEvacuationId()), done)
	if n := len(d.fleet.Map().Overrides); n != 0 {
		t.Errorf("%d overrides are left", n)
	}
	// Somebody who did not know yet makes another.
	if err := d.override("usw2-a"); err != nil {
		t.Fatal(err)
	}
	d.moves.endStrayOverrides(t.Context())
	if n := len(d.fleet.Map().Overrides); n != 0 {
		t.Errorf("%d strays are left", n)
	}
}

func TestARebalanceAndARevertAreMovesToo(t *testing.T) {
	d := newDesk(t)
	first := d.fleet.Map()
	d.fleet.set(func() { d.fleet.cells = append(slices.Clone(d.fleet.cells), cellOf("use1-c", east)) })
	if _, err := d.fleet.Publish(t.Context(), cause); err != nil {
		t.Fatal(err)
	}
	e := d.drive(d.start(Wish{Kind: rebalance, Region: east}).GetEvacuationId())
	d.expectState(e, done)
	if n := len(d.fleet.Map().SlotsOf("use1-c")[east]); n != ident.Slots/3 && n != ident.Slots/3+1 {
		t.Errorf("the new cell has %d slots", n)
	}
	e = d.drive(d.start(Wish{Kind: revert, Earlier: first}).GetEvacuationId())
	d.expectState(e, done)
	if n := len(d.fleet.Map().SlotsOf("use1-c")[east]); n != 0 || e.GetPlan().GetSlots() == 0 {
		t.Errorf("the new cell has %d slots after the revert", n)
	}
	if marks := d.fleet.marks; len(marks) > 0 {
		t.Errorf("cells were marked %v", marks)
	}
	all, err := d.moves.List(t.Context(), 0)
	if err != nil || len(all) != 2 || all[0].GetKind() != revert {
		t.Errorf("listed %v, %v", all, err)
	}
}

func TestNobodyWaitsLongForAMapAtACellThatIsLeft(t *testing.T) {
	d := newDesk(t)
	d.fleet.missing = []string{"use1-a"}
	d.expectState(d.drive(d.start(evacuating("use1-a")).GetEvacuationId()), done)
}

func TestWhatDoesNotGoOnSaysWhy(t *testing.T) {
	d := newDesk(t)
	id := d.start(evacuating("use1-a")).GetEvacuationId()
	ctx, cancel := context.WithCancel(t.Context())
	tries := 0
	d.moves.at = func(_ context.Context, point string) error {
		if point != "flip" {
			return nil
		}
		if tries++; tries == 2 {
			cancel()
		}
		return problem.New(problem.Unavailable, "DATABASE_UNAVAILABLE", "it is away")
	}
	d.moves.drive(ctx, id)
	if e := d.get(id); e.GetTrouble() != "DATABASE_UNAVAILABLE: it is away" || e.GetState() != flipping {
		t.Errorf("it is %v", e)
	}
	d.moves.at = d.newMoves().at
	e := d.drive(id)
	d.expectState(e, done)
	if e.GetTrouble() != "" {
		t.Errorf("trouble: %s", e.GetTrouble())
	}
}
