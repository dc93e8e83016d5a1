package outbox

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"sync"
	"time"

	"github.com/cellar-commerce/cellar/internal/bus"
	"github.com/cellar-commerce/cellar/internal/clock"
	"github.com/cellar-commerce/cellar/internal/ident"
	"github.com/cellar-commerce/cellar/internal/lease"
	"github.com/cellar-commerce/cellar/internal/sqldb"
)

var (
	stmtWaiting = sqldb.Define(sqldb.Any, "outbox.waiting", `
SELECT s.shard
FROM unnest($2::int2[]) AS s (shard)
WHERE EXISTS (
  SELECT 1
  FROM outbox AS o
  WHERE o.region = $1 AND o.shard = s.shard AND o.published_at IS NULL
)`)

	stmtDestinations = sqldb.Define(sqldb.Any, "outbox.destinations", `
SELECT DISTINCT destination
FROM outbox
WHERE region = $1 AND shard = $2 AND published_at IS NULL`)

	stmtPending = sqldb.Define(sqldb.Any, "outbox.pending", `
SELECT id, message_id, subject, payload
FROM outbox
WHERE region = $1 AND shard = $2 AND destination = $3 AND published_at IS NULL
ORDER BY id
LIMIT $4`)

	stmtPublished = sqldb.Define(sqldb.Any, "outbox.published_mark", `
UPDATE outbox AS o
SET published_at = $5
FROM unnest($3::int8[], $4::text[]) AS p (id, message_id)
WHERE o.region = $1 AND o.shard = $2 AND o.id = p.id AND o.message_id = p.message_id`)

	stmtForget = sqldb.Define(sqldb.Any, "outbox.forget", `
DELETE FROM outbox
WHERE region = $1 AND shard = $2 AND (id, message_id) IN (
  SELECT id, message_id
  FROM outbox
  WHERE region = $1 AND shard = $2 AND published_at < $3
  ORDER BY published_at
  LIMIT $4
)`)

	stmtLag = sqldb.Define(sqldb.Any, "outbox.lag", `
SELECT count(*), min(created_at)
FROM outbox
WHERE region = $1 AND shard = ANY ($2::int2[]) AND published_at IS NULL`)
)

const (
	// batch of events published at once: past some hundred the broker's disk is the limit, not the round trips.
	batch = 200
	// pollEvery bounds the delay of events whose transaction was committed by another process.
	pollEvery = 100 * time.Millisecond
	// leases share the shards among the cells of a region. Each costs a write a second, so there are fewer than shards.
	leases = 4
	// replayWindow is how long published events are kept to fill a broker again.
	replayWindow = 24 * time.Hour
	// forgetEvery and forgetBatch bound the clean-up's share of the work.
	forgetEvery = time.Minute
	forgetBatch = 5000
	// relayTimeout bounds one round of one shard.
	relayTimeout = 10 * time.Second
)

// Publisher takes messages to a region's broker: all are acknowledged, or an error says that some may not be.
type Publisher interface {
	Publish(ctx context.Context, region ident.Region, messages []bus.Message) error
}

// Guard runs a publish unless the destination's breaker is open.
type Guard interface {
	Do(destination ident.Region, publish func() error) error
}

// Deps of a Relay.
type Deps struct {
	// DB whose outbox is relayed.
	DB *sqldb.DB
	// Region whose rows are relayed: this cell's.
	Region ident.Region
	// Cell competes for the shards under this name.
	Cell      string
	Publisher Publisher
	Guard     Guard
	Clock     clock.Clock
	Log       *slog.Logger
}

// Relay publishes one region's events of one database.
type Relay struct {
	deps   Deps
	nudges [Shards]chan struct{}
}

// New relay.
func New(deps Deps) *Relay {
	r := &Relay{deps: deps}
	for i := range r.nudges {
		r.nudges[i] = make(chan struct{}, 1)
	}
	return r
}

// Nudge says that a transaction with events has committed; it never blocks.
func (r *Relay) Nudge() {
	for shard := range int16(Shards) {
		r.nudge(shard)
	}
}

func (r *Relay) nudge(shard int16) {
	select {
	case r.nudges[shard] <- struct{}{}:
	default: // it will look anyway
	}
}

// Run relays the shards whose leases this cell gets, until ctx ends.
func (r *Relay) Run(ctx context.Context) {
	keeper := lease.New(lease.Deps{DB: r.deps.DB, Region: r.deps.Region, Holder: r.deps.Cell, Clock: r.deps.Clock, Log: r.deps.Log})
	var wg sync.WaitGroup
	defer wg.Wait()
	for n := range leases {
		wg.Go(func() {
			keeper.Run(ctx, "outbox/"+strconv.Itoa(n), func(ctx context.Context) { r.relayAll(ctx, n) })
		})
	}
}

