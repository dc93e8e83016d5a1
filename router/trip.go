package router

import (
	"context"
	"errors"
	"net"
	"time"

	"github.com/cellar-commerce/cellar/cells/topology"
	"github.com/cellar-commerce/cellar/internal/http1"
	"github.com/cellar-commerce/cellar/internal/ident"
	"github.com/cellar-commerce/cellar/internal/problem"
)

const (
	// maxWaiting requests for a cell that is away, and maxHeld bytes of their bodies, which are in memory.
	maxWaiting = 1024
	maxHeld    = 64 << 20
	// waitWindow is how long a customer's request waits for the owner to come back, or the slot to move; a move takes
	// less than a second.
	waitWindow = 1500 * time.Millisecond
	// lostWindow is the same for one whose answer was lost, counted from then. It waits longer, since it cannot be told that
	// nothing was done: the customers of a cell that was killed are with another within two seconds.
	lostWindow = 5 * time.Second
	// waitStep between two looks at the map.
	waitStep = 25 * time.Millisecond
	// maxLosses of one request's answers: a cell that dies takes its connections with it one after the other, and whoever
	// sends again at once can meet the next.
	maxLosses = 4
	// maxSends of one request: a try and a redirect for each step of the windows, and some.
	maxSends = 640
	// watchAfter is how long an answer may take before the router looks whether its client is still there.
	watchAfter = 100 * time.Millisecond
)

// call is what the trip needs to know of a request, whatever version of HTTP it came by.
type call struct {
	customer ident.CustomerID
	owned    bool          // there is a customer
	repeat   Repeat        // when it may be sent again
	keyed    bool          // it has a key, where its method looks for one
	timeout  time.Duration // until the answer is to be through; 0 for none
	asked    bool          // the client said so itself
	size     int           // of its body
}

// carrier brings one request to cells, in its version of HTTP.
type carrier interface {
	// send the request to a cell, and tell it how much of the client's own time is left. An error for which neverSent holds
	// means that nothing of it has left.
	send(to member, left time.Duration) (attempt, error)
	// watch the client from now on: the context ends when it goes away.
	watch() context.Context
}

// attempt is a request that was sent to a cell.
type attempt interface {
	// await the head of the answer until a time: http1.ErrPatience when it has not come, and may be awaited again. The
	// context may be nil; when it ends, so does this.
	await(ctx context.Context, until time.Time) error
	// redirect that the answer is, if it is one.
	redirect() (redirect, bool)
	// drop it: whoever awaits it hears so, and nobody reads the answer.
	drop()
}

// trip of one request to its answer.
type trip struct {
	call
	router     *Router
	carrier    carrier
	begun      time.Time       // by the injected clock
	sent       time.Time       // by the machine's, as are the deadlines of connections
	until      time.Time       // the head of an answer has to be there
	ctx        context.Context // once the client is watched
	named      *topology.Cell  // by the last redirect
	cell       string          // tried last
	followed   bool            // a redirect, since the last wait
	redirected bool            // ever
	repeated   bool            // it was sent to another cell, after a failure
	losses     int             // of answers: it may have taken effect
	lostBy     string          // the cell that lost the first
	waits      time.Time       // for cell or map since then, for a window
	window     time.Duration
}

func newTrip(r *Router, c carrier, begun time.Time) trip {
	return trip{router: r, carrier: c, begun: begun, sent: machine.Now(), waits: begun, window: waitWindow}
}

// result of a trip that had an answer.
func (t *trip) result() string {
	if t.redirected {
		return Redirected
	}
	return Answered
}

// try is an attempt at one cell, counted there.
type try struct {
	attempt
	node *node
	done func(error)
}

// step after a try.
type step int

const (
	end   step = iota
	again      // at once
	later      // after a look at the map
)

// run until there is an answer, whose node is to be left when it is through; or a refusal of the router's own.
func (t *trip) run() (try, *problem.Problem) {
	why := errNoCell
	for range maxSends {
		y, next, refusal := t.try()
		if refusal != nil && t.losses > 0 && !t.tolerates(Freely) && refusal != errGone && refusal != errTooLate {
			refusal = errAnswerLost // whatever came later: none of it may say that nothing was done
		}
		if next == end {
			return y, refusal
		}
		why = refusal
		if next == later && !t.wait() {
			break
		}
	}
	return try{}, why
}

