package controlplane

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/cellar-commerce/cellar/cells/topology"
	"github.com/cellar-commerce/cellar/internal/clock"
	"github.com/cellar-commerce/cellar/internal/telemetry"
)

const (
	// probeEvery bounds how late a cell that is gone is noticed.
	probeEvery = 200 * time.Millisecond
	// probeTimeout of one probe. It is long: whoever takes it is slow, not dead, and is not moved in a hurry.
	probeTimeout = time.Second
	// maxProbeBody is read of an answer, so that its connection can be used again.
	maxProbeBody = 1 << 10
)

// prober looks at one cell.
type prober func(ctx context.Context, cell *topology.Cell) sight

// newProber asks cells' admin listeners whether they are ready. Each probe connects anew: a connection that is kept would
// only show that it was good once.
func newProber() prober {
	client := &http.Client{Timeout: probeTimeout, Transport: &http.Transport{DisableKeepAlives: true}}
	return func(ctx context.Context, cell *topology.Cell) sight {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+cell.Admin+"/readyz", nil)
		if err != nil {
			return silent
		}
		resp, err := client.Do(req)
		if errors.Is(err, syscall.ECONNREFUSED) {
			return refused
		}
		if err != nil {
			return silent
		}
		defer resp.Body.Close()
		body, err := io.ReadAll(io.LimitReader(resp.Body, maxProbeBody))
		switch {
		case err != nil:
			return silent
		case resp.StatusCode == http.StatusOK:
			return ready
		case strings.TrimSpace(string(body)) == telemetry.Draining:
			return draining
		default:
			return starting
		}
	}
}

// probes of every cell of the map, each in turn of its own: one that hangs holds up no other.
type probes struct {
	feed  *feed
	board *board
	probe prober
	clock clock.Clock
	// observe is told how many reporters there are, and how many have spoken lately.
	observe func(known, fresh int)

	mu      sync.Mutex
	pending map[string]bool
}

// run until ctx ends.
func (p *probes) run(ctx context.Context) {
	var wg sync.WaitGroup
	defer wg.Wait()
	for {
		p.round(ctx, &wg)
		if p.clock.Sleep(ctx, probeEvery) != nil {
			return
		}
	}
}

// round begins a probe of each cell whose last one has ended.
func (p *probes) round(ctx context.Context, wg *sync.WaitGroup) {
	held := p.feed.newest()
	if held == nil {
		return
	}
	ids := make([]string, len(held.m.Cells))
	for i := range held.m.Cells {
		cell := &held.m.Cells[i]
		ids[i] = cell.ID
		if !p.begin(cell.ID) {
			continue
		}
		began := p.clock.Now()
		wg.Go(func() {
			defer p.end(cell.ID)
			if s := p.probe(ctx, cell); ctx.Err() == nil {
				p.board.saw(cell.ID, s, began)
			}
		})
	}
	p.board.keep(ids)
	p.observe(p.board.reporting())
}

func (p *probes) begin(cell string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.pending[cell] {
		return false
	}
	p.pending[cell] = true
	return true
}

func (p *probes) end(cell string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.pending, cell)
}
