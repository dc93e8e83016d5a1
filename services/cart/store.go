package cart

import (
	"context"
	"errors"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/cellar-commerce/cellar/internal/fence"
	cartv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/cart/v1"
	"github.com/cellar-commerce/cellar/internal/ident"
	"github.com/cellar-commerce/cellar/internal/sqldb"
)

var (
	stmtList = sqldb.Define(sqldb.Customer, "cart.list", `
SELECT customer_id, sku, quantity, price_minor_units, currency, added_at
FROM cart_lines
WHERE region = $1 AND customer_id = ANY ($2::text[])
ORDER BY customer_id, added_at, sku`)

	// A row of its own is locked, so that two changes of one cart follow each other also when it is empty.
	stmtHold = sqldb.Define(sqldb.Customer, "cart.hold", `
INSERT INTO cart_changes (region, customer_id, cause, changed_at, result)
VALUES ($1, $2, 'lock', $3, ''::bytea)
ON CONFLICT (region, customer_id, cause) DO UPDATE
SET changed_at = excluded.changed_at`)

	stmtLock = sqldb.Define(sqldb.Customer, "cart.lock", `
SELECT sku, quantity, price_minor_units, currency, added_at
FROM cart_lines
WHERE region = $1 AND customer_id = $2
ORDER BY sku
FOR UPDATE`)

	stmtAdd = sqldb.Define(sqldb.Customer, "cart.add", `
INSERT INTO cart_lines (region, customer_id, sku, quantity, price_minor_units, currency, added_at)
VALUES ($1, $2, $3, $4, $5, $6, $7)
ON CONFLICT (region, customer_id, sku) DO UPDATE
SET quantity = cart_lines.quantity + excluded.quantity, price_minor_units = excluded.price_minor_units, currency = excluded.currency`)

	stmtPut = sqldb.Define(sqldb.Customer, "cart.put", `
INSERT INTO cart_lines (region, customer_id, sku, quantity, price_minor_units, currency, added_at)
SELECT $1::crdb_internal_region, $2, l.sku, l.quantity, l.price, l.currency, l.added_at
FROM unnest($3::text[], $4::int8[], $5::int8[], $6::text[], $7::timestamptz[]) AS l (sku, quantity, price, currency, added_at)
ON CONFLICT (region, customer_id, sku) DO UPDATE
SET quantity = excluded.quantity, price_minor_units = excluded.price_minor_units, currency = excluded.currency`)

	stmtRemove = sqldb.Define(sqldb.Customer, "cart.remove", `
DELETE FROM cart_lines
WHERE region = $1 AND customer_id = $2 AND sku = $3`)

	stmtRemoveBought = sqldb.Define(sqldb.Customer, "cart.remove_bought", `
DELETE FROM cart_lines AS c
USING unnest($2::text[], $3::text[], $4::int8[]) AS o (customer_id, sku, quantity)
WHERE c.region = $1 AND c.customer_id = o.customer_id AND c.sku = o.sku AND c.quantity <= o.quantity`)

	stmtReduceBought = sqldb.Define(sqldb.Customer, "cart.reduce_bought", `
UPDATE cart_lines AS c
SET quantity = c.quantity - o.quantity
FROM unnest($2::text[], $3::text[], $4::int8[]) AS o (customer_id, sku, quantity)
WHERE c.region = $1 AND c.customer_id = o.customer_id AND c.sku = o.sku AND c.quantity > o.quantity`)

	// A change that is there is a duplicate, which ends the transaction.
	stmtRememberNew = sqldb.Define(sqldb.Customer, "cart.remember_new", `
INSERT INTO cart_changes (region, customer_id, cause, changed_at, result)
SELECT $1::crdb_internal_region, n.customer_id, n.cause, n.at, ''::bytea
FROM unnest($2::text[], $3::text[], $4::timestamptz[]) AS n (customer_id, cause, at)`)

	stmtRemember = sqldb.Define(sqldb.Customer, "cart.remember", `
INSERT INTO cart_changes (region, customer_id, cause, changed_at, result)
VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (region, customer_id, cause) DO NOTHING`)

	stmtEraseLines = sqldb.Define(sqldb.Customer, "cart.erase_lines", `
DELETE FROM cart_lines
WHERE region = $1 AND customer_id = $2`)

	stmtListSaved = sqldb.Define(sqldb.Customer, "cart.list_saved", `
SELECT sku, quantity, price_minor_units, currency, saved_at
FROM saved_lines
WHERE region = $1 AND customer_id = $2
ORDER BY saved_at, sku`)

	stmtPutSaved = sqldb.Define(sqldb.Customer, "cart.put_saved", `
INSERT INTO saved_lines (region, customer_id, sku, quantity, price_minor_units, currency, saved_at)
SELECT $1::crdb_internal_region, $2, l.sku, l.quantity, l.price, l.currency, l.saved_at
FROM unnest($3::text[], $4::int8[], $5::int8[], $6::text[], $7::timestamptz[]) AS l (sku, quantity, price, currency, saved_at)
ON CONFLICT (region, customer_id, sku) DO UPDATE
SET quantity = excluded.quantity, price_minor_units = excluded.price_minor_units, currency = excluded.currency`)

	stmtRemoveSaved = sqldb.Define(sqldb.Customer, "cart.remove_saved", `
DELETE FROM saved_lines
WHERE region = $1 AND customer_id = $2 AND sku = $3`)

	stmtEraseSaved = sqldb.Define(sqldb.Customer, "cart.erase_saved", `
DELETE FROM saved_lines
WHERE region = $1 AND customer_id = $2`)

	stmtEraseChanges = sqldb.Define(sqldb.Customer, "cart.erase_changes", `
DELETE FROM cart_changes
WHERE region = $1 AND customer_id = $2`)

	stmtRecall = sqldb.Define(sqldb.Customer, "cart.recall", `
SELECT result
FROM cart_changes
WHERE region = $1 AND customer_id = $2 AND cause = $3`)
)

