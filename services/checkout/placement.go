package checkout

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/cellar-commerce/cellar/internal/fence"
	cartv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/cart/v1"
	checkoutv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/checkout/v1"
	fulfillmentv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/fulfillment/v1"
	inventoryv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/inventory/v1"
	orderv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/order/v1"
	paymentv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/payment/v1"
	problemv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/problem/v1"
	"github.com/cellar-commerce/cellar/internal/ident"
	"github.com/cellar-commerce/cellar/internal/problem"
	"github.com/cellar-commerce/cellar/internal/saga"
)

const (
	// kindPlacement names the saga in its rows, stepCreate the step that is done when it begins.
	kindPlacement = "placement"
	stepCreate    = "create_order"
	// holdFor is how long stock is held for an order that is being placed.
	holdFor = 15 * time.Minute
	// extendBelow is how little may be left of the holds when payment starts.
	extendBelow = 10 * time.Minute
	// maxPlans of one order: each lost race for stock asks for another.
	maxPlans = 4
	// fcFanOut bounds the fulfilment centres asked at once for one order.
	fcFanOut = 8
)

// step adapts a step that knows its state's type.
func step(do func(context.Context, *checkoutv1.PlacementState) error) func(context.Context, proto.Message) error {
	return func(ctx context.Context, m proto.Message) error {
		p, ok := m.(*checkoutv1.PlacementState)
		if !ok {
			return fmt.Errorf("a placement has a state of type %T", m)
		}
		return do(ctx, p)
	}
}

// Placement is the saga of the package comment, with this service's steps.
func (s *Service) Placement() *saga.Definition {
	return &saga.Definition{
		Kind:     kindPlacement,
		NewState: func() proto.Message { return &checkoutv1.PlacementState{} },
		Steps: []saga.Step{
			// The order is made in the transaction that begins the saga. Every step gives the same again: only new plans, and the point of no return, are stored.
			{Name: stepCreate, Do: step(s.createOrder), Undo: step(s.failOrder), Quiet: true},
			// Release belongs to the plan: one that is made anew, because a hold was lost, may be refused while others stand.
			{Name: "plan", Do: step(s.plan), Undo: step(s.release), Quiet: true},
			{Name: "reserve", Do: step(s.reserve), Quiet: true},
			{Name: "redeem_voucher", Do: step(s.redeemVoucher), Undo: step(s.unredeemVoucher), Quiet: true},
			{Name: "capture", Do: step(s.capture), Undo: step(s.refund), Quiet: true},
			{Name: "commit", Do: step(s.commit), Ending: s.ending}, // undone by release, which takes committed stock back too
			{Name: "mark_paid", Do: step(s.markPaid), Forward: true, Quiet: true},
			{Name: "empty_cart", Do: step(s.emptyCart), Forward: true, Quiet: true},
			{Name: "answer", With: s.answer, Forward: true},
		},
		Refused: func(m proto.Message, cause error) {
			if p, ok := m.(*checkoutv1.PlacementState); ok {
				p.Refusal = problem.Encode(cause)
			}
		},
	}
}

func (s *Service) createOrder(ctx context.Context, p *checkoutv1.PlacementState) error {
	_, err := s.deps.Orders.CreateOrder(ctx, &orderv1.CreateOrderRequest{Order: orderOf(p)})
	return err
}

// failOrder is the last step of undoing: the order ends, and the refusal becomes the answer.
func (s *Service) failOrder(ctx context.Context, p *checkoutv1.PlacementState) error {
	_, err := s.deps.Orders.MarkFailed(ctx, &orderv1.MarkFailedRequest{
		CustomerId: p.GetQuote().GetCustomerId(), OrderId: p.GetOrderId(), Reason: problem.Decode(p.GetRefusal()).Reason,
	})
	if err != nil {
		return err
	}
	return s.storeRefusal(ctx, p)
}

// missing units of each line, that no allocation covers yet.
func missing(p *checkoutv1.PlacementState) map[int32]int64 {
	left := map[int32]int64{}
	for i, l := range p.GetQuote().GetLines() {
		left[int32(i+1)] = l.GetQuantity()
	}
	for _, a := range p.GetAllocations() {
		for _, l := range a.GetLines() {
			left[l.GetLine()] -= l.GetQuantity()
		}
	}
	return left
}

