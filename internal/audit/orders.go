package audit

import (
	"context"
	"fmt"
	"slices"
	"time"

	orderv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/order/v1"
	"github.com/cellar-commerce/cellar/internal/sqldb"
)

var (
	stmtOrders = sqldb.Define(sqldb.Customer, "audit.orders", `
SELECT o.order_id, o.status, o.total_minor_units, o.placed_at, coalesce(l.units, 0), coalesce(s.status, ''), coalesce(e.events, 0), o.last_seq
FROM orders AS o
LEFT JOIN (SELECT order_id, sum(quantity)::int8 AS units FROM order_lines WHERE region = $1 GROUP BY order_id) AS l ON l.order_id = o.order_id
LEFT JOIN (SELECT order_id, count(*) AS events FROM order_events WHERE region = $1 GROUP BY order_id) AS e ON e.order_id = o.order_id
LEFT JOIN sagas AS s ON s.region = $1 AND s.saga_id = o.order_id
WHERE o.region = $1`)

	stmtSagas = sqldb.Define(sqldb.Customer, "audit.sagas", `
SELECT saga_id, status
FROM sagas
WHERE region = $1 AND kind = 'placement'`)

	stmtAcknowledged = sqldb.Define(sqldb.Customer, "audit.acknowledged", `
SELECT resource_id
FROM idempotency_keys
WHERE region = $1 AND method = 'PlaceOrder' AND answer IS NOT NULL`)

	stmtUnpublished = sqldb.Define(sqldb.Customer, "audit.unpublished", `
SELECT count(*)
FROM outbox
WHERE region = $1 AND published_at IS NULL`)
)

// order with everything that hangs on it.
type order struct {
	missing      bool // there are rows of it, but no order
	status       string
	total        int64
	placedAt     time.Time
	units        int64
	saga         string
	events       int64
	lastSeq      int64
	acknowledged bool
	waiting      bool // events of its ring have not been published

	paidAt       time.Time
	parcels      map[string]int64 // units by FC, as paid for
	lines        map[lineAt]int64 // the same, by line
	shippedBy    []string         // FCs of its "shipped" events
	reservations []reservation
	shipments    []shipment
	left         []departure

	// pay is its payment, nil when there is none; charges, by id, what the card network did, and their sums.
	pay                *payment
	charges            map[string]*charge
	captured, refunded int64

	aftermath
}

type reservation struct {
	fc, sku, state string
	line           int32
	quantity       int64
	expiresAt      time.Time
}

type shipment struct {
	fc, id, state string
	dueAt         time.Time
	missed        []*orderv1.ShortPick
}

// departure of units from an FC's books.
type departure struct {
	fc    string
	units int64
}

func readOrders(ctx context.Context, deps Deps, f *findings) (map[string]*order, error) {
	all := map[string]*order{}
	for _, region := range deps.Regions {
		var waiting int64
		if err := deps.Customers.QueryRow(ctx, stmtUnpublished, string(region)).Scan(&waiting); err != nil {
			return nil, err
		}
		rows, err := deps.Customers.Query(ctx, stmtOrders, string(region))
		if err != nil {
			return nil, err
		}
		for rows.Next() {
			o := &order{parcels: map[string]int64{}, lines: map[lineAt]int64{}, waiting: waiting > 0}
			var id string
			if err := rows.Scan(&id, &o.status, &o.total, &o.placedAt, &o.units, &o.saga, &o.events, &o.lastSeq); err != nil {
				rows.Close()
				return nil, err
			}
			all[id] = o
		}
		rows.Close()
		if err := rows.Err(); err != nil {
			return nil, err
		}
		if err := readEvents(ctx, deps.Customers, string(region), all); err != nil {
			return nil, err
		}
		if err := readPromises(ctx, deps.Customers, string(region), all); err != nil {
			return nil, err
		}
		if err := readFollowing(ctx, deps.Customers, f, string(region), all); err != nil {
			return nil, err
		}
	}
	return all, nil
}

func readEvents(ctx context.Context, db *sqldb.DB, region string, all map[string]*order) error {
	rows, err := db.Query(ctx, stmtEvents, region)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var id, kind string
		var at time.Time
		var detail []byte
		if err := rows.Scan(&id, &kind, &at, &detail); err != nil {
			return err
		}
		if o := all[id]; o != nil {
			if err := o.take(kind, at, detail); err != nil {
				return fmt.Errorf("event of %s: %w", id, err)
			}
		}
	}
	return rows.Err()
}

// readPromises marks what was promised to shoppers: sagas that must end, and answers that were given. What has no order
// gets one that is missing.
func readPromises(ctx context.Context, db *sqldb.DB, region string, all map[string]*order) error {
	type promise struct{ id, saga string }
	promises, err := sqldb.Collect(ctx, db, stmtSagas, func(r sqldb.Row) (p promise, err error) {
		err = r.Scan(&p.id, &p.saga)
		return p, err
	}, region)
	if err != nil {
		return err
	}
	for _, p := range promises {
		if all[p.id] == nil {
			all[p.id] = &order{missing: true, saga: p.saga}
		}
	}
	answers, err := sqldb.Collect(ctx, db, stmtAcknowledged, func(r sqldb.Row) (id string, err error) {
		err = r.Scan(&id)
		return id, err
	}, region)
	if err != nil {
		return err
	}
	for _, id := range answers {
		if all[id] == nil {
			all[id] = &order{missing: true}
		}
		all[id].acknowledged = true
	}
	return nil
}

