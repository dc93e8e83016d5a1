package payment

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/cellar-commerce/cellar/internal/cardnetwork"
	"github.com/cellar-commerce/cellar/internal/clock"
	"github.com/cellar-commerce/cellar/internal/fence"
	"github.com/cellar-commerce/cellar/internal/gen/cellar/payment/v1/paymentv1connect"
	"github.com/cellar-commerce/cellar/internal/ident"
	"github.com/cellar-commerce/cellar/internal/money"
	"github.com/cellar-commerce/cellar/internal/sqldb"
)

// Network moves money.
type Network interface {
	Charge(ctx context.Context, req cardnetwork.ChargeRequest) (cardnetwork.Charge, error)
	Refund(ctx context.Context, req cardnetwork.RefundRequest) (cardnetwork.Charge, error)
	FindByKey(ctx context.Context, key string) (cardnetwork.Charge, bool, error)
}

var _ Network = (*cardnetwork.Client)(nil)

// Deps of the service.
type Deps struct {
	// DB is cellar_customer.
	DB      *sqldb.DB
	Fence   fence.Fence
	Network Network
	Clock   clock.Clock
}

// Service implements cellar.payment.v1.PaymentService.
type Service struct {
	paymentv1connect.UnimplementedPaymentServiceHandler
	deps Deps
}

var _ paymentv1connect.PaymentServiceHandler = (*Service)(nil)

// New service.
func New(deps Deps) *Service { return &Service{deps: deps} }

// bill is what is to be captured.
type bill struct {
	order    ident.OrderID
	customer ident.CustomerID
	amount   money.Amount
	token    string
}

// capture takes the money of a bill, once.
func (s *Service) capture(ctx context.Context, b bill) (Payment, error) {
	p, err := s.begin(ctx, b)
	if err != nil {
		return Payment{}, fmt.Errorf("capture %s: %w", b.order, err)
	}
	if p.State != Pending {
		return p, p.captureAnswer()
	}
	charge, err := s.deps.Network.Charge(ctx, cardnetwork.ChargeRequest{
		Key: string(p.OrderID), Reference: string(p.OrderID), Amount: p.Amount.Minor, Currency: p.Amount.Currency, Token: p.CardToken, Capture: true,
	})
	if errors.Is(err, cardnetwork.ErrUnknownOutcome) {
		charge, err = s.ask(ctx, p)
	}
	if err != nil {
		if code, refused := refusedCard(err); refused {
			charge, err = cardnetwork.Charge{Status: cardnetwork.Declined, DeclineCode: code}, nil
		}
	}
	if err != nil {
		return p, fmt.Errorf("capture %s: %w", b.order, err)
	}
	if p, err = s.learn(ctx, p, charge); err != nil {
		return p, err
	}
	return p, p.captureAnswer()
}

// ask the network what became of a payment. PAYMENT_UNKNOWN when it cannot tell.
func (s *Service) ask(ctx context.Context, p Payment) (cardnetwork.Charge, error) {
	charge, found, err := s.deps.Network.FindByKey(ctx, string(p.OrderID))
	if err != nil || !found {
		return cardnetwork.Charge{}, errUnknown()
	}
	return charge, nil
}

// refusedCard tells a request that the network will never take (an unknown token, say) from a fault of ours. A key that
// was used for something else is one: there is a charge then.
func refusedCard(err error) (code string, refused bool) {
	re, ok := errors.AsType[*cardnetwork.RequestError](err)
	if !ok || re.Code == "unexplained" || re.Code == cardnetwork.CodeKeyReused {
		return "", false
	}
	switch re.Status {
	case http.StatusBadRequest, http.StatusNotFound, http.StatusUnprocessableEntity:
		return re.Code, true
	default:
		return "", false
	}
}

// learn stores what the network told. A payment that was voided while its capture was in flight is refunded.
func (s *Service) learn(ctx context.Context, p Payment, charge cardnetwork.Charge) (Payment, error) {
	told := p
	told.ChargeID, told.DeclineCode = charge.ID, charge.DeclineCode
	switch charge.Status {
	case cardnetwork.Declined:
		told.State = Declined
	case cardnetwork.Captured:
		told.State = Captured
	case cardnetwork.Refunded:
		told.State = Refunded
	case cardnetwork.Authorized, cardnetwork.Voided:
		return p, fmt.Errorf("payment of %s: the network answers %s to a capture", p.OrderID, charge.Status)
	}
	now, err := s.settle(ctx, told)
	if err != nil {
		return p, fmt.Errorf("payment of %s: %w", p.OrderID, err)
	}
	if now.State == Voided && told.State == Captured {
		return s.giveBack(ctx, told)
	}
	return now, nil
}

// refund gives everything back, or closes a payment that took nothing.
func (s *Service) refund(ctx context.Context, customer ident.CustomerID, order ident.OrderID) (Payment, error) {
	p, err := s.beginRefund(ctx, customer, order)
	if err != nil {
		return p, fmt.Errorf("refund %s: %w", order, err)
	}
	if p.State == Pending {
		if p, err = s.resolve(ctx, p); err != nil {
			return p, err
		}
	}
	if p.State != Captured {
		return p, nil
	}
	return s.giveBack(ctx, p)
}

// resolve finds out what became of a payment whose capture was never answered. One that the network does not know of
// is voided, but only when no request for it can still be under way.
func (s *Service) resolve(ctx context.Context, p Payment) (Payment, error) {
	charge, found, err := s.deps.Network.FindByKey(ctx, string(p.OrderID))
	if err != nil {
		return p, fmt.Errorf("refund %s: %w: %w", p.OrderID, errUnknown(), err)
	}
	if found {
		return s.learn(ctx, p, charge)
	}
	if s.deps.Clock.Now().Before(p.UpdatedAt.Add(settleTime)) {
		return p, errUnknown()
	}
	void := p
	void.State = Voided
	return s.settle(ctx, void)
}

func (s *Service) giveBack(ctx context.Context, p Payment) (Payment, error) {
	_, err := s.deps.Network.Refund(ctx, cardnetwork.RefundRequest{Key: string(p.OrderID) + "/refund", ChargeID: p.ChargeID, Amount: p.Amount.Minor})
	if err != nil {
		return p, fmt.Errorf("refund %s: %w", p.OrderID, errors.Join(errUnknown(), err))
	}
	p.State = Refunded
	return p, s.recordRefund(ctx, p)
}
