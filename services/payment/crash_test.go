package payment

import (
	"errors"
	"fmt"
	"sync/atomic"
	"testing"

	paymentv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/payment/v1"
	"github.com/cellar-commerce/cellar/internal/problem"
	"github.com/cellar-commerce/cellar/internal/sqldb"
	"github.com/cellar-commerce/cellar/internal/sqldb/sqldbtest"
)

// fuse fails the n-th of all moments at which a process can die or an answer be lost; it fails once.
type fuse struct{ left atomic.Int64 }

func (f *fuse) burns() bool { return f.left.Add(-1) == 0 }

// newFusedWorld has a fuse at each point of the database and before and after each request to the network.
func newFusedWorld(t *testing.T) (world, *fuse) {
	t.Helper()
	f := &fuse{}
	w := newWorld(t, sqldbtest.WithFaults(func(p sqldb.Point) error {
		if !f.burns() {
			return nil
		}
		if p == sqldb.AfterCommit {
			return fmt.Errorf("played by a test: %w", sqldb.ErrAmbiguous)
		}
		return errors.New("the process has died")
	}))
	w.link.loses(func(bool) bool { return f.burns() })
	return w, f
}

// insist on a step until it has an answer, as a saga does.
func (w world) insist(t *testing.T, step func() error) {
	t.Helper()
	for range 5 {
		err := step()
		if err == nil || problem.KindOf(err) == problem.Precondition {
			return
		}
		w.clock.Advance(settleTime)
	}
	t.Errorf("a step never ends: %v", step())
}

// life of one payment, and what must come of it.
type life struct {
	steps func(w world, p purchase, code string) []func() error
	state paymentv1.State
	// gift is left on a card of 500, wallet in one of 300; the rest is at the network.
	gift, wallet, captured, refunded int64
}

func step(_ *paymentv1.Payment, err error) error { return err }

func undone(w world, p purchase) func() error {
	return func() error { _, err := w.undo(p); return err }
}

var lives = map[string]life{
	"one card at once": {func(w world, p purchase, _ string) []func() error {
		return []func() error{func() error { return w.pay(p, "tok_visa") }}
	}, captured, 500, 300, 1999, 0},
	"one card, given back": {func(w world, p purchase, _ string) []func() error {
		return []func() error{func() error { return w.pay(p, "tok_visa") }, undone(w, p)}
	}, refunded, 500, 300, 1999, 1999},
	"all tenders, a part given back, then all": {func(w world, p purchase, code string) []func() error {
		return []func() error{
			func() error { return step(w.buy(p, 1000, gift(code), fromWallet(), card("tok_visa"))) },
			func() error { return step(w.giveBackPart(p, "r1", 350)) },
			undone(w, p),
		}
	}, refunded, 500, 300, 200, 200},
	"a declined card": {func(w world, p purchase, code string) []func() error {
		return []func() error{
			func() error { return step(w.buy(p, 1000, gift(code), fromWallet(), card("tok_declined"))) },
			undone(w, p),
		}
	}, paymentv1.State_STATE_DECLINED, 500, 300, 0, 0},
	"two shipments, the rest let go of": {func(w world, p purchase, code string) []func() error {
		return []func() error{
			func() error { return step(w.hold(p, 1000, gift(code), fromWallet(), card("tok_visa"))) },
			func() error { return step(w.ship(p, "s1", 850, false)) },
			func() error { return step(w.ship(p, "s2", 0, true)) },
			func() error { return step(w.giveBackPart(p, "r1", 100)) },
		}
	}, captured, 0, 50, 50, 50},
	"shipped in part, then cancelled": {func(w world, p purchase, code string) []func() error {
		return []func() error{
			func() error { return step(w.hold(p, 1000, gift(code), card("tok_visa"))) },
			func() error { return step(w.ship(p, "s1", 600, false)) },
			undone(w, p),
		}
	}, refunded, 500, 300, 100, 100},
	"held, then cancelled": {func(w world, p purchase, code string) []func() error {
		return []func() error{
			func() error { return step(w.hold(p, 1000, gift(code), card("tok_visa"))) },
			undone(w, p),
		}
	}, voided, 500, 300, 0, 0},
}

func TestWhereverAProcessDiesTheMoneyEndsWhereItShould(t *testing.T) {
	w, f := newFusedWorld(t)
	for name, l := range lives {
		t.Run(name, func(t *testing.T) {
			for at := int64(1); ; at++ {
				f.left.Store(-1) // no fuse while the stage is set
				p, code := newPurchase(), w.gift(t, 500)
				w.credit(t, p, 300)
				f.left.Store(at)
				for _, s := range l.steps(w, p, code) {
					w.insist(t, s)
				}
				spared := f.left.Load() > 0 // the life was over before the fuse burnt
				f.left.Store(-1)
				for _, s := range l.steps(w, p, code) { // and everything once more
					w.insist(t, s)
				}
				got, err := w.GetPayment(t.Context(), &paymentv1.GetPaymentRequest{CustomerId: string(p.customer), OrderId: string(p.order)})
				if err != nil || got.GetPayment().GetState() != l.state {
					t.Errorf("died at %d: %v, %v; want %v", at, got.GetPayment().GetState(), err, l.state)
				}
				w.expectAtNetwork(t, p, l.captured, l.refunded)
				if g, c := w.left(t, code), w.inWallet(t, p); g != l.gift || c != l.wallet {
					t.Errorf("died at %d: %d on the gift card, %d in the wallet; want %d and %d", at, g, c, l.gift, l.wallet)
				}
				if t.Failed() || spared {
					t.Logf("died at %d moments", at-1)
					break
				}
			}
		})
	}
	w.checkBooks(t)
}

// What most payments are must stay cheap: the row before the network is asked, and what it said.
func TestOneCardAtOnceIsTwoTransactionsAndOneRow(t *testing.T) {
	transactions := 0
	w := newWorld(t, sqldbtest.WithFaults(func(p sqldb.Point) error {
		if p == sqldb.BeforeWork {
			transactions++
		}
		return nil
	}))
	if err := w.pay(newPurchase(), "tok_visa"); err != nil {
		t.Fatal(err)
	}
	if transactions != 2 {
		t.Errorf("%d transactions", transactions)
	}
	for table, want := range map[string]int{"payments": 1, "payment_tenders": 0, "payment_moves": 0, "ledger_entries": 0} {
		var rows []string
		if err := w.dump(t, table, &rows); err != nil || len(rows) != want {
			t.Errorf("%s has %d rows, %v", table, len(rows), err)
		}
	}
}
