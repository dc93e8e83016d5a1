package outbox

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
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

	// By destination, so that one whose breaker is open does not stand before the others.
	stmtPending = sqldb.Define(sqldb.Any, "outbox.pending", `
SELECT o.destination, o.shard, o.id, o.message_id, o.subject, o.payload
FROM unnest($3::text[]) AS d (destination)
CROSS JOIN unnest($2::int2[]) AS s (shard)
CROSS JOIN LATERAL (
  SELECT p.destination, p.shard, p.id, p.message_id, p.subject, p.payload
  FROM outbox AS p
  WHERE p.region = $1 AND p.shard = s.shard AND p.destination = d.destination AND p.published_at IS NULL
  ORDER BY p.id
  LIMIT $4
) AS o
ORDER BY o.destination, o.shard, o.id`)

	stmtPublished = sqldb.Define(sqldb.Any, "outbox.published_mark", `
UPDATE outbox AS o
SET published_at = $5
FROM unnest($2::int2[], $3::int8[], $4::text[]) AS p (shard, id, message_id)
WHERE o.region = $1 AND o.shard = p.shard AND o.id = p.id AND o.message_id = p.message_id`)

	stmtLag = sqldb.Define(sqldb.Any, "outbox.lag", `
SELECT count(*), min(created_at)
FROM outbox
WHERE region = $1 AND shard = ANY ($2::int2[]) AND published_at IS NULL`)
)

const (
	// batch of events of a shard that are published at once: past some hundred the broker's disk is the limit, not the
	// round trips.
	batch = 200
	// pollEvery bounds the delay of events whose transaction was committed by another process. Half of what a platform at
	// rest asks its database are these questions.
	pollEvery = 400 * time.Millisecond
	// gather is the least time between two rounds: under load each then takes a handful of events, and not one.
	// What a round costs, two waits for the database and one for the broker's disk, is shared by all that it takes; what
	// hangs on an event is the packing of a parcel, which has more time than that.
	gather = 100 * time.Millisecond
	// leases share the shards among the cells of a region. Each costs a write a second, so there are fewer than shards; two keep
	// two cells busy, and more would make the rounds smaller.
	leases = 2
	// replayWindow is how long published events are kept to fill a broker again.
	replayWindow = 24 * time.Hour
	// forgetEvery bounds the clean-up's share of the work.
	forgetEvery = time.Minute
	// observeEvery is the pace of the lag's measurement: of the order of a scrape.
	observeEvery = 15 * time.Second
	// relayTimeout bounds the reading of one round, and each of its batches.
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
	// Observe is told how far events are behind; may be nil.
	Observe Observer
}

// Observer of an outbox.
type Observer interface {
	// OutboxLags is told every 15 s, by the relay that holds the first lease, of every destination: how many events wait, and
	// for how long the oldest has. Zeros say that nothing waits, or that another relay tells from now on.
	OutboxLags(database sqldb.Database, destination ident.Region, pending int64, oldest time.Duration)
}

// Relay publishes one region's events of one database.
type Relay struct {
	deps  Deps
	nudge chan struct{}

	mu     sync.Mutex
	held   [leases]bool
	tenure *tenure // nil until something is begun

	// forgotten is the id after which each shard's next page of old events is; only watch knows it.
	forgotten [Shards]int64
}

// New relay.
func New(deps Deps) *Relay { return &Relay{deps: deps, nudge: make(chan struct{}, 1)} }

// Nudge says that a transaction with events has committed; it never blocks.
func (r *Relay) Nudge() {
	select {
	case r.nudge <- struct{}{}:
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
			keeper.Run(ctx, "outbox/"+strconv.Itoa(n), func(ctx context.Context) { r.hold(ctx, n) })
		})
	}
	wg.Go(func() { r.relay(ctx) })
	r.watch(ctx)
}

// watch the shards that are held: for events that wait, for old ones, and for how far they are behind.
func (r *Relay) watch(ctx context.Context) {
	var forget, observe time.Time
	for ctx.Err() == nil {
		t, shards := r.begin(ctx)
		now := r.deps.Clock.Now()
		if len(shards) > 0 {
			r.look(t.ctx, shards)
			if !now.Before(forget) {
				forget = now.Add(forgetEvery)
				r.forget(t.ctx, shards, now.Add(-replayWindow))
			}
		}
		if !slices.Contains(shards, 0) {
			observe = now // who gets the first lease measures at once
		} else if r.deps.Observe != nil && !now.Before(observe) {
			observe = now.Add(observeEvery)
			r.lags(t.ctx)
		}
		t.underWay.Done()
		if r.deps.Clock.Sleep(ctx, pollEvery) != nil {
			return
		}
	}
}

// look for events that other processes have committed, with one question for all shards.
func (r *Relay) look(ctx context.Context, shards []int16) {
	waiting, err := sqldb.Collect(ctx, r.deps.DB, stmtWaiting, func(row sqldb.Row) (shard int16, err error) { err = row.Scan(&shard); return shard, err },
		string(r.deps.Region), shards)
	if err != nil && ctx.Err() == nil {
		r.deps.Log.WarnContext(ctx, "the outbox cannot be read", "database", string(r.deps.DB.Database()), "error", err)
	}
	if len(waiting) > 0 {
		r.Nudge()
	}
}

