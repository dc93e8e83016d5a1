package placement

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/cellar-commerce/cellar/internal/cardnetwork"
	"github.com/cellar-commerce/cellar/internal/fence"
	cartv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/cart/v1"
	catalogv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/catalog/v1"
	fulfillmentv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/fulfillment/v1"
	inventoryv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/inventory/v1"
	orderv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/order/v1"
	paymentv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/payment/v1"
	"github.com/cellar-commerce/cellar/internal/ident"
	"github.com/cellar-commerce/cellar/internal/problem"
	"github.com/cellar-commerce/cellar/internal/sqldb"
	"github.com/cellar-commerce/cellar/services/checkout"
	"github.com/cellar-commerce/cellar/services/payment"
)

var (
	// errDead is what a process that is gone hears; nobody is there to act on it.
	errDead = errors.New("played by a test: the cell has died")
	// errSilent is what is heard of a call that is not answered in time, whatever it did.
	errSilent = fmt.Errorf("played by a test: %w", context.DeadlineExceeded)
	// errAgain is no error: the call is made twice, as by a network or a proxy that tries again by itself.
	errAgain = errors.New("played by a test: once more")
	// errFault is an error that nobody expects.
	errFault = errors.New("played by a test: something broke")
	// errAway is what is heard of a part that cannot be reached.
	errAway = problem.New(problem.Unavailable, "REGION_UNREACHABLE", "played by a test: nobody answers")
)

// faults of one cell. Whatever it calls, and each of its transactions, passes two points: one before, and one after,
// where the effect has happened and only its answer can be lost. The zero value lets everything pass.
type faults struct {
	mu     sync.Mutex
	points []string
	dead   bool
	// at a point, counted from 0, may answer an error; errDead is the last thing that the cell hears, and errAgain, before a
	// call, makes it happen twice.
	at func(n int, point string) error
	// meanwhile runs at each point, without a lock, before anything else; it plays the rest of the world.
	meanwhile func(point string)
}

func (f *faults) pass(point string) error {
	f.mu.Lock()
	meanwhile := f.meanwhile
	f.mu.Unlock()
	if meanwhile != nil {
		meanwhile(point)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.dead {
		return errDead
	}
	n := len(f.points)
	f.points = append(f.points, point)
	if f.at == nil {
		return nil
	}
	err := f.at(n, point)
	f.dead = errors.Is(err, errDead)
	return err
}

// died tells whether the cell has.
func (f *faults) died() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.dead
}

// arm them: points are counted from now on.
func (f *faults) arm(at func(n int, point string) error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.points, f.at = nil, at
}

// passed points so far, in order.
func (f *faults) passed() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]string(nil), f.points...)
}

// count of the passes of a point.
func (f *faults) count(point string) (n int) {
	for _, p := range f.passed() {
		if p == point {
			n++
		}
	}
	return n
}

// through the two points of a call.
func through[Q, A any](ctx context.Context, f *faults, name string, do func(context.Context, Q) (A, error), q Q) (A, error) {
	var none A
	before := f.pass("before " + name)
	if errors.Is(before, errAgain) {
		_, _ = do(ctx, q) // whoever asked hears the second answer only
	} else if before != nil {
		return none, before
	}
	a, err := do(ctx, q)
	if lost := f.pass("after " + name); lost != nil {
		return none, lost
	}
	return a, err
}

// What a cell calls, each with its points.
type (
	faultyFence struct {
		fence.Fence
		f *faults
	}
	faultyNetwork struct {
		payment.Provider
		f *faults
	}
	faultyCarts struct {
		checkout.Carts
		f *faults
	}
	faultyProducts struct {
		checkout.Products
		f *faults
	}
	faultyPlanner struct {
		checkout.Planner
		f *faults
	}
	faultyStock struct {
		checkout.Stock
		f *faults
		// away tells whether the region can be reached.
		away func() error
	}
	faultyPayments struct {
		checkout.Payments
		f *faults
	}
	faultyOrders struct {
		checkout.Orders
		f *faults
	}
)

func (s faultyFence) InSlotTx(ctx context.Context, id ident.CustomerID, fn func(sqldb.Tx) error) error {
	_, err := through(ctx, s.f, "a transaction", func(ctx context.Context, id ident.CustomerID) (struct{}, error) {
		return struct{}{}, s.Fence.InSlotTx(ctx, id, fn)
	}, id)
	return err
}