// plan fulfilment centres for what no allocation covers yet, if there is anything. Those asked before are left out: they have given what they
// have.
func (s *Service) plan(ctx context.Context, p *checkoutv1.PlacementState) error {
	missing := missing(p)
	req := &fulfillmentv1.PlanOrderRequest{ShipTo: p.GetQuote().GetShipTo(), Speed: speeds[p.GetQuote().GetSpeed()]}
	for i, l := range p.GetQuote().GetLines() {
		if n := missing[int32(i+1)]; n > 0 {
			req.Lines = append(req.Lines, &fulfillmentv1.PlanLine{Line: int32(i + 1), Sku: l.GetSku(), Quantity: n})
		}
	}
	if len(req.GetLines()) == 0 {
		return nil // planned with the quote, or before a crash
	}
	for _, fc := range p.GetAskedFcs() {
		req.ExcludedFcs = append(req.ExcludedFcs, fc.GetFcId())
	}
	resp, err := s.deps.Planner.PlanOrder(ctx, req)
	if err != nil {
		return ofTheOrder(err, p)
	}
	for _, parcel := range resp.GetParcels() {
		fc := &checkoutv1.FulfillmentCenter{Region: parcel.GetRegion(), FcId: parcel.GetFcId()}
		p.Allocations = append(p.Allocations, &checkoutv1.Allocation{Fc: fc, Lines: parcel.GetLines()})
		p.AskedFcs = append(p.AskedFcs, fc)
	}
	p.Plans++
	p.HoldsExpireAt = timestamppb.New(s.deps.Clock.Now().Add(holdFor))
	return saga.BackTo("plan") // so that it is stored before anybody is asked: undoing releases where it was
}

// planAsQuoted takes the plan that was made with the quote.
func (s *Service) planAsQuoted(p *checkoutv1.PlacementState) {
	for _, parcel := range p.GetQuote().GetParcels() {
		p.Allocations = append(p.Allocations, &checkoutv1.Allocation{Fc: parcel.GetFc(), Lines: parcel.GetLines()})
		p.AskedFcs = append(p.AskedFcs, parcel.GetFc())
	}
	if len(p.GetAllocations()) > 0 {
		p.Plans = 1
		p.HoldsExpireAt = timestamppb.New(s.deps.Clock.Now().Add(holdFor))
	}
}

// reserve at every fulfilment centre of the plan. One that has too little holds what it has; one that has nothing, or
// cannot be reached, is dropped from the plan. What is missing then is planned anew. Should a centre that was dropped
// hold something after all, that runs out by itself.
func (s *Service) reserve(ctx context.Context, p *checkoutv1.PlacementState) error {
	if now := s.deps.Clock.Now(); !p.GetHoldsExpireAt().AsTime().After(now) {
		p.HoldsExpireAt = timestamppb.New(now.Add(holdFor)) // the plan was made long ago, before a crash
	}
	held, lost := make([]*inventoryv1.ReserveResponse, len(p.GetAllocations())), make([]error, len(p.GetAllocations()))
	err := s.eachFC(ctx, p, func(ctx context.Context, i int, a *checkoutv1.Allocation, stock Stock) (err error) {
		req := &inventoryv1.ReserveRequest{FcId: a.GetFc().GetFcId(), OrderId: p.GetOrderId(), ExpiresAt: p.GetHoldsExpireAt(), Partial: true}
		for _, l := range a.GetLines() {
			req.Lines = append(req.Lines, &inventoryv1.ReserveLine{Line: l.GetLine(), Sku: l.GetSku(), Quantity: l.GetQuantity()})
		}
		held[i], err = stock.Reserve(ctx, req)
		if problem.Is(err, "OUT_OF_STOCK") || problem.KindOf(err) == problem.Unavailable {
			lost[i], err = err, nil
		}
		return err
	})
	if err != nil {
		return err
	}
	var kept []*checkoutv1.Allocation
	var why error
	for i, a := range p.GetAllocations() {
		if lost[i] != nil {
			why = lost[i]
			continue
		}
		kept = append(kept, heldOf(a, held[i]))
		if until := held[i].GetExpiresAt(); until.AsTime().Before(p.GetHoldsExpireAt().AsTime()) { // since an earlier plan, or before a crash
			p.HoldsExpireAt = until
		}
	}
	p.Allocations = kept
	if !slices.ContainsFunc(slices.Collect(maps.Values(missing(p))), func(units int64) bool { return units > 0 }) {
		return nil
	}
	if p.GetPlans() >= maxPlans {
		return outOfStock(why, p)
	}
	return saga.BackTo("plan")
}

// heldOf an allocation: what its centre holds of it.
func heldOf(a *checkoutv1.Allocation, held *inventoryv1.ReserveResponse) *checkoutv1.Allocation {
	out := &checkoutv1.Allocation{Fc: a.GetFc()}
	for _, l := range held.GetLines() {
		out.Lines = append(out.Lines, &orderv1.ParcelLine{Line: l.GetLine(), Sku: l.GetSku(), Quantity: l.GetQuantity()})
	}
	return out
}

