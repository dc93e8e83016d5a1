package inventory

import (
	"slices"
	"strings"
	"time"

	problemv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/problem/v1"
	"github.com/cellar-commerce/cellar/internal/problem"
)

// State of a reservation, as stored; see the package comment.
type State string

// The states.
const (
	Held      State = "HELD"
	Committed State = "COMMITTED"
	Shipped   State = "SHIPPED"
	Released  State = "RELEASED"
	Expired   State = "EXPIRED"
)

// Reasons of refusals.
const (
	reasonOutOfStock     = "OUT_OF_STOCK"
	reasonHoldExpired    = "HOLD_EXPIRED"
	reasonHoldReleased   = "HOLD_RELEASED"
	reasonAlreadyShipped = "ALREADY_SHIPPED"
	reasonUnknownHold    = "UNKNOWN_HOLD"
)

// Limits.
const (
	maxLines    = 200
	maxQuantity = 999
	// maxHold is the longest that a hold may last: a payment that hangs for longer is given up.
	maxHold = time.Hour
	// maxRestockLines of one delivery message, and maxRestock units of one line.
	maxRestockLines = 1000
	maxRestock      = 1_000_000
	maxSKUs         = 200
	maxFCs          = 500
)

// line of an order at an FC.
type line struct {
	number   int32
	sku      string
	quantity int64
}

// reservation as stored.
type reservation struct {
	line
	state     State
	expiresAt time.Time
}

// holding tells whether a reservation counts in the row's reserved.
func (r reservation) holding() bool { return r.state == Held || r.state == Committed }

// bySKU sums lines of the same product and sorts by SKU: the order in which rows are locked.
func bySKU(lines []line) (skus []string, quantities []int64) {
	sums := map[string]int64{}
	for _, l := range lines {
		sums[l.sku] += l.quantity
	}
	for sku := range sums {
		skus = append(skus, sku)
	}
	slices.Sort(skus)
	for _, sku := range skus {
		quantities = append(quantities, sums[sku])
	}
	return skus, quantities
}

// shortages of what is wanted against what is available; nil when there is enough of everything.
func shortages(skus []string, wanted []int64, available map[string]int64) error {
	var short []*problemv1.Shortage
	for i, sku := range skus {
		if have := available[sku]; have < wanted[i] {
			short = append(short, &problemv1.Shortage{Sku: sku, Requested: wanted[i], Available: max(have, 0)})
		}
	}
	if len(short) == 0 {
		return nil
	}
	return problem.New(problem.Precondition, reasonOutOfStock, "there is not enough in stock", &problemv1.OutOfStock{Shortages: short})
}

func sortLines(lines []line) []line {
	return slices.SortedFunc(slices.Values(lines), func(a, b line) int { return int(a.number - b.number) })
}

// validKey bounds ids that callers choose.
func validKey(s string, limit int) bool {
	return s != "" && len(s) <= limit && !strings.ContainsFunc(s, func(r rune) bool { return r < 0x20 || r == 0x7f })
}
