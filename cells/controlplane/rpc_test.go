package controlplane

import (
	"context"
	"errors"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/cellar-commerce/cellar/cells/topology"
	problemv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/problem/v1"
	topologyv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/topology/v1"
	"github.com/cellar-commerce/cellar/internal/ident"
	"github.com/cellar-commerce/cellar/internal/problem"
)

func TestTheMapIsShownWithItsHistoryAndDifferences(t *testing.T) {
	w := newWorld(t)
	s, ctx := w.leader(), t.Context()
	of(s.SetWeight(ctx, &topologyv1.SetWeightRequest{CellId: "use1-a", Weight: 250, Cause: because("a bigger machine")})).must(t)
	got := of(s.GetMap(ctx, &topologyv1.GetMapRequest{})).must(t)
	if m := got.GetMap(); m.GetVersion() != 2 || len(m.GetCells()) != 6 || len(m.GetRings()) != 3 || len(m.GetRings()[0].GetRuns()) != 2 {
		t.Errorf("got %v", m)
	}
	for _, c := range got.GetMap().GetCells() {
		if c.GetSlots() != ident.Slots/2 || c.GetState() != topologyv1.CellState_CELL_STATE_ACTIVE {
			t.Errorf("got %v", c)
		}
	}
	if m, err := topology.Open(got.GetSignedSnapshot(), s.deps.Keys); err != nil || m.Cell("use1-a").Weight != 250 {
		t.Errorf("the snapshot: %v", err)
	}
	if got.GetMade().GetWho() != "an operator" || got.GetMade().GetReason() != "a bigger machine" {
		t.Errorf("made %v", got.GetMade())
	}
	if old := of(s.GetMap(ctx, &topologyv1.GetMapRequest{Version: 1})).must(t); old.GetMap().GetVersion() != 1 {
		t.Errorf("version 1 is %d", old.GetMap().GetVersion())
	}
	if all := of(s.ListMaps(ctx, &topologyv1.ListMapsRequest{})).must(t); len(all.GetVersions()) != 2 || all.GetVersions()[0].GetVersion() != 2 {
		t.Errorf("got %v", all)
	}
	diff := of(s.DiffMaps(ctx, &topologyv1.DiffMapsRequest{FromVersion: 1})).must(t)
	if len(diff.GetChanges()) != 1 || diff.GetChanges()[0].GetCellId() != "use1-a" {
		t.Errorf("got %v", diff)
	}
	_, err := s.GetMap(ctx, &topologyv1.GetMapRequest{Version: 9})
	expectReason(t, err, "UNKNOWN_VERSION")
	changes := of(s.ListChanges(ctx, &topologyv1.ListChangesRequest{})).must(t).GetChanges()
	if first := changes[0]; first.GetAction() != "weight set to 250" || first.GetSubject() != "use1-a" || first.GetMapVersion() != 2 || len(changes) != 7 {
		t.Errorf("%d changes, the newest %v", len(changes), first)
	}
}

