package payment

import (
	"time"

	paymentv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/payment/v1"
	problemv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/problem/v1"
	"github.com/cellar-commerce/cellar/internal/ident"
	"github.com/cellar-commerce/cellar/internal/money"
	"github.com/cellar-commerce/cellar/internal/problem"
)

// State of a payment, as stored; see the package comment.
type State string

// The states.
const (
	Pending  State = "PENDING"
	Captured State = "CAPTURED"
	Declined State = "DECLINED"
	Refunded State = "REFUNDED"
	Voided   State = "VOIDED"
)

var stateProto = map[State]paymentv1.State{
	Pending:  paymentv1.State_STATE_PENDING,
	Captured: paymentv1.State_STATE_CAPTURED,
	Declined: paymentv1.State_STATE_DECLINED,
	Refunded: paymentv1.State_STATE_REFUNDED,
	Voided:   paymentv1.State_STATE_VOIDED,
}

// Payment of one order.
type Payment struct {
	OrderID     ident.OrderID
	CustomerID  ident.CustomerID
	State       State
	Amount      money.Amount
	CardToken   string
	ChargeID    string
	DeclineCode string
	// UpdatedAt is the last change, or the last time the network was asked for the money.
	UpdatedAt time.Time
}

// settleTime after which a charge that the network does not know of will never exist: longer than any request to it
// lives (the client gives up after 5 s, the network after 10 s).
const settleTime = 20 * time.Second

func (p Payment) proto() *paymentv1.Payment {
	return &paymentv1.Payment{OrderId: string(p.OrderID), State: stateProto[p.State], Amount: p.Amount.Proto(), ChargeId: p.ChargeID, DeclineCode: p.DeclineCode}
}

// captureAnswer is what a caller of Capture hears for a state that is known.
func (p Payment) captureAnswer() error {
	switch p.State {
	case Captured:
		return nil
	case Declined:
		return problem.New(problem.Precondition, "PAYMENT_DECLINED", "the card was declined; try another", &problemv1.Declined{Code: p.DeclineCode})
	case Refunded, Voided:
		return problem.New(problem.Precondition, "PAYMENT_CLOSED", "the payment of this order is closed")
	case Pending:
		return errUnknown()
	}
	return errUnknown()
}

func errUnknown() error {
	return problem.New(problem.Unavailable, "PAYMENT_UNKNOWN", "the card network has not told yet what became of the payment")
}
