package sandbox

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
)

// operation is a request with an idempotency key, on its way to one ledger entry.
type operation struct {
	key       string
	behaviour behaviour
	// intent is the entry it will make when approved, without seq and time.
	intent Entry
	// opens tells that it makes a new charge, whose id is not chosen yet.
	opens bool
	// more captures may follow; of captures only.
	more bool
	// body as decoded; part of what makes two requests the same.
	body any
}

// fingerprint is equal for two requests that ask for the same thing, however their JSON is spaced and ordered.
func (op operation) fingerprint() (string, error) {
	body, err := json.Marshal(op.body)
	if err != nil {
		return "", fmt.Errorf("fingerprint: %w", err)
	}
	verb := op.intent.Kind
	if op.opens {
		verb = "open" // capture or not is in the body
	}
	sum := sha256.Sum256(fmt.Appendf(nil, "%s\x00%s\x00%s", verb, op.intent.ChargeID, body))
	return base64.RawURLEncoding.EncodeToString(sum[:16]), nil
}

// perform does op at most once for its key and answers.
func (n *CardNetwork) perform(w http.ResponseWriter, r *http.Request, op operation) error {
	faults := *n.faults.Load()
	n.pause(r.Context(), faults.latency())
	if r.Context().Err() != nil {
		panic(http.ErrAbortHandler) // the client left before its request "arrived": no effect, no answer
	}
	fingerprint, err := op.fingerprint()
	if err != nil {
		return err
	}
	first, failed, err := n.book.begin(op.key, fingerprint)
	if err != nil {
		return err
	}
	if first != nil {
		return n.settle(w, *first)
	}
	defer n.book.release(op.key)

	plan := faults.script(op.behaviour, op.opens, op.key, failed)
	if plan.unavailable {
		n.book.fail(op.key)
		return notAvailable("unavailable", "the network is not available")
	}
	if plan.think {
		// An issuer does not notice that somebody down the line hung up.
		n.pause(context.WithoutCancel(r.Context()), n.slowDelay)
	}
	record := n.recordOf(op, fingerprint, plan.decline)
	made, err := n.book.post(record)
	if err != nil {
		return err
	}
	n.announce(made, record)
	switch plan.then {
	case endHeld:
		return n.withhold(r.Context(), made)
	case endFailed:
		if err := made.saved.wait(); err != nil {
			return unavailableLedger(err)
		}
		return &refusal{http.StatusInternalServerError, "internal", "the network failed"}
	default:
		return n.settle(w, made)
	}
}

// recordOf is the ledger line op comes to.
func (n *CardNetwork) recordOf(op operation, fingerprint, decline string) record {
	made := record{Entry: op.intent, More: op.more, Fingerprint: fingerprint, DeclineCode: decline}
	made.At = n.clock.Now().UTC()
	made.IdempotencyKey = op.key
	if op.opens {
		made.ChargeID = newChargeID()
	}
	if decline != "" {
		made.Kind = KindDecline
	}
	return made
}

// settle answers a, once it is on disk.
func (n *CardNetwork) settle(w http.ResponseWriter, a answer) error {
	if err := a.saved.wait(); err != nil {
		n.log.Error("effect not saved", "charge_id", a.charge.ID, "error", err)
		return unavailableLedger(err)
	}
	status := http.StatusOK
	if a.kind == KindDecline {
		status = http.StatusPaymentRequired
	}
	writeJSON(w, status, a.charge)
	return nil
}

// withhold saves a and never answers it: the connection just ends.
func (n *CardNetwork) withhold(ctx context.Context, a answer) error {
	if err := a.saved.wait(); err != nil {
		return unavailableLedger(err)
	}
	n.log.Info("withholding an answer on purpose", "charge_id", a.charge.ID)
	n.pause(ctx, holdLimit)
	panic(http.ErrAbortHandler)
}
