package shop

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"path"
	"time"

	"connectrpc.com/connect"

	accountv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/account/v1"
	"github.com/cellar-commerce/cellar/internal/gen/cellar/account/v1/accountv1connect"
	cartv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/cart/v1"
	"github.com/cellar-commerce/cellar/internal/gen/cellar/cart/v1/cartv1connect"
	checkoutv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/checkout/v1"
	"github.com/cellar-commerce/cellar/internal/gen/cellar/checkout/v1/checkoutv1connect"
	orderv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/order/v1"
	"github.com/cellar-commerce/cellar/internal/gen/cellar/order/v1/orderv1connect"
	searchv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/search/v1"
	"github.com/cellar-commerce/cellar/internal/gen/cellar/search/v1/searchv1connect"
	"github.com/cellar-commerce/cellar/internal/ident"
	"github.com/cellar-commerce/cellar/internal/problem"
	"github.com/cellar-commerce/cellar/internal/session"
)

// shopper is one person with one browser.
type shopper struct {
	play   *play
	router string
	random *rand.Rand
	token  string // of the session; empty before the first answer

	accounts  accountv1connect.AccountServiceClient
	search    searchv1connect.SearchServiceClient
	carts     cartv1connect.CartServiceClient
	checkouts checkoutv1connect.CheckoutServiceClient
	orders    orderv1connect.OrderServiceClient
}

func newShopper(p *play, router string, random *rand.Rand) *shopper {
	s := &shopper{play: p, router: router, random: random}
	options := append(reading(), connect.WithInterceptors(connect.UnaryInterceptorFunc(s.call)))
	s.accounts = accountv1connect.NewAccountServiceClient(p.http, router, options...)
	s.search = searchv1connect.NewSearchServiceClient(p.http, router, options...)
	s.carts = cartv1connect.NewCartServiceClient(p.http, router, options...)
	s.checkouts = checkoutv1connect.NewCheckoutServiceClient(p.http, router, options...)
	s.orders = orderv1connect.NewOrderServiceClient(p.http, router, options...)
	return s
}

// reading is how shoppers' clients ask: what has no side effects goes as GET, which a router may repeat by itself.
func reading() []connect.ClientOption {
	return []connect.ClientOption{connect.WithHTTPGet(), connect.WithAcceptCompression("gzip", nil, nil)}
}

// call carries the session there and back, and times every request.
func (s *shopper) call(next connect.UnaryFunc) connect.UnaryFunc {
	return func(ctx context.Context, req connect.AnyRequest) (connect.AnyResponse, error) {
		if s.token != "" {
			req.Header().Set("Authorization", "Bearer "+s.token)
		}
		start := time.Now()
		resp, err := next(ctx, req)
		took, customer := time.Since(start), s.token
		s.play.timed(req.Spec().Procedure, took, err)
		if err == nil {
			if token := resp.Header().Get(session.Header); token != "" {
				s.token = token
			}
		}
		if s.play.observe != nil {
			id, _ := session.ParseCustomer(customer)
			s.play.observe(Call{Customer: id, Name: path.Base(req.Spec().Procedure), Began: start, Took: took, Err: err})
		}
		return resp, err
	}
}

// Shares of what shoppers do, in percent.
const (
	signUpShare   = 10
	expressShare  = 20
	declinedShare = 3
	cancelShare   = 2
	maxProducts   = 3
	// returnEvery so many shipped orders one has something sent back.
	returnEvery = 20
)

// visit is one order from the first search to the end.
func (s *shopper) visit(ctx context.Context) (result, error) {
	s.token = ""
	if s.random.IntN(100) < signUpShare {
		if err := s.signUp(ctx); err != nil {
			return result{}, fmt.Errorf("sign up: %w", err)
		}
	}
	if err := s.fillCart(ctx); err != nil {
		return result{}, err
	}
	quote, err := s.quote(ctx)
	if problem.Is(err, "OUT_OF_STOCK") {
		return result{outcome: "OUT_OF_STOCK"}, nil // told before anything is ordered
	}
	if err != nil {
		return result{}, fmt.Errorf("quote: %w", err)
	}
	card := "tok_visa"
	if s.random.IntN(100) < declinedShare {
		card = "tok_declined"
	}
	placed, err := s.place(ctx, &checkoutv1.PlaceOrderRequest{QuoteToken: quote, Payment: &checkoutv1.PlaceOrderRequest_CardToken{CardToken: card}})
	if err == nil && s.random.IntN(100) < cancelShare && placed.outcome == Placed {
		placed.gone = s.cancel(ctx, placed.order)
	}
	return placed, err
}

