package audit

import (
	"fmt"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/cellar-commerce/cellar/internal/cardnetwork"
	fulfillmentv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/fulfillment/v1"
	orderv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/order/v1"
)

// newMissed is the world with one order more, of four units: of its parcel of iad1 nothing was found. One of the two units is
// sent from cmh1 instead, and one was canceled; the other two have left sea1.
func newMissed(t *testing.T) *world {
	t.Helper()
	w := newWorld(t)
	pick := &orderv1.ShortPick{ShortPickId: "x1.1", FcId: "iad1", Lines: unitsOf(2), FoundAt: timestamppb.New(now.Add(-time.Hour))}
	w.order(t, "missed", "SHIPPED", 1000)
	w.events(t, "missed", &orderv1.Paid{Parcels: []*orderv1.Parcel{{FcId: "iad1", Lines: unitsOf(2)}, {FcId: "sea1", Lines: unitsOf(2)}}},
		&orderv1.ShortPicked{FcId: "iad1", ShortPick: pick}, &orderv1.Shipped{FcId: "sea1"},
		&orderv1.Replanned{ShortPickId: "x1.1", Parcels: []*orderv1.Parcel{{FcId: "cmh1", Lines: unitsOf(1)}}, Canceled: unitsOf(1), Refund: cents(250)},
		&orderv1.Refunded{RefundId: "short-x1.1", Amount: cents(250)}, &orderv1.Shipped{FcId: "cmh1"})
	w.run(t, w.customers, "INSERT INTO order_lines (region, order_id, line, sku, title, quantity, unit_price_minor_units) VALUES ('us-east-1', 'missed', 1, 'mild', 'Mild', 4, 250)")
	w.run(t, w.customers, fmt.Sprintf(`INSERT INTO sagas (region, saga_id, kind, customer_id, slot, status, step, state, attempts, due_at, holder, last_error, created_at, updated_at)
		VALUES ('us-east-1', 'missed/short_pick/x1.1', 'short_pick', 'c', 0, 'DONE', 'x', '', 0, %[1]s, '', '', %[1]s, %[1]s)`, ago(time.Hour)))
	w.payment(t, "missed", payment{state: "CAPTURED", parts: 250}, "ch_11")
	w.charge("missed", "ch_11", cardnetwork.KindCapture, 1000)
	w.charge("missed", "ch_11", cardnetwork.KindRefund, 250)
	w.run(t, w.regional, "INSERT INTO inventory (region, fc_id, sku, available, reserved) VALUES ('us-east-1', 'iad1', 'mild', 8, 0), ('us-west-2', 'sea1', 'mild', 8, 0), ('us-east-1', 'cmh1', 'mild', 9, 0)")
	w.run(t, w.regional, fmt.Sprintf(`INSERT INTO inventory_events (region, fc_id, kind, source_id, sku, delta, reason, at) VALUES
		('us-east-1', 'iad1', 'restock', 'opening', 'mild', 10, '', %[1]s), ('us-west-2', 'sea1', 'restock', 'opening', 'mild', 10, '', %[1]s), ('us-east-1', 'cmh1', 'restock', 'opening', 'mild', 10, '', %[1]s),
		('us-east-1', 'iad1', 'adjust', 'short/x1.1', 'mild', -2, 'short pick', %[1]s), ('us-west-2', 'sea1', 'ship', 'missed', 'mild', -2, '', %[1]s), ('us-east-1', 'cmh1', 'ship', 'missed', 'mild', -1, '', %[1]s)`, ago(time.Hour)))
	w.run(t, w.regional, fmt.Sprintf(`INSERT INTO reservations (region, fc_id, order_id, line, sku, quantity, state, expires_at, changed_at) VALUES
		('us-west-2', 'sea1', 'missed', 1, 'mild', 2, 'SHIPPED', %[1]s, %[1]s), ('us-east-1', 'cmh1', 'missed', 1, 'mild', 1, 'SHIPPED', %[1]s, %[1]s)`, ago(time.Hour)))
	w.run(t, w.regional, fmt.Sprintf(`INSERT INTO shipments (region, fc_id, order_id, shipment_id, customer_id, state, lines, tracking_number, requested_at, due_at, shipped_at, short_picks) VALUES
		('us-east-1', 'iad1', 'missed', 'x1', 'c', 'CANCELED', '', '', %[1]s, %[1]s, NULL, %[2]s), ('us-west-2', 'sea1', 'missed', 'x2', 'c', 'SHIPPED', '', 'T', %[1]s, %[1]s, %[1]s, ''),
		('us-east-1', 'cmh1', 'missed', 'x3', 'c', 'SHIPPED', '', 'T', %[1]s, %[1]s, %[1]s, '')`, ago(time.Hour), detailOf(&fulfillmentv1.ShortPicks{ShortPicks: []*orderv1.ShortPick{pick}})))
	return w
}

