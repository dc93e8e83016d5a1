package inventory

import (
	"context"
	"fmt"
	"log/slog"
	"sync/atomic"
	"testing"
	"time"

	inventoryv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/inventory/v1"
	"github.com/cellar-commerce/cellar/internal/ident"
	"github.com/cellar-commerce/cellar/internal/problem"
	"github.com/cellar-commerce/cellar/internal/sqldb"
	"github.com/cellar-commerce/cellar/internal/sqldb/sqldbtest"
)

// trips counts round trips to the server.
type trips struct{ n atomic.Int64 }

func (*trips) TxRetried(sqldb.Database, string) {}
func (c *trips) Sent(sqldb.Database, int)       { c.n.Add(1) }

// took tells how many round trips something makes.
func (c *trips) took(do func()) int64 {
	before := c.n.Load()
	do()
	return c.n.Load() - before
}

// besides is another cell of the same region, on the same clock.
func (w world) besides() world {
	other := w
	deps := w.deps
	deps.Log = slog.New(slog.DiscardHandler)
	other.Service = New(deps)
	return other
}

func (w world) sellAt(fc, order string) error {
	_, err := w.Commit(context.Background(), &inventoryv1.CommitRequest{FcId: fc, OrderId: order})
	return err
}

func (w world) mustRelease(t reporter, fc, order string) {
	t.Helper()
	if _, err := w.Release(context.Background(), &inventoryv1.ReleaseRequest{FcId: fc, OrderId: order}); err != nil {
		t.Fatal(err)
	}
}

func TestWhatLiesThereInPlentyIsTakenAndSoldBlindlyInOneRoundTripEach(t *testing.T) {
	var c trips
	w := onDB(sqldbtest.New(t, sqldb.Regional, sqldbtest.WithObserver(&c)), nil)
	w.mustRestock(t, "iad1", "ale", 60)
	order := newOrder()
	if n := c.took(func() { w.mustReserve(t, w.request("iad1", order, wants("ale", 2), time.Hour)) }); n != 1 {
		t.Errorf("a reserve took %d round trips, want 1", n)
	}
	if n := c.took(func() {
		if err := w.sellAt("iad1", order); err != nil {
			t.Error(err)
		}
	}); n != 1 {
		t.Errorf("a commit took %d round trips, want 1", n)
	}
	checkBooks(t, w.db, "iad1")
	if err := w.sellAt("iad1", order); err != nil {
		t.Errorf("the same commit again: %v", err)
	}
}

func TestWhatGetsLowIsToldWhereItIsTakenBlindly(t *testing.T) {
	var c trips
	w := onDB(sqldbtest.New(t, sqldb.Regional, sqldbtest.WithObserver(&c)), nil)
	w.mustRestock(t, "iad1", "ale", 5)
	w.mustRestock(t, "iad1", "cider", 60)
	told := func() int {
		return len(sqldbtest.Texts(t, w.db, "SELECT message_id FROM outbox WHERE subject = 'stock.us-east-1.touched' AND destination = 'us-east-1' AND convert_from(payload, 'UTF8') LIKE '%ale%'"))
	}
	for _, want := range []int{0, 1, 0, 0, 1} { // 4, 3, 2, 1 and 0 are left
		before := told()
		if n := c.took(func() { w.mustReserve(t, w.request("iad1", newOrder(), wants("ale", 1, "cider", 1), time.Hour)) }); n != 1 {
			t.Errorf("a reserve took %d round trips, want 1", n)
		}
		if n := told() - before; n != want {
			t.Errorf("told %d times, want %d; rows:\n%s", n, want, rowsOf(t, w.db, "iad1"))
		}
	}
	if n := len(sqldbtest.Texts(t, w.db, "SELECT message_id FROM outbox WHERE convert_from(payload, 'UTF8') LIKE '%cider%'")); n != 1 {
		t.Errorf("of what lies there in plenty was told %d times, want once, of its delivery", n)
	}
	checkBooks(t, w.db, "iad1")
}

func TestABatchOfWhichOneTakesTooMuchIsNotWrittenBlindly(t *testing.T) {
	w := newWorld(t)
	w.mustRestock(t, "iad1", "ale", 20)
	w.mustRestock(t, "iad1", "cider", 1)
	_, err := w.Reserve(t.Context(), w.request("iad1", newOrder(), wants("ale", 2, "cider", 2), time.Hour))
	if !problem.Is(err, "OUT_OF_STOCK") {
		t.Errorf("got %v, want OUT_OF_STOCK", err)
	}
	if got, want := rowsOf(t, w.db, "iad1"), "ale 20+0\ncider 1+0"; got != want {
		t.Errorf("rows:\n%s\nwant:\n%s", got, want)
	}
}

