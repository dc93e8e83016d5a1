package fence_test

import (
	"testing"
	"time"

	"github.com/cellar-commerce/cellar/internal/fence"
	"github.com/cellar-commerce/cellar/internal/ident"
	"github.com/cellar-commerce/cellar/internal/sqldb"
	"github.com/cellar-commerce/cellar/internal/sqldb/sqldbtest"
)

func TestAnOverrideIsANewEpochOfItsSlotAndOfNoOther(t *testing.T) {
	db := sqldbtest.New(t, sqldb.Customer)
	at := time.Date(2031, time.May, 4, 12, 0, 0, 0, time.UTC)
	ring, _ := ident.Region("us-east-1").Code()
	one := ident.NewCustomer(ring)
	other := ident.NewCustomer(ring)
	for other.Slot() == one.Slot() {
		other = ident.NewCustomer(ring)
	}
	slots := []fence.Assignment{{Slot: one.Slot(), Owner: "a", Epoch: 4}, {Slot: other.Slot(), Owner: "a", Epoch: 4}}
	if err := fence.Assign(t.Context(), db, "us-east-1", at, slots); err != nil {
		t.Fatal(err)
	}
	for _, step := range []struct {
		cell    string
		changed bool
		epoch   uint64
	}{{"", false, 4}, {"b", true, 5}, {"b", false, 5}, {"c", true, 6}, {"", true, 7}, {"", false, 7}} {
		changed, err := fence.SetOverride(t.Context(), db, one, step.cell, at)
		if changed != step.changed || err != nil {
			t.Errorf("to %q: %v, %v", step.cell, changed, err)
		}
		held, err := fence.ReadRing(t.Context(), db, "us-east-1")
		if err != nil || len(held) != 2 {
			t.Fatal(held, err)
		}
		for _, h := range held {
			want, epoch := "", uint64(4)
			if h.Slot == one.Slot() {
				want, epoch = step.cell, step.epoch
			}
			if h.Owner != "a" || h.Epoch != epoch || h.Overrides[one] != want || (h.Overrides == nil) != (want == "") {
				t.Errorf("after %q: %+v, want epoch %d and %q", step.cell, h, epoch, want)
			}
		}
	}
	if _, err := fence.SetOverride(t.Context(), db, "nobody", "b", at); err == nil {
		t.Error("an override of nobody")
	}
}
