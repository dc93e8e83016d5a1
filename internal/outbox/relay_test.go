package outbox_test

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/cellar-commerce/cellar/internal/bus"
	"github.com/cellar-commerce/cellar/internal/clock"
	"github.com/cellar-commerce/cellar/internal/ident"
	"github.com/cellar-commerce/cellar/internal/inbox"
	"github.com/cellar-commerce/cellar/internal/outbox"
	"github.com/cellar-commerce/cellar/internal/sqldb"
	"github.com/cellar-commerce/cellar/internal/sqldb/sqldbtest"
)

// effects counts each message's effect as a consumer does: in the transaction of inbox.First.
func effects(t *testing.T, db *sqldb.DB, ids []string) map[string]int {
	t.Helper()
	counts := map[string]int{}
	for _, id := range ids {
		first := false
		err := db.InTx(t.Context(), func(tx sqldb.Tx) (err error) {
			first, err = inbox.First(t.Context(), tx, home, inbox.Message{Consumer: "orders", ID: id}, clock.System{}.Now())
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		if first {
			counts[id]++
		}
	}
	return counts
}

// A relay dies after the broker has the messages and before the rows are marked.
func TestARelayKilledBeforeItMarksPublishesAgainAndTheInboxCountsOnce(t *testing.T) {
	db, b := sqldbtest.New(t, sqldb.Customer), newBroker()
	enqueue(t, db, event("k", "k/000"), event("k", "k/001"))
	ctx, kill := context.WithCancel(t.Context())
	b.answer = func([]bus.Message) error { kill(); return nil }
	newRelay(db, "use1-a", b, newGate()).Run(ctx) // ends by the kill
	b.answer = nil
	if got := b.ids(); !slices.Equal(got, []string{"k/000", "k/001"}) {
		t.Fatalf("before the kill: got %v", got)
	}
	successor := newRelay(db, "use1-b", b, newGate())
	if n, _, err := successor.Lag(t.Context()); n != 2 || err != nil {
		t.Fatalf("after the kill: %d are pending, %v", n, err)
	}
	run(t, successor)
	got := b.awaitCount(t, 4)
	if want := []string{"k/000", "k/001", "k/000", "k/001"}; !slices.Equal(got, want) {
		t.Errorf("got %v, want the same message ids again", got)
	}
	awaitLag(t, successor, 0)
	if counts := effects(t, db, got); !maps.Equal(counts, map[string]int{"k/000": 1, "k/001": 1}) {
		t.Errorf("effects %v, want one each", counts)
	}
}

func TestEventsForARegionThatIsAwayWaitInOrderAndAllOthersFlow(t *testing.T) {
	db, b, g := sqldbtest.New(t, sqldb.Customer), newBroker(), newGate()
	g.set(west, true)
	relay := newRelay(db, "use1-a", b, g)
	run(t, relay)
	for i := range 10 { // of one key, hence one shard
		here, there := event("k", fmt.Sprintf("here/%03d", i)), event("k", fmt.Sprintf("there/%03d", i))
		there.Destination = west
		enqueue(t, db, there, here)
	}
	if got := b.awaitCount(t, 10); !slices.Equal(got, numbered("here", 10)) {
		t.Errorf("while the breaker is open: got %v", got)
	}
	select {
	case <-g.denied:
	case <-time.After(patience):
		t.Fatal("the relay never tried")
	}
	awaitLag(t, relay, 10)
	g.set(west, false)
	got := b.awaitCount(t, 20)
	if there := ofKey(got, "there"); !slices.Equal(there, numbered("there", 10)) {
		t.Errorf("afterwards: got %v", there)
	}
	awaitLag(t, relay, 0)
}

var stmtHolders = sqldb.Define(sqldb.Any, "outbox_test.holders", `SELECT name, holder FROM leases WHERE region = $1 ORDER BY name LIMIT 100`)

func holders(t *testing.T, db *sqldb.DB) map[string]string {
	t.Helper()
	all := map[string]string{}
	_, err := sqldb.Collect(t.Context(), db, stmtHolders, func(r sqldb.Row) (name string, err error) {
		var holder string
		err = r.Scan(&name, &holder)
		all[name] = holder
		return name, err
	}, string(home))
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// leases that share the shards among the cells of a region.
const leases = 2

// hanging is a Publisher whose western broker takes messages and does not answer until it is let go.
type hanging struct {
	*broker
	west  *broker
	began chan struct{}
	let   chan struct{}
}

func (h hanging) Publish(ctx context.Context, region ident.Region, messages []bus.Message) error {
	if region != west {
		return h.broker.Publish(ctx, region, messages)
	}
	select {
	case h.began <- struct{}{}:
	default:
	}
	select {
	case <-h.let:
		return h.west.Publish(ctx, region, messages)
	case <-ctx.Done():
		return ctx.Err()
	}
}

// A broker that hangs is worse than one that refuses: no breaker opens before the time-outs.
func TestABrokerThatHangsKeepsNoOtherRegionsEvents(t *testing.T) {
	db := sqldbtest.New(t, sqldb.Customer)
	h := hanging{newBroker(), newBroker(), make(chan struct{}, 1), make(chan struct{})}
	relay := newRelay(db, "use1-a", h, newGate())
	run(t, relay)
	far := func(id string) outbox.Event {
		e := event("far", id)
		e.Destination = west
		return e
	}
	enqueue(t, db, far("far/000"))
	relay.Nudge()
	<-h.began
	for i, id := range numbered("k", 5) { // each in a round of its own, and in the same shards as what hangs
		enqueue(t, db, event("far", id))
		relay.Nudge()
		h.awaitCount(t, i+1)
	}
	enqueue(t, db, far("far/001"), far("far/002"))
	close(h.let)
	if got := h.west.await(t, "the far events", func(ids []string) bool { return len(firsts(ids)) == 3 }); !slices.Equal(firsts(got), numbered("far", 3)) {
		t.Errorf("got %v", got)
	}
	awaitLag(t, relay, 0)
}

func TestTwoRelaysShareTheShardsAndNothingIsPublishedTwice(t *testing.T) {
	db, first, second := sqldbtest.New(t, sqldb.Customer), newBroker(), newBroker()
	relay := newRelay(db, "use1-a", first, newGate())
	stopFirst := run(t, relay)
	await(t, "the first relay holds every shard", func() bool { return len(holders(t, db)) == leases })
	run(t, newRelay(db, "use1-b", second, newGate()))
	const n = 100
	ids := make([]string, n)
	for i := range n {
		ids[i] = fmt.Sprintf("m/%03d", i)
		enqueue(t, db, event(fmt.Sprint("key ", i), ids[i]))
	}
	got := first.awaitCount(t, n)
	if slices.Sort(got); !slices.Equal(got, ids) {
		t.Errorf("the holder published %v", got)
	}
	if got := second.ids(); len(got) != 0 {
		t.Errorf("without a lease the second published %v", got)
	}
	awaitLag(t, relay, 0)
	stopFirst() // it lets go of its leases
	enqueue(t, db, event("after", "m/after"))
	second.await(t, "the second takes over", func(ids []string) bool { return slices.Contains(ids, "m/after") })
	await(t, "the second relay holds every shard", func() bool {
		all := holders(t, db)
		return len(all) == leases && !slices.Contains(slices.Collect(maps.Values(all)), "use1-a")
	})
	if got := second.ids(); !slices.Equal(got, []string{"m/after"}) {
		t.Errorf("the second published %v", got)
	}
}

func TestARelayCarriesOnlyTheEventsOfItsRegion(t *testing.T) {
	db, b := sqldbtest.New(t, sqldb.Customer), newBroker()
	err := db.InTx(t.Context(), func(tx sqldb.Tx) error {
		return outbox.Enqueue(t.Context(), tx, west, clock.System{}.Now(), event("k", "k/of the west"))
	})
	if err != nil {
		t.Fatal(err)
	}
	enqueue(t, db, event("k", "k/of the east"))
	relay := newRelay(db, "use1-a", b, newGate())
	run(t, relay)
	b.awaitCount(t, 1)
	awaitLag(t, relay, 0)
	if got := b.ids(); !slices.Equal(got, []string{"k/of the east"}) {
		t.Errorf("got %v", got)
	}
}

func TestPublishedEventsStayForTheReplayWindow(t *testing.T) {
	db, b := sqldbtest.New(t, sqldb.Customer), newBroker()
	now := clock.NewManual(clock.System{}.Now()) // by which the events are enqueued
	relay := outbox.New(outbox.Deps{DB: db, Region: home, Cell: "use1-a", Publisher: b, Guard: newGate(), Clock: now, Log: slog.New(slog.DiscardHandler)})
	run(t, relay)
	publishAt := func(d time.Duration, id string, count int) {
		t.Helper()
		// Each lease has a keeper, and all have one watcher.
		if err := now.AwaitSleepers(t.Context(), leases+1); err != nil {
			t.Fatal(err)
		}
		now.Advance(d)
		if id == "" {
			return
		}
		enqueue(t, db, event("k", id))
		relay.Nudge()
		await(t, "the event is published at the pace of rounds", func() bool {
			now.Advance(time.Millisecond)
			return len(b.ids()) == count
		})
		awaitLag(t, relay, 0)
	}
	publishAt(0, "old", 1)
	publishAt(23*time.Hour, "young", 2)
	if got := stored(t, db); !slices.Equal(got, []string{"old", "young"}) {
		t.Errorf("within the window: got %v", got)
	}
	publishAt(2*time.Hour, "", 0) // nothing more happens in this shard
	await(t, "the old event is forgotten", func() bool {
		now.Advance(time.Second) // a watcher may have looked at the clock just before it was set on
		return slices.Equal(stored(t, db), []string{"young"})
	})
}

func TestNudgingNeverBlocks(t *testing.T) {
	relay := newRelay(nil, "use1-a", newBroker(), newGate())
	for range 10 {
		relay.Nudge()
	}
}

var _ outbox.Publisher = (*bus.Bus)(nil)

// publisherThatDies hands the first batch to the real broker and then kills its relay.
type publisherThatDies struct {
	outbox.Publisher
	kill context.CancelFunc
}

func (p publisherThatDies) Publish(ctx context.Context, region ident.Region, messages []bus.Message) error {
	defer p.kill()
	return p.Publisher.Publish(ctx, region, messages)
}
