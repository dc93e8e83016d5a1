package audit

import (
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/cellar-commerce/cellar/internal/cardnetwork"
	moneyv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/money/v1"
	orderv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/order/v1"
)

func cents(n int64) *moneyv1.Money { return &moneyv1.Money{CurrencyCode: "USD", MinorUnits: n} }

// newAftermath is the world with three orders more: of "parts" one parcel was canceled and of the other, which has left,
// half came back; "gone" was canceled as a whole; "held" is paid for by shipment, and one of its two parcels is packed.
func newAftermath(t *testing.T) *world {
	t.Helper()
	w := newWorld(t)
	two := func(units int64) *orderv1.Paid {
		return &orderv1.Paid{Parcels: []*orderv1.Parcel{
			{FcId: "iad1", Lines: []*orderv1.ParcelLine{{Line: 1, Sku: "stout", Quantity: units}}}, {FcId: "sea1", Lines: []*orderv1.ParcelLine{{Line: 1, Sku: "stout", Quantity: 2}}},
		}}
	}
	w.order(t, "parts", "SHIPPED", 8, ago(time.Hour))
	for i, e := range []struct {
		kind   string
		detail proto.Message
	}{
		{"placed", &orderv1.Paid{}}, {"paid", two(2)}, {"cancel_requested", &orderv1.CancelRequested{}},
		{"canceled", &orderv1.Canceled{FcId: "iad1", Refund: cents(500)}}, {"refunded", &orderv1.Refunded{RefundId: "cancellation", Amount: cents(500)}},
		{"shipped", &orderv1.Shipped{FcId: "sea1"}},
		{"return_requested", &orderv1.ReturnRequested{Return: &orderv1.Return{ReturnId: "r1", Lines: []*orderv1.ReturnedLine{{FcId: "sea1", Line: 1, Quantity: 1}}}}},
		{"returned", &orderv1.Returned{ReturnId: "r1"}},
	} {
		w.event(t, "parts", i+1, e.kind, e.detail)
	}
	w.order(t, "gone", "CANCELED", 5, ago(time.Hour))
	w.event(t, "gone", 1, "placed", &orderv1.Paid{})
	w.event(t, "gone", 2, "paid", &orderv1.Paid{Parcels: []*orderv1.Parcel{{FcId: "iad1", Lines: []*orderv1.ParcelLine{{Line: 1, Sku: "stout", Quantity: 1}}}}})
	w.event(t, "gone", 3, "cancel_requested", &orderv1.CancelRequested{})
	w.event(t, "gone", 4, "canceled", &orderv1.Canceled{FcId: "iad1"})
	w.event(t, "gone", 5, "refunded", &orderv1.Refunded{Amount: cents(1000)})
	w.order(t, "held", "PAID", 4, ago(time.Hour))
	paid := two(1)
	paid.Authorized = true
	w.event(t, "held", 1, "placed", &orderv1.Paid{})
	w.event(t, "held", 2, "paid", paid)
	w.event(t, "held", 3, "shipped", &orderv1.Shipped{FcId: "sea1"})
	w.event(t, "held", 4, "captured", &orderv1.Captured{CaptureId: "s2", FcId: "sea1", Amount: cents(700)})
	w.fillAftermath(t)
	return w
}

