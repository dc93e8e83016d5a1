package inventory

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/cellar-commerce/cellar/internal/clock"
	inventoryv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/inventory/v1"
	"github.com/cellar-commerce/cellar/internal/gen/cellar/inventory/v1/inventoryv1connect"
	"github.com/cellar-commerce/cellar/internal/ident"
	"github.com/cellar-commerce/cellar/internal/problem"
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
	// FC tells the home region of an FC; false for one that does not exist.
	FC    func(ctx context.Context, id string) (ident.Region, bool)
	Clock clock.Clock
	Log   *slog.Logger
}

// Service implements cellar.inventory.v1.InventoryService for one region.
type Service struct{ deps Deps }

var _ inventoryv1connect.InventoryServiceHandler = (*Service)(nil)

// New service.
func New(deps Deps) *Service { return &Service{deps: deps} }

// expireInline is how many run-out holds a reservation takes back at most when it finds too little.
const expireInline = 256

// reserve holds all lines or none.
func (s *Service) reserve(ctx context.Context, a at, lines []line, expiresAt time.Time) (time.Time, error) {
	lines = sortLines(lines)
	until := expiresAt
	err := s.deps.DB.InTx(ctx, func(tx sqldb.Tx) error {
		until = expiresAt
		have, tombstone, err := lockReservations(ctx, tx, a)
		if err != nil {
			return err
		}
		if tombstone {
			return problem.New(problem.Precondition, reasonHoldReleased, "the order has given its stock here back")
		}
		if known, at, err := alreadyHeld(have, lines, a.now); known || err != nil {
			until = at
			return err
		}
		return s.holdNew(ctx, tx, a, lines, expiresAt)
	})
	if errors.Is(err, errTwin) {
		return s.reserve(ctx, a, lines, expiresAt) // the twin has committed: now its rows are seen
	}
	if err != nil {
		return time.Time{}, fmt.Errorf("reserve for %s at %s: %w", a.order, a.fc, err)
	}
	return until, nil
}

// alreadyHeld finds the answer of a reserve that is repeated.
func alreadyHeld(have []reservation, lines []line, now time.Time) (known bool, expiresAt time.Time, err error) {
	if len(have) == 0 {
		return false, time.Time{}, nil
	}
	expired, swept := 0, 0
	for _, r := range have {
		if r.state == Released {
			return false, time.Time{}, problem.New(problem.Precondition, reasonHoldReleased, "the order has given its stock here back")
		}
		if r.state == Expired || (r.state == Held && !r.expiresAt.After(now)) {
			expired++
		}
		if r.state == Expired {
			swept++
		}
	}
	if !sameLines(have, lines) {
		return false, time.Time{}, problem.New(problem.Precondition, "RESERVATION_MISMATCH", "the order has reserved other lines here")
	}
	switch {
	case expired == 0:
		return true, have[0].expiresAt, nil
	case swept == len(have):
		return false, time.Time{}, nil // reserved anew
	default:
		// Not all lines are swept yet (a shortage of one product sweeps only that): the others' units are still in reserved.
		return false, time.Time{}, problem.New(problem.Precondition, reasonHoldExpired, "the hold has run out")
	}
}

// holdNew writes the reservations, then checks the stock under lock and moves it. In this order a twin waits for the
// other's answer, instead of finding too little because of it.
func (s *Service) holdNew(ctx context.Context, tx sqldb.Tx, a at, lines []line, expiresAt time.Time) error {
	if err := insertReservations(ctx, tx, a, lines, expiresAt); err != nil {
		return err
	}
	skus, wanted := bySKU(lines)
	if err := lockEnough(ctx, tx, a, skus, wanted); err != nil {
		return err
	}
	_, err := tx.Exec(ctx, stmtMove, string(a.region), a.fc, skus, wanted)
	return err
}

// lockEnough locks the stock of products and refuses unless what is wanted is there. Holds that have run out give theirs
// back when it is needed.
func lockEnough(ctx context.Context, tx sqldb.Tx, a at, skus []string, wanted []int64) error {
	available, err := lockStock(ctx, tx, a, skus)
	if err != nil {
		return err
	}
	short := shortages(skus, wanted, available)
	if short == nil {
		return nil
	}
	n, err := expireRunOut(ctx, tx, a, skus, expireInline)
	if err != nil {
		return err
	}
	if n == 0 {
		return short
	}
	if available, err = lockStock(ctx, tx, a, skus); err != nil {
		return err
	}
	return shortages(skus, wanted, available)
}

