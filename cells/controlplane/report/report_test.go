package report

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/cellar-commerce/cellar/internal/clock"
	topologyv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/topology/v1"
)

// plane hears reports, or is away.
type plane struct {
	mu    sync.Mutex
	heard []*topologyv1.ReportHealthRequest
	away  bool
	tried int
}

func (p *plane) ReportHealth(_ context.Context, r *topologyv1.ReportHealthRequest) (*topologyv1.ReportHealthResponse, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.tried++
	if p.away {
		return nil, errors.New("away")
	}
	p.heard = append(p.heard, r)
	return &topologyv1.ReportHealthResponse{}, nil
}

// bench of one destination on a clock that stands still.
type bench struct {
	t       *testing.T
	clock   *clock.Manual
	plane   *plane
	to      *destination
	version uint64
	cells   []Cell
}

func newBench(t *testing.T) *bench {
	t.Helper()
	b := &bench{t: t, clock: clock.NewManual(time.Unix(1_000_000, 0)), plane: &plane{}, version: 1, cells: []Cell{{ID: "a", Healthy: true}, {ID: "b", Healthy: true}}}
	r := New(Deps{
		Name: "router/1", Region: "us-east-1", Version: func() uint64 { return b.version }, Cells: func() []Cell { return b.cells },
		Clock: b.clock, Log: slog.New(slog.NewTextHandler(io.Discard, nil)),
	})
	b.to = &destination{Reporter: r, client: b.plane, told: map[string]Cell{}}
	return b
}

// look once, some time later.
func (b *bench) look(after time.Duration) {
	b.clock.Advance(after)
	b.to.look(b.t.Context())
}

func (b *bench) expect(reports int) *topologyv1.ReportHealthRequest {
	b.t.Helper()
	if len(b.plane.heard) != reports {
		b.t.Fatalf("%d reports, want %d", len(b.plane.heard), reports)
	}
	return b.plane.heard[reports-1]
}

func TestAReportGoesOutEveryHalfSecondAndAtOnceWhenThereIsNews(t *testing.T) {
	b := newBench(t)
	b.look(0)
	if r := b.expect(1); r.GetReporter() != "router/1" || r.GetMapVersion() != 1 || len(r.GetCells()) != 2 {
		t.Errorf("got %v", r)
	}
	b.look(lookEvery)
	b.expect(1)
	b.look(every)
	b.expect(2)
	b.version = 2
	b.look(lookEvery)
	if r := b.expect(3); r.GetMapVersion() != 2 {
		t.Errorf("got %v", r)
	}
	b.cells = []Cell{{ID: "a", Healthy: false}, {ID: "b", Healthy: true}}
	b.look(lookEvery)
	if r := b.expect(4); r.GetCells()[0].GetHealthy() || !r.GetCells()[1].GetHealthy() {
		t.Errorf("got %v", r)
	}
	b.look(lookEvery)
	b.expect(4)
}

func TestWhatIsCountedIsToldOnceAlsoWhenAReportIsLost(t *testing.T) {
	b := newBench(t)
	b.cells[0].Requests, b.cells[0].Errors = 10, 1
	b.look(0)
	if c := b.expect(1).GetCells()[0]; c.GetRequests() != 10 || c.GetErrors() != 1 {
		t.Errorf("got %v", c)
	}
	b.plane.away = true
	b.cells = []Cell{{ID: "a", Healthy: true, Requests: 15, Errors: 1}, {ID: "b", Healthy: true}}
	b.look(every)
	b.plane.away = false
	b.cells = []Cell{{ID: "a", Healthy: true, Requests: 18, Errors: 3}, {ID: "b", Healthy: true}}
	b.look(every)
	if c := b.expect(2).GetCells()[0]; c.GetRequests() != 8 || c.GetErrors() != 2 {
		t.Errorf("got %v", c)
	}
}

func TestAControlPlaneThatIsAwayIsNotBesieged(t *testing.T) {
	b := newBench(t)
	b.plane.away = true
	for range 40 { // two seconds, in which everything is news
		b.version++
		b.look(50 * time.Millisecond)
	}
	if b.plane.tried < 3 || b.plane.tried > 5 {
		t.Errorf("tried %d times in two seconds", b.plane.tried)
	}
}

func TestAddressesOfASetting(t *testing.T) {
	if got := Addresses(" a:1, b:2,"); len(got) != 2 || got[0] != "a:1" || got[1] != "b:2" {
		t.Errorf("got %q", got)
	}
	if got := Addresses(""); got != nil {
		t.Errorf("got %q", got)
	}
}
