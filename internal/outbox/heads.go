package outbox

import (
	"context"
	"fmt"
	"time"

	"github.com/cellar-commerce/cellar/internal/ident"
	"github.com/cellar-commerce/cellar/internal/sqldb"
)

// The first of each shard alone: what it costs does not grow with what waits.
var stmtHeads = sqldb.Define(sqldb.Any, "outbox.heads", `
SELECT o.destination, min(o.created_at)
FROM unnest($2::int2[]) AS s (shard)
CROSS JOIN LATERAL (
  SELECT p.destination, p.created_at
  FROM outbox AS p
  WHERE p.region = $1 AND p.shard = s.shard AND p.published_at IS NULL
  ORDER BY p.id
  LIMIT 1
) AS o
GROUP BY o.destination`)

// Heads of a region's outbox in one database: since when the first events of its shards wait, by their destination. A destination
// that is not told either takes its events, or has them behind those of another that has not taken its own for longer.
func Heads(ctx context.Context, db *sqldb.DB, region ident.Region) (map[ident.Region]time.Time, error) {
	heads := map[ident.Region]time.Time{}
	rows, err := db.Query(ctx, stmtHeads, string(region), allShards())
	if err != nil {
		return nil, fmt.Errorf("heads of the outbox of %s: %w", region, err)
	}
	defer rows.Close()
	for rows.Next() {
		var d ident.Region
		var since time.Time
		if err := rows.Scan(&d, &since); err != nil {
			return nil, fmt.Errorf("heads of the outbox of %s: %w", region, err)
		}
		heads[d] = since
	}
	return heads, rows.Err()
}
