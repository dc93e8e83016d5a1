package router

import (
	"sync"
	"sync/atomic"

	"github.com/cellar-commerce/cellar/cells/topology"
	"github.com/cellar-commerce/cellar/internal/ident"
)

// table answers who owns a customer: the map, or what cells have said since.
type table struct {
	maps *topology.Holder

	hinted atomic.Bool // whether there are hints at all: almost never
	mu     sync.RWMutex
	hints  map[hintKey]redirect
}

type hintKey struct {
	ring ident.Region
	slot ident.Slot
}

func newTable(maps *topology.Holder) *table { return &table{maps: maps, hints: map[hintKey]redirect{}} }

// owner of a customer; nil when the map knows none that may be asked. It does not allocate.
func (t *table) owner(id ident.CustomerID) *topology.Cell {
	m := t.maps.Load()
	if m == nil {
		return nil
	}
	cell, epoch, ok := m.OwnerOf(id)
	if !ok {
		return nil
	}
	if t.hinted.Load() {
		t.mu.RLock()
		hint, known := t.hints[hintKey{id.Region(), id.Slot()}]
		t.mu.RUnlock()
		if known && hint.epoch > epoch {
			if named := m.Cell(hint.owner); named != nil {
				cell = named
			}
		}
	}
	return asked(cell)
}

// asked gives the cell back if it may be asked: what is quarantined or evacuated gets no shoppers, whoever names it.
func asked(cell *topology.Cell) *topology.Cell {
	if cell == nil || !cell.Serves() {
		return nil
	}
	return cell
}

// learn from a redirect what is newer than the map, and give the cell it names; nil for one that the map does not
// know, or that may not be asked. Only slots of the map's rings are remembered, so there are never more hints than
// slots.
func (t *table) learn(r redirect) *topology.Cell {
	m := t.maps.Load()
	if m == nil {
		return nil
	}
	cell := asked(m.Cell(r.owner))
	if cell == nil {
		return nil
	}
	if epoch, ok := epochOf(m, r.ring, r.slot); !ok || r.epoch <= epoch {
		return cell
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	key := hintKey{r.ring, r.slot}
	if t.hints[key].epoch < r.epoch {
		t.hints[key] = r
		t.hinted.Store(true)
	}
	return cell
}

// forget the hints that a newer map has made old.
func (t *table) forget() {
	m := t.maps.Load()
	t.mu.Lock()
	defer t.mu.Unlock()
	for key, hint := range t.hints {
		if epoch, ok := epochOf(m, key.ring, key.slot); !ok || hint.epoch <= epoch {
			delete(t.hints, key)
		}
	}
	t.hinted.Store(len(t.hints) > 0)
}

func epochOf(m *topology.Map, ring ident.Region, slot ident.Slot) (uint64, bool) {
	for i := range m.Rings {
		if m.Rings[i].Region == ring {
			return m.Rings[i].Slots[slot].Epoch, true
		}
	}
	return 0, false
}
