package evacuation

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/cellar-commerce/cellar/cells/topology"
	topologyv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/topology/v1"
	"github.com/cellar-commerce/cellar/internal/ident"
)

// drawMap of two rings, whose slots belong to anybody in runs.
func drawMap(t *rapid.T) *topology.Map {
	m := &topology.Map{Version: rapid.Uint64Range(1, 1000).Draw(t, "version")}
	for i := range rapid.IntRange(2, 6).Draw(t, "cells") {
		c := cellOf(fmt.Sprintf("cell-%d", i), rapid.SampledFrom([]ident.Region{east, west}).Draw(t, "region"))
		c.State = rapid.SampledFrom([]topology.State{topology.Active, topology.Active, topology.Active, topology.Draining}).Draw(t, "state")
		c.Weight = rapid.IntRange(1, 300).Draw(t, "weight")
		c.Capacity = rapid.IntRange(0, 500).Draw(t, "capacity")
		m.Cells = append(m.Cells, c)
	}
	for _, region := range []ident.Region{east, west} {
		r := topology.Ring{Region: region}
		for s := 0; s < ident.Slots; {
			o := topology.SlotOwner{Cell: uint16(rapid.IntRange(0, len(m.Cells)-1).Draw(t, "owner")), Epoch: rapid.Uint64Range(1, 9).Draw(t, "epoch")}
			for end := s + rapid.IntRange(1, 2000).Draw(t, "run"); s < min(end, ident.Slots); s++ {
				r.Slots[s] = o
			}
		}
		m.Rings = append(m.Rings, r)
	}
	return m
}

func everyone(string) bool { return true }

// leavingPlan of some cells of a map.
func leavingPlan(t *rapid.T, m *topology.Map, cells []string, load map[string]float64) (*topologyv1.Plan, string) {
	d, reason, _, err := wished(m, evacuating(cells...), everyone)
	if err != nil {
		t.Fatal(err)
	}
	d.load = load
	return d.plan(), reason
}

func drawLeaving(t *rapid.T, m *topology.Map) []string {
	cells := []string{m.Cells[0].ID}
	if rapid.Bool().Draw(t, "two leave") {
		cells = append(cells, m.Cells[1].ID)
	}
	return cells
}

func TestAPlanTakesEverySlotOfWhoLeavesAndNoOther(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := drawMap(t)
		cells := drawLeaving(t, m)
		p, reason := leavingPlan(t, m, cells, nil)
		if reason == reasonNobodyLeft {
			if len(m.Targets(cells...)) > 0 {
				t.Fatal("somebody is left")
			}
			return
		}
		places := placesOf(p)
		for i := range m.Rings {
			r := &m.Rings[i]
			for s, o := range r.Slots {
				owner := m.Cells[o.Cell].ID
				place, moves := places[r.Region][ident.Slot(s)]
				if moves != slices.Contains(cells, owner) || (moves && (place.from != owner || place.epoch != o.Epoch || slices.Contains(cells, place.to))) {
					t.Fatalf("slot %d of %s is %s's at epoch %d: %v", s, r.Region, owner, o.Epoch, place)
				}
			}
		}
		var after, gets int32
		for _, g := range p.GetTargets() {
			after, gets = after+g.GetSlotsAfter(), gets+g.GetSlots()
		}
		if gets != p.GetSlots() || after > 2*ident.Slots {
			t.Fatalf("%d slots, of which targets get %d and have %d then", p.GetSlots(), gets, after)
		}
	})
}

func TestLoadMovesWithSlotsAndIsNeitherMadeNorLost(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := drawMap(t)
		cells := drawLeaving(t, m)
		load := map[string]float64{}
		leaves := 0.0
		owned := slotsOf(m)
		for i, c := range m.Cells {
			load[c.ID] = float64(rapid.IntRange(0, 400).Draw(t, "load"))
			if i < len(cells) && owned[c.ID] > 0 {
				leaves += load[c.ID]
			}
		}
		p, reason := leavingPlan(t, m, cells, load)
		if reason != "" {
			return
		}
		over := false
		for _, g := range p.GetTargets() {
			leaves -= g.GetLoadAfter() - g.GetLoadBefore()
			over = over || (g.GetCapacity() > 0 && g.GetLoadAfter() > g.GetCapacity())
		}
		if leaves > 1e-6 || leaves < -1e-6 {
			t.Fatalf("%f requests a second are lost", leaves)
		}
		if over != (p.GetRefusalReason() == reasonOverCapacity) {
			t.Fatalf("over capacity: %v, refused with %q", over, p.GetRefusalReason())
		}
	})
}

func TestTheHashIsOfWhatChangesAndOfNothingElse(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := drawMap(t)
		cells := drawLeaving(t, m)
		p, reason := leavingPlan(t, m, cells, nil)
		if reason != "" || p.GetSlots() == 0 {
			return
		}
		other := m.Clone()
		other.Version++
		if q, _ := leavingPlan(t, other, cells, map[string]float64{"cell-0": 7}); q.GetHash() != p.GetHash() {
			t.Fatal("another version and other loads are another plan")
		}
		first := p.GetTargets()[0].GetMoves()[0]
		for i := range other.Rings {
			if string(other.Rings[i].Region) == first.GetRing() {
				other.Rings[i].Slots[first.GetFromSlot()].Epoch++
			}
		}
		if q, _ := leavingPlan(t, other, cells, nil); q.GetHash() == p.GetHash() {
			t.Fatal("another epoch is the same plan")
		}
	})
}

func TestAPlanSaysInWordsWhatIsDone(t *testing.T) {
	m, err := topology.Even([]topology.Cell{cellOf("use1-a", east), cellOf("use1-b", east), cellOf("usw2-a", west), cellOf("euc1-a", "eu-central-1")})
	if err != nil {
		t.Fatal(err)
	}
	d, _, _, err := wished(m, evacuating("use1-a"), everyone)
	if err != nil {
		t.Fatal(err)
	}
	d.homed = map[ident.Region]int64{east: 4096 * 3}
	p := d.plan()
	if p.GetCustomers() != 2048*3 || p.GetMapVersion() != 1 || !slices.Equal(p.GetCells(), []string{"use1-a"}) {
		t.Errorf("the plan is %v", p)
	}
	var b strings.Builder
	if err := PlanText(&b, p); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"1. mark use1-a as draining", "2. flip 2048 slots of us-east-1 to use1-b", "7. mark use1-a as evacuated", "use1-b  2048", "about 6144", p.GetHash()} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("%q is not in\n%s", want, b.String())
		}
	}
}
