package fulfillment

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/cellar-commerce/cellar/internal/clock"
	fulfillmentv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/fulfillment/v1"
	"github.com/cellar-commerce/cellar/internal/gen/cellar/fulfillment/v1/fulfillmentv1connect"
	inventoryv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/inventory/v1"
	orderv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/order/v1"
	"github.com/cellar-commerce/cellar/internal/ident"
	"github.com/cellar-commerce/cellar/internal/outbox"
	"github.com/cellar-commerce/cellar/internal/sqldb"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// What fulfilment needs of inventory.
type (
	// StockLister says what the FCs of a region have.
	StockLister interface {
		ListStock(context.Context, *inventoryv1.ListStockRequest) (*inventoryv1.ListStockResponse, error)
	}
	// Summarizer tells who has some, without asking them.
	Summarizer interface {
		ListSummaries(context.Context, *inventoryv1.ListSummariesRequest) (*inventoryv1.ListSummariesResponse, error)
	}
	// Shipper takes stock of this region off the books.
	Shipper interface {
		Ship(context.Context, *inventoryv1.ShipRequest) (*inventoryv1.ShipResponse, error)
	}
	// Corrector takes off the books of this region what is not on the shelf.
	Corrector interface {
		WriteOff(context.Context, *inventoryv1.WriteOffRequest) (*inventoryv1.WriteOffResponse, error)
	}
)

// Deps of the service.
type Deps struct {
	// Global is cellar_global, Regional is cellar_regional.
	Global   *sqldb.DB
	Regional *sqldb.DB
	Region   ident.Region
	// Stock of every region: this one's service, clients elsewhere.
	Stock map[ident.Region]StockLister
	// Summaries of this region's; may be nil: then everybody is asked.
	Summaries Summarizer
	// Reachable tells whether a region's cells are likely to answer, and to hear of an order soon; also of this region. The FCs of
	// others are planned with only when nothing else will do. May be nil: then all are.
	Reachable func(ident.Region) bool
	Shipper   Shipper
	Corrector Corrector
	// Finds plays a picker who may find less than planned; nil: all of it is found, unless somebody says otherwise.
	Finds Finds
	// Carrier of parcels, and its name for people. May be nil: then parcels leave by themselves and are not followed.
	Carrier     Carrier
	CarrierName string
	// TrackEvery is after how much silence a carrier is asked after a parcel.
	TrackEvery time.Duration
	// CarrierEvents reads what the carrier tells by itself; may be nil: then it is not listened to.
	CarrierEvents CarrierEvents
	// Scans takes scans of the other regions' shipments.
	Scans map[ident.Region]ScanTaker
	// HandlingTime between the request and the hand-over to the carrier, at least.
	HandlingTime time.Duration
	// CollectEvery is how often the carrier collects, where days are short; 0: once a day, by each FC's clock (delivery.go).
	CollectEvery time.Duration
	Clock        clock.Clock
	Log          *slog.Logger
	// Committed is called after a transaction that left events in the outbox; may be nil.
	Committed func()
	// Observe is told what the summaries were worth; may be nil.
	Observe Observer
}

// Observer is told how orders are planned, and how right the summaries were.
type Observer interface {
	// OrderPlanned: FCs were asked what they have, or it was done by the summaries alone.
	OrderPlanned(asked bool)
	// SummaryAnswered of FCs that were asked: how many bits had stock behind them, how many had none.
	SummaryAnswered(right, empty int)
	// SummaryFellShort: by the summaries an order could not be sent, so everybody was asked; found tells whether somebody had it.
	SummaryFellShort(found bool)
}

type noObserver struct{}

func (noObserver) OrderPlanned(bool)        {}
func (noObserver) SummaryAnswered(int, int) {}
func (noObserver) SummaryFellShort(bool)    {}

// Service implements cellar.fulfillment.v1.FulfillmentService.
type Service struct {
	deps  Deps
	known *known // nil without summaries

	mu        sync.Mutex
	centers   map[string]Center
	byOrdinal []*Center
	readAt    time.Time
}

var _ fulfillmentv1connect.FulfillmentServiceHandler = (*Service)(nil)

// New service.
func New(deps Deps) *Service {
	if deps.Committed == nil {
		deps.Committed = func() {}
	}
	if deps.Observe == nil {
		deps.Observe = noObserver{}
	}
	s := &Service{deps: deps}
	if deps.Summaries != nil {
		s.known = newKnown(deps.Summaries, deps.Clock, knownProducts)
	}
	return s
}

const (
	// centersFor is how long the table of FCs is kept in memory: it changes when one is built.
	centersFor = time.Minute
	// stockBudget is how long a region may take to say what it has, before the order is planned without it.
	stockBudget = 1500 * time.Millisecond
)

// Centers by id, at most a minute old.
func (s *Service) Centers(ctx context.Context) (map[string]Center, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.deps.Clock.Now()
	if s.centers != nil && now.Before(s.readAt.Add(centersFor)) {
		return s.centers, nil
	}
	list, err := s.readCenters(ctx)
	if err != nil {
		if s.centers != nil {
			return s.centers, nil // old is better than none: a centre does not move
		}
		return nil, fmt.Errorf("read fulfilment centres: %w", err)
	}
	fresh := make(map[string]Center, len(list))
	for _, c := range list {
		fresh[c.ID] = c
	}
	if len(fresh) > 0 { // an empty table is looked at again: a platform is being opened
		s.centers, s.byOrdinal, s.readAt = fresh, inOrder(list), now
	}
	return fresh, nil
}

// inOrder of their ordinals; nil where there is none.
func inOrder(list []Center) []*Center {
	var all []*Center
	for i := range list {
		if c := &list[i]; c.Ordinal != nil {
			n := int(*c.Ordinal)
			all = append(all, make([]*Center, max(n+1-len(all), 0))...)
			all[n] = c
		}
	}
	return all
}

