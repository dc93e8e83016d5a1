package router

import (
	"context"
	"log/slog"
	"sync/atomic"
	"time"

	"connectrpc.com/connect"

	"github.com/cellar-commerce/cellar/cells/topology"
	"github.com/cellar-commerce/cellar/internal/clock"
	"github.com/cellar-commerce/cellar/internal/ident"
)

// Results of a request that was not refused.
const (
	// Answered by the first cell that was asked.
	Answered = "answered"
	// Redirected first, then answered.
	Redirected = "redirected"
	// Cut short: the cell, the client or the deadline broke off an answer that had begun.
	Cut = "cut"
)

// Observer is told what happens to requests.
type Observer interface {
	// RequestEnded: forwarded to a cell (empty when to none), with a result: Answered, Redirected, Cut, or the reason of
	// the router's own refusal.
	RequestEnded(cell, result string, took time.Duration)
	// CellChanged: a cell's breaker is now "open", "half-open" or "closed".
	CellChanged(cell, state string)
}

type noObserver struct{}

func (noObserver) RequestEnded(string, string, time.Duration) {}
func (noObserver) CellChanged(string, string)                 {}

// Deps of a Router.
type Deps struct {
	// Region of this router: anonymous requests stay in it.
	Region ident.Region
	Maps   *topology.Holder
	Clock  clock.Clock
	Log    *slog.Logger
	// Observe may be nil.
	Observe Observer
	// Methods by their paths, such as "/cellar.search.v1.SearchService/Search", that may be sent again. A GET may be in any
	// case, and what is not in it never. May be nil.
	Methods map[string]Repeat
}

// Repeat tells when a request of a method may be sent again whose answer was lost: it may have taken effect.
type Repeat int

const (
	// Never again.
	Never Repeat = iota
	// WithKey when it is a customer's, and has the header Idempotency-Key, by which that customer's cells know it again.
	WithKey
	// WithKeyInQuery likewise, for forms of pages, which have no headers of their own: the field key of their address.
	WithKeyInQuery
	// InTurn once more, since what it has done, it does not do twice.
	InTurn
	// Freely since it does nothing: it may also be asked of two cells at once.
	Freely
)

// Router takes shoppers' requests to cells: those of HTTP/2 as an http.Handler, those of HTTP/1.1 through a Server.
type Router struct {
	deps     Deps
	table    *table
	nodes    *nodes
	two      upstreamTwo
	errors   *connect.ErrorWriter
	requests atomic.Int64 // so far
	inFlight atomic.Int64
	waiting  atomic.Int64
	held     atomic.Int64 // bytes of the bodies of those that wait
	bodies   atomic.Int64 // bytes of all bodies that memory was taken for
	draining atomic.Bool
	retries  budget
	hedges   budget
	usual    delay // within which nearly all answers come that may be asked for at once
}

// maxInFlight requests: beyond it a router only makes everybody wait.
const maxInFlight = 8192

// machine is the time by which connections wait: the kernel knows no other.
var machine clock.System

// New router; Run keeps it informed.
func New(deps Deps) *Router {
	if deps.Observe == nil {
		deps.Observe = noObserver{}
	}
	r := &Router{deps: deps, table: newTable(deps.Maps), two: newUpstreamTwo(), errors: connect.NewErrorWriter()}
	r.retries, r.hedges = budget{percent: retryPercent, clock: deps.Clock}, budget{percent: hedgePercent, clock: deps.Clock}
	r.nodes = newNodes(deps.Clock, func(cell, state string) {
		deps.Log.Warn("a cell's breaker changes", "cell", cell, "state", state)
		deps.Observe.CellChanged(cell, state)
	})
	return r
}

// Run checks the cells' health until ctx ends.
func (r *Router) Run(ctx context.Context) {
	defer r.two.close()
	defer r.nodes.close()
	newChecker(r.deps.Maps, r.nodes, r.deps.Clock).run(ctx)
}

// MapChanged tells the router that the holder has a newer map.
func (r *Router) MapChanged() {
	r.table.forget()
	r.nodes.keep(r.deps.Maps.Load())
}

// SetDraining makes /readyz answer 503, so that nobody new comes, and asks clients to leave after their next answer.
func (r *Router) SetDraining(draining bool) { r.draining.Store(draining) }

// Ready tells whether a cell of this region serves.
func (r *Router) Ready() bool {
	return !r.draining.Load() && r.nodes.anyHealthy(r.deps.Maps.Load(), r.deps.Region)
}

// Report is what this router has seen of a cell.
type Report struct {
	Cell string
	// Healthy when the cell says that it is ready, and is not ejected.
	Healthy bool
	// Since when Healthy is what it is; when the cell was first heard of, at first.
	Since time.Time
	// Requests that were sent to it, and Failures among them: it was not reached, or its answer did not come. Both count
	// from the router's start.
	Requests, Failures uint64
}

// Reports on every cell of the map, in its order; for whoever decides about cells.
func (r *Router) Reports() []Report { return r.nodes.reports(r.deps.Maps.Load()) }

// Decide which cell a request with these two fields, either of which may be empty, is taken to: the owner of the session's
// customer, or any cell that may take it. Empty when there is none. This is the look-up that every request has.
func (r *Router) Decide(authorization, cookie string) string {
	var w who
	w.authorization(authorization)
	w.cookie(cookie)
	if w.owned {
		if cell := r.table.owner(w.customer); cell != nil {
			return cell.ID
		}
		return ""
	}
	m, _ := r.nodes.pick(r.deps.Maps.Load(), r.deps.Region, "")
	return m.id()
}

// ended tells the observer about a request.
func (r *Router) ended(cell, result string, begun time.Time) {
	r.deps.Observe.RequestEnded(cell, result, r.deps.Clock.Now().Sub(begun))
}

// admit a request, unless there are too many; leave must be called in any case.
func (r *Router) admit() bool {
	r.requests.Add(1)
	return r.inFlight.Add(1) <= maxInFlight
}

func (r *Router) leave() { r.inFlight.Add(-1) }
