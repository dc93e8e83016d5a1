package account

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/cellar-commerce/cellar/internal/problem"
)

func TestTheCountOfFailuresIsThatOfItsWindow(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		type count struct {
			since    time.Time
			failures int
		}
		counts, attempts, now := map[string]count{}, newAttempts(), opened
		emails := rapid.SampledFrom([]string{"ada@example.com", "bob@example.com"})
		t.Repeat(map[string]func(*rapid.T){
			"fail": func(t *rapid.T) {
				email := emails.Draw(t, "email")
				for range rapid.IntRange(1, 5).Draw(t, "times") {
					c := counts[email]
					if now.Sub(c.since) >= 15*time.Minute {
						c = count{since: now}
					}
					c.failures++
					counts[email] = c
					attempts.failed(email, now)
				}
			},
			"succeed": func(t *rapid.T) {
				email := emails.Draw(t, "email")
				delete(counts, email)
				attempts.succeeded(email)
			},
			"time passes": func(t *rapid.T) {
				now = now.Add(rapid.SampledFrom([]time.Duration{time.Microsecond, time.Minute, 15*time.Minute - time.Microsecond, 15 * time.Minute}).Draw(t, "by"))
			},
			"": func(t *rapid.T) {
				for _, email := range []string{"ada@example.com", "bob@example.com"} {
					err := attempts.allow(email, now)
					if c := counts[email]; c.failures >= 10 && now.Sub(c.since) < 15*time.Minute {
						if problem.KindOf(err) != problem.Exhausted || !problem.Is(err, "TOO_MANY_FAILURES") {
							t.Fatalf("%s: got %v after %d failures", email, err, c.failures)
						}
					} else if err != nil {
						t.Fatalf("%s: got %v after %d failures since %v, at %v", email, err, c.failures, c.since, now)
					}
				}
			},
		})
	})
}

func TestTheCountsOfFailuresTakeBoundedMemoryAndTheOldGoFirst(t *testing.T) {
	a, later := newAttempts(), opened.Add(failureWindow)
	for i := range maxTracked - 1 {
		a.failed(fmt.Sprintf("%d@example.com", i), opened)
	}
	for range maxFailures {
		a.failed("ada@example.com", later.Add(-time.Second))
	}
	a.failed("one-more@example.com", later)
	if n := len(a.counts); n != 2 {
		t.Errorf("%d are kept when all windows but two are over", n)
	}
	refused(t, a.allow("ada@example.com", later), problem.Exhausted, "TOO_MANY_FAILURES")
	for i := range maxTracked { // none of these is over
		a.failed(fmt.Sprintf("%d@example.org", i), later)
		if len(a.counts) > maxTracked {
			t.Fatalf("%d are kept", len(a.counts))
		}
	}
	if n := len(a.counts); n < maxTracked*9/10 {
		t.Errorf("only %d are kept", n)
	}
}

func TestTriesAtOnceCountLikeTriesInTurn(t *testing.T) {
	const tries = 20
	w := newWorld(t)
	for range cap(w.hasher.running) { // nobody's password is looked at until all have asked
		w.hasher.running <- struct{}{}
	}
	var wrong, paused, ended atomic.Int64
	var all sync.WaitGroup
	for range tries {
		all.Go(func() {
			_, err := w.enter("ada@example.com", wrongWord)
			switch {
			case problem.Is(err, "BAD_CREDENTIALS"):
				wrong.Add(1)
			case problem.Is(err, "TOO_MANY_FAILURES"):
				paused.Add(1)
			}
			ended.Add(1)
		})
	}
	tick, late := time.NewTicker(5*time.Millisecond), time.After(time.Minute)
	defer tick.Stop()
	for int(ended.Load())+len(w.hasher.waiting) < tries {
		select {
		case <-tick.C:
		case <-late:
			t.Fatal("not all have asked")
		}
	}
	for range cap(w.hasher.running) {
		<-w.hasher.running
	}
	all.Wait()
	if wrong.Load() != maxFailures || paused.Load() != tries-maxFailures {
		t.Errorf("%d passwords were tried and %d refused, want %d and %d", wrong.Load(), paused.Load(), maxFailures, tries-maxFailures)
	}
}
