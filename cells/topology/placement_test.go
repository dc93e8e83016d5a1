package topology_test

import (
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/cellar-commerce/cellar/cells/topology"
	"github.com/cellar-commerce/cellar/internal/ident"
)

const home = ident.Region("us-east-1")

// fleet of n cells in each region, even.
func fleet(t interface{ Fatal(...any) }, n int) *topology.Map {
	var all []topology.Cell
	for _, region := range ident.Regions() {
		code, _ := region.Code()
		for i := range n {
			all = append(all, cellNamed(fmt.Sprintf("%s-%c", code, 'a'+i), region))
		}
	}
	m, err := topology.Even(all)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func cellNamed(id string, region ident.Region) topology.Cell {
	return topology.Cell{ID: id, Region: region, State: topology.Active, Weight: 100, Public: "127.0.0.1:1", Internal: "127.0.0.1:2", Admin: "127.0.0.1:3"}
}

// owned slots of each cell in the ring of us-east-1.
func owned(m *topology.Map) map[string]int {
	count := map[string]int{}
	for _, r := range m.Runs(home) {
		count[r.Owner] += r.To - r.From + 1
	}
	return count
}

func slotsOf(moves []topology.SlotMove) (n int) {
	for _, move := range moves {
		n += move.Slots()
	}
	return n
}

func apply(t interface{ Fatal(...any) }, m *topology.Map, moves []topology.SlotMove) *topology.Map {
	next, err := topology.Apply(m, moves)
	if err != nil {
		t.Fatal(err)
	}
	if err := next.Validate(); err != nil {
		t.Fatal(err)
	}
	return next
}

func TestACellThatIsAddedTakesItsShareAndNothingElseMoves(t *testing.T) {
	for n := 1; n <= 20; n++ {
		m := fleet(t, n)
		m.Cells = append(m.Cells, cellNamed("new", home))
		moves, err := topology.Rebalance(m, home, nil)
		if err != nil {
			t.Fatal(err)
		}
		if got, most := slotsOf(moves), ident.Slots/(n+1)+ident.Slots/100; got > most {
			t.Errorf("the %d. cell moves %d slots, at most %d", n+1, got, most)
		}
		for _, move := range moves {
			if move.ToCell != "new" {
				t.Errorf("with %d cells: %v does not go to the new one", n, move)
			}
		}
		for id, got := range owned(apply(t, m, moves)) {
			if got < ident.Slots/(n+1) || got > ident.Slots/(n+1)+1 {
				t.Errorf("with %d cells: %s owns %d", n+1, id, got)
			}
		}
		if len(moves) > n {
			t.Errorf("with %d cells the new one is cut out of %d pieces", n, len(moves))
		}
	}
}

// drawRing scatters the ring of us-east-1 over any cells, and draws weights for some.
func drawRing(t *rapid.T) (*topology.Map, topology.Weights) {
	m := fleet(t, rapid.IntRange(1, 6).Draw(t, "cells"))
	for range rapid.IntRange(0, 40).Draw(t, "runs") {
		from, o := rapid.IntRange(0, ident.Slots-1).Draw(t, "from"), topology.SlotOwner{
			Cell: uint16(rapid.IntRange(0, len(m.Cells)-1).Draw(t, "owner")), Epoch: rapid.Uint64Range(1, 3).Draw(t, "epoch")}
		for s := from; s < min(from+rapid.IntRange(1, 2000).Draw(t, "slots"), ident.Slots); s++ {
			m.Rings[0].Slots[s] = o
		}
	}
	if rapid.Bool().Draw(t, "scattered") {
		for s := range m.Rings[0].Slots {
			m.Rings[0].Slots[s].Cell = uint16(s * 7 % len(m.Cells))
		}
	}
	weights := topology.Weights{}
	for _, c := range m.Cells {
		if w := rapid.IntRange(-500, 1000).Draw(t, "weight"); w >= 0 {
			weights[c.ID] = w
		}
	}
	weights[m.Cells[0].ID] = rapid.IntRange(1, 1000).Draw(t, "positive")
	return m, weights
}

func TestARebalanceGivesEachItsShareAndMovesNoSlotTooMany(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m, weights := drawRing(t)
		moves, err := topology.Rebalance(m, home, weights)
		if err != nil {
			t.Fatal(err)
		}
		before, next := owned(m), apply(t, m, moves)
		after, sum, least := owned(next), 0, 0
		for _, w := range weights {
			sum += w
		}
		for _, c := range m.Cells {
			share := float64(ident.Slots) * float64(weights[c.ID]) / float64(sum)
			if d := float64(after[c.ID]) - share; d <= -1 || d >= 1 { // far within 2 % of the ring
				t.Fatalf("%s owns %d, its share is %v", c.ID, after[c.ID], share)
			}
			least += max(0, before[c.ID]-after[c.ID])
		}
		if got := slotsOf(moves); got != least { // every slot that moves leaves somebody who has too many, once
			t.Fatalf("%d slots move, %d have to", got, least)
		}
		for _, move := range moves {
			if after[move.FromCell] >= before[move.FromCell] || after[move.ToCell] <= before[move.ToCell] {
				t.Fatalf("%v: not from somebody with too many to somebody with too few", move)
			}
		}
		if again, err := topology.Rebalance(next, home, weights); err != nil || len(again) > 0 {
			t.Fatalf("a second rebalance moves %v, %v", again, err)
		}
		if same, _ := topology.Rebalance(m, home, maps.Clone(weights)); !reflect.DeepEqual(moves, same) {
			t.Fatal("the same map gave other moves")
		}
		for i := 1; i < len(m.Rings); i++ {
			if m.Rings[i] != next.Rings[i] {
				t.Fatal("another ring has changed")
			}
		}
	})
}

