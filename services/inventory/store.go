package inventory

import (
	"context"
	"errors"
	"maps"
	"slices"
	"time"

	"github.com/cellar-commerce/cellar/internal/ident"
	"github.com/cellar-commerce/cellar/internal/sqldb"
)

var (
	stmtConcerned = sqldb.Define(sqldb.Regional, "inventory.concerned", `
SELECT DISTINCT sku
FROM reservations
WHERE region = $1 AND fc_id = $2 AND order_id = ANY ($3::text[]) AND state IN ('HELD', 'COMMITTED')`)

	// On PostgreSQL one look-up a key, in the order of the list, which is sorted: asked for a list of keys in order, its
	// planner walks the whole FC instead, and with statistics that are behind it does so for a join too.
	stmtLockReservations = sqldb.Define(sqldb.Regional, "inventory.lock_reservations", `
/*@PG SELECT r.order_id, r.line, r.sku, r.quantity, r.state, r.expires_at
FROM unnest($3::text[]) AS o (wanted)
CROSS JOIN LATERAL (
  SELECT order_id, line, sku, quantity, state, expires_at
  FROM reservations
  WHERE region = $1 AND fc_id = $2 AND order_id = o.wanted
  ORDER BY line
  FOR UPDATE
) AS r @*/
/*@CRDB SELECT order_id, line, sku, quantity, state, expires_at
FROM reservations
WHERE region = $1 AND fc_id = $2 AND order_id = ANY ($3::text[])
ORDER BY order_id, line
FOR UPDATE @*/`)

	stmtLockStock = sqldb.Define(sqldb.Regional, "inventory.lock_stock", `
/*@PG SELECT i.sku, i.available, i.reserved
FROM unnest($3::text[]) AS s (wanted)
CROSS JOIN LATERAL (
  SELECT sku, available, reserved
  FROM inventory
  WHERE region = $1 AND fc_id = $2 AND sku = s.wanted
  FOR UPDATE
) AS i @*/
/*@CRDB SELECT sku, available, reserved
FROM inventory
WHERE region = $1 AND fc_id = $2 AND sku = ANY ($3::text[])
ORDER BY sku
FOR UPDATE @*/`)

	stmtInsertReservations = sqldb.Define(sqldb.Regional, "inventory.insert_reservations", `
INSERT INTO reservations (region, fc_id, order_id, line, sku, quantity, state, expires_at, changed_at)
SELECT $1::crdb_internal_region, $2, r.order_id, r.line, r.sku, r.quantity, r.state, r.expires_at, $9
FROM unnest($3::text[], $4::int4[], $5::text[], $6::int8[], $7::text[], $8::timestamptz[]) AS r (order_id, line, sku, quantity, state, expires_at)
ON CONFLICT (region, fc_id, order_id, line) DO NOTHING`)

	// Guarded by what was read, although it was read under lock: locks of CockroachDB are best effort.
	stmtUpdateReservations = sqldb.Define(sqldb.Regional, "inventory.update_reservations", `
UPDATE reservations AS r
SET state = u.state, expires_at = u.expires_at, changed_at = $7
FROM unnest($3::text[], $4::int4[], $5::text[], $6::timestamptz[]) AS u (order_id, line, state, expires_at)
WHERE r.region = $1 AND r.fc_id = $2 AND r.order_id = u.order_id AND r.line = u.line AND r.state NOT IN ('SHIPPED', 'RELEASED')`)

	stmtMove = sqldb.Define(sqldb.Regional, "inventory.move", `
UPDATE inventory AS i
SET available = i.available + m.available, reserved = i.reserved + m.reserved
FROM unnest($3::text[], $4::int8[], $5::int8[]) AS m (sku, available, reserved)
WHERE i.region = $1 AND i.fc_id = $2 AND i.sku = m.sku`)

	stmtRunOut = sqldb.Define(sqldb.Regional, "inventory.run_out", `
SELECT order_id, line, sku, quantity, state, expires_at
FROM reservations
WHERE region = $1 AND fc_id = $2 AND sku = ANY ($3::text[]) AND state = 'HELD' AND expires_at <= $4
ORDER BY order_id, line
LIMIT $5
FOR UPDATE SKIP LOCKED`)

	stmtDueExpiries = sqldb.Define(sqldb.Regional, "inventory.due_expiries", `
SELECT fc_id, sku
FROM reservations
WHERE region = $1 AND state = 'HELD' AND expires_at <= $2
ORDER BY expires_at
LIMIT $3`)

	stmtListStock = sqldb.Define(sqldb.Regional, "inventory.list_stock", `
SELECT i.fc_id, i.sku, i.available + coalesce((
  SELECT sum(r.quantity)
  FROM reservations AS r
  WHERE r.region = $1 AND r.fc_id = i.fc_id AND r.sku = i.sku AND r.state = 'HELD' AND r.expires_at <= $3
), 0)::int8 AS available
FROM inventory AS i
WHERE i.region = $1 AND i.sku = ANY ($2::text[])`)

	stmtRecord = sqldb.Define(sqldb.Regional, "inventory.record", `
INSERT INTO inventory_events (region, fc_id, kind, source_id, sku, delta, reason, at)
SELECT $1::crdb_internal_region, e.fc_id, $2, $3, e.sku, e.delta, $7, $8
FROM unnest($4::text[], $5::text[], $6::int8[]) AS e (fc_id, sku, delta)
ON CONFLICT (region, fc_id, kind, source_id, sku) DO NOTHING
RETURNING fc_id, sku, delta`)

	stmtRecordShipments = sqldb.Define(sqldb.Regional, "inventory.record_shipments", `
INSERT INTO inventory_events (region, fc_id, kind, source_id, sku, delta, reason, at)
SELECT $1::crdb_internal_region, $2, 'ship', e.order_id, e.sku, e.delta, '', $6
FROM unnest($3::text[], $4::text[], $5::int8[]) AS e (order_id, sku, delta)`)

	stmtAdd = sqldb.Define(sqldb.Regional, "inventory.add", `
INSERT INTO inventory (region, fc_id, sku, available, reserved)
SELECT $1::crdb_internal_region, a.fc_id, a.sku, a.delta, 0
FROM unnest($2::text[], $3::text[], $4::int8[]) AS a (fc_id, sku, delta)
ORDER BY a.fc_id, a.sku
ON CONFLICT (region, fc_id, sku) DO UPDATE
SET available = inventory.available + excluded.available`)

	// A correction never makes a row: an insert of a negative count would break the row's check before the conflict is
	// looked at.
	stmtCorrect = sqldb.Define(sqldb.Regional, "inventory.correct", `
UPDATE inventory
SET available = available + $4
WHERE region = $1 AND fc_id = $2 AND sku = $3`)
)

