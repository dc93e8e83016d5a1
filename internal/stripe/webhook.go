package stripe

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	sdk "github.com/stripe/stripe-go/v82"
	"github.com/stripe/stripe-go/v82/webhook"

	"github.com/cellar-commerce/cellar/internal/cardnetwork"
)

// signatureHeader of an event.
const signatureHeader = "Stripe-Signature"

// Webhook reads Stripe's events.
type Webhook struct{ secret string }

// NewWebhook reads events that are signed with an endpoint's secret, whsec_….
func NewWebhook(secret string) *Webhook { return &Webhook{secret: secret} }

// Event checks the signature of a request and reads it: cardnetwork.ErrForged when it is not Stripe's, or not of now. The
// middle answer is false for an event that says nothing of a charge of ours.
func (w *Webhook) Event(header http.Header, body []byte, now time.Time) (cardnetwork.Event, bool, error) {
	signature := header.Get(signatureHeader)
	if err := webhook.ValidatePayloadIgnoringTolerance(body, signature, w.secret); err != nil {
		return cardnetwork.Event{}, false, fmt.Errorf("%w: %w", cardnetwork.ErrForged, err)
	}
	if age := now.Sub(signedAt(signature)); age > webhook.DefaultTolerance || age < -webhook.DefaultTolerance {
		return cardnetwork.Event{}, false, fmt.Errorf("%w: signed at another time", cardnetwork.ErrForged)
	}
	var e sdk.Event
	if err := json.Unmarshal(body, &e); err != nil {
		return cardnetwork.Event{}, false, fmt.Errorf("decode event: %w", err)
	}
	out := cardnetwork.Event{ID: e.ID, Type: string(e.Type), At: time.Unix(e.Created, 0).UTC()}
	if e.Data == nil {
		return out, false, nil
	}
	switch e.Type {
	case sdk.EventTypePaymentIntentSucceeded, sdk.EventTypePaymentIntentAmountCapturableUpdated, sdk.EventTypePaymentIntentPaymentFailed, sdk.EventTypePaymentIntentCanceled:
		return intentEvent(out, e.Data.Raw)
	case sdk.EventTypeRefundCreated, sdk.EventTypeRefundUpdated:
		return refundEvent(out, e.Data.Raw)
	default:
		return out, false, nil
	}
}

// signedAt reads the time of a signature; its form has been checked.
func signedAt(signature string) time.Time {
	for part := range strings.SplitSeq(signature, ",") {
		if t, is := strings.CutPrefix(strings.TrimSpace(part), "t="); is {
			seconds, _ := strconv.ParseInt(t, 10, 64)
			return time.Unix(seconds, 0)
		}
	}
	return time.Time{}
}

func intentEvent(out cardnetwork.Event, raw []byte) (cardnetwork.Event, bool, error) {
	var intent sdk.PaymentIntent
	if err := json.Unmarshal(raw, &intent); err != nil {
		return out, false, fmt.Errorf("event %s: %w", out.ID, err)
	}
	out.Key = intent.Metadata[keyName]
	made, has := charge(&intent)
	out.Charge = made
	return out, has && out.Key != "", nil
}

func refundEvent(out cardnetwork.Event, raw []byte) (cardnetwork.Event, bool, error) {
	var refund sdk.Refund
	if err := json.Unmarshal(raw, &refund); err != nil {
		return out, false, fmt.Errorf("event %s: %w", out.ID, err)
	}
	out.Key = refund.Metadata[keyName]
	if refund.PaymentIntent == nil || refund.Status != sdk.RefundStatusSucceeded {
		return out, false, nil
	}
	out.Charge = cardnetwork.Charge{ID: refund.PaymentIntent.ID, Status: cardnetwork.Captured, Refunded: refund.Amount}
	return out, out.Key != "", nil
}
