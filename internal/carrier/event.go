package carrier

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

// SignatureHeader of what the carrier tells: "t=<Unix seconds>,v1=<hexadecimal HMAC-SHA256 of "<t>.<body>">".
const SignatureHeader = "Carrier-Signature"

// signatureAge is how old or new a signature may be: what is played back later is refused.
const signatureAge = 5 * time.Minute

// ErrForged: the request is not a fresh one of the carrier.
var ErrForged = errors.New("the scan is not signed by the carrier, or not lately")

// Event is one scan, told by the carrier.
type Event struct {
	// ID is the same however often the scan is told.
	ID             string `json:"id"`
	TrackingNumber string `json:"tracking_number"`
	Reference      string `json:"reference"`
	Scan           Scan   `json:"scan"`
}

// Webhook reads events.
type Webhook struct{ key []byte }

// NewWebhook reads events that are signed with a key; it must not be empty.
func NewWebhook(key string) (*Webhook, error) {
	if key == "" {
		return nil, errors.New("new carrier webhook: a key is required")
	}
	return &Webhook{key: []byte(key)}, nil
}

// Event checks the signature of a request and reads it. ErrForged when it is not the carrier's.
func (w *Webhook) Event(header http.Header, body []byte, now time.Time) (Event, error) {
	at, signature, found := strings.Cut(strings.TrimPrefix(header.Get(SignatureHeader), "t="), ",v1=")
	seconds, err := strconv.ParseInt(at, 10, 64)
	if err != nil || !found {
		return Event{}, fmt.Errorf("%w: no signature", ErrForged)
	}
	if age := now.Sub(time.Unix(seconds, 0)); age > signatureAge || age < -signatureAge {
		return Event{}, fmt.Errorf("%w: signed at another time", ErrForged)
	}
	mac := hmac.New(sha256.New, w.key)
	mac.Write([]byte(at + "."))
	mac.Write(body)
	if given, err := hex.DecodeString(signature); err != nil || !hmac.Equal(given, mac.Sum(nil)) {
		return Event{}, fmt.Errorf("%w: the signature does not fit", ErrForged)
	}
	var e Event
	if err := json.Unmarshal(body, &e); err != nil {
		return Event{}, fmt.Errorf("decode scan: %w", err)
	}
	if e.TrackingNumber == "" || e.Scan.Seq < 1 || !e.Scan.Status.known() {
		return Event{}, fmt.Errorf("scan %q is none", e.ID)
	}
	return e, nil
}