// cancel an order that was just placed, and note what became of that. It tells whether all of it is canceled.
func (s *shopper) cancel(ctx context.Context, order string) bool {
	var resp *orderv1.CancelOrderResponse
	err := s.play.again(ctx, func() (err error) {
		resp, err = s.orders.CancelOrder(ctx, &orderv1.CancelOrderRequest{OrderId: order, Reason: "changed my mind"})
		return err
	})
	outcome := CanceledWhole
	if len(resp.GetKept()) > 0 {
		outcome = CanceledPart
	}
	if err != nil {
		reason, final := refusal(err)
		if outcome = reason; !final {
			outcome = Unresolved
			s.play.fault("cancel " + order + ": " + err.Error())
		}
	}
	s.play.mu.Lock()
	defer s.play.mu.Unlock()
	s.play.report.Canceled[outcome]++
	return outcome == CanceledWhole
}

// sendBack a unit of the first line that came, once however often it is asked for.
func (s *shopper) sendBack(ctx context.Context, o *orderv1.Order) error {
	for _, l := range o.GetLines() {
		if l.GetCanceled() == l.GetQuantity() {
			continue
		}
		req := &orderv1.ReturnItemsRequest{
			OrderId: o.GetOrderId(), ReturnId: ident.NewToken(), Lines: []*orderv1.ReturnLine{{Line: l.GetLine(), Quantity: 1, Reason: "not what I thought"}},
		}
		var resp *orderv1.ReturnItemsResponse
		err := s.play.again(ctx, func() (err error) {
			resp, err = s.orders.ReturnItems(ctx, req)
			return err
		})
		if err == nil && (!resp.GetReturn().GetDone() || resp.GetReturn().GetRefund().GetMinorUnits() > l.GetUnitPrice().GetMinorUnits()+l.GetTax().GetMinorUnits()) {
			err = fmt.Errorf("a unit of %v is returned as %v", l, resp.GetReturn())
		}
		return err
	}
	return errors.New("an order that was shipped has nothing to return: " + o.GetOrderId())
}

// grab one unit of a sale, as a guest who has just come.
func (s *shopper) grab(ctx context.Context, sku string) (result, error) {
	s.token = ""
	if err := s.add(ctx, sku, 1); err != nil {
		return result{}, fmt.Errorf("add to cart: %w", err)
	}
	quote, err := s.quote(ctx)
	if problem.Is(err, "OUT_OF_STOCK") {
		return result{outcome: "OUT_OF_STOCK"}, nil // told before anything is ordered
	}
	if err != nil {
		return result{}, fmt.Errorf("quote: %w", err)
	}
	return s.place(ctx, &checkoutv1.PlaceOrderRequest{QuoteToken: quote, Payment: &checkoutv1.PlaceOrderRequest_CardToken{CardToken: "tok_visa"}})
}

func (s *shopper) signUp(ctx context.Context) error {
	return s.play.again(ctx, func() error {
		resp, err := s.accounts.SignUp(ctx, &accountv1.SignUpRequest{ // under another address each time: that of a lost answer is taken
			Email: ident.NewToken() + "@shoppers.example", Password: ident.NewToken(), Name: "A Shopper",
		})
		if err == nil {
			s.token = resp.GetSession().GetToken()
		}
		return err
	})
}

// fillCart searches and adds some of what is found.
func (s *shopper) fillCart(ctx context.Context) error {
	for range 1 + s.random.IntN(maxProducts) {
		query := s.play.words[s.random.IntN(len(s.play.words))]
		var found *searchv1.SearchResponse
		err := s.play.again(ctx, func() (err error) {
			found, err = s.search.Search(ctx, &searchv1.SearchRequest{Query: query, PageSize: 24})
			return err
		})
		if err != nil {
			return fmt.Errorf("search: %w", err)
		}
		if len(found.GetHits()) == 0 {
			continue
		}
		// The top of a list is looked at more than its end.
		hit := found.GetHits()[min(s.random.IntN(len(found.GetHits())), s.random.IntN(len(found.GetHits())))]
		if err := s.add(ctx, hit.GetSku(), int64(1+s.random.IntN(2))); err != nil {
			return fmt.Errorf("add to cart: %w", err)
		}
	}
	return nil
}

// add to the cart. Adding twice is not adding once, so when the answer is lost the quantity is set instead.
func (s *shopper) add(ctx context.Context, sku string, quantity int64) error {
	_, err := s.carts.AddItem(ctx, &cartv1.AddItemRequest{Sku: sku, Quantity: quantity})
	if _, final := refusal(err); err == nil || final {
		return err
	}
	return s.play.again(ctx, func() error {
		_, err := s.carts.SetQuantity(ctx, &cartv1.SetQuantityRequest{Sku: sku, Quantity: quantity})
		return err
	})
}

