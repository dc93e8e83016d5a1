package fulfillment

import (
	"context"
	"errors"
	"math/bits"
	"slices"
	"strings"
	"sync"
	"testing"

	"pgregory.net/rapid"

	fulfillmentv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/fulfillment/v1"
	inventoryv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/inventory/v1"
	postalv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/postal/v1"
	"github.com/cellar-commerce/cellar/internal/ident"
	"github.com/cellar-commerce/cellar/internal/problem"
)

// asked is a region's inventory that notes what it is asked.
type asked struct {
	mu     sync.Mutex
	stocks []*inventoryv1.Stock
	fcs    [][]string // of each question
}

func (a *asked) ListStock(_ context.Context, req *inventoryv1.ListStockRequest) (*inventoryv1.ListStockResponse, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	fcs := slices.Sorted(slices.Values(req.GetFcIds()))
	a.fcs = append(a.fcs, fcs)
	resp := &inventoryv1.ListStockResponse{}
	for _, st := range a.stocks {
		if len(fcs) == 0 || slices.Contains(fcs, st.GetFcId()) {
			resp.Stocks = append(resp.Stocks, st)
		}
	}
	return resp, nil
}

// rumors are summaries, or why there are none.
type rumors struct {
	all []*inventoryv1.StockSummary
	err error
}

func (r rumors) ListSummaries(context.Context, *inventoryv1.ListSummariesRequest) (*inventoryv1.ListSummariesResponse, error) {
	return &inventoryv1.ListSummariesResponse{Summaries: r.all}, r.err
}

// worth of the summaries, as it was observed.
type worth struct{ right, empty, missed, soldOut, unasked int }

func (w *worth) OrderPlanned(asked bool) {
	if !asked {
		w.unasked++
	}
}
func (w *worth) SummaryAnswered(right, empty int) { w.right += right; w.empty += empty }
func (w *worth) SummaryFellShort(found bool) {
	if found {
		w.missed++
	} else {
		w.soldOut++
	}
}

// said is a summary: the FCs by their ordinals, which are those of their ids in order (ewr1, iad1, sea1).
func said(sku string, region ident.Region, ordinals ...int) *inventoryv1.StockSummary {
	out := &inventoryv1.StockSummary{Sku: sku, Region: string(region), Fcs: []byte{0}}
	for _, n := range ordinals {
		out.Fcs[0] |= 1 << n
	}
	return out
}

// levels of FCs by their ordinals, for a summary.
func levels(sku string, region ident.Region, version int64, of ...uint8) *inventoryv1.StockSummary {
	out := &inventoryv1.StockSummary{Sku: sku, Region: string(region), Version: version, Fcs: []byte{0}, Levels: make([]byte, (len(of)+1)/2)}
	for n, level := range of {
		if level > 0 {
			out.Fcs[0] |= 1 << n
		}
		out.Levels[n/2] |= level << (n % 2 * 4)
	}
	return out
}

// listen to summaries, and watch what they are worth.
func (w *world) listen(from Summarizer) *worth {
	seen := &worth{}
	w.deps.Observe, w.known = seen, newKnown(from, w.clock, 100)
	return seen
}

const (
	ewr = iota
	iad
	sea
)

