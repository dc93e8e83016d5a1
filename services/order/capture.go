package order

import (
	"context"
	"slices"

	orderv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/order/v1"
	paymentv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/payment/v1"
	"github.com/cellar-commerce/cellar/internal/ident"
	"github.com/cellar-commerce/cellar/internal/money"
	"github.com/cellar-commerce/cellar/internal/problem"
	"github.com/cellar-commerce/cellar/internal/saga"
)

// captureRest lets go of what is still held once nothing is to be sent any more.
const captureRest = "rest"

// capturing takes the money of one shipment, where it was only held before:
//
//	capture → record → close
//
// How much, and whether it is the last, is decided with the "shipped" event. Captures of one order may overtake each
// other, so the last is one that finds all others recorded; when none does, because they were under way at once or
// because the other parcels were canceled later, what is still held is let go of by itself, as a capture of nothing.
func (s *Service) capturing() *saga.Definition {
	return forward(kindCapturing, func() *orderv1.CaptureState { return &orderv1.CaptureState{} },
		step("capture", s.captureShipment), step("record", s.recordCapture), step("close", s.closeAfterCapture))
}

func (s *Service) captureShipment(ctx context.Context, c *orderv1.CaptureState) error {
	if c.GetAmount().GetMinorUnits() == 0 && !c.GetLast() {
		return nil
	}
	_, err := s.deps.Payments.Capture(ctx, &paymentv1.CaptureRequest{
		CustomerId: c.GetCustomerId(), OrderId: c.GetOrderId(), CaptureId: c.GetCaptureId(), Amount: c.GetAmount(), Last: c.GetLast(),
	})
	return err
}

func (s *Service) recordCapture(ctx context.Context, c *orderv1.CaptureState) error {
	out, err := s.decide(ctx, ident.CustomerID(c.GetCustomerId()), ident.OrderID(c.GetOrderId()), func(*projection, causes) (decision, error) {
		return decision{facts: []fact{{kindCaptured, causeCapture + c.GetCaptureId(), &orderv1.Captured{
			CaptureId: c.GetCaptureId(), FcId: c.GetFcId(), Amount: c.GetAmount(), Last: c.GetLast(),
		}}}}, nil
	})
	if err != nil {
		return err
	}
	c.Close = out.projection.holdsForNothing()
	return nil
}

func (s *Service) closeAfterCapture(ctx context.Context, c *orderv1.CaptureState) error {
	if !c.GetClose() {
		return nil
	}
	return s.letGo(ctx, c.GetCustomerId(), c.GetOrderId(), c.GetAmount().GetCurrencyCode())
}

// letGo of what is still held, by a capture of nothing.
func (s *Service) letGo(ctx context.Context, customer, order, currency string) error {
	rest := &orderv1.Captured{CaptureId: captureRest, Amount: money.Zero(currency).Proto(), Last: true}
	_, err := s.deps.Payments.Capture(ctx, &paymentv1.CaptureRequest{CustomerId: customer, OrderId: order, CaptureId: rest.GetCaptureId(), Amount: rest.GetAmount(), Last: true})
	if err != nil {
		return err
	}
	return s.record(ctx, customer, order, fact{kindCaptured, causeCapture + captureRest, rest})
}

// holdsForNothing tells that money is held still, although every parcel has left and is paid for, or will not leave.
func (p *projection) holdsForNothing() bool {
	return p.held && !p.closed && p.firstOpen("") == nil && !slices.ContainsFunc(p.parcels, func(parcel *orderv1.Parcel) bool { return !p.settled(parcel) })
}

// settled tells that a parcel needs no money any more.
func (p *projection) settled(parcel *orderv1.Parcel) bool {
	return parcel.GetState() == canceled || (hasLeft(parcel.GetState()) && p.takings[parcel.GetFcId()])
}

// charge of a parcel that leaves now: its lines' share; delivery is borne by the first that leaves.
func (p *projection) charge(parcel *orderv1.Parcel) (minor int64) {
	left, anyLeft := map[int32]int64{}, false
	for _, other := range p.parcels {
		if !hasLeft(other.GetState()) {
			continue
		}
		anyLeft = true
		for _, l := range other.GetLines() {
			left[l.GetLine()] += l.GetQuantity()
		}
	}
	if !anyLeft {
		minor = p.delivery()
	}
	return minor + p.bear(parcel.GetLines(), left)
}

// delivery is what it costs, with its tax.
func (p *projection) delivery() int64 {
	return p.agreed.GetShipping().GetMinorUnits() + p.agreed.GetShippingTax().GetMinorUnits()
}

