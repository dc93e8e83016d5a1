package payment

import (
	"strings"
	"time"

	moneyv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/money/v1"
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
	Pending    State = "PENDING"
	Authorized State = "AUTHORIZED"
	Captured   State = "CAPTURED"
	Declined   State = "DECLINED"
	Refunded   State = "REFUNDED"
	Voided     State = "VOIDED"
)

var stateProto = map[State]paymentv1.State{
	Pending:    paymentv1.State_STATE_PENDING,
	Authorized: paymentv1.State_STATE_AUTHORIZED,
	Captured:   paymentv1.State_STATE_CAPTURED,
	Declined:   paymentv1.State_STATE_DECLINED,
	Refunded:   paymentv1.State_STATE_REFUNDED,
	Voided:     paymentv1.State_STATE_VOIDED,
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
	// Hold: the card is only authorized at first.
	Hold bool
	// Closing: everything is being given back, nothing new may begin.
	Closing bool
	// Credit is the part that gift cards and the wallet bear; a card bears the rest.
	Credit int64
	// Uncaptured is still held while Authorized, and was let go of afterwards.
	Uncaptured int64
	// Parts that were given back; all of it went back when Refunded.
	Parts int64
	// Tenders behind Credit; read only where they are needed.
	Tenders []Tender
}

// Tender is a gift card or wallet that bears a part of a payment. Amounts are in the payment's currency.
type Tender struct {
	Position int32
	Account  account
	// Amount drawn; 0 ≤ Refunded ≤ Captured, and Captured + Released ≤ Amount.
	Amount, Captured, Refunded, Released int64
}

// left of a tender at the order's payment.
func (t Tender) left() int64 { return t.Amount - t.Refunded - t.Released }

// settleTime after which a charge that the network does not know of will never exist: longer than any request to it
// lives (the client gives up after 5 s, the network after 10 s).
const settleTime = 20 * time.Second

// card is the part that the card bears.
func (p Payment) card() int64 { return p.Amount.Minor - p.Credit }

// captured so far.
func (p Payment) captured() int64 {
	switch p.State {
	case Authorized, Captured, Refunded:
		return p.Amount.Minor - p.Uncaptured
	case Pending, Declined, Voided:
	}
	return 0
}

// refunded of what was captured.
func (p Payment) refunded() int64 {
	if p.State == Refunded {
		return p.captured()
	}
	return p.Parts
}

// ended gives the state of a payment that holds nothing any more.
func (p Payment) ended() State {
	switch taken := p.Amount.Minor - p.Uncaptured; taken {
	case 0:
		return Voided
	case p.Parts:
		return Refunded
	default:
		return Captured
	}
}

func (p Payment) proto() *paymentv1.Payment {
	out := &paymentv1.Payment{
		OrderId: string(p.OrderID), State: stateProto[p.State], Amount: p.Amount.Proto(), ChargeId: p.ChargeID, DeclineCode: p.DeclineCode,
		Captured: p.share(p.captured()), Refunded: p.share(p.refunded()),
	}
	for _, t := range p.Tenders {
		out.Shares = append(out.Shares, &paymentv1.Share{Tender: t.Account.tender(), Amount: p.share(t.Amount)})
	}
	if card := p.card(); card > 0 && p.CardToken != "" {
		out.Shares = append(out.Shares, &paymentv1.Share{Tender: &paymentv1.Tender{Means: &paymentv1.Tender_CardToken{CardToken: p.CardToken}}, Amount: p.share(card)})
	}
	return out
}

func (p Payment) share(minor int64) *moneyv1.Money {
	return money.Amount{Minor: minor, Currency: p.Amount.Currency}.Proto()
}

// answer is what a caller of Capture or Authorize hears for a state that is known.
func (p Payment) answer() error {
	switch p.State {
	case Captured, Authorized:
		if p.Closing {
			return errClosed()
		}
		return nil
	case Declined:
		return declined(p.DeclineCode)
	case Refunded, Voided:
		return errClosed()
	case Pending:
		return errUnknown()
	}
	return errUnknown()
}

func declined(code string) error {
	return problem.New(problem.Precondition, "PAYMENT_DECLINED", "the payment was declined; try another means", &problemv1.Declined{Code: code})
}

