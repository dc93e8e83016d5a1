//go:build e2e

package e2e

import (
	"context"
	"net/http"
	"testing"
	"time"

	"connectrpc.com/connect"

	"github.com/cellar-commerce/cellar/internal/gen/cellar/account/v1/accountv1connect"
	cartv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/cart/v1"
	"github.com/cellar-commerce/cellar/internal/gen/cellar/cart/v1/cartv1connect"
	checkoutv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/checkout/v1"
	"github.com/cellar-commerce/cellar/internal/gen/cellar/checkout/v1/checkoutv1connect"
	inventoryv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/inventory/v1"
	"github.com/cellar-commerce/cellar/internal/gen/cellar/inventory/v1/inventoryv1connect"
	orderv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/order/v1"
	"github.com/cellar-commerce/cellar/internal/gen/cellar/order/v1/orderv1connect"
	postalv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/postal/v1"
	"github.com/cellar-commerce/cellar/internal/gen/cellar/search/v1/searchv1connect"
	"github.com/cellar-commerce/cellar/internal/ident"
	"github.com/cellar-commerce/cellar/internal/seed"
	"github.com/cellar-commerce/cellar/internal/session"
)

// client is one shopper's browser.
type client struct {
	t      *testing.T
	router string
	token  string
}

func newClient(t *testing.T, router string) *client { return &client{t: t, router: router} }

var browser = &http.Client{Timeout: 20 * time.Second}

func (c *client) options() connect.ClientOption {
	return connect.WithInterceptors(connect.UnaryInterceptorFunc(func(next connect.UnaryFunc) connect.UnaryFunc {
		return func(ctx context.Context, req connect.AnyRequest) (connect.AnyResponse, error) {
			if c.token != "" {
				req.Header().Set("Authorization", "Bearer "+c.token)
			}
			resp, err := next(ctx, req)
			if err == nil && resp.Header().Get(session.Header) != "" {
				c.token = resp.Header().Get(session.Header)
			}
			return resp, err
		}
	}))
}

func (c *client) carts() cartv1connect.CartServiceClient {
	return cartv1connect.NewCartServiceClient(browser, c.router, c.options())
}

func (c *client) checkouts() checkoutv1connect.CheckoutServiceClient {
	return checkoutv1connect.NewCheckoutServiceClient(browser, c.router, c.options())
}

func (c *client) orders() orderv1connect.OrderServiceClient {
	return orderv1connect.NewOrderServiceClient(browser, c.router, c.options())
}

func (c *client) accounts() accountv1connect.AccountServiceClient {
	return accountv1connect.NewAccountServiceClient(browser, c.router, c.options())
}

func (c *client) search() searchv1connect.SearchServiceClient {
	return searchv1connect.NewSearchServiceClient(browser, c.router, c.options())
}

func (c *client) stock() inventoryv1connect.InventoryServiceClient {
	return inventoryv1connect.NewInventoryServiceClient(browser, c.router, c.options())
}

// plentiful is the SKU of a product that lies in many centres.
func (c *client) plentiful() string {
	c.t.Helper()
	var skus []string
	for p := range seed.Products(100, 7) {
		skus = append(skus, p.GetSku())
	}
	resp, err := c.stock().GetAvailability(c.t.Context(), &inventoryv1.GetAvailabilityRequest{Skus: skus})
	if err != nil {
		c.t.Fatal(err)
	}
	best, most := "", int64(-1)
	for _, a := range resp.GetAvailabilities() {
		if a.GetAvailable() > most {
			best, most = a.GetSku(), a.GetAvailable()
		}
	}
	return best
}

func home() *postalv1.PostalAddress {
	return &postalv1.PostalAddress{Recipient: "A Shopper", Lines: []string{"1 Test St"}, Locality: "Boston", AdministrativeArea: "MA", PostalCode: "02108", RegionCode: "US"}
}

func (c *client) add(sku string, quantity int64) {
	c.t.Helper()
	if _, err := c.carts().AddItem(c.t.Context(), &cartv1.AddItemRequest{Sku: sku, Quantity: quantity}); err != nil {
		c.t.Fatal(err)
	}
}

func (c *client) quote() *checkoutv1.QuoteResponse {
	c.t.Helper()
	resp, err := c.checkouts().Quote(c.t.Context(), &checkoutv1.QuoteRequest{Destination: &checkoutv1.QuoteRequest_Address{Address: home()}})
	if err != nil {
		c.t.Fatal(err)
	}
	return resp
}

func (c *client) place(quote, card, key string) (*orderv1.Order, error) {
	ctx, info := connect.NewClientContext(c.t.Context())
	info.RequestHeader().Set("Idempotency-Key", key)
	resp, err := c.checkouts().PlaceOrder(ctx, &checkoutv1.PlaceOrderRequest{QuoteToken: quote, Payment: &checkoutv1.PlaceOrderRequest_CardToken{CardToken: card}})
	return resp.GetOrder(), err
}

// buy something, whatever it is.
func (c *client) buy() *orderv1.Order {
	c.t.Helper()
	c.add(c.plentiful(), 1)
	o, err := c.place(c.quote().GetQuoteToken(), "tok_visa", ident.NewToken())
	if err != nil {
		c.t.Fatal(err)
	}
	return o
}

func (c *client) order(id string) *orderv1.Order {
	c.t.Helper()
	resp, err := c.orders().GetOrder(c.t.Context(), &orderv1.GetOrderRequest{OrderId: id})
	if err != nil {
		c.t.Fatal(err)
	}
	return resp.GetOrder()
}

func (c *client) awaitShipped(id string) *orderv1.Order {
	c.t.Helper()
	var o *orderv1.Order
	eventually(c.t, "the order shows SHIPPED", func() bool {
		o = c.order(id)
		return o.GetStatus() == orderv1.Status_STATUS_SHIPPED
	})
	return o
}
