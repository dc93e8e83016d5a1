package sqldb_test

import (
	"context"
	"errors"
	"io"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/cellar-commerce/cellar/internal/problem"
	"github.com/cellar-commerce/cellar/internal/sqldb"
	"github.com/cellar-commerce/cellar/internal/sqldb/sqldbtest"
)

// failAt makes the first transactions that pass a point fail there. The tests that use it run one transaction at a time.
type failAt struct {
	point sqldb.Point
	left  int
	err   error
}

func (f *failAt) faults(p sqldb.Point) error {
	if p != f.point || f.left == 0 {
		return nil
	}
	f.left--
	return f.err
}

type retries struct {
	mu   sync.Mutex
	seen []string
}

func (r *retries) TxRetried(database sqldb.Database, state string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.seen = append(r.seen, string(database)+" "+state)
}

func (*retries) Sent(sqldb.Database, int) {}

// sent adds up what went to the server.
type sent struct {
	mu                sync.Mutex
	trips, statements int
}

func (*sent) TxRetried(sqldb.Database, string) {}

func (s *sent) Sent(_ sqldb.Database, statements int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.trips, s.statements = s.trips+1, s.statements+statements
}

func observedBy(o sqldb.Observer) sqldbtest.Option {
	return func(c *sqldb.Config) { c.Observe = o }
}

func TestATransactionThatLostItsRaceRunsAgainAndCountsOnce(t *testing.T) {
	for name, point := range map[string]sqldb.Point{"before the work": sqldb.BeforeWork, "before the commit": sqldb.BeforeCommit} {
		t.Run(name, func(t *testing.T) {
			f := &failAt{point: point, err: sqldb.FakeSerializationFailure()}
			var seen retries
			db := newTally(t, sqldbtest.WithFaults(f.faults), observedBy(&seen))
			f.left = 2
			runs := 0
			if err := db.InTx(t.Context(), addOne(t.Context(), &runs)); err != nil {
				t.Fatal(err)
			}
			want := 3
			if point == sqldb.BeforeWork {
				want = 1
			}
			if runs != want {
				t.Errorf("the closure ran %d times, want %d", runs, want)
			}
			if n := tally(t, db, "a"); n != 1 {
				t.Errorf("the effect counts %d times", n)
			}
			if len(seen.seen) != 2 || seen.seen[0] != "cellar_customer 40001" {
				t.Errorf("the observer was told of %q", seen.seen)
			}
		})
	}
}

func TestATransactionThatAlwaysLosesGivesUp(t *testing.T) {
	f := &failAt{point: sqldb.BeforeCommit, left: -1, err: sqldb.FakeSerializationFailure()}
	var seen retries
	db := newTally(t, sqldbtest.WithFaults(f.faults), observedBy(&seen))
	runs := 0
	if err := db.InTx(t.Context(), addOne(t.Context(), &runs)); err == nil {
		t.Fatal("it claims to have committed")
	}
	if runs < 2 || runs > 20 || len(seen.seen) != runs-1 {
		t.Errorf("%d runs, %d retries", runs, len(seen.seen))
	}
	if n := tally(t, db, "a"); n != 0 {
		t.Errorf("the effect counts %d times", n)
	}
}

func TestRetryingEndsWithTheContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	db := newTally(t, sqldbtest.WithFaults(func(p sqldb.Point) error {
		if p == sqldb.BeforeCommit {
			cancel()
			return sqldb.FakeSerializationFailure()
		}
		return nil
	}))
	runs := 0
	if err := db.InTx(ctx, addOne(ctx, &runs)); !errors.Is(err, context.Canceled) || runs != 1 {
		t.Errorf("got %v after %d runs", err, runs)
	}
}

func TestACommitWhoseAnswerIsLostIsAmbiguousAndNotRunAgain(t *testing.T) {
	for name, lost := range map[string]error{
		"the connection broke":    io.ErrUnexpectedEOF,
		"what looks like a retry": sqldb.FakeSerializationFailure(),
	} {
		t.Run(name, func(t *testing.T) {
			f := &failAt{point: sqldb.AfterCommit, left: 1, err: lost}
			db := newTally(t, sqldbtest.WithFaults(f.faults))
			runs := 0
			err := db.InTx(t.Context(), addOne(t.Context(), &runs))
			if !errors.Is(err, sqldb.ErrAmbiguous) || !errors.Is(err, lost) {
				t.Errorf("got %v", err)
			}
			if n := tally(t, db, "a"); runs != 1 || n != 1 {
				t.Errorf("%d runs count %d times", runs, n)
			}
		})
	}
}

