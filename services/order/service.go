package order

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/cellar-commerce/cellar/internal/clock"
	"github.com/cellar-commerce/cellar/internal/fence"
	fulfillmentv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/fulfillment/v1"
	inventoryv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/inventory/v1"
	orderv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/order/v1"
	"github.com/cellar-commerce/cellar/internal/gen/cellar/order/v1/orderv1connect"
	paymentv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/payment/v1"
	"github.com/cellar-commerce/cellar/internal/ident"
	"github.com/cellar-commerce/cellar/internal/notice"
	"github.com/cellar-commerce/cellar/internal/outbox"
	"github.com/cellar-commerce/cellar/internal/problem"
	"github.com/cellar-commerce/cellar/internal/saga"
	"github.com/cellar-commerce/cellar/internal/sqldb"
)

// What orders need of the other services.
type (
	// Payments takes what was held, and gives back.
	Payments interface {
		Capture(context.Context, *paymentv1.CaptureRequest) (*paymentv1.CaptureResponse, error)
		Refund(context.Context, *paymentv1.RefundRequest) (*paymentv1.RefundResponse, error)
	}
	// Shipments of one region's FCs.
	Shipments interface {
		CancelShipment(context.Context, *fulfillmentv1.CancelShipmentRequest) (*fulfillmentv1.CancelShipmentResponse, error)
	}
	// Planner chooses FCs.
	Planner interface {
		PlanOrder(context.Context, *fulfillmentv1.PlanOrderRequest) (*fulfillmentv1.PlanOrderResponse, error)
	}
	// Stock of one region's FCs.
	Stock interface {
		Reserve(context.Context, *inventoryv1.ReserveRequest) (*inventoryv1.ReserveResponse, error)
		Commit(context.Context, *inventoryv1.CommitRequest) (*inventoryv1.CommitResponse, error)
		Release(context.Context, *inventoryv1.ReleaseRequest) (*inventoryv1.ReleaseResponse, error)
		Return(context.Context, *inventoryv1.ReturnRequest) (*inventoryv1.ReturnResponse, error)
	}
)

// Deps of the service.
type Deps struct {
	// DB is cellar_customer.
	DB    *sqldb.DB
	Fence fence.Fence
	Clock clock.Clock
	Log   *slog.Logger
	// Payments, Planner, and Shipments and Stock of each region: needed for what follows an order.
	Payments  Payments
	Planner   Planner
	Shipments map[ident.Region]Shipments
	Stock     map[ident.Region]Stock
	// Cell and Rings are for the saga engine.
	Cell  string
	Rings func() (rings []ident.Region, version uint64)
	// Committed is called after a transaction that left events in the outbox; may be nil.
	Committed func()
}

// Service implements cellar.order.v1.OrderService.
type Service struct {
	deps  Deps
	sagas *saga.Engine
	runs  sync.WaitGroup
	// followed bounds what this process runs at once of what news of parcels begin.
	followed chan struct{}
	// watchers bounds who watches orders in this process.
	watchers chan struct{}
	// detached makes the context of a saga's run from that of the request that began it.
	detached func(context.Context) context.Context
}

var _ orderv1connect.OrderServiceHandler = (*Service)(nil)

// New service.
func New(deps Deps) *Service {
	if deps.Committed == nil {
		deps.Committed = func() {}
	}
	if deps.Log == nil {
		deps.Log = slog.New(slog.DiscardHandler)
	}
	s := &Service{deps: deps, followed: make(chan struct{}, maxFollowed), watchers: make(chan struct{}, maxWatchers), detached: context.WithoutCancel}
	s.sagas = saga.New(saga.Deps{
		DB: deps.DB, Fence: deps.Fence, Clock: deps.Clock, Log: deps.Log, Cell: deps.Cell, Rings: deps.Rings,
		Definitions: []*saga.Definition{s.cancellation(), s.returning(), s.capturing(), s.replanning()},
	})
	return s
}

// Sagas that follow orders, for operators.
func (s *Service) Sagas() *saga.Engine { return s.sagas }

// create records a new order; again, it changes nothing.
func (s *Service) create(ctx context.Context, id ident.OrderID, customer ident.CustomerID, o *orderv1.Order) error {
	part, err := s.creation(id, customer, o)
	if err != nil {
		return err
	}
	return s.deps.Fence.Join(ctx, customer, part)
}

// creation of an order, placed when it says, or now.
func (s *Service) creation(id ident.OrderID, customer ident.CustomerID, o *orderv1.Order) (fence.Part, error) {
	shipTo, err := packAddress(o.GetShipTo())
	if err != nil {
		return fence.Part{}, fmt.Errorf("create order %s: %w", id, err)
	}
	at := s.deps.Clock.Now()
	if o.GetPlacedAt().IsValid() {
		at = o.GetPlacedAt().AsTime()
	}
	return opCreate.Part(newOrder{id: id, customer: customer, order: o, shipTo: shipTo, placedAt: at}), nil
}

