package cells

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"time"

	"github.com/cellar-commerce/cellar/cells/topology"
	"github.com/cellar-commerce/cellar/internal/breaker"
	"github.com/cellar-commerce/cellar/internal/bus"
	"github.com/cellar-commerce/cellar/internal/clock"
	"github.com/cellar-commerce/cellar/internal/feed"
	"github.com/cellar-commerce/cellar/internal/fence"
	"github.com/cellar-commerce/cellar/internal/ident"
	"github.com/cellar-commerce/cellar/internal/inbox"
	"github.com/cellar-commerce/cellar/internal/outbox"
	"github.com/cellar-commerce/cellar/internal/process"
	"github.com/cellar-commerce/cellar/internal/rpc"
	"github.com/cellar-commerce/cellar/internal/secret"
	"github.com/cellar-commerce/cellar/internal/sqldb"
	"github.com/cellar-commerce/cellar/internal/telemetry"
)

// Cell is one process of the full service set.
type Cell struct {
	cfg         Config
	region      ident.Region
	log         *slog.Logger
	clock       clock.Clock
	metrics     *telemetry.Metrics
	sagaMetrics *telemetry.SagaMetrics
	feedMetrics *telemetry.FeedMetrics
	maps        *topology.Holder
	follower    *topology.Follower
	bus         *bus.Bus
	ready       *readiness

	global, customers, regional *sqldb.DB
	relays                      relays
	flow                        *flow
	feed                        *feed.Feed // nil without a Quickwit
	services                    services
	keys                        keys
	peers                       *http.Client
	peerGuard                   *breaker.Regions
}

// keys that the platform's processes share.
type keys struct {
	session, quote, peer, giftCards string
	// Those of others are empty when they are not used.
	cardEvents, carrierEvents, stripe, mail, notifications string
}

// relays of the events that this cell's transactions leave.
type relays struct {
	customers, regional *outbox.Relay
	global              *outbox.Relay // only in the primary region, where its rows are homed
}

// New assembles a cell. Nothing runs yet but connections.
func New(ctx context.Context, cfg Config, logs io.Writer) (*Cell, error) {
	if err := cfg.validate(); err != nil {
		return nil, fmt.Errorf("cell: %w", err)
	}
	c := &Cell{
		cfg: cfg, region: ident.Region(cfg.Region), clock: clock.System{}, maps: &topology.Holder{},
		log:     telemetry.NewLogger(logs, slog.LevelInfo, "cell", cfg.Cell, "region", cfg.Region),
		metrics: telemetry.NewMetrics(map[string]string{"cell": cfg.Cell, "region": cfg.Region}),
		ready:   newReadiness(),
	}
	c.sagaMetrics, c.feedMetrics = telemetry.NewSagaMetrics(c.metrics), telemetry.NewFeedMetrics(c.metrics)
	if err := c.readKeys(); err != nil {
		return nil, fmt.Errorf("cell %s: %w", cfg.Cell, err)
	}
	if err := c.readMap(ctx); err != nil {
		return nil, fmt.Errorf("cell %s: %w", cfg.Cell, err)
	}
	if err := c.openDatabases(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("cell %s: %w", cfg.Cell, err), c.Close())
	}
	brokers, err := cfg.brokers()
	if err != nil {
		return nil, errors.Join(err, c.Close())
	}
	credentials, err := cfg.brokerCredentials()
	if err != nil {
		return nil, errors.Join(err, c.Close())
	}
	c.bus = bus.New(bus.Config{
		URLs: brokers, Credentials: credentials, Home: c.region, Name: cfg.Cell, Log: c.log,
		Bury: func(ctx context.Context, d bus.DeadLetter) error { return c.services.events.Bury(ctx, d) },
	})
	c.assembleRelays()
	c.flow = &flow{
		heads: func(ctx context.Context) (map[ident.Region]time.Time, error) {
			return outbox.Heads(ctx, c.customers, c.region)
		},
		patience: cfg.PlanAround, clock: c.clock, log: c.log, observe: c.metrics.DestinationStuck,
	}
	c.peerGuard = c.breakers("peer")
	c.peers = rpc.Peer(c.keys.peer, &peerTransport{base: rpc.Transport(), maps: c.maps, guard: c.peerGuard})
	if err := errors.Join(c.assembleServices(), c.assembleFeed()); err != nil {
		return nil, errors.Join(fmt.Errorf("cell %s: %w", cfg.Cell, err), c.Close())
	}
	return c, nil
}

func (c *Cell) readKeys() error {
	for _, k := range []struct {
		into *string
		path string
	}{{&c.keys.session, c.cfg.SessionKey}, {&c.keys.quote, c.cfg.QuoteKey}, {&c.keys.peer, c.cfg.PeerKey}, {&c.keys.giftCards, c.cfg.GiftCardKey}, {&c.keys.cardEvents, c.cfg.CardEventsKey}, {&c.keys.carrierEvents, c.cfg.CarrierEvents}, {&c.keys.stripe, c.cfg.StripeKey}, {&c.keys.mail, c.cfg.MailPassword}, {&c.keys.notifications, c.cfg.NotifyKey}} {
		if k.path == "" {
			continue // validate has asked for those that are needed
		}
		key, err := secret.Read(k.path)
		if err != nil {
			return err
		}
		*k.into = key
	}
	return nil
}

