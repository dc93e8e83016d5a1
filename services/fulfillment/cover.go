package fulfillment

import (
	"cmp"
	"math"
	"slices"
	"sync"
)

// maxSteps of a search, each a look at one product in one partial set: some milliseconds. What was best so far is taken
// then.
const maxSteps = 200_000

// cover chooses the set of FCs that has what is wanted and is best in this order: the fewest FCs; the earliest day by which
// all parcels are at the door; the least cost; the least way in sum, so that equals are told apart. Whether a set will do
// depends on its sums by product alone: lines can be split among its members. That is a set multi-cover, NP-hard in
// general; orders are small, and most products lie in few FCs, so a branch and bound proves the best set nearly always.
// There must be enough for the wants. Gives indices of offers, the best first, and whether they are proven to be best.
func cover(t *Task) (set []int, proven bool) {
	return coverWithin(t, maxSteps)
}

func coverWithin(t *Task, steps int) (set []int, proven bool) {
	if one := single(t); one >= 0 {
		return []int{one}, true
	}
	c, _ := coverings.Get().(*covering)
	defer coverings.Put(c)
	c.prepare(t, steps)
	c.start()
	proven = c.prove()
	if !proven {
		c.repair()
	}
	set = make([]int, len(c.best))
	slices.Sort(c.best)
	for i, n := range c.best {
		set[i] = int(c.offer[n])
	}
	return set, proven
}

var coverings = sync.Pool{New: func() any { return new(covering) }}

// weight of a leg: its cost, and within a cent its way. Sums keep that order: all legs together have fewer than 2^24 km.
func (l *Leg) weight() int64 { return l.Cents<<24 + int64(l.KM) }

// before tells whether an offer is better than another by itself.
func (t *Task) before(a, b int) int {
	x, y := &t.offers[a], &t.offers[b]
	return cmp.Or(cmp.Compare(x.leg.Day, y.leg.Day), cmp.Compare(x.leg.weight(), y.leg.weight()), cmp.Compare(x.center.ID, y.center.ID))
}

// single FC that has everything, the best of those; -1 when there is none.
func single(t *Task) int {
	best := -1
	for i := range t.offers {
		if covers(t.row(i), t.need) && (best < 0 || t.before(i, best) < 0) {
			best = i
		}
	}
	return best
}

func covers(stock, need []int64) bool {
	for n, units := range need {
		if stock[n] < units {
			return false
		}
	}
	return true
}

// covering is the state of a search. Its offers are those that may be in the best set, in the order of before; stock above
// what is wanted counts for nothing. The slices are kept for the next search.
type covering struct {
	m       int     // products
	need    []int64 // units wanted of each
	offer   []int32 // which offers of the task these are
	day     []int32
	weight  []int64
	stock   []int64   // rows of m
	some    []uint64  // products of which an offer has some, and all that is wanted; only for up to 64 products
	full    []uint64  //
	holders [][]int32 // of each product, in order
	top     [][]int64 // of each product: what the n best FCs have together at most
	topAll  []int64   // what the n best FCs have of everything
	lightly []int64   // sum of the n least weights

	size       int // of the sets that are looked for
	best       []int32
	bestDay    int32
	bestWeight int64
	taken      []int32
	missing    []int64 // rows of m, one for each depth
	banned     []int   // depth at which an offer is banned, from 1
	steps      int     // that are left

	order   []int
	scratch []int64
}

func resize[T any](s []T, n int) []T {
	if cap(s) < n {
		return make([]T, n)
	}
	return s[:n]
}

// prepare the state for a task.
func (c *covering) prepare(t *Task, steps int) {
	c.m, c.need, c.steps = len(t.skus), t.need, steps
	c.order = resize(c.order, len(t.offers))
	for i := range c.order {
		c.order[i] = i
	}
	slices.SortFunc(c.order, t.before)
	c.offer, c.day, c.weight, c.stock, c.some, c.full = c.offer[:0], c.day[:0], c.weight[:0], c.stock[:0], c.some[:0], c.full[:0]
	for _, i := range c.order {
		c.consider(t, i)
	}
	c.banned = resize(c.banned, len(c.offer))
	clear(c.banned)
	c.holders = resize(c.holders, c.m)
	for n := range c.m {
		c.holders[n] = c.holders[n][:0]
		for i := range c.offer {
			if c.stock[i*c.m+n] > 0 {
				c.holders[n] = append(c.holders[n], int32(i))
			}
		}
	}
}

