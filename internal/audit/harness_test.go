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

// world has three orders: "whole" is shipped from two centres, "refused" was declined, and "live" is being placed.
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
		{Kind: cardnetwork.KindAuthorize, Reference: "whole", Amount: 1000}, {Kind: cardnetwork.KindCapture, Reference: "whole", Amount: 1000},
		{Kind: cardnetwork.KindDecline, Reference: "refused", Amount: 1000}, {Kind: cardnetwork.KindCapture, Reference: "live", Amount: 1000},
	}
	return w
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
