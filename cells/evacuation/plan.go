package evacuation

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/cellar-commerce/cellar/cells/topology"
	topologyv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/topology/v1"
	"github.com/cellar-commerce/cellar/internal/ident"
	"github.com/cellar-commerce/cellar/internal/problem"
)

// Reasons for which a plan cannot be started.
const (
	reasonOverCapacity = "OVER_CAPACITY"
	reasonNobodyLeft   = "NOBODY_LEFT"
	reasonUnderWay     = "MOVE_UNDER_WAY"
	reasonNothing      = "NOTHING_TO_MOVE"
	reasonNotServing   = "TARGET_NOT_SERVING"
)

const (
	evacuate  = topologyv1.EvacuationKind_EVACUATION_KIND_EVACUATION
	rebalance = topologyv1.EvacuationKind_EVACUATION_KIND_REBALANCE
	undo      = topologyv1.EvacuationKind_EVACUATION_KIND_UNDO
	revert    = topologyv1.EvacuationKind_EVACUATION_KIND_REVERT
)

func refuse(p *topologyv1.Plan, reason, text string) {
	p.RefusalReason, p.Refusal = reason, text
}

// draft is what a plan is made of: a map, and what else is known at that moment. Planning reads nothing else.
type draft struct {
	kind topologyv1.EvacuationKind
	m    *topology.Map
	// cells that are evacuated, and for an undo those that are to serve again; none otherwise.
	cells []string
	moves []topology.SlotMove
	// load of cells in requests a second, where known.
	load map[string]float64
	// homed customers and guests by ring, as estimated.
	homed map[ident.Region]int64
	// sagas under way in the slots that move.
	sagas int64
}

// wished makes a draft with its moves; a refusal where there can be none. UNKNOWN_CELL, UNKNOWN_REGION.
func wished(m *topology.Map, w Wish, serves func(string) bool) (d *draft, reason, refusal string, err error) {
	d = &draft{kind: w.Kind, m: m}
	switch w.Kind {
	case evacuate:
		if d.cells, err = known(m, w.Cells); err != nil {
			return nil, "", "", err
		}
		targets := m.Targets(d.cells...)
		maps.DeleteFunc(targets, func(id string, _ int) bool { return !serves(id) })
		d.moves, err = topology.Spread(m, d.cells, targets)
	case rebalance:
		if !slices.ContainsFunc(m.Rings, func(r topology.Ring) bool { return r.Region == w.Region }) {
			return nil, "", "", problem.New(problem.NotFound, "UNKNOWN_REGION", fmt.Sprintf("the map has no ring of %q", w.Region))
		}
		d.moves, err = topology.Rebalance(m, w.Region, nil)
	case revert:
		d.moves = back(m, w.Earlier)
	default:
		return nil, "", "", problem.New(problem.Invalid, "UNKNOWN_KIND", "a move is an evacuation, a rebalance or a revert")
	}
	if errors.Is(err, topology.ErrNobodyLeft) {
		return d, reasonNobodyLeft, "no other cell is active and serves: there is nobody to take over", nil
	}
	if err != nil {
		return nil, "", "", fmt.Errorf("evacuation: plan: %w", err)
	}
	reason, refusal = d.targetsServe(serves)
	return d, reason, refusal, nil
}

// known cells, each once, in order. UNKNOWN_CELL.
func known(m *topology.Map, cells []string) ([]string, error) {
	if len(cells) == 0 {
		return nil, problem.New(problem.Invalid, "CELL_REQUIRED", "name the cell, or a region that has any")
	}
	for _, id := range cells {
		if m.Cell(id) == nil {
			return nil, problem.New(problem.NotFound, "UNKNOWN_CELL", fmt.Sprintf("the map has no cell %q", id))
		}
	}
	return slices.Compact(slices.Sorted(slices.Values(cells))), nil
}

// back to the owners of an earlier map: what has another owner now. Rings that the earlier map does not have stay.
func back(m, earlier *topology.Map) (moves []topology.SlotMove) {
	for i := range m.Rings {
		r := &m.Rings[i]
		at := slices.IndexFunc(earlier.Rings, func(e topology.Ring) bool { return e.Region == r.Region })
		if at < 0 {
			continue
		}
		for s, now := range r.Slots {
			from, to := m.Cells[now.Cell].ID, earlier.Cells[earlier.Rings[at].Slots[s].Cell].ID
			if from != to {
				moves = appendSlot(moves, topology.SlotMove{Ring: r.Region, FromSlot: s, ToSlot: s, FromCell: from, ToCell: to, Epoch: now.Epoch})
			}
		}
	}
	return moves
}

