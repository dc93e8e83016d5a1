package payment

import (
	"context"
	"fmt"

	"github.com/cellar-commerce/cellar/internal/cardnetwork"
	moneyv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/money/v1"
	paymentv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/payment/v1"
	"github.com/cellar-commerce/cellar/internal/ident"
	"github.com/cellar-commerce/cellar/internal/money"
	"github.com/cellar-commerce/cellar/internal/problem"
	"github.com/cellar-commerce/cellar/internal/session"
)

const (
	// maxTenders of a payment: each is locked, and a shopper with more gift cards pays twice.
	maxTenders = 5
	// maxID of what callers name: a capture, a refund, an issue, a credit; in characters.
	maxID = 100
	// maxReason in bytes: a sentence for the books.
	maxReason = 500
	// maxCredit of a gift card or a credit, in minor units: far above any honest one, far below what sums overflow at.
	maxCredit = 1_000_000_00
)

// Authorize implements PaymentService.
func (s *Service) Authorize(ctx context.Context, req *paymentv1.AuthorizeRequest) (*paymentv1.AuthorizeResponse, error) {
	b, err := s.bill(ctx, req.GetCustomerId(), req.GetOrderId(), req.GetAmount(), req.GetTenders(), "")
	if err != nil {
		return nil, err
	}
	b.hold = true
	p, err := s.pay(ctx, b)
	if err != nil {
		return nil, err
	}
	return &paymentv1.AuthorizeResponse{Payment: p.proto()}, nil
}

// Capture implements PaymentService.
func (s *Service) Capture(ctx context.Context, req *paymentv1.CaptureRequest) (*paymentv1.CaptureResponse, error) {
	if req.GetCaptureId() != "" {
		return s.capturePart(ctx, req)
	}
	b, err := s.bill(ctx, req.GetCustomerId(), req.GetOrderId(), req.GetAmount(), req.GetTenders(), req.GetCardToken())
	if err != nil {
		return nil, err
	}
	p, err := s.pay(ctx, b)
	if err != nil {
		return nil, err
	}
	return &paymentv1.CaptureResponse{Payment: p.proto()}, nil
}

func (s *Service) capturePart(ctx context.Context, req *paymentv1.CaptureRequest) (*paymentv1.CaptureResponse, error) {
	customer, order, err := s.owned(ctx, req.GetCustomerId(), req.GetOrderId())
	if err != nil {
		return nil, err
	}
	var v problem.Violations
	least := int64(1)
	if req.GetLast() {
		least = 0 // the last one may only let go of what is held
	}
	v.Check(req.GetAmount().GetMinorUnits() >= least, "amount", "must be more than nothing, unless it is the last")
	v.Check(len(req.GetAmount().GetCurrencyCode()) == 3, "amount.currency_code", "must be an ISO 4217 code")
	v.Check(isID(req.GetCaptureId()), "capture_id", fmt.Sprintf("must be 1 to %d visible characters", maxID))
	v.Check(req.GetCardToken() == "" && len(req.GetTenders()) == 0, "tenders", "must be empty: what is held is captured")
	if err := v.Err(); err != nil {
		return nil, err
	}
	p, err := s.move(ctx, part{order: order, customer: customer, kind: MoveCapture, id: req.GetCaptureId(), amount: money.FromProto(req.GetAmount()), last: req.GetLast()})
	if err != nil {
		return nil, err
	}
	return &paymentv1.CaptureResponse{Payment: p.proto()}, nil
}

// Refund implements PaymentService.
func (s *Service) Refund(ctx context.Context, req *paymentv1.RefundRequest) (*paymentv1.RefundResponse, error) {
	customer, order, err := s.owned(ctx, req.GetCustomerId(), req.GetOrderId())
	if err != nil {
		return nil, err
	}
	var p Payment
	if req.GetRefundId() == "" {
		p, err = s.refund(ctx, customer, order)
	} else {
		var v problem.Violations
		v.Check(req.GetAmount().GetMinorUnits() > 0, "amount", "must be more than nothing")
		v.Check(len(req.GetAmount().GetCurrencyCode()) == 3, "amount.currency_code", "must be an ISO 4217 code")
		v.Check(isID(req.GetRefundId()), "refund_id", fmt.Sprintf("must be 1 to %d visible characters", maxID))
		if err := v.Err(); err != nil {
			return nil, err
		}
		p, err = s.move(ctx, part{order: order, customer: customer, kind: MoveRefund, id: req.GetRefundId(), amount: money.FromProto(req.GetAmount())})
	}
	if err != nil {
		return nil, err
	}
	return &paymentv1.RefundResponse{Payment: p.proto()}, nil
}

