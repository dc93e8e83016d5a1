package inventory

import (
	"context"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	inventoryv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/inventory/v1"
	problemv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/problem/v1"
	"github.com/cellar-commerce/cellar/internal/problem"
	"github.com/cellar-commerce/cellar/internal/sqldb/sqldbtest"
)

// action is one call with everything bound.
type action struct {
	name string
	call func(context.Context) (proto.Message, error)
}

// lifeOf an order at an FC, from the delivery to the shelf's correction after it has left.
func lifeOf(w world, fc, order string) []action {
	reserve := w.request(fc, order, wants("ale", 2, "port", 1, "ale", 1), 10*time.Minute)
	extend := &inventoryv1.ExtendHoldRequest{FcId: fc, OrderId: order, ExpiresAt: timestamppb.New(opened.Add(20 * time.Minute))}
	restock := &inventoryv1.RestockRequest{FcId: fc, DeliveryId: "d1", Lines: []*inventoryv1.RestockLine{{Sku: "ale", Quantity: 5}, {Sku: "port", Quantity: 3}}}
	adjust := &inventoryv1.AdjustRequest{FcId: fc, AdjustmentId: "a1", Sku: "port", Delta: -1, Reason: "broken"}
	return []action{
		{"restock", func(ctx context.Context) (proto.Message, error) { return w.Restock(ctx, restock) }},
		{"reserve", func(ctx context.Context) (proto.Message, error) { return w.Reserve(ctx, reserve) }},
		{"extend", func(ctx context.Context) (proto.Message, error) { return w.ExtendHold(ctx, extend) }},
		{"commit", func(ctx context.Context) (proto.Message, error) {
			return w.Commit(ctx, &inventoryv1.CommitRequest{FcId: fc, OrderId: order})
		}},
		{"ship", func(ctx context.Context) (proto.Message, error) {
			return w.Ship(ctx, &inventoryv1.ShipRequest{FcId: fc, OrderId: order})
		}},
		{"adjust", func(ctx context.Context) (proto.Message, error) { return w.Adjust(ctx, adjust) }},
	}
}

func TestACallRepeatedSucceedsAndChangesNothing(t *testing.T) {
	w := newWorld(t)
	for _, c := range lifeOf(w, "iad1", newOrder()) {
		if _, err := c.call(t.Context()); err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		rows, ledger := rowsOf(t, w.db, "iad1"), ledgerOf(t, w.db, "iad1")
		for range 2 {
			if _, err := c.call(t.Context()); err != nil {
				t.Errorf("%s again: %v", c.name, err)
			}
		}
		if again := rowsOf(t, w.db, "iad1"); again != rows {
			t.Errorf("%s again changed\n%s\nto\n%s", c.name, rows, again)
		}
		if again := ledgerOf(t, w.db, "iad1"); again != ledger {
			t.Errorf("%s again changed the ledger\n%s\nto\n%s", c.name, ledger, again)
		}
	}
	checkStock(t, w.db, "iad1/ale", 2, 0)
	checkStock(t, w.db, "iad1/port", 1, 0)
	checkBooks(t, w.db, "iad1")
}

func TestAReserveIsAnsweredAlikeWhenRepeatedWithATimeFinerThanTheStored(t *testing.T) {
	w := newWorld(t)
	w.mustRestock(t, "iad1", "ale", 1)
	req := w.request("iad1", newOrder(), wants("ale", 1), time.Minute+time.Nanosecond)
	first, err := w.Reserve(t.Context(), req)
	if err != nil {
		t.Fatal(err)
	}
	if again, err := w.Reserve(t.Context(), req); err != nil || !proto.Equal(first, again) {
		t.Errorf("first %v, then %v, %v", first, again, err)
	}
}

func TestAReserveHoldsAllLinesOrNone(t *testing.T) {
	w := newWorld(t)
	w.mustRestock(t, "iad1", "ale", 5)
	w.mustRestock(t, "iad1", "port", 1)
	_, err := w.Reserve(t.Context(), w.request("iad1", newOrder(), wants("ale", 2, "port", 2, "rum", 1), time.Minute))
	refused(t, err, problem.Precondition, reasonOutOfStock)
	detail, _ := problem.Detail[*problemv1.OutOfStock](err)
	want := &problemv1.OutOfStock{Shortages: []*problemv1.Shortage{{Sku: "port", Requested: 2, Available: 1}, {Sku: "rum", Requested: 1}}}
	if !proto.Equal(detail, want) {
		t.Errorf("got %v, want %v", detail, want)
	}
	checkStock(t, w.db, "iad1/ale", 5, 0)
	checkStock(t, w.db, "iad1/port", 1, 0)
}

func TestLinesOfTheSameProductAreAddedUp(t *testing.T) {
	w := newWorld(t)
	w.mustRestock(t, "iad1", "ale", 5)
	_, err := w.Reserve(t.Context(), w.request("iad1", newOrder(), wants("ale", 3, "ale", 3), time.Minute))
	refused(t, err, problem.Precondition, reasonOutOfStock)
	if detail, _ := problem.Detail[*problemv1.OutOfStock](err); len(detail.GetShortages()) != 1 || detail.GetShortages()[0].GetRequested() != 6 {
		t.Errorf("got %v", detail)
	}
	w.mustReserve(t, w.request("iad1", newOrder(), wants("ale", 3, "ale", 2), time.Minute))
	checkStock(t, w.db, "iad1/ale", 0, 5)
}

