package controlplane

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/cellar-commerce/cellar/cells/topology"
	"github.com/cellar-commerce/cellar/internal/fence"
	"github.com/cellar-commerce/cellar/internal/ident"
	"github.com/cellar-commerce/cellar/internal/problem"
	"github.com/cellar-commerce/cellar/internal/sqldb"
)

// addCell to the fleet, without slots.
func (p *publisher) addCell(ctx context.Context, c topology.Cell, cause Cause) (*publication, error) {
	at := p.clock.Now()
	return p.publish(ctx, edit{cause: cause, action: "cell added", subject: c.ID, apply: func(ctx context.Context, tx sqldb.Tx, d *draft) error {
		if !d.hasRing(c.Region) {
			return problem.New(problem.NotFound, "UNKNOWN_REGION", fmt.Sprintf("no map has a ring of %s: add the region with its first cells", c.Region))
		}
		return d.insert(ctx, tx, c, at)
	}})
}

// insert a cell into the fleet and the draft. CELL_EXISTS.
func (d *draft) insert(ctx context.Context, tx sqldb.Tx, c topology.Cell, at time.Time) error {
	fresh, err := insertCell(ctx, tx, c, at)
	if err != nil {
		return err
	}
	if !fresh {
		return problem.New(problem.AlreadyExists, "CELL_EXISTS", fmt.Sprintf("the fleet has a cell %s already", c.ID))
	}
	d.cells = append(d.cells, c)
	d.order()
	return nil
}

// addRegion with its first cells. Its slots are dealt before the map has them: a crash in between leaves a ring that no map
// has, and the same command goes on with it.
func (p *publisher) addRegion(ctx context.Context, region ident.Region, cells []topology.Cell, cause Cause) (*publication, error) {
	held, err := p.newest(ctx)
	if err != nil {
		return nil, err
	}
	if held != nil && slices.ContainsFunc(held.m.Rings, func(r topology.Ring) bool { return r.Region == region }) {
		return nil, problem.New(problem.AlreadyExists, "REGION_EXISTS", fmt.Sprintf("the map has a ring of %s already", region))
	}
	if held != nil && cause.Seen != 0 && cause.Seen != held.m.Version {
		return nil, mapChanged(cause.Seen, held.m.Version)
	}
	at := p.clock.Now()
	if err := fence.Assign(ctx, p.customers, region, at, deal(cells)); err != nil {
		return nil, err
	}
	return p.publish(ctx, edit{cause: cause, action: "region added", subject: string(region), apply: func(ctx context.Context, tx sqldb.Tx, d *draft) error {
		for _, c := range cells {
			if err := d.insert(ctx, tx, c, at); err != nil {
				return err
			}
		}
		return d.complete(region)
	}})
}

// complete: the slots of a region belong to cells of the fleet.
func (d *draft) complete(region ident.Region) error {
	index := map[string]uint16{}
	for i := range d.cells {
		index[d.cells[i].ID] = uint16(i)
	}
	if _, _, err := buildRing(region, d.slots[region], index); err != nil {
		return problem.Wrap(err, problem.Precondition, "RING_TAKEN", fmt.Sprintf("the slots of %s belong to other cells than those that are named", region))
	}
	return nil
}

// deal a ring's slots among cells by weight, in one run each, at epoch 1. All weights being 0 they get equal shares.
func deal(cells []topology.Cell) []fence.Assignment {
	sum := 0
	for _, c := range cells {
		sum += c.Weight
	}
	share := func(c topology.Cell) int {
		if sum == 0 {
			return 1
		}
		return c.Weight
	}
	total := max(sum, 1)
	if sum == 0 {
		total = len(cells)
	}
	all, next, upTo := make([]fence.Assignment, 0, ident.Slots), 0, 0
	for _, c := range cells {
		upTo += share(c)
		for end := ident.Slots * upTo / total; next < end; next++ {
			all = append(all, fence.Assignment{Slot: ident.Slot(next), Owner: c.ID, Epoch: 1})
		}
	}
	return all
}

// setWeight of a cell. UNKNOWN_CELL.
func (p *publisher) setWeight(ctx context.Context, id string, weight int, cause Cause) (*publication, error) {
	at := p.clock.Now()
	return p.editCell(ctx, id, cause, fmt.Sprintf("weight set to %d", weight), func(ctx context.Context, tx sqldb.Tx, _ *draft, c *topology.Cell) error {
		c.Weight = weight
		return setWeight(ctx, tx, id, weight, at)
	})
}

