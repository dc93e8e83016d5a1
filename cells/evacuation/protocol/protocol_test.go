package protocol

import (
	"fmt"
	"strings"
	"testing"
)

// limit of states: no configuration needs as many, and 1 GB holds them. Whoever comes to it has proved nothing.
const limit = 3_000_000

// Requests of tests.
var (
	one     = []Request{{}}
	two     = []Request{{}, {}}
	apart   = []Request{{}, {Router: 1}}
	pinned  = []Request{{Pinned: true}}
	mixed   = []Request{{}, {Pinned: true}}
	ofSlots = []Request{{}, {Slot: 1}}
)

// worlds in which the protocol is explored. Those that are large are left out under the race detector, which has nothing to
// find here: nothing runs at the same time.
var worlds = []struct {
	Config
	large bool
}{
	{Config{Name: "a hung cell with zombies", Slots: []Cell{A}, Cells: 2, Routers: 1, Drivers: 1, Hurries: true, Requests: one, Zombies: true, Freezes: true}, false},
	{Config{Name: "a hung cell, and a way back", Slots: []Cell{A}, Cells: 2, Routers: 1, Drivers: 1, Hurries: true, Requests: one, Freezes: true, Back: true}, true},
	{Config{Name: "a dead cell, and a way back", Slots: []Cell{A}, Cells: 2, Routers: 1, Drivers: 1, Hurries: true, Requests: one, Dies: true, Back: true}, false},
	{Config{Name: "two requests of a customer, and a way back", Slots: []Cell{A}, Cells: 2, Routers: 1, Drivers: 1, Hurries: true, Requests: two, Back: true}, true},
	{Config{Name: "two slots with a request each", Slots: []Cell{A, A}, Cells: 2, Routers: 1, Drivers: 1, Hurries: true, Requests: ofSlots}, false},
	{Config{Name: "two slots to two cells, and a way back", Slots: []Cell{A, A}, Cells: 3, Routers: 1, Drivers: 1, Hurries: true, Requests: one, Back: true}, false},
	{Config{Name: "two drivers and maps, and a way back", Slots: []Cell{A}, Cells: 2, Routers: 1, Drivers: 2, DriverDies: true, Back: true}, true},
	{Config{Name: "two drivers of two slots, and a way back", Slots: []Cell{A, A}, Cells: 3, Drivers: 2, DriverDies: true, Back: true, NoMaps: true}, false},
	{Config{Name: "two drivers, a cell that dies, and a request", Slots: []Cell{A}, Cells: 2, Routers: 1, Drivers: 2, DriverDies: true, Requests: one, Dies: true}, true},
	{Config{Name: "two routers and late maps", Slots: []Cell{A}, Cells: 2, Routers: 2, Drivers: 1, Hurries: true, Requests: apart, LateMaps: true}, false},
	{Config{Name: "late maps, and a way back", Slots: []Cell{A}, Cells: 2, Routers: 1, Drivers: 1, Hurries: true, Requests: one, LateMaps: true, Zombies: true, Back: true}, true},
	{Config{Name: "a saga of a cell that hangs or dies", Slots: []Cell{A}, Cells: 2, Drivers: 1, Hurries: true, Saga: true, Runs: 3, NoMaps: true, Freezes: true, Dies: true}, true},
	{Config{Name: "a saga, and a way back", Slots: []Cell{A}, Cells: 2, Drivers: 1, Hurries: true, Saga: true, Runs: 3, Back: true, NoMaps: true}, true},
	{Config{Name: "a saga of a pinned customer", Slots: []Cell{A}, Cells: 2, Drivers: 1, Saga: true, SagaOfPinned: true, Runs: 2, Pins: []Cell{B}, NoMaps: true}, true},
	{Config{Name: "a pin to a third cell", Slots: []Cell{A}, Cells: 3, Routers: 1, Drivers: 1, Requests: pinned, Pins: []Cell{C}}, false},
	{Config{Name: "a pin and a neighbour in the slot", Slots: []Cell{A}, Cells: 2, Routers: 1, Drivers: 1, Hurries: true, Requests: mixed, Pins: []Cell{B}}, true},
	{Config{Name: "a pin to the cell that is evacuated", Slots: []Cell{B}, Cells: 2, Routers: 1, Drivers: 1, Requests: pinned, Pins: []Cell{A}}, false},
	{Config{Name: "such a pin, two drivers, and a way back", Slots: []Cell{B}, Cells: 2, Drivers: 2, DriverDies: true, Pins: []Cell{A}, Back: true, NoMaps: true}, true},
}

