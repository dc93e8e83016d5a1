package cart

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	cartv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/cart/v1"
	catalogv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/catalog/v1"
	"github.com/cellar-commerce/cellar/internal/ident"
	"github.com/cellar-commerce/cellar/internal/money"
	"github.com/cellar-commerce/cellar/internal/problem"
)

// both lists of a cart, sorted, as "ale×2 | port×1".
func (w world) both(t reporter, id ident.CustomerID) string {
	t.Helper()
	resp, err := w.GetCart(as(id), &cartv1.GetCartRequest{})
	must(t, err)
	names := func(lines []*cartv1.Line) string {
		var all []string
		for _, l := range lines {
			all = append(all, fmt.Sprintf("%s×%d", l.GetSku(), l.GetQuantity()))
		}
		slices.Sort(all)
		return strings.Join(all, " ")
	}
	return names(resp.GetCart().GetLines()) + " | " + names(resp.GetCart().GetSaved())
}

func TestWhatIsSavedForLaterKeepsItsPriceAndIsNotInTheCart(t *testing.T) {
	w := newWorld(t)
	who := newCustomer()
	must(t, w.add(who, "ale", 2))
	must(t, w.add(who, "port", 1))
	for range 2 { // again changes nothing
		saved, err := w.SaveForLater(as(who), &cartv1.SaveForLaterRequest{Sku: "ale"})
		must(t, err)
		if saved.GetCart().GetSubtotal().GetMinorUnits() != 2500 {
			t.Errorf("what is saved counts: %v", saved.GetCart())
		}
	}
	if got := w.both(t, who); got != "port×1 | ale×2" {
		t.Errorf("saved, it is %s", got)
	}
	w.shelf.price("ale", 700)
	for range 2 {
		moved, err := w.MoveToCart(as(who), &cartv1.MoveToCartRequest{Sku: "ale"})
		must(t, err)
		if l := moved.GetCart().GetLines(); len(l) != 2 || l[0].GetPriceAtAdd().GetMinorUnits() != 500 || l[0].GetPrice().GetMinorUnits() != 700 {
			t.Errorf("moved back it is %v", l)
		}
	}
	if got := w.both(t, who); got != "ale×2 port×1 | " {
		t.Errorf("moved back, it is %s", got)
	}
	_, err := w.SaveForLater(as(who), &cartv1.SaveForLaterRequest{Sku: "rum"})
	refused(t, err, problem.NotFound, "UNKNOWN_LINE")
	_, err = w.MoveToCart(as(who), &cartv1.MoveToCartRequest{Sku: "rum"})
	refused(t, err, problem.NotFound, "UNKNOWN_LINE")
	for _, sku := range []string{"", strings.Repeat("x", maxSKU+1)} {
		_, err := w.RemoveSaved(as(who), &cartv1.RemoveSavedRequest{Sku: sku})
		refused(t, err, problem.Invalid, "INVALID_FIELDS")
	}
}

// Whatever is saved and moved, a product is somewhere with its larger quantity, and nothing is made or lost on the way.
func TestSavingAndMovingLoseNothing(t *testing.T) {
	w, who, draw := newWorld(t), newCustomer(), rand.New(rand.NewPCG(1, 2))
	cart, saved := map[string]int64{}, map[string]int64{}
	for range 150 {
		sku := []string{"ale", "port", "rum"}[draw.IntN(3)]
		known := cart[sku]+saved[sku] > 0
		var err error
		switch draw.IntN(4) {
		case 0:
			n := 1 + draw.Int64N(4)
			must(t, w.add(who, sku, n))
			cart[sku] += n
		case 1:
			_, err = w.SaveForLater(as(who), &cartv1.SaveForLaterRequest{Sku: sku})
			shift(cart, saved, sku)
		case 2:
			_, err = w.MoveToCart(as(who), &cartv1.MoveToCartRequest{Sku: sku})
			shift(saved, cart, sku)
		case 3:
			_, err := w.RemoveSaved(as(who), &cartv1.RemoveSavedRequest{Sku: sku})
			must(t, err)
			delete(saved, sku)
		}
		if known {
			must(t, err)
		}
		if got, want := w.both(t, who), listed(cart)+" | "+listed(saved); got != want {
			t.Fatalf("it is %s, want %s", got, want)
		}
	}
}

