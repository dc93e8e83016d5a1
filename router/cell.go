package router

import (
	"math/rand/v2"
	"sync"
	"sync/atomic"

	"github.com/cellar-commerce/cellar/cells/topology"
	"github.com/cellar-commerce/cellar/internal/clock"
	"github.com/cellar-commerce/cellar/internal/ident"
)

// node is what the router knows of one cell beside the map.
type node struct {
	breaker  *breaker
	inFlight atomic.Int64 // requests whose answer is not yet through
	healthy  atomic.Bool
	failures atomic.Int32 // checks that failed in a row
}

// nodes by cell.
type nodes struct {
	mu     sync.RWMutex
	byID   map[string]*node
	clock  clock.Clock
	notify func(cell, state string)
}

func newNodes(c clock.Clock, notify func(cell, state string)) *nodes {
	return &nodes{byID: map[string]*node{}, clock: c, notify: notify}
}

func (n *nodes) of(cell string) *node {
	n.mu.RLock()
	known := n.byID[cell]
	n.mu.RUnlock()
	if known != nil {
		return known
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.byID[cell] == nil {
		n.byID[cell] = &node{breaker: newBreaker(cell, n.clock.Now, n.notify)}
	}
	return n.byID[cell]
}

// keep only the cells of a map.
func (n *nodes) keep(m *topology.Map) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for id := range n.byID {
		if m.Cell(id) == nil {
			delete(n.byID, id)
		}
	}
}

// pick a cell, other than one, for somebody who belongs to none: in this region, or elsewhere if nobody is left here.
// Nil when nobody is left at all. Of two drawn at random the less busy one: nearly as good as knowing the least busy,
// without everybody running to it.
func (n *nodes) pick(m *topology.Map, region ident.Region, not string) *topology.Cell {
	if m == nil {
		return nil
	}
	var here, elsewhere []*topology.Cell
	for i := range m.Cells {
		c := &m.Cells[i]
		if c.State != topology.Active || c.ID == not {
			continue
		}
		node := n.of(c.ID)
		if !node.healthy.Load() || node.breaker.open() {
			continue
		}
		if c.Region == region {
			here = append(here, c)
		} else {
			elsewhere = append(elsewhere, c)
		}
	}
	if len(here) == 0 {
		here = elsewhere
	}
	switch len(here) {
	case 0:
		return nil
	case 1:
		return here[0]
	}
	first := rand.IntN(len(here))
	second := (first + 1 + rand.IntN(len(here)-1)) % len(here) // never the first again
	if n.of(here[second].ID).inFlight.Load() < n.of(here[first].ID).inFlight.Load() {
		return here[second]
	}
	return here[first]
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
