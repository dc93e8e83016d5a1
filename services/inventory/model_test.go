package inventory

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// model is what one FC's rows should say, kept by the plainest code that can be thought of.
type model struct {
	stock    map[string]*modelStock
	orders   map[string]*modelOrder
	counted  map[string]bool // sources of the ledger, with their SKU
	sumDelta map[string]int64
}

type modelStock struct{ available, reserved int64 }

type modelOrder struct {
	released bool
	asked    []line
	lines    []modelLine
}

type modelLine struct {
	line
	state   State
	expires time.Time
}

func newModel() *model {
	return &model{stock: map[string]*modelStock{}, orders: map[string]*modelOrder{}, counted: map[string]bool{}, sumDelta: map[string]int64{}}
}

func (m *model) order(id string) *modelOrder {
	if m.orders[id] == nil {
		m.orders[id] = &modelOrder{}
	}
	return m.orders[id]
}

// count an entry of the ledger; false when its source was counted before.
func (m *model) count(source, sku string, delta int64) bool {
	if m.counted[source+"/"+sku] {
		return false
	}
	m.counted[source+"/"+sku] = true
	m.sumDelta[sku] += delta
	return true
}

func (m *model) restock(delivery string, lines map[string]int64) (already bool) {
	already = true
	for sku, n := range lines {
		if !m.count("restock/"+delivery, sku, n) {
			continue
		}
		already = false
		if m.stock[sku] == nil {
			m.stock[sku] = &modelStock{}
		}
		m.stock[sku].available += n
	}
	return already
}

// runOut tells whether a line is held no more, although its row says so.
func (l modelLine) runOut(now time.Time) bool { return l.state == Held && !l.expires.After(now) }

// free is what can be had of a product: what lies there, and what holds that have run out keep.
func (m *model) free(sku string, now time.Time) int64 {
	var n int64
	if m.stock[sku] != nil {
		n = m.stock[sku].available
	}
	for _, o := range m.orders {
		for _, l := range o.lines {
			if l.sku == sku && l.runOut(now) {
				n += l.quantity
			}
		}
	}
	return n
}

// expire what has run out of some products.
func (m *model) expire(now time.Time, skus ...string) {
	for _, o := range m.orders {
		for i, l := range o.lines {
			if slices.Contains(skus, l.sku) && l.runOut(now) {
				o.lines[i].state = Expired
				m.move(l.sku, -l.quantity)
			}
		}
	}
}

func (m *model) move(sku string, n int64) {
	m.stock[sku].available -= n
	m.stock[sku].reserved += n
}

// take makes sure that the shelf has what is wanted; run-out holds give theirs back only when it is needed.
func (m *model) take(now time.Time, wanted map[string]int64) string {
	var skus []string
	short := false
	for sku, n := range wanted {
		skus = append(skus, sku)
		if m.free(sku, now) < n {
			return reasonOutOfStock
		}
		short = short || m.stock[sku].available < n
	}
	if short {
		m.expire(now, skus...)
	}
	return "ok"
}

// reserve gives what it holds, and until when.
func (m *model) reserve(now time.Time, id string, d demand) (reason string, held grant) {
	o := m.order(id)
	if o.released {
		return reasonHoldReleased, grant{}
	}
	if len(o.lines) > 0 {
		same := slices.EqualFunc(o.lines, d.lines, func(a modelLine, b line) bool { return a.line == b })
		part := !slices.ContainsFunc(o.lines, func(a modelLine) bool {
			return !slices.ContainsFunc(d.lines, func(b line) bool { return a.number == b.number && a.sku == b.sku && a.quantity <= b.quantity })
		})
		gone := func(l modelLine) bool { return l.state == Expired || l.runOut(now) }
		switch {
		case !same && (!d.partial || !part):
			return "RESERVATION_MISMATCH", grant{}
		case !slices.ContainsFunc(o.lines, gone):
			return "ok", o.grant()
		case !same || slices.ContainsFunc(o.lines, func(l modelLine) bool { return l.state != Expired }):
			return reasonHoldExpired, grant{}
		}
		d.partial = false
	}
	wanted := map[string]int64{}
	for _, l := range d.lines {
		wanted[l.sku] += l.quantity
	}
	lines := d.lines
	if reason := m.take(now, wanted); reason != "ok" {
		if lines = m.whatIsLeft(now, d); len(lines) == 0 {
			return reason, grant{}
		}
	}
	o.asked, o.lines = d.lines, nil
	for _, l := range lines {
		o.lines = append(o.lines, modelLine{line: l, state: Held, expires: d.until})
		m.move(l.sku, l.quantity)
	}
	return "ok", o.grant()
}

