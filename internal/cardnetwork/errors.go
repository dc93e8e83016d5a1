package cardnetwork

import (
	"errors"
	"fmt"
	"net/http"
)

// ErrUnknownOutcome reports that it is not known whether the request had its effect. Ask with [Client.FindByKey].
var ErrUnknownOutcome = errors.New("outcome unknown at the card network")

// ErrUnavailable reports that something without an effect could not be read; try again later.
var ErrUnavailable = errors.New("card network unavailable")

// Codes of a RequestError that callers act on.
const (
	// CodeKeyReused: the key was used for another request.
	CodeKeyReused = "idempotency_key_reused"
	// CodeInProgress: the first request with this key is still being worked on.
	CodeInProgress = "idempotency_key_in_progress"
	// CodeKeyNotFound: no request with this key had an effect so far.
	CodeKeyNotFound = "idempotency_key_not_found"
	// CodeChargeNotFound: no charge has this id.
	CodeChargeNotFound = "charge_not_found"
	// CodeUnknownToken: no card has this token.
	CodeUnknownToken = "unknown_token"
)

// RequestError is a 4xx answer: the network refused the request, and it had no effect. The one exception is
// CodeInProgress, which is an ErrUnknownOutcome as well: another request with the same key may yet have it.
type RequestError struct {
	// Status is the HTTP status, 400 to 499 except 402.
	Status int
	// Code is the network's machine-readable reason; "unexplained" when it gave none.
	Code    string
	Message string
}

// Error implements error.
func (e *RequestError) Error() string {
	return fmt.Sprintf("card network: %d %s: %s", e.Status, e.Code, e.Message)
}

// Is makes a request in progress an unknown outcome for errors.Is.
func (e *RequestError) Is(target error) bool {
	return target == ErrUnknownOutcome && e.inProgress()
}

func (e *RequestError) inProgress() bool {
	return e.Status == http.StatusConflict && e.Code == CodeInProgress
}
