package cells

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/cellar-commerce/cellar/cells/topology"
	"github.com/cellar-commerce/cellar/internal/clock"
	inventoryv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/inventory/v1"
	"github.com/cellar-commerce/cellar/internal/ident"
	"github.com/cellar-commerce/cellar/internal/problem"
)

// street is a region of cells that note who was asked.
type street struct {
	*keepers
	clock *clock.Manual

	mu    sync.Mutex
	asked []string
	down  map[string]error
}

// doorman is one cell of it.
type doorman struct {
	*street
	cell string
}

func (d doorman) answer() error {
	d.street.mu.Lock()
	defer d.street.mu.Unlock()
	d.asked = append(d.asked, d.cell)
	return d.down[d.cell]
}

func (d doorman) Reserve(context.Context, *inventoryv1.ReserveRequest) (*inventoryv1.ReserveResponse, error) {
	return &inventoryv1.ReserveResponse{}, d.answer()
}

func (d doorman) ExtendHold(context.Context, *inventoryv1.ExtendHoldRequest) (*inventoryv1.ExtendHoldResponse, error) {
	return &inventoryv1.ExtendHoldResponse{}, d.answer()
}

func (d doorman) Commit(context.Context, *inventoryv1.CommitRequest) (*inventoryv1.CommitResponse, error) {
	return &inventoryv1.CommitResponse{}, d.answer()
}

func (d doorman) Release(context.Context, *inventoryv1.ReleaseRequest) (*inventoryv1.ReleaseResponse, error) {
	return &inventoryv1.ReleaseResponse{}, d.answer()
}

func (d doorman) Ship(context.Context, *inventoryv1.ShipRequest) (*inventoryv1.ShipResponse, error) {
	return &inventoryv1.ShipResponse{}, d.answer()
}

// newStreet of three cells as "use1-a" sees it.
func newStreet(g guard) *street {
	m := &topology.Map{Version: 1}
	for _, id := range []string{"use1-a", "use1-b", "use1-c"} {
		m.Cells = append(m.Cells, topology.Cell{ID: id, Region: "us-east-1", State: topology.Active, Weight: 1})
	}
	maps := &topology.Holder{}
	maps.Offer(m)
	s := &street{clock: clock.NewManual(time.Date(2031, time.May, 4, 12, 0, 0, 0, time.UTC)), down: map[string]error{}}
	s.keepers = &keepers{
		region: "us-east-1", cell: "use1-a", maps: maps, clock: s.clock, guard: g, retries: retryReserve,
		here:    func() stockCommands { return doorman{s, "use1-a"} },
		at:      func(cell string) stockCommands { return doorman{s, cell} },
		clients: map[string]stockCommands{}, away: map[string]time.Time{},
	}
	return s
}

func (s *street) reserve(fc string) (asked []string, err error) {
	s.asked = nil
	_, err = s.Reserve(context.Background(), &inventoryv1.ReserveRequest{FcId: fc})
	return s.asked, err
}

// fcOf finds an FC that a cell keeps.
func (s *street) fcOf(cell string) string {
	for i := 0; ; i++ {
		if fc := fmt.Sprint("iad", i); s.rank(fc)[0] == cell {
			return fc
		}
	}
}

var away = problem.New(problem.Unavailable, "AWAY", "played by a test")

func TestEveryCommandForACentreGoesToItsKeeper(t *testing.T) {
	s := newStreet(nil)
	for _, cell := range []string{"use1-a", "use1-b", "use1-c"} {
		fc, ctx := s.fcOf(cell), t.Context()
		s.asked = nil
		_, err1 := s.Reserve(ctx, &inventoryv1.ReserveRequest{FcId: fc})
		_, err2 := s.ExtendHold(ctx, &inventoryv1.ExtendHoldRequest{FcId: fc})
		_, err3 := s.Commit(ctx, &inventoryv1.CommitRequest{FcId: fc})
		_, err4 := s.Release(ctx, &inventoryv1.ReleaseRequest{FcId: fc})
		_, err5 := s.Ship(ctx, &inventoryv1.ShipRequest{FcId: fc})
		if err := errors.Join(err1, err2, err3, err4, err5); err != nil {
			t.Fatal(err)
		}
		if len(s.asked) != 5 || len(slices.Compact(s.asked)) != 1 || s.asked[0] != cell {
			t.Errorf("%s: asked %v", cell, s.asked)
		}
		if s.keeps(fc) != (cell == "use1-a") {
			t.Errorf("use1-a keeps %s of %s: %v", fc, cell, s.keeps(fc))
		}
	}
}