// readMap makes sure that there is a map before anything is served, and that this cell is in it.
func (c *Cell) readMap(ctx context.Context) (err error) {
	c.follower, err = topology.Feed{
		Map: c.cfg.Map, Keys: c.cfg.MapKey, ControlPlane: c.cfg.ControlPlane, Client: rpc.Peer(c.keys.peer, nil),
		Consul: c.cfg.Consul, ConsulKey: c.cfg.ConsulKey, ConsulMode: c.cfg.ConsulMode,
		Holder: c.maps, Clock: c.clock, Log: c.log, Observe: telemetry.NewMapMetrics(c.metrics),
	}.Start(ctx, func(m *topology.Map) error {
		if own := m.Cell(c.cfg.Cell); own == nil || own.Region != c.region {
			return fmt.Errorf("the map has no cell %s in %s", c.cfg.Cell, c.region)
		}
		return nil
	})
	return err
}

func (c *Cell) openDatabases(ctx context.Context) (err error) {
	for _, d := range []struct {
		into     **sqldb.DB
		database sqldb.Database
	}{{&c.global, sqldb.Global}, {&c.customers, sqldb.Customer}, {&c.regional, sqldb.Regional}} {
		*d.into, err = sqldb.Open(ctx, sqldb.Config{
			URL: c.cfg.DatabaseURL, Database: d.database, MaxConns: c.cfg.PoolSize, PointPlans: true, Observe: c.metrics, ApplicationName: fence.ApplicationName(c.cfg.Cell),
			RuntimeParams: map[string]string{"idle_in_transaction_session_timeout": fence.IdleInTransaction.String()},
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// breakers of one kind of traffic to the regions.
func (c *Cell) breakers(traffic string) *breaker.Regions {
	return breaker.New(func(destination ident.Region, from, to string) {
		c.log.Warn("a breaker changes", "traffic", traffic, "destination", string(destination), "from", from, "to", to)
	})
}

func (c *Cell) assembleRelays() {
	guard := c.breakers("events")
	relay := func(db *sqldb.DB) *outbox.Relay {
		return outbox.New(outbox.Deps{DB: db, Region: c.region, Cell: c.cfg.Cell, Publisher: c.bus, Guard: guard, Clock: c.clock, Log: c.log, Observe: c.metrics})
	}
	c.relays.customers, c.relays.regional = relay(c.customers), relay(c.regional)
	if c.region == primary() {
		c.relays.global = relay(c.global)
	}
}

// primary region: where the rows of cellar_global that have a home are homed.
func primary() ident.Region { return ident.Regions()[0] }

// Close the connections of a cell that does not run any more.
func (c *Cell) Close() error {
	for _, db := range []*sqldb.DB{c.global, c.customers, c.regional} {
		if db != nil {
			db.Close()
		}
	}
	if c.bus != nil {
		c.bus.Close()
	}
	return nil
}

// Run the cell until ctx ends.
func (c *Cell) Run(ctx context.Context) error {
	public, err := c.publicHandler()
	if err != nil {
		return errors.Join(fmt.Errorf("cell %s: %w", c.cfg.Cell, err), c.Close())
	}
	group := process.Group{
		Log: c.log,
		Listeners: []process.Listener{
			{Name: "public", Address: c.cfg.Public, Handler: public},
			{Name: "internal", Address: c.cfg.Internal, Handler: c.internalHandler()},
			{Name: "admin", Address: c.cfg.Admin, Handler: telemetry.Admin(c.metrics, c.ready.answer)},
		},
		Workers:  c.workers(),
		SetReady: c.ready.setServing,
		Drain:    c.cfg.Drain,
		Finish:   c.finish,
	}
	return errors.Join(group.Run(ctx), c.Close())
}

// finish what this process began: each saga is resumed elsewhere when it does not, but its shopper waits less.
func (c *Cell) finish() {
	c.services.checkout.Drain()
	c.services.order.Drain()
}

const (
	// keySweepEvery and keySweepBatch bound the clean-up of expired idempotency keys.
	keySweepEvery = time.Minute
	keySweepBatch = 1000
)

// sweepKeys forgets expired idempotency keys of this region's ring.
func (c *Cell) sweepKeys(ctx context.Context) {
	for c.clock.Sleep(ctx, keySweepEvery) == nil {
		if _, err := c.services.checkout.SweepKeys(ctx, c.region, keySweepBatch); err != nil && ctx.Err() == nil {
			c.log.WarnContext(ctx, "expired keys could not be deleted", "error", err)
		}
	}
}

// inboxSweepEvery is the pace of pages of the inbox: a week of a region's requests, ten million, is gone through within a day.
const inboxSweepEvery = 10 * time.Second

// sweepInbox forgets the region's messages that cannot come again.
func (c *Cell) sweepInbox(ctx context.Context) {
	var at inbox.Sweep
	for c.clock.Sleep(ctx, inboxSweepEvery) == nil {
		if _, err := at.Next(ctx, c.regional, c.region, c.clock.Now()); err != nil && ctx.Err() == nil {
			c.log.WarnContext(ctx, "old rows of the inbox could not be deleted", "error", err)
		}
	}
}
