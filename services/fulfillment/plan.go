package fulfillment

import (
	"cmp"
	"math"
	"slices"

	problemv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/problem/v1"
	"github.com/cellar-commerce/cellar/internal/geo"
	"github.com/cellar-commerce/cellar/internal/problem"
)

// Center is a fulfilment centre.
type Center struct {
	ID          string
	Region      string
	Name        string
	City        string
	CountryCode string
	At          geo.Point
	// Ordinal is its place in sets of FCs; nil until OpenCenters has given it one.
	Ordinal *int16
}

// Want is one line to be sent.
type Want struct {
	Line     int32
	SKU      string
	Quantity int64
}

// Task is an order that is to be shared out among FCs. Products are numbered as they come; lines of one are summed.
type Task struct {
	wants  []Want
	skus   []string
	need   []int64 // units wanted of each product
	of     []int   // product of each want
	offers []offer
	stock  []int64 // of each offer, by product: one row after the other
}

// offer is one FC that could send something.
type offer struct {
	center *Center
	leg    *Leg
}

// NewTask without offers; room is for how many there will be.
func NewTask(wants []Want, room int) *Task {
	t := &Task{wants: wants, of: make([]int, len(wants)), skus: skusOf(wants)}
	t.need = make([]int64, len(t.skus))
	for i, w := range wants {
		t.of[i] = slices.Index(t.skus, w.SKU)
		t.need[t.of[i]] += w.Quantity
	}
	t.offers, t.stock = make([]offer, 0, room), make([]int64, 0, room*len(t.skus))
	return t
}

// skusOf wants, each once: the number of a product is its place.
func skusOf(wants []Want) []string {
	skus := make([]string, 0, len(wants))
	for _, w := range wants {
		if !slices.Contains(skus, w.SKU) {
			skus = append(skus, w.SKU)
		}
	}
	return skus
}

// Offer of an FC. The caller fills in what it has of each product, before the next offer.
func (t *Task) Offer(c *Center, leg *Leg) (stock []int64) {
	t.offers = append(t.offers, offer{c, leg})
	begin := len(t.stock)
	t.stock = append(t.stock, make([]int64, len(t.skus))...) // no slice is made
	return t.stock[begin:]
}

func (t *Task) row(offer int) []int64 { return t.stock[offer*len(t.skus) : (offer+1)*len(t.skus)] }

// Parcel is what one FC is to send.
type Parcel struct {
	Center *Center
	Leg    Leg
	Lines  []Want

	offer int // which of the task's
}

func (p *Parcel) units() (units int64) {
	for _, l := range p.Lines {
		units += l.Quantity
	}
	return units
}

// Plan of an order.
type Plan struct {
	Parcels []Parcel
	// Proven tells that no plan is better.
	Proven bool
}

// Score of a plan: how many parcels, when the last of them comes (0 is today), and what they cost in US cents. Of two
// plans the one with fewer parcels is better, then the one that is complete earlier, then the cheaper.
func (p Plan) Score(speed Speed) (parcels, day int, cents int64) {
	for _, one := range p.Parcels {
		day, cents = max(day, one.Leg.Day), cents+cost(one.Leg.KM, speed, one.units()).Minor
	}
	return len(p.Parcels), day, cents
}

// Plan the best set of FCs (see cover), and who of them sends which line. What the sum of all stock allows is never
// refused: at worst a line comes in many parcels.
func (t *Task) Plan() (Plan, error) {
	if err := t.enough(); err != nil {
		return Plan{}, err
	}
	set, proven := cover(t)
	return Plan{Parcels: t.shareOut(set), Proven: proven}, nil
}

// enough refuses what all FCs together cannot send, and says how much there is.
func (t *Task) enough() error {
	var short []*problemv1.Shortage
	m := len(t.skus)
	for n, need := range t.need {
		var have int64
		for i := n; i < len(t.stock); i += m {
			have += min(t.stock[i], math.MaxInt32)
		}
		if have < need {
			short = append(short, &problemv1.Shortage{Sku: t.skus[n], Requested: need, Available: have})
		}
	}
	if len(short) == 0 {
		return nil
	}
	return problem.New(problem.Precondition, "OUT_OF_STOCK", "there is not enough in stock", &problemv1.OutOfStock{Shortages: short})
}

