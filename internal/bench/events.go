package bench

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/cellar-commerce/cellar/internal/breaker"
	"github.com/cellar-commerce/cellar/internal/bus"
	"github.com/cellar-commerce/cellar/internal/clock"
	fulfillmentv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/fulfillment/v1"
	"github.com/cellar-commerce/cellar/internal/ident"
	"github.com/cellar-commerce/cellar/internal/inbox"
	"github.com/cellar-commerce/cellar/internal/outbox"
	"github.com/cellar-commerce/cellar/internal/sqldb"
)

// The peer: a relay as one would write it first. It takes the next event, publishes it, waits, and marks it.
var (
	stmtNaiveNext = sqldb.Define(sqldb.Customer, "bench.naive_next", `
SELECT shard, id, message_id, subject, payload
FROM outbox
WHERE region = $1 AND published_at IS NULL
ORDER BY id
LIMIT 1`)

	stmtNaiveMark = sqldb.Define(sqldb.Customer, "bench.naive_mark", `
UPDATE outbox
SET published_at = now()
WHERE region = $1 AND shard = $2 AND id = $3 AND message_id = $4`)
)

const (
	// eventsWritten in one transaction of the bench.
	eventsWritten = 500
	// lagRate is the rate of events, a second, at which the lag is taken: half of a region's at the peak.
	lagRate = 100
	// eventsConns of the bench's pool.
	eventsConns = 8
)

// EventsConfig of the bench of events.
type EventsConfig struct {
	// Seconds that the naive relay runs for, and that the lag is taken for.
	Seconds float64
	// Events that our relay sends at once.
	Events int
	// BinDir has the program nats-server.
	BinDir string
	// Progress is told what is measured now; may be nil.
	Progress func(string)
}

type eventsBench struct {
	cfg    EventsConfig
	db     *sqldb.DB
	bus    *bus.Bus
	report Report
	sent   int
}

// Events measures the relay against one that sends one by one, both to a broker that acknowledges what is on its disk; how
// late events arrive; and how many a consumer with an inbox takes.
func Events(ctx context.Context, cfg EventsConfig) (r Report, err error) {
	begun := time.Now()
	dir, url, stop, err := ownServer(ctx)
	if err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, stop()) }()
	b := &eventsBench{cfg: cfg, report: Report{Name: "events", Machine: machine(), Ratios: map[string]float64{}, Goals: map[string]Goal{"relay": atLeast(4), "lag_p99_ms": atMost(1000)}}}
	if b.db, err = openOutbox(ctx, url); err != nil {
		return r, err
	}
	defer b.db.Close()
	stopBroker, err := b.startBroker(ctx, dir)
	if err != nil {
		return r, err
	}
	defer stopBroker()
	// The lag first: its consumer would have to get past all others' events.
	for _, measure := range []func(context.Context) error{b.lag, b.naive, b.relay, b.consumer} {
		if err := measure(ctx); err != nil {
			return r, err
		}
	}
	ours, peer := b.report.find("relay", 1, "service"), b.report.find("relay", 1, "naive")
	b.report.Ratios["relay"] = ours.PerSecond / peer.PerSecond
	b.report.Ratios["lag_p99_ms"] = b.report.find("lag", 1, "service").P99MS
	b.report.Seconds = time.Since(begun).Seconds()
	return b.report, nil
}

func openOutbox(ctx context.Context, url string) (*sqldb.DB, error) {
	if err := schemas(ctx, url, sqldb.Customer); err != nil {
		return nil, err
	}
	return sqldb.Open(ctx, sqldb.Config{URL: url, Database: sqldb.Customer, MaxConns: eventsConns})
}