// lags of the region's events, for the observer.
func (r *Relay) lags(ctx context.Context) {
	all, err := Lags(ctx, r.deps.DB, r.deps.Region)
	if err != nil {
		if ctx.Err() == nil {
			r.deps.Log.WarnContext(ctx, "the outbox's lag cannot be read", "database", string(r.deps.DB.Database()), "error", err)
		}
		return
	}
	r.observe(all)
}

// observe what waits; nothing for destinations that are not among it.
func (r *Relay) observe(all []Lag) {
	if r.deps.Observe == nil {
		return
	}
	for _, d := range ident.Regions() {
		var pending int64
		var oldest time.Duration
		for _, l := range all {
			if l.Destination == d {
				pending, oldest = l.Pending, max(r.deps.Clock.Now().Sub(l.Oldest), 0)
			}
		}
		r.deps.Observe.OutboxLags(r.deps.DB.Database(), d, pending, oldest)
	}
}

// relay the shards that are held whenever there may be something. Each destination has at most one batch under way, and no other
// waits for it: a broker that hangs until the time-out keeps only what is meant for it.
func (r *Relay) relay(ctx context.Context) {
	ended := make(chan outcome, len(destinations())) // with room for all, since a batch may end after this has
	underWay := map[ident.Region]bool{}              // true: a round has passed it over meanwhile
	for ctx.Err() == nil {
		begun := r.deps.Clock.Now()
		if err := r.round(ctx, underWay, ended); err != nil {
			r.deps.Log.WarnContext(ctx, "events wait in the outbox", "database", string(r.deps.DB.Database()), "error", err)
		}
		if r.await(ctx, underWay, ended) {
			continue // what is left is there already
		}
		if early := gather - r.deps.Clock.Now().Sub(begun); early > 0 && r.deps.Clock.Sleep(ctx, early) != nil {
			return
		}
	}
}

// await until there may be something to relay; more says that there is.
func (r *Relay) await(ctx context.Context, underWay map[ident.Region]bool, ended <-chan outcome) (more bool) {
	for {
		select {
		case <-ctx.Done():
			return false
		case <-r.nudge:
			return false
		case o := <-ended:
			passedOver := underWay[o.destination]
			delete(underWay, o.destination)
			if o.err != nil {
				r.deps.Log.WarnContext(ctx, "events wait in the outbox", "database", string(r.deps.DB.Database()), "destination", string(o.destination), "error", o.err)
				continue
			}
			if o.more || passedOver {
				return o.more
			}
		}
	}
}

// outcome of a batch.
type outcome struct {
	destination ident.Region
	// more may be pending.
	more bool
	// err is nil for a batch that was stopped: its events are not late for it.
	err error
}

// pending events of one destination, in order.
type pending struct {
	shards     []int16
	ids        []int64
	messageIDs []string
	messages   []bus.Message
}

// round begins to publish up to a batch of each shard that is held to each destination that has none under way.
func (r *Relay) round(ctx context.Context, underWay map[ident.Region]bool, ended chan<- outcome) error {
	var free []string
	for _, d := range destinations() {
		if _, busy := underWay[ident.Region(d)]; busy {
			underWay[ident.Region(d)] = true
			continue
		}
		free = append(free, d)
	}
	t, shards := r.begin(ctx)
	defer t.underWay.Done()
	if len(free) == 0 || len(shards) == 0 {
		return nil
	}
	reading, cancel := context.WithTimeout(t.ctx, relayTimeout)
	defer cancel()
	all, err := r.pending(reading, shards, free)
	if err != nil {
		return t.unlessOver(err)
	}
	for destination, p := range all {
		underWay[destination] = false
		t.underWay.Go(func() {
			sending, cancel := context.WithTimeout(t.ctx, relayTimeout)
			defer cancel()
			err := r.send(sending, destination, p)
			ended <- outcome{destination, len(p.ids) >= batch, t.unlessOver(err)}
		})
	}
	return nil
}

func (r *Relay) pending(ctx context.Context, shards []int16, destinations []string) (map[ident.Region]*pending, error) {
	all := map[ident.Region]*pending{}
	rows, err := r.deps.DB.Query(ctx, stmtPending, string(r.deps.Region), shards, destinations, batch)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var d ident.Region
		var shard int16
		var id int64
		var m bus.Message
		if err := rows.Scan(&d, &shard, &id, &m.ID, &m.Subject, &m.Data); err != nil {
			return nil, fmt.Errorf("pending events: %w", err)
		}
		if all[d] == nil {
			all[d] = &pending{}
		}
		p := all[d]
		p.shards, p.ids, p.messageIDs, p.messages = append(p.shards, shard), append(p.ids, id), append(p.messageIDs, m.ID), append(p.messages, m)
	}
	return all, rows.Err()
}

func (r *Relay) send(ctx context.Context, destination ident.Region, p *pending) error {
	if err := r.deps.Guard.Do(destination, func() error { return r.deps.Publisher.Publish(ctx, destination, p.messages) }); err != nil {
		return err
	}
	_, err := r.deps.DB.Exec(ctx, stmtPublished, string(r.deps.Region), p.shards, p.ids, p.messageIDs, r.deps.Clock.Now())
	return err
}

// Lag is how many events wait, and since when the oldest does; zero time when none.
func (r *Relay) Lag(ctx context.Context) (pending int64, oldest time.Time, err error) {
	var since *time.Time
	if err := r.deps.DB.QueryRow(ctx, stmtLag, string(r.deps.Region), allShards()).Scan(&pending, &since); err != nil {
		return 0, time.Time{}, err
	}
	if since != nil {
		oldest = *since
	}
	return pending, oldest, nil
}
