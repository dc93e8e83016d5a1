package payment

import (
	"context"
	"errors"
	"time"

	"github.com/cellar-commerce/cellar/internal/fence"
	"github.com/cellar-commerce/cellar/internal/ident"
	"github.com/cellar-commerce/cellar/internal/sqldb"
)

var (
	// One statement makes the rows, or finds them and notes that the network is about to be asked again.
	stmtBegin = sqldb.Define(sqldb.Customer, "payment.begin", `
INSERT INTO payments (region, order_id, customer_id, state, amount_minor_units, currency, card_token, charge_id, decline_code, created_at, updated_at, hold)
SELECT $1::crdb_internal_region, n.order_id, n.customer_id, 'PENDING', n.amount, n.currency, n.card_token, '', '', n.at, n.at, n.hold
FROM unnest($2::text[], $3::text[], $4::int8[], $5::text[], $6::text[], $7::timestamptz[], $8::bool[])
  AS n (order_id, customer_id, amount, currency, card_token, at, hold)
ON CONFLICT (region, order_id) DO UPDATE
SET updated_at = CASE WHEN payments.state = 'PENDING' AND payments.customer_id = excluded.customer_id THEN excluded.updated_at ELSE payments.updated_at END
RETURNING order_id, customer_id, state, amount_minor_units, currency, card_token, charge_id, decline_code, updated_at, hold, closing, credit_minor_units, uncaptured_minor_units, refunded_minor_units`)

	stmtInsert = sqldb.Define(sqldb.Customer, "payment.insert", `
INSERT INTO payments (region, order_id, customer_id, state, amount_minor_units, currency, card_token, charge_id, decline_code, created_at, updated_at, hold)
VALUES ($1, $2, $3, 'PENDING', $4, $5, $6, '', '', $7, $7, $8)
ON CONFLICT (region, order_id) DO NOTHING`)

	// The tombstone of a payment that never began, or the mark that everything is being given back.
	stmtClose = sqldb.Define(sqldb.Customer, "payment.close", `
INSERT INTO payments (region, order_id, customer_id, state, amount_minor_units, currency, card_token, charge_id, decline_code, created_at, updated_at)
VALUES ($1, $2, $3, 'VOIDED', 0, '', '', '', '', $4, $4)
ON CONFLICT (region, order_id) DO UPDATE
SET closing = payments.closing OR (payments.state IN ('AUTHORIZED', 'CAPTURED') AND payments.customer_id = excluded.customer_id)
RETURNING order_id, customer_id, state, amount_minor_units, currency, card_token, charge_id, decline_code, updated_at, hold, closing, credit_minor_units, uncaptured_minor_units, refunded_minor_units`)

	stmtLock = sqldb.Define(sqldb.Customer, "payment.lock", `
SELECT order_id, customer_id, state, amount_minor_units, currency, card_token, charge_id, decline_code, updated_at, hold, closing, credit_minor_units, uncaptured_minor_units, refunded_minor_units
FROM payments
WHERE region = $1 AND order_id = $2
FOR UPDATE`)

	stmtGet = sqldb.Define(sqldb.Customer, "payment.get", `
SELECT order_id, customer_id, state, amount_minor_units, currency, card_token, charge_id, decline_code, updated_at, hold, closing, credit_minor_units, uncaptured_minor_units, refunded_minor_units
FROM payments
WHERE region = $1 AND order_id = $2`)

	// PENDING ends here, once; what has ended otherwise stays, and is what is answered.
	stmtSettle = sqldb.Define(sqldb.Customer, "payment.settle", `
UPDATE payments AS p
SET state = CASE WHEN p.state = 'PENDING' THEN n.state ELSE p.state END,
  charge_id = CASE WHEN p.state = 'PENDING' THEN n.charge_id ELSE p.charge_id END,
  decline_code = CASE WHEN p.state = 'PENDING' THEN n.decline_code ELSE p.decline_code END,
  uncaptured_minor_units = CASE WHEN p.state = 'PENDING' THEN n.uncaptured ELSE p.uncaptured_minor_units END,
  updated_at = CASE WHEN p.state = 'PENDING' THEN n.at ELSE p.updated_at END
FROM unnest($2::text[], $3::text[], $4::text[], $5::text[], $6::int8[], $7::timestamptz[]) AS n (order_id, state, charge_id, decline_code, uncaptured, at)
WHERE p.region = $1 AND p.order_id = n.order_id
RETURNING p.order_id, p.customer_id, p.state, p.amount_minor_units, p.currency, p.card_token, p.charge_id, p.decline_code, p.updated_at, p.hold, p.closing, p.credit_minor_units, p.uncaptured_minor_units, p.refunded_minor_units`)

	stmtPut = sqldb.Define(sqldb.Customer, "payment.put", `
UPDATE payments
SET state = $3, charge_id = $4, decline_code = $5, credit_minor_units = $6, uncaptured_minor_units = $7, refunded_minor_units = $8, updated_at = $9
WHERE region = $1 AND order_id = $2`)

	stmtTenders = sqldb.Define(sqldb.Customer, "payment.tenders", `
SELECT position, account_region, account, amount_minor_units, captured_minor_units, refunded_minor_units, released_minor_units
FROM payment_tenders
WHERE region = $1 AND order_id = $2
ORDER BY position`)

	stmtAddTender = sqldb.Define(sqldb.Customer, "payment.add_tender", `
INSERT INTO payment_tenders (region, order_id, position, account_region, account, amount_minor_units, captured_minor_units, refunded_minor_units, released_minor_units)
VALUES ($1, $2, $3, $4, $5, $6, $7, 0, 0)`)

	stmtPutTender = sqldb.Define(sqldb.Customer, "payment.put_tender", `
UPDATE payment_tenders
SET captured_minor_units = $4, refunded_minor_units = $5, released_minor_units = $6
WHERE region = $1 AND order_id = $2 AND position = $3`)

	stmtMoves = sqldb.Define(sqldb.Customer, "payment.moves", `
SELECT kind, move_id, state, amount_minor_units, card_minor_units, last, refusal
FROM payment_moves
WHERE region = $1 AND order_id = $2
ORDER BY kind, move_id`)

	stmtAddMove = sqldb.Define(sqldb.Customer, "payment.add_move", `
INSERT INTO payment_moves (region, order_id, kind, move_id, state, amount_minor_units, card_minor_units, last, refusal, created_at, updated_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, '', $9, $9)`)

	stmtPutMove = sqldb.Define(sqldb.Customer, "payment.put_move", `
UPDATE payment_moves
SET state = $5, refusal = $6, updated_at = $7
WHERE region = $1 AND order_id = $2 AND kind = $3 AND move_id = $4`)
)

