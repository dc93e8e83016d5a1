package router

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"sync/atomic"
	"time"

	"connectrpc.com/connect"

	"github.com/cellar-commerce/cellar/cells/topology"
	"github.com/cellar-commerce/cellar/internal/clock"
	"github.com/cellar-commerce/cellar/internal/ident"
	"github.com/cellar-commerce/cellar/internal/problem"
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
}

// Router is an http.Handler for shoppers' requests.
type Router struct {
	deps       Deps
	table      *table
	nodes      *nodes
	transports transports
	errors     *connect.ErrorWriter
	inFlight   atomic.Int64
	waiting    atomic.Int64
	draining   atomic.Bool
}

var _ http.Handler = (*Router)(nil)

// maxInFlight requests: beyond it a router only makes everybody wait.
const maxInFlight = 8192

// New router; Run keeps it informed.
func New(deps Deps) *Router {
	if deps.Observe == nil {
		deps.Observe = noObserver{}
	}
	r := &Router{deps: deps, table: newTable(deps.Maps), transports: newTransports(), errors: connect.NewErrorWriter()}
	r.nodes = newNodes(deps.Clock, func(cell, state string) {
		deps.Log.Warn("a cell's breaker changes", "cell", cell, "state", state)
		deps.Observe.CellChanged(cell, state)
	})
	return r
}

// Run checks the cells' health until ctx ends.
func (r *Router) Run(ctx context.Context) {
	defer r.transports.close()
	newChecker(r.deps.Maps, r.nodes, r.deps.Clock).run(ctx)
}

// MapChanged tells the router that the holder has a newer map.
func (r *Router) MapChanged() {
	r.table.forget()
	r.nodes.keep(r.deps.Maps.Load())
}

// SetDraining makes /readyz answer 503, so that nobody new comes.
func (r *Router) SetDraining(draining bool) { r.draining.Store(draining) }

// Ready tells whether a cell of this region serves.
func (r *Router) Ready() bool {
	return !r.draining.Load() && r.nodes.anyHealthy(r.deps.Maps.Load(), r.deps.Region)
}

// ServeHTTP implements http.Handler.
func (r *Router) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	switch req.URL.Path {
	case "/livez":
		_, _ = io.WriteString(w, "ok\n") // the caller may have gone
		return
	case "/readyz":
		if !r.Ready() {
			http.Error(w, "no cell of this region serves", http.StatusServiceUnavailable)
			return
		}
		_, _ = io.WriteString(w, "ok\n")
		return
	}
	start := r.deps.Clock.Now()
	cell, result := r.serve(w, req)
	r.deps.Observe.RequestEnded(cell, result, r.deps.Clock.Now().Sub(start))
	if result == Cut {
		// The status is out already: breaking the connection is the only way to say that this is not all.
		panic(http.ErrAbortHandler)
	}
}

// serve a request, and tell which cell had it last and how it ended.
func (r *Router) serve(w http.ResponseWriter, in *http.Request) (cell, result string) {
	defer r.inFlight.Add(-1)
	if r.inFlight.Add(1) > maxInFlight {
		r.refuse(w, in, errOverloaded)
		return "", errOverloaded.Reason
	}
	req, err := read(in)
	if err != nil {
		p := problem.As(err)
		if p == nil {
			p = problem.Wrap(err, problem.Invalid, "BODY_UNREADABLE", "the request's body could not be read")
		}
		r.refuse(w, in, p)
		return "", p.Reason
	}
	ctx, cancel := in.Context(), context.CancelFunc(func() {})
	if req.timeout > 0 {
		ctx, cancel = context.WithTimeout(ctx, req.timeout+deadlineSlack)
	}
	defer cancel()
	t := &trip{router: r, request: req, begun: r.deps.Clock.Now()}
	t.customer, t.owned = customerOf(in.Header)
	resp, refusal := t.run(ctx)
	if refusal != nil {
		r.refuse(w, in, refusal)
		return t.cell, refusal.Reason
	}
	if err := answer(w, resp, req.streams); err != nil {
		if in.Context().Err() == nil {
			r.deps.Log.Warn("an answer was cut short", "cell", t.cell, "error", err)
		}
		return t.cell, Cut
	}
	if t.redirected {
		return t.cell, Redirected
	}
	return t.cell, Answered
}
