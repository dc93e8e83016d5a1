package payment

import (
	"fmt"
	"sync"
	"testing"

	paymentv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/payment/v1"
	problemv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/problem/v1"
	"github.com/cellar-commerce/cellar/internal/ident"
	"github.com/cellar-commerce/cellar/internal/problem"
	"github.com/cellar-commerce/cellar/internal/session"
)

const (
	authorized = paymentv1.State_STATE_AUTHORIZED
	captured   = paymentv1.State_STATE_CAPTURED
	refunded   = paymentv1.State_STATE_REFUNDED
	voided     = paymentv1.State_STATE_VOIDED
)

func refusedAs(t *testing.T, err error, code string) {
	t.Helper()
	refused(t, err, problem.Precondition, "PAYMENT_DECLINED")
	if detail, _ := problem.Detail[*problemv1.Declined](err); detail.GetCode() != code {
		t.Errorf("declined as %v, want %s", detail, code)
	}
}

func TestGiftCardsAndTheWalletComeFirstAndACardBearsTheRest(t *testing.T) {
	w, p := newWorld(t), newPurchase()
	one, two := w.gift(t, 300), w.gift(t, 1000)
	w.credit(t, p, 500)
	some := fromWallet()
	some.AtMost = usd(200)
	for range 2 {
		got, err := w.buy(p, 2000, gift(one), gift(two), some, card("tok_visa"))
		shows(t, got, err, captured, 2000, 0)
		var shares []string
		for _, s := range got.GetShares() {
			shares = append(shares, fmt.Sprint(s.GetTender().GetGiftCardCode(), s.GetTender().GetWallet(), s.GetTender().GetCardToken(), s.GetAmount().GetMinorUnits()))
		}
		if want := "[GC-USE1false300 GC-USE1false1000 true200 falsetok_visa500]"; fmt.Sprint(shares) != want {
			t.Errorf("shares %v, want %s", shares, want)
		}
	}
	if w.left(t, one) != 0 || w.left(t, two) != 0 || w.inWallet(t, p) != 300 {
		t.Errorf("left: %d, %d and %d in the wallet", w.left(t, one), w.left(t, two), w.inWallet(t, p))
	}
	w.expectAtNetwork(t, p, 500, 0)
	w.checkBooks(t)
	w.mustUndo(t, p, refunded)
	w.mustUndo(t, p, refunded)
	if w.left(t, one) != 300 || w.left(t, two) != 1000 || w.inWallet(t, p) != 500 {
		t.Errorf("given back: %d, %d and %d in the wallet", w.left(t, one), w.left(t, two), w.inWallet(t, p))
	}
	w.expectAtNetwork(t, p, 500, 500)
	w.checkBooks(t)
}

func TestAnOrderThatNeedsNoCardAsksNoNetwork(t *testing.T) {
	w, p, q := newWorld(t), newPurchase(), newPurchase()
	code := w.gift(t, 1000)
	w.link.set(true)
	got, err := w.buy(p, 600, gift(code), card("tok_visa"))
	shows(t, got, err, captured, 600, 0)
	got, err = w.hold(q, 400, gift(code))
	shows(t, got, err, authorized, 0, 0)
	got, err = w.ship(q, "s1", 150, true)
	shows(t, got, err, captured, 150, 0)
	if w.left(t, code) != 250 {
		t.Errorf("%d left", w.left(t, code))
	}
	w.checkBooks(t)
}

func TestATenderThatRefusesUndoesWhatTheEarlierOnesGave(t *testing.T) {
	w := newWorld(t)
	code, spent := w.gift(t, 300), w.gift(t, 100)
	if _, err := w.buy(newPurchase(), 100, gift(spent)); err != nil {
		t.Fatal(err)
	}
	unknown := newCode([]byte("another key"), "use1", "x")
	for name, c := range map[string]struct {
		tenders []*paymentv1.Tender
		code    string
	}{
		"declined card":  {[]*paymentv1.Tender{gift(code), card("tok_insufficient_funds")}, "insufficient_funds"},
		"no such token":  {[]*paymentv1.Tender{gift(code), card("tok_of_nobody")}, "unknown_token"},
		"empty gift":     {[]*paymentv1.Tender{gift(code), gift(spent), card("tok_visa")}, codeGiftCardEmpty},
		"unknown gift":   {[]*paymentv1.Tender{gift(code), gift(string(unknown)), card("tok_visa")}, codeUnknownGiftCard},
		"malformed gift": {[]*paymentv1.Tender{gift(code), gift("GC-USE1"), card("tok_visa")}, codeUnknownGiftCard},
		"empty wallet":   {[]*paymentv1.Tender{gift(code), fromWallet(), card("tok_visa")}, codeWalletEmpty},
		"not enough":     {[]*paymentv1.Tender{gift(code)}, codeInsufficient},
	} {
		for _, how := range []func(purchase, int64, ...*paymentv1.Tender) (*paymentv1.Payment, error){w.buy, w.hold} {
			p := newPurchase()
			for range 2 { // the answer stays
				_, err := how(p, 1000, c.tenders...)
				refusedAs(t, err, c.code)
			}
			if w.left(t, code) != 300 {
				t.Fatalf("%s: %d left", name, w.left(t, code))
			}
			w.expectAtNetwork(t, p, 0, 0)
			w.mustUndo(t, p, paymentv1.State_STATE_DECLINED)
		}
	}
	w.checkBooks(t)
}

