package placement

import (
	"context"
	"strings"
	"sync"
	"testing"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/proto"

	checkoutv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/checkout/v1"
	orderv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/order/v1"
	"github.com/cellar-commerce/cellar/internal/problem"
	"github.com/cellar-commerce/cellar/internal/sqldb/sqldbtest"
)

func TestAnOrderNeedsAKeyThatIsOne(t *testing.T) {
	w := newWorld(t)
	s := w.cell(t, "use1-a").shopper()
	req := payBy(s.quoteOf(t, w.stocked(t, map[string]int64{"ewr1": 9}), 1), goodCard)
	_, err := s.place("", req)
	refused(t, err, problem.Invalid, "IDEMPOTENCY_KEY_MISSING")
	_, err = s.place(`""`, req)
	refused(t, err, problem.Invalid, "IDEMPOTENCY_KEY_MISSING")
	for _, key := range []string{`"`, `a"b`, "caf\xc3\xa9", strings.Repeat("k", 256)} {
		_, err = s.place(key, req)
		refused(t, err, problem.Invalid, "IDEMPOTENCY_KEY_MALFORMED")
	}
	s.untouched(t, strings.Repeat("k", 255))
	bare := s.mustPlace(t, strings.Repeat("k", 255), req)
	if quoted := s.mustPlace(t, `"`+strings.Repeat("k", 255)+`"`, req); quoted.GetOrderId() != bare.GetOrderId() {
		t.Error("a key in quotes is not the key without them")
	}
	w.consistent(t)
}

func TestAKeyAnswersTheSameRequestAlikeAndNoOther(t *testing.T) {
	w := newWorld(t)
	c := w.cell(t, "use1-a")
	s, sku := c.shopper(), w.stocked(t, map[string]int64{"ewr1": 1})
	q := s.quoteOf(t, sku, 1)
	_, declined := s.place("key-1", payBy(q, "tok_declined"))
	refused(t, declined, problem.Precondition, "PAYMENT_DECLINED")
	o := s.mustPlace(t, "key-2", payBy(q, goodCard))
	for _, at := range []shopper{s, s.at(w.cell(t, "use1-b"))} {
		_, again := at.place("key-1", payBy(q, "tok_declined"))
		refused(t, again, problem.Precondition, "PAYMENT_DECLINED")
		if a, b := problem.As(again), problem.As(declined); a.Message != b.Message || len(a.Details) != len(b.Details) || !proto.Equal(a.Details[0], b.Details[0]) {
			t.Errorf("refused with %v, then with %v", declined, again)
		}
		if got := at.mustPlace(t, "key-2", payBy(q, goodCard)); !proto.Equal(got, o) {
			t.Errorf("answered %v, then %v", o, got)
		}
		_, err := at.place("key-2", payBy(q, "tok_mastercard"))
		refused(t, err, problem.Precondition, "IDEMPOTENCY_KEY_REUSED")
	}
	other := c.shopper()
	w.restock(t, "ewr1", sku, 1)
	if got := other.mustPlace(t, "key-2", payBy(other.quoteOf(t, sku, 1), goodCard)); got.GetOrderId() == o.GetOrderId() {
		t.Error("one shopper's key gives another's order")
	}
	if n := len(sqldbtest.Texts(t, w.customers, "SELECT order_id FROM orders WHERE region = 'us-east-1' AND customer_id = $1", string(s.id))); n != 2 {
		t.Errorf("%d orders, want a failed and a paid one", n)
	}
	w.consistent(t)
}

func TestAKeyIsForgottenAfterADay(t *testing.T) {
	w := newWorld(t)
	c := w.cell(t, "use1-a")
	s, sku := c.shopper(), w.stocked(t, map[string]int64{"ewr1": 2})
	first := s.mustPlace(t, "key-1", payBy(s.quoteOf(t, sku, 1), goodCard))
	w.consistent(t)
	w.clock.Advance(24 * time.Hour)
	if state, _ := s.checkoutState(t, "key-1"); state != "UNKNOWN" {
		t.Errorf("GetCheckout tells %s", state)
	}
	if second := s.mustPlace(t, "key-1", payBy(s.quoteOf(t, sku, 1), goodCard)); second.GetOrderId() == first.GetOrderId() {
		t.Error("a key that has expired answers with its old order")
	}
	w.clock.Advance(24 * time.Hour)
	for _, want := range []int64{2, 1, 0} { // two quotes were used, and one key twice
		if n, err := c.checkout.SweepKeys(t.Context(), here, 2); err != nil || n != want {
			t.Errorf("forgot %d keys, %v, want %d", n, err, want)
		}
	}
}

