package saga

import (
	"context"
	"fmt"
	"time"

	"github.com/cellar-commerce/cellar/internal/ident"
	"github.com/cellar-commerce/cellar/internal/sqldb"
)

var (
	stmtUnderWay = sqldb.Define(sqldb.Customer, "saga.under_way", `
SELECT count(*)
FROM (
  SELECT 1
  FROM sagas
  WHERE region = $1 AND slot = ANY ($2::int2[]) AND status IN ('RUNNING', 'UNDOING')
  LIMIT $3
) AS s`)

	stmtBehind = sqldb.Define(sqldb.Customer, "saga.behind", `
SELECT count(*), count(*) FILTER (WHERE b.updated_at > $3)
FROM (
  SELECT s.updated_at
  FROM sagas AS s
  JOIN slots AS o ON o.region = s.region AND o.slot = s.slot
  WHERE s.region = $1 AND s.slot = ANY ($2::int2[]) AND s.status IN ('RUNNING', 'UNDOING') AND s.epoch < o.epoch
  LIMIT $4
) AS b`)
)

// MaxCounted is where UnderWay and CountBehind stop: what is more is a lot, and a count that reads all of it no better.
const MaxCounted = 10_000

// UnderWay counts the sagas of slots of a ring that have not ended, parked ones apart; up to MaxCounted.
func UnderWay(ctx context.Context, q sqldb.Querier, ring ident.Region, slots []int16) (n int64, err error) {
	if err := q.QueryRow(ctx, stmtUnderWay, string(ring), slots, MaxCounted).Scan(&n); err != nil {
		return 0, fmt.Errorf("saga: count those under way in %s: %w", ring, err)
	}
	return n, nil
}

// Behind is how many sagas are still held under an epoch before the one that their slot has.
type Behind struct {
	// Sagas that nobody has taken over yet, up to MaxCounted.
	Sagas int64
	// Written of them after a moment; the fence is there to make that none.
	Written int64
}

// CountBehind looks for sagas of slots of a ring whose runs belong to an earlier epoch, and for those of them that were
// written after a moment at which that was over.
func CountBehind(ctx context.Context, q sqldb.Querier, ring ident.Region, slots []int16, after time.Time) (b Behind, err error) {
	if err := q.QueryRow(ctx, stmtBehind, string(ring), slots, after, MaxCounted).Scan(&b.Sagas, &b.Written); err != nil {
		return b, fmt.Errorf("saga: count those behind in %s: %w", ring, err)
	}
	return b, nil
}
