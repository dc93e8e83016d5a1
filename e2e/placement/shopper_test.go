package placement

import (
	"context"
	"fmt"
	"strings"
	"time"

	"connectrpc.com/connect"

	cartv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/cart/v1"
	checkoutv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/checkout/v1"
	orderv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/order/v1"
	postalv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/postal/v1"
	"github.com/cellar-commerce/cellar/internal/ident"
	"github.com/cellar-commerce/cellar/internal/problem"
	"github.com/cellar-commerce/cellar/internal/session"
)

// shopper at a cell. The same person may go on at another.
type shopper struct {
	*cell
	id ident.CustomerID
}

func (c *cell) shopper() shopper { return shopper{c, ident.NewCustomer("use1")} }

func (s shopper) at(c *cell) shopper { return shopper{c, s.id} }

func (s shopper) context() context.Context {
	return session.With(context.Background(), session.Principal{CustomerID: s.id})
}

var newYork = &postalv1.PostalAddress{
	Recipient: "R. Reader", Lines: []string{"1 Main St"}, Locality: "New York", AdministrativeArea: "NY", PostalCode: "10001", RegionCode: "US",
}

func (s shopper) add(t reporter, sku string, units int64) {
	t.Helper()
	_, err := s.carts.AddItem(s.context(), &cartv1.AddItemRequest{Sku: sku, Quantity: units})
	must(t, err)
}

// cart as "sku×units", in order.
func (s shopper) cart(t reporter) string {
	t.Helper()
	resp, err := s.carts.GetCart(s.context(), &cartv1.GetCartRequest{})
	must(t, err)
	var lines []string
	for _, l := range resp.GetCart().GetLines() {
		lines = append(lines, fmt.Sprintf("%s×%d", l.GetSku(), l.GetQuantity()))
	}
	return strings.Join(lines, " ")
}

func (s shopper) tryQuote() (*checkoutv1.QuoteResponse, error) {
	return s.client.Quote(s.context(), &checkoutv1.QuoteRequest{Destination: &checkoutv1.QuoteRequest_Address{Address: newYork}})
}

func (s shopper) quote(t reporter) *checkoutv1.QuoteResponse {
	t.Helper()
	q, err := s.tryQuote()
	must(t, err)
	return q
}

// quoteOf a cart that is filled with one product.
func (s shopper) quoteOf(t reporter, sku string, units int64) *checkoutv1.QuoteResponse {
	t.Helper()
	s.add(t, sku, units)
	return s.quote(t)
}

const goodCard = "tok_visa"

func payBy(q *checkoutv1.QuoteResponse, card string) *checkoutv1.PlaceOrderRequest {
	return &checkoutv1.PlaceOrderRequest{QuoteToken: q.GetQuoteToken(), Payment: &checkoutv1.PlaceOrderRequest_CardToken{CardToken: card}}
}

// place an order under a key; an empty one is not sent.
func (s shopper) place(key string, req *checkoutv1.PlaceOrderRequest) (*orderv1.Order, error) {
	return s.placeWithin(0, key, req)
}

// placeWithin is place by a client who waits for so long; for ever when that is 0.
func (s shopper) placeWithin(patience time.Duration, key string, req *checkoutv1.PlaceOrderRequest) (*orderv1.Order, error) {
	waiting := s.context()
	if patience > 0 {
		var cancel context.CancelFunc
		waiting, cancel = context.WithTimeout(waiting, patience)
		defer cancel()
	}
	ctx, info := connect.NewClientContext(waiting)
	if key != "" {
		info.RequestHeader().Set("Idempotency-Key", key)
	}
	resp, err := s.client.PlaceOrder(ctx, req)
	return resp.GetOrder(), err
}

func (s shopper) mustPlace(t reporter, key string, req *checkoutv1.PlaceOrderRequest) *orderv1.Order {
	t.Helper()
	o, err := s.place(key, req)
	if err != nil {
		t.Fatalf("the order is refused: %v", err)
	}
	if o.GetStatus() != orderv1.Status_STATUS_PAID {
		t.Fatalf("the order is answered as %v", o.GetStatus())
	}
	return o
}

// checkoutState as "PLACED <order>", or with the reason of the failure.
func (s shopper) checkoutState(t reporter, key string) (state, order string) {
	t.Helper()
	resp, err := s.client.GetCheckout(s.context(), &checkoutv1.GetCheckoutRequest{IdempotencyKey: key})
	if problem.Is(err, "UNKNOWN_CHECKOUT") {
		return "UNKNOWN", ""
	}
	must(t, err)
	state = strings.TrimPrefix(resp.GetState().String(), "STATE_")
	return strings.TrimSpace(state + " " + resp.GetFailureReason()), resp.GetOrderId()
}

// status of an order as its customer sees it.
func (s shopper) status(t reporter, id string) (orderv1.Status, string) {
	t.Helper()
	resp, err := s.orders.GetOrder(s.context(), &orderv1.GetOrderRequest{OrderId: id})
	must(t, err)
	return resp.GetOrder().GetStatus(), resp.GetOrder().GetFailureReason()
}

func refused(t reporter, err error, kind problem.Kind, reason string) {
	t.Helper()
	if problem.KindOf(err) != kind || !problem.Is(err, reason) {
		t.Fatalf("got %v, want %s", err, reason)
	}
}
