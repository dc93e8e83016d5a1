package storefront

import (
	"context"
	"encoding/json"
	"math"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	cartv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/cart/v1"
	"github.com/cellar-commerce/cellar/internal/gen/cellar/cart/v1/cartv1connect"
	catalogv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/catalog/v1"
	"github.com/cellar-commerce/cellar/internal/gen/cellar/catalog/v1/catalogv1connect"
	checkoutv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/checkout/v1"
	"github.com/cellar-commerce/cellar/internal/gen/cellar/checkout/v1/checkoutv1connect"
	fulfillmentv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/fulfillment/v1"
	searchv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/search/v1"
	"github.com/cellar-commerce/cellar/internal/gen/cellar/search/v1/searchv1connect"
	storefrontv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/storefront/v1"
	"github.com/cellar-commerce/cellar/internal/money"
	"github.com/cellar-commerce/cellar/internal/problem"
	"github.com/cellar-commerce/cellar/web/store"
)

// badge of Prime, as it is read aloud.
const badge = `</svg>Prime<span class="hidden">: free delivery</span>`

// primeCatalog says of the lamp that it is Prime, and of nothing else; so do the others.
type primeCatalog struct {
	catalogv1connect.CatalogServiceClient
}

func markLamp(products []*catalogv1.Product) {
	for _, p := range products {
		p.Prime = p.GetSku() == "LAMP"
	}
}

func (f primeCatalog) BatchGetProducts(ctx context.Context, r *catalogv1.BatchGetProductsRequest) (*catalogv1.BatchGetProductsResponse, error) {
	resp, err := f.CatalogServiceClient.BatchGetProducts(ctx, r)
	markLamp(resp.GetProducts())
	return resp, err
}

func (f primeCatalog) BrowseCategory(ctx context.Context, r *catalogv1.BrowseCategoryRequest) (*catalogv1.BrowseCategoryResponse, error) {
	resp, err := f.CatalogServiceClient.BrowseCategory(ctx, r)
	markLamp(resp.GetProducts())
	return resp, err
}

// primeSearch counts what is Prime where a test wants to know what it was asked.
type primeSearch struct {
	searchv1connect.SearchServiceClient
	asked **searchv1.SearchRequest
}

func (f primeSearch) Search(ctx context.Context, r *searchv1.SearchRequest) (*searchv1.SearchResponse, error) {
	resp, err := f.SearchServiceClient.Search(ctx, r)
	for _, h := range resp.GetHits() {
		h.Prime = h.GetSku() == "LAMP"
	}
	if f.asked != nil {
		*f.asked = r
		resp.Facets = append(resp.Facets, &searchv1.Facet{Field: "prime", Values: []*searchv1.FacetValue{{Value: "yes", Count: 41}}})
	}
	return resp, err
}

// primeCart has the lines of a test.
type primeCart struct {
	cartv1connect.CartServiceClient
	cart *cartv1.Cart
}

func (f primeCart) GetCart(context.Context, *cartv1.GetCartRequest) (*cartv1.GetCartResponse, error) {
	return &cartv1.GetCartResponse{Cart: f.cart}, nil
}

// inCart is a line with what is Prime or not.
func inCart(sku string, prime bool) *cartv1.Line {
	return &cartv1.Line{Sku: sku, Title: sku, Quantity: 1, AvailableForSale: true, Price: lamp().GetPrice(), PriceAtAdd: lamp().GetPrice(), Prime: prime}
}

func newPrimeShop(t testing.TB, lines ...*cartv1.Line) *shop {
	t.Helper()
	s := newShop(t)
	s.who = guest
	products := primeCatalog{catalogFake{shop: s}}
	s.deps.Catalog, s.deps.Search = products, primeSearch{searchFake{shop: s}, nil}
	s.deps.Carts = primeCart{cartFake{shop: s}, &cartv1.Cart{Lines: lines, Saved: lines, Subtotal: lamp().GetPrice()}}
	s.deps.Pages = unstored{composer{products, reviewFake{shop: s}, recommendationFake{shop: s}}}
	return s
}

func TestWhateverShowsAProductShowsThatItIsPrimeAndNothingElseIs(t *testing.T) {
	s := newPrimeShop(t, inCart("LAMP", true), inCart("SHADE", false))
	for path, want := range map[string]int{
		"/p/LAMP":        2, // itself, and among what is also bought; not what is related
		"/search?q=lamp": 1,
		"/cart":          3, // its line, what is saved of it, and what goes with it
		"/":              1,
	} {
		body := s.get(path).Body.String()
		if got := strings.Count(body, badge); got != want {
			t.Errorf("%s shows it %d times, want %d, in\n%s", path, got, want, body)
		}
	}
}

