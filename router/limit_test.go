package router

import (
	"log/slog"
	"math"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/cellar-commerce/cellar/cells/topology"
	"github.com/cellar-commerce/cellar/internal/clock"
	"github.com/cellar-commerce/cellar/internal/ident"
)

func limited(t *testing.T, header http.Header, fill func(*Router)) *httptest.ResponseRecorder {
	t.Helper()
	// Nobody listens at these cells' addresses, and the clock stands still: whoever waits, waits for ever.
	r := New(Deps{Region: "us-east-1", Maps: testTable(t).maps, Clock: clock.NewManual(time.Unix(0, 0)), Log: slog.New(slog.DiscardHandler)})
	fill(r)
	before := [4]int64{r.inFlight.Load(), r.waiting.Load(), r.held.Load(), r.bodies.Load()}
	w := httptest.NewRecorder()
	req := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/test.v1.EchoService/Say", strings.NewReader("{}"))
	req.Header = header
	r.ServeHTTP(w, req)
	if after := [4]int64{r.inFlight.Load(), r.waiting.Load(), r.held.Load(), r.bodies.Load()}; after != before {
		t.Errorf("in flight, waiting, held, bodies are %v, were %v", after, before)
	}
	return w
}

func TestBeyondItsLimitARouterRefusesAtOnce(t *testing.T) {
	w := limited(t, http.Header{}, func(r *Router) { r.inFlight.Store(maxInFlight) })
	if w.Code != http.StatusTooManyRequests || w.Header().Get("Retry-After") == "" || !strings.Contains(w.Body.String(), "resource_exhausted") {
		t.Errorf("got %d %s", w.Code, w.Body)
	}
}

func TestBeyondItsLimitNobodyMoreWaits(t *testing.T) {
	header := http.Header{"Authorization": {"Bearer v1." + string(ident.NewCustomer("use1")) + ".s.1.x"}}
	w := limited(t, header, func(r *Router) { r.waiting.Store(maxWaiting) })
	if w.Code != http.StatusServiceUnavailable || w.Header().Get("Retry-After") == "" {
		t.Errorf("got %d %s", w.Code, w.Body)
	}
}

func TestCellsThatLeaveTheMapAreForgotten(t *testing.T) {
	maps := testTable(t).maps
	r := New(Deps{Region: "us-east-1", Maps: maps, Clock: clock.NewManual(time.Unix(0, 0)), Log: slog.New(slog.DiscardHandler)})
	kept := r.nodes.of("use1-a")
	r.nodes.of("use1-z")
	next := *maps.Load()
	next.Version++
	maps.Offer(&next)
	r.MapChanged()
	if len(*r.nodes.byID.Load()) != 1 || r.nodes.of("use1-a") != kept {
		t.Errorf("got %v", *r.nodes.byID.Load())
	}
}

func TestBeyondItsLimitACellGetsNoMore(t *testing.T) {
	full := func(r *Router) {
		r.nodes.of("use1-a").inFlight.Store(maxInFlightOfCell)
		r.nodes.of("use1-a").healthy.Store(true)
	}
	header := http.Header{"Authorization": {"Bearer v1." + string(customerOfCell(t, "use1-a")) + ".s.1.x"}}
	if w := limited(t, header, full); w.Code != http.StatusTooManyRequests || w.Header().Get("Retry-After") == "" || !strings.Contains(w.Body.String(), "resource_exhausted") {
		t.Errorf("got %d %s", w.Code, w.Body)
	}
	if w := limited(t, http.Header{}, full); w.Code != http.StatusServiceUnavailable || !strings.Contains(w.Body.String(), "no cell") {
		t.Errorf("who belongs nowhere: got %d %s", w.Code, w.Body)
	}
}

func customerOfCell(t *testing.T, cell string) ident.CustomerID {
	t.Helper()
	table := testTable(t)
	for {
		if id := ident.NewCustomer("use1"); table.owner(id).ID == cell {
			return id
		}
	}
}