func TestOnlyThoseAreAskedWhoHaveSome(t *testing.T) {
	ale := func(quantity int64) *fulfillmentv1.PlanLine {
		return &fulfillmentv1.PlanLine{Line: 1, Sku: "ale", Quantity: quantity}
	}
	all := [][]string{nil}
	w := newWorld(t, nil)
	for name, c := range map[string]struct {
		rumors     rumors
		east, west [][]string // what each region is asked
		quantity   int64
		refused    bool
		worth      worth
	}{
		"one FC":             {rumors{all: []*inventoryv1.StockSummary{said("ale", "us-east-1", iad)}}, [][]string{{"iad1"}}, nil, 2, false, worth{right: 1}},
		"two regions":        {rumors{all: []*inventoryv1.StockSummary{said("ale", "us-east-1", iad), said("ale", "us-west-2", sea)}}, [][]string{{"iad1"}}, nil, 2, false, worth{right: 1}},
		"both are needed":    {rumors{all: []*inventoryv1.StockSummary{said("ale", "us-east-1", iad), said("ale", "us-west-2", sea)}}, [][]string{{"iad1"}}, [][]string{{"sea1"}}, 6, false, worth{right: 2}},
		"a bit too many":     {rumors{all: []*inventoryv1.StockSummary{said("ale", "us-east-1", ewr, iad)}}, [][]string{{"ewr1", "iad1"}}, nil, 2, false, worth{right: 1, empty: 1}},
		"a bit too few":      {rumors{all: []*inventoryv1.StockSummary{said("ale", "us-east-1", iad)}}, all, all, 7, false, worth{missed: 1}},
		"only wrong bits":    {rumors{all: []*inventoryv1.StockSummary{said("ale", "us-east-1", ewr)}}, [][]string{{"ewr1"}, nil}, all, 2, false, worth{empty: 1, missed: 1}},
		"sold out":           {rumors{all: []*inventoryv1.StockSummary{said("ale", "us-east-1", iad)}}, all, all, 99, true, worth{soldOut: 1}},
		"nobody has any":     {rumors{all: []*inventoryv1.StockSummary{said("ale", "us-east-1")}}, all, all, 2, false, worth{}},
		"nothing is known":   {rumors{}, all, all, 2, false, worth{}},
		"none can be read":   {rumors{err: errors.New("played by a test")}, all, all, 2, false, worth{}},
		"a bit of no FC":     {rumors{all: []*inventoryv1.StockSummary{said("ale", "us-east-1", iad, 7)}}, [][]string{{"iad1"}}, nil, 2, false, worth{right: 1}},
		"another product":    {rumors{all: []*inventoryv1.StockSummary{said("cider", "us-east-1", iad)}}, all, all, 2, false, worth{}},
		"a region we forgot": {rumors{all: []*inventoryv1.StockSummary{said("ale", "ap-south-1", iad)}}, [][]string{{"iad1"}}, nil, 2, false, worth{right: 1}},
	} {
		t.Run(name, func(t *testing.T) {
			east, west := &asked{stocks: []*inventoryv1.Stock{has("iad1", "ale", 5)}}, &asked{stocks: []*inventoryv1.Stock{has("sea1", "ale", 5)}}
			w.deps.Stock = map[ident.Region]StockLister{"us-east-1": east, "us-west-2": west}
			seen := w.listen(c.rumors)
			_, err := w.PlanOrder(t.Context(), toNewYork(ale(c.quantity)))
			if c.refused {
				refused(t, err, problem.Precondition, "OUT_OF_STOCK")
			} else if err != nil {
				t.Error(err)
			}
			if !slices.EqualFunc(east.fcs, c.east, slices.Equal) || !slices.EqualFunc(west.fcs, c.west, slices.Equal) {
				t.Errorf("asked %v and %v, want %v and %v", east.fcs, west.fcs, c.east, c.west)
			}
			if *seen != c.worth {
				t.Errorf("the summaries were worth %+v, want %+v", *seen, c.worth)
			}
		})
	}
}

