package cells

import (
	"context"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"
	"google.golang.org/protobuf/proto"

	"github.com/cellar-commerce/cellar/cells/controlplane/report"
	"github.com/cellar-commerce/cellar/internal/bus"
	fulfillmentv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/fulfillment/v1"
	orderv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/order/v1"
	"github.com/cellar-commerce/cellar/internal/gen/cellar/order/v1/orderv1connect"
	"github.com/cellar-commerce/cellar/internal/ident"
	"github.com/cellar-commerce/cellar/internal/process"
	"github.com/cellar-commerce/cellar/internal/rpc"
	"github.com/cellar-commerce/cellar/services/catalog"
	"github.com/cellar-commerce/cellar/services/fulfillment"
	"github.com/cellar-commerce/cellar/services/inventory"
	"github.com/cellar-commerce/cellar/services/review"
	"github.com/cellar-commerce/cellar/services/storefront"
)

// workers of a cell: what runs beside the listeners.
func (c *Cell) workers() []process.Worker {
	forever := func(run func(context.Context)) func(context.Context) error {
		return func(ctx context.Context) error { run(ctx); return nil }
	}
	attached := make(chan struct{})
	all := []process.Worker{
		{Name: "map", Run: forever(c.followMap)},
		{Name: "reports", Run: forever(c.reporter().Run)},
		{Name: "events of customers", Run: forever(c.relays.customers.Run)},
		{Name: "events of the region", Run: forever(c.relays.regional.Run)},
		{Name: "flow of events", Run: forever(c.flow.run)},
		{Name: "placements", Run: forever(c.services.checkout.Run)},
		{Name: "what follows orders", Run: forever(c.services.order.Run)},
		{Name: "demos", Run: forever(c.services.recovery.Run)},
		{Name: "notifications", Run: forever(c.services.notification.Run)},
		{Name: "erasures", Run: forever(c.services.account.Run)},
		{Name: "idempotency keys", Run: forever(c.sweepKeys)},
		{Name: "inbox", Run: forever(c.sweepInbox)},
		{Name: "holds", Run: forever(c.services.inventory.Run)},
		{Name: "shipping", Run: forever(c.services.fulfillment.Run)},
		{Name: "pages", Run: forever(c.services.pages.Run)},
		{Name: "changed products", Run: forever(c.services.search.Run)},
		{Name: "logs of searches", Run: forever(c.services.search.RunLog)},
		{Name: "events", Run: func(ctx context.Context) error { return c.receive(ctx, func() { close(attached) }) }},
		{Name: "index", Run: func(ctx context.Context) error { return c.buildIndex(ctx, attached) }},
	}
	if c.relays.global != nil {
		all = append(all, process.Worker{Name: "events of everybody", Run: forever(c.relays.global.Run)})
	}
	if c.feed != nil {
		all = append(all, process.Worker{Name: "feed", Run: forever(c.feed.Run)})
	}
	return all
}

// reporter tells the control planes which map this cell has. What it sees of other cells is no matter: routers see more.
func (c *Cell) reporter() *report.Reporter {
	return report.New(report.Deps{
		Name: "cell/" + c.cfg.Cell, Region: c.region, To: report.Addresses(c.cfg.ControlPlane), Peers: rpc.Peer(c.keys.peer, nil),
		Version: c.maps.Version, Clock: c.clock, Log: c.log,
	})
}

// gatherStock is for how long changes of stock gather before they are looked at, and told, together: products in demand change
// from moment to moment, and where to look for stock is a guess of seconds anyway.
const gatherStock = 250 * time.Millisecond

