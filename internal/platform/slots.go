package platform

import (
	"context"
	"fmt"
	"time"

	"github.com/cellar-commerce/cellar/cells/topology"
	"github.com/cellar-commerce/cellar/internal/clock"
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
	return takeOwners(ctx, pool, m, r)
}

// takeOwners of a ring's slots into the map, as they are stored.
func takeOwners(ctx context.Context, pool *sqldb.DB, m *topology.Map, r *topology.Ring) error {
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

// MoveSlots of one cell to another of its region: first in the database, which decides, then in the map that routers and
// cells watch. Gives how many there were.
func MoveSlots(ctx context.Context, info Info, from, to string) (int64, error) {
	m, err := info.ReadMap()
	if err != nil {
		return 0, err
	}
	old, next := m.Cell(from), m.Cell(to)
	if old == nil || next == nil || old.Region != next.Region || from == to {
		return 0, fmt.Errorf("slots: %s and %s are not two cells of one region", from, to)
	}
	pool, err := sqldb.Open(ctx, sqldb.Config{URL: info.DatabaseURL, Database: sqldb.Customer, MaxConns: 1, ApplicationName: "cellctl slots"})
	if err != nil {
		return 0, err
	}
	defer pool.Close()
	var moved int64
	for i := range m.Rings {
		n, err := fence.Move(ctx, pool, m.Rings[i].Region, from, to, clock.System{}.Now())
		if err == nil {
			err = takeOwners(ctx, pool, m, &m.Rings[i])
		}
		if err != nil {
			return moved, err
		}
		moved += n
	}
	m.Version++
	return moved, info.publishMap(m, NewLayout(info.PortOffset).processes())
}
