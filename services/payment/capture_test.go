package payment

import (
	"context"
	"slices"
	"sync"
	"testing"

	"github.com/cellar-commerce/cellar/internal/cardnetwork"
	paymentv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/payment/v1"
	problemv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/problem/v1"
	"github.com/cellar-commerce/cellar/internal/problem"
)

func TestACaptureTakesTheMoneyOnceHoweverOftenItIsRepeated(t *testing.T) {
	w, p := newWorld(t), newPurchase()
	var charges []string
	for range 3 {
		resp, err := w.Capture(t.Context(), p.bill("tok_visa"))
		if err != nil {
			t.Fatal(err)
		}
		if got := resp.GetPayment(); got.GetState() != paymentv1.State_STATE_CAPTURED || got.GetAmount().GetMinorUnits() != 1999 {
			t.Errorf("got %v", got)
		}
		charges = append(charges, resp.GetPayment().GetChargeId())
	}
	if charges[0] == "" || len(slices.Compact(charges)) != 1 {
		t.Errorf("charges %v", charges)
	}
	w.expect(t, p, paymentv1.State_STATE_CAPTURED, 1, 0)
}

func TestADeclineSaysWhyAndStays(t *testing.T) {
	for token, code := range map[string]string{
		"tok_declined": "card_declined", "tok_insufficient_funds": "insufficient_funds", "tok_expired_card": "expired_card",
	} {
		w, p := newWorld(t), newPurchase()
		for range 2 {
			err := w.pay(p, token)
			refused(t, err, problem.Precondition, "PAYMENT_DECLINED")
			if detail, _ := problem.Detail[*problemv1.Declined](err); detail.GetCode() != code {
				t.Errorf("%s: declined as %v", token, detail)
			}
		}
		w.expect(t, p, paymentv1.State_STATE_DECLINED, 0, 0)
		if n := w.entries(t, p)[cardnetwork.KindDecline]; n != 1 {
			t.Errorf("%s: the network declined %d times", token, n)
		}
	}
}

func TestATokenThatNoCardHasIsADecline(t *testing.T) {
	w, p := newWorld(t), newPurchase()
	err := w.pay(p, "tok_of_nobody")
	refused(t, err, problem.Precondition, "PAYMENT_DECLINED")
	if detail, _ := problem.Detail[*problemv1.Declined](err); detail.GetCode() != cardnetwork.CodeUnknownToken {
		t.Errorf("declined as %v", detail)
	}
	w.expect(t, p, paymentv1.State_STATE_DECLINED, 0, 0)
}

func TestAChargeWhoseAnswerIsLostIsFoundAndCounted(t *testing.T) {
	for _, token := range []string{"tok_timeout_after_success", "tok_error_after_success"} {
		w, p := newWorld(t), newPurchase()
		for range 2 {
			if err := w.pay(p, token); err != nil {
				t.Fatalf("%s: %v", token, err)
			}
		}
		w.expect(t, p, paymentv1.State_STATE_CAPTURED, 1, 0)
	}
}

func TestWhileTheNetworkIsAwayNothingIsKnownAndLaterItIsCaptured(t *testing.T) {
	w, p := newWorld(t), newPurchase()
	refused(t, w.pay(p, "tok_unavailable_once"), problem.Unavailable, "PAYMENT_UNKNOWN")
	w.expect(t, p, paymentv1.State_STATE_PENDING, 0, 0)
	if err := w.pay(p, "tok_unavailable_once"); err != nil {
		t.Fatal(err)
	}
	w.expect(t, p, paymentv1.State_STATE_CAPTURED, 1, 0)
}

func TestANetworkThatCannotEvenBeAskedLeavesThePaymentPending(t *testing.T) {
	w, p := newWorld(t), newPurchase()
	w.link.set(true)
	refused(t, w.pay(p, "tok_visa"), problem.Unavailable, "PAYMENT_UNKNOWN")
	_, err := w.undo(p)
	refused(t, err, problem.Unavailable, "PAYMENT_UNKNOWN")
	w.link.set(false)
	w.expect(t, p, paymentv1.State_STATE_PENDING, 0, 0)
	if err := w.pay(p, "tok_visa"); err != nil {
		t.Fatal(err)
	}
	w.expect(t, p, paymentv1.State_STATE_CAPTURED, 1, 0)
}

