package payment

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	paymentv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/payment/v1"
	"github.com/cellar-commerce/cellar/internal/problem"
	"github.com/cellar-commerce/cellar/internal/sqldb"
	"github.com/cellar-commerce/cellar/internal/sqldb/sqldbtest"
)

// mustUndo expects a refund that ends in a state.
func (w world) mustUndo(t *testing.T, p purchase, want paymentv1.State) {
	t.Helper()
	if state, err := w.undo(p); err != nil || state != want {
		t.Fatalf("refund: %v, %v; want %v", state, err, want)
	}
}

func TestARefundGivesTheMoneyBackOnce(t *testing.T) {
	w, p := newWorld(t), newPurchase()
	if err := w.pay(p, "tok_visa"); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		w.mustUndo(t, p, paymentv1.State_STATE_REFUNDED)
	}
	refused(t, w.pay(p, "tok_visa"), problem.Precondition, "PAYMENT_CLOSED")
	w.expect(t, p, paymentv1.State_STATE_REFUNDED, 1, 1)
}

func TestRefundsAtOnceGiveTheMoneyBackOnce(t *testing.T) {
	const callers = 8
	w, p := newWorld(t), newPurchase()
	if err := w.pay(p, "tok_visa"); err != nil {
		t.Fatal(err)
	}
	errs := make([]error, callers)
	var wg sync.WaitGroup
	for i := range callers {
		wg.Go(func() { _, errs[i] = w.undo(p) })
	}
	wg.Wait()
	for _, err := range errs {
		if err != nil {
			refused(t, err, problem.Unavailable, "PAYMENT_UNKNOWN") // another one's request is under way
		}
	}
	w.expect(t, p, paymentv1.State_STATE_REFUNDED, 1, 1)
}

func TestARefundBeforeAnyCaptureClosesThePaymentForALateOne(t *testing.T) {
	w, p := newWorld(t), newPurchase()
	for range 2 {
		w.mustUndo(t, p, paymentv1.State_STATE_VOIDED)
	}
	refused(t, w.pay(p, "tok_visa"), problem.Precondition, "PAYMENT_CLOSED")
	w.expect(t, p, paymentv1.State_STATE_VOIDED, 0, 0)
}

func TestARefundOfADeclinedPaymentChangesNothing(t *testing.T) {
	w, p := newWorld(t), newPurchase()
	refused(t, w.pay(p, "tok_declined"), problem.Precondition, "PAYMENT_DECLINED")
	w.mustUndo(t, p, paymentv1.State_STATE_DECLINED)
	w.expect(t, p, paymentv1.State_STATE_DECLINED, 0, 0)
}

func TestAPaymentThatTheNetworkNeverHeardOfIsVoidedOnlyWhenNoRequestCanBeUnderWay(t *testing.T) {
	w, p := newWorld(t), newPurchase()
	refused(t, w.pay(p, "tok_unavailable"), problem.Unavailable, "PAYMENT_UNKNOWN")
	w.clock.Advance(settleTime - time.Microsecond)
	_, err := w.undo(p)
	refused(t, err, problem.Unavailable, "PAYMENT_UNKNOWN")
	w.clock.Advance(time.Microsecond)
	w.mustUndo(t, p, paymentv1.State_STATE_VOIDED)
	w.expect(t, p, paymentv1.State_STATE_VOIDED, 0, 0)
}

func TestARefundFindsAChargeWhoseAnswerNobodyHasSeen(t *testing.T) {
	var lose atomic.Bool
	w := newWorld(t, sqldbtest.WithFaults(func(p sqldb.Point) error {
		if p == sqldb.BeforeWork && lose.Load() {
			return errors.New("the process has died")
		}
		return nil
	}))
	p := newPurchase()
	w.link.beforeCharge(func() { lose.Store(true) }) // the charge succeeds; nobody writes it down
	if err := w.pay(p, "tok_visa"); err == nil {
		t.Fatal("the answer was written down after all")
	}
	lose.Store(false)
	w.expect(t, p, paymentv1.State_STATE_PENDING, 1, 0)
	w.mustUndo(t, p, paymentv1.State_STATE_REFUNDED)
	w.expect(t, p, paymentv1.State_STATE_REFUNDED, 1, 1)
}

func TestACaptureInFlightWhenItsPaymentIsVoidedIsGivenBack(t *testing.T) {
	w, p := newWorld(t), newPurchase()
	voided := make(chan error, 1)
	w.link.beforeCharge(func() { // the request is on its way, and slower than anything should be
		w.clock.Advance(settleTime)
		state, err := w.undo(p)
		if err == nil && state != paymentv1.State_STATE_VOIDED {
			err = fmt.Errorf("refund ended in %v", state)
		}
		voided <- err
	})
	refused(t, w.pay(p, "tok_visa"), problem.Precondition, "PAYMENT_CLOSED")
	if err := <-voided; err != nil {
		t.Fatal(err)
	}
	w.expect(t, p, paymentv1.State_STATE_REFUNDED, 1, 1)
}

func TestSomebodyElseCannotRefundAPayment(t *testing.T) {
	w, p := newWorld(t), newPurchase()
	if err := w.pay(p, "tok_visa"); err != nil {
		t.Fatal(err)
	}
	_, err := w.undo(purchase{customer: newPurchase().customer, order: p.order})
	refused(t, err, problem.NotFound, "UNKNOWN_PAYMENT")
	w.expect(t, p, paymentv1.State_STATE_CAPTURED, 1, 0)
}

func TestCommitsWhoseAnswersAreLostLeaveOneChargeAndOneRefund(t *testing.T) {
	var lose atomic.Bool
	w := newWorld(t, sqldbtest.WithFaults(func(p sqldb.Point) error {
		if p == sqldb.AfterCommit && lose.Load() {
			return fmt.Errorf("played by a test: %w", sqldb.ErrAmbiguous)
		}
		return nil
	}))
	p := newPurchase()
	lose.Store(true)
	if err := w.pay(p, "tok_visa"); !errors.Is(err, sqldb.ErrAmbiguous) {
		t.Fatalf("got %v", err)
	}
	lose.Store(false)
	w.link.beforeCharge(func() { lose.Store(true) })
	if err := w.pay(p, "tok_visa"); !errors.Is(err, sqldb.ErrAmbiguous) {
		t.Fatalf("got %v", err)
	}
	lose.Store(false)
	if err := w.pay(p, "tok_visa"); err != nil {
		t.Fatal(err)
	}
	w.expect(t, p, paymentv1.State_STATE_CAPTURED, 1, 0)
	w.link.beforeCharge(func() { lose.Store(true) }) // a refund is a POST too
	if _, err := w.undo(p); !errors.Is(err, sqldb.ErrAmbiguous) {
		t.Fatalf("got %v", err)
	}
	lose.Store(false)
	w.mustUndo(t, p, paymentv1.State_STATE_REFUNDED)
	w.expect(t, p, paymentv1.State_STATE_REFUNDED, 1, 1)
}
