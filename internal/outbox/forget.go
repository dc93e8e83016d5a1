package outbox

import (
	"context"
	"fmt"
	"time"

	"github.com/cellar-commerce/cellar/internal/ident"
	"github.com/cellar-commerce/cellar/internal/sqldb"
)

var (
	stmtPage = sqldb.Define(sqldb.Any, "outbox.page", `
SELECT count(*), coalesce(max(id), 0)
FROM (
  SELECT id
  FROM outbox
  WHERE region = $1 AND shard = $2 AND id > $3 AND id < $4
  ORDER BY id
  LIMIT $5
) AS p`)

	stmtForget = sqldb.Define(sqldb.Any, "outbox.forget", `
DELETE FROM outbox
WHERE region = $1 AND shard = $2 AND id > $3 AND id <= $4 AND published_at < $5`)
)

// pageSize is how many events are looked at in one go, and at most deleted or sent again: some ten milliseconds.
const pageSize = 5000

// page of a shard's events in the order of their ids, which is that of time: no index by when events were published is kept up for
// what is done once a day. The page has the ids after one, up to last. Full says that there may be more before the end.
func page(ctx context.Context, db *sqldb.DB, region ident.Region, shard int16, after, end int64) (last int64, full bool, err error) {
	var events int64
	if err := db.QueryRow(ctx, stmtPage, string(region), shard, after, end, pageSize).Scan(&events, &last); err != nil {
		return 0, false, fmt.Errorf("page of shard %d: %w", shard, err)
	}
	return last, events == pageSize, nil
}

// forget events that were published before a time: of each shard a page of those that are as old themselves. What has to stay, because
// it waits, or was published late or again, keeps nothing: the next page is the one behind it, and after the last the first.
func (r *Relay) forget(ctx context.Context, shards []int16, before time.Time) {
	for _, shard := range shards {
		if err := r.forgetPage(ctx, shard, before); err != nil && ctx.Err() == nil {
			r.deps.Log.WarnContext(ctx, "old events could not be deleted", "shard", shard, "error", err)
		}
	}
}

func (r *Relay) forgetPage(ctx context.Context, shard int16, before time.Time) error {
	after := r.forgotten[shard]
	last, full, err := page(ctx, r.deps.DB, r.deps.Region, shard, after, firstID(before))
	if err != nil {
		return err
	}
	r.forgotten[shard] = 0
	if full {
		r.forgotten[shard] = last
	}
	if last == 0 {
		return nil
	}
	_, err = r.deps.DB.Exec(ctx, stmtForget, string(r.deps.Region), shard, after, last, before)
	return err
}
