package account

import (
	"crypto/sha256"
	"sync"
	"time"

	"github.com/cellar-commerce/cellar/internal/problem"
)

const (
	// maxFailures of one address in failureWindow, known or not, before it has to pause.
	maxFailures   = 10
	failureWindow = 15 * time.Minute
	// maxTracked addresses take 10 MB. When it is full the oldest windows go, and with them only their counts.
	maxTracked = 100_000
)

// attempts counts failed sign-ins by address in this process. An attacker who is spread over the cells of a region gets
// as many times more tries as there are cells; the slot's owner serves a known address, so that there it is one.
type attempts struct {
	// limit of failures in a window of time; refusal is the answer to more.
	limit   int
	window  time.Duration
	refusal func() error

	mu     sync.Mutex
	counts map[[32]byte]window
	// trying are passwords that are being looked at: each may be a failure in a moment, and counts as one.
	trying map[[32]byte]int
}

type window struct {
	failures int
	until    time.Time
}

func newLimited(limit int, within time.Duration, reason, text string) *attempts {
	return &attempts{limit: limit, window: within, counts: map[[32]byte]window{}, trying: map[[32]byte]int{}, refusal: func() error {
		return problem.New(problem.Exhausted, reason, text)
	}}
}

func newAttempts() *attempts {
	return newLimited(maxFailures, failureWindow, "TOO_MANY_FAILURES", "too many failed sign-ins for this address; try again in some minutes")
}

// newMails counts the letters that were asked for by address, whether anybody has it or not.
func newMails() *attempts {
	return newLimited(maxMails, mailWindow, "TOO_MANY_MAILS", "too many letters were asked for with this address; try again in an hour")
}

// within what the limit allows, do something that counts when it succeeds.
func (a *attempts) within(email string, now time.Time, do func() error) error {
	if err := a.enter(email, now); err != nil {
		return err
	}
	defer a.leave(email)
	err := do()
	if err == nil {
		a.failed(email, now)
	}
	return err
}

// allow refuses an address that has failed too often. EXHAUSTED TOO_MANY_FAILURES.
func (a *attempts) allow(email string, now time.Time) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.allowed(sha256.Sum256([]byte(email)), now)
}

// enter allows one try; leave ends it.
func (a *attempts) enter(email string, now time.Time) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	key := sha256.Sum256([]byte(email))
	if err := a.allowed(key, now); err != nil {
		return err
	}
	a.trying[key]++
	return nil
}

func (a *attempts) leave(email string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	key := sha256.Sum256([]byte(email))
	if a.trying[key]--; a.trying[key] <= 0 {
		delete(a.trying, key)
	}
}

func (a *attempts) allowed(key [32]byte, now time.Time) error {
	failures, w := a.trying[key], a.counts[key]
	if now.Before(w.until) {
		failures += w.failures
	}
	if failures >= a.limit {
		return a.refusal()
	}
	return nil
}

func (a *attempts) failed(email string, now time.Time) {
	a.mu.Lock()
	defer a.mu.Unlock()
	key := sha256.Sum256([]byte(email))
	w := a.counts[key]
	if !now.Before(w.until) {
		w = window{until: now.Add(a.window)}
	}
	w.failures++
	if _, known := a.counts[key]; !known && len(a.counts) >= maxTracked {
		a.forget(now)
	}
	a.counts[key] = w
}

// forget the windows that are over; when none is, any tenth.
func (a *attempts) forget(now time.Time) {
	for key, w := range a.counts {
		if !now.Before(w.until) {
			delete(a.counts, key)
		}
	}
	for key := range a.counts {
		if len(a.counts) < maxTracked*9/10 {
			return
		}
		delete(a.counts, key)
	}
}

func (a *attempts) succeeded(email string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.counts, sha256.Sum256([]byte(email)))
}
