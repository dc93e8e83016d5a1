package inventory

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	inventoryv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/inventory/v1"
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

func TestOfManyThatWantTheLastTenUnitsExactlyTenAreServed(t *testing.T) {
	const shoppers, units = 64, 10
	w := newWorld(t)
	w.mustRestock(t, "iad1", "ale", units)
	granted := 0
	for _, err := range together(shoppers, func(int) error {
		_, err := w.Reserve(context.Background(), w.request("iad1", newOrder(), wants("ale", 1), time.Minute))
		return err
	}) {
		if err == nil {
			granted++
			continue
		}
		refused(t, err, problem.Precondition, reasonOutOfStock)
	}
	if granted != units {
		t.Errorf("%d units were granted, there were %d", granted, units)
	}
	checkStock(t, w.db, "iad1/ale", 0, units)
	checkBooks(t, w.db, "iad1")
}

func TestReservesThatLockTheSameProductsInAnyOrderAllEnd(t *testing.T) {
	const shoppers = 24
	w := newWorld(t)
	w.mustRestock(t, "iad1", "ale", shoppers)
	w.mustRestock(t, "iad1", "port", shoppers)
	for _, err := range together(shoppers, func(i int) error {
		lines := wants("ale", 1, "port", 1)
		if i%2 == 1 {
			lines = wants("port", 1, "ale", 1)
		}
		_, err := w.Reserve(context.Background(), w.request("iad1", newOrder(), lines, time.Minute))
		return err
	}) {
		if err != nil {
			t.Error(err)
		}
	}
	checkStock(t, w.db, "iad1/ale", 0, shoppers)
	checkStock(t, w.db, "iad1/port", 0, shoppers)
}

func TestTwinsOfOneReserveAllHearThatTheLastUnitsAreHeld(t *testing.T) {
	const rounds, twins = 10, 8
	w := newWorld(t)
	for range rounds {
		w.mustRestock(t, "iad1", "ale", 3)
		req := w.request("iad1", newOrder(), wants("ale", 3), time.Minute)
		for _, err := range together(twins, func(int) error {
			_, err := w.Reserve(context.Background(), req)
			return err
		}) {
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	checkStock(t, w.db, "iad1/ale", 0, 3*rounds)
	checkBooks(t, w.db, "iad1")
}

func TestReserveAndReleaseOfOneOrderAtOnceHoldNothingBeyondTheExpiry(t *testing.T) {
	const orders = 20
	w := newWorld(t)
	w.mustRestock(t, "iad1", "ale", orders)
	for range orders {
		order := newOrder()
		req := w.request("iad1", order, wants("ale", 1), time.Minute)
		for i, err := range together(4, func(i int) error {
			if i%2 == 0 {
				_, err := w.Release(context.Background(), &inventoryv1.ReleaseRequest{FcId: "iad1", OrderId: order})
				return err
			}
			_, err := w.Reserve(context.Background(), req)
			return err
		}) {
			if err != nil && (i%2 == 0 || !problem.Is(err, reasonHoldReleased)) {
				t.Fatal(err)
			}
		}
		_, err := w.Commit(t.Context(), &inventoryv1.CommitRequest{FcId: "iad1", OrderId: order})
		refused(t, err, problem.Precondition, reasonHoldReleased)
	}
	w.clock.Advance(time.Minute)
	if _, err := w.Sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	checkStock(t, w.db, "iad1/ale", orders, 0)
	checkBooks(t, w.db, "iad1")
}

func TestAReserveOvertakenByItsReleaseCanNeverBeSoldAndRunsOut(t *testing.T) {
	reached, goOn := make(chan struct{}), make(chan struct{})
	var armed atomic.Bool
	w := newWorld(t, sqldbtest.WithFaults(func(p sqldb.Point) error {
		if p == sqldb.BeforeCommit && armed.CompareAndSwap(true, false) {
			close(reached)
			<-goOn
		}
		return nil
	}))
	other := onDB(w.db, nil) // one cell's commands for an FC follow each other; another cell's do not
	w.mustRestock(t, "iad1", "ale", 2)
	order := newOrder()
	req := w.request("iad1", order, wants("ale", 2), time.Minute)
	armed.Store(true)
	reserved := make(chan error, 1)
	go func() { _, err := w.Reserve(context.Background(), req); reserved <- err }()
	<-reached // the hold is written, and not committed
	if _, err := other.Release(t.Context(), &inventoryv1.ReleaseRequest{FcId: "iad1", OrderId: order}); err != nil {
		t.Fatal(err)
	}
	close(goOn)
	if err := <-reserved; err != nil {
		t.Fatal(err)
	}
	_, err := w.ExtendHold(t.Context(), &inventoryv1.ExtendHoldRequest{FcId: "iad1", OrderId: order, ExpiresAt: req.GetExpiresAt()})
	refused(t, err, problem.Precondition, reasonHoldReleased)
	_, err = w.Commit(t.Context(), &inventoryv1.CommitRequest{FcId: "iad1", OrderId: order})
	refused(t, err, problem.Precondition, reasonHoldReleased)
	w.clock.Advance(time.Minute)
	w.mustReserve(t, w.request("iad1", newOrder(), wants("ale", 2), time.Minute))
	checkBooks(t, w.db, "iad1")
}

func TestShippingTwiceAtOnceTakesTheStockOutOnce(t *testing.T) {
	w := newWorld(t)
	w.mustRestock(t, "iad1", "ale", 5)
	order := newOrder()
	w.mustReserve(t, w.request("iad1", order, wants("ale", 2), time.Minute))
	if _, err := w.Commit(t.Context(), &inventoryv1.CommitRequest{FcId: "iad1", OrderId: order}); err != nil {
		t.Fatal(err)
	}
	var left atomic.Int64
	for _, err := range together(8, func(int) error {
		resp, err := w.Ship(context.Background(), &inventoryv1.ShipRequest{FcId: "iad1", OrderId: order})
		left.Add(resp.GetShipped())
		return err
	}) {
		if err != nil {
			t.Error(err)
		}
	}
	if left.Load() != 2 {
		t.Errorf("%d units left the building, want 2", left.Load())
	}
	checkStock(t, w.db, "iad1/ale", 3, 0)
	checkBooks(t, w.db, "iad1")
}
