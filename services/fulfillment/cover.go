package fulfillment

import (
	"cmp"
	"math"
	"slices"
)

// maxNodes of a search: some two milliseconds. What was best so far is taken then.
const maxNodes = 20_000

// cover chooses the fewest FCs that together have what is wanted, and of those sets the one with the least distance in
// sum. Whether a set will do depends on its sums by product alone: lines can be split among its members. That is a
// set multi-cover, NP-hard in general; orders are small, and most products lie in few FCs, so a branch and bound proves
// the best set nearly always (BenchmarkPlan says how often). Offers are sorted by distance, and enough for the wants.
// Gives indices of offers, and whether they are proven to be best.
func cover(wants []want, offers []offer) (set []int, proven bool) {
	c := newCovering(wants, offers)
	c.best = c.reduced(c.greedy())
	for size := c.least(); size <= len(c.best); size++ {
		c.size, c.bestKM = size, math.Inf(1)
		if size == len(c.best) {
			c.bestKM = c.km(c.best)
		}
		c.search(slices.Clone(c.need), nil, 0)
		if c.nodes > maxNodes {
			return c.best, false
		}
		if len(c.best) == size {
			break
		}
	}
	return c.best, true
}

// covering is the state of a search. Products are numbered; stock above what is wanted counts for nothing.
type covering struct {
	need     []int64   // units wanted of each product
	stock    [][]int64 // of each offer, by product
	distance []float64
	holders  [][]int   // of each product, the nearest first
	top      [][]int64 // of each product: what the n best FCs have together at most
	topAll   []int64   // what the n best FCs have of everything
	nearest  []float64 // sum of the n least distances

	size   int // of the sets that are looked for
	best   []int
	bestKM float64
	banned []bool
	nodes  int
}

func newCovering(wants []want, offers []offer) *covering {
	c := &covering{banned: make([]bool, len(offers))}
	number := map[string]int{}
	var skus []string
	for _, w := range wants {
		if _, known := number[w.sku]; !known {
			number[w.sku] = len(skus)
			skus, c.need = append(skus, w.sku), append(c.need, 0)
		}
		c.need[number[w.sku]] += w.quantity
	}
	c.holders = make([][]int, len(skus))
	columns := make([][]int64, len(skus))
	var sums []int64
	for i, o := range offers {
		row, sum := make([]int64, len(skus)), int64(0)
		for n, sku := range skus {
			if row[n] = min(o.stock[sku], c.need[n]); row[n] > 0 {
				c.holders[n] = append(c.holders[n], i)
			}
			sum += row[n]
			columns[n] = append(columns[n], row[n])
		}
		c.stock, c.distance, sums = append(c.stock, row), append(c.distance, o.distance), append(sums, sum)
		c.nearest = append(c.nearest, o.distance)
	}
	for n := range skus {
		c.top = append(c.top, sumsOfLargest(columns[n]))
	}
	c.topAll = sumsOfLargest(sums)
	for i, sum := range slices.Clone(c.nearest) {
		c.nearest[i] = sum
		if i > 0 {
			c.nearest[i] += c.nearest[i-1]
		}
	}
	c.nearest = append([]float64{0}, c.nearest...)
	return c
}

// sumsOfLargest n values, for each n from 0.
func sumsOfLargest(values []int64) []int64 {
	values = slices.Clone(values)
	slices.SortFunc(values, func(a, b int64) int { return cmp.Compare(b, a) })
	sums := make([]int64, len(values)+1)
	for i, v := range values {
		sums[i+1] = sums[i] + v
	}
	return sums
}

func (c *covering) km(set []int) (km float64) {
	for _, i := range set {
		km += c.distance[i]
	}
	return km
}

// least is a number of FCs below which there is no set.
func (c *covering) least() int {
	for n := 1; n < len(c.stock); n++ {
		if c.within(c.need, n) {
			return n
		}
	}
	return len(c.stock)
}

// within tells whether n FCs could have what is missing; false is certain.
func (c *covering) within(missing []int64, n int) bool {
	all := int64(0)
	for sku, units := range missing {
		if units > 0 {
			if units > c.top[sku][n] {
				return false
			}
			all += units
		}
	}
	return all <= c.topAll[n]
}

// greedy takes again and again the FC that has the most of what is missing, the nearest among equals.
func (c *covering) greedy() (set []int) {
	missing := slices.Clone(c.need)
	for {
		best, most := -1, int64(0)
		for i := range c.stock {
			if n := c.gain(missing, i); n > most && !slices.Contains(set, i) {
				best, most = i, n
			}
		}
		if best < 0 {
			return set
		}
		set = append(set, best)
		for sku, n := range c.stock[best] {
			missing[sku] = max(missing[sku]-n, 0)
		}
	}
}

func (c *covering) gain(missing []int64, i int) (units int64) {
	for sku, n := range c.stock[i] {
		units += min(n, missing[sku])
	}
	return units
}

// reduced drops members that the others do without, the farthest first.
func (c *covering) reduced(set []int) []int {
	slices.SortFunc(set, func(a, b int) int { return cmp.Compare(b, a) }) // offers are sorted by distance
	for at := 0; at < len(set); {
		if others := slices.Delete(slices.Clone(set), at, at+1); c.enough(others) {
			set = others
		} else {
			at++
		}
	}
	return set
}

func (c *covering) enough(set []int) bool {
	for sku, need := range c.need {
		for _, i := range set {
			need -= c.stock[i][sku]
		}
		if need > 0 {
			return false
		}
	}
	return true
}

// search all sets of the size looked for that have the members taken so far, and none that is banned. Some member must
// have the scarcest of what is missing: each of its holders is tried, and banned for those that are tried after it.
func (c *covering) search(missing []int64, taken []int, km float64) {
	if c.nodes++; c.nodes > maxNodes {
		return
	}
	sku := c.scarcest(missing)
	if sku < 0 {
		c.best, c.bestKM = slices.Clone(taken), km
		return
	}
	left := c.size - len(taken)
	if left == 0 || !c.within(missing, left) || km+c.nearest[left] >= c.bestKM {
		return
	}
	var tried []int
	for _, i := range c.holders[sku] {
		if c.banned[i] {
			continue
		}
		if km+c.distance[i]+c.nearest[left-1] >= c.bestKM {
			break // the next are farther still
		}
		rest := slices.Clone(missing)
		for s, n := range c.stock[i] {
			rest[s] = max(rest[s]-n, 0)
		}
		c.banned[i] = true
		tried = append(tried, i)
		c.search(rest, append(taken, i), km+c.distance[i])
	}
	for _, i := range tried {
		c.banned[i] = false
	}
}

// scarcest product that is missing: the one with the fewest holders. -1 when nothing is.
func (c *covering) scarcest(missing []int64) int {
	best := -1
	for sku, units := range missing {
		if units > 0 && (best < 0 || len(c.holders[sku]) < len(c.holders[best])) {
			best = sku
		}
	}
	return best
}
