package evacuation

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	topologyv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/topology/v1"
)

// Title of a move: a sentence's beginning for lists and pages.
func Title(e *topologyv1.Evacuation) string {
	cells := strings.Join(e.GetPlan().GetCells(), ", ")
	switch e.GetKind() {
	case evacuate:
		return "Evacuation of " + cells
	case rebalance:
		return "Rebalance of " + cells
	case undo:
		return "Undo of " + e.GetUndoesId()
	case revert:
		return "Revert of " + cells
	default:
		return "Move of " + cells
	}
}

// short text of a duration: three digits are enough to compare phases.
func short(d time.Duration) string {
	switch {
	case d < 10*time.Millisecond:
		return d.Round(10 * time.Microsecond).String()
	case d < time.Second:
		return d.Round(time.Millisecond).String()
	case d < time.Minute:
		return d.Round(10 * time.Millisecond).String()
	default:
		return d.Round(time.Second).String()
	}
}

// fact of a report: a name and what there is to say.
type fact struct{ Name, Text string }

// facts of a move, those that there are.
func facts(e *topologyv1.Evacuation) []fact {
	var all []fact
	say := func(name, text string) {
		if text != "" {
			all = append(all, fact{name, text})
		}
	}
	at := func(t interface{ AsTime() time.Time }, set bool) string {
		if !set {
			return ""
		}
		return t.AsTime().UTC().Format("2006-01-02 15:04:05.000 MST")
	}
	p := e.GetPlan()
	say("move", e.GetEvacuationId())
	say("state", stateName(e.GetState()))
	say("trouble", e.GetTrouble())
	who := e.GetWho()
	if e.GetAutomatic() {
		who += ", automatically"
	}
	say("by", who)
	say("reason", e.GetReason())
	say("started", at(e.GetStartedAt(), e.GetStartedAt() != nil))
	say("ended", at(e.GetEndedAt(), e.GetEndedAt() != nil))
	say("undone by itself", at(e.GetExpiresAt(), e.GetExpiresAt() != nil && e.GetState() != undone))
	say("takes back", e.GetUndoesId())
	say("taken back by", e.GetUndoneById())
	say("slots", fmt.Sprintf("%d planned, %d where they were to go", p.GetSlots(), e.GetSlotsMoved()))
	say("customers", fmt.Sprintf("about %d", p.GetCustomers()))
	say("sagas under way", fmt.Sprint(p.GetSagasInFlight()))
	if n := len(p.GetOverrides()); n > 0 {
		say("overrides ended", fmt.Sprint(n))
	}
	if e.GetLastOldWrite() != nil {
		say("last old write", short(e.GetLastOldWrite().AsDuration())+" after the command, at the latest")
	}
	return all
}

// Text writes the report of a move for a terminal.
func Text(w io.Writer, e *topologyv1.Evacuation) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	line := func(columns ...string) { _, _ = fmt.Fprintln(t, strings.Join(columns, "\t")) } // Flush tells
	line(Title(e))
	line()
	for _, f := range facts(e) {
		line(f.Name, f.Text)
	}
	line()
	if len(e.GetPlan().GetTargets()) > 0 {
		line("TARGET", "SLOTS", "THEN", "CUSTOMERS", "LOAD", "THEN", "CAPACITY")
		for _, g := range e.GetPlan().GetTargets() {
			line(g.GetCellId(), fmt.Sprint(g.GetSlots()), fmt.Sprint(g.GetSlotsAfter()), fmt.Sprint(g.GetCustomers()), perSecond(g.GetLoadBefore()), perSecond(g.GetLoadAfter()), capacity(g.GetCapacity()))
		}
		line()
	}
	if len(e.GetPhases()) > 0 {
		line("PHASE", "BEGAN", "TOOK", "WHAT")
		for _, p := range e.GetPhases() {
			line(p.GetName(), "+"+short(p.GetBeganAt().AsTime().Sub(e.GetStartedAt().AsTime())), short(p.GetTook().AsDuration()), p.GetText())
		}
		line()
	}
	if len(e.GetFindings()) > 0 {
		line("FINDING", "HOLDS", "WHAT")
		for _, f := range e.GetFindings() {
			line(f.GetName(), holds(f.GetHolds()), f.GetText())
		}
	}
	if err := t.Flush(); err != nil {
		return fmt.Errorf("evacuation: report: %w", err)
	}
	return nil
}

// PlanText writes a plan for a terminal.
func PlanText(w io.Writer, p *topologyv1.Plan) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	line := func(columns ...string) { _, _ = fmt.Fprintln(t, strings.Join(columns, "\t")) } // Flush tells
	line("plan", p.GetHash())
	line("leaves", strings.Join(p.GetCells(), ", "))
	line("of map", fmt.Sprint(p.GetMapVersion()))
	line("slots", fmt.Sprint(p.GetSlots()))
	line("customers", fmt.Sprintf("about %d", p.GetCustomers()))
	line("sagas under way", fmt.Sprint(p.GetSagasInFlight()))
	line("overrides that end", fmt.Sprint(len(p.GetOverrides())))
	if p.GetRefusalReason() != "" {
		line("refused", p.GetRefusalReason()+": "+p.GetRefusal())
	}
	line()
	line("TARGET", "SLOTS", "THEN", "CUSTOMERS", "LOAD", "THEN", "CAPACITY")
	for _, g := range p.GetTargets() {
		line(g.GetCellId(), fmt.Sprint(g.GetSlots()), fmt.Sprint(g.GetSlotsAfter()), fmt.Sprint(g.GetCustomers()), perSecond(g.GetLoadBefore()), perSecond(g.GetLoadAfter()), capacity(g.GetCapacity()))
	}
	line()
	if err := t.Flush(); err != nil {
		return fmt.Errorf("evacuation: plan: %w", err)
	}
	for i, s := range p.GetSteps() {
		if _, err := fmt.Fprintf(w, "%d. %s\n", i+1, s); err != nil {
			return fmt.Errorf("evacuation: plan: %w", err)
		}
	}
	return nil
}

func perSecond(load float64) string { return fmt.Sprintf("%.0f/s", load) }

func capacity(load float64) string {
	if load == 0 {
		return "not said"
	}
	return perSecond(load)
}

func holds(yes bool) string {
	if yes {
		return "yes"
	}
	return "NO"
}
