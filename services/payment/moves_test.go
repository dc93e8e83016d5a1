package payment

import (
	"fmt"
	"sync"
	"testing"

	paymentv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/payment/v1"
	"github.com/cellar-commerce/cellar/internal/problem"
)

func TestCapturesOfShipmentsSumToTheTotalAndCountOnceEach(t *testing.T) {
	w, p := newWorld(t), newPurchase()
	for range 2 {
		got, err := w.hold(p, 1999, card("tok_visa"))
		shows(t, got, err, authorized, 0, 0)
	}
	for range 2 {
		got, err := w.ship(p, "s1", 700, false)
		shows(t, got, err, authorized, 700, 0)
	}
	_, err := w.ship(p, "s1", 701, false)
	refused(t, err, problem.Precondition, "PAYMENT_MISMATCH")
	_, err = w.ship(p, "s2", 1300, false)
	refused(t, err, problem.Precondition, "CAPTURES_TOO_MUCH")
	for range 2 {
		got, err := w.ship(p, "s3", 1299, true)
		shows(t, got, err, captured, 1999, 0)
	}
	_, err = w.ship(p, "s4", 1, false)
	refused(t, err, problem.Precondition, "CAPTURES_TOO_MUCH")
	w.expectAtNetwork(t, p, 1999, 0)
}

// The parcel that costs nothing leaves last.
func TestALastCaptureOfNothingIsFineWhenAllWasTakenBefore(t *testing.T) {
	w, p := newWorld(t), newPurchase()
	if _, err := w.hold(p, 1999, card("tok_visa")); err != nil {
		t.Fatal(err)
	}
	got, err := w.ship(p, "s1", 1999, false)
	shows(t, got, err, captured, 1999, 0)
	for range 2 {
		got, err = w.ship(p, "s2", 0, true)
		shows(t, got, err, captured, 1999, 0)
	}
	w.expectAtNetwork(t, p, 1999, 0)
}

func TestTheLastCaptureLetsGoOfWhatIsStillHeld(t *testing.T) {
	w := newWorld(t)
	code := w.gift(t, 1000)
	p := newPurchase()
	if _, err := w.hold(p, 1500, gift(code), card("tok_visa")); err != nil {
		t.Fatal(err)
	}
	got, err := w.ship(p, "s1", 600, false)
	shows(t, got, err, authorized, 600, 0)
	got, err = w.ship(p, "s2", 500, true) // 400 of the gift card, 100 of the card; 400 of the card is let go of
	shows(t, got, err, captured, 1100, 0)
	w.expectAtNetwork(t, p, 100, 0)
	if w.left(t, code) != 0 {
		t.Errorf("%d left", w.left(t, code))
	}
	// What is let go of without a capture: of a gift card and a card; and of everything.
	code, p = w.gift(t, 1000), newPurchase()
	if _, err := w.hold(p, 1500, gift(code), card("tok_visa")); err != nil {
		t.Fatal(err)
	}
	got, err = w.ship(p, "s1", 600, false)
	shows(t, got, err, authorized, 600, 0)
	got, err = w.ship(p, "s2", 0, true)
	shows(t, got, err, captured, 600, 0)
	w.expectAtNetwork(t, p, 0, 0)
	if w.left(t, code) != 400 {
		t.Errorf("%d left", w.left(t, code))
	}
	p = newPurchase()
	if _, err := w.hold(p, 1500, card("tok_visa")); err != nil {
		t.Fatal(err)
	}
	got, err = w.ship(p, "s1", 0, true)
	shows(t, got, err, voided, 0, 0)
	if n := w.entries(t, p)["void"]; n != 1 {
		t.Errorf("voided %d times", n)
	}
	w.checkBooks(t)
}

