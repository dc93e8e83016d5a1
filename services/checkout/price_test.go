package checkout

import (
	"bytes"
	"fmt"
	"math"
	"slices"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"

	checkoutv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/checkout/v1"
	moneyv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/money/v1"
	"github.com/cellar-commerce/cellar/internal/money"
	"github.com/cellar-commerce/cellar/internal/problem"
	"github.com/cellar-commerce/cellar/internal/tax"
)

const (
	standard = checkoutv1.Speed_SPEED_STANDARD
	express  = checkoutv1.Speed_SPEED_EXPRESS
)

var noon = time.Date(2031, time.May, 4, 12, 0, 0, 0, time.UTC)

func TestDeliveryIsFreeFromThirtyFiveUnlessItIsExpress(t *testing.T) {
	for _, c := range []struct {
		cents, quantity int64
		speed           checkoutv1.Speed
		shipping        int64
	}{
		{34_99, 1, standard, 4_99}, {35_00, 1, standard, 0}, {17_50, 2, standard, 0}, {1, 1, standard, 4_99}, {0, 1, standard, 4_99},
		{34_99, 1, express, 12_99}, {35_00, 1, express, 12_99}, {1000_00, 9, express, 12_99},
	} {
		q := &checkoutv1.QuoteSnapshot{Lines: []*checkoutv1.QuoteLine{line(c.cents, c.quantity)}, Speed: c.speed}
		if err := price(q); err != nil {
			t.Fatal(err)
		}
		items := c.cents * c.quantity
		if got := []int64{q.GetItemsTotal().GetMinorUnits(), q.GetShipping().GetMinorUnits(), q.GetTax().GetMinorUnits(), q.GetTotal().GetMinorUnits()}; !slices.Equal(got, []int64{items, c.shipping, 0, items + c.shipping}) {
			t.Errorf("%d × %d by %v: got %v, want %d for delivery", c.quantity, c.cents, c.speed, got, c.shipping)
		}
	}
}

func TestDeliveryIsFreeByWhatIsPaidForTheGoods(t *testing.T) {
	q := &checkoutv1.QuoteSnapshot{Lines: []*checkoutv1.QuoteLine{line(36_00, 1)}, Speed: standard}
	if err := offer(q, []string{"Home"}, nil, &promotion{code: "TWO-OFF", amount: money.USD(2_00)}, tax.Assessment{Rates: []tax.Rate{0}}, noon); err != nil {
		t.Fatal(err)
	}
	if q.GetShipping().GetMinorUnits() != 4_99 || q.GetTotal().GetMinorUnits() != 34_00+4_99 {
		t.Errorf("%v", q)
	}
}

func TestDeliveryThatWasQuotedStaysWhenPricesFall(t *testing.T) {
	q := &checkoutv1.QuoteSnapshot{Lines: []*checkoutv1.QuoteLine{line(36_00, 1)}, Speed: standard}
	for _, cents := range []int64{36_00, 34_00} {
		q.Lines[0].UnitPrice = money.USD(cents).Proto()
		if err := price(q); err != nil || q.GetTotal().GetMinorUnits() != cents {
			t.Errorf("%d, %v for %d", q.GetTotal().GetMinorUnits(), err, cents)
		}
	}
}

func TestAnOrderCostsTheSumOfItsLinesOrMoreThanCanBeCharged(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		q := &checkoutv1.QuoteSnapshot{Speed: standard}
		var sum float64 // near enough to tell an overflow, which is far away or exact
		for range rapid.IntRange(1, 5).Draw(t, "lines") {
			l := line(rapid.OneOf(rapid.Int64Range(0, 1<<20), rapid.Int64Range(0, math.MaxInt64)).Draw(t, "price"), rapid.Int64Range(1, 999).Draw(t, "quantity"))
			q.Lines = append(q.Lines, l)
			sum += float64(l.GetUnitPrice().GetMinorUnits()) * float64(l.GetQuantity())
		}
		switch err := price(q); {
		case err == nil:
			if got := float64(q.GetTotal().GetMinorUnits()); math.Abs(got-sum) > 500+sum*1e-9 {
				t.Fatalf("the total is %v of %v", got, sum)
			}
			addsUp(t, q)
		case !problem.Is(err, "AMOUNT_TOO_LARGE") || sum < math.MaxInt64*0.999:
			t.Fatalf("%v for a sum of %v", err, sum)
		}
	})
}

