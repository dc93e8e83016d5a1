package payment

import (
	"context"
	"errors"
	"fmt"

	"github.com/cellar-commerce/cellar/internal/cardnetwork"
	"github.com/cellar-commerce/cellar/internal/ident"
	"github.com/cellar-commerce/cellar/internal/money"
	"github.com/cellar-commerce/cellar/internal/problem"
	"github.com/cellar-commerce/cellar/internal/sqldb"
)

// part of a payment that is to be captured or refunded.
type part struct {
	order    ident.OrderID
	customer ident.CustomerID
	kind     MoveKind
	id       string
	amount   money.Amount
	last     bool
}

// errBusy: captures have begun that must end before the last one.
var errBusy = errors.New("captures are under way")

// move captures or refunds a part, once.
func (s *Service) move(ctx context.Context, w part) (Payment, error) {
	p, moves, m, err := s.beginMove(ctx, w)
	if errors.Is(err, errBusy) {
		open, _ := moves.pending(MoveCapture)
		for _, earlier := range open {
			if _, err := s.finish(ctx, p, moves, earlier); err != nil && !isDeclined(err) {
				return p, err
			}
		}
		p, moves, m, err = s.beginMove(ctx, w)
	}
	if errors.Is(err, errBusy) {
		err = errUnknown()
	}
	if err != nil {
		return p, fmt.Errorf("%s %s of %s: %w", w.kind, w.id, w.order, err)
	}
	return s.finish(ctx, p, moves, m)
}

func isDeclined(err error) bool { return problem.Is(err, "PAYMENT_DECLINED") }

// finish a move: ask the network for the card's share, and store what it says. A request whose answer is lost is sent once
// more: with its key it has one effect, and the repeat tells whether it has.
func (s *Service) finish(ctx context.Context, p Payment, moves Moves, m Move) (Payment, error) {
	if m.State == MovePending {
		err := s.send(ctx, p, moves, m)
		if errors.Is(err, cardnetwork.ErrUnknownOutcome) && ctx.Err() == nil {
			err = s.send(ctx, p, moves, m)
		}
		refusal := ""
		if err != nil {
			code, refused := refusedRequest(err)
			if !refused {
				return p, fmt.Errorf("%s %s of %s: %w", m.Kind, m.ID, p.OrderID, errors.Join(errUnknown(), err))
			}
			refusal = code
		}
		if p, m, err = s.settleMove(ctx, p.CustomerID, p.OrderID, m.Kind, m.ID, refusal); err != nil {
			return p, fmt.Errorf("%s %s of %s: %w", m.Kind, m.ID, p.OrderID, err)
		}
	}
	if m.State == MoveRefused {
		return p, declined(m.Refusal)
	}
	return p, nil
}

// send the request of a move.
func (s *Service) send(ctx context.Context, p Payment, moves Moves, m Move) (err error) {
	switch {
	case m.Kind == MoveRefund && m.Card > 0:
		_, err = s.deps.Provider.Refund(ctx, cardnetwork.RefundRequest{Key: m.key(p.OrderID), ChargeID: p.ChargeID, Amount: m.Card})
	case m.Kind == MoveCapture && m.Card > 0:
		_, err = s.deps.Provider.Capture(ctx, cardnetwork.CaptureRequest{Key: m.key(p.OrderID), ChargeID: p.ChargeID, Amount: m.Card, More: !m.Last})
	case m.Last && p.cardHeld(moves) > 0:
		_, err = s.deps.Provider.Void(ctx, cardnetwork.VoidRequest{Key: voidKey(p.OrderID), ChargeID: p.ChargeID})
	}
	return err
}

// beginMove writes a move down before the network is asked, or finds the one that is there. A move that needs no card has
// its effect at once.
func (s *Service) beginMove(ctx context.Context, w part) (p Payment, moves Moves, m Move, err error) {
	err = s.deps.Fence.InSlotTx(ctx, w.customer, func(tx sqldb.Tx) (err error) {
		if p, moves, err = s.find(ctx, tx, stmtLock, w.customer, w.order); err != nil {
			return err
		}
		for _, m = range moves {
			if m.Kind != w.kind || m.ID != w.id {
				continue
			}
			if m.Amount != w.amount.Minor || m.Last != w.last || w.amount.Currency != p.Amount.Currency {
				return problem.New(problem.Precondition, "PAYMENT_MISMATCH", "this part was asked for with another amount")
			}
			return nil
		}
		if m, err = p.allow(moves, w); err != nil {
			return err
		}
		if err := s.addMove(ctx, tx, p, m); err != nil {
			return err
		}
		moves = append(moves, m)
		if m.Card == 0 && (!m.Last || p.cardHeld(moves) == 0) {
			if err := s.apply(ctx, tx, &p, &m); err != nil {
				return err
			}
		}
		return s.put(ctx, tx, p)
	})
	return p, moves, m, err
}

