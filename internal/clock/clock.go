package clock

import (
	"context"
	"sync"
	"time"
)

// Clock tells the time and wakes waiters.
type Clock interface {
	// Now is the current time in UTC.
	Now() time.Time
	// Sleep returns nil after d, or the context's error as soon as it ends.
	Sleep(ctx context.Context, d time.Duration) error
}

// System is the machine's clock.
type System struct{}

var _ Clock = System{}

// Now is the machine's time in UTC, at the database's resolution of a microsecond,
// so that a time survives a round trip through a row unchanged.
func (System) Now() time.Time { return time.Now().UTC().Truncate(time.Microsecond) }

// Sleep waits in real time.
func (System) Sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Manual is a clock that stands still until a test moves it. The zero value is not usable: call NewManual.
type Manual struct {
	mu      sync.Mutex
	now     time.Time
	waiters map[chan struct{}]time.Time
	changed chan struct{} // closed and replaced whenever a waiter arrives
}

var _ Clock = (*Manual)(nil)

// NewManual stands at the given time.
func NewManual(at time.Time) *Manual {
	return &Manual{now: at.UTC().Truncate(time.Microsecond), waiters: map[chan struct{}]time.Time{}, changed: make(chan struct{})}
}

// Now is where the clock stands.
func (m *Manual) Now() time.Time {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.now
}

// Advance moves the clock and wakes everybody whose time has come.
func (m *Manual) Advance(d time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.now = m.now.Add(d)
	for ch, at := range m.waiters {
		if !at.After(m.now) {
			close(ch)
			delete(m.waiters, ch)
		}
	}
}

// Sleep waits until Advance has moved the clock far enough.
func (m *Manual) Sleep(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return ctx.Err()
	}
	m.mu.Lock()
	ch := make(chan struct{})
	m.waiters[ch] = m.now.Add(d)
	close(m.changed)
	m.changed = make(chan struct{})
	m.mu.Unlock()
	select {
	case <-ch:
		return nil
	case <-ctx.Done():
		m.mu.Lock()
		delete(m.waiters, ch)
		m.mu.Unlock()
		return ctx.Err()
	}
}

// AwaitSleepers blocks until at least n callers sleep, so that a test advances the clock only when everybody is in place.
func (m *Manual) AwaitSleepers(ctx context.Context, n int) error {
	for {
		m.mu.Lock()
		have, changed := len(m.waiters), m.changed
		m.mu.Unlock()
		if have >= n {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
