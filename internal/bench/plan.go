package bench

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/cellar-commerce/cellar/internal/geo"
	"github.com/cellar-commerce/cellar/internal/seed"
	"github.com/cellar-commerce/cellar/services/fulfillment"
)

// PlanConfig of the bench of plans.
type PlanConfig struct {
	// Orders that are drawn, planned and compared with the optimum.
	Orders int
	// Seed of the drawing.
	Seed uint64
	// Progress is told what is measured now; may be nil.
	Progress func(string)
}

const (
	// maxOrderLines of a random order.
	maxOrderLines = 8
	// mostStates of the exhaustive reference. Orders drawn have at most 6^8 of them; beyond this an order is drawn anew
	// and counted as such.
	mostStates = 1 << 21
)

// trial is one order to plan: fresh tasks of it can be made.
type trial struct {
	wants  []fulfillment.Want
	offers []trialOffer
	speed  fulfillment.Speed
}

type trialOffer struct {
	center *fulfillment.Center
	leg    fulfillment.Leg
	stock  []int64
}

// network of all centres.
func network() []fulfillment.Center {
	var all []fulfillment.Center
	for _, c := range seed.FulfillmentCenters() {
		all = append(all, fulfillment.Center{ID: c.ID, Region: string(c.Region), Name: c.Name, City: c.City, CountryCode: c.CountryCode, At: c.At})
	}
	return all
}

// drawTrial of one to eight lines, mostly of one unit, to somewhere near a centre. Four in five products lie in 5 to 40 of
// the centres, the others in one to four; one in four is scarce, with one to three units where it lies.
func drawTrial(r *rand.Rand, centers []fulfillment.Center) trial {
	near := centers[r.IntN(len(centers))].At
	to := geo.Point{Lat: near.Lat + 4*r.Float64() - 2, Lon: near.Lon + 4*r.Float64() - 2}
	t := trial{speed: fulfillment.Speed(r.IntN(2))}
	now := time.Unix(1_900_000_000+r.Int64N(86_400), 0)
	lines := 1 + r.IntN(maxOrderLines)
	stock := make([][]int64, len(centers))
	for i := range stock {
		stock[i] = make([]int64, lines)
	}
	for n := range lines {
		w := fulfillment.Want{Line: int32(n + 1), SKU: skuName(n), Quantity: 1}
		if r.IntN(5) < 2 {
			w.Quantity += r.Int64N(5)
		}
		places, most := 5+r.IntN(36), int64(120)
		if r.IntN(5) == 0 {
			places = 1 + r.IntN(4)
		}
		if r.IntN(4) == 0 {
			most = 3
		}
		for have := int64(0); places > 0 || have < w.Quantity; places-- {
			units := &stock[r.IntN(len(centers))][n]
			more := 1 + r.Int64N(most)
			*units += more
			have += more
		}
		t.wants = append(t.wants, w)
	}
	for i := range centers {
		if slices.Max(stock[i]) > 0 {
			t.offers = append(t.offers, trialOffer{&centers[i], fulfillment.LegOf(centers[i].At, to, t.speed, now), stock[i]})
		}
	}
	return t
}

func (t *trial) task() *fulfillment.Task {
	task := fulfillment.NewTask(t.wants, len(t.offers))
	for i := range t.offers {
		o := &t.offers[i]
		copy(task.Offer(o.center, &o.leg), o.stock)
	}
	return task
}

// optimum of an order by dynamic programming over what is still missing: another way than the planner's, without bounds
// or limits. Offers are added by the day they come, so that the first day on which the fewest parcels are complete shows.
func (t *trial) optimum() (parcels, day int, cents int64, ok bool) {
	states := 1
	for _, w := range t.wants {
		if states *= int(w.Quantity) + 1; states > mostStates {
			return 0, 0, 0, false
		}
	}
	type way struct {
		parcels int
		cents   int64
	}
	worse := func(a, b way) int { return cmp.Or(cmp.Compare(a.parcels, b.parcels), cmp.Compare(a.cents, b.cents)) }
	best := make([]way, states) // by what is missing; 0 is nothing
	for i := range best {
		best[i].parcels = math.MaxInt32
	}
	best[states-1] = way{}
	offers := slices.SortedFunc(slices.Values(t.offers), func(a, b trialOffer) int { return cmp.Compare(a.leg.Day, b.leg.Day) })
	done := way{parcels: math.MaxInt32}
	for _, o := range offers {
		for state := range states { // what an offer leads to has a lower number, and was passed already: it counts once
			if best[state].parcels == math.MaxInt32 {
				continue
			}
			next := t.after(state, o.stock)
			if one := (way{best[state].parcels + 1, best[state].cents + o.leg.Cents}); next != state && worse(one, best[next]) < 0 {
				best[next] = one
			}
		}
		if best[0].parcels < done.parcels || (best[0].parcels == done.parcels && o.leg.Day == day) {
			done, day = best[0], o.leg.Day
		}
	}
	return done.parcels, day, done.cents, true
}

// after an offer: what is missing then. A state counts the missing units of each line, as the digits of a number.
func (t *trial) after(state int, stock []int64) (next int) {
	place := 1
	for n, w := range t.wants {
		missing := int64(state / place % int(w.Quantity+1))
		next += place * int(max(missing-stock[n], 0))
		place *= int(w.Quantity) + 1
	}
	return next
}

// Plan measures the planner on random orders over the network's centres: how often its plan is the best there is, and how
// long it takes.
func Plan(ctx context.Context, cfg PlanConfig) (Report, error) {
	begun := time.Now()
	r, centers := rand.New(rand.NewPCG(cfg.Seed, 1)), network()
	var times []time.Duration
	optimal, compared := 0, 0
	for n := range cfg.Orders {
		if err := ctx.Err(); err != nil {
			return Report{}, err
		}
		if cfg.Progress != nil && n%500 == 0 {
			cfg.Progress(fmt.Sprintf("%d of %d orders", n, cfg.Orders))
		}
		t := drawTrial(r, centers)
		task := t.task()
		start := time.Now()
		plan, err := task.Plan()
		times = append(times, time.Since(start))
		if err != nil {
			return Report{}, fmt.Errorf("order %d: %w", n, err)
		}
		parcels, day, cents, ok := t.optimum()
		if !ok {
			continue
		}
		compared++
		if p, d, c := t.score(plan); p == parcels && d == day && c == cents {
			optimal++
		}
	}
	sum := time.Duration(0)
	for _, took := range times {
		sum += took
	}
	report := Report{Name: "plan", Machine: machine(), Rows: []Row{row("plan", 1, "service", sum, times)}}
	report.Ratios = map[string]float64{
		"optimal_share": float64(optimal) / float64(max(compared, 1)), "compared_share": float64(compared) / float64(max(cfg.Orders, 1)), "plan_p99_ms": report.Rows[0].P99MS,
	}
	report.Goals = map[string]Goal{"optimal_share": atLeast(0.99), "plan_p99_ms": atMost(2)}
	report.Seconds = time.Since(begun).Seconds()
	return report, nil
}

// score of a plan as optimum counts it: without what the units cost, which is the same in every plan.
func (t *trial) score(plan fulfillment.Plan) (parcels, day int, cents int64) {
	for _, p := range plan.Parcels {
		day, cents = max(day, p.Leg.Day), cents+p.Leg.Cents
	}
	return len(plan.Parcels), day, cents
}
