package evacuation

import (
	_ "embed" // the page's template
	"fmt"
	"html/template"
	"io"
	"time"

	topologyv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/topology/v1"
)

//go:embed page.html
var pageText string

var pageTemplate = template.Must(template.New("page").Funcs(template.FuncMap{
	"perSecond": perSecond, "capacity": capacity, "holds": holds,
}).Parse(pageText))

// bar of a phase: where it lies in the whole move, in thousandths of it.
type bar struct {
	Name, Began, Took, Text string
	From, Width             int
}

// leastBar is how wide a bar is at least, so that it is seen.
const leastBar = 4

// bars of the phases of a move.
func bars(e *topologyv1.Evacuation) []bar {
	began := e.GetStartedAt().AsTime()
	var whole time.Duration
	for _, p := range e.GetPhases() {
		whole = max(whole, p.GetBeganAt().AsTime().Add(p.GetTook().AsDuration()).Sub(began))
	}
	var all []bar
	for _, p := range e.GetPhases() {
		at := p.GetBeganAt().AsTime().Sub(began)
		b := bar{Name: p.GetName(), Began: "+" + short(at), Took: short(p.GetTook().AsDuration()), Text: p.GetText(), Width: 1000}
		if whole > 0 {
			b.Width = min(max(int(1000*p.GetTook().AsDuration()/whole), leastBar), 1000)
			b.From = min(max(int(1000*at/whole), 0), 1000-b.Width)
		}
		all = append(all, b)
	}
	return all
}

// Page writes the report of a move as a page of HTML that needs nothing else: no script, no other file.
func Page(w io.Writer, e *topologyv1.Evacuation) error {
	err := pageTemplate.Execute(w, struct {
		Title   string
		Refresh bool
		Facts   []fact
		Bars    []bar
		Found   []*topologyv1.Finding
		Targets []*topologyv1.Target
		Steps   []string
	}{Title(e), e.GetEndedAt() == nil, facts(e), bars(e), e.GetFindings(), e.GetPlan().GetTargets(), e.GetPlan().GetSteps()})
	if err != nil {
		return fmt.Errorf("evacuation: page of %s: %w", e.GetEvacuationId(), err)
	}
	return nil
}
