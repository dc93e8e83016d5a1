package cells

import (
	"context"
	"net/http"
	"slices"
	"strings"

	"connectrpc.com/connect"

	"github.com/cellar-commerce/cellar/cells/topology"
	"github.com/cellar-commerce/cellar/internal/fence"
	accountv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/account/v1"
	"github.com/cellar-commerce/cellar/internal/gen/cellar/account/v1/accountv1connect"
	"github.com/cellar-commerce/cellar/internal/gen/cellar/cart/v1/cartv1connect"
	"github.com/cellar-commerce/cellar/internal/gen/cellar/catalog/v1/catalogv1connect"
	"github.com/cellar-commerce/cellar/internal/gen/cellar/checkout/v1/checkoutv1connect"
	"github.com/cellar-commerce/cellar/internal/gen/cellar/events/v1/eventsv1connect"
	"github.com/cellar-commerce/cellar/internal/gen/cellar/fulfillment/v1/fulfillmentv1connect"
	inventoryv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/inventory/v1"
	"github.com/cellar-commerce/cellar/internal/gen/cellar/inventory/v1/inventoryv1connect"
	"github.com/cellar-commerce/cellar/internal/gen/cellar/notification/v1/notificationv1connect"
	"github.com/cellar-commerce/cellar/internal/gen/cellar/order/v1/orderv1connect"
	"github.com/cellar-commerce/cellar/internal/gen/cellar/payment/v1/paymentv1connect"
	"github.com/cellar-commerce/cellar/internal/gen/cellar/recommendation/v1/recommendationv1connect"
	"github.com/cellar-commerce/cellar/internal/gen/cellar/recovery/v1/recoveryv1connect"
	"github.com/cellar-commerce/cellar/internal/gen/cellar/review/v1/reviewv1connect"
	"github.com/cellar-commerce/cellar/internal/gen/cellar/search/v1/searchv1connect"
	"github.com/cellar-commerce/cellar/internal/ident"
	"github.com/cellar-commerce/cellar/internal/mail"
	"github.com/cellar-commerce/cellar/internal/passkey"
	"github.com/cellar-commerce/cellar/internal/postal"
	"github.com/cellar-commerce/cellar/internal/rpc"
	"github.com/cellar-commerce/cellar/internal/saga"
	"github.com/cellar-commerce/cellar/internal/session"
	"github.com/cellar-commerce/cellar/internal/tax"
	"github.com/cellar-commerce/cellar/internal/telemetry"
	"github.com/cellar-commerce/cellar/services/account"
	"github.com/cellar-commerce/cellar/services/cart"
	"github.com/cellar-commerce/cellar/services/catalog"
	"github.com/cellar-commerce/cellar/services/checkout"
	"github.com/cellar-commerce/cellar/services/events"
	"github.com/cellar-commerce/cellar/services/fulfillment"
	"github.com/cellar-commerce/cellar/services/inventory"
	"github.com/cellar-commerce/cellar/services/notification"
	"github.com/cellar-commerce/cellar/services/order"
	"github.com/cellar-commerce/cellar/services/payment"
	"github.com/cellar-commerce/cellar/services/recommendation"
	"github.com/cellar-commerce/cellar/services/recovery"
	"github.com/cellar-commerce/cellar/services/review"
	"github.com/cellar-commerce/cellar/services/search"
	"github.com/cellar-commerce/cellar/services/storefront"
)

// services of a cell, and what guards them.
type services struct {
	fence    fence.Fence
	sessions *session.Signer

	account     *account.Service
	passkeys    *passkey.Party // nil: there are none
	catalog     *catalog.Service
	search      *search.Service
	cart        *cart.Service
	checkout    *checkout.Service
	inventory   *inventory.Service
	order       *order.Service
	payment     *payment.Service
	fulfillment *fulfillment.Service
	recovery    *recovery.Service
	review      *review.Service
	// pages of products, as the storefront shows them.
	pages *storefront.Pages
	// storefront is there once its handler is: see publicHandler.
	storefront     *storefront.Service
	recommendation *recommendation.Service
	events         *events.Service
	// notification sends what the others write.
	notification *notification.Service

	// keepers of each region's FCs.
	keepers map[ident.Region]*keepers
}

