package inventory

import (
	"cmp"
	"context"
	"errors"
	"maps"
	"slices"
	"time"

	"github.com/cellar-commerce/cellar/internal/ident"
	"github.com/cellar-commerce/cellar/internal/sqldb"
)

// spot is a key at an FC: a product's SKU, or an order's id.
type spot struct{ fc, key string }

// sortedSpots without doubles, in the order in which rows are locked.
func sortedSpots(spots []spot) []spot {
	slices.SortFunc(spots, func(a, b spot) int { return cmp.Or(cmp.Compare(a.fc, b.fc), cmp.Compare(a.key, b.key)) })
	return slices.Compact(spots)
}

// columns of spots, for unnest.
func spotColumns(spots []spot) (fcs, keys []string) {
	fcs, keys = make([]string, len(spots)), make([]string, len(spots))
	for i, s := range spots {
		fcs[i], keys[i] = s.fc, s.key
	}
	return fcs, keys
}

// books by FC.
type books struct {
	now  time.Time
	byFC map[string]*book
}

func (b books) at(fc string) *book {
	if b.byFC[fc] == nil {
		b.byFC[fc] = newBook(fc, b.now)
	}
	return b.byFC[fc]
}

// short are the products of which commands found too little.
func (b books) short() []spot {
	var all []spot
	for fc, book := range b.byFC {
		for sku := range book.short {
			all = append(all, spot{fc, sku})
		}
	}
	return sortedSpots(all)
}

// desk is where books are read and written back: inside one transaction, at one time.
type desk struct {
	tx     sqldb.Tx
	region ident.Region
	now    time.Time
}

func (d desk) args(spots []spot, more ...any) []any {
	fcs, keys := spotColumns(spots)
	return append([]any{string(d.region), fcs, keys}, more...)
}

func scanSpot(r sqldb.Row) (s spot, err error) {
	err = r.Scan(&s.fc, &s.key)
	return s, err
}

// concerned finds the products whose stock a batch has to lock, and its orders, both sorted.
func (d desk) concerned(ctx context.Context, batch []*command, locks map[spot]bool) (stock, orders []spot, err error) {
	var touched []spot
	stock = slices.Collect(maps.Keys(locks))
	for _, cmd := range batch {
		order := spot{cmd.fc, string(cmd.order)}
		orders = append(orders, order)
		if cmd.touches {
			touched = append(touched, order)
		}
		for _, l := range cmd.lines {
			stock = append(stock, spot{cmd.fc, l.sku})
		}
	}
	if len(touched) > 0 {
		found, err := sqldb.Collect(ctx, d.tx, stmtConcerned, scanSpot, d.args(sortedSpots(touched))...)
		if err != nil {
			return nil, nil, err
		}
		stock = append(stock, found...)
	}
	return sortedSpots(stock), sortedSpots(orders), nil
}

// load books under lock: first the stock, then the reservations, each in the order of its key.
func (d desk) load(ctx context.Context, stock, orders []spot) (books, error) {
	b := books{now: d.now, byFC: map[string]*book{}}
	var in sqldb.Batch
	if len(stock) > 0 {
		in.QueueRead(stmtLockStock, sqldb.Each(b.readStock), d.args(stock)...)
	}
	if len(orders) > 0 {
		in.QueueRead(stmtLockReservations, sqldb.Each(b.readHold), d.args(orders)...)
	}
	return b, d.tx.Send(ctx, &in)
}

func (b books) readStock(r sqldb.Row) error {
	var fc, sku string
	var s stockRow
	err := r.Scan(&fc, &sku, &s.available, &s.reserved)
	s.availableBefore, s.reservedBefore = s.available, s.reserved
	b.at(fc).stock[sku] = &s
	return err
}

func (b books) readHold(row sqldb.Row) error {
	r, err := scanHold(row)
	if err != nil {
		return err
	}
	o := b.at(r.fc).order(r.order)
	if r.number == 0 {
		o.tombstone = true
	} else {
		o.rows = append(o.rows, r)
	}
	return nil
}

func scanHold(r sqldb.Row) (*holdRow, error) {
	var out holdRow
	err := r.Scan(&out.fc, &out.order, &out.number, &out.sku, &out.quantity, &out.state, &out.expiresAt)
	return &out, err
}

// loadRunOut adds up to limit holds of these products that have run out. Orders that a book has are left out: their
// rows are in it.
func (d desk) loadRunOut(ctx context.Context, b books, stock []spot, limit int) error {
	rows, err := sqldb.Collect(ctx, d.tx, stmtRunOut, scanHold, d.args(stock, d.now, limit)...)
	if err != nil {
		return err
	}
	for _, s := range stock {
		b.at(s.fc).swept = true
	}
	for _, r := range rows {
		book := b.at(r.fc)
		if o := book.orders[r.order]; o == nil || len(o.rows) == 0 {
			book.runOut = append(book.runOut, r)
		}
	}
	return nil
}

