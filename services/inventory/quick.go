package inventory

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"time"

	"google.golang.org/protobuf/proto"

	inventoryv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/inventory/v1"
	"github.com/cellar-commerce/cellar/internal/ident"
	"github.com/cellar-commerce/cellar/internal/outbox"
	"github.com/cellar-commerce/cellar/internal/sqldb"
)

// Nearly always a batch only takes what lies there, for orders that are new here, or sells what this process has just held. That needs no look beforehand: the batch is written blindly, in one round trip, behind guards that end the transaction
// where any of it is not so. Then the batch is run as any other. What is written is the same.

const (
	// maxRemembered holds of a lane: beyond it all are forgotten, and sold after a look.
	maxRemembered = 8192
	// maxResting batches of a lane that has failed blindly again and again are not tried blindly.
	maxResting = 64
)

// levels begin at these counts; see level.
var levels = func() (begin []int64) {
	for n := int64(1); n > 0 && len(begin) < maxLevel; n *= 4 {
		begin = append(begin, n)
	}
	return begin
}()

// memory of a lane, touched only by who drains it.
type memory struct {
	// held are the lines that orders were given at an FC, and have not yet bought.
	held map[spot][]line
	// resting counts the batches that are not to be tried blindly, pause how many it will be after the next failure.
	resting, pause int
}

func (m *memory) remember(key spot, lines []line) {
	if m.held == nil || len(m.held) >= maxRemembered {
		m.held = map[spot][]line{}
	}
	m.held[key] = lines
}

// learn from a batch that has been written.
func (m *memory) learn(batch []*command, answers []answer) {
	for i, cmd := range batch {
		key := spot{cmd.fc, string(cmd.order)}
		if cmd.kind == taking && answers[i].err == nil {
			m.remember(key, answers[i].grant.lines)
		} else {
			delete(m.held, key)
		}
	}
}

// blind is what a batch writes if all of it is as it is believed to be.
type blind struct {
	stock      map[spot]int64 // units to take
	made, sold []*holdRow
	orders     []spot // that made are of
	answers    []answer
}

// blindly tells what to write for a batch; false when it needs a look.
func (m *memory) blindly(batch []*command) (blind, bool) {
	if m.resting > 0 {
		m.resting--
		return blind{}, false
	}
	b, seen := blind{stock: map[spot]int64{}}, map[spot]bool{}
	for _, cmd := range batch {
		key := spot{cmd.fc, string(cmd.order)}
		if seen[key] {
			return blind{}, false
		}
		seen[key] = true
		switch cmd.kind {
		case taking:
			b.take(cmd)
		case selling:
			lines, known := m.held[key]
			if !known {
				return blind{}, false
			}
			for _, l := range lines {
				b.sold = append(b.sold, &holdRow{reservation: reservation{line: l, state: Committed}, fc: cmd.fc, order: string(cmd.order)})
			}
			b.answers = append(b.answers, answer{})
		case looking:
			return blind{}, false
		}
	}
	return b, true
}

func (b *blind) take(cmd *command) {
	for _, l := range cmd.lines {
		b.stock[spot{cmd.fc, l.sku}] += l.quantity
		b.made = append(b.made, &holdRow{reservation: reservation{line: l, state: Held, expiresAt: cmd.until}, fc: cmd.fc, order: string(cmd.order)})
	}
	b.orders = append(b.orders, spot{cmd.fc, string(cmd.order)})
	b.answers = append(b.answers, answer{grant: grant{cmd.lines, cmd.until}})
}

// queue the writes, in the order in which rows are locked everywhere: stock, then reservations. Told becomes how many events are
// on their way.
func (b *blind) queue(out *sqldb.Batch, region ident.Region, now time.Time, told *int) error {
	if len(b.made) > 0 {
		spots := sortedSpots(slices.Collect(maps.Keys(b.stock)))
		fcs, skus := spotColumns(spots)
		units, touched := make([]int64, len(spots)), make([][]byte, len(spots))
		for i, s := range spots {
			var err error
			if touched[i], err = proto.Marshal(&inventoryv1.StockTouched{Skus: skus[i : i+1]}); err != nil {
				return err
			}
			units[i] = b.stock[s]
		}
		id := ident.NewToken()
		series := outbox.SeriesOf(now, id, len(spots))
		out.QueueRead(stmtTakeBlindly, sqldb.Each(func(r sqldb.Row) error { return r.Scan(new(int), told) }), string(region), fcs, skus, units, levels, len(spots),
			touched, series.Shard, series.First, messageID(region, id), string(region), SubjectTouched(region), now)
		orderFCs, orders := spotColumns(b.orders)
		c := columnsOf(b.made)
		out.Queue(stmtHoldBlindly, nil, string(region), c.fcs, c.orders, c.lines, c.skus, c.quantities, c.states, c.expiries, now, orderFCs, orders)
	}
	if len(b.sold) > 0 {
		slices.SortFunc(b.sold, func(x, y *holdRow) int {
			return cmp.Or(cmp.Compare(x.fc, y.fc), cmp.Compare(x.order, y.order), cmp.Compare(x.number, y.number))
		})
		c := columnsOf(b.sold)
		out.Queue(stmtSellBlindly, nil, string(region), c.fcs, c.orders, c.lines, c.skus, c.quantities, now, len(b.sold))
	}
	return nil
}

// tryBlindly writes a batch without a look. False, and no error, when it has to be run as any other: nothing is written then.
func (c *combiner) tryBlindly(ctx context.Context, m *memory, batch []*command) (answers []answer, done bool, err error) {
	b, ok := m.blindly(batch)
	if !ok {
		return nil, false, nil
	}
	var out sqldb.Batch
	told := 0
	if err := b.queue(&out, c.region, c.now(), &told); err != nil {
		return nil, false, err
	}
	err = c.db.Send(ctx, &out)
	_, known := sqldb.UniqueViolation(err)
	if known || sqldb.GuardFailed(err) {
		m.pause = min(2*m.pause+1, maxResting)
		m.resting = m.pause
		return nil, false, nil
	}
	if err == nil {
		m.pause = 0
		if told > 0 {
			c.committed()
		}
	}
	return b.answers, true, err
}
