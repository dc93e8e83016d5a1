package checkout

import (
	"math/bits"
	"slices"

	checkoutv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/checkout/v1"
	"github.com/cellar-commerce/cellar/internal/money"
	"github.com/cellar-commerce/cellar/internal/problem"
	"github.com/cellar-commerce/cellar/internal/tax"
)

// fee of delivery in minor units of the order's currency.
type fee struct {
	amount int64
	// freeFrom is the worth of the goods, discounts taken off, from which delivery costs nothing; 0: it always costs.
	freeFrom int64
}

// fees by speed, of an order that is not all Prime. Standard is a part of what a carrier takes for one parcel, and costs nothing
// where the goods can bear it, so that small orders do not lose money and larger ones are not put off; express is for those who
// want it, and always costs.
var fees = map[checkoutv1.Speed]fee{
	checkoutv1.Speed_SPEED_STANDARD: {amount: 4_99, freeFrom: 35_00},
	checkoutv1.Speed_SPEED_EXPRESS:  {amount: 12_99},
}

func shippingFee(speed checkoutv1.Speed, worth int64) int64 {
	f, known := fees[speed]
	if !known {
		f = fees[checkoutv1.Speed_SPEED_STANDARD]
	}
	if f.freeFrom > 0 && worth >= f.freeFrom {
		return 0
	}
	return f.amount
}

// allPrime tells whether every line of a quote is.
func allPrime(q *checkoutv1.QuoteSnapshot) bool {
	return !slices.ContainsFunc(q.GetLines(), func(l *checkoutv1.QuoteLine) bool { return !l.GetPrime() })
}

// shippingOf a quote whose goods are worth so much. Prime goods by themselves cost nothing to deliver, however fast. One line that is
// not Prime has the whole order pay: a line may come in several parcels, and parcels have lines of both kinds, so that no part of the
// fee is anybody's.
func shippingOf(q *checkoutv1.QuoteSnapshot, worth int64) int64 {
	if allPrime(q) {
		return 0
	}
	return shippingFee(q.GetSpeed(), worth)
}

// spread an amount by weights, none negative and one positive, by the method of the largest remainder: the shares add up
// to the amount. No share exceeds its weight when the amount does not exceed their sum.
func spread(amount int64, weights []int64) []int64 {
	var sum, given uint64
	for _, w := range weights {
		sum += uint64(w)
	}
	shares, rests, order := make([]int64, len(weights)), make([]uint64, len(weights)), make([]int, len(weights))
	for i, w := range weights {
		hi, lo := bits.Mul64(uint64(amount), uint64(w))
		q, r := bits.Div64(hi, lo, sum)
		shares[i], rests[i], order[i] = int64(q), r, i
		given += q
	}
	slices.SortStableFunc(order, func(a, b int) int { // of equals the first
		switch {
		case rests[a] > rests[b]:
			return -1
		case rests[a] < rests[b]:
			return 1
		default:
			return 0
		}
	})
	for _, i := range order[:uint64(amount)-given] {
		shares[i]++
	}
	return shares
}

// sums of a quote's lines, in minor units.
type sums struct {
	currency    string
	gross, nets []int64 // of each line, before and after its discounts
	items       int64   // sum of gross
}

func tooLarge(cause error) error {
	return problem.Wrap(cause, problem.Precondition, "AMOUNT_TOO_LARGE", "the cart is worth more than can be charged at once")
}

// grossOf a quote's lines. Refuses an empty cart, one of two currencies, and one worth more than fits.
func grossOf(q *checkoutv1.QuoteSnapshot) (sums, error) {
	if len(q.GetLines()) == 0 {
		return sums{}, problem.New(problem.Precondition, "CART_EMPTY", "there is nothing in the cart that can be bought")
	}
	items := money.Zero(q.GetLines()[0].GetUnitPrice().GetCurrencyCode())
	s := sums{currency: items.Currency, gross: make([]int64, len(q.GetLines()))}
	for i, l := range q.GetLines() {
		line, err := money.FromProto(l.GetUnitPrice()).Times(l.GetQuantity())
		if err == nil {
			items, err = items.Add(line)
		}
		if err != nil {
			return s, tooLarge(err)
		}
		s.gross[i] = line.Minor
	}
	s.items, s.nets = items.Minor, slices.Clone(s.gross)
	return s, nil
}

