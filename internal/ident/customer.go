package ident

import (
	"crypto/rand"
	"encoding/base32"
	"errors"
	"fmt"
	"strings"

	"github.com/cespare/xxhash/v2"
)

// ErrMalformed: the text is no identifier of this kind.
var ErrMalformed = errors.New("malformed identifier")

// Slot of a ring, 0 to Slots-1.
type Slot uint16

// CustomerID of a customer or a guest. Only values from Parse, NewCustomer and NewGuest are valid.
type CustomerID string

// randomBytes of an id: 120 bits, so that ids never meet and cannot be guessed; 24 characters.
const (
	randomBytes  = 15
	randomLength = randomBytes * 8 / 5
)

// randomByte is true of digits and lower-case letters: more than are made, so that a reader needs no other rule.
var randomByte = func() (in [256]bool) {
	for c := range 256 {
		in[c] = c >= '0' && c <= '9' || c >= 'a' && c <= 'z'
	}
	return in
}()

var lowerBase32 = base32.NewEncoding("0123456789abcdefghjkmnpqrstvwxyz").WithPadding(base32.NoPadding)

// NewCustomer makes the id of a new customer of a ring.
func NewCustomer(ring RingCode) CustomerID { return newID("c", ring) }

// NewGuest makes the id of a new guest of a ring.
func NewGuest(ring RingCode) CustomerID { return newID("g", ring) }

func newID(kind string, ring RingCode) CustomerID {
	return CustomerID(kind + "-" + string(ring) + "-" + NewToken())
}

// NewToken is a random text of 24 characters (120 bits) for ids that need no ring.
func NewToken() string {
	var b [randomBytes]byte
	// crypto/rand.Read never fails: the program stops if the system has no randomness.
	_, _ = rand.Read(b[:])
	return lowerBase32.EncodeToString(b[:])
}

// Parse checks an id that came from outside. It does not allocate for a valid one.
func Parse(s string) (CustomerID, error) {
	if len(s) < 4 || len(s) > 40 || s[1] != '-' || (s[0] != 'c' && s[0] != 'g') {
		return "", fmt.Errorf("customer id: %w", ErrMalformed)
	}
	dash := len(s) - randomLength - 1
	if dash < 2 || s[dash] != '-' || regionOf(s[2:dash]) == "" {
		return "", fmt.Errorf("customer id: %w", ErrMalformed)
	}
	for i := dash + 1; i < len(s); i++ {
		if !randomByte[s[i]] {
			return "", fmt.Errorf("customer id: %w", ErrMalformed)
		}
	}
	return CustomerID(s), nil
}

// Guest tells a guest from a customer.
func (id CustomerID) Guest() bool { return strings.HasPrefix(string(id), "g-") }

// Ring in whose region the customer's rows are homed.
func (id CustomerID) Ring() RingCode {
	dash := len(id) - randomLength - 1
	if dash < 2 {
		return ""
	}
	return RingCode(id[2:dash])
}

// Region in which the customer's rows are homed.
func (id CustomerID) Region() Region { return regionOf(string(id.Ring())) }

// Slot is the top 12 bits of the id's xxHash64.
func (id CustomerID) Slot() Slot { return Slot(xxhash.Sum64String(string(id)) >> 52) }
