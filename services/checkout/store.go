package checkout

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/cellar-commerce/cellar/internal/fence"
	checkoutv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/checkout/v1"
	orderv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/order/v1"
	"github.com/cellar-commerce/cellar/internal/ident"
	"github.com/cellar-commerce/cellar/internal/problem"
	"github.com/cellar-commerce/cellar/internal/saga"
	"github.com/cellar-commerce/cellar/internal/sqldb"
)

const (
	// methodPlace and methodQuote are the kinds of keys: the client's own, and the quote's nonce, which makes a quote
	// good for one order.
	methodPlace = "PlaceOrder"
	methodQuote = "quote"
	// keyLifetime is what clients may rely on.
	keyLifetime = 24 * time.Hour
)

var (
	stmtForget = sqldb.Define(sqldb.Customer, "checkout.forget", `
DELETE FROM idempotency_keys
WHERE region = $1 AND customer_id = $2 AND method = $3 AND key = $4 AND expires_at <= $5`)

	stmtRemember = sqldb.Define(sqldb.Customer, "checkout.remember", `
INSERT INTO idempotency_keys (region, customer_id, method, key, fingerprint, resource_id, created_at, expires_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
ON CONFLICT (region, customer_id, method, key) DO NOTHING`)

	// As remember, but a key that is there is a duplicate, which ends the transaction.
	stmtRememberNew = sqldb.Define(sqldb.Customer, "checkout.remember_new", `
INSERT INTO idempotency_keys (region, customer_id, method, key, fingerprint, resource_id, created_at, expires_at)
SELECT $1::crdb_internal_region, n.customer_id, n.method, n.key, n.fingerprint, n.resource_id, n.at, n.expires_at
FROM unnest($2::text[], $3::text[], $4::text[], $5::bytea[], $6::text[], $7::timestamptz[], $8::timestamptz[])
  AS n (customer_id, method, key, fingerprint, resource_id, at, expires_at)`)

	// A guard: it divides by zero when one of the customers has more live placements than that.
	stmtFewLive = sqldb.Define(sqldb.Customer, "checkout.few_live", `
SELECT 1 / (count(*) = 0)::int
FROM unnest($2::text[]) AS c (customer_id)
WHERE $5 < (
  SELECT count(*)
  FROM idempotency_keys AS k
  WHERE k.region = $1 AND k.customer_id = c.customer_id AND k.method = $3 AND k.answer IS NULL AND k.refusal IS NULL AND k.created_at > $4
)`)

	stmtRecall = sqldb.Define(sqldb.Customer, "checkout.recall", `
SELECT fingerprint, resource_id, answer, refusal
FROM idempotency_keys
WHERE region = $1 AND customer_id = $2 AND method = $3 AND key = $4 AND expires_at > $5`)

	stmtLive = sqldb.Define(sqldb.Customer, "checkout.live", `
SELECT count(*)
FROM idempotency_keys
WHERE region = $1 AND customer_id = $2 AND method = $3 AND answer IS NULL AND refusal IS NULL AND created_at > $4`)

	stmtAnswer = sqldb.Define(sqldb.Customer, "checkout.answer", `
UPDATE idempotency_keys AS k
SET answer = n.answer, refusal = n.refusal
FROM unnest($2::text[], $3::text[], $4::text[], $5::bytea[], $6::bytea[]) AS n (customer_id, method, key, answer, refusal)
WHERE k.region = $1 AND k.customer_id = n.customer_id AND k.method = n.method AND k.key = n.key`)

	stmtFreeQuote = sqldb.Define(sqldb.Customer, "checkout.free_quote", `
DELETE FROM idempotency_keys
WHERE region = $1 AND customer_id = $2 AND method = $3 AND key = $4 AND resource_id = $5`)

	stmtExpired = sqldb.Define(sqldb.Customer, "checkout.expired", `
SELECT expires_at, customer_id, method, key
FROM idempotency_keys
WHERE region = $1 AND expires_at <= $2 AND (expires_at, customer_id, method, key) > ($3, $4, $5, $6)
ORDER BY expires_at, customer_id, method, key
LIMIT $7`)

	stmtForgetExpired = sqldb.Define(sqldb.Customer, "checkout.forget_expired", `
DELETE FROM idempotency_keys
WHERE region = $1 AND expires_at <= $5 AND (customer_id, method, key) IN (
  SELECT n.customer_id, n.method, n.key
  FROM unnest($2::text[], $3::text[], $4::text[]) AS n (customer_id, method, key)
)`)
)