// appendSlot joins a slot to the move before it, if that goes alike.
func appendSlot(moves []topology.SlotMove, s topology.SlotMove) []topology.SlotMove {
	if n := len(moves) - 1; n >= 0 {
		last := &moves[n]
		if last.Ring == s.Ring && last.ToSlot+1 == s.FromSlot && last.FromCell == s.FromCell && last.ToCell == s.ToCell && last.Epoch == s.Epoch {
			last.ToSlot = s.ToSlot
			return moves
		}
	}
	return append(moves, s)
}

// targetsServe refuses to give slots to a cell that is away, or that the map keeps from serving.
func (d *draft) targetsServe(serves func(string) bool) (reason, refusal string) {
	for _, mv := range d.moves {
		c := d.m.Cell(mv.ToCell)
		switch {
		case c == nil:
			return reasonNotServing, mv.ToCell + ", to which slots would go, is not in the map any more"
		case c.State != topology.Active && c.State != topology.Canary:
			return reasonNotServing, fmt.Sprintf("%s, to which slots would go, is %s", c.ID, c.State)
		case !serves(c.ID):
			return reasonNotServing, c.ID + ", to which slots would go, does not serve"
		}
	}
	return "", ""
}

// plan of the draft.
func (d *draft) plan() *topologyv1.Plan {
	p := &topologyv1.Plan{MapVersion: d.m.Version, SagasInFlight: d.sagas, Cells: slices.Clone(d.cells)}
	if d.kind != evacuate {
		p.Cells = d.losers()
	}
	if d.kind == evacuate {
		for _, id := range d.cells {
			for _, customer := range d.m.OverridesTo(id) {
				p.Overrides = append(p.Overrides, string(customer))
			}
		}
		slices.Sort(p.Overrides)
	}
	p.Targets = d.targets()
	for _, t := range p.GetTargets() {
		p.Slots += t.GetSlots()
		p.Customers += t.GetCustomers()
	}
	p.Hash = hash(d.kind, d.cells, p)
	p.Steps = d.steps(p)
	switch over := overCapacity(p); {
	case p.GetSlots() == 0 && len(p.GetOverrides()) == 0:
		refuse(p, reasonNothing, "there is nothing to move")
	case over != "":
		refuse(p, reasonOverCapacity, over)
	}
	return p
}

// losers of slots, by id.
func (d *draft) losers() []string {
	var ids []string
	for _, mv := range d.moves {
		ids = append(ids, mv.FromCell)
	}
	slices.Sort(ids)
	return slices.Compact(ids)
}

// slotsOf every cell, over all rings.
func slotsOf(m *topology.Map) map[string]int32 {
	owned := map[string]int32{}
	for i := range m.Rings {
		for _, o := range m.Rings[i].Slots {
			owned[m.Cells[o.Cell].ID]++
		}
	}
	return owned
}

// targets by id, with what each gets and has then. A slot is taken to bring its part of what its cell carries.
func (d *draft) targets() []*topologyv1.Target {
	owned := slotsOf(d.m)
	byID := map[string]*topologyv1.Target{}
	brings, loses, customers := map[string]float64{}, map[string]float64{}, map[string]float64{}
	for _, mv := range d.moves {
		t := byID[mv.ToCell]
		if t == nil {
			t = &topologyv1.Target{CellId: mv.ToCell, SlotsAfter: owned[mv.ToCell], LoadBefore: d.load[mv.ToCell]}
			if c := d.m.Cell(mv.ToCell); c != nil {
				t.Capacity = float64(c.Capacity)
			}
			byID[mv.ToCell] = t
		}
		n := int32(mv.Slots())
		part := d.load[mv.FromCell] * float64(n) / float64(max(owned[mv.FromCell], 1))
		brings[mv.ToCell] += part
		loses[mv.FromCell] += part
		customers[mv.ToCell] += float64(d.homed[mv.Ring]) * float64(n) / ident.Slots
		t.Slots += n
		t.Moves = append(t.Moves, &topologyv1.SlotMove{
			Ring: string(mv.Ring), FromSlot: int32(mv.FromSlot), ToSlot: int32(mv.ToSlot), FromCell: mv.FromCell, ToCell: mv.ToCell, Epoch: mv.Epoch,
		})
		t.SlotsAfter += n
	}
	lost := map[string]int32{}
	for _, mv := range d.moves {
		lost[mv.FromCell] += int32(mv.Slots())
	}
	for id, t := range byID {
		t.SlotsAfter -= lost[id] // in a rebalance or a revert a cell may get some and lose others
		t.LoadAfter = t.GetLoadBefore() + brings[id] - loses[id]
		t.Customers = int64(customers[id] + 0.5)
	}
	return slices.SortedFunc(maps.Values(byID), func(a, b *topologyv1.Target) int { return cmp.Compare(a.GetCellId(), b.GetCellId()) })
}