// allow a part, or say why not. A capture marks at once what it takes of gift cards and the wallet.
func (p *Payment) allow(moves Moves, w part) (Move, error) {
	m := Move{Kind: w.kind, ID: w.id, State: MovePending, Amount: w.amount.Minor, Last: w.last}
	switch {
	case p.State == Pending:
		return m, errUnknown()
	case w.amount.Currency != p.Amount.Currency && p.State != Voided:
		return m, errMismatch()
	case w.kind == MoveRefund:
		return m, p.allowRefund(moves, &m)
	case p.State == Declined:
		return m, declined(p.DeclineCode)
	case p.Closing || p.State == Voided || p.State == Refunded:
		return m, errClosed()
	}
	open, sum := moves.pending(MoveCapture)
	tooMuch := problem.New(problem.Precondition, "CAPTURES_TOO_MUCH", "less than that is still held")
	if p.State == Captured && w.amount.Minor == 0 && w.last && len(open) == 0 {
		return m, nil // nothing is held any more: an earlier part took it all
	}
	if p.State != Authorized || w.amount.Minor > p.Uncaptured-sum {
		return m, tooMuch
	}
	for _, o := range open {
		if o.Last {
			return m, tooMuch
		}
	}
	if w.last && len(open) > 0 {
		return m, errBusy
	}
	m.Card = p.captureCredit(w.amount.Minor)
	return m, nil
}

// allowRefund spreads a refund over the tenders in reverse: what the card gave goes back first.
func (p *Payment) allowRefund(moves Moves, m *Move) error {
	_, sum := moves.pending(MoveRefund)
	if p.Closing || m.Amount > p.captured()-p.refunded()-sum {
		return problem.New(problem.Precondition, "REFUNDS_TOO_MUCH", "less than that is left of what was captured")
	}
	taken, back := p.cardTaken(moves)
	m.Card = min(m.Amount, taken-back)
	return nil
}

func (s *Service) addMove(ctx context.Context, tx sqldb.Tx, p Payment, m Move) error {
	_, err := tx.Exec(ctx, stmtAddMove, string(p.OrderID.Region()), string(p.OrderID), string(m.Kind), m.ID, string(m.State), m.Amount, m.Card, m.Last, s.deps.Clock.Now())
	return err
}

// settleMove ends a move, whoever heard of it; one that has ended stays.
func (s *Service) settleMove(ctx context.Context, customer ident.CustomerID, order ident.OrderID, kind MoveKind, id, refusal string) (p Payment, m Move, err error) {
	err = s.deps.Fence.InSlotTx(ctx, customer, func(tx sqldb.Tx) error {
		var moves Moves
		var err error
		if p, moves, err = s.find(ctx, tx, stmtLock, customer, order); err != nil {
			return err
		}
		found := false
		for _, m = range moves {
			if found = m.Kind == kind && m.ID == id; found {
				break
			}
		}
		if !found {
			return problem.New(problem.NotFound, "UNKNOWN_PAYMENT", "there is no such part of the payment")
		}
		if m.State != MovePending {
			return nil
		}
		if refusal != "" {
			m.State, m.Refusal = MoveRefused, refusal
			if kind == MoveCapture {
				p.uncaptureCredit(m.Amount - m.Card)
			}
			if err := s.putMove(ctx, tx, p, m); err != nil {
				return err
			}
		} else if err := s.apply(ctx, tx, &p, &m); err != nil {
			return err
		}
		return s.put(ctx, tx, p)
	})
	return p, m, err
}

// apply a move whose card's share, if it has one, is done.
func (s *Service) apply(ctx context.Context, tx sqldb.Tx, p *Payment, m *Move) error {
	m.State = MoveDone
	if err := s.putMove(ctx, tx, *p, *m); err != nil {
		return err
	}
	if m.Kind == MoveRefund {
		p.Parts += m.Amount
		if p.State == Captured {
			p.State = p.ended()
		}
		return s.refundCredit(ctx, tx, p, m.Amount-m.Card, "refund/"+m.ID)
	}
	p.Uncaptured -= m.Amount
	if !m.Last && p.Uncaptured > 0 {
		return nil
	}
	p.State = p.ended()
	return s.releaseUncaptured(ctx, tx, p)
}

func (s *Service) putMove(ctx context.Context, tx sqldb.Tx, p Payment, m Move) error {
	_, err := tx.Exec(ctx, stmtPutMove, string(p.OrderID.Region()), string(p.OrderID), string(m.Kind), m.ID, string(m.State), m.Refusal, s.deps.Clock.Now())
	return err
}