// keyed is what is known of an idempotency key.
type keyed struct {
	fingerprint []byte
	orderID     string
	placed      []byte // serialized PlaceOrderResponse, once placed
	refusal     []byte // serialized google.rpc.Status, once refused
}

// answered tells whether there is an answer.
func (k *keyed) answered() bool { return k.placed != nil || k.refusal != nil }

// answer gives again what was answered, or says that there is no answer yet.
func (k *keyed) answer() (*orderv1.Order, error) {
	switch {
	case k.placed != nil:
		var resp checkoutv1.PlaceOrderResponse
		if err := proto.Unmarshal(k.placed, &resp); err != nil {
			return nil, fmt.Errorf("stored answer of %s: %w", k.orderID, err)
		}
		return resp.GetOrder(), nil
	case k.refusal != nil:
		return nil, problem.Decode(k.refusal)
	default:
		return nil, inProgress()
	}
}

// recall what became of a key; nil for one never seen, or forgotten.
func (s *Service) recall(ctx context.Context, q sqldb.Querier, customer ident.CustomerID, key string) (*keyed, error) {
	var k keyed
	err := q.QueryRow(ctx, stmtRecall, string(customer.Region()), string(customer), methodPlace, key, s.deps.Clock.Now()).
		Scan(&k.fingerprint, &k.orderID, &k.placed, &k.refusal)
	if errors.Is(err, sqldb.ErrNoRows) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("recall checkout: %w", err)
	}
	return &k, nil
}

// matches refuses a key that came with another request before.
func (k *keyed) matches(fingerprint []byte) error {
	if !bytes.Equal(k.fingerprint, fingerprint) {
		return problem.New(problem.Precondition, "IDEMPOTENCY_KEY_REUSED", "this idempotency key was used with another request")
	}
	return nil
}

// errKnown ends begin's transaction without effect: the key is known.
var errKnown = errors.New("the key is known")

// begin writes the key, the use of the quote, the order and the saga in one transaction. A key that is known already is given
// back instead, and nothing is written. Nearly always all is new, and one round trip is enough; whatever comes in its way
// is looked at closely in a second try.
func (s *Service) begin(ctx context.Context, p placement, state *checkoutv1.PlacementState) (ticket saga.Ticket, known *keyed, err error) {
	ticket, parts, err := s.placing(p, state)
	if err != nil {
		return ticket, nil, err
	}
	err = s.deps.Fence.Join(ctx, p.customer, append([]fence.Part{opBegin.Part(begun{p, state.GetOrderId(), s.deps.Clock.Now()})}, parts...)...)
	_, taken := sqldb.UniqueViolation(err)
	if err == nil || (!taken && !sqldb.GuardFailed(err)) {
		return ticket, nil, err
	}
	return s.beginCarefully(ctx, p, state)
}

// placing an order: the saga, and the order.
func (s *Service) placing(p placement, state *checkoutv1.PlacementState) (saga.Ticket, []fence.Part, error) {
	created, err := s.deps.Orders.CreatePart(orderOf(state))
	if err != nil {
		return saga.Ticket{}, nil, err
	}
	ticket, part, err := s.sagas.Part(kindPlacement, saga.Begun{ID: state.GetOrderId(), CustomerID: p.customer, State: state, Done: stepCreate})
	return ticket, []fence.Part{created, part}, err
}

func (s *Service) beginCarefully(ctx context.Context, p placement, state *checkoutv1.PlacementState) (ticket saga.Ticket, known *keyed, err error) {
	now, region, customer := s.deps.Clock.Now(), string(p.customer.Region()), string(p.customer)
	err = s.deps.Fence.InSlotTx(ctx, p.customer, func(tx sqldb.Tx) error {
		known = nil
		var fresh, quoteFresh, live int64
		var b sqldb.Batch
		b.Queue(stmtForget, nil, region, customer, methodPlace, p.key, now)
		b.Queue(stmtRemember, func(n int64) error { fresh = n; return nil }, region, customer, methodPlace, p.key, p.fingerprint, state.GetOrderId(), now, now.Add(keyLifetime))
		b.Queue(stmtRemember, func(n int64) error { quoteFresh = n; return nil }, region, customer, methodQuote, p.quote.GetNonce(), []byte{}, state.GetOrderId(), now, now.Add(keyLifetime))
		b.QueueRead(stmtLive, sqldb.Each(func(r sqldb.Row) error { return r.Scan(&live) }), region, customer, methodPlace, now.Add(-liveFor))
		if err := tx.Send(ctx, &b); err != nil {
			return err
		}
		if fresh == 0 { // a twin of this request won
			var err error
			if known, err = s.recall(ctx, tx, p.customer, p.key); err != nil {
				return err
			}
			if known == nil {
				return inProgress()
			}
			if err := known.matches(p.fingerprint); err != nil {
				return err
			}
			return errKnown // rolls back: the twin may have been refused by now, and its quote is free for another key
		}
		if quoteFresh == 0 {
			return problem.New(problem.Precondition, "QUOTE_ALREADY_USED", "this quote has been ordered already; ask for a new one to order again")
		}
		if live > maxLive {
			return tooMany()
		}
		begins, parts, err := s.placing(p, state)
		if err != nil {
			return err
		}
		ticket = begins
		var all sqldb.Batch
		fence.Queue(&all, p.customer.Region(), parts)
		return tx.Send(ctx, &all)
	})
	if errors.Is(err, errKnown) {
		return ticket, known, nil
	}
	return ticket, known, err
}

