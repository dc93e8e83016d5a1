package fulfillment

import (
	"fmt"
	"testing"

	"pgregory.net/rapid"

	problemv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/problem/v1"
	"github.com/cellar-commerce/cellar/internal/problem"
)

func drawOffers(t *rapid.T) []offer {
	offers := make([]offer, rapid.IntRange(0, 8).Draw(t, "offers"))
	for i := range offers {
		offers[i] = offer{center: Center{ID: fmt.Sprintf("fc%d", i)}, distance: rapid.Float64Range(1, 1000).Draw(t, "km"), stock: map[string]int64{}}
		for _, sku := range []string{"a", "b", "c"} {
			if n := rapid.Int64Range(0, 6).Draw(t, sku); n > 0 {
				offers[i].stock[sku] = n
			}
		}
	}
	return offers
}

func TestAPlanSendsExactlyWhatIsWantedFromWhatThereIsOrTheSumIsTooSmall(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		offers := drawOffers(t)
		var wants []want
		wanted, sum := map[string]int64{}, map[string]int64{}
		for i := range rapid.IntRange(1, 5).Draw(t, "lines") {
			w := want{line: int32(i + 1), sku: rapid.SampledFrom([]string{"a", "b", "c"}).Draw(t, "sku"), quantity: rapid.Int64Range(1, 8).Draw(t, "quantity")}
			wants = append(wants, w)
			wanted[w.sku] += w.quantity
		}
		for _, o := range offers {
			for sku, n := range o.stock {
				sum[sku] += n
			}
		}
		possible := true
		for sku, n := range wanted {
			possible = possible && sum[sku] >= n
		}
		parcels, err := plan(wants, offers)
		if (err == nil) != possible {
			t.Fatalf("possible %v, got %v", possible, err)
		}
		if err != nil {
			if _, ok := problem.Detail[*problemv1.OutOfStock](err); !ok {
				t.Fatalf("a refusal names what is short: %v", err)
			}
			return
		}
		checkParcels(t, parcels, wants, offers)
	})
}

func checkParcels(t *rapid.T, parcels []parcel, wants []want, offers []offer) {
	stock := map[string]map[string]int64{}
	for _, o := range offers {
		stock[o.center.ID] = stockOf(wants, o.stock)
	}
	sent := map[int32]int64{}
	seen := map[string]bool{}
	for _, p := range parcels {
		if seen[p.center.ID] || len(p.lines) == 0 {
			t.Fatalf("%s sends %d lines, twice: %v", p.center.ID, len(p.lines), seen[p.center.ID])
		}
		seen[p.center.ID] = true
		for _, l := range p.lines {
			sent[l.line] += l.quantity
			if stock[p.center.ID][l.sku] -= l.quantity; stock[p.center.ID][l.sku] < 0 {
				t.Fatalf("%s is asked for more than it has", p.center.ID)
			}
		}
	}
	for _, w := range wants {
		if sent[w.line] != w.quantity {
			t.Fatalf("line %d: %d sent of %d", w.line, sent[w.line], w.quantity)
		}
	}
}

func TestOneParcelFromTheNearestThatHasEverything(t *testing.T) {
	offers := []offer{
		{center: Center{ID: "near"}, distance: 10, stock: map[string]int64{"a": 1}},
		{center: Center{ID: "far"}, distance: 900, stock: map[string]int64{"a": 5, "b": 5}},
		{center: Center{ID: "middle"}, distance: 500, stock: map[string]int64{"a": 1, "b": 1}},
	}
	parcels, err := plan([]want{{1, "a", 1}, {2, "b", 1}}, offers)
	if err != nil || len(parcels) != 1 || parcels[0].center.ID != "middle" {
		t.Errorf("got %v, %v", parcels, err)
	}
}

func TestALineIsSplitWhenNoCenterHasEnough(t *testing.T) {
	offers := []offer{
		{center: Center{ID: "x"}, distance: 1, stock: map[string]int64{"a": 2}},
		{center: Center{ID: "y"}, distance: 2, stock: map[string]int64{"a": 3}},
	}
	parcels, err := plan([]want{{1, "a", 5}}, offers)
	if err != nil || len(parcels) != 2 {
		t.Errorf("got %v, %v", parcels, err)
	}
}