func TestWhatIsMissingOrWrongIsNamedAllAtOnce(t *testing.T) {
	w := newWorld(t)
	s, ctx := w.leader(), t.Context()
	long := string(make([]byte, maxCause+1))
	for name, c := range map[string]struct {
		err  error
		want []string
	}{
		"set weight":  {second(s.SetWeight(ctx, &topologyv1.SetWeightRequest{Weight: -1})), []string{"cause.who", "cause.reason", "cell_id", "weight"}},
		"set state":   {second(s.SetState(ctx, &topologyv1.SetStateRequest{CellId: "x", State: 99, Cause: &topologyv1.Cause{Who: "x", Reason: long}})), []string{"cause.reason", "state"}},
		"add cell":    {second(s.AddCell(ctx, &topologyv1.AddCellRequest{Cause: because("x"), Cell: &topologyv1.Cell{Region: "mars", Capacity: -1}})), []string{"cell.cell_id", "cell.region", "cell.capacity", "cell.public_address", "cell.internal_address", "cell.admin_address"}},
		"add region":  {second(s.AddRegion(ctx, &topologyv1.AddRegionRequest{Region: "us-east-1"})), []string{"cause.who", "cells"}},
		"override":    {second(s.SetOverride(ctx, &topologyv1.SetOverrideRequest{Cause: because("x"), CustomerId: "me", ExpiresIn: durationpb.New(time.Second)})), []string{"expires_in", "cell_id", "customer_id"}},
		"unpin":       {second(s.RemoveOverride(ctx, &topologyv1.RemoveOverrideRequest{CustomerId: "me"})), []string{"cause.who", "customer_id"}},
		"customer":    {second(s.GetCustomer(ctx, &topologyv1.GetCustomerRequest{CustomerId: "me"})), []string{"customer_id"}},
		"lever":       {second(s.SetAutomation(ctx, &topologyv1.SetAutomationRequest{})), []string{"cause.who", "cause.reason"}},
		"plan":        {second(s.PlanEvacuation(ctx, &topologyv1.PlanEvacuationRequest{})), []string{"cell_id"}},
		"start":       {second(s.StartEvacuation(ctx, &topologyv1.StartEvacuationRequest{CellId: "x", Region: "mars"})), []string{"cell_id", "region", "cause.who", "expires_in", "plan_hash"}},
		"abort":       {second(s.AbortEvacuation(ctx, &topologyv1.AbortEvacuationRequest{})), []string{"cause.who", "evacuation_id"}},
		"undo":        {second(s.UndoEvacuation(ctx, &topologyv1.UndoEvacuationRequest{})), []string{"cause.who", "evacuation_id"}},
		"rebalance":   {second(s.StartRebalance(ctx, &topologyv1.StartRebalanceRequest{})), []string{"cause.who", "region", "plan_hash"}},
		"revert":      {second(s.RevertMap(ctx, &topologyv1.RevertMapRequest{})), []string{"cause.who", "version"}},
		"report":      {second(s.ReportHealth(ctx, &topologyv1.ReportHealthRequest{})), []string{"reporter", "region"}},
		"list":        {second(s.ListMaps(ctx, &topologyv1.ListMapsRequest{Limit: maxListed + 1})), []string{"limit"}},
		"changes":     {second(s.ListChanges(ctx, &topologyv1.ListChangesRequest{Limit: -1})), []string{"limit"}},
		"differences": {second(s.DiffMaps(ctx, &topologyv1.DiffMapsRequest{})), []string{"from_version"}},
	} {
		d, _ := problem.Detail[*problemv1.FieldViolations](c.err)
		fields := map[string]bool{}
		for _, v := range d.GetViolations() {
			fields[v.GetField()] = true
		}
		for _, want := range c.want {
			if !fields[want] {
				t.Errorf("%s: %v does not name %s", name, c.err, want)
			}
		}
	}
	if v, _ := newestVersion(ctx, w.global); v != 1 {
		t.Errorf("something was published: version %d", v)
	}
}

func second[A any](_ A, err error) error { return err }

