package topology_test

import (
	"strings"
	"testing"

	"github.com/cellar-commerce/cellar/cells/topology"
	"github.com/cellar-commerce/cellar/internal/ident"
)

func cells() []topology.Cell {
	var all []topology.Cell
	for _, region := range ident.Regions() {
		code, _ := region.Code()
		for _, letter := range []string{"a", "b", "c"} {
			all = append(all, topology.Cell{ID: string(code) + "-" + letter, Region: region, State: topology.Active, Weight: 100,
				Public: "127.0.0.1:1", Internal: "127.0.0.1:2", Admin: "127.0.0.1:3"})
		}
	}
	return all
}

func even(t testing.TB) *topology.Map {
	t.Helper()
	m, err := topology.Even(cells())
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func TestEvenSharesAndOwnersOfTheOwnRegion(t *testing.T) {
	m := even(t)
	for _, c := range m.Cells {
		owned := m.SlotsOf(c.ID)
		if n := len(owned[c.Region]); len(owned) != 1 || n < ident.Slots/3 || n > ident.Slots/3+1 {
			t.Errorf("%s owns %d slots in %d rings", c.ID, n, len(owned))
		}
	}
	id := ident.NewCustomer("euc1")
	if c, epoch, ok := m.OwnerOf(id); !ok || c.Region != "eu-central-1" || epoch != 1 {
		t.Errorf("owner %v, %d, %v", c, epoch, ok)
	}
}

// lookedUp are a customer like any, one with an override, and one whose slot has another's override.
func lookedUp(t testing.TB, m *topology.Map) map[string]ident.CustomerID {
	t.Helper()
	var overrides []topology.Override
	for len(overrides) < topology.MaxOverrides {
		overrides = append(overrides, topology.Override{Customer: ident.NewCustomer("use1"), Cell: 0})
	}
	m.SetOverrides(overrides)
	neighbour, plain := ident.NewCustomer("use1"), ident.NewCustomer("use1")
	for !m.Rings[0].Slots[neighbour.Slot()].Overridden {
		neighbour = ident.NewCustomer("use1")
	}
	for m.Rings[0].Slots[plain.Slot()].Overridden {
		plain = ident.NewCustomer("use1")
	}
	return map[string]ident.CustomerID{"plain": plain, "overridden": overrides[7].Customer, "neighbour": neighbour}
}

func TestLookUpDoesNotAllocate(t *testing.T) {
	m := even(t)
	customers := lookedUp(t, m)
	var h topology.Holder
	h.Offer(m)
	for name, id := range customers {
		if n := testing.AllocsPerRun(100, func() { h.Load().OwnerOf(id) }); n != 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
		if n := testing.AllocsPerRun(100, func() { h.Owner(id) }); n != 0 {
			t.Errorf("%s, by the fence: %v allocations", name, n)
		}
	}
}

func BenchmarkOwnerOf(b *testing.B) {
	m := even(b)
	for name, id := range lookedUp(b, m) {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				m.OwnerOf(id)
			}
		})
	}
}

func BenchmarkOpen(b *testing.B) {
	key := keyOf(b, 1)
	snapshot, keys := sign(b, key, scattered(b, 20, 1<<20)), topology.NewKeys(key.Public())
	for b.Loop() {
		if _, err := topology.Open(snapshot, keys); err != nil {
			b.Fatal(err)
		}
	}
}

func TestWhatNoReaderCouldFollowIsNoMap(t *testing.T) {
	for name, spoil := range map[string]func(*topology.Map){
		"two cells of one name": func(m *topology.Map) { m.Cells[1].ID = m.Cells[0].ID },
		"a cell without a name": func(m *topology.Map) { m.Cells[0].ID = "" },
		"a cell nowhere":        func(m *topology.Map) { m.Cells[0].Region = "" },
		"a state of its own":    func(m *topology.Map) { m.Cells[0].State = "tired" },
		"a weight below nought": func(m *topology.Map) { m.Cells[0].Weight = -1 },
		"no end of capacity":    func(m *topology.Map) { m.Cells[0].Capacity = 10_000_001 },
		"an address of no port": func(m *topology.Map) { m.Cells[0].Admin = "127.0.0.1" },
		"an endless address":    func(m *topology.Map) { m.Cells[0].Admin = strings.Repeat("h", 254) + ":1" },
		"two rings of a region": func(m *topology.Map) { m.Rings[1].Region = m.Rings[0].Region },
		"a ring of nowhere":     func(m *topology.Map) { m.Rings[1].Region = "mars-1" },
		"a slot of nobody":      func(m *topology.Map) { m.Rings[1].Slots[5].Cell = 9 },
		"a slot at no epoch":    func(m *topology.Map) { m.Rings[1].Slots[5].Epoch = 0 },
		"a mark for nothing":    func(m *topology.Map) { m.Rings[1].Slots[5].Overridden = true },
		"no cells":              func(m *topology.Map) { m.Cells = nil },
		"no rings":              func(m *topology.Map) { m.Rings = nil },
		"an override twice": func(m *topology.Map) {
			o := topology.Override{Customer: ident.NewCustomer("use1")}
			m.SetOverrides([]topology.Override{o, o})
		},
		"an override to nobody": func(m *topology.Map) {
			m.SetOverrides([]topology.Override{{Customer: ident.NewCustomer("use1"), Cell: 9}})
		},
		"an override of no id": func(m *topology.Map) { m.SetOverrides([]topology.Override{{Customer: "c-use1-x"}}) },
	} {
		m := even(t)
		if spoil(m); m.Validate() == nil {
			t.Errorf("%s is valid", name)
		}
	}
}

func TestAnOverrideTakesOneCustomerAndNoOther(t *testing.T) {
	m := even(t)
	one, other := ident.NewCustomer("use1"), ident.NewCustomer("use1")
	for one.Slot() != other.Slot() {
		other = ident.NewCustomer("use1")
	}
	was, _, _ := m.OwnerOf(one)
	m.SetOverrides([]topology.Override{{Customer: one, Cell: uint16(len(m.Cells) - 1)}})
	if err := m.Validate(); err != nil {
		t.Fatal(err)
	}
	if c, _, _ := m.OwnerOf(one); c != &m.Cells[len(m.Cells)-1] {
		t.Errorf("the customer is served by %s", c.ID)
	}
	if c, _, _ := m.OwnerOf(other); c != was {
		t.Errorf("a neighbour in the slot is served by %s", c.ID)
	}
	if got := m.OverridesTo(m.Cells[len(m.Cells)-1].ID); len(got) != 1 || got[0] != one {
		t.Errorf("overrides to the cell: %v", got)
	}
	m.SetOverrides(nil)
	if c, _, _ := m.OwnerOf(one); c != was || m.Validate() != nil {
		t.Error("the override is still there")
	}
}
