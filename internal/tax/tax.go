package tax

import (
	"context"
	"fmt"
	"math/bits"
	"strings"
)

// Rate in thousandths of a percent: 8875 is 8.875 %.
type Rate int32

// whole is 100 %.
const whole Rate = 100_000

// Of an amount in minor units, rounded half up. The amount must not be negative; the tax never exceeds it.
func (r Rate) Of(minor int64) int64 { return Sum([]Rate{r}, []int64{minor}) }

// Sum is the tax on parts of one charge, each at its own rate, rounded half up once. The parts, none negative, must add up
// to at most 63 bits.
func Sum(rates []Rate, parts []int64) int64 {
	var hi, lo, carry uint64
	for i, part := range parts {
		h, l := bits.Mul64(uint64(max(part, 0)), uint64(min(max(rates[i], 0), whole)))
		lo, carry = bits.Add64(lo, l, 0)
		hi, _ = bits.Add64(hi, h, carry)
	}
	lo, carry = bits.Add64(lo, uint64(whole)/2, 0)
	quotient, _ := bits.Div64(hi+carry, lo, uint64(whole))
	return int64(quotient)
}

// String in percent, for example "8.875 %".
func (r Rate) String() string {
	s := fmt.Sprintf("%d.%03d", r/1000, r%1000)
	return strings.TrimSuffix(strings.TrimRight(s, "0"), ".") + " %"
}

// Category of goods, as far as taxes tell them apart here.
type Category int

// The categories.
const (
	General Category = iota
	Books
	Clothing
)

// CategoryOf a product by the first level of its path in the catalogue ("Books > Crime").
func CategoryOf(path string) Category {
	root, _, _ := strings.Cut(path, " > ")
	switch root {
	case "Books":
		return Books
	case "Clothing":
		return Clothing
	default:
		return General
	}
}

// Destination of a parcel.
type Destination struct {
	// Country is an ISO 3166-1 alpha-2 code.
	Country string
	// State is the two-letter code in the United States; not looked at elsewhere.
	State      string
	PostalCode string
}

// Assessment of a destination.
type Assessment struct {
	// Rates of the categories asked for, in their order.
	Rates []Rate
	// Shipping tells that delivery is taxed, at the rates of what is delivered.
	Shipping bool
}

// Engine knows the taxes of every destination that is delivered to.
type Engine interface {
	// Assess a destination. UNKNOWN_TAX_DESTINATION (Invalid) when it lies nowhere; Unavailable when an engine cannot be
	// reached: tax is never guessed.
	Assess(ctx context.Context, to Destination, categories []Category) (Assessment, error)
}

// None is an Engine that taxes nothing: for tests of other things.
type None struct{}

var _ Engine = None{}

// Assess implements Engine.
func (None) Assess(_ context.Context, _ Destination, categories []Category) (Assessment, error) {
	return Assessment{Rates: make([]Rate, len(categories))}, nil
}
