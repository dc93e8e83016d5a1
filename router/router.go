package router

import (
	"context"
	"errors"
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

// Observer is told what happens to requests.
type Observer interface {
	// RequestEnded: forwarded to a cell (empty when to none), with a result: "answered", "redirected", or the reason of
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

// New router; Run keeps it informed.
func New(deps Deps) *Router {
	if deps.Observe == nil {
		deps.Observe = noObserver{}
	}
	r := &Router{deps: deps, table: newTable(deps.Maps), transports: newTransports(), errors: newErrorWriter()}
	r.nodes = newNodes(func(cell, state string) {
		deps.Log.Warn("a cell's breaker changes", "cell", cell, "state", state)
		deps.Observe.CellChanged(cell, state)
	})
	return r
}

const (
	// maxInFlight requests: beyond it a router only makes everybody wait.
	maxInFlight = 8192
	// maxWaiting requests for a cell that is away. Their bodies are in memory.
	maxWaiting = 1024
	// waitWindow is how long a customer's request waits for the owner to come back, or the slot to move.
	waitWindow = 1500 * time.Millisecond
	// waitStep between two looks at the map.
	waitStep = 25 * time.Millisecond
	// maxSends of one request, redirects and repetitions together.
	maxSends = 64
)

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
	ctx := in.Context()
	if d, limited := req.deadline(); limited {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, d)
		defer cancel()
	}
	t := &trip{router: r, request: req, until: r.deps.Clock.Now().Add(waitWindow)}
	t.customer, t.owned = customerOf(req.header)
	resp, refusal := t.run(ctx)
	if refusal != nil {
		r.refuse(w, in, refusal)
		return t.cell, refusal.Reason
	}
	if err := answer(w, resp, req.streams); err != nil && ctx.Err() == nil {
		r.deps.Log.Warn("an answer was cut short", "cell", t.cell, "error", err)
		// The status is out already: cutting the connection is the only way to say so.
		panic(http.ErrAbortHandler)
	}
	if t.redirected {
		return t.cell, "redirected"
	}
	return t.cell, "answered"
}

// trip of one request to its answer.
type trip struct {
	router     *Router
	request    *request
	customer   ident.CustomerID
	owned      bool
	until      time.Time
	named      *topology.Cell // by the last redirect
	cell       string         // tried last
	redirected bool
	followed   bool // a redirect, since the last wait
}

// run until there is an answer, or a refusal of the router's own.
func (t *trip) run(ctx context.Context) (*http.Response, *problem.Problem) {
	why := errNoCell
	for range maxSends {
		cell := t.next()
		if cell == nil {
			if !t.wait(ctx) {
				return nil, why
			}
			continue
		}
		resp, err := t.send(ctx, cell)
		switch {
		case err == nil:
			hint, wrong := parseRedirect(resp.Header.Get(redirectHeader))
			if !wrong {
				return resp, nil
			}
			_ = resp.Body.Close() // the header has said everything
			why = errSlotMoving
			if t.follow(hint) {
				continue
			}
		case errors.Is(err, errEjected):
			why = errCellAway
		case neverSent(err):
			why = errCellAway
			if !t.owned && t.named == nil {
				continue // another cell will do
			}
		case ctx.Err() != nil:
			return nil, problem.Wrap(err, problem.Unavailable, "DEADLINE_EXCEEDED", "the cell took too long; the request may have taken effect")
		case t.request.repeatable:
			why = errAnswerLost
		default:
			return nil, errAnswerLost
		}
		if !t.wait(ctx) {
			return nil, why
		}
	}
	return nil, why
}

// next cell to try; nil when there is none right now.
func (t *trip) next() *topology.Cell {
	switch {
	case t.named != nil:
		return t.named
	case t.owned:
		return t.router.table.owner(t.customer)
	default:
		return t.router.nodes.pick(t.router.deps.Maps.Load(), t.router.deps.Region, t.cell)
	}
}

// follow a redirect at once; a second one in a row says that the slot is moving, and that the map is to be waited for.
func (t *trip) follow(hint redirect) bool {
	named := t.router.table.learn(hint)
	again := t.followed
	t.redirected, t.followed = true, true
	if named == nil || again {
		t.named = nil
		return false
	}
	t.named = named
	return true
}

var errEjected = errors.New("the cell is ejected")

// send to one cell, through its breaker.
func (t *trip) send(ctx context.Context, cell *topology.Cell) (*http.Response, error) {
	t.cell = cell.ID
	n := t.router.nodes.of(cell.ID)
	done, ok := n.breaker.allow()
	if !ok {
		return nil, errEjected
	}
	n.inFlight.Add(1)
	defer n.inFlight.Add(-1)
	resp, err := t.router.transports.send(ctx, t.request, cell)
	if err != nil && ctx.Err() != nil {
		done(nil) // a client that goes, or is impatient, is no fault of the cell
		return nil, err
	}
	done(err)
	return resp, err
}

// wait a little for the cell, or the map, to change. False when it has been long enough, or too many wait.
func (t *trip) wait(ctx context.Context) bool {
	r := t.router
	defer r.waiting.Add(-1)
	if r.waiting.Add(1) > maxWaiting || !r.deps.Clock.Now().Before(t.until) {
		return false
	}
	t.named, t.followed = nil, false // ask the table again: it may know better by now
	if !t.owned {
		t.cell = "" // every cell may be tried again
	}
	return r.deps.Clock.Sleep(ctx, waitStep) == nil
}
