package fulfillment

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	fulfillmentv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/fulfillment/v1"
	orderv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/order/v1"
	"github.com/cellar-commerce/cellar/internal/ident"
	"github.com/cellar-commerce/cellar/internal/inbox"
	"github.com/cellar-commerce/cellar/internal/outbox"
	"github.com/cellar-commerce/cellar/internal/sqldb"
)

// ConsumerName of the region's cells in the stream of requests, and in the inbox.
const ConsumerName = "fulfillment"

// Request to ship, as the broker brings it.
type Request struct {
	MessageID string
	// Payload is an orderv1.FulfillmentRequested.
	Payload []byte
}

// Requested makes a shipment of each request, once; all in one transaction. One that was canceled before has its row
// already, and sends nothing.
func (s *Service) Requested(ctx context.Context, requests ...Request) error {
	if len(requests) == 0 {
		return nil
	}
	now := s.deps.Clock.Now()
	centers, err := s.Centers(ctx)
	if err != nil {
		return err
	}
	ids, all := make([]string, len(requests)), make([]shipment, len(requests))
	for i, r := range requests {
		req := &orderv1.FulfillmentRequested{}
		if err := proto.Unmarshal(r.Payload, req); err != nil {
			return fmt.Errorf("request %s: %w", r.MessageID, err)
		}
		ids[i] = r.MessageID
		all[i] = shipment{fc: req.GetFcId(), order: req.GetOrderId(), id: ident.NewToken(), customer: req.GetCustomerId(), request: req, requestedAt: now}
		all[i].shipBy, all[i].dueAt = s.waveOf(centers[req.GetFcId()], req, now)
		all[i].booking = bookingOf(all[i].id, centers[req.GetFcId()], req)
	}
	// Two cells that are given the same requests at once lock them in the same order.
	slices.Sort(ids)
	slices.SortFunc(all, func(a, b shipment) int { return cmp.Or(cmp.Compare(a.fc, b.fc), cmp.Compare(a.order, b.order)) })
	var b sqldb.Batch
	inbox.QueueAll(&b, s.deps.Region, ConsumerName, ids, now)
	if err := queueShipments(&b, s.deps.Region, all); err != nil {
		return err
	}
	return s.deps.Regional.Send(ctx, &b)
}

// shippedEvent is `order.<ring>.shipped`, for the home region of the order.
func shippedEvent(sh shipment, at time.Time) outbox.Event {
	sh.shippedAt = &at
	e := shippedOf(sh)
	e.ShortPicks, e.Express = sh.short.GetShortPicks(), sh.request.GetExpress()
	return orderEvent(sh, "shipped", "shipped", e)
}

// shortEvent is `order.<ring>.short`.
func shortEvent(sh shipment) outbox.Event {
	picks := sh.short.GetShortPicks()
	return orderEvent(sh, "short", fmt.Sprintf("short/%d", len(picks)), &fulfillmentv1.ShipmentShort{
		OrderId: sh.order, CustomerId: sh.customer, FcId: sh.fc, ShipmentId: sh.id, ShortPicks: picks, Express: sh.request.GetExpress(),
	})
}

// scannedEvent is `order.<ring>.scanned`.
func scannedEvent(sh shipment, scans []*orderv1.Scan) outbox.Event {
	return orderEvent(sh, "scanned", fmt.Sprintf("scanned/%d", len(scans)), &fulfillmentv1.ShipmentScanned{Shipment: shippedOf(sh), Scans: scans})
}

func orderEvent(sh shipment, kind, id string, payload proto.Message) outbox.Event {
	order := ident.OrderID(sh.order)
	return outbox.Event{
		MessageID: "shipment/" + sh.id + "/" + id, Key: sh.order, Destination: order.Region(), Subject: "order." + string(order.Ring()) + "." + kind, Payload: payload,
	}
}

func shippedOf(sh shipment) *fulfillmentv1.ShipmentShipped {
	return &fulfillmentv1.ShipmentShipped{
		OrderId: sh.order, CustomerId: sh.customer, FcId: sh.fc, ShipmentId: sh.id, TrackingNumber: sh.tracking, Carrier: sh.carrier, ShippedAt: timestamppb.New(*sh.shippedAt),
	}
}