func TestAnotherAmountOrCustomerForTheSameOrderIsAMismatch(t *testing.T) {
	for name, pay := range map[string]func(w world, p purchase){
		"pending": func(w world, p purchase) {
			refused(t, w.pay(p, "tok_unavailable_once"), problem.Unavailable, "PAYMENT_UNKNOWN")
		},
		"captured": func(w world, p purchase) { _ = w.pay(p, "tok_visa") },
	} {
		t.Run(name, func(t *testing.T) {
			w, p := newWorld(t), newPurchase()
			pay(w, p)
			other := p.bill("tok_visa")
			other.Amount.MinorUnits++
			_, err := w.Capture(t.Context(), other)
			refused(t, err, problem.Precondition, "PAYMENT_MISMATCH")
			other = p.bill("tok_visa")
			other.Amount.CurrencyCode = "EUR"
			_, err = w.Capture(t.Context(), other)
			refused(t, err, problem.Precondition, "PAYMENT_MISMATCH")
			other = p.bill("tok_visa")
			other.CustomerId = string(newPurchase().customer)
			_, err = w.Capture(t.Context(), other)
			refused(t, err, problem.Precondition, "PAYMENT_MISMATCH")
		})
	}
}

func TestManyCapturesOfOneOrderMakeOneCharge(t *testing.T) {
	const callers = 16
	w, p := newWorld(t), newPurchase()
	errs := make([]error, callers)
	var wg sync.WaitGroup
	for i := range callers {
		wg.Go(func() { _, errs[i] = w.Capture(context.Background(), p.bill("tok_visa")) })
	}
	wg.Wait()
	served := 0
	for _, err := range errs {
		if err == nil {
			served++
		} else {
			refused(t, err, problem.Unavailable, "PAYMENT_UNKNOWN") // another one's request is under way
		}
	}
	if served == 0 {
		t.Error("nobody heard of the capture")
	}
	w.expect(t, p, paymentv1.State_STATE_CAPTURED, 1, 0)
}

func TestABadFieldOfACaptureIsNamed(t *testing.T) {
	w := newWorld(t)
	for field, change := range map[string]func(*paymentv1.CaptureRequest){
		"amount":               func(r *paymentv1.CaptureRequest) { r.Amount.MinorUnits = 0 },
		"amount.currency_code": func(r *paymentv1.CaptureRequest) { r.Amount.CurrencyCode = "DOLLAR" },
		"card_token":           func(r *paymentv1.CaptureRequest) { r.CardToken = "" },
	} {
		req := newPurchase().bill("tok_visa")
		change(req)
		_, err := w.Capture(t.Context(), req)
		refused(t, err, problem.Invalid, "INVALID_FIELDS")
		detail, _ := problem.Detail[*problemv1.FieldViolations](err)
		if len(detail.GetViolations()) != 1 || detail.GetViolations()[0].GetField() != field {
			t.Errorf("got %v, want only %s", detail, field)
		}
	}
}

func TestAMalformedIdIsRefused(t *testing.T) {
	w, p := newWorld(t), newPurchase()
	for reason, ids := range map[string][2]string{
		"MALFORMED_CUSTOMER_ID": {"customer-1", string(p.order)},
		"MALFORMED_ORDER_ID":    {string(p.customer), "usw2-0000-0000-0000-0"}, // of another ring
	} {
		req := p.bill("tok_visa")
		req.CustomerId, req.OrderId = ids[0], ids[1]
		_, err := w.Capture(t.Context(), req)
		refused(t, err, problem.Invalid, reason)
		_, err = w.Refund(t.Context(), &paymentv1.RefundRequest{CustomerId: ids[0], OrderId: ids[1]})
		refused(t, err, problem.Invalid, reason)
		_, err = w.GetPayment(t.Context(), &paymentv1.GetPaymentRequest{CustomerId: ids[0], OrderId: ids[1]})
		refused(t, err, problem.Invalid, reason)
	}
}

func TestAPaymentIsShownOnlyToItsCustomer(t *testing.T) {
	w, p := newWorld(t), newPurchase()
	if err := w.pay(p, "tok_visa"); err != nil {
		t.Fatal(err)
	}
	for _, req := range []*paymentv1.GetPaymentRequest{
		{CustomerId: string(newPurchase().customer), OrderId: string(p.order)},
		{CustomerId: string(p.customer), OrderId: string(newPurchase().order)},
	} {
		_, err := w.GetPayment(t.Context(), req)
		refused(t, err, problem.NotFound, "UNKNOWN_PAYMENT")
	}
}