// assembleServices from the ground up: each is given those it needs.
func (c *Cell) assembleServices() (err error) {
	s := &c.services
	if s.sessions, err = session.NewSigner([]byte(c.keys.session)); err != nil {
		return err
	}
	if s.fence, err = fence.New(fence.Deps{DB: c.customers, Cell: c.cfg.Cell, Region: c.region, Owners: c.maps, Overridden: c.maps.Overridden, Lanes: c.cfg.Lanes}); err != nil {
		return err
	}
	s.events = events.New(events.Deps{
		Global: c.global, Customers: c.customers, Regional: c.regional, Committed: c.relays.regional.Nudge, Clock: c.clock, Log: c.log, Observe: c.metrics,
		Region: c.region, Feed: c.feedLags,
	})
	engine, err := search.NewBleve()
	if err != nil {
		return err
	}
	s.catalog = catalog.New(catalog.Deps{DB: c.global, Clock: c.clock, PrimaryRegion: primary(), Regions: ident.Regions(), Committed: c.nudgeGlobal, Lanes: c.cfg.Lanes})
	s.search = search.New(search.Deps{
		Engine: engine, Source: s.catalog, Log: c.log, Publisher: c.bus, ObserveLog: c.feedMetrics, Clock: c.clock, Region: c.region, Cell: c.cfg.Cell,
	})
	s.cart = cart.New(cart.Deps{DB: c.customers, Fence: s.fence, Products: s.catalog, Clock: c.clock, Lanes: c.cfg.Lanes})
	if err := c.assemblePayment(); err != nil {
		return err
	}
	if err := c.assembleStock(); err != nil {
		return err
	}
	s.order = order.New(order.Deps{
		DB: c.customers, Fence: s.fence, Clock: c.clock, Log: c.log, Payments: s.payment, Planner: s.fulfillment, Shipments: c.shipmentsOf(), Stock: c.soldStockOf(),
		Cell: c.cfg.Cell, Rings: c.rings, Committed: c.relays.customers.Nudge,
	})
	s.review = review.New(review.Deps{
		Customers: c.customers, Regional: c.regional, Fence: s.fence, Clock: c.clock, Orders: s.order, Region: c.region, Regions: ident.Regions(),
		At: func(cell string) review.Peer {
			return reviewv1connect.NewReviewServiceClient(c.peers, "http://"+cell, rpc.ClientOptions()...)
		},
		Cell: c.cfg.Cell, Committed: c.relays.customers.Nudge,
	})
	s.recommendation = recommendation.New(recommendation.Deps{DB: c.global})
	s.pages = storefront.NewPages(storefront.PagesDeps{
		DB: c.regional, Region: c.region, Catalog: s.catalog, Reviews: s.review, Recommendations: s.recommendation, Committed: c.relays.regional.Nudge, Clock: c.clock, Log: c.log,
	})
	if err := c.assembleAccounts(); err != nil {
		return err
	}
	s.checkout, err = checkout.New(checkout.Deps{
		DB: c.customers, Global: c.global, Fence: s.fence, Clock: c.clock, Log: c.log, Tax: tax.Published(), PrimaryRegion: primary(), Accounts: s.account, Carts: s.cart, Products: s.catalog, Planner: s.fulfillment,
		Stock: c.stockCommandsOf(), Payments: s.payment, Orders: s.order, ValidateAddress: postal.Validate,
		CaptureOnShipment: c.cfg.Capture == CaptureOnShipment, QuoteKey: []byte(c.keys.quote), Committed: c.relays.customers.Nudge, Cell: c.cfg.Cell, Rings: c.rings, Observe: c.metrics, ObserveSagas: c.sagaMetrics,
	})
	if err != nil {
		return err
	}
	s.recovery = recovery.New(recovery.Deps{
		DB: c.customers, Fence: s.fence, Clock: c.clock, Log: c.log, Engines: []recovery.Engine{s.checkout.Sagas(), s.order.Sagas()},
		At: func(cell string) recovery.Peer {
			return recoveryv1connect.NewRecoveryServiceClient(c.peers, "http://"+cell, rpc.ClientOptions()...)
		},
		Cell: c.cfg.Cell, Rings: c.rings, Observe: c.sagaMetrics,
	})
	return nil
}

