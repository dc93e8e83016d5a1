package cellctl

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"

	topologyv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/topology/v1"
	"github.com/cellar-commerce/cellar/internal/problem"
)

func TestAnEvacuationIsShownConfirmedStartedByItsHashAndReported(t *testing.T) {
	s := newStandIn()
	o := s.operator(t)
	o.typed = "use1-a\n"
	o.expect(0, []string{"evacuate", "use1-a", "--reason", "disk", "--who", "ada", "--expires", "3h"},
		"evacuation m-1 of use1-a: done", "flipped 2048 slots", "2048 of 2048 moved", "at most 0.130 s after the command", "http://"+o.address+"/evacuations/m-1", "epochs",
		"!  1. mark", "!  2. flip", "!use1-b  2048        4096      about 1234 customers  10.0/s    21.5/s      500.0/s", "!1 saga under way there now, 1 override that ends", "!plan hash c0ffee", "!flip      0.123 s")
	s.heard(t, "evacuate use1-a by plan c0ffee for 3h0m0s over false by ada: disk")
}

func TestWhatIsNotConfirmedChangesNothing(t *testing.T) {
	s := newStandIn()
	o := s.operator(t)
	for _, typed := range []string{"", "\n", "yes\n", "use1-b\n"} {
		o.typed = typed
		o.expect(ExitUnconfirmed, []string{"evacuate", "use1-a", "--reason", "disk"}, "!Evacuate use1-a?", "!not confirmed; nothing has been changed")
		o.expect(ExitUnconfirmed, []string{"cell", "rebalance", "us-east-1", "--reason", "r"}, "!not confirmed")
		o.expect(ExitUnconfirmed, []string{"cell", "state", "use1-a", "draining", "--reason", "r"}, "!use1-a is active and owns 2048 slots. Make it draining?")
		o.expect(ExitUnconfirmed, []string{"map", "revert", "5", "--reason", "r"}, "!changes from 7 to 5")
	}
	s.heard(t)
}

func TestWhereNobodyCanBeAskedYesIsNeeded(t *testing.T) {
	f, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := confirmName(f, &strings.Builder{}, "Evacuate?", "use1-a"); Exit(err) != ExitUnconfirmed || !strings.Contains(err.Error(), "--yes") {
		t.Error(err)
	}
}

func TestADryRunPrintsThePlanAndChangesNothing(t *testing.T) {
	s := newStandIn()
	o := s.operator(t)
	o.expect(0, []string{"evacuate", "use1-a", "--dry-run"}, "1. mark", "plan hash c0ffee")
	o.expect(0, []string{"cell", "rebalance", "us-east-1", "--dry-run"}, "plan hash c0ffee")
	var plan struct{ Hash string }
	if err := json.Unmarshal([]byte(o.expect(0, []string{"evacuate", "--region", "us-east-1", "--dry-run", "-o", "json"})), &plan); err != nil || plan.Hash != "c0ffee" {
		t.Error(plan, err)
	}
	s.heard(t)
}

func TestAGuardsRefusalHasAStatusOfItsOwn(t *testing.T) {
	s := newStandIn()
	o := s.operator(t)
	evacuate := func(more ...string) []string {
		return append([]string{"evacuate", "use1-a", "--reason", "disk", "--who", "ada", "--yes"}, more...)
	}
	o.expect(ExitRefused, evacuate("--plan", "beef"), "!PLAN_CHANGED")
	s.reason, s.refusal = "NOBODY_LEFT", "no cell is left"
	o.expect(ExitRefused, evacuate("--over-capacity"), "!NOBODY_LEFT: no cell is left")
	s.reason, s.refusal = "OVER_CAPACITY", "use1-b would get too much"
	o.expect(ExitRefused, evacuate(), "!OVER_CAPACITY: use1-b would get too much")
	o.expect(ExitRefused, []string{"evacuate", "use1-a", "--dry-run"}, "cannot be started: OVER_CAPACITY: use1-b would get too much")
	o.expect(ExitRefused, []string{"cell", "quarantine", "use1-a", "--reason", "look", "--yes"}, "!CELL_OWNS_SLOTS: evacuate it first")
	o.expect(ExitRefused, []string{"cell", "add", "use1-a", "--region", "us-east-1", "--public", "a:1", "--internal", "a:2", "--admin", "a:3", "--reason", "r"}, "!CELL_EXISTS")
	s.heard(t)
	o.expect(0, evacuate("--over-capacity", "--plan", "c0ffee"), "done")
	s.heard(t, "evacuate use1-a by plan c0ffee for 2h0m0s over true by ada: disk")
}

