package storefront

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"time"

	"connectrpc.com/connect"

	"github.com/cellar-commerce/cellar/internal/fence"
	accountv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/account/v1"
	cartv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/cart/v1"
	checkoutv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/checkout/v1"
	"github.com/cellar-commerce/cellar/internal/ident"
	"github.com/cellar-commerce/cellar/internal/money"
	"github.com/cellar-commerce/cellar/internal/problem"
	"github.com/cellar-commerce/cellar/internal/session"
)

const (
	// placeFor is how long a browser waits for the order before it is led to the page that asks what became of it.
	placeFor = 8 * time.Second
	// keyHeader makes an order one, however often it is sent.
	keyHeader = "Idempotency-Key"
	// maxGiftCards of one order, as the service takes them.
	maxGiftCards = 10
)

// delivery is the first step of a checkout: where to, how fast, with which voucher.
type delivery struct {
	Chrome    chrome
	Saved     []*accountv1.Address
	Chosen    string
	Fields    []field
	Countries []choice
	Express   bool
	Prime     primeShare
	Voucher   field
	Guest     bool
}

// checkout asks where to.
func (s *Service) checkout(w http.ResponseWriter, r *http.Request) error {
	cart, err := s.cartOf(r.Context())
	if err != nil {
		return err
	}
	if len(cart.GetLines()) == 0 {
		lead(w, r, "/cart", "")
		return nil
	}
	return s.drawDelivery(w, r, http.StatusOK, cart, nil)
}

// deliveryRefused shows where to and how fast again, with what is wrong.
func (s *Service) deliveryRefused(w http.ResponseWriter, r *http.Request, problems []wrong) error {
	cart, err := s.cartOf(r.Context())
	if err != nil {
		return err
	}
	return s.drawDelivery(w, r, http.StatusUnprocessableEntity, cart, problems)
}

// drawDelivery of a cart as it was typed, with what is wrong. What is all Prime comes fast unless something else was chosen.
func (s *Service) drawDelivery(w http.ResponseWriter, r *http.Request, status int, cart *cartv1.Cart, problems []wrong) error {
	saved, err := s.savedAddresses(r.Context())
	if err != nil {
		return err
	}
	c := s.chromeOf(r)
	c.NoIndex, c.Problems = true, problems
	typed, speed, prime := addressOf(r), r.PostFormValue("speed"), primeOfCart(cart)
	d := delivery{
		Chrome: c, Saved: saved, Chosen: r.PostFormValue("address"), Fields: withWrongs(addressFields(typed), problems), Countries: countries(typed.GetRegionCode()),
		Express: speed == "express" || (speed == "" && prime.All), Prime: prime, Guest: !c.SignedIn,
		Voucher: withWrongs([]field{{ID: "voucher", Label: "Voucher code (optional)", Value: r.PostFormValue("voucher"), MaxLength: 32}}, problems)[0],
	}
	if d.Chosen == "" && len(saved) > 0 {
		d.Chosen = saved[0].GetAddressId()
	}
	return s.draw(w, r, status, "delivery", d)
}

// savedAddresses of an account; a guest has none.
func (s *Service) savedAddresses(ctx context.Context) ([]*accountv1.Address, error) {
	if who, found := session.From(ctx); !found || who.Guest() {
		return nil, nil
	}
	resp, err := s.deps.Accounts.ListAddresses(ctx, &accountv1.ListAddressesRequest{})
	return resp.GetAddresses(), err
}

// payment is the second step: everything as it will be charged, and how to pay.
type payment struct {
	Chrome    chrome
	Quote     *checkoutv1.QuoteResponse
	Lines     []quoteLine
	Prime     primeShare
	Key       string
	Cards     []*accountv1.PaymentMethod
	TestCards []choice
	Wallet    bool
	Gift      field
	// Back are the first step's fields, for changing it.
	Back []field
}

type quoteLine struct {
	Line                *checkoutv1.QuoteLine
	Image, Link         string
	Price, Sum, Savings string
}