// The policy is card first, then wallet, then gift cards.
func TestRefundsOfPartsGoBackInReverseAndNeverExceedWhatWasCaptured(t *testing.T) {
	w, p := newWorld(t), newPurchase()
	code := w.gift(t, 300)
	w.credit(t, p, 500)
	if _, err := w.buy(p, 1000, gift(code), fromWallet(), card("tok_visa")); err != nil {
		t.Fatal(err)
	}
	at := func(card, wallet, gift int64) {
		t.Helper()
		w.expectAtNetwork(t, p, 200, card)
		if w.inWallet(t, p) != wallet || w.left(t, code) != gift {
			t.Errorf("the wallet has %d, the gift card %d; want %d and %d", w.inWallet(t, p), w.left(t, code), wallet, gift)
		}
	}
	for range 2 {
		got, err := w.giveBackPart(p, "r1", 150)
		shows(t, got, err, captured, 1000, 150)
	}
	at(150, 0, 0)
	got, err := w.giveBackPart(p, "r2", 350)
	shows(t, got, err, captured, 1000, 500)
	at(200, 300, 0)
	_, err = w.giveBackPart(p, "r3", 501)
	refused(t, err, problem.Precondition, "REFUNDS_TOO_MUCH")
	_, err = w.giveBackPart(p, "r2", 351)
	refused(t, err, problem.Precondition, "PAYMENT_MISMATCH")
	got, err = w.giveBackPart(p, "r4", 250)
	shows(t, got, err, captured, 1000, 750)
	at(200, 500, 50)
	w.mustUndo(t, p, refunded)
	at(200, 500, 300)
	_, err = w.giveBackPart(p, "r5", 1)
	refused(t, err, problem.Precondition, "REFUNDS_TOO_MUCH")
	got, err = w.giveBackPart(p, "r4", 250) // what was done is answered for ever
	shows(t, got, err, refunded, 1000, 1000)
	w.checkBooks(t)
}

func TestAllOfItGivenBackInPartsIsRefunded(t *testing.T) {
	w, p := newWorld(t), newPurchase()
	if _, err := w.buy(p, 1000, card("tok_visa")); err != nil {
		t.Fatal(err)
	}
	got, err := w.giveBackPart(p, "r1", 400)
	shows(t, got, err, captured, 1000, 400)
	got, err = w.giveBackPart(p, "r2", 600)
	shows(t, got, err, refunded, 1000, 1000)
	w.mustUndo(t, p, refunded)
	w.expectAtNetwork(t, p, 1000, 1000)
}

func TestPartsOfWhatDoesNotExistOrIsNotHeldAreRefused(t *testing.T) {
	w, p := newWorld(t), newPurchase()
	_, err := w.ship(p, "s1", 5, false)
	refused(t, err, problem.NotFound, "UNKNOWN_PAYMENT")
	_, err = w.giveBackPart(p, "r1", 5)
	refused(t, err, problem.NotFound, "UNKNOWN_PAYMENT")
	w.mustUndo(t, p, voided)
	_, err = w.ship(p, "s1", 5, false)
	refused(t, err, problem.Precondition, "PAYMENT_CLOSED")
	_, err = w.hold(p, 5, card("tok_visa"))
	refused(t, err, problem.Precondition, "PAYMENT_CLOSED")
	p = newPurchase()
	_, err = w.hold(p, 1999, card("tok_declined"))
	refusedAs(t, err, "card_declined")
	_, err = w.ship(p, "s1", 5, false)
	refusedAs(t, err, "card_declined")
	_, err = w.giveBackPart(p, "r1", 5)
	refused(t, err, problem.Precondition, "REFUNDS_TOO_MUCH")
	p = newPurchase()
	_, err = w.hold(p, 1999, card("tok_unavailable"))
	refused(t, err, problem.Unavailable, "PAYMENT_UNKNOWN")
	_, err = w.ship(p, "s1", 5, false)
	refused(t, err, problem.Unavailable, "PAYMENT_UNKNOWN")
	p = newPurchase()
	if err := w.pay(p, "tok_visa"); err != nil {
		t.Fatal(err)
	}
	_, err = w.hold(p, 1999, card("tok_visa")) // it is captured already
	refused(t, err, problem.Precondition, "PAYMENT_MISMATCH")
	_, err = w.ship(p, "s1", 5, false)
	refused(t, err, problem.Precondition, "CAPTURES_TOO_MUCH")
	for _, bad := range []*paymentv1.CaptureRequest{
		{CaptureId: "a b", Amount: usd(1)}, {CaptureId: "s", Amount: usd(0)}, {CaptureId: "s", Amount: usd(1), CardToken: "tok_visa"},
	} {
		bad.CustomerId, bad.OrderId = string(p.customer), string(p.order)
		_, err := w.Capture(t.Context(), bad)
		refused(t, err, problem.Invalid, "INVALID_FIELDS")
	}
}

