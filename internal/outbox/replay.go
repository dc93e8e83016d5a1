package outbox

import (
	"context"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/cellar-commerce/cellar/internal/ident"
	"github.com/cellar-commerce/cellar/internal/problem"
	"github.com/cellar-commerce/cellar/internal/sqldb"
)

var (
	stmtLags = sqldb.Define(sqldb.Any, "outbox.lags", `
SELECT d.destination, least(sum(w.pending), $4)::int8, min(w.oldest)
FROM unnest($3::text[]) AS d (destination)
CROSS JOIN unnest($2::int2[]) AS s (shard)
CROSS JOIN LATERAL (
  SELECT count(*) AS pending, min(p.created_at) AS oldest
  FROM (
    SELECT o.created_at
    FROM outbox AS o
    WHERE o.region = $1 AND o.shard = s.shard AND o.destination = d.destination AND o.published_at IS NULL
    LIMIT $4
  ) AS p
) AS w
WHERE w.pending > 0
GROUP BY d.destination
ORDER BY d.destination`)

	stmtReplay = sqldb.Define(sqldb.Any, "outbox.replay", `
UPDATE outbox
SET published_at = NULL
WHERE region = $1 AND shard = $2 AND id > $3 AND id <= $4 AND destination = $5 AND published_at >= $6 AND published_at < $7`)
)

// maxCounted events of a destination: past it, the number says no more than that there are many.
const maxCounted = 100_000

// Lag of the events for one destination.
type Lag struct {
	Destination ident.Region
	// Pending events, counted up to 100,000.
	Pending int64
	// Oldest of them happened then.
	Oldest time.Time
}

// Lags of a region's events in one database, by destination; those with nothing pending are left out.
func Lags(ctx context.Context, db *sqldb.DB, region ident.Region) ([]Lag, error) {
	return sqldb.Collect(ctx, db, stmtLags, func(row sqldb.Row) (l Lag, err error) {
		err = row.Scan(&l.Destination, &l.Pending, &l.Oldest)
		return l, err
	}, string(region), allShards(), destinations(), maxCounted)
}

func allShards() []int16 {
	all := make([]int16, Shards)
	for i := range all {
		all[i] = int16(i)
	}
	return all
}

func destinations() []string {
	var all []string
	for _, region := range ident.Regions() {
		all = append(all, string(region))
	}
	return all
}

// Replay of events that a broker has acknowledged.
type Replay struct {
	// Region whose rows are replayed.
	Region ident.Region
	// Destination whose broker is to have them again.
	Destination ident.Region
	// Since and Before bound when they were acknowledged; Since is included.
	Since, Before time.Time
}

// Next makes events pending again, those of a key in their order, and tells how many of the 5,000 it looks at: perhaps none. The cursor
// is empty at first; call with the one that is answered until it is empty. The relays send them as if for the first time: the broker
// drops what it still knows, and receivers' inboxes the rest.
func (r Replay) Next(ctx context.Context, db *sqldb.DB, cursor string) (events int64, next string, err error) {
	shard, after, err := parseCursor(cursor)
	if err != nil {
		return 0, "", err
	}
	for ; shard < Shards; shard, after = shard+1, 0 {
		// By id, so that a relay that runs beside it sends events of one key in their order.
		last, full, err := page(ctx, db, r.Region, shard, after, math.MaxInt64)
		if err == nil && last > 0 {
			events, err = db.Exec(ctx, stmtReplay, string(r.Region), shard, after, last, string(r.Destination), r.Since, r.Before)
		}
		if err != nil {
			return 0, "", fmt.Errorf("replay events for %s: %w", r.Destination, err)
		}
		if events > 0 || full {
			return events, formatCursor(shard, last), nil
		}
	}
	return 0, "", nil
}

func formatCursor(shard int16, id int64) string { return fmt.Sprintf("%d:%d", shard, id) }

// errCursor is for a cursor that no answer had.
var errCursor = problem.New(problem.Invalid, "WRONG_CURSOR", "the cursor is not one that was answered")

func parseCursor(cursor string) (shard int16, id int64, err error) {
	if cursor == "" {
		return 0, 0, nil
	}
	first, second, _ := strings.Cut(cursor, ":")
	s, err1 := strconv.ParseInt(first, 10, 16)
	id, err2 := strconv.ParseInt(second, 10, 64)
	if err1 != nil || err2 != nil || s < 0 || s >= Shards || id < 0 {
		return 0, 0, errCursor
	}
	return int16(s), id, nil
}

// ReplayWindow is how long published events are kept.
const ReplayWindow = replayWindow
