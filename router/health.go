package router

import (
	"context"
	"io"
	"net/http"
	"sync"
	"time"

	"github.com/cellar-commerce/cellar/cells/topology"
	"github.com/cellar-commerce/cellar/internal/clock"
)

const (
	// checkEvery and checkTimeout bound how late a cell that hangs, or drains, is noticed; the second is the less, so
	// that one that hangs does not make the rounds slower.
	checkEvery   = 500 * time.Millisecond
	checkTimeout = 400 * time.Millisecond
	// unhealthyAfter checks in a row without an answer: one lost packet is no outage.
	unhealthyAfter = 2
	// maxHealthBody is read of an answer, so that its connection can be used again.
	maxHealthBody = 1 << 10
)

// verdict of one check.
type verdict int

const (
	silent   verdict = iota // no answer
	ready                   // 200
	notReady                // any other: the cell itself says that it should get nothing new
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
	for {
		begun := c.clock.Now()
		c.round(ctx)
		if c.clock.Sleep(ctx, checkEvery-c.clock.Now().Sub(begun)) != nil {
			return
		}
	}
}

// round asks every cell once, all at the same time.
func (c *checker) round(ctx context.Context) {
	m := c.maps.Load()
	if m == nil {
		return
	}
	var wg sync.WaitGroup
	for i := range m.Cells {
		cell := &m.Cells[i]
		wg.Go(func() { c.nodes.of(cell.ID).checked(c.ask(ctx, cell)) })
	}
	wg.Wait()
}

// checked takes a verdict. Silence may be the network's and must be repeated; "not ready" is believed at once, since
// the cell closes its listener a moment after it has said so.
func (n *node) checked(v verdict) {
	switch v {
	case ready:
		n.failures.Store(0)
		n.healthy.Store(true)
	case notReady:
		n.healthy.Store(false)
	default:
		if n.failures.Add(1) >= unhealthyAfter {
			n.healthy.Store(false)
		}
	}
}

func (c *checker) ask(ctx context.Context, cell *topology.Cell) verdict {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+cell.Admin+"/readyz", nil)
	if err != nil {
		return silent
	}
	resp, err := c.client.Do(req)
	if err != nil {
		return silent
	}
	defer resp.Body.Close()
	_, _ = io.CopyN(io.Discard, resp.Body, maxHealthBody) // nothing of it is of interest
	if resp.StatusCode == http.StatusOK {
		return ready
	}
	return notReady
}
