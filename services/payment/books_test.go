package payment

import (
	"context"
	"testing"

	"github.com/cellar-commerce/cellar/internal/cardnetwork"
	moneyv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/money/v1"
	paymentv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/payment/v1"
	"github.com/cellar-commerce/cellar/internal/ident"
	"github.com/cellar-commerce/cellar/internal/sqldb"
)

var (
	stmtTestEntries = sqldb.Define(sqldb.Customer, "payment_test.entries", `SELECT account, movement, amount_minor_units FROM ledger_entries`)

	stmtTestBalances = sqldb.Define(sqldb.Customer, "payment_test.balances", `
SELECT 'gift_card/' || encode(code_hash, 'hex'), balance_minor_units FROM gift_cards
UNION ALL SELECT 'wallet/' || customer_id, balance_minor_units FROM wallets
UNION ALL SELECT 'order/' || order_id, sum(amount_minor_units - refunded_minor_units - released_minor_units)::int8 FROM payment_tenders GROUP BY order_id`)
)

// reporter is what *testing.T and *rapid.T have in common.
type reporter interface {
	Helper()
	Errorf(format string, args ...any)
	Fatal(args ...any)
	Fatalf(format string, args ...any)
}

// checkBooks proves the double-entry ledger: each movement sums to zero, and each account to its balance.
func (w world) checkBooks(t reporter) {
	t.Helper()
	ctx := context.Background()
	type entry struct {
		account, movement string
		amount            int64
	}
	entries, err := sqldb.Collect(ctx, w.db, stmtTestEntries, func(r sqldb.Row) (e entry, err error) {
		err = r.Scan(&e.account, &e.movement, &e.amount)
		return e, err
	})
	if err != nil {
		t.Fatal(err)
	}
	movements, accounts, sides := map[string]int64{}, map[string]int64{}, map[string]int{}
	for _, e := range entries {
		movements[e.movement] += e.amount
		sides[e.movement]++
		accounts[e.account] += e.amount
	}
	for m, sum := range movements {
		if sum != 0 || sides[m] != 2 {
			t.Errorf("the %d entries of %s sum to %d", sides[m], m, sum)
		}
	}
	balances, err := sqldb.Collect(ctx, w.db, stmtTestBalances, func(r sqldb.Row) (e entry, err error) {
		err = r.Scan(&e.account, &e.amount)
		return e, err
	})
	if err != nil {
		t.Fatal(err)
	}
	delete(accounts, issued)
	delete(accounts, credited)
	for _, b := range balances {
		if b.amount != accounts[b.account] || b.amount < 0 {
			t.Errorf("%s has %d, its entries sum to %d", b.account, b.amount, accounts[b.account])
		}
		delete(accounts, b.account)
	}
	for a, sum := range accounts {
		t.Errorf("%s has no balance, its entries sum to %d", a, sum)
	}
}

func usd(cents int64) *moneyv1.Money { return &moneyv1.Money{CurrencyCode: "USD", MinorUnits: cents} }

func card(token string) *paymentv1.Tender {
	return &paymentv1.Tender{Means: &paymentv1.Tender_CardToken{CardToken: token}}
}

func gift(code string) *paymentv1.Tender {
	return &paymentv1.Tender{Means: &paymentv1.Tender_GiftCardCode{GiftCardCode: code}}
}

func fromWallet() *paymentv1.Tender {
	return &paymentv1.Tender{Means: &paymentv1.Tender_Wallet{Wallet: true}}
}

// gift card worth some cents; gives its code.
func (w world) gift(t testing.TB, cents int64) string {
	t.Helper()
	resp, err := w.IssueGiftCard(t.Context(), &paymentv1.IssueGiftCardRequest{IssueId: ident.NewToken(), Amount: usd(cents)})
	if err != nil {
		t.Fatal(err)
	}
	return resp.GetGiftCard().GetCode()
}

func (w world) left(t testing.TB, code string) int64 {
	t.Helper()
	resp, err := w.GetGiftCard(t.Context(), &paymentv1.GetGiftCardRequest{Code: code})
	if err != nil {
		t.Fatal(err)
	}
	return resp.GetGiftCard().GetBalance().GetMinorUnits()
}

