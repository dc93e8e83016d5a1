package lease_test

import (
	"context"
	"log/slog"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cellar-commerce/cellar/internal/clock"
	"github.com/cellar-commerce/cellar/internal/ident"
	"github.com/cellar-commerce/cellar/internal/lease"
	"github.com/cellar-commerce/cellar/internal/sqldb"
	"github.com/cellar-commerce/cellar/internal/sqldb/sqldbtest"
)

func TestMain(m *testing.M) { sqldbtest.Main(m) }

const (
	home = ident.Region("us-east-1")
	work = "outbox/3"
	// ttl on the database's clock: no test takes so long, so that only a test that wants it sees a lease run out.
	ttl = time.Hour
)

func keeper(db *sqldb.DB, holder string, c clock.Clock) *lease.Keeper {
	return lease.New(lease.Deps{DB: db, Region: home, Holder: holder, TTL: ttl, Clock: c, Log: slog.New(slog.DiscardHandler)})
}

func expectTake(t *testing.T, k *lease.Keeper, want bool) {
	t.Helper()
	if got, err := k.Take(t.Context(), work); got != want || err != nil {
		t.Errorf("got %v, %v; want %v", got, err, want)
	}
}

var stmtExpire = sqldb.Define(sqldb.Any, "lease_test.expire", `UPDATE leases SET until = now() - interval '1 second' WHERE region = $1 AND name = $2`)

func expire(t *testing.T, db *sqldb.DB) {
	t.Helper()
	if n, err := db.Exec(t.Context(), stmtExpire, string(home), work); n != 1 || err != nil {
		t.Fatal(n, err)
	}
}

func TestALeaseHasOneHolderUntilItIsDroppedOrRunsOut(t *testing.T) {
	db := sqldbtest.New(t, sqldb.Customer)
	a, b := keeper(db, "use1-a", clock.System{}), keeper(db, "use1-b", clock.System{})
	expectTake(t, a, true)
	expectTake(t, b, false)
	expectTake(t, a, true) // renewed
	if err := b.Drop(t.Context(), work); err != nil {
		t.Fatal(err)
	}
	expectTake(t, b, false) // only the holder can drop it
	if err := a.Drop(t.Context(), work); err != nil {
		t.Fatal(err)
	}
	expectTake(t, b, true)
	expire(t, db)
	expectTake(t, a, true)
	expectTake(t, b, false)
}

func TestWhoHoldsALeaseIsTold(t *testing.T) {
	db := sqldbtest.New(t, sqldb.Customer)
	a, b := keeper(db, "use1-a", clock.System{}), keeper(db, "use1-b", clock.System{})
	expect := func(want string) {
		t.Helper()
		if got, err := b.Holder(t.Context(), work); got != want || err != nil {
			t.Errorf("got %q, %v; want %q", got, err, want)
		}
	}
	expect("")
	expectTake(t, a, true)
	expect("use1-a")
	expire(t, db)
	expect("")
	expectTake(t, b, true)
	expect("use1-b")
}

func TestALeaseOfAnotherRegionOrNameIsAnother(t *testing.T) {
	db := sqldbtest.New(t, sqldb.Customer)
	expectTake(t, keeper(db, "use1-a", clock.System{}), true)
	west := lease.New(lease.Deps{DB: db, Region: "us-west-2", Holder: "usw2-a", TTL: ttl})
	expectTake(t, west, true)
	if got, err := west.Take(t.Context(), "outbox/4"); !got || err != nil {
		t.Errorf("got %v, %v", got, err)
	}
}

func TestAHolderThatDoesNotRenewLosesItsLeaseByTheDatabasesClock(t *testing.T) {
	db := sqldbtest.New(t, sqldb.Customer)
	dead := lease.New(lease.Deps{DB: db, Region: home, Holder: "use1-a", TTL: time.Millisecond})
	expectTake(t, dead, true)
	b := keeper(db, "use1-b", clock.System{})
	for held := false; !held; {
		var err error
		if held, err = b.Take(t.Context(), work); err != nil {
			t.Fatal(err)
		}
	}
	expectTake(t, dead, false)
}

// worker counts how many of its kind work at once, and tells when it begins and ends.
type worker struct {
	active     *atomic.Int64
	began, end chan struct{}
}

func newWorker(active *atomic.Int64) worker {
	return worker{active: active, began: make(chan struct{}, 10), end: make(chan struct{}, 10)}
}

