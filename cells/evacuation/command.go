package evacuation

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/cellar-commerce/cellar/cells/topology"
	topologyv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/topology/v1"
	"github.com/cellar-commerce/cellar/internal/ident"
	"github.com/cellar-commerce/cellar/internal/problem"
	"github.com/cellar-commerce/cellar/internal/sqldb"
)

const (
	planned    = topologyv1.EvacuationState_EVACUATION_STATE_PLANNED
	flipping   = topologyv1.EvacuationState_EVACUATION_STATE_FLIPPING
	publishing = topologyv1.EvacuationState_EVACUATION_STATE_PUBLISHING
	converging = topologyv1.EvacuationState_EVACUATION_STATE_CONVERGING
	verifying  = topologyv1.EvacuationState_EVACUATION_STATE_VERIFYING
	done       = topologyv1.EvacuationState_EVACUATION_STATE_DONE
	aborting   = topologyv1.EvacuationState_EVACUATION_STATE_ABORTING
	aborted    = topologyv1.EvacuationState_EVACUATION_STATE_ABORTED
	undone     = topologyv1.EvacuationState_EVACUATION_STATE_UNDONE
)

// newID of a move: short enough to type, and 40 bits of chance among moves that are kept.
func newID() string { return "ev-" + ident.NewToken()[:8] }

// Start a move that was planned. The answer comes when its row is stored; whoever runs Run then drives it. PLAN_CHANGED when
// it would do something else by now; OVER_CAPACITY, NOBODY_LEFT, NOTHING_TO_MOVE, TARGET_NOT_SERVING, MOVE_UNDER_WAY;
// CAUSE_REQUIRED, EXPIRY_REQUIRED.
func (m *Moves) Start(ctx context.Context, o Order) (*topologyv1.Evacuation, error) {
	began := m.deps.Clock.Now()
	if err := o.check(); err != nil {
		return nil, err
	}
	p, err := m.plan(ctx, o.Wish)
	if err != nil {
		return nil, err
	}
	if p.GetHash() != o.Hash {
		return nil, problem.New(problem.Aborted, "PLAN_CHANGED", "the move would do something else by now: look at a new plan")
	}
	if r := p.GetRefusalReason(); r != "" && (r != reasonOverCapacity || !o.OverCapacity) {
		return nil, problem.New(problem.Precondition, r, p.GetRefusal())
	}
	mv := &move{revision: 1, before: map[string]string{}, after: map[string]string{}, e: &topologyv1.Evacuation{
		EvacuationId: newID(), Kind: o.Kind, State: planned, Plan: p, Who: o.Who, Reason: o.Reason, Automatic: o.Automatic, StartedAt: timestamp(began),
	}}
	if o.Kind == evacuate {
		mv.e.ExpiresAt = timestamp(began.Add(o.ExpiresIn))
		now := m.deps.Fleet.Map()
		for _, id := range p.GetCells() {
			if c := now.Cell(id); c != nil {
				mv.before[id], mv.after[id] = string(c.State), string(topology.Evacuated)
			}
		}
	}
	err = m.deps.Global.InTx(ctx, func(tx sqldb.Tx) error { return insert(ctx, tx, mv) })
	return m.started(ctx, mv, err)
}

func (o *Order) check() error {
	if err := o.Cause.check(); err != nil {
		return err
	}
	if o.Kind == evacuate && (o.ExpiresIn < minExpiry || o.ExpiresIn > maxExpiry) {
		return problem.New(problem.Invalid, "EXPIRY_REQUIRED", "say after how long the evacuation is undone by itself: a minute to 30 days")
	}
	return nil
}

// started: the row of a move was to be stored.
func (m *Moves) started(ctx context.Context, mv *move, err error) (*topologyv1.Evacuation, error) {
	if errors.Is(err, errChanging) {
		return nil, problem.New(problem.Precondition, reasonUnderWay, "another move is under way: wait for its end, or abort it")
	}
	if err != nil {
		return nil, fmt.Errorf("evacuation: start a move: %w", err)
	}
	e := mv.e
	m.deps.Log.InfoContext(ctx, "a move of slots starts", "move", mv.id(), "kind", nameOf(e.GetKind()), "cells", e.GetPlan().GetCells(), "slots", e.GetPlan().GetSlots(), "who", e.GetWho(), "reason", e.GetReason())
	m.deps.Changed(e)
	m.wake()
	return e, nil
}

