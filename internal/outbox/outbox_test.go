package outbox_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/cellar-commerce/cellar/internal/bus"
	"github.com/cellar-commerce/cellar/internal/clock"
	"github.com/cellar-commerce/cellar/internal/outbox"
	"github.com/cellar-commerce/cellar/internal/sqldb"
	"github.com/cellar-commerce/cellar/internal/sqldb/sqldbtest"
)

// firsts leaves out whatever has come before: what a broker that drops twins would keep.
func firsts(ids []string) []string {
	seen := map[string]bool{}
	var out []string
	for _, id := range ids {
		if !seen[id] {
			out = append(out, id)
		}
		seen[id] = true
	}
	return out
}

// ofKey picks the messages of a key; ids are "<key>/<number>".
func ofKey(ids []string, key string) []string {
	var out []string
	for _, id := range ids {
		if strings.HasPrefix(id, key+"/") {
			out = append(out, id)
		}
	}
	return out
}

func numbered(key string, n int) []string {
	var ids []string
	for i := range n {
		ids = append(ids, fmt.Sprintf("%s/%03d", key, i))
	}
	return ids
}

func TestAnEventIsPublishedAsItWasEnqueued(t *testing.T) {
	db, b := sqldbtest.New(t, sqldb.Customer), newBroker()
	relay := newRelay(db, "use1-a", b, newGate())
	run(t, relay)
	enqueue(t, db, event("order-1", "m1"))
	relay.Nudge()
	b.awaitCount(t, 1)
	var payload wrapperspb.StringValue
	m := b.got[0]
	if err := proto.Unmarshal(m.Data, &payload); err != nil || m.ID != "m1" || m.Subject != "order.use1.shipped" || payload.GetValue() != "m1" {
		t.Errorf("got %+v, %v", m, err)
	}
}

func TestEventsOfOneKeyAreFirstPublishedInOrderHoweverOftenTheBrokerFails(t *testing.T) {
	db, b := sqldbtest.New(t, sqldb.Customer), newBroker()
	calls := make(chan int, 1)
	calls <- 0
	b.answer = func([]bus.Message) error { // every third acknowledgement is lost
		n := <-calls
		calls <- n + 1
		if n%3 == 0 {
			return errors.New("the connection broke")
		}
		return nil
	}
	relay := newRelay(db, "use1-a", b, newGate())
	run(t, relay)
	keys, each := []string{"a", "b", "c", "d"}, 25
	for i := range each {
		for _, key := range keys {
			enqueue(t, db, event(key, fmt.Sprintf("%s/%03d", key, i)))
		}
		relay.Nudge()
	}
	ids := b.await(t, "every event", func(ids []string) bool { return len(firsts(ids)) == len(keys)*each })
	for _, key := range keys {
		if got, want := ofKey(firsts(ids), key), numbered(key, each); !slices.Equal(got, want) {
			t.Errorf("got %v", got)
		}
	}
}

func TestEventsOfOneTransactionKeepTheirOrderOverSeveralBatches(t *testing.T) {
	db, b := sqldbtest.New(t, sqldb.Customer), newBroker()
	var events []outbox.Event
	for _, id := range numbered("import", 500) {
		events = append(events, event("import", id))
	}
	enqueue(t, db, events...)
	run(t, newRelay(db, "use1-a", b, newGate()))
	if got := b.awaitCount(t, 500); !slices.Equal(got, numbered("import", 500)) {
		t.Errorf("got %v", got)
	}
}

func TestWhatIsRolledBackIsNeverPublished(t *testing.T) {
	faults := 0
	db := sqldbtest.New(t, sqldb.Customer, sqldbtest.WithFaults(func(p sqldb.Point) error {
		if p == sqldb.BeforeCommit && faults > 0 {
			faults--
			return sqldb.FakeSerializationFailure()
		}
		return nil
	}))
	refusal := errors.New("the order is refused")
	err := db.InTx(t.Context(), func(tx sqldb.Tx) error {
		if err := outbox.Enqueue(t.Context(), tx, home, clock.System{}.Now(), event("k", "k/rolled back")); err != nil {
			return err
		}
		return refusal
	})
	if !errors.Is(err, refusal) {
		t.Fatal(err)
	}
	faults = 2
	enqueue(t, db, event("k", "k/run three times"))
	enqueue(t, db, event("k", "k/last")) // of the same key: the others would have come before it
	b := newBroker()
	run(t, newRelay(db, "use1-a", b, newGate()))
	got := b.await(t, "the last event", func(ids []string) bool { return slices.Contains(ids, "k/last") })
	if want := []string{"k/run three times", "k/last"}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestATransactionHasABoundedNumberOfEvents(t *testing.T) {
	db := sqldbtest.New(t, sqldb.Customer)
	for n, want := range map[int]bool{0: true, 2000: true, 2001: false} {
		err := db.InTx(t.Context(), func(tx sqldb.Tx) error {
			return outbox.Enqueue(t.Context(), tx, home, clock.System{}.Now(), slices.Repeat([]outbox.Event{event("k", fmt.Sprint(n))}, n)...)
		})
		if (err == nil) != want {
			t.Errorf("%d events: %v", n, err)
		}
	}
}

func TestLagTellsHowManyEventsWaitAndSinceWhen(t *testing.T) {
	db, b := sqldbtest.New(t, sqldb.Customer), newBroker()
	relay := newRelay(db, "use1-a", b, newGate())
	if n, oldest, err := relay.Lag(t.Context()); n != 0 || !oldest.IsZero() || err != nil {
		t.Errorf("an empty outbox: %d, %v, %v", n, oldest, err)
	}
	begin := time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)
	for i := range 20 { // over several shards
		err := db.InTx(t.Context(), func(tx sqldb.Tx) error {
			return outbox.Enqueue(t.Context(), tx, home, begin.Add(time.Duration(20-i)*time.Second), event(fmt.Sprint(i), fmt.Sprint("m", i)))
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if n, oldest, err := relay.Lag(t.Context()); n != 20 || !oldest.Equal(begin.Add(time.Second)) || err != nil {
		t.Errorf("got %d since %v, %v", n, oldest, err)
	}
	run(t, relay)
	b.awaitCount(t, 20)
	awaitLag(t, relay, 0)
}

// awaitLag waits until that many events are pending: a message is marked only after the broker has it.
func awaitLag(t *testing.T, relay *outbox.Relay, want int64) {
	t.Helper()
	await(t, fmt.Sprint(want, " events are pending"), func() bool {
		n, _, err := relay.Lag(t.Context())
		return err == nil && n == want
	})
}

// await a state that can only be asked for.
func await(t *testing.T, what string, reached func() bool) {
	t.Helper()
	tick, late := time.NewTicker(5*time.Millisecond), time.After(patience)
	defer tick.Stop()
	for !reached() {
		select {
		case <-tick.C:
		case <-late:
			t.Fatalf("it never came about: %s", what)
		}
	}
}

var stmtAll = sqldb.Define(sqldb.Any, "outbox_test.all", `SELECT message_id FROM outbox WHERE region = $1 ORDER BY message_id LIMIT 100`)

func stored(t *testing.T, db *sqldb.DB) []string {
	t.Helper()
	ids, err := sqldb.Collect(t.Context(), db, stmtAll, func(r sqldb.Row) (id string, err error) { return id, r.Scan(&id) }, string(home))
	if err != nil {
		t.Fatal(err)
	}
	return ids
}