func TestWhatAnotherCellHasDoneToAHoldCountsWhereItWouldBeSoldBlindly(t *testing.T) {
	cases := []struct {
		name   string
		do     func(t *testing.T, w, other world, order string)
		reason string
	}{
		{"given back", func(t *testing.T, _, other world, order string) { other.mustRelease(t, "iad1", order) }, "HOLD_RELEASED"},
		{"run out", func(_ *testing.T, w, _ world, _ string) { w.clock.Advance(2 * time.Hour) }, "HOLD_EXPIRED"},
		{"run out and swept", func(t *testing.T, w, other world, _ string) {
			w.clock.Advance(2 * time.Hour)
			if n, err := other.Sweep(t.Context()); n == 0 || err != nil {
				t.Fatal(n, err)
			}
		}, "HOLD_EXPIRED"},
		{"overtaken by its tombstone", func(t *testing.T, w, _ world, order string) {
			err := w.db.ExecText(t.Context(), fmt.Sprintf(`
INSERT INTO reservations (region, fc_id, order_id, line, sku, quantity, state, expires_at, changed_at)
VALUES ('us-east-1', 'iad1', '%s', 0, '', 0, 'RELEASED', now(), now())`, order))
			if err != nil {
				t.Fatal(err)
			}
		}, "HOLD_RELEASED"},
		{"sold and shipped already", func(t *testing.T, _, other world, order string) {
			if err := other.sellAt("iad1", order); err != nil {
				t.Fatal(err)
			}
			if _, err := other.Ship(t.Context(), &inventoryv1.ShipRequest{FcId: "iad1", OrderId: order}); err != nil {
				t.Fatal(err)
			}
		}, ""},
		{"sold already", func(t *testing.T, _, other world, order string) {
			if err := other.sellAt("iad1", order); err != nil {
				t.Fatal(err)
			}
		}, ""},
	}
	db := sqldbtest.New(t, sqldb.Regional)
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			w := onDB(db, nil)
			other, order, sku := w.besides(), newOrder(), "ale-"+ident.NewToken()[:8]
			w.mustRestock(t, "iad1", sku, 20)
			w.mustReserve(t, w.request("iad1", order, wants(sku, 1), time.Hour))
			c.do(t, w, other, order)
			before := rowsOf(t, db, "iad1")
			err := w.sellAt("iad1", order)
			if after := rowsOf(t, db, "iad1"); after != before {
				t.Errorf("rows before:\n%s\nand after:\n%s", before, after)
			}
			if (c.reason == "") != (err == nil) || (err != nil && !problem.Is(err, c.reason)) {
				t.Errorf("a commit gives %v, want %q", err, c.reason)
			}
		})
	}
}

func TestAnOrderThatAnotherCellHasBuriedIsNotHeldBlindly(t *testing.T) {
	w := newWorld(t)
	w.mustRestock(t, "iad1", "ale", 20)
	order := newOrder()
	w.besides().mustRelease(t, "iad1", order)
	if _, err := w.Reserve(t.Context(), w.request("iad1", order, wants("ale", 1), time.Hour)); !problem.Is(err, "HOLD_RELEASED") {
		t.Errorf("got %v, want HOLD_RELEASED", err)
	}
}

func TestALaneThatFailsBlindlyLooksForAWhileAndThenTriesAgain(t *testing.T) {
	var m memory
	take := []*command{{fc: "iad1", order: "o", kind: taking}}
	m.pause, m.resting = 2, 2
	for i, want := range []bool{false, false, true} {
		if _, ok := m.blindly(take); ok != want {
			t.Errorf("try %d: blindly %t, want %t", i, ok, want)
		}
	}
}

func TestALaneForgetsItsHoldsBeforeTheyAreTooMany(t *testing.T) {
	var m memory
	for range maxRemembered + 1 {
		m.remember(spot{"iad1", newOrder()}, nil)
	}
	if len(m.held) != 1 {
		t.Errorf("%d holds are remembered, want 1", len(m.held))
	}
}
