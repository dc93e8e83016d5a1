package checkout

import (
	"regexp"
	"slices"
	"strings"
	"time"

	checkoutv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/checkout/v1"
	"github.com/cellar-commerce/cellar/internal/ident"
	"github.com/cellar-commerce/cellar/internal/money"
	"github.com/cellar-commerce/cellar/internal/problem"
)

// promotion takes something off: by itself, or for whoever has its code, which makes it a voucher.
type promotion struct {
	code      string
	automatic bool
	// percent in basis points, or amount; the other is nothing.
	percent int32
	amount  money.Amount
	// minimum that the lines it is for must be worth; of no currency when there is none.
	minimum    money.Amount
	categories []string
	from       time.Time
	until      time.Time // zero: for ever
	// maxRedemptions in all and maxPerCustomer; 0: no limit.
	maxRedemptions, maxPerCustomer int64
	// home of its redemptions.
	home      ident.Region
	disabled  bool
	createdAt time.Time
}

// Limits of what an operator may define.
const (
	maxCategories = 20
	// maxStanding promotions at once: each is looked at for every line of every quote.
	maxStanding = 20
	// maxAmountOff keeps sums far from the end of 64 bits.
	maxAmountOff = 1_000_000_00
	// maxLimit of redemptions is more than there are customers.
	maxLimit = 1_000_000_000
)

var (
	codeForm     = regexp.MustCompile(`^[A-Z0-9-]{3,32}$`)
	currencyForm = regexp.MustCompile(`^[A-Z]{3}$`)
)

// normalCode as it is stored.
func normalCode(code string) string { return strings.ToUpper(strings.TrimSpace(code)) }

// validate what an operator defines.
func (p promotion) validate(v *problem.Violations) {
	v.Check(codeForm.MatchString(p.code), "voucher.code", "must be 3 to 32 of A-Z, 0-9 and '-'")
	byPercent, byAmount := p.percent != 0, p.amount != money.Amount{}
	v.Check(byPercent != byAmount, "voucher.percent_basis_points", "either a percentage or an amount must be given")
	v.Check(p.percent >= 0 && p.percent <= money.WholePercent, "voucher.percent_basis_points", "must be 1 to 10,000")
	v.Check(!byAmount || (p.amount.Minor >= 1 && p.amount.Minor <= maxAmountOff && currencyForm.MatchString(p.amount.Currency)), "voucher.amount_off", "must be 0.01 to 1,000,000.00 of a currency")
	v.Check(p.minimum == money.Amount{} || (p.minimum.Minor >= 0 && p.minimum.Minor <= maxAmountOff && currencyForm.MatchString(p.minimum.Currency)), "voucher.minimum", "must be 0 to 1,000,000.00 of a currency")
	v.Check(p.amount.Currency == "" || p.minimum.Currency == "" || p.amount.Currency == p.minimum.Currency, "voucher.minimum", "must be of the currency of the amount")
	v.Check(len(p.categories) <= maxCategories && !slices.Contains(p.categories, ""), "voucher.categories", "must be at most 20 paths")
	v.Check(p.until.IsZero() || p.until.After(p.from), "voucher.valid_until", "must be later than valid_from")
	v.Check(p.maxRedemptions >= 0 && p.maxRedemptions <= maxLimit, "voucher.max_redemptions", "must be 0 to 1,000,000,000")
	v.Check(p.maxPerCustomer >= 0 && p.maxPerCustomer <= maxLimit, "voucher.max_per_customer", "must be 0 to 1,000,000,000")
	_, known := p.home.Code()
	v.Check(known, "voucher.home_region", "must be a region that has a ring")
	if p.automatic {
		v.Check(byPercent && p.minimum == money.Amount{} && p.maxRedemptions == 0 && p.maxPerCustomer == 0, "voucher.automatic", "must be a percentage without minimum and limits")
	}
}

// isFor tells whether a category, given by its path, is among those of the promotion or below one.
func (p promotion) isFor(category string) bool {
	if len(p.categories) == 0 {
		return true
	}
	return slices.ContainsFunc(p.categories, func(c string) bool {
		return category == c || (len(category) > len(c)+2 && strings.HasPrefix(category, c) && strings.HasPrefix(category[len(c):], " > "))
	})
}

