package placement

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	accountv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/account/v1"
	checkoutv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/checkout/v1"
	orderv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/order/v1"
	problemv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/problem/v1"
	"github.com/cellar-commerce/cellar/internal/ident"
	"github.com/cellar-commerce/cellar/internal/problem"
	"github.com/cellar-commerce/cellar/internal/sqldb/sqldbtest"
)

// parcelsOf an order as "fc:sku×units", in order of the FCs that are asked.
func parcelsOf(o *orderv1.Order) (all []string) {
	for _, p := range o.GetParcels() {
		s := p.GetFcId() + ":"
		for _, l := range p.GetLines() {
			s += fmt.Sprintf(" %s×%d", l.GetSku(), l.GetQuantity())
		}
		all = append(all, s)
	}
	return all
}

func TestWhatIsQuotedIsChargedOnceSoldAndTakenOutOfTheCart(t *testing.T) {
	w := newWorld(t)
	s := w.cell(t, "use1-a").shopper()
	ale, port, later := w.stocked(t, map[string]int64{"ewr1": 5}), w.stocked(t, map[string]int64{"sea1": 5}), w.stocked(t, map[string]int64{"iad1": 5})
	s.add(t, ale, 2)
	s.add(t, port, 1)
	q := s.quote(t)
	if got := q.GetTotal().GetMinorUnits(); got != 3*19_99 || q.GetShipping().GetMinorUnits() != 0 {
		t.Errorf("quoted %d with %d for delivery", got, q.GetShipping().GetMinorUnits())
	}
	s.add(t, ale, 3)
	w.clock.Advance(time.Second)
	s.add(t, later, 1)
	o := s.mustPlace(t, "key-1", payBy(q, goodCard))
	same(t, "parcels", parcelsOf(o), "wanted", []string{"ewr1: " + ale + "×2", "sea1: " + port + "×1"})
	if n, amount := w.captures(t, o.GetOrderId()); n != 1 || amount != q.GetTotal().GetMinorUnits() {
		t.Errorf("captured %d times, %d in all", n, amount)
	}
	if got, want := s.cart(t), ale+"×3 "+later+"×1"; got != want {
		t.Errorf("the cart has %s, want %s", got, want)
	}
	same(t, "asked", sqldbtest.Texts(t, w.customers, "SELECT format('%s %s', destination, subject) FROM outbox"),
		"wanted", []string{"us-east-1 fulfillment.us-east-1.ewr1.requested", "us-west-2 fulfillment.us-west-2.sea1.requested"})
	if state, order := s.checkoutState(t, "key-1"); state != "PLACED" || order != o.GetOrderId() {
		t.Errorf("GetCheckout tells %s of %s", state, order)
	}
	w.consistent(t)
}

// The answer is made before the order is written, in the same transaction.
func TestTheAnswerIsTheOrderAsItIsKept(t *testing.T) {
	w := newWorld(t)
	for _, st := range []story{stories[0], stories[4]} { // ended in one transaction, and one by one
		c := w.cell(t, "use1-a")
		s := c.shopper()
		c.faults.meanwhile = st.prepare(t, s)
		o := s.mustPlace(t, "key-1", payBy(s.quote(t), goodCard))
		kept, err := c.orders.GetOrder(s.context(), &orderv1.GetOrderRequest{OrderId: o.GetOrderId()})
		if err != nil || !proto.Equal(o, kept.GetOrder()) {
			t.Errorf("%s: answered is\n%v\nand kept\n%v, %v", st.name, o, kept.GetOrder(), err)
		}
	}
}

