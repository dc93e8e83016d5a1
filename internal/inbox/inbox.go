// Package inbox makes each event count once where it arrives.
//
// The broker delivers at least once. A consumer therefore writes, in the transaction of the
// event's effect, a row with the event's id; finding the row there already, it has nothing
// left to do.
package inbox

import (
	"context"
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
