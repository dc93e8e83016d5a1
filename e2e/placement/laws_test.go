package placement

import (
	"context"
	"fmt"
	"log/slog"
	"testing"
	"time"

	"github.com/cellar-commerce/cellar/internal/saga"
	"github.com/cellar-commerce/cellar/internal/saga/sagatest"
	"github.com/cellar-commerce/cellar/internal/sqldb/sqldbtest"
)

// The placement's steps, over the real services, keep the laws that every saga's do.
func TestAPlacementKeepsTheLawsOfSagas(t *testing.T) {
	w := newWorld(t)
	steps := w.cell(t, "use1-b")
	sagatest.Laws(t, sagatest.Harness{
		Definition: steps.checkout.Placement(),
		Done:       "create_order",
		Begin:      func(context.Context) (string, error) { return w.begun(t), nil },
		Run:        w.sweepBy,
		Complete: func(_ context.Context, order string) error {
			return w.expect(t, order, "PAID, captured 1, refunded 0, sold 3, held 0, answered")
		},
		Clean: func(_ context.Context, order string) error {
			n, _ := w.captures(t, order)
			return w.expect(t, order, fmt.Sprintf("FAILED, captured %d, refunded %d, sold 0, held 0, refused", n, n))
		},
	})
	w.consistent(t)
}

// begun order of somebody whose cell has died since.
func (w *world) begun(t reporter) (order string) {
	t.Helper()
	c := w.start(t, "use1-a")
	defer c.stop()
	s := c.shopper()
	fromTwoRegions(t, s)
	req := payBy(s.quote(t), goodCard)
	c.faults.arm(func(_ int, point string) error {
		if point == "after a transaction" {
			return errDead
		}
		return nil
	})
	_, _ = s.place("key-1", req) // nobody is left to answer
	c.checkout.Drain()
	live := sqldbtest.Texts(t, w.customers, "SELECT saga_id FROM sagas WHERE region = 'us-east-1' AND status = 'RUNNING'")
	if len(live) != 1 {
		t.Fatalf("begun are %v", live)
	}
	return live[0]
}

// sweepBy a definition until the saga has ended.
func (w *world) sweepBy(ctx context.Context, d *saga.Definition, id string) (saga.Status, error) {
	e := saga.New(saga.Deps{
		DB: w.customers, Fence: w.fence, Clock: w.clock, Log: slog.New(slog.DiscardHandler), Cell: "use1-b", Rings: everything, Definitions: []*saga.Definition{d},
	})
	for range 10 {
		w.clock.Advance(20 * time.Second)
		if _, err := e.Sweep(ctx); err != nil {
			return "", err
		}
		in, err := e.Get(ctx, here, id)
		if err != nil || in.Status.Ended() {
			return in.Status, err
		}
	}
	return "", fmt.Errorf("%s never ends", id)
}

// expect what all databases and the network say of an order.
func (w *world) expect(t reporter, order, want string) error {
	status := append(sqldbtest.Texts(t, w.customers, "SELECT status FROM orders WHERE region = 'us-east-1' AND order_id = $1", order), "FAILED")[0]
	captured, _ := w.captures(t, order)
	refunded := 0
	for _, e := range w.ledger(t) {
		if e.Kind == "refund" && e.Reference == order {
			refunded++
		}
	}
	stock := sqldbtest.Texts(t, w.regional, `
SELECT format('sold %s, held %s', coalesce(sum(quantity) FILTER (WHERE state = 'COMMITTED'), 0), coalesce(sum(quantity) FILTER (WHERE state = 'HELD' AND expires_at > $2), 0))
FROM reservations
WHERE order_id = $1`, order, w.clock.Now())[0]
	answer := sqldbtest.Texts(t, w.customers, `
SELECT CASE WHEN answer IS NOT NULL THEN 'answered' WHEN refusal IS NOT NULL THEN 'refused' ELSE 'open' END
FROM idempotency_keys
WHERE region = 'us-east-1' AND method = 'PlaceOrder' AND resource_id = $1`, order)
	if got := fmt.Sprintf("%s, captured %d, refunded %d, %s, %s", status, captured, refunded, stock, answer[0]); got != want {
		return fmt.Errorf("it is %s", got)
	}
	return nil
}
