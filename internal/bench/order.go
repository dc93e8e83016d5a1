package bench

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"time"

	"github.com/cellar-commerce/cellar/internal/clock"
	"github.com/cellar-commerce/cellar/internal/fence"
	moneyv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/money/v1"
	orderv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/order/v1"
	"github.com/cellar-commerce/cellar/internal/ident"
	"github.com/cellar-commerce/cellar/internal/sqldb"
	"github.com/cellar-commerce/cellar/services/order"
)

const (
	// orderCallers at once, and orderConns: what a cell has. The peer gets a connection for each caller.
	orderCallers = 64
	orderConns   = 8
	// orderCell owns the customers of the bench.
	orderCell = "use1-a"
)

// The same rows, one statement at a time, as a service writes them that thinks of one order.
var (
	stmtNaiveSlot = sqldb.Define(sqldb.Customer, "bench.order_slot", `
SELECT owner
FROM slots
WHERE region = $1 AND slot = $2
/*@PG FOR SHARE @*/`)

	stmtNaiveOrder = sqldb.Define(sqldb.Customer, "bench.order", `
INSERT INTO orders (region, order_id, customer_id, status, last_seq, currency, items_minor_units, discount_minor_units, shipping_minor_units,
  tax_minor_units, shipping_tax_minor_units, total_minor_units, ship_to, placed_at)
VALUES ($1, $2, $3, 'PENDING', 1, 'USD', $4, 0, 0, 0, 0, $4, ''::bytea, $5)`)

	stmtNaiveLine = sqldb.Define(sqldb.Customer, "bench.order_line", `
INSERT INTO order_lines (region, order_id, line, sku, title, quantity, unit_price_minor_units, discount_minor_units, tax_minor_units)
VALUES ($1, $2, $3, $4, $5, $6, $7, 0, 0)`)

	stmtNaivePlaced = sqldb.Define(sqldb.Customer, "bench.order_event", `
INSERT INTO order_events (region, order_id, seq, kind, cause, at, detail)
VALUES ($1, $2, 1, 'placed', 'placed', $3, ''::bytea)`)
)

// mine says that every customer is this cell's; customers are drawn from slots for which the rows say so too.
type mine struct{}

// Owner implements fence.Owners.
func (mine) Owner(ident.CustomerID) (string, uint64, bool) { return orderCell, 1, true }

var nothing = &moneyv1.Money{CurrencyCode: "USD"}

// orderLines of every order of the bench.
func orderLines() (lines []*orderv1.Line, total int64) {
	for i := range 3 {
		price := int64(1000 * (i + 1))
		lines = append(lines, &orderv1.Line{
			Line: int32(i + 1), Sku: skuName(i), Title: "A thing that somebody ordered", Quantity: 1, UnitPrice: &moneyv1.Money{MinorUnits: price, CurrencyCode: "USD"}, Discount: nothing, Tax: nothing,
		})
		total += price
	}
	return lines, total
}

// commits measures the commit of an order with three lines and its first event, through the service and statement by
// statement, in the same database.
func (b *checkoutBench) commits(ctx context.Context, url string) error {
	owned := map[ident.Slot]bool{}
	admin, err := sqldb.Open(ctx, sqldb.Config{URL: url, Database: sqldb.Customer, MaxConns: 1})
	if err != nil {
		return err
	}
	defer admin.Close()
	slots, err := fence.Slots(ctx, admin, home)
	if err != nil {
		return err
	}
	for _, s := range slots {
		owned[s.Slot] = s.Owner == orderCell
	}
	customer := func() ident.CustomerID {
		for {
			if id := ident.NewGuest("use1"); owned[id.Slot()] {
				return id
			}
		}
	}
	for _, variant := range []string{"naive", "service"} {
		b.say("orders, %d callers, %s", orderCallers, variant)
		if err := b.ordersBy(ctx, url, variant, customer); err != nil {
			return fmt.Errorf("orders, %s: %w", variant, err)
		}
	}
	naive := b.report.find("commit an order", orderCallers, "naive")
	if naive.PerSecond > 0 {
		b.report.Ratios["order_commit"] = b.report.find("commit an order", orderCallers, "service").PerSecond / naive.PerSecond
		b.report.Goals["order_commit"] = atLeast(2)
	}
	return nil
}

func (b *checkoutBench) ordersBy(ctx context.Context, url, variant string, customer func() ident.CustomerID) error {
	conns := orderConns
	if variant == "naive" {
		conns = orderCallers
	}
	db, err := sqldb.Open(ctx, sqldb.Config{URL: url, Database: sqldb.Customer, MaxConns: conns, PointPlans: true})
	if err != nil {
		return err
	}
	defer db.Close()
	place := naiveOrder(db, customer)
	if variant == "service" {
		if place, err = serviceOrder(db, customer); err != nil {
			return err
		}
	}
	latencies, took, err := load(ctx, orderCallers, min(time.Duration(b.cfg.Seconds*float64(time.Second)), maxOrders), place, func(*rand.Rand) (string, string) { return "", "" })
	b.report.Rows = append(b.report.Rows, row("commit an order", orderCallers, variant, took, latencies))
	return err
}

// maxOrders is how long orders are committed at most: each fills the disk.
const maxOrders = 5 * time.Second

func serviceOrder(db *sqldb.DB, customer func() ident.CustomerID) (take, error) {
	f, err := fence.New(fence.Deps{DB: db, Cell: orderCell, Region: home, Owners: mine{}})
	if err != nil {
		return nil, err
	}
	s := order.New(order.Deps{DB: db, Fence: f, Clock: clock.System{}, Log: slog.New(slog.DiscardHandler)})
	lines, total := orderLines()
	amount := &moneyv1.Money{MinorUnits: total, CurrencyCode: "USD"}
	return func(ctx context.Context, _, _ string) error {
		id := customer()
		_, err := s.CreateOrder(ctx, &orderv1.CreateOrderRequest{Order: &orderv1.Order{
			OrderId: string(ident.NewOrder("use1")), CustomerId: string(id), Lines: lines, ShipTo: checkoutAddresses[0], ItemsTotal: amount, Discount: nothing, Shipping: nothing,
			Tax: nothing, ShippingTax: nothing, Total: amount,
		}})
		return err
	}, nil
}

func naiveOrder(db *sqldb.DB, customer func() ident.CustomerID) take {
	lines, total := orderLines()
	return func(ctx context.Context, _, _ string) error {
		id, order, now := customer(), string(ident.NewOrder("use1")), time.Now()
		return db.InTx(ctx, func(tx sqldb.Tx) error {
			var owner string
			if err := tx.QueryRow(ctx, stmtNaiveSlot, string(home), int16(id.Slot())).Scan(&owner); err != nil || owner != orderCell {
				return fmt.Errorf("slot of %s is owned by %q: %w", id, owner, err)
			}
			if _, err := tx.Exec(ctx, stmtNaiveOrder, string(home), order, string(id), total, now); err != nil {
				return err
			}
			for _, l := range lines {
				if _, err := tx.Exec(ctx, stmtNaiveLine, string(home), order, l.GetLine(), l.GetSku(), l.GetTitle(), l.GetQuantity(), l.GetUnitPrice().GetMinorUnits()); err != nil {
					return err
				}
			}
			_, err := tx.Exec(ctx, stmtNaivePlaced, string(home), order, now)
			return err
		})
	}
}
