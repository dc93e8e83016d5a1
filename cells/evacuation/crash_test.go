package evacuation

import (
	"context"
	"errors"
	"math/rand/v2"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cellar-commerce/cellar/internal/clock"
	topologyv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/topology/v1"
	"github.com/cellar-commerce/cellar/internal/ident"
	"github.com/cellar-commerce/cellar/internal/problem"
	"github.com/cellar-commerce/cellar/internal/sqldb"
	"github.com/cellar-commerce/cellar/internal/sqldb/sqldbtest"
)

// sizeOf a proof: what an environment variable says, or a little.
func sizeOf(t *testing.T, name string, little int) int {
	t.Helper()
	text := os.Getenv(name)
	if text == "" {
		return little
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		t.Fatalf("%s is %q, not a number from 1", name, text)
	}
	return n
}

var errCrash = errors.New("the process is gone")

// fate of a leader.
type fate struct {
	// crashAt the n-th point, pauseAt it, or neither for 0.
	crashAt, pauseAt int64
	// cutAfter so long, in the middle of whatever it does; 0 for never.
	cutAfter time.Duration
	// loseAnswer of the n-th commit; 0 for none.
	loseAnswer int64
}

// leader is a process that drives moves. Leaders share what connections are idle; those that one is using when it dies are
// cut with it, in the middle of a statement.
type leader struct {
	moves  *Moves
	crash  context.CancelFunc
	ended  chan struct{}
	paused chan struct{}
	thaw   chan struct{}
}

// driven databases: connections of leaders. Answers of commits are lost when it is their time.
type driven struct {
	global, customers *sqldb.DB
	// losing is how many commits from now the answer is lost; not above 0 for never.
	losing atomic.Int64
}

func newDriven(w *world) *driven {
	d := &driven{}
	faults := sqldbtest.WithFaults(func(p sqldb.Point) error {
		if p == sqldb.AfterCommit && d.losing.Add(-1) == 0 {
			return errCrash
		}
		return nil
	})
	d.global = sqldbtest.Reopen(w.t, sqldb.Global, w.globalURL, faults)
	d.customers = sqldbtest.Reopen(w.t, sqldb.Customer, w.customersURL, faults)
	return d
}

// lead until the leader's fate, or stop.
func (w *world) lead(f fate, at func()) *leader {
	w.t.Helper()
	ctx, crash := context.WithCancel(w.background)
	l := &leader{crash: crash, ended: make(chan struct{}), paused: make(chan struct{}), thaw: make(chan struct{})}
	var points atomic.Int64
	w.driven.losing.Store(f.loseAnswer)
	l.moves = New(w.deps(w.driven.global, w.driven.customers))
	l.moves.at = func(ctx context.Context, _ string) error {
		at()
		switch points.Add(1) {
		case f.crashAt:
			crash()
			return errCrash
		case f.pauseAt:
			close(l.paused)
			select {
			case <-l.thaw:
			case <-ctx.Done():
			}
		}
		return nil
	}
	if f.cutAfter > 0 {
		w.running.Go(func() {
			if (clock.System{}).Sleep(ctx, f.cutAfter) == nil {
				crash()
			}
		})
	}
	w.running.Go(func() {
		defer close(l.ended)
		l.moves.Run(ctx)
	})
	return l
}

func (l *leader) stop() {
	l.crash()
	<-l.ended
}

// story of a move: what befalls those who drive it.
type story struct {
	r *rand.Rand
	// abortAt the n-th point, over all leaders; 0 for never.
	abortAt int64
}

// tell the story of a move to its end: leaders die, sleep and meet until one of them gets through.
func (w *world) tell(id string, s story) *topologyv1.Evacuation {
	w.t.Helper()
	var points atomic.Int64
	var aborting sync.WaitGroup
	at := func() {
		if points.Add(1) == s.abortAt {
			aborting.Go(func() { // an operator, who need not win the race against the move's end
				_, err := w.moves.Abort(w.background, id, cause)
				if err != nil && !problem.Is(err, "MOVE_ENDED") {
					w.t.Error(err)
				}
			})
		}
	}
	var frozen []*leader
	for deaths := 1 + s.r.IntN(3); deaths > 0; deaths-- {
		f := fate{crashAt: 1 + s.r.Int64N(14)}
		switch s.r.IntN(5) {
		case 0:
			f = fate{cutAfter: time.Millisecond + time.Duration(s.r.Int64N(int64(60*time.Millisecond)))}
		case 1:
			f = fate{pauseAt: 1 + s.r.Int64N(14)}
		case 2:
			f.loseAnswer = 1 + s.r.Int64N(6)
		default:
		}
		l := w.lead(f, at)
		w.await("a leader meets its fate, or the move ends", func() (bool, error) {
			select {
			case <-l.ended:
				return true, nil
			case <-l.paused:
				return true, nil
			default:
				return w.over(id)
			}
		})
		select {
		case <-l.paused:
			frozen = append(frozen, l)
		default:
			select {
			case <-l.ended:
				w.crashes++
			default: // the move ended before its fate was due
				l.stop()
			}
		}
	}
	last := []*leader{w.lead(fate{}, at)}
	if s.r.IntN(3) == 0 {
		last = append(last, w.lead(fate{}, at)) // two who believe to lead
	}
	thaw := func() {
		for _, l := range frozen {
			close(l.thaw)
		}
		last, frozen = append(last, frozen...), nil
	}
	if s.r.IntN(2) == 0 {
		thaw() // in the middle of it
	}
	w.await("the move ends", func() (bool, error) { return w.over(id) })
	thaw() // or when all is over
	for _, l := range last {
		w.await("nobody drives it any more", func() (bool, error) {
			l.moves.mu.Lock()
			defer l.moves.mu.Unlock()
			return len(l.moves.driving) == 0, nil
		})
		l.stop()
	}
	aborting.Wait()
	e, err := w.moves.Get(w.background, id)
	if err != nil {
		w.t.Fatal(err)
	}
	return e
}