var (
	stmtEnter = sqldb.Define(sqldb.Customer, "payment.enter", `
INSERT INTO ledger_entries (region, account, movement, amount_minor_units, currency, reason, at)
VALUES ($1, $2, $3, $4, $5, $6, $7)`)

	stmtEntered = sqldb.Define(sqldb.Customer, "payment.entered", `
SELECT amount_minor_units, currency
FROM ledger_entries
WHERE region = $1 AND account = $2 AND movement = $3`)

	stmtIssue = sqldb.Define(sqldb.Customer, "payment.issue_gift_card", `
INSERT INTO gift_cards (region, code_hash, issue_id, currency, issued_minor_units, balance_minor_units, created_at)
VALUES ($1, $2, $3, $4, $5, $5, $6)
ON CONFLICT (region, issue_id) DO NOTHING`)

	stmtIssued = sqldb.Define(sqldb.Customer, "payment.issued_gift_card", `
SELECT code_hash, currency, issued_minor_units, balance_minor_units
FROM gift_cards
WHERE region = $1 AND issue_id = $2`)

	stmtGiftCard = sqldb.Define(sqldb.Customer, "payment.gift_card", `
SELECT code_hash, currency, issued_minor_units, balance_minor_units
FROM gift_cards
WHERE region = $1 AND code_hash = $2`)

	stmtLockGiftCard = sqldb.Define(sqldb.Customer, "payment.lock_gift_card", `
SELECT balance_minor_units
FROM gift_cards
WHERE region = $1 AND code_hash = $2 AND currency = $3
FOR UPDATE`)

	stmtTakeGiftCard = sqldb.Define(sqldb.Customer, "payment.take_gift_card", `
UPDATE gift_cards
SET balance_minor_units = balance_minor_units - $3
WHERE region = $1 AND code_hash = $2 AND balance_minor_units >= $3`)

	stmtGiveGiftCard = sqldb.Define(sqldb.Customer, "payment.give_gift_card", `
UPDATE gift_cards
SET balance_minor_units = balance_minor_units + $3
WHERE region = $1 AND code_hash = $2`)

	stmtWallets = sqldb.Define(sqldb.Customer, "payment.wallets", `
SELECT currency, balance_minor_units
FROM wallets
WHERE region = $1 AND customer_id = $2
ORDER BY currency`)

	stmtLockWallet = sqldb.Define(sqldb.Customer, "payment.lock_wallet", `
SELECT balance_minor_units
FROM wallets
WHERE region = $1 AND customer_id = $2 AND currency = $3
FOR UPDATE`)

	stmtTakeWallet = sqldb.Define(sqldb.Customer, "payment.take_wallet", `
UPDATE wallets
SET balance_minor_units = balance_minor_units - $4, updated_at = $5
WHERE region = $1 AND customer_id = $2 AND currency = $3 AND balance_minor_units >= $4`)

	stmtGiveWallet = sqldb.Define(sqldb.Customer, "payment.give_wallet", `
INSERT INTO wallets (region, customer_id, currency, balance_minor_units, updated_at)
VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (region, customer_id, currency) DO UPDATE
SET balance_minor_units = wallets.balance_minor_units + excluded.balance_minor_units, updated_at = excluded.updated_at`)
)

