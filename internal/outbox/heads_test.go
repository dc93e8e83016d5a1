package outbox_test

import (
	"fmt"
	"maps"
	"testing"

	"github.com/cellar-commerce/cellar/internal/clock"
	"github.com/cellar-commerce/cellar/internal/ident"
	"github.com/cellar-commerce/cellar/internal/outbox"
	"github.com/cellar-commerce/cellar/internal/sqldb"
	"github.com/cellar-commerce/cellar/internal/sqldb/sqldbtest"
)

func TestTheHeadsOfAnOutboxSayWhichDestinationDoesNotTakeItsEvents(t *testing.T) {
	db, b, gate := sqldbtest.New(t, sqldb.Customer), newBroker(), newGate()
	gate.set(west, true)
	relay := newRelay(db, "use1-a", b, gate)
	heads := func() map[ident.Region]bool {
		t.Helper()
		all, err := outbox.Heads(t.Context(), db, home)
		if err != nil {
			t.Fatal(err)
		}
		waiting := map[ident.Region]bool{}
		for d, since := range all {
			waiting[d] = !since.After(clock.System{}.Now())
		}
		return waiting
	}
	if got := heads(); len(got) > 0 {
		t.Errorf("of an empty outbox: %v", got)
	}
	for i := range 20 {
		there := event(fmt.Sprint("k", i), fmt.Sprint("west/", i))
		there.Destination = west
		enqueue(t, db, there, event(fmt.Sprint("k", i), fmt.Sprint("home/", i)))
	}
	run(t, relay)
	b.awaitCount(t, 20)
	await(t, "only those of the west wait", func() bool { return maps.Equal(heads(), map[ident.Region]bool{west: true}) })
	gate.set(west, false)
	b.awaitCount(t, 40)
	await(t, "nothing waits", func() bool { return len(heads()) == 0 })
}
