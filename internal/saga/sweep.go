package saga

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/cellar-commerce/cellar/internal/ident"
)

// Sweep takes over the sagas that are due and this cell's, and runs them, several at once, and waits for these runs; it
// returns how many.
func (e *Engine) Sweep(ctx context.Context) (int, error) {
	var runs sync.WaitGroup
	defer runs.Wait()
	taken, err := e.sweep(ctx, &runs)
	return taken, errors.Join(err, e.count(ctx))
}

// count what is parked in the rings of this cell.
func (e *Engine) count(ctx context.Context) error {
	rings, _ := e.deps.Rings()
	return e.countParked(ctx, rings)
}

// sweep begins the runs.
func (e *Engine) sweep(ctx context.Context, runs *sync.WaitGroup) (int, error) {
	var taken int
	e.setCrowded(false)
	rings, version := e.deps.Rings()
	for _, ring := range rings {
		found, err := e.found(ctx, ring, version)
		if err != nil {
			return taken, fmt.Errorf("saga: sweep %s: %w", ring, err)
		}
		for _, s := range found {
			if !e.enter() {
				e.setCrowded(true)
				e.forget(ring)
				break // the next sweep takes what is left
			}
			holder := e.holder()
			in, err := e.claim(ctx, s.id, s.customer, holder)
			if err != nil {
				<-e.swept
				continue // taken by its run in the meantime, or the customer has moved
			}
			taken++
			runs.Go(func() {
				defer e.leave()
				if _, _, err := e.Run(ctx, Ticket{in: in, holder: holder, swept: true}); err != nil && !errors.Is(err, errLost) && !errors.Is(err, errLater) && ctx.Err() == nil {
					e.deps.Log.WarnContext(ctx, "a resumed saga stopped; the sweep will find it again", "saga", in.ID, "error", err)
				}
			})
		}
	}
	return taken, nil
}

// found sagas of this cell in a ring: those that are due, and after a change of the map those of an owner before, whose
// runs the fence lets do nothing any more: they need not be waited for. What this engine itself is at is left to that run:
// an epoch may be new because of another customer, or because the slot went and came back.
func (e *Engine) found(ctx context.Context, ring ident.Region, version uint64) ([]dueSaga, error) {
	now := e.deps.Clock.Now() // of both lists, so that a saga that falls due meanwhile is in one of them
	all, err := e.list(ctx, stmtDue, ring, now)
	if len(all) >= sweepLimit {
		e.setCrowded(true) // there may be more than a list holds
	}
	if err != nil || e.looked(ring, version) {
		return all, err
	}
	stale, err := e.list(ctx, stmtStale, ring, now)
	for _, s := range stale {
		if e.ended(ring, s.id) == nil {
			all = append(all, s)
		}
	}
	if err != nil || len(stale) >= sweepLimit {
		e.forget(ring)
		e.setCrowded(true)
	}
	return all, err
}

// enter a run of a saga that was taken over, if there are not too many.
func (e *Engine) enter() bool {
	select {
	case e.swept <- struct{}{}:
		return true
	default:
		return false
	}
}

// leave room for another.
func (e *Engine) leave() {
	<-e.swept
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.crowded {
		e.Nudge()
	}
}

func (e *Engine) setCrowded(crowded bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.crowded = crowded
}

// looked for the sagas of owners before, under this version of the map.
func (e *Engine) looked(ring ident.Region, version uint64) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	if seen, ok := e.seen[ring]; ok && seen == version {
		return true
	}
	e.seen[ring] = version
	return false
}

// forget what was looked for, so that the next sweep looks again.
func (e *Engine) forget(ring ident.Region) {
	e.mu.Lock()
	defer e.mu.Unlock()
	delete(e.seen, ring)
}

// Nudge has the next sweep of SweepEvery begin at once: the map has changed, and with it perhaps what is this cell's. It
// never blocks.
func (e *Engine) Nudge() {
	select {
	case e.nudged <- struct{}{}:
	default: // it will look anyway
	}
}

// SweepEvery sweeps until ctx ends: each period, and when it is nudged. A saga whose run died is resumed within holdTime
// and this period, and one of a customer who has come to this cell as soon as the map says so, however long others take.
func (e *Engine) SweepEvery(ctx context.Context, period time.Duration) {
	var runs sync.WaitGroup
	defer runs.Wait()
	var due time.Time // when what is parked is counted next
	for ctx.Err() == nil {
		_, err := e.sweep(ctx, &runs)
		if now := e.deps.Clock.Now(); err == nil && !now.Before(due) {
			due, err = now.Add(countEvery), e.count(ctx)
		}
		if err != nil && ctx.Err() == nil {
			e.deps.Log.WarnContext(ctx, "the saga sweep failed", "error", err)
		}
		e.pause(ctx, period)
	}
}

// pause for a period, or until a nudge.
func (e *Engine) pause(ctx context.Context, period time.Duration) {
	ctx, wake := context.WithCancel(ctx)
	over := make(chan struct{})
	go func() {
		defer close(over)
		select {
		case <-e.nudged:
			wake()
		case <-ctx.Done():
		}
	}()
	_ = e.deps.Clock.Sleep(ctx, period) // however it ends
	wake()
	<-over // it must not take a nudge that comes after this
}

// enlist a run, until what it returns is called.
func (e *Engine) enlist(in Instance) func() {
	key := sagaKey{in.CustomerID.Region(), in.ID}
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.live[key] == nil {
		e.live[key] = &liveRuns{ended: make(chan struct{})}
	}
	e.live[key].n++
	return func() {
		e.mu.Lock()
		defer e.mu.Unlock()
		if l := e.live[key]; l.n > 1 {
			l.n--
		} else {
			close(l.ended)
			delete(e.live, key)
		}
	}
}

// ended is closed when this engine's run of a saga ends; nil when it has none.
func (e *Engine) ended(ring ident.Region, id string) <-chan struct{} {
	e.mu.Lock()
	defer e.mu.Unlock()
	if l := e.live[sagaKey{ring, id}]; l != nil {
		return l.ended
	}
	return nil
}

const (
	// awaitFirst is the pause after the first look at a saga that another cell runs, or that waits to be taken over;
	// it doubles up to awaitMost. Sagas take some tens of milliseconds.
	awaitFirst = 10 * time.Millisecond
	awaitMost  = 250 * time.Millisecond
)

// Await the end of a saga, whoever runs it: here its run is waited for, elsewhere its row is looked at. What came of it is
// for its service to read. The error is NotFound UNKNOWN_SAGA, the database's, or that of ctx.
func (e *Engine) Await(ctx context.Context, ring ident.Region, id string) error {
	for wait := awaitFirst; ; wait = min(2*wait, awaitMost) {
		ended := e.ended(ring, id)
		status, err := e.status(ctx, ring, id)
		if err != nil || status.Ended() {
			return err
		}
		if ended != nil {
			select {
			case <-ended: // it may have stopped on the way: the row tells
				if status, err := e.status(ctx, ring, id); err != nil || status.Ended() {
					return err
				}
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		if err := e.deps.Clock.Sleep(ctx, wait); err != nil {
			return err
		}
	}
}