// at tells whether it is in force.
func (p promotion) at(now time.Time) bool {
	return !p.disabled && !now.Before(p.from) && (p.until.IsZero() || now.Before(p.until))
}

// refuseAt says why a voucher is not in force; nil when it is.
func (p promotion) refuseAt(now time.Time) error {
	switch {
	case p.disabled:
		return problem.New(problem.Precondition, "VOUCHER_DISABLED", "this voucher is no longer accepted")
	case now.Before(p.from):
		return problem.New(problem.Precondition, "VOUCHER_NOT_YET_VALID", "this voucher is not valid yet")
	case !p.until.IsZero() && !now.Before(p.until):
		return problem.New(problem.Precondition, "VOUCHER_EXPIRED", "this voucher has expired")
	default:
		return nil
	}
}

// currency that it is bound to; empty for any.
func (p promotion) currency() string {
	if p.amount.Currency != "" {
		return p.amount.Currency
	}
	return p.minimum.Currency
}

func unknownVoucher() error {
	return problem.New(problem.Precondition, "VOUCHER_UNKNOWN", "there is no such voucher")
}

func usedUp() error {
	return problem.New(problem.Precondition, "VOUCHER_USED_UP", "this voucher has been used as often as it can be")
}

func usedByYou() error {
	return problem.New(problem.Precondition, "VOUCHER_USED_BY_YOU", "you have used this voucher as often as a customer may")
}

// terms of a quote's lines: what is in force of the standing promotions, then the voucher, if there is one.
func terms(q *checkoutv1.QuoteSnapshot, categories []string, standing []promotion, voucher *promotion, now time.Time) error {
	q.Promotions, q.Terms = nil, make([]*checkoutv1.LineTerms, len(q.GetLines()))
	for i := range q.Terms {
		q.Terms[i] = &checkoutv1.LineTerms{}
	}
	for _, p := range standing {
		if !p.at(now) {
			continue
		}
		counts := false
		for i, category := range categories[:len(q.GetTerms())] { // as many as lines
			if t := q.GetTerms()[i]; p.isFor(category) {
				t.PercentOff, counts = append(t.PercentOff, p.percent), true
			}
		}
		if counts {
			q.Promotions = append(q.Promotions, p.code)
		}
	}
	if voucher == nil {
		return nil
	}
	return applyVoucher(q, categories, *voucher)
}

// applyVoucher to the lines it is for, behind the standing promotions.
func applyVoucher(q *checkoutv1.QuoteSnapshot, categories []string, p promotion) error {
	s, err := grossOf(q)
	if err != nil {
		return err
	}
	if c := p.currency(); c != "" && c != s.currency {
		return problem.New(problem.Precondition, "VOUCHER_OTHER_CURRENCY", "this voucher is in another currency")
	}
	s.takeOff(q)
	weights, worth, lines := make([]int64, len(s.nets)), int64(0), 0
	for i, n := range s.nets {
		if p.isFor(categories[i]) {
			weights[i], worth, lines = n, worth+n, lines+1
		}
	}
	switch {
	case lines == 0:
		return problem.New(problem.Precondition, "VOUCHER_NOT_FOR_THESE", "this voucher is for other products")
	case worth < p.minimum.Minor:
		return problem.New(problem.Precondition, "VOUCHER_MINIMUM_NOT_REACHED", "this voucher is for orders of "+p.minimum.String()+" or more", p.minimum.Proto())
	}
	q.VoucherCode = p.code
	shares := make([]int64, len(weights))
	if off := min(p.amount.Minor, worth); off > 0 {
		shares = spread(off, weights)
	}
	for i, t := range q.GetTerms() {
		if !p.isFor(categories[i]) {
			continue
		}
		if p.percent > 0 {
			t.PercentOff = append(t.PercentOff, p.percent)
			continue
		}
		t.TakesAmount, t.AmountOff = true, shares[i]
	}
	return nil
}
