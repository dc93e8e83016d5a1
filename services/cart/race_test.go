package cart

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/cellar-commerce/cellar/internal/problem"
	"github.com/cellar-commerce/cellar/internal/sqldb"
	"github.com/cellar-commerce/cellar/internal/sqldb/sqldbtest"
)

// together runs n calls that start at once, and gives their errors.
func together(n int, call func(i int) error) []error {
	errs := make([]error, n)
	start := make(chan struct{})
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			<-start
			errs[i] = call(i)
		})
	}
	close(start)
	wg.Wait()
	return errs
}

func TestOfManyAddsAtOnceNoneIsLost(t *testing.T) {
	w, id := newWorld(t), newCustomer()
	must(t, together(64, func(int) error { return w.add(id, "ale", 1) })...)
	same(t, "after 64 adds", w.quantities(t, id), "ale×64")
}

func TestOfManyAddsAtOnceAsManyCountAsTheLimitAllows(t *testing.T) {
	w, id := newWorld(t), newCustomer()
	added := 0
	for _, err := range together(64, func(int) error { return w.add(id, "ale", 20) }) {
		if err == nil {
			added++
			continue
		}
		refused(t, err, problem.Precondition, "QUANTITY_LIMIT")
	}
	same(t, "adds that counted", added, 999/20)
	same(t, "quantity", w.quantities(t, id), "ale×980")
}

// hold the change of rows until the callback is done, and then take the own change back.
func hold(t *testing.T, db *sqldb.DB, stmt *sqldb.Statement, args []any, then func()) {
	t.Helper()
	undo := errors.New("undo")
	err := db.InTx(context.Background(), func(tx sqldb.Tx) error {
		if _, err := tx.Exec(context.Background(), stmt, args...); err != nil {
			return err
		}
		then()
		return undo
	})
	if !errors.Is(err, undo) {
		t.Fatal(err)
	}
}

// awaitBlocked waits until so many sessions of the database wait for a lock, or something has ended without.
func awaitBlocked(t *testing.T, db *sqldb.DB, sessions int, ended <-chan struct{}) {
	t.Helper()
	tick, late := time.NewTicker(5*time.Millisecond), time.After(time.Minute)
	defer tick.Stop()
	for len(sqldbtest.Texts(t, db, "SELECT pid::text FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'")) < sessions {
		select {
		case <-tick.C:
		case <-ended:
			return
		case <-late:
			t.Fatal("nobody waits for the lock")
		}
	}
}

func TestTheLastPlaceInACartIsTakenOnce(t *testing.T) {
	const adders = 4
	w, id := newWorld(t), newCustomer()
	w.fill(t, id, maxLines-1)
	for i := range adders {
		w.shelf.price(fmt.Sprint("last-", i), 1)
	}
	var errs []error
	var done sync.WaitGroup
	// All wait for the first line's lock, and so have all seen a place left.
	hold(t, w.db, stmtRemove, []any{"us-east-1", string(id), "bulk-000"}, func() {
		done.Go(func() { errs = together(adders, func(i int) error { return w.add(id, fmt.Sprint("last-", i), 1) }) })
		awaitBlocked(t, w.db, adders, nil)
	})
	done.Wait()
	full := 0
	for _, err := range errs {
		if problem.Is(err, "CART_FULL") {
			full++
		}
	}
	lines := sqldbtest.Texts(t, w.db, "SELECT sku FROM cart_lines WHERE customer_id = $1", string(id))
	if full != adders-1 || len(lines) != maxLines {
		t.Errorf("%d were refused and the cart has %d lines: %v", full, len(lines), errs)
	}
}

func TestWhatIsAddedWhileAGuestsCartIsMergedIsNotLost(t *testing.T) {
	w, id, guest := newWorld(t), newCustomer(), newGuest()
	must(t, w.add(guest, "ale", 3))
	var merged, added error
	var done sync.WaitGroup
	// The merge has read the customer's cart, which is empty, when it waits for its own cause.
	hold(t, w.db, stmtRemember, []any{"us-east-1", string(id), causeMerge(guest), opened, []byte{}}, func() {
		done.Go(func() { _, merged = w.merge(id, guest) })
		awaitBlocked(t, w.db, 1, nil)
		ended := make(chan struct{})
		done.Go(func() { added = w.add(id, "ale", 5); close(ended) })
		awaitBlocked(t, w.db, 2, ended)
	})
	done.Wait()
	must(t, merged, added)
	// Merged first, 3 and 5 more; added first, the larger of both.
	if got := w.quantities(t, id); got != "ale×8" && got != "ale×5" {
		t.Errorf("the cart has %s", got)
	}
}
