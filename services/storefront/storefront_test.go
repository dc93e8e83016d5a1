package storefront

import (
	"context"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"pgregory.net/rapid"

	moneyv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/money/v1"
	problemv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/problem/v1"
	searchv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/search/v1"
	"github.com/cellar-commerce/cellar/internal/problem"
	"github.com/cellar-commerce/cellar/internal/session"
)

var guest = session.Principal{CustomerID: "g-use1-000000000000000000000000"}

// everyPage that can be seen without an account.
var everyPage = []string{"/", "/categories", "/c/Home%20&%20Kitchen/Lamps", "/search?q=lamp", "/search?q=%3Cscript%3E", "/deals", "/p/LAMP", "/p/LAMP/reviews", "/p/LAMP/reviews?sort=newest", "/p/LAMP/questions", "/orders/use1-1/lines/1/review", "/help", "/cart", "/checkout", "/orders/use1-1", "/orders/use1-1/invoice", "/signin?to=/cart", "/signup", "/nowhere", "/checkout/running", "/checkout/failed"}

var inline = regexp.MustCompile(`(?i)<script(?:>| [^>]*)?>|\son\w+=| style=|<style`)

func TestNoPageHasScriptOrStyleWithin(t *testing.T) {
	s := newShop(t)
	s.who = guest
	for _, path := range everyPage {
		w := s.get(path)
		for _, found := range inline.FindAllString(w.Body.String(), -1) {
			if !strings.Contains(found, "src=") && !strings.Contains(found, "application/ld+json") {
				t.Errorf("%s has %s", path, found)
			}
		}
		if w.Header().Get("Content-Security-Policy") != policy || w.Header().Get("X-Content-Type-Options") != "nosniff" {
			t.Errorf("%s has the headers %v", path, w.Header())
		}
		if w.Code >= http.StatusInternalServerError {
			t.Errorf("%s cannot be drawn", path)
		}
		if strings.Contains(w.Body.String(), "<b>") || strings.Contains(w.Body.String(), "alert(1)</script>") {
			t.Errorf("%s shows a product's text as markup", path)
		}
	}
}

func TestAStrangersPageMayBeKeptAndAShoppersMayNot(t *testing.T) {
	s := newShop(t)
	first := s.get("/p/LAMP")
	tag := first.Header().Get("ETag")
	if tag == "" || first.Header().Get("Cache-Control") != "no-cache" {
		t.Fatalf("a stranger's page has %v", first.Header())
	}
	if again := s.get("/p/LAMP"); again.Header().Get("ETag") != tag {
		t.Error("the same page has another tag")
	}
	s.who = guest
	if w := s.get("/p/LAMP"); w.Header().Get("Cache-Control") != "private, no-store" {
		t.Errorf("a guest's page has %v", w.Header())
	}
	s.who = session.Principal{}
	if w := s.get("/p/LAMP", &http.Cookie{Name: cartCookie, Value: "3"}); w.Header().Get("Cache-Control") != "private, no-store" || !strings.Contains(w.Body.String(), `<span class="count">3`) {
		t.Errorf("a page with a cookie's content has %v", w.Header())
	}
}

func TestACustomerOfAnotherCellIsTakenThereAndSeesNothingBefore(t *testing.T) {
	for _, path := range []string{"/cart", "/checkout", "/orders/use1-1"} {
		s := newShop(t)
		s.who = guest
		s.refused = problem.New(problem.Unavailable, "WRONG_CELL", "another cell serves this customer", &problemv1.WrongCell{Owner: "use1-b"})
		if w := s.get(path); s.wrong == nil || w.Body.Len() > 0 {
			t.Errorf("%s: the router was told %v, the browser %q", path, s.wrong, w.Body)
		}
	}
}

