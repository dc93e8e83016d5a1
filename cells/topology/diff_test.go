package topology_test

import (
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/cellar-commerce/cellar/cells/topology"
	"github.com/cellar-commerce/cellar/internal/ident"
)

func TestADiffIsSentences(t *testing.T) {
	from := fleet(t, 2)
	customer := ident.CustomerID("c-euc1-000000000000000000000000")
	other := ident.CustomerID("g-euc1-000000000000000000000000")
	from.SetOverrides([]topology.Override{{Customer: customer, Cell: 0}})
	to := from.Clone()
	to.Cells[1].State, to.Cells[1].Weight = topology.Draining, 50
	to.Cells = append(to.Cells, cellNamed("use1-c", home))
	for s := 10; s < 20; s++ {
		to.Rings[0].Slots[s] = topology.SlotOwner{Cell: 6, Epoch: 2}
	}
	to.Rings[0].Slots[30].Epoch = 7
	to.Rings[1].Slots[4095] = topology.SlotOwner{Cell: 0, Epoch: 2}
	to.SetOverrides([]topology.Override{{Customer: customer, Cell: 1}, {Customer: other, Cell: 2}})
	texts := func(changes []topology.Change) (all []string) {
		for _, c := range changes {
			all = append(all, c.Text)
		}
		return all
	}
	want := []string{
		"cell use1-b: state active → draining, weight 100 → 50",
		"cell use1-c of us-east-1 is new: active, weight 100",
		"slots 10–19 of us-east-1: use1-a → use1-c, epoch 1 → 2",
		"slot 30 of us-east-1: still use1-a, epoch 1 → 7",
		"slot 4095 of us-west-2: usw2-b → use1-a, epoch 1 → 2",
		"customer c-euc1-000000000000000000000000 is served by use1-b, not by use1-a",
		"customer g-euc1-000000000000000000000000 is served by usw2-a, whoever owns the slot",
	}
	if got := texts(topology.Diff(from, to)); !slices.Equal(got, want) {
		t.Errorf("got\n%q\nwant\n%q", got, want)
	}
	to.Rings = to.Rings[:2]
	to.SetOverrides(nil)
	back := texts(topology.Diff(to, from))
	for _, want := range []string{
		"cell use1-b: state draining → active, weight 50 → 100", "cell use1-c of us-east-1 is gone",
		"slots 0–2047 of eu-central-1: new, euc1-a, epoch 1", "slots 10–19 of us-east-1: use1-c → use1-a, epoch 2 → 1",
		"customer c-euc1-000000000000000000000000 is served by use1-a, whoever owns the slot",
	} {
		if !slices.Contains(back, want) {
			t.Errorf("no %q in %q", want, back)
		}
	}
	if got := texts(topology.Diff(from, to)); !slices.Contains(got, "slots 2048–4095 of eu-central-1: gone, were euc1-b's") ||
		!slices.Contains(got, "customer c-euc1-000000000000000000000000 is served by the slot's owner again, not by use1-a") {
		t.Errorf("got %q", got)
	}
}

// What a diff says, done to the one map, gives the other's slots and overrides.
func TestADiffSaysAllThatChanged(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		from, to := drawMap(t), drawMap(t)
		if got := topology.Diff(from, from); len(got) > 0 {
			t.Fatalf("a map differs from itself by %v", got)
		}
		done := from.Clone()
		overrides := map[ident.CustomerID]uint16{}
		for _, o := range from.Overrides {
			overrides[o.Customer] = o.Cell
		}
		index := func(id string) uint16 {
			return uint16(slices.IndexFunc(to.Cells, func(c topology.Cell) bool { return c.ID == id }))
		}
		changed := map[string]bool{}
		for _, c := range topology.Diff(from, to) {
			switch c.Kind {
			case topology.SlotsChanged:
				r := slices.Index(ident.Regions(), c.Ring)
				for s := c.After.From; s <= c.After.To; s++ {
					done.Rings[r].Slots[s] = topology.SlotOwner{Cell: index(c.After.Owner), Epoch: c.After.Epoch}
				}
			case topology.OverrideAdded, topology.OverrideChanged:
				overrides[c.Customer] = index(c.Cell)
			case topology.OverrideRemoved:
				delete(overrides, c.Customer)
			default:
				changed[c.Cell] = true
			}
		}
		var all []topology.Override
		for id, cell := range overrides {
			all = append(all, topology.Override{Customer: id, Cell: cell})
		}
		done.SetOverrides(all)
		to.SetOverrides(to.Overrides)
		if !slices.Equal(done.Rings, to.Rings) || !slices.Equal(done.Overrides, to.Overrides) {
			t.Fatal("the diff leaves something out")
		}
		for i := range to.Cells {
			if (from.Cells[i] != to.Cells[i]) != changed[to.Cells[i].ID] {
				t.Fatalf("cell %s", to.Cells[i].ID)
			}
		}
	})
}