// relayAll relays the shards of one lease while it is held.
func (r *Relay) relayAll(ctx context.Context, n int) {
	var shards []int16
	var wg sync.WaitGroup
	defer wg.Wait()
	for shard := int16(n); shard < Shards; shard += leases {
		shards = append(shards, shard)
		wg.Go(func() { r.relay(ctx, shard) })
	}
	r.watch(ctx, shards)
}

// watch looks for events that other processes have committed, with one question for all shards.
func (r *Relay) watch(ctx context.Context, shards []int16) {
	forget := r.deps.Clock.Now().Add(forgetEvery)
	for ctx.Err() == nil {
		waiting, err := sqldb.Collect(ctx, r.deps.DB, stmtWaiting, func(row sqldb.Row) (shard int16, err error) { err = row.Scan(&shard); return shard, err },
			string(r.deps.Region), shards)
		if err != nil && ctx.Err() == nil {
			r.deps.Log.WarnContext(ctx, "the outbox cannot be read", "database", string(r.deps.DB.Database()), "error", err)
		}
		if now := r.deps.Clock.Now(); !now.Before(forget) {
			forget, waiting = now.Add(forgetEvery), shards // a shard without events has old ones to delete, too
		}
		for _, shard := range waiting {
			r.nudge(shard)
		}
		if r.deps.Clock.Sleep(ctx, pollEvery) != nil {
			return
		}
	}
}

// relay one shard while its lease is held.
func (r *Relay) relay(ctx context.Context, shard int16) {
	forget := r.deps.Clock.Now()
	for ctx.Err() == nil {
		n, err := r.round(ctx, shard)
		if err != nil && ctx.Err() == nil {
			r.deps.Log.WarnContext(ctx, "events wait in the outbox", "database", string(r.deps.DB.Database()), "shard", shard, "error", err)
		}
		if now := r.deps.Clock.Now(); !now.Before(forget) {
			forget = now.Add(forgetEvery)
			if _, err := r.deps.DB.Exec(ctx, stmtForget, string(r.deps.Region), shard, now.Add(-replayWindow), forgetBatch); err != nil && ctx.Err() == nil {
				r.deps.Log.WarnContext(ctx, "old events could not be deleted", "shard", shard, "error", err)
			}
		}
		if n > 0 && err == nil {
			continue // there may be more
		}
		select {
		case <-ctx.Done():
		case <-r.nudges[shard]:
		}
	}
}

// round publishes up to a batch for each destination. A destination that fails does not keep the others.
func (r *Relay) round(ctx context.Context, shard int16) (int, error) {
	ctx, cancel := context.WithTimeout(ctx, relayTimeout)
	defer cancel()
	destinations, err := sqldb.Collect(ctx, r.deps.DB, stmtDestinations, func(row sqldb.Row) (d ident.Region, err error) { err = row.Scan(&d); return d, err },
		string(r.deps.Region), shard)
	if err != nil {
		return 0, err
	}
	var sent int
	var failures []error
	for _, d := range destinations {
		n, err := r.send(ctx, shard, d)
		sent += n
		if err != nil {
			failures = append(failures, fmt.Errorf("to %s: %w", d, err))
		}
	}
	return sent, errors.Join(failures...)
}

func (r *Relay) send(ctx context.Context, shard int16, destination ident.Region) (int, error) {
	var ids []int64
	var messageIDs []string
	messages, err := sqldb.Collect(ctx, r.deps.DB, stmtPending, func(row sqldb.Row) (bus.Message, error) {
		var m bus.Message
		var id int64
		err := row.Scan(&id, &m.ID, &m.Subject, &m.Data)
		ids, messageIDs = append(ids, id), append(messageIDs, m.ID)
		return m, err
	}, string(r.deps.Region), shard, string(destination), batch)
	if err != nil || len(messages) == 0 {
		return 0, err
	}
	if err := r.deps.Guard.Do(destination, func() error { return r.deps.Publisher.Publish(ctx, destination, messages) }); err != nil {
		return 0, err
	}
	_, err = r.deps.DB.Exec(ctx, stmtPublished, string(r.deps.Region), shard, ids, messageIDs, r.deps.Clock.Now())
	return len(messages), err
}

// Lag is how many events wait, and since when the oldest does; zero time when none.
func (r *Relay) Lag(ctx context.Context) (pending int64, oldest time.Time, err error) {
	all := make([]int16, Shards)
	for i := range all {
		all[i] = int16(i)
	}
	var since *time.Time
	if err := r.deps.DB.QueryRow(ctx, stmtLag, string(r.deps.Region), all).Scan(&pending, &since); err != nil {
		return 0, time.Time{}, err
	}
	if since != nil {
		oldest = *since
	}
	return pending, oldest, nil
}
