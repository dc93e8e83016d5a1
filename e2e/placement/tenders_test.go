package placement

import (
	"testing"

	"github.com/cellar-commerce/cellar/internal/cardnetwork"
	checkoutv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/checkout/v1"
	moneyv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/money/v1"
	orderv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/order/v1"
	paymentv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/payment/v1"
	"github.com/cellar-commerce/cellar/internal/ident"
	"github.com/cellar-commerce/cellar/internal/problem"
	"github.com/cellar-commerce/cellar/services/checkout"
)

func usd(cents int64) *moneyv1.Money { return &moneyv1.Money{MinorUnits: cents, CurrencyCode: "USD"} }

// giftCard with some cents on it; gives its code.
func (c *cell) giftCard(t *testing.T, cents int64) string {
	t.Helper()
	resp, err := c.payments.IssueGiftCard(t.Context(), &paymentv1.IssueGiftCardRequest{IssueId: ident.NewToken(), Amount: usd(cents), Region: string(here)})
	must(t, err)
	return resp.GetGiftCard().GetCode()
}

func (c *cell) left(t *testing.T, code string) int64 {
	t.Helper()
	resp, err := c.payments.GetGiftCard(t.Context(), &paymentv1.GetGiftCardRequest{Code: code})
	must(t, err)
	return resp.GetGiftCard().GetBalance().GetMinorUnits()
}

func (s shopper) credit(t *testing.T, cents int64) {
	t.Helper()
	_, err := s.payments.CreditWallet(t.Context(), &paymentv1.CreditWalletRequest{CustomerId: string(s.id), CreditId: ident.NewToken(), Amount: usd(cents), Reason: "for a test"})
	must(t, err)
}

func (s shopper) wallet(t *testing.T) (cents int64) {
	t.Helper()
	resp, err := s.payments.GetWallet(s.context(), &paymentv1.GetWalletRequest{})
	must(t, err)
	for _, b := range resp.GetBalances() {
		cents += b.GetMinorUnits()
	}
	return cents
}

func TestGiftCardsAndTheWalletAreDrawnOnBeforeTheCard(t *testing.T) {
	w := newWorld(t)
	c := w.cell(t, "use1-a")
	s := c.shopper()
	code := c.giftCard(t, 5_00)
	s.credit(t, 3_00)
	q := s.quoteOf(t, w.stocked(t, map[string]int64{"ewr1": 2}), 2)
	req := payBy(q, goodCard)
	req.GiftCardCodes, req.UseWallet = []string{code}, true
	o := s.mustPlace(t, "key-1", req)
	if n, amount := w.captures(t, o.GetOrderId()); n != 1 || amount != q.GetTotal().GetMinorUnits()-8_00 {
		t.Errorf("the card was captured %d times, %d in all, of %d", n, amount, q.GetTotal().GetMinorUnits())
	}
	if gift, wallet := c.left(t, code), s.wallet(t); gift != 0 || wallet != 0 {
		t.Errorf("%d is left on the gift card, %d in the wallet", gift, wallet)
	}
	w.audited(t)
}

func TestAGiftCardThatIsEnoughNeedsNoCard(t *testing.T) {
	w := newWorld(t)
	c := w.cell(t, "use1-a")
	s := c.shopper()
	code := c.giftCard(t, 100_00)
	q := s.quoteOf(t, w.stocked(t, map[string]int64{"ewr1": 1}), 1)
	s.mustPlace(t, "key-1", &checkoutv1.PlaceOrderRequest{QuoteToken: q.GetQuoteToken(), GiftCardCodes: []string{code}})
	if got, want := c.left(t, code), 100_00-q.GetTotal().GetMinorUnits(); got != want || len(w.ledger(t)) != 0 {
		t.Errorf("%d is left, want %d; the card network did %v", got, want, w.ledger(t))
	}
	w.audited(t)
}

func TestADeclinedCardGivesBackWhatTheOthersGave(t *testing.T) {
	w := newWorld(t)
	c := w.cell(t, "use1-a")
	s := c.shopper()
	code := c.giftCard(t, 5_00)
	s.credit(t, 3_00)
	q := s.quoteOf(t, w.stocked(t, map[string]int64{"ewr1": 1}), 1)
	req := payBy(q, "tok_declined")
	req.GiftCardCodes, req.UseWallet = []string{code}, true
	_, err := s.place("key-1", req)
	refused(t, err, problem.Precondition, "PAYMENT_DECLINED")
	if gift, wallet := c.left(t, code), s.wallet(t); gift != 5_00 || wallet != 3_00 {
		t.Errorf("%d is left on the gift card, %d in the wallet", gift, wallet)
	}
	w.audited(t)
	req = payBy(q, goodCard)
	req.GiftCardCodes = []string{code}
	s.mustPlace(t, "key-2", req) // try again
	w.audited(t)
}

func TestWhatIsNoMeansOfPayingIsRefusedByField(t *testing.T) {
	w := newWorld(t)
	s := w.cell(t, "use1-a").shopper()
	q := s.quoteOf(t, w.stocked(t, map[string]int64{"ewr1": 1}), 1)
	for name, change := range map[string]func(*checkoutv1.PlaceOrderRequest){
		"nothing at all":     func(r *checkoutv1.PlaceOrderRequest) { r.Payment = nil },
		"too many cards":     func(r *checkoutv1.PlaceOrderRequest) { r.GiftCardCodes = []string{"a", "b", "c", "d"} },
		"one card twice":     func(r *checkoutv1.PlaceOrderRequest) { r.GiftCardCodes = []string{"a", "a"} },
		"a code of no words": func(r *checkoutv1.PlaceOrderRequest) { r.GiftCardCodes = []string{""} },
	} {
		req := payBy(q, goodCard)
		change(req)
		_, err := s.place("key "+name, req)
		if problem.KindOf(err) != problem.Invalid {
			t.Errorf("%s: %v", name, err)
		}
	}
	req := payBy(q, goodCard)
	req.GiftCardCodes = []string{"GC-USE1-0000-0000-0000-0000-0"}
	_, err := s.place("key-1", req)
	refused(t, err, problem.Precondition, "PAYMENT_DECLINED")
	w.consistent(t)
}

func TestMoneyThatIsTakenByShipmentIsOnlyHeldWhenAnOrderIsPlaced(t *testing.T) {
	w := newWorld(t)
	c := w.start(t, "use1-a", func(d *checkout.Deps) { d.CaptureOnShipment = true })
	t.Cleanup(c.stop)
	s := c.shopper()
	o := s.mustPlace(t, "key-1", payBy(s.quoteOf(t, w.stocked(t, map[string]int64{"ewr1": 1}), 1), goodCard))
	if o.GetPaymentStatus() != orderv1.PaymentStatus_PAYMENT_STATUS_AUTHORIZED {
		t.Errorf("its payment is %v", o.GetPaymentStatus())
	}
	entries := w.ledger(t)
	if len(entries) != 1 || entries[0].Kind != cardnetwork.KindAuthorize || entries[0].Amount != o.GetTotal().GetMinorUnits() {
		t.Errorf("the card network did %v", entries)
	}
	_, err := s.place("key-2", payBy(s.quoteOf(t, w.stocked(t, map[string]int64{"ewr1": 1}), 1), "tok_declined"))
	refused(t, err, problem.Precondition, "PAYMENT_DECLINED")
	w.audited(t)
}
