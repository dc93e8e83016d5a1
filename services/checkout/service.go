package checkout

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/cellar-commerce/cellar/internal/clock"
	"github.com/cellar-commerce/cellar/internal/fence"
	accountv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/account/v1"
	cartv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/cart/v1"
	catalogv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/catalog/v1"
	checkoutv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/checkout/v1"
	"github.com/cellar-commerce/cellar/internal/gen/cellar/checkout/v1/checkoutv1connect"
	fulfillmentv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/fulfillment/v1"
	inventoryv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/inventory/v1"
	orderv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/order/v1"
	paymentv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/payment/v1"
	postalv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/postal/v1"
	"github.com/cellar-commerce/cellar/internal/ident"
	"github.com/cellar-commerce/cellar/internal/problem"
	"github.com/cellar-commerce/cellar/internal/saga"
	"github.com/cellar-commerce/cellar/internal/sqldb"
	"github.com/cellar-commerce/cellar/internal/tax"
)

// What checkout needs of the other services.
type (
	// Accounts resolves what the shopper saved.
	Accounts interface {
		ResolveAddress(context.Context, *accountv1.ResolveAddressRequest) (*accountv1.ResolveAddressResponse, error)
		ResolvePaymentMethod(context.Context, *accountv1.ResolvePaymentMethodRequest) (*accountv1.ResolvePaymentMethodResponse, error)
	}
	// Carts reads the cart, and takes out what was bought.
	Carts interface {
		ReadCart(context.Context, *cartv1.ReadCartRequest) (*cartv1.ReadCartResponse, error)
		RemoveOrdered(context.Context, *cartv1.RemoveOrderedRequest) (*cartv1.RemoveOrderedResponse, error)
		OrderedPart(*cartv1.RemoveOrderedRequest) (fence.Part, error)
	}
	// Products knows today's prices.
	Products interface {
		BatchGetProducts(context.Context, *catalogv1.BatchGetProductsRequest) (*catalogv1.BatchGetProductsResponse, error)
	}
	// Planner chooses fulfilment centres.
	Planner interface {
		PlanOrder(context.Context, *fulfillmentv1.PlanOrderRequest) (*fulfillmentv1.PlanOrderResponse, error)
	}
	// Stock of one region's fulfilment centres.
	Stock interface {
		Reserve(context.Context, *inventoryv1.ReserveRequest) (*inventoryv1.ReserveResponse, error)
		ExtendHold(context.Context, *inventoryv1.ExtendHoldRequest) (*inventoryv1.ExtendHoldResponse, error)
		Commit(context.Context, *inventoryv1.CommitRequest) (*inventoryv1.CommitResponse, error)
		Release(context.Context, *inventoryv1.ReleaseRequest) (*inventoryv1.ReleaseResponse, error)
	}
	// Payments takes and gives back money.
	Payments interface {
		Authorize(context.Context, *paymentv1.AuthorizeRequest) (*paymentv1.AuthorizeResponse, error)
		Capture(context.Context, *paymentv1.CaptureRequest) (*paymentv1.CaptureResponse, error)
		Refund(context.Context, *paymentv1.RefundRequest) (*paymentv1.RefundResponse, error)
	}
	// Orders keeps the order. What the parts write is committed with what this service writes of the same customer.
	Orders interface {
		CreatePart(*orderv1.Order) (fence.Part, error)
		PaidPart(agreed *orderv1.Order, req *orderv1.MarkPaidRequest) (fence.Part, *orderv1.Order, error)
		CreateOrder(context.Context, *orderv1.CreateOrderRequest) (*orderv1.CreateOrderResponse, error)
		MarkPaid(context.Context, *orderv1.MarkPaidRequest) (*orderv1.MarkPaidResponse, error)
		MarkFailed(context.Context, *orderv1.MarkFailedRequest) (*orderv1.MarkFailedResponse, error)
	}
)

// Deps of the service.
type Deps struct {
	// DB is cellar_customer.
	DB *sqldb.DB
	// Global is cellar_global, where vouchers are defined.
	Global   *sqldb.DB
	Fence    fence.Fence
	Clock    clock.Clock
	Log      *slog.Logger
	Accounts Accounts
	Carts    Carts
	Products Products
	Planner  Planner
	// Stock of each region: in this region the service itself, elsewhere a client.
	Stock    map[ident.Region]Stock
	Payments Payments
	Orders   Orders
	// CaptureOnShipment only holds the money when an order is placed; each shipment takes its part.
	CaptureOnShipment bool
	// ValidateAddress adds what is wrong with an address under a field's name.
	ValidateAddress func(v *problem.Violations, field string, a *postalv1.PostalAddress)
	// Tax knows the taxes of every destination.
	Tax tax.Engine
	// PrimaryRegion counts the redemptions of vouchers for which no other region is named.
	PrimaryRegion ident.Region
	// QuoteKey signs quotes: at least 32 bytes, the same in every cell.
	QuoteKey []byte
	// Cell and Rings are for the saga engine.
	Cell  string
	Rings func() (rings []ident.Region, version uint64)
	// Committed is called after a placement has left events in the outbox; may be nil.
	Committed func()
	// Observe is told how placements end, ObserveSagas how their steps do; may be nil.
	Observe      Observer
	ObserveSagas saga.Observer
}

