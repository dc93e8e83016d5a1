package bench

import (
	"cmp"
	"fmt"
	"io"
	"maps"
	"runtime"
	"slices"
	"text/tabwriter"
	"time"
)

// Report of a bench.
type Report struct {
	Name    string  `json:"name"`
	Machine string  `json:"machine"`
	Seconds float64 `json:"seconds"`
	Rows    []Row   `json:"rows"`
	// Ratios by metric: ours to the peer's, in this run.
	Ratios map[string]float64 `json:"ratios"`
	// Goals by metric.
	Goals map[string]Goal `json:"goals"`
	// Costs of one order; only of the bench of checkouts.
	Costs []Cost `json:"costs,omitempty"`
	// Notes in words, for people.
	Notes []string `json:"notes,omitempty"`
}

// Row is one measurement.
type Row struct {
	Case    string `json:"case"`
	Callers int    `json:"callers"`
	// Variant is "naive" for the peer, "service" for ours.
	Variant   string  `json:"variant"`
	PerSecond float64 `json:"per_second"`
	P50MS     float64 `json:"p50_ms"`
	P99MS     float64 `json:"p99_ms"`
}

// Goal of a ratio: at least Min, or at most Max.
type Goal struct {
	Min *float64 `json:"min,omitempty"`
	Max *float64 `json:"max,omitempty"`
}

func atLeast(x float64) Goal { return Goal{Min: &x} }
func atMost(x float64) Goal  { return Goal{Max: &x} }

// met tells whether a ratio reaches its goal.
func (g Goal) met(ratio float64) bool {
	return (g.Min == nil || ratio >= *g.Min) && (g.Max == nil || ratio <= *g.Max)
}

func (g Goal) String() string {
	if g.Min != nil {
		return fmt.Sprintf("≥ %g", *g.Min)
	}
	if g.Max != nil {
		return fmt.Sprintf("≤ %g", *g.Max)
	}
	return ""
}

// machine in a few words.
func machine() string {
	return fmt.Sprintf("%s/%s, %d cores, %s", runtime.GOOS, runtime.GOARCH, runtime.NumCPU(), runtime.Version())
}

// row summarises the latencies of one measurement.
func row(what string, callers int, variant string, took time.Duration, latencies []time.Duration) Row {
	slices.SortFunc(latencies, cmp.Compare[time.Duration])
	at := func(q float64) float64 {
		if len(latencies) == 0 {
			return 0
		}
		return float64(latencies[min(int(q*float64(len(latencies))), len(latencies)-1)].Microseconds()) / 1000
	}
	return Row{Case: what, Callers: callers, Variant: variant, PerSecond: float64(len(latencies)) / took.Seconds(), P50MS: at(.5), P99MS: at(.99)}
}

// find a row.
func (r *Report) find(what string, callers int, variant string) Row {
	for _, row := range r.Rows {
		if row.Case == what && row.Callers == callers && row.Variant == variant {
			return row
		}
	}
	return Row{}
}

// Table for people.
func (r Report) Table(out io.Writer) error {
	w := tabwriter.NewWriter(out, 0, 4, 2, ' ', 0)
	line := func(format string, args ...any) { _, _ = fmt.Fprintf(w, format+"\n", args...) } // Flush tells
	line("CASE\tCALLERS\tVARIANT\tPER SECOND\tP50 ms\tP99 ms")
	for _, row := range r.Rows {
		line("%s\t%d\t%s\t%.0f\t%.1f\t%.1f", row.Case, row.Callers, row.Variant, row.PerSecond, row.P50MS, row.P99MS)
	}
	line("")
	line("RATIO\tMEASURED\tGOAL\t")
	for _, metric := range slices.Sorted(maps.Keys(r.Ratios)) {
		mark := ""
		if goal, ok := r.Goals[metric]; ok && !goal.met(r.Ratios[metric]) {
			mark = "missed"
		}
		line("%s\t%.2f\t%s\t%s", metric, r.Ratios[metric], r.Goals[metric], mark)
	}
	if len(r.Costs) > 0 {
		line("")
		line("AN ORDER'S COST\tCPU ms\tSWITCHES\tCOUNT\tAT REST, a second")
	}
	for _, c := range r.Costs {
		if c.Count > 0 {
			line("%s\t\t\t%.1f\t%.0f", c.Part, c.Count, c.AtRest)
			continue
		}
		line("%s\t%.2f\t%.1f\t\t%.0f ms", c.Part, c.CPUMS, c.Switches, c.AtRest)
	}
	line("")
	for _, note := range r.Notes {
		line("%s", note)
	}
	line("%s; %.0f s", r.Machine, r.Seconds)
	return w.Flush()
}
