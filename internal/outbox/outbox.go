package outbox

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/cespare/xxhash/v2"
	"google.golang.org/protobuf/proto"

	"github.com/cellar-commerce/cellar/internal/ident"
	"github.com/cellar-commerce/cellar/internal/sqldb"
)

// Shards of an outbox. More would only add leases; the table's CHECK knows the number too.
const Shards = 16

// Event on its way out.
type Event struct {
	// MessageID is unique for ever: deduplication is by it.
	MessageID string
	// Key orders: events of one key leave in the order in which they were enqueued.
	Key string
	// Subject on the broker.
	Subject string
	// Destination is the region whose broker carries it.
	Destination ident.Region
	Payload     proto.Message
	// Raw is the payload when it is packed already; Payload is nil then.
	Raw []byte
}

// Adding begins the part of a statement that adds events; what follows selects their columns and the time.
const Adding = `INSERT INTO outbox (region, shard, id, message_id, destination, subject, payload, created_at)`

var stmtEnqueue = sqldb.Define(sqldb.Any, "outbox.enqueue", `
`+Adding+`
SELECT $1::crdb_internal_region, e.shard, e.id, e.message_id, e.destination, e.subject, e.payload, $8
FROM unnest($2::int2[], $3::int8[], $4::text[], $5::text[], $6::text[], $7::bytea[]) AS e (shard, id, message_id, destination, subject, payload)`)

// maxEvents of one transaction: an import batch for three regions has 1,500.
const maxEvents = 2000

// Enqueue events in the transaction of their effect; home is the region of the rows that the effect changed.
func Enqueue(ctx context.Context, tx sqldb.Tx, home ident.Region, now time.Time, events ...Event) error {
	var b sqldb.Batch
	if err := Queue(&b, home, now, events...); err != nil || len(events) == 0 {
		return err
	}
	return tx.Send(ctx, &b)
}

// Queue is Enqueue for a batch of statements that a transaction sends later.
func Queue(b *sqldb.Batch, home ident.Region, now time.Time, events ...Event) error {
	if len(events) > maxEvents {
		return fmt.Errorf("outbox: %d events in one transaction, at most %d", len(events), maxEvents)
	}
	packed, err := Pack(events)
	if err != nil {
		return err
	}
	QueuePacked(b, home, now, packed)
	return nil
}

// Packed event: all that can fail about it has been done.
type Packed struct {
	event   Event
	payload []byte
}

// Pack events.
func Pack(events []Event) ([]Packed, error) {
	packed := make([]Packed, len(events))
	for i, e := range events {
		payload, err := e.Raw, error(nil)
		if e.Payload != nil {
			payload, err = proto.Marshal(e.Payload)
		}
		if err != nil {
			return nil, fmt.Errorf("outbox: event %s: %w", e.MessageID, err)
		}
		packed[i] = Packed{event: e, payload: payload}
	}
	return packed, nil
}

// QueuePacked is Queue for events that are packed, of one transaction or of several that share one.
func QueuePacked(b *sqldb.Batch, home ident.Region, now time.Time, events []Packed) {
	if len(events) == 0 {
		return
	}
	n := len(events)
	shards, ids, messageIDs := make([]int16, n), make([]int64, n), make([]string, n)
	destinations, subjects, payloads := make([]string, n), make([]string, n), make([][]byte, n)
	for i, p := range events {
		shards[i], ids[i], messageIDs[i] = shardOf(p.event.Key), nextID(now), p.event.MessageID
		destinations[i], subjects[i], payloads[i] = string(p.event.Destination), p.event.Subject, p.payload
	}
	b.Queue(stmtEnqueue, nil, string(home), shards, ids, messageIDs, destinations, subjects, payloads, now)
}

// Series is a place in the outbox for events of one key which a statement adds itself, because it alone can tell which of them
// have happened: it does so where it has Adding, with ids from First on, up to as many as the series is for.
type Series struct {
	Shard int16
	First int64
}

// SeriesOf as many events of a key, which happen now.
func SeriesOf(now time.Time, key string, events int) Series {
	return Series{Shard: shardOf(key), First: nextIDs(now, events)}
}

func shardOf(key string) int16 { return int16(xxhash.Sum64String(key) >> 60) }

// firstID of a time: what was enqueued before has a lower one, unless its process had a clock that was ahead.
func firstID(t time.Time) int64 { return t.UnixMilli() << 20 }

var lastID atomic.Int64

// nextID grows with every event of this process, and with time across processes: milliseconds, then 20 bits of counter.
// Two transactions of one key are ordered by their locks, so the later one has the later time or the same process.
func nextID(now time.Time) int64 { return nextIDs(now, 1) }

// nextIDs are the next n; it gives the first.
func nextIDs(now time.Time, n int) int64 {
	for {
		last := lastID.Load()
		id := max(firstID(now), last+1)
		if lastID.CompareAndSwap(last, id+int64(n)-1) {
			return id
		}
	}
}
