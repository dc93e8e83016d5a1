package storefront

import (
	"context"
	"net/http"
	"net/url"
	"strings"
	"testing"

	accountv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/account/v1"
	cartv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/cart/v1"
	checkoutv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/checkout/v1"
	orderv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/order/v1"
	problemv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/problem/v1"
	recommendationv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/recommendation/v1"
	"github.com/cellar-commerce/cellar/internal/gen/cellar/recommendation/v1/recommendationv1connect"
	reviewv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/review/v1"
	"github.com/cellar-commerce/cellar/internal/gen/cellar/review/v1/reviewv1connect"
	searchv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/search/v1"
	"github.com/cellar-commerce/cellar/internal/gen/cellar/search/v1/searchv1connect"
	"github.com/cellar-commerce/cellar/internal/money"
	"github.com/cellar-commerce/cellar/internal/problem"
	"github.com/cellar-commerce/cellar/internal/session"
)

var errAway = problem.New(problem.Unavailable, "AWAY", "it does not answer")

// away are parts of the shop that do not answer.
type (
	awaySearch struct {
		searchv1connect.SearchServiceClient
	}
	awayReviews struct {
		reviewv1connect.ReviewServiceClient
	}
	awayRecommendations struct {
		recommendationv1connect.RecommendationServiceClient
	}
)

func (awaySearch) Search(context.Context, *searchv1.SearchRequest) (*searchv1.SearchResponse, error) {
	return nil, errAway
}

func (awayReviews) BatchGetOpinions(context.Context, *reviewv1.BatchGetOpinionsRequest) (*reviewv1.BatchGetOpinionsResponse, error) {
	return nil, errAway
}

func (awayReviews) BatchGetRatings(context.Context, *reviewv1.BatchGetRatingsRequest) (*reviewv1.BatchGetRatingsResponse, error) {
	return nil, errAway
}

func (awayRecommendations) BatchForProduct(context.Context, *recommendationv1.BatchForProductRequest) (*recommendationv1.BatchForProductResponse, error) {
	return nil, errAway
}

func (awayRecommendations) ForHome(context.Context, *recommendationv1.ForHomeRequest) (*recommendationv1.ForHomeResponse, error) {
	return nil, errAway
}

func (awayRecommendations) ForCart(context.Context, *recommendationv1.ForCartRequest) (*recommendationv1.ForCartResponse, error) {
	return nil, errAway
}

func TestAPageIsDrawnWithoutWhatDoesNotAnswerAndSaysSo(t *testing.T) {
	noSearch := func(s *shop) { s.deps.Search = awaySearch{} }
	noRecommendations := func(s *shop) { s.deps.Recommendations = awayRecommendations{} }
	noReviews := func(s *shop) {
		s.deps.Reviews = awayReviews{}
		s.deps.Pages = unstored{composer{catalogFake{shop: s}, awayReviews{}, awayRecommendations{}}}
	}
	for _, c := range []struct {
		away    func(*shop)
		path    string
		status  int
		missing string
		shows   string
	}{
		{noSearch, "/", http.StatusOK, "what is popular", "All categories"},
		{noSearch, "/c/Home%20&%20Kitchen/Lamps", http.StatusOK, "search", `href="/p/SHADE"`},
		{noSearch, "/search?q=lamp", http.StatusServiceUnavailable, "search", "We cannot search right now"},
		{noRecommendations, "/", http.StatusOK, "recommendations", "You looked at"},
		{noRecommendations, "/cart", http.StatusOK, "recommendations", "Check out"},
		{noReviews, "/p/LAMP", http.StatusOK, "reviews, recommendations and ratings", "Add to cart"},
	} {
		s := newShop(t)
		s.who = guest
		c.away(s)
		w := s.get(c.path, &http.Cookie{Name: seenCookie, Value: "LAMP"})
		if body := w.Body.String(); w.Code != c.status || !strings.Contains(body, "Missing here right now: "+c.missing+". You can shop all the same.") || !strings.Contains(body, c.shows) {
			t.Errorf("%s answers %d without %s: %s", c.path, w.Code, c.missing, body)
		}
		if whole := newShop(t).get(c.path).Body.String(); strings.Contains(whole, "Missing here") {
			t.Errorf("%s misses something though all answer", c.path)
		}
	}
}

// nothingFound of words; something otherwise.
type nothingFound struct{ searchFake }

