package session

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/cellar-commerce/cellar/internal/ident"
	"github.com/cellar-commerce/cellar/internal/problem"
)

const (
	// CookieName of the session in browsers.
	CookieName = "cellar_session"
	// Header in which a newly minted guest session is answered, beside the cookie.
	Header = "Cellar-Session"
	// Lifetime of a token. A guest's cart lives as long.
	Lifetime = 30 * 24 * time.Hour
	// maxToken bounds what is looked at: a valid token has some 130 characters.
	maxToken = 256
	// minKey is the least length of a signing key in bytes: as long as the hash.
	minKey = 32
)

// Signer makes and verifies tokens.
type Signer struct{ keys [][]byte }

// NewSigner signs with the first key and verifies with any; each of at least 32 bytes.
func NewSigner(keys ...[]byte) (*Signer, error) {
	if len(keys) == 0 {
		return nil, errors.New("session: no signing key")
	}
	for _, k := range keys {
		if len(k) < minKey {
			return nil, fmt.Errorf("session: a signing key has %d bytes, at least %d are needed", len(k), minKey)
		}
	}
	return &Signer{keys: keys}, nil
}

// NewID of a session.
func NewID() string { return ident.NewToken() }

// NewIDOf a session of a customer's generation that begins now; see Principal.Generation and Principal.Begun.
func NewIDOf(generation int64, now time.Time) string {
	return strconv.FormatInt(generation, 10) + "-" + strconv.FormatInt(now.Unix(), 10) + "-" + ident.NewToken()
}

// Issue a token for a principal.
func (s *Signer) Issue(p Principal, now time.Time) (token string, expires time.Time) {
	expires = now.Add(Lifetime).Truncate(time.Second)
	body := "v1." + string(p.CustomerID) + "." + p.SessionID + "." + strconv.FormatInt(expires.Unix(), 10)
	return body + "." + base64.RawURLEncoding.EncodeToString(mac(s.keys[0], body)), expires
}

// Verify a token. UNAUTHENTICATED with reason MALFORMED_SESSION, BAD_SESSION or SESSION_EXPIRED.
func (s *Signer) Verify(token string, now time.Time) (Principal, error) {
	parts := strings.Split(token, ".")
	if len(token) > maxToken || len(parts) != 5 || parts[0] != "v1" {
		return Principal{}, problem.New(problem.Unauthenticated, "MALFORMED_SESSION", "the session token is malformed")
	}
	sum, err := base64.RawURLEncoding.DecodeString(parts[4])
	if err != nil || !s.signed(strings.Join(parts[:4], "."), sum) {
		return Principal{}, problem.New(problem.Unauthenticated, "BAD_SESSION", "the session token is not ours")
	}
	id, err := ident.Parse(parts[1])
	expiry, numErr := strconv.ParseInt(parts[3], 10, 64)
	if err != nil || numErr != nil {
		return Principal{}, problem.New(problem.Unauthenticated, "MALFORMED_SESSION", "the session token is malformed")
	}
	if !now.Before(time.Unix(expiry, 0)) {
		return Principal{}, problem.New(problem.Unauthenticated, "SESSION_EXPIRED", "the session has expired; sign in again")
	}
	return Principal{CustomerID: id, SessionID: parts[2]}, nil
}

// Renew a token of which half the lifetime has passed, so that whoever keeps coming stays signed in: the same principal, for
// another lifetime. False where the token is not good, or not half over.
func (s *Signer) Renew(token string, now time.Time) (fresh string, expires time.Time, renewed bool) {
	p, err := s.Verify(token, now)
	if err != nil {
		return "", time.Time{}, false
	}
	if _, err := s.Verify(token, now.Add(Lifetime/2)); err == nil {
		return "", time.Time{}, false
	}
	fresh, expires = s.Issue(p, now)
	return fresh, expires, true
}

func (s *Signer) signed(body string, sum []byte) bool {
	for _, k := range s.keys {
		if hmac.Equal(sum, mac(k, body)) {
			return true
		}
	}
	return false
}

func mac(key []byte, body string) []byte {
	h := hmac.New(sha256.New, key)
	h.Write([]byte(body))
	return h.Sum(nil)
}

// ParseCustomer reads the customer id of a token without verifying anything: good for choosing a cell, for nothing
// else. It does not allocate.
func ParseCustomer(token string) (ident.CustomerID, bool) {
	rest, ok := strings.CutPrefix(token, "v1.")
	if !ok || len(token) > maxToken {
		return "", false
	}
	dot := strings.IndexByte(rest, '.')
	if dot < 0 {
		return "", false
	}
	customer, err := ident.Parse(rest[:dot])
	return customer, err == nil
}