func TestAGiftCardSpentByManyOrdersAtOnceIsNeverOverspentAndALosersUndoNeverTouchesAWinner(t *testing.T) {
	const orders, each, worth = 12, 300, 1000
	w := newWorld(t)
	code := w.gift(t, worth)
	var mu sync.Mutex
	var winners []purchase
	var wg sync.WaitGroup
	for i := range orders {
		wg.Go(func() {
			p := newPurchase()
			least := gift(code)
			least.AtMost = usd(each)
			// A third of them has a card that is declined after the gift card was drawn on.
			token := []string{"tok_visa", "tok_visa", "tok_declined"}[i%3]
			_, err := w.buy(p, each+100, least, card(token))
			if err == nil {
				mu.Lock()
				winners = append(winners, p)
				mu.Unlock()
				return
			}
			if !problem.Is(err, "PAYMENT_DECLINED") {
				t.Error(err)
			}
			if _, err := w.undo(p); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	var spent int64
	for _, p := range winners {
		got, err := w.GetPayment(t.Context(), &paymentv1.GetPaymentRequest{CustomerId: string(p.customer), OrderId: string(p.order)})
		shows(t, got.GetPayment(), err, captured, each+100, 0)
		c, _ := w.atNetwork(t, p)
		spent += each + 100 - c
	}
	if left := w.left(t, code); left != worth-spent || spent > worth || len(winners) == 0 {
		t.Errorf("%d winners spent %d of %d, and %d is left", len(winners), spent, worth, left)
	}
	w.checkBooks(t)
}

func TestACardsRefusalWhileTheAnswerIsLostGivesTheGiftCardBackOnce(t *testing.T) {
	w, p := newWorld(t), newPurchase()
	code := w.gift(t, 300)
	_, err := w.buy(p, 1000, gift(code), card("tok_unavailable"))
	refused(t, err, problem.Unavailable, "PAYMENT_UNKNOWN")
	if w.left(t, code) != 0 {
		t.Error("while nothing is known the gift card's share stays with the order")
	}
	_, err = w.undo(p)
	refused(t, err, problem.Unavailable, "PAYMENT_UNKNOWN")
	w.clock.Advance(settleTime)
	w.mustUndo(t, p, voided)
	w.mustUndo(t, p, voided)
	if w.left(t, code) != 300 {
		t.Errorf("%d left", w.left(t, code))
	}
	w.checkBooks(t)
}

func TestABadTenderIsNamed(t *testing.T) {
	w := newWorld(t)
	code := w.gift(t, 5)
	zero, limited := fromWallet(), card("tok_visa")
	zero.AtMost, limited.AtMost = usd(0), usd(1)
	for field, tenders := range map[string][]*paymentv1.Tender{
		"card_token":            {},
		"tenders":               {gift("a"), gift("b"), gift("c"), gift("d"), gift("e"), card("tok_visa")},
		"tenders[1]":            {card("tok_visa"), fromWallet()},
		"tenders[0].at_most":    {zero},
		"tenders[1].at_most":    {fromWallet(), limited},
		"tenders[2]":            {fromWallet(), gift(code), gift(" " + code)},
		"tenders[0].card_token": {card("")},
		"tenders[0]":            {{}},
	} {
		_, err := w.buy(newPurchase(), 5, tenders...)
		refused(t, err, problem.Invalid, "INVALID_FIELDS")
		detail, _ := problem.Detail[*problemv1.FieldViolations](err)
		if len(detail.GetViolations()) != 1 || detail.GetViolations()[0].GetField() != field {
			t.Errorf("got %v, want only %s", detail, field)
		}
	}
}

func TestAGiftCardOfAnotherRegionPaysToo(t *testing.T) {
	w, p := newWorld(t), newPurchase()
	resp, err := w.IssueGiftCard(t.Context(), &paymentv1.IssueGiftCardRequest{IssueId: "abroad", Amount: usd(700), Region: "eu-central-1"})
	if err != nil {
		t.Fatal(err)
	}
	code := resp.GetGiftCard().GetCode()
	got, err := w.buy(p, 700, gift(code))
	shows(t, got, err, captured, 700, 0)
	w.mustUndo(t, p, refunded)
	if w.left(t, code) != 700 {
		t.Errorf("%d left", w.left(t, code))
	}
	w.checkBooks(t)
}

func TestAWalletIsCreditedOnceACreditAndSpentOnlyByItsCustomer(t *testing.T) {
	w, p := newWorld(t), newPurchase()
	req := &paymentv1.CreditWalletRequest{CustomerId: string(p.customer), CreditId: "c1", Amount: usd(500)}
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			if resp, err := w.CreditWallet(t.Context(), req); err != nil || resp.GetBalance().GetMinorUnits() != 500 {
				t.Errorf("%v, %v", resp, err)
			}
		})
	}
	wg.Wait()
	seen, err := w.GetWallet(session.With(t.Context(), session.Principal{CustomerID: p.customer}), &paymentv1.GetWalletRequest{})
	if err != nil || len(seen.GetBalances()) != 1 || seen.GetBalances()[0].GetMinorUnits() != 500 {
		t.Errorf("the wallet shows %v, %v", seen, err)
	}
	_, err = w.GetWallet(t.Context(), &paymentv1.GetWalletRequest{})
	if problem.KindOf(err) != problem.Unauthenticated {
		t.Errorf("without a session: %v", err)
	}
	req.Amount = usd(501)
	_, err = w.CreditWallet(t.Context(), req)
	refused(t, err, problem.Precondition, "CREDIT_MISMATCH")
	other := purchase{customer: ident.NewCustomer("use1"), order: ident.NewOrder("use1")}
	_, err = w.buy(other, 5, fromWallet())
	refusedAs(t, err, codeWalletEmpty)
	got, err := w.buy(p, 500, fromWallet())
	shows(t, got, err, captured, 500, 0)
	w.checkBooks(t)
}