func TestAWaitThatEndsTellsThatTheMoveGoesOn(t *testing.T) {
	s := newStandIn()
	s.stuck = true
	o := s.operator(t)
	o.expect(ExitTimedOut, []string{"evacuate", "use1-a", "--reason", "disk", "--yes", "--timeout", "300ms"},
		"!m-1 is still flipping after 300ms; it goes on", "!SLOTS_HELD", "!cellctl evacuate abort m-1")
	o.expect(0, []string{"evacuate", "use1-a", "--reason", "disk", "--yes", "--wait=false"}, "evacuation m-2 of use1-a: flipping")
}

func TestAFindingThatDoesNotHoldIsAFailure(t *testing.T) {
	s := newStandIn()
	s.broken = true
	o := s.operator(t)
	o.expect(ExitFailed, []string{"evacuate", "use1-a", "--reason", "disk", "--yes"}, "NO")
}

func TestACellThatHasNoMapBecauseItHangsIsNoFailureOfItsEvacuation(t *testing.T) {
	s := newStandIn()
	s.broken, s.finding = true, converged
	s.operator(t).expect(0, []string{"evacuate", "use1-a", "--reason", "disk", "--yes"}, "NO")
}

func TestMovesAreListedShownUndoneAndGivenUp(t *testing.T) {
	s := newStandIn()
	o := s.operator(t)
	o.expect(ExitFailed, []string{"undo", "use1-a", "--reason", "well again", "--yes"}, `!no move is called "use1-a"`)
	o.expect(0, []string{"evacuate", "use1-a", "--reason", "disk", "--yes", "--who", "ada"})
	o.expect(0, []string{"evacuate", "list"}, "m-1", "evacuation", "use1-a", "done", "disk")
	o.expect(0, []string{"evacuate", "show", "m-1"}, "flipped 2048 slots")
	o.typed = "use1-a\n"
	o.expect(0, []string{"undo", "use1-a", "--reason", "well again", "--who", "ada"}, "undo m-2 of use1-b: done", "!Undo the evacuation m-1 of use1-a, 2048 slots")
	o.expect(0, []string{"undo", "m-1", "--reason", "well again", "--who", "ada", "--yes"})
	o.expect(0, []string{"evacuate", "abort", "m-3", "--reason", "no", "--who", "ada"}, "aborted")
	o.expect(ExitFailed, []string{"evacuate", "show", "m-9"}, "!UNKNOWN_MOVE")
	s.heard(t, "evacuate use1-a by plan c0ffee for 2h0m0s over false by ada: disk", "undo m-1 by ada: well again", "undo m-1 by ada: well again", "abort m-3 by ada: no")
}