func TestAnOrderIsPlannedWithoutAskingWhereThereIsPlenty(t *testing.T) {
	w := newWorld(t, nil)
	for name, c := range map[string]struct {
		levels   []uint8 // at ewr1, iad1, sea1
		quantity int64
		excluded []string
		fcs      string
		asked    bool
	}{
		"half of the least at the nearest":                    {[]uint8{2, 2, 2}, 2, nil, "ewr1", false},
		"more than that at the nearest":                       {[]uint8{2, 0, 0}, 3, nil, "ewr1", true},
		"the nearest cannot have enough, the next has plenty": {[]uint8{1, 3, 0}, 4, nil, "iad1", false},
		"the nearest could have enough and is asked":          {[]uint8{1, 3, 0}, 3, nil, "iad1", true},
		"the last few":                  {[]uint8{1, 0, 0}, 1, nil, "ewr1", true},
		"a thousand":                    {[]uint8{6, 0, 0}, 500, nil, "ewr1", false},
		"more than four bits could say": {[]uint8{15, 0, 0}, 999, nil, "ewr1", false},
		"a second plan, when somebody there had less than said": {[]uint8{3, 3, 0}, 1, []string{"ewr1"}, "iad1", true},
	} {
		t.Run(name, func(t *testing.T) {
			east := &asked{stocks: []*inventoryv1.Stock{has("ewr1", "ale", 2), has("iad1", "ale", 50)}}
			if c.levels[1] == 0 {
				east.stocks = []*inventoryv1.Stock{has("ewr1", "ale", 9)}
			}
			w.deps.Stock = map[ident.Region]StockLister{"us-east-1": east}
			seen := w.listen(rumors{all: []*inventoryv1.StockSummary{levels("ale", "us-east-1", 1, c.levels...)}})
			req := toNewYork(&fulfillmentv1.PlanLine{Line: 1, Sku: "ale", Quantity: c.quantity})
			req.ExcludedFcs = c.excluded
			resp, err := w.PlanOrder(t.Context(), req)
			if err != nil || fcs(resp) != c.fcs {
				t.Fatalf("got %v, %v", resp, err)
			}
			if (len(east.fcs) > 0) != c.asked || (seen.unasked == 0) != c.asked {
				t.Errorf("asked %v, observed %+v; want %v", east.fcs, seen, c.asked)
			}
		})
	}
}

// Whatever the counts are, a plan that asks only where it must is as good as one that has asked everybody, as long as the
// summaries are right.
func TestAPlanBySummariesIsAsGoodAsOneThatAsksEverybody(t *testing.T) {
	w := newWorld(t, nil)
	rapid.Check(t, func(t *rapid.T) {
		skus := []string{"ale", "port", "rum"}
		stock := map[ident.Region]StockLister{}
		var all []*inventoryv1.StockSummary
		for region, ids := range map[ident.Region][]string{"us-east-1": {"ewr1", "iad1"}, "us-west-2": {"", "", "sea1"}} {
			shelves := &asked{}
			for _, sku := range skus {
				of := make([]uint8, len(ids))
				for n, id := range ids {
					if id == "" {
						continue
					}
					units := rapid.SampledFrom([]int64{0, 1, 2, 3, 4, 7, 15, 16, 70, 300}).Draw(t, "units")
					if of[n] = uint8((bits.Len64(uint64(units)) + 1) / 2); units > 0 {
						shelves.stocks = append(shelves.stocks, has(id, sku, units))
					}
				}
				all = append(all, levels(sku, region, 1, of...))
			}
			stock[region] = shelves
		}
		w.deps.Stock = stock
		w.listen(rumors{all: all})
		e := errand{to: newYork, now: opened}
		for i := range rapid.IntRange(1, 4).Draw(t, "lines") {
			e.wants = append(e.wants, Want{Line: int32(i + 1), SKU: rapid.SampledFrom(skus).Draw(t, "sku"), Quantity: rapid.Int64Range(1, 40).Draw(t, "quantity")})
		}
		got, err := w.planOrder(context.Background(), e)
		want, wantErr := w.planWithAll(context.Background(), w.centers, e)
		if (err == nil) != (wantErr == nil) {
			t.Fatalf("%v; of all %v", err, wantErr)
		}
		p, d, c := got.Score(e.speed)
		if wp, wd, wc := want.Score(e.speed); p != wp || d != wd || c != wc {
			t.Fatalf("%d parcels, day %d, %d cents; of all %d, %d, %d", p, d, c, wp, wd, wc)
		}
	})
}

