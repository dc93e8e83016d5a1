package inventory

import (
	"context"
	"errors"
	"time"

	"github.com/cellar-commerce/cellar/internal/ident"
	"github.com/cellar-commerce/cellar/internal/sqldb"
)

var (
	stmtLockReservations = sqldb.Define(sqldb.Regional, "inventory.lock_reservations", `
SELECT line, sku, quantity, state, expires_at
FROM reservations
WHERE region = $1 AND fc_id = $2 AND order_id = $3
ORDER BY line
FOR UPDATE`)

	stmtLockStock = sqldb.Define(sqldb.Regional, "inventory.lock_stock", `
SELECT sku, available
FROM inventory
WHERE region = $1 AND fc_id = $2 AND sku = ANY ($3::text[])
ORDER BY sku
FOR UPDATE`)

	// The row of an order that is new here is what its twins wait for.
	stmtInsertReservations = sqldb.Define(sqldb.Regional, "inventory.insert_reservations", `
INSERT INTO reservations (region, fc_id, order_id, line, sku, quantity, state, expires_at, changed_at)
SELECT $1::crdb_internal_region, $2, $3, l.line, l.sku, l.quantity, 'HELD', $7, $8
FROM unnest($4::int4[], $5::text[], $6::int8[]) AS l (line, sku, quantity)
ON CONFLICT (region, fc_id, order_id, line) DO UPDATE
SET sku = excluded.sku, quantity = excluded.quantity, state = 'HELD', expires_at = excluded.expires_at, changed_at = excluded.changed_at
WHERE reservations.state = 'EXPIRED'`)

	stmtInsertTombstone = sqldb.Define(sqldb.Regional, "inventory.insert_tombstone", `
INSERT INTO reservations (region, fc_id, order_id, line, sku, quantity, state, expires_at, changed_at)
VALUES ($1, $2, $3, 0, '', 0, 'RELEASED', $4, $4)
ON CONFLICT (region, fc_id, order_id, line) DO NOTHING`)

	stmtMove = sqldb.Define(sqldb.Regional, "inventory.move", `
UPDATE inventory AS i
SET available = i.available - m.quantity, reserved = i.reserved + m.quantity
FROM unnest($3::text[], $4::int8[]) AS m (sku, quantity)
WHERE i.region = $1 AND i.fc_id = $2 AND i.sku = m.sku`)

	stmtTakeOut = sqldb.Define(sqldb.Regional, "inventory.take_out", `
UPDATE inventory AS i
SET reserved = i.reserved - m.quantity
FROM unnest($3::text[], $4::int8[]) AS m (sku, quantity)
WHERE i.region = $1 AND i.fc_id = $2 AND i.sku = m.sku`)

	stmtSetState = sqldb.Define(sqldb.Regional, "inventory.set_state", `
UPDATE reservations
SET state = $4, changed_at = $5
WHERE region = $1 AND fc_id = $2 AND order_id = $3 AND line = ANY ($6::int4[]) AND state IN ('HELD', 'COMMITTED')`)

	stmtExtend = sqldb.Define(sqldb.Regional, "inventory.extend", `
UPDATE reservations
SET expires_at = $4, changed_at = $5
WHERE region = $1 AND fc_id = $2 AND order_id = $3 AND state = 'HELD' AND expires_at < $4`)

	stmtRunOut = sqldb.Define(sqldb.Regional, "inventory.run_out", `
SELECT order_id, line, sku, quantity
FROM reservations
WHERE region = $1 AND fc_id = $2 AND sku = ANY ($3::text[]) AND state = 'HELD' AND expires_at <= $4
ORDER BY order_id, line
LIMIT $5
FOR UPDATE SKIP LOCKED`)

	stmtExpire = sqldb.Define(sqldb.Regional, "inventory.expire", `
UPDATE reservations AS r
SET state = 'EXPIRED', changed_at = $5
FROM unnest($3::text[], $4::int4[]) AS e (order_id, line)
WHERE r.region = $1 AND r.fc_id = $2 AND r.order_id = e.order_id AND r.line = e.line AND r.state = 'HELD'`)

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

// at is one order at one FC, and the time of the command.
type at struct {
	region ident.Region
	fc     string
	order  ident.OrderID
	now    time.Time
}

func (a at) args(more ...any) []any {
	return append([]any{string(a.region), a.fc, string(a.order)}, more...)
}

// lockReservations of an order at an FC, by line; the tombstone is told apart.
func lockReservations(ctx context.Context, tx sqldb.Tx, a at) (rs []reservation, tombstone bool, err error) {
	all, err := sqldb.Collect(ctx, tx, stmtLockReservations, func(r sqldb.Row) (reservation, error) {
		var out reservation
		err := r.Scan(&out.number, &out.sku, &out.quantity, &out.state, &out.expiresAt)
		return out, err
	}, a.args()...)
	for _, r := range all {
		if r.number == 0 {
			tombstone = true
		} else {
			rs = append(rs, r)
		}
	}
	return rs, tombstone, err
}

func lockStock(ctx context.Context, tx sqldb.Tx, a at, skus []string) (map[string]int64, error) {
	rows, err := tx.Query(ctx, stmtLockStock, string(a.region), a.fc, skus)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	available := make(map[string]int64, len(skus))
	for rows.Next() {
		var sku string
		var n int64
		if err := rows.Scan(&sku, &n); err != nil {
			return nil, err
		}
		available[sku] = n
	}
	return available, rows.Err()
}

// errTwin: the same reserve runs elsewhere and was first; once it has committed, its rows are the answer.
var errTwin = errors.New("the same reservation was made at the same time")

// insertReservations as held. A row that is there already is a twin's: then nothing may be moved, and the transaction
// must end.
func insertReservations(ctx context.Context, tx sqldb.Tx, a at, lines []line, expiresAt time.Time) error {
	numbers, skus, quantities := make([]int32, len(lines)), make([]string, len(lines)), make([]int64, len(lines))
	for i, l := range lines {
		numbers[i], skus[i], quantities[i] = l.number, l.sku, l.quantity
	}
	n, err := tx.Exec(ctx, stmtInsertReservations, a.args(numbers, skus, quantities, expiresAt, a.now)...)
	if err == nil && n != int64(len(lines)) {
		return errTwin
	}
	return err
}

// setState of those of an order's reservations that are held or sold. Only of rows that were read under lock: the units
// of a row that another transaction has added since were not moved by this one.
func setState(ctx context.Context, tx sqldb.Tx, a at, rs []reservation, to State) error {
	_, err := tx.Exec(ctx, stmtSetState, a.args(string(to), a.now, numbersOf(rs))...)
	return err
}

func numbersOf(rs []reservation) []int32 {
	numbers := make([]int32, len(rs))
	for i, r := range rs {
		numbers[i] = r.number
	}
	return numbers
}

// move units of lines between available and reserved: positive reserves, negative gives back.
func move(ctx context.Context, tx sqldb.Tx, a at, lines []line, sign int64) error {
	skus, sums := bySKU(lines)
	if len(skus) == 0 {
		return nil
	}
	// Locked in the common order first: the UPDATE itself would lock in the order of its join.
	if _, err := lockStock(ctx, tx, a, skus); err != nil {
		return err
	}
	for i := range sums {
		sums[i] *= sign
	}
	_, err := tx.Exec(ctx, stmtMove, string(a.region), a.fc, skus, sums)
	return err
}

// expireRunOut gives back what run-out holds of these products keep, up to limit reservations, and tells how many.
// Those that another transaction is working on are left to it.
func expireRunOut(ctx context.Context, tx sqldb.Tx, a at, skus []string, limit int) (int, error) {
	var orders []string
	var numbers []int32
	lines, err := sqldb.Collect(ctx, tx, stmtRunOut, func(r sqldb.Row) (line, error) {
		var order string
		var l line
		err := r.Scan(&order, &l.number, &l.sku, &l.quantity)
		orders, numbers = append(orders, order), append(numbers, l.number)
		return l, err
	}, string(a.region), a.fc, skus, a.now, limit)
	if err != nil || len(lines) == 0 {
		return 0, err
	}
	if _, err := tx.Exec(ctx, stmtExpire, string(a.region), a.fc, orders, numbers, a.now); err != nil {
		return 0, err
	}
	return len(lines), move(ctx, tx, a, lines, -1)
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
