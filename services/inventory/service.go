package inventory

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/cellar-commerce/cellar/internal/clock"
	inventoryv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/inventory/v1"
	"github.com/cellar-commerce/cellar/internal/gen/cellar/inventory/v1/inventoryv1connect"
	"github.com/cellar-commerce/cellar/internal/ident"
	"github.com/cellar-commerce/cellar/internal/sqldb"
)

// Peer is the inventory service of another region.
type Peer interface {
	ListStock(context.Context, *inventoryv1.ListStockRequest) (*inventoryv1.ListStockResponse, error)
}

// Deps of the service.
type Deps struct {
	// DB is cellar_regional.
	DB *sqldb.DB
	// Region whose FCs this service keeps.
	Region ident.Region
	// Peers of the other regions.
	Peers map[ident.Region]Peer
	// Regions there are: where summaries are told.
	Regions []ident.Region
	// FC tells the home region of an FC; false for one that does not exist.
	FC func(ctx context.Context, id string) (ident.Region, bool)
	// Ordinal of an FC in summaries; false for one that has none yet. May be nil: then no summaries are made.
	Ordinal func(ctx context.Context, id string) (int, bool)
	// Committed is called after a transaction that left events in the outbox; may be nil.
	Committed func()
	// Swept are the FCs whose holds this cell sweeps.
	Swept func(ctx context.Context) []string
	Clock clock.Clock
	Log   *slog.Logger
	// Observe is told of batches; may be nil.
	Observe Observer
	// Lanes, with one batch under way in each; 0 is two.
	Lanes int
}

// Observer is told what the combiner does.
type Observer interface {
	// CommandsCombined into one transaction.
	CommandsCombined(commands int)
	// HoldsOverdue at the FCs that this cell sweeps: how many holds have run out and are not swept yet, and how long ago
	// the oldest did. They count as available all the same.
	HoldsOverdue(holds int64, lag time.Duration)
}

type noObserver struct{}

func (noObserver) CommandsCombined(int)              {}
func (noObserver) HoldsOverdue(int64, time.Duration) {}

// Service implements cellar.inventory.v1.InventoryService for one region.
type Service struct {
	deps     Deps
	combiner *combiner
}

var _ inventoryv1connect.InventoryServiceHandler = (*Service)(nil)

// New service.
func New(deps Deps) *Service {
	if deps.Observe == nil {
		deps.Observe = noObserver{}
	}
	if deps.Committed == nil {
		deps.Committed = func() {}
	}
	return &Service{deps: deps, combiner: &combiner{
		db: deps.DB, region: deps.Region, now: deps.Clock.Now, batched: deps.Observe.CommandsCombined, committed: deps.Committed,
		lanes: make([]lane, cmp.Or(deps.Lanes, usualLanes)),
	}}
}

// expireInline is how many run-out holds a batch takes back at most when it finds too little.
const expireInline = 512

// at is one order at one FC.
type at struct {
	fc    string
	order ident.OrderID
	now   time.Time
}

func (s *Service) reserve(ctx context.Context, a at, d demand) (grant, error) {
	d.lines = sortLines(d.lines)
	got := s.combiner.do(&command{ctx: ctx, fc: a.fc, order: a.order, kind: taking, lines: d.lines, until: d.until, apply: func(b *book) (out answer) {
		out.grant, out.err = b.reserve(string(a.order), d)
		return out
	}})
	if got.err != nil {
		return grant{}, fmt.Errorf("reserve for %s at %s: %w", a.order, a.fc, got.err)
	}
	return got.grant, nil
}

func (s *Service) extend(ctx context.Context, a at, expiresAt time.Time) error {
	return s.combiner.do(&command{ctx: ctx, fc: a.fc, order: a.order, apply: func(b *book) answer { return answer{err: b.extend(string(a.order), expiresAt)} }}).err
}

func (s *Service) commit(ctx context.Context, a at) error {
	return s.combiner.do(&command{ctx: ctx, fc: a.fc, order: a.order, kind: selling, apply: func(b *book) answer { return answer{err: b.commit(string(a.order))} }}).err
}

// release gives back what is held or committed and leaves the tombstone. A reserve of another cell that is under way and
// not yet committed is not seen; the tombstone keeps what it holds from being extended or sold, so that it runs out.
func (s *Service) release(ctx context.Context, a at) (released int64, err error) {
	got := s.combiner.do(&command{ctx: ctx, fc: a.fc, order: a.order, touches: true, apply: func(b *book) (out answer) {
		out.units, out.err = b.release(string(a.order))
		return out
	}})
	return got.units, got.err
}

// ship takes committed stock off the books.
func (s *Service) ship(ctx context.Context, a at) (shipped int64, err error) {
	got := s.combiner.do(&command{ctx: ctx, fc: a.fc, order: a.order, touches: true, apply: func(b *book) (out answer) {
		out.units, out.err = b.ship(string(a.order))
		return out
	}})
	return got.units, got.err
}

