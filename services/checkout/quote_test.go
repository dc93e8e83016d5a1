package checkout

import (
	"bytes"
	"math"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"

	checkoutv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/checkout/v1"
	moneyv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/money/v1"
	"github.com/cellar-commerce/cellar/internal/money"
	"github.com/cellar-commerce/cellar/internal/problem"
)

var ours = sealer{bytes.Repeat([]byte("k"), minKey)}

// snapshots of any content.
var snapshots = rapid.Custom(func(t *rapid.T) *checkoutv1.QuoteSnapshot {
	q := &checkoutv1.QuoteSnapshot{CustomerId: rapid.String().Draw(t, "customer"), Nonce: rapid.String().Draw(t, "nonce")}
	for range rapid.IntRange(0, 5).Draw(t, "lines") {
		q.Lines = append(q.Lines, line(rapid.Int64().Draw(t, "price"), rapid.Int64().Draw(t, "quantity")))
	}
	return q
})

func line(cents, quantity int64) *checkoutv1.QuoteLine {
	return &checkoutv1.QuoteLine{Sku: "ale", Title: "Pale ale", Quantity: quantity, UnitPrice: money.USD(cents).Proto()}
}

func TestWhatIsSealedOpensAsItWas(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		q := snapshots.Draw(t, "quote")
		token, err := ours.seal(q)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := ours.open(token); err != nil || !proto.Equal(got, q) {
			t.Fatalf("got %v, %v, want %v", got, err, q)
		}
	})
}

func TestATokenWithAnyCharacterChangedAddedOrLostIsRefused(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		token, err := ours.seal(snapshots.Draw(t, "quote"))
		if err != nil {
			t.Fatal(err)
		}
		at := rapid.IntRange(0, len(token)-1).Draw(t, "at")
		other := string(rapid.Byte().Draw(t, "character"))
		for _, forged := range []string{token[:at] + other + token[at+1:], token[:at] + other + token[at:], token[:at] + token[at+1:], token[:at]} {
			if forged == token {
				continue
			}
			if _, err := ours.open(forged); !problem.Is(err, "MALFORMED_QUOTE") {
				t.Fatalf("%q of %q: got %v", forged, token, err)
			}
		}
	})
}

func TestASignatureOfAnotherKeyOrForAnotherPurposeIsRefused(t *testing.T) {
	token, err := sealer{bytes.Repeat([]byte("x"), minKey)}.seal(&checkoutv1.QuoteSnapshot{Nonce: "1"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := ours.open(token); !problem.Is(err, "MALFORMED_QUOTE") {
		t.Errorf("another key: %v", err)
	}
	body, _, _ := strings.Cut(token, ".")
	// What is signed is not the body alone: another use of the key cannot be handed in as a quote.
	if a, b := ours.mac(body), ours.mac("quote/"+body); a == b || len(a) != 43 {
		t.Errorf("signatures %s and %s", a, b)
	}
}

func TestABodyThatIsSignedAndStillNoQuoteIsRefused(t *testing.T) {
	for _, body := range []string{"", "!", "_w"} { // nothing, no base 64, no protobuf
		_, err := ours.open(body + "." + ours.mac(body))
		if body == "" {
			if err != nil {
				t.Errorf("an empty quote is one: %v", err)
			}
			continue
		}
		if !problem.Is(err, "MALFORMED_QUOTE") {
			t.Errorf("%q: got %v", body, err)
		}
	}
}

func FuzzOpen(f *testing.F) {
	token, err := ours.seal(&checkoutv1.QuoteSnapshot{CustomerId: "c-use1-000000000000000000000000", Nonce: "1"})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(token)
	f.Add("")
	f.Add(".")
	f.Add(token + "\n")
	f.Fuzz(func(t *testing.T, s string) {
		q, err := ours.open(s)
		if err != nil {
			if !problem.Is(err, "MALFORMED_QUOTE") {
				t.Errorf("%q: %v", s, err)
			}
			return
		}
		// Only who has the key makes a token that opens, and the fuzzer does not: it can only find the ones above.
		if s != token && s != "."+ours.mac("") {
			t.Errorf("%q opens as %v", s, q)
		}
	})
}

func TestDeliveryIsFreeFromThirtyFiveUnlessItIsExpress(t *testing.T) {
	const standard, express = checkoutv1.Speed_SPEED_STANDARD, checkoutv1.Speed_SPEED_EXPRESS
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
		if got := []int64{q.GetItemsTotal().GetMinorUnits(), q.GetShipping().GetMinorUnits(), q.GetTax().GetMinorUnits(), q.GetTotal().GetMinorUnits()}; got[0] != items || got[1] != c.shipping || got[2] != 0 || got[3] != items+c.shipping {
			t.Errorf("%d × %d by %v: got %v, want %d for delivery", c.quantity, c.cents, c.speed, got, c.shipping)
		}
	}
}

func TestDeliveryThatWasQuotedStaysWhenPricesFall(t *testing.T) {
	q := &checkoutv1.QuoteSnapshot{Lines: []*checkoutv1.QuoteLine{line(36_00, 1)}, Speed: checkoutv1.Speed_SPEED_STANDARD}
	for _, cents := range []int64{36_00, 34_00} {
		q.Lines[0].UnitPrice = money.USD(cents).Proto()
		if err := price(q); err != nil || q.GetTotal().GetMinorUnits() != cents {
			t.Errorf("%d, %v for %d", q.GetTotal().GetMinorUnits(), err, cents)
		}
	}
}

func TestAnOrderCostsTheSumOfItsLinesOrMoreThanCanBeCharged(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		q := &checkoutv1.QuoteSnapshot{Speed: checkoutv1.Speed_SPEED_STANDARD}
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
			if q.GetTotal().GetMinorUnits() != q.GetItemsTotal().GetMinorUnits()+q.GetShipping().GetMinorUnits() {
				t.Fatalf("the parts of %v do not add up", q)
			}
		case !problem.Is(err, "AMOUNT_TOO_LARGE") || sum < math.MaxInt64*0.999:
			t.Fatalf("%v for a sum of %v", err, sum)
		}
	})
}

func TestTheLastCentThatFitsIsCharged(t *testing.T) {
	for _, c := range []struct {
		cents, quantity int64
		speed           checkoutv1.Speed
		fits            bool
	}{
		{math.MaxInt64, 1, checkoutv1.Speed_SPEED_STANDARD, true}, {math.MaxInt64/2 + 1, 2, checkoutv1.Speed_SPEED_STANDARD, false},
		{math.MaxInt64 - expressFee, 1, checkoutv1.Speed_SPEED_EXPRESS, true}, {math.MaxInt64 - expressFee + 1, 1, checkoutv1.Speed_SPEED_EXPRESS, false},
	} {
		err := price(&checkoutv1.QuoteSnapshot{Lines: []*checkoutv1.QuoteLine{line(c.cents, c.quantity)}, Speed: c.speed})
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

func TestAShortKeySignsNothing(t *testing.T) {
	if _, err := New(Deps{QuoteKey: make([]byte, minKey-1)}); err == nil {
		t.Error("a key of 31 bytes is taken")
	}
}