func TestTheLastCentThatFitsIsCharged(t *testing.T) {
	const expressFee = 12_99
	for _, c := range []struct {
		cents, quantity int64
		speed           checkoutv1.Speed
		rate            int32
		fits            bool
	}{
		{math.MaxInt64, 1, standard, 0, true}, {math.MaxInt64/2 + 1, 2, standard, 0, false},
		{math.MaxInt64 - expressFee, 1, express, 0, true}, {math.MaxInt64 - expressFee + 1, 1, express, 0, false},
		{math.MaxInt64, 1, standard, 1, false}, {math.MaxInt64 / 2, 1, standard, 100_000, true}, {math.MaxInt64/2 + 1, 1, standard, 100_000, false},
	} {
		err := price(&checkoutv1.QuoteSnapshot{Lines: []*checkoutv1.QuoteLine{line(c.cents, c.quantity)}, Speed: c.speed, Terms: []*checkoutv1.LineTerms{{TaxRate: c.rate}}})
		if (err == nil) != c.fits || (err != nil && !problem.Is(err, "AMOUNT_TOO_LARGE")) {
			t.Errorf("%d × %d: got %v", c.quantity, c.cents, err)
		}
	}
	twoLines := &checkoutv1.QuoteSnapshot{Lines: []*checkoutv1.QuoteLine{line(math.MaxInt64, 1), line(1, 1)}}
	if err := price(twoLines); !problem.Is(err, "AMOUNT_TOO_LARGE") {
		t.Errorf("one cent too many: %v", err)
	}
}

func TestNothingAndAMixOfCurrenciesCannotBePriced(t *testing.T) {
	if err := price(&checkoutv1.QuoteSnapshot{}); !problem.Is(err, "CART_EMPTY") {
		t.Errorf("got %v", err)
	}
	euros := line(1, 1)
	euros.UnitPrice = &moneyv1.Money{CurrencyCode: "EUR", MinorUnits: 1}
	if err := price(&checkoutv1.QuoteSnapshot{Lines: []*checkoutv1.QuoteLine{line(1, 1), euros}}); problem.KindOf(err) != problem.Precondition {
		t.Errorf("got %v", err)
	}
}

func TestSharesAddUpAndFollowTheWeights(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		weights := rapid.SliceOfN(rapid.Int64Range(0, math.MaxInt64/10), 1, 9).Draw(t, "weights")
		var sum int64
		for _, w := range weights {
			sum += w
		}
		if sum == 0 {
			weights[0], sum = 1, 1
		}
		amount := rapid.OneOf(rapid.Int64Range(0, sum), rapid.Int64Range(0, min(sum, 100))).Draw(t, "amount")
		left := amount
		for i, share := range spread(amount, weights) {
			exact := float64(amount) * float64(weights[i]) / float64(sum)
			if share < 0 || share > weights[i] || math.Abs(float64(share)-exact) > 1+exact*1e-9 {
				t.Fatalf("%d of %d for %d of %d", share, amount, weights[i], sum)
			}
			left -= share
		}
		if left != 0 {
			t.Fatalf("%d are left of %d", left, amount)
		}
	})
	if got := spread(100, []int64{1, 1, 1}); !slices.Equal(got, []int64{34, 33, 33}) {
		t.Errorf("of equals the first has the remainder: %v", got)
	}
}

// addsUp: every law of a quote's amounts that does not depend on what was agreed.
func addsUp(t interface{ Fatalf(string, ...any) }, q *checkoutv1.QuoteSnapshot) {
	var items, discount, taxes int64
	for _, l := range q.GetLines() {
		gross := l.GetUnitPrice().GetMinorUnits() * l.GetQuantity()
		off, due := l.GetDiscount().GetMinorUnits(), l.GetTax().GetMinorUnits()
		if off < 0 || off > gross || due < 0 || due > gross-off {
			t.Fatalf("%d off and %d of tax on a line of %d", off, due, gross)
		}
		items, discount, taxes = items+gross, discount+off, taxes+due
	}
	taxes += q.GetShippingTax().GetMinorUnits()
	total := items - discount + q.GetShipping().GetMinorUnits() + taxes
	got := []int64{q.GetItemsTotal().GetMinorUnits(), q.GetDiscount().GetMinorUnits(), q.GetTax().GetMinorUnits(), q.GetTotal().GetMinorUnits()}
	if !slices.Equal(got, []int64{items, discount, taxes, total}) || q.GetShipping().GetMinorUnits() < 0 || q.GetShippingTax().GetMinorUnits() < 0 || total < 0 {
		t.Fatalf("items, discount, tax and total are %v, not %v", got, []int64{items, discount, taxes, total})
	}
}