// tolerates tells whether a request may be sent again in a way.
func (t *trip) tolerates(way Repeat) bool {
	return t.repeat >= way || way == InTurn && t.keyed && t.owned
}

// try to get an answer from one cell.
func (t *trip) try() (try, step, *problem.Problem) {
	to, ok := t.next()
	if !ok {
		return try{}, t.notReached(), errNoCell
	}
	t.cell = to.cell.ID
	y, err := t.ask(to)
	switch {
	case err == nil:
		hint, wrong := y.redirect()
		if !wrong {
			return y, end, nil
		}
		y.drop() // the header has said everything
		y.node.inFlight.Add(-1)
		return try{}, t.follow(hint), errSlotMoving
	case errors.Is(err, errGone):
		return try{}, end, errGone
	case errors.Is(err, errBusy):
		if !t.owned && t.another() {
			return try{}, again, errBusy
		}
		return try{}, end, errBusy
	case errors.Is(err, errEjected), neverSent(err):
		return try{}, t.notReached(), errCellAway
	case errors.Is(err, http1.ErrPatience), errors.Is(err, context.DeadlineExceeded):
		return try{}, end, errTooLate
	default:
		return try{}, t.answerLost(), errAnswerLost
	}
}

// answerLost: nothing of it has reached the client, so that whatever may be sent again is. A customer's request goes to the
// owner, at once and then after looks at the map; but to no third cell when two have lost it, since it may be what they die of.
func (t *trip) answerLost() step {
	if !t.tolerates(InTurn) {
		return end
	}
	t.losses++
	first := t.losses == 1
	if first {
		t.lostBy, t.waits, t.window = t.cell, t.router.deps.Clock.Now(), lostWindow
	}
	if !t.owned {
		if t.another() {
			return again
		}
		return end
	}
	if t.cell != t.lostBy || t.losses == maxLosses || !t.router.retries.spend(t.router.requests.Load()) {
		return end
	}
	t.named = nil
	if first {
		return again
	}
	return later
}

// next cell to try; false when there is none right now.
func (t *trip) next() (member, bool) {
	cell := t.named
	switch {
	case cell != nil:
	case t.owned:
		cell = t.router.table.owner(t.customer)
	default:
		return t.router.nodes.pick(t.router.deps.Maps.Load(), t.router.deps.Region, t.cell)
	}
	if cell == nil {
		return member{}, false
	}
	return member{cell, t.router.nodes.of(cell.ID)}, true
}

// another cell after a failure: one for each request, and not for too many of them.
func (t *trip) another() bool {
	if t.repeated || !t.router.retries.spend(t.router.requests.Load()) {
		return false
	}
	t.repeated, t.named = true, nil
	return true
}

// notReached decides what follows when nothing was sent. Who belongs nowhere goes to one other cell: if that is not
// reached either, it is not the cell. A customer can go nowhere else and waits; but not for an owner that has been away
// for a whole window, whose slots nobody seems to be moving.
func (t *trip) notReached() step {
	switch {
	case !t.owned && (t.cell == "" || !t.another()):
		return end
	case !t.owned:
		return again
	case t.cell != "" && t.router.nodes.of(t.cell).breaker.away() > t.window:
		return end
	default:
		return later
	}
}

// follow a redirect at once; a second one in a row says that the slot is moving, and that the map is to be waited for.
func (t *trip) follow(hint redirect) step {
	if hint.customer != t.customer && hint.customer != "" {
		hint.customer, hint.epoch = "", 0 // about somebody else: it is followed and not learnt
	}
	if hint.customer == "" && t.owned {
		t.router.table.unpin(t.customer)
	}
	named := t.router.table.learn(hint)
	second := t.followed
	t.redirected, t.followed, t.named = true, true, named
	if named != nil && !second {
		return again
	}
	return later // also who belongs nowhere: cells make customers in slots that have just left them
}

var (
	errEjected = errors.New("the cell is ejected")
	errUnsent  = errors.New("nothing of the request was sent")
)

// neverSent tells whether a request failed before anything of it left.
func neverSent(err error) bool {
	op, ok := errors.AsType[*net.OpError](err)
	return ok && op.Op == "dial" || errors.Is(err, errUnsent)
}

