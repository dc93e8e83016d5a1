package inventory

import (
	"slices"
	"time"

	"github.com/cellar-commerce/cellar/internal/problem"
)

// book is what a batch of commands works on: the rows of one FC that they concern, read under lock. Commands change it
// in memory, one after the other in the order in which they came; then what has changed is written at once. Nothing here
// does I/O, so that the rules can be read, and tested, by themselves.
type book struct {
	fc     string
	now    time.Time
	stock  map[string]*stockRow
	orders map[string]*orderRows
	// runOut are holds of other orders that have run out, oldest first; loaded when a command finds too little.
	runOut []*holdRow
	// short are the products of which a command found too little while runOut was not loaded.
	short map[string]bool
	// swept tells that runOut is loaded.
	swept   bool
	shipped []shipment
}

// stockRow is one product's row. Before are the counts as they were read.
type stockRow struct {
	available, reserved             int64
	availableBefore, reservedBefore int64
}

// orderRows is one order's reservations at the FC.
type orderRows struct {
	tombstone bool
	buried    bool // the tombstone is new
	rows      []*holdRow
}

// holdRow is one reservation; order is set, because run-out holds of many orders stand side by side.
type holdRow struct {
	reservation
	fc      string
	order   string
	isNew   bool // to be inserted
	changed bool // to be updated
}

// shipment is units that have left, for the ledger.
type shipment struct {
	order, sku string
	units      int64
}

func newBook(fc string, now time.Time) *book {
	return &book{fc: fc, now: now, stock: map[string]*stockRow{}, orders: map[string]*orderRows{}, short: map[string]bool{}}
}

func (b *book) order(id string) *orderRows {
	if b.orders[id] == nil {
		b.orders[id] = &orderRows{}
	}
	return b.orders[id]
}

// errNeedsStock asks for the batch to be begun again with these products locked too.
type errNeedsStock struct{ spots []spot }

func (errNeedsStock) Error() string { return "rows have appeared whose stock is not locked" }

// ranOut tells whether a hold is held no more, although its row says so.
func (r *holdRow) ranOut(now time.Time) bool { return r.state == Held && !r.expiresAt.After(now) }

func (r *holdRow) become(s State) {
	r.state = s
	r.changed = !r.isNew
}

func released() error {
	return problem.New(problem.Precondition, reasonHoldReleased, "the order has given its stock here back")
}

func ranOut() error {
	return problem.New(problem.Precondition, reasonHoldExpired, "the hold has run out")
}

// demand is what a reserve asks for.
type demand struct {
	lines   []line // by number
	until   time.Time
	partial bool
}

// grant is what a reserve holds.
type grant struct {
	lines []line
	until time.Time
}

// reserve all lines, or none; or of each what can be had. A repeated reserve gets the answer of the first.
func (b *book) reserve(order string, d demand) (grant, error) {
	o := b.order(order)
	if o.tombstone {
		return grant{}, released()
	}
	if len(o.rows) > 0 {
		if known, g, err := b.heldAlready(o, d); known || err != nil {
			return g, err
		}
		d.partial = false // the rows are there, each with its quantity
	}
	lines, err := b.available(d)
	if err != nil {
		return grant{}, err
	}
	skus, wanted := bySKU(lines)
	for i, sku := range skus {
		b.stock[sku].available -= wanted[i]
		b.stock[sku].reserved += wanted[i]
	}
	for i, l := range lines {
		if i < len(o.rows) { // expired and swept: the same lines are held anew
			r := o.rows[i]
			r.expiresAt = d.until
			r.become(Held)
			continue
		}
		o.rows = append(o.rows, &holdRow{reservation: reservation{line: l, state: Held, expiresAt: d.until}, fc: b.fc, order: order, isNew: true})
	}
	return grant{lines, d.until}, nil
}

// available are the lines that a reserve gets.
func (b *book) available(d demand) ([]line, error) {
	skus, wanted := bySKU(d.lines)
	short := b.enough(skus, wanted)
	if short == nil || !d.partial {
		return d.lines, short
	}
	if b.swept {
		b.expire(b.overdue(skus))
	}
	left := map[string]int64{}
	for _, sku := range skus {
		if row := b.stock[sku]; row != nil {
			left[sku] = row.available
		}
	}
	var granted []line
	for _, l := range d.lines {
		if l.quantity = min(l.quantity, left[l.sku]); l.quantity > 0 {
			left[l.sku] -= l.quantity
			granted = append(granted, l)
		}
	}
	if len(granted) == 0 {
		return nil, short
	}
	return granted, nil
}

// heldAlready finds the answer of a reserve that is repeated.
func (b *book) heldAlready(o *orderRows, d demand) (known bool, g grant, err error) {
	expired, swept := 0, 0
	for _, r := range o.rows {
		if r.state == Released {
			return false, g, released()
		}
		if r.state == Expired {
			swept++
		}
		if r.state == Expired || r.ranOut(b.now) {
			expired++
		}
	}
	same := slices.EqualFunc(o.rows, d.lines, func(r *holdRow, l line) bool { return r.line == l })
	switch {
	case !same && (!d.partial || !partOf(o.rows, d.lines)):
		return false, g, problem.New(problem.Precondition, "RESERVATION_MISMATCH", "the order has reserved other lines here")
	case expired == 0:
		return true, grant{linesOf(o.rows), o.rows[0].expiresAt}, nil
	case same && swept == len(o.rows):
		return false, g, nil
	default:
		// Not all lines are swept yet (a shortage of one product sweeps only that): the others' units are still in
		// reserved. Or only a part was held, and what is there now may be more or less.
		return false, g, ranOut()
	}
}

