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
	orderv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/order/v1"
	"github.com/cellar-commerce/cellar/internal/problem"
)

const (
	// quoteLifetime gives a shopper time to find the card, and bounds how old a price may be.
	quoteLifetime = 30 * time.Minute
	// minKey is the least length of the signing key in bytes.
	minKey = 32
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

// orderOf a quote: what the order keeps of it, for CreateOrder. Every amount is the quote's; nothing is computed again.
func orderOf(p *checkoutv1.PlacementState) *orderv1.Order {
	q := p.GetQuote()
	o := &orderv1.Order{
		OrderId: p.GetOrderId(), PlacedAt: p.GetPlacedAt(), CustomerId: q.GetCustomerId(), ShipTo: q.GetShipTo(), ItemsTotal: q.GetItemsTotal(), Discount: q.GetDiscount(),
		Shipping: q.GetShipping(), Tax: q.GetTax(), ShippingTax: q.GetShippingTax(), Total: q.GetTotal(),
	}
	for i, l := range q.GetLines() {
		o.Lines = append(o.Lines, &orderv1.Line{
			Line: int32(i + 1), Sku: l.GetSku(), Title: l.GetTitle(), Seller: l.GetSeller(), Quantity: l.GetQuantity(), UnitPrice: l.GetUnitPrice(),
			Discount: l.GetDiscount(), Tax: l.GetTax(),
		})
	}
	return o
}
