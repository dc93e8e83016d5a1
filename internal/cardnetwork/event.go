package cardnetwork

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// SignatureHeader of an event: "t=<Unix seconds>,v1=<hexadecimal HMAC-SHA256 of "<t>.<body>">". A second v1 may be there
// while a key is changed.
const SignatureHeader = "Card-Network-Signature"

// signatureAge is how old or new a signature may be: what is played back later is refused. Clocks differ, and a network
// signs again when it sends again.
const signatureAge = 5 * time.Minute

// ErrForged: the request is not a fresh one of the network.
var ErrForged = errors.New("the event is not signed by the card network, or not lately")

// Event is what the network tells by itself after a request had its effect. It may come late, twice, and before the
// request's answer.
type Event struct {
	// ID is the same however often the event is sent.
	ID string `json:"id"`
	// Type is charge.authorized, charge.captured, charge.declined, charge.voided or charge.refunded.
	Type string    `json:"type"`
	At   time.Time `json:"at"`
	// Key is the idempotency key of the request.
	Key string `json:"idempotency_key"`
	// Charge as it was after that request.
	Charge Charge `json:"charge"`
}

// Webhook reads events.
type Webhook struct{ key []byte }

// NewWebhook reads events that are signed with a key; it must not be empty.
func NewWebhook(key string) (*Webhook, error) {
	if key == "" {
		return nil, errors.New("new webhook: a key is required")
	}
	return &Webhook{key: []byte(key)}, nil
}

// Event checks the signature of a request and reads it: ErrForged when it is not the network's. The middle answer is
// false for an event of another kind than Event names.
func (w *Webhook) Event(header http.Header, body []byte, now time.Time) (Event, bool, error) {
	if err := w.verify(header.Get(SignatureHeader), body, now); err != nil {
		return Event{}, false, err
	}
	var e Event
	if err := json.Unmarshal(body, &e); err != nil {
		return Event{}, false, fmt.Errorf("decode event: %w", err)
	}
	if !strings.HasPrefix(e.Type, "charge.") || e.Key == "" {
		return e, false, nil
	}
	if err := e.Charge.check(); err != nil {
		return Event{}, false, fmt.Errorf("event %s: %w", e.ID, err)
	}
	return e, true, nil
}

func (w *Webhook) verify(signature string, body []byte, now time.Time) error {
	var at string
	var given []string
	for part := range strings.SplitSeq(signature, ",") {
		name, value, _ := strings.Cut(strings.TrimSpace(part), "=")
		switch name {
		case "t":
			at = value
		case "v1":
			given = append(given, value)
		}
	}
	seconds, err := strconv.ParseInt(at, 10, 64)
	if err != nil {
		return fmt.Errorf("%w: no time", ErrForged)
	}
	if age := now.Sub(time.Unix(seconds, 0)); age > signatureAge || age < -signatureAge {
		return fmt.Errorf("%w: signed at another time", ErrForged)
	}
	mac := hmac.New(sha256.New, w.key)
	mac.Write([]byte(at + "."))
	mac.Write(body)
	want := mac.Sum(nil)
	for _, v := range given {
		if got, err := hex.DecodeString(v); err == nil && hmac.Equal(got, want) {
			return nil
		}
	}
	return fmt.Errorf("%w: no signature fits", ErrForged)
}
