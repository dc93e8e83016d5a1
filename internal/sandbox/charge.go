package sandbox

import "time"

// Status of a charge.
type Status string

// The states of a charge; the package comment draws how they follow each other.
const (
	StatusAuthorized Status = "authorized"
	StatusCaptured   Status = "captured"
	StatusDeclined   Status = "declined"
	StatusVoided     Status = "voided"
	StatusRefunded   Status = "refunded"
)

// Charge is one attempt to take money from a card. Amounts are minor units of Currency.
type Charge struct {
	ID     string `json:"id"`
	Status Status `json:"status"`
	// Amount asked for; what is held on the card while authorized.
	Amount int64 `json:"amount"`
	// Captured is what was taken, Refunded what went back of it: 0 ≤ Refunded ≤ Captured ≤ Amount.
	Captured  int64  `json:"captured"`
	Refunded  int64  `json:"refunded"`
	Currency  string `json:"currency"`
	Reference string `json:"reference"`
	// DeclineCode says why the issuer refused; only when declined.
	DeclineCode string `json:"decline_code,omitempty"`
}

// Kind of a ledger entry.
type Kind string

// The kinds of entry. A sale is one capture entry, with no authorize before it.
const (
	KindAuthorize Kind = "authorize"
	KindCapture   Kind = "capture"
	KindRefund    Kind = "refund"
	KindVoid      Kind = "void"
	KindDecline   Kind = "decline"
)

// Entry is one line of the network's ledger: one effect, never changed afterwards.
type Entry struct {
	// Seq counts from 1 without gaps.
	Seq int64 `json:"seq"`
	// At is when the network did it, by its own clock.
	At       time.Time `json:"at"`
	ChargeID string    `json:"charge_id"`
	Kind     Kind      `json:"kind"`
	// Amount in minor units of Currency: taken, held, given back or, for a decline, asked for.
	Amount         int64  `json:"amount"`
	Currency       string `json:"currency"`
	Reference      string `json:"reference"`
	IdempotencyKey string `json:"idempotency_key"`
}

// record is an entry with what is needed to answer its key again after a restart. It is a line of the ledger's file.
type record struct {
	Entry
	// More captures may follow this one: what is left stays held.
	More bool `json:"more,omitempty"`
	// Fingerprint of the request, to tell a repeated one from another one under the same key.
	Fingerprint string `json:"fingerprint"`
	DeclineCode string `json:"decline_code,omitempty"`
}

// after gives the charge that r makes of before, which is the zero Charge when there was none. Live requests and the
// replay of the ledger both go through here, so that a restart cannot come to another state than the one answered from.
func (r record) after(before Charge) (Charge, error) {
	if r.Amount <= 0 {
		return Charge{}, unprocessable("invalid_amount", "amount must be positive")
	}
	if before.ID == "" {
		return r.open()
	}
	next := before
	switch r.Kind {
	case KindCapture:
		if before.Status != StatusAuthorized {
			return Charge{}, invalidState("capture", before)
		}
		if r.Amount > before.Amount-before.Captured {
			return Charge{}, unprocessable("amount_too_large", "amount is more than is left of what was authorized")
		}
		if next.Captured += r.Amount; !r.More || next.Captured == next.Amount {
			next.Status = next.settled()
		}
	case KindVoid:
		if before.Status != StatusAuthorized {
			return Charge{}, invalidState("void", before)
		}
		next.Status = next.settled()
	case KindRefund:
		held := before.Status == StatusAuthorized && before.Captured > 0
		if before.Status != StatusCaptured && !held {
			return Charge{}, invalidState("refund", before)
		}
		if r.Amount > before.Captured-before.Refunded {
			return Charge{}, unprocessable("amount_too_large", "amount is more than is left to refund")
		}
		if next.Refunded += r.Amount; !held {
			next.Status = next.settled()
		}
	case KindAuthorize, KindDecline:
		return Charge{}, invalidState(string(r.Kind), before)
	default:
		return Charge{}, unprocessable("invalid_kind", "no such kind of entry")
	}
	return next, nil
}

// settled is the status of a charge of which nothing is held any more.
func (c Charge) settled() Status {
	switch {
	case c.Captured == 0:
		return StatusVoided
	case c.Refunded == c.Captured:
		return StatusRefunded
	default:
		return StatusCaptured
	}
}

// open starts a charge.
func (r record) open() (Charge, error) {
	fresh := Charge{ID: r.ChargeID, Amount: r.Amount, Currency: r.Currency, Reference: r.Reference, DeclineCode: r.DeclineCode}
	switch r.Kind {
	case KindAuthorize:
		fresh.Status = StatusAuthorized
	case KindCapture:
		fresh.Status, fresh.Captured = StatusCaptured, r.Amount
	case KindDecline:
		fresh.Status = StatusDeclined
	case KindRefund, KindVoid:
		return Charge{}, notFound("charge_not_found", "no such charge")
	default:
		return Charge{}, unprocessable("invalid_kind", "no such kind of entry")
	}
	return fresh, nil
}

func invalidState(verb string, c Charge) error {
	return unprocessable("invalid_state", "cannot "+verb+" a charge that is "+string(c.Status))
}
