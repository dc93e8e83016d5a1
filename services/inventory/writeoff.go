package inventory

import (
	"context"
	"fmt"
	"slices"

	"github.com/cellar-commerce/cellar/internal/problem"
	"github.com/cellar-commerce/cellar/internal/sqldb"
)

// writeOff is units that an order has bought at an FC and that are not on its shelf.
type writeOff struct {
	at
	id, reason string
	lines      []line // by number
}

// writeOff units, once: the order's reservations and what is on hand fall by them, in one transaction with the ledger. What
// the FC claims to have beyond that stays on its books: that nobody found these units says nothing sure about others, and a
// picker who misses those too takes them off in turn.
func (s *Service) writeOff(ctx context.Context, w writeOff) (already bool, err error) {
	src := source{region: s.deps.Region, kind: "adjust", id: w.id, reason: w.reason, now: w.now}
	skus, units := bySKU(w.lines)
	entries, spots := make([]entry, len(skus)), make([]spot, len(skus))
	for i, sku := range skus {
		entries[i], spots[i] = entry{fc: w.fc, sku: sku, delta: -units[i]}, spot{w.fc, sku}
	}
	err = s.deps.DB.InTx(ctx, func(tx sqldb.Tx) error {
		fresh, err := record(ctx, tx, src, entries)
		if already = len(fresh) == 0; err != nil || already {
			return err
		}
		d := desk{tx: tx, region: s.deps.Region, now: w.now}
		b, err := d.load(ctx, spots, []spot{{w.fc, string(w.order)}})
		if err != nil {
			return err
		}
		gone, err := b.at(w.fc).writeOff(string(w.order), w.lines)
		if err != nil {
			return err
		}
		if len(gone) > 0 {
			if _, err := tx.Exec(ctx, stmtDeleteReservations, string(s.deps.Region), w.fc, string(w.order), gone); err != nil {
				return err
			}
		}
		_, err = d.save(ctx, b)
		return err
	})
	if err != nil {
		return false, fmt.Errorf("write off %s of %s at %s: %w", w.id, w.order, w.fc, err)
	}
	return already, nil
}

// writeOff units of lines that are sold here. Gives the lines of which nothing is left: their rows go. Where that is all that
// the order had, a tombstone takes their place, so that nothing that comes late reserves here again.
func (b *book) writeOff(order string, lines []line) (gone []int32, err error) {
	o := b.order(order)
	for _, l := range lines {
		i := slices.IndexFunc(o.rows, func(r *holdRow) bool { return r.number == l.number })
		if i < 0 || o.rows[i].sku != l.sku || o.rows[i].state != Committed {
			return nil, problem.New(problem.Precondition, "NOT_COMMITTED", fmt.Sprintf("line %d is not sold here, or has left", l.number))
		}
		r := o.rows[i]
		if r.quantity < l.quantity {
			return nil, problem.New(problem.Precondition, "WRITES_OFF_TOO_MUCH", fmt.Sprintf("of line %d only %d units are set aside here", l.number, r.quantity))
		}
		b.stock[l.sku].reserved -= l.quantity
		if r.quantity -= l.quantity; r.quantity > 0 {
			r.become(Committed)
			continue
		}
		gone = append(gone, l.number)
		o.rows = slices.Delete(o.rows, i, i+1)
	}
	if len(o.rows) == 0 && !o.tombstone {
		o.tombstone, o.buried = true, true
	}
	return gone, nil
}
