package router

import (
	"errors"
	"sync/atomic"
	"time"

	"github.com/sony/gobreaker/v2"
)

const (
	// ejectAfter failures in a row: with many requests a second a dead cell is ejected in milliseconds, and one lost
	// connection ejects nobody.
	ejectAfter = 5
	// returnAfter is how long an ejected cell rests before one request tries it.
	returnAfter = 500 * time.Millisecond
)

// breaker ejects one cell. Failures are of the connection only: what a cell answers, it answers. A cell that drains
// says so to the health check.
type breaker struct {
	two *gobreaker.TwoStepCircuitBreaker[struct{}]
	now func() time.Time
	// since when the cell has been ejected, tries in between included; nil while it is not.
	since atomic.Pointer[time.Time]
	// troubled from the first failure until the next success: before that there is nothing to count, and nobody is kept.
	troubled atomic.Bool
}

func newBreaker(cell string, now func() time.Time, notify func(cell, state string)) *breaker {
	b := &breaker{now: now}
	b.two = gobreaker.NewTwoStepCircuitBreaker[struct{}](gobreaker.Settings{
		Name: cell, Timeout: returnAfter,
		ReadyToTrip: func(c gobreaker.Counts) bool { return c.ConsecutiveFailures >= ejectAfter },
		// A client that goes away says nothing about the cell, neither good nor bad.
		IsExcluded: func(err error) bool { return errors.Is(err, errGone) },
		OnStateChange: func(name string, from, to gobreaker.State) {
			switch {
			case to == gobreaker.StateClosed:
				b.since.Store(nil)
			case from == gobreaker.StateClosed:
				at := now()
				b.since.Store(&at)
			}
			notify(name, to.String())
		},
	})
	return b
}

// allow a request; ended must be told how it went, with done. False while the cell is ejected.
func (b *breaker) allow() (done func(err error), ok bool) {
	if !b.troubled.Load() {
		return nil, true
	}
	done, err := b.two.Allow()
	return done, err == nil
}

// ended tells how an allowed request went.
func (b *breaker) ended(done func(err error), err error) {
	if done == nil {
		if err == nil && !b.troubled.Load() {
			return
		}
		var refused error
		if done, refused = b.two.Allow(); refused != nil {
			return // others have ejected it meanwhile
		}
	}
	if err != nil && !errors.Is(err, errGone) {
		b.troubled.Store(true)
	}
	done(err)
	if err == nil && b.two.State() == gobreaker.StateClosed {
		b.troubled.Store(false)
	}
}

// open tells whether the cell is ejected, and not even to be tried.
func (b *breaker) open() bool { return b.troubled.Load() && b.two.State() == gobreaker.StateOpen }

// away is for how long the cell has been ejected; 0 while it is not.
func (b *breaker) away() time.Duration {
	since := b.since.Load()
	if since == nil {
		return 0
	}
	return b.now().Sub(*since)
}
