package cells

import (
	"github.com/cellar-commerce/cellar/internal/breaker"
	"github.com/cellar-commerce/cellar/internal/carrier"
	"github.com/cellar-commerce/cellar/internal/gen/cellar/fulfillment/v1/fulfillmentv1connect"
	"github.com/cellar-commerce/cellar/internal/ident"
	"github.com/cellar-commerce/cellar/internal/rpc"
	"github.com/cellar-commerce/cellar/services/fulfillment"
)

// CarrierWebhookPath is where the parcel carrier posts its scans, at any cell or router.
const CarrierWebhookPath = "/webhooks/carrier"

// carrier that is configured, behind a breaker, and who reads its scans; none without an address, or without the key they
// are signed with.
func (c *Cell) carrier() (fulfillment.Carrier, fulfillment.CarrierEvents, error) {
	if c.cfg.Carrier == "" {
		return nil, nil, nil
	}
	client, err := carrier.New(carrier.Config{BaseURL: c.cfg.Carrier})
	if err != nil {
		return nil, nil, err
	}
	guard := breaker.NewOne("carrier", func(from, to string) {
		c.log.Warn("a breaker changes", "traffic", "parcels", "destination", c.cfg.CarrierName, "from", from, "to", to)
	})
	guarded := fulfillment.Guarded(client, guard)
	if c.keys.carrierEvents == "" {
		return guarded, nil, nil
	}
	webhook, err := carrier.NewWebhook(c.keys.carrierEvents)
	return guarded, webhook, err
}

// scansOf the other regions' shipments, told to any cell there.
func (c *Cell) scansOf() map[ident.Region]fulfillment.ScanTaker {
	all := map[ident.Region]fulfillment.ScanTaker{}
	for _, region := range ident.Regions() {
		if region != c.region {
			all[region] = fulfillmentv1connect.NewFulfillmentServiceClient(c.peers, "http://"+string(region), rpc.ClientOptions()...)
		}
	}
	return all
}
