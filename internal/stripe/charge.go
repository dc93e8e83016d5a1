package stripe

import (
	"errors"
	"fmt"
	"net/http"
	"strings"

	sdk "github.com/stripe/stripe-go/v82"

	"github.com/cellar-commerce/cellar/internal/cardnetwork"
)

// charge that an intent has come to; false while no card has been asked, or has not answered.
func charge(i *sdk.PaymentIntent) (cardnetwork.Charge, bool) {
	out := cardnetwork.Charge{
		ID: i.ID, Amount: i.Amount, Captured: i.AmountReceived, Currency: strings.ToUpper(string(i.Currency)), Reference: i.Metadata["reference"],
	}
	if i.LatestCharge != nil {
		out.Refunded = i.LatestCharge.AmountRefunded
	}
	switch i.Status {
	case sdk.PaymentIntentStatusSucceeded:
		out.Status = taken(out)
	case sdk.PaymentIntentStatusRequiresCapture:
		out.Status = cardnetwork.Authorized
	case sdk.PaymentIntentStatusCanceled:
		switch {
		case out.Captured > 0:
			out.Status = taken(out) // captured in part, and then let go of the rest
		case i.LatestCharge == nil:
			return out, false // abandoned before the card was asked
		default:
			out.Status = cardnetwork.Voided
		}
	case sdk.PaymentIntentStatusRequiresPaymentMethod:
		if i.LastPaymentError == nil {
			return out, false
		}
		out.Status, out.DeclineCode = cardnetwork.Declined, declineCode(i.LastPaymentError)
	case sdk.PaymentIntentStatusRequiresConfirmation, sdk.PaymentIntentStatusProcessing, sdk.PaymentIntentStatusRequiresAction:
		return out, false
	default:
		return out, false
	}
	return out, true
}

func taken(c cardnetwork.Charge) cardnetwork.Status {
	if c.Captured > 0 && c.Refunded == c.Captured {
		return cardnetwork.Refunded
	}
	return cardnetwork.Captured
}

// pending tells an intent whose card is being asked.
func pending(i *sdk.PaymentIntent) bool {
	return i.Status == sdk.PaymentIntentStatusProcessing || i.Status == sdk.PaymentIntentStatusRequiresAction
}

// declineOf an error, when the card said no.
func declineOf(err error) (code string, is bool) {
	e, ok := errors.AsType[*sdk.Error](err)
	if !ok || e.Type != sdk.ErrorTypeCard {
		return "", false
	}
	return declineCode(e), true
}

// declineCode is the issuer's reason where there is one: of code card_declined it says more.
func declineCode(e *sdk.Error) string {
	if e.DeclineCode != "" && e.DeclineCode != "generic_decline" {
		return string(e.DeclineCode)
	}
	if e.Code != "" {
		return string(e.Code)
	}
	return "card_declined"
}

// unexpectedState tells that an intent is not in a state for what was asked; Stripe mostly gives the intent along.
func unexpectedState(err error) (*sdk.PaymentIntent, bool) {
	e, ok := errors.AsType[*sdk.Error](err)
	if !ok || e.Code != sdk.ErrorCodePaymentIntentUnexpectedState {
		return nil, false
	}
	return e.PaymentIntent, true
}

// explain an error in the words of internal/cardnetwork. Stripe's own text is left out: it quotes what it was sent.
func explain(err error) error {
	e, ok := errors.AsType[*sdk.Error](err)
	if !ok {
		return fmt.Errorf("%w: %w", cardnetwork.ErrUnknownOutcome, err)
	}
	code := string(e.Code)
	if code == "" {
		code = string(e.Type)
	}
	switch status := e.HTTPStatusCode; {
	case e.Type == sdk.ErrorTypeIdempotency:
		return &cardnetwork.RequestError{Status: http.StatusUnprocessableEntity, Code: cardnetwork.CodeKeyReused, Message: "request " + e.RequestID}
	case status == http.StatusConflict, status == http.StatusTooManyRequests, status == http.StatusRequestTimeout, status >= 500, status < 400:
		return fmt.Errorf("%w: Stripe's answer is %d %s, request %s", cardnetwork.ErrUnknownOutcome, status, code, e.RequestID)
	default:
		return &cardnetwork.RequestError{Status: status, Code: code, Message: "request " + e.RequestID}
	}
}

// unknown is explain for a question: whatever went wrong, it is not known what became of the charge.
func unknown(err error) error {
	err = explain(err)
	if errors.Is(err, cardnetwork.ErrUnknownOutcome) {
		return err
	}
	return fmt.Errorf("%w: %w", cardnetwork.ErrUnknownOutcome, err)
}
