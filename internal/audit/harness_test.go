package audit

import (
	"context"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/cellar-commerce/cellar/internal/cardnetwork"
	"github.com/cellar-commerce/cellar/internal/clock"
	moneyv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/money/v1"
	orderv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/order/v1"
	"github.com/cellar-commerce/cellar/internal/ident"
	"github.com/cellar-commerce/cellar/internal/sqldb"
	"github.com/cellar-commerce/cellar/internal/sqldb/sqldbtest"
)

func TestMain(m *testing.M) { sqldbtest.Main(m) }

const grace = 2 * time.Minute

var now = time.Date(2031, time.May, 4, 12, 0, 0, 0, time.UTC)

// ago is a time before now, as SQL text.
func ago(d time.Duration) string {
	return "'" + now.Add(-d).Format(time.RFC3339Nano) + "'::timestamptz"
}

// entries is the card network's ledger.
type entries []cardnetwork.Entry

func (e entries) Ledger(_ context.Context, after int64, _ int) (cardnetwork.LedgerPage, error) {
	const page = 2 // so that more than one is read
	from := min(int(after), len(e))
	to := min(from+page, len(e))
	return cardnetwork.LedgerPage{Entries: e[from:to], Next: int64(to)}, nil
}

// world has four orders: "whole" is shipped from two centres, "refused" was declined, "live" is being placed, and "mixed" was
// paid with a gift card, the wallet and a card, captured in two parts, and a part of it was given back.
type world struct {
	customers, regional *sqldb.DB
	clock               *clock.Manual
	ledger              entries
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{customers: sqldbtest.New(t, sqldb.Customer), regional: sqldbtest.New(t, sqldb.Regional), clock: clock.NewManual(now)}
	w.order(t, "whole", "SHIPPED", 1000)
	w.saga(t, "whole", "DONE")
	w.order(t, "refused", "FAILED", 1000)
	w.saga(t, "refused", "UNDONE")
	w.order(t, "live", "PENDING", 1000)
	w.saga(t, "live", "RUNNING")
	w.run(t, w.customers, `INSERT INTO order_lines (region, order_id, line, sku, title, quantity, unit_price_minor_units) VALUES
		('us-east-1', 'whole', 1, 'ale', 'Ale', 2, 300), ('us-east-1', 'whole', 2, 'cider', 'Cider', 1, 400),
		('us-east-1', 'refused', 1, 'ale', 'Ale', 1, 1000), ('us-east-1', 'live', 1, 'ale', 'Ale', 1, 1000)`)
	w.events(t, "whole", &orderv1.Paid{Parcels: []*orderv1.Parcel{
		{FcId: "iad1", Lines: []*orderv1.ParcelLine{{Line: 1, Sku: "ale", Quantity: 2}}}, {FcId: "sea1", Lines: []*orderv1.ParcelLine{{Line: 2, Sku: "cider", Quantity: 1}}},
	}}, &orderv1.Shipped{FcId: "iad1"}, &orderv1.Shipped{FcId: "sea1"})
	w.events(t, "refused", &orderv1.Failed{})
	w.events(t, "live")
	w.run(t, w.customers, "UPDATE orders SET placed_at = "+ago(time.Second)+live)
	w.payment(t, "whole", payment{state: "CAPTURED"}, "ch_1")
	w.payment(t, "refused", payment{state: "DECLINED"}, "")
	w.run(t, w.customers, fmt.Sprintf(`INSERT INTO idempotency_keys (region, customer_id, method, key, fingerprint, resource_id, answer, created_at, expires_at)
		VALUES ('us-east-1', 'c', 'PlaceOrder', 'k1', '', 'whole', 'x', %[1]s, %[1]s)`, ago(time.Hour)))
	w.run(t, w.customers, fmt.Sprintf(`INSERT INTO voucher_redemptions (region, code, order_id, customer_id, state, changed_at)
		VALUES ('us-east-1', 'TEN', 'whole', 'c', 'REDEEMED', %[1]s), ('us-east-1', 'TEN', 'live', 'c', 'GIVEN_BACK', %[1]s)`, ago(time.Hour)))
	w.run(t, w.customers, "INSERT INTO voucher_uses (region, code, holder, uses) VALUES ('us-east-1', 'TEN', '*', 1), ('us-east-1', 'TEN', 'c', 1)")
	w.stock(t)
	w.ledger = entries{
		{Kind: cardnetwork.KindAuthorize, Reference: "whole", ChargeID: "ch_1", Amount: 1000}, {Kind: cardnetwork.KindCapture, Reference: "whole", ChargeID: "ch_1", Amount: 1000},
		{Kind: cardnetwork.KindDecline, Reference: "refused", ChargeID: "ch_2", Amount: 1000}, {Kind: cardnetwork.KindCapture, Reference: "live", ChargeID: "ch_3", Amount: 1000},
	}
	w.mixed(t)
	return w
}

