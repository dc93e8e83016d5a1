package chaos

import (
	"fmt"
	"io"
	"slices"
	"text/tabwriter"
	"time"

	orderv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/order/v1"
	"github.com/cellar-commerce/cellar/internal/ident"
	"github.com/cellar-commerce/cellar/internal/shop"
)

// checkoutSLO is the share of checkouts that have to have an answer.
const checkoutSLO = 0.9999

// Waiting events.
type Waiting struct {
	Events int64 `json:"events"`
	// Oldest of them happened then; zero when there is none.
	Oldest time.Time `json:"oldest,omitzero"`
}

// Backlog of all outboxes, by the region whose broker the events are for.
type Backlog map[ident.Region]Waiting

// Add what waits for a region in one more outbox.
func (b Backlog) Add(destination ident.Region, events int64, oldest time.Time) {
	w := b[destination]
	w.Events += events
	if events > 0 && (w.Oldest.IsZero() || oldest.Before(w.Oldest)) {
		w.Oldest = oldest
	}
	b[destination] = w
}

// For one region.
func (b Backlog) For(region ident.Region) Waiting { return b[region] }

// Except for one region: what waits for all others.
func (b Backlog) Except(region ident.Region) Waiting {
	sum := Backlog{}
	for other, w := range b {
		if other != region {
			sum.Add("", w.Events, w.Oldest)
		}
	}
	return sum[""]
}

// Report of a drill.
type Report struct {
	Drill      string  `json:"drill"`
	Region     string  `json:"region"`
	How        string  `json:"how"`
	Hypothesis string  `json:"hypothesis"`
	Shoppers   int     `json:"shoppers"`
	CutSeconds float64 `json:"cut_seconds"`
	Phases     []Phase `json:"phases"`
	// SuccessRate of all checkouts, and what it has to be.
	SuccessRate float64 `json:"success_rate"`
	SLO         float64 `json:"slo"`
	// Backlog for the region at the end of the cut, and Elsewhere for all other regions at the same time.
	Backlog   Waiting `json:"backlog"`
	Elsewhere Waiting `json:"backlog_elsewhere"`
	// Drained tells that all that waited then was delivered, and DrainSeconds how long that took once the broker was back.
	Drained      bool    `json:"drained"`
	DrainSeconds float64 `json:"drain_seconds"`
	// PlannedAround is the share of the orders placed during the cut that centres of the region would have had a part in, going by
	// those before it, and had none; 0 when there were none before. LastThereSeconds is how long after the cut the last order was
	// placed during it that they did have a part in.
	PlannedAround    float64 `json:"planned_around"`
	LastThereSeconds float64 `json:"last_order_of_region_seconds"`
	// Orders looked at in the end, those not (there is a limit), those not sent in time, and those that nobody can tell the
	// outcome of.
	Orders      int `json:"orders"`
	NotLookedAt int `json:"orders_not_looked_at"`
	Unsent      int `json:"orders_unsent"`
	Unresolved  int `json:"orders_unresolved"`
	// LongestWaitSeconds of a parcel of the region, from its order to its leaving.
	LongestWaitSeconds float64 `json:"longest_wait_seconds"`
	// Broken promises in sentences: the audit's, and what is wrong with orders' events.
	Broken []string `json:"broken_promises"`
	// Holds tells whether the hypothesis does; Why not, in sentences.
	Holds bool     `json:"holds"`
	Why   []string `json:"why,omitempty"`
	// Notes of calls that failed.
	Notes []string `json:"notes,omitempty"`
}

// unresolved orders of a play, and what else shoppers must not meet with.
func (r *Report) unresolved(played shop.Report) {
	for outcome, n := range played.Outcomes {
		if outcome == shop.Unresolved || outcome == "INTERNAL" {
			r.Unresolved += n
		}
	}
	r.Notes = append(r.Notes, played.Faults...)
}

// looked at an order in the end. It was placed in that phase; the broker was away from cut to back.
func (r *Report) looked(phase string, o *orderv1.Order, err error, cut, back time.Time) {
	r.Orders++
	if err != nil {
		r.Unsent++
		if len(r.Notes) < maxNotes {
			r.Notes = append(r.Notes, err.Error())
		}
	}
	if o == nil {
		return
	}
	r.Broken = append(r.Broken, OrderFaults(o)...)
	at := slices.IndexFunc(r.Phases, func(p Phase) bool { return p.Name == phase })
	r.Phases[at].Looked++
	if slices.ContainsFunc(o.GetParcels(), func(p *orderv1.Parcel) bool { return p.GetRegion() == r.Region }) {
		r.Phases[at].OrdersThere++
		if phase == During {
			r.LastThereSeconds = max(r.LastThereSeconds, o.GetPlacedAt().AsTime().Sub(cut).Seconds())
		}
	}
	for _, p := range o.GetParcels() {
		r.Phases[at].Parcels++
		if p.GetRegion() != r.Region {
			continue
		}
		r.Phases[at].There++
		if p.GetShippedAt() == nil {
			continue
		}
		placed, shipped := o.GetPlacedAt().AsTime(), p.GetShippedAt().AsTime()
		r.LongestWaitSeconds = max(r.LongestWaitSeconds, shipped.Sub(placed).Seconds())
		if placed.Before(back) && !shipped.Before(back) && shipped.After(cut) {
			r.Phases[at].Waited++
		}
	}
}