func TestThoseWhoWaitHoldSoMuchMemory(t *testing.T) {
	header := http.Header{"Authorization": {"Bearer v1." + string(ident.NewCustomer("use1")) + ".s.1.x"}}
	w := limited(t, header, func(r *Router) { r.held.Store(maxHeld - 1) }) // of two bytes there is room for one
	if w.Code != http.StatusServiceUnavailable || w.Header().Get("Retry-After") == "" {
		t.Errorf("got %d %s", w.Code, w.Body)
	}
}

func TestBodiesTakeSoMuchMemory(t *testing.T) {
	w := limited(t, http.Header{}, func(r *Router) { r.bodies.Store(maxBodies - 1) })
	if w.Code != http.StatusTooManyRequests || !strings.Contains(w.Body.String(), "resource_exhausted") {
		t.Errorf("got %d %s", w.Code, w.Body)
	}
}

// Whatever happens, no more is spent in a window than the floor and the share of its requests.
func TestABudgetIsKept(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := clock.NewManual(time.Unix(0, 0))
		b := budget{percent: retryPercent, clock: c}
		requests, base, spent, begun := int64(0), int64(0), int64(0), time.Time{}
		for range rapid.IntRange(1, 300).Draw(t, "steps") {
			requests += rapid.Int64Range(0, 20).Draw(t, "requests")
			if rapid.IntRange(0, 99).Draw(t, "passes") == 0 {
				c.Advance(budgetWindow)
			}
			if c.Now().Sub(begun) >= budgetWindow {
				begun, base, spent = c.Now(), requests, 0
			}
			allowed := spent < budgetFloor+(requests-base)*retryPercent/100
			if got := b.spend(requests); got != allowed {
				t.Fatalf("%d spent of %d requests: one more %v", spent, requests-base, got)
			}
			if allowed {
				spent++
			}
		}
	})
}

func TestTheDelayIsThatOfNineteenInTwenty(t *testing.T) {
	var d delay
	if d.get() != mostDelay {
		t.Errorf("nothing is known, and the guess is %v", d.get())
	}
	for i := range 200_000 {
		d.saw(time.Duration(i*7919%1000) * 50 * time.Microsecond) // evenly from 0 to 50 ms
	}
	if got := d.get(); got < 45*time.Millisecond || got > 50*time.Millisecond {
		t.Errorf("got %v, want about 47.5 ms", got)
	}
	for range 100_000 {
		d.saw(0)
	}
	if d.get() != leastDelay {
		t.Errorf("got %v", d.get())
	}
}

// members that are all well, with weights, of states.
func members(states []topology.State, weights ...int) []member {
	var all []member
	for i, weight := range weights {
		m := member{&topology.Cell{ID: string(rune('a' + i)), Weight: weight, State: states[i]}, &node{breaker: newBreaker("x", time.Now, func(string, string) {})}}
		m.node.healthy.Store(true)
		all = append(all, m)
	}
	return all
}

func shares(all []member, not string) map[string]float64 {
	got := map[string]float64{}
	const draws = 50_000
	for range draws {
		if one, ok := choose(all, not); ok {
			got[one.cell.ID] += 1. / draws
		}
	}
	return got
}

func TestACellUnlikeAllOthersKeepsToItsShare(t *testing.T) {
	all := members([]topology.State{topology.Active, topology.Active, topology.Canary}, 100, 100, 10)
	for i := range 2 {
		all[i].node.inFlight.Store(50) // however idle it is
	}
	if got := shares(all, ""); math.Abs(got["c"]-10./210) > 0.01 || math.Abs(got["a"]-got["b"]) > 0.02 {
		t.Errorf("got %v", got)
	}
	if got := shares(all, "a"); got["a"] != 0 || math.Abs(got["c"]-10./110) > 0.01 {
		t.Errorf("without one: %v", got)
	}
}

func TestOfEqualsTheLessBusyForItsWeightIsTaken(t *testing.T) {
	all := members([]topology.State{topology.Active, topology.Active}, 100, 300)
	all[0].node.inFlight.Store(10)
	all[1].node.inFlight.Store(29)
	if got := shares(all, ""); got["b"] < 0.999 {
		t.Errorf("got %v", got)
	}
	all[1].node.inFlight.Store(31)
	if got := shares(all, ""); got["a"] < 0.999 {
		t.Errorf("got %v", got)
	}
	all[0].node.healthy.Store(false)
	if got := shares(all, ""); got["b"] < 0.999 {
		t.Errorf("got %v", got)
	}
	if _, ok := choose(all, "b"); ok {
		t.Error("nobody is left, and somebody is chosen")
	}
}