// fact is an event that a command wants to append.
type fact struct {
	kind, cause string
	detail      proto.Message
}

// decision is what a command does to an order.
type decision struct {
	facts []fact
	// sends are the events that leave with them.
	sends []outbox.Event
	// begins sagas with them.
	begins []begun
}

// begun is a saga to begin.
type begun struct {
	kind, id string
	state    proto.Message
}

// outcome of a command: the order as it stands afterwards, and the sagas that were begun.
type outcome struct {
	projection projection
	events     []Event
	begun      []saga.Ticket
}

func (o *outcome) show() *orderv1.Order { return o.projection.show(o.events) }

// decide what to append to an order that nobody else changes meanwhile. Facts whose cause the order has seen are not
// appended again, if they were of the same kind; an order that has ended otherwise is ORDER_ENDED.
//
// Three round trips: the slot and whatever the fence needs; the order; what is written, with the commit.
func (s *Service) decide(ctx context.Context, customer ident.CustomerID, id ident.OrderID, what func(p *projection, log causes) (decision, error)) (*outcome, error) {
	now := s.deps.Clock.Now()
	var out *outcome
	wrote := false
	err := s.deps.Fence.InSlotTx(ctx, customer, func(tx sqldb.Tx) error {
		wrote = false
		agreed, events, err := lockOrder(ctx, tx, customer, id)
		if err != nil {
			return err
		}
		p, err := project(agreed, events)
		if err != nil {
			return err
		}
		out = &outcome{projection: p, events: events}
		d, err := what(&out.projection, causesOf(events))
		if err != nil {
			return err
		}
		fresh, err := out.append(d.facts, now)
		if err != nil || len(fresh) == 0 {
			return err
		}
		for _, begins := range d.begins {
			ticket, err := s.sagas.Begin(ctx, tx, begins.kind, saga.Begun{ID: begins.id, CustomerID: customer, State: begins.state})
			if err != nil {
				return err
			}
			out.begun = append(out.begun, ticket)
		}
		var b sqldb.Batch
		queueEvents(&b, id, fresh, out.projection.status)
		if err := outbox.Queue(&b, id.Region(), now, d.sends...); err != nil {
			return err
		}
		told, err := noticesOf(customer, id, fresh)
		if err != nil {
			return err
		}
		if err := notice.Queue(&b, id.Region(), now, told...); err != nil {
			return err
		}
		wrote = true
		return tx.SendLast(ctx, &b)
	})
	if err != nil {
		return nil, err
	}
	if wrote {
		s.deps.Committed()
	}
	return out, nil
}

// append the facts that are new, in memory.
func (o *outcome) append(facts []fact, now time.Time) (fresh []Event, err error) {
	log := causesOf(o.events)
	for _, f := range facts {
		if known, err := log.has(f.cause, f.kind); err != nil || known {
			if err != nil {
				return nil, err
			}
			continue
		}
		e := Event{Seq: o.projection.lastSeq + 1, Kind: f.kind, Cause: f.cause, At: now}
		if e.Detail, err = proto.Marshal(f.detail); err != nil {
			return nil, fmt.Errorf("%s event of %s: %w", f.kind, o.projection.agreed.GetOrderId(), err)
		}
		if err := o.projection.apply(e); err != nil {
			return nil, fmt.Errorf("%s event of %s: %w", f.kind, o.projection.agreed.GetOrderId(), err)
		}
		fresh = append(fresh, e)
	}
	o.events = append(slices.Clip(o.events), fresh...)
	return fresh, nil
}

// causes of an order's events, with what they caused.
type causes map[string]Event

func causesOf(events []Event) causes {
	all := make(causes, len(events))
	for _, e := range events {
		all[e.Cause] = e
	}
	return all
}

// has tells whether a cause has had its effect; another effect is ORDER_ENDED.
func (c causes) has(cause, kind string) (bool, error) {
	old, found := c[cause]
	if found && old.Kind != kind {
		return true, problem.New(problem.Precondition, reasonOrderEnded, "the order has already ended as "+old.Kind)
	}
	return found, nil
}

// markFailed ends placement with a refusal.
func (s *Service) markFailed(ctx context.Context, customer ident.CustomerID, id ident.OrderID, reason string) (*orderv1.Order, error) {
	out, err := s.decide(ctx, customer, id, func(*projection, causes) (decision, error) {
		return decision{facts: []fact{{kindFailed, causeEnded, &orderv1.Failed{Reason: reason}}}}, nil
	})
	if problem.Is(err, reasonUnknownOrder) {
		return nil, nil // the order was never made: there is nothing to end
	}
	if err != nil {
		return nil, err
	}
	return out.show(), nil
}

