package router

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/cellar-commerce/cellar/cells/topology"
	"github.com/cellar-commerce/cellar/internal/ident"
	"github.com/cellar-commerce/cellar/internal/problem"
)

const (
	// maxWaiting requests for a cell that is away. Their bodies are in memory.
	maxWaiting = 1024
	// waitWindow is how long a customer's request waits for the owner to come back, or the slot to move; a move takes
	// less than a second.
	waitWindow = 1500 * time.Millisecond
	// waitStep between two looks at the map.
	waitStep = 25 * time.Millisecond
	// maxSends of one request: a try and a redirect for each step of the window, and some.
	maxSends = 128
)

// trip of one request to its answer.
type trip struct {
	router     *Router
	request    *request
	customer   ident.CustomerID
	owned      bool
	begun      time.Time
	named      *topology.Cell // by the last redirect
	cell       string         // tried last
	followed   bool           // a redirect, since the last wait
	redirected bool           // ever
	elsewhere  bool           // sent to another cell, because the first was not reached
}

// step after a try.
type step int

const (
	end   step = iota
	again      // at once
	later      // after a look at the map
)

// run until there is an answer, or a refusal of the router's own.
func (t *trip) run(ctx context.Context) (*http.Response, *problem.Problem) {
	why := errNoCell
	for range maxSends {
		resp, next, refusal := t.try(ctx)
		if next == end {
			return resp, refusal
		}
		why = refusal
		if next == later && !t.wait(ctx) {
			break
		}
	}
	return nil, why
}

// try to get an answer from one cell.
func (t *trip) try(ctx context.Context) (*http.Response, step, *problem.Problem) {
	cell := t.next()
	if cell == nil {
		return nil, t.notReached(), errNoCell
	}
	resp, err := t.send(ctx, cell)
	switch {
	case err == nil:
		hint, wrong := redirectOf(resp, t.request.grpc && t.owned)
		if !wrong {
			return resp, end, nil
		}
		_ = resp.Body.Close() // the header has said everything
		return nil, t.follow(hint), errSlotMoving
	case errors.Is(err, errGone):
		return nil, end, errGone
	case errors.Is(err, errEjected), neverSent(err):
		return nil, t.notReached(), errCellAway
	case ctx.Err() != nil:
		return nil, end, errTooLate
	default:
		return nil, end, errAnswerLost
	}
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

// notReached decides what follows when nothing was sent. Who belongs nowhere goes to one other cell: if that is not
// reached either, it is not the cell. A customer can go nowhere else and waits; but not for an owner that has been away
// for a whole window, whose slots nobody seems to be moving.
func (t *trip) notReached() step {
	switch {
	case !t.owned && (t.elsewhere || t.cell == ""):
		return end
	case !t.owned:
		t.elsewhere, t.named = true, nil
		return again
	case t.cell != "" && t.router.nodes.of(t.cell).breaker.away() > waitWindow:
		return end
	default:
		return later
	}
}

// follow a redirect at once; a second one in a row says that the slot is moving, and that the map is to be waited for.
func (t *trip) follow(hint redirect) step {
	named := t.router.table.learn(hint)
	second := t.followed
	t.redirected, t.followed, t.named = true, true, named
	switch {
	case named != nil && !second:
		return again
	case t.owned:
		return later
	default:
		return end
	}
}

var errEjected = errors.New("the cell is ejected")

// send to one cell, through its breaker.
func (t *trip) send(ctx context.Context, cell *topology.Cell) (*http.Response, error) {
	r := t.router
	t.cell = cell.ID
	n := r.nodes.of(cell.ID)
	done, ok := n.breaker.allow()
	if !ok {
		return nil, errEjected
	}
	n.inFlight.Add(1)
	t.request.left(r.deps.Clock.Now().Sub(t.begun))
	resp, err := r.transports.send(ctx, t.request, cell)
	if err == nil {
		done(nil)
		resp.Body = counted(n, resp.Body)
		return resp, nil
	}
	n.inFlight.Add(-1)
	if t.request.in.Context().Err() != nil {
		err = errGone
	}
	done(err)
	return nil, err
}

// wait a little for the cell, or the map, to change. False when it has been long enough, or too many wait.
func (t *trip) wait(ctx context.Context) bool {
	r := t.router
	defer r.waiting.Add(-1)
	if r.waiting.Add(1) > maxWaiting || r.deps.Clock.Now().Sub(t.begun) >= waitWindow {
		return false
	}
	t.named, t.followed = nil, false // ask the table again: it may know better by now
	return r.deps.Clock.Sleep(ctx, waitStep) == nil
}
