package audit

import (
	"context"
	"errors"
	"time"

	fulfillmentv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/fulfillment/v1"
	"github.com/cellar-commerce/cellar/internal/ident"
	"github.com/cellar-commerce/cellar/internal/sqldb"
)

var (
	stmtStock = sqldb.Define(sqldb.Regional, "audit.stock", `
SELECT fc_id, sku, available, reserved
FROM inventory
WHERE region = $1 AND (fc_id, sku) > ($2, $3)
ORDER BY fc_id, sku
LIMIT $4`)

	stmtBooked = sqldb.Define(sqldb.Regional, "audit.booked", `
SELECT e.fc_id, e.sku, sum(e.delta)::int8
FROM inventory_events AS e
WHERE e.region = $1
GROUP BY e.fc_id, e.sku`)

	stmtPromised = sqldb.Define(sqldb.Regional, "audit.promised", `
SELECT r.fc_id, r.sku, sum(r.quantity)::int8
FROM reservations AS r
WHERE r.region = $1 AND r.state IN ('HELD', 'COMMITTED')
GROUP BY r.fc_id, r.sku`)

	stmtReservations = sqldb.Define(sqldb.Regional, "audit.reservations", `
SELECT fc_id, order_id, line, sku, quantity, state, expires_at
FROM reservations
WHERE region = $1 AND line > 0
ORDER BY fc_id, order_id, line`)

	stmtShipments = sqldb.Define(sqldb.Regional, "audit.shipments", `
SELECT fc_id, order_id, shipment_id, state, due_at, short_picks
FROM shipments
WHERE region = $1
ORDER BY fc_id, order_id`)

	stmtShipped = sqldb.Define(sqldb.Regional, "audit.shipped", `
SELECT fc_id, source_id, sum(-delta)::int8
FROM inventory_events
WHERE region = $1 AND kind = 'ship'
GROUP BY fc_id, source_id`)
)

// place of a product.
type place struct{ fc, sku string }

// page of inventory rows read at once.
const page = 5000

// lookAtStock compares each row with the ledger and with what is promised to orders, in one snapshot's worth of time: a
// row that is changed between the reads looks wrong once, and not a second time.
func lookAtStock(ctx context.Context, deps Deps, f *findings, region ident.Region) error {
	booked, err := sums(ctx, deps.Regional, stmtBooked, region)
	if err != nil {
		return err
	}
	promised, err := sums(ctx, deps.Regional, stmtPromised, region)
	if err != nil {
		return err
	}
	var last place
	for {
		n := 0
		rows, err := deps.Regional.Query(ctx, stmtStock, string(region), last.fc, last.sku, page)
		if err != nil {
			return err
		}
		for rows.Next() {
			n++
			var available, reserved int64
			if err := rows.Scan(&last.fc, &last.sku, &available, &reserved); err != nil {
				rows.Close()
				return err
			}
			f.checkStock(last, available, reserved, booked[last], promised[last])
			delete(booked, last)
			delete(promised, last)
		}
		rows.Close()
		if err := rows.Err(); err != nil {
			return err
		}
		if n < page {
			break
		}
	}
	for at, n := range booked {
		f.add(noOversell, at.fc+"/"+at.sku, "the ledger has %d units of what the stock does not know", n)
	}
	return nil
}

func (f *findings) checkStock(at place, available, reserved, booked, promised int64) {
	f.checked[noOversell]++
	subject := at.fc + "/" + at.sku
	switch {
	case available < 0 || reserved < 0:
		f.add(noOversell, subject, "available %d, reserved %d: one is below zero", available, reserved)
	case available+reserved != booked:
		f.add(noOversell, subject, "available %d + reserved %d is not the ledger's %d", available, reserved, booked)
	case reserved != promised:
		f.add(noStuckStock, subject, "reserved %d, but orders hold %d", reserved, promised)
	}
}

func sums(ctx context.Context, db *sqldb.DB, s *sqldb.Statement, region ident.Region) (map[place]int64, error) {
	rows, err := db.Query(ctx, s, string(region))
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	all := map[place]int64{}
	for rows.Next() {
		var at place
		var n int64
		if err := rows.Scan(&at.fc, &at.sku, &n); err != nil {
			return nil, err
		}
		all[at] = n
	}
	return all, rows.Err()
}

// readReservations adds to each order what is set aside for it.
func readReservations(ctx context.Context, deps Deps, f *findings, orders map[string]*order, now time.Time) error {
	for _, region := range deps.Regions {
		rows, err := deps.Regional.Query(ctx, stmtReservations, string(region))
		if err != nil {
			return err
		}
		for rows.Next() {
			var r reservation
			var id string
			if err := rows.Scan(&r.fc, &id, &r.line, &r.sku, &r.quantity, &r.state, &r.expiresAt); err != nil {
				rows.Close()
				return err
			}
			f.checked[noStuckStock]++
			o := orders[id]
			if o == nil {
				// A saga makes its order first, and orders were read first: an order placed since has reservations that
				// are fresh.
				o = &order{missing: true}
				orders[id] = o
			}
			o.reservations = append(o.reservations, r)
			if r.state == "HELD" && now.Sub(r.expiresAt) > deps.Grace {
				f.add(noStuckStock, r.fc+"/"+id, "a hold that ran out at %s has not been given back", r.expiresAt.Format(time.RFC3339))
			}
		}
		rows.Close()
		if err := rows.Err(); err != nil {
			return err
		}
	}
	return nil
}

// readShipments adds to each order the parcels that FCs know of, and the units that left the books.
func readShipments(ctx context.Context, deps Deps, f *findings, orders map[string]*order) error {
	for _, region := range deps.Regions {
		rows, err := deps.Regional.Query(ctx, stmtShipments, string(region))
		if err != nil {
			return err
		}
		for rows.Next() {
			var s shipment
			var id string
			var missed []byte
			err := rows.Scan(&s.fc, &id, &s.id, &s.state, &s.dueAt, &missed)
			err = errors.Join(err, read(missed, func(d *fulfillmentv1.ShortPicks) { s.missed = d.GetShortPicks() }))
			if err != nil {
				rows.Close()
				return err
			}
			f.checked[once]++
			if o := orders[id]; o != nil {
				o.shipments = append(o.shipments, s)
			}
		}
		rows.Close()
		if err := rows.Err(); err != nil {
			return err
		}
		left, err := sums(ctx, deps.Regional, stmtShipped, region)
		if err != nil {
			return err
		}
		for at, n := range left {
			if o := orders[at.sku]; o != nil { // the source of a "ship" entry is the order
				o.left = append(o.left, departure{fc: at.fc, units: n})
			}
		}
	}
	return nil
}
