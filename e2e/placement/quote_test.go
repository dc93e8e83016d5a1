package placement

import (
	"strings"
	"testing"
	"time"

	cartv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/cart/v1"
	catalogv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/catalog/v1"
	checkoutv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/checkout/v1"
	orderv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/order/v1"
	problemv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/problem/v1"
	"github.com/cellar-commerce/cellar/internal/problem"
	"github.com/cellar-commerce/cellar/internal/sqldb/sqldbtest"
)

// untouched expects that a PlaceOrder that was refused at the door has left nothing behind: not even its key.
func (s shopper) untouched(t reporter, key string) {
	t.Helper()
	if state, _ := s.checkoutState(t, key); state != "UNKNOWN" {
		t.Errorf("GetCheckout tells %s", state)
	}
	if rows := sqldbtest.Texts(t, s.customers, "SELECT order_id FROM orders WHERE region = 'us-east-1' AND customer_id = $1", string(s.id)); len(rows) > 0 {
		t.Errorf("there are orders: %v", rows)
	}
	if rows := sqldbtest.Texts(t, s.customers, "SELECT method || ' ' || key FROM idempotency_keys WHERE region = 'us-east-1' AND customer_id = $1", string(s.id)); len(rows) > 0 {
		t.Errorf("there are keys: %v", rows)
	}
	s.consistent(t)
}

func TestAPriceThatHasChangedSinceTheQuote(t *testing.T) {
	w := newWorld(t)
	c := w.cell(t, "use1-a")
	t.Run("is charged less when it has fallen", func(t *testing.T) {
		s, sku := c.shopper(), w.stocked(t, map[string]int64{"ewr1": 9})
		q := s.quoteOf(t, sku, 1)
		w.reprice(t, sku, 15_00)
		o := s.mustPlace(t, "key-1", payBy(q, goodCard))
		if n, amount := w.captures(t, o.GetOrderId()); n != 1 || amount != 15_00+4_99 || o.GetLines()[0].GetUnitPrice().GetMinorUnits() != 15_00 {
			t.Errorf("captured %d times, %d in all; %v", n, amount, o)
		}
	})
	t.Run("never costs delivery that was free", func(t *testing.T) {
		s, sku := c.shopper(), w.stocked(t, map[string]int64{"ewr1": 9})
		w.reprice(t, sku, 35_00)
		q := s.quoteOf(t, sku, 1)
		w.reprice(t, sku, 34_00)
		if o := s.mustPlace(t, "key-1", payBy(q, goodCard)); q.GetTotal().GetMinorUnits() != 35_00 || o.GetTotal().GetMinorUnits() != 34_00 {
			t.Errorf("quoted %d, charged %d", q.GetTotal().GetMinorUnits(), o.GetTotal().GetMinorUnits())
		}
	})
	t.Run("needs a new quote when it has risen", func(t *testing.T) {
		s, dear, cheap := c.shopper(), w.stocked(t, map[string]int64{"ewr1": 9}), w.stocked(t, map[string]int64{"ewr1": 9})
		s.add(t, cheap, 1)
		q := s.quoteOf(t, dear, 1)
		w.reprice(t, dear, 20_00)
		w.reprice(t, cheap, 10_00)
		_, err := s.place("key-1", payBy(q, goodCard))
		refused(t, err, problem.Precondition, "PRICE_CHANGED")
		detail, _ := problem.Detail[*problemv1.PriceChanged](err)
		if ch := detail.GetChanges(); len(ch) != 1 || ch[0].GetSku() != dear || ch[0].GetQuoted().GetMinorUnits() != 19_99 || ch[0].GetCurrent().GetMinorUnits() != 20_00 {
			t.Errorf("told %v", detail)
		}
		s.untouched(t, "key-1")
		s.mustPlace(t, "key-1", payBy(s.quote(t), goodCard)) // the key has not been used
	})
	t.Run("is not asked of what is no longer sold", func(t *testing.T) {
		s, sku := c.shopper(), w.stocked(t, map[string]int64{"ewr1": 9})
		q := s.quoteOf(t, sku, 1)
		w.discontinue(t, sku)
		_, err := s.place("key-1", payBy(q, goodCard))
		refused(t, err, problem.Precondition, "NO_LONGER_SOLD")
		s.untouched(t, "key-1")
		_, err = s.tryQuote()
		refused(t, err, problem.Precondition, "CART_EMPTY")
	})
	t.Run("is refused while something that is withdrawn is in the cart", func(t *testing.T) {
		s, early, gone, sold := c.shopper(), c.shopper(), w.stocked(t, map[string]int64{"ewr1": 9}), w.stocked(t, map[string]int64{"ewr1": 9})
		before := early.mustPlace(t, "key-1", payBy(early.quoteOf(t, gone, 2), goodCard))
		s.add(t, sold, 1)
		q := s.quoteOf(t, gone, 1)
		_, err := w.catalog.WithdrawProduct(t.Context(), &catalogv1.WithdrawProductRequest{Sku: gone})
		must(t, err)
		_, err = s.place("key-1", payBy(q, goodCard))
		refused(t, err, problem.Precondition, "PRODUCT_WITHDRAWN")
		s.untouched(t, "key-1")
		_, err = s.tryQuote()
		refused(t, err, problem.Precondition, "PRODUCT_WITHDRAWN")
		_, err = s.carts.RemoveItem(s.context(), &cartv1.RemoveItemRequest{Sku: gone})
		must(t, err)
		if o := s.mustPlace(t, "key-1", payBy(s.quote(t), goodCard)); len(o.GetLines()) != 1 {
			t.Errorf("ordered are %v", o.GetLines())
		}
		if status, _ := early.status(t, before.GetOrderId()); status != orderv1.Status_STATUS_PAID { // what was ordered stays ordered
			t.Errorf("the order from before is %s", status)
		}
	})
	w.consistent(t)
}

