package payment

import (
	"errors"
	"net/http"
	"strings"
	"testing"

	"github.com/cellar-commerce/cellar/internal/breaker"
	"github.com/cellar-commerce/cellar/internal/cardnetwork"
	"github.com/cellar-commerce/cellar/internal/problem"
	"github.com/cellar-commerce/cellar/internal/stripe"
	"github.com/cellar-commerce/cellar/internal/stripe/stripetest"
)

// guarded world: its provider is behind a breaker.
func newGuardedWorld(t *testing.T) (w world, changes *[]string) {
	t.Helper()
	w, changes = newWorld(t), &[]string{}
	w.deps.Provider = Guarded(w.network, breaker.NewOne("bank", func(_, to string) { *changes = append(*changes, to) }))
	return w, changes
}

func TestTheBreakerOpensWhenTheProviderIsAwayAndNothingIsKnownThen(t *testing.T) {
	w, changes := newGuardedWorld(t)
	w.link.set(true)
	for range 5 { // a charge and a question each
		refused(t, w.pay(newPurchase(), "tok_visa"), problem.Unavailable, "PAYMENT_UNKNOWN")
	}
	if len(*changes) == 0 || (*changes)[0] != "open" {
		t.Fatalf("changes %v", *changes)
	}
	w.link.set(false)
	_, _, err := w.deps.Provider.Find(t.Context(), cardnetwork.ChargeRequest{Key: "k"})
	if !errors.Is(err, cardnetwork.ErrUnknownOutcome) || !strings.Contains(err.Error(), "bank") {
		t.Errorf("an open breaker: %v", err)
	}
}

func TestDeclinesAndRefusedRequestsNeverOpenTheBreaker(t *testing.T) {
	w, changes := newGuardedWorld(t)
	for range 10 {
		refused(t, w.pay(newPurchase(), "tok_declined"), problem.Precondition, "PAYMENT_DECLINED")
		refused(t, w.pay(newPurchase(), "tok_of_nobody"), problem.Precondition, "PAYMENT_DECLINED")
	}
	if len(*changes) != 0 {
		t.Errorf("changes %v", *changes)
	}
}

// newStripeWorld pays through Stripe.
func newStripeWorld(t *testing.T) (world, *stripetest.Server) {
	t.Helper()
	w, server := newWorld(t), stripetest.New(t)
	client, err := stripe.New(stripe.Config{SecretKey: "sk_test_123", BaseURL: server.URL})
	if err != nil {
		t.Fatal(err)
	}
	w.deps.Provider = client
	return w, server
}

func expectAtStripe(t *testing.T, s *stripetest.Server, captured, refunded, held int64) {
	t.Helper()
	if c, r, h := s.Money(); c != captured || r != refunded || h != held {
		t.Errorf("Stripe captured %d, refunded %d and holds %d; want %d, %d and %d", c, r, h, captured, refunded, held)
	}
}

func TestAPaymentLivesTheSameLifeWithStripe(t *testing.T) {
	w, server := newStripeWorld(t)
	p, code := newPurchase(), w.gift(t, 300)
	for range 2 {
		got, err := w.hold(p, 1000, gift(code), card(stripetest.Visa))
		shows(t, got, err, authorized, 0, 0)
	}
	for range 2 {
		got, err := w.ship(p, "s1", 500, false)
		shows(t, got, err, authorized, 500, 0)
	}
	expectAtStripe(t, server, 200, 0, 500)
	got, err := w.ship(p, "s2", 400, true)
	shows(t, got, err, captured, 900, 0)
	expectAtStripe(t, server, 600, 0, 0)
	for range 2 {
		got, err = w.giveBackPart(p, "r1", 100)
		shows(t, got, err, captured, 900, 100)
	}
	for range 2 {
		w.mustUndo(t, p, refunded)
	}
	expectAtStripe(t, server, 600, 600, 0)
	if w.left(t, code) != 300 {
		t.Errorf("%d left", w.left(t, code))
	}
	_, err = w.buy(newPurchase(), 5, card(stripetest.Broke))
	refusedAs(t, err, "insufficient_funds")
	w.checkBooks(t)
}

func TestWhatStripeNeverAnsweredIsFoundOrAbandoned(t *testing.T) {
	lost := func(moment stripetest.Moment) func(stripetest.Moment, string, string) int {
		return func(m stripetest.Moment, method, path string) int {
			if m == moment && strings.HasSuffix(path, "/confirm") {
				return http.StatusInternalServerError
			}
			return 0
		}
	}
	w, server := newStripeWorld(t)
	p := newPurchase()
	server.Fault(lost(stripetest.After))
	if err := w.pay(p, stripetest.Visa); err != nil {
		t.Fatalf("it was taken, and asked for: %v", err)
	}
	expectAtStripe(t, server, 1999, 0, 0)
	p = newPurchase()
	server.Fault(lost(stripetest.Before))
	refused(t, w.pay(p, stripetest.Visa), problem.Unavailable, "PAYMENT_UNKNOWN")
	_, err := w.undo(p)
	refused(t, err, problem.Unavailable, "PAYMENT_UNKNOWN")
	w.clock.Advance(settleTime)
	w.mustUndo(t, p, voided)
	server.Fault(nil)
	refused(t, w.pay(p, stripetest.Visa), problem.Precondition, "PAYMENT_CLOSED")
	expectAtStripe(t, server, 1999, 0, 0)
}
