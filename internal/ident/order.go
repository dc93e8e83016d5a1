package ident

import (
	"crypto/rand"
	"fmt"
	"strings"
)

// OrderID of an order, for example "use1-7KQ2-M8XD-4TRW-C".
type OrderID string

// orderAlphabet is Crockford's base 32: no I, L, O or U, which are misread.
const orderAlphabet = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"

// orderChars is the number of random characters; see the package comment for the odds.
const orderChars = 12

// NewOrder makes the id of a new order of a ring.
func NewOrder(ring RingCode) OrderID {
	var b [orderChars]byte
	_, _ = rand.Read(b[:]) // never fails, see NewToken
	for i := range b {
		b[i] = orderAlphabet[b[i]&31]
	}
	s := string(b[:])
	return OrderID(fmt.Sprintf("%s-%s-%s-%s-%c", ring, s[:4], s[4:8], s[8:], checkCharacter(s)))
}

// ParseOrder checks an order id from outside. Case, and the letters that are misread (I and L for 1, O for 0),
// are forgiven.
func ParseOrder(s string) (OrderID, error) {
	if len(s) > 40 {
		return "", fmt.Errorf("order id: %w", ErrMalformed)
	}
	code, rest, _ := strings.Cut(s, "-")
	code = strings.ToLower(code)
	if regionOf(code) == "" {
		return "", fmt.Errorf("order id: %w", ErrMalformed)
	}
	rest = strings.NewReplacer("I", "1", "L", "1", "O", "0").Replace(strings.ToUpper(rest))
	parts := strings.Split(rest, "-")
	if len(parts) != 4 || len(parts[0]) != 4 || len(parts[1]) != 4 || len(parts[2]) != 4 || len(parts[3]) != 1 {
		return "", fmt.Errorf("order id: %w", ErrMalformed)
	}
	random := parts[0] + parts[1] + parts[2]
	for i := range len(random) {
		if strings.IndexByte(orderAlphabet, random[i]) < 0 {
			return "", fmt.Errorf("order id: %w", ErrMalformed)
		}
	}
	if checkCharacter(random) != parts[3][0] {
		return "", fmt.Errorf("order id: check character: %w", ErrMalformed)
	}
	return OrderID(code + "-" + rest), nil
}

// Ring in whose region the order is homed.
func (id OrderID) Ring() RingCode {
	code, _, _ := strings.Cut(string(id), "-")
	return RingCode(code)
}

// Region in which the order is homed.
func (id OrderID) Region() Region { return regionOf(string(id.Ring())) }

func checkCharacter(random string) byte {
	sum := 0
	for i := range len(random) {
		sum += (i + 1) * strings.IndexByte(orderAlphabet, random[i])
	}
	return orderAlphabet[sum%31]
}
