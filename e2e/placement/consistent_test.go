package placement

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/cellar-commerce/cellar/internal/audit"
	"github.com/cellar-commerce/cellar/internal/cardnetwork"
	"github.com/cellar-commerce/cellar/internal/ident"
	"github.com/cellar-commerce/cellar/internal/sqldb"
	"github.com/cellar-commerce/cellar/internal/sqldb/sqldbtest"
)

// law of a database that is at rest: its query finds what breaks it.
type law struct {
	name, broken string
}

var customerLaws = []law{
	{"every placement has ended", `
SELECT format('%s is %s at %s', saga_id, status, step)
FROM sagas
WHERE region = 'us-east-1' AND status NOT IN ('DONE', 'UNDONE')`},
	{"an order is PAID or FAILED as its placement is done or undone", `
SELECT format('%s is %s, its placement %s', coalesce(s.saga_id, o.order_id), o.status, s.status)
FROM sagas AS s
FULL JOIN orders AS o ON o.region = s.region AND o.order_id = s.saga_id
WHERE NOT coalesce((s.status = 'DONE' AND o.status = 'PAID') OR (s.status = 'UNDONE' AND coalesce(o.status, 'FAILED') = 'FAILED'), false)`},
	{"the key of each placement, and no other, has its answer or its refusal", `
SELECT format('%s of %s, answer %s, refusal %s', coalesce(s.saga_id, k.resource_id), s.status, k.answer IS NOT NULL, k.refusal IS NOT NULL)
FROM sagas AS s
FULL JOIN (SELECT * FROM idempotency_keys WHERE method = 'PlaceOrder') AS k ON k.region = s.region AND k.resource_id = s.saga_id
WHERE NOT coalesce((s.status = 'DONE') = (k.answer IS NOT NULL) AND (s.status = 'UNDONE') = (k.refusal IS NOT NULL), false)`},
	{"a quote is used by the placement that is done, and by no other", `
SELECT format('%s is %s, its quote used %s', coalesce(s.saga_id, k.resource_id), s.status, k.resource_id IS NOT NULL)
FROM sagas AS s
FULL JOIN (SELECT * FROM idempotency_keys WHERE method = 'quote') AS k ON k.region = s.region AND k.resource_id = s.saga_id
WHERE (coalesce(s.status, '') = 'DONE') <> (k.resource_id IS NOT NULL)`},
	{"the payment of a PAID order is CAPTURED in full, of any other never", `
SELECT format('%s is %s, its payment of %s %s', coalesce(o.order_id, p.order_id), o.status, p.amount_minor_units, p.state)
FROM orders AS o
FULL JOIN payments AS p ON p.region = o.region AND p.order_id = o.order_id
WHERE (o.order_id IS NULL AND p.state <> 'VOIDED') OR (o.status = 'PAID') <> (coalesce(p.state, '') = 'CAPTURED') OR p.state = 'PENDING' OR (o.status = 'PAID' AND p.amount_minor_units <> o.total_minor_units)`},
	{"an order's total is the sum of its lines and what is put on top", `
SELECT format('%s costs %s', o.order_id, o.total_minor_units)
FROM orders AS o
WHERE o.items_minor_units <> (SELECT sum(l.quantity * l.unit_price_minor_units) FROM order_lines AS l WHERE l.region = o.region AND l.order_id = o.order_id)`},
	{"the cart has been emptied once for each PAID order, and for no other", `
SELECT format('%s is %s, %s', o.order_id, o.status, c.cause)
FROM orders AS o
LEFT JOIN cart_changes AS c ON c.region = o.region AND c.customer_id = o.customer_id AND c.cause = 'order/' || o.order_id
WHERE (o.status = 'PAID') <> (c.cause IS NOT NULL)`},
	{"an event is sent once", `
SELECT message_id
FROM outbox
GROUP BY message_id
HAVING count(*) > 1`},
}