func TestAListIsNarrowedToWhatIsPrime(t *testing.T) {
	var asked *searchv1.SearchRequest
	s := newPrimeShop(t)
	const box, checked = `name="prime" value="1"`, `name="prime" value="1" checked`
	if body := s.get("/search?q=lamp").Body.String(); strings.Contains(body, box) {
		t.Error("where nothing is counted it can be asked for")
	}
	s.deps.Search = primeSearch{searchFake{shop: s}, &asked}
	body := s.get("/search?q=lamp").Body.String()
	if asked.GetPrime() || !strings.Contains(body, box) || strings.Contains(body, checked) || !strings.Contains(body, "(41)") {
		t.Errorf("asked %v, and shown\n%s", asked, body)
	}
	body = s.get("/c/Toys?prime=1").Body.String()
	if !asked.GetPrime() || !strings.Contains(body, checked) || !strings.Contains(body, "prime=1") || !strings.Contains(body, "Clear all filters") {
		t.Errorf("asked %v, and shown\n%s", asked, body)
	}
	body = s.get("/search?q=lamp&prime=1").Body.String()
	if next, narrower := `page=next%26page&amp;prime=1`, `category=Home`; !strings.Contains(body, next) || !regexp.MustCompile(narrower+`[^"]*&amp;prime=1`).MatchString(body) {
		t.Errorf("what follows is not narrowed in\n%s", body)
	}
}

func TestEachSellersOfferSaysWhetherItIsPrime(t *testing.T) {
	s := newShop(t)
	page := &storefrontv1.Page{Product: lamp(), Offers: []*storefrontv1.Offer{
		{Sku: "BEST", Seller: "Acme", Condition: catalogv1.Condition_CONDITION_NEW, Price: money.USD(100).Proto()},
		{Sku: "WORN", Seller: "Bo", Condition: catalogv1.Condition_CONDITION_LIKE_NEW, Price: money.USD(50).Proto(), Prime: true},
	}}
	s.deps.Pages = onlyPage{page}
	body := s.get("/p/LAMP").Body.String()
	if strings.Count(body, badge) != 1 || !strings.Contains(body, `$0.50</span> · Like new <span class="prime">`) {
		t.Errorf("Bo's offer alone should be Prime in\n%s", body)
	}
	page.Product.Prime, page.Offers = true, nil
	s = newShop(t)
	s.deps.Pages = onlyPage{page}
	body = s.get("/p/LAMP").Body.String()
	if strings.Count(body, badge) != 1 {
		t.Errorf("the shop's own should be Prime in\n%s", body)
	}
	var data struct {
		Type   string                 `json:"@type"`
		Offers struct{ Price string } `json:"offers"`
	}
	found := regexp.MustCompile(`<script type="application/ld\+json">(.*?)</script>`).FindStringSubmatch(body)
	if len(found) != 2 || json.Unmarshal([]byte(found[1]), &data) != nil || data.Type != "Product" || data.Offers.Price != "1234.56" {
		t.Errorf("search engines are told %v", found)
	}
}

func TestWhatBecomesPrimeIsSoOnItsPageAndBesideOthers(t *testing.T) {
	s := newShelf(t)
	s.Pages.catalog = primeCatalog{s.of}
	must(t, s.Rebuild(t.Context(), "LAMP", "SHADE"))
	own, byRow := s.page(t, "LAMP")
	if beside, _ := s.page(t, "SHADE"); !byRow || !own.GetProduct().GetPrime() || !beside.GetRelated()[0].GetPrime() || beside.GetProduct().GetPrime() {
		t.Errorf("by row %v its page has %v, and one beside it %v", byRow, own.GetProduct(), beside)
	}
	s.Pages.catalog = s.of
	payload, err := proto.Marshal(&catalogv1.ProductChanged{Product: &catalogv1.Product{Sku: "LAMP"}})
	must(t, err)
	must(t, s.Changed(t.Context(), payload))
	own, _ = s.page(t, "LAMP")
	if beside, _ := s.page(t, "SHADE"); own.GetProduct().GetPrime() || beside.GetRelated()[0].GetPrime() {
		t.Errorf("it is Prime no more, but its page has %v, and one beside it %v", own.GetProduct(), beside)
	}
}

// WCAG 2.2, 1.4.3: 4.5 to 1 for text of this size.
func TestTheBadgeCanBeReadInBothThemes(t *testing.T) {
	assets, err := store.Assets()
	must(t, err)
	css := string(assets["store.css"].Content)
	for _, theme := range strings.SplitN(css, "@media (prefers-color-scheme: dark)", 2) {
		for _, under := range []string{"panel", "ground"} {
			ink, paper := luminance(t, theme, "badge"), luminance(t, theme, under)
			if ratio := (max(ink, paper) + 0.05) / (min(ink, paper) + 0.05); ratio < 4.5 {
				t.Errorf("on --%s its contrast is %.1f", under, ratio)
			}
		}
	}
	if !strings.Contains(css, ".prime { ") || !strings.Contains(css, "color: var(--badge)") {
		t.Error("the badge has another colour")
	}
}

