package controlplane

import (
	"context"
	"fmt"
	"slices"

	"golang.org/x/sync/errgroup"

	"github.com/cellar-commerce/cellar/cells/topology"
	"github.com/cellar-commerce/cellar/internal/fence"
	"github.com/cellar-commerce/cellar/internal/ident"
	"github.com/cellar-commerce/cellar/internal/problem"
	"github.com/cellar-commerce/cellar/internal/sqldb"
)

// holdings of every ring, as the table slots has them.
type holdings map[ident.Region][]fence.Holding

// readHoldings of all rings at once. Each ring is read as of one moment.
func readHoldings(ctx context.Context, customers *sqldb.DB) (holdings, error) {
	all := make([][]fence.Holding, len(ident.Regions()))
	g, ctx := errgroup.WithContext(ctx)
	for i, region := range ident.Regions() {
		g.Go(func() (err error) {
			all[i], err = fence.ReadRing(ctx, customers, region)
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	h := holdings{}
	for i, region := range ident.Regions() {
		h[region] = all[i]
	}
	return h, nil
}

// draft of the next map.
type draft struct {
	// prev is the newest map; nil before the first.
	prev *topology.Map
	// cells of the fleet, by id.
	cells []topology.Cell
	slots holdings
	// floor is below the version of the first map.
	floor uint64
}

// version that the draft will have.
func (d *draft) version() uint64 {
	if d.prev == nil {
		return d.floor + 1
	}
	return d.prev.Version + 1
}

// stored is the version that the history has now; 0 for none.
func (d *draft) stored() uint64 {
	if d.prev == nil {
		return 0
	}
	return d.prev.Version
}

// cell by its id; nil when there is none.
func (d *draft) cell(id string) *topology.Cell {
	for i := range d.cells {
		if d.cells[i].ID == id {
			return &d.cells[i]
		}
	}
	return nil
}

// owned counts the slots, and the customers of other cells' slots, that a cell serves.
func (d *draft) owned(cell string) (slots, overrides int) {
	for _, ring := range d.slots {
		for i := range ring {
			if ring[i].Owner == cell {
				slots++
			}
			for _, serves := range ring[i].Overrides {
				if serves == cell {
					overrides++
				}
			}
		}
	}
	return slots, overrides
}

// build the map. Slots that name a cell which the fleet does not have are an error, but for a ring that no map has had yet:
// its region is only just being added.
func (d *draft) build() (*topology.Map, error) {
	m := &topology.Map{Version: d.version(), Cells: slices.Clone(d.cells)}
	index := map[string]uint16{}
	for i := range m.Cells {
		index[m.Cells[i].ID] = uint16(i)
	}
	var overrides []topology.Override
	for _, region := range ident.Regions() {
		known := d.hasRing(region)
		if len(d.slots[region]) == 0 && !known {
			continue
		}
		ring, own, err := buildRing(region, d.slots[region], index)
		if err != nil && known {
			return nil, err
		}
		if err == nil {
			m.Rings, overrides = append(m.Rings, *ring), append(overrides, own...)
		}
	}
	m.SetOverrides(overrides)
	if err := m.Validate(); err != nil {
		return nil, err
	}
	return m, d.notOlder(m)
}

func (d *draft) hasRing(region ident.Region) bool {
	return d.prev != nil && slices.ContainsFunc(d.prev.Rings, func(r topology.Ring) bool { return r.Region == region })
}

func buildRing(region ident.Region, slots []fence.Holding, index map[string]uint16) (*topology.Ring, []topology.Override, error) {
	if len(slots) != ident.Slots {
		return nil, nil, fmt.Errorf("controlplane: the ring of %s has %d slots, not %d", region, len(slots), ident.Slots)
	}
	r := &topology.Ring{Region: region}
	var overrides []topology.Override
	for _, h := range slots {
		owner, known := index[h.Owner]
		if !known {
			return nil, nil, fmt.Errorf("controlplane: slot %d of %s belongs to the cell %q, which the fleet does not have", h.Slot, region, h.Owner)
		}
		r.Slots[h.Slot] = topology.SlotOwner{Cell: owner, Epoch: h.Epoch}
		for customer, cell := range h.Overrides {
			serves, known := index[cell]
			if !known {
				return nil, nil, fmt.Errorf("controlplane: an override in slot %d of %s names the cell %q, which the fleet does not have", h.Slot, region, cell)
			}
			overrides = append(overrides, topology.Override{Customer: customer, Cell: serves})
		}
	}
	return r, overrides, nil
}

// notOlder: no slot of a map may be older than it was in the map before. Slots are read after that map, so it holds unless
// the table itself has gone back, as after a restore; and then somebody has to look before anything is published.
func (d *draft) notOlder(m *topology.Map) error {
	if d.prev == nil {
		return nil
	}
	for i := range d.prev.Rings {
		before := &d.prev.Rings[i]
		at := slices.IndexFunc(m.Rings, func(r topology.Ring) bool { return r.Region == before.Region })
		for s := range before.Slots {
			if m.Rings[at].Slots[s].Epoch < before.Slots[s].Epoch {
				return problem.New(problem.Precondition, "SLOTS_WENT_BACK", fmt.Sprintf(
					"slot %d of %s has epoch %d in the database and %d in the map: the table is older than the map, and nothing is published from it",
					s, before.Region, m.Rings[at].Slots[s].Epoch, before.Slots[s].Epoch))
			}
		}
	}
	return nil
}