// judge whether the hypothesis holds.
func (r *Report) judge() {
	r.SLO, r.SuccessRate = checkoutSLO, 1
	checkouts, failed, placed := 0, 0, 0
	usual, then := 0.0, 0.0
	for _, p := range r.Phases {
		checkouts, failed = checkouts+p.Checkouts, failed+p.FailedCheckouts
		switch p.Name {
		case Before:
			usual = p.share()
		case During:
			placed, then = p.Placed, p.share()
		}
	}
	if usual > 0 {
		r.PlannedAround = max(0, 1-then/usual)
	}
	if checkouts > 0 {
		r.SuccessRate = 1 - float64(failed)/float64(checkouts)
	}
	if r.Broken == nil {
		r.Broken = []string{}
	}
	broken := func(is bool, format string, args ...any) {
		if is {
			r.Why = append(r.Why, fmt.Sprintf(format, args...))
		}
	}
	broken(r.SuccessRate < checkoutSLO, "%d of %d checkouts failed: %.4f %% succeeded, at least %.2f %% have to", failed, checkouts, 100*r.SuccessRate, 100*checkoutSLO)
	broken(placed == 0, "no order was placed while the broker was away")
	broken(r.Unresolved > 0, "%d orders have no outcome", r.Unresolved)
	broken(!r.Drained, "what waited for the region has not been delivered %s after its broker was back", drainLimit)
	broken(r.Unsent > 0, "%d orders are not sent %s after the end", r.Unsent, shipLimit)
	broken(len(r.Broken) > 0, "%d times a promise is broken", len(r.Broken))
	r.Holds = len(r.Why) == 0
}

// Table of the report, for people.
func (r Report) Table(out io.Writer) error {
	_, _ = fmt.Fprintf(out, "drill: the broker of %s is away for %.1f s (%s), %d shoppers at once\nhypothesis: %s\n\n", r.Region, r.CutSeconds, r.How, r.Shoppers, r.Hypothesis)
	w := tabwriter.NewWriter(out, 0, 4, 2, ' ', tabwriter.AlignRight)
	line := func(format string, args ...any) { _, _ = fmt.Fprintf(w, format+"\t\n", args...) } // Flush tells
	line("PHASE\tSECONDS\tCALLS\tFAILED\tCHECKOUTS\tFAILED\tSUCCESS %%\tORDERS\tP99 ms\tPARCELS\tOF THE REGION\tWAITED")
	for _, p := range r.Phases {
		line("%s\t%.1f\t%d\t%d\t%d\t%d\t%.3f\t%d\t%.1f\t%d\t%d\t%d", p.Name, p.Seconds, p.Calls, p.Failed, p.Checkouts, p.FailedCheckouts,
			100*p.SuccessRate, p.Placed, p.P99MS, p.Parcels, p.There, p.Waited)
	}
	if err := w.Flush(); err != nil {
		return err
	}
	_, _ = fmt.Fprintf(out, "\ncheckouts: %.4f %% succeeded, at least %.2f %% have to\n", 100*r.SuccessRate, 100*r.SLO)
	_, _ = fmt.Fprintf(out, "backlog at the end of the cut: %d events for %s, %d for all others\n", r.Backlog.Events, r.Region, r.Elsewhere.Events)
	_, _ = fmt.Fprintf(out, "planned around %s: %.0f %% of the orders that it would have had a part in by the share before; it had one in the last order %.1f s after the cut\n", r.Region, 100*r.PlannedAround, r.LastThereSeconds)
	if r.Drained {
		_, _ = fmt.Fprintf(out, "delivered %.1f s after the broker was back\n", r.DrainSeconds)
	}
	_, _ = fmt.Fprintf(out, "orders: %d looked at, %d not, %d not sent, %d unresolved; the longest wait for a parcel of %s was %.1f s\n", r.Orders, r.NotLookedAt, r.Unsent, r.Unresolved, r.Region, r.LongestWaitSeconds)
	_, _ = fmt.Fprintf(out, "promises: broken %d times\n", len(r.Broken))
	for _, text := range slices.Concat(r.Broken[:min(len(r.Broken), maxNotes)], r.Notes) {
		_, _ = fmt.Fprintln(out, "  "+text)
	}
	verdict := "the hypothesis holds"
	if !r.Holds {
		verdict = "the hypothesis does not hold"
	}
	for _, why := range r.Why {
		verdict += "\n  " + why
	}
	_, err := fmt.Fprintln(out, verdict)
	return err
}
