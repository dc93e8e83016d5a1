package catalog

import (
	"slices"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	catalogv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/catalog/v1"
	moneyv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/money/v1"
	"github.com/cellar-commerce/cellar/internal/money"
)

// maxPastPrices of a product. They rise from one to the next within the window, so more are rare.
const maxPastPrices = 16

// changedPrice adds a price that has been in force until now to a product's history, and leaves out what can no longer be the lowest of
// the window (money.ReductionWindow): what ended before it, and what a later price was not above. Where there is no more room the two oldest become one, at the
// lower price for the time of both: a reduction may then be told as smaller than it is, never as greater.
func changedPrice(h *catalogv1.PriceHistory, was *moneyv1.Money, now time.Time) *catalogv1.PriceHistory {
	var past []*catalogv1.PastPrice
	for _, p := range h.GetPast() {
		if p.GetUntil().AsTime().After(now.Add(-money.ReductionWindow)) && p.GetPrice().GetMinorUnits() < was.GetMinorUnits() {
			past = append(past, p)
		}
	}
	past = append(past, &catalogv1.PastPrice{Price: was, Until: timestamppb.New(now)})
	if len(past) > maxPastPrices {
		past[0].Until = past[1].GetUntil()
		past = slices.Delete(past, 1, 2)
	}
	return &catalogv1.PriceHistory{ChangedAt: timestamppb.New(now), Past: past}
}