func (s faultyFence) Send(ctx context.Context, id ident.CustomerID, b *sqldb.Batch) error {
	_, err := through(ctx, s.f, "a transaction", func(ctx context.Context, id ident.CustomerID) (struct{}, error) {
		return struct{}{}, s.Fence.Send(ctx, id, b)
	}, id)
	return err
}

func (s faultyFence) Join(ctx context.Context, id ident.CustomerID, parts ...fence.Part) error {
	_, err := through(ctx, s.f, "a transaction", func(ctx context.Context, id ident.CustomerID) (struct{}, error) {
		return struct{}{}, s.Fence.Join(ctx, id, parts...)
	}, id)
	return err
}

func (s faultyNetwork) Charge(ctx context.Context, q cardnetwork.ChargeRequest) (cardnetwork.Charge, error) {
	return through(ctx, s.f, "the charge", s.Provider.Charge, q)
}

func (s faultyNetwork) Refund(ctx context.Context, q cardnetwork.RefundRequest) (cardnetwork.Charge, error) {
	return through(ctx, s.f, "the refund at the network", s.Provider.Refund, q)
}

func (s faultyCarts) RemoveOrdered(ctx context.Context, q *cartv1.RemoveOrderedRequest) (*cartv1.RemoveOrderedResponse, error) {
	return through(ctx, s.f, "RemoveOrdered", s.Carts.RemoveOrdered, q)
}

func (s faultyProducts) BatchGetProducts(ctx context.Context, q *catalogv1.BatchGetProductsRequest) (*catalogv1.BatchGetProductsResponse, error) {
	return through(ctx, s.f, "BatchGetProducts", s.Products.BatchGetProducts, q)
}

func (s faultyPlanner) PlanOrder(ctx context.Context, q *fulfillmentv1.PlanOrderRequest) (*fulfillmentv1.PlanOrderResponse, error) {
	return through(ctx, s.f, "PlanOrder", s.Planner.PlanOrder, q)
}

func (s faultyStock) Reserve(ctx context.Context, q *inventoryv1.ReserveRequest) (*inventoryv1.ReserveResponse, error) {
	if err := s.away(); err != nil {
		return nil, err
	}
	return through(ctx, s.f, "Reserve", s.Stock.Reserve, q)
}

func (s faultyStock) ExtendHold(ctx context.Context, q *inventoryv1.ExtendHoldRequest) (*inventoryv1.ExtendHoldResponse, error) {
	if err := s.away(); err != nil {
		return nil, err
	}
	return through(ctx, s.f, "ExtendHold", s.Stock.ExtendHold, q)
}

func (s faultyStock) Commit(ctx context.Context, q *inventoryv1.CommitRequest) (*inventoryv1.CommitResponse, error) {
	if err := s.away(); err != nil {
		return nil, err
	}
	return through(ctx, s.f, "Commit", s.Stock.Commit, q)
}

func (s faultyStock) Release(ctx context.Context, q *inventoryv1.ReleaseRequest) (*inventoryv1.ReleaseResponse, error) {
	if err := s.away(); err != nil {
		return nil, err
	}
	return through(ctx, s.f, "Release", s.Stock.Release, q)
}

func (s faultyPayments) Capture(ctx context.Context, q *paymentv1.CaptureRequest) (*paymentv1.CaptureResponse, error) {
	return through(ctx, s.f, "Capture", s.Payments.Capture, q)
}

func (s faultyPayments) Authorize(ctx context.Context, q *paymentv1.AuthorizeRequest) (*paymentv1.AuthorizeResponse, error) {
	return through(ctx, s.f, "Authorize", s.Payments.Authorize, q)
}

func (s faultyPayments) Refund(ctx context.Context, q *paymentv1.RefundRequest) (*paymentv1.RefundResponse, error) {
	return through(ctx, s.f, "Refund", s.Payments.Refund, q)
}

func (s faultyOrders) CreateOrder(ctx context.Context, q *orderv1.CreateOrderRequest) (*orderv1.CreateOrderResponse, error) {
	return through(ctx, s.f, "CreateOrder", s.Orders.CreateOrder, q)
}

func (s faultyOrders) MarkPaid(ctx context.Context, q *orderv1.MarkPaidRequest) (*orderv1.MarkPaidResponse, error) {
	return through(ctx, s.f, "MarkPaid", s.Orders.MarkPaid, q)
}

func (s faultyOrders) MarkFailed(ctx context.Context, q *orderv1.MarkFailedRequest) (*orderv1.MarkFailedResponse, error) {
	return through(ctx, s.f, "MarkFailed", s.Orders.MarkFailed, q)
}
