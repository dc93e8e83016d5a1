package inventory

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/cellar-commerce/cellar/internal/clock"
	inventoryv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/inventory/v1"
	"github.com/cellar-commerce/cellar/internal/ident"
	"github.com/cellar-commerce/cellar/internal/problem"
	"github.com/cellar-commerce/cellar/internal/sqldb"
	"github.com/cellar-commerce/cellar/internal/sqldb/sqldbtest"
)

const here ident.Region = "us-east-1"

var opened = time.Date(2031, time.May, 4, 12, 0, 0, 0, time.UTC)

// reporter is what *testing.T and *rapid.T have in common.
type reporter interface {
	Helper()
	Fatal(args ...any)
	Fatalf(format string, args ...any)
}

// world is one region's inventory on a clock that stands still. FCs whose id begins with "iad" are at home in it, those
// with "sea" in another region.
type world struct {
	*Service
	db    *sqldb.DB
	clock *clock.Manual
}

func newWorld(t testing.TB, options ...sqldbtest.Option) world {
	t.Helper()
	return onDB(sqldbtest.New(t, sqldb.Regional, options...), nil)
}

func onDB(db *sqldb.DB, peers map[ident.Region]Peer) world {
	manual := clock.NewManual(opened)
	return world{db: db, clock: manual, Service: New(Deps{
		DB: db, Region: here, Peers: peers, FC: regionOf, Clock: manual, Log: slog.New(slog.DiscardHandler),
		Swept: func(ctx context.Context) []string { return allCenters(ctx, db) },
	})}
}

func regionOf(_ context.Context, fc string) (ident.Region, bool) {
	if strings.HasPrefix(fc, "iad") {
		return here, true
	}
	return "us-west-2", strings.HasPrefix(fc, "sea")
}

// allCenters that have stock.
func allCenters(ctx context.Context, db *sqldb.DB) (all []string) {
	rows, err := db.QueryText(ctx, "SELECT DISTINCT fc_id FROM inventory WHERE region = $1", string(here))
	if err != nil {
		return nil
	}
	defer rows.Close()
	for rows.Next() {
		var fc string
		if rows.Scan(&fc) == nil {
			all = append(all, fc)
		}
	}
	return all
}

func newOrder() string { return string(ident.NewOrder("use1")) }

// wants makes lines from 1 of "sku" and quantity pairs.
func wants(pairs ...any) []*inventoryv1.ReserveLine {
	var lines []*inventoryv1.ReserveLine
	for i := 0; i < len(pairs); i += 2 {
		lines = append(lines, &inventoryv1.ReserveLine{Line: int32(i/2 + 1), Sku: pairs[i].(string), Quantity: int64(pairs[i+1].(int))})
	}
	return lines
}

func (w world) request(fc, order string, lines []*inventoryv1.ReserveLine, hold time.Duration) *inventoryv1.ReserveRequest {
	return &inventoryv1.ReserveRequest{FcId: fc, OrderId: order, Lines: lines, ExpiresAt: timestamppb.New(w.clock.Now().Add(hold))}
}

func (w world) mustRestock(t reporter, fc, sku string, quantity int) {
	t.Helper()
	_, err := w.Restock(context.Background(), &inventoryv1.RestockRequest{
		FcId: fc, DeliveryId: ident.NewToken(), Lines: []*inventoryv1.RestockLine{{Sku: sku, Quantity: int64(quantity)}},
	})
	if err != nil {
		t.Fatal(err)
	}
}

func (w world) mustReserve(t reporter, req *inventoryv1.ReserveRequest) {
	t.Helper()
	if _, err := w.Reserve(context.Background(), req); err != nil {
		t.Fatal(err)
	}
}

// rowsOf shows the stock and the reservations of an FC, one row a line, without the times of changes.
func rowsOf(t reporter, db *sqldb.DB, fc string) string {
	t.Helper()
	return strings.Join(sqldbtest.Texts(t, db, `
SELECT format('%s %s+%s', sku, available, reserved)
FROM inventory
WHERE region = 'us-east-1' AND fc_id = $1
UNION ALL
SELECT format('%s/%s %s×%s %s %s', order_id, line, sku, quantity, state, CASE WHEN line > 0 THEN extract(epoch FROM expires_at)::int8 END)
FROM reservations
WHERE region = 'us-east-1' AND fc_id = $1
ORDER BY 1`, fc), "\n")
}

// ledgerOf shows the ledger of an FC.
func ledgerOf(t reporter, db *sqldb.DB, fc string) string {
	t.Helper()
	return strings.Join(sqldbtest.Texts(t, db, `
SELECT format('%s %s %s %s %s', kind, source_id, sku, delta, reason)
FROM inventory_events
WHERE region = 'us-east-1' AND fc_id = $1
ORDER BY 1`, fc), "\n")
}

// checkBooks holds the rows of some FCs against the package's promises.
func checkBooks(t reporter, db *sqldb.DB, fcs ...string) {
	t.Helper()
	if wrong := sqldbtest.Texts(t, db, `
SELECT format('%s %s: %s available, %s reserved', i.fc_id, i.sku, i.available, i.reserved)
FROM inventory AS i
WHERE i.region = 'us-east-1' AND i.fc_id = ANY ($1::text[]) AND (i.available < 0
OR i.available + i.reserved <> (SELECT coalesce(sum(e.delta), 0) FROM inventory_events AS e WHERE e.region = i.region AND e.fc_id = i.fc_id AND e.sku = i.sku)
OR i.reserved <> (
  SELECT coalesce(sum(r.quantity), 0)
  FROM reservations AS r
  WHERE r.region = i.region AND r.fc_id = i.fc_id AND r.sku = i.sku AND r.state IN ('HELD', 'COMMITTED')
))`, fcs); len(wrong) > 0 {
		t.Fatalf("the books are wrong: %v", wrong)
	}
}

// checkStock compares one row.
func checkStock(t reporter, db *sqldb.DB, at string, available, reserved int) {
	t.Helper()
	fc, sku, _ := strings.Cut(at, "/")
	got := sqldbtest.Texts(t, db, "SELECT format('%s+%s', available, reserved) FROM inventory WHERE region = 'us-east-1' AND fc_id = $1 AND sku = $2", fc, sku)
	if want := fmt.Sprintf("%d+%d", available, reserved); len(got) != 1 || got[0] != want {
		t.Fatalf("%s at %s: got %v, want %s", sku, fc, got, want)
	}
}

// reasonOf an error; "ok" for none. Anything that is no problem stops the test.
func reasonOf(t reporter, err error) string {
	t.Helper()
	if err == nil {
		return "ok"
	}
	p := problem.As(err)
	if p == nil {
		t.Fatalf("not a problem: %v", err)
	}
	return p.Reason
}

func refused(t reporter, err error, kind problem.Kind, reason string) {
	t.Helper()
	if problem.KindOf(err) != kind || !problem.Is(err, reason) {
		t.Fatalf("got %v, want %s", err, reason)
	}
}
