package topology

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/cellar-commerce/cellar/internal/ident"
)

// ChangeKind says what a Change is about.
type ChangeKind string

// The kinds, in the order in which Diff lists them.
const (
	CellAdded       ChangeKind = "cell added"
	CellChanged     ChangeKind = "cell changed"
	CellRemoved     ChangeKind = "cell removed"
	SlotsChanged    ChangeKind = "slots"
	OverrideAdded   ChangeKind = "override added"
	OverrideChanged ChangeKind = "override changed"
	OverrideRemoved ChangeKind = "override removed"
)

// Change from one map to another.
type Change struct {
	Kind ChangeKind
	// Text is a sentence about it, for people.
	Text string
	// Cell that was added, changed or removed; or that serves an override's customer now, or did when it is removed.
	Cell string
	// Ring whose slots have changed, from Before to After: the same slots. A ring that one of the maps lacks has no owner
	// and epoch 0 there.
	Ring          ident.Region
	Before, After SlotRun
	// Customer of an override.
	Customer ident.CustomerID
}

// Diff lists what changed from one map to another: cells by id, runs of slots by ring and slot, overrides by customer.
// Nothing for maps that differ in their version only.
func Diff(from, to *Map) []Change {
	all := diffCells(from, to)
	var regions []ident.Region
	for _, m := range []*Map{from, to} {
		for i := range m.Rings {
			regions = append(regions, m.Rings[i].Region)
		}
	}
	slices.Sort(regions)
	for _, region := range slices.Compact(regions) {
		all = append(all, diffRing(region, from, to)...)
	}
	return append(all, diffOverrides(from, to)...)
}

func diffCells(from, to *Map) (all []Change) {
	for _, c := range from.cellsByID() {
		now := to.Cell(c.ID)
		if now == nil {
			all = append(all, Change{Kind: CellRemoved, Cell: c.ID, Text: fmt.Sprintf("cell %s of %s is gone", c.ID, c.Region)})
		} else if *now != *c {
			all = append(all, Change{Kind: CellChanged, Cell: c.ID, Text: fmt.Sprintf("cell %s: %s", c.ID, c.difference(now))})
		}
	}
	for _, c := range to.cellsByID() {
		if from.Cell(c.ID) == nil {
			all = append(all, Change{Kind: CellAdded, Cell: c.ID, Text: fmt.Sprintf("cell %s of %s is new: %s, weight %d", c.ID, c.Region, c.State, c.Weight)})
		}
	}
	slices.SortStableFunc(all, func(a, b Change) int { return cmp.Compare(a.Cell, b.Cell) })
	return all
}

func (m *Map) cellsByID() []*Cell {
	all := make([]*Cell, len(m.Cells))
	for i := range m.Cells {
		all[i] = &m.Cells[i]
	}
	slices.SortFunc(all, func(a, b *Cell) int { return cmp.Compare(a.ID, b.ID) })
	return all
}

// difference of two cells of one name, in words.
func (c *Cell) difference(now *Cell) string {
	var words []string
	differs := func(what string, before, after any) {
		if before != after {
			words = append(words, fmt.Sprintf("%s %v → %v", what, before, after))
		}
	}
	differs("region", c.Region, now.Region)
	differs("state", c.State, now.State)
	differs("weight", c.Weight, now.Weight)
	differs("capacity", c.Capacity, now.Capacity)
	differs("public address", c.Public, now.Public)
	differs("internal address", c.Internal, now.Internal)
	differs("admin address", c.Admin, now.Admin)
	return strings.Join(words, ", ")
}

// diffRing finds runs of neighbouring slots that changed alike.
func diffRing(region ident.Region, from, to *Map) (all []Change) {
	old, now := from.ring(region), to.ring(region)
	last := -2 // slot of the last change
	for s := range ident.Slots {
		before, after := from.runOf(old, s), to.runOf(now, s)
		if before == after {
			continue
		}
		if n := len(all) - 1; last == s-1 && all[n].Before.alike(before) && all[n].After.alike(after) {
			all[n].Before.To, all[n].After.To = s, s
		} else {
			all = append(all, Change{Kind: SlotsChanged, Ring: region, Before: before, After: after})
		}
		last = s
	}
	for i := range all {
		all[i].Text = slotsText(&all[i])
	}
	return all
}

// runOf a single slot; of nobody when there is no ring.
func (m *Map) runOf(r *Ring, s int) SlotRun {
	if r == nil {
		return SlotRun{From: s, To: s}
	}
	return SlotRun{From: s, To: s, Owner: m.Cells[r.Slots[s].Cell].ID, Epoch: r.Slots[s].Epoch}
}

func (r SlotRun) alike(other SlotRun) bool { return r.Owner == other.Owner && r.Epoch == other.Epoch }

func slotsText(c *Change) string {
	what := fmt.Sprintf("slots %d–%d of %s", c.Before.From, c.Before.To, c.Ring)
	if c.Before.From == c.Before.To {
		what = fmt.Sprintf("slot %d of %s", c.Before.From, c.Ring)
	}
	switch {
	case c.Before.Epoch == 0:
		return fmt.Sprintf("%s: new, %s, epoch %d", what, c.After.Owner, c.After.Epoch)
	case c.After.Epoch == 0:
		return fmt.Sprintf("%s: gone, were %s's", what, c.Before.Owner)
	case c.Before.Owner == c.After.Owner:
		return fmt.Sprintf("%s: still %s, epoch %d → %d", what, c.After.Owner, c.Before.Epoch, c.After.Epoch)
	default:
		return fmt.Sprintf("%s: %s → %s, epoch %d → %d", what, c.Before.Owner, c.After.Owner, c.Before.Epoch, c.After.Epoch)
	}
}

func diffOverrides(from, to *Map) (all []Change) {
	before, after := from.overrides(), to.overrides()
	for id, cell := range before {
		switch now, still := after[id]; {
		case !still:
			all = append(all, Change{Kind: OverrideRemoved, Customer: id, Cell: cell, Text: fmt.Sprintf("customer %s is served by the slot's owner again, not by %s", id, cell)})
		case now != cell:
			all = append(all, Change{Kind: OverrideChanged, Customer: id, Cell: now, Text: fmt.Sprintf("customer %s is served by %s, not by %s", id, now, cell)})
		}
	}
	for id, cell := range after {
		if _, was := before[id]; !was {
			all = append(all, Change{Kind: OverrideAdded, Customer: id, Cell: cell, Text: fmt.Sprintf("customer %s is served by %s, whoever owns the slot", id, cell)})
		}
	}
	slices.SortFunc(all, func(a, b Change) int { return cmp.Compare(a.Customer, b.Customer) })
	return all
}

// overrides by customer: the ids of their cells.
func (m *Map) overrides() map[ident.CustomerID]string {
	return maps.Collect(func(yield func(ident.CustomerID, string) bool) {
		for _, o := range m.Overrides {
			if !yield(o.Customer, m.Cells[o.Cell].ID) {
				return
			}
		}
	})
}
