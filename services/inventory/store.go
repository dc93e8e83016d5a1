package inventory

import (
	"context"
	"time"

	"github.com/cellar-commerce/cellar/internal/ident"
	"github.com/cellar-commerce/cellar/internal/outbox"
	"github.com/cellar-commerce/cellar/internal/sqldb"
)

const insertReservations = `
INSERT INTO reservations (region, fc_id, order_id, line, sku, quantity, state, expires_at, changed_at)
SELECT $1::crdb_internal_region, r.fc_id, r.order_id, r.line, r.sku, r.quantity, r.state, r.expires_at, $9
FROM unnest($2::text[], $3::text[], $4::int4[], $5::text[], $6::int8[], $7::text[], $8::timestamptz[])
  AS r (fc_id, order_id, line, sku, quantity, state, expires_at)`

var (
	// The keys of a batch come as two lists side by side. On PostgreSQL each is looked up by itself, in the order of the
	// lists, which are sorted: for a list of keys its planner may choose to walk a whole FC, and for a join a whole region
	// when its statistics are behind. OFFSET 0 keeps it from making a join of the lookup; what is changed is therefore
	// written as an insert that meets its own row, which only ever goes by the primary key.
	stmtConcerned = sqldb.Define(sqldb.Regional, "inventory.concerned", `
/*@PG SELECT o.fc_id, r.sku
FROM unnest($2::text[], $3::text[]) AS o (fc_id, order_id)
CROSS JOIN LATERAL (
  SELECT sku
  FROM reservations
  WHERE region = $1 AND fc_id = o.fc_id AND order_id = o.order_id AND state IN ('HELD', 'COMMITTED')
  OFFSET 0
) AS r @*/
/*@CRDB SELECT r.fc_id, r.sku
FROM unnest($2::text[], $3::text[]) AS o (fc_id, order_id)
INNER LOOKUP JOIN reservations AS r ON r.region = $1 AND r.fc_id = o.fc_id AND r.order_id = o.order_id
WHERE r.state IN ('HELD', 'COMMITTED') @*/`)

	stmtLockReservations = sqldb.Define(sqldb.Regional, "inventory.lock_reservations", `
/*@PG SELECT r.fc_id, r.order_id, r.line, r.sku, r.quantity, r.state, r.expires_at
FROM unnest($2::text[], $3::text[]) AS o (fc_id, order_id)
CROSS JOIN LATERAL (
  SELECT fc_id, order_id, line, sku, quantity, state, expires_at
  FROM reservations
  WHERE region = $1 AND fc_id = o.fc_id AND order_id = o.order_id
  ORDER BY line
  FOR UPDATE
) AS r @*/
/*@CRDB SELECT r.fc_id, r.order_id, r.line, r.sku, r.quantity, r.state, r.expires_at
FROM unnest($2::text[], $3::text[]) AS o (fc_id, order_id)
INNER LOOKUP JOIN reservations AS r ON r.region = $1 AND r.fc_id = o.fc_id AND r.order_id = o.order_id
ORDER BY r.fc_id, r.order_id, r.line
FOR UPDATE OF r @*/`)

	stmtLockStock = sqldb.Define(sqldb.Regional, "inventory.lock_stock", `
/*@PG SELECT i.fc_id, i.sku, i.available, i.reserved
FROM unnest($2::text[], $3::text[]) AS s (fc_id, sku)
CROSS JOIN LATERAL (
  SELECT fc_id, sku, available, reserved
  FROM inventory
  WHERE region = $1 AND fc_id = s.fc_id AND sku = s.sku
  FOR UPDATE
) AS i @*/
/*@CRDB SELECT i.fc_id, i.sku, i.available, i.reserved
FROM unnest($2::text[], $3::text[]) AS s (fc_id, sku)
INNER LOOKUP JOIN inventory AS i ON i.region = $1 AND i.fc_id = s.fc_id AND i.sku = s.sku
ORDER BY i.fc_id, i.sku
FOR UPDATE OF i @*/`)

	stmtInsertReservations = sqldb.Define(sqldb.Regional, "inventory.insert_reservations", insertReservations)

	stmtUpdateReservations = sqldb.Define(sqldb.Regional, "inventory.update_reservations", insertReservations+`
ON CONFLICT (region, fc_id, order_id, line) DO UPDATE
SET quantity = excluded.quantity, state = excluded.state, expires_at = excluded.expires_at, changed_at = excluded.changed_at`)

	stmtDeleteReservations = sqldb.Define(sqldb.Regional, "inventory.delete_reservations", `
DELETE FROM reservations AS r
USING unnest($4::int4[]) AS n (line)
WHERE r.region = $1 AND r.fc_id = $2 AND r.order_id = $3 AND r.line = n.line`)

	// The counts are what they were under lock, and what has moved since.
	stmtMove = sqldb.Define(sqldb.Regional, "inventory.move", `
INSERT INTO inventory (region, fc_id, sku, available, reserved)
SELECT $1::crdb_internal_region, m.fc_id, m.sku, m.available, m.reserved
FROM unnest($2::text[], $3::text[], $4::int8[], $5::int8[]) AS m (fc_id, sku, available, reserved)
ON CONFLICT (region, fc_id, sku) DO UPDATE
SET available = excluded.available, reserved = excluded.reserved`)

	// A guard that takes units: it divides by zero unless all lie there. Of counts that change their level by it the region is
	// told; each comes with the event that says so.
	stmtTakeBlindly = sqldb.Define(sqldb.Regional, "inventory.take_blindly", `
WITH /*@PG found AS (
  SELECT m.fc_id, m.sku, m.units, m.touched, m.n, i.available, i.reserved
  FROM unnest($2::text[], $3::text[], $4::int8[], $7::bytea[]) WITH ORDINALITY AS m (fc_id, sku, units, touched, n)
  CROSS JOIN LATERAL (
    SELECT available, reserved
    FROM inventory
    WHERE region = $1 AND fc_id = m.fc_id AND sku = m.sku
    FOR UPDATE
  ) AS i
  WHERE i.available >= m.units
), @*/moved AS (
  /*@PG INSERT INTO inventory (region, fc_id, sku, available, reserved)
  SELECT $1::crdb_internal_region, fc_id, sku, available - units, reserved + units
  FROM found
  ON CONFLICT (region, fc_id, sku) DO UPDATE
  SET available = excluded.available, reserved = excluded.reserved
  RETURNING 1 @*/
  /*@CRDB UPDATE inventory AS i
  SET available = i.available - m.units, reserved = i.reserved + m.units
  FROM unnest($2::text[], $3::text[], $4::int8[], $7::bytea[]) WITH ORDINALITY AS m (fc_id, sku, units, touched, n)
  WHERE i.region = $1 AND i.fc_id = m.fc_id AND i.sku = m.sku AND i.available >= m.units
  RETURNING m.n, m.touched, width_bucket(i.available + m.units, $5::int8[]) <> width_bucket(i.available, $5::int8[]) AS leveled @*/
), told AS (
  `+outbox.Adding+`
  SELECT $1::crdb_internal_region, $8, $9::int8 + n - 1, $10::text || '/' || n::text, $11, $12, touched, $13
  FROM /*@PG found
  WHERE width_bucket(available, $5::int8[]) <> width_bucket(available - units, $5::int8[]) @*//*@CRDB moved
  WHERE leveled @*/
  RETURNING 1
)
SELECT 1 / ((SELECT count(*) FROM moved) = $6)::int, (SELECT count(*) FROM told)`)

	// A guard that inserts: it divides by zero when one of the orders is known at its FC, be it by its tombstone. The stock is locked
	// when it begins to look.
	stmtHoldBlindly = sqldb.Define(sqldb.Regional, "inventory.hold_blindly", `
WITH made AS (`+insertReservations+`
  RETURNING 1
)
SELECT 1 / (count(*) = 0)::int
FROM unnest($10::text[], $11::text[]) AS o (fc_id, order_id)
/*@PG CROSS JOIN LATERAL (
  SELECT line
  FROM reservations
  WHERE region = $1 AND fc_id = o.fc_id AND order_id = o.order_id
  OFFSET 0
) AS r @*/
/*@CRDB INNER LOOKUP JOIN reservations AS r ON r.region = $1 AND r.fc_id = o.fc_id AND r.order_id = o.order_id @*/`)

	// A guard that sells holds: it divides by zero unless all are as they are remembered, and none has run out or was given back.
	stmtSellBlindly = sqldb.Define(sqldb.Regional, "inventory.sell_blindly", `
WITH sold AS (
  /*@PG INSERT INTO reservations (region, fc_id, order_id, line, sku, quantity, state, expires_at, changed_at)
  SELECT $1::crdb_internal_region, n.fc_id, n.order_id, n.line, n.sku, n.quantity, 'COMMITTED', r.expires_at, $7
  FROM unnest($2::text[], $3::text[], $4::int4[], $5::text[], $6::int8[]) AS n (fc_id, order_id, line, sku, quantity)
  CROSS JOIN LATERAL (
    SELECT count(*) AS n
    FROM reservations
    WHERE region = $1 AND fc_id = n.fc_id AND order_id = n.order_id AND line = 0
  ) AS tombstone
  CROSS JOIN LATERAL (
    SELECT expires_at
    FROM reservations
    WHERE region = $1 AND fc_id = n.fc_id AND order_id = n.order_id AND line = n.line
      AND sku = n.sku AND quantity = n.quantity AND state = 'HELD' AND expires_at > $7
    FOR UPDATE
  ) AS r
  WHERE tombstone.n = 0
  ON CONFLICT (region, fc_id, order_id, line) DO UPDATE
  SET state = excluded.state, changed_at = excluded.changed_at @*/
  /*@CRDB UPDATE reservations AS r
  SET state = 'COMMITTED', changed_at = $7
  FROM unnest($2::text[], $3::text[], $4::int4[], $5::text[], $6::int8[]) AS n (fc_id, order_id, line, sku, quantity)
  WHERE r.region = $1 AND r.fc_id = n.fc_id AND r.order_id = n.order_id AND r.line = n.line
    AND r.sku = n.sku AND r.quantity = n.quantity AND r.state = 'HELD' AND r.expires_at > $7
    AND NOT EXISTS (
      SELECT 1
      FROM reservations AS t
      WHERE t.region = $1 AND t.fc_id = n.fc_id AND t.order_id = n.order_id AND t.line = 0
    ) @*/
  RETURNING 1
)
SELECT 1 / (count(*) = $8)::int
FROM sold`)

	// Holds that another transaction is working on are left to it. The order is that of the index of holds: by the order
	// of the primary key PostgreSQL would walk all that an FC has ever reserved, to be spared the sorting.
	stmtRunOut = sqldb.Define(sqldb.Regional, "inventory.run_out", `
/*@PG SELECT r.fc_id, r.order_id, r.line, r.sku, r.quantity, r.state, r.expires_at
FROM unnest($2::text[], $3::text[]) AS s (fc_id, sku)
CROSS JOIN LATERAL (
  SELECT fc_id, order_id, line, sku, quantity, state, expires_at
  FROM reservations
  WHERE region = $1 AND fc_id = s.fc_id AND sku = s.sku AND state = 'HELD' AND expires_at <= $4
  ORDER BY expires_at
  LIMIT $5
  FOR UPDATE SKIP LOCKED
) AS r
LIMIT $5 @*/
/*@CRDB SELECT r.fc_id, r.order_id, r.line, r.sku, r.quantity, r.state, r.expires_at
FROM unnest($2::text[], $3::text[]) AS s (fc_id, sku)
INNER LOOKUP JOIN reservations AS r ON r.region = $1 AND r.fc_id = s.fc_id AND r.sku = s.sku AND r.state = 'HELD' AND r.expires_at <= $4
LIMIT $5
FOR UPDATE OF r SKIP LOCKED @*/`)

	stmtDueExpiries = sqldb.Define(sqldb.Regional, "inventory.due_expiries", `
/*@PG SELECT r.fc_id, r.sku
FROM unnest($2::text[]) AS f (fc_id)
CROSS JOIN LATERAL (
  SELECT fc_id, sku
  FROM reservations
  WHERE region = $1 AND fc_id = f.fc_id AND state = 'HELD' AND expires_at <= $3
  ORDER BY expires_at
  LIMIT $4
) AS r
LIMIT $4 @*/
/*@CRDB SELECT r.fc_id, r.sku
FROM unnest($2::text[]) AS f (fc_id)
INNER LOOKUP JOIN reservations AS r ON r.region = $1 AND r.fc_id = f.fc_id AND r.state = 'HELD' AND r.expires_at <= $3
LIMIT $4 @*/`)

	stmtOverdue = sqldb.Define(sqldb.Regional, "inventory.overdue", `
SELECT count(*), min(r.expires_at)
FROM unnest($2::text[]) AS f (fc_id)
CROSS JOIN LATERAL (
  SELECT expires_at
  FROM reservations
  WHERE region = $1 AND fc_id = f.fc_id AND state = 'HELD' AND expires_at <= $3
  ORDER BY expires_at
  LIMIT $4
) AS r`)

	stmtListStock = sqldb.Define(sqldb.Regional, "inventory.list_stock", `
SELECT i.fc_id, i.sku, i.available + coalesce((
  SELECT sum(r.quantity)
  FROM reservations AS r
  WHERE r.region = $1 AND r.fc_id = i.fc_id AND r.sku = i.sku AND r.state = 'HELD' AND r.expires_at <= $3
), 0)::int8 AS available
FROM inventory AS i
WHERE i.region = $1 AND i.sku = ANY ($2::text[])`)

	stmtListStockAt = sqldb.Define(sqldb.Regional, "inventory.list_stock_at", `
SELECT i.fc_id, i.sku, i.available + coalesce((
  SELECT sum(r.quantity)
  FROM reservations AS r
  WHERE r.region = $1 AND r.fc_id = i.fc_id AND r.sku = i.sku AND r.state = 'HELD' AND r.expires_at <= $3
), 0)::int8 AS available
FROM unnest($2::text[]) AS s (sku)
CROSS JOIN unnest($4::text[]) AS f (fc_id)
/*@PG CROSS JOIN LATERAL (
  SELECT fc_id, sku, available
  FROM inventory
  WHERE region = $1 AND fc_id = f.fc_id AND sku = s.sku
  OFFSET 0
) AS i @*/
/*@CRDB INNER LOOKUP JOIN inventory AS i ON i.region = $1 AND i.fc_id = f.fc_id AND i.sku = s.sku @*/`)

	stmtRecord = sqldb.Define(sqldb.Regional, "inventory.record", `
INSERT INTO inventory_events (region, fc_id, kind, source_id, sku, delta, reason, at)
SELECT $1::crdb_internal_region, e.fc_id, $2, $3, e.sku, e.delta, $7, $8
FROM unnest($4::text[], $5::text[], $6::int8[]) AS e (fc_id, sku, delta)
ON CONFLICT (region, fc_id, kind, source_id, sku) DO NOTHING
RETURNING fc_id, sku, delta`)

	stmtRecordShipments = sqldb.Define(sqldb.Regional, "inventory.record_shipments", `
INSERT INTO inventory_events (region, fc_id, kind, source_id, sku, delta, reason, at)
SELECT $1::crdb_internal_region, e.fc_id, 'ship', e.order_id, e.sku, e.delta, '', $6
FROM unnest($2::text[], $3::text[], $4::text[], $5::int8[]) AS e (fc_id, order_id, sku, delta)`)

	stmtAdd = sqldb.Define(sqldb.Regional, "inventory.add", `
INSERT INTO inventory (region, fc_id, sku, available, reserved)
SELECT $1::crdb_internal_region, a.fc_id, a.sku, a.delta, 0
FROM unnest($2::text[], $3::text[], $4::int8[]) AS a (fc_id, sku, delta)
ORDER BY a.fc_id, a.sku
ON CONFLICT (region, fc_id, sku) DO UPDATE
SET available = inventory.available + excluded.available`)

	stmtOpenSummaries = sqldb.Define(sqldb.Regional, "inventory.open_summaries", `
INSERT INTO stock_summaries (region, sku, source_region, fcs, units, version, changed_at)
SELECT $1::crdb_internal_region, s.sku, $1, ''::bytea, 0, 0, $3
FROM unnest($2::text[]) AS s (sku)
ON CONFLICT (region, sku, source_region) DO NOTHING`)

	stmtLockSummaries = sqldb.Define(sqldb.Regional, "inventory.lock_summaries", `
/*@PG SELECT one.sku, one.fcs, one.units, one.version, one.levels
FROM unnest($2::text[]) AS s (sku)
CROSS JOIN LATERAL (
  SELECT sku, fcs, units, version, levels
  FROM stock_summaries
  WHERE region = $1 AND sku = s.sku AND source_region = $3
  FOR UPDATE
) AS one @*/
/*@CRDB SELECT one.sku, one.fcs, one.units, one.version, one.levels
FROM unnest($2::text[]) AS s (sku)
INNER LOOKUP JOIN stock_summaries AS one ON one.region = $1 AND one.sku = s.sku AND one.source_region = $3
ORDER BY one.sku
FOR UPDATE OF one @*/`)

	stmtSummarize = sqldb.Define(sqldb.Regional, "inventory.summarize", `
SELECT fc_id, sku, available
FROM inventory
WHERE region = $1 AND sku = ANY ($2::text[]) AND available > 0`)

	stmtKeepSummaries = sqldb.Define(sqldb.Regional, "inventory.keep_summaries", `
INSERT INTO stock_summaries (region, sku, source_region, fcs, units, version, changed_at, levels)
SELECT $1::crdb_internal_region, s.sku, s.source_region, s.fcs, s.units, s.version, $7, s.levels
FROM unnest($2::text[], $3::text[], $4::bytea[], $5::int8[], $6::int8[], $8::bytea[]) AS s (sku, source_region, fcs, units, version, levels)
ON CONFLICT (region, sku, source_region) DO UPDATE
SET fcs = excluded.fcs, units = excluded.units, version = excluded.version, changed_at = excluded.changed_at, levels = excluded.levels
WHERE stock_summaries.version < excluded.version`)

	stmtListSummaries = sqldb.Define(sqldb.Regional, "inventory.list_summaries", `
SELECT sku, source_region, fcs, units, version, levels
FROM stock_summaries
WHERE region = $1 AND sku = ANY ($2::text[])`)

	stmtPageSummaries = sqldb.Define(sqldb.Regional, "inventory.page_summaries", `
SELECT sku, fcs, levels
FROM stock_summaries
WHERE region = $1 AND source_region = $2 AND sku > $3
ORDER BY sku
LIMIT $4`)

	stmtInconsistencies = sqldb.Define(sqldb.Regional, "inventory.inconsistencies", `
SELECT fc_id, sku, sum(available)::int8, sum(reserved)::int8, (sum(booked) - sum(promised))::int8, sum(promised)::int8
FROM (
  SELECT fc_id, sku, available, reserved, 0 AS booked, 0 AS promised
  FROM inventory
  WHERE region = $1
  UNION ALL
  SELECT fc_id, sku, 0, 0, delta, 0
  FROM inventory_events
  WHERE region = $1
  UNION ALL
  SELECT fc_id, sku, 0, 0, 0, quantity
  FROM reservations
  WHERE region = $1 AND state IN ('HELD', 'COMMITTED')
) AS books
GROUP BY fc_id, sku
HAVING sum(reserved) <> sum(promised) OR sum(available) + sum(reserved) <> sum(booked)
ORDER BY fc_id, sku
LIMIT $2`)

	// What the counts of one row should be. Its lock is held: nobody moves its units meanwhile.
	stmtRight = sqldb.Define(sqldb.Regional, "inventory.right", `
SELECT
  (SELECT coalesce(sum(delta), 0) FROM inventory_events WHERE region = $1 AND fc_id = $2 AND sku = $3)::int8,
  (SELECT coalesce(sum(quantity), 0) FROM reservations WHERE region = $1 AND fc_id = $2 AND sku = $3 AND state IN ('HELD', 'COMMITTED'))::int8`)

	// A return's id begins with its order's: "0" follows "/".
	stmtReturned = sqldb.Define(sqldb.Regional, "inventory.returned", `
SELECT fc_id, sku, sum(delta)::int8
FROM inventory_events
WHERE region = $1 AND fc_id = $2 AND kind = 'return' AND source_id >= $3 AND source_id < $4
GROUP BY fc_id, sku`)
)

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
	return sqldb.Collect(ctx, tx, stmtRecord, scanEntry, string(s.region), s.kind, s.id, fcs, skus, deltas, s.reason, s.now)
}

func scanEntry(r sqldb.Row) (e entry, err error) {
	err = r.Scan(&e.fc, &e.sku, &e.delta)
	return e, err
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