// maxSpots are looked up one by one; for more all FCs are read.
const maxSpots = 1000

// listStock of this region's FCs, or of some of them.
func (s *Service) listStock(ctx context.Context, skus, fcs []string) ([]*inventoryv1.Stock, error) {
	stmt, args := stmtListStock, []any{string(s.deps.Region), skus, s.deps.Clock.Now()}
	if len(fcs) > 0 && len(fcs)*len(skus) <= maxSpots {
		stmt, args = stmtListStockAt, append(args, fcs)
	}
	all, err := sqldb.Collect(ctx, s.deps.DB, stmt, func(r sqldb.Row) (*inventoryv1.Stock, error) {
		var st inventoryv1.Stock
		err := r.Scan(&st.FcId, &st.Sku, &st.Available)
		return &st, err
	}, args...)
	if err != nil {
		return nil, fmt.Errorf("list stock: %w", err)
	}
	return slices.DeleteFunc(all, func(st *inventoryv1.Stock) bool {
		return st.GetAvailable() <= 0 || (len(fcs) > 0 && !slices.Contains(fcs, st.GetFcId()))
	}), nil
}

// peerBudget is how long the other regions may take to say what they have: a page must not wait for a region that is away.
const peerBudget = 300 * time.Millisecond

// availability sums the stock of all regions that answer.
func (s *Service) availability(ctx context.Context, skus []string) (sums map[string]int64, missing []string, err error) {
	own, err := s.listStock(ctx, skus, nil)
	if err != nil {
		return nil, nil, err
	}
	sums = map[string]int64{}
	add := func(stocks []*inventoryv1.Stock) {
		for _, st := range stocks {
			sums[st.GetSku()] += st.GetAvailable()
		}
	}
	add(own)
	ctx, cancel := context.WithTimeout(ctx, peerBudget)
	defer cancel()
	var mu sync.Mutex
	var wg sync.WaitGroup
	for region, peer := range s.deps.Peers {
		wg.Go(func() {
			resp, err := peer.ListStock(ctx, &inventoryv1.ListStockRequest{Skus: skus})
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				missing = append(missing, string(region))
				return
			}
			add(resp.GetStocks())
		})
	}
	wg.Wait()
	slices.Sort(missing)
	return sums, missing, nil
}

const (
	// sweepBatch and sweepEvery bound the sweep's work, and how late the books show what reads know already.
	sweepBatch = 500
	sweepEvery = 2 * time.Second
	// overdueCounted at each FC at most: beyond it the number only says "many".
	overdueCounted = 10_000
)

// Sweep gives back up to a batch of holds that have run out, and tells how many.
func (s *Service) Sweep(ctx context.Context) (n int, err error) {
	now, fcs := s.deps.Clock.Now(), s.deps.Swept(ctx)
	if err := s.observeOverdue(ctx, now, fcs); err != nil {
		return 0, err
	}
	due, err := sqldb.Collect(ctx, s.deps.DB, stmtDueExpiries, scanSpot, string(s.deps.Region), fcs, now, sweepBatch)
	if err != nil {
		return 0, fmt.Errorf("sweep holds: %w", err)
	}
	if due = sortedSpots(due); len(due) == 0 {
		return 0, nil
	}
	announced := false
	err = s.deps.DB.InTx(ctx, func(tx sqldb.Tx) error {
		d := desk{tx: tx, region: s.deps.Region, now: now}
		b, err := d.load(ctx, due, nil)
		if err != nil {
			return err
		}
		if err := d.loadRunOut(ctx, b, due, sweepBatch); err != nil {
			return err
		}
		n = 0
		for _, s := range due {
			b := b.at(s.fc)
			overdue := b.overdue([]string{s.key})
			n += len(overdue)
			b.expire(overdue)
		}
		announced, err = d.save(ctx, b)
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("sweep holds: %w", err)
	}
	if announced {
		s.deps.Committed()
	}
	return n, nil
}

// observeOverdue tells how far the sweep is behind.
func (s *Service) observeOverdue(ctx context.Context, now time.Time, fcs []string) error {
	var holds int64
	var oldest *time.Time
	if err := s.deps.DB.QueryRow(ctx, stmtOverdue, string(s.deps.Region), fcs, now, overdueCounted).Scan(&holds, &oldest); err != nil {
		return fmt.Errorf("sweep holds: %w", err)
	}
	var lag time.Duration
	if oldest != nil {
		lag = now.Sub(*oldest)
	}
	s.deps.Observe.HoldsOverdue(holds, lag)
	return nil
}

// Run sweeps until ctx ends.
func (s *Service) Run(ctx context.Context) {
	for ctx.Err() == nil {
		if _, err := s.Sweep(ctx); err != nil && ctx.Err() == nil {
			s.deps.Log.WarnContext(ctx, "the sweep of holds failed", "error", err)
		}
		if s.deps.Clock.Sleep(ctx, sweepEvery) != nil {
			return
		}
	}
}
