package platform

import (
	"context"
	"fmt"
	"time"

	"github.com/cellar-commerce/cellar/cells/topology"
	"github.com/cellar-commerce/cellar/internal/fence"
	"github.com/cellar-commerce/cellar/internal/ident"
	"github.com/cellar-commerce/cellar/internal/sqldb"
)

// assignRing stores a ring's owners where there are none yet, and takes those that there are into the map.
func assignRing(ctx context.Context, pool *sqldb.DB, m *topology.Map, r *topology.Ring, now time.Time) error {
	wanted := make([]fence.Assignment, 0, ident.Slots)
	for s, o := range r.Slots {
		wanted = append(wanted, fence.Assignment{Slot: ident.Slot(s), Owner: m.Cells[o.Cell].ID, Epoch: o.Epoch})
	}
	if err := fence.Assign(ctx, pool, r.Region, now, wanted); err != nil {
		return err
	}
	stored, err := fence.Slots(ctx, pool, r.Region)
	if err != nil {
		return err
	}
	if len(stored) != ident.Slots {
		return fmt.Errorf("platform: the ring of %s has %d slots in the database, not %d", r.Region, len(stored), ident.Slots)
	}
	index := map[string]uint16{}
	for i := range m.Cells {
		index[m.Cells[i].ID] = uint16(i)
	}
	for _, a := range stored {
		cell, known := index[a.Owner]
		if !known {
			return fmt.Errorf("platform: slot %d of %s belongs to the cell %q, which this platform does not have", a.Slot, r.Region, a.Owner)
		}
		r.Slots[a.Slot] = topology.SlotOwner{Cell: cell, Epoch: a.Epoch}
	}
	return nil
}