// markPaid appends that the money is taken, or held, and asks each FC to ship its parcel. An order that has only been
// placed, which is nearly every one, is changed without being looked at before: what the look would find is a condition of
// the statements, which fail where it does not hold.
func (s *Service) markPaid(ctx context.Context, customer ident.CustomerID, id ident.OrderID, req *orderv1.MarkPaidRequest) (*orderv1.Order, error) {
	if req.GetShipTo() != nil {
		o, err := s.markPaidBlind(ctx, customer, id, req)
		if err == nil {
			s.deps.Committed()
			return o, nil
		}
		if !errors.Is(err, errNotJustPlaced) {
			return nil, err
		}
	}
	now := s.deps.Clock.Now()
	out, err := s.decide(ctx, customer, id, func(p *projection, _ causes) (decision, error) {
		to := request{order: string(id), customer: string(customer), shipTo: p.agreed.GetShipTo(), paidAt: now, promisedAt: promisedAt(req, now), express: req.GetExpress()}
		return decision{facts: []fact{{kindPaid, causeEnded, &orderv1.Paid{Parcels: req.GetParcels(), Authorized: req.GetAuthorized()}}}, sends: to.events(req.GetParcels())}, nil
	})
	if err != nil {
		return nil, err
	}
	return out.show(), nil
}

// promisedAt is when the customer of an order that is paid now was told when it comes.
func promisedAt(req *orderv1.MarkPaidRequest, now time.Time) time.Time {
	if at := req.GetPromisedAt(); at.IsValid() && at.AsTime().Before(now) {
		return at.AsTime()
	}
	return now
}

// markPaidBlind is markPaid in one transaction, shared with others; errNotJustPlaced when the order is not as it was placed.
func (s *Service) markPaidBlind(ctx context.Context, customer ident.CustomerID, id ident.OrderID, req *orderv1.MarkPaidRequest) (*orderv1.Order, error) {
	written, err := s.justPaid(customer, id, req)
	if err != nil {
		return nil, fmt.Errorf("mark %s paid: %w", id, err)
	}
	if err := s.deps.Fence.Join(ctx, customer, opPay.Part(written)); err != nil {
		return nil, notJustPlaced(err)
	}
	return written.show()
}

// justPaid is what marks an order paid that has only been placed.
func (s *Service) justPaid(customer ident.CustomerID, id ident.OrderID, req *orderv1.MarkPaidRequest) (*justPaid, error) {
	now := s.deps.Clock.Now()
	detail, err := proto.Marshal(&orderv1.Paid{Parcels: req.GetParcels(), Authorized: req.GetAuthorized()})
	if err != nil {
		return nil, err
	}
	shipTo, err := packAddress(req.GetShipTo())
	if err != nil {
		return nil, err
	}
	to := request{order: string(id), customer: string(customer), shipTo: req.GetShipTo(), paidAt: now, promisedAt: promisedAt(req, now), express: req.GetExpress()}
	sends, err := outbox.Pack(to.events(req.GetParcels()))
	if err != nil {
		return nil, err
	}
	paid := Event{Seq: 2, Kind: kindPaid, Cause: causeEnded, At: now, Detail: detail}
	told, err := noticesOf(customer, id, []Event{paid})
	if err != nil {
		return nil, err
	}
	packed, err := notice.Pack(told)
	return &justPaid{id: id, customer: customer, shipTo: shipTo, paid: paid, sends: sends, told: packed}, err
}

// show the order as it stands when it has been paid.
func (w *justPaid) show() (*orderv1.Order, error) {
	events := []Event{{Seq: 1, Kind: kindPlaced, Cause: causePlaced, At: w.agreed.GetPlacedAt().AsTime()}, w.paid}
	p, err := project(w.agreed, events)
	if err != nil {
		return nil, err
	}
	return p.show(events), nil
}

// get an order of a customer, with its events.
func (s *Service) get(ctx context.Context, customer ident.CustomerID, id ident.OrderID) (*orderv1.Order, error) {
	agreed, events, err := readOrder(ctx, s.deps.DB, customer, id)
	if err != nil {
		return nil, err
	}
	p, err := project(agreed, events)
	if err != nil {
		return nil, err
	}
	return p.show(events), nil
}

// list a page of a customer's orders, without their events.
func (s *Service) list(ctx context.Context, customer ident.CustomerID, from pageStart, size int) ([]*orderv1.Order, error) {
	orders, events, err := listOrders(ctx, s.deps.DB, customer, from, size)
	if err != nil {
		return nil, err
	}
	for _, o := range orders {
		p, err := project(o, events[o.GetOrderId()])
		if err != nil {
			return nil, err
		}
		p.show(nil)
	}
	return orders, nil
}

const (
	reasonUnknownOrder = "UNKNOWN_ORDER"
	reasonOrderEnded   = "ORDER_ENDED"
)

func unknownOrder(err error) error {
	if errors.Is(err, sqldb.ErrNoRows) {
		return problem.New(problem.NotFound, reasonUnknownOrder, "there is no such order")
	}
	return err
}