// roster of the FCs, by id and by ordinal.
func (s *Service) roster(ctx context.Context) (byID map[string]Center, byOrdinal []*Center, err error) {
	byID, err = s.Centers(ctx)
	s.mu.Lock()
	defer s.mu.Unlock()
	return byID, s.byOrdinal, err
}

// FC tells the home region of an FC.
func (s *Service) FC(ctx context.Context, id string) (ident.Region, bool) {
	centers, err := s.Centers(ctx)
	c, ok := centers[id]
	return ident.Region(c.Region), ok && err == nil
}

// Ordinal of an FC in sets of FCs.
func (s *Service) Ordinal(ctx context.Context, id string) (int, bool) {
	centers, err := s.Centers(ctx)
	c, ok := centers[id]
	if err != nil || !ok || c.Ordinal == nil {
		return 0, false
	}
	return int(*c.Ordinal), true
}

const (
	// shipBatch is packed and sent at once; shipEvery is the pace when there is nothing to do.
	shipBatch = 100
	shipEvery = 250 * time.Millisecond
	// trackPace of looking whom to ask after.
	trackPace = time.Second
	// shipRetry is how long a packed shipment stays its packer's: after a crash, or an error, it comes again. It doubles with
	// each time, up to eight times as long.
	shipRetry = 10 * time.Second
	// shippers ask inventory at once in one cell: those that ask together share a transaction there.
	shippers = 32
)

// Run ships what is due, and asks after what is on its way, until ctx ends.
func (s *Service) Run(ctx context.Context) {
	var wg sync.WaitGroup
	defer wg.Wait()
	if s.deps.Carrier != nil {
		wg.Go(func() { s.repeat(ctx, trackPace, trackBatch, s.TrackDue) })
	}
	s.repeat(ctx, shipEvery, shipBatch, s.ShipDue)
}

// repeat some work at a pace, or at once while there is a whole batch of it, until ctx ends.
func (s *Service) repeat(ctx context.Context, pace time.Duration, batch int, work func(context.Context) (int, error)) {
	for ctx.Err() == nil {
		n, err := work(ctx)
		if err != nil && ctx.Err() == nil {
			s.deps.Log.WarnContext(ctx, "shipping is interrupted", "error", err)
		}
		if n == batch {
			continue
		}
		if s.deps.Clock.Sleep(ctx, pace) != nil {
			return
		}
	}
}

// ShipDue sends a batch of shipments whose time has come, and tells how many it took on: what is missing of them is seen to (short.go), all are packed, wave by wave (wave.go), in one statement,
// each is booked with the carrier, handed over, and its stock leaves the books; those that have left are marked, with their
// events, in one transaction. A crash in between repeats what is packed and not sent; asking the carrier or inventory again
// changes nothing there.
func (s *Service) ShipDue(ctx context.Context) (int, error) {
	now := s.deps.Clock.Now()
	if err := s.pickDue(ctx, now); err != nil {
		return 0, fmt.Errorf("pick due shipments: %w", err)
	}
	due, err := s.pack(ctx, now, shipRetry, shipBatch)
	if err != nil {
		return 0, fmt.Errorf("pack due shipments: %w", err)
	}
	if err := s.send(ctx, s.carried(ctx, due)); err != nil && ctx.Err() == nil {
		s.deps.Log.WarnContext(ctx, "packed shipments could not be marked as sent; they come again", "shipments", len(due), "error", err)
	}
	return len(due), nil
}

// send shipments whose stock has left: mark them, and tell their orders.
func (s *Service) send(ctx context.Context, all []shipment) error {
	if len(all) == 0 {
		return nil
	}
	now := s.deps.Clock.Now()
	err := s.deps.Regional.InTx(ctx, func(tx sqldb.Tx) error {
		marked, err := markShipped(ctx, tx, s.deps.Region, all, now, s.trackAt(now))
		if err != nil {
			return err
		}
		var events []outbox.Event
		for _, sh := range all {
			if marked[parcelKey{sh.fc, sh.order}] { // else another cell was first
				events = append(events, shippedEvent(sh, now))
			}
		}
		var b sqldb.Batch
		if err := outbox.Queue(&b, s.deps.Region, now, events...); err != nil {
			return err
		}
		return tx.SendLast(ctx, &b)
	})
	if err == nil {
		s.deps.Committed()
	}
	return err
}

// States that code asks for; the statements of store.go know the others.
const (
	requested = "REQUESTED"
	short     = "SHORT"
	packed    = "PACKED"
	canceled  = "CANCELED"
)

func stateProto(state string) fulfillmentv1.ShipmentState {
	return fulfillmentv1.ShipmentState(fulfillmentv1.ShipmentState_value["SHIPMENT_STATE_"+state])
}

func (s *Service) show(sh shipment, scans []*orderv1.Scan) *fulfillmentv1.Shipment {
	out := &fulfillmentv1.Shipment{
		ShipmentId: sh.id, OrderId: sh.order, CustomerId: sh.customer, FcId: sh.fc, Lines: sh.request.GetLines(), TrackingNumber: sh.tracking,
		State: stateProto(sh.state), Carrier: sh.carrier, Scans: scans, ShortPicks: sh.short.GetShortPicks(),
	}
	if n := len(scans); n > 0 {
		out.Way = scans[n-1].GetState()
	}
	if sh.shippedAt != nil {
		out.ShippedAt = timestamppb.New(*sh.shippedAt)
	}
	if sh.shipBy.Unix() > 0 {
		out.ShipBy = timestamppb.New(sh.shipBy)
	}
	return out
}