func TestEverythingOfAHeldPaymentGoesBack(t *testing.T) {
	for name, ships := range map[string]int64{"nothing captured": 0, "a part captured": 700, "all captured": 1500} {
		t.Run(name, func(t *testing.T) {
			w, p := newWorld(t), newPurchase()
			code := w.gift(t, 600)
			if _, err := w.hold(p, 1500, gift(code), card("tok_visa")); err != nil {
				t.Fatal(err)
			}
			want := voided
			if ships > 0 {
				want = refunded
				if _, err := w.ship(p, "s1", ships, false); err != nil {
					t.Fatal(err)
				}
				if _, err := w.giveBackPart(p, "r1", 50); err != nil {
					t.Fatal(err)
				}
			}
			for range 2 {
				w.mustUndo(t, p, want)
			}
			_, err := w.ship(p, "late", 1, false)
			refused(t, err, problem.Precondition, "PAYMENT_CLOSED")
			taken, back := w.atNetwork(t, p)
			if w.left(t, code) != 600 || taken != back || taken != max(0, ships-600) {
				t.Errorf("the gift card has %d; the network captured %d, refunded %d", w.left(t, code), taken, back)
			}
			if ships < 1500 && w.entries(t, p)["void"] != 1 {
				t.Error("what was held is not let go of")
			}
			w.checkBooks(t)
		})
	}
}

func TestPartsAtOnceCountOnceEachAndNeverExceedTheWhole(t *testing.T) {
	w, p := newWorld(t), newPurchase()
	if _, err := w.hold(p, 1000, card("tok_visa")); err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for i := range 12 {
		wg.Go(func() {
			_, err := w.ship(p, fmt.Sprint("s", i%6), 300, false)
			if err != nil && !problem.Is(err, "CAPTURES_TOO_MUCH") && !problem.Is(err, "PAYMENT_UNKNOWN") {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	got, err := w.ship(p, "rest", 100, true)
	shows(t, got, err, captured, 1000, 0)
	for i := range 12 {
		wg.Go(func() {
			_, err := w.giveBackPart(p, fmt.Sprint("r", i%6), 300)
			if err != nil && !problem.Is(err, "REFUNDS_TOO_MUCH") && !problem.Is(err, "PAYMENT_UNKNOWN") {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	w.expectAtNetwork(t, p, 1000, 900)
	w.mustUndo(t, p, refunded)
	w.expectAtNetwork(t, p, 1000, 1000)
}

func TestAHoldThatRanOutIsADeclinedCapture(t *testing.T) {
	w, p := newWorld(t), newPurchase()
	code := w.gift(t, 100)
	held, err := w.hold(p, 1000, gift(code), card("tok_visa"))
	shows(t, held, err, authorized, 0, 0)
	// Somebody let go of it at the network.
	if _, err := w.network.Void(t.Context(), cardVoid(held.GetChargeId())); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		_, err = w.ship(p, "s1", 500, false)
		refusedAs(t, err, "invalid_state")
	}
	w.checkBooks(t)
	got, err := w.ship(p, "s2", 100, false) // the gift card's part is still there
	shows(t, got, err, authorized, 100, 0)
}
