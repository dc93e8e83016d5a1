package fulfillment

import (
	"fmt"
	"math"
	"math/bits"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// bruteForce tries every set of offers.
func bruteForce(wants []want, offers []offer) (size int, km float64) {
	c := newCovering(wants, offers)
	size, km = math.MaxInt, math.Inf(1)
	for mask := range uint(1) << len(offers) {
		n := bits.OnesCount(mask)
		if n > size {
			continue
		}
		var set []int
		for i := range offers {
			if mask&(1<<i) != 0 {
				set = append(set, i)
			}
		}
		if c.enough(set) && (n < size || c.km(set) < km) {
			size, km = n, c.km(set)
		}
	}
	return size, km
}

func TestTheFewestParcelsAndThenTheShortestWayAreFound(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		skus := []string{"a", "b", "c", "d"}
		var offers []offer
		km := 0.0
		for i := range rapid.IntRange(1, 11).Draw(t, "offers") {
			km += rapid.Float64Range(0, 500).Draw(t, "km")
			o := offer{center: Center{ID: fmt.Sprint("fc", i)}, distance: km, stock: map[string]int64{}}
			for _, sku := range skus {
				o.stock[sku] = rapid.Int64Range(0, 4).Draw(t, sku)
			}
			offers = append(offers, o)
		}
		var wants []want
		for i := range rapid.IntRange(1, 6).Draw(t, "lines") {
			wants = append(wants, want{line: int32(i + 1), sku: rapid.SampledFrom(skus).Draw(t, "sku"), quantity: rapid.Int64Range(1, 5).Draw(t, "quantity")})
		}
		if enough(wants, offers) != nil {
			return // the sum is too small: another test's matter
		}
		set, proven := cover(wants, offers)
		c := newCovering(wants, offers)
		size, least := bruteForce(wants, offers)
		if !proven || !c.enough(set) || len(set) != size || math.Abs(c.km(set)-least) > 1e-6 {
			t.Fatalf("%v, proven %v: %d FCs and %.1f km; the best are %d and %.1f", set, proven, len(set), c.km(set), size, least)
		}
		parcels, err := plan(wants, offers)
		if err != nil || len(parcels) != size {
			t.Fatalf("%d parcels, %v", len(parcels), err)
		}
	})
}

func TestASearchThatIsTooLongGivesWhatItHas(t *testing.T) {
	// Every FC has one unit of each of some products, so that very many sets are nearly as good.
	r := rand.New(rand.NewPCG(1, 2))
	var offers []offer
	for i := range 175 {
		o := offer{center: Center{ID: fmt.Sprint(i)}, distance: 1000 + float64(i), stock: map[string]int64{}}
		for range 5 {
			o.stock[fmt.Sprint("p", r.IntN(60))] = 1
		}
		offers = append(offers, o)
	}
	var wants []want
	for i := range 60 {
		wants = append(wants, want{line: int32(i + 1), sku: fmt.Sprint("p", i), quantity: 1})
	}
	set, proven := cover(wants, offers)
	if proven || !newCovering(wants, offers).enough(set) {
		t.Errorf("proven %v, %d FCs", proven, len(set))
	}
}

// drawOrder of up to eight lines over 175 FCs, where a product lies in 1 to 40 of them.
func drawOrder(r *rand.Rand) ([]want, []offer) {
	offers := make([]offer, 175)
	km := 0.0
	for i := range offers {
		km += 40 * r.Float64()
		offers[i] = offer{center: Center{ID: fmt.Sprint(i)}, distance: km, stock: map[string]int64{}}
	}
	var wants []want
	for i := range 1 + r.IntN(8) {
		sku := fmt.Sprint("p", i)
		w, have := want{line: int32(i + 1), sku: sku, quantity: 1 + r.Int64N(4)}, int64(0)
		for n := 1 + r.IntN(40); n > 0 || have < w.quantity; n-- {
			o := offers[r.IntN(len(offers))]
			units := 1 + r.Int64N(6)
			have += units - o.stock[sku]
			o.stock[sku] = units
		}
		wants = append(wants, w)
	}
	return wants, offers
}

// BenchmarkPlan tells, of random orders, how long a plan takes, and how many are proven to be the best there is.
func BenchmarkPlan(b *testing.B) {
	r := rand.New(rand.NewPCG(3, 4))
	var times []time.Duration
	proven, parcels := 0, 0
	for b.Loop() {
		b.StopTimer()
		wants, offers := drawOrder(r)
		b.StartTimer()
		begun := time.Now()
		all, err := plan(wants, offers)
		times = append(times, time.Since(begun))
		if err != nil {
			b.Fatal(err)
		}
		b.StopTimer()
		parcels += len(all)
		if _, ok := cover(wants, offers); ok {
			proven++
		}
		b.StartTimer()
	}
	slices.Sort(times)
	b.ReportMetric(float64(times[len(times)*99/100].Microseconds())/1000, "p99-ms")
	b.ReportMetric(float64(proven)/float64(len(times)), "proven-best")
	b.ReportMetric(float64(parcels)/float64(len(times)), "parcels/order")
}
