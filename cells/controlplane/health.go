package controlplane

import (
	"cmp"
	"maps"
	"math"
	"slices"
	"sync"
	"time"

	"github.com/cellar-commerce/cellar/internal/clock"
	"github.com/cellar-commerce/cellar/internal/ident"
)

const (
	// freshFor is how long a report counts: six of those that come every half second.
	freshFor = 3 * time.Second
	// knownFor is how long a reporter that has gone silent still counts among those of whom a majority must speak. Longer
	// than a restart, and than most cuts of a network: half of the routers being cut off must not make the other half a
	// majority.
	knownFor = 10 * time.Minute
	// maxReporters that are remembered; of a fleet of the largest size there are fewer.
	maxReporters = 4096
	// loadOver is the time over which a load is smoothed: a burst is no load, and a plan looks at minutes.
	loadOver = 5 * time.Second
	// loadKept is that time for a cell that fails: whoever gets its customers gets what it carried before.
	loadKept = 5 * time.Minute
)

// outlook is what a reporter sees of a cell.
type outlook struct {
	healthy bool
	// rate of requests a second, smoothed.
	rate float64
}

// reporter is a router, which sees cells, or a cell, which only tells which map it has.
type reporter struct {
	name    string
	region  ident.Region
	version uint64
	at      time.Time
	cells   map[string]outlook // nil of a cell
}

// report of a reporter.
type report struct {
	name    string
	region  ident.Region
	version uint64
	cells   []cellReport
}

type cellReport struct {
	cell     string
	healthy  bool
	requests int64 // since the last report
}

// sight is what the control plane's own probe sees of a cell.
type sight int

const (
	unseen   sight = iota
	ready          // it serves
	draining       // it said that it stops
	starting       // it answers, and says that it does not serve
	refused        // nobody listens: the process is gone
	silent         // no answer in time: it hangs, or the network does
)

// probed is the state of the probes of a cell.
type probed struct {
	sight sight
	// since when it is as it is now, and since when it has not been ready at all; both zero while it is.
	since, down time.Time
	// drained since when, by its own word; zero when it did not say so before it went.
	drained time.Time
}

// board is what is known of cells and of those who report on them. It is memory: a new leader has it within a second.
type board struct {
	clock clock.Clock

	mu        sync.Mutex
	reporters map[string]*reporter
	probes    map[string]probed
	verdicts  map[string]verdict
}

func newBoard(c clock.Clock) *board {
	return &board{clock: c, reporters: map[string]*reporter{}, probes: map[string]probed{}, verdicts: map[string]verdict{}}
}

// hear a report.
func (b *board) hear(r report) {
	now := b.clock.Now()
	b.mu.Lock()
	defer b.mu.Unlock()
	maps.DeleteFunc(b.reporters, func(_ string, old *reporter) bool { return now.Sub(old.at) > knownFor })
	before := b.reporters[r.name]
	if before == nil && len(b.reporters) >= maxReporters {
		return
	}
	next := &reporter{name: r.name, region: r.region, version: r.version, at: now}
	if len(r.cells) > 0 {
		next.cells = make(map[string]outlook, len(r.cells))
	}
	for _, c := range r.cells {
		o := outlook{healthy: c.healthy}
		if before != nil {
			over := loadOver
			if !c.healthy {
				over = loadKept
			}
			o.rate = smoothed(before.cells[c.cell].rate, c.requests, now.Sub(before.at), over)
		}
		next.cells[c.cell] = o
	}
	b.reporters[r.name] = next
}

// smoothed rate after requests in a time: the older it is, the less the rate before counts.
func smoothed(rate float64, requests int64, took, over time.Duration) float64 {
	if took <= 0 {
		return rate
	}
	keep := math.Exp(-took.Seconds() / over.Seconds())
	return keep*rate + (1-keep)*float64(requests)/took.Seconds()
}

// saw a probe end that began at a time.
func (b *board) saw(cell string, s sight, began time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	p := b.probes[cell]
	switch {
	case s == ready:
		p = probed{sight: ready}
	case p.down.IsZero():
		p = probed{sight: s, since: began, down: began}
	case p.sight != s && (!failing(p.sight) || !failing(s)):
		// Another trouble than before begins its own time: a cell that starts is not one that was dead all along.
		p.sight, p.since = s, began
	default:
		p.sight = s
	}
	if s == draining && p.drained.IsZero() {
		p.drained = began
	}
	b.probes[cell] = p
}

// failing sights, from without: whoever is refused now and not answered next has been gone all the time.
func failing(s sight) bool { return s == refused || s == silent }

// keep only what concerns the cells of a map.
func (b *board) keep(cells []string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	maps.DeleteFunc(b.probes, func(id string, _ probed) bool { return !slices.Contains(cells, id) })
	maps.DeleteFunc(b.verdicts, func(id string, _ verdict) bool { return !slices.Contains(cells, id) })
}

// routers that are known, by name; those that report on cells.
func (b *board) routers() (all []reporter) {
	for _, r := range b.heard() {
		if r.cells != nil {
			all = append(all, r)
		}
	}
	return all
}

// heard reporters that are still known, by name. What they hold is not changed any more.
func (b *board) heard() []reporter {
	now := b.clock.Now()
	b.mu.Lock()
	defer b.mu.Unlock()
	var all []reporter
	for _, r := range b.reporters {
		if now.Sub(r.at) <= knownFor {
			all = append(all, *r)
		}
	}
	slices.SortFunc(all, func(a, b reporter) int { return cmp.Compare(a.name, b.name) })
	return all
}

// reporting counts the reporters that are known, and those that have spoken lately.
func (b *board) reporting() (known, fresh int) {
	now := b.clock.Now()
	for _, r := range b.heard() {
		known++
		if now.Sub(r.at) <= freshFor {
			fresh++
		}
	}
	return known, fresh
}

// probe of a cell.
func (b *board) probe(cell string) probed {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.probes[cell]
}

// load of a cell in requests a second, summed over the routers that have spoken lately; false when none has.
func (b *board) load(cell string) (sum float64, known bool) {
	now := b.clock.Now()
	for _, r := range b.routers() {
		if o, sees := r.cells[cell]; sees && now.Sub(r.at) <= freshFor {
			sum, known = sum+o.rate, true
		}
	}
	return sum, known
}

// healthy tells whether a cell serves, by the control plane's own probe.
func (b *board) healthy(cell string) bool { return b.probe(cell).sight == ready }

// converged tells who has a map of at least a version. Behind are those who speak and have an older one: they will have it
// in a moment. Lost are those who were known and say nothing: they hold nobody up, for what they do with an old map is
// redirected or refused.
func (b *board) converged(version uint64) (behind, lost []string) {
	now := b.clock.Now()
	for _, r := range b.heard() {
		switch {
		case r.version >= version:
		case now.Sub(r.at) <= freshFor:
			behind = append(behind, r.name)
		default:
			lost = append(lost, r.name)
		}
	}
	return behind, lost
}

// seen is what the probes say of every cell.
func (b *board) seen() map[string]probed {
	b.mu.Lock()
	defer b.mu.Unlock()
	return maps.Clone(b.probes)
}

// decide stores what automation says of every cell, and decided gives it.
func (b *board) decide(verdicts map[string]verdict) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.verdicts = verdicts
}

func (b *board) decided() map[string]verdict {
	b.mu.Lock()
	defer b.mu.Unlock()
	return maps.Clone(b.verdicts)
}
