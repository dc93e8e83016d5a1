package audit

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cellar-commerce/cellar/internal/cardnetwork"
	orderv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/order/v1"
	"github.com/cellar-commerce/cellar/internal/ident"
)

func TestWhatIsRightAndWhatIsUnderWayIsClean(t *testing.T) {
	w := newWorld(t)
	got, report := w.audit(t)
	if len(got) > 0 || !report.Clean() {
		t.Errorf("found %q", got)
	}
	var checked []string
	for _, p := range report.Promises {
		checked = append(checked, fmt.Sprint(p.Number, " ", p.Name, ": ", p.Checked))
	}
	want := []string{"1 no oversell: 6", "2 no double charge: 15", "3 no lost order: 4", "4 all or nothing: 6", "5 no stuck stock: 7", "7 once: 10"}
	if !slices.Equal(checked, want) {
		t.Errorf("checked %q, want %q", checked, want)
	}
}

// defect is one thing that is wrong: SQL that breaks a row, or an entry of the ledger that is there, or is not.
type defect struct {
	customers, regional string
	entry               *cardnetwork.Entry
	without             *cardnetwork.Entry
	want                string
}

// entry of a charge that the order does not know.
func entry(kind cardnetwork.Kind, reference string, amount int64) *cardnetwork.Entry {
	return on("ch_9", kind, reference, amount)
}

func on(charge string, kind cardnetwork.Kind, reference string, amount int64) *cardnetwork.Entry {
	return &cardnetwork.Entry{Kind: kind, Reference: reference, ChargeID: charge, Amount: amount}
}

func (d defect) breaks(t *testing.T, w *world) {
	t.Helper()
	if d.customers != "" {
		w.run(t, w.customers, d.customers)
	}
	if d.regional != "" {
		w.run(t, w.regional, d.regional)
	}
	if d.entry != nil {
		w.ledger = append(w.ledger, *d.entry)
	}
	if d.without != nil {
		i := slices.Index(w.ledger, *d.without)
		if i < 0 {
			t.Fatalf("there is no %+v", *d.without)
		}
		w.ledger = slices.Delete(w.ledger, i, i+1)
	}
}

// eachIsFound breaks a clean world by one defect after the other. Other promises may be broken by the same defect: it is
// enough that this one is told, of this subject.
func eachIsFound(t *testing.T, w *world, all map[string]defect) {
	t.Helper()
	restore := w.keep(t)
	for name, d := range all {
		t.Run(name, func(t *testing.T) {
			d.breaks(t, w)
			got, report := w.audit(t)
			if report.Clean() || !slices.ContainsFunc(got, func(v string) bool { return strings.HasPrefix(v, d.want) }) {
				t.Errorf("found %q, want %q", got, d.want)
			}
		})
		restore()
	}
	if got, _ := w.audit(t); len(got) > 0 {
		t.Errorf("found %q in the world as it was", got)
	}
}

const (
	whole   = " WHERE order_id = 'whole'"
	refused = " WHERE order_id = 'refused'"
	live    = " WHERE order_id = 'live'"
	mixed   = " WHERE order_id = 'mixed'"
)

