package order

import (
	"context"
	"errors"
	"maps"
	"slices"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/cellar-commerce/cellar/internal/fence"
	moneyv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/money/v1"
	orderv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/order/v1"
	postalv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/postal/v1"
	"github.com/cellar-commerce/cellar/internal/ident"
	"github.com/cellar-commerce/cellar/internal/money"
	"github.com/cellar-commerce/cellar/internal/notice"
	"github.com/cellar-commerce/cellar/internal/outbox"
	"github.com/cellar-commerce/cellar/internal/sqldb"
)

var (
	stmtInsertOrder = sqldb.Define(sqldb.Customer, "order.insert", `
INSERT INTO orders (region, order_id, customer_id, status, last_seq, currency, items_minor_units, discount_minor_units, shipping_minor_units,
  tax_minor_units, shipping_tax_minor_units, total_minor_units, ship_to, placed_at)
SELECT $1::crdb_internal_region, n.order_id, n.customer_id, 'PENDING', 1, n.currency, n.items, n.discount, n.shipping, n.tax, n.shipping_tax, n.total,
  n.ship_to, n.placed_at
FROM unnest($2::text[], $3::text[], $4::text[], $5::int8[], $6::int8[], $7::int8[], $8::int8[], $9::int8[], $10::int8[], $11::bytea[], $12::timestamptz[])
  AS n (order_id, customer_id, currency, items, discount, shipping, tax, shipping_tax, total, ship_to, placed_at)
ON CONFLICT (region, order_id) DO NOTHING`)

	// The first event is written last: where it is, the order was made before and its lines stay as they are.
	stmtInsertLines = sqldb.Define(sqldb.Customer, "order.insert_lines", `
INSERT INTO order_lines (region, order_id, line, sku, title, quantity, unit_price_minor_units, discount_minor_units, tax_minor_units, seller)
SELECT $1::crdb_internal_region, l.order_id, l.line, l.sku, l.title, l.quantity, l.price, l.discount, l.tax, l.seller
FROM unnest($2::text[], $3::int4[], $4::text[], $5::text[], $6::int8[], $7::int8[], $8::int8[], $9::int8[], $10::text[])
  AS l (order_id, line, sku, title, quantity, price, discount, tax, seller)
WHERE NOT EXISTS (
  SELECT 1
  FROM order_events AS e
  WHERE e.region = $1 AND e.order_id = l.order_id
)`)

	stmtInsertPlaced = sqldb.Define(sqldb.Customer, "order.insert_placed", `
INSERT INTO order_events (region, order_id, seq, kind, cause, at, detail)
SELECT $1::crdb_internal_region, n.order_id, 1, 'placed', 'placed', n.at, ''::bytea
FROM unnest($2::text[], $3::timestamptz[]) AS n (order_id, at)
ON CONFLICT (region, order_id, cause) DO NOTHING`)

	// The order's row is locked: nobody else appends meanwhile.
	stmtAppend = sqldb.Define(sqldb.Customer, "order.append", `
INSERT INTO order_events (region, order_id, seq, kind, cause, at, detail)
SELECT $1::crdb_internal_region, $2, e.seq, e.kind, e.cause, $3, e.detail
FROM unnest($4::int8[], $5::text[], $6::text[], $7::bytea[]) AS e (seq, kind, cause, detail)`)

	stmtProject = sqldb.Define(sqldb.Customer, "order.project", `
UPDATE orders
SET status = $3, last_seq = $4
WHERE region = $1 AND order_id = $2`)

	// Orders as they were placed, and nothing since.
	stmtPay = sqldb.Define(sqldb.Customer, "order.pay", `
UPDATE orders AS o
SET status = 'PAID', last_seq = 2
FROM unnest($2::text[], $3::text[], $4::bytea[]) AS n (order_id, customer_id, ship_to)
WHERE o.region = $1 AND o.order_id = n.order_id AND o.customer_id = n.customer_id AND o.status = 'PENDING' AND o.last_seq = 1 AND o.ship_to = n.ship_to
RETURNING o.order_id, o.customer_id, o.currency, o.items_minor_units, o.discount_minor_units, o.shipping_minor_units, o.tax_minor_units,
  o.shipping_tax_minor_units, o.total_minor_units, o.ship_to, o.placed_at`)

	// An event is refused by the table unless the statement before has paid its order just now: an order in any other
	// state, or of somebody else, or none, gives no number; one that was paid before has an event of that number.
	stmtInsertPaid = sqldb.Define(sqldb.Customer, "order.insert_paid", `
INSERT INTO order_events (region, order_id, seq, kind, cause, at, detail)
SELECT $1::crdb_internal_region, n.order_id, (
  SELECT o.last_seq
  FROM orders AS o
  WHERE o.region = $1 AND o.order_id = n.order_id AND o.customer_id = n.customer_id AND o.status = 'PAID' AND o.last_seq = 2 AND o.ship_to = n.ship_to
), 'paid', 'ended', n.at, n.detail
FROM unnest($2::text[], $3::text[], $4::bytea[], $5::timestamptz[], $6::bytea[]) AS n (order_id, customer_id, ship_to, at, detail)`)

	stmtReplaceAddress = sqldb.Define(sqldb.Customer, "order.replace_address", `
UPDATE orders AS o
SET ship_to = n.ship_to
FROM unnest($3::text[], $4::bytea[]) AS n (order_id, ship_to)
WHERE o.region = $1 AND o.customer_id = $2 AND o.order_id = n.order_id`)

	stmtGetOrder = sqldb.Define(sqldb.Customer, "order.get", `
SELECT order_id, customer_id, currency, items_minor_units, discount_minor_units, shipping_minor_units, tax_minor_units, shipping_tax_minor_units,
  total_minor_units, ship_to, placed_at
FROM orders
WHERE region = $1 AND order_id = $2 AND customer_id = $3`)

	stmtLockOrder = sqldb.Define(sqldb.Customer, "order.lock", `
SELECT order_id, customer_id, currency, items_minor_units, discount_minor_units, shipping_minor_units, tax_minor_units, shipping_tax_minor_units,
  total_minor_units, ship_to, placed_at
FROM orders
WHERE region = $1 AND order_id = $2 AND customer_id = $3
FOR UPDATE`)

	stmtFindOrder = sqldb.Define(sqldb.Customer, "order.find", `
SELECT customer_id, last_seq
FROM orders
WHERE region = $1 AND order_id = $2`)

	stmtListOrders = sqldb.Define(sqldb.Customer, "order.list", `
SELECT order_id, customer_id, currency, items_minor_units, discount_minor_units, shipping_minor_units, tax_minor_units, shipping_tax_minor_units,
  total_minor_units, ship_to, placed_at
FROM orders
WHERE region = $1 AND customer_id = $2 AND (placed_at, order_id) < ($3, $4)
ORDER BY placed_at DESC, order_id DESC
LIMIT $5`)

	stmtListLines = sqldb.Define(sqldb.Customer, "order.list_lines", `
SELECT l.order_id, l.line, l.sku, l.title, l.quantity, l.unit_price_minor_units, l.discount_minor_units, l.tax_minor_units, l.seller
FROM unnest($2::text[]) AS o (order_id)
JOIN order_lines AS l ON l.region = $1 AND l.order_id = o.order_id
ORDER BY l.order_id, l.line`)

	stmtListEvents = sqldb.Define(sqldb.Customer, "order.list_events", `
SELECT e.order_id, e.seq, e.kind, e.cause, e.at, e.detail
FROM unnest($2::text[]) AS o (order_id)
JOIN order_events AS e ON e.region = $1 AND e.order_id = o.order_id
ORDER BY e.order_id, e.seq`)
)