func TestACellThatIsAwayIsPassedOverForAWhile(t *testing.T) {
	s := newStreet(nil)
	fc := s.fcOf("use1-b")
	second := s.rank(fc)[1]
	s.down["use1-b"] = away
	if asked, err := s.reserve(fc); err != nil || !slices.Equal(asked, []string{"use1-b", second}) {
		t.Errorf("first it asked %v, %v", asked, err)
	}
	if asked, err := s.reserve(fc); err != nil || !slices.Equal(asked, []string{second}) {
		t.Errorf("then it asked %v, %v", asked, err)
	}
	delete(s.down, "use1-b")
	s.clock.Advance(awayFor)
	if asked, err := s.reserve(fc); err != nil || !slices.Equal(asked, []string{"use1-b"}) {
		t.Errorf("later it asked %v, %v", asked, err)
	}
}

func TestThisCellIsNeverPassedOver(t *testing.T) {
	s := newStreet(nil)
	fc := s.fcOf("use1-a")
	s.down["use1-a"] = away
	for range 2 {
		if asked, err := s.reserve(fc); err != nil || len(asked) != 2 || asked[0] != "use1-a" {
			t.Errorf("asked %v, %v", asked, err)
		}
	}
}

func TestARefusalIsAnAnswer(t *testing.T) {
	s := newStreet(nil)
	fc := s.fcOf("use1-b")
	s.down["use1-b"] = problem.New(problem.Precondition, "OUT_OF_STOCK", "played by a test")
	for range 2 {
		if asked, err := s.reserve(fc); !problem.Is(err, "OUT_OF_STOCK") || !slices.Equal(asked, []string{"use1-b"}) {
			t.Errorf("asked %v, %v", asked, err)
		}
	}
}

func TestRetriesAreAShareOfTheCalls(t *testing.T) {
	s := newStreet(nil)
	for _, cell := range []string{"use1-a", "use1-b", "use1-c"} {
		s.down[cell] = away
	}
	const calls = 200
	asked := 0
	for i := range calls {
		all, err := s.reserve(fmt.Sprint("iad", i))
		if problem.KindOf(err) != problem.Unavailable {
			t.Fatal(err)
		}
		asked += len(all)
	}
	if retries := asked - calls; retries < retryReserve || retries > retryReserve+calls*retryShare {
		t.Errorf("%d calls were tried again", retries)
	}
}

func TestACallerWhoHasGoneIsNotServedElsewhere(t *testing.T) {
	s := newStreet(nil)
	fc := s.fcOf("use1-b")
	s.down["use1-b"] = away
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.Reserve(ctx, &inventoryv1.ReserveRequest{FcId: fc}); err == nil || len(s.asked) != 1 {
		t.Errorf("asked %v, %v", s.asked, err)
	}
}

// gatekeeper is a guard that counts what it is told of, and may be shut.
type gatekeeper struct {
	shut           bool
	calls, failed  int
	lastRegionSeen ident.Region
}

func (g *gatekeeper) Do(region ident.Region, call func() error) error {
	g.lastRegionSeen = region
	if g.shut {
		return errors.New("the breaker is open")
	}
	g.calls++
	err := call()
	if err != nil {
		g.failed++
	}
	return err
}

func TestTheBreakerOfAnotherRegionHearsOnlyOfSilence(t *testing.T) {
	g := &gatekeeper{}
	s := newStreet(g)
	fc := s.fcOf("use1-b")
	for _, c := range []struct {
		err    error
		failed int
	}{{nil, 0}, {problem.New(problem.Precondition, "OUT_OF_STOCK", "no"), 0}, {away, 1}} {
		g.calls, g.failed = 0, 0
		for _, cell := range []string{"use1-a", "use1-b", "use1-c"} {
			s.down[cell] = c.err
		}
		if _, err := s.reserve(fc); !errors.Is(err, c.err) {
			t.Errorf("got %v, want %v", err, c.err)
		}
		if g.calls != 1 || g.failed != c.failed || g.lastRegionSeen != "us-east-1" {
			t.Errorf("%v: the breaker heard of %d failures in %d calls of %s", c.err, g.failed, g.calls, g.lastRegionSeen)
		}
	}
	g.shut = true
	if asked, err := s.reserve(fc); len(asked) > 0 || problem.KindOf(err) != problem.Unavailable || !problem.Is(err, "REGION_UNREACHABLE") {
		t.Errorf("behind an open breaker it asked %v, %v", asked, err)
	}
}

func TestARegionWithoutCellsIsUnreachable(t *testing.T) {
	s := newStreet(nil)
	s.region = "eu-central-1"
	if _, err := s.reserve("fra1"); !problem.Is(err, "REGION_UNREACHABLE") {
		t.Errorf("got %v", err)
	}
	s.maps = &topology.Holder{}
	if _, err := s.reserve("fra1"); !problem.Is(err, "REGION_UNREACHABLE") || s.keeps("fra1") {
		t.Errorf("without a map: %v", err)
	}
}