// receive what is meant for this region: shared with its other cells what is to be done once, and for itself what every
// cell keeps in memory. Attached is told when nothing of the latter is missed any more.
func (c *Cell) receive(ctx context.Context, attached func()) error {
	if err := c.ensureStreams(ctx); err != nil {
		return err
	}
	ring, _ := c.region.Code() // checked when the cell was configured
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error {
		return c.bus.ConsumeBatches(ctx, bus.Consumer{
			Region: c.region, Stream: bus.StreamFulfillment, Durable: fulfillment.ConsumerName, Subject: "fulfillment." + string(c.region) + ".*.requested",
		}, func(ctx context.Context, all []bus.Message) error {
			requests := make([]fulfillment.Request, len(all))
			for i, m := range all {
				requests[i] = fulfillment.Request{MessageID: m.ID, Payload: m.Data}
			}
			return c.services.fulfillment.Requested(ctx, requests...)
		})
	})
	g.Go(func() error {
		return c.bus.Consume(ctx, bus.Consumer{
			Region: c.region, Stream: bus.StreamOrder, Durable: "order", Subject: "order." + string(ring) + ".shipped",
		}, c.orderShipped)
	})
	g.Go(func() error {
		return c.bus.Consume(ctx, bus.Consumer{
			Region: c.region, Stream: bus.StreamOrder, Durable: "order-scans", Subject: "order." + string(ring) + ".scanned",
		}, c.orderScanned)
	})
	g.Go(func() error {
		return c.bus.Consume(ctx, bus.Consumer{
			Region: c.region, Stream: bus.StreamOrder, Durable: "order-short", Subject: "order." + string(ring) + ".short",
		}, c.orderShort)
	})
	g.Go(func() error {
		return c.bus.Consume(ctx, bus.Consumer{
			Region: c.region, Stream: bus.StreamFulfillment, Durable: fulfillment.ConsumerErased, Subject: "fulfillment." + string(c.region) + ".*.erased",
		}, func(ctx context.Context, m bus.Message) error { return c.services.fulfillment.Erased(ctx, m.Data) })
	})
	stock := func(durable, subject string, take func(context.Context, ...[]byte) error) {
		g.Go(func() error {
			return c.bus.ConsumeBatches(ctx, bus.Consumer{Region: c.region, Stream: bus.StreamStock, Durable: durable, Subject: subject, Gather: gatherStock},
				func(ctx context.Context, all []bus.Message) error { return take(ctx, payloadsOf(all)...) })
		})
	}
	stock(inventory.ConsumerTouched, inventory.SubjectTouched(c.region), c.services.inventory.Touched)
	stock(inventory.ConsumerSummarized, inventory.SubjectSummarized, c.services.inventory.Summarized)
	g.Go(func() error {
		return c.bus.Consume(ctx, bus.Consumer{Region: c.region, Stream: bus.StreamCatalog, Durable: review.ConsumerName, Subject: review.Subjects},
			func(ctx context.Context, m bus.Message) error {
				sku, err := c.services.review.Take(ctx, m.Subject, m.Data)
				if err != nil {
					return err
				}
				return c.services.pages.Rebuild(ctx, sku)
			})
	})
	g.Go(func() error { return c.rebuildPages(ctx) })
	g.Go(func() error { return c.followStock(ctx) })
	g.Go(func() error { return c.followPages(ctx) })
	g.Go(func() error { return c.followCatalog(ctx, attached) })
	return g.Wait()
}

// ensureStreams of this region's broker, however long it is away.
func (c *Cell) ensureStreams(ctx context.Context) error {
	for {
		err := c.bus.EnsureStreams(ctx, c.region)
		if err == nil {
			return nil
		}
		if ctx.Err() == nil {
			c.log.WarnContext(ctx, "the broker's streams are not there yet", "error", err)
		}
		if err := c.clock.Sleep(ctx, time.Second); err != nil {
			return err
		}
	}
}

// orderShipped takes the news of a parcel to the order's owner: this cell or another. It counts once a shipment there.
func (c *Cell) orderShipped(ctx context.Context, m bus.Message) error {
	var e fulfillmentv1.ShipmentShipped
	if err := proto.Unmarshal(m.Data, &e); err != nil {
		return fmt.Errorf("shipment %s: %w", m.ID, err)
	}
	return c.recordShipment(ctx, m.ID, &e, nil)
}

// orderShort takes what an FC did not find of a parcel to the order's owner. Each short pick counts once there.
func (c *Cell) orderShort(ctx context.Context, m bus.Message) error {
	var e fulfillmentv1.ShipmentShort
	if err := proto.Unmarshal(m.Data, &e); err != nil {
		return fmt.Errorf("short pick %s: %w", m.ID, err)
	}
	orders, err := c.ordersOf(m.ID, e.GetCustomerId())
	if err != nil {
		return err
	}
	_, err = orders.RecordShortPick(ctx, &orderv1.RecordShortPickRequest{
		CustomerId: e.GetCustomerId(), OrderId: e.GetOrderId(), FcId: e.GetFcId(), ShortPicks: e.GetShortPicks(), Express: e.GetExpress(),
	})
	return err
}

// orderScanned takes what a carrier has seen of a parcel to the order's owner. Each scan counts once there, and one that
// overtakes the news of the shipment brings it along.
func (c *Cell) orderScanned(ctx context.Context, m bus.Message) error {
	var e fulfillmentv1.ShipmentScanned
	if err := proto.Unmarshal(m.Data, &e); err != nil {
		return fmt.Errorf("scans %s: %w", m.ID, err)
	}
	return c.recordShipment(ctx, m.ID, e.GetShipment(), e.GetScans())
}

