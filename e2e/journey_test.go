//go:build e2e

package e2e

import (
	"io"
	"net/http"
	"strings"
	"testing"

	accountv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/account/v1"
	cartv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/cart/v1"
	orderv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/order/v1"
	searchv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/search/v1"
	"github.com/cellar-commerce/cellar/internal/ident"
	"github.com/cellar-commerce/cellar/internal/problem"
)

func TestAGuestsOrderReachesTheDoorFromEveryRegion(t *testing.T) {
	for n := range routers() {
		c := newClient(t, router(n))
		found, err := c.search().Search(t.Context(), &searchv1.SearchRequest{Query: "headphones"})
		if err != nil || len(found.GetHits()) == 0 {
			t.Fatalf("search at %s: %d hits, %v", c.router, len(found.GetHits()), err)
		}
		o := c.buy()
		if o.GetStatus() != orderv1.Status_STATUS_PAID || o.GetTotal().GetMinorUnits() <= 0 {
			t.Errorf("answered as %v, total %v", o.GetStatus(), o.GetTotal())
		}
		shipped := c.awaitShipped(o.GetOrderId())
		for _, p := range shipped.GetParcels() {
			if p.GetTrackingNumber() == "" || p.GetShippedAt() == nil {
				t.Errorf("a parcel without a tracking number: %v", p)
			}
		}
		cart, err := c.carts().GetCart(t.Context(), &cartv1.GetCartRequest{})
		if err != nil || len(cart.GetCart().GetLines()) != 0 {
			t.Errorf("the cart still has %v, %v", cart.GetCart().GetLines(), err)
		}
	}
}

func TestACustomerIsServedThroughTheRouterOfAnyRegion(t *testing.T) {
	c := newClient(t, router(2))
	c.add(c.plentiful(), 2)
	guest := c.token
	email := ident.NewToken() + "@shoppers.example"
	up, err := c.accounts().SignUp(t.Context(), &accountv1.SignUpRequest{Email: email, Password: "a long password", Name: "Ada"})
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(up.GetSession().GetCustomerId(), "c-euc1-") {
		t.Errorf("signed up in Europe, homed elsewhere: %s", up.GetSession().GetCustomerId())
	}
	for n := range routers() {
		// Every request may begin at any cell of the region, and finds its owner elsewhere.
		away := newClient(t, router(n))
		in, err := away.accounts().SignIn(t.Context(), &accountv1.SignInRequest{Email: strings.ToUpper(email), Password: "a long password"})
		if err != nil {
			t.Fatal(err)
		}
		away.token = in.GetSession().GetToken()
		cart, err := away.carts().GetCart(t.Context(), &cartv1.GetCartRequest{})
		if err != nil || len(cart.GetCart().GetLines()) != 1 || cart.GetCart().GetLines()[0].GetQuantity() != 2 {
			t.Errorf("through router %d the cart is %v, %v", n, cart.GetCart(), err)
		}
	}
	if guest == "" {
		t.Error("a guest got no session")
	}
}

func TestWhatIsRefusedHasNoEffect(t *testing.T) {
	c := newClient(t, router(0))
	c.add(c.plentiful(), 1)
	quote := c.quote()
	_, err := c.place(quote.GetQuoteToken(), "tok_declined", ident.NewToken())
	if !problem.Is(err, "PAYMENT_DECLINED") {
		t.Errorf("a declined card: %v", err)
	}
	o, err := c.place(quote.GetQuoteToken(), "tok_visa", ident.NewToken())
	if err != nil {
		t.Fatalf("with another card: %v", err)
	}
	if _, err = c.place(quote.GetQuoteToken(), "tok_visa", ident.NewToken()); !problem.Is(err, "QUOTE_ALREADY_USED") {
		t.Errorf("a quote used twice: %v", err)
	}
	if _, err = c.place("x."+quote.GetQuoteToken(), "tok_visa", ident.NewToken()); !problem.Is(err, "MALFORMED_QUOTE") {
		t.Errorf("a forged quote: %v", err)
	}
	if _, err = c.place(quote.GetQuoteToken(), "tok_visa", ""); !problem.Is(err, "IDEMPOTENCY_KEY_MISSING") {
		t.Errorf("no key: %v", err)
	}
	stranger := newClient(t, router(0))
	stranger.add(stranger.plentiful(), 1)
	if _, err = stranger.orders().GetOrder(t.Context(), &orderv1.GetOrderRequest{OrderId: o.GetOrderId()}); !problem.Is(err, "UNKNOWN_ORDER") {
		t.Errorf("somebody else's order: %v", err)
	}
	stranger.token = "v1.nonsense"
	if _, err = stranger.carts().GetCart(t.Context(), &cartv1.GetCartRequest{}); !problem.Is(err, "MALFORMED_SESSION") {
		t.Errorf("a malformed session: %v", err)
	}
}

func TestInternalAndAdminMethodsDoNotExistOutside(t *testing.T) {
	for _, method := range []string{"cellar.inventory.v1.InventoryService/Reserve", "cellar.payment.v1.PaymentService/Refund", "cellar.catalog.v1.CatalogService/SetPrice", "cellar.order.v1.OrderService/MarkPaid"} {
		resp, err := browser.Post(router(0)+"/"+method, "application/json", strings.NewReader("{}"))
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		if resp.StatusCode != http.StatusNotFound || !strings.Contains(string(body), "not_found") {
			t.Errorf("%s: %d %s", method, resp.StatusCode, body)
		}
	}
	for _, cell := range running.Layout().Cells {
		resp, err := browser.Post("http://"+cell.Internal+"/cellar.payment.v1.PaymentService/Refund", "application/json", strings.NewReader("{}"))
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != http.StatusUnauthorized {
			t.Errorf("%s lets a stranger in: %d", cell.ID, resp.StatusCode)
		}
	}
}
