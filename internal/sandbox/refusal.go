package sandbox

import (
	"errors"
	"log/slog"
	"net/http"
)

// refusal is an answer other than success. Outsiders see its code and message, so neither may quote what they sent:
// a body can hold a card number.
type refusal struct {
	status  int
	code    string
	message string
}

// Error implements error.
func (r *refusal) Error() string { return r.code + ": " + r.message }

func badRequest(code, message string) error {
	return &refusal{http.StatusBadRequest, code, message}
}

func notFound(code, message string) error {
	return &refusal{http.StatusNotFound, code, message}
}

func conflict(code, message string) error {
	return &refusal{http.StatusConflict, code, message}
}

func unprocessable(code, message string) error {
	return &refusal{http.StatusUnprocessableEntity, code, message}
}

func notAvailable(code, message string) error {
	return &refusal{http.StatusServiceUnavailable, code, message}
}

// errorBody is how every refusal looks on the wire.
type errorBody struct {
	Error struct {
		Code    string `json:"code"`
		Message string `json:"message"`
	} `json:"error"`
}

// refuse answers with err. What is not a refusal is our own failure: its text goes to the log only.
func refuse(w http.ResponseWriter, log *slog.Logger, err error) {
	var known *refusal
	if !errors.As(err, &known) {
		log.Error("request failed", "error", err)
		known = &refusal{http.StatusInternalServerError, "internal", "the network failed"}
	}
	var body errorBody
	body.Error.Code, body.Error.Message = known.code, known.message
	writeJSON(w, known.status, body)
}
