package controlplane

import (
	"testing"
	"time"

	"github.com/cellar-commerce/cellar/cells/topology"
	"github.com/cellar-commerce/cellar/internal/clock"
	"github.com/cellar-commerce/cellar/internal/ident"
)

// scene is a fleet as probes and routers see it, on a clock that stands still.
type scene struct {
	t     *testing.T
	clock *clock.Manual
	board *board
	m     *topology.Map
	lever lever
	// failing cells, as the routers see it, by router.
	failing map[string]map[string]bool
	routers map[string]ident.Region
}

func newScene(t *testing.T) *scene {
	t.Helper()
	m, err := topology.Even(fleet())
	if err != nil {
		t.Fatal(err)
	}
	c := clock.NewManual(time.Date(2031, time.May, 4, 12, 0, 0, 0, time.UTC))
	s := &scene{
		t: t, clock: c, board: newBoard(c), m: m, lever: lever{enabled: true, movedAt: never}, failing: map[string]map[string]bool{},
		routers: map[string]ident.Region{"router/1": east, "router/2": west, "router/3": eu},
	}
	for _, cell := range m.Cells {
		s.board.saw(cell.ID, ready, c.Now())
	}
	s.report()
	return s
}

// report of every router, now.
func (s *scene) report() {
	for name, region := range s.routers {
		r := report{name: name, region: region, version: s.m.Version}
		for _, c := range s.m.Cells {
			r.cells = append(r.cells, cellReport{cell: c.ID, healthy: !s.failing[name][c.ID], requests: 10})
		}
		s.board.hear(r)
	}
}

// seeFailing: these routers see a cell fail from now on.
func (s *scene) seeFailing(cell string, routers ...string) {
	for _, r := range routers {
		if s.failing[r] == nil {
			s.failing[r] = map[string]bool{}
		}
		s.failing[r][cell] = true
	}
	s.report()
}

func (s *scene) all() []string { return []string{"router/1", "router/2", "router/3"} }

// probe sees a cell from now on, for a time in which routers keep reporting.
func (s *scene) probe(cell string, what sight, during time.Duration) {
	for passed := time.Duration(0); passed <= during; passed += probeEvery {
		s.board.saw(cell, what, s.clock.Now())
		if passed+probeEvery <= during {
			s.clock.Advance(probeEvery)
			s.report()
		}
	}
}

func (s *scene) decide() map[string]verdict {
	v := situation{now: s.clock.Now(), m: s.m, probes: s.board.seen(), routers: s.board.routers(), lever: s.lever, coolDown: 5 * time.Minute}
	return v.decide()
}

func (s *scene) expect(cell string, move bool, guard string) {
	s.t.Helper()
	v := s.decide()[cell]
	if v.move != move || v.guard != guard || v.text == "" {
		s.t.Errorf("%s: move %v, guard %q: %q; want move %v, guard %q", cell, v.move, v.guard, v.text, move, guard)
	}
	for id, other := range s.decide() {
		if id != cell && other.move {
			s.t.Errorf("%s is to be moved: %q", id, other.text)
		}
	}
}

func TestADeadCellIsEvacuatedOnceThreeProbesAndAMajorityOfRoutersSaySo(t *testing.T) {
	s := newScene(t)
	s.seeFailing("use1-a", s.all()...)
	s.probe("use1-a", refused, 400*time.Millisecond)
	s.expect("use1-a", false, guardTime)
	s.clock.Advance(probeEvery)
	s.probe("use1-a", refused, 0)
	s.expect("use1-a", true, guardNone)
}

func TestACellThatHangsIsGivenLonger(t *testing.T) {
	s := newScene(t)
	s.seeFailing("use1-a", s.all()...)
	s.probe("use1-a", silent, hungAfter-probeEvery)
	s.expect("use1-a", false, guardTime)
	s.clock.Advance(probeEvery)
	s.probe("use1-a", silent, 0)
	s.expect("use1-a", true, guardNone)
}

func TestACellThatIsBackBeforeItsTimeIsLeftAlone(t *testing.T) {
	s := newScene(t)
	s.seeFailing("use1-a", s.all()...)
	s.probe("use1-a", refused, 400*time.Millisecond)
	s.clock.Advance(probeEvery)
	s.probe("use1-a", starting, 10*time.Second) // it was started again, and reads its catalogue
	s.expect("use1-a", false, guardTime)
	s.probe("use1-a", ready, 0)
	s.expect("use1-a", false, guardNone)
}