func (w worker) run(t *testing.T) func(context.Context) {
	return func(ctx context.Context) {
		if n := w.active.Add(1); n != 1 {
			t.Errorf("%d work at once", n)
		}
		w.began <- struct{}{}
		<-ctx.Done()
		w.active.Add(-1)
		w.end <- struct{}{}
	}
}

// background runs a keeper's work until the returned function, or the test's end, stops it.
func background(t *testing.T, k *lease.Keeper, do func(context.Context)) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); k.Run(ctx, work, do) }()
	stop = func() { cancel(); <-done }
	t.Cleanup(stop)
	return stop
}

func awaitSleepers(t *testing.T, c *clock.Manual, n int) {
	t.Helper()
	if err := c.AwaitSleepers(t.Context(), n); err != nil {
		t.Fatal(err)
	}
}

func TestOneWorksAndAnotherTakesOverWhenItStops(t *testing.T) {
	db, now := sqldbtest.New(t, sqldb.Customer), clock.NewManual(time.Unix(0, 0))
	var active atomic.Int64
	first, second := newWorker(&active), newWorker(&active)
	stopFirst := background(t, keeper(db, "use1-a", now), first.run(t))
	<-first.began
	background(t, keeper(db, "use1-b", now), second.run(t))
	for range 5 { // the first renews, the second tries
		awaitSleepers(t, now, 2)
		now.Advance(ttl / 3)
	}
	awaitSleepers(t, now, 2)
	if len(second.began) != 0 || len(first.end) != 0 {
		t.Error("the second began, or the first ended")
	}
	stopFirst() // it drops its lease: the second need not wait for its end
	now.Advance(ttl / 3)
	<-second.began
}

func TestAHolderThatLostItsLeaseIsStoppedAndLeavesTheOthersAlone(t *testing.T) {
	db, now := sqldbtest.New(t, sqldb.Customer), clock.NewManual(time.Unix(0, 0))
	w := newWorker(new(atomic.Int64))
	background(t, keeper(db, "use1-a", now), w.run(t))
	<-w.began
	awaitSleepers(t, now, 1)
	expire(t, db) // it was frozen for longer than its lease
	thief := keeper(db, "use1-b", now)
	expectTake(t, thief, true)
	now.Advance(ttl / 3)
	<-w.end
	awaitSleepers(t, now, 1) // it waits for its next turn
	expectTake(t, keeper(db, "use1-c", now), false)
	expectTake(t, thief, true)
}

func TestAHolderThatCannotRenewIsStopped(t *testing.T) {
	_, url := sqldbtest.NewWithURL(t, sqldb.Customer)
	db, now := sqldbtest.Reopen(t, sqldb.Customer, url), clock.NewManual(time.Unix(0, 0))
	w := newWorker(new(atomic.Int64))
	background(t, keeper(db, "use1-a", now), w.run(t))
	<-w.began
	awaitSleepers(t, now, 1)
	db.Close()
	now.Advance(ttl / 3)
	<-w.end
}

func TestWorkThatReturnsByItselfIsStartedAgain(t *testing.T) {
	db, now := sqldbtest.New(t, sqldb.Customer), clock.NewManual(time.Unix(0, 0))
	began, enough := make(chan struct{}), make(chan struct{})
	background(t, keeper(db, "use1-a", now), func(ctx context.Context) {
		select {
		case began <- struct{}{}:
		case <-ctx.Done():
		}
	})
	go func() { // time flies: each turn waits for its pace
		defer close(enough)
		for range 3 {
			<-began
		}
	}()
	for running := true; running; {
		select {
		case <-enough:
			running = false
		default:
			awaitSleepers(t, now, 1)
			now.Advance(ttl / 3)
		}
	}
}

var stmtRowVersion = sqldb.Define(sqldb.Any, "lease_test.row_version", `SELECT xmin::text || ' ' || xmax::text FROM leases WHERE region = $1 AND name = $2`)

func TestWhoWaitsForALeaseWritesNothing(t *testing.T) {
	db := sqldbtest.New(t, sqldb.Customer)
	version := func() (v string) {
		if err := db.QueryRow(t.Context(), stmtRowVersion, string(home), work).Scan(&v); err != nil {
			t.Fatal(err)
		}
		return v
	}
	expectTake(t, keeper(db, "use1-a", clock.System{}), true)
	before := version()
	expectTake(t, keeper(db, "use1-b", clock.System{}), false)
	if after := version(); after != before {
		t.Errorf("the row was locked or written: %s, then %s", before, after)
	}
}
