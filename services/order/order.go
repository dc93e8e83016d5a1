package order

import (
	"fmt"
	"slices"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	orderv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/order/v1"
	"github.com/cellar-commerce/cellar/internal/money"
)

// Kinds of events.
const (
	kindPlaced          = "placed"
	kindPaid            = "paid"
	kindFailed          = "failed"
	kindShipped         = "shipped"
	kindScanned         = "scanned"
	kindCaptured        = "captured"
	kindCancelRequested = "cancel_requested"
	kindPacked          = "packed"
	kindCanceled        = "canceled"
	kindReturnRequested = "return_requested"
	kindReturned        = "returned"
	kindRefunded        = "refunded"
	kindShortPicked     = "short_picked"
	kindReplanned       = "replanned"
)

// Causes make an event happen once. An order ends placement once, paid or failed: both have the same cause. An FC packs
// its parcel or cancels it: both have the same cause.
const (
	causePlaced       = "placed"
	causeEnded        = "ended"
	causeShipment     = "shipment/" // + shipment id
	causeScan         = "scan/"     // + shipment id + "/" + number
	causeCancellation = "cancellation"
	causeDecided      = "decided/"   // + FC
	causeCapture      = "capture/"   // + capture id
	causeReturn       = "return/"    // + return id
	causeReturned     = "returned/"  // + return id
	causeRefund       = "refund/"    // + refund id
	causeShortPick    = "short/"     // + short pick id
	causeReplanned    = "replanned/" // + short pick id
)

// Event is one thing that happened to an order.
type Event struct {
	Seq    int64
	Kind   string
	Cause  string
	At     time.Time
	Detail []byte
}

// projection is what the events of an order add up to.
type projection struct {
	agreed  *orderv1.Order // only read
	status  Status
	lastSeq int64
	reason  string // of a failure
	parcels []*orderv1.Parcel

	payment payment
	// held tells that the money was only held at first.
	held bool
	// captured and refunded so far, in minor units.
	captured, refunded int64
	// closed: nothing is held any more.
	closed bool

	// canceling: a cancellation was asked for. It happens once.
	canceling bool
	returns   []*orderv1.Return
	// short are the units that FCs did not find, oldest first.
	short []*orderv1.ShortPicked
	// takings are the captures that were recorded, by FC.
	takings map[string]bool
}

// project folds the events of an order, oldest first. Without events it is the zero projection.
func project(agreed *orderv1.Order, events []Event) (projection, error) {
	p := projection{agreed: agreed, takings: map[string]bool{}}
	for _, e := range events {
		if err := p.apply(e); err != nil {
			return projection{}, fmt.Errorf("event %d (%s) of %s: %w", e.Seq, e.Kind, agreed.GetOrderId(), err)
		}
	}
	return p, nil
}

// apply an event. A kind that is not known is of a newer release: it is counted, and changes nothing here.
func (p *projection) apply(e Event) error {
	p.lastSeq = e.Seq
	switch e.Kind {
	case kindPlaced:
		return statusMoves.step(&p.status, Pending)
	case kindFailed:
		return with(e, func(d *orderv1.Failed) error {
			p.reason = d.GetReason()
			return statusMoves.step(&p.status, Failed)
		})
	case kindPaid:
		return with(e, p.pay)
	case kindShipped:
		return with(e, p.ship)
	case kindScanned:
		return with(e, p.scan)
	case kindCaptured:
		return with(e, p.capture)
	case kindCancelRequested:
		p.canceling = true
	case kindPacked:
		return with(e, func(d *orderv1.Packed) error { return p.move(d.GetFcId(), packed) })
	case kindCanceled:
		return with(e, p.cancel)
	case kindReturnRequested:
		return with(e, func(d *orderv1.ReturnRequested) error {
			r := d.GetReturn()
			r.RequestedAt, r.Done = timestamppb.New(e.At), false
			p.returns = append(p.returns, r)
			return nil
		})
	case kindReturned:
		return with(e, p.takeBack)
	case kindRefunded:
		return with(e, p.refund)
	case kindShortPicked:
		return with(e, p.shortPick)
	case kindReplanned:
		return with(e, p.replanned)
	}
	return nil
}

// with the detail of an event.
func with[D any, M interface {
	*D
	proto.Message
}](e Event, do func(M) error) error {
	d := M(new(D))
	if err := proto.Unmarshal(e.Detail, d); err != nil {
		return err
	}
	return do(d)
}

func (p *projection) pay(d *orderv1.Paid) error {
	p.parcels, p.held = d.GetParcels(), d.GetAuthorized()
	for _, parcel := range p.parcels {
		parcel.State = requested
	}
	if p.held {
		return first(statusMoves.step(&p.status, Paid), paymentMoves.step(&p.payment, authorized))
	}
	p.captured, p.closed = p.agreed.GetTotal().GetMinorUnits(), true
	return first(statusMoves.step(&p.status, Paid), paymentMoves.step(&p.payment, captured))
}

// parcelOf an FC; nil when it sends nothing.
func (p *projection) parcelOf(fc string) *orderv1.Parcel {
	i := slices.IndexFunc(p.parcels, func(parcel *orderv1.Parcel) bool { return parcel.GetFcId() == fc })
	if i < 0 {
		return nil
	}
	return p.parcels[i]
}