// mixed order of 1000: 300 of a gift card of 800, 200 of a wallet of 250, and 500 of a card. Three centres were to send a
// unit each. Two have, and took 500 and 450; the third's parcel was canceled, and its 50 let go of. Both units came back:
// for one 150 went back to the card, for the other, after a long way, 30 to the wallet.
func (w *world) mixed(t *testing.T) {
	t.Helper()
	w.order(t, "mixed", "SHIPPED", 1000)
	w.saga(t, "mixed", "DONE")
	paid := &orderv1.Paid{Authorized: true}
	for i, fc := range []string{"cmh1", "pdx1", "dub1"} {
		paid.Parcels = append(paid.Parcels, &orderv1.Parcel{FcId: fc, Lines: []*orderv1.ParcelLine{{Line: int32(i + 1), Sku: "porter", Quantity: 1}}})
	}
	w.events(t, "mixed", paid,
		&orderv1.Shipped{FcId: "cmh1"}, &orderv1.Captured{CaptureId: "m1", FcId: "cmh1", Amount: cents(500)},
		&orderv1.CancelRequested{}, &orderv1.Canceled{FcId: "dub1"},
		&orderv1.Shipped{FcId: "pdx1"}, &orderv1.Captured{CaptureId: "m2", FcId: "pdx1", Amount: cents(450), Last: true},
		returnOf("r1", "cmh1"), &orderv1.Returned{ReturnId: "r1"}, &orderv1.Refunded{RefundId: "return-r1", Amount: cents(150)},
		returnOf("r2", "pdx1"), &orderv1.Returned{ReturnId: "r2"}, &orderv1.Refunded{RefundId: "return-r2", Amount: cents(30)})
	w.run(t, w.customers, `INSERT INTO order_lines (region, order_id, line, sku, title, quantity, unit_price_minor_units) VALUES
		('us-east-1', 'mixed', 1, 'porter', 'Porter', 1, 500), ('us-east-1', 'mixed', 2, 'porter', 'Porter', 1, 450), ('us-east-1', 'mixed', 3, 'porter', 'Porter', 1, 50)`)
	w.mixedGoods(t)
	w.payment(t, "mixed", payment{state: "CAPTURED", credit: 500, uncaptured: 50, parts: 180}, "ch_4")
	w.run(t, w.customers, `INSERT INTO payment_tenders (region, order_id, position, account_region, account, amount_minor_units, captured_minor_units, refunded_minor_units, released_minor_units) VALUES
		('us-east-1', 'mixed', 1, 'eu-central-1', 'gift_card/0a', 300, 300, 0, 0), ('us-east-1', 'mixed', 2, 'us-east-1', 'wallet/c', 200, 200, 30, 0)`)
	w.run(t, w.customers, fmt.Sprintf(`INSERT INTO gift_cards (region, code_hash, issue_id, currency, issued_minor_units, balance_minor_units, created_at)
		VALUES ('eu-central-1', decode('0a', 'hex'), 'i', 'USD', 800, 500, %s)`, ago(time.Hour)))
	w.run(t, w.customers, fmt.Sprintf(`INSERT INTO wallets (region, customer_id, currency, balance_minor_units, updated_at) VALUES ('us-east-1', 'c', 'USD', 80, %s)`, ago(time.Hour)))
	for _, m := range []struct {
		id, fromRegion, from, toRegion, to string
		amount                             int64
	}{
		{"issue/i", "eu-central-1", "issued", "eu-central-1", "gift_card/0a", 800},
		{"credit/c/1", "us-east-1", "credited", "us-east-1", "wallet/c", 250},
		{"draw/mixed/1", "eu-central-1", "gift_card/0a", "us-east-1", "order/mixed", 300},
		{"draw/mixed/2", "us-east-1", "wallet/c", "us-east-1", "order/mixed", 200},
		{"refund/r1/mixed/2", "us-east-1", "order/mixed", "us-east-1", "wallet/c", 30},
	} {
		w.run(t, w.customers, fmt.Sprintf(`INSERT INTO ledger_entries (region, account, movement, amount_minor_units, currency, reason, at) VALUES
			('%s', '%s', '%[5]s', -%[6]d, 'USD', '', %[7]s), ('%[3]s', '%[4]s', '%[5]s', %[6]d, 'USD', '', %[7]s)`, m.fromRegion, m.from, m.toRegion, m.to, m.id, m.amount, ago(time.Hour)))
	}
	w.charge("mixed", "ch_4", cardnetwork.KindAuthorize, 500)
	w.charge("mixed", "ch_4", cardnetwork.KindCapture, 200)
	w.charge("mixed", "ch_4", cardnetwork.KindCapture, 250)
	w.charge("mixed", "ch_4", cardnetwork.KindVoid, 50)
	w.charge("mixed", "ch_4", cardnetwork.KindRefund, 150)
}

