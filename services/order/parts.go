package order

import (
	"github.com/cellar-commerce/cellar/internal/fence"
	orderv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/order/v1"
	"github.com/cellar-commerce/cellar/internal/ident"
)

// CreatePart is CreateOrder for a transaction of the same customer that is still to come. The order says when it is placed.
func (s *Service) CreatePart(o *orderv1.Order) (fence.Part, error) {
	if err := validate(o); err != nil {
		return fence.Part{}, err
	}
	return s.creation(ident.OrderID(o.GetOrderId()), ident.CustomerID(o.GetCustomerId()), o)
}

// PaidPart is MarkPaid for a transaction of the same customer that is still to come, and gives the order as it stands then.
// It is for an order that was made of agreed by CreatePart, and that nothing has happened to since: the transaction of any
// other is refused. Whoever commits it wakes the relay of events.
func (s *Service) PaidPart(agreed *orderv1.Order, req *orderv1.MarkPaidRequest) (fence.Part, *orderv1.Order, error) {
	if err := validParcels(req); err != nil {
		return fence.Part{}, nil, err
	}
	written, err := s.justPaid(ident.CustomerID(req.GetCustomerId()), ident.OrderID(req.GetOrderId()), req)
	if err != nil {
		return fence.Part{}, nil, err
	}
	written.agreed, written.known = agreed, true
	o, err := written.show()
	return opPay.Part(written), o, err
}