func TestWhatFailsIsSaidAndTheDatabasesWordsAreNot(t *testing.T) {
	s := newShop(t)
	s.refused = errBroken
	w := s.get("/")
	if w.Code != http.StatusInternalServerError || strings.Contains(w.Body.String(), errBroken.Error()) || !strings.Contains(w.Body.String(), "Something is not working") {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	s.refused = problem.New(problem.Unavailable, "SEARCH_STARTS", "the search is starting")
	if w := s.get("/"); w.Code != http.StatusServiceUnavailable || w.Header().Get("Retry-After") == "" {
		t.Errorf("%d %v", w.Code, w.Header())
	}
	s.refused = nil
	if w := s.get("/p/NONE"); w.Code != http.StatusNotFound || !strings.Contains(w.Body.String(), "noindex") {
		t.Errorf("an unknown product: %d", w.Code)
	}
	if w := s.get("/account"); w.Code != http.StatusSeeOther || w.Header().Get("Location") != "/signin?to=/account" {
		t.Errorf("the account of nobody: %d %v", w.Code, w.Header())
	}
}

func TestEveryFormThatChangesSomethingLeadsOn(t *testing.T) {
	s := newShop(t)
	w := s.post("/cart", url.Values{"sku": {"LAMP"}, "quantity": {"3"}})
	if w.Code != http.StatusSeeOther || w.Header().Get("Location") != "/cart" || !strings.Contains(strings.Join(w.Header().Values("Set-Cookie"), " "), cartCookie+"=3") {
		t.Errorf("%d %v", w.Code, w.Header())
	}
	s.refused = problem.New(problem.Precondition, "QUANTITY_LIMIT", "a line of a cart has at most 999 units")
	s.who = guest
	if w := s.post("/cart", url.Values{"sku": {"LAMP"}}); w.Code == http.StatusSeeOther {
		t.Error("what was refused leads on")
	}
}

func TestALostAnswerIsAskedForAndNotOrderedAgain(t *testing.T) {
	form := url.Values{"quote": {"q"}, "card": {"token:tok_visa"}}
	for name, c := range map[string]struct {
		err  error
		want string
	}{
		"placed":                {nil, "/orders/use1-1?placed=1"},
		"no answer in time":     {context.DeadlineExceeded, "/checkout/k1"},
		"the network is silent": {problem.New(problem.Unavailable, "PAYMENT_UNKNOWN", "not known"), "/checkout/k1"},
		"still being placed":    {problem.New(problem.Aborted, "CHECKOUT_IN_PROGRESS", "in progress"), "/checkout/k1"},
	} {
		s := newShop(t)
		s.who, s.refused = guest, c.err
		if w := s.post("/checkout/order?key=k1", form); w.Code != http.StatusSeeOther || w.Header().Get("Location") != c.want {
			t.Errorf("%s: %d %v", name, w.Code, w.Header())
		}
	}
	s := newShop(t)
	s.who, s.refused = guest, problem.New(problem.Precondition, "PAYMENT_DECLINED", "declined")
	w := s.post("/checkout/order?key=k1", form)
	if body := w.Body.String(); w.Code != http.StatusUnprocessableEntity || !strings.Contains(body, "nothing was taken") || !strings.Contains(body, `"/checkout/order?key=`) || strings.Contains(body, "k1") {
		t.Errorf("declined: %d, and the key of the form that was refused must not be used for another", w.Code)
	}
	s.refused = nil
	if w := s.get("/checkout/placed"); w.Header().Get("Location") != "/orders/use1-1?placed=1" {
		t.Errorf("%v", w.Header())
	}
	if w := s.get("/checkout/running"); !strings.Contains(w.Body.String(), `http-equiv="refresh"`) {
		t.Error("the page of an order in progress does not look again")
	}
	if w := s.get("/checkout/nothing"); !strings.Contains(w.Body.String(), "Nothing was taken") {
		t.Error("an order that never came in is not explained")
	}
}

func TestAPageHearsWhatItHasMissed(t *testing.T) {
	for path, want := range map[string]bool{"/orders/use1-1/news?seen=1": true, "/orders/use1-1/news?seen=2": false, "/orders/use1-1/news": false} {
		s := newShop(t)
		s.who = guest
		ctx, cancel := context.WithCancel(t.Context())
		w := httptest.NewRecorder()
		done := make(chan struct{})
		go func() {
			defer close(done)
			s.ServeHTTP(w, httptest.NewRequestWithContext(ctx, http.MethodGet, path, nil))
		}()
		if err := s.clock.AwaitSleepers(t.Context(), 1); err != nil {
			t.Fatal(err)
		}
		cancel()
		<-done
		if told := strings.Contains(w.Body.String(), "id: 2\nevent: changed\n"); told != want {
			t.Errorf("%s: %q", path, w.Body)
		}
	}
}

func TestPricesForPeople(t *testing.T) {
	for _, c := range []struct {
		minor    int64
		currency string
		want     string
	}{{0, "USD", "$0.00"}, {5, "USD", "$0.05"}, {123456789, "USD", "$1,234,567.89"}, {-100000, "EUR", "−€1,000.00"}, {99999, "CHF", "999.99 CHF"}} {
		if got := price(&moneyv1.Money{MinorUnits: c.minor, CurrencyCode: c.currency}); got != c.want {
			t.Errorf("%d %s is %s, want %s", c.minor, c.currency, got, c.want)
		}
	}
}

func TestAPageToGoOnToIsTheShops(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		to := localPath(rapid.OneOf(rapid.String(), rapid.SampledFrom([]string{"//evil.example", "/\\evil.example", "https://evil.example", "/cart", "/a\r\nSet-Cookie: x"})).Draw(t, "to"))
		u, err := url.Parse("http://shop.example" + to)
		if err == nil && u.Host != "shop.example" || !strings.HasPrefix(to, "/") || strings.HasPrefix(to, "//") || strings.ContainsAny(to, "\r\n\\") {
			t.Fatalf("leads to %q", to)
		}
	})
}

