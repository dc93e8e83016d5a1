package inventory

import (
	"fmt"
	"slices"
	"strings"

	"github.com/anishathalye/porcupine"
)

// Sizes of one centre's history. Fewer orders would be told apart less often, more would make each state larger.
const (
	linearSKUs   = 2
	linearOrders = 40
)

// stage of an order at a centre, as its callers know it.
type stage uint8

const (
	unborn stage = iota
	holding
	sold
	gone
	lapsed // surely swept, and nothing held since
	buried // released: nothing is held for it ever again
)

// hold of one order.
type hold struct {
	stage stage
	until int16             // minute
	units [linearSKUs]int16 // by product
}

// shelf is one centre's state: comparable, so that states are found again fast.
//
// A hold that has run out may be swept or not, and who sees it decides by a clock that went on since. The model does not
// guess: units of such a hold are loose. They may be taken by others, and then free is below zero by as many; what must
// never come about is a state in which more has been taken than was loose.
type shelf struct {
	free      [linearSKUs]int16
	latest    int16 // minute that somebody has surely seen
	delivered uint32
	orders    [linearOrders]hold
}

// loose units of a product by a minute.
func (s *shelf) loose(sku int, minute int16) (n int16) {
	for i := range s.orders {
		if o := &s.orders[i]; o.stage == holding && o.until <= minute {
			n += o.units[sku]
		}
	}
	return n
}

// sound tells whether nothing was taken that was not there.
func (s *shelf) sound() bool {
	for sku := range linearSKUs {
		if s.free[sku] < 0 && s.free[sku]+s.loose(sku, s.latest) < 0 {
			return false
		}
	}
	return true
}

// call of one client, and when: the clock was at from when it was made, and at to when it was answered.
type call struct {
	kind     string
	order    int
	wanted   [linearSKUs]int16
	partial  bool
	until    int16
	delivery int
	from, to int16
}

// reply of the service.
type reply struct {
	reason string
	until  int16
	units  [linearSKUs]int16 // held; or listed; units[0] is what a release or a shipment moved
	twin   bool
}

func linearModel() porcupine.Model {
	return porcupine.Model{
		Init: func() any { return shelf{} },
		Step: func(state, input, output any) (bool, any) {
			s, c, r := state.(shelf), input.(call), output.(reply)
			s.latest = max(s.latest, c.to)
			ok := s.step(c, r) && s.sound()
			return ok, s
		},
		Equal: func(a, b any) bool { return a == b },
		DescribeOperation: func(input, output any) string {
			return fmt.Sprintf("%+v -> %+v", input, output)
		},
	}
}

// step tells whether a reply is right, and makes its effect.
func (s *shelf) step(c call, r reply) bool {
	o := &s.orders[c.order]
	switch c.kind {
	case "restock":
		return s.restock(c, r)
	case "list":
		return s.list(c, r)
	case "reserve":
		return s.reserve(o, c, r)
	case "release":
		return s.release(o, r)
	}
	// The others need a hold that is good.
	switch {
	case o.stage == buried:
		return r.reason == reasonHoldReleased
	case o.stage == unborn:
		return r.reason == reasonUnknownHold
	case o.stage == lapsed:
		return r.reason == reasonHoldExpired
	case o.stage == holding && r.reason == reasonHoldExpired:
		return o.until <= s.latest
	case o.stage == holding && o.until <= c.from:
		return false
	}
	switch c.kind {
	case "extend":
		if o.stage == holding {
			o.until = max(o.until, c.until)
		}
		return r.reason == "ok"
	case "commit":
		if o.stage == holding {
			o.stage = sold
		}
		return r.reason == "ok"
	default: // ship
		if o.stage == holding {
			return r.reason == "NOT_COMMITTED"
		}
		moved := int16(0)
		if o.stage == sold {
			moved, o.stage = o.sum(), gone
		}
		return r.reason == "ok" && r.units[0] == moved
	}
}

func (o *hold) sum() (n int16) {
	for _, u := range o.units {
		n += u
	}
	return n
}

func (s *shelf) restock(c call, r reply) bool {
	seen := s.delivered&(1<<c.delivery) != 0
	if !seen {
		s.delivered |= 1 << c.delivery
		for sku, n := range c.wanted {
			s.free[sku] += n
		}
	}
	return r.reason == "ok" && r.twin == seen
}

func (s *shelf) list(c call, r reply) bool {
	for sku := range linearSKUs {
		least, most := s.free[sku]+s.loose(sku, c.from), s.free[sku]+s.loose(sku, s.latest)
		if r.units[sku] < max(least, 0) || r.units[sku] > most {
			return false
		}
	}
	return r.reason == "ok"
}

func (s *shelf) reserve(o *hold, c call, r reply) bool {
	expired := o.stage == holding && o.until <= s.latest
	switch {
	case o.stage == buried:
		return r.reason == reasonHoldReleased
	case o.stage != unborn && o.stage != lapsed && r.reason == "ok" && r.until == o.until && r.units == o.units && (o.stage != holding || o.until > c.from):
		return true // as it was
	case o.stage == holding && expired && r.reason == reasonHoldExpired:
		return true
	case o.stage == unborn || o.stage == lapsed || expired:
	default:
		return false
	}
	if o.stage == holding { // it is swept
		for sku := range linearSKUs {
			s.free[sku] += o.units[sku]
		}
		*o = hold{stage: lapsed}
	}
	c.partial = c.partial && o.stage == unborn
	return s.take(o, c, r)
}

// take units for an order that holds nothing.
func (s *shelf) take(o *hold, c call, r reply) bool {
	short, none := false, true // for sure not; maybe
	for sku := range linearSKUs {
		sure := max(s.free[sku], 0)
		short = short || sure < c.wanted[sku]
		none = none && (c.wanted[sku] == 0 || sure == 0)
	}
	if r.reason == reasonOutOfStock {
		return short && (none || !c.partial)
	}
	if r.reason != "ok" || r.until != c.until || (r.units != c.wanted && !c.partial) {
		return false
	}
	for sku, n := range r.units {
		if n < min(c.wanted[sku], max(s.free[sku], 0)) || n > c.wanted[sku] {
			return false
		}
		s.free[sku] -= n
	}
	o.stage, o.until, o.units = holding, c.until, r.units
	return o.sum() > 0
}

func (s *shelf) release(o *hold, r reply) bool {
	if o.stage == gone {
		return r.reason == reasonAlreadyShipped
	}
	could := []int16{0}
	if o.stage == sold || o.stage == holding {
		could = []int16{o.sum()}
		if o.stage == holding && o.until <= s.latest { // each of its lines may have been swept
			could = append(could, 0, o.units[0], o.units[1])
		}
		for sku, n := range o.units {
			s.free[sku] += n
		}
	}
	*o = hold{stage: buried}
	return r.reason == "ok" && slices.Contains(could, r.units[0])
}

// String shows what holds something.
func (s shelf) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "minute %d, free %v", s.latest, s.free)
	for sku := range linearSKUs {
		fmt.Fprintf(&b, ", loose %d", s.loose(sku, s.latest))
	}
	for i, o := range s.orders {
		if o.stage == holding {
			fmt.Fprintf(&b, "; order %d holds %v until %d", i, o.units, o.until)
		}
	}
	return b.String()
}
