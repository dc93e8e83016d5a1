// Package money holds exact amounts: an int64 of minor units and an ISO 4217 currency.
//
// There is no division and no float: what must be split is split by the caller, who
// says where the remainder goes. Amounts of two currencies never mix, and arithmetic
// that would overflow reports it instead of wrapping around.
package money

import (
	"errors"
	"fmt"
	"math/bits"
	"time"

	moneyv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/money/v1"
)

// Amount is a sum of money in minor units (cents for USD).
type Amount struct {
	// Minor units; may be negative.
	Minor int64
	// Currency is the ISO 4217 code, three capital letters.
	Currency string
}

// ReductionWindow is how far back the lowest price counts that a reduction of a price is told by: the least that article 6a of directive
// 98/6/EC (price indications, as amended by directive (EU) 2019/2161) allows. Past prices are kept as long.
const ReductionWindow = 30 * 24 * time.Hour

var (
	// ErrCurrencyMismatch: the two amounts are in different currencies.
	ErrCurrencyMismatch = errors.New("currencies differ")
	// ErrOverflow: the result does not fit 64 bits.
	ErrOverflow = errors.New("amount overflows")
)

// USD is an amount of US cents.
func USD(cents int64) Amount { return Amount{Minor: cents, Currency: "USD"} }

// Zero of a currency.
func Zero(currency string) Amount { return Amount{Currency: currency} }

// Add sums two amounts of one currency.
func (a Amount) Add(b Amount) (Amount, error) {
	if a.Currency != b.Currency {
		return Amount{}, fmt.Errorf("add %s to %s: %w", b, a, ErrCurrencyMismatch)
	}
	sum := a.Minor + b.Minor
	if (a.Minor > 0 && b.Minor > 0 && sum < 0) || (a.Minor < 0 && b.Minor < 0 && sum >= 0) {
		return Amount{}, fmt.Errorf("add %s to %s: %w", b, a, ErrOverflow)
	}
	return Amount{Minor: sum, Currency: a.Currency}, nil
}

// Times multiplies a non-negative amount by a non-negative quantity.
func (a Amount) Times(quantity int64) (Amount, error) {
	if a.Minor < 0 || quantity < 0 {
		return Amount{}, fmt.Errorf("%s times %d: negative", a, quantity)
	}
	hi, lo := bits.Mul64(uint64(a.Minor), uint64(quantity))
	if hi != 0 || lo > 1<<63-1 {
		return Amount{}, fmt.Errorf("%s times %d: %w", a, quantity, ErrOverflow)
	}
	return Amount{Minor: int64(lo), Currency: a.Currency}, nil
}

// WholePercent is 100 % in basis points.
const WholePercent = 10_000

// PercentOf an amount in minor units, not negative, in basis points, rounded half up: from 0 to the amount.
func PercentOf(minor int64, basisPoints int32) int64 {
	hi, lo := bits.Mul64(uint64(minor), uint64(min(max(basisPoints, 0), WholePercent)))
	lo, carry := bits.Add64(lo, WholePercent/2, 0)
	q, _ := bits.Div64(hi+carry, lo, WholePercent)
	return int64(q)
}

// String is for logs and tables, for example "12.99 USD". Every currency Cellar sells in has two decimals.
func (a Amount) String() string {
	sign, minor := "", a.Minor
	if minor < 0 {
		sign, minor = "-", -minor
	}
	return fmt.Sprintf("%s%d.%02d %s", sign, minor/100, minor%100, a.Currency)
}

// Proto is the amount on the wire.
func (a Amount) Proto() *moneyv1.Money {
	return &moneyv1.Money{CurrencyCode: a.Currency, MinorUnits: a.Minor}
}

// FromProto reads an amount off the wire; nil is no money of no currency.
func FromProto(m *moneyv1.Money) Amount {
	return Amount{Minor: m.GetMinorUnits(), Currency: m.GetCurrencyCode()}
}