// startBroker with every acknowledgement on its disk.
func (b *eventsBench) startBroker(ctx context.Context, dir string) (stop func(), err error) {
	address, err := freeAddress(ctx)
	if err != nil {
		return nil, err
	}
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	config := filepath.Join(dir, "broker.conf")
	err = fill(config, "host: 127.0.0.1\nport: PORT\njetstream { store_dir: \"DIR\", sync_interval: always }\n", "PORT", port, "DIR", filepath.Join(dir, "broker"))
	if err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, filepath.Join(b.cfg.BinDir, "nats-server"), "--config", config)
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("bench: the broker: %w", err)
	}
	b.bus = bus.New(bus.Config{URLs: map[ident.Region]string{home: "nats://" + address}, Name: "bench", Log: slog.New(slog.DiscardHandler)})
	stop = func() {
		b.bus.Close()
		_ = cmd.Process.Kill() // nothing of it is kept
		_ = cmd.Wait()
	}
	deadline := time.Now().Add(upWithin)
	for err = b.bus.EnsureStreams(ctx, home); err != nil; err = b.bus.EnsureStreams(ctx, home) {
		if time.Now().After(deadline) || ctx.Err() != nil {
			stop()
			return nil, err
		}
		time.Sleep(20 * time.Millisecond)
	}
	return stop, nil
}

func (b *eventsBench) say(what string) {
	if b.cfg.Progress != nil {
		b.cfg.Progress(what)
	}
}

// write events of as many orders.
func (b *eventsBench) write(ctx context.Context, n int) error {
	for n > 0 {
		some := make([]outbox.Event, min(n, eventsWritten))
		now := time.Now()
		for i := range some {
			b.sent++
			order := "use1-" + strconv.Itoa(b.sent)
			some[i] = outbox.Event{MessageID: "shipment/" + order, Key: order, Subject: "order.use1.shipped", Destination: home, Payload: &fulfillmentv1.ShipmentShipped{
				OrderId: order, CustomerId: "c-use1-0123456789", FcId: "ATL1", ShipmentId: order, TrackingNumber: "1Z0123456789", ShippedAt: timestamppb.New(now),
			}}
		}
		n -= len(some)
		if err := b.db.InTx(ctx, func(tx sqldb.Tx) error { return outbox.Enqueue(ctx, tx, home, now, some...) }); err != nil {
			return err
		}
	}
	return nil
}

// naive relay of some of the events that wait; the others are left to ours.
func (b *eventsBench) naive(ctx context.Context) error {
	if err := b.write(ctx, b.cfg.Events); err != nil {
		return err
	}
	if err := b.db.ExecText(ctx, "ANALYZE outbox"); err != nil {
		return err
	}
	b.say("one by one")
	begun, took := time.Now(), []time.Duration(nil)
	for time.Since(begun).Seconds() < b.cfg.Seconds {
		start := time.Now()
		var shard int16
		var id int64
		var m bus.Message
		err := b.db.QueryRow(ctx, stmtNaiveNext, string(home)).Scan(&shard, &id, &m.ID, &m.Subject, &m.Data)
		if errors.Is(err, sqldb.ErrNoRows) {
			break
		}
		if err != nil {
			return err
		}
		if err := b.bus.Publish(ctx, home, []bus.Message{m}); err != nil {
			return err
		}
		if _, err := b.db.Exec(ctx, stmtNaiveMark, string(home), shard, id, m.ID); err != nil {
			return err
		}
		took = append(took, time.Since(start))
	}
	b.report.Rows = append(b.report.Rows, row("relay", 1, "naive", time.Since(begun), took))
	return nil
}

// running relay, until the returned function ends it.
func (b *eventsBench) running(ctx context.Context) (r *outbox.Relay, stop func()) {
	r = outbox.New(outbox.Deps{DB: b.db, Region: home, Cell: "bench", Publisher: b.bus, Guard: breaker.New(nil), Clock: clock.System{}, Log: slog.New(slog.DiscardHandler)})
	ctx, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	wg.Go(func() { r.Run(ctx) })
	return r, func() { cancel(); wg.Wait() }
}

// drained waits until nothing is pending.
func drained(ctx context.Context, r *outbox.Relay) error {
	for {
		pending, _, err := r.Lag(ctx)
		if err != nil || pending == 0 {
			return err
		}
		time.Sleep(5 * time.Millisecond)
	}
}