// assembleAccounts makes accounts and notifications, which need each other: an account's links are sent, and a notification
// goes to where an account is reached.
func (c *Cell) assembleAccounts() (err error) {
	s, links := &c.services, account.NewLinker([]byte(c.keys.session))
	var mailer notification.Mailer
	if c.cfg.MailServer != "" {
		mailer, err = mail.New(mail.Config{Address: c.cfg.MailServer, From: c.cfg.MailFrom, Username: c.cfg.MailUser, Password: c.keys.mail, RequireTLS: c.cfg.MailTLS})
		if err != nil {
			return err
		}
	}
	s.notification = notification.New(notification.Deps{
		DB: c.customers, Fence: s.fence, Clock: c.clock, Log: c.log, Accounts: contacts{c}, Mailer: mailer, SMSURL: c.cfg.SMS, Link: links.Sent, Rings: c.rings,
		WebhookURL: c.cfg.NotifyWebhook, WebhookKey: c.keys.notifications, ShopURL: strings.TrimSuffix(c.cfg.ShopURL, "/"), Observe: telemetry.NewNoticeMetrics(c.metrics),
	})
	if s.passkeys, err = c.cfg.passkeys([]byte(c.keys.session)); err != nil {
		return err
	}
	s.account = account.New(account.Deps{
		Customers: c.customers, Global: c.global, Fence: s.fence, Sessions: s.sessions, Carts: s.cart, SecureCookies: c.cfg.SecureCookies, Clock: c.clock, Log: c.log,
		Orders: s.order, Reviews: s.review, Notifications: s.notification, Links: links, Passkeys: s.passkeys, Rings: c.rings,
	})
	return nil
}

// contacts of accounts, which are assembled later.
type contacts struct{ *Cell }

// ResolveContact implements notification.Accounts.
func (c contacts) ResolveContact(ctx context.Context, req *accountv1.ResolveContactRequest) (*accountv1.ResolveContactResponse, error) {
	return c.services.account.ResolveContact(ctx, req)
}

// assembleStock makes inventory and fulfilment, which need each other: inventory asks where an FC's rows are homed,
// fulfilment what the FCs have.
func (c *Cell) assembleStock() error {
	s := &c.services
	s.keepers = map[ident.Region]*keepers{}
	guard := c.breakers("stock")
	for _, region := range ident.Regions() {
		s.keepers[region] = c.newKeepers(region, guard)
	}
	peers := stockOf[inventory.Peer](c) // without this region: its service does not exist yet
	s.inventory = inventory.New(inventory.Deps{
		DB: c.regional, Region: c.region, Regions: ident.Regions(), Peers: peers, Committed: c.relays.regional.Nudge, Clock: c.clock, Log: c.log, Observe: c.metrics, Swept: c.keptCenters, Lanes: c.cfg.Lanes,
		FC:      func(ctx context.Context, id string) (ident.Region, bool) { return s.fulfillment.FC(ctx, id) },
		Ordinal: func(ctx context.Context, id string) (int, bool) { return s.fulfillment.Ordinal(ctx, id) },
	})
	parcels, scans, err := c.carrier()
	if err != nil {
		return err
	}
	s.fulfillment = fulfillment.New(fulfillment.Deps{
		Carrier: parcels, CarrierName: c.cfg.CarrierName, CarrierEvents: scans, TrackEvery: c.cfg.TrackEvery, Scans: c.scansOf(),
		Global: c.global, Regional: c.regional, Region: c.region, Stock: stockOf[fulfillment.StockLister](c),
		Summaries: s.inventory, Reachable: newReach(ways{own: c.region, calls: c.peerGuard, commands: guard, flows: c.flow.flows, clock: c.clock}).reachable, Observe: c.metrics,
		Shipper: s.keepers[c.region], Corrector: s.inventory, Finds: fulfillment.Nothing(c.cfg.ShortPicks),
		HandlingTime: c.cfg.HandlingTime, CollectEvery: c.cfg.CollectEvery, Clock: c.clock, Log: c.log, Committed: c.relays.regional.Nudge,
	})
	return nil
}

