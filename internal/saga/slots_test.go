package saga

import (
	"testing"
	"time"
)

func TestSagasOfASlotAreCountedUntilTheyEndAndAreBehindUntilTheNextOwnerTakesThem(t *testing.T) {
	p, w := newPlatform(t), newWorld()
	p.give("use1-a", 1)
	e := p.fenced("use1-a", trip(w, ""))
	p.fence = e.deps.Fence
	p.begin(e, "trip-1")
	began := p.clock.Now()
	own, other := []int16{int16(p.customer.Slot())}, []int16{int16(p.customer.Slot()+1) % 4096}
	expect := func(slots []int16, after time.Time, underWay int64, want Behind) {
		t.Helper()
		n, err := UnderWay(t.Context(), p.db, home, slots)
		if n != underWay || err != nil {
			t.Errorf("%d are under way, %v; want %d", n, err, underWay)
		}
		behind, err := CountBehind(t.Context(), p.db, home, slots, after)
		if behind != want || err != nil {
			t.Errorf("behind are %v, %v; want %v", behind, err, want)
		}
	}
	expect(own, began, 1, Behind{})
	expect(other, began, 0, Behind{})
	p.give("use1-b", 2)
	expect(own, began, 1, Behind{Sagas: 1})
	expect(own, began.Add(-time.Second), 1, Behind{Sagas: 1, Written: 1})
	if n, err := p.fenced("use1-b", trip(w, "")).Sweep(t.Context()); n != 1 || err != nil {
		t.Errorf("took %d, %v", n, err)
	}
	expect(own, began, 0, Behind{})
}
