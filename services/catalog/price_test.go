package catalog

import (
	"context"
	"testing"
	"time"

	"pgregory.net/rapid"

	catalogv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/catalog/v1"
	"github.com/cellar-commerce/cellar/internal/money"
)

const day = 24 * time.Hour

// Whatever a product has cost and when: what is kept tells the lowest price of the 30 days before each change, or a lower one where there
// was no room for all; and it never grows beyond its limit.
func TestAHistoryTellsTheLowestPriceOfThirtyDays(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		type price struct {
			minor int64
			until time.Time
		}
		now := time.Date(2031, 5, 4, 12, 0, 0, 0, time.UTC)
		limit := rapid.SampledFrom([]int{5, 60}).Draw(r, "changes")
		var all []price
		var h *catalogv1.PriceHistory
		for range limit {
			now = now.Add(rapid.SampledFrom([]time.Duration{time.Minute, day, 10 * day, 31 * day}).Draw(r, "later"))
			was := rapid.Int64Range(1, 40).Draw(r, "was")
			all = append(all, price{was, now})
			h = changedPrice(h, money.USD(was).Proto(), now)
			lowest, rising := int64(1<<60), 0
			for _, p := range all {
				if p.until.After(now.Add(-money.ReductionWindow)) {
					lowest = min(lowest, p.minor)
					rising++
				}
			}
			got := h.GetPast()[0].GetPrice().GetMinorUnits()
			if len(h.GetPast()) > maxPastPrices || got > lowest || (rising <= maxPastPrices && got != lowest) || !h.GetChangedAt().AsTime().Equal(now) {
				r.Fatalf("after %v it is %v, lowest %d", all, h, lowest)
			}
		}
	})
}

func TestAPriceThatIsSetIsRememberedWithTheOnesBefore(t *testing.T) {
	f, ctx := newFixture(t), context.Background()
	histories := func() []*catalogv1.PriceHistory {
		resp, err := f.ListPriceHistories(ctx, &catalogv1.ListPriceHistoriesRequest{Skus: []string{"A", "B", "NONE"}})
		if err != nil {
			t.Fatal(err)
		}
		return resp.GetHistories()
	}
	f.upsert(t, product("A"))
	f.upsert(t, product("B"))
	f.upsert(t, product("A", func(p *catalogv1.Product) { p.Title = "Another" }))
	if all := histories(); len(all) != 0 {
		t.Fatalf("no price has changed: %v", all)
	}
	f.clock.Advance(day)
	if _, err := f.SetPrice(ctx, &catalogv1.SetPriceRequest{Sku: "A", Price: money.USD(1500).Proto()}); err != nil {
		t.Fatal(err)
	}
	f.clock.Advance(day)
	f.upsert(t, product("A", func(p *catalogv1.Product) { p.Price = money.USD(1800).Proto() }))
	all := histories()
	if len(all) != 1 || all[0].GetSku() != "A" || len(all[0].GetPast()) != 1 || all[0].GetPast()[0].GetPrice().GetMinorUnits() != 1500 || !all[0].GetChangedAt().AsTime().Equal(f.clock.Now()) {
		t.Errorf("19.99, then 15.00, then 18.00 is %v", all)
	}
}
