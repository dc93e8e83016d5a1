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

// Queue is First for an effect that has a key of its own, which refuses it the second time: the two can then share a round
// trip, because nobody has to look in between.
func Queue(b *sqldb.Batch, home ident.Region, m Message, now time.Time) {
	b.Queue(stmtReceive, nil, string(home), m.Consumer, m.ID, now)
}