// again tries what may be repeated until there is an answer, as long as a shopper has patience.
func (p *play) again(ctx context.Context, try func() error) error {
	ctx, cancel := context.WithTimeout(ctx, p.patience)
	defer cancel()
	for {
		err := try()
		if err == nil {
			return nil
		}
		if _, final := refusal(err); final || !pause(ctx) {
			return err
		}
	}
}

func (s *shopper) quote(ctx context.Context) (string, error) {
	req := &checkoutv1.QuoteRequest{
		Destination: &checkoutv1.QuoteRequest_Address{Address: destinations[s.random.IntN(len(destinations))]}, Speed: checkoutv1.Speed_SPEED_STANDARD,
	}
	if s.random.IntN(100) < expressShare {
		req.Speed = checkoutv1.Speed_SPEED_EXPRESS
	}
	var resp *checkoutv1.QuoteResponse
	err := s.play.again(ctx, func() (err error) {
		resp, err = s.checkouts.Quote(ctx, req)
		return err
	})
	return resp.GetQuoteToken(), err
}

const (
	// placeTries under one key before GetCheckout is asked.
	placeTries = 3
	// patience of a shopper: a cell that dies is replaced within seconds, on a busy machine within a minute.
	patience   = 2 * time.Minute
	resolveGap = 250 * time.Millisecond
)

// place the order. A lost answer is no answer: the same request goes out again under the same key, as from a browser. What
// became of it is asked in between; when nothing did, it goes out once more.
func (s *shopper) place(ctx context.Context, req *checkoutv1.PlaceOrderRequest) (result, error) {
	key := ident.NewToken()
	start := time.Now()
	ctx, cancel := context.WithTimeout(ctx, s.play.patience)
	defer cancel()
	for {
		for range placeTries {
			call, info := connect.NewClientContext(ctx)
			info.RequestHeader().Set("Idempotency-Key", key)
			resp, err := s.checkouts.PlaceOrder(call, req)
			if err == nil {
				return result{order: resp.GetOrder().GetOrderId(), token: s.token, router: s.router, took: time.Since(start), outcome: Placed}, nil
			}
			if reason, final := refusal(err); final {
				return result{outcome: reason, took: time.Since(start)}, nil
			}
			if problem.Is(err, "CHECKOUT_IN_PROGRESS") || !pause(ctx) {
				break
			}
		}
		r, err := s.resolve(ctx, key, start)
		if err != nil || r.outcome != neverBegan || !pause(ctx) {
			return r, err
		}
	}
}

// refusal tells a "no" of the shop, with its reason, from an answer that leaves the outcome open.
func refusal(err error) (reason string, final bool) {
	p := problem.As(err)
	if p == nil {
		return "", false
	}
	switch p.Kind {
	case problem.Precondition, problem.Invalid, problem.NotFound, problem.Denied, problem.AlreadyExists, problem.Exhausted, problem.Unauthenticated:
		return p.Reason, true
	case problem.Internal, problem.Aborted, problem.Unavailable:
		return "", false
	}
	return "", false
}

// neverBegan is what became of a key that no cell has heard of, however often it was sent.
const neverBegan = "NEVER_BEGAN"

// resolve asks what became of a key until it is known.
func (s *shopper) resolve(ctx context.Context, key string, start time.Time) (result, error) {
	var last error
	for {
		resp, err := s.checkouts.GetCheckout(ctx, &checkoutv1.GetCheckoutRequest{IdempotencyKey: key})
		last = err
		switch {
		case err == nil && resp.GetState() == checkoutv1.State_STATE_PLACED:
			return result{order: resp.GetOrderId(), token: s.token, router: s.router, took: time.Since(start), outcome: Placed}, nil
		case err == nil && resp.GetState() == checkoutv1.State_STATE_FAILED:
			return result{outcome: resp.GetFailureReason(), took: time.Since(start)}, nil
		case problem.Is(err, "UNKNOWN_CHECKOUT"):
			return result{outcome: neverBegan, took: time.Since(start)}, nil
		}
		if !pause(ctx) {
			return result{}, fmt.Errorf("key %s is unresolved: %w", key, errors.Join(last, ctx.Err()))
		}
	}
}

// order that was placed, as it stands.
func (s *shopper) order(ctx context.Context, r result) (*orderv1.Order, error) {
	s.token = r.token
	resp, err := s.orders.GetOrder(ctx, &orderv1.GetOrderRequest{OrderId: r.order})
	return resp.GetOrder(), err
}

// pause between two questions; false when ctx ends first.
func pause(ctx context.Context) bool {
	timer := time.NewTimer(resolveGap)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// client of all shoppers: each keeps a connection.
func client(shoppers int) *http.Client {
	return &http.Client{Timeout: 15 * time.Second, Transport: &http.Transport{MaxIdleConnsPerHost: shoppers, MaxConnsPerHost: 2 * shoppers, IdleConnTimeout: time.Minute}}
}
