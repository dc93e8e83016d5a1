package topology

import (
	"cmp"
	"math"
	"slices"

	"github.com/cespare/xxhash/v2"
)

// Rank cells for a key by weighted rendezvous hashing (Thaler and Ravishankar, 1998; the weighting is Schindelhauer and
// Schomaker's logarithmic method, 2005): the best first. All who know the same cells rank them alike, and a cell that
// goes or comes moves only the keys for which it was, or is, the best.
func Rank(key string, cells []*Cell) []*Cell {
	type ranked struct {
		cell  *Cell
		score float64
	}
	all := make([]ranked, len(cells))
	for i, c := range cells {
		// 53 bits of the hash, moved off 0 and 1, where the logarithm has none.
		h := (float64(xxhash.Sum64String(key+"\x00"+c.ID)>>11) + 0.5) / (1 << 53)
		all[i] = ranked{c, -float64(max(c.Weight, 1)) / math.Log(h)}
	}
	slices.SortFunc(all, func(a, b ranked) int { return cmp.Or(cmp.Compare(b.score, a.score), cmp.Compare(a.cell.ID, b.cell.ID)) })
	out := make([]*Cell, len(all))
	for i, r := range all {
		out[i] = r.cell
	}
	return out
}