func TestASavedAddressAndCardAreAsGoodAsOnesGivenInFull(t *testing.T) {
	w := newWorld(t)
	c := w.cell(t, "use1-a")
	signUp, err := w.accounts().SignUp(t.Context(), &accountv1.SignUpRequest{Email: "reader@shoppers.example", Password: "a long enough password", Name: "R. Reader"})
	must(t, err)
	s := shopper{c, ident.CustomerID(signUp.GetSession().GetCustomerId())}
	address, err := w.accounts().AddAddress(s.context(), &accountv1.AddAddressRequest{Address: newYork})
	must(t, err)
	card, err := w.accounts().AddPaymentMethod(s.context(), &accountv1.AddPaymentMethodRequest{CardToken: "tok_mastercard", Label: "mine"})
	must(t, err)
	s.add(t, w.stocked(t, map[string]int64{"ewr1": 1}), 1)
	q, err := s.client.Quote(s.context(), &checkoutv1.QuoteRequest{
		Destination: &checkoutv1.QuoteRequest_AddressId{AddressId: address.GetAddress().GetAddressId()}, Speed: checkoutv1.Speed_SPEED_EXPRESS,
	})
	must(t, err)
	o := s.mustPlace(t, "key-1", &checkoutv1.PlaceOrderRequest{
		QuoteToken: q.GetQuoteToken(), Payment: &checkoutv1.PlaceOrderRequest_PaymentMethodId{PaymentMethodId: card.GetPaymentMethod().GetPaymentMethodId()},
	})
	if o.GetShipTo().GetPostalCode() != "10001" || o.GetTotal().GetMinorUnits() != 19_99+12_99 {
		t.Errorf("%d are charged for an order to %s", o.GetTotal().GetMinorUnits(), o.GetShipTo().GetPostalCode())
	}
	_, err = s.place("key-2", &checkoutv1.PlaceOrderRequest{QuoteToken: q.GetQuoteToken(), Payment: &checkoutv1.PlaceOrderRequest_PaymentMethodId{PaymentMethodId: "another"}})
	if problem.KindOf(err) != problem.NotFound {
		t.Errorf("a card that was never saved: %v", err)
	}
	w.consistent(t)
}

// isUndone expects that nothing is left of a placement but its failure.
func (s shopper) isUndone(t reporter, key, reason string) {
	t.Helper()
	state, order := s.checkoutState(t, key)
	if state != "FAILED "+reason {
		t.Errorf("GetCheckout tells %s, want FAILED %s", state, reason)
	}
	if status, why := s.status(t, order); status != orderv1.Status_STATUS_FAILED || why != reason {
		t.Errorf("the order is %v because of %s", status, why)
	}
	if open := sqldbtest.Texts(t, s.regional, "SELECT fc_id || ' ' || state FROM reservations WHERE order_id = $1 AND state IN ('HELD', 'COMMITTED')", order); len(open) > 0 {
		t.Errorf("stock is not given back: %v", open)
	}
	s.consistent(t)
}

func TestWhatIsSoldOutIsRefusedWithWhatIsMissing(t *testing.T) {
	w := newWorld(t)
	s := w.cell(t, "use1-a").shopper()
	sku := w.stocked(t, map[string]int64{"ewr1": 1, "sea1": 2})
	q := s.quoteOf(t, sku, 3)
	w.lose(t, "sea1", sku, 1)
	_, err := s.place("key-1", payBy(q, goodCard))
	refused(t, err, problem.Precondition, "OUT_OF_STOCK")
	detail, _ := problem.Detail[*problemv1.OutOfStock](err)
	if len(detail.GetShortages()) != 1 || detail.GetShortages()[0].GetSku() != sku || detail.GetShortages()[0].GetRequested() != 3 || detail.GetShortages()[0].GetAvailable() != 2 {
		t.Errorf("told %v", detail)
	}
	if len(w.ledger(t)) != 0 {
		t.Errorf("the card network was asked: %v", w.ledger(t))
	}
	s.isUndone(t, "key-1", "OUT_OF_STOCK")
	if got, want := s.cart(t), sku+"×3"; got != want {
		t.Errorf("the cart has %s, want %s", got, want)
	}
}

func TestWhatIsSoldOutBeforeTheQuoteIsToldThereWithWhatIsLeft(t *testing.T) {
	w := newWorld(t)
	s := w.cell(t, "use1-a").shopper()
	sku := w.stocked(t, map[string]int64{"ewr1": 1, "sea1": 1})
	s.add(t, sku, 3)
	_, err := s.tryQuote()
	refused(t, err, problem.Precondition, "OUT_OF_STOCK")
	detail, _ := problem.Detail[*problemv1.OutOfStock](err)
	if len(detail.GetShortages()) != 1 || detail.GetShortages()[0].GetSku() != sku || detail.GetShortages()[0].GetRequested() != 3 || detail.GetShortages()[0].GetAvailable() != 2 {
		t.Errorf("told %v", detail)
	}
	w.restock(t, "fra1", sku, 1)
	q := s.quote(t)
	if q.GetPromiseUnknown() || len(q.GetParcels()) != 3 { // no centre has enough: the line is split
		t.Errorf("promised %v", q.GetParcels())
	}
}

