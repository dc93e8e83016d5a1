package order

import (
	"context"
	"slices"

	"golang.org/x/sync/errgroup"
	"google.golang.org/protobuf/proto"

	fulfillmentv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/fulfillment/v1"
	inventoryv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/inventory/v1"
	orderv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/order/v1"
	paymentv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/payment/v1"
	"github.com/cellar-commerce/cellar/internal/ident"
	"github.com/cellar-commerce/cellar/internal/problem"
	"github.com/cellar-commerce/cellar/internal/saga"
)

const (
	// refundCancellation identifies what is given back of an order that was canceled in part.
	refundCancellation = "cancellation"
	// fcFanOut bounds the fulfilment centres asked at once for one order.
	fcFanOut = 8
)

// cancellation of an order:
//
//	ask each FC → release what it will not send → record → refund → record_refund
//
// Each FC decides in its own region, in one row: an order that is packed there stays. So there is nothing to undo, and
// every step is repeated until it is done. Only what an FC has said it will not send is released, and only what is recorded
// as canceled is refunded.
func (s *Service) cancellation() *saga.Definition {
	return forward(kindCancellation, func() *orderv1.CancellationState { return &orderv1.CancellationState{} },
		step("ask", s.askCenters), step("release", s.releaseCanceled), step("record", s.recordCanceled),
		step("refund", s.refundCanceled), step("record_refund", s.recordCancelRefund))
}

// cancel an order, as far as nothing is packed.
func (s *Service) cancel(ctx context.Context, customer ident.CustomerID, id ident.OrderID, reason string) (*orderv1.CancelOrderResponse, error) {
	out, err := s.decide(ctx, customer, id, func(p *projection, _ causes) (decision, error) {
		switch {
		case p.status == Pending:
			return decision{}, problem.New(problem.Precondition, "ORDER_BEING_PLACED", "the order is being placed; it can be canceled once it is")
		case p.status == Failed:
			return decision{}, problem.New(problem.Precondition, reasonOrderEnded, "the order was never placed")
		case p.canceling:
			return decision{}, nil
		case p.firstOpen("") == nil && !slices.ContainsFunc(p.parcels, func(parcel *orderv1.Parcel) bool { return parcel.GetState() == requested }):
			return decision{}, tooLate()
		}
		return decision{
			facts:  []fact{{kindCancelRequested, causeCancellation, &orderv1.CancelRequested{Reason: reason}}},
			begins: []begun{{kindCancellation, string(id) + "/cancellation", p.canceled(customer)}},
		}, nil
	})
	if err != nil {
		return nil, err
	}
	late := problem.New(problem.Aborted, "CANCELLATION_IN_PROGRESS", "the order is being canceled; ask again what became of it")
	if len(out.begun) > 0 {
		if err := s.await(ctx, out.begun, late); err != nil {
			return nil, err
		}
	}
	o, err := s.get(ctx, customer, id)
	if err != nil {
		return nil, err
	}
	if comesShort(o) {
		return nil, late
	}
	resp := &orderv1.CancelOrderResponse{Order: o}
	for _, parcel := range o.GetParcels() {
		switch parcel.GetState() {
		case requested:
			return nil, late
		case canceled:
		default:
			resp.Kept = append(resp.Kept, parcel)
		}
	}
	dropped := slices.ContainsFunc(o.GetShortPicks(), func(pick *orderv1.ShortPick) bool { return len(pick.GetCanceled()) > 0 })
	if len(resp.GetKept()) == len(o.GetParcels()) && !dropped {
		return nil, tooLate()
	}
	return resp, nil
}

func tooLate() error {
	return problem.New(problem.Precondition, "TOO_LATE_TO_CANCEL", "every parcel is packed or has left; what arrives can be returned")
}

// canceled is what a cancellation begins with: the FCs to ask.
func (p *projection) canceled(customer ident.CustomerID) *orderv1.CancellationState {
	c := &orderv1.CancellationState{OrderId: p.agreed.GetOrderId(), CustomerId: string(customer)}
	for _, parcel := range p.parcels {
		if parcel.GetState() == requested {
			c.Parcels = append(c.Parcels, &orderv1.CancelingParcel{FcId: parcel.GetFcId(), Region: parcel.GetRegion()})
		}
	}
	return c
}

// eachParcel of a cancellation, some at once.
func eachParcel(ctx context.Context, c *orderv1.CancellationState, do func(context.Context, *orderv1.CancelingParcel) error) error {
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(fcFanOut)
	for _, parcel := range c.GetParcels() {
		g.Go(func() error { return do(ctx, parcel) })
	}
	return g.Wait()
}

func (s *Service) askCenters(ctx context.Context, c *orderv1.CancellationState) error {
	return eachParcel(ctx, c, func(ctx context.Context, parcel *orderv1.CancelingParcel) error {
		if parcel.GetAsked() {
			return nil
		}
		shipments, err := s.shipmentsIn(parcel.GetRegion())
		if err != nil {
			return err
		}
		resp, err := shipments.CancelShipment(ctx, &fulfillmentv1.CancelShipmentRequest{FcId: parcel.GetFcId(), OrderId: c.GetOrderId()})
		if err != nil {
			return err
		}
		parcel.Asked, parcel.Canceled = true, resp.GetCanceled()
		return nil
	})
}

