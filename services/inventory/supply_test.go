package inventory

import (
	"context"
	"fmt"
	"testing"
	"time"

	inventoryv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/inventory/v1"
	"github.com/cellar-commerce/cellar/internal/problem"
	"github.com/cellar-commerce/cellar/internal/sqldb/sqldbtest"
)

// shipped is an order that got 3 ale and 2 cider from iad1.
func (w world) shipped(t *testing.T) (order string) {
	t.Helper()
	w.mustRestock(t, "iad1", "ale", 5)
	w.mustRestock(t, "iad1", "cider", 5)
	order = newOrder()
	w.mustReserve(t, w.request("iad1", order, wants("ale", 2, "cider", 2, "ale", 1), time.Minute))
	if _, err := w.Commit(t.Context(), &inventoryv1.CommitRequest{FcId: "iad1", OrderId: order}); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Ship(t.Context(), &inventoryv1.ShipRequest{FcId: "iad1", OrderId: order}); err != nil {
		t.Fatal(err)
	}
	return order
}

func returning(order, id string, pairs ...any) *inventoryv1.ReturnRequest {
	req := &inventoryv1.ReturnRequest{FcId: "iad1", OrderId: order, ReturnId: id}
	for i := 0; i < len(pairs); i += 2 {
		req.Lines = append(req.Lines, &inventoryv1.ReturnLine{Sku: pairs[i].(string), Quantity: int64(pairs[i+1].(int))})
	}
	return req
}

func TestWhatComesBackIsOnTheShelfOnce(t *testing.T) {
	w := newWorld(t)
	order := w.shipped(t)
	for _, already := range []bool{false, true} {
		resp, err := w.Return(t.Context(), returning(order, "r1", "ale", 1, "cider", 2))
		if err != nil || resp.GetAlreadyCounted() != already {
			t.Fatalf("%v, %v", resp, err)
		}
	}
	checkStock(t, w.db, "iad1/ale", 3, 0)
	checkStock(t, w.db, "iad1/cider", 5, 0)
	checkBooks(t, w.db, "iad1")
}

func TestNoMoreComesBackThanWasShipped(t *testing.T) {
	w := newWorld(t)
	order := w.shipped(t)
	_, err := w.Return(t.Context(), returning(order, "r1", "ale", 4))
	refused(t, err, problem.Precondition, "RETURNS_TOO_MUCH")
	served := 0
	for i, err := range together(8, func(i int) error {
		_, err := w.Return(context.Background(), returning(order, fmt.Sprint("each", i), "ale", 1))
		return err
	}) {
		if err == nil {
			served++
		} else if !problem.Is(err, "RETURNS_TOO_MUCH") {
			t.Errorf("return %d: %v", i, err)
		}
	}
	if served != 3 {
		t.Errorf("%d units came back, 3 were shipped", served)
	}
	_, err = w.Return(t.Context(), returning(order, "port", "port", 1))
	refused(t, err, problem.Precondition, "RETURNS_TOO_MUCH")
	checkStock(t, w.db, "iad1/ale", 5, 0)
	checkBooks(t, w.db, "iad1")
}

func TestOnlyWhatWasShippedFromThereComesBack(t *testing.T) {
	w := newWorld(t)
	w.mustRestock(t, "iad1", "ale", 5)
	order := newOrder()
	_, err := w.Return(t.Context(), returning(order, "r1", "ale", 1))
	refused(t, err, problem.Precondition, "NOT_SHIPPED")
	w.mustReserve(t, w.request("iad1", order, wants("ale", 1), time.Minute))
	_, err = w.Return(t.Context(), returning(order, "r1", "ale", 1))
	refused(t, err, problem.Precondition, "NOT_SHIPPED")
	checkStock(t, w.db, "iad1/ale", 4, 1)
}

