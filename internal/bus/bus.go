package bus

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/cellar-commerce/cellar/internal/ident"
	"github.com/cellar-commerce/cellar/internal/problem"
)

// Message as it travels.
type Message struct {
	// ID is unique for ever; the broker drops what it has seen.
	ID      string
	Subject string
	Data    []byte
	// Delivered counts the deliveries to this consumer, from 1; 0 on the way out.
	Delivered int

	// meantFor is the one consumer of a replayed dead letter; empty for everybody.
	meantFor string
}

// Config of a Bus.
type Config struct {
	// URLs of each region's broker.
	URLs map[ident.Region]string
	// Name of this process, for the broker's list of connections.
	Name string
	Log  *slog.Logger
	// Bury keeps messages that consumers give up. Nil: none is ever given up.
	Bury Bury
	// Tries of a message before it is given up; 0 means DefaultTries.
	Tries int
}

// Bus is the connections of one process. They are made when first needed and for ever made anew: a broker that is away
// keeps neither this process from starting nor other regions from being reached.
type Bus struct {
	cfg   Config
	links map[ident.Region]*lazyLink // never changed
}

// pingEvery and maxPings find a link that is cut without a word within a quarter of a minute: what is published meanwhile runs
// into time-outs, and afterwards fails at once.
const (
	pingEvery = 5 * time.Second
	maxPings  = 2
)

// lazyLink is made when first needed. Each has a lock of its own: waiting for one region's broker keeps nobody from
// another's.
type lazyLink struct {
	mu   sync.Mutex
	link *link
}

type link struct {
	conn *nats.Conn
	js   jetstream.JetStream
}

// New bus; no connection is made yet.
func New(cfg Config) *Bus {
	if cfg.Tries == 0 {
		cfg.Tries = DefaultTries
	}
	b := &Bus{cfg: cfg, links: map[ident.Region]*lazyLink{}}
	for region := range cfg.URLs {
		b.links[region] = &lazyLink{}
	}
	return b
}

// Close all connections. What was acknowledged is safe; the rest was not acknowledged.
func (b *Bus) Close() {
	for _, l := range b.links {
		l.mu.Lock()
		if l.link != nil {
			l.link.conn.Close()
		}
		l.mu.Unlock()
	}
}

func (b *Bus) link(region ident.Region) (*link, error) {
	lazy, ok := b.links[region]
	if !ok {
		return nil, problem.New(problem.Unavailable, "NO_BROKER", "no broker is configured for the region")
	}
	lazy.mu.Lock()
	defer lazy.mu.Unlock()
	if lazy.link != nil {
		return lazy.link, nil
	}
	conn, err := nats.Connect(b.cfg.URLs[region], nats.Name(b.cfg.Name), nats.RetryOnFailedConnect(true), nats.MaxReconnects(-1),
		nats.ReconnectWait(250*time.Millisecond), nats.ReconnectJitter(100*time.Millisecond, time.Second),
		nats.PingInterval(pingEvery), nats.MaxPingsOutstanding(maxPings),
		// What cannot be sent now must fail now: the outbox keeps it.
		nats.ReconnectBufSize(-1))
	if err != nil {
		return nil, fmt.Errorf("bus: connect to %s: %w", region, err)
	}
	js, err := jetstream.New(conn, jetstream.WithPublishAsyncMaxPending(1024))
	if err != nil {
		conn.Close()
		return nil, fmt.Errorf("bus: jetstream of %s: %w", region, err)
	}
	lazy.link = &link{conn: conn, js: js}
	return lazy.link, nil
}

// EnsureStreams declares the streams of a region; declaring them again changes nothing.
func (b *Bus) EnsureStreams(ctx context.Context, region ident.Region) error {
	l, err := b.link(region)
	if err != nil {
		return err
	}
	for _, s := range streams() {
		if _, err := l.js.CreateOrUpdateStream(ctx, s); err != nil {
			return fmt.Errorf("bus: stream %s of %s: %w", s.Name, region, err)
		}
	}
	return nil
}

// Publish messages to a region; nil when all are on its broker's disk. After an error some may be: publish all
// again, the broker drops those it has. A broker that has lost its streams with its disk is given them anew, for the next try.
func (b *Bus) Publish(ctx context.Context, region ident.Region, messages []Message) error {
	err := b.publish(ctx, region, messages)
	if errors.Is(err, nats.ErrNoResponders) || errors.Is(err, jetstream.ErrNoStreamResponse) {
		err = errors.Join(err, b.EnsureStreams(ctx, region))
	}
	return err
}

func (b *Bus) publish(ctx context.Context, region ident.Region, messages []Message) error {
	l, err := b.link(region)
	if err != nil {
		return err
	}
	if !l.conn.IsConnected() {
		return problem.New(problem.Unavailable, "BROKER_UNREACHABLE", "the region's broker cannot be reached")
	}
	for _, batch := range batches(messages) {
		if err := l.publishBatch(ctx, batch); err != nil {
			return fmt.Errorf("bus: publish to %s: %w", region, err)
		}
	}
	return nil
}

// publishOneByOne without waiting in between: each costs the broker a write of its disk.
func (l *link) publishOneByOne(ctx context.Context, messages []Message) error {
	acks := make([]jetstream.PubAckFuture, 0, len(messages))
	for _, m := range messages {
		ack, err := l.js.PublishMsgAsync(&nats.Msg{Subject: m.Subject, Data: m.Data, Header: nats.Header{jetstream.MsgIDHeader: {m.ID}}})
		if err != nil {
			return err
		}
		acks = append(acks, ack)
	}
	for _, ack := range acks {
		select {
		case <-ack.Ok():
		case err := <-ack.Err():
			return err
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// Ready tells whether a region's broker answers.
func (b *Bus) Ready(region ident.Region) error {
	l, err := b.link(region)
	if err != nil {
		return err
	}
	if !l.conn.IsConnected() {
		return errors.New("bus: not connected to the broker of " + string(region))
	}
	return nil
}