func TestRegionsThatCannotBeReachedArePlannedWithOnlyWhenNothingElseWillDo(t *testing.T) {
	east, west := &asked{stocks: []*inventoryv1.Stock{has("iad1", "ale", 200)}}, &asked{stocks: []*inventoryv1.Stock{has("sea1", "ale", 200)}}
	w := newWorld(t, map[ident.Region]StockLister{"us-east-1": east, "us-west-2": west})
	w.listen(rumors{all: []*inventoryv1.StockSummary{levels("ale", "us-east-1", 1, 0, 4), levels("ale", "us-west-2", 1, 0, 0, 4)}})
	open := map[ident.Region]bool{}
	w.deps.Reachable = func(r ident.Region) bool { return !open[r] }
	const seattle, newYork = "98101", "10001"
	to := func(postalCode string, quantity int64) *fulfillmentv1.PlanOrderRequest {
		return &fulfillmentv1.PlanOrderRequest{
			ShipTo: &postalv1.PostalAddress{RegionCode: "US", PostalCode: postalCode}, Lines: []*fulfillmentv1.PlanLine{{Line: 1, Sku: "ale", Quantity: quantity}},
		}
	}
	for _, step := range []struct {
		what     string
		open     ident.Region
		to       string
		quantity int64
		want     string
	}{
		{"all is well", "", seattle, 1, "sea1"},
		{"the west is away", "us-west-2", seattle, 1, "iad1"},
		{"the east alone has too little", "us-west-2", seattle, 300, "iad1 sea1"},
		{"this region's own", "us-east-1", newYork, 1, "sea1"},
		{"the west alone has too little", "us-east-1", newYork, 300, "iad1 sea1"},
		{"all are back", "", seattle, 1, "sea1"},
		{"all are back, here too", "", newYork, 1, "iad1"},
	} {
		clear(open)
		open[step.open] = true
		resp, err := w.PlanOrder(t.Context(), to(step.to, step.quantity))
		if got := strings.Fields(fcs(resp)); err != nil || strings.Join(slices.Sorted(slices.Values(got)), " ") != step.want {
			t.Errorf("%s: %v, %v; want %s", step.what, got, err, step.want)
		}
	}
}

func TestARegionIsPlannedAroundAlsoWhereNobodyHasSummaries(t *testing.T) {
	east, west := &asked{stocks: []*inventoryv1.Stock{has("iad1", "ale", 200)}}, &asked{stocks: []*inventoryv1.Stock{has("sea1", "ale", 200)}}
	w := newWorld(t, map[ident.Region]StockLister{"us-east-1": east, "us-west-2": west})
	w.deps.Reachable = func(r ident.Region) bool { return r != "us-west-2" }
	for quantity, want := range map[int64]string{1: "iad1", 300: "iad1 sea1"} {
		resp, err := w.PlanOrder(t.Context(), &fulfillmentv1.PlanOrderRequest{
			ShipTo: &postalv1.PostalAddress{RegionCode: "US", PostalCode: "98101"}, Lines: []*fulfillmentv1.PlanLine{{Line: 1, Sku: "ale", Quantity: quantity}},
		})
		if got := strings.Fields(fcs(resp)); err != nil || strings.Join(slices.Sorted(slices.Values(got)), " ") != want {
			t.Errorf("%d units: %v, %v; want %s", quantity, got, err, want)
		}
	}
}

func TestCentersAreNumberedOnce(t *testing.T) {
	w := newWorld(t, nil)
	numbers := func() map[string]int {
		t.Helper()
		w.readAt, w.centers = w.readAt.Add(-2*centersFor), nil
		all := map[string]int{}
		for _, c := range centers {
			n, ok := w.Ordinal(t.Context(), c.ID)
			if !ok {
				t.Fatalf("%s has no number", c.ID)
			}
			all[c.ID] = n
		}
		return all
	}
	before := numbers()
	if before["ewr1"] != ewr || before["iad1"] != iad || before["sea1"] != sea {
		t.Errorf("numbered %v", before)
	}
	more := append(slices.Clone(centers), Center{ID: "aaa1", Region: "us-east-1", Name: "A", City: "A", CountryCode: "US"})
	if err := w.OpenCenters(t.Context(), more); err != nil {
		t.Fatal(err)
	}
	if after := numbers(); after["ewr1"] != ewr || after["iad1"] != iad || after["sea1"] != sea {
		t.Errorf("numbered anew: %v", after)
	}
	if n, ok := w.Ordinal(t.Context(), "aaa1"); !ok || n != 3 {
		t.Errorf("the new one has %d, %v", n, ok)
	}
	if _, ok := w.Ordinal(t.Context(), "zzz1"); ok {
		t.Error("a centre that does not exist has a number")
	}
}
