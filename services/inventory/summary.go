package inventory

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"math/bits"
	"slices"
	"strings"
	"time"

	"google.golang.org/protobuf/proto"

	inventoryv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/inventory/v1"
	"github.com/cellar-commerce/cellar/internal/ident"
	"github.com/cellar-commerce/cellar/internal/outbox"
	"github.com/cellar-commerce/cellar/internal/sqldb"
)

// Durable names of the consumers of a region's stock events; see cells.
const (
	ConsumerTouched    = "stock-touched"
	ConsumerSummarized = "stock-summarized"
)

// SubjectTouched of the events within a region; SubjectSummarized of those that a region gets from all others.
func SubjectTouched(region ident.Region) string { return "stock." + string(region) + ".touched" }

// SubjectSummarized matches what every region tells.
const SubjectSummarized = "stock.*.summarized"

func subjectSummarized(region ident.Region) string { return "stock." + string(region) + ".summarized" }

// summaryBatch of products that are looked at in one transaction, and told in one event of some 50 kB.
const summaryBatch = 500

// level of a count: it changes from none to some, and then with each factor of four. Only then is the summary looked at
// again, so that a product that sells a thousand units costs six looks.
func level(units int64) int { return (bits.Len64(uint64(max(units, 0))) + 1) / 2 }

// queueTouched tells this region, once the transaction is committed, that summaries may have changed.
func queueTouched(out *sqldb.Batch, region ident.Region, now time.Time, skus []string) error {
	slices.Sort(skus)
	skus = slices.Compact(skus)
	var events []outbox.Event
	for chunk := range slices.Chunk(skus, summaryBatch) {
		id := ident.NewToken()
		events = append(events, outbox.Event{
			MessageID: messageID(region, id), Key: id, Destination: region, Subject: SubjectTouched(region), Payload: &inventoryv1.StockTouched{Skus: chunk},
		})
	}
	return outbox.Queue(out, region, now, events...)
}

func messageID(region ident.Region, id string) string { return "stock/" + string(region) + "/" + id }

// Touched is the consumer of the region's own events: it looks at the products of all of them anew. Looking twice changes
// nothing.
func (s *Service) Touched(ctx context.Context, payloads ...[]byte) error {
	var skus []string
	for _, payload := range payloads {
		var e inventoryv1.StockTouched
		if err := proto.Unmarshal(payload, &e); err != nil {
			return fmt.Errorf("stock touched: %w", err)
		}
		skus = append(skus, e.GetSkus()...)
	}
	return s.Summarize(ctx, skus)
}

// summary of one product at this region's FCs.
type summary struct {
	fcs     []byte // a bit for each FC that has some
	levels  []byte // four bits for each FC: the level of its count
	units   int64
	version int64
}

// Summarize looks at products, 500 at a time, and tells the other regions what has changed. The row of each is locked
// before the stock is read: whoever looks later sees what came later.
func (s *Service) Summarize(ctx context.Context, skus []string) error {
	if s.deps.Ordinal == nil {
		return nil
	}
	skus = slices.Clone(skus)
	slices.Sort(skus)
	for chunk := range slices.Chunk(slices.Compact(skus), summaryBatch) {
		if err := s.summarize(ctx, chunk); err != nil {
			return fmt.Errorf("summarize: %w", err)
		}
	}
	return nil
}

// summarize products, sorted and each once, in one transaction.
func (s *Service) summarize(ctx context.Context, skus []string) error {
	region, now := string(s.deps.Region), s.deps.Clock.Now()
	err := s.deps.DB.InTx(ctx, func(tx sqldb.Tx) error {
		if _, err := tx.Exec(ctx, stmtOpenSummaries, region, skus, now); err != nil {
			return err
		}
		known := map[string]summary{}
		if err := scanSummaries(ctx, tx, stmtLockSummaries, known, region, skus, region); err != nil {
			return err
		}
		fresh, err := s.look(ctx, tx, skus)
		if err != nil {
			return err
		}
		return s.tell(ctx, tx, now, known, fresh)
	})
	if err == nil {
		s.deps.Committed()
	}
	return err
}

func scanSummaries(ctx context.Context, tx sqldb.Tx, stmt *sqldb.Statement, into map[string]summary, args ...any) error {
	var b sqldb.Batch
	b.QueueRead(stmt, sqldb.Each(func(r sqldb.Row) error {
		var sku string
		var one summary
		err := r.Scan(&sku, &one.fcs, &one.units, &one.version, &one.levels)
		into[sku] = one
		return err
	}), args...)
	return tx.Send(ctx, &b)
}

// look at what this region's FCs have.
func (s *Service) look(ctx context.Context, tx sqldb.Tx, skus []string) (map[string]summary, error) {
	stocks, err := sqldb.Collect(ctx, tx, stmtSummarize, scanEntry, string(s.deps.Region), skus)
	if err != nil {
		return nil, err
	}
	all := map[string]summary{}
	for _, st := range stocks {
		n, ok := s.deps.Ordinal(ctx, st.fc)
		if !ok {
			continue // a new FC: its first stock is told by whoever has heard of it
		}
		one := all[st.sku]
		one.fcs, one.levels = withBit(one.fcs, n), withLevel(one.levels, n, level(st.delta))
		one.units += st.delta
		all[st.sku] = one
	}
	return all, nil
}