// Observer is told how placements end.
type Observer interface {
	// CheckoutEnded with "placed", or with the reason of the refusal.
	CheckoutEnded(outcome string, took time.Duration)
}

// Service implements cellar.checkout.v1.CheckoutService.
type Service struct {
	deps   Deps
	sealer sealer
	sagas  *saga.Engine
	runs   sync.WaitGroup
	limit  limiter
	// attached has one for each request that waits for a placement of others.
	attached chan struct{}
	// vouchers that quotes were asked with, and the promotions that apply by themselves.
	vouchers *vouchers
}

var _ checkoutv1connect.CheckoutServiceHandler = (*Service)(nil)

// New service.
func New(deps Deps) (*Service, error) {
	if len(deps.QuoteKey) < minKey {
		return nil, fmt.Errorf("checkout: the quote key has %d bytes, at least %d are needed", len(deps.QuoteKey), minKey)
	}
	if deps.Tax == nil {
		return nil, errors.New("checkout: there is no tax engine")
	}
	if deps.Committed == nil {
		deps.Committed = func() {}
	}
	s := &Service{deps: deps, sealer: sealer{deps.QuoteKey}, vouchers: newVouchers(deps), limit: limiter{live: map[ident.CustomerID]map[string]int{}}, attached: make(chan struct{}, maxAttached)}
	s.sagas = saga.New(saga.Deps{
		DB: deps.DB, Fence: deps.Fence, Clock: deps.Clock, Log: deps.Log, Cell: deps.Cell, Rings: deps.Rings,
		Definitions: []*saga.Definition{s.Placement()}, Observe: deps.ObserveSagas,
	})
	return s, nil
}

// Run resumes placements whose run died, until ctx ends.
func (s *Service) Run(ctx context.Context) { s.sagas.SweepEvery(ctx, time.Second) }

// Sweep resumes what is due now, once, and waits for it.
func (s *Service) Sweep(ctx context.Context) (int, error) { return s.sagas.Sweep(ctx) }

// Sagas is the engine that runs placements, for operators.
func (s *Service) Sagas() *saga.Engine { return s.sagas }

// Drain waits for the placements that this process began.
func (s *Service) Drain() { s.runs.Wait() }

// order under a key: what a PlaceOrder is asked to do.
type placement struct {
	customer    ident.CustomerID
	key         string
	fingerprint []byte
	quote       *checkoutv1.QuoteSnapshot
	cardToken   string
	giftCards   []string
	wallet      bool
}

// place runs the saga for a new key and waits for its end. When ctx ends first, the saga goes on; the caller hears
// CHECKOUT_IN_PROGRESS.
func (s *Service) place(ctx context.Context, p placement) (*orderv1.Order, error) {
	start := s.deps.Clock.Now()
	if !s.limit.enter(p.customer, p.key) {
		return s.answerOr(ctx, p, tooMany())
	}
	order := ident.NewOrder(p.customer.Ring())
	state := &checkoutv1.PlacementState{
		Quote: p.quote, OrderId: string(order), CardToken: p.cardToken, IdempotencyKey: p.key, GiftCardCodes: p.giftCards, UseWallet: p.wallet,
		PlacedAt: timestamppb.New(start.Truncate(time.Microsecond)), // as the database keeps it
	}
	s.planAsQuoted(state)
	ticket, known, err := s.begin(ctx, p, state)
	if err != nil || known != nil {
		s.limit.leave(p.customer, p.key)
		if err != nil {
			return nil, err
		}
		return s.attach(ctx, p.customer, p.key, known)
	}
	type result struct {
		order *orderv1.Order
		err   error
	}
	ended := make(chan result, 1)
	s.runs.Go(func() {
		defer s.limit.leave(p.customer, p.key)
		// The saga outlives the request: a shopper who leaves does not stop an order half way.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), maxRun)
		defer cancel()
		o, err := s.run(ctx, p.customer, ticket)
		s.observe(err, s.deps.Clock.Now().Sub(start))
		ended <- result{o, err}
	})
	waiting, cancel := withinDeadline(ctx)
	defer cancel()
	select {
	case r := <-ended:
		if saga.Lost(r.err) { // this process was taken for dead, or the slot has gone and come back
			return s.attach(ctx, p.customer, p.key, &keyed{orderID: string(order)})
		}
		return r.order, r.err
	case <-waiting.Done():
		return nil, inProgress()
	}
}

