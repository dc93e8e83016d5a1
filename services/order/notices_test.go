package order

import (
	"context"
	"slices"
	"strings"
	"testing"

	orderv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/order/v1"
)

// told is what customers are to be told, by cause.
func (w world) told(t *testing.T) (kinds []string) {
	t.Helper()
	rows, err := w.db.QueryText(context.Background(), "SELECT kind FROM notifications ORDER BY kind")
	must(t, err)
	defer rows.Close()
	for rows.Next() {
		var kind string
		must(t, rows.Scan(&kind))
		kinds = append(kinds, strings.TrimPrefix(kind, "KIND_"))
	}
	must(t, rows.Err())
	return kinds
}

func TestWhatHappensToAnOrderIsToldOnceInTheTransactionOfItsEvent(t *testing.T) {
	w, p := newWorld(t), newPlacement()
	for range 2 {
		must(t, w.create(p), w.pay(p), w.ship(p, "iad1", "s1"), w.ship(p, "sea1", "s2"))
	}
	if got := w.told(t); !slices.Equal(got, []string{"ORDER_PLACED", "ORDER_SHIPPED", "ORDER_SHIPPED"}) {
		t.Errorf("told %v", got)
	}
}

func TestAddressesOfOrdersThatHaveEndedAreErasedAndOthersKept(t *testing.T) {
	w, p, q := newWorld(t), newPlacement(), newPlacement()
	q.customer = p.customer
	must(t, w.create(p), w.pay(p), w.create(q), w.pay(q))
	_, err := w.cancelOrder(p)
	must(t, err)
	for range 2 {
		resp, err := w.EraseAddresses(t.Context(), &orderv1.EraseAddressesRequest{CustomerId: string(p.customer)})
		must(t, err)
		if resp.GetRemaining() != 1 {
			t.Errorf("%d are under way", resp.GetRemaining())
		}
	}
	if to := w.get(t, p).GetShipTo(); to.GetRecipient() != erasedName || len(to.GetLines()) != 0 || to.GetPhone() != "" || to.GetPostalCode() != "" || to.GetRegionCode() == "" {
		t.Errorf("kept %v", to)
	}
	if to := w.get(t, q).GetShipTo(); len(to.GetLines()) == 0 {
		t.Errorf("the one under way goes to %v", to)
	}
}