func TestOneQuoteIsGoodForOneOrder(t *testing.T) {
	w := newWorld(t)
	s := w.cell(t, "use1-a").shopper()
	q := s.quoteOf(t, w.stocked(t, map[string]int64{"ewr1": 9}), 1)
	s.mustPlace(t, "key-1", payBy(q, goodCard))
	_, err := s.place("key-2", payBy(q, goodCard))
	refused(t, err, problem.Precondition, "QUOTE_ALREADY_USED")
	if state, _ := s.checkoutState(t, "key-2"); state != "UNKNOWN" {
		t.Errorf("GetCheckout tells %s", state)
	}
	w.consistent(t)
}

func TestGetCheckoutTellsOfAnOrderThatIsBeingPlaced(t *testing.T) {
	w := newWorld(t)
	c := w.cell(t, "use1-a")
	s := c.shopper()
	req := payBy(s.quoteOf(t, w.stocked(t, map[string]int64{"ewr1": 9}), 1), goodCard)
	if state, _ := s.checkoutState(t, "key-1"); state != "UNKNOWN" {
		t.Errorf("before: %s", state)
	}
	var during, duringOrder string
	var twin error
	c.faults.meanwhile = func(point string) {
		if point == "before the charge" {
			during, duringOrder = s.checkoutState(t, "key-1")
			_, twin = s.placeWithin(2*time.Second, "key-1", req)
		}
	}
	o := s.mustPlace(t, "key-1", req)
	if during != "IN_PROGRESS" || duringOrder != o.GetOrderId() {
		t.Errorf("meanwhile: %s of %s", during, duringOrder)
	}
	refused(t, twin, problem.Aborted, "CHECKOUT_IN_PROGRESS")
	if state, order := s.checkoutState(t, `"key-1"`); state != "PLACED" || order != o.GetOrderId() {
		t.Errorf("after: %s of %s", state, order)
	}
	if state, _ := c.shopper().checkoutState(t, "key-1"); state != "UNKNOWN" {
		t.Errorf("to a stranger: %s", state)
	}
	_, err := s.client.GetCheckout(s.context(), &checkoutv1.GetCheckoutRequest{})
	refused(t, err, problem.Invalid, "IDEMPOTENCY_KEY_MISSING")
}

// A request is slow; its twin is placed, refused, and has freed the quote before the slow one writes its key. It must not
// take the quote with it.
func TestATwinThatComesLateLeavesTheQuoteFree(t *testing.T) {
	w := newWorld(t)
	slow, fast := w.cell(t, "use1-a"), w.cell(t, "use1-b")
	s := slow.shopper()
	q := s.quoteOf(t, w.stocked(t, map[string]int64{"ewr1": 9}), 1)
	var once sync.Once
	var twin error
	slow.faults.meanwhile = func(point string) {
		if point == "after BatchGetProducts" { // the last thing before the key is written
			once.Do(func() { _, twin = s.at(fast).place("key-1", payBy(q, "tok_declined")) })
		}
	}
	_, err := s.place("key-1", payBy(q, "tok_declined"))
	refused(t, twin, problem.Precondition, "PAYMENT_DECLINED")
	refused(t, err, problem.Precondition, "PAYMENT_DECLINED")
	w.consistent(t)
	s.mustPlace(t, "key-2", payBy(q, goodCard))
	w.consistent(t)
}

// The shopper leaves; the order does not.
func TestAShopperWhoLeavesDoesNotStopTheOrder(t *testing.T) {
	w := newWorld(t)
	c := w.cell(t, "use1-a")
	s := c.shopper()
	req := payBy(s.quoteOf(t, w.stocked(t, map[string]int64{"ewr1": 9}), 1), goodCard)
	ctx, leave := context.WithCancel(s.context())
	c.faults.meanwhile = func(point string) {
		if point == "before Capture" {
			leave()
		}
	}
	call, info := connect.NewClientContext(ctx)
	info.RequestHeader().Set("Idempotency-Key", "key-1")
	if _, err := s.client.PlaceOrder(call, req); connect.CodeOf(err) != connect.CodeCanceled {
		t.Errorf("the shopper is still there, and hears %v", err)
	}
	c.checkout.Drain()
	state, id := s.checkoutState(t, "key-1")
	if status, _ := s.status(t, id); state != "PLACED" || status != orderv1.Status_STATUS_PAID {
		t.Errorf("the order is %v, its checkout %s", status, state)
	}
	w.consistent(t)
}
