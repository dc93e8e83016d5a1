package outbox_test

import (
	"context"
	"log/slog"
	"slices"
	"sync"
	"testing"

	"github.com/cellar-commerce/cellar/internal/bus"
	"github.com/cellar-commerce/cellar/internal/bus/bustest"
	"github.com/cellar-commerce/cellar/internal/clock"
	"github.com/cellar-commerce/cellar/internal/ident"
	"github.com/cellar-commerce/cellar/internal/inbox"
	"github.com/cellar-commerce/cellar/internal/sqldb"
	"github.com/cellar-commerce/cellar/internal/sqldb/sqldbtest"
)

// From a transaction to an effect, over the real broker, with a relay that dies between publishing and marking.
func TestAnEventTakesEffectOnceOverTheRealBroker(t *testing.T) {
	db, url := sqldbtest.New(t, sqldb.Customer), bustest.Start(t)
	b := bus.New(bus.Config{URLs: map[ident.Region]string{home: url}, Name: t.Name(), Log: slog.New(slog.DiscardHandler)})
	t.Cleanup(b.Close)
	if err := b.EnsureStreams(t.Context(), home); err != nil {
		t.Fatal(err)
	}
	const n = 30
	for _, id := range numbered("k", n) {
		enqueue(t, db, event("k", id))
	}
	ctx, kill := context.WithCancel(t.Context())
	newRelay(db, "use1-a", publisherThatDies{b, kill}, newGate()).Run(ctx)
	successor := newRelay(db, "use1-b", b, newGate())
	if pending, _, err := successor.Lag(t.Context()); pending != n || err != nil {
		t.Fatalf("after the kill %d are pending, %v", pending, err)
	}
	run(t, successor)
	enqueue(t, db, event("k", "k/last"))
	awaitLag(t, successor, 0)
	got := consume(t, db, b, n+1)
	if want := append(numbered("k", n), "k/last"); !slices.Equal(got, want) {
		t.Errorf("effects of %v", got)
	}
}

// consume until n messages have taken effect; it returns which, sorted.
func consume(t *testing.T, db *sqldb.DB, b *bus.Bus, n int) []string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	var mu sync.Mutex
	var effects []string
	c := bus.Consumer{Region: home, Stream: bus.StreamOrder, Durable: "orders", Subject: "order.>"}
	err := b.Consume(ctx, c, func(ctx context.Context, m bus.Message) error {
		first := false
		err := db.InTx(ctx, func(tx sqldb.Tx) (err error) {
			first, err = inbox.First(ctx, tx, home, inbox.Message{Consumer: "orders", ID: m.ID}, clock.System{}.Now())
			return err
		})
		mu.Lock()
		defer mu.Unlock()
		if err == nil && first {
			effects = append(effects, m.ID)
		}
		if len(effects) == n {
			cancel()
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(effects)
	return effects
}
