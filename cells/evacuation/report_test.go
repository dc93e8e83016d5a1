package evacuation

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	topologyv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/topology/v1"
)

func exampleMove() *topologyv1.Evacuation {
	return &topologyv1.Evacuation{
		EvacuationId: "ev-7k3q9d2a", Kind: evacuate, State: done, Who: "ada", Reason: `<script>alert("disks")</script>`,
		StartedAt: timestamp(noon), EndedAt: timestamp(noon.Add(400 * time.Millisecond)), ExpiresAt: timestamp(noon.Add(time.Hour)),
		Plan: &topologyv1.Plan{
			Cells: []string{"use1-a"}, Slots: 2048, Customers: 900, SagasInFlight: 3, Steps: []string{"publish the map"},
			Targets: []*topologyv1.Target{{CellId: "use1-b", Slots: 2048, SlotsAfter: 4096, Customers: 900, LoadBefore: 100, LoadAfter: 200, Capacity: 450}},
		},
		SlotsMoved: 2048, LastOldWrite: durationpb.New(62 * time.Millisecond),
		Phases: []*topologyv1.Phase{
			{Name: "mark", BeganAt: timestamp(noon), Took: durationpb.New(2 * time.Millisecond), Text: "marked 1 cells as draining"},
			{Name: "flip", BeganAt: timestamp(noon.Add(2 * time.Millisecond)), Took: durationpb.New(60 * time.Millisecond), Text: "2048 slots have their new owners"},
			{Name: "verify", BeganAt: timestamp(noon.Add(200 * time.Millisecond)), Took: durationpb.New(200 * time.Millisecond), Text: "4 checks hold"},
		},
		Findings: []*topologyv1.Finding{{Name: "epochs", Holds: true, Checked: 2048, Text: "all newer"}, {Name: "converged", Text: "without map 7: router-west"}},
	}
}

func TestTheTextHasPhasesFindingsAndTheLastOldWrite(t *testing.T) {
	var b bytes.Buffer
	if err := Text(&b, exampleMove()); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"Evacuation of use1-a\n", "last old write    62ms after the command", "flip    +2ms    60ms   2048 slots have their new owners",
		"converged  NO     without map 7: router-west", "use1-b  2048   4096  900        100/s  200/s  450/s", "2026-05-01 12:00:00.400 UTC",
	} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("%q is not in\n%s", want, b.String())
		}
	}
}

func TestThePageNeedsNothingElseAndTrustsNoText(t *testing.T) {
	var b bytes.Buffer
	if err := Page(&b, exampleMove()); err != nil {
		t.Fatal(err)
	}
	page := b.String()
	for _, want := range []string{
		`<title>Evacuation of use1-a – Cellar</title>`, `&lt;script&gt;alert(`, `<td class="no">NO</td>`, `<td class="yes">yes</td>`,
		`<rect x="5" y="0" width="150" height="10">`, `<rect x="500" y="0" width="500" height="10">`, `<th scope="row">flip</th>`, "prefers-color-scheme: dark",
	} {
		if !strings.Contains(page, want) {
			t.Errorf("%q is not in the page", want)
		}
	}
	for _, foreign := range []string{"<script", "src=", "href=", "http-equiv", "@import", "url("} {
		if strings.Contains(page, foreign) {
			t.Errorf("the page has %q", foreign)
		}
	}
	under := exampleMove()
	under.State, under.EndedAt, under.Phases, under.Findings = flipping, nil, nil, nil
	b.Reset()
	if err := Page(&b, under); err != nil || !strings.Contains(b.String(), `http-equiv="refresh"`) {
		t.Errorf("a move that is under way: %v", err)
	}
	if err := Page(&b, &topologyv1.Evacuation{}); err != nil {
		t.Error(err)
	}
}

func TestBarsStayInsideOfTheWhole(t *testing.T) {
	e := exampleMove()
	e.Phases = append(e.Phases, &topologyv1.Phase{Name: "end", BeganAt: timestamp(noon.Add(400 * time.Millisecond)), Took: durationpb.New(0)})
	for _, b := range bars(e) {
		if b.From < 0 || b.Width < leastBar || b.From+b.Width > 1000 {
			t.Errorf("%v", b)
		}
	}
}