// keptCenters are the FCs of this region that this cell keeps.
func (c *Cell) keptCenters(ctx context.Context) []string {
	centers, err := c.services.fulfillment.Centers(ctx)
	if err != nil {
		c.log.WarnContext(ctx, "the fulfilment centres cannot be read", "error", err)
		return nil
	}
	var kept []string
	for id, center := range centers {
		if center.Region == string(c.region) && c.services.keepers[c.region].keeps(id) {
			kept = append(kept, id)
		}
	}
	slices.Sort(kept)
	return kept
}

// stockCommandsOf every region, each at the cell that keeps the FC.
func (c *Cell) stockCommandsOf() map[ident.Region]checkout.Stock {
	all := map[ident.Region]checkout.Stock{}
	for region, k := range c.services.keepers {
		all[region] = k
	}
	return all
}

// soldStock of a region is what an order has bought there: given back by the cell that keeps the FC, or taken back by any.
type soldStock struct {
	*keepers
	returner
}

var _ order.Stock = soldStock{}

// returner takes units back onto the shelf.
type returner interface {
	Return(context.Context, *inventoryv1.ReturnRequest) (*inventoryv1.ReturnResponse, error)
}

func (c *Cell) soldStockOf() map[ident.Region]order.Stock {
	all := map[ident.Region]order.Stock{}
	for region, r := range stockOf[returner](c) {
		all[region] = soldStock{c.services.keepers[region], r}
	}
	return all
}

// shipmentsOf every region: the service itself here, clients elsewhere.
func (c *Cell) shipmentsOf() map[ident.Region]order.Shipments {
	all := map[ident.Region]order.Shipments{c.region: c.services.fulfillment}
	for _, region := range ident.Regions() {
		if region != c.region {
			all[region] = fulfillmentv1connect.NewFulfillmentServiceClient(c.peers, "http://"+string(region), rpc.ClientOptions()...)
		}
	}
	return all
}

// stockOf every region: the service itself here, once it exists, and clients elsewhere.
func stockOf[T any](c *Cell) map[ident.Region]T {
	all := map[ident.Region]T{}
	for _, region := range ident.Regions() {
		var service any
		switch {
		case region != c.region:
			service = inventoryv1connect.NewInventoryServiceClient(c.peers, "http://"+string(region), rpc.ClientOptions()...)
		case c.services.inventory != nil:
			service = c.services.inventory
		default:
			continue
		}
		if t, ok := service.(T); ok {
			all[region] = t
		}
	}
	return all
}

func (c *Cell) nudgeGlobal() {
	if c.relays.global != nil {
		c.relays.global.Nudge()
	}
}

// rings in which this cell serves anybody by the map, and the map's version.
func (c *Cell) rings() (rings []ident.Region, version uint64) {
	m := c.maps.Load()
	return m.RingsOf(c.cfg.Cell), m.Version
}

// followMap until ctx ends.
func (c *Cell) followMap(ctx context.Context) {
	defer c.maps.Subscribe(func(*topology.Map) { c.mapChanged() })()
	c.follower.Run(ctx)
}

// mapChanged is called when the cell has taken a newer map: whoever has come to it may have an order under way.
func (c *Cell) mapChanged() {
	for _, sagas := range []*saga.Engine{c.services.checkout.Sagas(), c.services.order.Sagas(), c.services.recovery.Sagas()} {
		sagas.Nudge()
	}
}

