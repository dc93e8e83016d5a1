package sandbox

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
)

const (
	// maxBodyBytes is generous: our largest request is under 1 KiB.
	maxBodyBytes = 64 << 10
	// maxKey in bytes, as clients of such networks expect.
	maxKey = 255
)

// decode reads exactly one JSON value of known fields into v. Errors never quote the input: it may be a card number.
func decode(body io.Reader, v any) error {
	decoder := json.NewDecoder(body)
	decoder.DisallowUnknownFields()
	err := decoder.Decode(v)
	if err == nil {
		// Reading to the end also lets the server notice a client that hangs up later.
		if _, err = decoder.Token(); errors.Is(err, io.EOF) {
			return nil
		}
		if err == nil {
			err = errors.New("more than one value")
		}
	}
	var tooLarge *http.MaxBytesError
	var wrongType *json.UnmarshalTypeError
	switch {
	case errors.As(err, &tooLarge):
		return &refusal{http.StatusRequestEntityTooLarge, "body_too_large", "the body must be at most 64 KiB"}
	case errors.As(err, &wrongType):
		return badRequest("invalid_body", "a field has a value of the wrong type: "+wrongType.Field)
	case strings.HasPrefix(err.Error(), "json: unknown field"): // the package has no type for it
		return badRequest("unknown_field", "the body has a field this endpoint does not know")
	default:
		return badRequest("invalid_body", "the body must be one JSON object")
	}
}

// idempotencyKey reads the header of that name, quoted (as the IETF draft has it) or bare.
func idempotencyKey(header http.Header) (string, error) {
	key := header.Get("Idempotency-Key")
	if len(key) >= 2 && key[0] == '"' && key[len(key)-1] == '"' {
		key = key[1 : len(key)-1]
	}
	if key == "" {
		return "", badRequest("idempotency_key_missing", "the header Idempotency-Key is required")
	}
	if len(key) > maxKey {
		return "", badRequest("idempotency_key_invalid", "Idempotency-Key must be at most 255 characters")
	}
	for _, c := range []byte(key) {
		if c <= ' ' || c > '~' {
			return "", badRequest("idempotency_key_invalid", "Idempotency-Key must be visible ASCII")
		}
	}
	return key, nil
}

// writeJSON answers. A failing write means that the client left, which is nobody's error here.
func writeJSON(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v)
}