func TestAnErrorOfTheClosureRollsBackAndComesThroughAsItIs(t *testing.T) {
	db := newTally(t, sqldbtest.WithMaxConns(1)) // a connection that is not given back would block what follows
	refusal := problem.New(problem.Precondition, "OUT_OF_STOCK", "none left")
	runs := 0
	err := db.InTx(t.Context(), func(tx sqldb.Tx) error {
		if err := addOne(t.Context(), &runs)(tx); err != nil {
			return err
		}
		if n := tally(t, tx, "a"); n != 1 {
			t.Errorf("inside, the effect counts %d times", n)
		}
		return refusal
	})
	if err != refusal || runs != 1 { //nolint:errorlint // it must be the very error
		t.Errorf("got %v after %d runs", err, runs)
	}
	if n := tally(t, db, "a"); n != 0 {
		t.Errorf("after the rollback the effect counts %d times", n)
	}
}

func TestAPanicOfTheClosureGivesTheConnectionBack(t *testing.T) {
	db := newTally(t, sqldbtest.WithMaxConns(1))
	func() {
		defer func() {
			if recover() == nil {
				t.Error("the panic was swallowed")
			}
		}()
		_ = db.InTx(t.Context(), func(tx sqldb.Tx) error {
			runs := 0
			_ = addOne(t.Context(), &runs)(tx)
			panic("a bug")
		})
	}()
	if n := tally(t, db, "a"); n != 0 {
		t.Errorf("the effect counts %d times", n)
	}
}

func TestAnErrorThatTheClosureSwallowedIsNoCommit(t *testing.T) {
	db := newTally(t)
	err := db.InTx(t.Context(), func(tx sqldb.Tx) error {
		runs := 0
		if err := addOne(t.Context(), &runs)(tx); err != nil {
			return err
		}
		_, _ = tx.Exec(t.Context(), stmtTallyInsert, "a", 1) // a duplicate: the transaction is lost now
		return nil
	})
	if err == nil || errors.Is(err, sqldb.ErrAmbiguous) {
		t.Errorf("got %v, want a plain failure of the commit", err)
	}
	if n := tally(t, db, "a"); n != 0 {
		t.Errorf("the effect counts %d times", n)
	}
}

func TestWritersInARaceLoseNothing(t *testing.T) {
	db := newTally(t)
	const writers, each = 8, 5
	var wg sync.WaitGroup
	for range writers {
		wg.Go(func() {
			for range each {
				runs := 0
				if err := db.InTx(t.Context(), addOne(t.Context(), &runs)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	if n := tally(t, db, "a"); n != writers*each {
		t.Errorf("%d of %d additions are there", n, writers*each)
	}
}

// Two transactions that lock two rows in opposite order: PostgreSQL ends one of them, which must run again.
func TestADeadlockIsResolvedByRunningAgain(t *testing.T) {
	var seen retries
	db := newTally(t, observedBy(&seen))
	if _, err := db.Exec(t.Context(), stmtTallyInsert, "b", 0); err != nil {
		t.Fatal(err)
	}
	var arrived atomic.Int32
	bothHold := make(chan struct{})
	cross := func(first, second string) error {
		return db.InTx(t.Context(), func(tx sqldb.Tx) error {
			for i, name := range []string{first, second} {
				if i == 1 && arrived.Add(1) == 2 {
					close(bothHold)
				}
				if i == 1 {
					<-bothHold // a second run passes at once
				}
				if _, err := tx.Exec(t.Context(), stmtTallyAdd, name, 1); err != nil {
					return err
				}
			}
			return nil
		})
	}
	other := make(chan error, 1)
	go func() { other <- cross("b", "a") }()
	if err := errors.Join(cross("a", "b"), <-other); err != nil {
		t.Fatal(err)
	}
	if a, b := tally(t, db, "a"), tally(t, db, "b"); a != 2 || b != 2 {
		t.Errorf("a %d, b %d; want 2 and 2", a, b)
	}
	if len(seen.seen) != 1 || seen.seen[0] != "cellar_customer 40P01" {
		t.Errorf("the observer was told of %q", seen.seen)
	}
}
