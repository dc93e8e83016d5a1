package fence

import (
	"context"

	problemv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/problem/v1"
	"github.com/cellar-commerce/cellar/internal/ident"
	"github.com/cellar-commerce/cellar/internal/problem"
)

// Owned reads the customer of a request between services, and refuses when another cell serves it: MALFORMED_CUSTOMER_ID,
// WRONG_CELL.
func Owned(ctx context.Context, f Fence, customerID string) (ident.CustomerID, error) {
	customer, err := parse(customerID)
	if err != nil {
		return "", err
	}
	return customer, f.Check(ctx, customer)
}

// OwnedOrder is Owned for a request about an order, which must be of the customer's ring: MALFORMED_ORDER_ID too.
func OwnedOrder(ctx context.Context, f Fence, customerID, orderID string) (ident.CustomerID, ident.OrderID, error) {
	customer, err := parse(customerID)
	if err != nil {
		return "", "", err
	}
	order, err := ident.ParseOrder(orderID)
	if err != nil || order.Ring() != customer.Ring() {
		return "", "", problem.New(problem.Invalid, "MALFORMED_ORDER_ID", "the order id is malformed or of another ring")
	}
	return customer, order, f.Check(ctx, customer)
}

func parse(id string) (ident.CustomerID, error) {
	customer, err := ident.Parse(id)
	if err != nil {
		return "", problem.Wrap(err, problem.Invalid, "MALFORMED_CUSTOMER_ID", "the customer id is malformed")
	}
	return customer, nil
}

// Elsewhere tells which cell a redirect names, if it is another than this one: a command goes on there.
func Elsewhere(err error, this string) (cell string, elsewhere bool) {
	wrong, ok := problem.Detail[*problemv1.WrongCell](err)
	return wrong.GetOwner(), ok && wrong.GetOwner() != "" && wrong.GetOwner() != this
}
