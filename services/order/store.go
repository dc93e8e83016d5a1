package order

import (
	"context"
	"fmt"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	orderv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/order/v1"
	postalv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/postal/v1"
	"github.com/cellar-commerce/cellar/internal/ident"
	"github.com/cellar-commerce/cellar/internal/money"
	"github.com/cellar-commerce/cellar/internal/sqldb"
)

var (
	stmtInsertOrder = sqldb.Define(sqldb.Customer, "order.insert", `
INSERT INTO orders (region, order_id, customer_id, status, last_seq, currency, items_minor_units, shipping_minor_units, tax_minor_units, total_minor_units, ship_to, placed_at)
VALUES ($1, $2, $3, 'PENDING', 1, $4, $5, $6, $7, $8, $9, $10)
ON CONFLICT (region, order_id) DO NOTHING`)

	// The first event is written last: where it is, the order was made before and its lines stay as they are.
	stmtInsertLines = sqldb.Define(sqldb.Customer, "order.insert_lines", `
INSERT INTO order_lines (region, order_id, line, sku, title, quantity, unit_price_minor_units)
SELECT $1::crdb_internal_region, $2, l.line, l.sku, l.title, l.quantity, l.price
FROM unnest($3::int4[], $4::text[], $5::text[], $6::int8[], $7::int8[]) AS l (line, sku, title, quantity, price)
WHERE NOT EXISTS (
  SELECT 1
  FROM order_events AS e
  WHERE e.region = $1 AND e.order_id = $2
)`)

	stmtInsertEvent = sqldb.Define(sqldb.Customer, "order.insert_event", `
INSERT INTO order_events (region, order_id, seq, kind, cause, at, detail)
VALUES ($1, $2, $3, $4, $5, $6, $7)
ON CONFLICT (region, order_id, cause) DO NOTHING`)

	stmtProject = sqldb.Define(sqldb.Customer, "order.project", `
UPDATE orders
SET status = $3, last_seq = $4
WHERE region = $1 AND order_id = $2`)

	stmtGetOrder = sqldb.Define(sqldb.Customer, "order.get", `
SELECT order_id, customer_id, status, currency, items_minor_units, shipping_minor_units, tax_minor_units, total_minor_units, ship_to, placed_at
FROM orders
WHERE region = $1 AND order_id = $2 AND customer_id = $3`)

	stmtLockOrder = sqldb.Define(sqldb.Customer, "order.lock", `
SELECT order_id, customer_id, status, currency, items_minor_units, shipping_minor_units, tax_minor_units, total_minor_units, ship_to, placed_at
FROM orders
WHERE region = $1 AND order_id = $2 AND customer_id = $3
FOR UPDATE`)

	stmtListOrders = sqldb.Define(sqldb.Customer, "order.list", `
SELECT order_id, customer_id, status, currency, items_minor_units, shipping_minor_units, tax_minor_units, total_minor_units, ship_to, placed_at
FROM orders
WHERE region = $1 AND customer_id = $2 AND (placed_at, order_id) < ($3, $4)
ORDER BY placed_at DESC, order_id DESC
LIMIT $5`)

	stmtListLines = sqldb.Define(sqldb.Customer, "order.list_lines", `
SELECT l.order_id, l.line, l.sku, l.title, l.quantity, l.unit_price_minor_units
FROM unnest($2::text[]) AS o (order_id)
JOIN order_lines AS l ON l.region = $1 AND l.order_id = o.order_id
ORDER BY l.order_id, l.line`)

	stmtListEvents = sqldb.Define(sqldb.Customer, "order.list_events", `
SELECT seq, kind, cause, at, detail
FROM order_events
WHERE region = $1 AND order_id = $2
ORDER BY seq`)
)

type newOrder struct {
	id       ident.OrderID
	customer ident.CustomerID
	order    *orderv1.Order
	placedAt time.Time
}

// insertOrder writes the order, its lines and its first event in one round trip.
func insertOrder(ctx context.Context, tx sqldb.Tx, n newOrder) error {
	o, region, id := n.order, string(n.id.Region()), string(n.id)
	shipTo, err := proto.Marshal(o.GetShipTo())
	if err != nil {
		return fmt.Errorf("insert order %s: %w", n.id, err)
	}
	count := len(o.GetLines())
	lines, skus, titles := make([]int32, count), make([]string, count), make([]string, count)
	quantities, prices := make([]int64, count), make([]int64, count)
	for i, l := range o.GetLines() {
		lines[i], skus[i], titles[i], quantities[i], prices[i] = l.GetLine(), l.GetSku(), l.GetTitle(), l.GetQuantity(), l.GetUnitPrice().GetMinorUnits()
	}
	var b sqldb.Batch
	b.Queue(stmtInsertOrder, nil, region, id, string(n.customer), o.GetTotal().GetCurrencyCode(), o.GetItemsTotal().GetMinorUnits(),
		o.GetShipping().GetMinorUnits(), o.GetTax().GetMinorUnits(), o.GetTotal().GetMinorUnits(), shipTo, n.placedAt)
	b.Queue(stmtInsertLines, nil, region, id, lines, skus, titles, quantities, prices)
	b.Queue(stmtInsertEvent, nil, region, id, 1, kindPlaced, causePlaced, n.placedAt, []byte{})
	return tx.Send(ctx, &b)
}