// wake the driver, if it sleeps.
func (m *Moves) wake() {
	select {
	case m.kick <- struct{}{}:
	default:
	}
}

// maxRaces is how often a command tries again when a driver has changed the row under it: a move has few changes.
const maxRaces = 16

// Abort a move that is under way: what has moved goes back. A move that is going back already, or is back, is answered as
// it stands. MOVE_ENDED when it is done: undo it. MOVE_UNDER_WAY when another one has slots on their way since.
func (m *Moves) Abort(ctx context.Context, id string, cause Cause) (*topologyv1.Evacuation, error) {
	if err := cause.check(); err != nil {
		return nil, err
	}
	for range maxRaces {
		mv, err := m.store.get(ctx, id)
		if err != nil {
			return nil, err
		}
		switch s := mv.e.GetState(); s {
		case aborting, aborted:
			return mv.e, nil
		case done, undone:
			return nil, problem.New(problem.Precondition, "MOVE_ENDED", "the move is done: undo it")
		default:
			m.endPhase(mv.e, phaseOf[s], "given up by "+cause.Who+": "+cause.Reason)
			mv.e.State, mv.e.Trouble = aborting, ""
		}
		err = save(ctx, m.deps.Global, mv)
		if errors.Is(err, errOvertaken) {
			continue
		}
		if errors.Is(err, errChanging) {
			return nil, problem.New(problem.Precondition, reasonUnderWay, "another move has slots on their way since: wait for its end, or abort that")
		}
		if err != nil {
			return nil, fmt.Errorf("evacuation: abort %s: %w", id, err)
		}
		m.deps.Log.InfoContext(ctx, "a move of slots is given up", "move", id, "who", cause.Who, "reason", cause.Reason)
		m.deps.Changed(mv.e)
		m.wake()
		return mv.e, nil
	}
	return nil, problem.New(problem.Aborted, "MOVE_CHANGED", "the move keeps changing: look at it and try again")
}

// Undo a move that is done, by another one: slots that are still where it has put them go back, and cells are again what
// they were. MOVE_NOT_DONE; ALREADY_UNDONE; IS_AN_UNDO: plan what that has taken back anew; TARGET_NOT_SERVING;
// CELL_STATE_CHANGED; MOVE_UNDER_WAY.
func (m *Moves) Undo(ctx context.Context, id string, cause Cause) (*topologyv1.Evacuation, error) {
	return m.undo(ctx, id, cause, false)
}

func (m *Moves) undo(ctx context.Context, id string, cause Cause, automatic bool) (*topologyv1.Evacuation, error) {
	began := m.deps.Clock.Now()
	if err := cause.check(); err != nil {
		return nil, err
	}
	mv, err := m.store.get(ctx, id)
	if err != nil {
		return nil, err
	}
	if err := undoable(mv.e); err != nil {
		return nil, err
	}
	d, err := m.undoOf(mv)
	if err != nil {
		return nil, err
	}
	m.complete(ctx, d)
	p := d.plan()
	refuse(p, "", "")
	back := &move{revision: 1, before: mv.after, after: mv.before, e: &topologyv1.Evacuation{
		EvacuationId: newID(), Kind: undo, State: planned, Plan: p, Who: cause.Who, Reason: cause.Reason, Automatic: automatic, StartedAt: timestamp(began), UndoesId: id,
	}}
	err = m.deps.Global.InTx(ctx, func(tx sqldb.Tx) error {
		now, err := get(ctx, tx, id)
		if err != nil {
			return err
		}
		if err := undoable(now.e); err != nil {
			return err
		}
		now.e.UndoneById = back.id()
		if err := save(ctx, tx, now); err != nil {
			return err
		}
		return insert(ctx, tx, back)
	})
	if errors.Is(err, errOvertaken) {
		return nil, problem.New(problem.Aborted, "MOVE_CHANGED", "somebody else has changed the move meanwhile: look at it and try again")
	}
	return m.started(ctx, back, err)
}

