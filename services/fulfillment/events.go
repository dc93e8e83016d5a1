package fulfillment

import (
	"context"
	"fmt"
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

// Requested makes a shipment of a request, once. One that was canceled before has its row already, and sends nothing.
func (s *Service) Requested(ctx context.Context, messageID string, payload []byte) error {
	req := &orderv1.FulfillmentRequested{}
	if err := proto.Unmarshal(payload, req); err != nil {
		return fmt.Errorf("request %s: %w", messageID, err)
	}
	now := s.deps.Clock.Now()
	sh := shipment{fc: req.GetFcId(), order: req.GetOrderId(), id: ident.NewToken(), customer: req.GetCustomerId(), request: req, requestedAt: now}
	return s.deps.Regional.InTx(ctx, func(tx sqldb.Tx) error {
		var b sqldb.Batch
		inbox.Queue(&b, s.deps.Region, inbox.Message{Consumer: ConsumerName, ID: messageID}, now)
		if err := queueShipment(&b, s.deps.Region, sh, now.Add(s.deps.HandlingTime)); err != nil {
			return err
		}
		return tx.SendLast(ctx, &b)
	})
}

// shippedEvent is `order.<ring>.shipped`, for the home region of the order.
func shippedEvent(sh shipment, at time.Time) outbox.Event {
	order := ident.OrderID(sh.order)
	return outbox.Event{
		MessageID: "shipment/" + sh.id + "/shipped", Key: sh.order, Destination: order.Region(), Subject: "order." + string(order.Ring()) + ".shipped",
		Payload: &fulfillmentv1.ShipmentShipped{
			OrderId: sh.order, CustomerId: sh.customer, FcId: sh.fc, ShipmentId: sh.id, TrackingNumber: sh.tracking, ShippedAt: timestamppb.New(at),
		},
	}
}
