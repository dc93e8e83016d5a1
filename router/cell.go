package router

import (
	"maps"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cellar-commerce/cellar/cells/topology"
	"github.com/cellar-commerce/cellar/internal/clock"
	"github.com/cellar-commerce/cellar/internal/http1"
	"github.com/cellar-commerce/cellar/internal/ident"
)

// maxInFlightOfCell is how many requests one cell may have: one that is slow must not have all of the router's.
const maxInFlightOfCell = maxInFlight / 4

// node is what the router knows of one cell beside the map.
type node struct {
	breaker  *breaker
	pool     http1.Pool
	inFlight atomic.Int64 // requests whose answer is not yet through
	requests atomic.Uint64
	failed   atomic.Uint64
	healthy  atomic.Bool
	failures atomic.Int32 // checks that failed in a row

	mu       sync.Mutex
	reported bool // healthy as last told, and since when
	since    time.Time
}

// member is a cell of the map, and what the router knows of it.
type member struct {
	cell *topology.Cell
	node *node
}

func (m member) id() string {
	if m.cell == nil {
		return ""
	}
	return m.cell.ID
}

// usable for whoever belongs to no cell.
func (m member) usable(not string) bool {
	return m.cell.ID != not && m.node.healthy.Load() && !m.node.breaker.open()
}

// share of a cell among those that are asked alike.
func (m member) share() int { return max(m.cell.Weight, 1) }

// roster of a map's cells that take those who belong nowhere: drawn up once, since every such request needs it.
type roster struct {
	of              *topology.Map
	here, elsewhere []member
}

// nodes by cell.
type nodes struct {
	mu     sync.Mutex                       // of whoever changes them
	byID   atomic.Pointer[map[string]*node] // never changed, only replaced
	roster atomic.Pointer[roster]
	clock  clock.Clock
	notify func(cell, state string)
}

func newNodes(c clock.Clock, notify func(cell, state string)) *nodes {
	n := &nodes{clock: c, notify: notify}
	n.byID.Store(&map[string]*node{})
	return n
}

func (n *nodes) of(cell string) *node {
	if known := (*n.byID.Load())[cell]; known != nil {
		return known
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if known := (*n.byID.Load())[cell]; known != nil {
		return known
	}
	next := maps.Clone(*n.byID.Load())
	next[cell] = &node{breaker: newBreaker(cell, n.clock.Now, n.notify), since: n.clock.Now()}
	n.byID.Store(&next)
	return next[cell]
}

// keep only the cells of a map.
func (n *nodes) keep(m *topology.Map) {
	n.mu.Lock()
	defer n.mu.Unlock()
	next := maps.Clone(*n.byID.Load())
	for id, node := range next {
		if m.Cell(id) == nil {
			node.pool.Close()
			delete(next, id)
		}
	}
	n.byID.Store(&next)
	n.roster.Store(nil)
}

func (n *nodes) close() {
	for _, node := range *n.byID.Load() {
		node.pool.Close()
	}
}

// rosterOf a map, as seen from a region.
func (n *nodes) rosterOf(m *topology.Map, region ident.Region) *roster {
	if r := n.roster.Load(); r != nil && r.of == m {
		return r
	}
	r := &roster{of: m}
	for i := range m.Cells {
		c := &m.Cells[i]
		switch one := (member{c, n.of(c.ID)}); {
		case !c.Serves() || c.State == topology.Draining:
		case c.Region == region:
			r.here = append(r.here, one)
		default:
			r.elsewhere = append(r.elsewhere, one)
		}
	}
	n.roster.Store(r)
	return r
}

// pick a cell, other than one, for somebody who belongs to none: in this region, or elsewhere if nobody is left here.
// False when nobody is left at all. It does not allocate.
func (n *nodes) pick(m *topology.Map, region ident.Region, not string) (member, bool) {
	if m == nil {
		return member{}, false
	}
	r := n.rosterOf(m, region)
	if one, ok := choose(r.here, not); ok {
		return one, true
	}
	return choose(r.elsewhere, not)
}

// choose one by weight, and another among its equals: the less busy one, for its weight, is taken. That is nearly as good
// as knowing the least busy, without everybody running to it. A cell that is unlike all others, a canary say, keeps to
// the share of its weight.
func choose(all []member, not string) (member, bool) {
	first, ok := draw(all, not, "")
	if !ok {
		return member{}, false
	}
	second, ok := draw(all, not, first.cell.ID)
	if ok && second.cell.State == first.cell.State &&
		second.node.inFlight.Load()*int64(first.share()) < first.node.inFlight.Load()*int64(second.share()) {
		return second, true
	}
	return first, true
}

// draw one of those that are usable by weight, but neither of two.
func draw(all []member, not, nor string) (member, bool) {
	total := 0
	for _, one := range all {
		if one.cell.ID != nor && one.usable(not) {
			total += one.share()
		}
	}
	if total == 0 {
		return member{}, false
	}
	at := rand.IntN(total)
	for _, one := range all {
		if one.cell.ID == nor || !one.usable(not) {
			continue
		}
		if at -= one.share(); at < 0 {
			return one, true
		}
	}
	return member{}, false // somebody has become unusable just now
}

// anyHealthy tells whether a region has a cell that serves.
func (n *nodes) anyHealthy(m *topology.Map, region ident.Region) bool {
	if m == nil {
		return false
	}
	for _, c := range m.CellsOf(region) {
		if n.of(c.ID).healthy.Load() {
			return true
		}
	}
	return false
}

// reports on the cells of a map.
func (n *nodes) reports(m *topology.Map) []Report {
	if m == nil {
		return nil
	}
	all := make([]Report, len(m.Cells))
	for i := range m.Cells {
		all[i] = n.of(m.Cells[i].ID).report(m.Cells[i].ID, n.clock.Now())
	}
	return all
}

func (n *node) report(cell string, now time.Time) Report {
	n.mu.Lock()
	defer n.mu.Unlock()
	if healthy := n.healthy.Load() && !n.breaker.open(); healthy != n.reported {
		n.reported, n.since = healthy, now
	}
	return Report{Cell: cell, Healthy: n.reported, Since: n.since, Requests: n.requests.Load(), Failures: n.failed.Load()}
}
