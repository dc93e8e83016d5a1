package evacuation

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/cellar-commerce/cellar/cells/topology"
	"github.com/cellar-commerce/cellar/internal/fence"
	topologyv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/topology/v1"
	"github.com/cellar-commerce/cellar/internal/ident"
	"github.com/cellar-commerce/cellar/internal/problem"
	"github.com/cellar-commerce/cellar/internal/sqldb"
)

const (
	// flipBatch is how many slots a transaction flips. It waits for nobody, so that all slots of a cell may go in one; the
	// limit is what a ring has. BenchmarkFlip compares sizes.
	flipBatch = ident.Slots
	// passPause between two passes over slots that are being written: less than a write takes.
	passPause = 3 * time.Millisecond
	// passTime is for how long slots are only passed over. Those that still were never free by then are waited for.
	passTime = 40 * time.Millisecond
	// holdTime is how long a session of the old owner may hold a slot before it is ended: many times what a write takes.
	holdTime = 150 * time.Millisecond
	// heldTime is when a flip gives up for this time, because what holds a slot is no session of a cell.
	heldTime = 5 * time.Second
	// maxRings that are flipped at once; see DriverConns.
	maxRings = 2
)

// place is what a plan does with a slot.
type place struct {
	from, to string
	// epoch that the plan has seen.
	epoch uint64
}

// placesOf a plan, by ring and slot.
func placesOf(p *topologyv1.Plan) map[ident.Region]map[ident.Slot]place {
	all := map[ident.Region]map[ident.Slot]place{}
	for _, t := range p.GetTargets() {
		for _, mv := range t.GetMoves() {
			ring := ident.Region(mv.GetRing())
			if all[ring] == nil {
				all[ring] = map[ident.Slot]place{}
			}
			for s := mv.GetFromSlot(); s <= mv.GetToSlot(); s++ {
				all[ring][ident.Slot(s)] = place{mv.GetFromCell(), mv.GetToCell(), mv.GetEpoch()}
			}
		}
	}
	return all
}

// decision about a slot, by its row: what it is to be, if anything is to change.
type decision func(h *fence.Holding) (c fence.Change, change bool)

// without overrides that name cells.
func without(overrides map[ident.CustomerID]string, cells []string) (left map[ident.CustomerID]string, fewer bool) {
	left = maps.Clone(overrides)
	maps.DeleteFunc(left, func(_ ident.CustomerID, cell string) bool { return slices.Contains(cells, cell) })
	return left, len(left) < len(overrides)
}

// leave: what has not moved yet moves, and overrides to cells that are left end.
func leave(places map[ident.Slot]place, leaving []string) decision {
	return func(h *fence.Holding) (fence.Change, bool) {
		c := fence.Change{Slot: h.Slot, Epoch: h.Epoch, Owner: h.Owner}
		var fewer bool
		c.Overrides, fewer = without(h.Overrides, leaving)
		p, planned := places[h.Slot]
		if planned && h.Owner == p.from {
			c.Owner = p.to
		}
		return c, fewer || c.Owner != h.Owner
	}
}

// goBack: what has moved returns. What has not, or is back already, gets a new epoch all the same: somebody who has read the
// row before, and still means to move it, comes too late then.
func goBack(places map[ident.Slot]place) decision {
	return func(h *fence.Holding) (fence.Change, bool) {
		p, planned := places[h.Slot]
		c := fence.Change{Slot: h.Slot, Epoch: h.Epoch, Owner: p.from, Overrides: h.Overrides}
		return c, planned && (h.Owner == p.from || (h.Owner == p.to && h.Epoch > p.epoch))
	}
}

// ringsOf a plan, and where its overrides are.
func ringsOf(p *topologyv1.Plan, places map[ident.Region]map[ident.Slot]place) []ident.Region {
	rings := slices.Collect(maps.Keys(places))
	for _, id := range p.GetOverrides() {
		rings = append(rings, ident.CustomerID(id).Region())
	}
	slices.Sort(rings)
	return slices.Compact(rings)
}

// leaving cells of a move: those that nobody is to be served by afterwards.
func leaving(e *topologyv1.Evacuation) []string {
	if e.GetKind() != evacuate {
		return nil
	}
	return e.GetPlan().GetCells()
}