// ask a cell, through its breaker, and another one if that may be and it takes long.
func (t *trip) ask(to member) (try, error) {
	y, err := t.begin(to)
	if err != nil {
		return y, err
	}
	patience := watchAfter
	if t.tolerates(Freely) && !t.owned {
		patience = t.router.usual.get()
	}
	if err = y.await(t.ctx, earlier(t.sent.Add(patience), t.until)); errors.Is(err, http1.ErrPatience) {
		t.ctx = t.carrier.watch()
		if second, ok := t.hedge(to); ok {
			return t.race(y, second)
		}
		err = y.await(t.ctx, t.until)
	}
	return y, t.ended(y, err)
}

// begin a try. Whoever begins it has to end it.
func (t *trip) begin(to member) (try, error) {
	y := try{node: to.node}
	var ok bool
	if y.done, ok = to.node.breaker.allow(); !ok {
		return y, errEjected
	}
	if to.node.inFlight.Add(1) > maxInFlightOfCell {
		to.node.inFlight.Add(-1)
		to.node.breaker.ended(y.done, errGone) // it says nothing about the cell's health
		return y, errBusy
	}
	to.node.requests.Add(1)
	var left time.Duration
	if t.asked || t.losses > 0 && t.timeout > 0 { // a cell that is asked later has less time than it would take by itself
		left = max(time.Millisecond, t.timeout-t.router.deps.Clock.Now().Sub(t.begun))
	}
	var err error
	if y.attempt, err = t.carrier.send(to, left); err != nil {
		return y, t.ended(y, err)
	}
	return y, nil
}

// ended tells the breaker how a try went, and leaves the cell if no answer is to be read.
func (t *trip) ended(y try, err error) error {
	if err == nil {
		y.node.breaker.ended(y.done, nil)
		if t.tolerates(Freely) {
			t.router.usual.saw(machine.Now().Sub(t.sent))
		}
		return nil
	}
	y.node.inFlight.Add(-1)
	if t.ctx != nil && t.ctx.Err() != nil {
		err = errGone
	} else {
		y.node.failed.Add(1)
	}
	if y.attempt != nil {
		y.drop()
	}
	y.node.breaker.ended(y.done, err)
	return err
}

// hedge: another cell for an answer that takes longer than nearly all, if it may be asked for twice.
func (t *trip) hedge(first member) (member, bool) {
	if !t.tolerates(Freely) || t.owned {
		return member{}, false
	}
	to, ok := t.router.nodes.pick(t.router.deps.Maps.Load(), t.router.deps.Region, first.cell.ID)
	if !ok || to.cell.Region != first.cell.Region || !t.router.hedges.spend(t.router.requests.Load()) {
		return member{}, false
	}
	return to, true
}

// race the first try against a second: the one that answers first is taken.
func (t *trip) race(first try, to member) (try, error) {
	second, err := t.begin(to)
	if err != nil {
		return first, t.ended(first, first.await(t.ctx, t.until))
	}
	type result struct {
		try
		err error
	}
	results := make(chan result, 2)
	for _, y := range []try{first, second} {
		go func() { results <- result{y, y.await(t.ctx, t.until)} }()
	}
	r := <-results
	if r.err != nil { // the other may still answer
		_ = t.ended(r.try, r.err)
		r = <-results
	} else {
		loser := first
		if r.node == first.node {
			loser = second
		}
		loser.drop()
		<-results
		loser.node.inFlight.Add(-1)
		loser.node.breaker.ended(loser.done, errGone)
	}
	if r.node == to.node {
		t.cell = to.cell.ID
	}
	return r.try, t.ended(r.try, r.err)
}

func earlier(a, b time.Time) time.Time {
	if b.IsZero() || a.Before(b) {
		return a
	}
	return b
}

// wait a little for the cell, or the map, to change. False when it has been long enough, or too many wait.
func (t *trip) wait() bool {
	r := t.router
	defer r.waiting.Add(-1)
	defer r.held.Add(-int64(t.size))
	waiting, held := r.waiting.Add(1), r.held.Add(int64(t.size))
	if waiting > maxWaiting || held > maxHeld || r.deps.Clock.Now().Sub(t.waits) >= t.window {
		return false
	}
	t.named, t.followed = nil, false // ask the table again: it may know better by now
	t.ctx = t.carrier.watch()
	ctx, cancel := context.WithDeadline(t.ctx, t.until)
	defer cancel()
	return r.deps.Clock.Sleep(ctx, waitStep) == nil
}
