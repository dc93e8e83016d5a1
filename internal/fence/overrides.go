package fence

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/cellar-commerce/cellar/internal/ident"
	"github.com/cellar-commerce/cellar/internal/sqldb"
)

// A change of a slot's overrides is a new epoch, like a change of its owner: whoever knows the slot by the old epoch is to
// look again. The update waits for the writes in flight, as that of an owner does.
var stmtSetOverride = sqldb.Define(sqldb.Customer, "fence.set_override", `
UPDATE slots
SET overrides = nullif(coalesce(overrides, '{}'::jsonb) - $3::text || CASE WHEN $4::text = '' THEN '{}'::jsonb ELSE jsonb_build_object($3::text, $4::text) END, '{}'::jsonb),
  epoch = epoch + 1,
  changed_at = $5
WHERE region = $1 AND slot = $2
  AND coalesce(overrides ->> $3::text, '') <> $4::text`)

var stmtReadRing = sqldb.Define(sqldb.Customer, "fence.read_ring", `
SELECT slot, owner, epoch, overrides
FROM slots
WHERE region = $1
ORDER BY slot`)

// SetOverride has one customer served by a cell, or, when that is empty, by the owner of the slot as all others. It tells
// whether that was anything new; only then the slot has a new epoch. The map has to follow.
func SetOverride(ctx context.Context, db *sqldb.DB, id ident.CustomerID, cell string, at time.Time) (changed bool, err error) {
	ring := id.Region()
	if ring == "" {
		return false, fmt.Errorf("fence: %q is no customer", id)
	}
	n, err := db.Exec(ctx, stmtSetOverride, string(ring), int16(id.Slot()), string(id), cell, at)
	if err != nil {
		return false, fmt.Errorf("fence: override in slot %d of %s: %w", id.Slot(), ring, err)
	}
	return n == 1, nil
}

// Holding is who has a slot: its owner, and the cells that serve single customers of it.
type Holding struct {
	Assignment
	// Overrides are cells by customer; nil as nearly always.
	Overrides map[ident.CustomerID]string
}

// ReadRing tells who has what in a ring, by slot, as of one moment; at most ident.Slots rows.
func ReadRing(ctx context.Context, db *sqldb.DB, ring ident.Region) ([]Holding, error) {
	if _, ok := ring.Code(); !ok {
		return nil, errors.New("fence: there is no such ring")
	}
	return sqldb.Collect(ctx, db, stmtReadRing, func(r sqldb.Row) (Holding, error) {
		var h Holding
		err := r.Scan(&h.Slot, &h.Owner, &h.Epoch, &h.Overrides)
		return h, err
	}, string(ring))
}