func TestPinnedCustomersAreRememberedUpToALimit(t *testing.T) {
	table := testTable(t)
	owner := func(id ident.CustomerID) string { return table.owner(id).ID }
	var last ident.CustomerID
	for range maxPinned + 100 {
		last = customerOfRing(table, "use1-a")
		table.learn(redirect{owner: "use1-b", ring: last.Region(), slot: last.Slot(), epoch: 2, customer: last})
		if got := owner(last); got != "use1-b" {
			t.Fatalf("got %s", got)
		}
	}
	if len(table.pinned) != maxPinned || len(table.hints) != 0 {
		t.Errorf("%d pinned, %d hints", len(table.pinned), len(table.hints))
	}
	table.learn(redirect{owner: "use1-a", ring: last.Region(), slot: last.Slot(), epoch: 1, customer: last}) // old news
	if got := owner(last); got != "use1-b" {
		t.Errorf("got %s", got)
	}
	next := *table.maps.Load()
	next.Version++
	next.Rings = slices.Clone(next.Rings)
	next.Rings[0].Slots[last.Slot()] = topology.SlotOwner{Cell: 0, Epoch: 5}
	table.maps.Offer(&next)
	table.forget()
	if got := owner(last); got != "use1-a" {
		t.Errorf("a newer map says otherwise: %s", got)
	}
}

func TestAHintThatNamesACellNotToBeAskedIsPassedOver(t *testing.T) {
	table := testTable(t)
	id := customerOfRing(table, "use1-a")
	table.learn(redirect{owner: "use1-b", ring: id.Region(), slot: id.Slot(), epoch: 2})
	if got := table.owner(id).ID; got != "use1-b" {
		t.Fatalf("got %s", got)
	}
	next := *table.maps.Load()
	next.Version++
	next.Cells = slices.Clone(next.Cells)
	next.Cells[1].State = topology.Evacuated
	table.maps.Offer(&next)
	table.forget()
	if got := table.owner(id); got == nil || got.ID != "use1-a" {
		t.Errorf("got %v", got)
	}
}

func TestWhatIsKnownOfASlotSaysNothingOfPinnedCustomers(t *testing.T) {
	table := testTable(t)
	id := customerOfRing(table, "use1-a")
	next := *table.maps.Load()
	next.Version++
	next.Rings = slices.Clone(next.Rings)
	next.SetOverrides([]topology.Override{{Customer: id, Cell: 2}})
	if err := next.Validate(); err != nil {
		t.Fatal(err)
	}
	table.maps.Offer(&next)
	pinned := table.owner(id).ID
	table.learn(redirect{owner: "use1-b", ring: id.Region(), slot: id.Slot(), epoch: 9})
	if got := table.owner(id).ID; got != pinned || got == "use1-a" || got == "use1-b" {
		t.Errorf("got %s, want %s", got, pinned)
	}
	table.learn(redirect{owner: "use1-b", ring: id.Region(), slot: id.Slot(), epoch: 9, customer: id})
	if got := table.owner(id).ID; got != "use1-b" {
		t.Errorf("got %s", got)
	}
}

func customerOfRing(t *table, cell string) ident.CustomerID {
	for {
		if id := ident.NewCustomer("use1"); t.owner(id).ID == cell {
			return id
		}
	}
}

func TestTimeoutsOfGRPC(t *testing.T) {
	for header, want := range map[string]time.Duration{
		"250m": 250 * time.Millisecond, "3S": 3 * time.Second, "99999999u": 0, "20000000u": 20 * time.Second, "1000000n": time.Millisecond,
		"1M": 0, "1H": 0, "99999999H": 0, "": 0, "5": 0, "m": 0, "-5m": 0, "123456789m": 0, "5x": 0, "0m": 0,
	} {
		if got, asked := grpcTimeoutOf(header); got != want || asked != (want > 0) {
			t.Errorf("%q: got %v, %v", header, got, asked)
		}
	}
}