func (s *Service) releaseCanceled(ctx context.Context, c *orderv1.CancellationState) error {
	return eachParcel(ctx, c, func(ctx context.Context, parcel *orderv1.CancelingParcel) error {
		if !parcel.GetCanceled() {
			return nil
		}
		stock, err := s.stockIn(parcel.GetRegion())
		if err != nil {
			return err
		}
		_, err = stock.Release(ctx, &inventoryv1.ReleaseRequest{FcId: parcel.GetFcId(), OrderId: c.GetOrderId()})
		return err
	})
}

// recordCanceled what the FCs have said, and what is given back for it: that is decided here, under the order's lock,
// because returns and shipments of other parcels take their shares too.
func (s *Service) recordCanceled(ctx context.Context, c *orderv1.CancellationState) error {
	out, err := s.decide(ctx, ident.CustomerID(c.GetCustomerId()), ident.OrderID(c.GetOrderId()), func(p *projection, log causes) (decision, error) {
		var d decision
		given := p.given()
		for _, asked := range c.GetParcels() {
			parcel, fc := p.parcelOf(asked.GetFcId()), asked.GetFcId()
			_, known := log[causeDecided+fc]
			switch {
			case known: // recorded before a crash
			case asked.GetCanceled():
				back := p.amount(0)
				if !p.held {
					back = p.amount(p.bear(parcel.GetLines(), given))
				}
				d.facts = append(d.facts, fact{kindCanceled, causeDecided + fc, &orderv1.Canceled{FcId: fc, Refund: back.Proto()}})
			case parcel.GetState() == requested:
				d.facts = append(d.facts, fact{kindPacked, causeDecided + fc, &orderv1.Packed{FcId: fc}})
			}
		}
		p.deliveryBack(d)
		return d, nil
	})
	if err != nil {
		return err
	}
	back := int64(0)
	for _, e := range out.events {
		var d orderv1.Canceled
		if e.Kind != kindCanceled {
			continue
		}
		if err := proto.Unmarshal(e.Detail, &d); err != nil {
			return err
		}
		back += d.GetRefund().GetMinorUnits()
	}
	c.Whole, c.Close = out.projection.status == Canceled && !out.projection.partsGivenBack(), out.projection.holdsForNothing()
	c.Refund = out.projection.amount(back).Proto()
	return nil
}

// partsGivenBack tells that the order gives back its money in parts, because some were canceled by short picks before: then
// "everything" could overtake what is given back for those.
func (p *projection) partsGivenBack() bool {
	return slices.ContainsFunc(p.short, func(d *orderv1.ShortPicked) bool { return len(d.GetShortPick().GetCanceled()) > 0 })
}

// deliveryBack adds delivery to the last part of a decision that cancels what was left of an order, when that goes back in parts.
func (p *projection) deliveryBack(d decision) {
	if p.held || !p.partsGivenBack() || p.firstOpen("") != nil || len(d.facts) == 0 {
		return
	}
	gone := map[string]bool{}
	var last *orderv1.Canceled
	for _, f := range d.facts {
		if c, ok := f.detail.(*orderv1.Canceled); ok {
			gone[c.GetFcId()], last = true, c
		}
	}
	left := slices.ContainsFunc(p.parcels, func(parcel *orderv1.Parcel) bool {
		return parcel.GetState() != canceled && !gone[parcel.GetFcId()]
	})
	if last != nil && !left && p.status == Paid {
		last.Refund.MinorUnits += p.delivery()
	}
}

// given back, or about to be: units by line.
func (p *projection) given() map[int32]int64 {
	given := map[int32]int64{}
	for _, l := range p.agreed.GetLines() {
		if units := p.dropped(l.GetLine()); units > 0 && !p.held {
			given[l.GetLine()] += units
		}
	}
	for _, parcel := range p.parcels {
		if parcel.GetState() != canceled || p.held { // what was only held for it was never taken
			continue
		}
		for _, l := range parcel.GetLines() {
			given[l.GetLine()] += l.GetQuantity()
		}
	}
	for _, r := range p.returns {
		for _, l := range r.GetLines() {
			given[l.GetLine()] += l.GetQuantity()
		}
	}
	return given
}

// refundCanceled parcels. Of an order that is canceled as a whole everything is given back, delivery too; of one that is
// sent in part, the canceled lines' share. Where money is only held, less of it is taken later; when nothing is left to be
// sent, the rest is let go of here.
func (s *Service) refundCanceled(ctx context.Context, c *orderv1.CancellationState) error {
	req := &paymentv1.RefundRequest{CustomerId: c.GetCustomerId(), OrderId: c.GetOrderId()}
	switch {
	case c.GetWhole():
	case c.GetRefund().GetMinorUnits() > 0:
		req.RefundId, req.Amount = refundCancellation, c.GetRefund()
	case c.GetClose():
		return s.letGo(ctx, c.GetCustomerId(), c.GetOrderId(), c.GetRefund().GetCurrencyCode())
	default:
		return nil
	}
	_, err := s.deps.Payments.Refund(ctx, req)
	return err
}

func (s *Service) recordCancelRefund(ctx context.Context, c *orderv1.CancellationState) error {
	if !c.GetWhole() && c.GetRefund().GetMinorUnits() == 0 {
		return nil
	}
	_, err := s.decide(ctx, ident.CustomerID(c.GetCustomerId()), ident.OrderID(c.GetOrderId()), func(p *projection, _ causes) (decision, error) {
		d := &orderv1.Refunded{RefundId: refundCancellation, Amount: c.GetRefund()}
		if c.GetWhole() {
			d = &orderv1.Refunded{Amount: p.amount(p.captured - p.refunded).Proto()}
		}
		return decision{facts: []fact{{kindRefunded, causeRefund + d.GetRefundId(), d}}}, nil
	})
	return err
}
