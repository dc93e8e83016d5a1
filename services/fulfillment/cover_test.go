package fulfillment

import (
	"fmt"
	"math"
	"math/bits"
	"math/rand/v2"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// tally of a set of offers: how good it is, by plain sums.
type tally struct {
	size, day int
	weight    int64
}

func (a tally) better(b tally) bool {
	return a.size < b.size || (a.size == b.size && (a.day < b.day || (a.day == b.day && a.weight < b.weight)))
}

func (t *Task) tally(set []int) (sum tally) {
	for _, i := range set {
		sum.size, sum.day, sum.weight = sum.size+1, max(sum.day, t.offers[i].leg.Day), sum.weight+t.offers[i].leg.weight()
	}
	return sum
}

func (t *Task) suffices(set []int) bool {
	for n, need := range t.need {
		for _, i := range set {
			need -= t.row(i)[n]
		}
		if need > 0 {
			return false
		}
	}
	return true
}

// bruteForce tries every set of offers.
func bruteForce(t *Task) tally {
	best := tally{size: math.MaxInt}
	for mask := range uint(1) << len(t.offers) {
		if bits.OnesCount(mask) > best.size {
			continue
		}
		var set []int
		for i := range t.offers {
			if mask&(1<<i) != 0 {
				set = append(set, i)
			}
		}
		if sum := t.tally(set); t.suffices(set) && sum.better(best) {
			best = sum
		}
	}
	return best
}

// drawTask whose offers have legs of any kind, or such as the model makes.
func drawTask(t *rapid.T) *Task {
	skus := []string{"a", "b", "c", "d"}
	var wants []Want
	for i := range rapid.IntRange(1, 6).Draw(t, "lines") {
		wants = append(wants, Want{Line: int32(i + 1), SKU: rapid.SampledFrom(skus).Draw(t, "sku"), Quantity: rapid.Int64Range(1, 5).Draw(t, "quantity")})
	}
	task := NewTask(wants, 0)
	speed, real := Speed(rapid.IntRange(0, 1).Draw(t, "speed")), rapid.Bool().Draw(t, "as the model")
	to, now := drawPoint(t, "to"), utc(4, rapid.IntRange(0, 23).Draw(t, "hour"), 0)
	for i := range rapid.IntRange(1, 11).Draw(t, "offers") {
		leg := Leg{Day: rapid.IntRange(0, 3).Draw(t, "day"), Cents: rapid.Int64Range(0, 9).Draw(t, "cents"), KM: rapid.Float64Range(0, 500).Draw(t, "km")}
		if real {
			leg = LegOf(drawPoint(t, "fc"), to, speed, now)
		}
		stock := task.Offer(&Center{ID: fmt.Sprint("fc", i)}, &leg)
		for n := range stock {
			stock[n] = max(rapid.Int64Range(-4, 6).Draw(t, "stock"), 0)
		}
	}
	return task
}

func TestThePlanIsTheBestOfAllSetsOfCenters(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		task := drawTask(t)
		if task.enough() != nil {
			return // the sum is too small: another test's matter
		}
		set, proven := cover(task)
		if got, best := task.tally(set), bruteForce(task); !proven || !task.suffices(set) || got != best {
			t.Fatalf("%v, proven %v: %+v; the best is %+v", set, proven, got, best)
		}
		plan, err := task.Plan()
		if err != nil || len(plan.Parcels) != len(set) {
			t.Fatalf("%d parcels of %d centres, %v", len(plan.Parcels), len(set), err)
		}
	})
}

func TestASearchThatIsCutShortGivesASetThatWillDo(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		task := drawTask(t)
		if task.enough() != nil {
			return
		}
		steps := rapid.IntRange(0, 12).Draw(t, "steps")
		set, proven := coverWithin(task, steps)
		got, best := task.tally(set), bruteForce(task)
		if !task.suffices(set) || best.better(got) && proven || got.better(best) {
			t.Fatalf("%v, proven %v: %+v; the best is %+v", set, proven, got, best)
		}
		for at := range set {
			if task.suffices(slices.Delete(slices.Clone(set), at, at+1)) {
				t.Fatalf("%v: %d is superfluous", set, set[at])
			}
		}
	})
}

func TestASearchThatIsTooLongGivesWhatItHas(t *testing.T) {
	// Every FC has one unit of each of some products, so that very many sets are nearly as good.
	r := rand.New(rand.NewPCG(1, 2))
	var wants []Want
	for i := range 60 {
		wants = append(wants, Want{Line: int32(i + 1), SKU: fmt.Sprint("p", i), Quantity: 1})
	}
	task := NewTask(wants, 175)
	for i := range 175 {
		stock := task.Offer(&Center{ID: fmt.Sprint(i)}, &Leg{KM: 1000 + float64(i), Cents: 600})
		for range 5 {
			stock[r.IntN(60)] = 1
		}
	}
	plan, err := task.Plan()
	if err != nil || plan.Proven || len(plan.Parcels) > 24 {
		t.Errorf("proven %v, %d parcels, %v", plan.Proven, len(plan.Parcels), err)
	}
}

func TestAMergeTakesOneForTwo(t *testing.T) {
	// The greedy choice takes c, and then needs a and b as well; a and b alone would do.
	task := NewTask([]Want{{1, "p", 1}, {2, "q", 1}, {3, "r", 1}, {4, "s", 1}, {5, "t", 1}, {6, "u", 1}}, 3)
	for _, o := range []struct {
		id    string
		stock []int64
	}{{"a", []int64{1, 1, 1, 0, 0, 0}}, {"b", []int64{0, 0, 0, 1, 1, 1}}, {"c", []int64{0, 1, 1, 1, 1, 0}}} {
		copy(task.Offer(&Center{ID: o.id}, &Leg{}), o.stock)
	}
	if set, proven := coverWithin(task, 0); proven || len(set) != 2 {
		t.Errorf("%v, proven %v", set, proven)
	}
}