type newOrder struct {
	id       ident.OrderID
	customer ident.CustomerID
	order    *orderv1.Order
	shipTo   []byte
	placedAt time.Time
}

// opCreate writes orders, their lines and their first events.
var opCreate = fence.NewOp("order.create", func(b *sqldb.Batch, ring ident.Region, rows []newOrder) {
	var ids, customers, currencies, owners, skus, titles, sellers []string
	var items, discounts, shippings, taxes, shippingTaxes, totals, quantities, prices, lineDiscounts, lineTaxes []int64
	var shipTos [][]byte
	var at []time.Time
	var lines []int32
	for _, n := range rows {
		o, id := n.order, string(n.id)
		ids, customers, currencies = append(ids, id), append(customers, string(n.customer)), append(currencies, o.GetTotal().GetCurrencyCode())
		items, discounts = append(items, o.GetItemsTotal().GetMinorUnits()), append(discounts, o.GetDiscount().GetMinorUnits())
		shippings, taxes = append(shippings, o.GetShipping().GetMinorUnits()), append(taxes, o.GetTax().GetMinorUnits())
		shippingTaxes, totals = append(shippingTaxes, o.GetShippingTax().GetMinorUnits()), append(totals, o.GetTotal().GetMinorUnits())
		shipTos, at = append(shipTos, n.shipTo), append(at, n.placedAt)
		for _, l := range o.GetLines() {
			owners, lines, skus, titles = append(owners, id), append(lines, l.GetLine()), append(skus, l.GetSku()), append(titles, l.GetTitle())
			sellers = append(sellers, l.GetSeller())
			quantities, prices = append(quantities, l.GetQuantity()), append(prices, l.GetUnitPrice().GetMinorUnits())
			lineDiscounts, lineTaxes = append(lineDiscounts, l.GetDiscount().GetMinorUnits()), append(lineTaxes, l.GetTax().GetMinorUnits())
		}
	}
	region := string(ring)
	b.Queue(stmtInsertOrder, nil, region, ids, customers, currencies, items, discounts, shippings, taxes, shippingTaxes, totals, shipTos, at)
	b.Queue(stmtInsertLines, nil, region, owners, lines, skus, titles, quantities, prices, lineDiscounts, lineTaxes, sellers)
	b.Queue(stmtInsertPlaced, nil, region, ids, at)
})

