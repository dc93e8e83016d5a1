package topology

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/cellar-commerce/cellar/internal/ident"
)

// ErrNobodyLeft: there is no cell that slots could go to.
var ErrNobodyLeft = errors.New("topology: no cell is left that could own the slots")

// Weights by cell: each one's share relative to the others'. A cell that is not in it, or has 0, gets nothing.
type Weights map[string]int

// Weights of a region's cells for its own ring: those that are active, and canaries, which are to have their small share.
func (m *Map) Weights(region ident.Region) Weights {
	w := Weights{}
	for i := range m.Cells {
		if c := &m.Cells[i]; c.Region == region && (c.State == Active || c.State == Canary) && c.Weight > 0 {
			w[c.ID] = c.Weight
		}
	}
	return w
}

// Targets of an evacuation: every active cell of any region that does not leave. No canary: it is to keep its small share.
func (m *Map) Targets(leaving ...string) Weights {
	w := Weights{}
	for i := range m.Cells {
		if c := &m.Cells[i]; c.State == Active && c.Weight > 0 && !slices.Contains(leaving, c.ID) {
			w[c.ID] = c.Weight
		}
	}
	return w
}

// positive weights by index of the cell, in order. ErrNobodyLeft when there are none.
func (m *Map) positive(weights Weights) (cells []uint16, weight map[uint16]int, err error) {
	weight = map[uint16]int{}
	for id, w := range weights {
		at := m.index(id)
		if at < 0 || w < 0 {
			return nil, nil, fmt.Errorf("topology: the weight %d of %q is no cell's", w, id)
		}
		if w > 0 {
			weight[uint16(at)] = w
		}
	}
	if len(weight) == 0 {
		return nil, nil, ErrNobodyLeft
	}
	return slices.Sorted(maps.Keys(weight)), weight, nil
}

// Rebalance gives a region's ring to cells by weight, and moves as few slots as that takes: each cell has its exact share
// then, rounded to a slot, and only slots of cells that had more have moved, to cells that had less. Nil for weights means
// those of m.Weights. Cells without a weight, cells of other regions among them, lose all that they have in this ring. The
// same map and weights give the same moves, ascending; after them there are none. ErrNobodyLeft.
func Rebalance(m *Map, region ident.Region, weights Weights) ([]SlotMove, error) {
	r := m.ring(region)
	if r == nil {
		return nil, fmt.Errorf("topology: the map has no ring of %s", region)
	}
	if weights == nil {
		weights = m.Weights(region)
	}
	cells, weight, err := m.positive(weights)
	if err != nil {
		return nil, err
	}
	d := &deal{surplus: map[uint16]int{}}
	for s, o := range r.Slots {
		d.owner[s] = o.Cell
		d.surplus[o.Cell]++
	}
	for cell, quota := range quotas(cells, weight, d.surplus) {
		d.surplus[cell] -= quota
	}
	d.shift()
	d.cut()
	return m.movesOf(r, &d.owner), nil
}

// quotas of a ring's slots by weight. What rounding leaves goes first to those who would have to give a slot away without
// it, which makes a second rebalance move nothing, then to the largest fractions.
func quotas(cells []uint16, weight, have map[uint16]int) map[uint16]int {
	var sum int
	for _, w := range weight {
		sum += w
	}
	quota, left := map[uint16]int{}, ident.Slots
	for _, c := range cells {
		quota[c] = ident.Slots * weight[c] / sum
		left -= quota[c]
	}
	keeps := func(c uint16) int {
		if ident.Slots*weight[c]%sum != 0 && have[c] > quota[c] {
			return 1
		}
		return 0
	}
	order := slices.Clone(cells)
	slices.SortStableFunc(order, func(a, b uint16) int {
		return cmp.Or(cmp.Compare(keeps(b), keeps(a)), cmp.Compare(ident.Slots*weight[b]%sum, ident.Slots*weight[a]%sum))
	})
	for _, c := range order[:left] {
		quota[c]++
	}
	return quota
}

// deal of a ring's slots, from cells with a surplus to those that lack some.
type deal struct {
	owner [ident.Slots]uint16
	// surplus of each cell; negative is what it lacks. The sum is nought.
	surplus map[uint16]int
}

// give a slot to another cell.
func (d *deal) give(slot int, to uint16) {
	d.surplus[d.owner[slot]]--
	d.surplus[to]++
	d.owner[slot] = to
}