func TestAStandbyAnswersQuestionsAndNamesTheLeaderToWhoeverWantsAChange(t *testing.T) {
	w := newWorld(t)
	w.leader()
	standby, ctx := w.plane("two", false), t.Context()
	err := second(standby.SetWeight(ctx, &topologyv1.SetWeightRequest{CellId: "use1-a", Weight: 1, Cause: because("x")}))
	expectReason(t, err, "NOT_LEADER")
	if d, _ := problem.Detail[*problemv1.NotLeader](err); d.GetAddress() != "" || problem.KindOf(err) != problem.Unavailable {
		t.Errorf("nobody leads, but %v: %v", d, err)
	}
	if taken, err := w.plane("one", true).leader.keeper.Take(ctx, leaseName); !taken || err != nil {
		t.Fatal(taken, err)
	}
	err = second(standby.SetWeight(ctx, &topologyv1.SetWeightRequest{CellId: "use1-a", Weight: 1, Cause: because("x")}))
	if d, _ := problem.Detail[*problemv1.NotLeader](err); d.GetAddress() != "one:8090" || d.GetLeader() != "one" {
		t.Errorf("got %v", d)
	}
	newest := of(standby.publisher.newest(ctx)).must(t)
	standby.feed.offer(newest)
	of(standby.GetMap(ctx, &topologyv1.GetMapRequest{})).must(t)
	of(standby.GetAutomation(ctx, &topologyv1.GetAutomationRequest{})).must(t)
	of(standby.ListChanges(ctx, &topologyv1.ListChangesRequest{})).must(t)
}

func TestWhoHasSeenAnotherMapIsRefused(t *testing.T) {
	w := newWorld(t)
	s, ctx := w.leader(), t.Context()
	stale := &topologyv1.Cause{Who: "x", Reason: "y", SeenVersion: 7}
	ring := durationpb.New(time.Hour)
	for name, err := range map[string]error{
		"weight":   second(s.SetWeight(ctx, &topologyv1.SetWeightRequest{CellId: "use1-a", Weight: 1, Cause: stale})),
		"state":    second(s.SetState(ctx, &topologyv1.SetStateRequest{CellId: "use1-a", State: topologyv1.CellState_CELL_STATE_CANARY, Cause: stale})),
		"pin":      second(s.SetOverride(ctx, &topologyv1.SetOverrideRequest{CustomerId: string(w.customer(east)), CellId: "use1-b", ExpiresIn: ring, Cause: stale})),
		"evacuate": second(s.StartEvacuation(ctx, &topologyv1.StartEvacuationRequest{CellId: "use1-a", PlanHash: "x", ExpiresIn: ring, Cause: stale})),
		"lever":    second(s.SetAutomation(ctx, &topologyv1.SetAutomationRequest{Cause: stale})),
	} {
		if !problem.Is(err, "MAP_CHANGED") || problem.KindOf(err) != problem.Aborted {
			t.Errorf("%s: %v", name, err)
		}
	}
	of(s.SetWeight(ctx, &topologyv1.SetWeightRequest{CellId: "use1-a", Weight: 1, Cause: &topologyv1.Cause{Who: "x", Reason: "y", SeenVersion: 1}})).must(t)
}

func (w *world) customer(region ident.Region) ident.CustomerID {
	ring, _ := region.Code()
	return ident.NewCustomer(ring)
}

func TestCellsAndRegionsAreAddedOnce(t *testing.T) {
	w := newWorld(t)
	s := w.plane("one", true, func(d *Deps) { d.Deployed = nil })
	ctx := t.Context()
	w.must(s.beginOnce(ctx))
	cells := func(ids ...string) (all []*topologyv1.Cell) {
		for i, id := range ids {
			all = append(all, &topologyv1.Cell{CellId: id, Region: string(west), Weight: int32(100 + 200*i), PublicAddress: "h:1", InternalAddress: "h:2", AdminAddress: "h:3"})
		}
		return all
	}
	_, err := s.AddCell(ctx, &topologyv1.AddCellRequest{Cell: cells("usw2-a")[0], Cause: because("x")})
	expectReason(t, err, "UNKNOWN_REGION")
	m := of(s.AddRegion(ctx, &topologyv1.AddRegionRequest{Region: string(west), Cells: cells("usw2-a", "usw2-b"), Cause: because("x")})).must(t).GetMap()
	if m.GetVersion() != 1 || len(m.GetRings()) != 1 || m.GetCells()[0].GetSlots() != ident.Slots/4 || m.GetCells()[1].GetSlots() != 3*ident.Slots/4 {
		t.Errorf("got %v", m)
	}
	_, err = s.AddRegion(ctx, &topologyv1.AddRegionRequest{Region: string(west), Cells: cells("usw2-c"), Cause: because("x")})
	expectReason(t, err, "REGION_EXISTS")
	_, err = s.AddCell(ctx, &topologyv1.AddCellRequest{Cell: cells("usw2-a")[0], Cause: because("x")})
	expectReason(t, err, "CELL_EXISTS")
	m = of(s.AddCell(ctx, &topologyv1.AddCellRequest{Cell: cells("usw2-c")[0], Cause: because("x")})).must(t).GetMap()
	if len(m.GetCells()) != 3 || m.GetCells()[2].GetSlots() != 0 {
		t.Errorf("got %v", m)
	}
}

