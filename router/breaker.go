package router

import (
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

// breaker ejects one cell. Failures are of the connection only: what a cell answers, it answers.
type breaker struct {
	two *gobreaker.TwoStepCircuitBreaker[struct{}]
}

func newBreaker(cell string, notify func(cell, state string)) *breaker {
	return &breaker{gobreaker.NewTwoStepCircuitBreaker[struct{}](gobreaker.Settings{
		Name: cell, Timeout: returnAfter,
		ReadyToTrip:   func(c gobreaker.Counts) bool { return c.ConsecutiveFailures >= ejectAfter },
		OnStateChange: func(name string, _, to gobreaker.State) { notify(name, to.String()) },
	})}
}

// allow a request; done must be told how it went. False while the cell is ejected.
func (b *breaker) allow() (done func(err error), ok bool) {
	done, err := b.two.Allow()
	return done, err == nil
}

func (b *breaker) open() bool { return b.two.State() == gobreaker.StateOpen }