var stockLaws = []law{
	{"available and reserved make what the ledger says", `
SELECT format('%s at %s: %s+%s', i.sku, i.fc_id, i.available, i.reserved)
FROM inventory AS i
WHERE i.available < 0 OR i.available + i.reserved <> (
  SELECT coalesce(sum(e.delta), 0) FROM inventory_events AS e WHERE e.region = i.region AND e.fc_id = i.fc_id AND e.sku = i.sku
)`},
	{"reserved is what is held or sold", `
SELECT format('%s at %s: %s', i.sku, i.fc_id, i.reserved)
FROM inventory AS i
WHERE i.reserved <> (
  SELECT coalesce(sum(r.quantity), 0)
  FROM reservations AS r
  WHERE r.region = i.region AND r.fc_id = i.fc_id AND r.sku = i.sku AND r.state IN ('HELD', 'COMMITTED')
)`},
}

// consistent holds everything there is against the promises: nothing may be under way. Holds that have run out are swept
// first, as each region does every other second.
func (w *world) consistent(t reporter) {
	t.Helper()
	w.sweepHolds(t)
	for _, l := range customerLaws {
		if broken := sqldbtest.Texts(t, w.customers, l.broken); len(broken) > 0 {
			t.Errorf("%s; but:\n%s", l.name, strings.Join(broken, "\n"))
		}
	}
	for _, l := range stockLaws {
		if broken := sqldbtest.Texts(t, w.regional, l.broken); len(broken) > 0 {
			t.Errorf("%s; but:\n%s", l.name, strings.Join(broken, "\n"))
		}
	}
	w.moneyAgrees(t)
	w.stockAgrees(t)
	w.audited(t)
}

// pairs of a query's column of "key value".
func pairs(t reporter, db *sqldb.DB, query string) map[string]string {
	t.Helper()
	all := map[string]string{}
	for _, s := range sqldbtest.Texts(t, db, query) {
		key, value, _ := strings.Cut(s, " ")
		all[key] = value
	}
	return all
}

// moneyAgrees: the network has kept the total of each PAID order, taken in one piece, and nothing else.
func (w *world) moneyAgrees(t reporter) {
	t.Helper()
	want := pairs(t, w.customers, "SELECT order_id || ' ' || total_minor_units FROM orders WHERE region = 'us-east-1' AND status = 'PAID'")
	kept := map[string]int64{}
	captures := map[string]int{}
	for _, e := range w.ledger(t) {
		switch e.Kind {
		case cardnetwork.KindCapture:
			kept[e.Reference] += e.Amount
			captures[e.Reference]++
		case cardnetwork.KindRefund:
			kept[e.Reference] -= e.Amount
		default: // moves no money
		}
	}
	for order, n := range captures {
		if n > 1 {
			t.Errorf("%s was captured %d times", order, n)
		}
	}
	for order, amount := range kept {
		if amount != 0 && strconv.FormatInt(amount, 10) != want[order] {
			t.Errorf("the network keeps %d of %s, which costs %q", amount, order, want[order])
		}
	}
	for order, total := range want {
		if strconv.FormatInt(kept[order], 10) != total {
			t.Errorf("%s is PAID and costs %s; the network has %d", order, total, kept[order])
		}
	}
}

func (w *world) ledger(t reporter) []cardnetwork.Entry {
	t.Helper()
	const limit = 10_000
	page, err := w.network.Ledger(context.Background(), 0, limit)
	must(t, err)
	if len(page.Entries) == limit {
		t.Fatal("the ledger is longer than a page")
	}
	return page.Entries
}

// captures of an order at the network.
func (w *world) captures(t reporter, order string) (n int, amount int64) {
	t.Helper()
	for _, e := range w.ledger(t) {
		if e.Kind == cardnetwork.KindCapture && e.Reference == order {
			n, amount = n+1, amount+e.Amount
		}
	}
	return n, amount
}