// holdings locks an order's reservations for a command that needs them held; unknown ones are refused.
func holdings(ctx context.Context, tx sqldb.Tx, a at) ([]reservation, error) {
	rs, tombstone, err := lockReservations(ctx, tx, a)
	if err != nil {
		return nil, err
	}
	switch {
	case tombstone:
		return nil, problem.New(problem.Precondition, reasonHoldReleased, "the order has given its stock here back")
	case len(rs) == 0:
		return nil, problem.New(problem.Precondition, reasonUnknownHold, "the order holds nothing here")
	}
	for _, r := range rs {
		if r.state == Expired || (r.state == Held && !r.expiresAt.After(a.now)) {
			return nil, problem.New(problem.Precondition, reasonHoldExpired, "the hold has run out")
		}
		if r.state == Released {
			return nil, problem.New(problem.Precondition, reasonHoldReleased, "the order has given its stock here back")
		}
	}
	return rs, nil
}

func (s *Service) extend(ctx context.Context, a at, expiresAt time.Time) error {
	return s.deps.DB.InTx(ctx, func(tx sqldb.Tx) error {
		if _, err := holdings(ctx, tx, a); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, stmtExtend, a.args(expiresAt, a.now)...)
		return err
	})
}

func (s *Service) commit(ctx context.Context, a at) error {
	return s.deps.DB.InTx(ctx, func(tx sqldb.Tx) error {
		rs, err := holdings(ctx, tx, a)
		if err != nil || rs[0].state == Shipped {
			return err
		}
		return setState(ctx, tx, a, rs, Committed)
	})
}

// release gives back what is held or committed and leaves the tombstone.
func (s *Service) release(ctx context.Context, a at) (released int64, err error) {
	err = s.deps.DB.InTx(ctx, func(tx sqldb.Tx) error {
		released = 0
		// A reserve that is under way and not yet committed is not seen here. The tombstone keeps what it holds from being
		// extended or sold, so that it runs out.
		if _, err := tx.Exec(ctx, stmtInsertTombstone, a.args(a.now)...); err != nil {
			return err
		}
		rs, _, err := lockReservations(ctx, tx, a)
		if err != nil {
			return err
		}
		var back []line
		for _, r := range rs {
			if r.state == Shipped {
				return problem.New(problem.Precondition, reasonAlreadyShipped, "the order's stock here has been shipped")
			}
			if r.holding() {
				back = append(back, r.line)
				released += r.quantity
			}
		}
		if err := setState(ctx, tx, a, rs, Released); err != nil {
			return err
		}
		return move(ctx, tx, a, back, -1)
	})
	return released, err
}

// ship takes committed stock off the books.
func (s *Service) ship(ctx context.Context, a at) (shipped int64, err error) {
	err = s.deps.DB.InTx(ctx, func(tx sqldb.Tx) error {
		shipped = 0
		rs, err := holdings(ctx, tx, a)
		if err != nil || rs[0].state == Shipped {
			return err
		}
		var out []line
		for _, r := range rs {
			if r.state != Committed {
				return problem.New(problem.Precondition, "NOT_COMMITTED", "only sold stock is shipped")
			}
			out = append(out, r.line)
			shipped += r.quantity
		}
		skus, sums := bySKU(out)
		if _, err := lockStock(ctx, tx, a, skus); err != nil {
			return err
		}
		entries := make([]entry, len(skus))
		for i := range skus {
			entries[i] = entry{fc: a.fc, sku: skus[i], delta: -sums[i]}
		}
		if _, err := record(ctx, tx, source{region: a.region, kind: "ship", id: string(a.order), now: a.now}, entries); err != nil {
			return err
		}
		var b sqldb.Batch
		b.Queue(stmtTakeOut, nil, string(a.region), a.fc, skus, sums)
		b.Queue(stmtSetState, nil, a.args(string(Shipped), a.now, numbersOf(rs))...)
		return tx.Send(ctx, &b)
	})
	return shipped, err
}

