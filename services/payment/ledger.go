package payment

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/cellar-commerce/cellar/internal/ident"
	"github.com/cellar-commerce/cellar/internal/money"
	"github.com/cellar-commerce/cellar/internal/problem"
	"github.com/cellar-commerce/cellar/internal/sqldb"
)

// movement of money from one account to another: two entries that sum to zero. Its id makes it happen once.
type movement struct {
	id       string
	from, to account
	amount   money.Amount
	reason   string
}

// enter a movement into the ledger.
func (s *Service) enter(b *sqldb.Batch, m movement) {
	now := s.deps.Clock.Now()
	b.Queue(stmtEnter, nil, string(m.from.region), m.from.name, m.id, -m.amount.Minor, m.amount.Currency, m.reason, now)
	b.Queue(stmtEnter, nil, string(m.to.region), m.to.name, m.id, m.amount.Minor, m.amount.Currency, m.reason, now)
}

// errShort: a balance was not what had been read under lock. It cannot be.
var errShort = errors.New("the account has less than was read")

// exactlyOne refuses a write that found no row.
func exactlyOne(what error) func(int64) error {
	return func(rows int64) error {
		if rows != 1 {
			return what
		}
		return nil
	}
}

// take from a gift card or wallet; the statement itself refuses what is not there.
func (s *Service) take(b *sqldb.Batch, from account, amount money.Amount) {
	region := string(from.region)
	if from.isWallet() {
		b.Queue(stmtTakeWallet, exactlyOne(errShort), region, from.owner(), amount.Currency, amount.Minor, s.deps.Clock.Now())
		return
	}
	b.Queue(stmtTakeGiftCard, exactlyOne(errShort), region, from.hash(), amount.Minor)
}

// give to a gift card or wallet.
func (s *Service) give(b *sqldb.Batch, to account, amount money.Amount) {
	region := string(to.region)
	if to.isWallet() {
		b.Queue(stmtGiveWallet, exactlyOne(errShort), region, to.owner(), amount.Currency, amount.Minor, s.deps.Clock.Now())
		return
	}
	b.Queue(stmtGiveGiftCard, exactlyOne(errShort), region, to.hash(), amount.Minor)
}

// balances of what a bill names, locked until the end of the transaction. Whoever locks several does so in one order, so
// that two orders with the same cards do not wait for each other.
func (s *Service) balances(ctx context.Context, tx sqldb.Tx, sources []source, currency string) (map[account]int64, error) {
	sorted := slices.Clone(sources)
	slices.SortFunc(sorted, func(a, b source) int {
		return cmp.Or(cmp.Compare(a.account.name, b.account.name), cmp.Compare(a.account.region, b.account.region))
	})
	all := map[account]int64{}
	for _, src := range sorted {
		a := src.account
		if a == (account{}) {
			continue // a malformed code is no card's
		}
		lock, holder := stmtLockGiftCard, any(a.hash())
		if a.isWallet() {
			lock, holder = stmtLockWallet, a.owner()
		}
		var balance int64
		err := tx.QueryRow(ctx, lock, string(a.region), holder, currency).Scan(&balance)
		if errors.Is(err, sqldb.ErrNoRows) {
			continue // absent, or of another currency
		}
		if err != nil {
			return nil, err
		}
		all[a] = balance
	}
	return all, nil
}

// drawAll gives the payment what gift cards and the wallet bear of it, or marks it declined and draws nothing.
func (s *Service) drawAll(ctx context.Context, tx sqldb.Tx, p *Payment, sources []source) error {
	balances, err := s.balances(ctx, tx, sources, p.Amount.Currency)
	if err != nil {
		return err
	}
	taken, refusal := draw(p.Amount.Minor, p.CardToken != "", sources, balances)
	if refusal != "" {
		p.State, p.DeclineCode = Declined, refusal
		return nil
	}
	b := &sqldb.Batch{}
	for i, amount := range taken {
		if amount == 0 {
			continue
		}
		t := Tender{Position: int32(i + 1), Account: sources[i].account, Amount: amount}
		p.Credit += amount
		p.Tenders = append(p.Tenders, t)
		s.take(b, t.Account, money.Amount{Minor: amount, Currency: p.Amount.Currency})
		s.enter(b, movement{id: fmt.Sprintf("draw/%s/%d", p.OrderID, t.Position), from: t.Account, to: orderAccount(p.OrderID), amount: money.Amount{Minor: amount, Currency: p.Amount.Currency}})
		b.Queue(stmtAddTender, nil, string(p.OrderID.Region()), string(p.OrderID), t.Position, string(t.Account.region), t.Account.name, t.Amount, t.Captured)
	}
	return tx.Send(ctx, b)
}

// giveBack some of what a tender gave. Why names the cause, so that each counts once.
func (s *Service) giveBack(b *sqldb.Batch, p Payment, t Tender, minor int64, why string) {
	amount := money.Amount{Minor: minor, Currency: p.Amount.Currency}
	s.give(b, t.Account, amount)
	s.enter(b, movement{id: fmt.Sprintf("%s/%s/%d", why, p.OrderID, t.Position), from: orderAccount(p.OrderID), to: t.Account, amount: amount})
}

// releaseUncaptured gives back what the tenders gave and nobody has captured.
func (s *Service) releaseUncaptured(ctx context.Context, tx sqldb.Tx, p *Payment) error {
	b := &sqldb.Batch{}
	for i := range p.Tenders {
		t := &p.Tenders[i]
		if rest := t.Amount - t.Captured - t.Released; rest > 0 {
			s.giveBack(b, *p, *t, rest, "release")
			t.Released += rest
		}
	}
	return tx.Send(ctx, b)
}

