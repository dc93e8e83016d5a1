package checkout

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/cellar-commerce/cellar/internal/clock"
	checkoutv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/checkout/v1"
	"github.com/cellar-commerce/cellar/internal/ident"
	"github.com/cellar-commerce/cellar/internal/money"
	"github.com/cellar-commerce/cellar/internal/problem"
	"github.com/cellar-commerce/cellar/internal/sqldb"
)

const (
	// definitionsFor is how long a definition is kept in memory: so long a change may take to count everywhere.
	definitionsFor = time.Minute
	// definitionsRetry is how long old ones are used before the database, which did not answer, is asked again.
	definitionsRetry = 5 * time.Second
	// maxDefinitions in memory; beyond that they are read anew.
	maxDefinitions = 10_000
)

// vouchers and standing promotions: their definitions, which every region reads locally and keeps for a minute, and their
// redemptions, which are counted in one place.
type vouchers struct {
	global, customers *sqldb.DB
	clock             clock.Clock
	primary           ident.Region

	mu    sync.Mutex
	known map[string]definition

	standingMu    sync.Mutex
	list          []promotion
	standingUntil time.Time
}

// definition in memory.
type definition struct {
	promotion
	freshUntil time.Time
}

func newVouchers(d Deps) *vouchers {
	return &vouchers{global: d.Global, customers: d.DB, clock: d.Clock, primary: d.PrimaryRegion, known: map[string]definition{}}
}

// standing promotions apply by themselves; those that are over, or not yet in force, may be among them.
func (v *vouchers) standing(ctx context.Context) ([]promotion, error) {
	v.standingMu.Lock()
	defer v.standingMu.Unlock() // whoever comes meanwhile waits for this answer instead of asking too
	now := v.clock.Now()
	if now.Before(v.standingUntil) {
		return v.list, nil
	}
	fresh, err := readStanding(ctx, v.global, now)
	switch {
	case err == nil:
		v.list, v.standingUntil = fresh, now.Add(definitionsFor)
	case !v.standingUntil.IsZero() && ctx.Err() == nil:
		v.standingUntil = now.Add(definitionsRetry) // old is better than none
	default:
		return nil, fmt.Errorf("read standing promotions: %w", err)
	}
	return v.list, nil
}

// find a definition, at most a minute old unless the database does not answer. VOUCHER_UNKNOWN.
func (v *vouchers) find(ctx context.Context, code string) (promotion, error) {
	now := v.clock.Now()
	v.mu.Lock()
	d, cached := v.known[code]
	v.mu.Unlock()
	if cached && now.Before(d.freshUntil) {
		return d.promotion, nil
	}
	if !codeForm.MatchString(code) {
		return promotion{}, unknownVoucher()
	}
	p, err := readVoucher(ctx, v.global, code)
	switch {
	case errors.Is(err, sqldb.ErrNoRows):
		return p, unknownVoucher() // not kept: it may be made any moment, and guesses would fill the memory
	case err == nil:
		v.keep(p, now.Add(definitionsFor))
	case cached && ctx.Err() == nil:
		v.keep(d.promotion, now.Add(definitionsRetry))
		return d.promotion, nil
	default:
		return p, fmt.Errorf("read voucher: %w", err)
	}
	return p, nil
}

func (v *vouchers) keep(p promotion, until time.Time) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if len(v.known) >= maxDefinitions {
		clear(v.known)
	}
	v.known[p.code] = definition{p, until}
}

// forget what this process keeps of a code that has changed.
func (v *vouchers) forget(code string) {
	v.mu.Lock()
	delete(v.known, code)
	v.mu.Unlock()
	v.standingMu.Lock()
	v.standingUntil = time.Time{}
	v.standingMu.Unlock()
}

// redeemable voucher of a customer, as far as can be told before the order is placed: the last one may be taken meanwhile.
func (v *vouchers) redeemable(ctx context.Context, code string, customer ident.CustomerID) (promotion, error) {
	p, err := v.find(ctx, code)
	if err != nil {
		return p, err
	}
	if p.automatic {
		return p, unknownVoucher()
	}
	if err := p.refuseAt(v.clock.Now()); err != nil {
		return p, err
	}
	if p.maxPerCustomer > 0 && customer.Guest() {
		return p, problem.New(problem.Precondition, "VOUCHER_NEEDS_ACCOUNT", "this voucher is limited per customer: sign in to use it")
	}
	for _, l := range p.limits(customer) {
		used, err := readUses(ctx, v.customers, p, l.holder)
		if err != nil {
			return p, fmt.Errorf("read uses of a voucher: %w", err)
		}
		if used >= l.most {
			return p, l.refusal()
		}
	}
	return p, nil
}