// restock adds a delivery, once.
func (s *Service) restock(ctx context.Context, deliveryID string, entries []entry) (already bool, err error) {
	src := source{region: s.deps.Region, kind: "restock", id: deliveryID, now: s.deps.Clock.Now()}
	err = s.deps.DB.InTx(ctx, func(tx sqldb.Tx) error {
		fresh, err := record(ctx, tx, src, entries)
		if err != nil {
			return err
		}
		already = len(fresh) == 0
		return addStock(ctx, tx, s.deps.Region, fresh)
	})
	if err != nil {
		return false, fmt.Errorf("restock by delivery %s: %w", deliveryID, err)
	}
	return already, nil
}

// adjust corrects one count, once.
func (s *Service) adjust(ctx context.Context, id, reason string, e entry) (already bool, err error) {
	src := source{region: s.deps.Region, kind: "adjust", id: id, reason: reason, now: s.deps.Clock.Now()}
	a := at{region: s.deps.Region, fc: e.fc, now: src.now}
	err = s.deps.DB.InTx(ctx, func(tx sqldb.Tx) error {
		fresh, err := record(ctx, tx, src, []entry{e})
		if err != nil {
			return err
		}
		if already = len(fresh) == 0; already {
			return nil
		}
		if e.delta > 0 {
			return addStock(ctx, tx, s.deps.Region, fresh)
		}
		if err := lockEnough(ctx, tx, a, []string{e.sku}, []int64{-e.delta}); err != nil {
			return err
		}
		_, err = tx.Exec(ctx, stmtCorrect, string(s.deps.Region), e.fc, e.sku, e.delta)
		return err
	})
	if err != nil {
		return false, fmt.Errorf("adjust by %s: %w", id, err)
	}
	return already, nil
}

// Stock of one product at one FC, for the opening of a platform.
type Stock struct {
	FC       string
	SKU      string
	Quantity int64
}

// openingBatch rows in one statement: some hundred kilobytes.
const openingBatch = 5000

// Open counts the opening stock of this region's FCs. Counting it again changes nothing.
func (s *Service) Open(ctx context.Context, stocks []Stock) error {
	for chunk := range slices.Chunk(stocks, openingBatch) {
		entries := make([]entry, 0, len(chunk))
		for _, c := range chunk {
			entries = append(entries, entry{fc: c.FC, sku: c.SKU, delta: c.Quantity})
		}
		if _, err := s.restock(ctx, "opening", entries); err != nil {
			return err
		}
	}
	return nil
}

// listStock of this region's FCs.
func (s *Service) listStock(ctx context.Context, skus []string) ([]*inventoryv1.Stock, error) {
	all, err := sqldb.Collect(ctx, s.deps.DB, stmtListStock, func(r sqldb.Row) (*inventoryv1.Stock, error) {
		var st inventoryv1.Stock
		err := r.Scan(&st.FcId, &st.Sku, &st.Available)
		return &st, err
	}, string(s.deps.Region), skus, s.deps.Clock.Now())
	if err != nil {
		return nil, fmt.Errorf("list stock: %w", err)
	}
	return slices.DeleteFunc(all, func(st *inventoryv1.Stock) bool { return st.GetAvailable() <= 0 }), nil
}

// peerBudget is how long the other regions may take to say what they have: a page must not wait for a region that is away.
const peerBudget = 300 * time.Millisecond

// availability sums the stock of all regions that answer.
func (s *Service) availability(ctx context.Context, skus []string) (sums map[string]int64, missing []string, err error) {
	own, err := s.listStock(ctx, skus)
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
)

// Sweep gives back up to a batch of holds that have run out, and tells how many.
func (s *Service) Sweep(ctx context.Context) (int, error) {
	now := s.deps.Clock.Now()
	due, err := sqldb.Collect(ctx, s.deps.DB, stmtDueExpiries, func(r sqldb.Row) (entry, error) {
		var e entry
		err := r.Scan(&e.fc, &e.sku)
		return e, err
	}, string(s.deps.Region), now, sweepBatch)
	if err != nil {
		return 0, fmt.Errorf("sweep holds: %w", err)
	}
	byFC := map[string][]string{}
	for _, e := range due {
		byFC[e.fc] = append(byFC[e.fc], e.sku)
	}
	total := 0
	for fc, skus := range byFC {
		n := 0
		err := s.deps.DB.InTx(ctx, func(tx sqldb.Tx) (err error) {
			n, err = expireRunOut(ctx, tx, at{region: s.deps.Region, fc: fc, now: now}, skus, sweepBatch)
			return err
		})
		if err != nil {
			return total, fmt.Errorf("sweep holds at %s: %w", fc, err)
		}
		total += n
	}
	return total, nil
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