// placeOf a batch: one FC, at one time.
type placeOf struct {
	region ident.Region
	fc     string
	now    time.Time
}

func (p placeOf) args(more ...any) []any { return append([]any{string(p.region), p.fc}, more...) }

// concerned finds the products whose stock a batch has to lock, and its orders, both sorted.
func (p placeOf) concerned(ctx context.Context, tx sqldb.Tx, batch []*command, locks map[string]bool) (skus, orders []string, err error) {
	all, touched, unique := map[string]bool{}, []string(nil), map[string]bool{}
	maps.Copy(all, locks)
	for _, cmd := range batch {
		unique[string(cmd.order)] = true
		if cmd.touches {
			touched = append(touched, string(cmd.order))
		}
		for _, l := range cmd.lines {
			all[l.sku] = true
		}
	}
	if len(touched) > 0 {
		found, err := sqldb.Collect(ctx, tx, stmtConcerned, func(r sqldb.Row) (sku string, err error) {
			err = r.Scan(&sku)
			return sku, err
		}, p.args(touched)...)
		if err != nil {
			return nil, nil, err
		}
		for _, sku := range found {
			all[sku] = true
		}
	}
	return slices.Sorted(maps.Keys(all)), slices.Sorted(maps.Keys(unique)), nil
}

// load a book under lock: first the stock, then the reservations, each in the order of its key.
func (p placeOf) load(ctx context.Context, tx sqldb.Tx, b *book, skus, orders []string) error {
	if err := p.lockStock(ctx, tx, b, skus); err != nil || len(orders) == 0 {
		return err
	}
	rows, err := sqldb.Collect(ctx, tx, stmtLockReservations, scanHold, p.args(orders)...)
	if err != nil {
		return err
	}
	for _, r := range rows {
		o := b.order(r.order)
		if r.number == 0 {
			o.tombstone = true
		} else {
			o.rows = append(o.rows, r)
		}
	}
	return nil
}

func (p placeOf) lockStock(ctx context.Context, tx sqldb.Tx, b *book, skus []string) error {
	if len(skus) == 0 {
		return nil
	}
	rows, err := tx.Query(ctx, stmtLockStock, p.args(skus)...)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var sku string
		var s stockRow
		if err := rows.Scan(&sku, &s.available, &s.reserved); err != nil {
			return err
		}
		s.availableBefore, s.reservedBefore = s.available, s.reserved
		b.stock[sku] = &s
	}
	return rows.Err()
}

func scanHold(r sqldb.Row) (*holdRow, error) {
	var out holdRow
	err := r.Scan(&out.order, &out.number, &out.sku, &out.quantity, &out.state, &out.expiresAt)
	return &out, err
}

// loadRunOut adds up to limit holds of these products that have run out; those that another transaction is working on
// are left to it. Orders that the book has are left out: their rows are in it.
func (p placeOf) loadRunOut(ctx context.Context, tx sqldb.Tx, b *book, skus []string, limit int) error {
	rows, err := sqldb.Collect(ctx, tx, stmtRunOut, scanHold, p.args(skus, p.now, limit)...)
	if err != nil {
		return err
	}
	for _, r := range rows {
		if b.orders[r.order] == nil || len(b.orders[r.order].rows) == 0 {
			b.runOut = append(b.runOut, r)
		}
	}
	return nil
}