func TestTheMapIsShownComparedAndReverted(t *testing.T) {
	s := newStandIn()
	o := s.operator(t)
	out := o.expect(0, []string{"map", "show"}, "map 7", "us-east-1  use1-a  2048   2     1–2", "us-east-1  use1-b  2048   1     3 ", "500.0/s")
	if strings.Contains(out, "bytes") {
		t.Error("the signed snapshot is shown")
	}
	o.expect(ExitFailed, []string{"map", "show", "--version", "99"}, "!UNKNOWN_VERSION")
	o.expect(0, []string{"map", "diff"}, "changes from 5 to 7")
	o.expect(0, []string{"map", "diff", "3"}, "changes from 3 to 0")
	o.expect(0, []string{"map", "diff", "3", "4"}, "changes from 3 to 4")
	o.expect(0, []string{"map", "history"}, "two cells", "one cell")
	o.expect(0, []string{"map", "changes"}, "cell added", "growth")
	o.typed = "5"
	o.expect(0, []string{"map", "revert", "5", "--reason", "worse than before", "--who", "ada"}, "revert m-1", "!changes from 7 to 5")
	s.heard(t, "revert to 5 from 7 by ada: worse than before")
}

func TestCellsAreListedAddedWeighedAndShared(t *testing.T) {
	s := newStandIn()
	o := s.operator(t)
	o.expect(0, []string{"cell", "list"}, "use1-a", "no, for 1 of 3 routers", "yes, for 3 of 3 routers", "12.5/s", "it is gone")
	o.expect(0, []string{"cell", "add", "use1-c", "--region", "us-east-1", "--public", "a:1", "--internal", "a:2", "--admin", "a:3", "--reason", "growth", "--who", "ada", "--weight", "50"},
		"use1-c is active with weight 50 and 0 slots, by map 7")
	o.expect(0, []string{"cell", "weight", "use1-a", "30", "--reason", "small", "--who", "ada"})
	o.expect(0, []string{"cell", "state", "use1-a", "canary", "--reason", "new", "--who", "ada", "--yes"})
	o.expect(ExitFailed, []string{"cell", "state", "use1-x", "canary", "--reason", "new", "--yes"}, `!no cell "use1-x"`)
	o.expect(0, []string{"cell", "rebalance", "us-east-1", "--reason", "growth", "--who", "ada", "--yes"}, "rebalance m-1")
	s.heard(t, "add use1-c to us-east-1 by ada: growth", "weigh use1-a 30 by ada: small", "make use1-a CELL_STATE_CANARY from 7 by ada: new", "rebalance us-east-1 by plan c0ffee by ada: growth")
}

func TestACustomerIsFoundPinnedAndUnpinned(t *testing.T) {
	s := newStandIn()
	o := s.operator(t)
	o.expect(0, []string{"customer", "where", "c-1"}, "12, owned by use1-a", "use1-b", "by ada: trouble")
	o.expect(ExitUsage, []string{"customer", "where", "nobody"}, "!INVALID_FIELDS")
	o.expect(0, []string{"customer", "pin", "c-1", "use1-b", "--reason", "trouble", "--expires", "2h", "--who", "ada"})
	o.expect(0, []string{"customer", "unpin", "c-1", "--reason", "well", "--who", "ada"})
	s.heard(t, "pin c-1 to use1-b for 2h0m0s by ada: trouble", "unpin c-1 by ada: well")
}

func TestTheLeverStopsAutomation(t *testing.T) {
	s := newStandIn()
	o := s.operator(t)
	o.expect(0, []string{"automation", "off", "--reason", "maintenance", "--who", "ada"}, "automation is off")
	o.expect(0, []string{"automation", "show"}, "off since", "2 of 3", "it is gone", "router-us-east-1")
	o.expect(0, []string{"automation", "on", "--reason", "done", "--who", "ada"}, "automation is on")
	s.heard(t, "automation false by ada: maintenance", "automation true by ada: done")
}