var paths = []string{"Home", "Home > Kitchen", "Toys", "Books"}

// agreed is a quote of any cart, with any promotions and taxes.
func agreed(t *rapid.T) (q *checkoutv1.QuoteSnapshot, voucher *promotion, categories []string) {
	cents := rapid.OneOf(rapid.Int64Range(0, 50), rapid.Int64Range(0, 200_00))
	q = &checkoutv1.QuoteSnapshot{Speed: rapid.SampledFrom([]checkoutv1.Speed{standard, express}).Draw(t, "speed")}
	assessed := tax.Assessment{Shipping: rapid.Bool().Draw(t, "shipping taxed")}
	allPrime := rapid.Bool().Draw(t, "all prime")
	for i := range rapid.IntRange(1, 6).Draw(t, "lines") {
		l := line(cents.Draw(t, "price"), rapid.Int64Range(1, 20).Draw(t, "quantity"))
		l.Sku, l.Prime = fmt.Sprint("sku", i), allPrime || rapid.Bool().Draw(t, "prime")
		q.Lines = append(q.Lines, l)
		categories = append(categories, rapid.SampledFrom(paths).Draw(t, "category"))
		assessed.Rates = append(assessed.Rates, tax.Rate(rapid.SampledFrom([]int32{0, 2_600, 8_875, 25_500, 100_000}).Draw(t, "rate")))
	}
	var standing []promotion
	for i := range rapid.IntRange(0, 2).Draw(t, "standing") {
		standing = append(standing, promotion{code: fmt.Sprint("S", i), automatic: true, percent: rapid.Int32Range(1, money.WholePercent).Draw(t, "percent"), categories: draw(t, paths)})
	}
	if rapid.Bool().Draw(t, "voucher") {
		voucher = &promotion{code: "V", categories: draw(t, paths), minimum: money.USD(rapid.Int64Range(0, 20_00).Draw(t, "minimum"))}
		if rapid.Bool().Draw(t, "by percent") {
			voucher.percent = rapid.Int32Range(1, money.WholePercent).Draw(t, "percent")
		} else {
			voucher.amount = money.USD(cents.Draw(t, "amount") + 1)
		}
	}
	if err := offer(q, categories, standing, voucher, assessed, noon); err != nil {
		if !problem.Is(err, "VOUCHER_NOT_FOR_THESE") && !problem.Is(err, "VOUCHER_MINIMUM_NOT_REACHED") {
			t.Fatalf("%v", err)
		}
		voucher = nil
		if err := offer(q, categories, standing, nil, assessed, noon); err != nil {
			t.Fatalf("%v", err)
		}
	}
	return q, voucher, categories
}

func draw(t *rapid.T, from []string) (some []string) {
	for _, s := range from {
		if rapid.Bool().Draw(t, s) {
			some = append(some, s)
		}
	}
	return some
}

func encoded(t *rapid.T, q *checkoutv1.QuoteSnapshot) []byte {
	b, err := proto.MarshalOptions{Deterministic: true}.Marshal(q)
	if err != nil {
		t.Fatalf("%v", err)
	}
	return b
}

func TestEveryQuoteAddsUp(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		q, _, _ := agreed(t)
		addsUp(t, q)
	})
}

// Case 12: what is charged is what was quoted, to the byte.
func TestUnchangedPricesChangeNoAmount(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		q, _, _ := agreed(t)
		before, today := encoded(t, q), map[string]money.Amount{}
		for _, l := range q.GetLines() {
			today[l.GetSku()] = money.FromProto(l.GetUnitPrice())
		}
		if err := passOn(q, today); err != nil || !bytes.Equal(before, encoded(t, q)) {
			t.Fatalf("%v; the quote has become %v", err, q)
		}
	})
}