// setState of a cell. UNKNOWN_CELL, CELL_OWNS_SLOTS.
func (p *publisher) setState(ctx context.Context, id string, state topology.State, cause Cause) (*publication, error) {
	at := p.clock.Now()
	return p.editCell(ctx, id, cause, "state set to "+string(state), func(ctx context.Context, tx sqldb.Tx, d *draft, c *topology.Cell) error {
		slots, customers := d.owned(id)
		if c.State = state; !c.Serves() && slots+customers > 0 {
			return problem.New(problem.Precondition, "CELL_OWNS_SLOTS",
				fmt.Sprintf("%s serves %d slots and %d single customers, and cannot be %s: evacuate it first", id, slots, customers, state))
		}
		return setState(ctx, tx, id, state, at)
	})
}

// editCell of the fleet: the update changes the draft's cell and its row.
func (p *publisher) editCell(ctx context.Context, id string, cause Cause, action string, update func(context.Context, sqldb.Tx, *draft, *topology.Cell) error) (*publication, error) {
	return p.publish(ctx, edit{cause: cause, action: action, subject: id, apply: func(ctx context.Context, tx sqldb.Tx, d *draft) error {
		c := d.cell(id)
		if c == nil {
			return unknownCell(id)
		}
		return update(ctx, tx, d, c)
	}})
}

// mark cells with states, for the maps to come, if wanted says so in the same transaction.
func (p *publisher) mark(ctx context.Context, states map[string]topology.State, wanted func(ctx context.Context, tx sqldb.Tx) error) error {
	at := p.clock.Now()
	return p.store.db.InTx(ctx, func(tx sqldb.Tx) error {
		if err := wanted(ctx, tx); err != nil {
			return err
		}
		for _, id := range slices.Sorted(maps.Keys(states)) {
			if err := setState(ctx, tx, id, states[id], at); err != nil {
				return err
			}
		}
		return nil
	})
}

func unknownCell(id string) error {
	return problem.New(problem.NotFound, "UNKNOWN_CELL", fmt.Sprintf("the fleet has no cell %q", id))
}

// deploy the cells that a platform is made of: on the very first start every region's ring is dealt among its cells; later
// addresses that have changed are taken over, and cells that are new join without slots. Nothing is ever taken away, and
// neither state nor weight of a cell that is there is touched.
func (p *publisher) deploy(ctx context.Context, cells []topology.Cell) (*publication, error) {
	at := p.clock.Now()
	for _, region := range ident.Regions() {
		own := slices.DeleteFunc(slices.Clone(cells), func(c topology.Cell) bool { return c.Region != region })
		if len(own) == 0 {
			continue
		}
		if err := fence.Assign(ctx, p.customers, region, at, deal(own)); err != nil { // slots that have an owner keep it
			return nil, err
		}
	}
	cause := Cause{Who: "control plane", Reason: "the cells that this platform is made of"}
	return p.publish(ctx, edit{cause: cause, apply: func(ctx context.Context, tx sqldb.Tx, d *draft) error {
		for _, c := range cells {
			if err := d.deployCell(ctx, tx, c, at); err != nil {
				return err
			}
		}
		return nil
	}})
}

func (d *draft) deployCell(ctx context.Context, tx sqldb.Tx, c topology.Cell, at time.Time) error {
	there := d.cell(c.ID)
	if there == nil {
		if err := d.insert(ctx, tx, c, at); err != nil {
			return err
		}
		return record(ctx, tx, change{at: at, cause: Cause{Who: "control plane", Reason: "it is among the cells that this platform is made of"}, action: "cell added", subject: c.ID, version: d.version()})
	}
	if there.Region != c.Region {
		return fmt.Errorf("controlplane: cell %s is of %s, not of %s", c.ID, there.Region, c.Region)
	}
	if there.Public == c.Public && there.Internal == c.Internal && there.Admin == c.Admin {
		return nil
	}
	there.Public, there.Internal, there.Admin = c.Public, c.Internal, c.Admin
	return setAddresses(ctx, tx, *there, at)
}

// order the cells by id, as the table lists them.
func (d *draft) order() {
	slices.SortFunc(d.cells, func(a, b topology.Cell) int { return cmp.Compare(a.ID, b.ID) })
}
