package order

import (
	"context"
	"fmt"
	"slices"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

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
	// replanHold is how long stock is held for what another FC did not find: it is sold as soon as all of it is held.
	replanHold = 5 * time.Minute
	// maxReplans of one short pick: each lost race for stock asks for another.
	maxReplans = 4
)

// replanning has sent from elsewhere what an FC did not find of its parcel:
//
//	plan ⇄ reserve → commit → record → release → refund → record_refund
//
// An FC's rows are kept by order, so an FC that has a parcel of the order already is not asked for another one. What no
// FC has is canceled, and its lines' share given back. So is everything once the customer has asked to cancel the order: "record"
// decides that under the order's lock, and what was sold for it meanwhile is given back.
//
// Of an order one such saga runs at a time: another one that had chosen the same FC could not tell whose stock it is. The
// next begins with the "replanned" event of the one before.
func (s *Service) replanning() *saga.Definition {
	return forward(kindReplanning, func() *orderv1.ShortPickState { return &orderv1.ShortPickState{} },
		step("plan", s.replan), step("reserve", s.reserveReplanned), step("commit", s.commitReplanned), step("record", s.recordReplanned),
		step("release", s.releaseUnwanted), step("refund", s.refundShortPick), step("record_refund", s.recordShortPickRefund))
}

// recordShortPicks of one FC's parcel, each once. Of a parcel that was canceled nothing is missing: its money is given back,
// and what the FC had of it is free.
func (s *Service) recordShortPicks(ctx context.Context, customer ident.CustomerID, id ident.OrderID, fc string, express bool, picks []*orderv1.ShortPick) error {
	out, err := s.decide(ctx, customer, id, func(p *projection, log causes) (decision, error) {
		var d decision
		parcel := p.parcelOf(fc)
		switch {
		case p.status == Pending || p.status == Failed:
			return d, problem.New(problem.Precondition, "ORDER_NOT_PAID", "only a paid order is picked")
		case parcel == nil:
			return d, problem.New(problem.Precondition, "UNKNOWN_PARCEL", "the order has no parcel from there")
		case !isOpen(parcel.GetState()):
			return d, nil
		}
		waits := p.firstOpen("") == nil
		for _, pick := range picks {
			if _, known := log[causeShortPick+pick.GetShortPickId()]; known {
				continue
			}
			detail := &orderv1.ShortPicked{FcId: fc, ShortPick: pick, Express: express}
			d.facts = append(d.facts, fact{kindShortPicked, causeShortPick + pick.GetShortPickId(), detail})
			if waits {
				d.begins, waits = append(d.begins, p.replan(customer, detail)), false
			}
		}
		return d, nil
	})
	if err != nil {
		return err
	}
	s.follow(ctx, out.begun)
	return nil
}

// replan what was not found.
func (p *projection) replan(customer ident.CustomerID, d *orderv1.ShortPicked) begun {
	order := p.agreed.GetOrderId()
	return begun{kindReplanning, order + "/short_pick/" + d.GetShortPick().GetShortPickId(), &orderv1.ShortPickState{
		OrderId: order, CustomerId: string(customer), ShortPick: d.GetShortPick(), Express: d.GetExpress(),
	}}
}

// shortPick takes the missing units out of their parcel. One that has nothing left is not sent.
func (p *projection) shortPick(d *orderv1.ShortPicked) error {
	parcel := p.parcelOf(d.GetFcId())
	if parcel == nil || !isOpen(parcel.GetState()) {
		return fmt.Errorf("%s picks nothing any more", d.GetFcId())
	}
	for _, l := range d.GetShortPick().GetLines() {
		i := slices.IndexFunc(parcel.GetLines(), func(pl *orderv1.ParcelLine) bool { return pl.GetLine() == l.GetLine() })
		if i < 0 || parcel.GetLines()[i].GetQuantity() < l.GetQuantity() {
			return fmt.Errorf("%s misses more of line %d than it was to send", d.GetFcId(), l.GetLine())
		}
		if parcel.Lines[i].Quantity -= l.GetQuantity(); parcel.GetLines()[i].GetQuantity() == 0 {
			parcel.Lines = slices.Delete(parcel.Lines, i, i+1)
		}
	}
	p.short = append(p.short, d)
	if len(parcel.GetLines()) == 0 {
		return parcelMoves.step(&parcel.State, canceled)
	}
	return nil
}

