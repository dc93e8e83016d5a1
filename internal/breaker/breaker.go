// Package breaker keeps callers away from a region, or a third party, that does not answer; the only importer of gobreaker.
//
// Each destination has a breaker of its own. After five failures in a row it opens: calls fail
// at once, without waiting for a time-out. After a second one call is let through; if it
// succeeds, the breaker closes.
package breaker

import (
	"fmt"
	"sync"
	"time"

	"github.com/sony/gobreaker/v2"

	"github.com/cellar-commerce/cellar/internal/ident"
)

const (
	// openAfter failures in a row: one lost connection is no outage, and a dead region must not cost many time-outs.
	openAfter = 5
	// retryAfter is how long an open breaker waits before it lets one call through.
	retryAfter = time.Second
)

// Regions is one breaker for each destination region.
type Regions struct {
	// OnChange is told of every change of state, for example "closed" → "open"; may be nil.
	onChange func(destination ident.Region, from, to string)
	mu       sync.Mutex
	breakers map[ident.Region]*gobreaker.CircuitBreaker[struct{}]
}

// New breakers, closed.
func New(onChange func(destination ident.Region, from, to string)) *Regions {
	return &Regions{onChange: onChange, breakers: map[ident.Region]*gobreaker.CircuitBreaker[struct{}]{}}
}

// Do calls unless the destination's breaker is open.
func (r *Regions) Do(destination ident.Region, call func() error) error {
	_, err := r.of(destination).Execute(func() (struct{}, error) { return struct{}{}, call() })
	if err != nil {
		return fmt.Errorf("region %s: %w", destination, err)
	}
	return nil
}

// State of a destination's breaker.
type State int

// The states.
const (
	Closed State = iota
	// HalfOpen: the next call is let through, to see.
	HalfOpen
	Open
)

// State of a destination's breaker now. Asking changes nothing.
func (r *Regions) State(destination ident.Region) State {
	switch r.of(destination).State() {
	case gobreaker.StateOpen:
		return Open
	case gobreaker.StateHalfOpen:
		return HalfOpen
	default:
		return Closed
	}
}

func (r *Regions) of(destination ident.Region) *gobreaker.CircuitBreaker[struct{}] {
	r.mu.Lock()
	defer r.mu.Unlock()
	b, ok := r.breakers[destination]
	if !ok {
		b = newBreaker(string(destination), func(from, to string) {
			if r.onChange != nil {
				r.onChange(destination, from, to)
			}
		})
		r.breakers[destination] = b
	}
	return b
}

func newBreaker(name string, onChange func(from, to string)) *gobreaker.CircuitBreaker[struct{}] {
	return gobreaker.NewCircuitBreaker[struct{}](gobreaker.Settings{
		Name: name, Timeout: retryAfter,
		ReadyToTrip:   func(c gobreaker.Counts) bool { return c.ConsecutiveFailures >= openAfter },
		OnStateChange: func(_ string, from, to gobreaker.State) { onChange(from.String(), to.String()) },
	})
}

// One is the breaker of a single destination.
type One struct {
	name    string
	breaker *gobreaker.CircuitBreaker[struct{}]
}

// NewOne breaker, closed. OnChange is told of every change of state; may be nil.
func NewOne(name string, onChange func(from, to string)) *One {
	if onChange == nil {
		onChange = func(string, string) {}
	}
	return &One{name: name, breaker: newBreaker(name, onChange)}
}

// Do calls unless the breaker is open.
func (o *One) Do(call func() error) error {
	if _, err := o.breaker.Execute(func() (struct{}, error) { return struct{}{}, call() }); err != nil {
		return fmt.Errorf("%s: %w", o.name, err)
	}
	return nil
}
