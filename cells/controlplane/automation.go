package controlplane

import (
	"fmt"
	"slices"
	"time"

	"github.com/cellar-commerce/cellar/cells/topology"
	"github.com/cellar-commerce/cellar/internal/ident"
)

// Guard rails of automatic evacuations; docs/control-plane.md has the table.
const (
	// deadAfter: nobody has listened for so long. A process that was killed is started anew, and listens, in less; three
	// probes in a row have to say it.
	deadAfter = 600 * time.Millisecond
	// hungAfter: no answer for so long. A pause that somebody's collector of garbage, or a busy machine, makes is shorter.
	hungAfter = 3 * time.Second
	// unreadyAfter: it answers, and does not serve. A cell that starts reads the whole catalogue first.
	unreadyAfter = 30 * time.Second
	// plannedFor is how long a cell that has said that it stops is awaited: it drains, ends, and starts again.
	plannedFor = time.Minute
	// leastReporters that must see a cell fail.
	leastReporters = 2
	// automaticExpiry undoes an automatic evacuation, if the cell is well by then and nobody has decided otherwise.
	automaticExpiry = 2 * time.Hour
)

// verdict of automation about a cell.
type verdict struct {
	// move: it is to be evacuated now.
	move bool
	// guard that keeps it from that, a word for metrics and the audit trail; empty where there is nothing wrong.
	guard string
	// text is a sentence.
	text string
}

// Guards. The first three are no refusals: there is nothing to be done.
const (
	guardNone     = ""
	guardState    = "state"
	guardEmpty    = "empty"
	guardLever    = "lever"
	guardPlanned  = "planned"
	guardUnheard  = "unheard"
	guardBlind    = "blind"
	guardMost     = "most"
	guardQuorum   = "quorum"
	guardTime     = "time"
	guardCoolDown = "cool-down"
	guardUnderWay = "under way"
	guardFailed   = "failed"
)

// situation in which automation decides.
type situation struct {
	now time.Time
	m   *topology.Map
	// probes by cell.
	probes map[string]probed
	// routers that are known.
	routers  []reporter
	lever    lever
	coolDown time.Duration
}

// decide about every cell, in the order of the map. At most one is to be moved: the one that has failed for longest.
func (s *situation) decide() map[string]verdict {
	all := map[string]verdict{}
	first := ""
	for i := range s.m.Cells {
		c := &s.m.Cells[i]
		v := s.judge(c)
		if v.move && (first == "" || s.probes[c.ID].down.Before(s.probes[first].down)) {
			first = c.ID
		}
		all[c.ID] = v
	}
	for id, v := range all {
		if v.move && id != first {
			all[id] = verdict{guard: guardCoolDown, text: fmt.Sprintf("it fails, and waits: %s goes first, one cell at a time", first)}
		}
	}
	return all
}

// judge one cell by itself.
func (s *situation) judge(c *topology.Cell) verdict {
	p := s.probes[c.ID]
	switch {
	case p.sight == unseen:
		return verdict{text: "not probed yet"}
	case p.sight == ready:
		return s.well(c)
	case c.State != topology.Active && c.State != topology.Draining:
		return verdict{guard: guardState, text: fmt.Sprintf("it does not serve, and is left to people: its state is %s", c.State)}
	case s.owns(c.ID) == 0:
		return verdict{guard: guardEmpty, text: "it does not serve, and nobody is served by it"}
	}
	for _, guard := range []func(*topology.Cell, probed) (verdict, bool){s.planned, s.enough, s.time, s.pulled, s.blind, s.most, s.agreed, s.cooling} {
		if v, stops := guard(c, p); stops {
			return v
		}
	}
	return verdict{move: true, text: fmt.Sprintf("%s for %s, by this probe and by %s: it is evacuated", what(p.sight), s.age(p.down), s.seeing(c.ID))}
}

// well: by the control plane's own probe it serves, whatever routers say.
func (s *situation) well(c *topology.Cell) verdict {
	if n := len(s.failing(c.ID)); n > 0 {
		return verdict{text: fmt.Sprintf("it serves, though %d of %d routers do not reach it", n, len(s.routers))}
	}
	return verdict{text: "it serves"}
}

func what(s sight) string {
	switch s {
	case refused:
		return "it is gone"
	case silent:
		return "it does not answer"
	case draining:
		return "it drains"
	default:
		return "it answers that it does not serve"
	}
}

func (s *situation) age(since time.Time) time.Duration {
	return s.now.Sub(since).Round(100 * time.Millisecond)
}

// owns counts the slots and single customers of a cell.
func (s *situation) owns(cell string) (n int) {
	for _, slots := range s.m.SlotsOf(cell) {
		n += len(slots)
	}
	return n + len(s.m.OverridesTo(cell))
}

// planned: it has said that it stops, and may come back.
func (s *situation) planned(_ *topology.Cell, p probed) (verdict, bool) {
	until := p.drained.Add(plannedFor)
	if p.drained.IsZero() || !s.now.Before(until) {
		return verdict{}, false
	}
	return verdict{guard: guardPlanned, text: fmt.Sprintf("%s, as it has said; it is awaited for %s more", what(p.sight), until.Sub(s.now).Round(time.Second))}, true
}