// GetPayment implements PaymentService.
func (s *Service) GetPayment(ctx context.Context, req *paymentv1.GetPaymentRequest) (*paymentv1.GetPaymentResponse, error) {
	customer, order, err := s.owned(ctx, req.GetCustomerId(), req.GetOrderId())
	if err != nil {
		return nil, err
	}
	p, err := s.get(ctx, customer, order)
	if err != nil {
		return nil, err
	}
	return &paymentv1.GetPaymentResponse{Payment: p.proto()}, nil
}

// Refresh implements PaymentService.
func (s *Service) Refresh(ctx context.Context, req *paymentv1.RefreshRequest) (*paymentv1.RefreshResponse, error) {
	customer, order, err := s.owned(ctx, req.GetCustomerId(), req.GetOrderId())
	if err != nil {
		return nil, err
	}
	p, err := s.refresh(ctx, customer, order)
	if err != nil {
		return nil, err
	}
	return &paymentv1.RefreshResponse{Payment: p.proto()}, nil
}

// TakeEvent implements PaymentService.
func (s *Service) TakeEvent(ctx context.Context, req *paymentv1.TakeEventRequest) (*paymentv1.TakeEventResponse, error) {
	customer, order, err := s.owned(ctx, req.GetCustomerId(), req.GetOrderId())
	if err != nil {
		return nil, err
	}
	p, err := s.told(ctx, customer, order, req.GetKey(), cardnetwork.Charge{
		ID: req.GetChargeId(), Status: cardnetwork.Status(req.GetStatus()), DeclineCode: req.GetDeclineCode(),
	})
	if err != nil {
		return nil, err
	}
	return &paymentv1.TakeEventResponse{Payment: p.proto()}, nil
}

// IssueGiftCard implements PaymentService.
func (s *Service) IssueGiftCard(ctx context.Context, req *paymentv1.IssueGiftCardRequest) (*paymentv1.IssueGiftCardResponse, error) {
	var v problem.Violations
	region := ident.Region(req.GetRegion())
	if region == "" {
		region = ident.Regions()[0] // always the same one: the region is part of what makes an issue unique
	}
	ring, known := region.Code()
	v.Check(known, "region", "must be a region with a ring")
	v.Check(isID(req.GetIssueId()), "issue_id", fmt.Sprintf("must be 1 to %d visible characters", maxID))
	checkCredit(&v, req.GetAmount())
	if err := v.Err(); err != nil {
		return nil, err
	}
	card, err := s.issue(ctx, ring, req.GetIssueId(), money.FromProto(req.GetAmount()))
	if err != nil {
		return nil, err
	}
	return &paymentv1.IssueGiftCardResponse{GiftCard: card.proto()}, nil
}

// GetGiftCard implements PaymentService.
func (s *Service) GetGiftCard(ctx context.Context, req *paymentv1.GetGiftCardRequest) (*paymentv1.GetGiftCardResponse, error) {
	card, err := s.giftCard(ctx, req.GetCode())
	if err != nil {
		return nil, err
	}
	return &paymentv1.GetGiftCardResponse{GiftCard: card.proto()}, nil
}

// GetWallet implements PaymentService.
func (s *Service) GetWallet(ctx context.Context, _ *paymentv1.GetWalletRequest) (*paymentv1.GetWalletResponse, error) {
	who, err := session.Require(ctx)
	if err != nil {
		return nil, err
	}
	balances, err := s.wallet(ctx, who.CustomerID)
	if err != nil {
		return nil, err
	}
	out := &paymentv1.GetWalletResponse{}
	for _, b := range balances {
		out.Balances = append(out.Balances, b.Proto())
	}
	return out, nil
}

// CreditWallet implements PaymentService.
func (s *Service) CreditWallet(ctx context.Context, req *paymentv1.CreditWalletRequest) (*paymentv1.CreditWalletResponse, error) {
	customer, err := ident.Parse(req.GetCustomerId())
	if err != nil {
		return nil, problem.Wrap(err, problem.Invalid, "MALFORMED_CUSTOMER_ID", "the customer id is malformed")
	}
	if err := s.deps.Fence.Check(ctx, customer); err != nil {
		return nil, err
	}
	var v problem.Violations
	v.Check(isID(req.GetCreditId()), "credit_id", fmt.Sprintf("must be 1 to %d visible characters", maxID))
	v.Check(len(req.GetReason()) <= maxReason, "reason", fmt.Sprintf("must be at most %d bytes", maxReason))
	checkCredit(&v, req.GetAmount())
	if err := v.Err(); err != nil {
		return nil, err
	}
	balance, err := s.credit(ctx, customer, req.GetCreditId(), money.FromProto(req.GetAmount()), req.GetReason())
	if err != nil {
		return nil, err
	}
	return &paymentv1.CreditWalletResponse{Balance: balance.Proto()}, nil
}

