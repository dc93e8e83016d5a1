package fulfillment

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"

	fulfillmentv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/fulfillment/v1"
	inventoryv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/inventory/v1"
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
type worth struct{ right, empty, missed, soldOut int }

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
	out := &inventoryv1.StockSummary{Sku: sku, Region: string(region)}
	for _, n := range ordinals {
		out.Fcs = union(out.Fcs, []byte{1 << n})
	}
	return out
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
	for name, c := range map[string]struct {
		rumors     rumors
		east, west [][]string // what each region is asked
		quantity   int64
		refused    bool
		worth      worth
	}{
		"one FC":             {rumors{all: []*inventoryv1.StockSummary{said("ale", "us-east-1", iad)}}, [][]string{{"iad1"}}, nil, 2, false, worth{right: 1}},
		"two regions":        {rumors{all: []*inventoryv1.StockSummary{said("ale", "us-east-1", iad), said("ale", "us-west-2", sea)}}, [][]string{{"iad1"}}, [][]string{{"sea1"}}, 2, false, worth{right: 2}},
		"a bit too many":     {rumors{all: []*inventoryv1.StockSummary{said("ale", "us-east-1", ewr, iad)}}, [][]string{{"ewr1", "iad1"}}, nil, 2, false, worth{right: 1, empty: 1}},
		"a bit too few":      {rumors{all: []*inventoryv1.StockSummary{said("ale", "us-east-1", iad)}}, [][]string{{"iad1"}, nil}, all, 7, false, worth{right: 1, missed: 1}},
		"only wrong bits":    {rumors{all: []*inventoryv1.StockSummary{said("ale", "us-east-1", ewr)}}, [][]string{{"ewr1"}, nil}, all, 2, false, worth{empty: 1, missed: 1}},
		"sold out":           {rumors{all: []*inventoryv1.StockSummary{said("ale", "us-east-1", iad)}}, [][]string{{"iad1"}, nil}, all, 99, true, worth{right: 1, soldOut: 1}},
		"nobody has any":     {rumors{all: []*inventoryv1.StockSummary{said("ale", "us-east-1")}}, all, all, 2, false, worth{}},
		"nothing is known":   {rumors{}, all, all, 2, false, worth{}},
		"none can be read":   {rumors{err: errors.New("played by a test")}, all, all, 2, false, worth{}},
		"a bit of no FC":     {rumors{all: []*inventoryv1.StockSummary{said("ale", "us-east-1", iad, 7)}}, [][]string{{"iad1"}}, nil, 2, false, worth{right: 1}},
		"another product":    {rumors{all: []*inventoryv1.StockSummary{said("cider", "us-east-1", iad)}}, all, all, 2, false, worth{}},
		"a region we forgot": {rumors{all: []*inventoryv1.StockSummary{said("ale", "ap-south-1", iad)}}, [][]string{{"iad1"}}, nil, 2, false, worth{right: 1}},
	} {
		t.Run(name, func(t *testing.T) {
			east, west := &asked{stocks: []*inventoryv1.Stock{has("iad1", "ale", 5)}}, &asked{stocks: []*inventoryv1.Stock{has("sea1", "ale", 5)}}
			w := newWorld(t, map[ident.Region]StockLister{"us-east-1": east, "us-west-2": west})
			seen := &worth{}
			w.deps.Summaries, w.deps.Observe = c.rumors, seen
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