func (n nothingFound) Search(ctx context.Context, r *searchv1.SearchRequest) (*searchv1.SearchResponse, error) {
	if r.GetQuery() != "" {
		return &searchv1.SearchResponse{}, nil
	}
	return n.searchFake.Search(ctx, r)
}

func TestASearchThatFindsNothingSaysWhatToDo(t *testing.T) {
	s := newShop(t)
	s.deps.Search = nothingFound{searchFake{shop: s}}
	body := s.get("/search?q=lamq&brand=Bright").Body.String()
	for _, want := range []string{"Nothing found", "check how it is spelled", `<a href="/search?q=lamq">clear all filters</a>`, `href="/categories"`, "Popular now", `href="/p/LAMP"`} {
		if !strings.Contains(body, want) {
			t.Errorf("it does not have %s", want)
		}
	}
}

// cartWith lines.
type cartWith struct {
	cartFake
	lines []*cartv1.Line
}

func (c cartWith) GetCart(context.Context, *cartv1.GetCartRequest) (*cartv1.GetCartResponse, error) {
	return &cartv1.GetCartResponse{Cart: &cartv1.Cart{Subtotal: money.USD(100).Proto(), Lines: c.lines}}, nil
}

func line(sku string, quantity, now, then int64) *cartv1.Line {
	return &cartv1.Line{Sku: sku, Title: "The " + sku, Quantity: quantity, AvailableForSale: true, Price: money.USD(now).Proto(), PriceAtAdd: money.USD(then).Proto()}
}

func TestTheCartTellsOfPricesThatHaveChangedAndOfWhatIsSoldOut(t *testing.T) {
	s := newShop(t)
	s.who = guest
	unsold := line("OLD", 1, 0, 0)
	unsold.AvailableForSale = false
	s.deps.Carts = cartWith{cartFake{shop: s}, []*cartv1.Line{line("UP", 1, 300, 200), line("DOWN", 1, 100, 200), line("SAME", 1, 100, 100), line("GONE", 1, 100, 100), unsold}}
	body := s.get("/cart").Body.String()
	for text, times := range map[string]int{
		"The price has risen since you put it in: it was $2.00.": 1, "The price has fallen</span> since you put it in: it was $2.00.": 1,
		"Sold out for now.": 1, "This is no longer sold. It will not be ordered.": 1,
	} {
		if strings.Count(body, text) != times {
			t.Errorf("it says %d times %q", strings.Count(body, text), text)
		}
	}
}

// unwilling to quote and to place.
type unwilling struct {
	checkoutFake
	err error
}

func (u unwilling) Quote(context.Context, *checkoutv1.QuoteRequest) (*checkoutv1.QuoteResponse, error) {
	return nil, u.err
}

func (u unwilling) PlaceOrder(context.Context, *checkoutv1.PlaceOrderRequest) (*checkoutv1.PlaceOrderResponse, error) {
	return nil, u.err
}

func TestWhatThereIsTooLittleOfIsSaidBesideItsQuantity(t *testing.T) {
	for path, sorry := range map[string]bool{"/checkout": false, "/checkout/order?key=k": true} {
		s := newShop(t)
		s.who = guest
		s.deps.Carts = cartWith{cartFake{shop: s}, []*cartv1.Line{line("LAMP", 5, 100, 100), line("GONE", 1, 100, 100)}}
		s.deps.Checkout = unwilling{checkoutFake{shop: s}, problem.New(problem.Precondition, "OUT_OF_STOCK", "sold", &problemv1.OutOfStock{Shortages: []*problemv1.Shortage{{Sku: "LAMP", Requested: 5, Available: 2}, {Sku: "GONE", Requested: 1}}})}
		w := s.post(path, url.Values{"quote": {"q"}, "card": {"token:tok_visa"}})
		body := w.Body.String()
		if w.Code != http.StatusUnprocessableEntity || strings.Contains(body, "Nothing was ordered, and nothing taken.") != sorry {
			t.Errorf("%s answers %d %s", path, w.Code, body)
		}
		for _, want := range []string{
			`<a href="#quantity-LAMP">The LAMP: Only 2 can be had now, and you want 5.</a>`, `id="quantity-LAMP-wrong">Only 2 can be had now, and you want 5.</p>`,
			`<a href="#quantity-GONE">The GONE: This is sold out. Take it out, or save it for later.</a>`, `aria-describedby="quantity-GONE-wrong"`,
		} {
			if !strings.Contains(body, want) {
				t.Errorf("%s does not show %s", path, want)
			}
		}
	}
}

