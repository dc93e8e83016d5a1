package fulfillment

import "slices"

// What a search begins with, and what is taken when it is too long: a set chosen greedily, mended where a small change
// makes it better.

// start with a set that will do.
func (c *covering) start() {
	c.greedy()
	c.reduce()
	c.exchange()
}

// greedy takes again and again the FC that has the most of what is missing, the first in order among equals.
func (c *covering) greedy() {
	c.best = c.best[:0]
	c.scratch = append(c.scratch[:0], c.need...)
	for {
		best, most := int32(-1), int64(0)
		for i := range int32(len(c.offer)) {
			gain := int64(0)
			for n, units := range c.row(i) {
				gain += min(units, c.scratch[n])
			}
			if gain > most && !slices.Contains(c.best, i) {
				best, most = i, gain
			}
		}
		if best < 0 {
			return
		}
		c.best = append(c.best, best)
		for n, units := range c.row(best) {
			c.scratch[n] = max(c.scratch[n]-units, 0)
		}
	}
}

// reduce the set by members that the others do without, the last in order first.
func (c *covering) reduce() {
	slices.SortFunc(c.best, func(a, b int32) int { return int(b - a) })
	c.spare()
	for at := 0; at < len(c.best); {
		row := c.row(c.best[at])
		if !covers(c.scratch, row) {
			at++
			continue
		}
		for n, units := range row {
			c.scratch[n] -= units
		}
		c.best = slices.Delete(c.best, at, at+1)
	}
}

// spare units of each product, that the set has beyond what is wanted, go to scratch.
func (c *covering) spare() {
	c.scratch = resize(c.scratch, c.m)
	for n, need := range c.need {
		c.scratch[n] = -need
	}
	for _, i := range c.best {
		for n, units := range c.row(i) {
			c.scratch[n] += units
		}
	}
}

// exchange members for others, each for the first in order that will do, as long as that makes the set better.
func (c *covering) exchange() {
	for better := true; better; {
		better = false
		for at, out := range c.best {
			c.spare()
			for in := range int32(len(c.offer)) {
				if slices.Contains(c.best, in) || !c.replaces(in, out) {
					continue
				}
				day, weight := c.score(c.best)
				c.best[at] = in
				if d, w := c.score(c.best); d < day || (d == day && w < weight) {
					better = true
					break
				}
				c.best[at] = out
			}
		}
	}
	c.reduce() // what has come may make another one superfluous
}

// replaces tells whether the set will do with one member instead of another; scratch has what is spare.
func (c *covering) replaces(in, out int32) bool {
	a, b := c.row(in), c.row(out)
	for n, spare := range c.scratch[:c.m] {
		if spare-b[n]+a[n] < 0 {
			return false
		}
	}
	return true
}

// maxRepairs of a set that could not be proven: each makes it one smaller.
const maxRepairs = 8

// repair the set when the search was too long: two members for one, as often as possible.
func (c *covering) repair() {
	for range maxRepairs {
		if !c.merge() {
			break
		}
		c.reduce()
	}
	c.exchange()
}

// merge two members into one that is not in the set.
func (c *covering) merge() bool {
	for a := range c.best {
		for b := range a {
			c.spare()
			for n, units := range c.row(c.best[b]) {
				c.scratch[n] -= units
			}
			for in := range int32(len(c.offer)) {
				if !slices.Contains(c.best, in) && c.replaces(in, c.best[a]) {
					c.best[a] = in
					c.best = slices.Delete(c.best, b, b+1)
					return true
				}
			}
		}
	}
	return false
}
