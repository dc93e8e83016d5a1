package order

import (
	"context"
	"slices"
	"time"

	"connectrpc.com/connect"

	orderv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/order/v1"
	"github.com/cellar-commerce/cellar/internal/ident"
	"github.com/cellar-commerce/cellar/internal/problem"
)

const (
	// watchEvery is the pace at which a watched order is looked at: one row by its key.
	watchEvery = 500 * time.Millisecond
	// watchFor is how long a watch lasts at most: whoever watches comes back, and routers and cells that stop need not wait for
	// somebody who would watch for days.
	watchFor = 10 * time.Second
	// maxWatchers of orders at once in one cell: each asks for a row twice a second.
	maxWatchers = 1000
)

// WatchOrder implements OrderService.
func (s *Service) WatchOrder(ctx context.Context, req *orderv1.WatchOrderRequest, stream *connect.ServerStream[orderv1.WatchOrderResponse]) error {
	customer, id, err := ofSession(ctx, req.GetOrderId())
	if err != nil {
		return err
	}
	owned := func() error { return s.deps.Fence.Check(ctx, customer) }
	return s.watch(ctx, watched{id: id, customer: customer, seen: req.GetAfterSeq(), owned: owned}, func(o *orderv1.Order, ended bool) error {
		return stream.Send(&orderv1.WatchOrderResponse{Order: o, Ended: ended})
	})
}

// FollowOrder implements OrderService.
func (s *Service) FollowOrder(ctx context.Context, req *orderv1.FollowOrderRequest, stream *connect.ServerStream[orderv1.FollowOrderResponse]) error {
	id, err := ident.ParseOrder(req.GetOrderId())
	if err != nil {
		return problem.Wrap(err, problem.Invalid, "MALFORMED_ORDER_ID", "the order id is malformed")
	}
	customer, _, err := findOrder(ctx, s.deps.DB, id)
	if err != nil {
		return err
	}
	anywhere := func() error { return nil }
	return s.watch(ctx, watched{id: id, customer: customer, seen: req.GetAfterSeq(), owned: anywhere}, func(o *orderv1.Order, ended bool) error {
		return stream.Send(&orderv1.FollowOrderResponse{Order: o, Ended: ended})
	})
}

// watched order.
type watched struct {
	id       ident.OrderID
	customer ident.CustomerID
	// seen is the number of the last event that the watcher has.
	seen int64
	// owned is an error once this cell serves the customer no more.
	owned func() error
}

// watch an order: it is shown at once, and whenever its last event is another one, with the events that were not shown. The
// number of its last event is looked at; what has happened is read only when there is something. Nil after watchFor too.
func (s *Service) watch(ctx context.Context, w watched, send func(o *orderv1.Order, ended bool) error) error {
	select {
	case s.watchers <- struct{}{}:
		defer func() { <-s.watchers }()
	default:
		return problem.New(problem.Unavailable, "TOO_MANY_WATCHERS", "too many orders are watched here: try again")
	}
	until := s.deps.Clock.Now().Add(watchFor)
	shown := int64(-1)
	for s.deps.Clock.Now().Before(until) {
		if err := w.owned(); err != nil {
			return err
		}
		customer, last, err := findOrder(ctx, s.deps.DB, w.id)
		if err != nil {
			return err
		}
		if customer != w.customer {
			return problem.New(problem.NotFound, reasonUnknownOrder, "there is no such order")
		}
		if last != shown {
			o, err := s.get(ctx, w.customer, w.id)
			if err != nil {
				return err
			}
			shown = o.GetEvents()[len(o.GetEvents())-1].GetSeq()
			o.Events = slices.DeleteFunc(o.GetEvents(), func(e *orderv1.Event) bool { return e.GetSeq() <= w.seen })
			w.seen = max(w.seen, shown)
			ended := Ended(o)
			if err := send(o, ended); err != nil || ended {
				return err
			}
		}
		if err := s.deps.Clock.Sleep(ctx, watchEvery); err != nil {
			return err
		}
	}
	return nil
}