func readSaved(ctx context.Context, q sqldb.Querier, id ident.CustomerID) ([]Line, error) {
	return sqldb.Collect(ctx, q, stmtListSaved, scanLine, string(id.Region()), string(id))
}

// readCarts of customers of any rings.
func readCarts(ctx context.Context, q sqldb.Querier, customers []ident.CustomerID) (map[ident.CustomerID][]Line, error) {
	carts, rings := make(map[ident.CustomerID][]Line, len(customers)), map[ident.Region][]string{}
	for _, id := range customers {
		rings[id.Region()] = append(rings[id.Region()], string(id))
	}
	for ring, ids := range rings {
		_, err := sqldb.Collect(ctx, q, stmtList, func(r sqldb.Row) (none struct{}, err error) {
			var id ident.CustomerID
			var l Line
			err = r.Scan(&id, &l.SKU, &l.Quantity, &l.PriceAtAdd.Minor, &l.PriceAtAdd.Currency, &l.AddedAt)
			carts[id] = append(carts[id], l)
			return none, err
		}, string(ring), ids)
		if err != nil {
			return nil, err
		}
	}
	return carts, nil
}

func readLines(ctx context.Context, q sqldb.Querier, id ident.CustomerID) ([]Line, error) {
	carts, err := readCarts(ctx, q, []ident.CustomerID{id})
	return carts[id], err
}

func scanLine(r sqldb.Row) (l Line, err error) {
	err = r.Scan(&l.SKU, &l.Quantity, &l.PriceAtAdd.Minor, &l.PriceAtAdd.Currency, &l.AddedAt)
	return l, err
}

// lock a cart until the transaction ends, and read it.
func (s *Service) lock(ctx context.Context, tx sqldb.Tx, id ident.CustomerID) (lines []Line, err error) {
	var b sqldb.Batch
	b.Queue(stmtHold, nil, string(id.Region()), string(id), s.deps.Clock.Now())
	b.QueueRead(stmtLock, sqldb.Each(func(r sqldb.Row) error {
		l, err := scanLine(r)
		lines = append(lines, l)
		return err
	}), string(id.Region()), string(id))
	return lines, tx.Send(ctx, &b)
}

// addLine adds to a line, or makes it.
func (s *Service) addLine(ctx context.Context, id ident.CustomerID, add Line) (lines []Line, err error) {
	err = s.deps.Fence.InSlotTx(ctx, id, func(tx sqldb.Tx) error {
		have, err := s.lock(ctx, tx, id)
		if err != nil {
			return err
		}
		if !contains(have, add.SKU) && len(have) >= maxLines {
			return cartFull()
		}
		_, err = tx.Exec(ctx, stmtAdd, string(id.Region()), string(id), add.SKU, add.Quantity, add.PriceAtAdd.Minor, add.PriceAtAdd.Currency, add.AddedAt)
		if _, over := sqldb.CheckViolation(err); over {
			return quantityLimit()
		}
		if err != nil {
			return err
		}
		lines, err = readLines(ctx, tx, id)
		return err
	})
	return lines, err
}