// replanned adds the parcels that other FCs send for what was missing.
func (p *projection) replanned(d *orderv1.Replanned) error {
	pick := p.shortPickOf(d.GetShortPickId())
	if pick == nil {
		return fmt.Errorf("nobody misses what %s is about", d.GetShortPickId())
	}
	pick.Replanned, pick.Canceled, pick.Refund, pick.Done = true, d.GetCanceled(), d.GetRefund(), d.GetRefund().GetMinorUnits() == 0
	for _, parcel := range d.GetParcels() {
		if p.parcelOf(parcel.GetFcId()) != nil {
			return fmt.Errorf("%s has a parcel of the order already", parcel.GetFcId())
		}
		parcel.State = requested
		p.parcels = append(p.parcels, parcel)
	}
	return p.settle()
}

func (p *projection) shortPickOf(id string) *orderv1.ShortPick {
	for _, d := range p.short {
		if d.GetShortPick().GetShortPickId() == id {
			return d.GetShortPick()
		}
	}
	return nil
}

// dropped is how many units of a line no FC has any more.
func (p *projection) dropped(line int32) (units int64) {
	for _, d := range p.short {
		for _, l := range d.GetShortPick().GetCanceled() {
			if l.GetLine() == line {
				units += l.GetQuantity()
			}
		}
	}
	return units
}

// firstOpen short pick that is not planned anew yet, other than one; nil when there is none.
func (p *projection) firstOpen(other string) *orderv1.ShortPicked {
	for _, d := range p.short {
		if !d.GetShortPick().GetReplanned() && d.GetShortPick().GetShortPickId() != other {
			return d
		}
	}
	return nil
}

// refundOfShortPick is its id at the payment.
func refundOfShortPick(id string) string { return "short-" + id }

// comesShort tells whether units that an FC did not find are still being seen to.
func comesShort(o *orderv1.Order) bool {
	return slices.ContainsFunc(o.GetShortPicks(), func(pick *orderv1.ShortPick) bool { return !pick.GetDone() })
}

// missing units of a short pick that no FC is to send, by line.
func missing(st *orderv1.ShortPickState) (lines []*orderv1.ParcelLine) {
	found := map[int32]int64{}
	for _, parcel := range st.GetParcels() {
		for _, l := range parcel.GetLines() {
			found[l.GetLine()] += l.GetQuantity()
		}
	}
	for _, l := range st.GetShortPick().GetLines() {
		if units := l.GetQuantity() - found[l.GetLine()]; units > 0 {
			lines = append(lines, &orderv1.ParcelLine{Line: l.GetLine(), Sku: l.GetSku(), Quantity: units})
		}
	}
	return lines
}

// replan for what no FC holds yet. FCs that were asked before have given what they have.
func (s *Service) replan(ctx context.Context, st *orderv1.ShortPickState) error {
	lines := missing(st)
	if len(lines) == 0 || st.GetPlans() >= maxReplans {
		return nil
	}
	agreed, events, err := readOrder(ctx, s.deps.DB, ident.CustomerID(st.GetCustomerId()), ident.OrderID(st.GetOrderId()))
	if err != nil {
		return err
	}
	p, err := project(agreed, events)
	if err != nil {
		return err
	}
	if p.canceling {
		st.Plans = maxReplans // whoever cancels wants nothing more sent
		return nil
	}
	req := &fulfillmentv1.PlanOrderRequest{ShipTo: agreed.GetShipTo(), ExcludedFcs: st.GetAskedFcs()}
	if st.GetExpress() {
		req.Speed = fulfillmentv1.Speed_SPEED_EXPRESS
	}
	for _, parcel := range p.parcels {
		req.ExcludedFcs = append(req.ExcludedFcs, parcel.GetFcId())
	}
	planned, err := s.planOf(ctx, req, lines)
	if err != nil {
		return err
	}
	for _, parcel := range planned {
		st.Parcels = append(st.Parcels, &orderv1.Parcel{FcId: parcel.GetFcId(), Region: parcel.GetRegion(), Lines: parcel.GetLines()})
		st.AskedFcs = append(st.AskedFcs, parcel.GetFcId())
	}
	if st.Plans++; len(planned) == 0 {
		st.Plans = maxReplans // nobody has any
	}
	return nil
}