// inParcels is a quote of two.
type inParcels struct {
	checkoutFake
	placed *checkoutv1.PlaceOrderRequest
}

func (p *inParcels) Quote(ctx context.Context, r *checkoutv1.QuoteRequest) (*checkoutv1.QuoteResponse, error) {
	resp, err := p.checkoutFake.Quote(ctx, r)
	resp.Parcels = []*checkoutv1.PromisedParcel{
		{DeliverDay: "2031-05-06", Lines: []*orderv1.ParcelLine{{Line: 1, Quantity: 1}}}, {DeliverDay: "2031-05-09", Lines: []*orderv1.ParcelLine{{Line: 2, Quantity: 1}, {Line: 3, Quantity: 1}}},
	}
	return resp, err
}

func (p *inParcels) PlaceOrder(_ context.Context, r *checkoutv1.PlaceOrderRequest) (*checkoutv1.PlaceOrderResponse, error) {
	p.placed = r
	return &checkoutv1.PlaceOrderResponse{Order: &orderv1.Order{OrderId: "use1-1"}}, nil
}

func TestWhatIsPaidShowsItsParcelsAndTakesGiftCardsBesideACard(t *testing.T) {
	s := newShop(t)
	s.who = guest
	parcels := &inParcels{checkoutFake: checkoutFake{shop: s}}
	s.deps.Checkout = parcels
	body := s.post("/checkout", url.Values{}).Body.String()
	for _, want := range []string{"It comes in 2 parcels.", "<strong>Tuesday, 6 May</strong>: 1 product", "<strong>Friday, 9 May</strong>: 2 products", "The card pays what they do not."} {
		if !strings.Contains(body, want) {
			t.Errorf("it does not show %s", want)
		}
	}
	s.post("/checkout/order?key=k", url.Values{"quote": {"q"}, "card": {"token:tok_visa"}, "gift": {" ONE  TWO "}})
	if got := parcels.placed; got.GetCardToken() != "tok_visa" || strings.Join(got.GetGiftCardCodes(), "|") != "ONE|TWO" {
		t.Errorf("it is paid by %v", got)
	}
}

// signingIn brings a guest's cart along, or has none.
type signingIn struct {
	accountFake
	merged []*accountv1.MergedLine
}

func (a signingIn) SignIn(context.Context, *accountv1.SignInRequest) (*accountv1.SignInResponse, error) {
	return &accountv1.SignInResponse{Session: &accountv1.Session{Token: "t", CustomerId: "c-use1-000000000000000000000000"}, Merged: a.merged}, nil
}

func TestWhoSignsInIsToldThatTheCartCameAlong(t *testing.T) {
	for notice, merged := range map[string][]*accountv1.MergedLine{"welcome": nil, "merged": {{Sku: "LAMP", GuestQuantity: 1, Quantity: 2}}} {
		s := newShop(t)
		s.deps.Accounts = signingIn{accountFake{shop: s}, merged}
		w := s.post("/signin", url.Values{"email": {"a@example.com"}, "password": {"a long password"}})
		if cookies := strings.Join(w.Header().Values("Set-Cookie"), " "); w.Code != http.StatusSeeOther || !strings.Contains(cookies, noticeCookie+"="+notice+";") {
			t.Errorf("%d %s, want %s", w.Code, cookies, notice)
		}
		s.who = session.Principal{CustomerID: "c-use1-000000000000000000000000"}
		if body := s.get("/", &http.Cookie{Name: noticeCookie, Value: notice}).Body.String(); !strings.Contains(body, notices[notice]) {
			t.Errorf("the next page does not say %q", notices[notice])
		}
	}
}

func TestAnInvoiceIsMadeToBePrinted(t *testing.T) {
	s := newShop(t)
	s.who = guest
	body := s.get("/orders/use1-1/invoice").Body.String()
	for _, want := range []string{"<h1>Invoice</h1>", "Order use1-1", `<p class="noprint"><a href="/orders/use1-1">Back to the order</a></p>`, "Total", "Tax"} {
		if !strings.Contains(body, want) {
			t.Errorf("it does not have %s", want)
		}
	}
	if style := string(s.assets["store.css"].Content); !strings.Contains(style, "@media print { .top, footer, .crumbs, form, .noprint { display: none") {
		t.Error("what is around it is printed too")
	}
}