// consider an offer, unless one before it does all that it could. Such a one costs no more, comes no later, and has all that
// is wanted of each product that this one has: in a set with both, this one is for nothing; in a set with this one alone,
// the other may stand for it.
func (c *covering) consider(t *Task, i int) {
	at, row := len(c.offer), t.row(i)
	var some, full uint64
	units := int64(0)
	for n, need := range c.need {
		have := min(max(row[n], 0), need)
		c.stock = append(c.stock, have)
		units += have
		if have > 0 {
			some |= 1 << (n % 64)
		}
		if have == need {
			full |= 1 << (n % 64)
		}
	}
	o := &t.offers[i]
	weight := o.leg.weight()
	useless := units == 0
	for k := 0; k < at && !useless && c.m <= 64; k++ {
		useless = some&^c.full[k] == 0 && c.weight[k] <= weight
	}
	if useless {
		c.stock = c.stock[:at*c.m]
		return
	}
	c.offer, c.day, c.weight = append(c.offer, int32(i)), append(c.day, int32(o.leg.Day)), append(c.weight, weight)
	c.some, c.full = append(c.some, some), append(c.full, full)
}

func (c *covering) row(i int32) []int64 { return c.stock[int(i)*c.m : (int(i)+1)*c.m] }

// bounds for sets of up to the size of the best one known.
func (c *covering) bounds() {
	c.top = resize(c.top, c.m)
	sums := c.scratch[:0]
	for i := range c.offer {
		sum := int64(0)
		for _, units := range c.row(int32(i)) {
			sum += units
		}
		sums = append(sums, sum)
	}
	c.topAll = largest(c.topAll[:0], sums, len(c.best))
	for n := range c.m {
		sums = sums[:0]
		for _, i := range c.holders[n] {
			sums = append(sums, c.row(i)[n])
		}
		c.top[n] = largest(c.top[n][:0], sums, len(c.best))
	}
	sums = append(sums[:0], c.weight...)
	slices.Sort(sums)
	c.lightly = append(c.lightly[:0], 0)
	for i := range min(len(c.best), len(sums)) {
		c.lightly = append(c.lightly, c.lightly[i]+sums[i])
	}
	c.scratch = sums[:0]
}

// largest appends the sums of the n largest values, for each n from 0 to most. It sorts the values.
func largest(sums, values []int64, most int) []int64 {
	slices.Sort(values)
	sums = append(sums, 0)
	for n := range most {
		next := sums[n]
		if n < len(values) {
			next += values[len(values)-1-n]
		}
		sums = append(sums, next)
	}
	return sums
}

// within tells whether n FCs could have what is missing; false is certain.
func (c *covering) within(missing []int64, n int) bool {
	all := int64(0)
	for sku, units := range missing {
		if units > c.top[sku][n] {
			return false
		}
		all += units
	}
	return all <= c.topAll[n]
}

// prove looks for sets smaller than the best one known, the smallest first, and then for better ones of its size. False
// when there are too many to look at.
func (c *covering) prove() bool {
	c.bounds()
	known := len(c.best)
	c.missing = resize(c.missing, (known+1)*c.m)
	copy(c.missing, c.need)
	c.taken = resize(c.taken, known)
	day, weight := c.score(c.best)
	for c.size = 1; c.size <= known; c.size++ {
		if !c.within(c.need, c.size) {
			continue
		}
		c.bestDay, c.bestWeight = math.MaxInt32, math.MaxInt64
		if c.size == known {
			c.bestDay, c.bestWeight = day, weight
		}
		c.search(0, 0, 0)
		if c.steps < 0 {
			return false
		}
		if len(c.best) == c.size {
			break
		}
	}
	return true
}

// score of a set: its latest day, and its weight.
func (c *covering) score(set []int32) (day int32, weight int64) {
	for _, i := range set {
		day, weight = max(day, c.day[i]), weight+c.weight[i]
	}
	return day, weight
}

// search all sets of the size looked for that have the members taken so far, and none that is banned. Some member must
// have the scarcest of what is missing: each of its holders is tried, and banned for those that are tried after it.
func (c *covering) search(depth int, day int32, weight int64) {
	if c.steps -= c.m; c.steps < 0 {
		return
	}
	missing, left := c.missing[depth*c.m:(depth+1)*c.m], c.size-depth
	sku := c.scarcest(missing)
	if sku < 0 || !c.within(missing, left) {
		return // with nothing missing the set would be smaller, and there are none
	}
	holders := c.holders[sku]
	tried := 0
	for ; tried < len(holders); tried++ {
		i := holders[tried]
		if c.banned[i] > 0 {
			continue
		}
		d, w := max(day, c.day[i]), weight+c.weight[i]
		if d > c.bestDay {
			break // the next come no earlier
		}
		if d == c.bestDay && w+c.lightly[left-1] >= c.bestWeight {
			continue
		}
		c.taken[depth] = i
		if left == 1 {
			if covers(c.row(i), missing) {
				c.best, c.bestDay, c.bestWeight = append(c.best[:0], c.taken[:c.size]...), d, w
			}
			continue
		}
		rest := c.missing[(depth+1)*c.m : (depth+2)*c.m]
		for n, units := range c.row(i) {
			rest[n] = max(missing[n]-units, 0)
		}
		c.banned[i] = depth + 1
		c.search(depth+1, d, w)
	}
	for _, i := range holders[:tried] {
		if c.banned[i] == depth+1 {
			c.banned[i] = 0
		}
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