func TestOtherLinesForTheSameOrderAreRefused(t *testing.T) {
	w := newWorld(t)
	w.mustRestock(t, "iad1", "ale", 5)
	order := newOrder()
	w.mustReserve(t, w.request("iad1", order, wants("ale", 2), time.Minute))
	_, err := w.Reserve(t.Context(), w.request("iad1", order, wants("ale", 3), time.Minute))
	refused(t, err, problem.Precondition, "RESERVATION_MISMATCH")
	checkStock(t, w.db, "iad1/ale", 3, 2)
}

func TestAHoldOfWhichOnlySomeLinesAreSweptIsRefusedUntilAllAre(t *testing.T) {
	w := newWorld(t)
	w.mustRestock(t, "iad1", "ale", 1)
	w.mustRestock(t, "iad1", "port", 1)
	first := newOrder()
	w.mustReserve(t, w.request("iad1", first, wants("ale", 1, "port", 1), time.Minute))
	w.clock.Advance(2 * time.Minute)
	second := newOrder()
	w.mustReserve(t, w.request("iad1", second, wants("ale", 1), time.Minute)) // takes the first line's unit back, not the second's
	_, err := w.Reserve(t.Context(), w.request("iad1", first, wants("ale", 1, "port", 1), time.Minute))
	refused(t, err, problem.Precondition, reasonHoldExpired)
	if _, err := w.Release(t.Context(), &inventoryv1.ReleaseRequest{FcId: "iad1", OrderId: second}); err != nil {
		t.Fatal(err)
	}
	if n, err := w.Sweep(t.Context()); err != nil || n != 1 {
		t.Fatalf("swept %d, %v", n, err)
	}
	w.mustReserve(t, w.request("iad1", first, wants("ale", 1, "port", 1), time.Minute))
	checkStock(t, w.db, "iad1/ale", 0, 1)
	checkStock(t, w.db, "iad1/port", 0, 1)
	checkBooks(t, w.db, "iad1")
}

func TestAHoldThatHasRunOutIsForOthersBeforeAnybodySweeps(t *testing.T) {
	w := newWorld(t)
	w.mustRestock(t, "iad1", "ale", 4)
	w.mustReserve(t, w.request("iad1", newOrder(), wants("ale", 3), time.Minute))
	w.clock.Advance(time.Minute) // the very moment it runs out
	resp, err := w.ListStock(t.Context(), &inventoryv1.ListStockRequest{Skus: []string{"ale"}})
	if err != nil || len(resp.GetStocks()) != 1 || resp.GetStocks()[0].GetAvailable() != 4 {
		t.Fatalf("got %v, %v", resp, err)
	}
	adjust := &inventoryv1.AdjustRequest{FcId: "iad1", AdjustmentId: "a1", Sku: "ale", Delta: -2, Reason: "broken"}
	if _, err := w.Adjust(t.Context(), adjust); err != nil {
		t.Fatal(err)
	}
	w.mustReserve(t, w.request("iad1", newOrder(), wants("ale", 2), time.Minute))
	checkStock(t, w.db, "iad1/ale", 0, 2)
	checkBooks(t, w.db, "iad1")
}

func TestALateReserveOfAReleasedOrderHoldsNothing(t *testing.T) {
	w := newWorld(t)
	w.mustRestock(t, "iad1", "ale", 4)
	order := newOrder()
	if _, err := w.Release(t.Context(), &inventoryv1.ReleaseRequest{FcId: "iad1", OrderId: order}); err != nil {
		t.Fatal(err)
	}
	_, err := w.Reserve(t.Context(), w.request("iad1", order, wants("ale", 1), time.Minute))
	refused(t, err, problem.Precondition, reasonHoldReleased)
	checkStock(t, w.db, "iad1/ale", 4, 0)
}

func TestStockThatHasShippedIsNeitherReleasedNorLeftOnTheBooks(t *testing.T) {
	w := newWorld(t)
	order := newOrder()
	for _, c := range lifeOf(w, "iad1", order) {
		if _, err := c.call(t.Context()); err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
	}
	_, err := w.Release(t.Context(), &inventoryv1.ReleaseRequest{FcId: "iad1", OrderId: order})
	refused(t, err, problem.Precondition, reasonAlreadyShipped)
	if left := sqldbtest.Texts(t, w.db, "SELECT state FROM reservations WHERE region = 'us-east-1' AND fc_id = 'iad1' AND line = 0"); len(left) > 0 {
		t.Error("a refused release leaves no tombstone")
	}
}

func TestOpeningTwiceCountsOnce(t *testing.T) {
	w := newWorld(t)
	for range 2 {
		if err := w.Open(t.Context(), []Stock{{"iad1", "ale", 3}, {"iad2", "ale", 4}, {"iad1", "port", 5}}); err != nil {
			t.Fatal(err)
		}
	}
	checkStock(t, w.db, "iad1/ale", 3, 0)
	checkStock(t, w.db, "iad2/ale", 4, 0)
	checkBooks(t, w.db, "iad1", "iad2")
}

func TestTheSweepRunsByTheClock(t *testing.T) {
	w := newWorld(t)
	w.mustRestock(t, "iad1", "ale", 2)
	w.mustReserve(t, w.request("iad1", newOrder(), wants("ale", 2), time.Second))
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); w.Run(ctx) }()
	if err := w.clock.AwaitSleepers(ctx, 1); err != nil {
		t.Fatal(err)
	}
	checkStock(t, w.db, "iad1/ale", 0, 2)
	w.clock.Advance(sweepEvery)
	if err := w.clock.AwaitSleepers(ctx, 1); err != nil {
		t.Fatal(err)
	}
	checkStock(t, w.db, "iad1/ale", 2, 0)
	cancel()
	<-done
}