// mux of all services.
func (c *Cell) mux() *http.ServeMux {
	s, options := &c.services, connect.WithHandlerOptions(rpc.HandlerOptions(c.log, c.metrics)...)
	mux := http.NewServeMux()
	mux.Handle(accountv1connect.NewAccountServiceHandler(s.account, options))
	mux.Handle(catalogv1connect.NewCatalogServiceHandler(s.catalog, options))
	mux.Handle(searchv1connect.NewSearchServiceHandler(s.search, options))
	mux.Handle(cartv1connect.NewCartServiceHandler(s.cart, options))
	mux.Handle(checkoutv1connect.NewCheckoutServiceHandler(s.checkout, options))
	mux.Handle(inventoryv1connect.NewInventoryServiceHandler(s.inventory, options))
	mux.Handle(orderv1connect.NewOrderServiceHandler(s.order, options))
	mux.Handle(paymentv1connect.NewPaymentServiceHandler(s.payment, options))
	mux.Handle(fulfillmentv1connect.NewFulfillmentServiceHandler(s.fulfillment, options))
	mux.Handle(eventsv1connect.NewEventsServiceHandler(s.events, options))
	mux.Handle(recoveryv1connect.NewRecoveryServiceHandler(s.recovery, options))
	mux.Handle(reviewv1connect.NewReviewServiceHandler(s.review, options))
	mux.Handle(notificationv1connect.NewNotificationServiceHandler(s.notification, options))
	mux.Handle(recommendationv1connect.NewRecommendationServiceHandler(s.recommendation, options))
	return mux
}

// publicHandler serves calls, which all have a package of ours in their path, and pages.
func (c *Cell) publicHandler() (http.Handler, error) {
	deps := rpc.PublicDeps{Sessions: c.services.sessions, Fence: c.services.fence, Clock: c.clock, SecureCookies: c.cfg.SecureCookies, Valid: c.services.account.Valid}
	calls := c.mux()
	public := rpc.Public(deps, calls)
	pages, err := c.storefront(deps, calls)
	if err != nil {
		return nil, err
	}
	c.services.storefront = pages
	mux := http.NewServeMux()
	// Who signs its requests needs no session.
	mux.Handle("POST "+WebhookPath, c.services.payment.Webhook())
	mux.Handle("POST "+CarrierWebhookPath, c.services.fulfillment.Webhook())
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, "/cellar.") {
			public.ServeHTTP(w, r)
			return
		}
		pages.ServeHTTP(w, r)
	})
	return mux, nil
}

// storefront asks the other services as an app would, within this process: behind the gate, since the session is in the
// context already.
func (c *Cell) storefront(deps rpc.PublicDeps, calls http.Handler) (*storefront.Service, error) {
	const here = "http://cell"
	client, options := &http.Client{Transport: rpc.Loopback(calls)}, connect.WithClientOptions(rpc.ClientOptions()...)
	return storefront.New(storefront.Deps{
		Sessions: rpc.NewPages(deps, storefront.Anywhere), Clock: c.clock, Log: c.log, TestCards: c.cfg.TestCards, PasskeyDomain: c.services.passkeys.Domain(),
		Accounts: accountv1connect.NewAccountServiceClient(client, here, options), Catalog: catalogv1connect.NewCatalogServiceClient(client, here, options),
		Search: searchv1connect.NewSearchServiceClient(client, here, options), Carts: cartv1connect.NewCartServiceClient(client, here, options),
		Checkout: checkoutv1connect.NewCheckoutServiceClient(client, here, options), Orders: orderv1connect.NewOrderServiceClient(client, here, options),
		Pages: c.services.pages, Stock: c.services.inventory, Planner: c.services.fulfillment, Centers: c.services.fulfillment, Notifications: notificationv1connect.NewNotificationServiceClient(client, here, options),
		Reviews: reviewv1connect.NewReviewServiceClient(client, here, options), Recommendations: recommendationv1connect.NewRecommendationServiceClient(client, here, options),
	})
}

func (c *Cell) internalHandler() http.Handler { return rpc.Internal(c.keys.peer, c.mux()) }
