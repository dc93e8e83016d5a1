package order

import (
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	orderv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/order/v1"
	postalv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/postal/v1"
	"github.com/cellar-commerce/cellar/internal/ident"
	"github.com/cellar-commerce/cellar/internal/outbox"
)

// request to ship an order.
type request struct {
	order, customer string
	shipTo          *postalv1.PostalAddress
	paidAt          time.Time
	promisedAt      time.Time
	express         bool
}

// events of a request, one a parcel: `fulfillment.<region>.<fc>.requested`. Their ids never change, so that a message sent
// twice is dropped by the broker or by the FC's inbox.
func (r request) events(parcels []*orderv1.Parcel) []outbox.Event {
	events := make([]outbox.Event, 0, len(parcels))
	for _, p := range parcels {
		events = append(events, outbox.Event{
			MessageID:   "order/" + r.order + "/" + p.GetFcId() + "/requested",
			Key:         r.order,
			Destination: ident.Region(p.GetRegion()),
			Subject:     "fulfillment." + p.GetRegion() + "." + p.GetFcId() + ".requested",
			Payload: &orderv1.FulfillmentRequested{
				OrderId: r.order, CustomerId: r.customer, FcId: p.GetFcId(), Lines: p.GetLines(),
				ShipTo: r.shipTo, PaidAt: timestamppb.New(r.paidAt), Express: r.express, PromisedAt: timestamppb.New(r.promisedAt),
			},
		})
	}
	return events
}