func (w world) credit(t testing.TB, p purchase, cents int64) {
	t.Helper()
	_, err := w.CreditWallet(t.Context(), &paymentv1.CreditWalletRequest{CustomerId: string(p.customer), CreditId: ident.NewToken(), Amount: usd(cents), Reason: "a late parcel"})
	if err != nil {
		t.Fatal(err)
	}
}

func (w world) inWallet(t testing.TB, p purchase) int64 {
	t.Helper()
	all, err := w.wallet(t.Context(), p.customer)
	if err != nil {
		t.Fatal(err)
	}
	sum := int64(0)
	for _, a := range all {
		sum += a.Minor
	}
	return sum
}

// buy at once.
func (w world) buy(p purchase, cents int64, tenders ...*paymentv1.Tender) (*paymentv1.Payment, error) {
	resp, err := w.Capture(context.Background(), &paymentv1.CaptureRequest{CustomerId: string(p.customer), OrderId: string(p.order), Amount: usd(cents), Tenders: tenders})
	return resp.GetPayment(), err
}

// hold to capture later.
func (w world) hold(p purchase, cents int64, tenders ...*paymentv1.Tender) (*paymentv1.Payment, error) {
	resp, err := w.Authorize(context.Background(), &paymentv1.AuthorizeRequest{CustomerId: string(p.customer), OrderId: string(p.order), Amount: usd(cents), Tenders: tenders})
	return resp.GetPayment(), err
}

// ship captures a part of what is held.
func (w world) ship(p purchase, id string, cents int64, last bool) (*paymentv1.Payment, error) {
	resp, err := w.Capture(context.Background(), &paymentv1.CaptureRequest{CustomerId: string(p.customer), OrderId: string(p.order), CaptureId: id, Amount: usd(cents), Last: last})
	return resp.GetPayment(), err
}

// giveBackPart refunds a part.
func (w world) giveBackPart(p purchase, id string, cents int64) (*paymentv1.Payment, error) {
	resp, err := w.Refund(context.Background(), &paymentv1.RefundRequest{CustomerId: string(p.customer), OrderId: string(p.order), RefundId: id, Amount: usd(cents)})
	return resp.GetPayment(), err
}

// shows what matters of a payment: its state, and captured − refunded.
func shows(t reporter, got *paymentv1.Payment, err error, state paymentv1.State, captured, refunded int64) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	if got.GetState() != state || got.GetCaptured().GetMinorUnits() != captured || got.GetRefunded().GetMinorUnits() != refunded {
		t.Fatalf("got %v, captured %d, refunded %d; want %v, %d, %d", got.GetState(), got.GetCaptured().GetMinorUnits(), got.GetRefunded().GetMinorUnits(), state, captured, refunded)
	}
}

// atNetwork sums what the card network says it moved for an order.
func (w world) atNetwork(t reporter, p purchase) (captured, refunded int64) {
	t.Helper()
	page, err := w.network.Ledger(context.Background(), 0, 10_000)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range page.Entries {
		switch {
		case e.Reference != string(p.order):
		case e.Kind == "capture":
			captured += e.Amount
		case e.Kind == "refund":
			refunded += e.Amount
		}
	}
	return captured, refunded
}

func (w world) expectAtNetwork(t reporter, p purchase, captured, refunded int64) {
	t.Helper()
	if c, r := w.atNetwork(t, p); c != captured || r != refunded {
		t.Errorf("the network captured %d and refunded %d, want %d and %d", c, r, captured, refunded)
	}
}

var testDumps = map[string]*sqldb.Statement{}

func init() {
	for _, table := range []string{"payments", "payment_tenders", "payment_moves", "gift_cards", "ledger_entries"} {
		testDumps[table] = sqldb.Define(sqldb.Customer, "payment_test.dump_"+table, "SELECT t::text FROM "+table+" AS t")
	}
}

// dump the rows of a table as text.
func (w world) dump(t testing.TB, table string, rows *[]string) (err error) {
	*rows, err = sqldb.Collect(t.Context(), w.db, testDumps[table], func(r sqldb.Row) (text string, err error) {
		err = r.Scan(&text)
		return text, err
	})
	return err
}

func cardVoid(charge string) cardnetwork.VoidRequest {
	return cardnetwork.VoidRequest{Key: "somebody-else", ChargeID: charge}
}