// finding of a model, and a shortest trace to it.
type finding struct {
	invariant           string
	trace               []Moment[state, step]
	states, transitions int
	acts                map[act]bool
}

// explored worlds of the protocol without a defect.
var explored = map[string]bool{}

func worldOf(c Config) string {
	c.Name, c.Design = "", Design{}
	return fmt.Sprint(c)
}

// explore a model whole: the invariants in each state first, then what must always be possible.
func explore(t *testing.T, m *Model) finding {
	t.Helper()
	g, err := Explore(m, limit)
	if err != nil {
		t.Fatalf("%s: %v", m.Name, err)
	}
	if m.Design == (Design{}) {
		explored[worldOf(m.Config)] = true
	}
	f := finding{states: g.States(), transitions: g.Transitions(), acts: map[act]bool{}}
	for _, e := range g.edges {
		f.acts[e.step.act] = true
	}
	if g.Broken >= 0 {
		f.invariant, f.trace = g.Invariant, g.Trace(g.Broken)
		return f
	}
	for _, law := range []struct {
		name   string
		goal   func(state) bool
		counts func(step) bool
	}{
		{EverythingEnds, m.ended, func(by step) bool { return by.class != happens }},
		{ServesWithoutSteering, m.served, func(by step) bool { return by.class == serves }},
	} {
		if at := g.Hopeless(law.goal, law.counts); at >= 0 && !m.passes(law.name) {
			f.invariant, f.trace = law.name, g.Trace(at)
			return f
		}
	}
	return f
}

func TestTheProtocolKeepsItsInvariantsInEveryState(t *testing.T) {
	acts, states, transitions := map[act]bool{}, 0, 0
	for _, w := range worlds {
		if w.large && raced {
			continue
		}
		m := NewModel(w.Config)
		f := explore(t, m)
		t.Logf("%9d states %9d transitions: %s", f.states, f.transitions, w.Name)
		if f.invariant != "" {
			t.Errorf("%s\n%s\n%s", w.Name, f.invariant, m.Story(f.trace))
		}
		states, transitions = states+f.states, transitions+f.transitions
		for a := range f.acts {
			acts[a] = true
		}
	}
	t.Logf("%9d states %9d transitions in all", states, transitions)
	for a := range cellTakesOver + 1 {
		if !acts[a] && a != driverRecords && !raced { // a driver of the protocol records nothing that is believed
			t.Errorf("step %d is never taken: the worlds leave it out", a)
		}
	}
}