func TestACellThatNeverGetsReadyIsEvacuatedInTheEnd(t *testing.T) {
	s := newScene(t)
	s.seeFailing("use1-a", s.all()...)
	for range 80 { // it starts, and dies, and starts
		s.probe("use1-a", refused, probeEvery)
		s.probe("use1-a", starting, probeEvery)
	}
	s.expect("use1-a", true, guardNone)
}

func TestARestartThatWasAnnouncedMovesNothing(t *testing.T) {
	s := newScene(t)
	s.seeFailing("use1-a", s.all()...)
	s.probe("use1-a", draining, time.Second)
	s.probe("use1-a", refused, 20*time.Second)
	s.expect("use1-a", false, guardPlanned)
	s.probe("use1-a", starting, 20*time.Second)
	s.expect("use1-a", false, guardPlanned)
	s.probe("use1-a", ready, 0)
	s.expect("use1-a", false, guardNone)
	// The announcement is used up: if it dies now, that is another matter.
	s.probe("use1-a", refused, time.Second)
	s.expect("use1-a", true, guardNone)
}

func TestARestartThatWasAnnouncedAndDoesNotEndIsAFailure(t *testing.T) {
	s := newScene(t)
	s.seeFailing("use1-a", s.all()...)
	s.probe("use1-a", draining, time.Second)
	s.probe("use1-a", refused, plannedFor)
	s.expect("use1-a", true, guardNone)
}

func TestNothingIsMovedWhileRoutersStillReachTheCell(t *testing.T) {
	s := newScene(t)
	s.seeFailing("use1-a", "router/1")
	s.probe("use1-a", refused, 10*time.Second)
	s.expect("use1-a", false, guardQuorum)
	s.seeFailing("use1-a", "router/2")
	s.expect("use1-a", true, guardNone)
}

func TestNothingIsMovedOnRoutersWordAlone(t *testing.T) {
	s := newScene(t)
	s.seeFailing("use1-a", s.all()...)
	s.probe("use1-a", ready, 10*time.Second)
	s.expect("use1-a", false, guardNone)
}

func TestOneRegionsRoutersAreNoQuorumWhereThereAreMoreRegions(t *testing.T) {
	s := newScene(t)
	s.routers = map[string]ident.Region{"router/1": east, "router/1b": east, "router/1c": east, "router/2": west}
	s.board = newBoard(s.clock)
	for _, c := range s.m.Cells {
		s.board.saw(c.ID, ready, s.clock.Now())
	}
	s.seeFailing("use1-a", "router/1", "router/1b", "router/1c")
	s.probe("use1-a", refused, time.Second)
	s.expect("use1-a", false, guardQuorum)
	s.seeFailing("use1-a", "router/2")
	s.expect("use1-a", true, guardNone)
}

func TestNothingIsMovedBlindly(t *testing.T) {
	s := newScene(t)
	s.seeFailing("use1-a", s.all()...)
	s.probe("use1-a", refused, time.Second)
	s.expect("use1-a", true, guardNone)
	delete(s.routers, "router/2")
	delete(s.routers, "router/3")
	s.clock.Advance(freshFor)
	s.probe("use1-a", refused, time.Second) // only one of three has spoken lately
	s.expect("use1-a", false, guardBlind)
	s.routers["router/2"] = west
	s.report()
	s.expect("use1-a", true, guardNone)
}

func TestASingleRouterIsNoQuorum(t *testing.T) {
	s := newScene(t)
	s.routers, s.board = map[string]ident.Region{"router/1": east}, newBoard(s.clock)
	s.seeFailing("use1-a", "router/1")
	s.probe("use1-a", refused, time.Minute)
	s.expect("use1-a", false, guardBlind)
}

func TestWhenMostCellsLookDeadItIsUs(t *testing.T) {
	s := newScene(t)
	for _, cell := range []string{"use1-a", "usw2-a", "euc1-a"} {
		s.seeFailing(cell, s.all()...)
	}
	for range 10 {
		for _, cell := range []string{"use1-a", "usw2-a", "euc1-a"} {
			s.board.saw(cell, refused, s.clock.Now())
		}
		s.clock.Advance(probeEvery)
		s.report()
	}
	for _, cell := range []string{"use1-a", "usw2-a", "euc1-a"} {
		s.expect(cell, false, guardMost)
	}
}

