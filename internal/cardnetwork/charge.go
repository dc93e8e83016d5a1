package cardnetwork

import "time"

// Status of a charge.
type Status string

// The states of a charge. Authorized stays while some of it is held, whatever was captured of it; Captured until all of
// that is refunded.
const (
	Authorized Status = "authorized"
	Captured   Status = "captured"
	Declined   Status = "declined"
	Voided     Status = "voided"
	Refunded   Status = "refunded"
)

func (s Status) known() bool {
	switch s {
	case Authorized, Captured, Declined, Voided, Refunded:
		return true
	default:
		return false
	}
}

// Charge is one attempt to take money from a card. Amounts are in minor units of Currency (ISO 4217).
type Charge struct {
	// ID at the network, `ch_…`.
	ID     string `json:"id"`
	Status Status `json:"status"`
	// Amount asked for; 0 ≤ Refunded ≤ Captured ≤ Amount.
	Amount    int64  `json:"amount"`
	Captured  int64  `json:"captured"`
	Refunded  int64  `json:"refunded"`
	Currency  string `json:"currency"`
	Reference string `json:"reference"`
	// DeclineCode says why the issuer refused, such as insufficient_funds; only when Declined.
	DeclineCode string `json:"decline_code"`
}

// ChargeRequest asks for a new charge.
type ChargeRequest struct {
	// Key is the idempotency key: 1 to 255 visible ASCII characters.
	Key string
	// Amount is positive, in minor units of Currency (ISO 4217).
	Amount   int64
	Currency string
	// Token of the card at the network.
	Token string
	// Reference is our name for what is paid, such as an order id; 1 to 255 bytes.
	Reference string
	// Capture takes the money at once; otherwise it is only held.
	Capture bool
}

// CaptureRequest takes Amount, in minor units, of what an authorized charge holds. The rest is let go, unless More is to
// be captured later.
type CaptureRequest struct {
	Key      string
	ChargeID string
	Amount   int64
	More     bool
}

// RefundRequest gives Amount, in minor units, of a captured charge back.
type RefundRequest struct {
	Key      string
	ChargeID string
	Amount   int64
}

// VoidRequest lets go of all that an authorized charge still holds.
type VoidRequest struct {
	Key      string
	ChargeID string
}

// Kind of a ledger entry.
type Kind string

// The kinds of entry. A charge that was captured at once is one KindCapture, without an authorization before it.
const (
	KindAuthorize Kind = "authorize"
	KindCapture   Kind = "capture"
	KindRefund    Kind = "refund"
	KindVoid      Kind = "void"
	KindDecline   Kind = "decline"
)

// Entry is one line of the network's own ledger.
type Entry struct {
	// Seq counts from 1 without gaps.
	Seq      int64     `json:"seq"`
	At       time.Time `json:"at"`
	ChargeID string    `json:"charge_id"`
	Kind     Kind      `json:"kind"`
	// Amount in minor units of Currency; only captures and refunds move money.
	Amount         int64  `json:"amount"`
	Currency       string `json:"currency"`
	Reference      string `json:"reference"`
	IdempotencyKey string `json:"idempotency_key"`
}

// LedgerPage is a stretch of the ledger, in order. Next is the seq to go on after; Entries is empty at the end.
type LedgerPage struct {
	Entries []Entry `json:"entries"`
	Next    int64   `json:"next"`
}
