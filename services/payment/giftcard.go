package payment

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base32"
	"encoding/hex"
	"strings"

	paymentv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/payment/v1"
	"github.com/cellar-commerce/cellar/internal/ident"
)

// code of a gift card, for example "GC-USE1-7KQ2-M8XD-4T9W-C3HN-R": the ring, 16 characters of 32 (80 bits), and a check
// character over them. It is money: nothing may log or store it.
type code string

const (
	codePrefix = "GC-"
	// codeAlphabet is Crockford's base 32: no I, L, O or U, which are misread.
	codeAlphabet = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
	// codeBytes of randomness: with 10^9 cards in use and a million guesses a second, one is hit in some forty years.
	codeBytes = 10
	// maxCode bounds what is looked at, in characters.
	maxCode = 40
)

var codeEncoding = base32.NewEncoding(codeAlphabet).WithPadding(base32.NoPadding)

// newCode derives the code of an issue. Who knows the key can make it again, so that an issue that is asked for twice is
// answered alike although the code is stored nowhere; who does not know the key cannot tell it from a random one.
func newCode(key []byte, ring ident.RingCode, issueID string) code {
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte("gift card\x00" + string(ring) + "\x00" + issueID))
	return formatCode(ring, codeEncoding.EncodeToString(mac.Sum(nil)[:codeBytes]))
}

func formatCode(ring ident.RingCode, random string) code {
	var b strings.Builder
	b.WriteString(codePrefix + strings.ToUpper(string(ring)))
	for i := 0; i < len(random); i += 4 {
		b.WriteString("-" + random[i:i+4])
	}
	b.WriteString("-")
	b.WriteByte(codeCheck(random))
	return code(b.String())
}

// codeCheck is the sum of the characters' values, each times its place, modulo 31, as in order ids.
func codeCheck(random string) byte {
	sum := 0
	for i := range len(random) {
		sum += (i + 1) * strings.IndexByte(codeAlphabet, random[i])
	}
	return codeAlphabet[sum%31]
}

// parseCode reads a code from outside. Case, missing dashes, blanks, and the letters that are misread (I and L for 1, O
// for 0) are forgiven.
func parseCode(s string) (account, bool) {
	if len(s) > maxCode {
		return account{}, false
	}
	s = strings.NewReplacer("-", "", " ", "").Replace(strings.ToUpper(s))
	const random = codeBytes * 8 / 5
	head := len(s) - random - 1
	if head < 0 || !strings.HasPrefix(s, "GC") || head < len("GC") {
		return account{}, false
	}
	ring := ident.RingCode(strings.ToLower(s[len("GC"):head]))
	rest := strings.NewReplacer("I", "1", "L", "1", "O", "0").Replace(s[head:])
	for i := range len(rest) {
		if strings.IndexByte(codeAlphabet, rest[i]) < 0 {
			return account{}, false
		}
	}
	region, known := regionOf(ring)
	if !known || codeCheck(rest[:random]) != rest[random] {
		return account{}, false
	}
	return formatCode(ring, rest[:random]).account(region), true
}

func regionOf(ring ident.RingCode) (ident.Region, bool) {
	for _, region := range ident.Regions() {
		if code, _ := region.Code(); code == ring {
			return region, true
		}
	}
	return "", false
}

// account of a gift card. The hash is not salted: the code is too random to be guessed from it.
func (c code) account(region ident.Region) account {
	sum := sha256.Sum256([]byte(c))
	return account{region: region, name: giftCardPrefix + hex.EncodeToString(sum[:])}
}

// account of the ledger: who has the money. Its rows are homed in the region.
type account struct {
	region ident.Region
	name   string
}

const (
	giftCardPrefix = "gift_card/"
	walletPrefix   = "wallet/"
	orderPrefix    = "order/"
	// issued and credited are what the company owes to holders of gift cards and wallets, as negative sums.
	issued   = "issued"
	credited = "credited"
)

func walletOf(customer ident.CustomerID) account {
	return account{region: customer.Region(), name: walletPrefix + string(customer)}
}

func orderAccount(order ident.OrderID) account {
	return account{region: order.Region(), name: orderPrefix + string(order)}
}

func (a account) isWallet() bool { return strings.HasPrefix(a.name, walletPrefix) }

// owner of a wallet.
func (a account) owner() string { return strings.TrimPrefix(a.name, walletPrefix) }

// hash of a gift card's code.
func (a account) hash() []byte {
	// Names are made in this file: what follows the prefix is hexadecimal.
	b, _ := hex.DecodeString(strings.TrimPrefix(a.name, giftCardPrefix))
	return b
}

// tender as it may be shown: of a gift card only the ring.
func (a account) tender() *paymentv1.Tender {
	if a.isWallet() {
		return &paymentv1.Tender{Means: &paymentv1.Tender_Wallet{Wallet: true}}
	}
	ring, _ := a.region.Code()
	return &paymentv1.Tender{Means: &paymentv1.Tender_GiftCardCode{GiftCardCode: codePrefix + strings.ToUpper(string(ring))}}
}