// Case 11: a fall is passed on, and nothing gets dearer by it.
func TestWhateverPricesFallTheTotalNeverRises(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		q, _, _ := agreed(t)
		quoted, today := proto.CloneOf(q), map[string]money.Amount{}
		for _, l := range q.GetLines() {
			today[l.GetSku()] = money.USD(rapid.Int64Range(0, l.GetUnitPrice().GetMinorUnits()).Draw(t, "today"))
		}
		if err := passOn(q, today); err != nil {
			t.Fatalf("%v", err)
		}
		addsUp(t, q)
		if q.GetTotal().GetMinorUnits() > quoted.GetTotal().GetMinorUnits() || !proto.Equal(q.GetShipping(), quoted.GetShipping()) || !proto.Equal(q.GetShippingTax(), quoted.GetShippingTax()) {
			t.Fatalf("%v was quoted as %v", q, quoted)
		}
		for i, l := range q.GetLines() {
			if was := quoted.GetLines()[i]; net(l) > net(was) || l.GetTax().GetMinorUnits() > was.GetTax().GetMinorUnits() {
				t.Fatalf("line %d is %v and was %v", i+1, l, was)
			}
		}
		if q.GetDiscount().GetMinorUnits() > quoted.GetDiscount().GetMinorUnits() {
			t.Fatalf("%v off instead of %v", q.GetDiscount(), quoted.GetDiscount())
		}
	})
}

func net(l *checkoutv1.QuoteLine) int64 {
	return l.GetUnitPrice().GetMinorUnits()*l.GetQuantity() - l.GetDiscount().GetMinorUnits()
}

func TestAnAmountIsTakenOffToTheCentAndOnlyOffWhatItIsFor(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		q, voucher, categories := agreed(t)
		if voucher == nil || voucher.amount.Minor == 0 {
			return
		}
		var worth, off int64
		for i, l := range q.GetLines() {
			terms, before := q.GetTerms()[i], l.GetUnitPrice().GetMinorUnits()*l.GetQuantity()
			for _, p := range terms.GetPercentOff() {
				before -= money.PercentOf(before, p)
			}
			if voucher.isFor(categories[i]) {
				worth += before
			} else if terms.GetTakesAmount() || terms.GetAmountOff() != 0 {
				t.Fatalf("it is taken off %s", categories[i])
			}
			off += before - net(l)
		}
		if want := min(voucher.amount.Minor, worth); off != want {
			t.Fatalf("%d are taken off, not %d", off, want)
		}
	})
}

func TestAShareThatNoLongerFitsItsLineIsTakenOffTheOthers(t *testing.T) {
	q := &checkoutv1.QuoteSnapshot{Lines: []*checkoutv1.QuoteLine{line(10_00, 1), line(30_00, 1)}, Speed: express}
	q.Lines[1].Sku = "stout"
	voucher := &promotion{code: "TWELVE", amount: money.USD(12_00)}
	if err := offer(q, []string{"", ""}, nil, voucher, tax.Assessment{Rates: []tax.Rate{10_000, 10_000}}, noon); err != nil {
		t.Fatal(err)
	}
	if err := passOn(q, map[string]money.Amount{"ale": money.USD(1_00), "stout": money.USD(30_00)}); err != nil {
		t.Fatal(err)
	}
	if net(q.GetLines()[0]) != 0 || net(q.GetLines()[1]) != 19_00 || q.GetDiscount().GetMinorUnits() != 12_00 || q.GetTax().GetMinorUnits() != 1_90 {
		t.Errorf("%v", q)
	}
}