// review prices the cart for a destination and shows all of it before anything is ordered. It reserves nothing, so that it
// may be sent again.
func (s *Service) review(w http.ResponseWriter, r *http.Request) error {
	quote, err := s.deps.Checkout.Quote(r.Context(), wished(r))
	if short := shortOf(err); len(short) > 0 {
		return s.drawCart(w, r, http.StatusUnprocessableEntity, short)
	}
	if refusedForm(err) {
		all := wrongs(err, addressNames)
		if p := problem.As(err); strings.HasPrefix(p.Reason, "VOUCHER_") && len(all) == 1 {
			all[0].Field = "voucher"
		}
		return s.deliveryRefused(w, r, all)
	}
	if err != nil {
		return err
	}
	return s.drawPayment(w, r, http.StatusOK, quote, ident.NewToken(), nil)
}

func (s *Service) drawPayment(w http.ResponseWriter, r *http.Request, status int, quote *checkoutv1.QuoteResponse, key string, problems []wrong) error {
	p := payment{Chrome: s.chromeOf(r), Quote: quote, Prime: primeOf(quote.GetLines()), Key: key, TestCards: s.testCards(r.PostFormValue("card")), Wallet: r.PostFormValue("wallet") != ""}
	p.Chrome.NoIndex, p.Chrome.Problems = true, problems
	p.Gift = withWrongs([]field{{ID: "gift", Label: "Gift card codes (optional)", Hint: "Up to ten, with spaces between them. The card pays what they do not.", Value: r.PostFormValue("gift"), MaxLength: 400}}, problems)[0]
	if p.Chrome.SignedIn {
		resp, err := s.deps.Accounts.ListPaymentMethods(r.Context(), &accountv1.ListPaymentMethodsRequest{})
		if err != nil {
			return err
		}
		p.Cards = resp.GetPaymentMethods()
	}
	for _, l := range quote.GetLines() {
		p.Lines = append(p.Lines, shownQuoteLine(l))
	}
	for _, name := range []string{"address", "recipient", "line1", "line2", "locality", "area", "postal", "country", "phone", "speed", "voucher"} {
		p.Back = append(p.Back, field{ID: name, Value: r.PostFormValue(name)})
	}
	return s.draw(w, r, status, "payment", p)
}

func shownQuoteLine(l *checkoutv1.QuoteLine) quoteLine {
	shown := quoteLine{Line: l, Image: picture(l.GetSku()), Link: productLink(l.GetSku()), Price: price(l.GetUnitPrice())}
	if sum, err := money.FromProto(l.GetUnitPrice()).Times(l.GetQuantity()); err == nil {
		shown.Sum = price(sum.Proto())
	}
	if l.GetDiscount().GetMinorUnits() > 0 {
		shown.Savings = price(l.GetDiscount())
	}
	return shown
}

// placeOrder places it, once for the key in the form's address, where routers see it: they send again what was lost.
func (s *Service) placeOrder(w http.ResponseWriter, r *http.Request) error {
	key := r.URL.Query().Get("key")
	req := &checkoutv1.PlaceOrderRequest{QuoteToken: r.PostFormValue("quote"), UseWallet: r.PostFormValue("wallet") != ""}
	req.GiftCardCodes = strings.Fields(r.PostFormValue("gift"))
	req.GiftCardCodes = req.GiftCardCodes[:min(len(req.GiftCardCodes), maxGiftCards)]
	switch kind, value, _ := strings.Cut(r.PostFormValue("card"), ":"); kind {
	case "saved":
		req.Payment = &checkoutv1.PlaceOrderRequest_PaymentMethodId{PaymentMethodId: value}
	case "token":
		req.Payment = &checkoutv1.PlaceOrderRequest_CardToken{CardToken: value}
	}
	ctx, cancel := context.WithTimeout(r.Context(), placeFor)
	defer cancel()
	ctx, call := connect.NewClientContext(ctx)
	call.RequestHeader().Set(keyHeader, key)
	resp, err := s.deps.Checkout.PlaceOrder(ctx, req)
	switch {
	case err == nil:
		rememberCart(w, 0)
		lead(w, r, "/orders/"+url.PathEscape(resp.GetOrder().GetOrderId())+"?placed=1", "")
		return nil
	case unsure(err):
		lead(w, r, "/checkout/"+url.PathEscape(key), "")
		return nil
	case refusedForm(err):
		return s.notPlaced(w, r, err)
	default:
		return err
	}
}