func (c GiftCard) proto() *paymentv1.GiftCard {
	return &paymentv1.GiftCard{Code: string(c.Code), Issued: c.Issued.Proto(), Balance: c.Balance.Proto()}
}

func checkCredit(v *problem.Violations, amount *moneyv1.Money) {
	v.Check(amount.GetMinorUnits() > 0 && amount.GetMinorUnits() <= maxCredit, "amount", fmt.Sprintf("must be 1 to %d minor units", maxCredit))
	v.Check(isCurrency(amount.GetCurrencyCode()), "amount.currency_code", "must be an ISO 4217 code")
}

func isCurrency(s string) bool {
	if len(s) != 3 {
		return false
	}
	for _, c := range []byte(s) {
		if c < 'A' || c > 'Z' {
			return false
		}
	}
	return true
}

// isID tells what can be part of a provider's idempotency key.
func isID(s string) bool {
	if s == "" || len(s) > maxID {
		return false
	}
	for _, c := range []byte(s) {
		if c <= ' ' || c > '~' {
			return false
		}
	}
	return true
}

// bill reads what is to be paid. A card token is short for one tender, a card.
func (s *Service) bill(ctx context.Context, customerID, orderID string, amount *moneyv1.Money, tenders []*paymentv1.Tender, token string) (bill, error) {
	customer, order, err := s.owned(ctx, customerID, orderID)
	if err != nil {
		return bill{}, err
	}
	b := bill{order: order, customer: customer, amount: money.FromProto(amount), token: token}
	var v problem.Violations
	v.Check(amount.GetMinorUnits() > 0, "amount", "must be more than nothing")
	v.Check(len(amount.GetCurrencyCode()) == 3, "amount.currency_code", "must be an ISO 4217 code")
	v.Check(token == "" || len(tenders) == 0, "card_token", "must be empty when there are tenders")
	v.Check(token != "" || len(tenders) > 0, "card_token", "must not be empty")
	v.Check(len(tenders) <= maxTenders, "tenders", fmt.Sprintf("must be at most %d", maxTenders))
	if err := v.Err(); err != nil {
		return bill{}, err
	}
	seen := map[account]bool{}
	for i, t := range tenders {
		b.read(&v, fmt.Sprintf("tenders[%d]", i), t, seen)
	}
	return b, v.Err()
}

// read one tender into the bill.
func (b *bill) read(v *problem.Violations, field string, t *paymentv1.Tender, seen map[account]bool) {
	v.Check(b.token == "", field, "must come before the card, which bears the rest")
	src := source{}
	if most := t.GetAtMost(); most != nil {
		v.Check(most.GetMinorUnits() > 0 && most.GetCurrencyCode() == b.amount.Currency, field+".at_most", "must be more than nothing, in the payment's currency")
		src.atMost = most.GetMinorUnits()
	}
	switch means := t.GetMeans().(type) {
	case *paymentv1.Tender_CardToken:
		v.Check(means.CardToken != "", field+".card_token", "must not be empty")
		v.Check(t.GetAtMost() == nil, field+".at_most", "must be absent: the card bears the rest")
		b.token = means.CardToken
		return
	case *paymentv1.Tender_GiftCardCode:
		src.account, _ = parseCode(means.GiftCardCode) // a malformed one is refused as an unknown one is
	case *paymentv1.Tender_Wallet:
		v.Check(means.Wallet, field+".wallet", "must be true")
		src.account = walletOf(b.customer)
	default:
		v.Check(false, field, "must name a means of paying")
		return
	}
	v.Check(src.account == (account{}) || !seen[src.account], field, "must not be named twice")
	seen[src.account] = true
	b.sources = append(b.sources, src)
}

// owned reads the ids of a request, and refuses when another cell owns the customer.
func (s *Service) owned(ctx context.Context, customerID, orderID string) (ident.CustomerID, ident.OrderID, error) {
	customer, err := ident.Parse(customerID)
	if err != nil {
		return "", "", problem.Wrap(err, problem.Invalid, "MALFORMED_CUSTOMER_ID", "the customer id is malformed")
	}
	order, err := ident.ParseOrder(orderID)
	if err != nil || order.Ring() != customer.Ring() {
		return "", "", problem.New(problem.Invalid, "MALFORMED_ORDER_ID", "the order id is malformed or of another ring")
	}
	return customer, order, s.deps.Fence.Check(ctx, customer)
}