// piece of a line that is still to be given to somebody.
type piece struct {
	want     int // its number
	quantity int64
}

// member of the set that was chosen.
type member struct {
	offer int
	left  []int64 // what it can still send
	sends []piece
}

// shareOut the lines among the FCs of a set so that few are split: again and again, the FC that can send the most whole
// lines of what is missing, then the most units, the first in order among equals. Who sends what changes nothing about
// the score: each FC of a set sends something, and a unit costs the same from everywhere.
func (t *Task) shareOut(set []int) []Parcel {
	m := len(t.skus)
	rows := make([]int64, (len(set)+1)*m)
	scratch, members := rows[len(set)*m:], make([]member, len(set))
	for i, n := range set {
		members[i] = member{offer: n, left: rows[i*m : (i+1)*m]}
		copy(members[i].left, t.row(n))
	}
	missing := make([]piece, len(t.wants))
	for i, w := range t.wants {
		missing[i] = piece{i, w.Quantity}
	}
	for len(missing) > 0 {
		best, whole := t.choose(missing, members, scratch)
		missing = t.pack(best, missing, whole)
	}
	return t.parcels(members)
}

// choose who sends next, and tell whether it sends whole lines. One that sends already may be chosen again, for what is
// left of it: its parcel leaves anyway. There is enough, so somebody sends something.
func (t *Task) choose(missing []piece, members []member, scratch []int64) (best *member, whole bool) {
	bestLines, bestUnits := -1, int64(0)
	for i := range members {
		lines, units := t.coverage(missing, members[i].left, scratch)
		if units > 0 && (lines > bestLines || (lines == bestLines && units > bestUnits)) {
			best, bestLines, bestUnits = &members[i], lines, units
		}
	}
	return best, bestLines > 0
}

// coverage of an FC: how many whole lines, and how many units in all.
func (t *Task) coverage(missing []piece, stock, scratch []int64) (lines int, units int64) {
	copy(scratch, stock)
	for _, p := range missing {
		left := &scratch[t.of[p.want]]
		take := min(p.quantity, *left)
		*left -= take
		units += take
		if take == p.quantity {
			lines++
		}
	}
	return lines, units
}

// pack what an FC has of the missing lines, and give what is missing after that. An FC that can send whole lines sends
// only those for now: a part of a line comes from there only when nobody can send a whole one.
func (t *Task) pack(m *member, missing []piece, whole bool) (rest []piece) {
	rest = missing[:0]
	for _, p := range missing {
		left := &m.left[t.of[p.want]]
		take := min(p.quantity, *left)
		if take == 0 || (whole && take < p.quantity) {
			rest = append(rest, p)
			continue
		}
		*left -= take
		m.add(piece{p.want, take})
		if take < p.quantity {
			rest = append(rest, piece{p.want, p.quantity - take})
		}
	}
	return rest
}

// add to what an FC sends, each line once.
func (m *member) add(p piece) {
	for i := range m.sends {
		if m.sends[i].want == p.want {
			m.sends[i].quantity += p.quantity
			return
		}
	}
	m.sends = append(m.sends, p)
}

// parcels of the members, the one that comes first in front.
func (t *Task) parcels(members []member) []Parcel {
	all := make([]Parcel, 0, len(members))
	for _, m := range members {
		if len(m.sends) == 0 {
			continue
		}
		p := Parcel{Center: t.offers[m.offer].center, Leg: *t.offers[m.offer].leg, Lines: make([]Want, len(m.sends)), offer: m.offer}
		slices.SortFunc(m.sends, func(a, b piece) int { return cmp.Compare(a.want, b.want) })
		for i, s := range m.sends {
			w := t.wants[s.want]
			p.Lines[i] = Want{Line: w.Line, SKU: w.SKU, Quantity: s.quantity}
		}
		all = append(all, p)
	}
	return all
}
