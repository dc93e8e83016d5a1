package checkout

import (
	"testing"

	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"

	cartv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/cart/v1"
	checkoutv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/checkout/v1"
)

// primeLine of a cart.
func primeLine(sku string, cents int64) *cartv1.Line {
	l := inCart(sku, "Home", cents, 1)
	l.Prime = true
	return l
}

func TestPrimeGoodsByThemselvesAreDeliveredFreeHoweverFast(t *testing.T) {
	prime, other := primeLine("ale", 5_00), inCart("stout", "Home", 1_00, 1)
	gone := &cartv1.Line{Sku: "gone", Quantity: 1}
	for _, c := range []struct {
		name     string
		cart     []*cartv1.Line
		speed    checkoutv1.Speed
		shipping int64
	}{
		{"one, standard", []*cartv1.Line{prime}, standard, 0},
		{"one, express", []*cartv1.Line{prime}, express, 0},
		{"two", []*cartv1.Line{prime, primeLine("porter", 1)}, express, 0},
		{"beside what is no longer sold", []*cartv1.Line{prime, gone}, express, 0},
		{"beside another, standard", []*cartv1.Line{prime, other}, standard, 4_99},
		{"beside another, express", []*cartv1.Line{prime, other}, express, 12_99},
		{"none", []*cartv1.Line{other}, express, 12_99},
	} {
		n := &neighbours{cart: c.cart, plan: inStock}
		resp, err := ask(t, n.quoting(), &checkoutv1.QuoteRequest{Speed: c.speed})
		if err != nil || resp.GetShipping().GetMinorUnits() != c.shipping || (c.shipping == 0 && resp.GetShippingTax().GetMinorUnits() != 0) {
			t.Errorf("%s: %v and %v of tax, %v, want %d for delivery", c.name, resp.GetShipping(), resp.GetShippingTax(), err, c.shipping)
		}
	}
}

func TestDeliveryThatWasAgreedToBeFreeStaysFree(t *testing.T) {
	n := &neighbours{cart: []*cartv1.Line{primeLine("ale", 5_00)}, plan: inStock, prices: map[string]int64{"ale": 4_00}}
	s := n.quoting()
	resp, err := ask(t, s, &checkoutv1.QuoteRequest{Speed: express})
	if err != nil || !resp.GetLines()[0].GetPrime() {
		t.Fatalf("%v, %v", resp, err)
	}
	q, err := s.sealer.open(resp.GetQuoteToken())
	if err != nil {
		t.Fatal(err)
	}
	if err := s.passOnPrices(t.Context(), q); err != nil { // the catalogue does not call it Prime any more
		t.Fatal(err)
	}
	if q.GetShipping() == nil || q.GetShipping().GetMinorUnits() != 0 || q.GetItemsTotal().GetMinorUnits() != 4_00 || !q.GetLines()[0].GetPrime() {
		t.Errorf("%v", q)
	}
}

func TestNothingButDeliveryDependsOnWhatIsPrime(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		q, _, _ := agreed(t)
		worth := q.GetItemsTotal().GetMinorUnits() - q.GetDiscount().GetMinorUnits()
		want := shippingFee(q.GetSpeed(), worth)
		if allPrime(q) {
			want = 0
		}
		if got := q.GetShipping().GetMinorUnits(); got != want || (got == 0 && q.GetShippingTax().GetMinorUnits() != 0) {
			t.Fatalf("%d for delivery, and %v of tax on it, not %d: %v", got, q.GetShippingTax(), want, q)
		}
		other := proto.CloneOf(q)
		for _, l := range other.GetLines() {
			l.Prime = !l.GetPrime()
		}
		if err := price(other); err != nil {
			t.Fatalf("%v", err)
		}
		addsUp(t, other)
		for i, l := range other.GetLines() {
			l.Prime = q.GetLines()[i].GetPrime()
		}
		if !proto.Equal(other, q) {
			t.Fatalf("an agreed quote changes from %v to %v", q, other)
		}
	})
}