// live tells whether a saga still works on the order.
func (o *order) live() bool { return o.saga == "RUNNING" || o.saga == "UNDOING" || o.following }

// paid tells whether the order was placed, whatever became of it since.
func (o *order) paid() bool {
	return o.status == "PAID" || o.status == "SHIPPED" || o.status == "CANCELED"
}

// check every promise that concerns one order.
func (o *order) check(f *findings, id string, now time.Time, grace time.Duration) {
	o.checkMoney(f, id)
	if o.missing {
		o.checkMissing(f, id, now)
		return
	}
	o.checkMissed(f, id, now, grace)
	o.checkEnd(f, id, now, grace)
	o.checkWhole(f, id)
	o.checkOnce(f, id, now, grace)
	o.checkLines(f, id)
	o.checkParcels(f, id)
	o.checkWaiting(f, id, now, grace)
}

// checkMissing: what has no order may be the tail of one that has just begun, and must not hold goods or money.
func (o *order) checkMissing(f *findings, id string, now time.Time) {
	if o.acknowledged {
		f.add(noLostOrder, id, "was acknowledged, and does not exist")
	}
	if o.live() {
		return
	}
	for _, r := range o.reservations {
		if r.state == "COMMITTED" || r.state == "SHIPPED" || (r.state == "HELD" && r.expiresAt.After(now)) {
			f.add(noStuckStock, r.fc+"/"+id, "%d of %s are %s for an order that does not exist", r.quantity, r.sku, r.state)
		}
	}
}

func (o *order) checkEnd(f *findings, id string, now time.Time, grace time.Duration) {
	f.checked[noLostOrder]++
	switch {
	case o.acknowledged && !o.paid():
		f.add(noLostOrder, id, "was acknowledged, and is %s", o.status)
	case o.saga == "PARKED":
		f.add(noLostOrder, id, "its saga is parked: somebody has to decide")
	case o.status == "PENDING" && !o.live():
		f.add(noLostOrder, id, "is PENDING and nothing works on it")
	case o.status == "PENDING" && now.Sub(o.placedAt) > grace:
		f.add(noLostOrder, id, "is PENDING since %s", o.placedAt.Format(time.RFC3339))
	case o.events != o.lastSeq:
		f.add(noLostOrder, id, "has %d events, its projection %d", o.events, o.lastSeq)
	}
}

// checkWhole: paid means that all is sold and the money taken; anything else that nothing is.
func (o *order) checkWhole(f *findings, id string) {
	if o.live() {
		return // between its steps an order is neither
	}
	f.checked[allOrNothing]++
	var sold int64
	var open []string
	for _, r := range o.reservations {
		switch r.state {
		case "COMMITTED", "SHIPPED":
			sold += r.quantity
		case "HELD":
			open = append(open, r.fc)
		}
	}
	kept := o.kept()
	switch {
	case o.paid() && (kept != o.keeps() || !o.paymentFits()):
		f.add(allOrNothing, id, "is %s, with %d of %d taken and its payment %s", o.status, kept, o.keeps(), o.payState())
	case o.paid() && sold != o.sold():
		f.add(allOrNothing, id, "is %s, with %d of %d units sold", o.status, sold, o.sold())
	case !o.paid() && kept != 0:
		f.add(allOrNothing, id, "is %s, and %d is taken", o.status, kept)
	case !o.paid() && o.pay != nil && !o.pay.ended():
		f.add(allOrNothing, id, "is %s, and its payment %s", o.status, o.payState())
	case !o.paid() && sold != 0:
		f.add(allOrNothing, id, "is %s, and %d units are sold", o.status, sold)
	case !o.paid() && len(open) > 0 && o.saga == "UNDONE":
		f.add(noStuckStock, id, "is undone, and stock is held at %s", short(open))
	}
}

// checkOnce: each parcel that was paid for leaves once, with what was paid for, and the order hears of it once.
func (o *order) checkOnce(f *findings, id string, now time.Time, grace time.Duration) {
	seen := map[string]bool{}
	for _, s := range o.shipments {
		if _, paidFor := o.parcels[s.fc]; !paidFor && s.state != "CANCELED" {
			f.add(once, id, "%s ships what was not paid for there", s.fc)
		}
		seen[s.fc] = true
	}
	for _, d := range o.left {
		if want := o.parcels[d.fc]; d.units != want {
			f.add(once, id, "%d units left %s, of %d paid for", d.units, d.fc, want)
		}
	}
	told := slices.Clone(o.shippedBy)
	slices.Sort(told)
	if len(slices.Compact(told)) != len(o.shippedBy) {
		f.add(once, id, "heard of a parcel twice: %s", short(o.shippedBy))
	}
	if !o.paid() || o.waiting || now.Sub(o.paidAt) < grace {
		return
	}
	for fc := range o.parcels {
		if !seen[fc] && !o.following {
			f.add(noLostOrder, id, "%s was never asked for its parcel", fc)
		}
	}
	if o.status == "PAID" && len(o.left)+len(o.canceled) == len(o.parcels) {
		f.add(noLostOrder, id, "all its parcels have left, and it is PAID since %s", o.paidAt.Format(time.RFC3339))
	}
}