// enough: whether what is seen is a failure at all, so that a hiccup is no news.
func (s *situation) enough(_ *topology.Cell, p probed) (verdict, bool) {
	if s.now.Sub(p.down) >= probeEvery {
		return verdict{}, false
	}
	return verdict{guard: guardTime, text: what(p.sight) + " since just now"}, true
}

// time: it must have failed for long enough, by what is wrong.
func (s *situation) time(_ *topology.Cell, p probed) (verdict, bool) {
	limit, since := unreadyAfter, p.down
	switch {
	case s.now.Sub(p.down) >= unreadyAfter:
		return verdict{}, false
	case p.sight == refused:
		limit, since = deadAfter, p.since
	case p.sight == silent:
		limit, since = hungAfter, p.since
	}
	if s.now.Sub(since) >= limit {
		return verdict{}, false
	}
	return verdict{guard: guardTime, text: fmt.Sprintf("%s for %s, and is given %s", what(p.sight), s.age(since), limit)}, true
}

// pulled lever.
func (s *situation) pulled(_ *topology.Cell, p probed) (verdict, bool) {
	if s.lever.enabled {
		return verdict{}, false
	}
	return verdict{guard: guardLever, text: fmt.Sprintf("%s, and automation is off: %s: %s", what(p.sight), s.lever.cause.Who, s.lever.cause.Reason)}, true
}

// blind: too few routers speak to know what shoppers see.
func (s *situation) blind(_ *topology.Cell, p probed) (verdict, bool) {
	if len(s.routers) == 0 {
		return verdict{guard: guardUnheard, text: what(p.sight) + ", and no router has spoken yet: nobody can miss it"}, true
	}
	fresh := s.fresh()
	if len(fresh) >= s.quorum() && regions(fresh) >= min(2, regions(s.routers)) {
		return verdict{}, false
	}
	return verdict{guard: guardBlind, text: fmt.Sprintf("%s, but only %d of %d known routers have spoken lately: nothing is moved blindly", what(p.sight), len(fresh), len(s.routers))}, true
}

// most cells failing at once is no failure of cells: it is this process, or what all of them stand on.
func (s *situation) most(_ *topology.Cell, p probed) (verdict, bool) {
	failed, all := 0, 0
	for i := range s.m.Cells {
		if c := &s.m.Cells[i]; c.Serves() {
			all++
			if other := s.probes[c.ID]; other.sight != ready && other.sight != unseen && !s.isPlanned(c, other) {
				failed++
			}
		}
	}
	if 2*failed < all || failed == 1 {
		return verdict{}, false
	}
	return verdict{guard: guardMost, text: fmt.Sprintf("%s, as do %d of %d cells at once: that is no failure of a cell", what(p.sight), failed, all)}, true
}

func (s *situation) isPlanned(c *topology.Cell, p probed) bool {
	_, yes := s.planned(c, p)
	return yes
}

// agreed: a majority of the known routers, two at least and from two regions where there are, must see it fail.
func (s *situation) agreed(c *topology.Cell, p probed) (verdict, bool) {
	failing := s.failing(c.ID)
	if len(failing) >= s.quorum() && regions(failing) >= min(2, regions(s.routers)) {
		return verdict{}, false
	}
	return verdict{guard: guardQuorum, text: fmt.Sprintf("%s by this probe, but by %s", what(p.sight), s.seeing(c.ID))}, true
}

// cooling down after the last automatic move, of another cell: a fault that follows the load from cell to cell must not take
// them all. That of this cell is one that was claimed and not made, or was taken back.
func (s *situation) cooling(c *topology.Cell, p probed) (verdict, bool) {
	until := s.lever.movedAt.Add(s.coolDown)
	if s.lever.movedCell == c.ID || !s.now.Before(until) {
		return verdict{}, false
	}
	return verdict{guard: guardCoolDown, text: fmt.Sprintf("%s, but %s was evacuated automatically %s ago: the next is moved by itself in %s",
		what(p.sight), s.lever.movedCell, s.now.Sub(s.lever.movedAt).Round(time.Second), until.Sub(s.now).Round(time.Second))}, true
}

// quorum of the known routers.
func (s *situation) quorum() int { return max(leastReporters, len(s.routers)/2+1) }

// fresh routers: those that have spoken lately.
func (s *situation) fresh() []reporter {
	return slices.DeleteFunc(slices.Clone(s.routers), func(r reporter) bool { return s.now.Sub(r.at) > freshFor })
}

// failing: the routers that have said lately that a cell fails.
func (s *situation) failing(cell string) []reporter {
	return slices.DeleteFunc(s.fresh(), func(r reporter) bool {
		o, sees := r.cells[cell]
		return !sees || o.healthy
	})
}

func (s *situation) seeing(cell string) string {
	return fmt.Sprintf("%d of %d known routers", len(s.failing(cell)), len(s.routers))
}

func regions(routers []reporter) int {
	seen := map[ident.Region]bool{}
	for _, r := range routers {
		seen[r.region] = true
	}
	return len(seen)
}
