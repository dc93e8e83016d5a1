package order

import (
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	orderv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/order/v1"
	"github.com/cellar-commerce/cellar/internal/money"
)

// Kinds of events.
const (
	kindPlaced  = "placed"
	kindPaid    = "paid"
	kindFailed  = "failed"
	kindShipped = "shipped"
)

// Causes make an event happen once. An order ends placement once, paid or failed: both have the same cause.
const (
	causePlaced   = "placed"
	causeEnded    = "ended"
	causeShipment = "shipment/" // + shipment id
)

// Status of an order, as stored.
type Status string

// The statuses.
const (
	Pending Status = "PENDING"
	Paid    Status = "PAID"
	Shipped Status = "SHIPPED"
	Failed  Status = "FAILED"
)

var statusProto = map[Status]orderv1.Status{
	Pending: orderv1.Status_STATUS_PENDING,
	Paid:    orderv1.Status_STATUS_PAID,
	Shipped: orderv1.Status_STATUS_SHIPPED,
	Failed:  orderv1.Status_STATUS_FAILED,
}

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
	status  Status
	lastSeq int64
	parcels []*orderv1.Parcel
	reason  string
}

// project folds the events, oldest first. The zero projection is an order without events.
func project(events []Event) (projection, error) {
	var p projection
	for _, e := range events {
		if err := p.apply(e); err != nil {
			return projection{}, err
		}
	}
	return p, nil
}

func (p *projection) apply(e Event) error {
	p.lastSeq = e.Seq
	switch e.Kind {
	case kindPlaced:
		p.status = Pending
	case kindFailed:
		var d orderv1.Failed
		if err := proto.Unmarshal(e.Detail, &d); err != nil {
			return err
		}
		p.status, p.reason = Failed, d.GetReason()
	case kindPaid:
		var d orderv1.Paid
		if err := proto.Unmarshal(e.Detail, &d); err != nil {
			return err
		}
		p.status, p.parcels = Paid, d.GetParcels()
	case kindShipped:
		var d orderv1.Shipped
		if err := proto.Unmarshal(e.Detail, &d); err != nil {
			return err
		}
		p.ship(&d)
	}
	return nil
}

// ship marks one FC's parcel as sent; with the last one the whole order is.
func (p *projection) ship(d *orderv1.Shipped) {
	all := len(p.parcels) > 0
	for _, parcel := range p.parcels {
		if parcel.GetFcId() == d.GetFcId() {
			parcel.ShipmentId, parcel.TrackingNumber, parcel.ShippedAt = d.GetShipmentId(), d.GetTrackingNumber(), d.GetShippedAt()
		}
		all = all && parcel.GetShipmentId() != ""
	}
	if all {
		p.status = Shipped
	}
}

// show joins what was agreed with what has happened.
func show(agreed *orderv1.Order, events []Event) (*orderv1.Order, error) {
	p, err := project(events)
	if err != nil {
		return nil, err
	}
	agreed.Status, agreed.FailureReason, agreed.Parcels = statusProto[p.status], p.reason, p.parcels
	for _, e := range events {
		agreed.Events = append(agreed.Events, &orderv1.Event{Seq: e.Seq, Kind: e.Kind, At: timestamppb.New(e.At), FcId: shippedFrom(e)})
	}
	return agreed, nil
}

func shippedFrom(e Event) string {
	var d orderv1.Shipped
	if e.Kind != kindShipped || proto.Unmarshal(e.Detail, &d) != nil {
		return ""
	}
	return d.GetFcId()
}

// totals adds an order's lines up. An error is an overflow or a mix of currencies: such an order is refused.
func totals(o *orderv1.Order) (items, total money.Amount, err error) {
	items = money.Zero(o.GetTotal().GetCurrencyCode())
	for _, l := range o.GetLines() {
		line, err := money.FromProto(l.GetUnitPrice()).Times(l.GetQuantity())
		if err != nil {
			return items, total, err
		}
		if items, err = items.Add(line); err != nil {
			return items, total, err
		}
	}
	total = items
	for _, extra := range []money.Amount{money.FromProto(o.GetShipping()), money.FromProto(o.GetTax())} {
		if total, err = total.Add(extra); err != nil {
			return items, total, err
		}
	}
	return items, total, nil
}