var defects = map[string]defect{
	"units from nowhere":            {regional: "UPDATE inventory SET available = 8 WHERE sku = 'ale'", want: "1 iad1/ale: available 8 + reserved 1 is not the ledger's 8"},
	"stock that nobody counted":     {regional: "DELETE FROM inventory WHERE sku = 'cider' AND fc_id = 'iad1'", want: "1 iad1/cider: the ledger has 10 units"},
	"units held by nobody":          {regional: "UPDATE inventory SET available = 6, reserved = 2 WHERE sku = 'ale'", want: "5 iad1/ale: reserved 2, but orders hold 1"},
	"a hold that is never swept":    {regional: "UPDATE reservations SET expires_at = " + ago(grace+time.Second) + live, want: "5 iad1/live: a hold that ran out"},
	"a charge taken twice":          {entry: entry(cardnetwork.KindCapture, "whole", 1000), want: "2 whole: was charged 2 times: ch_1, ch_9"},
	"too much given back":           {entry: entry(cardnetwork.KindRefund, "refused", 5), want: "2 refused: 0 captured, 5 refunded"},
	"more captured than is held":    {entry: on("ch_4", cardnetwork.KindCapture, "mixed", 51), want: "2 mixed: 501 captured of the 500 that ch_4 holds"},
	"a capture nobody wrote down":   {entry: on("ch_4", cardnetwork.KindCapture, "mixed", 50), want: "2 mixed: 820 kept of 770 agreed"},
	"a refund nobody wrote down":    {entry: on("ch_4", cardnetwork.KindRefund, "mixed", 1), want: "2 mixed: 769 kept of 770 agreed"},
	"a capture that never was":      {customers: "UPDATE payments SET uncaptured_minor_units = 0" + mixed, want: "2 mixed: 770 kept of 820 agreed"},
	"money without a payment":       {customers: "DELETE FROM payments" + whole, want: "2 whole: 1000 taken, and it has no payment"},
	"a share of the wrong tender":   {customers: "UPDATE payment_tenders SET refunded_minor_units = 50" + mixed + " AND position = 1", entry: on("ch_4", cardnetwork.KindCapture, "mixed", 50), want: "2 mixed: the card network captured 500, its payment 450 of the card"},
	"credit that hangs":             {customers: "UPDATE payment_tenders SET captured_minor_units = 250" + mixed + " AND position = 1", entry: on("ch_4", cardnetwork.KindCapture, "mixed", 50), want: "2 mixed: is CAPTURED, and 50 of gift cards and wallet is held"},
	"a tender that is lost":         {customers: "DELETE FROM payment_tenders" + mixed + " AND position = 1", want: "2 mixed: "},
	"credit held for ever":          {customers: "UPDATE payment_tenders SET captured_minor_units = 290" + mixed + " AND position = 1", want: "2 mixed: 760 kept of 770 agreed"},
	"a gift card that grew":         {customers: "UPDATE gift_cards SET balance_minor_units = 501", want: "2 gift_card/0a: has 501, its entries sum to 500"},
	"a wallet that shrank":          {customers: "UPDATE wallets SET balance_minor_units = 79", want: "2 wallet/c: has 79, its entries sum to 80"},
	"credit that went twice":        {customers: "UPDATE payment_tenders SET refunded_minor_units = 31" + mixed + " AND position = 2", want: "2 order/mixed: has 469, its entries sum to 470"},
	"a balance of nobody":           {customers: "DELETE FROM wallets", want: "2 wallet/c: has 0, its entries sum to 80"},
	"an entry without its half":     {customers: "DELETE FROM ledger_entries WHERE account = 'issued'", want: "2 movement issue/i USD: its 1 entries sum to 800"},
	"halves of two sizes":           {customers: "UPDATE ledger_entries SET amount_minor_units = -299 WHERE account = 'gift_card/0a' AND movement = 'draw/mixed/1'", want: "2 movement draw/mixed/1 USD: its 2 entries sum to 1"},
	"money for no order":            {entry: entry(cardnetwork.KindCapture, "nothing", 7), want: "2 nothing: 7 taken for an order that does not exist"},
	"an order that nobody works on": {customers: "UPDATE sagas SET status = 'DONE' WHERE saga_id = 'live'", want: "3 live: is PENDING and nothing works on it"},
	"an order that takes for ever":  {customers: "UPDATE orders SET placed_at = " + ago(grace+time.Second) + live, want: "3 live: is PENDING since"},
	"a saga that gave up":           {customers: "UPDATE sagas SET status = 'PARKED' WHERE saga_id = 'refused'", want: "3 refused: its saga is parked"},
	"an event that is lost":         {customers: "DELETE FROM order_events WHERE order_id = 'refused' AND seq = 2", want: "3 refused: has 1 events, its projection 2"},
	"a promise of no order":         {customers: "UPDATE idempotency_keys SET resource_id = 'gone'", want: "3 gone: was acknowledged, and does not exist"},
	"a promise of a refused order":  {customers: "UPDATE idempotency_keys SET resource_id = 'refused'", want: "3 refused: was acknowledged, and is FAILED"},
	"a parcel nobody asked for":     {regional: "DELETE FROM shipments WHERE fc_id = 'sea1'", want: "3 whole: sea1 was never asked for its parcel"},
	"a parcel the order missed":     {customers: "UPDATE orders SET status = 'PAID'" + whole, want: "3 whole: all its parcels have left, and it is PAID since"},
	"a refused order with stock":    {regional: "UPDATE reservations SET state = 'HELD', expires_at = " + ago(-time.Minute) + refused + " AND line = 1", want: "5 refused: is undone, and stock is held at iad1"},
	"another share than was drawn":  {customers: "UPDATE payments SET credit_minor_units = 501" + mixed, want: "2 mixed: gift cards and wallet gave 500, its payment says 501"},
	"a refused order's hold":        {entry: entry(cardnetwork.KindAuthorize, "refused", 1000), want: "2 refused: is DECLINED, and the card network still holds 1000"},
	"a hold without a payment":      {customers: "DELETE FROM payments" + refused, entry: entry(cardnetwork.KindAuthorize, "refused", 1000), want: "2 refused: the card network holds 1000, and it has no payment"},
	"a hold for no order":           {entry: entry(cardnetwork.KindAuthorize, "nothing", 7), want: "2 nothing: the card network holds 7, and it has no payment"},
	"a refused order's payment":     {customers: "UPDATE payments SET state = 'PENDING'" + refused, want: "4 refused: is FAILED, and its payment PENDING"},
	"a refused order that is paid":  {customers: "UPDATE payments SET state = 'CAPTURED'" + refused, entry: entry(cardnetwork.KindCapture, "refused", 1000), want: "4 refused: is FAILED, and 1000 is taken"},
	"another amount than the order": {customers: "UPDATE payments SET amount_minor_units = 1001, uncaptured_minor_units = 1" + whole, want: "4 whole: is SHIPPED, with 1000 of 1000 taken and its payment CAPTURED"},
	"a payment half done":           {customers: "UPDATE payments SET state = 'VOIDED'" + whole, want: "4 whole: is SHIPPED, with 1000 of 1000 taken and its payment VOIDED"},
	"a unit that was not sold":      {regional: "UPDATE reservations SET state = 'EXPIRED'" + whole + " AND line = 2", want: "4 whole: is SHIPPED, with 2 of 3 units sold"},
	"a refused order that is sold":  {regional: "UPDATE reservations SET state = 'SHIPPED'" + refused + " AND line = 1", want: "4 refused: is FAILED, and 1 units are sold"},
	"a parcel to the wrong place":   {regional: "UPDATE shipments SET fc_id = 'fra1' WHERE fc_id = 'sea1'", want: "7 whole: fra1 ships what was not paid for there"},
	"too many units that left":      {regional: "UPDATE inventory_events SET delta = -3 WHERE kind = 'ship' AND sku = 'ale'", want: "7 whole: 3 units left iad1, of 2 paid for"},
	"a use nobody redeemed":         {customers: "UPDATE voucher_uses SET uses = 2 WHERE holder = '*'", want: "4 voucher TEN of *: 2 uses are counted, 1 orders redeem it"},
	"a use that is forgotten":       {customers: "UPDATE voucher_uses SET uses = 0 WHERE holder = 'c'", want: "4 voucher TEN of c: 0 uses are counted, 1 orders redeem it"},
	"a refused order's voucher":     {customers: "UPDATE voucher_redemptions SET order_id = 'refused' WHERE order_id = 'whole'", want: "4 refused: has FAILED, and still redeems the voucher TEN"},
	"a parcel heard of twice":       {customers: "UPDATE order_events SET detail = (SELECT detail FROM order_events WHERE order_id = 'whole' AND seq = 3) WHERE order_id = 'whole' AND seq = 4", want: "7 whole: heard of a parcel twice"},
}