// shift a product from one list to the other: the larger quantity stays.
func shift(from, to map[string]int64, sku string) {
	if from[sku] > 0 {
		to[sku] = max(to[sku], from[sku])
		delete(from, sku)
	}
}

func listed(lines map[string]int64) string {
	var all []string
	for sku, n := range lines {
		all = append(all, fmt.Sprintf("%s×%d", sku, n))
	}
	slices.Sort(all)
	return strings.Join(all, " ")
}

func TestAGuestsSavedLinesComeAlongAtSignInOnceAndAreErasedWithTheAccount(t *testing.T) {
	w := newWorld(t)
	own, guest := newCustomer(), newGuest()
	for _, l := range []struct {
		id  ident.CustomerID
		sku string
		n   int64
	}{{own, "ale", 1}, {guest, "ale", 3}, {guest, "port", 2}} {
		must(t, w.add(l.id, l.sku, l.n))
		_, err := w.SaveForLater(as(l.id), &cartv1.SaveForLaterRequest{Sku: l.sku})
		must(t, err)
	}
	for range 2 {
		_, err := w.MergeGuestCart(t.Context(), &cartv1.MergeGuestCartRequest{CustomerId: string(own), GuestId: string(guest)})
		must(t, err)
		if got := w.both(t, own); got != " | ale×3 port×2" {
			t.Errorf("merged, it is %s", got)
		}
	}
	_, err := w.EraseCart(t.Context(), &cartv1.EraseCartRequest{CustomerId: string(own)})
	must(t, err)
	if got := w.both(t, own); got != " | " {
		t.Errorf("erased, it is %s", got)
	}
}

func TestNoMoreThan200ProductsAreSavedAndAFullCartTakesNoneBack(t *testing.T) {
	w := newWorld(t)
	who := newCustomer()
	must(t, w.db.ExecText(t.Context(), fmt.Sprintf(`INSERT INTO saved_lines SELECT 'us-east-1', '%s', 'p' || n, 1, 1, 'USD', now() FROM generate_series(1, %d) AS n`, who, maxLines)))
	must(t, w.add(who, "ale", 1))
	_, err := w.SaveForLater(as(who), &cartv1.SaveForLaterRequest{Sku: "ale"})
	refused(t, err, problem.Precondition, "SAVED_FULL")
	must(t, w.db.ExecText(t.Context(), fmt.Sprintf(`INSERT INTO cart_lines SELECT 'us-east-1', '%s', 'q' || n, 1, 1, 'USD', now() FROM generate_series(2, %d) AS n`, who, maxLines)))
	_, err = w.MoveToCart(as(who), &cartv1.MoveToCartRequest{Sku: "p1"})
	refused(t, err, problem.Precondition, "CART_FULL")
	if resp, err := w.GetCart(as(who), &cartv1.GetCartRequest{}); err != nil || len(resp.GetCart().GetSaved()) != maxLines || len(resp.GetCart().GetLines()) != maxLines {
		t.Errorf("%d and %d are left (%v)", len(resp.GetCart().GetLines()), len(resp.GetCart().GetSaved()), err)
	}
}

func TestALineNamesItsSellerAndOfAnOfferTheConditionAndIsPrimeByItself(t *testing.T) {
	line := lineOf(Line{SKU: "o1", Quantity: 1}, &catalogv1.Product{Sku: "o1", Title: "Kettle", OfferOf: "kettle", Seller: "Acme", Condition: catalogv1.Condition_CONDITION_LIKE_NEW, Price: money.USD(5).Proto(), Prime: true})
	if line.GetTitle() != "Kettle (like new)" || line.GetSeller() != "Acme" || line.GetPrice().GetMinorUnits() != 5 || !line.GetPrime() {
		t.Errorf("it is %v", line)
	}
	if own := lineOf(Line{SKU: "kettle", Quantity: 1}, &catalogv1.Product{Sku: "kettle", Title: "Kettle"}); own.GetTitle() != "Kettle" || own.GetSeller() != "Cellar" {
		t.Errorf("the shop's own is %v", own)
	}
	if gone := lineOf(Line{SKU: "kettle", Quantity: 1}, nil); gone.GetSeller() != "" {
		t.Errorf("what nobody sells is %v", gone)
	}
}
