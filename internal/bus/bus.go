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
	// At is when the broker stored it; zero on the way out.
	At time.Time

	// meantFor is the one consumer of a replayed dead letter; empty for everybody.
	meantFor string
}

// Config of a Bus.
type Config struct {
	// URLs of each region's broker.
	URLs map[ident.Region]string
	// Credentials are files by region's broker: the seed of a NATS user (an nkey), or a user's JWT and seed as nsc writes them. A
	// broker without one is connected to as nobody. A file that is missing or refused may be mended while the bus runs.
	Credentials map[ident.Region]string
	// Home is the region that the process runs in: it declares no other's streams, and reads answers below the inbox prefix that
	// the region's users may read. Empty: it is at home everywhere.
	Home ident.Region
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
	// complaint is the reason that the log was last told; empty once there is a connection.
	complaint string
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

// EnsureStreams declares the streams of the home region; declaring them again changes nothing. Those of another are its own
// cells' to declare: FOREIGN_STREAMS.
func (b *Bus) EnsureStreams(ctx context.Context, region ident.Region) error {
	if !b.atHome(region) {
		return problem.New(problem.Precondition, "FOREIGN_STREAMS", "a region's streams are declared by its own cells")
	}
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
// again, the broker drops those it has. The home's broker, when it has lost its streams with its disk, is given them anew, for the
// next try; another region's gets them from that region's cells.
func (b *Bus) Publish(ctx context.Context, region ident.Region, messages []Message) error {
	err := b.publish(ctx, region, messages)
	if b.atHome(region) && (errors.Is(err, nats.ErrNoResponders) || errors.Is(err, jetstream.ErrNoStreamResponse)) {
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
	ctx, done := l.untilDenied(ctx, messages)
	defer done()
	for _, batch := range batches(messages) {
		if err := l.publishBatch(ctx, batch); err != nil {
			if denied := context.Cause(ctx); problem.Is(denied, ReasonDenied) {
				err = denied
			}
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