// answerOr gives what the request's key was answered, and where it is not known the refusal of a request that cannot be placed: its quote may have expired
// since, or a price risen.
func (s *Service) answerOr(ctx context.Context, p placement, refusal error) (*orderv1.Order, error) {
	known, err := s.recall(ctx, s.deps.DB, p.customer, p.key)
	if err != nil {
		return nil, err
	}
	if known == nil {
		return nil, refusal
	}
	if err := known.matches(p.fingerprint); err != nil {
		return nil, err
	}
	return s.attach(ctx, p.customer, p.key, known)
}

const (
	// answerShare of a request's time is kept for the answer: a caller who hears CHECKOUT_IN_PROGRESS in time knows more than
	// one whose own patience ends first. answerTime is the most that is kept.
	answerShare = 10
	answerTime  = 250 * time.Millisecond
)

// withinDeadline ends a little before a request's context does.
func withinDeadline(ctx context.Context) (context.Context, context.CancelFunc) {
	deadline, ok := ctx.Deadline()
	if !ok {
		return context.WithCancel(ctx)
	}
	return context.WithDeadline(ctx, deadline.Add(-min(time.Until(deadline)/answerShare, answerTime)))
}

// maxAttached requests wait at once for placements that others have begun: as many as a cell of the largest size takes over
// with the customers of one that has died. Whoever comes then hears CHECKOUT_IN_PROGRESS at once.
const maxAttached = 1024

// attach a request to the placement of its key, which another request has begun, here or in a cell that owned the slot
// before: it is answered as that one is. CHECKOUT_IN_PROGRESS when the request's time ends first.
func (s *Service) attach(ctx context.Context, customer ident.CustomerID, key string, known *keyed) (*orderv1.Order, error) {
	if known.answered() {
		return known.answer()
	}
	select {
	case s.attached <- struct{}{}:
		defer func() { <-s.attached }()
	default:
		return nil, inProgress()
	}
	waiting, cancel := withinDeadline(ctx)
	defer cancel()
	if err := s.sagas.Await(waiting, customer.Region(), known.orderID); err != nil {
		return nil, errors.Join(inProgress(), err)
	}
	known, err := s.recall(ctx, s.deps.DB, customer, key)
	if err != nil || known == nil {
		return nil, errors.Join(inProgress(), err)
	}
	return known.answer()
}

// maxRun bounds how long the run of a request holds on to its saga; the sweep goes on after that.
const maxRun = time.Minute

// run the saga. When the slot has moved, the error is the redirect to the new owner, which goes on with the saga: the request
// is taken there, and attaches to it.
func (s *Service) run(ctx context.Context, customer ident.CustomerID, ticket saga.Ticket) (*orderv1.Order, error) {
	status, state, err := s.sagas.Run(ctx, ticket)
	if err != nil {
		s.deps.Log.WarnContext(ctx, "a placement stopped; the sweep will go on with it", "error", err)
		if problem.Is(err, fence.ReasonWrongCell) {
			return nil, err
		}
		// Its sessions may have been ended because they kept the slot from moving.
		if moved := s.deps.Fence.InSlotTx(ctx, customer, func(sqldb.Tx) error { return nil }); problem.Is(moved, fence.ReasonWrongCell) {
			return nil, moved
		}
		return nil, errors.Join(inProgress(), err)
	}
	p, ok := state.(*checkoutv1.PlacementState)
	switch {
	case ok && status == saga.Done:
		s.deps.Committed()
		return p.GetPlaced(), nil
	case ok && status == saga.Undone:
		return nil, problem.Decode(p.GetRefusal())
	default:
		return nil, inProgress() // parked: an operator will end it
	}
}

func (s *Service) observe(err error, took time.Duration) {
	if s.deps.Observe == nil {
		return
	}
	outcome := "placed"
	if p := problem.As(err); p != nil {
		outcome = p.Reason
	} else if err != nil {
		outcome = "INTERNAL"
	}
	s.deps.Observe.CheckoutEnded(outcome, took)
}

func inProgress() error {
	return problem.New(problem.Aborted, "CHECKOUT_IN_PROGRESS", "the order is being placed; ask GetCheckout what became of it")
}