func (w *world) mixedGoods(t *testing.T) {
	t.Helper()
	w.run(t, w.regional, `INSERT INTO inventory (region, fc_id, sku, available, reserved) VALUES
		('us-east-1', 'cmh1', 'porter', 10, 0), ('us-west-2', 'pdx1', 'porter', 10, 0), ('eu-central-1', 'dub1', 'porter', 10, 0)`)
	w.run(t, w.regional, fmt.Sprintf(`INSERT INTO inventory_events (region, fc_id, kind, source_id, sku, delta, reason, at) VALUES
		('us-east-1', 'cmh1', 'restock', 'opening', 'porter', 10, '', %[1]s), ('us-west-2', 'pdx1', 'restock', 'opening', 'porter', 10, '', %[1]s),
		('eu-central-1', 'dub1', 'restock', 'opening', 'porter', 10, '', %[1]s),
		('us-east-1', 'cmh1', 'ship', 'mixed', 'porter', -1, '', %[1]s), ('us-west-2', 'pdx1', 'ship', 'mixed', 'porter', -1, '', %[1]s),
		('us-east-1', 'cmh1', 'return', 'mixed/r1', 'porter', 1, '', %[1]s), ('us-west-2', 'pdx1', 'return', 'mixed/r2', 'porter', 1, '', %[1]s)`, ago(time.Hour)))
	w.run(t, w.regional, fmt.Sprintf(`INSERT INTO reservations (region, fc_id, order_id, line, sku, quantity, state, expires_at, changed_at) VALUES
		('us-east-1', 'cmh1', 'mixed', 1, 'porter', 1, 'SHIPPED', %[1]s, %[1]s), ('us-west-2', 'pdx1', 'mixed', 2, 'porter', 1, 'SHIPPED', %[1]s, %[1]s),
		('eu-central-1', 'dub1', 'mixed', 3, 'porter', 1, 'RELEASED', %[1]s, %[1]s)`, ago(time.Hour)))
	w.run(t, w.regional, fmt.Sprintf(`INSERT INTO shipments (region, fc_id, order_id, shipment_id, customer_id, state, lines, tracking_number, requested_at, due_at, shipped_at) VALUES
		('us-east-1', 'cmh1', 'mixed', 'm1', 'c', 'SHIPPED', '', 'T', %[1]s, %[1]s, %[1]s), ('us-west-2', 'pdx1', 'mixed', 'm2', 'c', 'SHIPPED', '', 'T', %[1]s, %[1]s, %[1]s),
		('eu-central-1', 'dub1', 'mixed', 'm3', 'c', 'CANCELED', '', '', %[1]s, %[1]s, NULL)`, ago(time.Hour)))
}

// returnOf one unit.
func returnOf(id, fc string) *orderv1.ReturnRequested {
	return &orderv1.ReturnRequested{Return: &orderv1.Return{ReturnId: id, Lines: []*orderv1.ReturnedLine{{FcId: fc, Line: 1, Quantity: 1}}}}
}

func cents(n int64) *moneyv1.Money { return &moneyv1.Money{CurrencyCode: "USD", MinorUnits: n} }

