package order

import (
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	orderv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/order/v1"
	"github.com/cellar-commerce/cellar/internal/ident"
	"github.com/cellar-commerce/cellar/internal/outbox"
)

// requests to ship, one a parcel: the event `fulfillment.<region>.<fc>.requested`. Their ids never change, so that a
// message sent twice is dropped by the broker or by the FC's inbox.
func requests(o *orderv1.Order, parcels []*orderv1.Parcel, paidAt time.Time) []outbox.Event {
	events := make([]outbox.Event, 0, len(parcels))
	for _, p := range parcels {
		events = append(events, outbox.Event{
			MessageID:   "order/" + o.GetOrderId() + "/" + p.GetFcId() + "/requested",
			Key:         o.GetOrderId(),
			Destination: ident.Region(p.GetRegion()),
			Subject:     "fulfillment." + p.GetRegion() + "." + p.GetFcId() + ".requested",
			Payload: &orderv1.FulfillmentRequested{
				OrderId: o.GetOrderId(), CustomerId: o.GetCustomerId(), FcId: p.GetFcId(), Lines: p.GetLines(),
				ShipTo: o.GetShipTo(), PaidAt: timestamppb.New(paidAt),
			},
		})
	}
	return events
}