// withBit sets bit n, from the lowest of the first byte on.
func withBit(set []byte, n int) []byte {
	if short := n/8 + 1 - len(set); short > 0 {
		set = append(set, make([]byte, short)...)
	}
	set[n/8] |= 1 << (n % 8)
	return set
}

// maxLevel is what four bits hold: some hundred million units.
const maxLevel = 15

// withLevel sets the level of FC n.
func withLevel(levels []byte, n, level int) []byte {
	if short := n/2 + 1 - len(levels); short > 0 {
		levels = append(levels, make([]byte, short)...)
	}
	shift := n % 2 * 4
	levels[n/2] = levels[n/2]&^(0xF<<shift) | byte(min(level, maxLevel))<<shift
	return levels
}

// levelAt FC n.
func levelAt(levels []byte, n int) int {
	if n/2 >= len(levels) {
		return 0
	}
	return int(levels[n/2] >> (n % 2 * 4) & 0xF)
}

// tell what has changed: here, and by events to all regions. This one's cells are among those who keep summaries in
// memory.
func (s *Service) tell(ctx context.Context, tx sqldb.Tx, now time.Time, known, fresh map[string]summary) error {
	var changed []*inventoryv1.StockSummary
	for sku, was := range known {
		is := fresh[sku]
		if slices.Equal(was.fcs, is.fcs) && slices.Equal(was.levels, is.levels) && was.units == is.units {
			continue
		}
		changed = append(changed, &inventoryv1.StockSummary{
			Sku: sku, Region: string(s.deps.Region), Fcs: is.fcs, Levels: is.levels, Units: is.units, Version: was.version + 1,
		})
	}
	if len(changed) == 0 {
		return nil
	}
	slices.SortFunc(changed, func(a, b *inventoryv1.StockSummary) int { return strings.Compare(a.GetSku(), b.GetSku()) })
	var out sqldb.Batch
	keep(&out, s.deps.Region, now, changed)
	var events []outbox.Event
	for _, region := range s.deps.Regions {
		id := ident.NewToken()
		events = append(events, outbox.Event{
			MessageID: messageID(s.deps.Region, id), Key: id, Destination: region, Subject: subjectSummarized(s.deps.Region),
			Payload: &inventoryv1.StockSummarized{Summaries: changed},
		})
	}
	if err := outbox.Queue(&out, s.deps.Region, now, events...); err != nil {
		return err
	}
	return tx.SendLast(ctx, &out)
}

// keep summaries in a region's table, unless it has newer ones.
func keep(out *sqldb.Batch, region ident.Region, now time.Time, all []*inventoryv1.StockSummary) {
	n := len(all)
	skus, sources, sets, levels, units, versions := make([]string, n), make([]string, n), make([][]byte, n), make([][]byte, n), make([]int64, n), make([]int64, n)
	for i, one := range all {
		skus[i], sources[i], units[i], versions[i] = one.GetSku(), one.GetRegion(), one.GetUnits(), one.GetVersion()
		sets[i], levels[i] = append([]byte{}, one.GetFcs()...), append([]byte{}, one.GetLevels()...) // none is no NULL
	}
	out.Queue(stmtKeepSummaries, nil, string(region), skus, sources, sets, units, versions, now, levels)
}

// Summarized is the consumer of all regions' events: the newest that they tell of each product is kept. What this region has
// told itself, its table has already.
func (s *Service) Summarized(ctx context.Context, payloads ...[]byte) error {
	newest := map[[2]string]*inventoryv1.StockSummary{}
	for _, payload := range payloads {
		var e inventoryv1.StockSummarized
		if err := proto.Unmarshal(payload, &e); err != nil {
			return fmt.Errorf("stock summarized: %w", err)
		}
		for _, one := range e.GetSummaries() {
			key := [2]string{one.GetSku(), one.GetRegion()}
			if one.GetRegion() != string(s.deps.Region) && newest[key].GetVersion() < one.GetVersion() {
				newest[key] = one
			}
		}
	}
	all := slices.SortedFunc(maps.Values(newest), func(a, b *inventoryv1.StockSummary) int {
		return cmp.Or(strings.Compare(a.GetSku(), b.GetSku()), strings.Compare(a.GetRegion(), b.GetRegion()))
	})
	for chunk := range slices.Chunk(all, summaryBatch) {
		var out sqldb.Batch
		keep(&out, s.deps.Region, s.deps.Clock.Now(), chunk)
		if err := s.deps.DB.Send(ctx, &out); err != nil {
			return fmt.Errorf("keep summaries: %w", err)
		}
	}
	return nil
}

// summaries of products that this region knows.
func (s *Service) summaries(ctx context.Context, skus []string) ([]*inventoryv1.StockSummary, error) {
	all, err := sqldb.Collect(ctx, s.deps.DB, stmtListSummaries, func(r sqldb.Row) (*inventoryv1.StockSummary, error) {
		var one inventoryv1.StockSummary
		err := r.Scan(&one.Sku, &one.Region, &one.Fcs, &one.Units, &one.Version, &one.Levels)
		return &one, err
	}, string(s.deps.Region), skus)
	if err != nil {
		return nil, fmt.Errorf("list summaries: %w", err)
	}
	return all, nil
}