// flip what the plan moves, until the rows say that all has moved.
func (m *Moves) flip(ctx context.Context, mv *move) error {
	sum, err := m.flipAll(ctx, mv)
	if err != nil {
		return err
	}
	mv.e.SlotsMoved = sum.there
	mv.e.LastOldWrite = durationpb.New(m.deps.Clock.Now().Sub(mv.e.GetStartedAt().AsTime()))
	text := fmt.Sprintf("%d slots have their new owners", sum.there)
	if sum.cut > 0 {
		text += fmt.Sprintf("; ended %d sessions that held some of them for longer than %s", sum.cut, holdTime)
	}
	return m.advance(ctx, mv, publishing, text)
}

// tally of what a driver has done to the slots of a plan.
type tally struct {
	// there and home are how many slots were where the plan has them go, and where it found them, at the last look.
	there, home int32
	// cut sessions that were in the way.
	cut int64
}

// flipAll rings of a move, some at once.
func (m *Moves) flipAll(ctx context.Context, mv *move) (tally, error) {
	return m.turnRings(ctx, mv, func(places map[ident.Slot]place) decision { return leave(places, leaving(mv.e)) })
}

func (m *Moves) turnRings(ctx context.Context, mv *move, decide func(map[ident.Slot]place) decision) (sum tally, err error) {
	places := placesOf(mv.e.GetPlan())
	rings := ringsOf(mv.e.GetPlan(), places)
	turns := make([]turn, len(rings))
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(maxRings)
	for i, ring := range rings {
		turns[i] = turn{m: m, mv: mv, ring: ring, places: places[ring], decide: decide(places[ring]), turned: map[ident.Slot]bool{}}
		g.Go(func() error { return turns[i].run(ctx) })
	}
	err = g.Wait()
	for i := range turns {
		sum = tally{sum.there + turns[i].there, sum.home + turns[i].home, sum.cut + turns[i].cut}
	}
	return sum, err
}

// turn of one ring's slots by one driver.
type turn struct {
	m      *Moves
	mv     *move
	ring   ident.Region
	places map[ident.Slot]place
	decide decision
	// turned slots are not looked at again.
	turned map[ident.Slot]bool
	tally
}

// run until a look at the rows finds nothing to change any more. The rows are read first, and then whether the move is
// still wanted: should it be given up in between, its way back gives these rows a new epoch, and the flip misses them.
func (t *turn) run(ctx context.Context) error {
	began := t.m.deps.Clock.Now()
	for {
		changes, holders, err := t.look(ctx)
		if err != nil || len(changes) == 0 {
			return err
		}
		if err := t.m.stillWanted(ctx, t.mv); err != nil {
			return err
		}
		if err := t.m.at(ctx, "flip"); err != nil {
			return err
		}
		waited, flipped := t.m.deps.Clock.Now().Sub(began), 0
		for batch := range slices.Chunk(changes, flipBatch) {
			n, err := t.try(ctx, batch, waited)
			if err != nil {
				return err
			}
			flipped += n
		}
		if err := t.m.at(ctx, "flipped"); err != nil {
			return err
		}
		if flipped == len(changes) {
			continue
		}
		if err := t.clear(ctx, holders, waited); err != nil {
			return err
		}
	}
}

// look at the rows: what is to be changed still, and the cells whose writers may be in the way.
func (t *turn) look(ctx context.Context) (changes []fence.Change, holders []string, err error) {
	writers := map[string]bool{}
	rows, err := fence.ReadRing(ctx, t.m.deps.Customers, t.ring)
	if err != nil {
		return nil, nil, err
	}
	t.there, t.home = 0, 0
	for i := range rows {
		h := &rows[i]
		if p, planned := t.places[h.Slot]; planned && h.Owner == p.to {
			t.there++
		} else if planned && h.Owner == p.from {
			t.home++
		}
		if t.turned[h.Slot] {
			continue
		}
		if c, change := t.decide(h); change {
			changes, writers[h.Owner] = append(changes, c), true
			for _, cell := range h.Overrides {
				writers[cell] = true
			}
		}
	}
	return changes, slices.Collect(maps.Keys(writers)), nil
}

