package inventory

import (
	"context"
	"fmt"
	"math/bits"

	"github.com/cellar-commerce/cellar/internal/ident"
	"github.com/cellar-commerce/cellar/internal/sqldb"
)

// Inconsistency is a row of stock that is not what the ledger and the reservations say. The ledger is append-only and the
// reservations are the orders': they are believed, and the row's counts are what is corrected.
type Inconsistency struct {
	FC  string `json:"fc"`
	SKU string `json:"sku"`
	// Available and Reserved as the row has them.
	Available int64 `json:"available"`
	Reserved  int64 `json:"reserved"`
	// RightAvailable is the ledger's sum less what orders hold, RightReserved what orders hold.
	RightAvailable int64 `json:"right_available"`
	RightReserved  int64 `json:"right_reserved"`
}

// Oversold tells that orders hold more than the ledger has: no count can be right, somebody has to count the shelf and
// record an adjustment.
func (i Inconsistency) Oversold() bool { return i.RightAvailable < 0 }

func scanInconsistency(r sqldb.Row) (i Inconsistency, err error) {
	err = r.Scan(&i.FC, &i.SKU, &i.Available, &i.Reserved, &i.RightAvailable, &i.RightReserved)
	return i, err
}

// Inconsistencies of this region's stock, at most limit. One statement reads one moment: what is under way is not seen
// half done.
func (s *Service) Inconsistencies(ctx context.Context, limit int) ([]Inconsistency, error) {
	all, err := sqldb.Collect(ctx, s.deps.DB, stmtInconsistencies, scanInconsistency, string(s.deps.Region), limit)
	if err != nil {
		return nil, fmt.Errorf("list inconsistencies: %w", err)
	}
	return all, nil
}

// Compensate one row: its counts become what the ledger and the reservations say at that moment, under the row's lock.
// Gives what was corrected; false when nothing was wrong, or when the product is oversold.
func (s *Service) Compensate(ctx context.Context, fc, sku string) (was Inconsistency, corrected bool, err error) {
	now := s.deps.Clock.Now()
	err = s.deps.DB.InTx(ctx, func(tx sqldb.Tx) error {
		corrected = false
		d := desk{tx: tx, region: s.deps.Region, now: now}
		// A product that the ledger has and the stock does not know gets its row first, so that there is one to lock.
		if err := addStock(ctx, tx, s.deps.Region, []entry{{fc: fc, sku: sku}}); err != nil {
			return err
		}
		b, err := d.load(ctx, []spot{{fc, sku}}, nil)
		if err != nil {
			return err
		}
		row := b.at(fc).stock[sku]
		was = Inconsistency{FC: fc, SKU: sku, Available: row.available, Reserved: row.reserved}
		var booked int64
		if err := tx.QueryRow(ctx, stmtRight, string(s.deps.Region), fc, sku).Scan(&booked, &was.RightReserved); err != nil {
			return err
		}
		was.RightAvailable = booked - was.RightReserved
		if was.Oversold() || (was.RightAvailable == was.Available && was.RightReserved == was.Reserved) {
			return nil
		}
		row.available, row.reserved = was.RightAvailable, was.RightReserved
		corrected = true
		_, err = d.save(ctx, b)
		return err
	})
	if err != nil {
		return was, false, fmt.Errorf("compensate %s at %s: %w", sku, fc, err)
	}
	s.deps.Committed()
	return was, corrected, nil
}

// SummaryCheck compares a region's summaries with the stock.
type SummaryCheck struct {
	Region ident.Region `json:"region"`
	// Bits that are set; Empty of them are of FCs that have none, and Missing are FCs that have some without a bit.
	Bits    int `json:"bits"`
	Empty   int `json:"empty"`
	Missing int `json:"missing"`
	// Misjudged are FCs whose bit is right and whose level is not.
	Misjudged int `json:"misjudged"`
}

// ErrorRate is the share of bits that say the wrong thing.
func (c SummaryCheck) ErrorRate() float64 {
	if c.Bits+c.Missing == 0 {
		return 0
	}
	return float64(c.Empty+c.Missing) / float64(c.Bits+c.Missing)
}

// checkPage of products that are compared at once.
const checkPage = 1000

// CheckSummaries of one region, as this region has them.
func (s *Service) CheckSummaries(ctx context.Context, source ident.Region) (SummaryCheck, error) {
	check := SummaryCheck{Region: source}
	for after := ""; ; {
		known, levels := map[string][]byte{}, map[string][]byte{}
		rows, err := sqldb.Collect(ctx, s.deps.DB, stmtPageSummaries, func(r sqldb.Row) (sku string, err error) {
			var set, level []byte
			err = r.Scan(&sku, &set, &level)
			known[sku], levels[sku] = set, level
			return sku, err
		}, string(s.deps.Region), string(source), after, checkPage)
		if err != nil {
			return check, fmt.Errorf("check summaries: %w", err)
		}
		stocks, err := sqldb.Collect(ctx, s.deps.DB, stmtSummarize, scanEntry, string(source), rows)
		if err != nil {
			return check, fmt.Errorf("check summaries: %w", err)
		}
		for _, set := range known {
			for _, b := range set {
				check.Bits += bits.OnesCount8(b)
				check.Empty += bits.OnesCount8(b)
			}
		}
		for _, st := range stocks {
			if n, ok := s.deps.Ordinal(ctx, st.fc); ok && hasBit(known[st.sku], n) {
				check.Empty--
				if levelAt(levels[st.sku], n) != level(st.delta) {
					check.Misjudged++
				}
			} else {
				check.Missing++
			}
		}
		if len(rows) < checkPage {
			return check, nil
		}
		after = rows[len(rows)-1]
	}
}

func hasBit(set []byte, n int) bool { return n/8 < len(set) && set[n/8]&(1<<(n%8)) != 0 }