// packAddress the same way every time: it is compared as it is stored.
func packAddress(a *postalv1.PostalAddress) ([]byte, error) {
	return proto.MarshalOptions{Deterministic: true}.Marshal(a)
}

// queueEvents appends events and stores the projection.
func queueEvents(b *sqldb.Batch, id ident.OrderID, fresh []Event, status Status) {
	n := len(fresh)
	seqs, kinds, causes, details := make([]int64, n), make([]string, n), make([]string, n), make([][]byte, n)
	for i, e := range fresh {
		seqs[i], kinds[i], causes[i], details[i] = e.Seq, e.Kind, e.Cause, e.Detail
	}
	b.Queue(stmtAppend, nil, string(id.Region()), string(id), fresh[0].At, seqs, kinds, causes, details)
	b.Queue(stmtProject, nil, string(id.Region()), string(id), string(status), fresh[n-1].Seq)
}

// justPaid is an order that is as CreateOrder left it, to be paid.
type justPaid struct {
	id       ident.OrderID
	customer ident.CustomerID
	shipTo   []byte
	paid     Event
	sends    []outbox.Packed
	told     []notice.Packed
	// agreed is what was ordered; unless the caller knows it, it is read when the payment has been written.
	agreed *orderv1.Order
	known  bool
}

// errNotJustPlaced: something has happened to the order since it was placed, or it is not the one it is taken for.
var errNotJustPlaced = errors.New("the order is not as it was placed")