// mutants are defects of the protocol: what is broken first in which world, and in how many steps at most.
var mutants = []struct {
	name      string
	world     Config
	design    Design
	invariant string
	pass      []string
	most      int
}{
	{name: "no fence", design: Design{Guard: ByNothing}, world: Config{Slots: []Cell{A}, Cells: 2, Routers: 1, Drivers: 1, Hurries: true, Requests: one}, invariant: OnlyTheOwnerCommits, most: 10},
	{name: "the guard asks the map", design: Design{Guard: ByMap}, world: Config{Slots: []Cell{A}, Cells: 2, Routers: 1, Drivers: 1, Hurries: true, Requests: one}, invariant: OnlyTheOwnerCommits, most: 10},
	{name: "a flip does not wait for locks", design: Design{FlipIgnoresLocks: true}, world: Config{Slots: []Cell{A}, Cells: 2, Routers: 1, Drivers: 1, Hurries: true, Requests: one}, invariant: OnlyTheOwnerCommits, most: 10},
	{name: "a flip compares nothing, and there are two drivers", design: Design{FlipsBlindly: true}, world: Config{Slots: []Cell{A}, Cells: 2, Drivers: 2, Back: true, NoMaps: true}, invariant: BackIsHome, most: 30},
	{name: "a flip compares the owner and not the epoch", design: Design{ComparesOwnerOnly: true}, world: Config{Slots: []Cell{A}, Cells: 2, Drivers: 2, Back: true, NoMaps: true}, invariant: BackIsHome, most: 30},
	{name: "the epoch is reused on the way back", design: Design{ReusesEpochs: true}, world: Config{Slots: []Cell{A}, Cells: 2, Routers: 1, Drivers: 1, Hurries: true, Requests: one, Back: true}, pass: []string{EpochsGrow}, invariant: MapsFollowRows, most: 20},
	{name: "the map is published before the flip", design: Design{PublishesFirst: true}, world: Config{Slots: []Cell{A}, Cells: 2, Routers: 1, Drivers: 1, Hurries: true, Requests: one, Back: true}, pass: []string{MapsFollowRows, NoStaleMapWins}, invariant: OneOwnerAnEpoch, most: 20},
	{name: "the map is published before the flip, and cells believe it", design: Design{PublishesFirst: true, Guard: ByMap}, world: Config{Slots: []Cell{A}, Cells: 2, Routers: 1, Drivers: 1, Hurries: true, Requests: one}, invariant: OnlyTheOwnerCommits, most: 16},
	{name: "progress is recorded before the flip, and believed", design: Design{BelievesRecord: true}, world: Config{Slots: []Cell{A}, Cells: 2, Drivers: 2, DriverDies: true, NoMaps: true}, invariant: EvacuatedIsEmpty, most: 40},
	{name: "an older map is taken", design: Design{TakesOlderMaps: true}, world: Config{Slots: []Cell{A}, Cells: 2, Routers: 1, Drivers: 1, Hurries: true, LateMaps: true}, invariant: NoStaleMapWins, most: 16},
	{name: "redirects have no epochs", design: Design{HintsWithoutEpochs: true}, world: Config{Slots: []Cell{A}, Cells: 2, Routers: 1, Drivers: 1, Hurries: true, Requests: one, Back: true}, invariant: NoStaleMapWins, most: 30},
	{name: "a pin does not change the epoch", design: Design{PinsWithoutEpoch: true}, world: Config{Slots: []Cell{A}, Cells: 3, Routers: 1, Drivers: 1, Requests: pinned, Pins: []Cell{C}}, pass: []string{EpochsGrow}, invariant: OneOwnerAnEpoch, most: 16},
	{name: "the version is read after the rows", design: Design{VersionReadLast: true}, world: Config{Slots: []Cell{A}, Cells: 2, Drivers: 2, Back: true, NoMaps: true}, invariant: MapsFollowRows, most: 40},
	{name: "writes have no key", design: Design{KeylessWrites: true}, world: Config{Slots: []Cell{A}, Cells: 2, Routers: 1, Drivers: 1, Hurries: true, Requests: one, Zombies: true}, invariant: OnceAndForAll, most: 16},
	{name: "a saga's steps have no key", design: Design{KeylessSteps: true}, world: Config{Slots: []Cell{A}, Cells: 2, Drivers: 1, Hurries: true, Saga: true, Runs: 3, NoMaps: true}, invariant: SagaAllOrNothing, most: 6},
	{name: "a saga's undone steps leave no tombstone", design: Design{NoTombstones: true}, world: Config{Slots: []Cell{A}, Cells: 2, Drivers: 1, Hurries: true, Saga: true, Runs: 3, NoMaps: true}, invariant: SagaAllOrNothing, most: 20},
	{name: "a saga's runs do not look who holds it", design: Design{NoHolder: true}, world: Config{Slots: []Cell{A}, Cells: 2, Drivers: 1, Hurries: true, Saga: true, Runs: 3, NoMaps: true}, invariant: SagaAllOrNothing, most: 20},
}