// begun is a placement with a new key.
type begun struct {
	placement
	order string
	now   time.Time
}

var opBegin = fence.NewOp("checkout.begin", func(b *sqldb.Batch, ring ident.Region, rows []begun) {
	var customers, methods, keys, orders, who []string
	var fingerprints [][]byte
	var at, expire []time.Time
	for _, r := range rows {
		who = append(who, string(r.customer))
		customers = append(customers, string(r.customer), string(r.customer))
		methods = append(methods, methodPlace, methodQuote)
		keys = append(keys, r.key, r.quote.GetNonce())
		fingerprints = append(fingerprints, r.fingerprint, []byte{})
		orders = append(orders, r.order, r.order)
		at = append(at, r.now, r.now)
		expire = append(expire, r.now.Add(keyLifetime), r.now.Add(keyLifetime))
	}
	b.Queue(stmtRememberNew, nil, string(ring), customers, methods, keys, fingerprints, orders, at, expire)
	b.Queue(stmtFewLive, nil, string(ring), who, methodPlace, rows[0].now.Add(-liveFor), maxLive)
})

// outcome is what a key is answered.
type outcome struct {
	customer        ident.CustomerID
	key             string
	answer, refusal []byte
}

var opAnswer = fence.NewOp("checkout.answer", func(b *sqldb.Batch, ring ident.Region, rows []outcome) {
	n := len(rows)
	customers, methods, keys, answers, refusals := make([]string, n), make([]string, n), make([]string, n), make([][]byte, n), make([][]byte, n)
	for i, r := range rows {
		customers[i], methods[i], keys[i], answers[i], refusals[i] = string(r.customer), methodPlace, r.key, r.answer, r.refusal
	}
	b.Queue(stmtAnswer, nil, string(ring), customers, methods, keys, answers, refusals)
})

// answer the key, with the end of the saga.
func (s *Service) answer(m proto.Message) ([]fence.Part, error) {
	p, ok := m.(*checkoutv1.PlacementState)
	if !ok {
		return nil, fmt.Errorf("a placement has a state of type %T", m)
	}
	answer, err := proto.Marshal(&checkoutv1.PlaceOrderResponse{Order: p.GetPlaced()})
	if err != nil {
		return nil, fmt.Errorf("answer of %s: %w", p.GetOrderId(), err)
	}
	return []fence.Part{opAnswer.Part(outcome{customer: ident.CustomerID(p.GetQuote().GetCustomerId()), key: p.GetIdempotencyKey(), answer: answer})}, nil
}

// storeRefusal answers the key with the refusal, and frees the quote for another try.
func (s *Service) storeRefusal(ctx context.Context, p *checkoutv1.PlacementState) error {
	customer := ident.CustomerID(p.GetQuote().GetCustomerId())
	region := string(customer.Region())
	var b sqldb.Batch
	fence.Queue(&b, customer.Region(), []fence.Part{opAnswer.Part(outcome{customer: customer, key: p.GetIdempotencyKey(), refusal: p.GetRefusal()})})
	b.Queue(stmtFreeQuote, nil, region, string(customer), methodQuote, p.GetQuote().GetNonce(), p.GetOrderId())
	return s.deps.Fence.Send(ctx, customer, &b)
}

// forgetting of one customer's keys, if they have expired.
type forgetting struct {
	keys []expired
	now  time.Time
}

var opForget = fence.NewOp("checkout.forget", func(b *sqldb.Batch, ring ident.Region, rows []forgetting) {
	var customers, methods, keys []string
	now := rows[0].now
	for _, r := range rows {
		for _, k := range r.keys {
			customers, methods, keys = append(customers, string(k.customer)), append(methods, k.method), append(keys, k.key)
		}
		if r.now.Before(now) {
			now = r.now
		}
	}
	b.Queue(stmtForgetExpired, nil, string(ring), customers, methods, keys, now)
})

