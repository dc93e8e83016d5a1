package outbox_test

import (
	"fmt"
	"log/slog"
	"slices"
	"testing"
	"time"

	"github.com/cellar-commerce/cellar/internal/clock"
	"github.com/cellar-commerce/cellar/internal/outbox"
	"github.com/cellar-commerce/cellar/internal/sqldb"
	"github.com/cellar-commerce/cellar/internal/sqldb/sqldbtest"
)

// fill the outbox with rows: region, shard, id, message_id, destination, created_at and published_at.
func fill(t *testing.T, db *sqldb.DB, rows string) {
	t.Helper()
	err := db.ExecText(t.Context(), `
INSERT INTO outbox (region, shard, id, message_id, destination, created_at, published_at, subject, payload)
SELECT region::crdb_internal_region, shard, id, message_id, destination, created_at, published_at, 'order.use1.shipped', ''
FROM (`+rows+`) AS r (region, shard, id, message_id, destination, created_at, published_at)`)
	if err != nil {
		t.Fatal(err)
	}
}

func TestOldEventsThatStayKeepNoOthersFromBeingForgotten(t *testing.T) {
	db, gate, now := sqldbtest.New(t, sqldb.Customer), newGate(), clock.NewManual(clock.System{}.Now())
	gate.set(west, true)
	old := outbox.FirstID(now.Now().Add(-26 * time.Hour))
	fill(t, db, fmt.Sprintf(`
SELECT 'us-east-1', 3, %d + i, 'waits/' || i, 'us-west-2', now() - '26h'::interval, NULL::timestamptz
FROM generate_series(1, %d) AS i`, old, 2*outbox.PageSize))
	row := func(id string, at int64, age string) {
		fill(t, db, fmt.Sprintf("SELECT 'us-east-1', 3, %d, '%s', 'us-east-1', now() - '26h'::interval, now() - '%s'::interval", at, id, age))
	}
	row("before", old, "25h")
	row("among", old+outbox.PageSize+1, "25h")
	row("behind", old+2*outbox.PageSize+1, "25h")
	row("late", old+2*outbox.PageSize+2, "23h")
	row("again", old+2, "1h")
	run(t, outbox.New(outbox.Deps{DB: db, Region: home, Cell: "use1-a", Publisher: newBroker(), Guard: gate, Clock: now, Log: slog.New(slog.DiscardHandler)}))
	published := func() []string {
		return sqldbtest.Texts(t, db, "SELECT message_id FROM outbox WHERE published_at IS NOT NULL ORDER BY message_id")
	}
	await(t, "what is old is forgotten", func() bool {
		now.Advance(time.Second)
		return slices.Equal(published(), []string{"again", "late"})
	})
	fill(t, db, fmt.Sprintf("SELECT 'us-east-1', 3, %d, 'first', 'us-east-1', now() - '26h'::interval, now() - '25h'::interval", old-1))
	await(t, "it begins anew", func() bool {
		now.Advance(time.Second)
		return slices.Equal(published(), []string{"again", "late"})
	})
	if n := len(sqldbtest.Texts(t, db, "SELECT message_id FROM outbox WHERE published_at IS NULL")); n != 2*outbox.PageSize {
		t.Errorf("%d events wait", n)
	}
}