// overCapacity says which cell would get more than it can carry; empty when none would, by what is known.
func overCapacity(p *topologyv1.Plan) string {
	for _, t := range p.GetTargets() {
		if t.GetCapacity() > 0 && t.GetLoadAfter() > t.GetCapacity() {
			return fmt.Sprintf("%s would get %.0f requests a second and can carry %.0f", t.GetCellId(), t.GetLoadAfter(), t.GetCapacity())
		}
	}
	return ""
}

// hash of everything that a move would change, in an order that does not depend on how the plan was made.
func hash(kind topologyv1.EvacuationKind, cells []string, p *topologyv1.Plan) string {
	h := sha256.New()
	line := func(words ...any) { _, _ = io.WriteString(h, fmt.Sprintln(words...)) } // a hash takes everything
	line("cellar move", kind.String())
	for _, id := range cells {
		line("cell", id)
	}
	var moves []*topologyv1.SlotMove
	for _, t := range p.GetTargets() {
		moves = append(moves, t.GetMoves()...)
	}
	slices.SortFunc(moves, func(a, b *topologyv1.SlotMove) int {
		return cmp.Or(cmp.Compare(a.GetRing(), b.GetRing()), cmp.Compare(a.GetFromSlot(), b.GetFromSlot()))
	})
	for _, mv := range moves {
		line("slots", mv.GetRing(), mv.GetFromSlot(), mv.GetToSlot(), mv.GetFromCell(), mv.GetToCell(), mv.GetEpoch())
	}
	for _, customer := range p.GetOverrides() {
		line("override", customer)
	}
	return hex.EncodeToString(h.Sum(nil))
}

// steps of a move in the order in which they are done.
func (d *draft) steps(p *topologyv1.Plan) []string {
	var steps []string
	step := func(format string, args ...any) { steps = append(steps, fmt.Sprintf(format, args...)) }
	cells := strings.Join(d.cells, ", ")
	switch d.kind {
	case evacuate:
		step("mark %s as draining: nothing new goes there", cells)
	case undo:
		if len(d.cells) > 0 {
			step("mark %s as what it was before, and publish that, so that routers ask it again", cells)
		}
	default:
	}
	for _, t := range p.GetTargets() {
		step("flip %s to %s, each under its next epoch: from each commit on, the owner before writes nothing more there", slotsText(t.GetMoves()), t.GetCellId())
	}
	if p.GetSlots() > 0 {
		step("pass over slots that are being written, come back to them, and end the sessions of %s that hold one for longer than %s", strings.Join(d.losers(), ", "), holdTime)
	}
	if n := len(p.GetOverrides()); n > 0 {
		step("end %d overrides that name %s: the owners of their slots serve these customers; an undo does not bring them back", n, cells)
	}
	step("publish the map")
	step("wait up to %s for routers and cells to have it; until then they redirect", convergeTime)
	step("verify that nothing is left behind, and wait up to %s until the new owners have taken over the sagas under way", resumeTime)
	if d.kind == evacuate {
		step("mark %s as evacuated, and publish that", cells)
	}
	return steps
}

// slotsText says how many slots of which rings.
func slotsText(moves []*topologyv1.SlotMove) string {
	var rings []string
	count := map[string]int32{}
	for _, mv := range moves {
		if count[mv.GetRing()] == 0 {
			rings = append(rings, mv.GetRing())
		}
		count[mv.GetRing()] += mv.GetToSlot() - mv.GetFromSlot() + 1
	}
	words := make([]string, len(rings))
	for i, r := range rings {
		noun := "slots"
		if count[r] == 1 {
			noun = "slot"
		}
		words[i] = fmt.Sprintf("%d %s of %s", count[r], noun, r)
	}
	return strings.Join(words, " and ")
}
