package inventory

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/cellar-commerce/cellar/internal/problem"
	"github.com/cellar-commerce/cellar/internal/sqldb"
)

// restock adds a delivery, once.
func (s *Service) restock(ctx context.Context, deliveryID string, entries []entry) (already bool, err error) {
	src := source{region: s.deps.Region, kind: "restock", id: deliveryID, now: s.deps.Clock.Now()}
	err = s.deps.DB.InTx(ctx, func(tx sqldb.Tx) error {
		fresh, err := record(ctx, tx, src, entries)
		if already = len(fresh) == 0; err != nil || already {
			return err
		}
		return s.add(ctx, tx, src.now, fresh)
	})
	if err != nil {
		return false, fmt.Errorf("restock by delivery %s: %w", deliveryID, err)
	}
	s.deps.Committed()
	return already, nil
}

// adjust corrects one count, once.
func (s *Service) adjust(ctx context.Context, id, reason string, e entry) (already bool, err error) {
	src := source{region: s.deps.Region, kind: "adjust", id: id, reason: reason, now: s.deps.Clock.Now()}
	err = s.deps.DB.InTx(ctx, func(tx sqldb.Tx) error {
		fresh, err := record(ctx, tx, src, []entry{e})
		if err != nil {
			return err
		}
		if already = len(fresh) == 0; already {
			return nil
		}
		if e.delta > 0 {
			return s.add(ctx, tx, src.now, fresh)
		}
		d := desk{tx: tx, region: s.deps.Region, now: src.now}
		spots := []spot{{e.fc, e.sku}}
		b, err := d.load(ctx, spots, nil)
		if err != nil {
			return err
		}
		if err := d.loadRunOut(ctx, b, spots, expireInline); err != nil {
			return err
		}
		if err := b.at(e.fc).enough([]string{e.sku}, []int64{-e.delta}); err != nil {
			return err
		}
		b.at(e.fc).stock[e.sku].available += e.delta
		_, err = d.save(ctx, b)
		return err
	})
	if err != nil {
		return false, fmt.Errorf("adjust by %s: %w", id, err)
	}
	s.deps.Committed()
	return already, nil
}

// add what the ledger has taken, and tell that the summary may have changed.
func (s *Service) add(ctx context.Context, tx sqldb.Tx, now time.Time, fresh []entry) error {
	if err := addStock(ctx, tx, s.deps.Region, fresh); err != nil {
		return err
	}
	skus := make([]string, len(fresh))
	for i, e := range fresh {
		skus[i] = e.sku
	}
	var out sqldb.Batch
	if err := queueTouched(&out, s.deps.Region, now, skus); err != nil {
		return err
	}
	return tx.SendLast(ctx, &out)
}

// back is what an order sends back to an FC.
type back struct {
	at
	id      string
	entries []entry
}

// takeBack units of an order that the FC has shipped, once. The order's rows are locked, so that two returns cannot
// both take the last unit.
func (s *Service) takeBack(ctx context.Context, r back) (already bool, err error) {
	prefix := string(r.order) + "/"
	src := source{region: s.deps.Region, kind: "return", id: prefix + r.id, now: r.now}
	err = s.deps.DB.InTx(ctx, func(tx sqldb.Tx) error {
		d := desk{tx: tx, region: s.deps.Region, now: r.now}
		b, err := d.load(ctx, nil, []spot{{r.fc, string(r.order)}})
		if err != nil {
			return err
		}
		left := map[string]int64{} // units that the order still has
		for _, h := range b.at(r.fc).order(string(r.order)).rows {
			if h.state == Shipped {
				left[h.sku] += h.quantity
			}
		}
		if len(left) == 0 {
			return problem.New(problem.Precondition, "NOT_SHIPPED", "nothing of the order was shipped from there")
		}
		fresh, err := record(ctx, tx, src, r.entries)
		if already = len(fresh) == 0; err != nil || already {
			return err
		}
		returned, err := sqldb.Collect(ctx, tx, stmtReturned, scanEntry, string(s.deps.Region), r.fc, prefix, strings.TrimSuffix(prefix, "/")+"0")
		if err != nil {
			return err
		}
		for _, e := range returned { // this return among them
			if left[e.sku] -= e.delta; left[e.sku] < 0 {
				return problem.New(problem.Precondition, "RETURNS_TOO_MUCH", "more is returned than the order got from there: "+e.sku)
			}
		}
		return s.add(ctx, tx, r.now, fresh)
	})
	if err != nil {
		return false, fmt.Errorf("return %s of %s: %w", r.id, r.order, err)
	}
	s.deps.Committed()
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
		if err := s.open(ctx, entries); err != nil {
			return fmt.Errorf("count the opening stock: %w", err)
		}
	}
	skus := make([]string, 0, len(stocks))
	for _, st := range stocks {
		skus = append(skus, st.SKU)
	}
	return s.Summarize(ctx, skus)
}

func (s *Service) open(ctx context.Context, entries []entry) error {
	src := source{region: s.deps.Region, kind: "restock", id: "opening", now: s.deps.Clock.Now()}
	return s.deps.DB.InTx(ctx, func(tx sqldb.Tx) error {
		fresh, err := record(ctx, tx, src, entries)
		if err != nil {
			return err
		}
		return addStock(ctx, tx, s.deps.Region, fresh)
	})
}