// luminance of a variable's colour, relative, as WCAG defines it.
func luminance(t testing.TB, theme, name string) (sum float64) {
	t.Helper()
	hex := regexp.MustCompile(`--` + name + `: #([0-9a-f]{6})`).FindStringSubmatch(theme)
	if hex == nil {
		t.Fatalf("--%s has no colour", name)
	}
	for i, weight := range []float64{0.2126, 0.7152, 0.0722} {
		n, err := strconv.ParseUint(hex[1][2*i:2*i+2], 16, 8)
		must(t, err)
		c := float64(n) / 255
		if c <= 0.04045 {
			c /= 12.92
		} else {
			c = math.Pow((c+0.055)/1.055, 2.4)
		}
		sum += weight * c
	}
	return sum
}

func TestCartAndDeliverySayWhatPrimeDoesForTheOrder(t *testing.T) {
	prime, other := inCart("LAMP", true), inCart("SHADE", false)
	gone := &cartv1.Line{Sku: "GONE", Quantity: 1}
	const free, byItself = "All of it is Prime: delivery is free", "if you order it by itself"
	const isExpress = `value="express" checked`
	for name, c := range map[string]struct {
		lines   []*cartv1.Line
		says    string
		express bool
	}{
		"all of it":  {[]*cartv1.Line{prime, gone}, free, true},
		"some of it": {[]*cartv1.Line{prime, other}, byItself, false},
		"none of it": {[]*cartv1.Line{other, gone}, "", false},
	} {
		s := newPrimeShop(t, c.lines...)
		for _, path := range []string{"/cart", "/checkout"} {
			body := s.get(path).Body.String()
			for _, text := range []string{free, byItself} {
				if strings.Contains(body, text) != (text == c.says) {
					t.Errorf("%s: %s should say %q:\n%s", name, path, c.says, body)
				}
			}
			if path == "/checkout" && strings.Contains(body, isExpress) != c.express {
				t.Errorf("%s: express should be chosen: %v, in\n%s", name, c.express, body)
			}
		}
	}
	s := newPrimeShop(t, prime)
	s.deps.Checkout = refusing{s.deps.Checkout}
	if body := s.post("/checkout", url.Values{"speed": {"standard"}}).Body.String(); !strings.Contains(body, free) || strings.Contains(body, isExpress) {
		t.Errorf("a refused form comes back as\n%s", body)
	}
}

// refusing quotes.
type refusing struct {
	checkoutv1connect.CheckoutServiceClient
}

func (refusing) Quote(context.Context, *checkoutv1.QuoteRequest) (*checkoutv1.QuoteResponse, error) {
	return nil, problem.New(problem.Precondition, "VOUCHER_UNKNOWN", "there is no such voucher")
}

// quoting one line, Prime or not, that is delivered for nothing.
type quoting struct {
	checkoutv1connect.CheckoutServiceClient
	prime bool
}

func (f quoting) Quote(context.Context, *checkoutv1.QuoteRequest) (*checkoutv1.QuoteResponse, error) {
	m := money.USD(100).Proto()
	return &checkoutv1.QuoteResponse{QuoteToken: "q", ItemsTotal: m, Shipping: money.USD(0).Proto(), Tax: m, Total: m, Lines: []*checkoutv1.QuoteLine{{Sku: "LAMP", Quantity: 1, UnitPrice: m, Prime: f.prime}}}, nil
}

func TestWhatIsFreeWithPrimeIsSaidWhereItIsPaid(t *testing.T) {
	for _, prime := range []bool{true, false} {
		s := newShop(t)
		s.who, s.deps.Checkout = guest, quoting{prime: prime}
		if body := s.post("/checkout", url.Values{}).Body.String(); strings.Contains(body, "free with Prime") != prime || !strings.Contains(body, ">free") {
			t.Errorf("Prime %v: %s", prime, body)
		}
	}
}

func TestWhatIsPrimeIsPromisedByExpress(t *testing.T) {
	for prime, speed := range map[bool]fulfillmentv1.Speed{true: fulfillmentv1.Speed_SPEED_EXPRESS, false: fulfillmentv1.Speed_SPEED_STANDARD} {
		s := newShop(t)
		p := lamp()
		p.Prime = prime
		s.deps.Pages = onlyPage{&storefrontv1.Page{Product: p}}
		body := s.get("/p/LAMP", placed).Body.String()
		if len(s.planned) != 1 || s.planned[0].GetSpeed() != speed || strings.Contains(body, "</strong> by express, if you order within") != prime {
			t.Errorf("Prime %v: it is planned as %v, and shown as\n%s", prime, s.planned, body)
		}
	}
}