// over tells whether a move has ended.
func (w *world) over(id string) (bool, error) {
	e, err := w.moves.Get(w.background, id)
	return err == nil && e.GetEndedAt() != nil, err
}

// evacuateOne cell by a seed, and perhaps bring it back.
func (w *world) evacuateOne(seed uint64) {
	w.t.Helper()
	r := rand.New(rand.NewPCG(seed, 1))
	before, epochs := owners(w.t, w.customers, east)
	var loaded []string
	for _, id := range w.names {
		if len(w.fleet.Map().SlotsOf(id)) > 0 {
			loaded = append(loaded, id)
		}
	}
	leaves := loaded[r.IntN(len(loaded))]
	shopping, stop := context.WithCancel(w.background)
	var shoppers []*shopper
	var all sync.WaitGroup
	for i := range 3 {
		s := w.newShopper(seed*10 + uint64(i))
		shoppers = append(shoppers, s)
		all.Go(func() { s.shop(shopping) })
	}
	order := Order{Wish: evacuating(leaves), Cause: cause, ExpiresIn: time.Hour}
	p, err := w.moves.Plan(w.background, order.Wish)
	if err != nil {
		w.t.Fatal(err)
	}
	order.Hash = p.GetHash()
	e, err := w.moves.Start(w.background, order)
	if err != nil {
		w.t.Fatal(err)
	}
	s := story{r: r}
	if r.IntN(4) == 0 {
		s.abortAt = 1 + r.Int64N(14)
	}
	e = w.tell(e.GetEvacuationId(), s)
	w.check(e, before, epochs)
	if e.GetState() == done && r.IntN(2) == 0 {
		back, err := w.moves.Undo(w.background, e.GetEvacuationId(), cause)
		if err != nil {
			w.t.Fatal(err)
		}
		w.all++
		back = w.tell(back.GetEvacuationId(), story{r: r})
		if now, _ := owners(w.t, w.customers, east); back.GetState() != done || now != before {
			w.t.Errorf("the undo is %s, and owners as before: %v", back.GetState(), now == before)
		}
	} else {
		w.fleet.welcome(w.t, leaves)
	}
	stop()
	all.Wait()
	w.settle(shoppers)
	_, now := owners(w.t, w.customers, east)
	for slot := range now {
		if now[slot] < epochs[slot] {
			w.t.Errorf("the epoch of slot %d fell from %d to %d", slot, epochs[slot], now[slot])
		}
	}
}

// check that slots are where the state of a move says.
func (w *world) check(e *topologyv1.Evacuation, before [ident.Slots]string, epochs [ident.Slots]uint64) {
	w.t.Helper()
	now, newer := owners(w.t, w.customers, east)
	places := placesOf(e.GetPlan())[east]
	for slot := range slotsOfWorld {
		p, planned := places[ident.Slot(slot)]
		want := before[slot]
		if planned && e.GetState() == done {
			want = p.to
		}
		if now[slot] != want || planned != (newer[slot] > epochs[slot]) {
			w.t.Fatalf("the move is %s; slot %d is %s's at epoch %d, was %s's at %d, planned: %v", e.GetState(), slot, now[slot], newer[slot], before[slot], epochs[slot], planned)
		}
	}
	switch {
	case e.GetState() != done && e.GetState() != aborted:
		w.t.Fatalf("the move is %s", e.GetState())
	case e.GetState() == done && unmet(e) != "":
		w.t.Errorf("does not hold: %s", unmet(e))
	}
}

// TestNoWriteIsLostWhoeverDiesDuringAnEvacuation: evacuations at a low load, with drivers that crash, freeze, meet and lose
// answers at random steps; operators abort some and undo others. CELLAR_EVACUATIONS says how many.
func TestNoWriteIsLostWhoeverDiesDuringAnEvacuation(t *testing.T) {
	w := newWorld(t, 6)
	w.driven = newDriven(w)
	n := sizeOf(t, "CELLAR_EVACUATIONS", 8)
	for seed := range n {
		w.evacuateOne(uint64(seed))
		if t.Failed() {
			t.Fatalf("seed %d", seed)
		}
	}
	t.Logf("%d evacuations and %d undos, in which %d drivers died: of %d acknowledged writes 0 were lost and 0 done twice", n, w.all, w.crashes, w.acknowledged)
}