func FuzzPages(f *testing.F) {
	f.Add("/search", "q=%22%3E%3Cscript%3E&min=1e400&max=-1&brand=a&brand=b&sort=zzz&page=x", "cellar_seen=%7C%7C; cellar_units=99999999999999999999; cellar_notice=x")
	f.Add("/c/a/b", "", "")
	f.Fuzz(func(t *testing.T, path, query, cookies string) {
		s := newShop(t)
		u := url.URL{Path: "/" + strings.TrimLeft(path, "/"), RawQuery: query}
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://shop.example"+u.RequestURI(), nil)
		if err != nil {
			return
		}
		r.Header.Set("Cookie", cookies)
		w := httptest.NewRecorder()
		s.ServeHTTP(w, r)
		if w.Code >= 500 || strings.Contains(w.Body.String(), "<script>") {
			t.Errorf("%d for %s with %q", w.Code, u.RequestURI(), cookies)
		}
	})
}

func TestWhatIsSavedForLaterIsShownAndEachOfItsFormsLeadsOn(t *testing.T) {
	s := newShop(t)
	s.who = guest
	if body := s.get("/cart").Body.String(); !strings.Contains(body, "Saved for later") || !strings.Contains(body, `action="/cart/LAMP/saved"`) || !strings.Contains(body, "each, 3 of them") {
		t.Error(body)
	}
	for _, c := range []struct {
		path   string
		form   url.Values
		asked  string
		notice string
	}{
		{"/cart/LAMP", url.Values{"save": {"1"}, "quantity": {"7"}}, "save LAMP", "later"},
		{"/cart/LAMP/saved", url.Values{}, "move LAMP", "moved"},
		{"/cart/LAMP/saved", url.Values{"remove": {"1"}}, "forget LAMP", "removed"},
	} {
		w := s.post(c.path, c.form)
		cookies := strings.Join(w.Header().Values("Set-Cookie"), " ")
		if w.Code != http.StatusSeeOther || w.Header().Get("Location") != "/cart" || s.query != c.asked || !strings.Contains(cookies, noticeCookie+"="+c.notice) || !strings.Contains(cookies, cartCookie+"=1;") {
			t.Errorf("%s %v asks %q: %d %v", c.path, c.form, s.query, w.Code, w.Header())
		}
	}
	s.refused = problem.New(problem.Precondition, "CART_FULL", "a cart has at most 200 products")
	if w := s.post("/cart/LAMP/saved", url.Values{}); w.Code == http.StatusSeeOther {
		t.Error("what was refused leads on")
	}
}

// countedSearch counts how often it is asked.
type countedSearch struct {
	searchFake
	n int
}

func (c *countedSearch) Search(ctx context.Context, r *searchv1.SearchRequest) (*searchv1.SearchResponse, error) {
	c.n++
	return c.searchFake.Search(ctx, r)
}

func TestWhatIsPopularIsLookedForOnceForManyFrontPages(t *testing.T) {
	s := newShop(t)
	counted := &countedSearch{searchFake: searchFake{shop: s}}
	s.deps.Search = counted
	s.refused = errBroken
	s.get("/")
	s.refused = nil
	for range 3 {
		if w := s.get("/"); w.Code != http.StatusOK || !strings.Contains(w.Body.String(), `href="/p/LAMP"`) {
			t.Fatal(w.Code, w.Body.String())
		}
	}
	if counted.n != 2 {
		t.Errorf("it was looked for %d times: a failure is kept, or an answer is not", counted.n)
	}
	s.clock.Advance(likedFresh + likedStale)
	if s.get("/"); counted.n != 3 {
		t.Errorf("after its time it was looked for %d times", counted.n)
	}
}
