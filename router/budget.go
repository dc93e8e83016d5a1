package router

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/cellar-commerce/cellar/internal/clock"
)

const (
	// retryPercent of the requests may be sent once more after a failure, so that a region in trouble is not asked twice
	// as much; hedgePercent of them because an answer is slow.
	retryPercent, hedgePercent = 20, 5
	// budgetWindow over which the percentage is kept, and budgetFloor that may be spent in any case: a quiet router must
	// be able to pass over a dead cell too.
	budgetWindow = 10 * time.Second
	budgetFloor  = 20
)

// budget of requests beyond those that shoppers have sent.
type budget struct {
	percent int64
	clock   clock.Clock

	mu    sync.Mutex
	begun time.Time
	base  int64 // requests before the window
	spent int64
}

// spend one more, of so many requests since the router's start. False when the window's are spent.
func (b *budget) spend(requests int64) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if now := b.clock.Now(); now.Sub(b.begun) >= budgetWindow {
		b.begun, b.base, b.spent = now, requests, 0
	}
	if b.spent >= budgetFloor+(requests-b.base)*b.percent/100 {
		return false
	}
	b.spent++
	return true
}

const (
	// leastDelay and mostDelay bound the guess: cells that answer in a blink need no second question, and after this long
	// somebody ought to be asked.
	leastDelay = 5 * time.Millisecond
	mostDelay  = watchAfter
)

// delay within which 95 of 100 answers come, found by stepping: up by nineteen parts when one comes later, down by one
// when it comes earlier. Steps that meet are lost, and do not matter.
type delay struct{ guess atomic.Int64 }

func (d *delay) get() time.Duration {
	if guess := time.Duration(d.guess.Load()); guess > 0 {
		return guess
	}
	return mostDelay // nothing is known yet
}

func (d *delay) saw(took time.Duration) {
	guess := d.get()
	step := guess / 512
	if took > guess {
		guess += 19 * step
	} else {
		guess -= step
	}
	d.guess.Store(int64(min(max(guess, leastDelay), mostDelay)))
}