func TestABadFieldOfAReturnIsNamed(t *testing.T) {
	w := newWorld(t)
	for field, req := range map[string]*inventoryv1.ReturnRequest{
		"return_id":         returning(newOrder(), "a/b", "ale", 1),
		"lines":             returning(newOrder(), "r"),
		"lines[0].sku":      returning(newOrder(), "r", "", 1),
		"lines[1].sku":      returning(newOrder(), "r", "ale", 1, "ale", 1),
		"lines[0].quantity": returning(newOrder(), "r", "ale", 1000),
	} {
		_, err := w.Return(t.Context(), req)
		refusesField(t, err, field)
	}
}

// drift a row, as a fault of the database or a hand would.
func (w world) drift(t *testing.T, change string) {
	t.Helper()
	sqldbtest.Texts(t, w.db, "UPDATE inventory SET "+change+" WHERE region = 'us-east-1' AND fc_id = 'iad1' AND sku = 'ale' RETURNING sku")
}

func TestCountsThatHaveDriftedAreListedAndPutRight(t *testing.T) {
	for name, change := range map[string]string{
		"too many available": "available = available + 2", "too few available": "available = available - 1",
		"too many reserved": "reserved = reserved + 1", "moved by nobody": "available = available + 1, reserved = reserved - 1",
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.mustRestock(t, "iad1", "ale", 5)
			w.mustRestock(t, "iad1", "cider", 5)
			w.mustReserve(t, w.request("iad1", newOrder(), wants("ale", 2), time.Minute))
			w.drift(t, change)
			found, err := w.Inconsistencies(t.Context(), 10)
			if err != nil || len(found) != 1 {
				t.Fatalf("found %v, %v", found, err)
			}
			if i := found[0]; i.FC != "iad1" || i.SKU != "ale" || i.RightAvailable != 3 || i.RightReserved != 2 || i.Oversold() {
				t.Fatalf("found %+v", i)
			}
			was, corrected, err := w.Compensate(t.Context(), "iad1", "ale")
			if err != nil || !corrected || was != found[0] {
				t.Fatalf("corrected %v: %+v, %v", corrected, was, err)
			}
			checkStock(t, w.db, "iad1/ale", 3, 2)
			if _, corrected, err = w.Compensate(t.Context(), "iad1", "ale"); err != nil || corrected {
				t.Errorf("corrected twice: %v", err)
			}
			if found, err = w.Inconsistencies(t.Context(), 10); err != nil || len(found) != 0 {
				t.Errorf("still found %v, %v", found, err)
			}
		})
	}
}

func TestARowThatIsGoneComesBackFromTheLedger(t *testing.T) {
	w := newWorld(t)
	w.mustRestock(t, "iad1", "ale", 5)
	sqldbtest.Texts(t, w.db, "DELETE FROM inventory WHERE region = 'us-east-1' AND fc_id = 'iad1' AND sku = 'ale' RETURNING sku")
	if _, corrected, err := w.Compensate(t.Context(), "iad1", "ale"); err != nil || !corrected {
		t.Fatalf("corrected %v, %v", corrected, err)
	}
	checkStock(t, w.db, "iad1/ale", 5, 0)
	checkBooks(t, w.db, "iad1")
}

func TestWhatIsOversoldIsToldAndLeftToAPerson(t *testing.T) {
	w := newWorld(t)
	w.mustRestock(t, "iad1", "ale", 5)
	w.mustReserve(t, w.request("iad1", newOrder(), wants("ale", 4), time.Minute))
	sqldbtest.Texts(t, w.db, "UPDATE inventory_events SET delta = 3 WHERE region = 'us-east-1' AND sku = 'ale' RETURNING sku")
	was, corrected, err := w.Compensate(t.Context(), "iad1", "ale")
	if err != nil || corrected || !was.Oversold() || was.RightAvailable != -1 {
		t.Errorf("corrected %v: %+v, %v", corrected, was, err)
	}
	checkStock(t, w.db, "iad1/ale", 1, 4)
}