func errClosed() error {
	return problem.New(problem.Precondition, "PAYMENT_CLOSED", "the payment of this order is closed")
}

func errUnknown() error {
	return problem.New(problem.Unavailable, "PAYMENT_UNKNOWN", "the card network has not told yet what became of the payment")
}

func errMismatch() error {
	return problem.New(problem.Precondition, "PAYMENT_MISMATCH", "this order is being paid with another amount")
}

func unknownPayment() error {
	return problem.New(problem.NotFound, "UNKNOWN_PAYMENT", "there is no payment of this order")
}

// Codes of declines that are ours, beside those of the network.
const (
	codeUnknownGiftCard = "unknown_gift_card"
	codeGiftCardEmpty   = "gift_card_empty"
	codeWalletEmpty     = "wallet_empty"
	codeInsufficient    = "insufficient_tenders"
)

// source is a gift card or a wallet as a bill names it.
type source struct {
	account account
	// atMost to draw; 0 for as much as is needed and there.
	atMost int64
}

// draw decides what each source gives, in their order, given what is on it (absent: no such source). A refusal means that
// nothing may be drawn at all.
func draw(need int64, hasCard bool, sources []source, balances map[account]int64) (taken []int64, refusal string) {
	taken = make([]int64, len(sources))
	for i, s := range sources {
		if need == 0 {
			break // what is not needed is not looked at either
		}
		balance, known := balances[s.account]
		switch wallet := s.account.isWallet(); {
		case !known && !wallet:
			return nil, codeUnknownGiftCard
		case balance == 0 && wallet:
			return nil, codeWalletEmpty
		case balance == 0:
			return nil, codeGiftCardEmpty
		}
		take := min(need, balance)
		if s.atMost > 0 {
			take = min(take, s.atMost)
		}
		taken[i], need = take, need-take
	}
	if need > 0 && !hasCard {
		return nil, codeInsufficient
	}
	return taken, ""
}

// MoveKind is what a move does.
type MoveKind string

// The kinds of move.
const (
	MoveCapture MoveKind = "CAPTURE"
	MoveRefund  MoveKind = "REFUND"
)

// MoveState of a move.
type MoveState string

// The states of a move.
const (
	MovePending MoveState = "PENDING"
	MoveDone    MoveState = "DONE"
	MoveRefused MoveState = "REFUSED"
)

// Move captures or refunds a part of a payment, once an id.
type Move struct {
	Kind   MoveKind
	ID     string
	State  MoveState
	Amount int64
	// Card is the card's share.
	Card int64
	// Last: what is still held after this capture is let go of.
	Last    bool
	Refusal string
}

// key of a move at the provider. Captures and refunds may have the same ids.
func (m Move) key(order ident.OrderID) string {
	return string(order) + "/" + strings.ToLower(string(m.Kind)) + "/" + m.ID
}

// Keys at the provider of what closes a payment.
func voidKey(order ident.OrderID) string   { return string(order) + "/void" }
func refundKey(order ident.OrderID) string { return string(order) + "/refund" }

// Moves of one payment.
type Moves []Move

// card sums what the card's shares of one kind come to: those done, and those pending too.
func (all Moves) card(kind MoveKind) (done, begun int64) {
	for _, m := range all {
		if m.Kind != kind || m.State == MoveRefused {
			continue
		}
		begun += m.Card
		if m.State == MoveDone {
			done += m.Card
		}
	}
	return done, begun
}

// pending moves of one kind, and what they come to.
func (all Moves) pending(kind MoveKind) (open Moves, sum int64) {
	for _, m := range all {
		if m.Kind == kind && m.State == MovePending {
			open, sum = append(open, m), sum+m.Amount
		}
	}
	return open, sum
}

// cardTaken is what was captured of the card's share, and what of that went back or is on its way back.
func (p Payment) cardTaken(moves Moves) (captured, back int64) {
	_, back = moves.card(MoveRefund)
	if !p.Hold {
		return p.card(), back
	}
	captured, _ = moves.card(MoveCapture)
	return captured, back
}

// cardHeld is what the card still holds for captures that have not begun.
func (p Payment) cardHeld(moves Moves) int64 {
	if !p.Hold || p.State != Authorized {
		return 0
	}
	_, begun := moves.card(MoveCapture)
	return p.card() - begun
}
