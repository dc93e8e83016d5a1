package fence

import (
	"context"
	"fmt"
	"time"

	"github.com/cellar-commerce/cellar/internal/ident"
	"github.com/cellar-commerce/cellar/internal/sqldb"
)

// At SERIALIZABLE (CockroachDB) the plain read is enough, and FOR SHARE would take no lock there anyway.
var stmtLockSlot = sqldb.Define(sqldb.Customer, "fence.lock_slot", `
SELECT owner, epoch
FROM slots
WHERE region = $1 AND slot = $2
/*@PG FOR SHARE @*/`)

var stmtReadSlot = sqldb.Define(sqldb.Customer, "fence.read_slot", `
SELECT owner, epoch
FROM slots
WHERE region = $1 AND slot = $2`)

// The guard of a batch: it divides by zero, which ends the transaction, when the slot is not this cell's. The lock is that
// of lock_slot.
var stmtGuard = sqldb.Define(sqldb.Customer, "fence.guard", `
SELECT 1 / count(*)
FROM (
  SELECT 1
  FROM slots
  WHERE region = $1 AND slot = $2 AND owner = $3
  /*@PG FOR SHARE @*/
) AS s`)

// The guard of a group: all its slots have to be this cell's.
var stmtGuardAll = sqldb.Define(sqldb.Customer, "fence.guard_all", `
SELECT 1 / (count(*) = $4)::int
FROM (
  SELECT 1
  FROM slots
  WHERE region = $1 AND slot = ANY ($2::int2[]) AND owner = $3
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