func TestOneCellGoesFirstAndTheNextWaits(t *testing.T) {
	s := newScene(t)
	s.seeFailing("usw2-a", s.all()...)
	s.probe("usw2-a", refused, time.Second)
	s.seeFailing("use1-a", s.all()...)
	for range 10 {
		s.board.saw("use1-a", refused, s.clock.Now())
		s.board.saw("usw2-a", refused, s.clock.Now())
		s.clock.Advance(probeEvery)
		s.report()
	}
	s.expect("usw2-a", true, guardNone)
	if v := s.decide()["use1-a"]; v.guard != guardCoolDown {
		t.Errorf("the second: %+v", v)
	}
	s.lever.movedCell, s.lever.movedAt = "usw2-a", s.clock.Now()
	s.board.saw("usw2-a", ready, s.clock.Now())
	s.expect("use1-a", false, guardCoolDown)
	s.clock.Advance(5 * time.Minute)
	s.report()
	s.expect("use1-a", true, guardNone)
}

func TestTheCoolDownIsForOtherCells(t *testing.T) {
	s := newScene(t)
	s.seeFailing("use1-a", s.all()...)
	s.lever.movedCell, s.lever.movedAt = "use1-a", s.clock.Now() // it was claimed, and the leader died
	s.probe("use1-a", refused, time.Second)
	s.expect("use1-a", true, guardNone)
}

func TestTheLeverStopsEverything(t *testing.T) {
	s := newScene(t)
	s.seeFailing("use1-a", s.all()...)
	s.probe("use1-a", refused, time.Second)
	s.lever.enabled = false
	s.expect("use1-a", false, guardLever)
}

func TestCellsThatPeopleHaveSetApartAreLeftToThem(t *testing.T) {
	for _, state := range []topology.State{topology.Canary, topology.Quarantined, topology.Evacuated} {
		s := newScene(t)
		s.m.Cells[0].State = state
		s.seeFailing(s.m.Cells[0].ID, s.all()...)
		s.probe(s.m.Cells[0].ID, refused, time.Second)
		s.expect(s.m.Cells[0].ID, false, guardState)
	}
}

func TestACellThatServesNobodyIsNotMoved(t *testing.T) {
	s := newScene(t)
	empty := fleet()[0]
	empty.ID = "use1-c"
	s.m.Cells = append(s.m.Cells, empty)
	s.seeFailing("use1-c", s.all()...)
	s.probe("use1-c", refused, time.Second)
	s.expect("use1-c", false, guardEmpty)
}

func TestWhoHasWhichMapIsKnownAndTheSilentHoldNobodyUp(t *testing.T) {
	s := newScene(t)
	s.board.hear(report{name: "cell/use1-a", region: east, version: 1})
	s.board.hear(report{name: "cell/use1-b", region: east, version: 2})
	behind, lost := s.board.converged(1)
	if len(behind)+len(lost) != 0 {
		t.Errorf("behind %v, lost %v", behind, lost)
	}
	s.clock.Advance(freshFor + time.Second)
	s.m.Version = 2
	s.report()
	s.board.hear(report{name: "cell/use1-b", region: east, version: 1})
	if behind, lost = s.board.converged(2); len(behind) != 1 || behind[0] != "cell/use1-b" || len(lost) != 1 || lost[0] != "cell/use1-a" {
		t.Errorf("behind %v, lost %v", behind, lost)
	}
	s.clock.Advance(knownFor + time.Second)
	s.report()
	if behind, lost = s.board.converged(2); len(behind)+len(lost) != 0 {
		t.Errorf("after long: behind %v, lost %v", behind, lost)
	}
}

func TestTheLoadOfACellIsWhatItCarriedBeforeItFailed(t *testing.T) {
	s := newScene(t)
	for range 100 { // 10 requests in 200 ms, by three routers
		s.clock.Advance(probeEvery)
		s.report()
	}
	before, known := s.board.load("use1-a")
	if !known || before < 140 || before > 151 {
		t.Errorf("load %.1f, %v; want 150", before, known)
	}
	for range 10 {
		s.clock.Advance(probeEvery)
		for name, region := range s.routers {
			s.board.hear(report{name: name, region: region, cells: []cellReport{{cell: "use1-a"}, {cell: "use1-b", healthy: true}}})
		}
	}
	if after, _ := s.board.load("use1-a"); after < before*0.95 {
		t.Errorf("two seconds after it failed its load is %.1f, not %.1f", after, before)
	}
	if after, _ := s.board.load("use1-b"); after > before*0.8 {
		t.Errorf("a healthy cell without requests has a load of %.1f", after)
	}
}
