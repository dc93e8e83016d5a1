package topology_test

import (
	"slices"
	"testing"

	"github.com/cellar-commerce/cellar/cells/topology"
	"github.com/cellar-commerce/cellar/internal/ident"
)

func TestACellServesItsSlotsRingsAndThoseOfCustomersOverriddenToIt(t *testing.T) {
	m := even(t)
	const cell = "use1-a"
	guest := ident.NewGuest("euc1")
	neighbour := ident.NewGuest("euc1")
	for neighbour.Slot() != guest.Slot() {
		neighbour = ident.NewGuest("euc1")
	}
	if got := m.RingsOf(cell); !slices.Equal(got, []ident.Region{"us-east-1"}) {
		t.Errorf("by its slots: %v", got)
	}
	m.SetOverrides([]topology.Override{{Customer: guest, Cell: uint16(slices.IndexFunc(m.Cells, func(c topology.Cell) bool { return c.ID == cell }))}})
	if got := m.RingsOf(cell); len(got) != 2 || !slices.Contains(got, "eu-central-1") {
		t.Errorf("with an override: %v", got)
	}
	if got := m.RingsOf("nobody"); len(got) != 0 {
		t.Errorf("a cell that the map does not have: %v", got)
	}
	var h topology.Holder
	if h.Overridden(guest) {
		t.Error("overridden without a map")
	}
	h.Offer(m)
	for id, want := range map[ident.CustomerID]bool{guest: true, neighbour: false, ident.NewGuest("use1"): false} {
		if got := h.Overridden(id); got != want {
			t.Errorf("%s is overridden: %v", id, got)
		}
	}
}