func undoable(e *topologyv1.Evacuation) error {
	switch {
	case e.GetUndoneById() != "":
		return problem.New(problem.Precondition, "ALREADY_UNDONE", "the move is undone, by "+e.GetUndoneById())
	case e.GetState() != done:
		return problem.New(problem.Precondition, "MOVE_NOT_DONE", "the move is "+stateName(e.GetState())+": only one that is done can be undone; abort one that is under way")
	case e.GetKind() == undo:
		return problem.New(problem.Precondition, "IS_AN_UNDO", "an undo is not undone: plan the move that it has taken back anew")
	}
	return nil
}

// undoOf a move that is done.
func (m *Moves) undoOf(mv *move) (*draft, error) {
	now, err := m.newest()
	if err != nil {
		return nil, err
	}
	d := &draft{kind: undo, m: now, cells: slices.Sorted(maps.Keys(mv.before))}
	for _, id := range d.cells {
		c := now.Cell(id)
		if c == nil || string(c.State) != mv.after[id] {
			return nil, problem.New(problem.Precondition, "CELL_STATE_CHANGED", fmt.Sprintf("%s is not %s any more: somebody else has decided about it", id, mv.after[id]))
		}
	}
	owner := ownersOf(now)
	for _, t := range mv.e.GetPlan().GetTargets() {
		for _, s := range t.GetMoves() {
			for slot := int(s.GetFromSlot()); slot <= int(s.GetToSlot()); slot++ {
				if cell, epoch := owner(ident.Region(s.GetRing()), slot); cell == s.GetToCell() {
					d.moves = append(d.moves, topology.SlotMove{Ring: ident.Region(s.GetRing()), FromSlot: slot, ToSlot: slot, FromCell: cell, ToCell: s.GetFromCell(), Epoch: epoch})
				}
			}
		}
	}
	d.moves = joined(d.moves)
	for _, s := range d.moves {
		if !m.deps.Fleet.Serves(s.ToCell) {
			return nil, problem.New(problem.Precondition, reasonNotServing, s.ToCell+", to which slots would go back, does not serve")
		}
	}
	return d, nil
}

// ownersOf a map's slots; nobody's for a ring that it does not have.
func ownersOf(m *topology.Map) func(ring ident.Region, slot int) (cell string, epoch uint64) {
	return func(ring ident.Region, slot int) (string, uint64) {
		for i := range m.Rings {
			if m.Rings[i].Region == ring {
				o := m.Rings[i].Slots[slot]
				return m.Cells[o.Cell].ID, o.Epoch
			}
		}
		return "", 0
	}
}

// joined moves of single slots, ascending by ring and slot.
func joined(single []topology.SlotMove) (moves []topology.SlotMove) {
	slices.SortFunc(single, func(a, b topology.SlotMove) int {
		return cmp.Or(cmp.Compare(a.Ring, b.Ring), cmp.Compare(a.FromSlot, b.FromSlot))
	})
	for _, s := range single {
		moves = appendSlot(moves, s)
	}
	return moves
}

// endUndone marks the move that an undo has taken back, or takes the mark away when the undo was given up.
func endUndone(ctx context.Context, tx sqldb.Tx, e *topologyv1.Evacuation, back bool) error {
	if e.GetUndoesId() == "" {
		return nil
	}
	mv, err := get(ctx, tx, e.GetUndoesId())
	if err != nil {
		return err
	}
	if mv.e.GetUndoneById() != e.GetEvacuationId() || mv.e.GetState() == undone {
		return nil
	}
	if back {
		mv.e.State = undone
	} else {
		mv.e.UndoneById = ""
	}
	return save(ctx, tx, mv)
}

func timestamp(at time.Time) *timestamppb.Timestamp { return timestamppb.New(at) }