func TestEveryDefectIsFound(t *testing.T) { eachIsFound(t, newWorld(t), defects) }

func TestMoneyThatIsKeptIsTheTotal(t *testing.T) {
	w := newWorld(t)
	w.charge("whole", "ch_1", cardnetwork.KindRefund, 1)
	got, _ := w.audit(t)
	if len(got) != 2 || !strings.HasPrefix(got[0], "2 whole: 999 kept of 1000 agreed") || !strings.HasPrefix(got[1], "4 whole: is SHIPPED, with 999 of 1000 taken") {
		t.Errorf("found %q", got)
	}
}

func TestGoodsForAnOrderThatDoesNotExistAreStuck(t *testing.T) {
	w := newWorld(t)
	restore := w.keep(t)
	for state, clean := range map[string]bool{"HELD": false, "COMMITTED": false, "SHIPPED": false, "RELEASED": true, "EXPIRED": true} {
		w.run(t, w.regional, fmt.Sprintf(`INSERT INTO reservations (region, fc_id, order_id, line, sku, quantity, state, expires_at, changed_at)
			VALUES ('us-east-1', 'iad1', 'nothing', 1, 'cider', 2, '%s', %s, %s)`, state, ago(-time.Minute), ago(time.Hour)))
		got, _ := w.audit(t)
		stuck := slices.ContainsFunc(got, func(v string) bool { return strings.HasPrefix(v, "5 iad1/nothing: 2 of cider are "+state) })
		if stuck == clean {
			t.Errorf("%s: found %q", state, got)
		}
		restore()
	}
}