// wished is what the first step's form asks for.
func wished(r *http.Request) *checkoutv1.QuoteRequest {
	req := &checkoutv1.QuoteRequest{Speed: checkoutv1.Speed_SPEED_STANDARD, VoucherCode: strings.TrimSpace(r.PostFormValue("voucher"))}
	if r.PostFormValue("speed") == "express" {
		req.Speed = checkoutv1.Speed_SPEED_EXPRESS
	}
	if id := r.PostFormValue("address"); id != "" && id != "new" {
		req.Destination = &checkoutv1.QuoteRequest_AddressId{AddressId: id}
	} else {
		req.Destination = &checkoutv1.QuoteRequest_Address{Address: addressOf(r)}
	}
	return req
}

// unsure tells whether the order may have been placed all the same: its key must be asked.
func unsure(err error) bool {
	if problem.Is(err, "CHECKOUT_IN_PROGRESS") || errors.Is(err, context.DeadlineExceeded) || connect.CodeOf(err) == connect.CodeDeadlineExceeded {
		return true
	}
	return problem.KindOf(err) == problem.Unavailable && !problem.Is(err, fence.ReasonWrongCell) && !problem.Is(err, "CELL_BUSY")
}

// notPlaced prices the cart anew where that may help, and shows it with what went wrong; nothing was taken. The key is new:
// it will be another order.
func (s *Service) notPlaced(w http.ResponseWriter, r *http.Request, cause error) error {
	all := wrongs(cause, map[string]string{"gift_card_codes": "gift"})
	if problem.Is(cause, "UNKNOWN_GIFT_CARD") {
		all[0].Field = "gift"
	}
	if short := shortOf(cause); len(short) > 0 {
		return s.drawCart(w, r, http.StatusUnprocessableEntity, append([]wrong{{Text: "Some of this was sold while you were shopping. Nothing was ordered, and nothing taken."}}, short...))
	}
	quote, err := s.deps.Checkout.Quote(r.Context(), wished(r))
	if refusedForm(err) {
		return s.deliveryRefused(w, r, append(all, wrongs(err, addressNames)...))
	}
	if err != nil {
		return err
	}
	return s.drawPayment(w, r, http.StatusUnprocessableEntity, quote, ident.NewToken(), all)
}

// checkoutStatus tells what became of an order whose answer was lost.
func (s *Service) checkoutStatus(w http.ResponseWriter, r *http.Request) error {
	resp, err := s.deps.Checkout.GetCheckout(r.Context(), &checkoutv1.GetCheckoutRequest{IdempotencyKey: r.PathValue("key")})
	unknown := problem.Is(err, "UNKNOWN_CHECKOUT")
	if err != nil && !unknown {
		return err
	}
	c := s.chromeOf(r)
	c.NoIndex = true
	state := "unknown"
	switch resp.GetState() {
	case checkoutv1.State_STATE_PLACED:
		rememberCart(w, 0)
		lead(w, r, "/orders/"+url.PathEscape(resp.GetOrderId())+"?placed=1", "")
		return nil
	case checkoutv1.State_STATE_FAILED:
		state = "failed"
	case checkoutv1.State_STATE_IN_PROGRESS:
		state, c.Refresh = "checking", "2"
	case checkoutv1.State_STATE_UNSPECIFIED: // nothing is known of it
	}
	text := ""
	if state == "failed" {
		text = sentence(problem.New(problem.Precondition, resp.GetFailureReason(), "it could not be placed"))
	}
	return s.draw(w, r, http.StatusOK, "checking", struct {
		Chrome chrome
		State  string
		Text   string
	}{c, state, text})
}

// testCards of the card network, where they are offered.
func (s *Service) testCards(chosen string) []choice {
	if !s.deps.TestCards {
		return nil
	}
	cards := []choice{
		{Value: "token:tok_visa", Label: "Visa test card: is accepted"}, {Value: "token:tok_mastercard", Label: "Mastercard test card: is accepted"},
		{Value: "token:tok_declined", Label: "Test card: is declined"}, {Value: "token:tok_insufficient_funds", Label: "Test card: has not enough on it"},
		{Value: "token:tok_timeout_after_success", Label: "Test card: its answer gets lost"},
	}
	if chosen == "" {
		chosen = cards[0].Value
	}
	for i := range cards {
		cards[i].Chosen = cards[i].Value == chosen
	}
	return cards
}