// shift the borders between those who have too much and their neighbours who have too little: that makes no new runs.
func (d *deal) shift() {
	for s := 1; s < ident.Slots; s++ {
		d.extend(s, s-1)
	}
	for s := ident.Slots - 2; s >= 0; s-- {
		d.extend(s, s+1)
	}
}

// extend the run of a neighbour over a slot.
func (d *deal) extend(slot, neighbour int) {
	to := d.owner[neighbour]
	if d.owner[slot] != to && d.surplus[d.owner[slot]] > 0 && d.surplus[to] < 0 {
		d.give(slot, to)
	}
}

// cut what is still too much from the ends of the longest runs, for those who lack most.
func (d *deal) cut() {
	type run struct{ from, to int }
	var runs []run
	for s := range d.owner {
		if s > 0 && d.owner[s] == d.owner[s-1] {
			runs[len(runs)-1].to = s
			continue
		}
		runs = append(runs, run{s, s})
	}
	slices.SortStableFunc(runs, func(a, b run) int { return cmp.Compare(b.to-b.from, a.to-a.from) })
	for _, r := range runs {
		for end := r.to; end >= r.from && d.surplus[d.owner[end]] > 0; {
			to, lack := d.poorest()
			for ; lack > 0 && end >= r.from && d.surplus[d.owner[end]] > 0; lack-- {
				d.give(end, to)
				end--
			}
		}
	}
}

// poorest cell, and how many slots it lacks.
func (d *deal) poorest() (cell uint16, lack int) {
	for _, c := range slices.Sorted(maps.Keys(d.surplus)) {
		if -d.surplus[c] > lack {
			cell, lack = c, -d.surplus[c]
		}
	}
	return cell, lack
}

// Spread gives every slot of the cells that leave a new owner: of each ring, cells of the ring's own region as long as
// there are any among the targets, else those of all other regions. Slots go to whoever has least for its weight, over all
// rings, so that the survivors carry what their weights say as nearly as can be without moving anything else. Nil for
// targets means m.Targets. The same map gives the same moves, by ring and slot. ErrNobodyLeft.
func Spread(m *Map, leaving []string, targets Weights) ([]SlotMove, error) {
	if targets == nil {
		targets = m.Targets(leaving...)
	}
	for _, id := range leaving {
		if m.index(id) < 0 {
			return nil, fmt.Errorf("topology: the map has no cell %q", id)
		}
		if targets[id] > 0 {
			return nil, fmt.Errorf("topology: %s cannot leave and be a target", id)
		}
	}
	cells, weight, err := m.positive(targets)
	if err != nil {
		return nil, err
	}
	owned := make([]int, len(m.Cells))
	for i := range m.Rings {
		for _, o := range m.Rings[i].Slots {
			owned[o.Cell]++
		}
	}
	var moves []SlotMove
	for i := range m.Rings {
		moves = append(moves, m.spreadRing(&m.Rings[i], leaving, m.nearest(m.Rings[i].Region, cells), weight, owned)...)
	}
	return moves, nil
}

// nearest cells to a region: its own, or all when it has none.
func (m *Map) nearest(region ident.Region, cells []uint16) []uint16 {
	if own := slices.DeleteFunc(slices.Clone(cells), func(c uint16) bool { return m.Cells[c].Region != region }); len(own) > 0 {
		return own
	}
	return cells
}

// spreadRing deals one ring's slots of the leaving cells in neighbouring pieces: first how many each target gets, then which.
func (m *Map) spreadRing(r *Ring, leaving []string, to []uint16, weight map[uint16]int, owned []int) []SlotMove {
	leaves := make([]bool, len(m.Cells))
	for _, id := range leaving {
		leaves[m.index(id)] = true
	}
	gets := make([]int, len(m.Cells))
	for _, o := range r.Slots {
		if !leaves[o.Cell] {
			continue
		}
		least := to[0]
		for _, c := range to[1:] { // owned+1 over weight, compared without fractions
			if (owned[c]+1)*weight[least] < (owned[least]+1)*weight[c] {
				least = c
			}
		}
		owned[least]++
		gets[least]++
	}
	var wanted [ident.Slots]uint16
	at := 0
	for s, o := range r.Slots {
		wanted[s] = o.Cell
		if !leaves[o.Cell] {
			continue
		}
		for gets[to[at]] == 0 {
			at++
		}
		wanted[s] = to[at]
		gets[to[at]]--
	}
	return m.movesOf(r, &wanted)
}