// putLine sets a line's quantity, or makes it.
func (s *Service) putLine(ctx context.Context, id ident.CustomerID, put Line) (lines []Line, err error) {
	err = s.deps.Fence.InSlotTx(ctx, id, func(tx sqldb.Tx) error {
		have, err := s.lock(ctx, tx, id)
		if err != nil {
			return err
		}
		if !contains(have, put.SKU) && len(have) >= maxLines {
			return cartFull()
		}
		if err := putLines(ctx, tx, stmtPut, id, []Line{put}); err != nil {
			return err
		}
		lines, err = readLines(ctx, tx, id)
		return err
	})
	return lines, err
}

func contains(lines []Line, sku string) bool {
	for _, l := range lines {
		if l.SKU == sku {
			return true
		}
	}
	return false
}

// putLines of a cart by stmtPut, or of what is saved by stmtPutSaved.
func putLines(ctx context.Context, tx sqldb.Tx, put *sqldb.Statement, id ident.CustomerID, lines []Line) error {
	if len(lines) == 0 {
		return nil
	}
	n := len(lines)
	skus, currencies, times := make([]string, n), make([]string, n), make([]time.Time, n)
	quantities, prices := make([]int64, n), make([]int64, n)
	for i, l := range lines {
		skus[i], quantities[i], prices[i], currencies[i], times[i] = l.SKU, l.Quantity, l.PriceAtAdd.Minor, l.PriceAtAdd.Currency, l.AddedAt
	}
	_, err := tx.Exec(ctx, put, string(id.Region()), string(id), skus, quantities, prices, currencies, times)
	return err
}

func (s *Service) removeLine(ctx context.Context, id ident.CustomerID, sku string) (lines []Line, err error) {
	err = s.deps.Fence.InSlotTx(ctx, id, func(tx sqldb.Tx) error {
		if _, err := tx.Exec(ctx, stmtRemove, string(id.Region()), string(id), sku); err != nil {
			return err
		}
		lines, err = readLines(ctx, tx, id)
		return err
	})
	return lines, err
}

// mergeGuest takes a guest's lines in, once; a second time it gives the first answer.
func (s *Service) mergeGuest(ctx context.Context, id, guest ident.CustomerID) (*cartv1.MergeGuestCartResponse, error) {
	now := s.deps.Clock.Now()
	var resp *cartv1.MergeGuestCartResponse
	err := s.deps.Fence.InSlotTx(ctx, id, func(tx sqldb.Tx) error {
		resp = &cartv1.MergeGuestCartResponse{}
		guestLines, err := readLines(ctx, tx, guest)
		if err != nil {
			return err
		}
		own, err := s.lock(ctx, tx, id)
		if err != nil {
			return err
		}
		write, merged := merge(own, guestLines, now)
		for _, m := range merged {
			resp.Merged = append(resp.Merged, &cartv1.MergeGuestCartResponse_Merged{Sku: m.SKU, GuestQuantity: m.GuestQuantity, Quantity: m.Quantity})
		}
		result, err := proto.Marshal(resp)
		if err != nil {
			return err
		}
		fresh, err := tx.Exec(ctx, stmtRemember, string(id.Region()), string(id), causeMerge(guest), now, result)
		if err != nil {
			return err
		}
		if fresh == 0 {
			return recall(ctx, tx, id, causeMerge(guest), resp)
		}
		if err := putLines(ctx, tx, stmtPut, id, write); err != nil {
			return err
		}
		return s.mergeSaved(ctx, tx, id, guest, now)
	})
	return resp, err
}

func recall(ctx context.Context, tx sqldb.Tx, id ident.CustomerID, cause string, into proto.Message) error {
	var result []byte
	if err := tx.QueryRow(ctx, stmtRecall, string(id.Region()), string(id), cause).Scan(&result); err != nil {
		if errors.Is(err, sqldb.ErrNoRows) {
			return errors.New("a change of a cart is neither new nor known")
		}
		return err
	}
	return proto.Unmarshal(result, into)
}

// bought by an order, to be taken out of a cart.
type bought struct {
	customer   ident.CustomerID
	order      ident.OrderID
	skus       []string
	quantities []int64
	at         time.Time
}