// insertEvent appends an event and stores the projection.
func insertEvent(ctx context.Context, tx sqldb.Tx, id ident.OrderID, e Event, status Status) error {
	region := string(id.Region())
	var b sqldb.Batch
	b.Queue(stmtInsertEvent, nil, region, string(id), e.Seq, e.Kind, e.Cause, e.At, e.Detail)
	b.Queue(stmtProject, nil, region, string(id), string(status), e.Seq)
	return tx.Send(ctx, &b)
}

func readOrder(ctx context.Context, q sqldb.Querier, customer ident.CustomerID, id ident.OrderID) (*orderv1.Order, error) {
	return oneOrder(ctx, q, stmtGetOrder, customer, id)
}

// lockOrder reads an order so that no other transaction appends to it before this one ends.
func lockOrder(ctx context.Context, tx sqldb.Tx, customer ident.CustomerID, id ident.OrderID) (*orderv1.Order, error) {
	return oneOrder(ctx, tx, stmtLockOrder, customer, id)
}

func oneOrder(ctx context.Context, q sqldb.Querier, s *sqldb.Statement, customer ident.CustomerID, id ident.OrderID) (*orderv1.Order, error) {
	o, err := scanOrder(q.QueryRow(ctx, s, string(id.Region()), string(id), string(customer)))
	if err != nil {
		return nil, unknownOrder(err)
	}
	return o, addLines(ctx, q, id.Region(), []*orderv1.Order{o})
}

// pageStart is where a page of orders begins: before this time and id.
type pageStart struct {
	before time.Time
	id     string
}

func listOrders(ctx context.Context, q sqldb.Querier, customer ident.CustomerID, from pageStart, limit int) ([]*orderv1.Order, error) {
	orders, err := sqldb.Collect(ctx, q, stmtListOrders, scanOrder, string(customer.Region()), string(customer), from.before, from.id, limit)
	if err != nil {
		return nil, fmt.Errorf("list orders: %w", err)
	}
	return orders, addLines(ctx, q, customer.Region(), orders)
}

func scanOrder(row sqldb.Row) (*orderv1.Order, error) {
	var (
		o                           orderv1.Order
		status                      Status
		currency                    string
		items, shipping, tax, total int64
		shipTo                      []byte
		placedAt                    time.Time
	)
	if err := row.Scan(&o.OrderId, &o.CustomerId, &status, &currency, &items, &shipping, &tax, &total, &shipTo, &placedAt); err != nil {
		return nil, err
	}
	amount := func(minor int64) money.Amount { return money.Amount{Minor: minor, Currency: currency} }
	o.Status, o.PlacedAt, o.ShipTo = statusProto[status], timestamppb.New(placedAt), &postalv1.PostalAddress{}
	o.ItemsTotal, o.Shipping, o.Tax, o.Total = amount(items).Proto(), amount(shipping).Proto(), amount(tax).Proto(), amount(total).Proto()
	return &o, proto.Unmarshal(shipTo, o.GetShipTo())
}

// addLines reads the lines of several orders in one go.
func addLines(ctx context.Context, q sqldb.Querier, home ident.Region, orders []*orderv1.Order) error {
	byID := make(map[string]*orderv1.Order, len(orders))
	ids := make([]string, len(orders))
	for i, o := range orders {
		ids[i], byID[o.GetOrderId()] = o.GetOrderId(), o
	}
	rows, err := q.Query(ctx, stmtListLines, string(home), ids)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var id string
		var price int64
		l := &orderv1.Line{}
		if err := rows.Scan(&id, &l.Line, &l.Sku, &l.Title, &l.Quantity, &price); err != nil {
			return fmt.Errorf("lines of orders: %w", err)
		}
		l.UnitPrice = money.Amount{Minor: price, Currency: byID[id].GetTotal().GetCurrencyCode()}.Proto()
		byID[id].Lines = append(byID[id].Lines, l)
	}
	return rows.Err()
}

// listEvents of an order. Their number is small: an order has a few parcels.
func listEvents(ctx context.Context, q sqldb.Querier, id ident.OrderID) ([]Event, error) {
	return sqldb.Collect(ctx, q, stmtListEvents, func(r sqldb.Row) (Event, error) {
		var e Event
		err := r.Scan(&e.Seq, &e.Kind, &e.Cause, &e.At, &e.Detail)
		return e, err
	}, string(id.Region()), string(id))
}
