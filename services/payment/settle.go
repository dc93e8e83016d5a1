package payment

import (
	"context"

	"github.com/cellar-commerce/cellar/internal/fence"
	"github.com/cellar-commerce/cellar/internal/ident"
	"github.com/cellar-commerce/cellar/internal/sqldb"
)

// begin makes the payment's row before the network is asked, or finds the one that is there.
func (s *Service) begin(ctx context.Context, b bill) (Payment, error) {
	row := &written{Payment: Payment{OrderID: b.order, CustomerID: b.customer, Amount: b.amount, CardToken: b.token, Hold: b.hold}, at: s.deps.Clock.Now()}
	var p Payment
	var err error
	if len(b.sources) > 0 {
		err = s.deps.Fence.InSlotTx(ctx, b.customer, func(tx sqldb.Tx) (err error) {
			p, err = s.beginSplit(ctx, tx, b, row)
			return err
		})
	} else {
		err = s.deps.Fence.Join(ctx, b.customer, opBegin.Part(row))
		p = row.is
	}
	if err != nil {
		return p, err
	}
	// A tombstone has no amount: whatever comes, it refuses.
	if p.CustomerID != b.customer || (p.State != Voided && (p.Amount != b.amount || p.Hold != b.hold)) {
		return p, errMismatch()
	}
	return p, nil
}

// opening are the values of a new payment's row.
func (s *Service) opening(b bill) []any {
	return []any{string(b.order.Region()), string(b.order), string(b.customer), b.amount.Minor, b.amount.Currency, b.token, s.deps.Clock.Now(), b.hold}
}

// beginSplit also draws on gift cards and the wallet, in the same transaction: either the row and all that they give are
// there, or nothing is.
func (s *Service) beginSplit(ctx context.Context, tx sqldb.Tx, b bill, row *written) (Payment, error) {
	var made int64
	var batch sqldb.Batch
	batch.Queue(stmtInsert, func(n int64) error { made = n; return nil }, s.opening(b)...)
	fence.Queue(&batch, b.order.Region(), []fence.Part{opBegin.Part(row)})
	err := tx.Send(ctx, &batch)
	p := row.is
	if err == nil && made == 0 {
		p.Tenders, err = sqldb.Collect(ctx, tx, stmtTenders, scanTender, string(b.order.Region()), string(b.order))
		return p, err
	}
	if err != nil {
		return p, err
	}
	if err := s.drawAll(ctx, tx, &p, b.sources); err != nil {
		return p, err
	}
	if p.State == Pending && p.card() == 0 {
		p.settleWithoutCard()
	}
	return p, s.put(ctx, tx, p)
}

// settleWithoutCard ends a payment that needs no card.
func (p *Payment) settleWithoutCard() {
	if p.Hold {
		p.State, p.Uncaptured = Authorized, p.Amount.Minor
		return
	}
	p.State = Captured
	p.captureCredit(p.Credit)
}

// settle ends PENDING; a payment that has ended otherwise stays, and is what is answered.
func (s *Service) settle(ctx context.Context, to Payment) (Payment, error) {
	if to.Credit == 0 {
		row := &written{Payment: to, at: s.deps.Clock.Now()}
		err := s.deps.Fence.Join(ctx, to.CustomerID, opSettle.Part(row))
		if err == nil && row.is.OrderID == "" {
			err = sqldb.ErrNoRows // nobody settles what was not begun
		}
		return row.is, err
	}
	var p Payment
	err := s.deps.Fence.InSlotTx(ctx, to.CustomerID, func(tx sqldb.Tx) (err error) {
		p, err = s.settleSplit(ctx, tx, to)
		return err
	})
	return p, err
}

// settleSplit also captures what gift cards and the wallet gave, or gives it back.
func (s *Service) settleSplit(ctx context.Context, tx sqldb.Tx, to Payment) (Payment, error) {
	p, _, err := s.find(ctx, tx, stmtLock, to.CustomerID, to.OrderID)
	if err != nil || p.State != Pending {
		return p, err
	}
	p.State, p.ChargeID, p.DeclineCode, p.Uncaptured = to.State, to.ChargeID, to.DeclineCode, to.Uncaptured
	switch p.State {
	case Captured:
		p.captureCredit(p.Credit)
	case Declined, Voided, Refunded:
		if err := s.releaseUncaptured(ctx, tx, &p); err != nil {
			return p, err
		}
	case Authorized, Pending:
	}
	return p, s.put(ctx, tx, p)
}

// settleLate ends a voided payment whose card was charged all the same, and refunded.
func (s *Service) settleLate(ctx context.Context, voided Payment) (Payment, error) {
	var p Payment
	err := s.deps.Fence.InSlotTx(ctx, voided.CustomerID, func(tx sqldb.Tx) (err error) {
		if p, _, err = s.find(ctx, tx, stmtLock, voided.CustomerID, voided.OrderID); err != nil || p.State != Voided {
			return err
		}
		p.State, p.ChargeID, p.Uncaptured = Refunded, voided.ChargeID, p.Credit
		return s.put(ctx, tx, p)
	})
	return p, err
}

// beginClose reads the payment and marks it as closing, or writes the tombstone of one that never began. NotFound
// UNKNOWN_PAYMENT for another customer's.
func (s *Service) beginClose(ctx context.Context, customer ident.CustomerID, order ident.OrderID) (Payment, error) {
	var p Payment
	err := s.deps.Fence.InSlotTx(ctx, customer, func(tx sqldb.Tx) (err error) {
		p, err = one(ctx, tx, stmtClose, string(order.Region()), string(order), string(customer), s.deps.Clock.Now())
		return err
	})
	if err == nil && p.CustomerID != customer {
		return Payment{}, unknownPayment()
	}
	return p, err
}

// settleClose ends a payment of which the card's part has gone back: now the rest does.
func (s *Service) settleClose(ctx context.Context, closing Payment) (Payment, error) {
	var p Payment
	err := s.deps.Fence.InSlotTx(ctx, closing.CustomerID, func(tx sqldb.Tx) (err error) {
		if p, _, err = s.find(ctx, tx, stmtLock, closing.CustomerID, closing.OrderID); err != nil || (p.State != Captured && p.State != Authorized) {
			return err
		}
		if err = s.releaseUncaptured(ctx, tx, &p); err != nil {
			return err
		}
		var rest int64
		for _, t := range p.Tenders {
			rest += t.left()
		}
		if err = s.refundCredit(ctx, tx, &p, rest, "close"); err != nil {
			return err
		}
		p.Parts = p.Amount.Minor - p.Uncaptured
		p.State = p.ended()
		return s.put(ctx, tx, p)
	})
	return p, err
}

// get a customer's payment with its tenders. NotFound UNKNOWN_PAYMENT.
func (s *Service) get(ctx context.Context, customer ident.CustomerID, order ident.OrderID) (Payment, error) {
	p, _, err := s.find(ctx, s.deps.DB, stmtGet, customer, order)
	return p, err
}