func (w *world) fillAftermath(t *testing.T) {
	t.Helper()
	w.run(t, w.customers, `INSERT INTO order_lines (region, order_id, line, sku, title, quantity, unit_price_minor_units) VALUES
		('us-east-1', 'parts', 1, 'stout', 'Stout', 4, 250), ('us-east-1', 'gone', 1, 'stout', 'Stout', 1, 1000), ('us-east-1', 'held', 1, 'stout', 'Stout', 3, 300)`)
	w.run(t, w.customers, fmt.Sprintf(`INSERT INTO payments (region, order_id, customer_id, state, amount_minor_units, currency, card_token, charge_id, decline_code, created_at, updated_at) VALUES
		('us-east-1', 'parts', 'c', 'CAPTURED', 1000, 'USD', 't', 'ch_2', '', %[1]s, %[1]s), ('us-east-1', 'gone', 'c', 'REFUNDED', 1000, 'USD', 't', 'ch_3', '', %[1]s, %[1]s),
		('us-east-1', 'held', 'c', 'CAPTURED', 1000, 'USD', 't', 'ch_4', '', %[1]s, %[1]s)`, ago(time.Hour)))
	w.run(t, w.customers, fmt.Sprintf(`INSERT INTO sagas (region, saga_id, kind, customer_id, slot, status, step, state, attempts, due_at, holder, last_error, created_at, updated_at)
		VALUES ('us-east-1', 'parts/cancellation', 'cancellation', 'c', 0, 'DONE', 'x', '', 0, %[1]s, '', '', %[1]s, %[1]s)`, ago(time.Hour)))
	w.run(t, w.regional, `INSERT INTO inventory (region, fc_id, sku, available, reserved) VALUES ('us-east-1', 'iad1', 'stout', 9, 1), ('us-west-2', 'sea1', 'stout', 7, 0)`)
	w.run(t, w.regional, fmt.Sprintf(`INSERT INTO inventory_events (region, fc_id, kind, source_id, sku, delta, reason, at) VALUES
		('us-east-1', 'iad1', 'restock', 'opening', 'stout', 10, '', %[1]s), ('us-west-2', 'sea1', 'restock', 'opening', 'stout', 10, '', %[1]s),
		('us-west-2', 'sea1', 'ship', 'parts', 'stout', -2, '', %[1]s), ('us-west-2', 'sea1', 'return', 'parts/r1', 'stout', 1, '', %[1]s),
		('us-west-2', 'sea1', 'ship', 'held', 'stout', -2, '', %[1]s)`, ago(time.Hour)))
	w.run(t, w.regional, fmt.Sprintf(`INSERT INTO reservations (region, fc_id, order_id, line, sku, quantity, state, expires_at, changed_at) VALUES
		('us-east-1', 'iad1', 'parts', 1, 'stout', 2, 'RELEASED', %[1]s, %[1]s), ('us-west-2', 'sea1', 'parts', 1, 'stout', 2, 'SHIPPED', %[1]s, %[1]s),
		('us-east-1', 'iad1', 'gone', 1, 'stout', 1, 'RELEASED', %[1]s, %[1]s),
		('us-east-1', 'iad1', 'held', 1, 'stout', 1, 'COMMITTED', %[1]s, %[1]s), ('us-west-2', 'sea1', 'held', 1, 'stout', 2, 'SHIPPED', %[1]s, %[1]s)`, ago(time.Hour)))
	w.run(t, w.regional, fmt.Sprintf(`INSERT INTO shipments (region, fc_id, order_id, shipment_id, customer_id, state, lines, tracking_number, requested_at, due_at, shipped_at) VALUES
		('us-east-1', 'iad1', 'parts', 'p1', '', 'CANCELED', '', '', %[1]s, %[1]s, NULL), ('us-west-2', 'sea1', 'parts', 'p2', 'c', 'SHIPPED', '', 'T', %[1]s, %[1]s, %[1]s),
		('us-east-1', 'iad1', 'gone', 'g1', 'c', 'CANCELED', '', '', %[1]s, %[1]s, NULL),
		('us-east-1', 'iad1', 'held', 'h1', 'c', 'PACKED', '', '', %[1]s, %[2]s, NULL), ('us-west-2', 'sea1', 'held', 's2', 'c', 'SHIPPED', '', 'T', %[1]s, %[1]s, %[1]s)`,
		ago(time.Hour), ago(-time.Second)))
	w.ledger = append(w.ledger,
		cardnetwork.Entry{Kind: cardnetwork.KindCapture, Reference: "parts", Amount: 1000}, cardnetwork.Entry{Kind: cardnetwork.KindRefund, Reference: "parts", Amount: 500},
		cardnetwork.Entry{Kind: cardnetwork.KindCapture, Reference: "gone", Amount: 1000}, cardnetwork.Entry{Kind: cardnetwork.KindRefund, Reference: "gone", Amount: 1000},
		cardnetwork.Entry{Kind: cardnetwork.KindCapture, Reference: "held", Amount: 700},
	)
}

func TestWhatFollowsAnOrderIsClean(t *testing.T) {
	if got, _ := newAftermath(t).audit(t); len(got) > 0 {
		t.Errorf("found %q", got)
	}
}

func detailOf(m proto.Message) string {
	b, _ := proto.Marshal(m)
	return "decode('" + hex.EncodeToString(b) + "', 'hex')"
}

const (
	parts = " WHERE order_id = 'parts'"
	gone  = " WHERE order_id = 'gone'"
	held  = " WHERE order_id = 'held'"
)

