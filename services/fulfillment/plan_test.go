package fulfillment

import (
	"testing"

	"pgregory.net/rapid"

	problemv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/problem/v1"
	"github.com/cellar-commerce/cellar/internal/problem"
)

func TestAPlanSendsExactlyWhatIsWantedFromWhatThereIsOrTheSumIsTooSmall(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		task := drawTask(t)
		possible := true
		for n, need := range task.need {
			sum := int64(0)
			for i := range task.offers {
				sum += task.row(i)[n]
			}
			possible = possible && sum >= need
		}
		plan, err := task.Plan()
		if (err == nil) != possible {
			t.Fatalf("possible %v, got %v", possible, err)
		}
		if err != nil {
			if _, ok := problem.Detail[*problemv1.OutOfStock](err); !ok {
				t.Fatalf("a refusal names what is short: %v", err)
			}
			return
		}
		checkParcels(t, plan.Parcels, task)
	})
}

func checkParcels(t *rapid.T, parcels []Parcel, task *Task) {
	stock := map[string]map[string]int64{}
	for i, o := range task.offers {
		stock[o.center.ID] = map[string]int64{}
		for n, sku := range task.skus {
			stock[o.center.ID][sku] = task.row(i)[n]
		}
	}
	sent, seen := map[int32]int64{}, map[string]bool{}
	for _, p := range parcels {
		if seen[p.Center.ID] || len(p.Lines) == 0 {
			t.Fatalf("%s sends %d lines, twice: %v", p.Center.ID, len(p.Lines), seen[p.Center.ID])
		}
		seen[p.Center.ID] = true
		for _, l := range p.Lines {
			sent[l.Line] += l.Quantity
			if stock[p.Center.ID][l.SKU] -= l.Quantity; stock[p.Center.ID][l.SKU] < 0 {
				t.Fatalf("%s is asked for more than it has", p.Center.ID)
			}
		}
	}
	for _, w := range task.wants {
		if sent[w.Line] != w.Quantity {
			t.Fatalf("line %d: %d sent of %d", w.Line, sent[w.Line], w.Quantity)
		}
	}
}

// depot is an FC of a task.
type depot struct {
	id    string
	leg   Leg
	stock []int64
}

func taskOf(wants []Want, depots ...depot) *Task {
	t := NewTask(wants, len(depots))
	for _, d := range depots {
		copy(t.Offer(&Center{ID: d.id}, &d.leg), d.stock)
	}
	return t
}

// chosen FCs of a plan, with the number of lines that each sends.
func chosen(t *testing.T, task *Task) map[string]int {
	t.Helper()
	plan, err := task.Plan()
	if err != nil || !plan.Proven {
		t.Fatalf("proven %v, %v", plan.Proven, err)
	}
	all := map[string]int{}
	for _, p := range plan.Parcels {
		all[p.Center.ID] = len(p.Lines)
	}
	return all
}

func TestWhatMakesAPlanBetter(t *testing.T) {
	two := []Want{{1, "a", 1}, {2, "b", 1}}
	for name, c := range map[string]struct {
		depots []depot
		want   map[string]int
	}{
		"fewer parcels, however late": {[]depot{
			{"near a", Leg{Day: 1, KM: 1}, []int64{9, 0}}, {"near b", Leg{Day: 1, KM: 1}, []int64{0, 9}}, {"far", Leg{Day: 9, KM: 9000, Cents: 9000}, []int64{1, 1}},
		}, map[string]int{"far": 2}},
		"then earlier, however dear": {[]depot{
			{"cheap", Leg{Day: 2, Cents: 1}, []int64{1, 1}}, {"early", Leg{Day: 1, Cents: 999}, []int64{1, 1}},
		}, map[string]int{"early": 2}},
		"then cheaper, however far": {[]depot{
			{"near", Leg{Day: 1, Cents: 2, KM: 1}, []int64{1, 1}}, {"cheap", Leg{Day: 1, Cents: 1, KM: 99}, []int64{1, 1}},
		}, map[string]int{"cheap": 2}},
		"then nearer": {[]depot{
			{"far", Leg{Day: 1, Cents: 2, KM: 99}, []int64{1, 1}}, {"near", Leg{Day: 1, Cents: 2, KM: 10}, []int64{1, 1}},
		}, map[string]int{"near": 2}},
		"the last parcel decides the day": { // b comes on day 3 in any case: then a need not hurry
			[]depot{
				{"a early", Leg{Day: 1, Cents: 9}, []int64{1, 0}}, {"a late", Leg{Day: 3, Cents: 5}, []int64{1, 0}}, {"b", Leg{Day: 3, Cents: 5}, []int64{0, 1}},
			}, map[string]int{"a late": 1, "b": 1}},
	} {
		t.Run(name, func(t *testing.T) {
			got := chosen(t, taskOf(two, c.depots...))
			if len(got) != len(c.want) {
				t.Fatalf("chose %v, want %v", got, c.want)
			}
			for id, lines := range c.want {
				if got[id] != lines {
					t.Errorf("chose %v, want %v", got, c.want)
				}
			}
		})
	}
}

func TestALineIsSplitWhenNoCenterHasEnough(t *testing.T) {
	got := chosen(t, taskOf([]Want{{1, "a", 5}}, depot{"x", Leg{}, []int64{2}}, depot{"y", Leg{}, []int64{3}}))
	if len(got) != 2 {
		t.Errorf("got %v", got)
	}
}

func TestALineStaysWholeWhereOneOfTheCentersChosenHasEnough(t *testing.T) {
	wants := []Want{{1, "a", 3}, {2, "b", 1}, {3, "c", 1}}
	got := chosen(t, taskOf(wants, depot{"near", Leg{KM: 1}, []int64{2, 1, 0}}, depot{"far", Leg{KM: 2}, []int64{3, 0, 1}}))
	if got["near"] != 1 || got["far"] != 2 {
		t.Errorf("got %v", got)
	}
}

func TestTheScoreCountsParcelsDaysAndCents(t *testing.T) {
	plan, err := taskOf([]Want{{1, "a", 5}}, depot{"x", Leg{Day: 2, KM: 20}, []int64{2}}, depot{"y", Leg{Day: 4, KM: 200}, []int64{3}}).Plan()
	if err != nil {
		t.Fatal(err)
	}
	if parcels, day, cents := plan.Score(Standard); parcels != 2 || day != 4 || cents != 420+460+5*40 {
		t.Errorf("%d parcels, day %d, %d cents", parcels, day, cents)
	}
}
