package fence

import (
	"context"
	"fmt"
	"time"

	"github.com/cellar-commerce/cellar/internal/ident"
	"github.com/cellar-commerce/cellar/internal/sqldb"
)

// Every statement here decides by the effective owner of a customer: the cell that the slot's overrides name for it, or
// else the slot's owner. Overrides are nearly always NULL, and then nothing is looked up in them.

// At SERIALIZABLE (CockroachDB) the plain read is enough, and FOR SHARE would take no lock there anyway.
var stmtLockSlot = sqldb.Define(sqldb.Customer, "fence.lock_slot", `
SELECT owner, epoch, overrides ->> $3::text
FROM slots
WHERE region = $1 AND slot = $2
/*@PG FOR SHARE @*/`)

var stmtReadSlot = sqldb.Define(sqldb.Customer, "fence.read_slot", `
SELECT owner, epoch, overrides ->> $3::text
FROM slots
WHERE region = $1 AND slot = $2`)

// The guard of a batch: it divides by zero, which ends the transaction, when the customer is not this cell's. The lock is
// that of lock_slot.
var stmtGuard = sqldb.Define(sqldb.Customer, "fence.guard", `
SELECT 1 / count(*)
FROM (
  SELECT 1
  FROM slots
  WHERE region = $1 AND slot = $2 AND coalesce(overrides ->> $4::text, owner) = $3
  /*@PG FOR SHARE @*/
) AS s`)

// The guard of a group: all its customers have to be this cell's. $2 has the slot of each, in the order of the ids in $5;
// these are one text, because it is hardly ever taken apart, and an array is as soon as it arrives.
var stmtGuardAll = sqldb.Define(sqldb.Customer, "fence.guard_all", `
SELECT 1 / (count(*) = $4)::int
FROM (
  SELECT 1
  FROM slots AS o
  WHERE region = $1 AND slot = ANY ($2::int2[])
    AND CASE
      WHEN overrides IS NULL THEN owner = $3
      ELSE NOT EXISTS (
        SELECT 1
        FROM unnest($2::int2[], string_to_array($5::text, ',')) AS c (slot, customer_id)
        WHERE c.slot = o.slot AND coalesce(o.overrides ->> c.customer_id, o.owner) <> $3
      )
    END
  /*@PG FOR SHARE @*/
) AS s`)

// The wait for a lock in a group: long for somebody's short transaction, and short for the other members. On CockroachDB,
// where a setting of one transaction is not to be had by a function, the group's own time-out has to do.
var stmtHurry = sqldb.Define(sqldb.Any, "fence.hurry", `
SELECT /*@PG set_config('lock_timeout', '100ms', true) @*//*@CRDB 1 @*/`)

var stmtAssignSlots = sqldb.Define(sqldb.Customer, "fence.assign_slots", `
INSERT INTO slots (region, slot, owner, epoch, changed_at)
SELECT $1::crdb_internal_region, s.slot, s.owner, s.epoch, $5
FROM unnest($2::int2[], $3::text[], $4::int8[]) AS s (slot, owner, epoch)
ON CONFLICT (region, slot) DO NOTHING`)

var stmtListSlots = sqldb.Define(sqldb.Customer, "fence.list_slots", `
SELECT slot, owner, epoch
FROM slots
WHERE region = $1
ORDER BY slot`)

// Assignment of one slot.
type Assignment struct {
	Slot  ident.Slot
	Owner string
	Epoch uint64
}

// Assign gives slots of a ring their first owners. Slots that have one keep it.
func Assign(ctx context.Context, db *sqldb.DB, ring ident.Region, at time.Time, assignments []Assignment) error {
	slots, owners, epochs := make([]int16, len(assignments)), make([]string, len(assignments)), make([]int64, len(assignments))
	for i, a := range assignments {
		slots[i], owners[i], epochs[i] = int16(a.Slot), a.Owner, int64(a.Epoch)
	}
	if _, err := db.Exec(ctx, stmtAssignSlots, string(ring), slots, owners, epochs, at); err != nil {
		return fmt.Errorf("fence: assign slots of %s: %w", ring, err)
	}
	return nil
}

// Slots lists who owns what in a ring, by slot; at most ident.Slots rows.
func Slots(ctx context.Context, db *sqldb.DB, ring ident.Region) ([]Assignment, error) {
	return sqldb.Collect(ctx, db, stmtListSlots, func(r sqldb.Row) (Assignment, error) {
		var a Assignment
		err := r.Scan(&a.Slot, &a.Owner, &a.Epoch)
		return a, err
	}, string(ring))
}