// captureCredit marks what a capture takes of the tenders, in the order they were drawn on.
func (p *Payment) captureCredit(minor int64) (left int64) {
	for i := range p.Tenders {
		t := &p.Tenders[i]
		take := min(minor, t.Amount-t.Captured-t.Released)
		t.Captured += take
		minor -= take
	}
	return minor
}

// uncaptureCredit takes back what a refused capture had marked.
func (p *Payment) uncaptureCredit(minor int64) {
	for i := len(p.Tenders) - 1; i >= 0; i-- {
		t := &p.Tenders[i]
		back := min(minor, t.Captured-t.Refunded)
		t.Captured -= back
		minor -= back
	}
}

// refundCredit gives a refund's share back to the tenders, in reverse.
func (s *Service) refundCredit(ctx context.Context, tx sqldb.Tx, p *Payment, minor int64, why string) error {
	b := &sqldb.Batch{}
	for i := len(p.Tenders) - 1; i >= 0; i-- {
		t := &p.Tenders[i]
		if back := min(minor, t.Captured-t.Refunded); back > 0 {
			s.giveBack(b, *p, *t, back, why)
			t.Refunded += back
			minor -= back
		}
	}
	if minor > 0 {
		return fmt.Errorf("refund of %s: %d more than its tenders have: %w", p.OrderID, minor, errShort)
	}
	return tx.Send(ctx, b)
}

// GiftCard as it is told to whoever knows its code.
type GiftCard struct {
	Code            code
	Issued, Balance money.Amount
}

// issue a gift card, once an issue id.
func (s *Service) issue(ctx context.Context, ring ident.RingCode, issueID string, amount money.Amount) (GiftCard, error) {
	c := newCode(s.deps.GiftCardKey, ring, issueID)
	region, _ := regionOf(ring)
	a := c.account(region)
	card := GiftCard{Code: c}
	err := s.deps.DB.InTx(ctx, func(tx sqldb.Tx) error {
		made, err := tx.Exec(ctx, stmtIssue, string(region), a.hash(), issueID, amount.Currency, amount.Minor, s.deps.Clock.Now())
		if err != nil {
			return err
		}
		if made == 1 {
			b := &sqldb.Batch{}
			s.enter(b, movement{id: "issue/" + issueID, from: account{region: region, name: issued}, to: a, amount: amount})
			if err := tx.Send(ctx, b); err != nil {
				return err
			}
		}
		var hash []byte
		if hash, err = card.scan(tx.QueryRow(ctx, stmtIssued, string(region), issueID)); err != nil {
			return err
		}
		if string(hash) != string(a.hash()) {
			return errors.New("the key of gift cards is not the one this card was issued with")
		}
		if card.Issued != amount {
			return problem.New(problem.Precondition, "ISSUE_MISMATCH", "this issue was made with another amount")
		}
		return nil
	})
	return card, err
}

func (c *GiftCard) scan(row sqldb.Row) (hash []byte, err error) {
	var currency string
	err = row.Scan(&hash, &currency, &c.Issued.Minor, &c.Balance.Minor)
	c.Issued.Currency, c.Balance.Currency = currency, currency
	return hash, err
}

// giftCard of a code. A code that is malformed and one that no card has are answered alike.
func (s *Service) giftCard(ctx context.Context, text string) (GiftCard, error) {
	a, ok := parseCode(text)
	if !ok {
		return GiftCard{}, unknownGiftCard()
	}
	card := GiftCard{Code: code(text)}
	_, err := card.scan(s.deps.DB.QueryRow(ctx, stmtGiftCard, string(a.region), a.hash()))
	if errors.Is(err, sqldb.ErrNoRows) {
		return GiftCard{}, unknownGiftCard()
	}
	return card, err
}

func unknownGiftCard() error {
	return problem.New(problem.NotFound, "UNKNOWN_GIFT_CARD", "there is no such gift card")
}

// credit a wallet, once a credit id, and give its balance.
func (s *Service) credit(ctx context.Context, customer ident.CustomerID, id string, amount money.Amount, reason string) (money.Amount, error) {
	balance := money.Zero(amount.Currency)
	to, region := walletOf(customer), string(customer.Region())
	m := movement{id: "credit/" + string(customer) + "/" + id, from: account{region: customer.Region(), name: credited}, to: to, amount: amount, reason: reason}
	err := s.deps.Fence.InSlotTx(ctx, customer, func(tx sqldb.Tx) error {
		// The wallet's row is the lock: of two credits with one id, the later one sees the earlier one's entry.
		b := &sqldb.Batch{}
		s.give(b, to, money.Zero(amount.Currency))
		if err := tx.Send(ctx, b); err != nil {
			return err
		}
		if err := tx.QueryRow(ctx, stmtLockWallet, region, string(customer), amount.Currency).Scan(&balance.Minor); err != nil {
			return err
		}
		var before money.Amount
		err := tx.QueryRow(ctx, stmtEntered, region, to.name, m.id).Scan(&before.Minor, &before.Currency)
		switch {
		case err == nil && before != amount:
			return problem.New(problem.Precondition, "CREDIT_MISMATCH", "this credit was given with another amount")
		case err == nil:
			return nil
		case !errors.Is(err, sqldb.ErrNoRows):
			return err
		}
		balance.Minor += amount.Minor
		b = &sqldb.Batch{}
		s.give(b, to, amount)
		s.enter(b, m)
		return tx.Send(ctx, b)
	})
	return balance, err
}

// wallet of a customer: one balance a currency.
func (s *Service) wallet(ctx context.Context, customer ident.CustomerID) ([]money.Amount, error) {
	return sqldb.Collect(ctx, s.deps.DB, stmtWallets, func(r sqldb.Row) (a money.Amount, err error) {
		err = r.Scan(&a.Currency, &a.Minor)
		return a, err
	}, string(customer.Region()), string(customer))
}
