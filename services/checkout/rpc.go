package checkout

import (
	"context"
	"crypto/sha256"
	"strconv"
	"strings"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/proto"

	accountv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/account/v1"
	checkoutv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/checkout/v1"
	orderv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/order/v1"
	postalv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/postal/v1"
	"github.com/cellar-commerce/cellar/internal/ident"
	"github.com/cellar-commerce/cellar/internal/problem"
	"github.com/cellar-commerce/cellar/internal/session"
)

const (
	// keyHeader as in the IETF draft "The Idempotency-Key HTTP Header Field".
	keyHeader = "Idempotency-Key"
	maxKey    = 255
	// maxToken bounds a quote token: 200 lines with long titles take some 80 kB.
	maxToken     = 256 << 10
	maxCardToken = 100
	// maxGiftCards of one order, and the longest code that is looked at.
	maxGiftCards    = 3
	maxGiftCardCode = 64
)

// Quote implements CheckoutService.
func (s *Service) Quote(ctx context.Context, req *checkoutv1.QuoteRequest) (*checkoutv1.QuoteResponse, error) {
	p, err := session.Require(ctx)
	if err != nil {
		return nil, err
	}
	shipTo, err := s.destination(ctx, p.CustomerID, req)
	if err != nil {
		return nil, err
	}
	speed := req.GetSpeed()
	if speed == checkoutv1.Speed_SPEED_UNSPECIFIED {
		speed = checkoutv1.Speed_SPEED_STANDARD
	}
	q, err := s.quote(ctx, wish{customer: p.CustomerID, shipTo: shipTo, speed: speed, voucher: normalCode(req.GetVoucherCode())})
	if err != nil {
		return nil, err
	}
	token, err := s.sealer.seal(q)
	if err != nil {
		return nil, err
	}
	return answerOf(q, token), nil
}

// destination is the address given, or the saved one named.
func (s *Service) destination(ctx context.Context, customer ident.CustomerID, req *checkoutv1.QuoteRequest) (*postalv1.PostalAddress, error) {
	var v problem.Violations
	_, known := checkoutv1.Speed_name[int32(req.GetSpeed())]
	v.Check(known, "speed", "must be one of the speeds")
	switch {
	case req.GetAddressId() != "":
		if err := v.Err(); err != nil {
			return nil, err
		}
		resp, err := s.deps.Accounts.ResolveAddress(ctx, &accountv1.ResolveAddressRequest{CustomerId: string(customer), AddressId: req.GetAddressId()})
		return resp.GetAddress(), err
	case req.GetAddress() != nil:
		s.deps.ValidateAddress(&v, "address", req.GetAddress())
	default:
		v.Add("destination", "must be a saved address or one given in full")
	}
	return req.GetAddress(), v.Err()
}

// PlaceOrder implements CheckoutService.
func (s *Service) PlaceOrder(ctx context.Context, req *checkoutv1.PlaceOrderRequest) (*checkoutv1.PlaceOrderResponse, error) {
	who, err := session.Require(ctx)
	if err != nil {
		return nil, err
	}
	key, err := keyOf(ctx)
	if err != nil {
		return nil, err
	}
	fingerprint, err := fingerprintOf(req)
	if err != nil {
		return nil, err
	}
	p := placement{customer: who.CustomerID, key: key, fingerprint: fingerprint}
	err = s.prepare(ctx, &p, req)
	var o *orderv1.Order
	if err == nil {
		o, err = s.place(ctx, p)
	} else {
		o, err = s.answerOr(ctx, p, err)
	}
	if err != nil {
		return nil, err
	}
	return &checkoutv1.PlaceOrderResponse{Order: o}, nil
}

// prepare a placement of what is asked for.
func (s *Service) prepare(ctx context.Context, p *placement, req *checkoutv1.PlaceOrderRequest) (err error) {
	if p.quote, err = s.openQuote(p.customer, req.GetQuoteToken()); err != nil {
		return err
	}
	if p.cardToken, err = s.card(ctx, p.customer, req); err != nil {
		return err
	}
	p.giftCards, p.wallet = req.GetGiftCardCodes(), req.GetUseWallet()
	return s.passOnPrices(ctx, p.quote)
}

// keyOf a request: bare, or quoted as a structured field string.
func keyOf(ctx context.Context) (string, error) {
	var raw string
	if info, ok := connect.CallInfoForHandlerContext(ctx); ok {
		raw = info.RequestHeader().Get(keyHeader)
	}
	return parseKey(raw)
}