// opPay marks orders paid that were just placed, and reads them.
var opPay = fence.NewOp("order.pay", func(b *sqldb.Batch, ring ident.Region, rows []*justPaid) {
	n := len(rows)
	ids, customers, shipTos, at, details := make([]string, n), make([]string, n), make([][]byte, n), make([]time.Time, n), make([][]byte, n)
	unread := make(map[string]*justPaid, n)
	var sends []outbox.Packed
	var told []notice.Packed
	for i, r := range rows {
		ids[i], customers[i], shipTos[i], at[i], details[i] = string(r.id), string(r.customer), r.shipTo, r.paid.At, r.paid.Detail
		if !r.known {
			unread[ids[i]], r.agreed = r, nil
		}
		sends, told = append(sends, r.sends...), append(told, r.told...)
	}
	region := string(ring)
	b.QueueRead(stmtPay, sqldb.Each(func(r sqldb.Row) error {
		o, err := scanOrder(r)
		if paid := unread[o.GetOrderId()]; paid != nil && err == nil {
			paid.agreed = o
		}
		return err
	}), region, ids, customers, shipTos)
	b.Queue(stmtInsertPaid, nil, region, ids, customers, shipTos, at, details)
	if len(unread) > 0 {
		b.QueueRead(stmtListLines, sqldb.Each(func(r sqldb.Row) error {
			id, l, err := scanLine(r)
			if o := unread[id].agreed; o != nil && err == nil {
				o.Lines = append(o.Lines, l.of(o.GetTotal().GetCurrencyCode()))
			}
			return err
		}), region, slices.Collect(maps.Keys(unread)))
	}
	outbox.QueuePacked(b, ring, at[0], sends)
	notice.QueuePacked(b, ring, at[0], told)
})

// notJustPlaced recognises how the statements of queuePaid fail.
func notJustPlaced(err error) error {
	if constraint, ok := sqldb.UniqueViolation(err); ok && (constraint == "order_events_pk" || constraint == "order_events_cause_key") {
		return errNotJustPlaced
	}
	if sqldb.NotNullViolation(err) {
		return errNotJustPlaced
	}
	return err
}

// queueReadOrder leaves nil where there is none.
func queueReadOrder(b *sqldb.Batch, s *sqldb.Statement, into **orderv1.Order, args ...any) {
	b.QueueRead(s, sqldb.Each(func(r sqldb.Row) (err error) {
		*into, err = scanOrder(r)
		return err
	}), args...)
}

// whole order, with its events, in one round trip.
func queueWhole(b *sqldb.Batch, s *sqldb.Statement, customer ident.CustomerID, id ident.OrderID) (agreed **orderv1.Order, events *[]Event) {
	agreed, events = new(*orderv1.Order), new([]Event)
	queueReadOrder(b, s, agreed, string(id.Region()), string(id), string(customer))
	ids := []string{string(id)}
	b.QueueRead(stmtListLines, sqldb.Each(func(r sqldb.Row) error {
		_, l, err := scanLine(r)
		if *agreed != nil && err == nil { // somebody else's order has lines too
			(*agreed).Lines = append((*agreed).Lines, l.of((*agreed).GetTotal().GetCurrencyCode()))
		}
		return err
	}), string(id.Region()), ids)
	b.QueueRead(stmtListEvents, sqldb.Each(func(r sqldb.Row) error {
		_, e, err := scanEvent(r)
		*events = append(*events, e)
		return err
	}), string(id.Region()), ids)
	return agreed, events
}

// readOrder with its lines and events.
func readOrder(ctx context.Context, db *sqldb.DB, customer ident.CustomerID, id ident.OrderID) (o *orderv1.Order, events []Event, err error) {
	err = db.InTx(ctx, func(tx sqldb.Tx) error {
		var b sqldb.Batch
		agreed, all := queueWhole(&b, stmtGetOrder, customer, id)
		err := tx.SendLast(ctx, &b)
		o, events = *agreed, *all
		return err
	})
	if err == nil && o == nil {
		err = unknownOrder(sqldb.ErrNoRows)
	}
	return o, events, err
}

// findOrder tells whose an order is, and the number of its last event.
func findOrder(ctx context.Context, db *sqldb.DB, id ident.OrderID) (customer ident.CustomerID, lastSeq int64, err error) {
	err = db.QueryRow(ctx, stmtFindOrder, string(id.Region()), string(id)).Scan(&customer, &lastSeq)
	return customer, lastSeq, unknownOrder(err)
}