// planOf lines, or of as much of them as there is.
func (s *Service) planOf(ctx context.Context, req *fulfillmentv1.PlanOrderRequest, lines []*orderv1.ParcelLine) ([]*fulfillmentv1.PlannedParcel, error) {
	short := map[string]int64{}
	for range 2 {
		req.Lines = nil
		for _, l := range lines {
			take := l.GetQuantity()
			if have, known := short[l.GetSku()]; known {
				take = min(take, have)
				short[l.GetSku()] -= take
			}
			if take > 0 {
				req.Lines = append(req.Lines, &fulfillmentv1.PlanLine{Line: l.GetLine(), Sku: l.GetSku(), Quantity: take})
			}
		}
		if len(req.GetLines()) == 0 {
			return nil, nil
		}
		resp, err := s.deps.Planner.PlanOrder(ctx, req)
		detail, isShort := problem.Detail[*problemv1.OutOfStock](err)
		if !isShort {
			return resp.GetParcels(), err
		}
		for _, one := range detail.GetShortages() {
			short[one.GetSku()] = one.GetAvailable()
		}
	}
	return nil, problem.New(problem.Unavailable, "STOCK_MOVES", "what is left was sold meanwhile; it is looked for again")
}

// reserveReplanned at each FC of the plan what it has of it. One that has nothing, or cannot be reached, is dropped: should it
// hold something after all, that runs out by itself.
func (s *Service) reserveReplanned(ctx context.Context, st *orderv1.ShortPickState) error {
	until := timestamppb.New(s.deps.Clock.Now().Add(replanHold))
	var kept []*orderv1.Parcel
	for _, parcel := range st.GetParcels() {
		stock, err := s.stockIn(parcel.GetRegion())
		if err != nil {
			return err
		}
		req := &inventoryv1.ReserveRequest{FcId: parcel.GetFcId(), OrderId: st.GetOrderId(), ExpiresAt: until, Partial: true}
		for _, l := range parcel.GetLines() {
			req.Lines = append(req.Lines, &inventoryv1.ReserveLine{Line: l.GetLine(), Sku: l.GetSku(), Quantity: l.GetQuantity()})
		}
		held, err := stock.Reserve(ctx, req)
		if kind := problem.KindOf(err); kind == problem.Precondition || kind == problem.Unavailable {
			continue
		}
		if err != nil {
			return err
		}
		parcel.Lines = nil
		for _, l := range held.GetLines() {
			parcel.Lines = append(parcel.Lines, &orderv1.ParcelLine{Line: l.GetLine(), Sku: l.GetSku(), Quantity: l.GetQuantity()})
		}
		kept = append(kept, parcel)
	}
	st.Parcels = kept
	return planAgain(st)
}

// commitReplanned what is held. A hold that has run out, because nobody went on for long, is dropped.
func (s *Service) commitReplanned(ctx context.Context, st *orderv1.ShortPickState) error {
	var kept []*orderv1.Parcel
	for _, parcel := range st.GetParcels() {
		stock, err := s.stockIn(parcel.GetRegion())
		if err != nil {
			return err
		}
		_, err = stock.Commit(ctx, &inventoryv1.CommitRequest{FcId: parcel.GetFcId(), OrderId: st.GetOrderId()})
		if problem.KindOf(err) == problem.Precondition {
			continue
		}
		if err != nil {
			return err
		}
		kept = append(kept, parcel)
	}
	st.Parcels = kept
	return planAgain(st)
}

// planAgain while something is missing, and somebody may have it.
func planAgain(st *orderv1.ShortPickState) error {
	if len(missing(st)) == 0 || st.GetPlans() >= maxReplans {
		return nil
	}
	return saga.BackTo("plan")
}

