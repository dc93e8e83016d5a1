package payment

import (
	"context"

	paymentv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/payment/v1"
	"github.com/cellar-commerce/cellar/internal/ident"
	"github.com/cellar-commerce/cellar/internal/money"
	"github.com/cellar-commerce/cellar/internal/problem"
)

// Capture implements PaymentService.
func (s *Service) Capture(ctx context.Context, req *paymentv1.CaptureRequest) (*paymentv1.CaptureResponse, error) {
	customer, order, err := s.owned(req.GetCustomerId(), req.GetOrderId())
	if err != nil {
		return nil, err
	}
	var v problem.Violations
	v.Check(req.GetAmount().GetMinorUnits() > 0, "amount", "must be more than nothing")
	v.Check(len(req.GetAmount().GetCurrencyCode()) == 3, "amount.currency_code", "must be an ISO 4217 code")
	v.Check(req.GetCardToken() != "", "card_token", "must not be empty")
	if err := v.Err(); err != nil {
		return nil, err
	}
	p, err := s.capture(ctx, bill{order: order, customer: customer, amount: money.FromProto(req.GetAmount()), token: req.GetCardToken()})
	if err != nil {
		return nil, err
	}
	return &paymentv1.CaptureResponse{Payment: p.proto()}, nil
}

// Refund implements PaymentService.
func (s *Service) Refund(ctx context.Context, req *paymentv1.RefundRequest) (*paymentv1.RefundResponse, error) {
	customer, order, err := s.owned(req.GetCustomerId(), req.GetOrderId())
	if err != nil {
		return nil, err
	}
	p, err := s.refund(ctx, customer, order)
	if err != nil {
		return nil, err
	}
	return &paymentv1.RefundResponse{Payment: p.proto()}, nil
}

// GetPayment implements PaymentService.
func (s *Service) GetPayment(ctx context.Context, req *paymentv1.GetPaymentRequest) (*paymentv1.GetPaymentResponse, error) {
	customer, order, err := s.owned(req.GetCustomerId(), req.GetOrderId())
	if err != nil {
		return nil, err
	}
	p, err := s.get(ctx, customer, order)
	if err != nil {
		return nil, err
	}
	return &paymentv1.GetPaymentResponse{Payment: p.proto()}, nil
}

// owned reads the ids of a request, and refuses when another cell owns the customer.
func (s *Service) owned(customerID, orderID string) (ident.CustomerID, ident.OrderID, error) {
	customer, err := ident.Parse(customerID)
	if err != nil {
		return "", "", problem.Wrap(err, problem.Invalid, "MALFORMED_CUSTOMER_ID", "the customer id is malformed")
	}
	order, err := ident.ParseOrder(orderID)
	if err != nil || order.Ring() != customer.Ring() {
		return "", "", problem.New(problem.Invalid, "MALFORMED_ORDER_ID", "the order id is malformed or of another ring")
	}
	return customer, order, s.deps.Fence.Check(customer)
}
