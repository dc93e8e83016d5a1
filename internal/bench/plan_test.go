package bench

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/cellar-commerce/cellar/services/fulfillment"
)

func TestPlansOfRandomOrdersAreTheBestThereAre(t *testing.T) {
	report, err := Plan(t.Context(), PlanConfig{Orders: 60, Seed: 7})
	if err != nil {
		t.Fatal(err)
	}
	if report.Ratios["optimal_share"] < 0.99 || report.Ratios["compared_share"] < 0.9 {
		t.Errorf("%v", report.Ratios)
	}
}

// BenchmarkPlan of random orders; `cellctl bench plan` compares plans with the optimum.
func BenchmarkPlan(b *testing.B) {
	r, centers := rand.New(rand.NewPCG(3, 4)), network()
	tasks := make([]*fulfillment.Task, 2000)
	for i := range tasks {
		t := drawTrial(r, centers)
		tasks[i] = t.task()
	}
	times := make([]time.Duration, 0, 1<<20)
	proven, parcels, n := 0, 0, 0
	b.ReportAllocs()
	for b.Loop() {
		begun := time.Now()
		plan, err := tasks[n%len(tasks)].Plan()
		times = append(times, time.Since(begun))
		if n++; err != nil {
			b.Fatal(err)
		}
		if parcels += len(plan.Parcels); plan.Proven {
			proven++
		}
	}
	slices.Sort(times)
	b.ReportMetric(float64(times[len(times)*99/100].Microseconds())/1000, "p99-ms")
	b.ReportMetric(float64(proven)/float64(n), "proven-best")
	b.ReportMetric(float64(parcels)/float64(n), "parcels/order")
}