func TestAQuoteToNewYork(t *testing.T) {
	q := &checkoutv1.QuoteSnapshot{Lines: []*checkoutv1.QuoteLine{line(19_99, 1), line(5_00, 1)}, Speed: standard}
	standing := []promotion{{code: "HOME-10", automatic: true, percent: 10_00, categories: []string{"Home"}}, {code: "OVER", automatic: true, percent: 50_00, until: noon}}
	assessed := tax.Assessment{Rates: []tax.Rate{8_540, 0}, Shipping: true}
	if err := offer(q, []string{"Home > Kitchen", "Toys"}, standing, &promotion{code: "TWO-OFF", amount: money.USD(2_00)}, assessed, noon); err != nil {
		t.Fatal(err)
	}
	// 19.99 less 2.00 (10 %, half up) is 17.99; of 2.00, 1.57 and 0.43 by 17.99 : 5.00; tax on 16.42 is 1.40. Of 4.99 for delivery,
	// 3.90 go with the first line and are taxed 0.33.
	want := []int64{19_99 + 5_00, 2_00 + 2_00, 4_99, 33, 1_40 + 33, 20_99 + 4_99 + 1_73}
	got := []int64{q.GetItemsTotal().GetMinorUnits(), q.GetDiscount().GetMinorUnits(), q.GetShipping().GetMinorUnits(), q.GetShippingTax().GetMinorUnits(), q.GetTax().GetMinorUnits(), q.GetTotal().GetMinorUnits()}
	if !slices.Equal(got, want) || q.GetLines()[0].GetDiscount().GetMinorUnits() != 3_57 || !slices.Equal(q.GetPromotions(), []string{"HOME-10"}) || q.GetVoucherCode() != "TWO-OFF" {
		t.Errorf("got %v, want %v; %v", got, want, q)
	}
	o := orderOf(&checkoutv1.PlacementState{Quote: q, OrderId: "use1-7KQ2-M8XD-4TRW-C"})
	if o.GetOrderId() == "" || len(o.GetLines()) != 2 || o.GetLines()[0].GetLine() != 1 || !proto.Equal(o.GetLines()[1].GetDiscount(), q.GetLines()[1].GetDiscount()) ||
		!proto.Equal(o.GetLines()[0].GetTax(), q.GetLines()[0].GetTax()) || !proto.Equal(o.GetDiscount(), q.GetDiscount()) || !proto.Equal(o.GetShippingTax(), q.GetShippingTax()) ||
		!proto.Equal(o.GetTax(), q.GetTax()) || !proto.Equal(o.GetTotal(), q.GetTotal()) || !proto.Equal(o.GetItemsTotal(), q.GetItemsTotal()) || !proto.Equal(o.GetShipping(), q.GetShipping()) {
		t.Errorf("the order is %v", o)
	}
}

func TestGoodsThatCostNothingMakeDeliveryTaxableAlike(t *testing.T) {
	q := &checkoutv1.QuoteSnapshot{Lines: []*checkoutv1.QuoteLine{line(10_00, 1), line(10_00, 1)}, Speed: express}
	all := &promotion{code: "ALL", percent: money.WholePercent}
	if err := offer(q, []string{"", ""}, nil, all, tax.Assessment{Rates: []tax.Rate{20_000, 0}, Shipping: true}, noon); err != nil {
		t.Fatal(err)
	}
	if q.GetTotal().GetMinorUnits() != 12_99+1_30 || q.GetShippingTax().GetMinorUnits() != 1_30 { // a fifth of 6.50
		t.Errorf("%v", q)
	}
}

func BenchmarkQuotePrice(b *testing.B) {
	lines := []*checkoutv1.QuoteLine{line(19_99, 1), line(5_00, 3), line(120_00, 1), line(7_49, 2)}
	categories := []string{"Home > Kitchen", "Toys", "Books > Crime", "Home"}
	standing := []promotion{{code: "HOME-10", automatic: true, percent: 10_00, categories: []string{"Home"}}}
	voucher := &promotion{code: "TWO-OFF", amount: money.USD(2_00), minimum: money.USD(10_00)}
	to := tax.Destination{Country: "US", State: "NY", PostalCode: "10001"}
	kinds := make([]tax.Category, len(categories))
	b.ReportAllocs()
	for b.Loop() {
		for i, c := range categories {
			kinds[i] = tax.CategoryOf(c)
		}
		assessed, err := tax.Published().Assess(b.Context(), to, kinds)
		if err != nil {
			b.Fatal(err)
		}
		q := &checkoutv1.QuoteSnapshot{Lines: lines, Speed: express}
		if err := offer(q, categories, standing, voucher, assessed, noon); err != nil {
			b.Fatal(err)
		}
	}
}