// everybody is the holder of the uses of all customers together.
const everybody = "*"

// limit of a holder's uses.
type limit struct {
	holder  string
	most    int64
	refusal func() error
}

// limits of a voucher, the customer's own first: the row that all have in common is locked last, and for the shortest time.
func (p promotion) limits(customer ident.CustomerID) (all []limit) {
	if p.maxPerCustomer > 0 {
		all = append(all, limit{string(customer), p.maxPerCustomer, usedByYou})
	}
	if p.maxRedemptions > 0 {
		all = append(all, limit{everybody, p.maxRedemptions, usedUp})
	}
	return all
}

// redeemVoucher of a placement, once an order: a step's do. Without a voucher it does nothing. Refused with Precondition:
// VOUCHER_USED_UP, VOUCHER_USED_BY_YOU, VOUCHER_DISABLED, VOUCHER_EXPIRED (when the quote's time is over too: what was valid
// when it was quoted stays valid as long as the quote), and VOUCHER_GIVEN_BACK when unredeemVoucher has been there already.
func (s *Service) redeemVoucher(ctx context.Context, state *checkoutv1.PlacementState) error {
	code := state.GetQuote().GetVoucherCode()
	if code == "" {
		return nil
	}
	p, err := s.vouchers.find(ctx, code)
	if err != nil {
		return err
	}
	now := s.deps.Clock.Now()
	lapsed := p.refuseAt(now)
	if problem.Is(lapsed, "VOUCHER_EXPIRED") && now.Before(p.until.Add(quoteLifetime)) {
		lapsed = nil
	}
	r := redemption{promotion: p, order: state.GetOrderId(), customer: ident.CustomerID(state.GetQuote().GetCustomerId()), at: now}
	return s.vouchers.redeem(ctx, r, lapsed)
}

// unredeemVoucher gives this order's redemption back, and no other: a step's undo. Again it changes nothing; when there was
// none it leaves a tombstone, so that a redemption that comes late is refused.
func (s *Service) unredeemVoucher(ctx context.Context, state *checkoutv1.PlacementState) error {
	code := state.GetQuote().GetVoucherCode()
	if code == "" {
		return nil
	}
	p, err := s.vouchers.find(ctx, code)
	if problem.Is(err, "VOUCHER_UNKNOWN") {
		return nil // definitions are never deleted: nothing was redeemed
	}
	if err != nil {
		return err
	}
	return s.vouchers.giveBack(ctx, redemption{
		promotion: p, order: state.GetOrderId(), customer: ident.CustomerID(state.GetQuote().GetCustomerId()), at: s.deps.Clock.Now(),
	})
}

// create a voucher, or find that it is there.
func (v *vouchers) create(ctx context.Context, p promotion) (promotion, error) {
	var violations problem.Violations
	p.createdAt = v.clock.Now()
	if p.home == "" {
		p.home = v.primary
	}
	startsNow := p.from.IsZero()
	if startsNow {
		p.from = p.createdAt
	}
	p.validate(&violations)
	if err := violations.Err(); err != nil {
		return p, err
	}
	if p.automatic {
		standing, err := readStanding(ctx, v.global, p.createdAt)
		if err != nil {
			return p, fmt.Errorf("read standing promotions: %w", err)
		}
		if len(standing) >= maxStanding && !slices.ContainsFunc(standing, func(o promotion) bool { return o.code == p.code }) {
			return p, problem.New(problem.Precondition, "TOO_MANY_PROMOTIONS", "there are 20 promotions that apply by themselves: disable one first")
		}
	}
	if err := insertVoucher(ctx, v.global, p); err != nil {
		return p, fmt.Errorf("create voucher %s: %w", p.code, err)
	}
	stored, err := readVoucher(ctx, v.global, p.code)
	if err != nil {
		return p, fmt.Errorf("create voucher %s: %w", p.code, err)
	}
	v.forget(p.code)
	if startsNow {
		p.from = stored.from
	}
	if !p.same(stored) {
		return stored, problem.New(problem.AlreadyExists, "VOUCHER_EXISTS", "there is another voucher with this code")
	}
	return stored, nil
}

// same content, whenever it was made and whatever became of it.
func (p promotion) same(o promotion) bool {
	return p.code == o.code && p.automatic == o.automatic && p.percent == o.percent && p.amount == o.amount && p.minimum == o.minimum &&
		slices.Equal(p.categories, o.categories) && p.from.Equal(o.from) && p.until.Equal(o.until) && p.maxRedemptions == o.maxRedemptions &&
		p.maxPerCustomer == o.maxPerCustomer && p.home == o.home
}