// outOfStock refuses when the plans are used up, also when the last word was that a region is away.
func outOfStock(why error, p *checkoutv1.PlacementState) error {
	left, short := missing(p), &problemv1.OutOfStock{}
	for i, l := range p.GetQuote().GetLines() {
		if n := left[int32(i+1)]; n > 0 {
			short.Shortages = append(short.Shortages, &problemv1.Shortage{Sku: l.GetSku(), Requested: l.GetQuantity(), Available: l.GetQuantity() - n})
		}
	}
	if why == nil {
		return problem.New(problem.Precondition, "OUT_OF_STOCK", "there is not enough in stock", short)
	}
	return problem.Wrap(why, problem.Precondition, "OUT_OF_STOCK", "the stock left cannot be reached right now", short)
}

// ofTheOrder turns the planner's shortages, which are of what was missing, into those of the whole order: what is held
// for it is there as well.
func ofTheOrder(err error, p *checkoutv1.PlacementState) error {
	short, ok := problem.Detail[*problemv1.OutOfStock](err)
	if !ok || len(p.GetAllocations()) == 0 {
		return err
	}
	held := map[string]int64{}
	for _, a := range p.GetAllocations() {
		for _, l := range a.GetLines() {
			held[l.GetSku()] += l.GetQuantity()
		}
	}
	for _, s := range short.GetShortages() {
		s.Requested += held[s.GetSku()]
		s.Available += held[s.GetSku()]
	}
	return err
}

// release everything that may be held, wherever it was asked for. An FC that the plan has dropped has sold nothing to
// this order: when it stays out of reach, the undoing waits for its hold to run out, and not for an operator.
func (s *Service) release(ctx context.Context, p *checkoutv1.PlacementState) error {
	planned := map[string]bool{}
	for _, a := range p.GetAllocations() {
		planned[a.GetFc().GetFcId()] = true
	}
	ranOut := !p.GetHoldsExpireAt().AsTime().After(s.deps.Clock.Now())
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(fcFanOut)
	for _, fc := range p.GetAskedFcs() {
		g.Go(func() error {
			err := s.releaseAt(ctx, fc, p.GetOrderId())
			if problem.KindOf(err) == problem.Unavailable && ranOut && !planned[fc.GetFcId()] {
				return nil
			}
			return err
		})
	}
	return g.Wait()
}

func (s *Service) releaseAt(ctx context.Context, fc *checkoutv1.FulfillmentCenter, order string) error {
	stock, err := s.stockIn(fc.GetRegion())
	if err != nil {
		return err
	}
	_, err = stock.Release(ctx, &inventoryv1.ReleaseRequest{FcId: fc.GetFcId(), OrderId: order})
	return err
}

// capture the money, with the holds good for long enough.
func (s *Service) capture(ctx context.Context, p *checkoutv1.PlacementState) error {
	now := s.deps.Clock.Now()
	if p.GetHoldsExpireAt().AsTime().Sub(now) < extendBelow {
		until := timestamppb.New(now.Add(holdFor))
		err := s.eachFC(ctx, p, func(ctx context.Context, _ int, a *checkoutv1.Allocation, stock Stock) error {
			_, err := stock.ExtendHold(ctx, &inventoryv1.ExtendHoldRequest{FcId: a.GetFc().GetFcId(), OrderId: p.GetOrderId(), ExpiresAt: until})
			return err
		})
		if err != nil {
			return err
		}
		p.HoldsExpireAt = until
	}
	if p.GetQuote().GetTotal().GetMinorUnits() == 0 {
		return nil // a voucher pays for everything
	}
	customer, total := p.GetQuote().GetCustomerId(), p.GetQuote().GetTotal()
	if s.deps.CaptureOnShipment {
		_, err := s.deps.Payments.Authorize(ctx, &paymentv1.AuthorizeRequest{CustomerId: customer, OrderId: p.GetOrderId(), Amount: total, Tenders: tenders(p)})
		return err
	}
	_, err := s.deps.Payments.Capture(ctx, &paymentv1.CaptureRequest{CustomerId: customer, OrderId: p.GetOrderId(), Amount: total, Tenders: tenders(p)})
	return err
}

// tenders of a placement, in the order they are drawn on.
func tenders(p *checkoutv1.PlacementState) (all []*paymentv1.Tender) {
	for _, code := range p.GetGiftCardCodes() {
		all = append(all, &paymentv1.Tender{Means: &paymentv1.Tender_GiftCardCode{GiftCardCode: code}})
	}
	if p.GetUseWallet() {
		all = append(all, &paymentv1.Tender{Means: &paymentv1.Tender_Wallet{Wallet: true}})
	}
	if p.GetCardToken() != "" {
		all = append(all, &paymentv1.Tender{Means: &paymentv1.Tender_CardToken{CardToken: p.GetCardToken()}})
	}
	return all
}

