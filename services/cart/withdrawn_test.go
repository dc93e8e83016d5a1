package cart

import (
	"testing"

	cartv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/cart/v1"
	"github.com/cellar-commerce/cellar/internal/problem"
)

func TestWhatIsWithdrawnIsNotPutIntoACart(t *testing.T) {
	w, id := newWorld(t), newCustomer()
	must(t, w.add(id, "ale", 2), w.add(id, "port", 1))
	_, err := w.SaveForLater(as(id), &cartv1.SaveForLaterRequest{Sku: "ale"})
	must(t, err)
	w.shelf.withdraw("ale", true)
	w.shelf.withdraw("port", true)
	for name, err := range map[string]error{"what was never in it": w.add(id, "ale", 1), "more of what is": w.add(id, "port", 1), "another quantity": w.set(id, "port", 3)} {
		if problem.KindOf(err) != problem.Precondition || !problem.Is(err, "PRODUCT_WITHDRAWN") {
			t.Errorf("%s: %v", name, err)
		}
	}
	_, err = w.MoveToCart(as(id), &cartv1.MoveToCartRequest{Sku: "ale"})
	refused(t, err, problem.Precondition, "PRODUCT_WITHDRAWN")
	same(t, "both lists", w.both(t, id), "port×1 | ale×2")
	must(t, w.set(id, "port", 0))
	_, err = w.RemoveSaved(as(id), &cartv1.RemoveSavedRequest{Sku: "ale"})
	must(t, err)
	same(t, "both lists, cleared", w.both(t, id), " | ")
	w.shelf.withdraw("ale", false)
	must(t, w.add(id, "ale", 1))
}

func TestWhatIsWithdrawnStaysInTheCartAndCountsForNothing(t *testing.T) {
	w, id := newWorld(t), newCustomer()
	must(t, w.add(id, "ale", 2), w.add(id, "port", 1), w.add(id, "rum", 3))
	_, err := w.SaveForLater(as(id), &cartv1.SaveForLaterRequest{Sku: "rum"})
	must(t, err)
	w.shelf.withdraw("port", true)
	w.shelf.withdraw("rum", true)
	resp, err := w.GetCart(as(id), &cartv1.GetCartRequest{})
	must(t, err)
	same(t, "subtotal", resp.GetCart().GetSubtotal().GetMinorUnits(), 1000)
	for _, l := range append(resp.GetCart().GetLines(), resp.GetCart().GetSaved()...) {
		gone := l.GetSku() != "ale"
		if l.GetWithdrawn() != gone || l.GetAvailableForSale() == gone || (l.GetPrice() == nil) != gone || l.GetPrime() == gone || (l.GetCategory() == "") != gone {
			t.Errorf("it shows %v", l)
		}
		if l.GetTitle() != finest(l.GetSku()) || l.GetSeller() != ownName || l.GetPriceAtAdd() == nil {
			t.Errorf("of %s nobody knows what it was: %v", l.GetSku(), l)
		}
	}
	w.shelf.withdraw("port", false)
	resp, err = w.GetCart(as(id), &cartv1.GetCartRequest{})
	must(t, err)
	same(t, "subtotal when it is back", resp.GetCart().GetSubtotal().GetMinorUnits(), 3500)
	w.shelf.withdraw("port", true)
	must(t, w.removed(id, "port"))
	same(t, "left", w.quantities(t, id), "ale×2")
}
