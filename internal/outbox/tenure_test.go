package outbox_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/cellar-commerce/cellar/internal/bus"
	"github.com/cellar-commerce/cellar/internal/clock"
	"github.com/cellar-commerce/cellar/internal/ident"
	"github.com/cellar-commerce/cellar/internal/outbox"
	"github.com/cellar-commerce/cellar/internal/sqldb"
	"github.com/cellar-commerce/cellar/internal/sqldb/sqldbtest"
)

// shown is a Publisher that shows each batch, and takes it when it is told to or gives it up with its context.
type shown struct {
	*broker
	batches chan []string
	take    chan struct{}
	gaveUp  chan error
}

func newShown() shown {
	return shown{newBroker(), make(chan []string), make(chan struct{}), make(chan error, 1)}
}

func (s shown) Publish(ctx context.Context, region ident.Region, messages []bus.Message) error {
	var ids []string
	for _, m := range messages {
		ids = append(ids, m.ID)
	}
	slices.Sort(ids)
	select {
	case s.batches <- ids:
	case <-ctx.Done():
		return ctx.Err()
	}
	select {
	case <-s.take:
		return s.broker.Publish(ctx, region, messages)
	case <-ctx.Done():
		select {
		case s.gaveUp <- ctx.Err():
		default:
		}
		return ctx.Err()
	}
}

// next batch that is shown.
func (s shown) next(t *testing.T) []string {
	t.Helper()
	select {
	case ids := <-s.batches:
		return ids
	case <-time.After(patience):
		t.Fatal("nothing is published")
		return nil
	}
}

// let the batch that is shown be taken, and await that the relay knows of it: so many are left.
func (s shown) let(t *testing.T, relay *outbox.Relay, left int64) {
	t.Helper()
	select {
	case s.take <- struct{}{}:
		awaitLag(t, relay, left)
	case <-time.After(patience):
		t.Fatal("no batch waits to be taken")
	}
}

// pair of events, one of each lease.
func pair(name string) []outbox.Event {
	var events []outbox.Event
	for n := range leases {
		key := 0
		for outbox.LeaseOf(fmt.Sprint(key)) != n {
			key++
		}
		events = append(events, event(fmt.Sprint(key), fmt.Sprintf("%s/%d", name, n)))
	}
	return events
}

// holding relay: it has published an event of each lease.
func holding(t *testing.T, db *sqldb.DB) (shown, *outbox.Relay) {
	t.Helper()
	s := newShown()
	relay := newRelay(db, "use1-a", s, newGate())
	enqueue(t, db, pair("first")...)
	run(t, relay)
	for left := int64(leases); left > 0; {
		left -= int64(len(s.next(t)))
		s.let(t, relay, left)
	}
	return s, relay
}

func TestWhatARelayHoldsLeavesInOneBatch(t *testing.T) {
	db := sqldbtest.New(t, sqldb.Customer)
	s, relay := holding(t, db)
	for _, name := range []string{"a", "b", "c"} {
		enqueue(t, db, pair(name)...)
		relay.Nudge()
		if got, want := s.next(t), []string{name + "/0", name + "/1"}; !slices.Equal(got, want) {
			t.Errorf("a batch has %v, want %v", got, want)
		}
		s.let(t, relay, 0)
	}
}

var (
	stmtSteal = sqldb.Define(sqldb.Any, "outbox_test.steal", `
UPDATE leases
SET holder = 'thief', until = now() + '1h'::interval
WHERE region = $1 AND name = $2`)

	stmtGiveBack = sqldb.Define(sqldb.Any, "outbox_test.give_back", `
UPDATE leases
SET until = now() - '1h'::interval
WHERE region = $1 AND name = $2`)
)

func TestALeaseThatIsLostTakesItsShardsAlong(t *testing.T) {
	for lost := range leases {
		t.Run(fmt.Sprint(lost), func(t *testing.T) {
			db := sqldbtest.New(t, sqldb.Customer)
			s, relay := holding(t, db)
			kept, gone := func(name string) string { return fmt.Sprint(name, "/", 1-lost) }, func(name string) string { return fmt.Sprint(name, "/", lost) }
			enqueue(t, db, pair("a")...)
			relay.Nudge()
			if got := s.next(t); len(got) != leases {
				t.Fatalf("a batch has %v", got)
			}
			lease := fmt.Sprintf("outbox/%d", lost)
			if _, err := db.Exec(t.Context(), stmtSteal, string(home), lease); err != nil {
				t.Fatal(err)
			}
			// The batch is given up, since half of it is another's to send; the other half comes again.
			if err := <-s.gaveUp; !errors.Is(err, context.Canceled) {
				t.Errorf("it was given up by %v", err)
			}
			if got := s.next(t); !slices.Equal(got, []string{kept("a")}) {
				t.Errorf("a batch has %v", got)
			}
			s.let(t, relay, 1)
			enqueue(t, db, pair("b")...)
			relay.Nudge()
			if got := s.next(t); !slices.Equal(got, []string{kept("b")}) {
				t.Errorf("a batch has %v", got)
			}
			s.let(t, relay, 2)
			if _, err := db.Exec(t.Context(), stmtGiveBack, string(home), lease); err != nil {
				t.Fatal(err)
			}
			if got := s.next(t); !slices.Equal(got, []string{gone("a"), gone("b")}) {
				t.Errorf("a batch has %v", got)
			}
			s.let(t, relay, 0)
		})
	}
}

// told is an Observer that keeps what it is told last.
type told struct {
	mu      sync.Mutex
	pending map[ident.Region]int64
}

func (o *told) OutboxLags(_ sqldb.Database, destination ident.Region, pending int64, _ time.Duration) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.pending[destination] = pending
}

func (o *told) of(destination ident.Region) int64 {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.pending[destination]
}

func TestWhoHoldsTheFirstLeaseTellsTheLagAndTakesItBackWhenItIsLost(t *testing.T) {
	db, gate, observer := sqldbtest.New(t, sqldb.Customer), newGate(), &told{pending: map[ident.Region]int64{}}
	gate.set(home, true)
	enqueue(t, db, pair("a")...)
	deps := outbox.Deps{DB: db, Region: home, Cell: "use1-a", Publisher: newBroker(), Guard: gate, Clock: clock.System{}, Log: slog.New(slog.DiscardHandler), Observe: observer}
	run(t, outbox.New(deps))
	await(t, "the lag is told", func() bool { return observer.of(home) == leases })
	if _, err := db.Exec(t.Context(), stmtSteal, string(home), "outbox/0"); err != nil {
		t.Fatal(err)
	}
	await(t, "the lag is taken back", func() bool { return observer.of(home) == 0 })
}
