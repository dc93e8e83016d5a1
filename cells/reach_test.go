package cells

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cellar-commerce/cellar/internal/breaker"
	"github.com/cellar-commerce/cellar/internal/clock"
	"github.com/cellar-commerce/cellar/internal/ident"
)

// way is breakers whose state a test sets.
type way map[ident.Region]breaker.State

func (w way) State(destination ident.Region) breaker.State { return w[destination] }

// flowing: events flow.
func flowing(ident.Region) bool { return true }

func TestARegionIsCountedOnUnlessABreakerOnTheWayIsOpen(t *testing.T) {
	for name, c := range map[string]struct {
		calls, commands breaker.State
		want            bool
	}{
		"all is well":                   {breaker.Closed, breaker.Closed, true},
		"calls are cut":                 {breaker.Open, breaker.Closed, false},
		"commands are cut":              {breaker.Closed, breaker.Open, false},
		"calls wait, commands are cut":  {breaker.HalfOpen, breaker.Open, false},
		"calls wait":                    {breaker.HalfOpen, breaker.Closed, true},
		"calls are cut, commands wait":  {breaker.Open, breaker.HalfOpen, false},
		"a trial, by the first to come": {breaker.Closed, breaker.HalfOpen, true},
	} {
		r := newReach(reach{calls: way{"us-west-2": c.calls}, commands: way{"us-west-2": c.commands}, flows: flowing, clock: clock.NewManual(time.Unix(0, 0))})
		if got := r.reachable("us-west-2"); got != c.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}

func TestWhileABreakerIsHalfOpenOneAskerNowAndThenIsSentThere(t *testing.T) {
	now, commands := clock.NewManual(time.Unix(0, 0)), way{"us-west-2": breaker.HalfOpen, "eu-central-1": breaker.HalfOpen}
	r := newReach(reach{calls: way{}, commands: commands, flows: flowing, clock: now})
	expect := func(what string, region ident.Region, want bool) {
		t.Helper()
		if got := r.reachable(region); got != want {
			t.Errorf("%s: %v", what, got)
		}
	}
	expect("the first", "us-west-2", true)
	expect("the second", "us-west-2", false)
	expect("the first to another region", "eu-central-1", true)
	now.Advance(trialEvery)
	expect("a while later", "us-west-2", true)
	expect("and the next", "us-west-2", false)
	commands["us-west-2"] = breaker.Closed
	expect("it is back", "us-west-2", true)
	expect("for all", "us-west-2", true)
}

func TestARegionComesBackWhenItsBreakerCloses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		commands := breaker.New(nil)
		r := newReach(reach{calls: breaker.New(nil), commands: commands, flows: flowing, clock: clock.System{}})
		down := errors.New("played by a test")
		for range 10 {
			_ = commands.Do("us-west-2", func() error { return down })
		}
		if r.reachable("us-west-2") || !r.reachable("eu-central-1") {
			t.Fatal("five failures in a row, and the region is counted on; or another one is not")
		}
		<-time.After(1001 * time.Millisecond)
		if !r.reachable("us-west-2") || r.reachable("us-west-2") {
			t.Fatal("a second later there is one trial")
		}
		if err := commands.Do("us-west-2", func() error { return nil }); err != nil || !r.reachable("us-west-2") || !r.reachable("us-west-2") {
			t.Errorf("the trial went well, and the region is not counted on (%v)", err)
		}
	})
}