// defects that the explorer has found in the protocol as it was first thought of, or as a part of it is built.
var defects = []struct {
	name      string
	world     Config
	design    Design
	invariant string
	most      int
}{
	{name: "an abort leaves the slots alone that have not moved: an old leader moves one afterwards", design: Design{LeavesUnmoved: true}, world: Config{Slots: []Cell{A}, Cells: 2, Drivers: 2, Back: true, NoMaps: true}, invariant: BackIsHome, most: 30},
	{name: "a driver asks whether the move is wanted before it reads the row: an old leader moves a slot afterwards", design: Design{StateBeforeRow: true}, world: Config{Slots: []Cell{A}, Cells: 2, Drivers: 2, Back: true, NoMaps: true}, invariant: BackIsHome, most: 40},
	{name: "a flip goes ahead only from what the plan saw: a pin that comes between lets the move hang", design: Design{ComparesWithPlan: true}, world: Config{Slots: []Cell{A}, Cells: 3, Drivers: 1, Pins: []Cell{C}, NoMaps: true}, invariant: EverythingEnds, most: 30},
	{name: "a cell refuses by its map: between flip and map nobody serves the slot", design: Design{RefusesByMap: true}, world: Config{Slots: []Cell{A}, Cells: 2, Routers: 1, Drivers: 1, Hurries: true, Requests: one}, invariant: ServesWithoutSteering, most: 16},
	{name: "a cell looks for sagas by its map: between flip and map nobody takes them over", design: Design{SweepsByMap: true}, world: Config{Slots: []Cell{A}, Cells: 2, Drivers: 1, Hurries: true, Saga: true, Runs: 1, Dies: true}, invariant: ServesWithoutSteering, most: 16},
	{name: "a cell looks for sagas by slot: those of customers that are pinned elsewhere are nobody's", design: Design{SweepsBySlot: true}, world: Config{Slots: []Cell{A}, Cells: 2, Drivers: 1, Saga: true, SagaOfPinned: true, Runs: 2, Pins: []Cell{B}, NoMaps: true}, invariant: ServesWithoutSteering, most: 30},
	{name: "slots go back to a cell that routers do not ask yet", design: Design{ReturnsUnannounced: true}, world: Config{Slots: []Cell{A}, Cells: 2, Routers: 1, Drivers: 1, Hurries: true, Requests: one, Back: true}, invariant: ServesWithoutSteering, most: 40},
	{name: "a router waits for the cell of a hint though its map calls it evacuated", design: Design{WaitsForHints: true}, world: Config{Slots: []Cell{B}, Cells: 2, Routers: 1, Drivers: 1, Requests: pinned, Pins: []Cell{A}}, invariant: ServesWithoutSteering, most: 40},
	{name: "a map is made once for each move: what happens to rows later is never published", design: Design{PublishesOnce: true}, world: Config{Slots: []Cell{A}, Cells: 2, Drivers: 2, DriverDies: true, Back: true, NoMaps: true}, invariant: EverythingEnds, most: 40},
	{name: "a pin lands on a cell that was evacuated while it was being set", design: Design{KeepsPins: true}, world: Config{Slots: []Cell{B}, Cells: 2, Routers: 1, Drivers: 1, Requests: pinned, Pins: []Cell{A}}, invariant: EverythingEnds, most: 40},
	{name: "a cell remembers its customers' rows, and the fence compares owners and not epochs", design: Design{Remembers: true}, world: Config{Slots: []Cell{A}, Cells: 2, Routers: 1, Drivers: 1, Hurries: true, Requests: two, Back: true}, invariant: OnceAndForAll, most: 50},
}

func TestEachMutantHasACounterexample(t *testing.T) {
	for _, mutant := range mutants {
		t.Run(mutant.name, func(t *testing.T) {
			mutant.world.Name, mutant.world.Design = mutant.name, mutant.design
			expectFinding(t, NewModel(mutant.world, mutant.pass...), mutant.invariant, mutant.most)
		})
	}
}

func TestWhatTheExplorerHasFoundInTheProtocolItself(t *testing.T) {
	for _, defect := range defects {
		t.Run(defect.name, func(t *testing.T) {
			defect.world.Name, defect.world.Design = defect.name, defect.design
			expectFinding(t, NewModel(defect.world), defect.invariant, defect.most)
		})
	}
}

// expectFinding prints the trace, and explores the world without the defect too, unless that was done: there is nothing to
// be found in it.
func expectFinding(t *testing.T, m *Model, invariant string, most int) {
	t.Helper()
	f := explore(t, m)
	story := m.Story(f.trace)
	t.Logf("%d states\n%s\n%s", f.states, f.invariant, story)
	if steps := len(f.trace) - 1; f.invariant != invariant || steps > most {
		t.Errorf("got %q after %d steps, want %q within %d", f.invariant, steps, invariant, most)
	}
	if n := strings.Count(story, ". "); n < len(f.trace)-1 {
		t.Errorf("the trace of %d steps has %d lines", len(f.trace)-1, n)
	}
	if raced || explored[worldOf(m.Config)] {
		return
	}
	sound := m.Config
	sound.Design = Design{}
	if f := explore(t, NewModel(sound)); f.invariant != "" {
		t.Errorf("without the defect: %s\n%s", f.invariant, m.Story(f.trace))
	}
}
