package router

import (
	"strings"
	"sync"
	"sync/atomic"

	"github.com/cellar-commerce/cellar/cells/topology"
	"github.com/cellar-commerce/cellar/internal/ident"
)

// maxPinned customers are remembered who have an owner of their own: they are few, and the next map has them.
const maxPinned = 4096

// table answers who owns a customer: the map, or what cells have said since.
type table struct {
	maps *topology.Holder

	hinted atomic.Bool // whether there are hints at all: almost never
	mu     sync.RWMutex
	hints  map[hintKey]redirect
	pinned map[ident.CustomerID]redirect
}

type hintKey struct {
	ring ident.Region
	slot ident.Slot
}

func newTable(maps *topology.Holder) *table {
	return &table{maps: maps, hints: map[hintKey]redirect{}, pinned: map[ident.CustomerID]redirect{}}
}

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
		// A hint that names a cell which is not to be asked is passed over: the map knows better, or will soon.
		if named := asked(m.Cell(t.hint(m, id, cell, epoch))); named != nil {
			cell = named
		}
	}
	return asked(cell)
}

// hint who owns a customer, if that is newer than what the map says; else empty. What is known of a slot says nothing
// about customers whom the map gives another owner than the slot.
func (t *table) hint(m *topology.Map, id ident.CustomerID, cell *topology.Cell, epoch uint64) (owner string) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	if hint, known := t.pinned[id]; known && hint.epoch > epoch {
		return hint.owner
	}
	hint, known := t.hints[hintKey{id.Region(), id.Slot()}]
	if !known || hint.epoch <= epoch {
		return ""
	}
	if of := slotOf(m, id.Region(), id.Slot()); of == nil || &m.Cells[of.Cell] != cell {
		return ""
	}
	return hint.owner
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
// slots; and of customers with owners of their own no more than maxPinned.
func (t *table) learn(r redirect) *topology.Cell {
	m := t.maps.Load()
	if m == nil {
		return nil
	}
	cell := asked(m.Cell(r.owner))
	if cell == nil {
		return nil
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if r.customer != "" {
		t.pin(m, r)
		return cell
	}
	if of := slotOf(m, r.ring, r.slot); of == nil || r.epoch <= of.Epoch {
		return cell
	}
	key := hintKey{r.ring, r.slot}
	if t.hints[key].epoch < r.epoch {
		t.hints[key] = r
		t.hinted.Store(true)
	}
	return cell
}

// pin what a redirect says about one customer.
func (t *table) pin(m *topology.Map, r redirect) {
	if _, epoch, ok := m.OwnerOf(r.customer); !ok || r.epoch <= epoch || r.epoch <= t.pinned[r.customer].epoch {
		return
	}
	for other := range t.pinned {
		if len(t.pinned) < maxPinned {
			break
		}
		delete(t.pinned, other) // any: it costs whoever it was one more redirect
	}
	r.customer = ident.CustomerID(strings.Clone(string(r.customer)))
	t.pinned[r.customer] = r
	t.hinted.Store(true)
}

// unpin a customer of whom a cell says that its slot's owner has it.
func (t *table) unpin(id ident.CustomerID) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.pinned, id)
}

// forget the hints that a newer map has made old.
func (t *table) forget() {
	m := t.maps.Load()
	t.mu.Lock()
	defer t.mu.Unlock()
	for key, hint := range t.hints {
		if of := slotOf(m, key.ring, key.slot); of == nil || hint.epoch <= of.Epoch {
			delete(t.hints, key)
		}
	}
	for id, hint := range t.pinned {
		if _, epoch, ok := m.OwnerOf(id); !ok || hint.epoch <= epoch {
			delete(t.pinned, id)
		}
	}
	t.hinted.Store(len(t.hints)+len(t.pinned) > 0)
}

// slotOf a ring of the map; nil when it has no such ring.
func slotOf(m *topology.Map, ring ident.Region, slot ident.Slot) *topology.SlotOwner {
	for i := range m.Rings {
		if m.Rings[i].Region == ring {
			return &m.Rings[i].Slots[slot]
		}
	}
	return nil
}
