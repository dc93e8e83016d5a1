package cells

import (
	"context"
	"sync"
	"time"

	"github.com/cellar-commerce/cellar/cells/topology"
	"github.com/cellar-commerce/cellar/internal/clock"
	inventoryv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/inventory/v1"
	"github.com/cellar-commerce/cellar/internal/gen/cellar/inventory/v1/inventoryv1connect"
	"github.com/cellar-commerce/cellar/internal/ident"
	"github.com/cellar-commerce/cellar/internal/problem"
	"github.com/cellar-commerce/cellar/internal/rpc"
)

const (
	// keeperTimeout bounds one try at a cell: a command takes milliseconds, and a cell that hangs must not use up the
	// caller's time.
	keeperTimeout = 2 * time.Second
	// awayFor is how long a cell that did not answer is passed over.
	awayFor = time.Second
	// retryShare of the calls may be tried again at a second cell, and retryReserve more: enough for a cell that dies,
	// and too little to double the load on a region that is going down.
	retryShare   = 0.1
	retryReserve = 20
)

// stockCommands are what may be asked of the keeper of an FC.
type stockCommands interface {
	Reserve(context.Context, *inventoryv1.ReserveRequest) (*inventoryv1.ReserveResponse, error)
	ExtendHold(context.Context, *inventoryv1.ExtendHoldRequest) (*inventoryv1.ExtendHoldResponse, error)
	Commit(context.Context, *inventoryv1.CommitRequest) (*inventoryv1.CommitResponse, error)
	Release(context.Context, *inventoryv1.ReleaseRequest) (*inventoryv1.ReleaseResponse, error)
	Ship(context.Context, *inventoryv1.ShipRequest) (*inventoryv1.ShipResponse, error)
}

// keepers takes the commands for each FC of a region to the one cell there that all callers choose for it, so that they
// share its transactions. That is for speed only: any cell of the region may keep any FC, and at a change two do so for
// a while. Every command can be repeated, so one that a cell does not answer is tried at the next.
type keepers struct {
	region ident.Region
	cell   string // this one
	maps   *topology.Holder
	clock  clock.Clock
	guard  guard                // of another region; nil in this one
	here   func() stockCommands // of this cell, when it is in the region
	at     func(cell string) stockCommands

	mu      sync.Mutex
	clients map[string]stockCommands
	away    map[string]time.Time // until when a cell is passed over
	retries float64              // that may be made now
}

func (c *Cell) newKeepers(region ident.Region, guard guard) *keepers {
	k := &keepers{
		region: region, cell: c.cfg.Cell, maps: c.maps, clock: c.clock, retries: retryReserve,
		here:    func() stockCommands { return c.services.inventory },
		clients: map[string]stockCommands{}, away: map[string]time.Time{},
		at: func(cell string) stockCommands {
			return &together{stockPeer: inventoryv1connect.NewInventoryServiceClient(c.peers, "http://"+cell, rpc.ClientOptions()...), atOnce: c.cfg.Lanes}
		},
	}
	if region != c.region {
		k.guard = guard
	}
	return k
}

// Reserve implements checkout.Stock.
func (k *keepers) Reserve(ctx context.Context, req *inventoryv1.ReserveRequest) (*inventoryv1.ReserveResponse, error) {
	return ask(ctx, k, req.GetFcId(), req, stockCommands.Reserve)
}

// ExtendHold implements checkout.Stock.
func (k *keepers) ExtendHold(ctx context.Context, req *inventoryv1.ExtendHoldRequest) (*inventoryv1.ExtendHoldResponse, error) {
	return ask(ctx, k, req.GetFcId(), req, stockCommands.ExtendHold)
}

// Commit implements checkout.Stock.
func (k *keepers) Commit(ctx context.Context, req *inventoryv1.CommitRequest) (*inventoryv1.CommitResponse, error) {
	return ask(ctx, k, req.GetFcId(), req, stockCommands.Commit)
}

// Release implements checkout.Stock.
func (k *keepers) Release(ctx context.Context, req *inventoryv1.ReleaseRequest) (*inventoryv1.ReleaseResponse, error) {
	return ask(ctx, k, req.GetFcId(), req, stockCommands.Release)
}