func (p *projection) move(fc string, to parcel) error {
	parcel := p.parcelOf(fc)
	if parcel == nil {
		return fmt.Errorf("%s sends nothing", fc)
	}
	return parcelMoves.step(&parcel.State, to)
}

// ship marks one FC's parcel as sent; with the last one the whole order is.
func (p *projection) ship(d *orderv1.Shipped) error {
	if err := p.move(d.GetFcId(), shipped); err != nil {
		return err
	}
	parcel := p.parcelOf(d.GetFcId())
	parcel.ShipmentId, parcel.Carrier, parcel.TrackingNumber, parcel.ShippedAt = d.GetShipmentId(), d.GetCarrier(), d.GetTrackingNumber(), d.GetShippedAt()
	return p.settle()
}

func (p *projection) cancel(d *orderv1.Canceled) error {
	return first(p.move(d.GetFcId(), canceled), p.settle())
}

// settle the order's status once every parcel has left or will not: at least one has left, or none will.
func (p *projection) settle() error {
	if p.outstanding() || p.status != Paid {
		return nil
	}
	if slices.ContainsFunc(p.parcels, func(parcel *orderv1.Parcel) bool { return hasLeft(parcel.GetState()) }) {
		return statusMoves.step(&p.status, Shipped)
	}
	return statusMoves.step(&p.status, Canceled)
}

// outstanding parcels are still to be sent, or units that were not found to be planned anew.
func (p *projection) outstanding() bool {
	return p.firstOpen("") != nil || slices.ContainsFunc(p.parcels, func(parcel *orderv1.Parcel) bool { return isOpen(parcel.GetState()) })
}

func (p *projection) capture(d *orderv1.Captured) error {
	p.captured += d.GetAmount().GetMinorUnits()
	p.takings[d.GetFcId()] = true
	p.closed = p.closed || d.GetLast()
	return p.settlePayment()
}

// refund of a part; without an id of everything, which also lets go of what is held.
func (p *projection) refund(d *orderv1.Refunded) error {
	p.refunded += d.GetAmount().GetMinorUnits()
	p.closed = p.closed || d.GetRefundId() == ""
	for _, r := range p.returns {
		r.Done = r.GetDone() || d.GetRefundId() == refundOf(r)
	}
	for _, short := range p.short {
		pick := short.GetShortPick()
		pick.Done = pick.GetDone() || d.GetRefundId() == refundOfShortPick(pick.GetShortPickId())
	}
	return p.settlePayment()
}

// settlePayment is the state of the money by its sums.
func (p *projection) settlePayment() error {
	if p.refunded > p.captured {
		return fmt.Errorf("%d refunded of %d", p.refunded, p.captured)
	}
	to := captured
	switch {
	case !p.closed && p.refunded == 0:
		if to = partlyCaptured; p.captured == 0 {
			to = authorized
		}
	case p.held && p.closed && p.captured == 0:
		to = voided
	case p.refunded == p.captured && p.closed && p.refunded > 0:
		to = refunded
	case p.refunded > 0:
		to = partlyRefunded
	}
	return paymentMoves.step(&p.payment, to)
}

// takeBack what a return said would come.
func (p *projection) takeBack(d *orderv1.Returned) error {
	r := p.returnOf(d.GetReturnId())
	if r == nil {
		return fmt.Errorf("nobody asked for the return %s", d.GetReturnId())
	}
	for _, l := range r.GetLines() {
		parcel := p.parcelOf(l.GetFcId())
		all := parcel != nil
		for _, pl := range parcel.GetLines() {
			if pl.GetLine() == l.GetLine() {
				pl.Returned += l.GetQuantity()
			}
			all = all && pl.GetReturned() == pl.GetQuantity()
		}
		to := partlyReturned
		if all {
			to = returned
		}
		if err := p.move(l.GetFcId(), to); err != nil {
			return err
		}
	}
	return nil
}

func (p *projection) returnOf(id string) *orderv1.Return {
	i := slices.IndexFunc(p.returns, func(r *orderv1.Return) bool { return r.GetReturnId() == id })
	if i < 0 {
		return nil
	}
	return p.returns[i]
}

func first(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// amount of the order's currency.
func (p *projection) amount(minor int64) money.Amount {
	return money.Amount{Minor: minor, Currency: p.agreed.GetTotal().GetCurrencyCode()}
}

// show joins what was agreed with what has happened.
func (p *projection) show(events []Event) *orderv1.Order {
	o := p.agreed
	o.Status, o.FailureReason, o.Parcels = statusProto[p.status], p.reason, p.parcels
	o.PaymentStatus, o.Returns = p.payment, p.returns
	if p.payment != unpaid {
		o.Captured, o.Refunded = p.amount(p.captured).Proto(), p.amount(p.refunded).Proto()
	}
	o.ShortPicks = nil
	for _, short := range p.short {
		o.ShortPicks = append(o.ShortPicks, short.GetShortPick())
	}
	for _, l := range o.GetLines() {
		l.Canceled, l.Returned = p.dropped(l.GetLine()), 0
		for _, parcel := range p.parcels {
			for _, pl := range parcel.GetLines() {
				if pl.GetLine() == l.GetLine() && parcel.GetState() == canceled {
					l.Canceled += pl.GetQuantity()
				} else if pl.GetLine() == l.GetLine() {
					l.Returned += pl.GetReturned()
				}
			}
		}
	}
	o.Events = nil
	for _, e := range events {
		o.Events = append(o.Events, showEvent(e))
	}
	return o
}