// stockAgrees: what is sold is what PAID orders have in their lines and their FCs were asked to ship. An order that has
// failed holds nothing; one that is paid may wait for a hold to run out where nobody answered.
func (w *world) stockAgrees(t reporter) {
	t.Helper()
	ordered := sqldbtest.Texts(t, w.customers, `
SELECT format('%s %s×%s', o.order_id, l.sku, sum(l.quantity))
FROM orders AS o
JOIN order_lines AS l ON l.region = o.region AND l.order_id = o.order_id
WHERE o.region = 'us-east-1' AND o.status = 'PAID'
GROUP BY o.order_id, l.sku
ORDER BY 1`)
	sold := sqldbtest.Texts(t, w.regional, `
SELECT format('%s %s×%s', order_id, sku, sum(quantity))
FROM reservations
WHERE state = 'COMMITTED'
GROUP BY order_id, sku
ORDER BY 1`)
	same(t, "sold", sold, "ordered", ordered)
	asked := sqldbtest.Texts(t, w.customers, "SELECT message_id FROM outbox WHERE region = 'us-east-1' ORDER BY message_id")
	parcels := sqldbtest.Texts(t, w.regional, "SELECT DISTINCT format('order/%s/%s/requested', order_id, fc_id) FROM reservations WHERE state = 'COMMITTED' ORDER BY 1")
	slices.Sort(asked)
	slices.Sort(parcels)
	same(t, "asked to ship", asked, "sold", parcels)
	paid := pairs(t, w.customers, "SELECT order_id || ' paid' FROM orders WHERE region = 'us-east-1' AND status = 'PAID'")
	for _, order := range sqldbtest.Texts(t, w.regional, "SELECT order_id FROM reservations WHERE state = 'HELD' AND expires_at > $1", w.clock.Now()) {
		if paid[order] == "" {
			t.Errorf("stock is held for %s, which is not paid", order)
		}
	}
}

func same(t reporter, what string, got []string, ofWhat string, want []string) {
	t.Helper()
	slices.Sort(got)
	slices.Sort(want)
	if slices.Equal(got, want) {
		return
	}
	t.Errorf("only %s: %v; only %s: %v", what, missing(got, want), ofWhat, missing(want, got))
}

// missing from b, of a.
func missing(a, b []string) []string {
	set := map[string]bool{}
	for _, s := range a {
		set[s] = true
	}
	for _, s := range b {
		delete(set, s)
	}
	return slices.Sorted(maps.Keys(set))
}

// audited: the platform's own audit finds nothing either.
func (w *world) audited(t reporter) {
	t.Helper()
	report, err := audit.Run(context.Background(), audit.Deps{
		Customers: w.customers, Regional: w.regional, Ledger: w.network, Regions: ident.Regions(), Clock: w.clock, Grace: time.Minute,
	})
	must(t, err)
	for _, p := range report.Promises {
		if len(p.Violations) > 0 {
			t.Errorf("the audit finds that %q does not hold: %s", p.Name, strings.Join(p.Violations, "; "))
		}
	}
}

// settle lets cells sweep until no placement is live any more, a new one when the one before has died; within so much of
// their time, or an hour.
func (c *cell) settle(t reporter, within ...time.Duration) {
	t.Helper()
	const live = "SELECT saga_id FROM sagas WHERE region = 'us-east-1' AND status IN ('RUNNING', 'UNDOING')"
	limit := append(within, time.Hour)[0]
	begun := c.clock.Now()
	for sweeper := c; ; {
		_, err := sweeper.checkout.Sweep(context.Background())
		if sweeper.faults.died() { // somebody else goes on
			sweeper = c.world.start(t, "use1-c")
			defer sweeper.stop()
			begun = c.clock.Now()
			continue
		}
		must(t, err)
		if len(sqldbtest.Texts(t, c.customers, live)) == 0 {
			return
		}
		if c.clock.Now().Sub(begun) >= limit {
			break
		}
		c.clock.Advance(5 * time.Second)
	}
	t.Fatal(fmt.Sprint("placements have not ended after ", limit, ": ", sqldbtest.Texts(t, c.customers, "SELECT format('%s %s %s', status, step, last_error) FROM sagas WHERE status IN ('RUNNING', 'UNDOING')")))
}