// ListPromotions implements CheckoutService.
func (s *Service) ListPromotions(ctx context.Context, _ *checkoutv1.ListPromotionsRequest) (*checkoutv1.ListPromotionsResponse, error) {
	standing, err := s.vouchers.standing(ctx)
	if err != nil {
		return nil, err
	}
	var resp checkoutv1.ListPromotionsResponse
	for _, p := range standing {
		if v := p.proto(); p.at(s.deps.Clock.Now()) {
			resp.Promotions = append(resp.Promotions, &checkoutv1.Promotion{
				Code: v.GetCode(), PercentBasisPoints: v.GetPercentBasisPoints(), Categories: v.GetCategories(), ValidFrom: v.GetValidFrom(), ValidUntil: v.GetValidUntil(),
			})
		}
	}
	return &resp, nil
}

// CreateVoucher implements CheckoutService.
func (s *Service) CreateVoucher(ctx context.Context, req *checkoutv1.CreateVoucherRequest) (*checkoutv1.CreateVoucherResponse, error) {
	p, err := s.vouchers.create(ctx, promotionOf(req.GetVoucher()))
	if err != nil {
		return nil, err
	}
	return &checkoutv1.CreateVoucherResponse{Voucher: p.proto()}, nil
}

// GetVoucher implements CheckoutService.
func (s *Service) GetVoucher(ctx context.Context, req *checkoutv1.GetVoucherRequest) (*checkoutv1.GetVoucherResponse, error) {
	p, err := readVoucher(ctx, s.vouchers.global, normalCode(req.GetCode()))
	if err != nil {
		return nil, notFound(err)
	}
	n, err := readRedemptions(ctx, s.vouchers.customers, p)
	if err != nil {
		return nil, fmt.Errorf("read redemptions of %s: %w", p.code, err)
	}
	return &checkoutv1.GetVoucherResponse{Voucher: p.proto(), Redeemed: n}, nil
}

// DisableVoucher implements CheckoutService.
func (s *Service) DisableVoucher(ctx context.Context, req *checkoutv1.DisableVoucherRequest) (*checkoutv1.DisableVoucherResponse, error) {
	code := normalCode(req.GetCode())
	if err := disableVoucher(ctx, s.vouchers.global, code); err != nil {
		return nil, err
	}
	s.vouchers.forget(code)
	p, err := readVoucher(ctx, s.vouchers.global, code)
	if err != nil {
		return nil, notFound(err)
	}
	return &checkoutv1.DisableVoucherResponse{Voucher: p.proto()}, nil
}

func notFound(err error) error {
	if errors.Is(err, sqldb.ErrNoRows) {
		return problem.New(problem.NotFound, "VOUCHER_UNKNOWN", "there is no such voucher")
	}
	return fmt.Errorf("read voucher: %w", err)
}

func promotionOf(v *checkoutv1.Voucher) promotion {
	p := promotion{
		code: normalCode(v.GetCode()), automatic: v.GetAutomatic(), percent: v.GetPercentBasisPoints(), amount: money.FromProto(v.GetAmountOff()),
		minimum: money.FromProto(v.GetMinimum()), categories: v.GetCategories(), maxRedemptions: v.GetMaxRedemptions(),
		maxPerCustomer: v.GetMaxPerCustomer(), home: ident.Region(v.GetHomeRegion()),
	}
	if v.GetValidFrom() != nil {
		p.from = v.GetValidFrom().AsTime().Truncate(time.Microsecond) // as the database keeps it
	}
	if v.GetValidUntil() != nil {
		p.until = v.GetValidUntil().AsTime().Truncate(time.Microsecond)
	}
	return p
}

func (p promotion) proto() *checkoutv1.Voucher {
	v := &checkoutv1.Voucher{
		Code: p.code, Automatic: p.automatic, PercentBasisPoints: p.percent, Categories: p.categories, ValidFrom: timestamppb.New(p.from),
		MaxRedemptions: p.maxRedemptions, MaxPerCustomer: p.maxPerCustomer, HomeRegion: string(p.home), Disabled: p.disabled,
		CreatedAt: timestamppb.New(p.createdAt),
	}
	if p.amount.Currency != "" {
		v.AmountOff = p.amount.Proto()
	}
	if p.minimum.Currency != "" {
		v.Minimum = p.minimum.Proto()
	}
	if !p.until.IsZero() {
		v.ValidUntil = timestamppb.New(p.until)
	}
	return v
}