func TestWrongCommandLinesEndWithTwoAndAskNobody(t *testing.T) {
	s := newStandIn()
	o := s.operator(t)
	for _, args := range [][]string{
		{"evacuate"}, {"evacuate", "a", "--region", "b"}, {"evacuate", "a"}, {"evacuate", "a", "--reason", " "}, {"evacuate", "a", "--reason", strings.Repeat("x", 301)},
		{"evacuate", "a", "--reason", "r", "--expires", "5s"}, {"evacuate", "a", "--reason", "r", "--expires", "1000h"}, {"evacuate", "a", "--expires", "soon"},
		{"evacuate", "a", "b"}, {"undo"}, {"undo", "a"}, {"map", "diff", "x"}, {"map", "diff", "0"}, {"map", "revert", "x", "--reason", "r"}, {"map", "nonsense"}, {"nonsense"},
		{"cell", "weight", "a", "-1", "--reason", "r"}, {"cell", "weight", "a", "10001", "--reason", "r"}, {"cell", "add", "a", "--reason", "r"},
		{"cell", "state", "a", "asleep", "--reason", "r"}, {"cell", "state", "a", "unspecified", "--reason", "r"}, {"customer", "pin", "c", "a", "--reason", "r"},
		{"customer", "pin", "c", "a", "--expires", "2h"}, {"automation", "off"}, {"automation"[:4]}, {"watch", "--count", "-1"}, {"map", "show", "-o", "xml"},
	} {
		if _, talk, exit := o.run(args...); exit != ExitUsage {
			t.Errorf("%v ends with %d: %s", args, exit, talk)
		}
	}
	s.heard(t)
}

func TestTheLeaderIsFoundThroughAnyOfThem(t *testing.T) {
	leads, follows := newStandIn(), newStandIn()
	o := leads.operator(t)
	follows.leader = o.address
	other, _ := follows.serve(t)
	dead, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	o.address = dead.Addr().String() + ", " + other
	if err := dead.Close(); err != nil {
		t.Fatal(err)
	}
	o.expect(0, []string{"evacuate", "use1-a", "--reason", "disk", "--who", "ada", "--yes"}, "done")
	leads.heard(t, "evacuate use1-a by plan c0ffee for 2h0m0s over false by ada: disk")
	follows.heard(t)
}

func TestWithoutAControlPlaneACommandSaysThatShoppersDoNotNeedIt(t *testing.T) {
	o := newStandIn().operator(t)
	dead, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	o.address = dead.Addr().String()
	if err := dead.Close(); err != nil {
		t.Fatal(err)
	}
	o.expect(ExitFailed, []string{"map", "show"}, "!shoppers do not need it")
}

func TestAWatchWritesAsManyPicturesAsWereWanted(t *testing.T) {
	s := newStandIn()
	s.stuck = true
	o := s.operator(t)
	o.expect(0, []string{"evacuate", "use1-a", "--reason", "disk", "--yes", "--wait=false"})
	out := o.expect(0, []string{"watch", "--count", "2"}, "map 7  leader controlplane-1  automation on", "m-1", "0 of 2048", "router-us-east-1")
	if n := strings.Count(out, "map 7"); n != 2 || strings.Contains(out, "\x1b") {
		t.Errorf("%d pictures:\n%q", n, out)
	}
	d := json.NewDecoder(strings.NewReader(o.expect(0, []string{"watch", "--count", "1", "-o", "json"})))
	var shape struct {
		Version int
		Cells   []json.RawMessage
		Moves   []json.RawMessage
	}
	if err := d.Decode(&shape); err != nil || shape.Version != 7 || len(shape.Cells) != 2 || len(shape.Moves) != 1 {
		t.Error(shape, err)
	}
}

func TestAWatchGoesOnWhileTheControlPlaneIsAway(t *testing.T) {
	var b strings.Builder
	w := &watcher{o: &options{output: "table"}, out: &b}
	p := &picture{fleetReport: fleetReport{m: newStandIn().m, health: &topologyv1.GetAutomationResponse{}}, at: time.Now()}
	if err := w.append(p, errors.New("it is away")); err != nil || !strings.Contains(b.String(), "as it was; now: it is away") {
		t.Error(b.String(), err)
	}
}