func (s *Service) refund(ctx context.Context, p *checkoutv1.PlacementState) error {
	_, err := s.deps.Payments.Refund(ctx, &paymentv1.RefundRequest{CustomerId: p.GetQuote().GetCustomerId(), OrderId: p.GetOrderId()})
	return err
}

// commit turns the holds into sold stock. One that has run out while the payment hung refuses, and the money goes back.
func (s *Service) commit(ctx context.Context, p *checkoutv1.PlacementState) error {
	return s.eachFC(ctx, p, func(ctx context.Context, _ int, a *checkoutv1.Allocation, stock Stock) error {
		_, err := stock.Commit(ctx, &inventoryv1.CommitRequest{FcId: a.GetFc().GetFcId(), OrderId: p.GetOrderId()})
		return err
	})
}

func (s *Service) markPaid(ctx context.Context, p *checkoutv1.PlacementState) error {
	resp, err := s.deps.Orders.MarkPaid(ctx, s.paid(p))
	p.Placed = resp.GetOrder()
	return err
}

// paid order of a placement.
func (s *Service) paid(p *checkoutv1.PlacementState) *orderv1.MarkPaidRequest {
	req := &orderv1.MarkPaidRequest{CustomerId: p.GetQuote().GetCustomerId(), OrderId: p.GetOrderId(), ShipTo: p.GetQuote().GetShipTo(), PromisedAt: p.GetQuote().GetIssuedAt()}
	req.Authorized = s.deps.CaptureOnShipment && p.GetQuote().GetTotal().GetMinorUnits() > 0
	req.Express = speeds[p.GetQuote().GetSpeed()] == fulfillmentv1.Speed_SPEED_EXPRESS
	for _, a := range p.GetAllocations() {
		req.Parcels = append(req.Parcels, &orderv1.Parcel{FcId: a.GetFc().GetFcId(), Region: a.GetFc().GetRegion(), Lines: a.GetLines()})
	}
	return req
}

func (s *Service) emptyCart(ctx context.Context, p *checkoutv1.PlacementState) error {
	_, err := s.deps.Carts.RemoveOrdered(ctx, bought(p))
	return err
}

// bought by a placement.
func bought(p *checkoutv1.PlacementState) *cartv1.RemoveOrderedRequest {
	req := &cartv1.RemoveOrderedRequest{CustomerId: p.GetQuote().GetCustomerId(), OrderId: p.GetOrderId()}
	for _, l := range p.GetQuote().GetLines() {
		req.Ordered = append(req.Ordered, &cartv1.RemoveOrderedRequest_Ordered{Sku: l.GetSku(), Quantity: l.GetQuantity()})
	}
	return req
}

// ending does at once what mark_paid, empty_cart and answer do: all of it is rows of the customer's.
func (s *Service) ending(m proto.Message) ([]fence.Part, error) {
	p, ok := m.(*checkoutv1.PlacementState)
	if !ok {
		return nil, fmt.Errorf("a placement has a state of type %T", m)
	}
	if p.GetPlacedAt() == nil {
		return nil, errors.New("a placement of an older release does not know when it began")
	}
	paid, placed, err := s.deps.Orders.PaidPart(orderOf(p), s.paid(p))
	if err != nil {
		return nil, err
	}
	p.Placed = placed
	emptied, err := s.deps.Carts.OrderedPart(bought(p))
	if err != nil {
		return nil, err
	}
	answered, err := s.answer(p)
	return append([]fence.Part{paid, emptied}, answered...), err
}

// eachFC calls every fulfilment centre of the plan, some at once, and stops at the first error.
func (s *Service) eachFC(ctx context.Context, p *checkoutv1.PlacementState, call func(context.Context, int, *checkoutv1.Allocation, Stock) error) error {
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(fcFanOut)
	for i, a := range p.GetAllocations() {
		g.Go(func() error {
			stock, err := s.stockIn(a.GetFc().GetRegion())
			if err != nil {
				return err
			}
			return call(ctx, i, a, stock)
		})
	}
	return g.Wait()
}

func (s *Service) stockIn(region string) (Stock, error) {
	stock, ok := s.deps.Stock[ident.Region(region)]
	if !ok {
		return nil, problem.New(problem.Unavailable, "REGION_UNREACHABLE", "no cell of a fulfilment centre's region is known")
	}
	return stock, nil
}