func TestARegionWhoseSlotsWereDealtToOthersIsRefused(t *testing.T) {
	w := newWorld(t)
	s := w.plane("one", true, func(d *Deps) { d.Deployed = nil })
	w.must(s.beginOnce(t.Context()))
	cell := func(id string) *topologyv1.Cell {
		return &topologyv1.Cell{CellId: id, Region: string(west), Weight: 100, PublicAddress: "h:1", InternalAddress: "h:2", AdminAddress: "h:3"}
	}
	// The one who dealt them died before the map had the region.
	w.must(assignAll(t.Context(), w, west, "usw2-a"))
	_, err := s.AddRegion(t.Context(), &topologyv1.AddRegionRequest{Region: string(west), Cells: []*topologyv1.Cell{cell("usw2-b")}, Cause: because("x")})
	expectReason(t, err, "RING_TAKEN")
	of(s.AddRegion(t.Context(), &topologyv1.AddRegionRequest{Region: string(west), Cells: []*topologyv1.Cell{cell("usw2-a")}, Cause: because("x")})).must(t)
}

func TestACellThatOwnsSlotsCannotStopServingByAWord(t *testing.T) {
	w := newWorld(t)
	s, ctx := w.leader(), t.Context()
	for _, state := range []topologyv1.CellState{topologyv1.CellState_CELL_STATE_EVACUATED, topologyv1.CellState_CELL_STATE_QUARANTINED} {
		err := second(s.SetState(ctx, &topologyv1.SetStateRequest{CellId: "use1-a", State: state, Cause: because("x")}))
		expectReason(t, err, "CELL_OWNS_SLOTS")
	}
	of(s.SetState(ctx, &topologyv1.SetStateRequest{CellId: "use1-a", State: topologyv1.CellState_CELL_STATE_DRAINING, Cause: because("x")})).must(t)
	w.give("use1-a", "use1-b")
	m := of(s.SetState(ctx, &topologyv1.SetStateRequest{CellId: "use1-a", State: topologyv1.CellState_CELL_STATE_QUARANTINED, Cause: because("x")})).must(t).GetMap()
	if m.GetCells()[2].GetCellId() != "use1-a" || m.GetCells()[2].GetState() != topologyv1.CellState_CELL_STATE_QUARANTINED {
		t.Errorf("got %v", m.GetCells())
	}
	expectReason(t, second(s.SetWeight(ctx, &topologyv1.SetWeightRequest{CellId: "nobody", Cause: because("x")})), "UNKNOWN_CELL")
}