func TestAPictureIsDrawnInItsPlaceWithoutClearingFirst(t *testing.T) {
	var b strings.Builder
	w := &watcher{out: &b}
	if err := w.draw("one\ntwo", "\r\n"); err != nil || b.String() != "\x1b[Hone\x1b[K\r\ntwo\x1b[K\x1b[J" {
		t.Errorf("%q %v", b.String(), err)
	}
}

func TestKeysEndAWatch(t *testing.T) {
	for _, key := range []string{"q", "Q", "\x03", "\x04", "xyq"} {
		ctx, end := context.WithCancel(t.Context())
		endOnKey(strings.NewReader(key), end)
		if ctx.Err() == nil {
			t.Errorf("%q does not end it", key)
		}
		end()
	}
}

func TestYAMLSaysWhatJSONSays(t *testing.T) {
	o := newStandIn().operator(t)
	asJSON, asYAML := o.expect(0, []string{"map", "show", "-o", "json"}), o.expect(0, []string{"map", "show", "-o", "yaml"}, "cellId: use1-a", "version: \"7\"")
	var a, b any
	if err := errors.Join(json.Unmarshal([]byte(asJSON), &a), yaml.Unmarshal([]byte(asYAML), &b)); err != nil || !strings.Contains(asYAML, "map:\n") {
		t.Fatal(err, asYAML)
	}
	if fmt.Sprint(a) != fmt.Sprint(b) {
		t.Errorf("%v\n%v", a, b)
	}
}

func TestNamesOfCellsAndMovesAreCompleted(t *testing.T) {
	o := newStandIn().operator(t)
	o.expect(0, []string{"evacuate", "use1-a", "--reason", "disk", "--yes"})
	for _, c := range []struct{ args, want string }{
		{"evacuate ", "use1-a\tus-east-1, active, 2048 slots"}, {"cell weight ", "use1-b"}, {"cell state ", "use1-a"}, {"cell state use1-a ", "quarantined"},
		{"customer pin c-1 ", "use1-b"}, {"evacuate show ", "m-1\tevacuation of use1-a, done"}, {"undo ", "use1-a"},
	} {
		var out strings.Builder
		t.Setenv("CELLAR_CONTROL_PLANE", o.address)
		t.Setenv("CELLAR_PEER_KEY_FILE", o.key)
		cmd := New()
		cmd.SetOut(&out)
		cmd.SetErr(&strings.Builder{})
		cmd.SetArgs(append([]string{"__complete"}, strings.Split(c.args, " ")...))
		if err := cmd.ExecuteContext(t.Context()); err != nil || !strings.Contains(out.String(), c.want) {
			t.Errorf("%q: %v\n%s", c.args, err, out.String())
		}
	}
}

func TestWhoAndWhyAreAsked(t *testing.T) {
	t.Setenv("USER", "grace")
	f := causeFlags{reason: " disk "}
	if c, err := f.cause(4); err != nil || c.GetWho() != "grace" || c.GetReason() != "disk" || c.GetSeenVersion() != 4 {
		t.Error(c, err)
	}
}

func TestHowAProgramEndsFollowsFromWhatWasSaid(t *testing.T) {
	for _, c := range []struct {
		err  error
		exit int
	}{
		{nil, 0}, {errors.New("x"), ExitFailed}, {ErrFound, ExitFailed}, {usagef("x"), ExitUsage}, {refusedf("x"), ExitRefused}, {unconfirmedf("x"), ExitUnconfirmed},
		{fmt.Errorf("about it: %w", refusedf("x")), ExitRefused}, {problem.New(problem.Precondition, "X", "x"), ExitRefused}, {said(problem.New(problem.Aborted, "X", "x")), ExitRefused},
		{problem.New(problem.Invalid, "X", "x"), ExitUsage}, {problem.New(problem.NotFound, "X", "x"), ExitFailed}, {problem.New(problem.Unavailable, "X", "x"), ExitFailed},
	} {
		if got := Exit(c.err); got != c.exit {
			t.Errorf("%v ends with %d, want %d", c.err, got, c.exit)
		}
	}
}
