package order

import (
	"context"
	"errors"
	"fmt"

	"google.golang.org/protobuf/proto"

	"github.com/cellar-commerce/cellar/internal/clock"
	"github.com/cellar-commerce/cellar/internal/fence"
	orderv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/order/v1"
	"github.com/cellar-commerce/cellar/internal/gen/cellar/order/v1/orderv1connect"
	"github.com/cellar-commerce/cellar/internal/ident"
	"github.com/cellar-commerce/cellar/internal/outbox"
	"github.com/cellar-commerce/cellar/internal/problem"
	"github.com/cellar-commerce/cellar/internal/sqldb"
)

// Deps of the service.
type Deps struct {
	// DB is cellar_customer.
	DB    *sqldb.DB
	Fence fence.Fence
	Clock clock.Clock
	// Committed is called after a transaction that left events in the outbox; may be nil.
	Committed func()
}

// Service implements cellar.order.v1.OrderService.
type Service struct {
	deps Deps
}

var _ orderv1connect.OrderServiceHandler = (*Service)(nil)

// New service.
func New(deps Deps) *Service {
	if deps.Committed == nil {
		deps.Committed = func() {}
	}
	return &Service{deps: deps}
}

// create records a new order; again, it changes nothing.
func (s *Service) create(ctx context.Context, id ident.OrderID, customer ident.CustomerID, o *orderv1.Order) error {
	now := s.deps.Clock.Now()
	return s.deps.Fence.InSlotTx(ctx, customer, func(tx sqldb.Tx) error {
		return insertOrder(ctx, tx, newOrder{id: id, customer: customer, order: o, placedAt: now})
	})
}

// change is one event that a command wants to append.
type change struct {
	kind   string
	cause  string
	detail proto.Message
	// allowed refuses by the order's status before the event; nil lets everything pass.
	allowed func(Status) error
	// also runs in the same transaction when the event is new.
	also func(tx sqldb.Tx, o *orderv1.Order) error
}

// append an event and project it. A cause that the order has seen appends nothing, if the event was of the same kind;
// an order that has ended otherwise is ORDER_ENDED. Gives the order as it stands afterwards.
func (s *Service) append(ctx context.Context, customer ident.CustomerID, id ident.OrderID, c change) (*orderv1.Order, error) {
	detail, err := proto.Marshal(c.detail)
	if err != nil {
		return nil, fmt.Errorf("append %s to %s: %w", c.kind, id, err)
	}
	now := s.deps.Clock.Now()
	var out *orderv1.Order
	err = s.deps.Fence.InSlotTx(ctx, customer, func(tx sqldb.Tx) error {
		agreed, err := lockOrder(ctx, tx, customer, id)
		if err != nil {
			return err
		}
		events, err := listEvents(ctx, tx, id)
		if err != nil {
			return err
		}
		events, isNew, err := c.next(agreed, events, Event{Kind: c.kind, Cause: c.cause, At: now, Detail: detail})
		if err != nil {
			return err
		}
		if isNew {
			if err := s.store(ctx, tx, agreed, id, events, c.also); err != nil {
				return err
			}
		}
		out, err = show(agreed, events)
		return err
	})
	if err == nil {
		s.deps.Committed()
	}
	return out, err
}

// next decides whether the event happens.
func (c change) next(agreed *orderv1.Order, events []Event, e Event) (_ []Event, isNew bool, err error) {
	for _, old := range events {
		if old.Cause != e.Cause {
			continue
		}
		if old.Kind != e.Kind {
			return nil, false, problem.New(problem.Precondition, "ORDER_ENDED", "the order has already ended as "+old.Kind)
		}
		return events, false, nil
	}
	p, err := project(events)
	if err != nil {
		return nil, false, fmt.Errorf("events of %s: %w", agreed.GetOrderId(), err)
	}
	if c.allowed != nil {
		if err := c.allowed(p.status); err != nil {
			return nil, false, err
		}
	}
	e.Seq = p.lastSeq + 1
	return append(events, e), true, nil
}

func (s *Service) store(ctx context.Context, tx sqldb.Tx, agreed *orderv1.Order, id ident.OrderID, events []Event, also func(sqldb.Tx, *orderv1.Order) error) error {
	p, err := project(events)
	if err != nil {
		return err
	}
	if err := insertEvent(ctx, tx, id, events[len(events)-1], p.status); err != nil {
		return err
	}
	if also == nil {
		return nil
	}
	return also(tx, agreed)
}

// markPaid appends that the money is taken, and asks each FC to ship its parcel.
func (s *Service) markPaid(ctx context.Context, customer ident.CustomerID, id ident.OrderID, parcels []*orderv1.Parcel) (*orderv1.Order, error) {
	return s.append(ctx, customer, id, change{
		kind: kindPaid, cause: causeEnded, detail: &orderv1.Paid{Parcels: parcels},
		also: func(tx sqldb.Tx, o *orderv1.Order) error {
			now := s.deps.Clock.Now()
			return outbox.Enqueue(ctx, tx, id.Region(), now, requests(o, parcels, now)...)
		},
	})
}

func (s *Service) markFailed(ctx context.Context, customer ident.CustomerID, id ident.OrderID, reason string) (*orderv1.Order, error) {
	o, err := s.append(ctx, customer, id, change{kind: kindFailed, cause: causeEnded, detail: &orderv1.Failed{Reason: reason}})
	if problem.Is(err, reasonUnknownOrder) {
		return nil, nil // the order was never made: there is nothing to end
	}
	return o, err
}

func (s *Service) recordShipment(ctx context.Context, customer ident.CustomerID, id ident.OrderID, d *orderv1.Shipped) error {
	_, err := s.append(ctx, customer, id, change{
		kind: kindShipped, cause: causeShipment + d.GetShipmentId(), detail: d,
		allowed: func(st Status) error {
			if st == Paid || st == Shipped {
				return nil
			}
			return problem.New(problem.Precondition, "ORDER_NOT_PAID", "only a paid order ships")
		},
	})
	return err
}

// get an order of a customer, with its events.
func (s *Service) get(ctx context.Context, customer ident.CustomerID, id ident.OrderID) (*orderv1.Order, error) {
	agreed, err := readOrder(ctx, s.deps.DB, customer, id)
	if err != nil {
		return nil, err
	}
	events, err := listEvents(ctx, s.deps.DB, id)
	if err != nil {
		return nil, err
	}
	return show(agreed, events)
}

const reasonUnknownOrder = "UNKNOWN_ORDER"

func unknownOrder(err error) error {
	if errors.Is(err, sqldb.ErrNoRows) {
		return problem.New(problem.NotFound, reasonUnknownOrder, "there is no such order")
	}
	return err
}