// written is a payment that an op writes; what stands then is put into it.
type written struct {
	Payment
	at time.Time
	is Payment
}

var (
	opBegin = fence.NewOp("payment.begin", func(b *sqldb.Batch, ring ident.Region, rows []*written) {
		n := len(rows)
		ids, customers, amounts, currencies := make([]string, n), make([]string, n), make([]int64, n), make([]string, n)
		tokens, at, holds := make([]string, n), make([]time.Time, n), make([]bool, n)
		for i, r := range rows {
			ids[i], customers[i], amounts[i], currencies[i] = string(r.OrderID), string(r.CustomerID), r.Amount.Minor, r.Amount.Currency
			tokens[i], at[i], holds[i] = r.CardToken, r.at, r.Hold
		}
		b.QueueRead(stmtBegin, into(rows), string(ring), ids, customers, amounts, currencies, tokens, at, holds)
	})

	opSettle = fence.NewOp("payment.settle", func(b *sqldb.Batch, ring ident.Region, rows []*written) {
		n := len(rows)
		ids, states, charges, codes := make([]string, n), make([]string, n), make([]string, n), make([]string, n)
		uncaptured, at := make([]int64, n), make([]time.Time, n)
		for i, r := range rows {
			ids[i], states[i], charges[i], codes[i], uncaptured[i], at[i] = string(r.OrderID), string(r.State), r.ChargeID, r.DeclineCode, r.Uncaptured, r.at
		}
		b.QueueRead(stmtSettle, into(rows), string(ring), ids, states, charges, codes, uncaptured, at)
	})
)

// into rows goes what a statement answers of their orders.
func into(rows []*written) func(sqldb.Rows) error {
	byID := make(map[ident.OrderID]*written, len(rows))
	for _, r := range rows {
		r.is, byID[r.OrderID] = Payment{}, r
	}
	return sqldb.Each(func(r sqldb.Row) error {
		p, err := scan(r)
		if w := byID[p.OrderID]; w != nil {
			w.is = p
		}
		return err
	})
}

func scan(row sqldb.Row) (Payment, error) {
	var p Payment
	err := row.Scan(&p.OrderID, &p.CustomerID, &p.State, &p.Amount.Minor, &p.Amount.Currency, &p.CardToken, &p.ChargeID, &p.DeclineCode, &p.UpdatedAt,
		&p.Hold, &p.Closing, &p.Credit, &p.Uncaptured, &p.Parts)
	return p, err
}

func scanTender(row sqldb.Row) (Tender, error) {
	var t Tender
	err := row.Scan(&t.Position, &t.Account.region, &t.Account.name, &t.Amount, &t.Captured, &t.Refunded, &t.Released)
	return t, err
}

func scanMove(row sqldb.Row) (Move, error) {
	var m Move
	err := row.Scan(&m.Kind, &m.ID, &m.State, &m.Amount, &m.Card, &m.Last, &m.Refusal)
	return m, err
}

// one statement that writes and answers one payment: all that the common transactions need.
func one(ctx context.Context, tx sqldb.Tx, s *sqldb.Statement, args ...any) (Payment, error) {
	return scan(tx.QueryRow(ctx, s, args...))
}

// find a customer's payment with its tenders and moves. NotFound UNKNOWN_PAYMENT.
func (s *Service) find(ctx context.Context, q sqldb.Querier, read *sqldb.Statement, customer ident.CustomerID, order ident.OrderID) (Payment, Moves, error) {
	region, id := string(order.Region()), string(order)
	p, err := scan(q.QueryRow(ctx, read, region, id))
	if errors.Is(err, sqldb.ErrNoRows) || (err == nil && p.CustomerID != customer) {
		return Payment{}, nil, unknownPayment()
	}
	if err != nil {
		return Payment{}, nil, err
	}
	if p.Credit > 0 {
		if p.Tenders, err = sqldb.Collect(ctx, q, stmtTenders, scanTender, region, id); err != nil {
			return Payment{}, nil, err
		}
	}
	moves, err := sqldb.Collect(ctx, q, stmtMoves, scanMove, region, id)
	return p, moves, err
}

// put what may change of a payment and its tenders.
func (s *Service) put(ctx context.Context, tx sqldb.Tx, p Payment) error {
	region, order := string(p.OrderID.Region()), string(p.OrderID)
	b := &sqldb.Batch{}
	b.Queue(stmtPut, nil, region, order, string(p.State), p.ChargeID, p.DeclineCode, p.Credit, p.Uncaptured, p.Parts, s.deps.Clock.Now())
	for _, t := range p.Tenders {
		b.Queue(stmtPutTender, nil, region, order, t.Position, t.Captured, t.Refunded, t.Released)
	}
	return tx.Send(ctx, b)
}