func TestACustomerIsPinnedUntilTheOverrideRunsOut(t *testing.T) {
	w := newWorld(t)
	s, ctx := w.leader(), t.Context()
	id := w.customer(east)
	before := of(s.GetCustomer(ctx, &topologyv1.GetCustomerRequest{CustomerId: string(id)})).must(t)
	other := map[string]string{"use1-a": "use1-b", "use1-b": "use1-a"}[before.GetCellId()]
	pin := &topologyv1.SetOverrideRequest{CustomerId: string(id), CellId: other, ExpiresIn: durationpb.New(time.Hour), Cause: because("to see whether it helps")}
	o := of(s.SetOverride(ctx, pin)).must(t).GetOverride()
	if o.GetCellId() != other || o.GetReason() != "to see whether it helps" || o.GetExpiresAt().AsTime().Sub(w.clock.Now()) != time.Hour {
		t.Errorf("got %v", o)
	}
	after := of(s.GetCustomer(ctx, &topologyv1.GetCustomerRequest{CustomerId: string(id)})).must(t)
	if after.GetCellId() != other || after.GetSlotOwner() != before.GetCellId() || after.GetEpoch() != before.GetEpoch()+1 || after.GetOverride().GetWho() != "an operator" {
		t.Errorf("got %v", after)
	}
	w.must(s.sweepOverrides(ctx)) // nothing is due
	w.clock.Advance(time.Hour)
	w.must(s.sweepOverrides(ctx))
	if gone := of(s.GetCustomer(ctx, &topologyv1.GetCustomerRequest{CustomerId: string(id)})).must(t); gone.GetCellId() != before.GetCellId() || gone.GetOverride() != nil {
		t.Errorf("got %v", gone)
	}
	expectReason(t, second(s.RemoveOverride(ctx, &topologyv1.RemoveOverrideRequest{CustomerId: string(id), Cause: because("x")})), "NO_OVERRIDE")
	of(s.SetOverride(ctx, pin)).must(t)
	of(s.RemoveOverride(ctx, &topologyv1.RemoveOverrideRequest{CustomerId: string(id), Cause: because("x")})).must(t)
	if all := of(s.store.listOverrides(ctx)).must(t); len(all) != 0 || len(s.feed.newest().m.Overrides) != 0 {
		t.Errorf("%d records, %d in the map", len(all), len(s.feed.newest().m.Overrides))
	}
	if what := w.changes(s)[0]; what.action != "customer unpinned" || what.subject != string(id) {
		t.Errorf("got %+v", what)
	}
}

func TestAnOverrideThatWasBegunIsFinishedByTheNextLeaderAndOneThatAMoveHasEndedIsForgotten(t *testing.T) {
	w := newWorld(t)
	s, ctx := w.leader(), t.Context()
	id := w.customer(east)
	o := override{customer: id, cell: "usw2-a", cause: Cause{Who: "x", Reason: "y"}, createdAt: w.clock.Now(), expiresAt: w.clock.Now().Add(time.Hour)}
	w.must(s.store.putOverride(ctx, o)) // and its leader died
	w.must(s.sweepOverrides(ctx))
	if got := of(s.GetCustomer(ctx, &topologyv1.GetCustomerRequest{CustomerId: string(id)})).must(t); got.GetCellId() != "usw2-a" {
		t.Errorf("got %v", got)
	}
	w.must(clearOverride(ctx, w, id)) // as an evacuation does
	of(s.publisher.publish(ctx, edit{})).must(t)
	w.must(s.sweepOverrides(ctx))
	if all := of(s.store.listOverrides(ctx)).must(t); len(all) != 0 {
		t.Errorf("%d records are left", len(all))
	}
}

func TestPinsToCellsThatDoNotServeAreRefused(t *testing.T) {
	w := newWorld(t)
	s, ctx := w.leader(), t.Context()
	pin := func(cell string) error {
		return second(s.SetOverride(ctx, &topologyv1.SetOverrideRequest{CustomerId: string(w.customer(east)), CellId: cell, ExpiresIn: durationpb.New(time.Hour), Cause: because("x")}))
	}
	expectReason(t, pin("nobody"), "UNKNOWN_CELL")
	w.give("use1-a", "use1-b")
	of(s.SetState(ctx, &topologyv1.SetStateRequest{CellId: "use1-a", State: topologyv1.CellState_CELL_STATE_EVACUATED, Cause: because("x")})).must(t)
	expectReason(t, pin("use1-a"), "CELL_NOT_SERVING")
}

