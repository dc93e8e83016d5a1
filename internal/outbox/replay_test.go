package outbox_test

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"testing"
	"time"

	"github.com/cellar-commerce/cellar/internal/bus"
	"github.com/cellar-commerce/cellar/internal/bus/bustest"
	"github.com/cellar-commerce/cellar/internal/clock"
	"github.com/cellar-commerce/cellar/internal/ident"
	"github.com/cellar-commerce/cellar/internal/inbox"
	"github.com/cellar-commerce/cellar/internal/outbox"
	"github.com/cellar-commerce/cellar/internal/problem"
	"github.com/cellar-commerce/cellar/internal/sqldb"
	"github.com/cellar-commerce/cellar/internal/sqldb/sqldbtest"
)

// replay all of it, and tell how many events that were.
func replay(t *testing.T, db *sqldb.DB, r outbox.Replay) (events int64) {
	t.Helper()
	cursor := ""
	for {
		n, next, err := r.Next(t.Context(), db, cursor)
		if err != nil {
			t.Fatal(err)
		}
		events += n
		if cursor = next; cursor == "" {
			return events
		}
	}
}

func everything(destination ident.Region) outbox.Replay {
	return outbox.Replay{Region: home, Destination: destination, Since: time.Now().Add(-time.Hour), Before: time.Now().Add(time.Hour)}
}

func TestAReplayIsOfOneDestinationAndTimeAndKeepsTheOrderOfAKey(t *testing.T) {
	db, b := sqldbtest.New(t, sqldb.Customer), newBroker()
	relay := newRelay(db, "use1-a", b, newGate())
	stop := run(t, relay)
	far := event("k", "far")
	far.Destination = west
	enqueue(t, db, far)
	for _, id := range numbered("k", 20) {
		enqueue(t, db, event("k", id))
	}
	awaitLag(t, relay, 0)
	stop()
	late := everything(home)
	late.Since = time.Now().Add(time.Minute)
	early := everything(home)
	early.Before = time.Now().Add(-time.Minute)
	for name, r := range map[string]outbox.Replay{"after all": late, "before all": early, "of another region": {Region: west, Destination: home, Since: time.Unix(0, 0), Before: late.Since}} {
		if n := replay(t, db, r); n != 0 {
			t.Errorf("%s: %d events", name, n)
		}
	}
	if n := replay(t, db, everything(home)); n != 20 {
		t.Errorf("replayed %d", n)
	}
	lags, err := outbox.Lags(t.Context(), db, home)
	if err != nil || len(lags) != 1 || lags[0].Destination != home || lags[0].Pending != 20 || time.Since(lags[0].Oldest) > time.Hour {
		t.Errorf("lags %v, %v", lags, err)
	}
	again := newBroker()
	successor := newRelay(db, "use1-b", again, newGate())
	run(t, successor)
	if got := again.awaitCount(t, 20); !slices.Equal(got, numbered("k", 20)) {
		t.Errorf("sent again: %v", got)
	}
	awaitLag(t, successor, 0)
}

// Others lie between: more than are looked at in one go, and as many of one id as processes enqueue in a millisecond.
func TestAReplayFindsWhatLiesAmongManyOthersAndLeavesNothingOut(t *testing.T) {
	db := sqldbtest.New(t, sqldb.Customer)
	const ids, each = outbox.PageSize, 3
	fill(t, db, fmt.Sprintf(`
SELECT 'us-east-1', s, %d + i, format('%%s/%%s/%%s', s, i, n), CASE i %% 1000 WHEN 999 THEN 'us-west-2' ELSE 'us-east-1' END, now() - '2h'::interval, now()
FROM generate_series(3, 4) AS s, generate_series(1, %d) AS i, generate_series(1, %d) AS n`, outbox.FirstID(time.Now()), ids, each))
	if n := replay(t, db, everything(west)); n != 2*ids/1000*each {
		t.Errorf("replayed %d", n)
	}
	if n := replay(t, db, everything(west)); n != 0 {
		t.Errorf("of what is pending, replayed %d", n)
	}
	if n := replay(t, db, everything(home)); n != 2*(ids-ids/1000)*each {
		t.Errorf("of the others, replayed %d", n)
	}
}

func TestACursorThatNobodyAnsweredIsRefused(t *testing.T) {
	for _, cursor := range []string{"x", "1", "16:0", "-1:0", "1:-1", "1:x"} {
		if _, _, err := everything(home).Next(t.Context(), nil, cursor); !problem.Is(err, "WRONG_CURSOR") {
			t.Errorf("%q: %v", cursor, err)
		}
	}
}

// effects of messages, each counted in the transaction of its inbox row.
func takeEffect(ctx context.Context, db *sqldb.DB, m bus.Message) (first bool, err error) {
	err = db.InTx(ctx, func(tx sqldb.Tx) (err error) {
		first, err = inbox.First(ctx, tx, home, inbox.Message{Consumer: "orders", ID: m.ID}, clock.System{}.Now())
		return err
	})
	return first, err
}

// A broker dies, its store is deleted, it comes back with nothing, and the outbox fills it again.
func TestABrokersLostStorageIsRebuiltFromTheOutboxAndEachEventTakesEffectOnce(t *testing.T) {
	db, broker := sqldbtest.New(t, sqldb.Customer), bustest.New(t)
	b := bus.New(bus.Config{URLs: map[ident.Region]string{home: broker.URL()}, Name: t.Name(), Log: slog.New(slog.DiscardHandler)})
	t.Cleanup(b.Close)
	if err := b.EnsureStreams(t.Context(), home); err != nil {
		t.Fatal(err)
	}
	const n, handled = 200, 80
	for i := range n {
		enqueue(t, db, event(fmt.Sprint("key ", i%10), fmt.Sprintf("m/%03d", i)))
	}
	relay := newRelay(db, "use1-a", b, newGate())
	run(t, relay)
	awaitLag(t, relay, 0)
	effects := make(chan string, 2*n)
	consumer := bus.Consumer{Region: home, Stream: bus.StreamOrder, Durable: "orders", Subject: "order.>"}
	seen := map[string]int{}
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error)
	go func() {
		done <- b.Consume(ctx, consumer, func(ctx context.Context, m bus.Message) error {
			first, err := takeEffect(ctx, db, m)
			if err == nil && first {
				effects <- m.ID
			}
			return err
		})
	}()
	take := func(until int) {
		t.Helper()
		late := time.After(patience)
		for len(seen) < until {
			select {
			case id := <-effects:
				seen[id]++
			case <-late:
				t.Fatalf("%d of %d events took effect", len(seen), until)
			}
		}
	}
	take(handled)
	broker.Stop()
	broker.Lose()
	broker.Start()
	// Of what the broker had acknowledged, it does not know which had been handled: all of it is sent once more.
	if sent := replay(t, db, everything(home)); sent != n {
		t.Errorf("replayed %d", sent)
	}
	relay.Nudge()
	take(n)
	awaitLag(t, relay, 0)
	enqueue(t, db, event("key 0", "m/last"))
	take(n + 1)
	stop()
	if err := <-done; err != nil {
		t.Error(err)
	}
	for len(effects) > 0 {
		seen[<-effects]++
	}
	for id, times := range seen {
		if times != 1 {
			t.Errorf("%s took effect %d times", id, times)
		}
	}
}