// recordReplanned who sends what was missing, and ask them to; and what is given back for the rest, under the order's lock,
// because cancellations, returns and shipments take their shares too.
func (s *Service) recordReplanned(ctx context.Context, st *orderv1.ShortPickState) error {
	id, now := st.GetShortPick().GetShortPickId(), s.deps.Clock.Now()
	out, err := s.decide(ctx, ident.CustomerID(st.GetCustomerId()), ident.OrderID(st.GetOrderId()), func(p *projection, _ causes) (decision, error) {
		if p.shortPickOf(id).GetReplanned() {
			return decision{}, nil // before a crash
		}
		d := &orderv1.Replanned{ShortPickId: id, Parcels: st.GetParcels(), Canceled: missing(st)}
		if p.canceling {
			d.Parcels, d.Canceled = nil, st.GetShortPick().GetLines()
		}
		d.Refund = p.amount(p.backFor(d)).Proto()
		to := request{order: st.GetOrderId(), customer: st.GetCustomerId(), shipTo: p.agreed.GetShipTo(), paidAt: now, promisedAt: now, express: st.GetExpress()}
		made := decision{facts: []fact{{kindReplanned, causeReplanned + id, d}}, sends: to.events(d.GetParcels())}
		if next := p.firstOpen(id); next != nil {
			made.begins = append(made.begins, p.replan(ident.CustomerID(st.GetCustomerId()), next))
		}
		return made, nil
	})
	if err != nil {
		return err
	}
	pick := out.projection.shortPickOf(id)
	st.ShortPick, st.Close = pick, out.projection.holdsForNothing()
	st.Unwanted = len(st.GetParcels()) > 0 && out.projection.parcelOf(st.GetParcels()[0].GetFcId()) == nil
	s.followOn(ctx, out.begun)
	return nil
}

// backFor what is canceled of a short pick: its lines' share, and delivery when nothing of the order is sent any more. What
// was only held for it was never taken.
func (p *projection) backFor(d *orderv1.Replanned) int64 {
	if p.held || len(d.GetCanceled()) == 0 {
		return 0
	}
	back := p.bear(d.GetCanceled(), p.given())
	if len(d.GetParcels()) == 0 && p.firstOpen(d.GetShortPickId()) == nil && p.sendsNothing() {
		back += p.delivery()
	}
	return back
}

// sendsNothing tells that every parcel was canceled.
func (p *projection) sendsNothing() bool {
	return !slices.ContainsFunc(p.parcels, func(parcel *orderv1.Parcel) bool { return parcel.GetState() != canceled })
}

// releaseUnwanted stock that was sold while the customer canceled.
func (s *Service) releaseUnwanted(ctx context.Context, st *orderv1.ShortPickState) error {
	if !st.GetUnwanted() {
		return nil
	}
	for _, parcel := range st.GetParcels() {
		stock, err := s.stockIn(parcel.GetRegion())
		if err != nil {
			return err
		}
		if _, err := stock.Release(ctx, &inventoryv1.ReleaseRequest{FcId: parcel.GetFcId(), OrderId: st.GetOrderId()}); err != nil {
			return err
		}
	}
	return nil
}

func (s *Service) refundShortPick(ctx context.Context, st *orderv1.ShortPickState) error {
	refund := st.GetShortPick().GetRefund()
	switch {
	case refund.GetMinorUnits() > 0:
		_, err := s.deps.Payments.Refund(ctx, &paymentv1.RefundRequest{
			CustomerId: st.GetCustomerId(), OrderId: st.GetOrderId(), RefundId: refundOfShortPick(st.GetShortPick().GetShortPickId()), Amount: refund,
		})
		return err
	case st.GetClose():
		return s.letGo(ctx, st.GetCustomerId(), st.GetOrderId(), refund.GetCurrencyCode())
	}
	return nil
}

func (s *Service) recordShortPickRefund(ctx context.Context, st *orderv1.ShortPickState) error {
	refund := st.GetShortPick().GetRefund()
	if refund.GetMinorUnits() == 0 {
		return nil
	}
	d := &orderv1.Refunded{RefundId: refundOfShortPick(st.GetShortPick().GetShortPickId()), Amount: refund}
	return s.record(ctx, st.GetCustomerId(), st.GetOrderId(), fact{kindRefunded, causeRefund + d.GetRefundId(), d})
}
