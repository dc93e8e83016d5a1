package inventory

import (
	"context"
	"fmt"
	"testing"
	"time"

	"pgregory.net/rapid"

	inventoryv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/inventory/v1"
	"github.com/cellar-commerce/cellar/internal/problem"
	"github.com/cellar-commerce/cellar/internal/sqldb"
	"github.com/cellar-commerce/cellar/internal/sqldb/sqldbtest"
)

func (w world) commitAt(t reporter, order string) {
	t.Helper()
	if _, err := w.Commit(context.Background(), &inventoryv1.CommitRequest{FcId: "iad1", OrderId: order}); err != nil {
		t.Fatal(err)
	}
}

func writingOff(order, id string, lines ...*inventoryv1.ReserveLine) *inventoryv1.WriteOffRequest {
	return &inventoryv1.WriteOffRequest{FcId: "iad1", OrderId: order, WriteOffId: id, Reason: "short pick", Lines: lines}
}

func TestWhatIsWrittenOffIsOffTheBooksOnceAndTheRestIsShipped(t *testing.T) {
	w := newWorld(t)
	w.mustRestock(t, "iad1", "ale", 5)
	w.mustRestock(t, "iad1", "cider", 5)
	order := newOrder()
	w.mustReserve(t, w.request("iad1", order, wants("ale", 3, "cider", 1), time.Minute))
	_, err := w.WriteOff(t.Context(), writingOff(order, "w1", wants("ale", 1)...))
	refused(t, err, problem.Precondition, "NOT_COMMITTED") // it may still be given back
	w.commitAt(t, order)
	for _, already := range []bool{false, true} {
		resp, err := w.WriteOff(t.Context(), writingOff(order, "w1", wants("ale", 2, "cider", 1)...))
		if err != nil || resp.GetAlreadyCounted() != already {
			t.Fatalf("%v, %v", resp, err)
		}
	}
	_, err = w.WriteOff(t.Context(), writingOff(order, "w2", wants("ale", 2)...))
	refused(t, err, problem.Precondition, "WRITES_OFF_TOO_MUCH")
	checkStock(t, w.db, "iad1/ale", 2, 1)
	checkStock(t, w.db, "iad1/cider", 4, 0)
	checkBooks(t, w.db, "iad1")
	resp, err := w.Ship(t.Context(), &inventoryv1.ShipRequest{FcId: "iad1", OrderId: order})
	if err != nil || resp.GetShipped() != 1 {
		t.Fatalf("shipped %v, %v", resp, err)
	}
	_, err = w.WriteOff(t.Context(), writingOff(order, "w3", wants("ale", 1)...))
	refused(t, err, problem.Precondition, "NOT_COMMITTED")
	_, err = w.Return(t.Context(), returning(order, "r1", "ale", 2)) // it got one
	refused(t, err, problem.Precondition, "RETURNS_TOO_MUCH")
	checkBooks(t, w.db, "iad1")
}

func TestWhereAllIsWrittenOffNothingIsReservedLate(t *testing.T) {
	w := newWorld(t)
	w.mustRestock(t, "iad1", "ale", 5)
	order := newOrder()
	req := w.request("iad1", order, wants("ale", 2), time.Minute)
	w.mustReserve(t, req)
	w.commitAt(t, order)
	if _, err := w.WriteOff(t.Context(), writingOff(order, "w1", wants("ale", 2)...)); err != nil {
		t.Fatal(err)
	}
	_, err := w.Reserve(t.Context(), req)
	refused(t, err, problem.Precondition, "HOLD_RELEASED")
	_, err = w.Ship(t.Context(), &inventoryv1.ShipRequest{FcId: "iad1", OrderId: order})
	refused(t, err, problem.Precondition, "HOLD_RELEASED")
	checkStock(t, w.db, "iad1/ale", 3, 0)
	checkBooks(t, w.db, "iad1")
}

// Whatever is written off, shipped and given back, in whatever order: the books are right, and what an order has bought has
// left, was written off, or was given back.
func TestBooksStayRightWhateverIsWrittenOff(t *testing.T) {
	db := sqldbtest.New(t, sqldb.Regional)
	w := onDB(db, nil)
	rapid.Check(t, func(t *rapid.T) {
		order, sku := newOrder(), "ale-"+newOrder()
		w.mustRestock(t, "iad1", sku, 10)
		bought := rapid.IntRange(1, 5).Draw(t, "bought")
		w.mustReserve(t, w.request("iad1", order, wants(sku, bought), time.Minute))
		w.commitAt(t, order)
		left := int64(bought)
		for i := range rapid.IntRange(1, 4).Draw(t, "write-offs") {
			units := rapid.IntRange(1, 5).Draw(t, "units")
			_, err := w.WriteOff(t.Context(), writingOff(order, fmt.Sprint(order, "/", i), wants(sku, units)...))
			if fits := int64(units) <= left; fits != (err == nil) {
				t.Fatalf("%d of %d are written off: %v", units, left, err)
			}
			if err == nil {
				left -= int64(units)
			}
		}
		gone := int64(bought) - left
		if left > 0 && rapid.Bool().Draw(t, "shipped") {
			resp, err := w.Ship(t.Context(), &inventoryv1.ShipRequest{FcId: "iad1", OrderId: order})
			if err != nil || resp.GetShipped() != left {
				t.Fatalf("%v, %v", resp, err)
			}
			gone += left
		} else if resp, err := w.Release(t.Context(), &inventoryv1.ReleaseRequest{FcId: "iad1", OrderId: order}); err != nil || resp.GetReleased() != left {
			t.Fatalf("%v, %v", resp, err)
		}
		checkStock(t, db, "iad1/"+sku, 10-int(gone), 0)
	})
	checkBooks(t, db, "iad1")
}
