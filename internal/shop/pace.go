package shop

import (
	"context"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/cellar-commerce/cellar/internal/clock"
)

// Pace of a play in which orders come at a rate, whether or not those before them are done.
type Pace struct {
	// Rate that was asked for, in orders a second.
	Rate float64 `json:"rate"`
	// Late counts orders that were begun more than lateAfter after they were due: no shopper was free for them then.
	Late int `json:"late"`
	// P99 and Max of how long after they were due orders were begun, in milliseconds.
	P99 float64 `json:"late_p99_ms"`
	Max float64 `json:"late_max_ms"`
}

// lateAfter is more than a timer needs to wake somebody up on a busy machine.
const lateAfter = 50 * time.Millisecond

// paceStream of the random numbers; shoppers have those from 0.
const paceStream = 1 << 32

// pace gives shoppers the times at which orders are due: a Poisson process, as of many people who do not know each other. The times
// do not depend on how fast orders are answered. Where nobody is free at one, the next who is begins at once, and it is timed
// from when it was due.
type pace struct {
	clock clock.Clock
	rate  float64 // orders a second

	mu     sync.Mutex
	random *rand.Rand
	last   time.Time // that was given away
	late   []time.Duration
}

func newPace(c clock.Clock, rate float64, seed uint64) *pace {
	return &pace{clock: c, rate: rate, random: rand.New(rand.NewPCG(seed, paceStream)), last: c.Now()}
}

// due gives the caller the next order's time, for it alone.
func (p *pace) due() time.Time {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.last = p.last.Add(time.Duration(p.random.ExpFloat64() / p.rate * float64(time.Second)))
	return p.last
}

// await the next order's time, which may have passed already; false when ctx ends first.
func (p *pace) await(ctx context.Context) (due time.Time, ok bool) {
	due = p.due()
	if err := p.clock.Sleep(ctx, due.Sub(p.clock.Now())); err != nil || ctx.Err() != nil {
		return due, false
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.late = append(p.late, max(0, p.clock.Now().Sub(due)))
	return due, true
}

// report of all orders so far.
func (p *pace) report() *Pace {
	p.mu.Lock()
	defer p.mu.Unlock()
	r := &Pace{Rate: p.rate}
	slices.Sort(p.late)
	for _, by := range p.late {
		if by > lateAfter {
			r.Late++
		}
	}
	if len(p.late) > 0 {
		r.P99, r.Max = quantile(p.late, .99), ms(p.late[len(p.late)-1])
	}
	return r
}

// until gives a context that ends when stop is closed.
func until(ctx context.Context, stop <-chan struct{}) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	go func() {
		select {
		case <-stop: // never, of a nil channel
			cancel()
		case <-ctx.Done():
		}
	}()
	return ctx, cancel
}
