package order

import (
	"math/bits"

	orderv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/order/v1"
	"github.com/cellar-commerce/cellar/internal/money"
)

// Shares of an order's money. A line's discount and tax are of the whole line, and rarely divide by its units. So a
// share is never rounded by itself: what the first k units bear is the whole times k over the quantity, rounded down,
// and the units after them bear the difference. Whatever the line is cut into, in whatever order, the pieces add up to
// the line, to the last cent.

// upTo is the part of a whole amount that the first k of n units bear.
func upTo(whole, k, n int64) int64 {
	if n <= 0 || k <= 0 || whole <= 0 {
		return 0
	}
	hi, lo := bits.Mul64(uint64(whole), uint64(min(k, n)))
	q, _ := bits.Div64(hi, lo, uint64(n)) // hi < n, because k <= n and the whole fits 63 bits
	return int64(q)
}

// between is what units after the first `from` and up to `to` of a line bear: price, less discount, with tax.
func between(l *orderv1.Line, from, to int64) int64 {
	n := l.GetQuantity()
	part := func(m int64) int64 { return upTo(m, to, n) - upTo(m, from, n) }
	return l.GetUnitPrice().GetMinorUnits()*(to-from) - part(l.GetDiscount().GetMinorUnits()) + part(l.GetTax().GetMinorUnits())
}

// totals adds an order's lines up. An error is an overflow or a mix of currencies: such an order is refused.
func totals(o *orderv1.Order) (items, total money.Amount, err error) {
	items = money.Zero(o.GetTotal().GetCurrencyCode())
	for _, l := range o.GetLines() {
		line, err := money.FromProto(l.GetUnitPrice()).Times(l.GetQuantity())
		if err != nil {
			return items, total, err
		}
		if items, err = items.Add(line); err != nil {
			return items, total, err
		}
	}
	total = items
	discount := money.Amount{Minor: -o.GetDiscount().GetMinorUnits(), Currency: o.GetTotal().GetCurrencyCode()}
	for _, extra := range []money.Amount{discount, money.FromProto(o.GetShipping()), money.FromProto(o.GetTax())} {
		if total, err = total.Add(extra); err != nil {
			return items, total, err
		}
	}
	return items, total, nil
}
