package fence

import (
	"context"
	"fmt"
	"time"

	"github.com/cellar-commerce/cellar/internal/ident"
	"github.com/cellar-commerce/cellar/internal/sqldb"
)

var stmtMoveSlots = sqldb.Define(sqldb.Customer, "fence.move_slots", `
UPDATE slots
SET owner = $3, epoch = epoch + 1, changed_at = $4
WHERE region = $1 AND owner = $2`)

// Move every slot of a ring that one cell owns to another, each under its next epoch; tells how many. Writes of the old
// owner that are under way end first, and it writes nothing more. The map has to follow.
func Move(ctx context.Context, db *sqldb.DB, ring ident.Region, from, to string, at time.Time) (int64, error) {
	n, err := db.Exec(ctx, stmtMoveSlots, string(ring), from, to, at)
	if err != nil {
		return 0, fmt.Errorf("fence: move slots of %s from %s to %s: %w", ring, from, to, err)
	}
	return n, nil
}