// partOf tells whether rows hold a part of some lines.
func partOf(rows []*holdRow, lines []line) bool {
	wanted := map[int32]line{}
	for _, l := range lines {
		wanted[l.number] = l
	}
	return !slices.ContainsFunc(rows, func(r *holdRow) bool {
		l := wanted[r.number]
		return r.sku != l.sku || r.quantity > l.quantity
	})
}

func linesOf(rows []*holdRow) []line {
	lines := make([]line, len(rows))
	for i, r := range rows {
		lines[i] = r.line
	}
	return lines
}

// enough refuses unless what is wanted lies there. Holds that have run out give theirs back when that is needed, and
// when it is enough.
func (b *book) enough(skus []string, wanted []int64) error {
	have := make(map[string]int64, len(skus))
	for _, sku := range skus {
		if row := b.stock[sku]; row != nil {
			have[sku] = row.available
		}
	}
	short := shortages(skus, wanted, have)
	if short == nil {
		return nil
	}
	if !b.swept {
		for _, sku := range skus {
			b.short[sku] = true
		}
		return short
	}
	overdue := b.overdue(skus)
	for _, r := range overdue {
		have[r.sku] += r.quantity
	}
	if short = shortages(skus, wanted, have); short == nil {
		b.expire(overdue)
	}
	return short
}

// overdue holds of some products: those that have run out and are in nobody's way.
func (b *book) overdue(skus []string) []*holdRow {
	var all []*holdRow
	look := func(rows []*holdRow) {
		for _, r := range rows {
			if r.ranOut(b.now) && slices.Contains(skus, r.sku) && b.stock[r.sku] != nil {
				all = append(all, r)
			}
		}
	}
	look(b.runOut)
	for _, o := range b.orders {
		look(o.rows)
	}
	return all
}

// expire holds, and give their units back.
func (b *book) expire(holds []*holdRow) {
	for _, r := range holds {
		r.become(Expired)
		b.stock[r.sku].available += r.quantity
		b.stock[r.sku].reserved -= r.quantity
	}
}

// holdings of an order that are good for a command that needs them.
func (b *book) holdings(order string) ([]*holdRow, error) {
	o := b.order(order)
	switch {
	case o.tombstone:
		return nil, released()
	case len(o.rows) == 0:
		return nil, problem.New(problem.Precondition, reasonUnknownHold, "the order holds nothing here")
	}
	for _, r := range o.rows {
		if r.state == Expired || r.ranOut(b.now) {
			return nil, ranOut()
		}
		if r.state == Released {
			return nil, released()
		}
	}
	return o.rows, nil
}

func (b *book) extend(order string, until time.Time) error {
	rows, err := b.holdings(order)
	if err != nil {
		return err
	}
	for _, r := range rows {
		if r.state == Held && r.expiresAt.Before(until) {
			r.expiresAt = until
			r.become(Held)
		}
	}
	return nil
}

func (b *book) commit(order string) error {
	rows, err := b.holdings(order)
	if err != nil {
		return err
	}
	for _, r := range rows {
		if r.state == Held {
			r.become(Committed)
		}
	}
	return nil
}

// release gives back what is held or sold, and leaves the tombstone.
func (b *book) release(order string) (units int64, err error) {
	o := b.order(order)
	for _, r := range o.rows {
		if r.state == Shipped {
			return 0, problem.New(problem.Precondition, reasonAlreadyShipped, "the order's stock here has been shipped")
		}
	}
	if err := b.locked(o.rows); err != nil {
		return 0, err
	}
	for _, r := range o.rows {
		if r.holding() {
			r.become(Released)
			b.stock[r.sku].available += r.quantity
			b.stock[r.sku].reserved -= r.quantity
			units += r.quantity
		}
	}
	if !o.tombstone {
		o.tombstone, o.buried = true, true
	}
	return units, nil
}

// ship takes what is sold off the books.
func (b *book) ship(order string) (units int64, err error) {
	rows, err := b.holdings(order)
	if err != nil || rows[0].state == Shipped {
		return 0, err
	}
	if slices.ContainsFunc(rows, func(r *holdRow) bool { return r.state != Committed }) {
		return 0, problem.New(problem.Precondition, "NOT_COMMITTED", "only sold stock is shipped")
	}
	if err := b.locked(rows); err != nil {
		return 0, err
	}
	lines := make([]line, 0, len(rows))
	for _, r := range rows {
		r.become(Shipped)
		lines = append(lines, r.line)
	}
	skus, sums := bySKU(lines)
	for i, sku := range skus {
		b.stock[sku].reserved -= sums[i]
		b.shipped = append(b.shipped, shipment{order: order, sku: sku, units: sums[i]})
		units += sums[i]
	}
	return units, nil
}

// locked makes sure that the stock of all these rows was read under lock.
func (b *book) locked(rows []*holdRow) error {
	var missing []spot
	for _, r := range rows {
		if r.holding() && b.stock[r.sku] == nil {
			missing = append(missing, spot{b.fc, r.sku})
		}
	}
	if len(missing) > 0 {
		return errNeedsStock{missing}
	}
	return nil
}
