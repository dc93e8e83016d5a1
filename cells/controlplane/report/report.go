// Package report tells control planes which map a process has and, of a router, what it sees of cells. Whoever reports asks
// for nothing and waits for nobody: a control plane that is gone is told again later, and nothing else depends on it.
//
// Every control plane is told, standbys too, so that one that takes over is not blind.
package report

import (
	"context"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/cellar-commerce/cellar/internal/clock"
	topologyv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/topology/v1"
	"github.com/cellar-commerce/cellar/internal/gen/cellar/topology/v1/topologyv1connect"
	"github.com/cellar-commerce/cellar/internal/ident"
	"github.com/cellar-commerce/cellar/internal/rpc"
)

const (
	// every so often a report goes out, whatever there is to say; a control plane believes one for three seconds.
	every = 500 * time.Millisecond
	// lookEvery bounds how late a change is told: a new map, or a cell that is ejected or back.
	lookEvery = 25 * time.Millisecond
	// timeout of a report: the next one is more use than one that is late.
	timeout = time.Second
)

// Cell as a router sees it.
type Cell struct {
	ID      string
	Healthy bool
	// Requests that were sent to it, and Errors among them, since the router's start.
	Requests, Errors uint64
}

// Deps of a Reporter.
type Deps struct {
	// Name of this process, unique in the platform, and its region.
	Name   string
	Region ident.Region
	// To are the addresses of the control planes, host:port.
	To []string
	// Peers shows the platform's key.
	Peers *http.Client
	// Version of the map that this process follows; 0 for none.
	Version func() uint64
	// Cells that this process sees; nil for a process that sees none.
	Cells func() []Cell
	Clock clock.Clock
	Log   *slog.Logger
}

// Reporter of one process.
type Reporter struct{ deps Deps }

// New reporter.
func New(deps Deps) *Reporter { return &Reporter{deps: deps} }

// Run reports until ctx ends.
func (r *Reporter) Run(ctx context.Context) {
	var wg sync.WaitGroup
	for _, address := range r.deps.To {
		to := &destination{
			Reporter: r, address: address, told: map[string]Cell{},
			client: topologyv1connect.NewTopologyServiceClient(r.deps.Peers, "http://"+address, rpc.ClientOptions()...),
		}
		wg.Go(func() { to.run(ctx) })
	}
	wg.Wait()
}

// destination is one control plane, and what it has been told last.
type destination struct {
	*Reporter
	address string
	client  interface {
		ReportHealth(context.Context, *topologyv1.ReportHealthRequest) (*topologyv1.ReportHealthResponse, error)
	}

	version uint64
	told    map[string]Cell
	at      time.Time
	failing bool
}

func (d *destination) run(ctx context.Context) {
	for {
		d.look(ctx)
		if d.deps.Clock.Sleep(ctx, lookEvery) != nil {
			return
		}
	}
}

// look whether there is something to tell. Whoever was away is told at the usual times only.
func (d *destination) look(ctx context.Context) {
	now := d.deps.Clock.Now()
	version, cells := d.deps.Version(), d.cells()
	if now.Sub(d.at) >= every || (!d.failing && d.news(version, cells)) {
		d.tell(ctx, now, version, cells)
	}
}

func (d *destination) cells() []Cell {
	if d.deps.Cells == nil {
		return nil
	}
	return d.deps.Cells()
}

// news that cannot wait for the next report.
func (d *destination) news(version uint64, cells []Cell) bool {
	if version != d.version {
		return true
	}
	for _, c := range cells {
		if before, known := d.told[c.ID]; !known || before.Healthy != c.Healthy {
			return true
		}
	}
	return false
}

// tell what there is, whether it is heard or not: what was counted goes into the next report if this one is lost.
func (d *destination) tell(ctx context.Context, now time.Time, version uint64, cells []Cell) {
	req := &topologyv1.ReportHealthRequest{Reporter: d.deps.Name, Region: string(d.deps.Region), MapVersion: version}
	for _, c := range cells {
		before := d.told[c.ID]
		req.Cells = append(req.Cells, &topologyv1.CellReport{
			CellId: c.ID, Healthy: c.Healthy, Requests: int64(c.Requests - before.Requests), Errors: int64(c.Errors - before.Errors),
		})
	}
	d.at = now
	calling, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	_, err := d.client.ReportHealth(calling, req)
	if err != nil {
		if ctx.Err() == nil && !d.failing {
			d.deps.Log.WarnContext(ctx, "a control plane is not to be reached; nothing here needs it", "address", d.address, "error", err)
		}
		d.failing = true
		return
	}
	d.failing = false
	d.version = version
	clear(d.told)
	for _, c := range cells {
		d.told[c.ID] = c
	}
}

// Addresses of control planes in a setting: separated by commas; none for an empty one.
func Addresses(setting string) (all []string) {
	for address := range strings.SplitSeq(setting, ",") {
		if address = strings.TrimSpace(address); address != "" {
			all = append(all, address)
		}
	}
	return all
}
