package fence_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/cellar-commerce/cellar/internal/fence"
	problemv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/problem/v1"
	"github.com/cellar-commerce/cellar/internal/ident"
	"github.com/cellar-commerce/cellar/internal/problem"
	"github.com/cellar-commerce/cellar/internal/sqldb"
	"github.com/cellar-commerce/cellar/internal/sqldb/sqldbtest"
)

func TestMain(m *testing.M) { sqldbtest.Main(m) }

const (
	home = ident.Region("us-east-1")
	me   = "use1-a"
	peer = "use1-b"
)

var at = time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)

// chart is what the map in memory says; it need not be what the rows say.
type chart func(ident.CustomerID) (cell string, epoch uint64, ok bool)

// Owner implements fence.Owners.
func (c chart) Owner(id ident.CustomerID) (string, uint64, bool) { return c(id) }

func everythingIs(cell string) chart {
	return func(ident.CustomerID) (string, uint64, bool) { return cell, 7, true }
}

func newFence(t *testing.T, db *sqldb.DB, owners fence.Owners) *fence.SlotFence {
	t.Helper()
	f, err := fence.New(fence.Deps{DB: db, Cell: me, Region: home, Owners: owners})
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// assign a customer's slot.
func assign(t *testing.T, db *sqldb.DB, id ident.CustomerID, owner string) {
	t.Helper()
	if err := fence.Assign(t.Context(), db, id.Region(), at, []fence.Assignment{{Slot: id.Slot(), Owner: owner, Epoch: 3}}); err != nil {
		t.Fatal(err)
	}
}

var (
	stmtMove    = sqldb.Define(sqldb.Customer, "fence_test.move", `UPDATE slots SET owner = $3, epoch = epoch + 1, changed_at = now() WHERE region = $1 AND slot = $2`)
	stmtWaiting = sqldb.Define(sqldb.Customer, "fence_test.waiting", `SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'`)
)

func move(ctx context.Context, q sqldb.Querier, id ident.CustomerID, owner string) error {
	_, err := q.Exec(ctx, stmtMove, string(id.Region()), int16(id.Slot()), owner)
	return err
}

// awaitBlocked waits until a session of the database waits for a lock.
func awaitBlocked(t *testing.T, db *sqldb.DB) {
	t.Helper()
	tick, late := time.NewTicker(5*time.Millisecond), time.After(time.Minute)
	defer tick.Stop()
	for {
		var n int
		if err := db.QueryRow(t.Context(), stmtWaiting).Scan(&n); err != nil {
			t.Fatal(err)
		}
		if n > 0 {
			return
		}
		select {
		case <-tick.C:
		case <-late:
			t.Fatal("nobody waits for the lock")
		}
	}
}

func expectWrongCell(t *testing.T, err error, id ident.CustomerID, owner string, epoch uint64) {
	t.Helper()
	d, ok := problem.Detail[*problemv1.WrongCell](err)
	if !ok || !problem.Is(err, fence.ReasonWrongCell) || problem.KindOf(err) != problem.Unavailable {
		t.Fatalf("got %v, want WRONG_CELL", err)
	}
	if d.GetOwner() != owner || d.GetEpoch() != epoch || d.GetRing() != string(id.Region()) || d.GetSlot() != uint32(id.Slot()) {
		t.Errorf("got %v, want owner %s, epoch %d, slot %d of %s", d, owner, epoch, id.Slot(), id.Region())
	}
}

func TestTheOwnerWrites(t *testing.T) {
	db := sqldbtest.New(t, sqldb.Customer)
	f := newFence(t, db, everythingIs(peer)) // an old map does not keep the owner from writing
	id := f.MintCustomer()
	assign(t, db, id, me)
	ran := false
	if err := f.InSlotTx(t.Context(), id, func(sqldb.Tx) error { ran = true; return nil }); err != nil || !ran {
		t.Errorf("ran %v, %v", ran, err)
	}
	refusal := errors.New("the closure's own")
	if err := f.InSlotTx(t.Context(), id, func(sqldb.Tx) error { return refusal }); !errors.Is(err, refusal) {
		t.Errorf("got %v", err)
	}
}

func TestTheRowRefusesAWriteWhateverTheMapSays(t *testing.T) {
	db := sqldbtest.New(t, sqldb.Customer)
	f := newFence(t, db, everythingIs(me))
	id := f.MintCustomer()
	never := func(sqldb.Tx) error { t.Error("the closure ran"); return nil }
	expectWrongCell(t, f.InSlotTx(t.Context(), id, never), id, "", 0) // no row: nobody owns the slot
	assign(t, db, id, peer)
	if err := f.Check(t.Context(), id); err != nil {
		t.Errorf("by the map it is ours: %v", err)
	}
	expectWrongCell(t, f.InSlotTx(t.Context(), id, never), id, peer, 3)
}

func TestCheckTakesTheMapsWordWithoutADatabase(t *testing.T) {
	f := newFence(t, nil, everythingIs(peer))
	id := ident.NewGuest("euc1")
	expectWrongCell(t, f.Check(t.Context(), id), id, peer, 7)
	nobody := newFence(t, nil, chart(func(ident.CustomerID) (string, uint64, bool) { return "", 0, false }))
	expectWrongCell(t, nobody.Check(t.Context(), id), id, "", 0)
	if err := newFence(t, nil, everythingIs(me)).Check(t.Context(), id); err != nil {
		t.Error(err)
	}
}

func TestCheckLooksAtTheRowBeforeItSendsSomebodyAway(t *testing.T) {
	db := sqldbtest.New(t, sqldb.Customer)
	f := newFence(t, db, everythingIs(peer))
	id := ident.NewGuest("euc1")
	expectWrongCell(t, f.Check(t.Context(), id), id, peer, 7) // no row says better
	assign(t, db, id, "cell-euc1-9")
	expectWrongCell(t, f.Check(t.Context(), id), id, "cell-euc1-9", 3)
	for _, owner := range []string{me, peer} { // it comes here before any map says so, and goes again
		if err := move(t.Context(), db, id, owner); err != nil {
			t.Fatal(err)
		}
		if err := f.Check(t.Context(), id); (err == nil) != (owner == me) {
			t.Errorf("with the slot at %s: %v", owner, err)
		}
	}
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	expectWrongCell(t, f.Check(gone, id), id, peer, 7) // the row cannot be read
}

func TestAMalformedCustomerIsRefusedBeforeAnyTransaction(t *testing.T) {
	f := newFence(t, nil, everythingIs(me))
	for _, id := range []ident.CustomerID{"", "c", "c-mars1-000000000000000000000000", "c-use1-0000000000000000000000,0"} {
		if err := f.InSlotTx(t.Context(), id, nil); !problem.Is(err, "MALFORMED_CUSTOMER_ID") {
			t.Errorf("%q: got %v", id, err)
		}
	}
}

func TestARegionWithoutARingHasNoFence(t *testing.T) {
	if _, err := fence.New(fence.Deps{Cell: me, Region: "mars-north-1"}); err == nil {
		t.Error("it made one")
	}
}

func TestAMoveWaitsForWritesInFlightAndLaterOnesAreRefused(t *testing.T) {
	db := sqldbtest.New(t, sqldb.Customer)
	f := newFence(t, db, everythingIs(me))
	id := f.MintCustomer()
	assign(t, db, id, me)
	moved := make(chan error, 1)
	err := f.InSlotTx(t.Context(), id, func(sqldb.Tx) error {
		go func() { moved <- move(t.Context(), db, id, peer) }()
		awaitBlocked(t, db)
		select {
		case err := <-moved:
			t.Errorf("the slot moved under a write: %v", err)
		default:
		}
		return nil
	})
	if err := errors.Join(err, <-moved); err != nil {
		t.Fatal(err)
	}
	never := func(sqldb.Tx) error { t.Error("the closure ran"); return nil }
	expectWrongCell(t, f.InSlotTx(t.Context(), id, never), id, peer, 4)
}

func TestAWriteThatMeetsAMoveWaitsAndSeesTheNewOwner(t *testing.T) {
	db := sqldbtest.New(t, sqldb.Customer)
	f := newFence(t, db, everythingIs(me))
	id := f.MintCustomer()
	assign(t, db, id, me)
	written := make(chan error, 1)
	err := db.InTx(t.Context(), func(tx sqldb.Tx) error {
		if err := move(t.Context(), tx, id, peer); err != nil {
			return err
		}
		go func() {
			written <- f.InSlotTx(t.Context(), id, func(sqldb.Tx) error { t.Error("the closure ran"); return nil })
		}()
		awaitBlocked(t, db)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	expectWrongCell(t, <-written, id, peer, 4)
}

func TestWritesOfOneSlotDoNotWaitForEachOther(t *testing.T) {
	db := sqldbtest.New(t, sqldb.Customer)
	f := newFence(t, db, everythingIs(me))
	id := f.MintCustomer()
	assign(t, db, id, me)
	const writers = 6
	var inside, all sync.WaitGroup
	inside.Add(writers)
	for range writers {
		all.Go(func() {
			err := f.InSlotTx(t.Context(), id, func(sqldb.Tx) error {
				inside.Done()
				inside.Wait() // passes only when every writer is in its transaction
				return nil
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
}

func TestFirstOwnersStayAndAreListedBySlot(t *testing.T) {
	db := sqldbtest.New(t, sqldb.Customer)
	first := []fence.Assignment{{Slot: 9, Owner: me, Epoch: 1}, {Slot: 4095, Owner: peer, Epoch: 5}, {Slot: 0, Owner: peer, Epoch: 1}}
	if err := fence.Assign(t.Context(), db, home, at, first); err != nil {
		t.Fatal(err)
	}
	if err := fence.Assign(t.Context(), db, home, at, []fence.Assignment{{Slot: 9, Owner: peer, Epoch: 8}, {Slot: 10, Owner: me, Epoch: 1}}); err != nil {
		t.Fatal(err)
	}
	got, err := fence.Slots(t.Context(), db, home)
	if err != nil {
		t.Fatal(err)
	}
	want := []fence.Assignment{{0, peer, 1}, {9, me, 1}, {10, me, 1}, {4095, peer, 5}}
	if len(got) != len(want) {
		t.Fatalf("got %v", got)
	}
	for i := range want {
		if got[i] != want[i] {
			t.Errorf("got %v, want %v", got[i], want[i])
		}
	}
	if other, err := fence.Slots(t.Context(), db, "us-west-2"); err != nil || len(other) != 0 {
		t.Errorf("another ring: %v, %v", other, err)
	}
}

func TestMintedIdsAreOfOurRingAndSlots(t *testing.T) {
	f := newFence(t, nil, chart(func(id ident.CustomerID) (string, uint64, bool) {
		if id.Slot()%64 == 5 { // one slot in 64 is ours
			return me, 1, true
		}
		return peer, 1, true
	}))
	for range 20 {
		customer, guest := f.MintCustomer(), f.MintGuest()
		if customer.Guest() || !guest.Guest() {
			t.Errorf("%s and %s are of the wrong kind", customer, guest)
		}
		for _, id := range []ident.CustomerID{customer, guest} {
			if _, err := ident.Parse(string(id)); err != nil || id.Region() != home || f.Check(t.Context(), id) != nil {
				t.Errorf("%s: region %s, slot %d, %v", id, id.Region(), id.Slot(), err)
			}
		}
	}
}

func TestACellWithoutSlotsStillMintsAndIsRefusedAfterwards(t *testing.T) {
	f := newFence(t, nil, everythingIs(peer))
	id := f.MintGuest()
	expectWrongCell(t, f.Check(t.Context(), id), id, peer, 7)
}

func TestSlotsThatMoveAreTheNextOwnersUnderTheNextEpoch(t *testing.T) {
	db := sqldbtest.New(t, sqldb.Customer)
	f := newFence(t, db, everythingIs(me))
	id := f.MintCustomer()
	assign(t, db, id, me)
	if n, err := fence.Move(t.Context(), db, id.Region(), "nobody", peer, time.Now()); n != 0 || err != nil {
		t.Errorf("of another: %d, %v", n, err)
	}
	if n, err := fence.Move(t.Context(), db, id.Region(), me, peer, time.Now()); n != 1 || err != nil {
		t.Errorf("%d, %v", n, err)
	}
	expectWrongCell(t, f.InSlotTx(t.Context(), id, func(sqldb.Tx) error { return nil }), id, peer, 4)
}
