package audit

import (
	"context"
	"encoding/hex"
	"fmt"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/cellar-commerce/cellar/internal/cardnetwork"
	"github.com/cellar-commerce/cellar/internal/clock"
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
	w.order(t, "whole", "SHIPPED", 4, ago(time.Hour))
	w.saga(t, "whole", "DONE")
	w.order(t, "refused", "FAILED", 2, ago(time.Hour))
	w.saga(t, "refused", "UNDONE")
	w.order(t, "live", "PENDING", 1, ago(time.Second))
	w.saga(t, "live", "RUNNING")
	w.run(t, w.customers, `INSERT INTO order_lines (region, order_id, line, sku, title, quantity, unit_price_minor_units) VALUES
		('us-east-1', 'whole', 1, 'ale', 'Ale', 2, 300), ('us-east-1', 'whole', 2, 'cider', 'Cider', 1, 400),
		('us-east-1', 'refused', 1, 'ale', 'Ale', 1, 1000), ('us-east-1', 'live', 1, 'ale', 'Ale', 1, 1000)`)
	w.event(t, "whole", 1, "placed", &orderv1.Paid{})
	w.event(t, "whole", 2, "paid", &orderv1.Paid{Parcels: []*orderv1.Parcel{
		{FcId: "iad1", Lines: []*orderv1.ParcelLine{{Line: 1, Sku: "ale", Quantity: 2}}}, {FcId: "sea1", Lines: []*orderv1.ParcelLine{{Line: 2, Sku: "cider", Quantity: 1}}},
	}})
	w.event(t, "whole", 3, "shipped", &orderv1.Shipped{FcId: "iad1"})
	w.event(t, "whole", 4, "shipped", &orderv1.Shipped{FcId: "sea1"})
	w.event(t, "refused", 1, "placed", &orderv1.Paid{})
	w.event(t, "refused", 2, "failed", &orderv1.Paid{})
	w.event(t, "live", 1, "placed", &orderv1.Paid{})
	w.run(t, w.customers, fmt.Sprintf(`INSERT INTO payments (region, order_id, customer_id, state, amount_minor_units, currency, card_token, charge_id, decline_code, created_at, updated_at) VALUES
		('us-east-1', 'whole', 'c', 'CAPTURED', 1000, 'USD', 'tok_visa', 'ch_1', '', %[1]s, %[1]s), ('us-east-1', 'refused', 'c', 'DECLINED', 1000, 'USD', 'tok_declined', '', 'no', %[1]s, %[1]s)`, ago(time.Hour)))
	w.run(t, w.customers, fmt.Sprintf(`INSERT INTO idempotency_keys (region, customer_id, method, key, fingerprint, resource_id, answer, created_at, expires_at)
		VALUES ('us-east-1', 'c', 'PlaceOrder', 'k1', '', 'whole', 'x', %[1]s, %[1]s)`, ago(time.Hour)))
	w.stock(t)
	w.ledger = entries{
		{Kind: cardnetwork.KindAuthorize, Reference: "whole", ChargeID: "ch_1", Amount: 1000}, {Kind: cardnetwork.KindCapture, Reference: "whole", ChargeID: "ch_1", Amount: 1000},
		{Kind: cardnetwork.KindDecline, Reference: "refused", ChargeID: "ch_2", Amount: 1000}, {Kind: cardnetwork.KindCapture, Reference: "live", ChargeID: "ch_3", Amount: 1000},
	}
	w.mixed(t)
	return w
}

// mixed order of 1000: 300 of a gift card of 800, 200 of a wallet of 250, and 500 of a card, of which 50 was let go of; 150
// went back to the card and 30 to the wallet.
func (w *world) mixed(t *testing.T) {
	t.Helper()
	w.order(t, "mixed", "SHIPPED", 1, ago(time.Hour))
	w.saga(t, "mixed", "DONE")
	w.event(t, "mixed", 1, "placed", &orderv1.Paid{})
	w.run(t, w.customers, fmt.Sprintf(`INSERT INTO payments (region, order_id, customer_id, state, amount_minor_units, currency, card_token, charge_id, decline_code, created_at, updated_at, hold, credit_minor_units, uncaptured_minor_units, refunded_minor_units)
		VALUES ('us-east-1', 'mixed', 'c', 'CAPTURED', 1000, 'USD', 'tok_visa', 'ch_4', '', %[1]s, %[1]s, true, 500, 50, 180)`, ago(time.Hour)))
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
	w.ledger = append(w.ledger,
		cardnetwork.Entry{Kind: cardnetwork.KindAuthorize, Reference: "mixed", ChargeID: "ch_4", Amount: 500},
		cardnetwork.Entry{Kind: cardnetwork.KindCapture, Reference: "mixed", ChargeID: "ch_4", Amount: 200},
		cardnetwork.Entry{Kind: cardnetwork.KindCapture, Reference: "mixed", ChargeID: "ch_4", Amount: 250},
		cardnetwork.Entry{Kind: cardnetwork.KindVoid, Reference: "mixed", ChargeID: "ch_4", Amount: 50},
		cardnetwork.Entry{Kind: cardnetwork.KindRefund, Reference: "mixed", ChargeID: "ch_4", Amount: 150})
}

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

func (w *world) run(t *testing.T, db *sqldb.DB, text string) {
	t.Helper()
	if err := db.ExecText(t.Context(), text); err != nil {
		t.Fatalf("%v in %s", err, text)
	}
}

func (w *world) order(t *testing.T, id, status string, events int, at string) {
	t.Helper()
	w.run(t, w.customers, fmt.Sprintf(`INSERT INTO orders (region, order_id, customer_id, status, last_seq, currency, items_minor_units, shipping_minor_units, tax_minor_units, total_minor_units, ship_to, placed_at)
		VALUES ('us-east-1', '%s', 'c', '%s', %d, 'USD', 1000, 0, 0, 1000, '', %s)`, id, status, events, at))
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