func parseKey(raw string) (string, error) {
	key := strings.TrimSpace(raw)
	if len(key) >= 2 && key[0] == '"' && key[len(key)-1] == '"' {
		key = key[1 : len(key)-1]
	}
	if key == "" {
		return "", problem.New(problem.Invalid, "IDEMPOTENCY_KEY_MISSING", "the header Idempotency-Key is required")
	}
	printable := strings.IndexFunc(key, func(r rune) bool { return r < 0x20 || r > 0x7e || r == '"' }) < 0
	if len(key) > maxKey || !printable {
		return "", problem.New(problem.Invalid, "IDEMPOTENCY_KEY_MALFORMED", "the idempotency key must be 1 to 255 printable ASCII characters")
	}
	return key, nil
}

// fingerprintOf a request's content.
func fingerprintOf(req *checkoutv1.PlaceOrderRequest) ([]byte, error) {
	b, err := proto.MarshalOptions{Deterministic: true}.Marshal(req)
	sum := sha256.Sum256(b)
	return sum[:], err
}

func (s *Service) openQuote(customer ident.CustomerID, token string) (*checkoutv1.QuoteSnapshot, error) {
	var v problem.Violations
	v.Check(token != "" && len(token) <= maxToken, "quote_token", "must be the token of a quote")
	if err := v.Err(); err != nil {
		return nil, err
	}
	q, err := s.sealer.open(token)
	if err != nil {
		return nil, err
	}
	if q.GetCustomerId() != string(customer) {
		return nil, problem.New(problem.Denied, "FOREIGN_QUOTE", "this quote was made for somebody else")
	}
	if !s.deps.Clock.Now().Before(q.GetExpiresAt().AsTime()) {
		return nil, problem.New(problem.Precondition, "QUOTE_EXPIRED", "the quote has expired; ask for a new one")
	}
	return q, nil
}

// card is the token to charge; empty when gift cards and the wallet are to pay it all.
func (s *Service) card(ctx context.Context, customer ident.CustomerID, req *checkoutv1.PlaceOrderRequest) (string, error) {
	var v problem.Violations
	v.Check(len(req.GetGiftCardCodes()) <= maxGiftCards, "gift_card_codes", "must be at most 3")
	seen := map[string]bool{}
	for i, code := range req.GetGiftCardCodes() {
		v.Check(code != "" && len(code) <= maxGiftCardCode && !seen[code], "gift_card_codes["+strconv.Itoa(i)+"]", "must be the code of a gift card, each once")
		seen[code] = true
	}
	token, others := req.GetCardToken(), len(req.GetGiftCardCodes()) > 0 || req.GetUseWallet()
	switch {
	case req.GetPaymentMethodId() != "", req.GetPayment() == nil && others:
	default:
		v.Check(strings.HasPrefix(token, "tok_") && len(token) <= maxCardToken, "payment", "must be a saved payment method, or a token of the card network")
	}
	if err := v.Err(); err != nil || req.GetPaymentMethodId() == "" {
		return token, err
	}
	resp, err := s.deps.Accounts.ResolvePaymentMethod(ctx, &accountv1.ResolvePaymentMethodRequest{CustomerId: string(customer), PaymentMethodId: req.GetPaymentMethodId()})
	return resp.GetCardToken(), err
}

// GetCheckout implements CheckoutService.
func (s *Service) GetCheckout(ctx context.Context, req *checkoutv1.GetCheckoutRequest) (*checkoutv1.GetCheckoutResponse, error) {
	who, err := session.Require(ctx)
	if err != nil {
		return nil, err
	}
	key, err := parseKey(req.GetIdempotencyKey())
	if err != nil {
		return nil, err
	}
	k, err := s.recall(ctx, s.deps.DB, who.CustomerID, key)
	if err != nil {
		return nil, err
	}
	if k == nil {
		return nil, problem.New(problem.NotFound, "UNKNOWN_CHECKOUT", "nothing was ordered under this key, or it has expired")
	}
	resp := &checkoutv1.GetCheckoutResponse{State: checkoutv1.State_STATE_IN_PROGRESS, OrderId: k.orderID}
	switch {
	case k.placed != nil:
		resp.State = checkoutv1.State_STATE_PLACED
	case k.refusal != nil:
		resp.State, resp.FailureReason = checkoutv1.State_STATE_FAILED, problem.Decode(k.refusal).Reason
	}
	return resp, nil
}