// errTwin: another cell has written the same rows; once it has committed, they are the answer.
var errTwin = errors.New("the same reservations were made at the same time")

// save what has changed in a book, in one round trip.
func (p placeOf) save(ctx context.Context, tx sqldb.Tx, b *book) error {
	var out sqldb.Batch
	all := func(want int) func(int64) error {
		return func(n int64) error {
			if n != int64(want) {
				return errTwin
			}
			return nil
		}
	}
	fresh, changed := b.writes()
	if n := len(fresh); n > 0 {
		c := columnsOf(fresh)
		out.Queue(stmtInsertReservations, all(n), p.args(c.orders, c.lines, c.skus, c.quantities, c.states, c.expiries, p.now)...)
	}
	if n := len(changed); n > 0 {
		c := columnsOf(changed)
		out.Queue(stmtUpdateReservations, all(n), p.args(c.orders, c.lines, c.states, c.expiries, p.now)...)
	}
	if skus, available, reserved := b.moves(); len(skus) > 0 {
		out.Queue(stmtMove, all(len(skus)), p.args(skus, available, reserved)...)
	}
	if n := len(b.shipped); n > 0 {
		orders, skus, deltas := make([]string, n), make([]string, n), make([]int64, n)
		for i, s := range b.shipped {
			orders[i], skus[i], deltas[i] = s.order, s.sku, -s.units
		}
		out.Queue(stmtRecordShipments, all(n), p.args(orders, skus, deltas, p.now)...)
	}
	return tx.Send(ctx, &out)
}

// writes are the reservations to insert, tombstones among them, and those to update; by order and line.
func (b *book) writes() (fresh, changed []*holdRow) {
	for _, id := range slices.Sorted(maps.Keys(b.orders)) {
		o := b.orders[id]
		if o.buried {
			fresh = append(fresh, &holdRow{reservation: reservation{state: Released, expiresAt: b.now}, order: id})
		}
		for _, r := range o.rows {
			switch {
			case r.isNew:
				fresh = append(fresh, r)
			case r.changed:
				changed = append(changed, r)
			}
		}
	}
	for _, r := range b.runOut {
		if r.changed {
			changed = append(changed, r)
		}
	}
	return fresh, changed
}

// moves of units, by SKU.
func (b *book) moves() (skus []string, available, reserved []int64) {
	for _, sku := range slices.Sorted(maps.Keys(b.stock)) {
		s := b.stock[sku]
		if s.available != s.availableBefore || s.reserved != s.reservedBefore {
			skus = append(skus, sku)
			available, reserved = append(available, s.available-s.availableBefore), append(reserved, s.reserved-s.reservedBefore)
		}
	}
	return skus, available, reserved
}

// holdColumns of reservations, for unnest.
type holdColumns struct {
	orders, skus, states []string
	lines                []int32
	quantities           []int64
	expiries             []time.Time
}

func columnsOf(rows []*holdRow) holdColumns {
	var c holdColumns
	for _, r := range rows {
		c.orders, c.skus, c.states = append(c.orders, r.order), append(c.skus, r.sku), append(c.states, string(r.state))
		c.lines, c.quantities, c.expiries = append(c.lines, r.number), append(c.quantities, r.quantity), append(c.expiries, r.expiresAt)
	}
	return c
}

// entry of the ledger.
type entry struct {
	fc, sku string
	delta   int64
}

// source of ledger entries: a delivery, an order, an adjustment.
type source struct {
	region           ident.Region
	kind, id, reason string
	now              time.Time
}

// record entries of the ledger; gives those that are new.
func record(ctx context.Context, tx sqldb.Tx, s source, entries []entry) ([]entry, error) {
	fcs, skus, deltas := columns(entries)
	return sqldb.Collect(ctx, tx, stmtRecord, func(r sqldb.Row) (entry, error) {
		var e entry
		err := r.Scan(&e.fc, &e.sku, &e.delta)
		return e, err
	}, string(s.region), s.kind, s.id, fcs, skus, deltas, s.reason, s.now)
}

// addStock raises what is available; rows that do not exist are made.
func addStock(ctx context.Context, tx sqldb.Tx, region ident.Region, entries []entry) error {
	if len(entries) == 0 {
		return nil
	}
	fcs, skus, deltas := columns(entries)
	_, err := tx.Exec(ctx, stmtAdd, string(region), fcs, skus, deltas)
	return err
}

func columns(entries []entry) (fcs, skus []string, deltas []int64) {
	for _, e := range entries {
		fcs, skus, deltas = append(fcs, e.fc), append(skus, e.sku), append(deltas, e.delta)
	}
	return fcs, skus, deltas
}
