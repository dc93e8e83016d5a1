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

// want is one line to be sent.
type want struct {
	line     int32
	sku      string
	quantity int64
}

// offer is one FC that could send something.
type offer struct {
	center   Center
	distance float64          // km to the destination
	stock    map[string]int64 // units by SKU
}

// parcel is what one FC is to send.
type parcel struct {
	center   Center
	distance float64
	lines    []want
}

// plan chooses parcels for all wants: the fewest, and of those the shortest way in sum (cover). Among the FCs chosen the
// lines are shared out so that few are split: again and again, the FC that can send the most whole lines of what is
// missing, then the most units, the nearest among equals. What the sum of all stock allows is never refused: at worst a
// line comes in many parcels.
func plan(wants []want, offers []offer) ([]parcel, error) {
	slices.SortFunc(offers, func(a, b offer) int {
		return cmp.Or(cmp.Compare(a.distance, b.distance), cmp.Compare(a.center.ID, b.center.ID))
	})
	if err := enough(wants, offers); err != nil {
		return nil, err
	}
	set, _ := cover(wants, offers)
	slices.Sort(set)
	members := make([]offer, len(set))
	for i, n := range set {
		members[i] = offers[n]
	}
	offers = members
	left := make([]map[string]int64, len(offers)) // what each FC could still send
	for i := range offers {
		left[i] = stockOf(wants, offers[i].stock)
	}
	missing := slices.Clone(wants)
	chosen := map[int]*parcel{}
	var order []int
	for len(missing) > 0 {
		best := choose(missing, left)
		p := chosen[best]
		if p == nil {
			p = &parcel{center: offers[best].center, distance: offers[best].distance}
			chosen[best], order = p, append(order, best)
		}
		missing = pack(p, missing, left[best])
	}
	parcels := make([]parcel, 0, len(order))
	for _, i := range order {
		parcels = append(parcels, *chosen[i])
	}
	return parcels, nil
}

// choose the FC that sends the most whole lines of what is missing, then the most units, then the nearest (FCs are sorted
// by distance). One that sends already may be chosen again, for what is left of it: its parcel leaves anyway. enough has
// made sure that some FC sends something.
func choose(missing []want, left []map[string]int64) int {
	best, bestLines, bestUnits := -1, -1, int64(0)
	for i := range left {
		lines, units := coverage(missing, left[i])
		better := lines > bestLines
		if lines == 0 && bestLines <= 0 {
			better = units > bestUnits // nobody sends a whole line so far: then whoever sends most
		}
		if units > 0 && better {
			best, bestLines, bestUnits = i, lines, units
		}
	}
	return best
}

// coverage of an FC: how many whole lines, and how many units in all.
func coverage(missing []want, stock map[string]int64) (lines int, units int64) {
	left := stockOf(missing, stock)
	for _, w := range missing {
		take := min(w.quantity, left[w.sku])
		left[w.sku] -= take
		units += take
		if take == w.quantity {
			lines++
		}
	}
	return lines, units
}

// stockOf copies what of an FC's stock matters here.
func stockOf(missing []want, stock map[string]int64) map[string]int64 {
	left := make(map[string]int64, len(missing))
	for _, w := range missing {
		left[w.sku] = stock[w.sku]
	}
	return left
}

// pack takes from an FC's stock what it has of the missing lines, and gives what is missing after that. An FC that can
// send whole lines sends only those for now: a part of a line comes from there only when nobody can send a whole one.
func pack(p *parcel, missing []want, left map[string]int64) (rest []want) {
	whole, _ := coverage(missing, left)
	for _, w := range missing {
		take := min(w.quantity, left[w.sku])
		if take == 0 || (whole > 0 && take < w.quantity) {
			rest = append(rest, w)
			continue
		}
		left[w.sku] -= take
		p.add(want{line: w.line, sku: w.sku, quantity: take})
		if take < w.quantity {
			rest = append(rest, want{line: w.line, sku: w.sku, quantity: w.quantity - take})
		}
	}
	return rest
}

// add to the parcel, each line once.
func (p *parcel) add(w want) {
	for i := range p.lines {
		if p.lines[i].line == w.line {
			p.lines[i].quantity += w.quantity
			return
		}
	}
	p.lines = append(p.lines, w)
}

// enough refuses what all FCs together cannot send, and says how much there is.
func enough(wants []want, offers []offer) error {
	wanted := map[string]int64{}
	for _, w := range wants {
		wanted[w.sku] += w.quantity
	}
	var short []*problemv1.Shortage
	for _, w := range wants {
		n, ok := wanted[w.sku]
		if !ok {
			continue // counted with an earlier line
		}
		delete(wanted, w.sku)
		var have int64
		for _, o := range offers {
			have += min(o.stock[w.sku], math.MaxInt32)
		}
		if have < n {
			short = append(short, &problemv1.Shortage{Sku: w.sku, Requested: n, Available: have})
		}
	}
	if len(short) == 0 {
		return nil
	}
	return problem.New(problem.Precondition, "OUT_OF_STOCK", "there is not enough in stock", &problemv1.OutOfStock{Shortages: short})
}
