package order

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"testing"

	orderv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/order/v1"
	"github.com/cellar-commerce/cellar/internal/sqldb"
	"github.com/cellar-commerce/cellar/internal/sqldb/sqldbtest"
)

// erase what a customer's orders remember, and tell how many need their address still.
func (w world) erase(p placement) (int64, error) {
	resp, err := w.EraseAddresses(context.Background(), &orderv1.EraseAddressesRequest{CustomerId: string(p.customer)})
	return resp.GetRemaining(), err
}

// remembers what the placement of an order remembers.
func (w world) remembers(t *testing.T, p placement) []string {
	t.Helper()
	return sqldbtest.Texts(t, w.db, "SELECT convert_from(state, 'UTF8') FROM sagas WHERE saga_id = $1", string(p.id))
}

// placed leaves the saga of an order's placement as it is at the end.
func (w world) placed(t *testing.T, p placement, status string) {
	t.Helper()
	err := w.db.ExecText(t.Context(), fmt.Sprintf(`INSERT INTO sagas (region, saga_id, kind, customer_id, slot, status, step, state, attempts, due_at, holder, last_error, created_at, updated_at)
		VALUES ('us-east-1', '%s', 'placement', '%s', 0, '%s', 'answer', convert_to('1 Example Street', 'UTF8'), 0, now(), '', '', now(), now())`, p.id, p.customer, status))
	if err != nil {
		t.Fatal(err)
	}
}

// The process dies at the commit; whoever sweeps goes on. Each FC is told once, when the order is over, and not before.
func TestWhenAnOrderIsOverItsAddressIsErasedEverywhereOnce(t *testing.T) {
	var dies atomic.Bool
	w := newWorld(t, sqldbtest.WithFaults(func(p sqldb.Point) error {
		if p == sqldb.BeforeCommit && dies.CompareAndSwap(true, false) {
			return errors.New("the process died")
		}
		return nil
	}))
	w.timeFlies(t)
	over, open := newPlacement(), newPlacement()
	open.customer = over.customer
	for _, p := range []placement{over, open} {
		must(t, w.create(p), w.pay(p))
	}
	w.placed(t, over, "DONE")
	w.placed(t, open, "PARKED") // somebody has still to decide
	if _, err := w.cancelOrder(over); err != nil {
		t.Fatal(err)
	}
	dies.Store(true)
	if _, err := w.erase(over); err == nil || len(w.remembers(t, over)[0]) == 0 {
		t.Fatalf("it lives: %v", err)
	}
	for range 2 {
		left, err := w.erase(over)
		if err != nil || left != 1 {
			t.Fatalf("%d need their address, %v", left, err)
		}
	}
	if o := w.get(t, over); len(o.GetShipTo().GetLines()) != 0 || o.GetShipTo().GetRegionCode() != "US" {
		t.Errorf("kept of the address: %v", o.GetShipTo())
	}
	if w.remembers(t, over)[0] != "" || w.remembers(t, open)[0] == "" || len(w.get(t, open).GetShipTo().GetLines()) != 1 {
		t.Errorf("placements remember %q and %q", w.remembers(t, over), w.remembers(t, open))
	}
	told := sqldbtest.Texts(t, w.db, "SELECT subject || ' ' || message_id FROM outbox WHERE subject LIKE '%.erased' ORDER BY subject")
	want := []string{
		"fulfillment.us-east-1.iad1.erased order/" + string(over.id) + "/iad1/erased", "fulfillment.us-west-2.sea1.erased order/" + string(over.id) + "/sea1/erased",
	}
	if !slices.Equal(told, want) {
		t.Errorf("told %q, want %q", told, want)
	}
}
