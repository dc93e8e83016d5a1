package fulfillment

import (
	"testing"

	"google.golang.org/protobuf/proto"

	orderv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/order/v1"
	"github.com/cellar-commerce/cellar/internal/ident"
	"github.com/cellar-commerce/cellar/internal/problem"
	"github.com/cellar-commerce/cellar/internal/sqldb/sqldbtest"
)

func (w world) erased(t *testing.T, order ident.OrderID, fc string) error {
	t.Helper()
	payload, err := proto.Marshal(&orderv1.FulfillmentErased{OrderId: string(order), FcId: fc})
	if err != nil {
		t.Fatal(err)
	}
	return w.Erased(t.Context(), payload)
}

// addresses are the FCs whose row of an order says where its parcel goes.
func (w world) addresses(t *testing.T, order ident.OrderID) []string {
	t.Helper()
	return sqldbtest.Texts(t, w.db, "SELECT fc_id FROM shipments WHERE order_id = $1 AND (position('New York'::bytea IN lines) > 0 OR position('New York'::bytea IN booking) > 0) ORDER BY fc_id", string(order))
}

func TestAnFCForgetsWhereAParcelWentOnceItIsOver(t *testing.T) {
	w := newWorld(t, nil)
	order := ident.NewOrder("usw2")
	w.requested(t, order, "iad1")
	w.requested(t, order, "ewr1")
	w.cancel(t, order, "ewr1", stateCanceled)
	refused(t, w.erased(t, order, "iad1"), problem.Unavailable, "PARCEL_UNDER_WAY")
	if got := w.addresses(t, order); len(got) != 2 {
		t.Fatalf("addresses at %v", got)
	}
	w.clock.Advance(handling)
	w.shipDue(t, 1)
	before := w.shipments(t, order)
	for range 2 {
		for _, fc := range []string{"iad1", "ewr1"} {
			if err := w.erased(t, order, fc); err != nil {
				t.Fatal(err)
			}
		}
	}
	if got := w.addresses(t, order); len(got) != 0 {
		t.Errorf("addresses at %v", got)
	}
	for i, sh := range w.shipments(t, order) {
		if !proto.Equal(sh, before[i]) {
			t.Errorf("it was %v, and is %v", before[i], sh)
		}
	}
	if err := w.erased(t, ident.NewOrder("usw2"), "iad1"); err != nil { // nothing is known of it
		t.Error(err)
	}
	if w.Erased(t.Context(), []byte("no message")) == nil {
		t.Error("it was swallowed")
	}
}
