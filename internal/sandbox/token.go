package sandbox

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"strconv"
	"strings"
	"time"
)

// behaviour is what a token makes of a charge. The numbers are written into minted tokens: never renumber them.
type behaviour uint8

const (
	approve behaviour = iota
	declineCard
	declineFunds
	declineExpired
	slow
	timeoutAfterSuccess
	unavailableOnce
	unavailableAlways
	errorAfterSuccess
	behaviourEnd // one past the last
)

// declineCode the issuer gives, empty when it approves.
func (b behaviour) declineCode() string {
	switch b {
	case declineCard:
		return codeCardDeclined
	case declineFunds:
		return "insufficient_funds"
	case declineExpired:
		return "expired_card"
	default:
		return ""
	}
}

// codeCardDeclined is the decline that gives no reason; injected declines use it too.
const codeCardDeclined = "card_declined"

// wellKnownTokens exist without a call, so that a test or a seed needs no card number.
var wellKnownTokens = map[string]behaviour{
	"tok_visa":                  approve,
	"tok_mastercard":            approve,
	"tok_declined":              declineCard,
	"tok_insufficient_funds":    declineFunds,
	"tok_expired_card":          declineExpired,
	"tok_slow":                  slow,
	"tok_timeout_after_success": timeoutAfterSuccess,
	"tok_unavailable_once":      unavailableOnce,
	"tok_unavailable":           unavailableAlways,
	"tok_error_after_success":   errorAfterSuccess,
}

// testNumbers are the card numbers that do anything but approve.
var testNumbers = map[string]behaviour{
	"4000000000000002": declineCard,
	"4000000000009995": declineFunds,
	"4000000000000069": declineExpired,
	"4000000000001000": slow,
	"4000000000002008": timeoutAfterSuccess,
	"4000000000003006": unavailableOnce,
	"4000000000004004": unavailableAlways,
	"4000000000005001": errorAfterSuccess,
}

// brands by the number they have in a minted token: never reorder them.
var brands = []string{"unknown", "visa", "mastercard", "amex", "discover"}

// brandRanges are the issuer ranges of ISO/IEC 7812 we tell apart, each as an inclusive range of leading digits.
var brandRanges = []struct {
	digits, low, high int
	brand             uint8
}{
	{1, 4, 4, 1},
	{2, 51, 55, 2},
	{4, 2221, 2720, 2},
	{2, 34, 34, 3},
	{2, 37, 37, 3},
	{4, 6011, 6011, 4},
	{2, 65, 65, 4},
}

// card is all the network remembers of a card number.
type card struct {
	behaviour behaviour
	brand     uint8
	last4     uint16
}

const (
	minNumberLength = 12 // shortest and longest account number of ISO/IEC 7812
	maxNumberLength = 19
	maxYearsAhead   = 20 // cards are issued for less; a later year is a typing error
	minYear         = 2000
)

// tokenRequest is the body of POST /v1/tokens. It is the only place a card number ever is: it must not be logged.
type tokenRequest struct {
	Number   string `json:"number"`
	ExpMonth int    `json:"exp_month"`
	ExpYear  int    `json:"exp_year"`
	CVC      string `json:"cvc"`
}

// card checks the request as of now.
func (q tokenRequest) card(now time.Time) (card, error) {
	number := strings.NewReplacer(" ", "", "-", "").Replace(q.Number)
	if len(number) < minNumberLength || len(number) > maxNumberLength || !luhn(number) {
		return card{}, unprocessable("invalid_number", "the card number is not valid")
	}
	if q.ExpMonth < 1 || q.ExpMonth > 12 || q.ExpYear < minYear || q.ExpYear > now.UTC().Year()+maxYearsAhead {
		return card{}, unprocessable("invalid_expiry", "exp_month must be 1 to 12 and exp_year a year of four digits")
	}
	// A card is good to the last day of its month. Month 13 is next January: time.Date normalises.
	firstBadDay := time.Date(q.ExpYear, time.Month(q.ExpMonth+1), 1, 0, 0, 0, 0, time.UTC)
	if !now.Before(firstBadDay) {
		return card{}, unprocessable("expired_card", "the card has expired")
	}
	if len(q.CVC) < 3 || len(q.CVC) > 4 || !digitsOnly(q.CVC) {
		return card{}, unprocessable("invalid_cvc", "cvc must be 3 or 4 digits")
	}
	last4, err := strconv.ParseUint(number[len(number)-4:], 10, 16)
	if err != nil {
		return card{}, unprocessable("invalid_number", "the card number is not valid")
	}
	return card{behaviour: testNumbers[number], brand: brandOf(number), last4: uint16(last4)}, nil
}

// luhn tells whether number is all digits and its check digit right (ISO/IEC 7812-1, annex B).
func luhn(number string) bool {
	if !digitsOnly(number) {
		return false
	}
	sum := 0
	for i := range len(number) {
		digit := int(number[len(number)-1-i] - '0')
		if i%2 == 1 {
			if digit *= 2; digit > 9 {
				digit -= 9
			}
		}
		sum += digit
	}
	return sum%10 == 0
}

func digitsOnly(s string) bool {
	return s != "" && strings.Trim(s, "0123456789") == ""
}

// brandOf takes a number that is all digits and at least minNumberLength long.
func brandOf(number string) uint8 {
	for _, r := range brandRanges {
		prefix, err := strconv.Atoi(number[:r.digits])
		if err == nil && prefix >= r.low && prefix <= r.high {
			return r.brand
		}
	}
	return 0
}

const (
	tokenPrefix   = "tok_"
	tokenPayload  = 12 // bytes: behaviour, brand, last four as a number (2), random (8)
	tokenChecksum = 4  // bytes: tells a mistyped token from a minted one
)

// mint makes a token for c. Two tokens of one card differ, as those of a real network do.
func mint(c card) string {
	raw := make([]byte, tokenPayload, tokenPayload+tokenChecksum)
	raw[0], raw[1] = byte(c.behaviour), c.brand
	binary.BigEndian.PutUint16(raw[2:], c.last4)
	_, _ = rand.Read(raw[4:]) // never fails: the standard library ends the process first
	return tokenPrefix + hex.EncodeToString(append(raw, checksum(raw)...))
}

// resolve finds what token makes of a charge.
func resolve(token string) (behaviour, error) {
	if b, ok := wellKnownTokens[token]; ok {
		return b, nil
	}
	unknown := unprocessable("unknown_token", "no card has this token")
	digits, ok := strings.CutPrefix(token, tokenPrefix)
	if !ok {
		return 0, unknown
	}
	raw, err := hex.DecodeString(digits)
	if err != nil || len(raw) != tokenPayload+tokenChecksum || string(checksum(raw[:tokenPayload])) != string(raw[tokenPayload:]) {
		return 0, unknown
	}
	if b := behaviour(raw[0]); b < behaviourEnd {
		return b, nil
	}
	return 0, unknown
}

func checksum(payload []byte) []byte {
	sum := sha256.Sum256(append([]byte("cellar sandbox token\x00"), payload...))
	return sum[:tokenChecksum]
}