// The plan is good when it is made. Then one of its two FCs loses its stock, and nobody else has any.
func TestStockThatIsGoneBeforeItIsHeldLeavesNoHoldElsewhere(t *testing.T) {
	w := newWorld(t)
	c := w.cell(t, "use1-a")
	s := c.shopper()
	ale, port := w.stocked(t, map[string]int64{"ewr1": 1}), w.stocked(t, map[string]int64{"sea1": 1})
	s.add(t, ale, 1)
	q := s.quoteOf(t, port, 1)
	var once sync.Once
	c.faults.meanwhile = func(point string) {
		if point == "before Reserve" {
			once.Do(func() { w.lose(t, "sea1", port, 1) })
		}
	}
	_, err := s.place("key-1", payBy(q, goodCard))
	refused(t, err, problem.Precondition, "OUT_OF_STOCK")
	s.isUndone(t, "key-1", "OUT_OF_STOCK")
}

func TestADeclinedCardGivesTheStockBackAndTheQuoteIsGoodForAnother(t *testing.T) {
	w := newWorld(t)
	s := w.cell(t, "use1-a").shopper()
	q := s.quoteOf(t, w.stocked(t, map[string]int64{"ewr1": 1}), 1)
	_, err := s.place("key-1", payBy(q, "tok_insufficient_funds"))
	refused(t, err, problem.Precondition, "PAYMENT_DECLINED")
	if detail, _ := problem.Detail[*problemv1.Declined](err); detail.GetCode() != "insufficient_funds" {
		t.Errorf("the shopper is told %v", detail)
	}
	s.isUndone(t, "key-1", "PAYMENT_DECLINED")
	s.mustPlace(t, "key-2", payBy(q, goodCard)) // the only unit is there again
	w.consistent(t)
}

func TestACardThatTheNetworkDoesNotKnowIsADecline(t *testing.T) {
	w := newWorld(t)
	s := w.cell(t, "use1-a").shopper()
	q := s.quoteOf(t, w.stocked(t, map[string]int64{"ewr1": 1}), 1)
	_, err := s.place("key-1", payBy(q, "tok_of_somebody_else"))
	refused(t, err, problem.Precondition, "PAYMENT_DECLINED")
	s.isUndone(t, "key-1", "PAYMENT_DECLINED")
}

func TestWhateverTheNetworkDoesAfterItTookTheMoneyItIsTakenOnce(t *testing.T) {
	w := newWorld(t)
	c := w.cell(t, "use1-a")
	for _, card := range []string{"tok_timeout_after_success", "tok_error_after_success", "tok_unavailable_once"} {
		t.Run(card, func(t *testing.T) {
			s := c.shopper()
			q := s.quoteOf(t, w.stocked(t, map[string]int64{"ewr1": 1}), 1)
			o := s.mustPlace(t, "key-1", payBy(q, card))
			if n, amount := w.captures(t, o.GetOrderId()); n != 1 || amount != q.GetTotal().GetMinorUnits() {
				t.Errorf("captured %d times, %d in all", n, amount)
			}
			w.consistent(t)
		})
	}
}

// The plan takes its time, and so does the card network.
func TestHoldsThatAreAboutToRunOutAreExtendedBeforeTheMoneyIsTaken(t *testing.T) {
	w := newWorld(t)
	c := w.cell(t, "use1-a")
	s := c.shopper()
	q := s.quoteOf(t, w.stocked(t, map[string]int64{"ewr1": 1, "sea1": 1}), 2)
	c.faults.meanwhile = func(point string) {
		switch {
		case point == "after Reserve" && c.faults.count(point) == 1: // the other centre holds its unit already
			w.clock.Advance(6 * time.Minute)
		case point == "after Capture":
			w.clock.Advance(12 * time.Minute)
		}
	}
	s.mustPlace(t, "key-1", payBy(q, goodCard))
	w.consistent(t)
}