// stock of two centres: 10 ale and 10 cider each when they opened, less what "whole" took and "live" holds.
func (w *world) stock(t *testing.T) {
	t.Helper()
	w.run(t, w.regional, `INSERT INTO inventory (region, fc_id, sku, available, reserved) VALUES
		('us-east-1', 'iad1', 'ale', 7, 1), ('us-east-1', 'iad1', 'cider', 10, 0), ('us-west-2', 'sea1', 'cider', 9, 0)`)
	w.run(t, w.regional, fmt.Sprintf(`INSERT INTO inventory_events (region, fc_id, kind, source_id, sku, delta, reason, at) VALUES
		('us-east-1', 'iad1', 'restock', 'opening', 'ale', 10, '', %[1]s), ('us-east-1', 'iad1', 'restock', 'opening', 'cider', 10, '', %[1]s),
		('us-west-2', 'sea1', 'restock', 'opening', 'cider', 10, '', %[1]s),
		('us-east-1', 'iad1', 'ship', 'whole', 'ale', -2, '', %[1]s), ('us-west-2', 'sea1', 'ship', 'whole', 'cider', -1, '', %[1]s)`, ago(time.Hour)))
	w.run(t, w.regional, fmt.Sprintf(`INSERT INTO reservations (region, fc_id, order_id, line, sku, quantity, state, expires_at, changed_at) VALUES
		('us-east-1', 'iad1', 'whole', 1, 'ale', 2, 'SHIPPED', %[1]s, %[1]s), ('us-west-2', 'sea1', 'whole', 2, 'cider', 1, 'SHIPPED', %[1]s, %[1]s),
		('us-east-1', 'iad1', 'refused', 1, 'ale', 1, 'RELEASED', %[1]s, %[1]s), ('us-east-1', 'iad1', 'refused', 0, '', 0, 'RELEASED', %[1]s, %[1]s),
		('us-east-1', 'iad1', 'live', 1, 'ale', 1, 'HELD', %[2]s, %[1]s)`, ago(time.Hour), ago(-time.Minute)))
	w.run(t, w.regional, fmt.Sprintf(`INSERT INTO shipments (region, fc_id, order_id, shipment_id, customer_id, state, lines, tracking_number, requested_at, due_at, shipped_at) VALUES
		('us-east-1', 'iad1', 'whole', 's1', 'c', 'SHIPPED', '', 'T1', %[1]s, %[1]s, %[1]s), ('us-west-2', 'sea1', 'whole', 's2', 'c', 'SHIPPED', '', 'T2', %[1]s, %[1]s, %[1]s)`, ago(time.Hour)))
}

// run SQL. Tests' sessions price a scan of a whole table so high that it would be compiled first, which takes longer than
// anything here.
func (w *world) run(t *testing.T, db *sqldb.DB, text string) {
	t.Helper()
	if err := db.ExecText(t.Context(), "SET LOCAL jit = off; "+text); err != nil {
		t.Fatalf("%v in %s", err, text)
	}
}

// order of an hour ago, before its first event.
func (w *world) order(t *testing.T, id, status string, total int64) {
	t.Helper()
	w.run(t, w.customers, fmt.Sprintf(`INSERT INTO orders (region, order_id, customer_id, status, last_seq, currency, items_minor_units, shipping_minor_units, tax_minor_units, total_minor_units, ship_to, placed_at)
		VALUES ('us-east-1', '%s', 'c', '%s', 0, 'USD', %[3]d, 0, 0, %[3]d, '', %s)`, id, status, total, ago(time.Hour)))
}

// payment of an order. It is 1000 unless it says something else, or is a tombstone.
func (w *world) payment(t *testing.T, id string, p payment, charge string) {
	t.Helper()
	if p.amount == 0 && p.state != "VOIDED" {
		p.amount = 1000
	}
	w.run(t, w.customers, fmt.Sprintf(`INSERT INTO payments (region, order_id, customer_id, state, amount_minor_units, currency, card_token, charge_id, decline_code, created_at, updated_at, closing, credit_minor_units, uncaptured_minor_units, refunded_minor_units)
		VALUES ('us-east-1', '%s', 'c', '%s', %d, 'USD', '', '%s', '', %[5]s, %[5]s, %[6]t, %d, %d, %d)`, id, p.state, p.amount, charge, ago(time.Hour), p.closing, p.credit, p.uncaptured, p.parts))
}

