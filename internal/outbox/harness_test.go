package outbox_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/cellar-commerce/cellar/internal/bus"
	"github.com/cellar-commerce/cellar/internal/bus/bustest"
	"github.com/cellar-commerce/cellar/internal/clock"
	"github.com/cellar-commerce/cellar/internal/ident"
	"github.com/cellar-commerce/cellar/internal/outbox"
	"github.com/cellar-commerce/cellar/internal/sqldb"
	"github.com/cellar-commerce/cellar/internal/sqldb/sqldbtest"
)

func TestMain(m *testing.M) {
	bustest.PlayBroker()
	sqldbtest.Main(m)
}

const (
	home = ident.Region("us-east-1")
	west = ident.Region("us-west-2")
)

// broker is a Publisher in memory. It keeps everything it was given, twins too, in order.
type broker struct {
	mu   sync.Mutex
	got  []bus.Message
	grew chan struct{} // closed and replaced whenever a message arrives
	// answer is asked after a batch was kept: an error is an acknowledgement that was lost. Nil acknowledges.
	answer func([]bus.Message) error
}

func newBroker() *broker { return &broker{grew: make(chan struct{})} }

// Publish implements outbox.Publisher.
func (b *broker) Publish(ctx context.Context, _ ident.Region, messages []bus.Message) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	b.mu.Lock()
	b.got = append(b.got, messages...)
	close(b.grew)
	b.grew = make(chan struct{})
	b.mu.Unlock()
	if b.answer != nil {
		return b.answer(messages)
	}
	return nil
}

func (b *broker) ids() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	var ids []string
	for _, m := range b.got {
		ids = append(ids, m.ID)
	}
	return ids
}

// patience of a test: far longer than anything takes, so that only a defect ends it.
const patience = 60 * time.Second

// await until the broker's messages satisfy a condition.
func (b *broker) await(t *testing.T, what string, enough func(ids []string) bool) []string {
	t.Helper()
	late := time.After(patience)
	for {
		b.mu.Lock()
		grew := b.grew
		b.mu.Unlock()
		if ids := b.ids(); enough(ids) {
			return ids
		}
		select {
		case <-grew:
		case <-late:
			t.Fatalf("it never came about: %s; the broker has %v", what, b.ids())
		}
	}
}

func (b *broker) awaitCount(t *testing.T, n int) []string {
	t.Helper()
	return b.await(t, fmt.Sprintf("%d messages", n), func(ids []string) bool { return len(ids) >= n })
}

// gate is a Guard whose breakers a test opens and closes.
type gate struct {
	mu     sync.Mutex
	open   map[ident.Region]bool
	denied chan struct{} // a call was refused
}

func newGate() *gate {
	return &gate{open: map[ident.Region]bool{}, denied: make(chan struct{}, 1)}
}

var errOpen = errors.New("the breaker is open")

// Do implements outbox.Guard.
func (g *gate) Do(destination ident.Region, publish func() error) error {
	g.mu.Lock()
	open := g.open[destination]
	g.mu.Unlock()
	if open {
		select {
		case g.denied <- struct{}{}:
		default:
		}
		return errOpen
	}
	return publish()
}

func (g *gate) set(destination ident.Region, open bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.open[destination] = open
}

func newRelay(db *sqldb.DB, cell string, p outbox.Publisher, g outbox.Guard) *outbox.Relay {
	return outbox.New(outbox.Deps{DB: db, Region: home, Cell: cell, Publisher: p, Guard: g, Clock: clock.System{}, Log: slog.New(slog.DiscardHandler)})
}

// run a relay until the returned function, or the test's end, stops it.
func run(t *testing.T, r *outbox.Relay) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); r.Run(ctx) }()
	stop = func() { cancel(); <-done }
	t.Cleanup(stop)
	return stop
}

func event(key, id string) outbox.Event {
	return outbox.Event{MessageID: id, Key: key, Subject: "order.use1.shipped", Destination: home, Payload: wrapperspb.String(id)}
}

// enqueue events in a transaction of their own.
func enqueue(t *testing.T, db *sqldb.DB, events ...outbox.Event) {
	t.Helper()
	err := db.InTx(t.Context(), func(tx sqldb.Tx) error {
		return outbox.Enqueue(t.Context(), tx, home, clock.System{}.Now(), events...)
	})
	if err != nil {
		t.Fatal(err)
	}
}