var opBought = fence.NewOp("cart.bought", func(b *sqldb.Batch, ring ident.Region, rows []bought) {
	var customers, causes, owners, skus []string
	var at []time.Time
	var quantities []int64
	place := map[[2]string]int{} // of a line among those below
	for _, r := range rows {
		customers, causes, at = append(customers, string(r.customer)), append(causes, causeOrder(r.order)), append(at, r.at)
		for i, sku := range r.skus {
			line := [2]string{string(r.customer), sku}
			n, known := place[line]
			if !known { // a row can be changed once in a statement: what several orders of one customer bought is added up
				n = len(skus)
				place[line] = n
				owners, skus, quantities = append(owners, line[0]), append(skus, sku), append(quantities, 0)
			}
			quantities[n] += r.quantities[i]
		}
	}
	b.Queue(stmtRememberNew, nil, string(ring), customers, causes, at)
	b.Queue(stmtRemoveBought, nil, string(ring), owners, skus, quantities)
	b.Queue(stmtReduceBought, nil, string(ring), owners, skus, quantities)
})

// removeOrdered takes out what an order bought, once.
func (s *Service) removeOrdered(ctx context.Context, id ident.CustomerID, order ident.OrderID, skus []string, quantities []int64) error {
	err := s.deps.Fence.Join(ctx, id, opBought.Part(bought{id, order, skus, quantities, s.deps.Clock.Now()}))
	if _, known := sqldb.UniqueViolation(err); known {
		return nil
	}
	return err
}

// erase a cart, and what is remembered of its changes.
func (s *Service) erase(ctx context.Context, id ident.CustomerID) error {
	return s.deps.Fence.InSlotTx(ctx, id, func(tx sqldb.Tx) error {
		var b sqldb.Batch
		b.Queue(stmtEraseLines, nil, string(id.Region()), string(id))
		b.Queue(stmtEraseSaved, nil, string(id.Region()), string(id))
		b.Queue(stmtEraseChanges, nil, string(id.Region()), string(id))
		return tx.Send(ctx, &b)
	})
}

// saveLine puts a line of the cart aside.
func (s *Service) saveLine(ctx context.Context, id ident.CustomerID, sku string) error {
	return s.inBoth(ctx, id, func(tx sqldb.Tx, lines, saved map[string]Line) error {
		l, found := lines[sku]
		have, known := saved[sku]
		switch {
		case !found && known:
			return nil
		case !found:
			return unknownLine()
		case !known && len(saved) >= maxLines:
			return savedFull()
		}
		l.Quantity, l.AddedAt = max(l.Quantity, have.Quantity), s.deps.Clock.Now()
		if err := putLines(ctx, tx, stmtPutSaved, id, []Line{l}); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, stmtRemove, string(id.Region()), string(id), sku)
		return err
	})
}

// moveLine puts a saved line back into the cart.
func (s *Service) moveLine(ctx context.Context, id ident.CustomerID, sku string) error {
	return s.inBoth(ctx, id, func(tx sqldb.Tx, lines, saved map[string]Line) error {
		l, found := saved[sku]
		have, known := lines[sku]
		switch {
		case !found && known:
			return nil
		case !found:
			return unknownLine()
		case !known && len(lines) >= maxLines:
			return cartFull()
		}
		l.AddedAt = s.deps.Clock.Now()
		if !known || l.Quantity > have.Quantity {
			if err := putLines(ctx, tx, stmtPut, id, []Line{l}); err != nil {
				return err
			}
		}
		_, err := tx.Exec(ctx, stmtRemoveSaved, string(id.Region()), string(id), sku)
		return err
	})
}

// inBoth the cart and what is saved, locked until the change is committed; by SKU.
func (s *Service) inBoth(ctx context.Context, id ident.CustomerID, change func(tx sqldb.Tx, lines, saved map[string]Line) error) error {
	return s.deps.Fence.InSlotTx(ctx, id, func(tx sqldb.Tx) error {
		lines, err := s.lock(ctx, tx, id)
		if err != nil {
			return err
		}
		saved, err := readSaved(ctx, tx, id)
		if err != nil {
			return err
		}
		return change(tx, bySKU(lines), bySKU(saved))
	})
}

func (s *Service) forgetSaved(ctx context.Context, id ident.CustomerID, sku string) error {
	return s.deps.Fence.InSlotTx(ctx, id, func(tx sqldb.Tx) error {
		_, err := tx.Exec(ctx, stmtRemoveSaved, string(id.Region()), string(id), sku)
		return err
	})
}

// mergeSaved takes in what a guest has saved, as lines are merged. The customer's cart is locked.
func (s *Service) mergeSaved(ctx context.Context, tx sqldb.Tx, id, guest ident.CustomerID, now time.Time) error {
	theirs, err := readSaved(ctx, tx, guest)
	if err != nil || len(theirs) == 0 {
		return err
	}
	own, err := readSaved(ctx, tx, id)
	if err != nil {
		return err
	}
	write, _ := merge(own, theirs, now)
	return putLines(ctx, tx, stmtPutSaved, id, write)
}
