package controlplane

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"

	"github.com/cellar-commerce/cellar/cells/topology"
	"github.com/cellar-commerce/cellar/internal/fence"
	"github.com/cellar-commerce/cellar/internal/ident"
	"github.com/cellar-commerce/cellar/internal/problem"
	"github.com/cellar-commerce/cellar/internal/sqldb"
)

func TestTheFirstMapDealsEveryRingAmongItsRegionsCells(t *testing.T) {
	w := newWorld(t)
	s := w.leader()
	m := s.feed.newest().m
	if m.Version != 1 || len(m.Cells) != 6 || len(m.Rings) != 3 {
		t.Fatalf("version %d, %d cells, %d rings", m.Version, len(m.Cells), len(m.Rings))
	}
	for _, c := range m.Cells {
		if owned := m.SlotsOf(c.ID); len(owned) != 1 || len(owned[c.Region]) != ident.Slots/2 {
			t.Errorf("%s owns %d slots of its own ring, of %d rings", c.ID, len(owned[c.Region]), len(owned))
		}
	}
	// Whoever begins after it changes nothing.
	w.must(w.plane("two", true).beginOnce(t.Context()))
	if v, err := newestVersion(t.Context(), w.global); v != 1 || err != nil {
		t.Errorf("version %d, %v", v, err)
	}
}

func TestCellsThatMovedAreFoundAndNewOnesJoinWithoutSlots(t *testing.T) {
	w := newWorld(t)
	w.leader()
	deployed := fleet()
	deployed[0].Public = "elsewhere:1"
	deployed = append(deployed, topology.Cell{ID: "use1-c", Region: east, State: topology.Active, Weight: 100, Public: "c:1", Internal: "c:2", Admin: "c:3"})
	s := w.plane("two", true, func(d *Deps) { d.Deployed = deployed })
	w.must(s.beginOnce(t.Context()))
	m := s.feed.newest().m
	if m.Version != 2 || m.Cell("use1-a").Public != "elsewhere:1" || m.Cell("use1-c") == nil || len(m.SlotsOf("use1-c")) != 0 {
		t.Errorf("version %d: %+v", m.Version, m.Cells)
	}
}

func TestSlotsThatHaveOwnersKeepThem(t *testing.T) {
	w := newWorld(t)
	w.must(fence.Assign(t.Context(), w.customers, east, w.clock.Now(), []fence.Assignment{{Slot: 7, Owner: "usw2-b", Epoch: 5}}))
	m := w.leader().feed.newest().m
	if r := m.Runs(east)[1]; r.From != 7 || r.To != 7 || r.Owner != "usw2-b" || r.Epoch != 5 {
		t.Errorf("got %+v", r)
	}
}

func TestAMapIsMadeOfTheSlotsAsTheyAreAndOnlyWhenSomethingChanged(t *testing.T) {
	w := newWorld(t)
	s := w.leader()
	same := of(s.publisher.publish(t.Context(), edit{cause: Cause{Who: "x", Reason: "nothing"}})).must(t)
	if same.m.Version != 1 {
		t.Errorf("a map without a change has version %d", same.m.Version)
	}
	w.give("use1-a", "use1-b")
	next := of(s.publisher.publish(t.Context(), edit{cause: Cause{Who: "x", Reason: "moved"}})).must(t)
	if next.m.Version != 2 || len(next.m.SlotsOf("use1-a")) != 0 || len(next.m.SlotsOf("use1-b")[east]) != ident.Slots {
		t.Errorf("version %d, %d slots", next.m.Version, len(next.m.SlotsOf("use1-b")[east]))
	}
	// What is stored is what was handed out, and opens.
	stored := of(s.store.read(t.Context(), 2)).must(t)
	if opened, err := topology.Open(stored.snapshot, s.deps.Keys); err != nil || !alike(opened, next.m) || stored.cause.Reason != "moved" {
		t.Errorf("%v, %+v", err, stored.cause)
	}
}

func TestAMapOlderThanTheOneBeforeIsNeverPublished(t *testing.T) {
	w := newWorld(t)
	s := w.leader()
	w.give("use1-a", "use1-b")
	of(s.publisher.publish(t.Context(), edit{})).must(t)
	if _, err := w.customers.Exec(t.Context(), stmtRestore, string(east)); err != nil {
		t.Fatal(err)
	}
	_, err := s.publisher.publish(t.Context(), edit{})
	expectReason(t, err, "SLOTS_WENT_BACK")
}

