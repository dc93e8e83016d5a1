package sandbox

import (
	"errors"
	"fmt"
	"sync"
)

// maxAttempts bounds how many keys the book remembers failed attempts of. They only serve faults that depend on the
// attempt; forgetting them all at once makes some key fail once more, which its caller must be ready for anyway.
const maxAttempts = 1 << 16

// answer is what a key's first request came to.
type answer struct {
	fingerprint string
	kind        Kind
	charge      Charge // as it was then
	saved       *commit
}

// position is the present state of a charge, and the commit that makes it safe to show.
type position struct {
	charge Charge
	saved  *commit
}

// book is the state that the ledger adds up to: charges, and what each idempotency key was answered. It holds no more
// than the ledger does, so a restart rebuilds it.
type book struct {
	ledger *Ledger

	mu       sync.Mutex
	charges  map[string]position // by charge id
	answers  map[string]answer   // by idempotency key
	running  map[string]struct{} // keys being worked on, before they have an effect
	attempts map[string]int      // failed attempts by key, see maxAttempts
}

// newBook replays ledger. An error means that its lines contradict each other.
func newBook(ledger *Ledger) (*book, error) {
	b := &book{
		ledger:   ledger,
		charges:  make(map[string]position),
		answers:  make(map[string]answer),
		running:  make(map[string]struct{}),
		attempts: make(map[string]int),
	}
	saved := &commit{done: make(chan struct{})}
	close(saved.done)
	for _, r := range ledger.snapshot() {
		if _, twice := b.answers[r.IdempotencyKey]; twice {
			return nil, fmt.Errorf("replay entry %d: its idempotency key was used before", r.Seq)
		}
		next, err := r.after(b.charges[r.ChargeID].charge)
		if err != nil {
			return nil, fmt.Errorf("replay entry %d: %w", r.Seq, err)
		}
		b.enter(r, next, saved)
	}
	return b, nil
}

// enter makes r's effect part of the state. Callers hold mu, except during replay.
func (b *book) enter(r record, next Charge, saved *commit) answer {
	done := answer{fingerprint: r.Fingerprint, kind: r.Kind, charge: next, saved: saved}
	b.charges[r.ChargeID] = position{next, saved}
	b.answers[r.IdempotencyKey] = done
	return done
}

// begin claims key for one request. It returns the first answer when the key already had its effect; otherwise how
// many attempts failed before this one, and the caller must call release in the end.
func (b *book) begin(key, fingerprint string) (first *answer, failed int, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if known, ok := b.answers[key]; ok {
		if known.fingerprint != fingerprint {
			return nil, 0, unprocessable("idempotency_key_reused", "the idempotency key was used for another request")
		}
		return &known, 0, nil
	}
	if _, busy := b.running[key]; busy {
		return nil, 0, errKeyRunning
	}
	b.running[key] = struct{}{}
	return nil, b.attempts[key], nil
}

// errKeyRunning answers whoever asks about a key whose request is still being worked on.
var errKeyRunning = conflict("idempotency_key_in_progress", "the first request with this key is still being worked on")

// release gives up a claim; it is a no-op after post.
func (b *book) release(key string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.running, key)
}

// fail counts an attempt that ended before any effect.
func (b *book) fail(key string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.attempts) >= maxAttempts {
		clear(b.attempts)
	}
	b.attempts[key]++
}

// post gives r its effect, or none at all when it returns an error, and ends the claim on its key. The answer must not
// leave before its commit is waited for. The state changes already now, so that the next request cannot take the same
// money again while this one waits for the disk.
func (b *book) post(r record) (answer, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.running, r.IdempotencyKey)
	before := b.charges[r.ChargeID].charge
	if before.ID != "" { // the entry repeats what its charge is for, so that the ledger can be read by itself
		r.Currency, r.Reference = before.Currency, before.Reference
		if r.Kind == KindVoid {
			r.Amount = before.Amount - before.Captured
		}
	}
	next, err := r.after(before)
	if err != nil {
		return answer{}, err
	}
	saved, err := b.ledger.append(r)
	if err != nil {
		return answer{}, unavailableLedger(err)
	}
	delete(b.attempts, r.IdempotencyKey)
	return b.enter(r, next, saved), nil
}

// charge returns the present state of a charge, once it is on disk.
func (b *book) charge(id string) (Charge, error) {
	b.mu.Lock()
	found, ok := b.charges[id]
	b.mu.Unlock()
	if !ok {
		return Charge{}, notFound("charge_not_found", "no such charge")
	}
	if err := found.saved.wait(); err != nil {
		return Charge{}, unavailableLedger(err)
	}
	return found.charge, nil
}

// chargeByKey returns the present state of the charge that a key's request made or changed.
func (b *book) chargeByKey(key string) (Charge, error) {
	b.mu.Lock()
	known, seen := b.answers[key]
	_, busy := b.running[key]
	b.mu.Unlock()
	switch {
	case seen:
		return b.charge(known.charge.ID)
	case busy:
		return Charge{}, errKeyRunning
	default:
		return Charge{}, notFound("idempotency_key_not_found", "no request with this key had an effect")
	}
}

// unavailableLedger keeps a broken ledger's reason out of the answer: whoever waited sees that the outcome is unknown.
func unavailableLedger(err error) error {
	if errors.Is(err, errLedgerBusy) {
		return notAvailable("ledger_busy", "too many requests wait for the ledger")
	}
	return notAvailable("ledger_unavailable", "the ledger cannot be written")
}
