package checkout

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"strings"
	"time"

	"google.golang.org/protobuf/proto"

	checkoutv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/checkout/v1"
	"github.com/cellar-commerce/cellar/internal/money"
	"github.com/cellar-commerce/cellar/internal/problem"
)

const (
	// quoteLifetime gives a shopper time to find the card, and bounds how old a price may be.
	quoteLifetime = 30 * time.Minute
	// minKey is the least length of the signing key in bytes.
	minKey = 32
	// freeShippingFrom and the fees are in minor units of the order's currency.
	freeShippingFrom = 35_00
	standardFee      = 4_99
	expressFee       = 12_99
)

// sealer signs quotes, so that their bearer cannot change them.
type sealer struct{ key []byte }

func (s sealer) seal(q *checkoutv1.QuoteSnapshot) (string, error) {
	body, err := proto.Marshal(q)
	if err != nil {
		return "", fmt.Errorf("seal quote: %w", err)
	}
	encoded := base64.RawURLEncoding.EncodeToString(body)
	return encoded + "." + s.mac(encoded), nil
}

// open a token. Invalid MALFORMED_QUOTE for anything that is not one of ours, unchanged.
func (s sealer) open(token string) (*checkoutv1.QuoteSnapshot, error) {
	malformed := problem.New(problem.Invalid, "MALFORMED_QUOTE", "the quote token is not one of ours")
	encoded, sum, found := strings.Cut(token, ".")
	if !found || !hmac.Equal([]byte(sum), []byte(s.mac(encoded))) {
		return nil, malformed
	}
	body, err := base64.RawURLEncoding.DecodeString(encoded)
	if err != nil {
		return nil, malformed
	}
	q := &checkoutv1.QuoteSnapshot{}
	if err := proto.Unmarshal(body, q); err != nil {
		return nil, malformed
	}
	return q, nil
}

// mac as text: it is compared as text too, because several texts decode to the same bytes.
func (s sealer) mac(encoded string) string {
	h := hmac.New(sha256.New, s.key)
	// The prefix keeps a signature made for anything else with this key from passing as a quote's.
	h.Write([]byte("quote/"))
	h.Write([]byte(encoded))
	return base64.RawURLEncoding.EncodeToString(h.Sum(nil))
}

// price adds a quote's lines up, and puts delivery on top. There is no tax yet: its line is zero. Delivery that was
// quoted before stays: a price that falls below the threshold of free shipping must not make the order dearer.
func price(q *checkoutv1.QuoteSnapshot) error {
	if len(q.GetLines()) == 0 {
		return problem.New(problem.Precondition, "CART_EMPTY", "there is nothing in the cart that can be bought")
	}
	items := money.Zero(q.GetLines()[0].GetUnitPrice().GetCurrencyCode())
	for _, l := range q.GetLines() {
		line, err := money.FromProto(l.GetUnitPrice()).Times(l.GetQuantity())
		if err == nil {
			items, err = items.Add(line)
		}
		if err != nil {
			return problem.Wrap(err, problem.Precondition, "AMOUNT_TOO_LARGE", "the cart is worth more than can be charged at once")
		}
	}
	shipping := money.Amount{Minor: shippingFee(q.GetSpeed(), items.Minor), Currency: items.Currency}
	if q.GetShipping() != nil {
		shipping = money.FromProto(q.GetShipping())
	}
	total, err := items.Add(shipping)
	if err != nil {
		return problem.Wrap(err, problem.Precondition, "AMOUNT_TOO_LARGE", "the cart is worth more than can be charged at once")
	}
	q.ItemsTotal, q.Shipping, q.Tax, q.Total = items.Proto(), shipping.Proto(), money.Zero(items.Currency).Proto(), total.Proto()
	return nil
}

func shippingFee(speed checkoutv1.Speed, items int64) int64 {
	switch {
	case speed == checkoutv1.Speed_SPEED_EXPRESS:
		return expressFee
	case items >= freeShippingFrom:
		return 0
	default:
		return standardFee
	}
}
