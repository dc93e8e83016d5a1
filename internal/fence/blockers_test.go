package fence_test

import (
	"context"
	"testing"
	"time"

	"github.com/cellar-commerce/cellar/internal/fence"
	"github.com/cellar-commerce/cellar/internal/ident"
	"github.com/cellar-commerce/cellar/internal/problem"
	"github.com/cellar-commerce/cellar/internal/sqldb"
	"github.com/cellar-commerce/cellar/internal/sqldb/sqldbtest"
)

// named calls the sessions of a pool.
func named(application string) sqldbtest.Option {
	return func(c *sqldb.Config) { c.ApplicationName = application }
}

// hang in the middle of a fenced write, as a process does that was stopped: the lock is held and nothing is sent any
// more. The write goes on when wake is called, and its error is then in the channel.
func hang(t *testing.T, f fence.Fence, id ident.CustomerID) (wake func(), ended <-chan error) {
	t.Helper()
	inside, woken, out := make(chan struct{}), make(chan struct{}), make(chan error, 1)
	ctx := context.WithoutCancel(t.Context())
	go func() {
		out <- f.InSlotTx(ctx, id, func(tx sqldb.Tx) error {
			close(inside)
			<-woken
			var b sqldb.Batch
			fence.Queue(&b, id.Region(), []fence.Part{opNote.Part(&note{customer: id, cause: "late"})})
			return tx.Send(ctx, &b)
		})
	}()
	<-inside
	return func() { close(woken) }, out
}

func TestAHungHolderOfASlotIsEndedAndNothingOfItCommits(t *testing.T) {
	db, url := sqldbtest.NewWithURL(t, sqldb.Customer)
	own := sqldbtest.Reopen(t, sqldb.Customer, url, named(fence.ApplicationName(me)))
	other := sqldbtest.Reopen(t, sqldb.Customer, url, named(fence.ApplicationName(peer)))
	id, neighbour := ident.NewCustomer("use1"), ident.NewCustomer("use1")
	for id.Slot() == neighbour.Slot() {
		neighbour = ident.NewCustomer("use1")
	}
	assign(t, db, id, me)
	assign(t, db, neighbour, peer)
	wake, ended := hang(t, newFence(t, own, everythingIs(me)), id)
	healthy, err := fence.New(fence.Deps{DB: other, Cell: peer, Region: home, Owners: everythingIs(peer)})
	if err != nil {
		t.Fatal(err)
	}
	goOn, written := hang(t, healthy, neighbour)

	moved := make(chan error, 1)
	go func() { moved <- move(t.Context(), db, id, peer) }()
	awaitBlocked(t, db)
	if n, err := fence.EndBlockers(t.Context(), db, fence.ApplicationName(me), time.Hour); n != 0 || err != nil {
		t.Errorf("of transactions an hour old: %d, %v", n, err)
	}
	if n, err := fence.EndBlockers(t.Context(), db, fence.ApplicationName(me), 0); n != 1 || err != nil {
		t.Errorf("%d sessions ended, %v", n, err)
	}
	if err := <-moved; err != nil {
		t.Errorf("the move: %v", err)
	}
	wake()
	if err := <-ended; err == nil {
		t.Error("the write of a session that was ended went through")
	}
	goOn()
	if err := <-written; err != nil {
		t.Errorf("a write of another cell: %v", err)
	}
	if n, _ := notes(t, db, id); n != 0 {
		t.Errorf("%d rows by the cell that lost the slot", n)
	}
	if n, _ := notes(t, db, neighbour); n != 1 {
		t.Errorf("%d rows by the other cell", n)
	}
}

func TestSessionsThatHoldNoSlotAreNotEnded(t *testing.T) {
	db, url := sqldbtest.NewWithURL(t, sqldb.Customer)
	own := sqldbtest.Reopen(t, sqldb.Customer, url, named(fence.ApplicationName(me)))
	err := own.InTx(t.Context(), func(tx sqldb.Tx) error { // reads the table, as a sweep does
		var waiting int64
		if err := tx.QueryRow(t.Context(), stmtNotes, string(home), "nobody").Scan(&waiting, &waiting); err != nil {
			return err
		}
		n, err := fence.EndBlockers(t.Context(), db, fence.ApplicationName(me), 0)
		if n != 0 {
			t.Errorf("%d sessions ended", n)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

func TestTheServerEndsASessionThatSitsInAWrite(t *testing.T) {
	db, url := sqldbtest.NewWithURL(t, sqldb.Customer)
	own := sqldbtest.Reopen(t, sqldb.Customer, url, func(c *sqldb.Config) {
		c.RuntimeParams = map[string]string{"idle_in_transaction_session_timeout": "50ms"}
	})
	id := ident.NewCustomer("use1")
	assign(t, db, id, me)
	wake, ended := hang(t, newFence(t, own, everythingIs(me)), id)
	if err := move(t.Context(), db, id, peer); err != nil { // waits no longer than the server does
		t.Error(err)
	}
	wake()
	if err := <-ended; problem.KindOf(err) != problem.Unavailable {
		t.Errorf("the write of a session that was ended: %v", err)
	}
}
