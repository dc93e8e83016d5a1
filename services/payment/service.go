package payment

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"github.com/cellar-commerce/cellar/internal/cardnetwork"
	"github.com/cellar-commerce/cellar/internal/clock"
	"github.com/cellar-commerce/cellar/internal/fence"
	"github.com/cellar-commerce/cellar/internal/gen/cellar/payment/v1/paymentv1connect"
	"github.com/cellar-commerce/cellar/internal/ident"
	"github.com/cellar-commerce/cellar/internal/money"
	"github.com/cellar-commerce/cellar/internal/sqldb"
)

// Deps of the service.
type Deps struct {
	// DB is cellar_customer.
	DB    *sqldb.DB
	Fence fence.Fence
	// Provider takes money from cards; see Guarded.
	Provider Provider
	// Events reads what the provider tells by itself; nil when it is not listened to.
	Events Events
	// Owners gives the payment service of the cell that owns a customer: this one, or a client of another cell's. Nil is
	// always this one.
	Owners func(ident.CustomerID) (EventTaker, error)
	// GiftCardKey is what gift card codes are made with, the same in every cell, for ever.
	GiftCardKey []byte
	Clock       clock.Clock
	// Log may be nil.
	Log *slog.Logger
}

// Service implements cellar.payment.v1.PaymentService.
type Service struct{ deps Deps }

var _ paymentv1connect.PaymentServiceHandler = (*Service)(nil)

// New service.
func New(deps Deps) *Service {
	if deps.Log == nil {
		deps.Log = slog.New(slog.DiscardHandler)
	}
	return &Service{deps: deps}
}

// bill is what is to be paid, and how: gift cards and the wallet first, and a card for the rest.
type bill struct {
	order    ident.OrderID
	customer ident.CustomerID
	amount   money.Amount
	// hold only authorizes.
	hold    bool
	sources []source
	// token of the card; empty without one.
	token string
}

// pay a bill, once.
func (s *Service) pay(ctx context.Context, b bill) (Payment, error) {
	p, err := s.begin(ctx, b)
	if err != nil {
		return Payment{}, fmt.Errorf("pay %s: %w", b.order, err)
	}
	if p.State != Pending {
		return p, p.answer()
	}
	charge, err := s.deps.Provider.Charge(ctx, p.request())
	if errors.Is(err, cardnetwork.ErrUnknownOutcome) {
		charge, err = s.ask(ctx, p)
	}
	if err != nil {
		if code, refused := refusedRequest(err); refused {
			charge, err = cardnetwork.Charge{Status: cardnetwork.Declined, DeclineCode: code}, nil
		}
	}
	if err != nil {
		return p, fmt.Errorf("pay %s: %w", b.order, err)
	}
	if p, err = s.learn(ctx, p, charge); err != nil {
		return p, err
	}
	return p, p.answer()
}

// request for the card's part of a payment: the same one however often it is asked.
func (p Payment) request() cardnetwork.ChargeRequest {
	return cardnetwork.ChargeRequest{
		Key: string(p.OrderID), Reference: string(p.OrderID), Amount: p.card(), Currency: p.Amount.Currency, Token: p.CardToken, Capture: !p.Hold,
	}
}

// ask the network what became of a payment. PAYMENT_UNKNOWN when it cannot tell.
func (s *Service) ask(ctx context.Context, p Payment) (cardnetwork.Charge, error) {
	charge, found, err := s.deps.Provider.Find(ctx, p.request())
	if err != nil || !found {
		return cardnetwork.Charge{}, errUnknown()
	}
	return charge, nil
}

// learn stores what the network told, whoever heard it: an answer, a poll or an event. A payment that was voided while its
// capture was in flight gives back what it took.
func (s *Service) learn(ctx context.Context, p Payment, charge cardnetwork.Charge) (Payment, error) {
	told := p
	told.ChargeID, told.DeclineCode, told.Uncaptured = charge.ID, charge.DeclineCode, 0
	switch charge.Status {
	case cardnetwork.Declined:
		told.State = Declined
	case cardnetwork.Captured:
		told.State = Captured
	case cardnetwork.Refunded:
		told.State, told.Uncaptured = Refunded, p.Credit
	case cardnetwork.Voided:
		told.State = Voided
	case cardnetwork.Authorized:
		told.State, told.Uncaptured = Authorized, p.Amount.Minor
	}
	if p.Hold && told.State == Captured || !p.Hold && told.State == Authorized || told.State == Pending {
		return p, fmt.Errorf("payment of %s: the network answers %s", p.OrderID, charge.Status)
	}
	now, err := s.settle(ctx, told)
	if err != nil {
		return p, fmt.Errorf("payment of %s: %w", p.OrderID, err)
	}
	if now.State != Voided {
		return now, nil
	}
	now.ChargeID = charge.ID
	switch told.State {
	case Captured, Authorized:
		return s.giveBackLate(ctx, now)
	case Refunded:
		return s.settleLate(ctx, now) // it went back already, and nobody wrote that down
	case Pending, Declined, Voided:
	}
	return now, nil
}

