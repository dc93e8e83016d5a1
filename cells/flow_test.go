package cells

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"time"

	"github.com/cellar-commerce/cellar/internal/breaker"
	"github.com/cellar-commerce/cellar/internal/clock"
	"github.com/cellar-commerce/cellar/internal/ident"
)

func TestARegionIsPlannedAroundWhileItsFirstEventHasWaitedTooLong(t *testing.T) {
	now := clock.NewManual(time.Unix(1000, 0))
	var heads map[ident.Region]time.Time
	var fails error
	told := map[ident.Region]bool{}
	f := &flow{
		heads: func(context.Context) (map[ident.Region]time.Time, error) { return heads, fails }, patience: 15 * time.Second, clock: now, log: slog.New(slog.DiscardHandler),
		observe: func(d ident.Region, stuck bool) { told[d] = stuck },
	}
	r := newReach(reach{own: "us-east-1", calls: way{}, commands: way{}, flows: f.flows, clock: now})
	expect := func(what string, home, west bool) {
		t.Helper()
		f.look(t.Context())
		if h, w := r.reachable("us-east-1"), r.reachable("us-west-2"); h != home || w != west || told["us-east-1"] == home || told["us-west-2"] == west {
			t.Errorf("%s: home %v, west %v; told of %v", what, h, w, told)
		}
	}
	if !r.reachable("us-west-2") {
		t.Error("before anybody has looked")
	}
	expect("nothing waits", true, true)
	heads = map[ident.Region]time.Time{"us-west-2": now.Now()}
	expect("it has just happened", true, true)
	now.Advance(15 * time.Second)
	expect("as long as it is given", true, true)
	now.Advance(time.Millisecond)
	expect("longer", true, false)
	heads["us-east-1"] = time.Unix(1, 0)
	expect("also this region's own", false, false)
	fails = errors.New("the database is away")
	expect("nobody knows", true, true)
	heads, fails = map[ident.Region]time.Time{"us-west-2": now.Now()}, nil
	expect("what had waited is delivered", true, true)
}

func TestARegionsOwnCentersNeedNoWayToThem(t *testing.T) {
	open := way{"us-east-1": breaker.Open}
	r := newReach(reach{own: "us-east-1", calls: open, commands: open, flows: func(ident.Region) bool { return true }, clock: clock.NewManual(time.Unix(0, 0))})
	if !r.reachable("us-east-1") {
		t.Error("a breaker stands between a region and itself")
	}
}

func TestNobodyLooksWhereRegionsAreNeverPlannedAround(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	f := &flow{heads: func(context.Context) (map[ident.Region]time.Time, error) { panic("it looks") }}
	f.run(ctx)
	if !f.flows("us-west-2") {
		t.Error("a region is planned around")
	}
}