// charge writes an entry of the network's ledger.
func (w *world) charge(reference, id string, kind cardnetwork.Kind, amount int64) {
	w.ledger = append(w.ledger, cardnetwork.Entry{Kind: kind, Reference: reference, ChargeID: id, Amount: amount})
}

func (w *world) saga(t *testing.T, id, status string) {
	t.Helper()
	w.run(t, w.customers, fmt.Sprintf(`INSERT INTO sagas (region, saga_id, kind, customer_id, slot, status, step, state, attempts, due_at, holder, last_error, created_at, updated_at)
		VALUES ('us-east-1', '%s', 'placement', 'c', 0, '%s', 'x', '', 0, %[3]s, '', '', %[3]s, %[3]s)`, id, status, ago(time.Hour)))
}

func (w *world) event(t *testing.T, id string, seq int, kind string, detail proto.Message) {
	t.Helper()
	payload, err := proto.Marshal(detail)
	if err != nil {
		t.Fatal(err)
	}
	w.run(t, w.customers, fmt.Sprintf(`INSERT INTO order_events (region, order_id, seq, kind, cause, at, detail)
		VALUES ('us-east-1', '%s', %d, '%s', '%d', %s, decode('%s', 'hex'))`, id, seq, kind, seq, ago(time.Hour), hex.EncodeToString(payload)))
}

// events of an order: that it was placed, and these, of whose details the kind is told.
func (w *world) events(t *testing.T, id string, details ...proto.Message) {
	t.Helper()
	w.event(t, id, 1, "placed", &orderv1.Paid{})
	for i, d := range details {
		w.event(t, id, i+2, kinds[d.ProtoReflect().Descriptor().Name()], d)
	}
	w.run(t, w.customers, fmt.Sprintf("UPDATE orders SET last_seq = %d WHERE order_id = '%s'", len(details)+1, id))
}

var kinds = map[protoreflect.Name]string{
	"Paid": "paid", "Failed": "failed", "Shipped": "shipped", "Captured": "captured", "CancelRequested": "cancel_requested", "Canceled": "canceled",
	"ReturnRequested": "return_requested", "Returned": "returned", "Refunded": "refunded", "ShortPicked": "short_picked", "Replanned": "replanned",
}

// keep the world as it is now, in the tables that defects break. What it gives brings the world back to that.
func (w *world) keep(t *testing.T) (restore func()) {
	t.Helper()
	tables := map[*sqldb.DB][]string{
		w.customers: {"orders", "order_events", "sagas", "payments", "payment_tenders", "gift_cards", "wallets", "ledger_entries", "idempotency_keys", "voucher_redemptions", "voucher_uses"},
		w.regional:  {"inventory", "inventory_events", "reservations", "shipments"},
	}
	each := func(do string) {
		for db, names := range tables {
			var all strings.Builder
			for _, name := range names {
				all.WriteString(strings.ReplaceAll(do, "TABLE_NAME", name))
			}
			w.run(t, db, all.String())
		}
	}
	each("CREATE TABLE kept_TABLE_NAME AS TABLE TABLE_NAME;")
	ledger := slices.Clone(w.ledger)
	return func() {
		each("DELETE FROM TABLE_NAME; INSERT INTO TABLE_NAME TABLE kept_TABLE_NAME;")
		w.ledger = slices.Clone(ledger)
	}
}

// audit and give the violations, each behind the number of its promise.
func (w *world) audit(t *testing.T) (all []string, report Report) {
	t.Helper()
	var err error
	report, err = Run(t.Context(), Deps{
		Customers: w.customers, Regional: w.regional, Ledger: w.ledger, Regions: ident.Regions(), Clock: impatient{w.clock}, Pause: time.Second, Grace: grace,
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range report.Promises {
		for _, v := range p.Violations {
			all = append(all, fmt.Sprint(p.Number, " ", v))
		}
	}
	return all, report
}

// impatient is a clock that does not wait.
type impatient struct{ *clock.Manual }

func (impatient) Sleep(ctx context.Context, _ time.Duration) error { return ctx.Err() }

func only(t *testing.T, got []string, want string) {
	t.Helper()
	if len(got) != 1 || !strings.HasPrefix(got[0], want) {
		t.Errorf("found %q, want %q", got, want)
	}
}
