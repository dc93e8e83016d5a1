package controlplane

import (
	"maps"
	"slices"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/cellar-commerce/cellar/cells/topology"
	topologyv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/topology/v1"
	"github.com/cellar-commerce/cellar/internal/ident"
)

var states = map[topology.State]topologyv1.CellState{
	topology.Active: topologyv1.CellState_CELL_STATE_ACTIVE, topology.Draining: topologyv1.CellState_CELL_STATE_DRAINING,
	topology.Evacuated: topologyv1.CellState_CELL_STATE_EVACUATED, topology.Quarantined: topologyv1.CellState_CELL_STATE_QUARANTINED,
	topology.Canary: topologyv1.CellState_CELL_STATE_CANARY,
}

// stateOf a message; empty for none that is known.
func stateOf(s topologyv1.CellState) topology.State {
	for state, message := range states {
		if message == s {
			return state
		}
	}
	return ""
}

// shownMap as a message. Records may be nil: what the history keeps of overrides is who is served by which cell, not why.
func shownMap(m *topology.Map, records map[ident.CustomerID]override) *topologyv1.Map {
	out := &topologyv1.Map{Version: m.Version}
	for i := range m.Cells {
		out.Cells = append(out.Cells, shownCell(m, &m.Cells[i]))
	}
	for i := range m.Rings {
		ring := &topologyv1.Ring{Region: string(m.Rings[i].Region)}
		for _, r := range m.Runs(m.Rings[i].Region) {
			ring.Runs = append(ring.Runs, shownRun(r))
		}
		out.Rings = append(out.Rings, ring)
	}
	for _, o := range m.Overrides {
		out.Overrides = append(out.Overrides, shownOverride(o.Customer, m.Cells[o.Cell].ID, records))
	}
	return out
}

func shownCell(m *topology.Map, c *topology.Cell) *topologyv1.Cell {
	slots := 0
	for owned := range maps.Values(m.SlotsOf(c.ID)) {
		slots += len(owned)
	}
	return &topologyv1.Cell{
		CellId: c.ID, Region: string(c.Region), State: states[c.State], Weight: int32(c.Weight), Capacity: int32(c.Capacity),
		PublicAddress: c.Public, InternalAddress: c.Internal, AdminAddress: c.Admin, Slots: int32(slots),
	}
}

func cellOf(c *topologyv1.Cell) topology.Cell {
	state := topology.Active
	if c.GetState() != topologyv1.CellState_CELL_STATE_UNSPECIFIED {
		state = stateOf(c.GetState())
	}
	return topology.Cell{
		ID: c.GetCellId(), Region: ident.Region(c.GetRegion()), State: state, Weight: int(c.GetWeight()), Capacity: int(c.GetCapacity()),
		Public: c.GetPublicAddress(), Internal: c.GetInternalAddress(), Admin: c.GetAdminAddress(),
	}
}

func shownRun(r topology.SlotRun) *topologyv1.SlotRun {
	return &topologyv1.SlotRun{FromSlot: int32(r.From), ToSlot: int32(r.To), Owner: r.Owner, Epoch: r.Epoch}
}

func shownOverride(id ident.CustomerID, cell string, records map[ident.CustomerID]override) *topologyv1.Override {
	out := &topologyv1.Override{CustomerId: string(id), CellId: cell}
	if r, known := records[id]; known && r.cell == cell {
		out.Who, out.Reason = r.cause.Who, r.cause.Reason
		out.CreatedAt, out.ExpiresAt = timestamppb.New(r.createdAt), timestamppb.New(r.expiresAt)
	}
	return out
}

func shownVersion(m made) *topologyv1.MapVersion {
	return &topologyv1.MapVersion{Version: m.version, MadeAt: timestamppb.New(m.at), Who: m.cause.Who, Reason: m.cause.Reason}
}

func shownChanges(changes []topology.Change) []*topologyv1.MapChange {
	all := make([]*topologyv1.MapChange, len(changes))
	for i, c := range changes {
		all[i] = &topologyv1.MapChange{Text: c.Text, CellId: c.Cell, Ring: string(c.Ring), CustomerId: string(c.Customer)}
		if c.Kind == topology.SlotsChanged {
			all[i].Before, all[i].After = shownRun(c.Before), shownRun(c.After)
		}
	}
	return all
}

func causeOf(c *topologyv1.Cause) Cause {
	return Cause{Who: c.GetWho(), Reason: c.GetReason(), Seen: c.GetSeenVersion()}
}

// shownHealth of every cell of a map, by the board.
func (b *board) shownHealth(m *topology.Map) []*topologyv1.CellHealth {
	now, routers := b.clock.Now(), b.routers()
	verdicts := b.decided()
	all := make([]*topologyv1.CellHealth, len(m.Cells))
	for i := range m.Cells {
		id := m.Cells[i].ID
		p := b.probe(id)
		load, _ := b.load(id)
		h := &topologyv1.CellHealth{CellId: id, ProbeHealthy: p.sight == ready, Load: load, Verdict: verdicts[id].text}
		if !p.down.IsZero() {
			h.FailingSince = timestamppb.New(p.down)
		}
		for _, r := range routers {
			o, sees := r.cells[id]
			if !sees || now.Sub(r.at) > freshFor {
				continue
			}
			h.Reporters++
			if !o.healthy {
				h.FailingReporters++
			}
		}
		all[i] = h
	}
	return all
}

func shownReporters(all []reporter) []*topologyv1.RouterHealth {
	out := make([]*topologyv1.RouterHealth, len(all))
	for i, r := range all {
		out[i] = &topologyv1.RouterHealth{Reporter: r.name, Region: string(r.region), MapVersion: r.version, ReportedAt: timestamppb.New(r.at)}
	}
	return out
}

// recordsByCustomer of overrides.
func recordsByCustomer(all []override) map[ident.CustomerID]override {
	by := make(map[ident.CustomerID]override, len(all))
	for o := range slices.Values(all) {
		by[o.customer] = o
	}
	return by
}