func unitsOf(n int64) []*orderv1.ParcelLine {
	return []*orderv1.ParcelLine{{Line: 1, Sku: "mild", Quantity: n}}
}

func TestAShortPickIsClean(t *testing.T) {
	if got, _ := newMissed(t).audit(t); len(got) > 0 {
		t.Errorf("found %q", got)
	}
}

const missedOrder = " WHERE order_id = 'missed'"

var missedDefects = map[string]defect{
	"units that are still on the books": {regional: "DELETE FROM inventory_events WHERE kind = 'adjust'", want: "1 iad1/mild: available 8 + reserved 0 is not the ledger's 10"},
	"units that nobody has found leave": {regional: "UPDATE reservations SET fc_id = 'iad1', region = 'us-east-1'" + missedOrder + " AND fc_id = 'sea1'", want: "4 missed: its parcel of iad1 is canceled, and 2 of mild are SHIPPED there"},
	"a parcel that should be empty":     {regional: "UPDATE shipments SET state = 'SHIPPED', shipped_at = due_at" + missedOrder, want: "7 missed: its parcel of iad1 is canceled, and SHIPPED there"},
	"a parcel that nobody asked for":    {regional: "DELETE FROM shipments" + missedOrder + " AND fc_id = 'cmh1'", want: "3 missed: cmh1 was never asked for its parcel"},
	"units that are neither":            {customers: "UPDATE order_events SET detail = " + detailOf(&orderv1.Replanned{ShortPickId: "x1.1", Parcels: []*orderv1.Parcel{{FcId: "cmh1", Lines: unitsOf(1)}}}) + missedOrder + " AND kind = 'replanned'", want: "4 missed: is SHIPPED, with 3 of 4 units sold"},
	"a refund that was never made":      {without: on("ch_11", cardnetwork.KindRefund, "missed", 250), want: "2 missed: 1000 kept of 750 agreed"},
	"an order that has not heard of it": {customers: "UPDATE order_events SET kind = 'unknown'" + missedOrder + " AND kind IN ('short_picked', 'replanned', 'refunded')", want: "3 missed: has not heard what iad1 did not find on"},
	"a plan that gave up":               {customers: "UPDATE sagas SET status = 'PARKED' WHERE saga_id = 'missed/short_pick/x1.1'", want: "3 missed: missed/short_pick/x1.1 is PARKED"},
	"books that wait to be corrected":   {regional: "UPDATE shipments SET state = 'SHORT', due_at = " + ago(grace+time.Second) + missedOrder + " AND fc_id = 'iad1'", want: "3 iad1/missed: its parcel is SHORT, and due since"},
}

func TestEveryDefectOfAShortPickIsFound(t *testing.T) {
	eachIsFound(t, newMissed(t), missedDefects)
}

func TestWhatTheOrderIsAboutToHearIsNotJudgedYet(t *testing.T) {
	w := newMissed(t)
	young := &orderv1.ShortPick{ShortPickId: "x3.1", FcId: "cmh1", Lines: unitsOf(1), FoundAt: timestamppb.New(now.Add(-time.Second))}
	w.run(t, w.regional, "UPDATE shipments SET state = 'CANCELED', shipped_at = NULL, short_picks = "+detailOf(&fulfillmentv1.ShortPicks{ShortPicks: []*orderv1.ShortPick{young}})+missedOrder+" AND fc_id = 'cmh1'")
	w.run(t, w.regional, "UPDATE inventory_events SET kind = 'adjust', reason = 'short pick' WHERE fc_id = 'cmh1' AND source_id = 'missed'")
	w.run(t, w.regional, "DELETE FROM reservations"+missedOrder+" AND fc_id = 'cmh1'")
	w.run(t, w.customers, "UPDATE order_events SET kind = 'unknown'"+missedOrder+" AND seq = 7")
	w.run(t, w.customers, "UPDATE orders SET status = 'PAID'"+missedOrder)
	if got, _ := w.audit(t); len(got) > 0 {
		t.Errorf("found %q", got)
	}
}