func TestOfTwoWhoPublishForTheSameVersionOneIsTold(t *testing.T) {
	w := newWorld(t)
	one := w.leader()
	two := w.plane("two", true)
	ended := make(chan error, 2)
	var wg sync.WaitGroup
	for i, s := range []*Service{one, two} {
		wg.Go(func() {
			_, err := s.publisher.setWeight(t.Context(), "use1-a", 200+i, Cause{Who: "x", Reason: "y", Seen: 1})
			ended <- err
		})
	}
	wg.Wait()
	first, second := <-ended, <-ended
	if (first == nil) == (second == nil) {
		t.Fatalf("%v and %v: exactly one has to win", first, second)
	}
	for _, err := range []error{first, second} {
		if err != nil && problem.KindOf(err) != problem.Aborted {
			t.Errorf("got %v", err)
		}
	}
}

func TestWhoDoesNotNameAVersionWinsInTheEndAndLosesNobodysChange(t *testing.T) {
	w := newWorld(t)
	w.leader()
	const planes, each = 2, 3 // so that nobody can lose as often as it may try
	var wg sync.WaitGroup
	for i := range planes {
		s := w.plane(fmt.Sprint(i), true)
		wg.Go(func() {
			for n := range each {
				c := topology.Cell{ID: fmt.Sprintf("use1-%d%d", i, n), Region: east, State: topology.Active, Public: "c:1", Internal: "c:2", Admin: "c:3"}
				if _, err := s.publisher.addCell(t.Context(), c, Cause{Who: "x", Reason: "y"}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	s := w.plane("reader", false)
	newest := of(s.publisher.newest(t.Context())).must(t)
	if newest.m.Version != 1+planes*each || len(newest.m.Cells) != 6+planes*each {
		t.Errorf("version %d with %d cells", newest.m.Version, len(newest.m.Cells))
	}
	for v := uint64(2); v <= newest.m.Version; v++ {
		before, after := of(s.publisher.version(t.Context(), v-1)).must(t), of(s.publisher.version(t.Context(), v)).must(t)
		if changes := topology.Diff(before.m, after.m); len(changes) != 1 || changes[0].Kind != topology.CellAdded {
			t.Errorf("from %d to %d: %+v", v-1, v, changes)
		}
	}
}

func TestTheHistoryIsBounded(t *testing.T) {
	w := newWorld(t)
	s := w.leader()
	at := w.clock.Now()
	w.must(w.global.InTx(t.Context(), func(tx sqldb.Tx) error {
		for v := uint64(2); v <= keptMaps+3; v++ {
			if free, err := insertMap(t.Context(), tx, stored{made: made{version: v, at: at}, snapshot: []byte("x")}); !free || err != nil {
				return fmt.Errorf("version %d: %v, %w", v, free, err)
			}
		}
		return nil
	}))
	_, err := s.publisher.version(t.Context(), 3)
	expectReason(t, err, "UNKNOWN_VERSION")
	if all := of(s.store.list(t.Context(), 2*keptMaps)).must(t); len(all) != keptMaps || all[0].version != keptMaps+3 {
		t.Errorf("%d versions, the newest %d", len(all), all[0].version)
	}
}

func TestAStandbyFollowsWhatTheLeaderPublishes(t *testing.T) {
	w := newWorld(t)
	leads, follows := w.leader(), w.plane("two", false)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	go follows.publisher.follow(ctx)
	for want := uint64(1); want < 4; want++ {
		for held, changed := follows.feed.look(); held == nil || held.m.Version < want; held, changed = follows.feed.look() {
			w.must(w.clock.AwaitSleepers(t.Context(), 1))
			w.clock.Advance(followEvery)
			select {
			case <-changed:
			default:
			}
		}
		of(leads.publisher.setWeight(t.Context(), "use1-a", int(100+want), Cause{Who: "x", Reason: "y"})).must(t)
	}
}

var (
	stmtGive    = sqldb.Define(sqldb.Customer, "controlplane_test.give", `UPDATE slots SET owner = $2, epoch = epoch + 1 WHERE region = ANY ($3::crdb_internal_region[]) AND owner = $1`)
	stmtRestore = sqldb.Define(sqldb.Customer, "controlplane_test.restore", `UPDATE slots SET epoch = 1 WHERE region = $1`)
)

// give all slots of a cell to another, behind everybody's back.
func (w *world) give(from, to string) {
	w.t.Helper()
	var all []string
	for _, r := range slices.Clone(ident.Regions()) {
		all = append(all, string(r))
	}
	_, err := w.customers.Exec(w.t.Context(), stmtGive, from, to, all)
	w.must(err)
}
