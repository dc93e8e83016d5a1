package topology

import (
	"slices"

	"github.com/cellar-commerce/cellar/internal/ident"
)

// Overridden tells whether a customer is served by another cell than the owner of the slot.
func (m *Map) Overridden(id ident.CustomerID) bool {
	r := m.ring(id.Region())
	if r == nil || !r.Slots[id.Slot()].Overridden {
		return false
	}
	_, found := m.override(id)
	return found
}

// RingsOf a cell: those in which it serves anybody, by a slot or an override.
func (m *Map) RingsOf(cell string) []ident.Region {
	at := m.index(cell)
	var rings []ident.Region
	for i := range m.Rings {
		r := &m.Rings[i]
		if slices.ContainsFunc(r.Slots[:], func(o SlotOwner) bool { return int(o.Cell) == at }) ||
			slices.ContainsFunc(m.Overrides, func(o Override) bool { return int(o.Cell) == at && o.Customer.Region() == r.Region }) {
			rings = append(rings, r.Region)
		}
	}
	return rings
}

// Overridden is that of whatever map is held.
func (h *Holder) Overridden(id ident.CustomerID) bool {
	m := h.Load()
	return m != nil && m.Overridden(id)
}