func TestTheLeverIsMovedWithAReasonAndShown(t *testing.T) {
	w := newWorld(t)
	s, ctx := w.leader(), t.Context()
	if got := of(s.GetAutomation(ctx, &topologyv1.GetAutomationRequest{})).must(t); !got.GetEnabled() || len(got.GetCells()) != 6 {
		t.Errorf("at first: %v", got)
	}
	of(s.SetAutomation(ctx, &topologyv1.SetAutomationRequest{Cause: because("maintenance of the network")})).must(t)
	of(s.ReportHealth(ctx, &topologyv1.ReportHealthRequest{Reporter: "router/1", Region: string(east), MapVersion: 1, Cells: []*topologyv1.CellReport{{CellId: "use1-a"}}})).must(t)
	got := of(s.GetAutomation(ctx, &topologyv1.GetAutomationRequest{})).must(t)
	if got.GetEnabled() || got.GetReason() != "maintenance of the network" || len(got.GetRouters()) != 1 {
		t.Errorf("got %v", got)
	}
	for _, c := range got.GetCells() {
		if failing := c.GetCellId() == "use1-a"; (c.GetFailingReporters() == 1) != failing {
			t.Errorf("got %v", c)
		}
	}
	if what := w.changes(s)[0]; what.action != "automation turned off" {
		t.Errorf("got %+v", what)
	}
}

func TestWatchersGetTheNewestMapAtOnceAndThenEachThatFollows(t *testing.T) {
	w := newWorld(t)
	s := w.leader()
	got := make(chan *topologyv1.WatchMapResponse)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		ended <- s.feed.watch(ctx, w.clock, 0, func(r *topologyv1.WatchMapResponse) error { got <- r; return nil })
	}()
	if r := <-got; r.GetVersion() != 1 || len(r.GetSignedSnapshot()) == 0 {
		t.Errorf("first %d", r.GetVersion())
	}
	// Two while the watcher is busy are one for it.
	of(s.publisher.setWeight(t.Context(), "use1-a", 1, Cause{Who: "x", Reason: "y"})).must(t)
	of(s.publisher.setWeight(t.Context(), "use1-a", 2, Cause{Who: "x", Reason: "y"})).must(t)
	var last uint64
	for last < 3 {
		last = (<-got).GetVersion()
	}
	w.must(w.clock.AwaitSleepers(t.Context(), 1))
	w.clock.Advance(topology.HeartbeatEvery)
	if r := <-got; r.GetVersion() != 3 || len(r.GetSignedSnapshot()) != 0 {
		t.Errorf("a heartbeat of version %d with %d bytes", r.GetVersion(), len(r.GetSignedSnapshot()))
	}
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	seen := make(chan *topologyv1.WatchMapResponse, 1)
	go func() {
		ended <- s.feed.watch(t.Context(), w.clock, 2, func(r *topologyv1.WatchMapResponse) error { seen <- r; return nil })
	}()
	if r := <-seen; r.GetVersion() != 3 {
		t.Errorf("who has seen 2 gets %d", r.GetVersion())
	}
	s.feed.end()
	expectReason(t, <-ended, "STOPPING")
}

func TestWatchersAreBounded(t *testing.T) {
	w := newWorld(t)
	f := newFeed(1, func(uint64) {})
	f.offer(&publication{m: &topology.Map{Version: 1}})
	first, ended := make(chan struct{}), make(chan error, 1)
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		ended <- f.watch(ctx, w.clock, 0, func(*topologyv1.WatchMapResponse) error { close(first); return nil })
	}()
	<-first
	expectReason(t, f.watch(t.Context(), w.clock, 0, nil), "TOO_MANY_WATCHERS")
	cancel()
	<-ended
	broken := errors.New("the connection broke")
	if err := f.watch(t.Context(), w.clock, 0, func(*topologyv1.WatchMapResponse) error { return broken }); !errors.Is(err, broken) {
		t.Errorf("the place was not given back: %v", err)
	}
}