// expiredAfter lists expired keys of a ring that come after one, in order; the first come after none.
func (s *Service) expiredAfter(ctx context.Context, ring ident.Region, now time.Time, last expired, limit int) ([]expired, error) {
	return sqldb.Collect(ctx, s.deps.DB, stmtExpired, func(r sqldb.Row) (expired, error) {
		var k expired
		err := r.Scan(&k.at, &k.customer, &k.method, &k.key)
		return k, err
	}, string(ring), now, last.at, string(last.customer), last.method, last.key, limit)
}

var (
	stmtInsertVoucher = sqldb.Define(sqldb.Global, "checkout.insert_voucher", `
INSERT INTO vouchers (code, automatic, percent_basis_points, amount_minor_units, amount_currency, minimum_minor_units, minimum_currency,
  categories, valid_from, valid_until, max_redemptions, max_per_customer, home_region, disabled, created_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, false, $14)
ON CONFLICT (code) DO NOTHING`)

	stmtReadVoucher = sqldb.Define(sqldb.Global, "checkout.read_voucher", `
SELECT code, automatic, percent_basis_points, amount_minor_units, amount_currency, minimum_minor_units, minimum_currency,
  categories, valid_from, valid_until, max_redemptions, max_per_customer, home_region, disabled, created_at
FROM vouchers
WHERE code = $1`)

	// Those that are over are many in time; the index leaves out what was disabled, and is in the order of the end.
	stmtStanding = sqldb.Define(sqldb.Global, "checkout.standing_promotions", `
SELECT code, automatic, percent_basis_points, amount_minor_units, amount_currency, minimum_minor_units, minimum_currency,
  categories, valid_from, valid_until, max_redemptions, max_per_customer, home_region, disabled, created_at
FROM vouchers
WHERE automatic AND NOT disabled AND valid_until > $1
ORDER BY valid_until, code
LIMIT $2`)

	stmtDisableVoucher = sqldb.Define(sqldb.Global, "checkout.disable_voucher", `
UPDATE vouchers
SET disabled = true
WHERE code = $1`)

	stmtRedeem = sqldb.Define(sqldb.Customer, "checkout.redeem", `
INSERT INTO voucher_redemptions (region, code, order_id, customer_id, state, changed_at)
VALUES ($1, $2, $3, $4, $5, $6)
ON CONFLICT (region, code, order_id) DO NOTHING`)

	stmtRedemption = sqldb.Define(sqldb.Customer, "checkout.redemption", `
SELECT state
FROM voucher_redemptions
WHERE region = $1 AND code = $2 AND order_id = $3`)

	stmtGiveBack = sqldb.Define(sqldb.Customer, "checkout.give_back", `
UPDATE voucher_redemptions
SET state = 'GIVEN_BACK', changed_at = $4
WHERE region = $1 AND code = $2 AND order_id = $3 AND state = 'REDEEMED'`)

	stmtRedemptions = sqldb.Define(sqldb.Customer, "checkout.redemptions", `
SELECT count(*)
FROM voucher_redemptions
WHERE region = $1 AND code = $2 AND state = 'REDEEMED'`)

	stmtTakeUse = sqldb.Define(sqldb.Customer, "checkout.take_use", `
INSERT INTO voucher_uses (region, code, holder, uses)
VALUES ($1, $2, $3, 1)
ON CONFLICT (region, code, holder) DO UPDATE
SET uses = voucher_uses.uses + 1
WHERE voucher_uses.uses < $4`)

	stmtReturnUse = sqldb.Define(sqldb.Customer, "checkout.return_use", `
UPDATE voucher_uses
SET uses = uses - 1
WHERE region = $1 AND code = $2 AND holder = $3`)

	stmtUses = sqldb.Define(sqldb.Customer, "checkout.uses", `
SELECT uses
FROM voucher_uses
WHERE region = $1 AND code = $2 AND holder = $3`)
)

// forever stands for no end in the database: unlike infinity both databases read it back, and an index can be asked for it.
var forever = time.Date(9999, time.December, 31, 0, 0, 0, 0, time.UTC)

// States of a redemption.
const (
	redeemed  = "REDEEMED"
	givenBack = "GIVEN_BACK"
)