// errTwin: another cell has written the same rows; once it has committed, they are the answer.
var errTwin = errors.New("the same reservations were made at the same time")

// save what has changed in the books, and commit. What was read was read under lock, and is as it was; CockroachDB, whose
// locks are best effort, refuses the commit otherwise. Tells whether events are on their way.
func (d desk) save(ctx context.Context, b books) (announced bool, err error) {
	out, touched := d.changes(b)
	if len(touched) > 0 {
		if err := queueTouched(out, d.region, d.now, touched); err != nil {
			return false, err
		}
	}
	err = d.tx.SendLast(ctx, out)
	if constraint, ok := sqldb.UniqueViolation(err); ok && constraint == "reservations_pk" {
		err = errTwin
	}
	return len(touched) > 0, err
}

// changes of the books, and the products whose summary may have changed.
func (d desk) changes(b books) (changes *sqldb.Batch, touched []string) {
	var out sqldb.Batch
	var fresh, changed []*holdRow
	var moved moves
	var shipped shipments
	for _, fc := range slices.Sorted(maps.Keys(b.byFC)) {
		book := b.byFC[fc]
		f, c := book.writes()
		fresh, changed = append(fresh, f...), append(changed, c...)
		moved.add(book)
		shipped.add(book)
	}
	region := string(d.region)
	if len(fresh) > 0 {
		c := columnsOf(fresh)
		out.Queue(stmtInsertReservations, nil, region, c.fcs, c.orders, c.lines, c.skus, c.quantities, c.states, c.expiries, d.now)
	}
	if len(changed) > 0 {
		c := columnsOf(changed)
		out.Queue(stmtUpdateReservations, nil, region, c.fcs, c.orders, c.lines, c.skus, c.quantities, c.states, c.expiries, d.now)
	}
	if len(moved.skus) > 0 {
		out.Queue(stmtMove, nil, region, moved.fcs, moved.skus, moved.available, moved.reserved)
	}
	if len(shipped.skus) > 0 {
		out.Queue(stmtRecordShipments, nil, region, shipped.fcs, shipped.orders, shipped.skus, shipped.deltas, d.now)
	}
	return &out, moved.touched
}

// writes are the reservations to insert, tombstones among them, and those to update; by order and line.
func (b *book) writes() (fresh, changed []*holdRow) {
	for _, id := range slices.Sorted(maps.Keys(b.orders)) {
		o := b.orders[id]
		if o.buried {
			fresh = append(fresh, &holdRow{reservation: reservation{state: Released, expiresAt: b.now}, fc: b.fc, order: id})
		}
		for _, r := range o.rows {
			switch {
			case r.isNew:
				fresh = append(fresh, r)
			case r.changed:
				changed = append(changed, r)
			}
		}
	}
	for _, r := range b.runOut {
		if r.changed {
			changed = append(changed, r)
		}
	}
	return fresh, changed
}

// moves are rows of stock in which units have moved, as columns.
type moves struct {
	fcs, skus           []string
	available, reserved []int64
	touched             []string
}

func (m *moves) add(b *book) {
	for _, sku := range slices.Sorted(maps.Keys(b.stock)) {
		s := b.stock[sku]
		if s.available != s.availableBefore || s.reserved != s.reservedBefore {
			m.fcs, m.skus = append(m.fcs, b.fc), append(m.skus, sku)
			m.available, m.reserved = append(m.available, s.available), append(m.reserved, s.reserved)
		}
		if level(s.available) != level(s.availableBefore) {
			m.touched = append(m.touched, sku)
		}
	}
}

// shipments for the ledger, as columns.
type shipments struct {
	fcs, orders, skus []string
	deltas            []int64
}

func (c *shipments) add(b *book) {
	for _, s := range b.shipped {
		c.fcs, c.orders, c.skus, c.deltas = append(c.fcs, b.fc), append(c.orders, s.order), append(c.skus, s.sku), append(c.deltas, -s.units)
	}
}

// holdColumns of reservations.
type holdColumns struct {
	fcs, orders, skus, states []string
	lines                     []int32
	quantities                []int64
	expiries                  []time.Time
}

func columnsOf(rows []*holdRow) holdColumns {
	var c holdColumns
	for _, r := range rows {
		c.fcs, c.orders, c.skus, c.states = append(c.fcs, r.fc), append(c.orders, r.order), append(c.skus, r.sku), append(c.states, string(r.state))
		c.lines, c.quantities, c.expiries = append(c.lines, r.number), append(c.quantities, r.quantity), append(c.expiries, r.expiresAt)
	}
	return c
}
