package fence_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"pgregory.net/rapid"

	"github.com/cellar-commerce/cellar/internal/fence"
	"github.com/cellar-commerce/cellar/internal/ident"
	"github.com/cellar-commerce/cellar/internal/problem"
	"github.com/cellar-commerce/cellar/internal/sqldb"
	"github.com/cellar-commerce/cellar/internal/sqldb/sqldbtest"
)

// sleep of a process in the middle of a write, as SIGSTOP makes it: nothing is sent until it wakes. The database sees a session
// that says nothing.
type sleep struct {
	at             sqldb.Point
	asleep, awoken chan struct{}
	once           sync.Once
}

func newSleep(at sqldb.Point) *sleep {
	return &sleep{at: at, asleep: make(chan struct{}), awoken: make(chan struct{})}
}

// pass a point of a transaction; the first time at its own, it sleeps.
func (s *sleep) pass(p sqldb.Point) {
	if p == s.at {
		s.once.Do(func() {
			close(s.asleep)
			<-s.awoken
		})
	}
}

// cemetery is a database with a cell that falls asleep, and another that takes over.
type cemetery struct {
	db     *sqldb.DB
	zombie fence.Fence
	heir   fence.Fence
	sleep  atomic.Pointer[sleep]
}

func newCemetery(t *testing.T) *cemetery {
	t.Helper()
	db, url := sqldbtest.NewWithURL(t, sqldb.Customer)
	c := &cemetery{db: db}
	own := sqldbtest.Reopen(t, sqldb.Customer, url, named(fence.ApplicationName(me)), sqldbtest.WithFaults(func(p sqldb.Point) error {
		if s := c.sleep.Load(); s != nil {
			s.pass(p)
		}
		return nil
	}))
	c.zombie = newFence(t, own, everythingIs(me)) // its map never changes
	heir, err := fence.New(fence.Deps{DB: sqldbtest.Reopen(t, sqldb.Customer, url, named(fence.ApplicationName(peer))), Cell: peer, Region: home, Owners: everythingIs(peer)})
	if err != nil {
		t.Fatal(err)
	}
	c.heir = heir
	return c
}

// count of a customer's rows by cause.
func (c *cemetery) count(id ident.CustomerID, cause string) (n int) {
	if err := c.db.QueryRow(context.Background(), stmtCauses, string(id.Region()), string(id), cause).Scan(&n); err != nil {
		panic(err)
	}
	return n
}

var stmtCauses = sqldb.Define(sqldb.Customer, "fence_test.causes", `SELECT count(*) FROM cart_changes WHERE region = $1 AND customer_id = $2 AND cause = $3`)

// Wherever in a write a cell falls asleep: once the customer is another cell's, nothing of it commits, and it keeps nobody
// waiting.
func TestACellThatWakesAfterAMoveCommitsNothing(t *testing.T) {
	c := newCemetery(t)
	rapid.Check(t, func(r *rapid.T) {
		way := rapid.SampledFrom([]string{"InSlotTx", "Send", "Join"}).Draw(r, "way")
		at := rapid.SampledFrom([]sqldb.Point{sqldb.BeforeWork, sqldb.BeforeCommit}).Draw(r, "asleep at")
		byOverride := rapid.Bool().Draw(r, "by an override")
		back := rapid.Bool().Draw(r, "and another write before")
		id := ident.NewCustomer("use1")
		assign(t, c.db, id, me)
		if err := move(t.Context(), c.db, id, me); err != nil { // the slot may have been another customer's before
			r.Fatal(err)
		}
		if err := override(t.Context(), c.db, id, nil); err != nil {
			r.Fatal(err)
		}
		if back {
			if err := writes[way](t.Context(), c.zombie, id, "alive"); err != nil {
				r.Fatalf("while it owns the slot: %v", err)
			}
		}
		s := newSleep(at)
		c.sleep.Store(s)
		late := make(chan error, 1)
		go func() { late <- writes[way](context.WithoutCancel(t.Context()), c.zombie, id, "late") }()
		<-s.asleep
		moved := make(chan error, 1)
		go func() {
			if byOverride {
				moved <- override(t.Context(), c.db, id, map[ident.CustomerID]string{id: peer})
			} else {
				moved <- move(t.Context(), c.db, id, peer)
			}
		}()
		if at == sqldb.BeforeCommit { // it holds the slot's row
			awaitBlocked(t, c.db)
			if n, err := fence.EndBlockers(t.Context(), c.db, fence.ApplicationName(me), 0); n == 0 || err != nil {
				r.Fatalf("%d sessions ended, %v", n, err)
			}
		}
		if err := <-moved; err != nil {
			r.Fatal(err)
		}
		if err := writes[way](t.Context(), c.heir, id, "heir"); err != nil {
			r.Fatalf("the new owner: %v", err)
		}
		close(s.awoken)
		if err := <-late; err == nil || (!problem.Is(err, fence.ReasonWrongCell) && problem.KindOf(err) != problem.Unavailable && !errors.Is(err, sqldb.ErrAmbiguous)) {
			r.Fatalf("the late write is told %v", err)
		}
		if err := writes[way](t.Context(), c.zombie, id, "later"); !problem.Is(err, fence.ReasonWrongCell) {
			r.Fatalf("a later write is told %v", err)
		}
		if n := c.count(id, "late") + c.count(id, "later"); n != 0 || c.count(id, "heir") != 1 {
			r.Fatalf("%d late rows, %d of the new owner", n, c.count(id, "heir"))
		}
	})
}

// A whole cell sleeps, with many writes on their way; its slots move, and it wakes.
func TestOfManyLateWritesNoneCommits(t *testing.T) {
	const each = 100
	c := newCemetery(t)
	who := customers(t, c.db, each)
	s := newSleep(sqldb.BeforeWork)
	c.sleep.Store(s)
	var all sync.WaitGroup
	var committed atomic.Int64
	start := func() {
		for name, write := range writes {
			for i, id := range who {
				all.Go(func() {
					if err := write(context.WithoutCancel(t.Context()), c.zombie, id, fmt.Sprint(name, i)); err == nil {
						committed.Add(1)
					} else if !problem.Is(err, fence.ReasonWrongCell) {
						t.Errorf("%s: %v", name, err)
					}
				})
			}
		}
	}
	first := make(chan error, 1)
	go func() { first <- writes["InSlotTx"](context.WithoutCancel(t.Context()), c.zombie, who[0], "first") }()
	<-s.asleep
	for _, id := range who {
		if err := move(t.Context(), c.db, id, peer); err != nil {
			t.Fatal(err)
		}
	}
	start()
	close(s.awoken)
	all.Wait()
	if err := <-first; !problem.Is(err, fence.ReasonWrongCell) || committed.Load() != 0 {
		t.Errorf("the first is told %v; %d of %d late writes commit", err, committed.Load(), each*len(writes))
	}
	for _, id := range who {
		if n, _ := notes(t, c.db, id); n != 0 {
			t.Errorf("%d rows of %s", n, id)
		}
	}
}