func TestAQuoteIsGoodForHalfAnHourAndForWhomItWasMade(t *testing.T) {
	w := newWorld(t)
	c := w.cell(t, "use1-a")
	s, sku := c.shopper(), w.stocked(t, map[string]int64{"ewr1": 9})
	q := s.quoteOf(t, sku, 1)
	stranger := c.shopper()
	_, err := stranger.place("key-1", payBy(q, goodCard))
	refused(t, err, problem.Denied, "FOREIGN_QUOTE")
	stranger.untouched(t, "key-1")
	w.clock.Advance(30*time.Minute - time.Second)
	o := s.mustPlace(t, "key-1", payBy(q, goodCard))
	late := s.quoteOf(t, sku, 1)
	w.clock.Advance(30 * time.Minute)
	_, err = s.place("key-2", payBy(late, goodCard))
	refused(t, err, problem.Precondition, "QUOTE_EXPIRED")
	if state, _ := s.checkoutState(t, "key-2"); state != "UNKNOWN" {
		t.Errorf("GetCheckout tells %s", state)
	}
	if again := s.mustPlace(t, "key-1", payBy(q, goodCard)); again.GetOrderId() != o.GetOrderId() {
		t.Error("an answer is not given again once its quote has expired")
	}
	w.consistent(t)
}

func TestAQuoteThatIsNotOneOfOursIsRefused(t *testing.T) {
	w := newWorld(t)
	c := w.cell(t, "use1-a")
	s, sku := c.shopper(), w.stocked(t, map[string]int64{"ewr1": 9})
	token := s.quoteOf(t, sku, 1).GetQuoteToken()
	body, mac, _ := strings.Cut(token, ".")
	other := s.quoteOf(t, sku, 1).GetQuoteToken()
	_, otherMac, _ := strings.Cut(other, ".")
	for name, tampered := range map[string]string{
		"a body changed at its front": flip(body, 3) + "." + mac,
		"a body changed at its end":   flip(body, len(body)-1) + "." + mac,
		"a signature changed":         body + "." + flip(mac, 5),
		"the last bits of it changed": body + "." + flip(mac, len(mac)-1),
		"another quote's signature":   body + "." + otherMac,
		"no signature":                body,
		"an empty signature":          body + ".",
		"an empty body":               "." + mac,
		"a part too many":             token + "." + mac,
		"a line break":                body + "." + mac + "\n",
		"something else":              "give me a kettle",
	} {
		_, err := s.place("key-1", payBy(&checkoutv1.QuoteResponse{QuoteToken: tampered}, goodCard))
		if !problem.Is(err, "MALFORMED_QUOTE") || problem.KindOf(err) != problem.Invalid {
			t.Errorf("%s: got %v", name, err)
		}
	}
	for name, req := range map[string]*checkoutv1.PlaceOrderRequest{
		"no quote":           payBy(&checkoutv1.QuoteResponse{}, goodCard),
		"an endless quote":   payBy(&checkoutv1.QuoteResponse{QuoteToken: strings.Repeat("x", 256<<10+1)}, goodCard),
		"no card":            {QuoteToken: token},
		"no token of a card": payBy(&checkoutv1.QuoteResponse{QuoteToken: token}, "4242424242424242"),
	} {
		_, err := s.place("key-1", req)
		if !problem.Is(err, "INVALID_FIELDS") || problem.KindOf(err) != problem.Invalid {
			t.Errorf("%s: got %v", name, err)
		}
	}
	s.untouched(t, "key-1")
	if _, err := (shopper{c, "nobody"}).place("key-1", payBy(&checkoutv1.QuoteResponse{QuoteToken: token}, goodCard)); !problem.Is(err, "SESSION_REQUIRED") {
		t.Errorf("without a session: %v", err)
	}
}

// flip one character of a text in base 64 by its last bit.
func flip(s string, i int) string {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	return s[:i] + string(alphabet[strings.IndexByte(alphabet, s[i])^1]) + s[i+1:]
}

func TestAQuoteNeedsSomethingToSellAndSomewhereToSendIt(t *testing.T) {
	w := newWorld(t)
	c := w.cell(t, "use1-a")
	s := c.shopper()
	_, err := s.tryQuote()
	refused(t, err, problem.Precondition, "CART_EMPTY")
	s.add(t, w.product(t, 5), 1)
	for name, req := range map[string]*checkoutv1.QuoteRequest{
		"nowhere":          {},
		"half an address":  {Destination: &checkoutv1.QuoteRequest_Address{}},
		"by rocket":        {Destination: &checkoutv1.QuoteRequest_Address{Address: newYork}, Speed: 99},
		"saved, by rocket": {Destination: &checkoutv1.QuoteRequest_AddressId{AddressId: "home"}, Speed: 99},
	} {
		_, err := s.client.Quote(s.context(), req)
		if !problem.Is(err, "INVALID_FIELDS") {
			t.Errorf("%s: got %v", name, err)
		}
	}
	_, err = s.client.Quote(s.context(), &checkoutv1.QuoteRequest{Destination: &checkoutv1.QuoteRequest_AddressId{AddressId: "home"}})
	if problem.KindOf(err) != problem.NotFound {
		t.Errorf("an address that was never saved: %v", err)
	}
}