func (b *eventsBench) relay(ctx context.Context) error {
	if err := b.write(ctx, b.cfg.Events); err != nil {
		return err
	}
	waiting, err := outbox.Lags(ctx, b.db, home)
	if err != nil || len(waiting) != 1 {
		return fmt.Errorf("bench: %d destinations wait: %w", len(waiting), err)
	}
	b.say("in batches")
	begun := time.Now()
	r, stop := b.running(ctx)
	defer stop()
	if err := drained(ctx, r); err != nil {
		return err
	}
	b.report.Rows = append(b.report.Rows, rate("relay", float64(waiting[0].Pending)/time.Since(begun).Seconds()))
	return nil
}

// rate without latencies: those of events that lie in a heap say nothing.
func rate(what string, perSecond float64) Row {
	return Row{Case: what, Callers: 1, Variant: "service", PerSecond: perSecond}
}

// receive events in batches, each with its inbox rows, until ctx ends; seen is told how many, once they are committed.
func (b *eventsBench) receive(ctx context.Context, durable string, seen func([]bus.Message)) error {
	return b.bus.ConsumeBatches(ctx, bus.Consumer{Region: home, Stream: bus.StreamOrder, Durable: durable, Subject: "order.>"}, func(ctx context.Context, all []bus.Message) error {
		ids := make([]string, len(all))
		for i, m := range all {
			ids[i] = m.ID
		}
		var batch sqldb.Batch
		inbox.QueueAll(&batch, home, durable, ids, time.Now())
		if err := b.db.Send(ctx, &batch); err != nil {
			return err
		}
		seen(all)
		return nil
	})
}

// consumer of all that has been sent so far.
func (b *eventsBench) consumer(ctx context.Context) error {
	b.say("a consumer with an inbox")
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	begun, got, want := time.Now(), 0, b.sent
	err := b.receive(ctx, "bench-rate", func(all []bus.Message) {
		if got += len(all); got >= want {
			cancel()
		}
	})
	b.report.Rows = append(b.report.Rows, rate("consumer", float64(got)/time.Since(begun).Seconds()))
	return err
}

// lag from an event's transaction to its effect's, at a steady rate.
func (b *eventsBench) lag(ctx context.Context) error {
	b.say("lag")
	r, stop := b.running(ctx)
	defer stop()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	begun := time.Now()
	var mu sync.Mutex
	written, took := map[string]time.Time{}, []time.Duration(nil)
	var receiver sync.WaitGroup
	var failure error
	receiver.Go(func() {
		failure = b.receive(ctx, "bench-lag", func(all []bus.Message) {
			mu.Lock()
			defer mu.Unlock()
			for _, m := range all {
				if at, ok := written[m.ID]; ok {
					took = append(took, time.Since(at))
					delete(written, m.ID)
				}
			}
		})
	})
	tick := time.NewTicker(time.Second / lagRate)
	defer tick.Stop()
	n := int(b.cfg.Seconds * lagRate)
	for range n {
		mu.Lock()
		written["shipment/use1-"+strconv.Itoa(b.sent+1)] = time.Now()
		mu.Unlock()
		if err := b.write(ctx, 1); err != nil {
			return err
		}
		r.Nudge()
		<-tick.C
	}
	if err := drained(ctx, r); err != nil {
		return err
	}
	late := time.Now().Add(upWithin)
	for done := false; !done && time.Now().Before(late); time.Sleep(5 * time.Millisecond) {
		mu.Lock()
		done = len(took) == n
		mu.Unlock()
	}
	whole := time.Since(begun)
	cancel()
	receiver.Wait()
	if len(took) != n {
		return fmt.Errorf("bench: %d of %d events arrived: %w", len(took), n, failure)
	}
	b.report.Rows = append(b.report.Rows, row("lag", 1, "service", whole, took))
	return failure
}