// bear is what units of lines bear, after those that others have borne already; it adds them to these.
func (p *projection) bear(lines []*orderv1.ParcelLine, borne map[int32]int64) (minor int64) {
	for _, pl := range lines {
		from := borne[pl.GetLine()]
		borne[pl.GetLine()] += pl.GetQuantity()
		if line := p.lineOf(pl.GetLine()); line != nil {
			minor += between(line, from, from+pl.GetQuantity())
		}
	}
	return minor
}

func (p *projection) lineOf(number int32) *orderv1.Line {
	i := slices.IndexFunc(p.agreed.GetLines(), func(l *orderv1.Line) bool { return l.GetLine() == number })
	if i < 0 {
		return nil
	}
	return p.agreed.GetLines()[i]
}

// recordShipment of one FC's parcel, and what is known of its way. What was not found of it is recorded before. Where the money was
// only held, taking the parcel's share begins with it; where the parcel was sent back, so does its return.
func (s *Service) recordShipment(ctx context.Context, customer ident.CustomerID, id ident.OrderID, d *orderv1.Shipped, scans []*orderv1.Scan) error {
	out, err := s.decide(ctx, customer, id, func(p *projection, log causes) (decision, error) {
		cause := causeShipment + d.GetShipmentId()
		if known, err := log.has(cause, kindShipped); known || err != nil {
			parcel := p.parcelOf(d.GetFcId())
			made := decision{facts: scanned(d.GetFcId(), d.GetShipmentId(), scans, len(parcel.GetScans()), parcel.GetWay())}
			p.sentBack(&made, customer, parcel, d.GetShipmentId())
			return made, err
		}
		made := decision{facts: append([]fact{{kindShipped, cause, d}}, scanned(d.GetFcId(), d.GetShipmentId(), scans, 0, 0)...)}
		parcel, err := p.leaving(d.GetFcId())
		if err != nil {
			return made, err
		}
		if p.held {
			made.begins = append(made.begins, p.taking(customer, parcel, d.GetShipmentId()))
		}
		p.sentBack(&made, customer, parcel, d.GetShipmentId())
		return made, nil
	})
	if err != nil {
		return err
	}
	s.follow(ctx, out.begun)
	return nil
}

// follow an order by the sagas that news of its parcels have begun, one after the other: what was not taken yet cannot be
// given back.
func (s *Service) follow(ctx context.Context, all []saga.Ticket) {
	if len(all) == 0 {
		return
	}
	select {
	case s.followed <- struct{}{}: // when the network is slow, so is who tells of shipments
		s.runFollowed(ctx, all)
	case <-ctx.Done(): // the sweep takes it on
	}
}

// followOn from within such a saga: who waited for room there could wait for itself, so without room the sweep takes it on.
func (s *Service) followOn(ctx context.Context, all []saga.Ticket) {
	if len(all) == 0 {
		return
	}
	select {
	case s.followed <- struct{}{}:
		s.runFollowed(ctx, all)
	default:
	}
}

// runFollowed sagas, for which there is room.
func (s *Service) runFollowed(ctx context.Context, all []saga.Ticket) {
	s.runs.Go(func() {
		defer func() { <-s.followed }()
		for _, ticket := range all {
			if s.run(ctx, ticket, nil) != nil {
				return // it is logged, and the sweep goes on
			}
		}
	})
}

// taking of the money of a parcel that leaves now.
func (p *projection) taking(customer ident.CustomerID, parcel *orderv1.Parcel, shipment string) begun {
	order := p.agreed.GetOrderId()
	return begun{kindCapturing, order + "/capture/" + shipment, &orderv1.CaptureState{
		OrderId: order, CustomerId: string(customer), FcId: parcel.GetFcId(), CaptureId: shipment, Amount: p.amount(p.charge(parcel)).Proto(),
		Last: p.firstOpen("") == nil && !slices.ContainsFunc(p.parcels, func(other *orderv1.Parcel) bool { return other != parcel && !p.settled(other) }),
	}}
}

// leaving is the parcel that an FC says has left.
func (p *projection) leaving(fc string) (*orderv1.Parcel, error) {
	parcel := p.parcelOf(fc)
	switch {
	case p.status == Pending || p.status == Failed:
		return nil, problem.New(problem.Precondition, "ORDER_NOT_PAID", "only a paid order ships")
	case parcel == nil:
		return nil, problem.New(problem.Precondition, "UNKNOWN_PARCEL", "the order has no parcel from there")
	case parcel.GetState() == canceled:
		return nil, problem.New(problem.Precondition, "PARCEL_CANCELED", "the parcel was canceled")
	case hasLeft(parcel.GetState()):
		return nil, problem.New(problem.Precondition, "PARCEL_SHIPPED", "the parcel has left as another shipment")
	}
	return parcel, nil
}