func scanVoucher(r sqldb.Row) (promotion, error) {
	var p promotion
	var home string
	err := r.Scan(&p.code, &p.automatic, &p.percent, &p.amount.Minor, &p.amount.Currency, &p.minimum.Minor, &p.minimum.Currency,
		&p.categories, &p.from, &p.until, &p.maxRedemptions, &p.maxPerCustomer, &home, &p.disabled, &p.createdAt)
	p.home, p.from, p.createdAt = ident.Region(home), p.from.UTC(), p.createdAt.UTC()
	if p.until = p.until.UTC(); p.until.Equal(forever) {
		p.until = time.Time{}
	}
	return p, err
}

func insertVoucher(ctx context.Context, db *sqldb.DB, p promotion) error {
	until, categories := p.until, p.categories
	if until.IsZero() {
		until = forever
	}
	if categories == nil {
		categories = []string{}
	}
	_, err := db.Exec(ctx, stmtInsertVoucher, p.code, p.automatic, p.percent, p.amount.Minor, p.amount.Currency, p.minimum.Minor, p.minimum.Currency,
		categories, p.from, until, p.maxRedemptions, p.maxPerCustomer, string(p.home), p.createdAt)
	return err
}

// readVoucher by its code; sqldb.ErrNoRows when there is none.
func readVoucher(ctx context.Context, db *sqldb.DB, code string) (promotion, error) {
	return scanVoucher(db.QueryRow(ctx, stmtReadVoucher, code))
}

func readStanding(ctx context.Context, db *sqldb.DB, now time.Time) ([]promotion, error) {
	return sqldb.Collect(ctx, db, stmtStanding, scanVoucher, now, maxStanding)
}

func disableVoucher(ctx context.Context, db *sqldb.DB, code string) error {
	_, err := db.Exec(ctx, stmtDisableVoucher, code)
	return err
}

func readRedemptions(ctx context.Context, db *sqldb.DB, p promotion) (n int64, err error) {
	err = db.QueryRow(ctx, stmtRedemptions, string(p.home), p.code).Scan(&n)
	return n, err
}

func readUses(ctx context.Context, db *sqldb.DB, p promotion, holder string) (n int64, err error) {
	err = db.QueryRow(ctx, stmtUses, string(p.home), p.code, holder).Scan(&n)
	if errors.Is(err, sqldb.ErrNoRows) {
		return 0, nil
	}
	return n, err
}

// redemption of a voucher by one order.
type redemption struct {
	promotion
	order    string
	customer ident.CustomerID
	at       time.Time
}

// redeem in one transaction of the voucher's home: the order's row, then a use of each holder that is limited. The row is what
// makes it happen once; lapsed refuses those that have none yet. Fenced it is not: the row is the voucher's, not the
// customer's, and a cell that lost the slot is stopped by the tombstone.
func (v *vouchers) redeem(ctx context.Context, r redemption, lapsed error) error {
	region := string(r.home)
	return v.customers.InTx(ctx, func(tx sqldb.Tx) error {
		var fresh int64
		var state string
		var b sqldb.Batch
		b.Queue(stmtRedeem, func(n int64) error { fresh = n; return nil }, region, r.code, r.order, string(r.customer), redeemed, r.at)
		b.QueueRead(stmtRedemption, sqldb.Each(func(row sqldb.Row) error { return row.Scan(&state) }), region, r.code, r.order)
		if err := tx.Send(ctx, &b); err != nil {
			return err
		}
		switch {
		case state == givenBack:
			return problem.New(problem.Precondition, "VOUCHER_GIVEN_BACK", "this order has given its voucher back")
		case fresh == 0:
			return nil
		case lapsed != nil:
			return lapsed
		}
		var uses sqldb.Batch
		for _, l := range r.limits(r.customer) {
			uses.Queue(stmtTakeUse, func(n int64) error {
				if n == 0 {
					return l.refusal()
				}
				return nil
			}, region, r.code, l.holder, l.most)
		}
		return tx.Send(ctx, &uses)
	})
}

// giveBack the redemption of an order. The tombstone is tried first: should a redemption be on its way, this waits for it, and
// then finds its row.
func (v *vouchers) giveBack(ctx context.Context, r redemption) error {
	region := string(r.home)
	return v.customers.InTx(ctx, func(tx sqldb.Tx) error {
		var given int64
		var b sqldb.Batch
		b.Queue(stmtRedeem, nil, region, r.code, r.order, string(r.customer), givenBack, r.at)
		b.Queue(stmtGiveBack, func(n int64) error { given = n; return nil }, region, r.code, r.order, r.at)
		if err := tx.Send(ctx, &b); err != nil || given == 0 {
			return err
		}
		var uses sqldb.Batch
		for _, l := range r.limits(r.customer) {
			uses.Queue(stmtReturnUse, nil, region, r.code, l.holder)
		}
		return tx.Send(ctx, &uses)
	})
}
