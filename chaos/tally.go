package chaos

import (
	"cmp"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/cellar-commerce/cellar/internal/shop"
)

// Phases of a drill.
const (
	Before = "before"
	During = "during"
	After  = "after"
)

const (
	// tooLong is when an answer comes too late for a shopper, by the promise about checkouts.
	tooLong = 10 * time.Second
	// maxOrders that are looked at in the end; those beyond are counted. A busy machine places some hundred a second.
	maxOrders = 2000
	// maxNotes that a report has in words; all are counted.
	maxNotes = 12
)

// Phase is what shoppers met with in one phase; a call belongs to the phase in which it began.
type Phase struct {
	Name    string  `json:"name"`
	Seconds float64 `json:"seconds"`
	// Calls of all kinds, and those that had no answer, or had to wait for it more than ten seconds.
	Calls  int `json:"calls"`
	Failed int `json:"failed_calls"`
	// Checkouts are calls of Quote and PlaceOrder; a refusal for want of goods or money is an answer.
	Checkouts       int     `json:"checkouts"`
	FailedCheckouts int     `json:"failed_checkouts"`
	SuccessRate     float64 `json:"success_rate"`
	Placed          int     `json:"orders_placed"`
	// P99MS of PlaceOrder, from request to answer.
	P99MS float64 `json:"place_order_p99_ms"`
	// Parcels of the orders placed in this phase, those of them that centres of the cut region send, and of these those that
	// had to wait for its broker.
	Parcels int `json:"parcels"`
	There   int `json:"parcels_of_region"`
	Waited  int `json:"parcels_waited"`
	// Looked at orders of this phase, and those of them that a centre of the cut region sends a parcel of.
	Looked      int `json:"orders_looked_at"`
	OrdersThere int `json:"orders_of_region"`
}

// share of the orders that the cut region has a part in; 0 of none.
func (p Phase) share() float64 {
	if p.Looked == 0 {
		return 0
	}
	return float64(p.OrdersThere) / float64(p.Looked)
}

// phase under way.
type phase struct {
	Phase
	from, to time.Time
	places   []time.Duration
}

// placed order, and the phase it was placed in.
type placedOrder struct {
	shop.Placement
	phase string
}

// tally of what shoppers met with. All methods may be called at the same time.
type tally struct {
	mu     sync.Mutex
	all    []*phase
	now    *phase // nil outside of all
	orders []placedOrder
	more   int // orders that are not looked at
	notes  []string
}

func newTally() *tally { return &tally{} }

// enter a phase; an empty name is none.
func (t *tally) enter(name string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := time.Now()
	if t.now != nil {
		t.now.to = now
	}
	t.now = nil
	if name != "" {
		t.now = &phase{Phase: Phase{Name: name}, from: now}
		t.all = append(t.all, t.now)
	}
}

// at tells the phase in which something began; the last one also has what came after it.
func (t *tally) at(began time.Time) *phase {
	for _, p := range slices.Backward(t.all) {
		if !began.Before(p.from) {
			return p
		}
	}
	if len(t.all) > 0 {
		return t.all[0]
	}
	return nil
}

func (t *tally) call(c shop.Call) {
	t.mu.Lock()
	defer t.mu.Unlock()
	p := t.at(c.Began)
	if p == nil {
		return
	}
	failed := c.Failed() || c.Took > tooLong
	p.Calls++
	if failed {
		p.Failed++
		if len(t.notes) < maxNotes {
			t.notes = append(t.notes, fmt.Sprintf("%s, %s of %s after %s: %v", p.Name, c.Name, cmp.Or(string(c.Customer), "a new visitor"), c.Took.Round(time.Millisecond), c.Err))
		}
	}
	if c.Name != "Quote" && c.Name != "PlaceOrder" {
		return
	}
	p.Checkouts++
	if failed {
		p.FailedCheckouts++
	}
	if c.Name == "PlaceOrder" && c.Err == nil {
		p.places = append(p.places, c.Took)
	}
}

func (t *tally) placed(o shop.Placement) {
	t.mu.Lock()
	defer t.mu.Unlock()
	p := t.at(o.At.Add(-o.Took))
	if p == nil {
		return
	}
	p.Placed++
	if len(t.orders) == maxOrders {
		t.more++
		return
	}
	t.orders = append(t.orders, placedOrder{o, p.Name})
}

// phases in their order, summed up.
func (t *tally) phases() (all []Phase) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, p := range t.all {
		sum := p.Phase
		sum.Seconds = p.to.Sub(p.from).Seconds()
		sum.SuccessRate = 1
		if sum.Checkouts > 0 {
			sum.SuccessRate = 1 - float64(sum.FailedCheckouts)/float64(sum.Checkouts)
		}
		slices.Sort(p.places)
		sum.P99MS = p99(p.places)
		all = append(all, sum)
	}
	return all
}

// p99 of sorted times by the nearest rank, in milliseconds; 0 of none.
func p99(sorted []time.Duration) float64 {
	if len(sorted) == 0 {
		return 0
	}
	return float64(sorted[(len(sorted)*99+99)/100-1].Microseconds()) / 1000
}