func TestHoldsOfAnEarlierPlanAreExtendedAsTheyNeedIt(t *testing.T) {
	w := newWorld(t)
	c := w.cell(t, "use1-a")
	s := c.shopper()
	somebodyElse := losing(map[string]int64{"fra1": 1})(t, s)
	q := s.quote(t)
	c.faults.meanwhile = func(point string) {
		somebodyElse(point)
		switch {
		case point == "before PlanOrder" && c.faults.count(point) == 1: // the first was the quote's
			w.clock.Advance(9 * time.Minute)
		case point == "after Capture":
			w.clock.Advance(12 * time.Minute)
		}
	}
	s.mustPlace(t, "key-1", payBy(q, goodCard))
	if n := c.faults.count("before PlanOrder"); n != 2 {
		t.Errorf("it was planned %d times", n)
	}
	w.consistent(t)
}

func TestALineComesFromSeveralCentersWhenNoneHasItAll(t *testing.T) {
	w := newWorld(t)
	s := w.cell(t, "use1-a").shopper()
	sku := w.stocked(t, map[string]int64{"ewr1": 2, "iad1": 1, "fra1": 4})
	o := s.mustPlace(t, "key-1", payBy(s.quoteOf(t, sku, 7), goodCard))
	same(t, "parcels", parcelsOf(o), "wanted", []string{"ewr1: " + sku + "×2", "iad1: " + sku + "×1", "fra1: " + sku + "×4"})
	w.consistent(t)
}

func TestARegionThatCannotBeReachedIsPlannedAround(t *testing.T) {
	w := newWorld(t)
	c := w.cell(t, "use1-a")
	t.Run("before the plan", func(t *testing.T) {
		w.cutOff(here)
		defer w.cutOff()
		s := c.shopper()
		sku := w.stocked(t, map[string]int64{"ewr1": 9, "sea1": 2})
		o := s.mustPlace(t, "key-1", payBy(s.quoteOf(t, sku, 2), goodCard))
		same(t, "parcels", parcelsOf(o), "wanted", []string{"sea1: " + sku + "×2"})
	})
	t.Run("after the plan", func(t *testing.T) {
		s := c.shopper()
		sku := w.stocked(t, map[string]int64{"iad1": 1, "sea1": 1, "fra1": 1})
		q := s.quoteOf(t, sku, 2)
		c.faults.meanwhile = func(point string) {
			if point == "before a transaction" { // that begins the placement
				w.cutOff("us-west-2")
			}
		}
		defer w.cutOff()
		o := s.mustPlace(t, "key-1", payBy(q, goodCard))
		same(t, "parcels", parcelsOf(o), "wanted", []string{"iad1: " + sku + "×1", "fra1: " + sku + "×1"})
	})
	w.consistent(t)
}

// What was asked there may be held: the refusal waits until it has run out, and no longer.
func TestARefusalDoesNotWaitForARegionThatStaysAway(t *testing.T) {
	w := newWorld(t)
	c := w.cell(t, "use1-a")
	s := c.shopper()
	q := s.quoteOf(t, w.stocked(t, map[string]int64{"sea1": 1, "fra1": 1}), 1)
	c.faults.meanwhile = func(point string) {
		if point == "before a transaction" {
			w.cutOff("us-west-2")
		}
	}
	_, err := s.place("key-1", payBy(q, "tok_declined"))
	refused(t, err, problem.Precondition, "PAYMENT_DECLINED")
	s.isUndone(t, "key-1", "PAYMENT_DECLINED")
}

func TestNothingIsPlacedWhenNoRegionAnswers(t *testing.T) {
	w := newWorld(t)
	c := w.cell(t, "use1-a")
	s := c.shopper()
	sku := w.stocked(t, map[string]int64{"ewr1": 1})
	w.cutOff(ident.Regions()...)
	q := s.quoteOf(t, sku, 1) // which promises nothing
	c.faults.meanwhile = func(point string) {
		if point == "before PlanOrder" && c.faults.count(point) == 2 {
			w.cutOff()
		}
	}
	s.mustPlace(t, "key-1", payBy(q, goodCard)) // it waits for them
	w.consistent(t)
}