var laterDefects = map[string]defect{
	"a canceled parcel that leaves":        {regional: "UPDATE shipments SET state = 'SHIPPED', shipped_at = due_at" + gone, want: "7 gone: its parcel of iad1 is canceled, and SHIPPED there"},
	"a canceled parcel that is told of":    {customers: "UPDATE order_events SET kind = 'shipped', detail = " + detailOf(&orderv1.Shipped{FcId: "iad1"}) + gone + " AND seq = 3", want: "7 gone: its parcel of iad1 is canceled and has left"},
	"a parcel canceled behind one's back":  {regional: "UPDATE shipments SET state = 'CANCELED'" + held + " AND fc_id = 'iad1'", want: "3 held: iad1 has canceled a parcel that the order waits for"},
	"canceled stock that is not free":      {regional: "UPDATE reservations SET state = 'COMMITTED'" + gone, want: "4 gone: its parcel of iad1 is canceled, and 1 of stout are COMMITTED there"},
	"a cancellation without its refund":    {entry: entry(cardnetwork.KindCapture, "gone", 1000), want: "2 gone: was captured 2 times"},
	"a refund the order has not heard of":  {entry: entry(cardnetwork.KindRefund, "parts", 1), want: "2 parts: 499 kept of a total of 1000, of which 500 should be"},
	"a refund that was never made":         {customers: "UPDATE order_events SET detail = " + detailOf(&orderv1.Refunded{RefundId: "x", Amount: cents(600)}) + parts + " AND seq = 5", want: "4 parts: is SHIPPED, with 500 of 400 taken"},
	"a shipment whose money is not taken":  {customers: "UPDATE order_events SET detail = " + detailOf(&orderv1.Captured{Amount: cents(800)}) + held + " AND seq = 4", want: "2 held: 700 kept of a total of 1000, of which 800 should be"},
	"a shipment charged twice":             {entry: entry(cardnetwork.KindCapture, "held", 0), want: "2 held: was captured 2 times"},
	"returned units that are not there":    {regional: "DELETE FROM inventory_events WHERE kind = 'return'", want: "5 parts: 1 units are returned to sea1, and not on its shelf"},
	"more units back than were returned":   {regional: "UPDATE inventory_events SET delta = 2 WHERE kind = 'return'", want: "7 parts: 2 units came back to sea1, of 1 returned"},
	"a packed parcel that nobody sends":    {regional: "UPDATE shipments SET due_at = " + ago(grace+time.Second) + held + " AND fc_id = 'iad1'", want: "3 iad1/held: its parcel is PACKED, and due since"},
	"a cancellation that gave up":          {customers: "UPDATE sagas SET status = 'PARKED' WHERE saga_id = 'parts/cancellation'", want: "3 parts: parts/cancellation is PARKED"},
	"a return for an order there is not":   {customers: "UPDATE sagas SET saga_id = 'nothing/return/r', kind = 'return', status = 'RUNNING' WHERE saga_id = 'parts/cancellation'", want: "3 nothing: is followed by nothing/return/r"},
	"an order that was canceled and sold":  {regional: "UPDATE reservations SET state = 'SHIPPED'" + gone, want: "4 gone: its parcel of iad1 is canceled, and 1 of stout are SHIPPED there"},
	"a canceled order whose payment holds": {customers: "UPDATE payments SET state = 'PENDING'" + gone, want: "4 gone: is CANCELED, with 0 of 0 taken and its payment PENDING"},
}

func TestEveryDefectOfWhatFollowsAnOrderIsFound(t *testing.T) {
	for name, d := range laterDefects {
		t.Run(name, func(t *testing.T) {
			w := newAftermath(t)
			if d.customers != "" {
				w.run(t, w.customers, d.customers)
			}
			if d.regional != "" {
				w.run(t, w.regional, d.regional)
			}
			if d.entry != nil {
				w.ledger = append(w.ledger, *d.entry)
			}
			got, _ := w.audit(t)
			if !slices.ContainsFunc(got, func(v string) bool { return strings.HasPrefix(v, d.want) }) {
				t.Errorf("found %q, want %q", got, d.want)
			}
		})
	}
}

func TestWhatASagaWorksOnIsNotJudgedYet(t *testing.T) {
	w := newAftermath(t)
	w.run(t, w.customers, "UPDATE sagas SET status = 'RUNNING' WHERE saga_id = 'parts/cancellation'")
	w.ledger = append(w.ledger, *entry(cardnetwork.KindRefund, "parts", 250))
	w.run(t, w.regional, "UPDATE reservations SET state = 'COMMITTED'"+parts+" AND fc_id = 'iad1'")
	got, _ := w.audit(t)
	only(t, got, "5 iad1/stout: reserved 1, but orders hold 3") // of the stock itself everything is judged
}
