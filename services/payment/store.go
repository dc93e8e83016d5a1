package payment

import (
	"context"
	"errors"

	"github.com/cellar-commerce/cellar/internal/ident"
	"github.com/cellar-commerce/cellar/internal/problem"
	"github.com/cellar-commerce/cellar/internal/sqldb"
)

var (
	stmtInsert = sqldb.Define(sqldb.Customer, "payment.insert", `
INSERT INTO payments (region, order_id, customer_id, state, amount_minor_units, currency, card_token, charge_id, decline_code, created_at, updated_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, '', '', $8, $8)
ON CONFLICT (region, order_id) DO NOTHING`)

	stmtLock = sqldb.Define(sqldb.Customer, "payment.lock", `
SELECT order_id, customer_id, state, amount_minor_units, currency, card_token, charge_id, decline_code, updated_at
FROM payments
WHERE region = $1 AND order_id = $2
FOR UPDATE`)

	stmtGet = sqldb.Define(sqldb.Customer, "payment.get", `
SELECT order_id, customer_id, state, amount_minor_units, currency, card_token, charge_id, decline_code, updated_at
FROM payments
WHERE region = $1 AND order_id = $2`)

	stmtTouch = sqldb.Define(sqldb.Customer, "payment.touch", `
UPDATE payments
SET updated_at = $3
WHERE region = $1 AND order_id = $2 AND state = 'PENDING'`)

	stmtSettle = sqldb.Define(sqldb.Customer, "payment.settle", `
UPDATE payments
SET state = $3, charge_id = $4, decline_code = $5, updated_at = $6
WHERE region = $1 AND order_id = $2 AND state = 'PENDING'`)

	stmtRefunded = sqldb.Define(sqldb.Customer, "payment.refunded", `
UPDATE payments
SET state = 'REFUNDED', charge_id = $3, updated_at = $4
WHERE region = $1 AND order_id = $2`)
)

// begin makes the payment's row before the network is asked, or finds the one that is there.
func (s *Service) begin(ctx context.Context, b bill) (Payment, error) {
	now, region, order := s.deps.Clock.Now(), string(b.order.Region()), string(b.order)
	var p Payment
	err := s.deps.Fence.InSlotTx(ctx, b.customer, func(tx sqldb.Tx) error {
		_, err := tx.Exec(ctx, stmtInsert, region, order, string(b.customer), string(Pending), b.amount.Minor, b.amount.Currency, b.token, now)
		if err != nil {
			return err
		}
		if p, err = scan(tx.QueryRow(ctx, stmtLock, region, order)); err != nil {
			return err
		}
		// A tombstone has no amount: whatever comes, it refuses.
		if p.CustomerID != b.customer || (p.Amount != b.amount && p.State != Voided) {
			return problem.New(problem.Precondition, "PAYMENT_MISMATCH", "this order is being paid with another amount")
		}
		if p.State != Pending {
			return nil
		}
		p.UpdatedAt = now
		_, err = tx.Exec(ctx, stmtTouch, region, order, now)
		return err
	})
	return p, err
}

// settle ends PENDING; a payment that has ended otherwise stays, and is what is answered.
func (s *Service) settle(ctx context.Context, to Payment) (Payment, error) {
	now, region, order := s.deps.Clock.Now(), string(to.OrderID.Region()), string(to.OrderID)
	var p Payment
	err := s.deps.Fence.InSlotTx(ctx, to.CustomerID, func(tx sqldb.Tx) error {
		_, err := tx.Exec(ctx, stmtSettle, region, order, string(to.State), to.ChargeID, to.DeclineCode, now)
		if err != nil {
			return err
		}
		p, err = scan(tx.QueryRow(ctx, stmtGet, region, order))
		return err
	})
	return p, err
}

// beginRefund reads the payment, or writes the tombstone of one that never began. NotFound UNKNOWN_PAYMENT for another
// customer's.
func (s *Service) beginRefund(ctx context.Context, customer ident.CustomerID, order ident.OrderID) (Payment, error) {
	now, region := s.deps.Clock.Now(), string(order.Region())
	var p Payment
	err := s.deps.Fence.InSlotTx(ctx, customer, func(tx sqldb.Tx) error {
		_, err := tx.Exec(ctx, stmtInsert, region, string(order), string(customer), string(Voided), 0, "", "", now)
		if err != nil {
			return err
		}
		p, err = scan(tx.QueryRow(ctx, stmtLock, region, string(order)))
		if err == nil && p.CustomerID != customer {
			return unknownPayment()
		}
		return err
	})
	return p, err
}

func (s *Service) recordRefund(ctx context.Context, p Payment) error {
	return s.deps.Fence.InSlotTx(ctx, p.CustomerID, func(tx sqldb.Tx) error {
		_, err := tx.Exec(ctx, stmtRefunded, string(p.OrderID.Region()), string(p.OrderID), p.ChargeID, s.deps.Clock.Now())
		return err
	})
}

// get a customer's payment. NotFound UNKNOWN_PAYMENT.
func (s *Service) get(ctx context.Context, customer ident.CustomerID, order ident.OrderID) (Payment, error) {
	p, err := scan(s.deps.DB.QueryRow(ctx, stmtGet, string(order.Region()), string(order)))
	if errors.Is(err, sqldb.ErrNoRows) || (err == nil && p.CustomerID != customer) {
		return Payment{}, unknownPayment()
	}
	return p, err
}

func unknownPayment() error {
	return problem.New(problem.NotFound, "UNKNOWN_PAYMENT", "there is no payment of this order")
}

func scan(row sqldb.Row) (Payment, error) {
	var p Payment
	err := row.Scan(&p.OrderID, &p.CustomerID, &p.State, &p.Amount.Minor, &p.Amount.Currency, &p.CardToken, &p.ChargeID, &p.DeclineCode, &p.UpdatedAt)
	return p, err
}