func TestARebalanceFollowsStatesAndWeightsOfTheMap(t *testing.T) {
	m := fleet(t, 4)
	m.Cells[0].State, m.Cells[1].State, m.Cells[1].Weight, m.Cells[2].Weight = topology.Draining, topology.Canary, 4, 300
	moves, err := topology.Rebalance(m, home, nil)
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]int{"use1-b": 41, "use1-c": 3041, "use1-d": 1014} // of 404: 4, 300, 100
	if got := owned(apply(t, m, moves)); !maps.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
	for i := range m.Cells {
		m.Cells[i].State = topology.Quarantined
	}
	if _, err := topology.Rebalance(m, home, nil); !errors.Is(err, topology.ErrNobodyLeft) {
		t.Errorf("without anybody: %v", err)
	}
	if _, err := topology.Rebalance(m, home, topology.Weights{"nobody": 1}); err == nil {
		t.Error("a cell that is not there got a share")
	}
	if _, err := topology.Rebalance(m, "mars-1", nil); err == nil {
		t.Error("a ring that is not there was rebalanced")
	}
}

func TestSurvivorsOfTheRegionTakeTheSlotsByWeight(t *testing.T) {
	m := fleet(t, 4)
	m.Cells[3].Weight = 300
	moves, err := topology.Spread(m, []string{"use1-a"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	// 1024 each before; the fourth is to have three times what the others have, which takes more than there is.
	if got, want := owned(apply(t, m, moves)), map[string]int{"use1-b": 1024, "use1-c": 1024, "use1-d": 2048}; !maps.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
	m.Cells[3].Weight = 150
	if moves, err = topology.Spread(m, []string{"use1-a"}, nil); err != nil {
		t.Fatal(err)
	}
	got := owned(apply(t, m, moves))
	if want := (map[string]int{"use1-b": 1170, "use1-c": 1170, "use1-d": 1756}); !within(got, want, 1) { // of 350: 100, 100, 150
		t.Errorf("%v, want %v", got, want)
	}
	if len(moves) > 3 {
		t.Errorf("three survivors get %d pieces", len(moves))
	}
}

func within(got, want map[string]int, most int) bool {
	for id, n := range want {
		if got[id] < n-most || got[id] > n+most {
			return false
		}
	}
	return len(got) == len(want)
}

func TestARegionThatLeavesGoesToAllOthers(t *testing.T) {
	m := fleet(t, 2)
	moves, err := topology.Spread(m, []string{"use1-a", "use1-b"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := owned(apply(t, m, moves)), map[string]int{"usw2-a": 1024, "usw2-b": 1024, "euc1-a": 1024, "euc1-b": 1024}; !maps.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
	if _, err := topology.Spread(m, []string{"use1-a", "use1-b", "usw2-a", "usw2-b", "euc1-a", "euc1-b"}, nil); !errors.Is(err, topology.ErrNobodyLeft) {
		t.Errorf("all leave: %v", err)
	}
	if _, err := topology.Spread(m, []string{"nobody"}, nil); err == nil {
		t.Error("a cell that is not there left")
	}
	if _, err := topology.Spread(m, []string{"use1-a"}, topology.Weights{"use1-a": 1}); err == nil {
		t.Error("a cell left for itself")
	}
}

func TestWhoeverLeavesLosesEverySlotAndNobodyElseAny(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m, weights := drawRing(t)
		var leaving []string
		for _, c := range m.Cells {
			if weights[c.ID] == 0 && rapid.Bool().Draw(t, "leaves") {
				leaving = append(leaving, c.ID)
			}
		}
		moves, err := topology.Spread(m, leaving, weights)
		if err != nil {
			t.Fatal(err)
		}
		next := apply(t, m, moves)
		for i := range m.Rings {
			region, own := m.Rings[i].Region, false
			for id, w := range weights {
				own = own || w > 0 && m.Cell(id).Region == region
			}
			for s, o := range m.Rings[i].Slots {
				old, now := &m.Cells[o.Cell], &next.Cells[next.Rings[i].Slots[s].Cell]
				switch {
				case !slices.Contains(leaving, old.ID):
					if o != next.Rings[i].Slots[s] {
						t.Fatalf("slot %d of %s moved from %s, which stays", s, region, old.ID)
					}
				case weights[now.ID] == 0 || own && now.Region != region || next.Rings[i].Slots[s].Epoch != o.Epoch+1:
					t.Fatalf("slot %d of %s went from %s to %s at %d", s, region, old.ID, now.ID, next.Rings[i].Slots[s].Epoch)
				}
			}
		}
		if again, err := topology.Spread(next, leaving, weights); err != nil || len(again) > 0 {
			t.Fatalf("a second spread moves %v, %v", again, err)
		}
	})
}

func TestMovesThatTheMapDoesNotAllowAreRefused(t *testing.T) {
	m := fleet(t, 2)
	good := topology.SlotMove{Ring: home, FromSlot: 3, ToSlot: 5, FromCell: "use1-a", ToCell: "use1-b", Epoch: 1}
	next, err := topology.Apply(m, []topology.SlotMove{good})
	if err != nil || next.Version != 2 || next.Rings[0].Slots[4] != (topology.SlotOwner{Cell: 1, Epoch: 2}) || m.Rings[0].Slots[4].Cell != 0 {
		t.Fatalf("%v", err)
	}
	for name, spoil := range map[string]func(*topology.SlotMove){
		"ring": func(m *topology.SlotMove) { m.Ring = "mars-1" }, "owner": func(m *topology.SlotMove) { m.FromCell = "usw2-a" },
		"epoch": func(m *topology.SlotMove) { m.Epoch = 2 }, "target": func(m *topology.SlotMove) { m.ToCell = "x" },
		"from": func(m *topology.SlotMove) { m.FromSlot = -1 }, "to": func(m *topology.SlotMove) { m.ToSlot = ident.Slots },
	} {
		bad := good
		spoil(&bad)
		if _, err := topology.Apply(m, []topology.SlotMove{bad}); err == nil {
			t.Errorf("a wrong %s was taken", name)
		}
	}
}
