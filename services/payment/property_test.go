package payment

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"

	"pgregory.net/rapid"

	paymentv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/payment/v1"
	"github.com/cellar-commerce/cellar/internal/problem"
)

// deed is one thing that happens to an order.
type deed struct {
	what string
	id   string
	// cents of captures and refunds.
	cents int64
}

// plan of one order: how it is paid, and what happens to it afterwards.
type plan struct {
	purchase
	total   int64
	tenders []*paymentv1.Tender
	hold    bool
	deeds   []deed
}

func drawPlan(rt *rapid.T, codes []string, buyer purchase) plan {
	p := plan{purchase: purchase{customer: buyer.customer, order: newPurchase().order}, total: rapid.Int64Range(1, 900).Draw(rt, "total"), hold: rapid.Bool().Draw(rt, "hold")}
	for _, i := range rapid.SampledFrom([][]int{{}, {0}, {1}, {0, 1}, {1, 0}}).Draw(rt, "gift cards") {
		t := gift(codes[i])
		if most := rapid.Int64Range(0, 300).Draw(rt, "at most"); most > 0 {
			t.AtMost = usd(most)
		}
		p.tenders = append(p.tenders, t)
	}
	if rapid.Bool().Draw(rt, "wallet") {
		p.tenders = append(p.tenders, fromWallet())
	}
	token := rapid.SampledFrom([]string{"tok_visa", "tok_visa", "tok_declined", "tok_error_after_success", "tok_unavailable_once", ""}).Draw(rt, "card")
	if token != "" || len(p.tenders) == 0 {
		p.tenders = append(p.tenders, card(token+map[bool]string{true: "tok_visa"}[token == ""]))
	}
	for range rapid.IntRange(0, 5).Draw(rt, "deeds") {
		p.deeds = append(p.deeds, deed{
			what: rapid.SampledFrom([]string{"pay", "capture", "capture", "last", "refund", "refund", "undo"}).Draw(rt, "deed"),
			id:   fmt.Sprint("m", rapid.IntRange(1, 3).Draw(rt, "id")), cents: rapid.Int64Range(1, 600).Draw(rt, "cents"),
		})
	}
	return p
}

func (w world) do(p plan, d deed) error {
	switch d.what {
	case "pay":
		if p.hold {
			return step(w.hold(p.purchase, p.total, p.tenders...))
		}
		return step(w.buy(p.purchase, p.total, p.tenders...))
	case "capture", "last":
		return step(w.ship(p.purchase, d.id, d.cents, d.what == "last"))
	case "refund":
		return step(w.giveBackPart(p.purchase, d.id, d.cents))
	default:
		_, err := w.undo(p.purchase)
		return err
	}
}

// live a plan: whatever fails is asked for again: a process dies once, and a network is away once.
func (w world) live(p plan) error {
	for _, d := range append([]deed{{what: "pay"}}, p.deeds...) {
		err := w.do(p, d)
		for try := 0; try < 2 && err != nil && problem.KindOf(err) != problem.Precondition; try++ {
			w.clock.Advance(settleTime)
			err = w.do(p, d)
		}
		if err != nil && problem.KindOf(err) != problem.Precondition && !problem.Is(err, "PAYMENT_UNKNOWN") {
			return fmt.Errorf("%s of %s: %w", d.what, p.order, err)
		}
	}
	return nil
}

// Whatever happens to orders that share gift cards and a wallet, at once, with a process that dies now and then: money is
// neither made nor lost.
func TestMoneyIsConservedInEveryHistory(t *testing.T) {
	w, f := newFusedWorld(t)
	rapid.Check(t, func(rt *rapid.T) {
		f.left.Store(-1)
		const worth, credit = 400, 500
		codes := []string{w.gift(t, worth), w.gift(t, worth)}
		buyer := newPurchase()
		w.credit(t, buyer, credit)
		var plans []plan
		for range rapid.IntRange(1, 4).Draw(rt, "orders") {
			plans = append(plans, drawPlan(rt, codes, buyer))
		}
		f.left.Store(rapid.Int64Range(1, 60).Draw(rt, "dies at"))
		errs := make([]error, len(plans))
		var wg sync.WaitGroup
		for i, p := range plans {
			wg.Go(func() { errs[i] = w.live(p) })
		}
		wg.Wait()
		f.left.Store(-1)
		if err := errors.Join(errs...); err != nil {
			rt.Fatal(err)
		}
		for _, p := range plans {
			w.rest(p)
		}
		credits := w.left(t, codes[0]) + w.left(t, codes[1]) + w.inWallet(t, buyer)
		for _, p := range plans {
			credits += w.checkPayment(rt, p)
		}
		if credits != 2*worth+credit {
			rt.Fatalf("of %d on gift cards and in the wallet %d is there", 2*worth+credit, credits)
		}
	})
	w.checkBooks(t)
}

// rest asks for everything once more: whatever was unknown is known then.
func (w world) rest(p plan) {
	w.clock.Advance(settleTime)
	for _, d := range append([]deed{{what: "pay"}}, p.deeds...) {
		_ = w.do(p, d)
	}
}

// checkPayment compares an order with the network and gives what it keeps of gift cards and the wallet.
func (w world) checkPayment(rt *rapid.T, p plan) (credit int64) {
	found, moves, err := w.find(context.Background(), w.db, stmtGet, p.customer, p.order)
	if err != nil {
		rt.Fatal(err)
	}
	if found.State == Pending || found.Closing && found.State != Refunded && found.State != Voided {
		rt.Fatalf("%s is %s, closing: %v", p.order, found.State, found.Closing)
	}
	for _, m := range moves {
		if m.State == MovePending {
			rt.Fatalf("%s: %+v never ended", p.order, m)
		}
	}
	var taken, back, held int64
	for _, t := range found.Tenders {
		taken, back, held = taken+t.Captured, back+t.Refunded, held+t.Amount-t.Captured-t.Released
		credit += t.left()
	}
	captured, refunded := w.atNetwork(rt, p.purchase)
	switch {
	case captured+taken-refunded-back != found.captured()-found.refunded():
		rt.Fatalf("%s keeps %d, its tenders %d", p.order, found.captured()-found.refunded(), captured+taken-refunded-back)
	case found.refunded() > found.captured() || found.captured() > p.total:
		rt.Fatalf("%s of %d captured %d and refunded %d", p.order, p.total, found.captured(), found.refunded())
	case found.State == Captured && !p.hold && found.captured() != p.total:
		rt.Fatalf("%s captured %d of %d at once", p.order, found.captured(), p.total)
	case held > 0 && found.State != Authorized:
		rt.Fatalf("%s is %s and holds %d", p.order, found.State, held)
	case (found.State == Declined || found.State == Voided) && (captured != refunded || credit != 0):
		rt.Fatalf("%s is %s and keeps %d", p.order, found.State, captured-refunded+credit)
	}
	return credit
}
