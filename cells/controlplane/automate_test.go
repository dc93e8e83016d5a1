package controlplane

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	topologyv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/topology/v1"
	"github.com/cellar-commerce/cellar/internal/ident"
	"github.com/cellar-commerce/cellar/internal/problem"
)

// fakeMover stands in for moves of slots.
type fakeMover struct {
	refusal error // of plans
	broken  error // of starts
	started []string
	before  func() // called between plan and start
}

func (m *fakeMover) plan(context.Context, string) (string, error) {
	if m.before != nil {
		m.before()
	}
	return "hash", m.refusal
}

func (m *fakeMover) start(_ context.Context, cell, hash string, cause Cause) (string, error) {
	if hash != "hash" || cause.Who == "" || cause.Reason == "" || len(cause.Reason) > maxCause {
		return "", errors.New("a start without a plan or a cause")
	}
	if m.broken != nil {
		return "", m.broken
	}
	m.started = append(m.started, cell)
	return "ev-1", nil
}

// watched is a leader whose probes and routers a test plays.
type watched struct {
	*world
	*Service
	mover *fakeMover
}

func newWatched(t *testing.T) *watched {
	t.Helper()
	w := newWorld(t)
	out := &watched{world: w, Service: w.leader(), mover: &fakeMover{}}
	out.automation.mover = out.mover
	out.automation.reset()
	return out
}

// pass some time: every step probes see what they see, routers report, and automation decides.
func (w *watched) pass(d time.Duration, failing ...string) {
	w.world.t.Helper()
	for end := w.world.clock.Now().Add(d); ; w.world.clock.Advance(probeEvery) {
		now := w.world.clock.Now()
		for _, region := range ident.Regions() {
			r := report{name: "router/" + string(region), region: region, version: 1}
			for _, c := range w.feed.newest().m.Cells {
				r.cells = append(r.cells, cellReport{cell: c.ID, healthy: !contains(failing, c.ID)})
			}
			w.board.hear(r)
		}
		for _, c := range w.feed.newest().m.Cells {
			seen := ready
			if contains(failing, c.ID) {
				seen = refused
			}
			w.board.saw(c.ID, seen, now)
		}
		w.world.must(w.automation.round(w.world.t.Context()))
		if !now.Before(end) {
			return
		}
	}
}

func contains(all []string, one string) bool {
	for _, s := range all {
		if s == one {
			return true
		}
	}
	return false
}

// refusals in the audit trail.
func (w *watched) refusals() (all []string) {
	for _, c := range w.changes(w.Service) {
		if strings.HasPrefix(c.action, "automatic evacuation refused") {
			all = append(all, c.subject+": "+strings.TrimPrefix(c.action, "automatic evacuation refused: "))
		}
	}
	return all
}

func TestADeadCellIsMovedOnceAndTheNextWaitsForTheCoolDown(t *testing.T) {
	w := newWatched(t)
	w.pass(time.Second)
	w.pass(3*time.Second, "use1-a")
	if len(w.mover.started) != 1 || w.mover.started[0] != "use1-a" {
		t.Fatalf("moved %v", w.mover.started)
	}
	w.pass(time.Minute, "usw2-a")
	if len(w.mover.started) != 1 {
		t.Errorf("within the cool-down: moved %v", w.mover.started)
	}
	if got := w.refusals(); len(got) != 1 || got[0] != "usw2-a: cool-down" {
		t.Errorf("refusals %v", got)
	}
	w.pass(5*time.Minute, "usw2-a")
	if len(w.mover.started) < 2 || w.mover.started[1] != "usw2-a" {
		t.Errorf("after the cool-down: moved %v", w.mover.started)
	}
}

func TestACellForWhomThereIsNoRoomIsNotMovedByForce(t *testing.T) {
	w := newWatched(t)
	w.mover.refusal = problem.New(problem.Precondition, "OVER_CAPACITY", "use1-b would get more than it can carry")
	w.pass(30*time.Second, "use1-a")
	if len(w.mover.started) != 0 {
		t.Errorf("moved %v", w.mover.started)
	}
	if got := w.refusals(); len(got) != 1 || got[0] != "use1-a: plan: OVER_CAPACITY" {
		t.Errorf("refusals %v", got)
	}
	if v := w.board.decided()["use1-a"]; !strings.Contains(v.text, "more than it can carry") {
		t.Errorf("verdict %+v", v)
	}
	if l := of(w.store.readLever(t.Context())).must(t); !l.movedAt.Equal(never) {
		t.Errorf("what was not moved cools down: %+v", l)
	}
}

func TestTheLeverThatWasPulledJustNowStopsAMoveThatWasDecidedBefore(t *testing.T) {
	w := newWatched(t)
	w.mover.before = func() {
		of(w.SetAutomation(t.Context(), &topologyv1.SetAutomationRequest{Cause: because("hands off")})).must(t)
	}
	w.pass(3*time.Second, "use1-a")
	if len(w.mover.started) != 0 {
		t.Errorf("moved %v", w.mover.started)
	}
}

func TestOfTwoWhoBelieveToLeadOneMovesACell(t *testing.T) {
	w := newWatched(t)
	seen := of(w.store.readLever(t.Context())).must(t).movedAt
	first := of(w.store.claimMove(t.Context(), "use1-a", w.world.clock.Now(), seen)).must(t)
	second := of(w.store.claimMove(t.Context(), "usw2-a", w.world.clock.Now(), seen)).must(t)
	if !first || second {
		t.Errorf("claims: %v and %v", first, second)
	}
}

func TestAMoveThatCouldNotBeStartedIsTriedAgain(t *testing.T) {
	w := newWatched(t)
	w.mover.broken = errors.New("the database went away")
	w.pass(2*time.Second, "use1-a")
	if len(w.mover.started) != 0 {
		t.Fatal("moved")
	}
	w.mover.broken = nil
	w.pass(attemptEvery, "use1-a")
	if len(w.mover.started) != 1 {
		t.Errorf("moved %v", w.mover.started)
	}
}

func TestACellThatComesBackIsNoNews(t *testing.T) {
	w := newWatched(t)
	for range 5 {
		w.pass(400*time.Millisecond, "use1-a")
		w.pass(time.Second)
	}
	if len(w.mover.started) != 0 || len(w.refusals()) != 0 {
		t.Errorf("moved %v, refusals %v", w.mover.started, w.refusals())
	}
}