func (c *Cell) recordShipment(ctx context.Context, message string, e *fulfillmentv1.ShipmentShipped, scans []*orderv1.Scan) error {
	orders, err := c.ordersOf(message, e.GetCustomerId())
	if err != nil {
		return err
	}
	_, err = orders.RecordShipment(ctx, &orderv1.RecordShipmentRequest{
		CustomerId: e.GetCustomerId(), OrderId: e.GetOrderId(), FcId: e.GetFcId(), ShipmentId: e.GetShipmentId(),
		TrackingNumber: e.GetTrackingNumber(), ShippedAt: e.GetShippedAt(), Carrier: e.GetCarrier(), Scans: scans,
		ShortPicks: e.GetShortPicks(), Express: e.GetExpress(),
	})
	return err
}

// recorder is what news of parcels need of an order service.
type recorder interface {
	RecordShipment(context.Context, *orderv1.RecordShipmentRequest) (*orderv1.RecordShipmentResponse, error)
	RecordShortPick(context.Context, *orderv1.RecordShortPickRequest) (*orderv1.RecordShortPickResponse, error)
}

// ordersOf the customer whom a message is about, at its owner: this cell or another.
func (c *Cell) ordersOf(message, customer string) (recorder, error) {
	id, err := ident.Parse(customer)
	if err != nil {
		return nil, fmt.Errorf("message %s: %w", message, err)
	}
	owner, _, ok := c.maps.Owner(id)
	if !ok {
		return nil, fmt.Errorf("message %s: the map has no owner of the customer", message)
	}
	if owner == c.cfg.Cell {
		return c.services.order, nil
	}
	return orderv1connect.NewOrderServiceClient(c.peers, "http://"+owner, rpc.ClientOptions()...), nil
}

// followStock keeps this cell's memory of who has what up with what the regions tell.
func (c *Cell) followStock(ctx context.Context) error {
	return c.bus.Follow(ctx, bus.Consumer{Region: c.region, Stream: bus.StreamStock, Subject: inventory.SubjectSummarized},
		func(ctx context.Context, m bus.Message) error { return c.services.fulfillment.Summarized(ctx, m.Data) })
}

// rebuildPages of products that have changed.
func (c *Cell) rebuildPages(ctx context.Context) error {
	return c.bus.ConsumeBatches(ctx, bus.Consumer{Region: c.region, Stream: bus.StreamCatalog, Durable: storefront.ConsumerName, Subject: catalog.SubjectChanged},
		func(ctx context.Context, all []bus.Message) error {
			return c.services.pages.Changed(ctx, payloadsOf(all)...)
		})
}

func payloadsOf(all []bus.Message) [][]byte {
	payloads := make([][]byte, len(all))
	for i, m := range all {
		payloads[i] = m.Data
	}
	return payloads
}

// followPages forgets what this cell has in memory of pages that have been made anew.
func (c *Cell) followPages(ctx context.Context) error {
	return c.bus.Follow(ctx, bus.Consumer{Region: c.region, Stream: bus.StreamCatalog, Subject: storefront.SubjectRebuilt},
		func(ctx context.Context, m bus.Message) error { return c.services.storefront.Rebuilt(ctx, m.Data) })
}

// followCatalog keeps the cache and the index up with changes of products.
func (c *Cell) followCatalog(ctx context.Context, attached func()) error {
	return c.bus.Follow(ctx, bus.Consumer{Region: c.region, Stream: bus.StreamCatalog, Subject: catalog.SubjectChanged, Attached: attached},
		func(ctx context.Context, m bus.Message) error {
			if err := c.services.catalog.HandleChanged(ctx, m.Data); err != nil {
				return err
			}
			return c.services.search.HandleChanged(ctx, m.Data)
		})
}

// attachWait is how long the index waits for the events of changes before it is built without them.
const attachWait = 3 * time.Second

// buildIndex reads the catalogue once nothing that changes meanwhile can be missed. With a broker that is away it is
// built all the same, so that the cell serves, and read once more when the broker is back.
func (c *Cell) buildIndex(ctx context.Context, attached <-chan struct{}) error {
	waiting, cancel := context.WithTimeout(ctx, attachWait)
	defer cancel()
	early := false
	select {
	case <-attached:
	case <-waiting.Done():
		early = true
	}
	if err := c.build(ctx); err != nil {
		return err // only the end of ctx
	}
	c.ready.setBuilt()
	if !early {
		return nil
	}
	select {
	case <-attached:
		return c.build(ctx)
	case <-ctx.Done():
		return nil
	}
}

// build tries until it succeeds: a database that is away for a moment must not end the cell.
func (c *Cell) build(ctx context.Context) error {
	for {
		err := c.services.search.Build(ctx)
		if err == nil {
			return nil
		}
		if ctx.Err() == nil {
			c.log.WarnContext(ctx, "the search index could not be built; it is tried again", "error", err)
		}
		if err := c.clock.Sleep(ctx, time.Second); err != nil {
			return err
		}
	}
}
