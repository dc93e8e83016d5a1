package fence_test

import (
	"context"
	"slices"
	"testing"

	"github.com/cellar-commerce/cellar/internal/fence"
	"github.com/cellar-commerce/cellar/internal/ident"
	"github.com/cellar-commerce/cellar/internal/sqldb"
	"github.com/cellar-commerce/cellar/internal/sqldb/sqldbtest"
)

func holdings(t *testing.T, db *sqldb.DB) map[ident.Slot]fence.Holding {
	t.Helper()
	rows, err := fence.ReadRing(t.Context(), db, home)
	if err != nil {
		t.Fatal(err)
	}
	all := map[ident.Slot]fence.Holding{}
	for _, h := range rows {
		all[h.Slot] = h
	}
	return all
}

func expectHolding(t *testing.T, h fence.Holding, owner string, epoch uint64, overrides int) {
	t.Helper()
	if h.Owner != owner || h.Epoch != epoch || len(h.Overrides) != overrides {
		t.Errorf("slot %d is %v, want %s at epoch %d with %d overrides", h.Slot, h, owner, epoch, overrides)
	}
}

func TestAFlipChangesWhatHasTheEpochThatWasReadAndNothingElse(t *testing.T) {
	db := sqldbtest.New(t, sqldb.Customer)
	if err := fence.Assign(t.Context(), db, home, at, []fence.Assignment{{Slot: 1, Owner: me, Epoch: 1}, {Slot: 2, Owner: me, Epoch: 5}, {Slot: 3, Owner: me, Epoch: 1}}); err != nil {
		t.Fatal(err)
	}
	pinned := map[ident.CustomerID]string{"c-use1-000000000000000000000000": "use1-c"}
	for i, flip := range []func(context.Context, *sqldb.DB, ident.Region, []fence.Change) ([]ident.Slot, error){
		func(ctx context.Context, db *sqldb.DB, ring ident.Region, changes []fence.Change) ([]ident.Slot, error) {
			return fence.Flip(ctx, db, ring, changes, at)
		},
		func(ctx context.Context, db *sqldb.DB, ring ident.Region, changes []fence.Change) ([]ident.Slot, error) {
			return fence.FlipWaiting(ctx, db, ring, changes, at)
		},
	} {
		epoch := uint64(1 + i)
		flipped, err := flip(t.Context(), db, home, []fence.Change{
			{Slot: 3, Epoch: epoch, Owner: peer, Overrides: pinned}, {Slot: 1, Epoch: epoch, Owner: peer}, {Slot: 2, Epoch: 4, Owner: peer}, {Slot: 9, Epoch: 1, Owner: peer},
		})
		slices.Sort(flipped)
		if err != nil || !slices.Equal(flipped, []ident.Slot{1, 3}) {
			t.Errorf("flipped %v, %v", flipped, err)
		}
		all := holdings(t, db)
		expectHolding(t, all[1], peer, epoch+1, 0)
		expectHolding(t, all[2], me, 5, 0)
		expectHolding(t, all[3], peer, epoch+1, 1)
	}
}

func TestAFlipPassesOverWhatIsBeingWritten(t *testing.T) {
	db := sqldbtest.New(t, sqldb.Customer)
	f := newFence(t, db, everythingIs(me))
	id := f.MintCustomer()
	assign(t, db, id, me)
	other := (id.Slot() + 1) % ident.Slots
	if err := fence.Assign(t.Context(), db, home, at, []fence.Assignment{{Slot: other, Owner: me, Epoch: 3}}); err != nil {
		t.Fatal(err)
	}
	both := []fence.Change{{Slot: id.Slot(), Epoch: 3, Owner: peer}, {Slot: other, Epoch: 3, Owner: peer}}
	err := f.InSlotTx(t.Context(), id, func(sqldb.Tx) error {
		flipped, err := fence.Flip(t.Context(), db, home, both, at)
		if err != nil || !slices.Equal(flipped, []ident.Slot{other}) {
			t.Errorf("flipped %v, %v", flipped, err)
		}
		flipped, err = fence.FlipWaiting(t.Context(), db, home, both, at)
		if len(flipped) != 0 || !sqldb.LockTimedOut(err) {
			t.Errorf("waiting: flipped %v, %v", flipped, err)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	flipped, err := fence.Flip(t.Context(), db, home, both, at)
	if err != nil || !slices.Equal(flipped, []ident.Slot{id.Slot()}) {
		t.Errorf("afterwards: flipped %v, %v", flipped, err)
	}
}

func TestAWriterWhoWaitedForAFlipIsRefused(t *testing.T) {
	db := sqldbtest.New(t, sqldb.Customer)
	f := newFence(t, db, everythingIs(me))
	id := f.MintCustomer()
	assign(t, db, id, me)
	moved, err := fence.Move(t.Context(), db, home, me, peer, at)
	if moved != 1 || err != nil {
		t.Fatal(moved, err)
	}
	expectWrongCell(t, f.InSlotTx(t.Context(), id, func(sqldb.Tx) error { t.Error("the closure ran"); return nil }), id, peer, 4)
}
