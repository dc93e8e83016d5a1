package router

import (
	"context"
	"math/rand/v2"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cellar-commerce/cellar/cells/topology"
	"github.com/cellar-commerce/cellar/internal/clock"
	"github.com/cellar-commerce/cellar/internal/ident"
)

// node is what the router knows of one cell beside the map.
type node struct {
	breaker  *breaker
	inFlight atomic.Int64
	healthy  atomic.Bool
	failures atomic.Int32 // checks that failed in a row
}

// nodes by cell.
type nodes struct {
	mu     sync.RWMutex
	byID   map[string]*node
	notify func(cell, state string)
}

func newNodes(notify func(cell, state string)) *nodes {
	return &nodes{byID: map[string]*node{}, notify: notify}
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
		n.byID[cell] = &node{breaker: newBreaker(cell, n.notify)}
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

// pick a cell for somebody who belongs to none: in this region, or elsewhere if nobody is left here. Of two drawn at
// random the less busy one: nearly as good as knowing the least busy, without everybody running to it.
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
	if len(here) == 0 {
		return nil
	}
	a, b := here[rand.IntN(len(here))], here[rand.IntN(len(here))]
	if n.of(b.ID).inFlight.Load() < n.of(a.ID).inFlight.Load() {
		return b
	}
	return a
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

const (
	// checkEvery and checkTimeout bound how late a cell that hangs, or drains, is noticed.
	checkEvery   = 500 * time.Millisecond
	checkTimeout = 400 * time.Millisecond
	// unhealthyAfter failures in a row: one lost packet is no outage.
	unhealthyAfter = 2
)

// checker asks every cell's admin listener whether it is ready.
type checker struct {
	maps   *topology.Holder
	nodes  *nodes
	clock  clock.Clock
	client *http.Client
}

func newChecker(maps *topology.Holder, n *nodes, c clock.Clock) *checker {
	return &checker{maps: maps, nodes: n, clock: c, client: &http.Client{
		Timeout: checkTimeout, Transport: &http.Transport{MaxIdleConnsPerHost: 1, IdleConnTimeout: 30 * time.Second},
	}}
}

// run until ctx ends.
func (c *checker) run(ctx context.Context) {
	defer c.client.CloseIdleConnections()
	for ctx.Err() == nil {
		c.round(ctx)
		if c.clock.Sleep(ctx, checkEvery) != nil {
			return
		}
	}
}

// round asks every cell once.
func (c *checker) round(ctx context.Context) {
	m := c.maps.Load()
	if m == nil {
		return
	}
	var wg sync.WaitGroup
	for i := range m.Cells {
		cell := &m.Cells[i]
		wg.Go(func() { c.nodes.of(cell.ID).checked(c.ready(ctx, cell)) })
	}
	wg.Wait()
}

func (n *node) checked(ok bool) {
	if ok {
		n.failures.Store(0)
		n.healthy.Store(true)
		return
	}
	if n.failures.Add(1) >= unhealthyAfter {
		n.healthy.Store(false)
	}
}

func (c *checker) ready(ctx context.Context, cell *topology.Cell) bool {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+cell.Admin+"/readyz", nil)
	if err != nil {
		return false
	}
	resp, err := c.client.Do(req)
	if err != nil {
		return false
	}
	_ = resp.Body.Close() // nothing of it is of interest
	return resp.StatusCode == http.StatusOK
}
