// Package inbox makes each event count once where it arrives.
//
// The broker delivers at least once. A consumer therefore writes, in the transaction of the
// event's effect, a row with the event's id; finding the row there already, it has nothing
// left to do.
//
// Rows stay for a week, which is longer than any message can come again; Sweep then deletes them,
// so that an inbox has as many rows as a week has messages.
package inbox

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/cellar-commerce/cellar/internal/ident"
	"github.com/cellar-commerce/cellar/internal/sqldb"
)

var stmtReceive = sqldb.Define(sqldb.Any, "inbox.receive", `
INSERT INTO inbox (region, consumer, message_id, received_at)
VALUES ($1, $2, $3, $4)
ON CONFLICT (region, consumer, message_id) DO NOTHING`)

var stmtReceiveAll = sqldb.Define(sqldb.Any, "inbox.receive_all", `
INSERT INTO inbox (region, consumer, message_id, received_at)
SELECT $1::crdb_internal_region, $2, n.message_id, $4
FROM unnest($3::text[]) AS n (message_id)
ON CONFLICT (region, consumer, message_id) DO NOTHING`)

// Only regions' consumers write inboxes. A page of the primary key: no index by time is kept up for what is done once a week.
var stmtSweep = sqldb.Define(sqldb.Regional, "inbox.sweep", `
WITH page AS (
  SELECT consumer, message_id, received_at
  FROM inbox
  WHERE region = $1 AND (consumer, message_id) > ($2, $3)
  ORDER BY consumer, message_id
  LIMIT $5
), gone AS (
  DELETE FROM inbox AS i
  USING page AS p
  WHERE i.region = $1 AND i.consumer = p.consumer AND i.message_id = p.message_id AND p.received_at < $4
  RETURNING i.message_id
)
SELECT consumer, message_id, (SELECT count(*) FROM gone)
FROM page
ORDER BY consumer DESC, message_id DESC
LIMIT 1`)

// Keep is how long a row is kept after its message took effect. A message can come again for two days: an outbox replays what
// was acknowledged in the last one, and the stream then keeps it for another. The rest is for who mends a broker late.
const Keep = 7 * 24 * time.Hour

// SweepPage of rows is looked at in one go, and at most deleted: some ten milliseconds.
const SweepPage = 2000

// Sweep is a place in an inbox whose old rows are being deleted. The zero value is its beginning.
type Sweep struct{ consumer, id string }

// Next looks at a page of a region's rows, deletes those that are older than Keep, and tells how many. At the end it begins
// anew. Sweeps beside each other do no harm.
func (s *Sweep) Next(ctx context.Context, db *sqldb.DB, region ident.Region, now time.Time) (gone int64, err error) {
	err = db.QueryRow(ctx, stmtSweep, string(region), s.consumer, s.id, now.Add(-Keep), SweepPage).Scan(&s.consumer, &s.id, &gone)
	if errors.Is(err, sqldb.ErrNoRows) {
		*s = Sweep{}
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("inbox: sweep %s: %w", region, err)
	}
	return gone, nil
}

// Message as a consumer knows it.
type Message struct {
	// Consumer that takes it, for example "fulfillment".
	Consumer string
	// ID as in the sender's outbox.
	ID string
}

// First tells whether a message takes effect now for the first time. Twins in other transactions wait for this one's end.
func First(ctx context.Context, tx sqldb.Tx, home ident.Region, m Message, now time.Time) (bool, error) {
	n, err := tx.Exec(ctx, stmtReceive, string(home), m.Consumer, m.ID, now)
	return n == 1, err
}

// QueueAll is First for effects that have keys of their own, which refuse them the second time: rows and effects, of any
// number of messages, can then share a round trip, because nobody has to look in between. Give the ids in their order.
func QueueAll(b *sqldb.Batch, home ident.Region, consumer string, ids []string, now time.Time) {
	b.Queue(stmtReceiveAll, nil, string(home), consumer, ids, now)
}