// lockOrder reads an order so that no other transaction appends to it before this one ends. What it reads behind the lock
// is as the last one left it: each statement sees what was committed before it began.
func lockOrder(ctx context.Context, tx sqldb.Tx, customer ident.CustomerID, id ident.OrderID) (*orderv1.Order, []Event, error) {
	var b sqldb.Batch
	agreed, events := queueWhole(&b, stmtLockOrder, customer, id)
	if err := tx.Send(ctx, &b); err != nil {
		return nil, nil, err
	}
	if *agreed == nil {
		return nil, nil, unknownOrder(sqldb.ErrNoRows)
	}
	return *agreed, *events, nil
}

// pageStart is where a page of orders begins: before this time and id.
type pageStart struct {
	before time.Time
	id     string
}

// listOrders of a page, with their lines, and the events of each.
func listOrders(ctx context.Context, db *sqldb.DB, customer ident.CustomerID, from pageStart, limit int) ([]*orderv1.Order, map[string][]Event, error) {
	region := string(customer.Region())
	orders, err := sqldb.Collect(ctx, db, stmtListOrders, scanOrder, region, string(customer), from.before, from.id, limit)
	if err != nil || len(orders) == 0 {
		return nil, nil, err
	}
	byID, ids := make(map[string]*orderv1.Order, len(orders)), make([]string, len(orders))
	for i, o := range orders {
		ids[i], byID[o.GetOrderId()] = o.GetOrderId(), o
	}
	var events map[string][]Event
	err = db.InTx(ctx, func(tx sqldb.Tx) error {
		events = map[string][]Event{}
		for _, o := range orders {
			o.Lines = nil
		}
		var b sqldb.Batch
		b.QueueRead(stmtListLines, sqldb.Each(func(r sqldb.Row) error {
			id, l, err := scanLine(r)
			if err == nil {
				byID[id].Lines = append(byID[id].Lines, l.of(byID[id].GetTotal().GetCurrencyCode()))
			}
			return err
		}), region, ids)
		b.QueueRead(stmtListEvents, sqldb.Each(func(r sqldb.Row) error {
			id, e, err := scanEvent(r)
			events[id] = append(events[id], e)
			return err
		}), region, ids)
		return tx.SendLast(ctx, &b)
	})
	return orders, events, err
}

func scanOrder(row sqldb.Row) (*orderv1.Order, error) {
	var (
		o                                                  orderv1.Order
		currency                                           string
		items, discount, shipping, tax, shippingTax, total int64
		shipTo                                             []byte
		placedAt                                           time.Time
	)
	if err := row.Scan(&o.OrderId, &o.CustomerId, &currency, &items, &discount, &shipping, &tax, &shippingTax, &total, &shipTo, &placedAt); err != nil {
		return nil, err
	}
	amount := func(minor int64) *moneyv1.Money { return money.Amount{Minor: minor, Currency: currency}.Proto() }
	o.PlacedAt, o.ShipTo = timestamppb.New(placedAt), &postalv1.PostalAddress{}
	o.ItemsTotal, o.Shipping, o.Tax, o.Total = amount(items), amount(shipping), amount(tax), amount(total)
	o.Discount, o.ShippingTax = amount(discount), amount(shippingTax)
	return &o, proto.Unmarshal(shipTo, o.GetShipTo())
}

// line as stored: its currency is the order's.
type line struct {
	proto                *orderv1.Line
	price, discount, tax int64
}

func scanLine(row sqldb.Row) (order string, l line, err error) {
	l.proto = &orderv1.Line{}
	err = row.Scan(&order, &l.proto.Line, &l.proto.Sku, &l.proto.Title, &l.proto.Quantity, &l.price, &l.discount, &l.tax, &l.proto.Seller)
	return order, l, err
}

func (l line) of(currency string) *orderv1.Line {
	amount := func(minor int64) *moneyv1.Money { return money.Amount{Minor: minor, Currency: currency}.Proto() }
	l.proto.UnitPrice, l.proto.Discount, l.proto.Tax = amount(l.price), amount(l.discount), amount(l.tax)
	return l.proto
}

func scanEvent(row sqldb.Row) (order string, e Event, err error) {
	err = row.Scan(&order, &e.Seq, &e.Kind, &e.Cause, &e.At, &e.Detail)
	return order, e, err
}