// termsOf a line; none in a quote from before there were any.
func termsOf(q *checkoutv1.QuoteSnapshot, line int) *checkoutv1.LineTerms {
	if line < len(q.GetTerms()) {
		return q.GetTerms()[line]
	}
	return nil
}

// takeOff what the terms say. A share of an amount that no longer fits its line, because its price has fallen, goes to the
// other lines: every line is then worth at most what it was when the quote was made.
func (s *sums) takeOff(q *checkoutv1.QuoteSnapshot) {
	var left int64
	for i := range s.nets {
		terms := termsOf(q, i)
		for _, p := range terms.GetPercentOff() {
			s.nets[i] -= money.PercentOf(s.nets[i], p)
		}
		fits := min(terms.GetAmountOff(), s.nets[i])
		s.nets[i] -= fits
		left += terms.GetAmountOff() - fits
	}
	for i := range s.nets {
		if left > 0 && termsOf(q, i).GetTakesAmount() {
			fits := min(left, s.nets[i])
			s.nets[i] -= fits
			left -= fits
		}
	}
}

// worth of the goods, discounts taken off.
func (s *sums) worth() (sum int64) {
	for _, n := range s.nets {
		sum += n
	}
	return sum
}

// price a quote by its terms. Delivery and the tax on it stay what they were quoted as. Done again it changes nothing; done
// with lower prices it makes no line, and not the total, dearer.
func price(q *checkoutv1.QuoteSnapshot) error {
	s, err := grossOf(q)
	if err != nil {
		return err
	}
	s.takeOff(q)
	in := func(minor int64) money.Amount { return money.Amount{Minor: minor, Currency: s.currency} }
	if q.GetShipping() == nil {
		q.Shipping = in(shippingOf(q, s.worth())).Proto()
	}
	if q.GetShippingTax() == nil {
		q.ShippingTax = in(0).Proto()
	}
	taxes := money.FromProto(q.GetShippingTax())
	for i, l := range q.GetLines() {
		t := in(tax.Rate(termsOf(q, i).GetTaxRate()).Of(s.nets[i]))
		l.Discount, l.Tax = in(s.gross[i]-s.nets[i]).Proto(), t.Proto()
		if taxes, err = taxes.Add(t); err != nil {
			return tooLarge(err)
		}
	}
	total, err := in(s.worth()).Add(money.FromProto(q.GetShipping()))
	if err == nil {
		total, err = total.Add(taxes)
	}
	if err != nil {
		return tooLarge(err)
	}
	q.ItemsTotal, q.Discount, q.Tax, q.Total = in(s.items).Proto(), in(s.items-s.worth()).Proto(), taxes.Proto(), total.Proto()
	return nil
}

// taxShipping of a quote that has its delivery: as part of what is delivered, at the rates of the lines, by their worth.
func taxShipping(q *checkoutv1.QuoteSnapshot) error {
	s, err := grossOf(q)
	if err != nil {
		return err
	}
	s.takeOff(q)
	rates := make([]tax.Rate, len(s.nets))
	for i := range rates {
		rates[i] = tax.Rate(termsOf(q, i).GetTaxRate())
	}
	if s.worth() == 0 { // all of it is free: then every line counts alike
		for i := range s.nets {
			s.nets[i] = 1
		}
	}
	due := tax.Sum(rates, spread(q.GetShipping().GetMinorUnits(), s.nets))
	q.ShippingTax = money.Amount{Minor: due, Currency: s.currency}.Proto()
	return nil
}