// giveBackLate gives back what the card gave to a payment that had been voided meanwhile. What gift cards and the wallet
// gave went back when it was voided.
func (s *Service) giveBackLate(ctx context.Context, p Payment) (Payment, error) {
	if p.Hold {
		if _, err := s.deps.Provider.Void(ctx, cardnetwork.VoidRequest{Key: voidKey(p.OrderID), ChargeID: p.ChargeID}); err != nil {
			return p, fmt.Errorf("void %s: %w", p.OrderID, errors.Join(errUnknown(), err))
		}
		return p, nil
	}
	if _, err := s.deps.Provider.Refund(ctx, cardnetwork.RefundRequest{Key: refundKey(p.OrderID), ChargeID: p.ChargeID, Amount: p.card()}); err != nil {
		return p, fmt.Errorf("refund %s: %w", p.OrderID, errors.Join(errUnknown(), err))
	}
	return s.settleLate(ctx, p)
}

// refund gives everything back, or closes a payment that took nothing.
func (s *Service) refund(ctx context.Context, customer ident.CustomerID, order ident.OrderID) (Payment, error) {
	p, err := s.beginClose(ctx, customer, order)
	if err == nil && p.State == Pending {
		if p, err = s.resolve(ctx, p); err == nil && p.State != Pending {
			p, err = s.beginClose(ctx, customer, order)
		}
	}
	if err != nil {
		return p, fmt.Errorf("refund %s: %w", order, err)
	}
	if !p.Closing || (p.State != Captured && p.State != Authorized) {
		return p, nil
	}
	return s.close(ctx, p)
}

// resolve finds out what became of a payment whose card was never answered for. One that the network does not know of is
// voided, but only when no request for it can still be under way.
func (s *Service) resolve(ctx context.Context, p Payment) (Payment, error) {
	late := !s.deps.Clock.Now().Before(p.UpdatedAt.Add(settleTime))
	find := s.deps.Provider.Find
	if late {
		find = s.deps.Provider.Abandon
	}
	charge, found, err := find(ctx, p.request())
	if err != nil {
		return p, fmt.Errorf("%w: %w", errUnknown(), err)
	}
	if found {
		return s.learn(ctx, p, charge)
	}
	if !late {
		return p, errUnknown()
	}
	void := p
	void.State = Voided
	return s.settle(ctx, void)
}

// close ends a payment that is marked: first the moves that have begun, then what is held, then what was captured. Each
// step can be repeated, and the amounts are fixed by the mark, since nothing new begins behind it.
func (s *Service) close(ctx context.Context, p Payment) (Payment, error) {
	p, moves, err := s.find(ctx, s.deps.DB, stmtGet, p.CustomerID, p.OrderID)
	if err != nil {
		return p, fmt.Errorf("refund %s: %w", p.OrderID, err)
	}
	begun := false
	for _, m := range moves {
		if m.State == MovePending {
			begun = true
			if _, err := s.finish(ctx, p, moves, m); err != nil && !isDeclined(err) {
				return p, err
			}
		}
	}
	if begun {
		if p, moves, err = s.find(ctx, s.deps.DB, stmtGet, p.CustomerID, p.OrderID); err != nil {
			return p, fmt.Errorf("refund %s: %w", p.OrderID, err)
		}
	}
	if p.State != Captured && p.State != Authorized {
		return p, nil
	}
	if p.cardHeld(moves) > 0 {
		if _, err := s.deps.Provider.Void(ctx, cardnetwork.VoidRequest{Key: voidKey(p.OrderID), ChargeID: p.ChargeID}); err != nil {
			return p, fmt.Errorf("void %s: %w", p.OrderID, errors.Join(errUnknown(), err))
		}
	}
	if taken, back := p.cardTaken(moves); taken > back {
		_, err := s.deps.Provider.Refund(ctx, cardnetwork.RefundRequest{Key: refundKey(p.OrderID), ChargeID: p.ChargeID, Amount: taken - back})
		if err != nil {
			return p, fmt.Errorf("refund %s: %w", p.OrderID, errors.Join(errUnknown(), err))
		}
	}
	return s.settleClose(ctx, p)
}

// refresh asks the network about a payment that is not known to have ended.
func (s *Service) refresh(ctx context.Context, customer ident.CustomerID, order ident.OrderID) (Payment, error) {
	p, err := s.get(ctx, customer, order)
	if err != nil || p.State != Pending {
		return p, err
	}
	charge, found, err := s.deps.Provider.Find(ctx, p.request())
	if err != nil || !found {
		return p, nil //nolint:nilerr // it stays unknown, and PENDING says so
	}
	return s.learn(ctx, p, charge)
}