// whatIsLeft of the lines when there is not enough: nothing, unless a part is asked for.
func (m *model) whatIsLeft(now time.Time, d demand) (part []line) {
	left := map[string]int64{}
	for _, l := range d.lines {
		left[l.sku] = m.free(l.sku, now)
	}
	for _, l := range d.lines {
		if l.quantity = min(l.quantity, left[l.sku]); d.partial && l.quantity > 0 {
			left[l.sku] -= l.quantity
			part = append(part, l)
		}
	}
	if len(part) > 0 {
		m.expire(now, slices.Collect(maps.Keys(left))...)
	}
	return part
}

func (o *modelOrder) grant() grant {
	g := grant{until: o.lines[0].expires}
	for _, l := range o.lines {
		g.lines = append(g.lines, l.line)
	}
	return g
}

// holds tells whether an order's holds are good for a command that needs them.
func (m *model) holds(now time.Time, id string) string {
	o := m.order(id)
	switch {
	case o.released:
		return reasonHoldReleased
	case len(o.lines) == 0:
		return reasonUnknownHold
	case slices.ContainsFunc(o.lines, func(l modelLine) bool { return l.state == Expired || l.runOut(now) }):
		return reasonHoldExpired
	}
	return "ok"
}

func (m *model) extend(now time.Time, id string, until time.Time) string {
	reason := m.holds(now, id)
	if reason != "ok" {
		return reason
	}
	for i, l := range m.order(id).lines {
		if l.state == Held && l.expires.Before(until) {
			m.order(id).lines[i].expires = until
		}
	}
	return "ok"
}

func (m *model) commit(now time.Time, id string) string {
	reason := m.holds(now, id)
	if reason != "ok" {
		return reason
	}
	for i, l := range m.order(id).lines {
		if l.state == Held {
			m.order(id).lines[i].state = Committed
		}
	}
	return "ok"
}

func (m *model) release(id string) (reason string, released int64) {
	o := m.order(id)
	for _, l := range o.lines {
		if l.state == Shipped {
			return reasonAlreadyShipped, 0
		}
	}
	o.released = true
	for i, l := range o.lines {
		if l.state == Held || l.state == Committed {
			o.lines[i].state = Released
			m.move(l.sku, -l.quantity)
			released += l.quantity
		}
	}
	return "ok", released
}

func (m *model) ship(now time.Time, id string) (reason string, shipped int64) {
	if reason := m.holds(now, id); reason != "ok" {
		return reason, 0
	}
	for i, l := range m.order(id).lines {
		switch l.state {
		case Held:
			return "NOT_COMMITTED", 0
		case Committed:
			m.order(id).lines[i].state = Shipped
			m.stock[l.sku].reserved -= l.quantity
			m.sumDelta[l.sku] -= l.quantity
			shipped += l.quantity
		}
	}
	return "ok", shipped
}

func (m *model) adjust(now time.Time, id, sku string, delta int64) (reason string, already bool) {
	if m.counted["adjust/"+id+"/"+sku] {
		return "ok", true
	}
	if delta < 0 {
		if reason := m.take(now, map[string]int64{sku: -delta}); reason != "ok" {
			return reason, false
		}
	}
	m.count("adjust/"+id, sku, delta)
	if m.stock[sku] == nil {
		m.stock[sku] = &modelStock{}
	}
	m.stock[sku].available += delta
	return "ok", false
}

// rows in the form of rowsOf.
func (m *model) rows() string {
	var out []string
	for sku, s := range m.stock {
		out = append(out, fmt.Sprintf("%s %d+%d", sku, s.available, s.reserved))
	}
	for id, o := range m.orders {
		if o.released {
			out = append(out, id+"/0 ×0 RELEASED ")
		}
		for _, l := range o.lines {
			out = append(out, fmt.Sprintf("%s/%d %s×%d %s %d", id, l.number, l.sku, l.quantity, l.state, l.expires.Unix()))
		}
	}
	slices.Sort(out)
	return strings.Join(out, "\n")
}
