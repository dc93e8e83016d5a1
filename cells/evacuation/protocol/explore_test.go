package protocol_test

import (
	"errors"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/cellar-commerce/cellar/cells/evacuation/protocol"
)

// jugs of 3 and 5 litres, which are filled, emptied and poured into each other: a system whose states are known.
type jugs struct{ forbidden int }

type litres struct{ three, five int8 }

func (jugs) Start() litres { return litres{} }

func (jugs) Steps(s litres, step func(string, litres)) {
	step("fill 3", litres{3, s.five})
	step("fill 5", litres{s.three, 5})
	step("empty 3", litres{0, s.five})
	step("empty 5", litres{s.three, 0})
	n := min(s.three, 5-s.five)
	step("3 to 5", litres{s.three - n, s.five + n})
	n = min(s.five, 3-s.three)
	step("5 to 3", litres{s.three + n, s.five - n})
}

func (j jugs) Broken(s litres) string {
	if int(s.five) == j.forbidden {
		return "forbidden"
	}
	return ""
}

func TestTheFirstCounterexampleIsAShortestOne(t *testing.T) {
	g, err := protocol.Explore[litres, string](jugs{4}, 100)
	if err != nil || g.Broken < 0 || g.Invariant != "forbidden" {
		t.Fatalf("%d, %q, %v", g.Broken, g.Invariant, err)
	}
	var steps []string
	for _, m := range g.Trace(g.Broken)[1:] {
		steps = append(steps, m.Step)
	}
	if want := []string{"fill 5", "5 to 3", "empty 3", "5 to 3", "fill 5", "5 to 3"}; !slices.Equal(steps, want) {
		t.Errorf("got %v", steps)
	}
}

func TestEveryStateIsFoundOnce(t *testing.T) {
	g, err := protocol.Explore[litres, string](jugs{-1}, 100)
	if err != nil || g.Broken != -1 || g.States() != 16 || g.Transitions() != 16*6 { // one jug is full or empty
		t.Errorf("%d states, %d transitions, broken %d, %v", g.States(), g.Transitions(), g.Broken, err)
	}
}

func TestTooManyStatesAreAnErrorAndNotASmallerProof(t *testing.T) {
	if _, err := protocol.Explore[litres, string](jugs{-1}, 15); !errors.Is(err, protocol.ErrTooMany) {
		t.Errorf("got %v", err)
	}
	if _, err := protocol.Explore[litres, string](jugs{-1}, 16); err != nil {
		t.Errorf("got %v", err)
	}
}

// maze of numbered rooms with doors, of which some may be shut later.
type maze struct {
	doors [][]int
	bad   int
}

func (m maze) Start() int { return 0 }

func (m maze) Steps(s int, step func(bool, int)) {
	for i, to := range m.doors[s] {
		step(i%2 == 0, to) // every other door stays open
	}
}

func (m maze) Broken(s int) string {
	if s == m.bad {
		return "bad room"
	}
	return ""
}

// distances from a room by doors that count; -1 where there is no way.
func (m maze) distances(from int, counts func(open bool) bool) []int {
	far := slices.Repeat([]int{-1}, len(m.doors))
	far[from] = 0
	for queue := []int{from}; len(queue) > 0; queue = queue[1:] {
		for i, to := range m.doors[queue[0]] {
			if counts(i%2 == 0) && far[to] < 0 {
				far[to] = far[queue[0]] + 1
				queue = append(queue, to)
			}
		}
	}
	return far
}

func TestAnyGraphIsExploredAsBySimplerMeans(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 30).Draw(t, "rooms")
		m := maze{bad: -1}
		for range n {
			m.doors = append(m.doors, rapid.SliceOfN(rapid.IntRange(0, n-1), 0, 4).Draw(t, "doors"))
		}
		all, open := func(bool) bool { return true }, func(open bool) bool { return open }
		far := m.distances(0, all)
		g, err := protocol.Explore[int, bool](m, n)
		if reached := n - count(far, -1); err != nil || g.States() != reached {
			t.Fatalf("%d states of %d, %v", g.States(), reached, err)
		}
		goal := rapid.IntRange(0, n-1).Draw(t, "goal")
		lost, least := false, -1
		for room, d := range far {
			if d >= 0 && m.distances(room, open)[goal] < 0 && (least < 0 || d < least) {
				lost, least = true, d
			}
		}
		at := g.Hopeless(func(s int) bool { return s == goal }, open)
		if (at >= 0) != lost {
			t.Fatalf("hopeless %d, want %v", at, lost)
		}
		if lost && len(g.Trace(at))-1 != least {
			t.Fatalf("a way of %d steps to where there is no hope, want %d", len(g.Trace(at))-1, least)
		}
		m.bad = goal
		if g, err = protocol.Explore[int, bool](m, n); err != nil || (g.Broken >= 0) != (far[goal] >= 0) {
			t.Fatalf("broken %d, want %v, %v", g.Broken, far[goal] >= 0, err)
		}
		if g.Broken >= 0 && len(g.Trace(g.Broken))-1 != far[goal] {
			t.Fatalf("a trace of %d steps, want %d", len(g.Trace(g.Broken))-1, far[goal])
		}
	})
}

func count(all []int, what int) (n int) {
	for _, x := range all {
		if x == what {
			n++
		}
	}
	return n
}
