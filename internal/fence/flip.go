package fence

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/cellar-commerce/cellar/internal/ident"
	"github.com/cellar-commerce/cellar/internal/sqldb"
)

// A flip compares the epoch of each slot with what its caller has read, and sets owner, overrides and the next epoch, or
// leaves the slot alone. Rows are locked in the order of slots, as the guard of a group locks them. What a writer has in
// its hands is passed over, so that a flip of many slots waits for none and keeps nobody waiting; see flip_waiting.
var stmtFlip = sqldb.Define(sqldb.Customer, "fence.flip", `
WITH free AS MATERIALIZED (
  SELECT s.slot, n.epoch, n.owner, n.overrides
  FROM unnest($2::int2[], $3::int8[], $4::text[], $5::text[]) AS n (slot, epoch, owner, overrides)
  JOIN slots AS s ON s.region = $1 AND s.slot = n.slot AND s.epoch = n.epoch
  ORDER BY s.slot
  /*@PG FOR UPDATE OF s SKIP LOCKED @*/
)
UPDATE slots AS s
SET owner = n.owner, epoch = n.epoch + 1, overrides = n.overrides::jsonb, changed_at = $6
FROM free AS n
WHERE s.region = $1 AND s.slot = n.slot AND s.epoch = n.epoch
RETURNING s.slot`)

// The same for slots that somebody writes all the time: it waits for those who are at it.
var stmtFlipWaiting = sqldb.Define(sqldb.Customer, "fence.flip_waiting", `
WITH free AS MATERIALIZED (
  SELECT s.slot, n.epoch, n.owner, n.overrides
  FROM unnest($2::int2[], $3::int8[], $4::text[], $5::text[]) AS n (slot, epoch, owner, overrides)
  JOIN slots AS s ON s.region = $1 AND s.slot = n.slot AND s.epoch = n.epoch
  ORDER BY s.slot
  /*@PG FOR UPDATE OF s @*/
)
UPDATE slots AS s
SET owner = n.owner, epoch = n.epoch + 1, overrides = n.overrides::jsonb, changed_at = $6
FROM free AS n
WHERE s.region = $1 AND s.slot = n.slot AND s.epoch = n.epoch
RETURNING s.slot`)

// Change of one slot's row, if it still has the epoch that was read.
type Change struct {
	Slot  ident.Slot
	Epoch uint64
	// Owner and Overrides that the slot is to have, under the next epoch.
	Owner     string
	Overrides map[ident.CustomerID]string
}

// Flip slots of a ring in one transaction: those that still have the epoch named and that nobody writes just now. It tells
// which, in any order. Whoever comes later finds the new row; what the cell before has committed by then stands. At
// ErrAmbiguous the rows tell. The map has to follow.
func Flip(ctx context.Context, db *sqldb.DB, ring ident.Region, changes []Change, at time.Time) ([]ident.Slot, error) {
	return flip(ctx, db, stmtFlip, ring, changes, at)
}

// FlipWaiting is Flip for slots that are being written: it waits up to 100 ms for each writer in its way, and those who
// come after it wait behind it. Nothing has been flipped when sqldb.LockTimedOut(err): some writer has not ended.
func FlipWaiting(ctx context.Context, db *sqldb.DB, ring ident.Region, changes []Change, at time.Time) ([]ident.Slot, error) {
	return flip(ctx, db, stmtFlipWaiting, ring, changes, at)
}

func flip(ctx context.Context, db *sqldb.DB, how *sqldb.Statement, ring ident.Region, changes []Change, at time.Time) ([]ident.Slot, error) {
	n := len(changes)
	slots, epochs, owners, overrides := make([]int16, n), make([]int64, n), make([]string, n), make([]*string, n)
	for i, c := range changes {
		slots[i], epochs[i], owners[i] = int16(c.Slot), int64(c.Epoch), c.Owner
		if len(c.Overrides) == 0 {
			continue
		}
		b, err := json.Marshal(c.Overrides)
		if err != nil {
			return nil, fmt.Errorf("fence: flip slot %d of %s: %w", c.Slot, ring, err)
		}
		text := string(b)
		overrides[i] = &text
	}
	var flipped []ident.Slot
	var b sqldb.Batch
	b.Queue(stmtHurry, nil)
	b.QueueRead(how, func(rows sqldb.Rows) error {
		flipped = nil
		return sqldb.Each(func(r sqldb.Row) error {
			var s ident.Slot
			err := r.Scan(&s)
			flipped = append(flipped, s)
			return err
		})(rows)
	}, string(ring), slots, epochs, owners, overrides, at)
	if err := db.Send(ctx, &b); err != nil {
		return nil, fmt.Errorf("fence: flip %d slots of %s: %w", n, ring, err)
	}
	return flipped, nil
}

// Move every slot of a ring that one cell owns to another, each under its next epoch; tells how many. Writes of the old
// owner that are under way end first, and it writes nothing more. The map has to follow.
func Move(ctx context.Context, db *sqldb.DB, ring ident.Region, from, to string, at time.Time) (moved int64, err error) {
	for {
		rows, err := ReadRing(ctx, db, ring)
		if err != nil {
			return moved, fmt.Errorf("fence: move slots of %s from %s to %s: %w", ring, from, to, err)
		}
		rows = slices.DeleteFunc(rows, func(h Holding) bool { return h.Owner != from })
		if len(rows) == 0 {
			return moved, nil
		}
		changes := make([]Change, len(rows))
		for i, h := range rows {
			changes[i] = Change{Slot: h.Slot, Epoch: h.Epoch, Owner: to, Overrides: h.Overrides}
		}
		flipped, err := FlipWaiting(ctx, db, ring, changes, at)
		if err != nil {
			return moved, err
		}
		moved += int64(len(flipped))
	}
}