func TestAParcelOfAnOrderJustPaidMayNotBeAskedForYet(t *testing.T) {
	w := newWorld(t)
	w.run(t, w.regional, "DELETE FROM shipments WHERE fc_id = 'sea1'")
	w.run(t, w.customers, "UPDATE order_events SET at = "+ago(grace-time.Second))
	if got, _ := w.audit(t); len(got) > 0 {
		t.Errorf("found %q", got)
	}
	// Later it is late, unless the ring's events wait for a broker.
	w.clock.Advance(2 * time.Second)
	got, _ := w.audit(t)
	only(t, got, "3 whole: sea1 was never asked for its parcel")
	w.run(t, w.customers, fmt.Sprintf(`INSERT INTO outbox (region, shard, id, message_id, destination, subject, payload, created_at)
		VALUES ('us-east-1', 0, 1, 'm', 'us-west-2', 's', '', %s)`, ago(0)))
	if got, _ := w.audit(t); len(got) > 0 {
		t.Errorf("found %q", got)
	}
}

func TestALiveOrderHasTimeAndItsMoneyIsNobodysYet(t *testing.T) {
	w := newWorld(t)
	w.run(t, w.customers, "DELETE FROM order_events"+live)
	w.run(t, w.customers, "DELETE FROM order_lines"+live)
	w.run(t, w.customers, "DELETE FROM orders"+live) // the saga has begun, and its order is not written yet
	if got, _ := w.audit(t); len(got) > 0 {
		t.Errorf("found %q", got)
	}
}

// mending is a clock during whose pause somebody finishes what was under way.
type mending struct {
	impatient
	mend func()
}

func (m mending) Sleep(ctx context.Context, d time.Duration) error {
	m.mend()
	return m.impatient.Sleep(ctx, d)
}

func TestWhatIsRightAtTheSecondLookIsNoViolation(t *testing.T) {
	w := newWorld(t)
	w.run(t, w.regional, "UPDATE inventory SET available = 8 WHERE sku = 'ale'")
	deps := Deps{Customers: w.customers, Regional: w.regional, Ledger: w.ledger, Regions: ident.Regions(), Pause: time.Second, Grace: grace}
	deps.Clock = mending{impatient{w.clock}, func() {
		w.run(t, w.regional, "UPDATE inventory SET available = 7 WHERE sku = 'ale'")
		w.run(t, w.regional, "UPDATE inventory SET available = 9 WHERE sku = 'cider' AND fc_id = 'iad1'") // wrong only now
	}}
	if report, err := Run(t.Context(), deps); err != nil || !report.Clean() {
		t.Errorf("%+v, %v", report, err)
	}
}

func TestALongListIsCutAndSaysSo(t *testing.T) {
	w := newWorld(t)
	for i := range maxViolations + 5 {
		w.ledger = append(w.ledger, *entry(cardnetwork.KindCapture, fmt.Sprint("nothing-", i), 1))
	}
	got, _ := w.audit(t)
	if len(got) != maxViolations+1 || !strings.HasSuffix(got[len(got)-1], "and 5 more") {
		t.Errorf("%d lines, the last %q", len(got), got[len(got)-1])
	}
}

type brokenLedger struct{}

func (brokenLedger) Ledger(context.Context, int64, int) (cardnetwork.LedgerPage, error) {
	return cardnetwork.LedgerPage{}, errors.New("played by a test")
}

func TestAnAuditThatCannotReadIsNoCleanAudit(t *testing.T) {
	w := newWorld(t)
	_, err := Run(t.Context(), Deps{Customers: w.customers, Regional: w.regional, Ledger: brokenLedger{}, Regions: ident.Regions(), Clock: impatient{w.clock}, Grace: grace})
	if err == nil || !strings.Contains(err.Error(), "played by a test") {
		t.Errorf("got %v", err)
	}
}

func TestAnEventThatCannotBeReadIsNotPassedOver(t *testing.T) {
	w := newWorld(t)
	w.event(t, "refused", 9, "paid", &orderv1.Paid{})
	w.run(t, w.customers, `UPDATE order_events SET detail = '\xff' WHERE order_id = 'refused' AND seq = 9`)
	_, err := Run(t.Context(), Deps{Customers: w.customers, Regional: w.regional, Ledger: w.ledger, Regions: ident.Regions(), Clock: impatient{w.clock}, Grace: grace})
	if err == nil || !strings.Contains(err.Error(), "event of refused") {
		t.Errorf("got %v", err)
	}
}