// Ship implements fulfillment.Shipper.
func (k *keepers) Ship(ctx context.Context, req *inventoryv1.ShipRequest) (*inventoryv1.ShipResponse, error) {
	return ask(ctx, k, req.GetFcId(), req, stockCommands.Ship)
}

// ask the keeper of an FC, through the region's breaker if it is another one.
func ask[Q, A any](ctx context.Context, k *keepers, fc string, req *Q, call func(stockCommands, context.Context, *Q) (*A, error)) (answer *A, err error) {
	if k.guard == nil {
		return askCells(ctx, k, fc, req, call)
	}
	open := k.guard.Do(k.region, func() error {
		answer, err = askCells(ctx, k, fc, req, call)
		if problem.KindOf(err) == problem.Unavailable && ctx.Err() == nil {
			return err
		}
		return nil // a refusal is an answer, and a caller who leaves says nothing about the region
	})
	if open != nil && err == nil {
		return nil, unreachable(open)
	}
	return answer, err
}

func unreachable(why error) error {
	return problem.Wrap(why, problem.Unavailable, "REGION_UNREACHABLE", "no cell of the fulfilment centre's region can be reached right now")
}

// askCells in their order, until one answers.
func askCells[Q, A any](ctx context.Context, k *keepers, fc string, req *Q, call func(stockCommands, context.Context, *Q) (*A, error)) (answer *A, err error) {
	cells := k.rank(fc)
	if len(cells) == 0 {
		return nil, unreachable(errNoCell)
	}
	k.earn()
	for i, cell := range cells {
		answer, err = try(ctx, k, cell, req, call)
		if err == nil || problem.KindOf(err) != problem.Unavailable || ctx.Err() != nil {
			break
		}
		k.passOver(cell)
		if i == len(cells)-1 || !k.spend() {
			break
		}
	}
	return answer, err
}

func try[Q, A any](ctx context.Context, k *keepers, cell string, req *Q, call func(stockCommands, context.Context, *Q) (*A, error)) (*A, error) {
	if cell == k.cell {
		return call(k.here(), ctx, req)
	}
	own, cancel := context.WithTimeout(ctx, keeperTimeout)
	defer cancel()
	answer, err := call(k.client(cell), own, req)
	if err != nil && own.Err() != nil && ctx.Err() == nil {
		err = problem.Wrap(err, problem.Unavailable, "CELL_SILENT", "the cell that keeps the fulfilment centre's stock does not answer")
	}
	return answer, err
}

// rank the region's cells for an FC: the keeper first, those that are passed over last.
func (k *keepers) rank(fc string) []string {
	m := k.maps.Load()
	if m == nil {
		return nil
	}
	ranked := topology.Rank(fc, m.CellsOf(k.region))
	now := k.clock.Now()
	k.mu.Lock()
	defer k.mu.Unlock()
	out, late := make([]string, 0, len(ranked)), []string(nil)
	for _, c := range ranked {
		if now.Before(k.away[c.ID]) {
			late = append(late, c.ID)
		} else {
			out = append(out, c.ID)
		}
	}
	return append(out, late...)
}

// keeps tells whether this cell keeps an FC.
func (k *keepers) keeps(fc string) bool {
	ranked := k.rank(fc)
	return len(ranked) > 0 && ranked[0] == k.cell
}

func (k *keepers) client(cell string) stockCommands {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.clients[cell] == nil {
		k.clients[cell] = k.at(cell)
	}
	return k.clients[cell]
}

// passOver a cell for a while. This one is never passed over: whatever its database says, another cell's says too.
func (k *keepers) passOver(cell string) {
	if cell == k.cell {
		return
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.away[cell] = k.clock.Now().Add(awayFor)
}

// earn a share of a retry with each call.
func (k *keepers) earn() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.retries = min(k.retries+retryShare, retryReserve)
}

// spend a retry, if there is one.
func (k *keepers) spend() bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.retries < 1 {
		return false
	}
	k.retries--
	return true
}
