package account

import (
	"fmt"
	"net/mail"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/cellar-commerce/cellar/internal/ident"
	"github.com/cellar-commerce/cellar/internal/problem"
)

// Limits.
const (
	maxEmail          = 254 // RFC 5321, 4.5.3.1.3, without the angle brackets
	minPassword       = 10
	maxPassword       = 128
	maxName           = 120
	maxAddresses      = 50
	maxPaymentMethods = 20
	maxPasskeys       = 20
	maxLabel          = 60
	maxCardToken      = 100
)

// Account of a customer.
type Account struct {
	CustomerID   ident.CustomerID
	Email        string
	Name         string
	PasswordHash string
	CreatedAt    time.Time
	// Generation of the sessions that are good.
	Generation int64
	// VerifiedAt is when the address was shown to be the customer's, ErasedAt when the account was erased; nil before.
	VerifiedAt, ErasedAt *time.Time
}

// normalEmail gives an address as it is compared: trimmed, lower case. False for what is no address.
func normalEmail(s string) (string, bool) {
	if !utf8.ValidString(s) { // looked at first: ToLower would mend it
		return "", false
	}
	if s = strings.ToLower(strings.TrimSpace(s)); len(s) > maxEmail {
		return "", false
	}
	a, err := mail.ParseAddress(s)
	if err != nil || a.Address != s || a.Name != "" {
		return "", false
	}
	_, domain, _ := strings.Cut(s, "@")
	return s, strings.Contains(domain, ".")
}

func validName(s string) bool { return oneLine(s, maxName) }

// oneLine tells whether a text says something, in one line of at most so many characters.
func oneLine(s string, most int) bool {
	n := utf8.RuneCountInString(s)
	return utf8.ValidString(s) && n >= 1 && n <= most && strings.TrimSpace(s) != "" && !strings.ContainsFunc(s, unicode.IsControl)
}

func validPassword(s string) bool {
	n := utf8.RuneCountInString(s)
	return utf8.ValidString(s) && n >= minPassword && n <= maxPassword
}

// refuseCardNumbers adds a violation for a text that has a card number in it: 13 to 19 digits, perhaps in groups, with
// a right check digit.
func refuseCardNumbers(texts ...string) error {
	for _, s := range texts {
		if hasCardNumber(s) {
			return problem.New(problem.Invalid, "CARD_NUMBER_REFUSED", "never send a card number here; save a token of the card network")
		}
	}
	return nil
}

const (
	minCardDigits = 13
	maxCardDigits = 19
)

// hasCardNumber looks at every run of digits, in which single spaces and hyphens count as nothing.
func hasCardNumber(s string) bool {
	var run []byte
	gap := 0
	for i := range len(s) + 1 {
		if i < len(s) && s[i] >= '0' && s[i] <= '9' {
			run, gap = append(run, s[i]-'0'), 0
			continue
		}
		if i < len(s) && (s[i] == ' ' || s[i] == '-') && gap == 0 && len(run) > 0 {
			gap++
			continue
		}
		if cardNumberIn(run) {
			return true
		}
		run, gap = run[:0], 0
	}
	return false
}

func cardNumberIn(digits []byte) bool {
	for n := minCardDigits; n <= min(maxCardDigits, len(digits)); n++ {
		for from := 0; from+n <= len(digits); from++ {
			if luhn(digits[from : from+n]) {
				return true
			}
		}
	}
	return false
}

// luhn is the check digit of ISO/IEC 7812-1, annex B. All zeros would pass, and are nobody's card.
func luhn(digits []byte) bool {
	sum, any := 0, false
	for i, d := range digits {
		n := int(d)
		any = any || n != 0
		if (len(digits)-i)%2 == 0 {
			if n *= 2; n > 9 {
				n -= 9
			}
		}
		sum += n
	}
	return any && sum%10 == 0
}

// validLabel keeps a payment method's name from saying more than the last four digits.
func validLabel(s string) bool {
	if !oneLine(s, maxLabel) {
		return false
	}
	digits := 0
	for _, r := range s {
		if !unicode.IsDigit(r) {
			digits = 0
			continue
		}
		if digits++; digits > 4 {
			return false
		}
	}
	return true
}

// storable tells whether a key can be one that was given out: the database takes no control characters.
func storable(key string) bool {
	return utf8.ValidString(key) && !strings.ContainsFunc(key, unicode.IsControl)
}

func validCardToken(s string) bool {
	return strings.HasPrefix(s, "tok_") && len(s) <= maxCardToken && !strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r >= 0x7f })
}

func tooManySaved(limit int) error {
	return problem.New(problem.Precondition, "TOO_MANY_SAVED", fmt.Sprintf("at most %d can be saved; delete one first", limit))
}

func badCredentials() error {
	return problem.New(problem.Unauthenticated, "BAD_CREDENTIALS", "the e-mail address or the password is wrong")
}