// try to flip a batch: what is free, and after a while also what is never free. It tells how many slots were flipped.
func (t *turn) try(ctx context.Context, batch []fence.Change, waited time.Duration) (int, error) {
	how := fence.Flip
	if waited >= passTime {
		how = fence.FlipWaiting
	}
	flipped, err := how(ctx, t.m.deps.Customers, t.ring, batch, t.m.deps.Clock.Now())
	if sqldb.LockTimedOut(err) {
		return 0, nil
	}
	for _, s := range flipped {
		t.turned[s] = true
	}
	return len(flipped), err
}

// clear the way, if slots have been held for too long, and pause otherwise.
func (t *turn) clear(ctx context.Context, holders []string, waited time.Duration) error {
	if waited >= heldTime {
		return problem.New(problem.Unavailable, "SLOTS_HELD", fmt.Sprintf("slots of %s are held by a session that is no cell's", t.ring))
	}
	if waited < holdTime {
		return t.m.deps.Clock.Sleep(ctx, passPause)
	}
	for _, cell := range holders {
		n, err := fence.EndBlockers(ctx, t.m.deps.Customers, fence.ApplicationName(cell), holdTime)
		if err != nil {
			return err
		}
		t.cut += n
	}
	return t.m.deps.Clock.Sleep(ctx, passPause)
}

// stillWanted tells whether the move is still in the state in which it was read. errOvertaken.
func (m *Moves) stillWanted(ctx context.Context, mv *move) error {
	now, err := m.store.get(ctx, mv.id())
	if err != nil {
		return err
	}
	if now.e.GetState() != mv.e.GetState() {
		return errOvertaken
	}
	return nil
}

// giveBack what a move has moved that is given up.
func (m *Moves) giveBack(ctx context.Context, mv *move) error {
	if mv.e.GetKind() != undo { // routers have to know the cell again before it gets its slots back
		if err := m.announce(ctx, mv, mv.before); err != nil {
			return err
		}
	}
	sum, err := m.turnRings(ctx, mv, goBack)
	if err != nil {
		return err
	}
	if mv.e.GetKind() == undo && len(mv.before) > 0 {
		if err := m.deps.Fleet.Mark(ctx, states(mv.before), because(mv.e), inState(mv)); err != nil {
			return err
		}
	}
	version, err := m.deps.Fleet.Publish(ctx, because(mv.e))
	if err != nil {
		return err
	}
	mv.version, mv.e.SlotsMoved = version, 0
	text := fmt.Sprintf("%d slots are where they were before, under new epochs; published map %d", sum.home, version)
	if others := mv.e.GetPlan().GetSlots() - sum.home; others > 0 {
		text += fmt.Sprintf("; %d have been moved on by others since", others)
	}
	return m.advance(ctx, mv, aborted, text)
}

// endStrayOverrides: an override to a cell that has been evacuated, made by somebody who did not know yet, ends.
func (m *Moves) endStrayOverrides(ctx context.Context) {
	now := m.deps.Fleet.Map()
	if now == nil {
		return
	}
	for i := range now.Cells {
		c := &now.Cells[i]
		strays := now.OverridesTo(c.ID)
		if c.State != topology.Evacuated || len(strays) == 0 {
			continue
		}
		if err := m.endOverrides(ctx, c.ID, strays); err != nil {
			m.complain(ctx, "overrides to an evacuated cell stay", c.ID, err)
			continue
		}
		m.deps.Log.WarnContext(ctx, "overrides to an evacuated cell have ended", "cell", c.ID, "overrides", len(strays))
	}
}

func (m *Moves) endOverrides(ctx context.Context, cell string, strays []ident.CustomerID) error {
	rings := map[ident.Region]bool{}
	for _, id := range strays {
		rings[id.Region()] = true
	}
	for ring := range rings {
		rows, err := fence.ReadRing(ctx, m.deps.Customers, ring)
		if err != nil {
			return err
		}
		var changes []fence.Change
		for i := range rows {
			if c, change := leave(nil, []string{cell})(&rows[i]); change {
				changes = append(changes, c)
			}
		}
		if _, err := fence.FlipWaiting(ctx, m.deps.Customers, ring, changes, m.deps.Clock.Now()); err != nil {
			return err
		}
	}
	_, err := m.deps.Fleet.Publish(ctx, Cause{Who: "cellar", Reason: "overrides to " + cell + ", which is evacuated, end"})
	return err
}
