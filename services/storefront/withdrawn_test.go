package storefront

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	cartv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/cart/v1"
	catalogv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/catalog/v1"
	storefrontv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/storefront/v1"
	"github.com/cellar-commerce/cellar/internal/money"
	"github.com/cellar-commerce/cellar/internal/problem"
	"github.com/cellar-commerce/cellar/internal/sqldb/sqldbtest"
)

// become withdrawn or restored, as the event tells.
func (s shelf) become(t testing.TB, sku string, withdrawn bool) {
	t.Helper()
	s.of.withdrawn[sku] = withdrawn
	payload, err := proto.Marshal(&catalogv1.ProductChanged{Product: s.of.product(sku)})
	must(t, err)
	must(t, s.Changed(t.Context(), payload))
}

// beside a page's product: related, also bought, choices.
func beside(page *storefrontv1.Page) string {
	var all [3][]string
	for i, cards := range [][]*storefrontv1.Card{page.GetRelated(), page.GetAlsoBought()} {
		for _, c := range cards {
			all[i] = append(all[i], c.GetSku())
		}
	}
	for _, v := range page.GetVariants() {
		all[2] = append(all[2], v.GetSku())
	}
	return fmt.Sprint(all)
}

func TestWhatIsWithdrawnStandsBesideNothing(t *testing.T) {
	s := newShelf(t)
	composed := func(sku string) string {
		all, _, err := s.compose(t.Context(), []string{sku})
		must(t, err)
		return beside(all[0])
	}
	byRow := func(sku string) string {
		page, byRow := s.page(t, sku)
		if !byRow {
			t.Errorf("the page of %s is made for who looks", sku)
		}
		return beside(page)
	}
	must(t, s.Rebuild(t.Context(), "LAMP", "SHADE", "BULB"))
	if got := byRow("SHADE") + byRow("LAMP"); got != "[[LAMP] [] []][[SHADE] [BULB] []]" {
		t.Fatalf("at first it is %s", got)
	}
	s.become(t, "LAMP", true)
	s.become(t, "BULB", true)
	for name, got := range map[string]string{"by row": byRow("SHADE") + byRow("LAMP"), "composed": composed("SHADE") + composed("LAMP")} {
		if got != "[[] [] []][[SHADE] [] []]" {
			t.Errorf("%s it is %s", name, got)
		}
	}
	s.become(t, "BULB", false)
	s.become(t, "LAMP", false) // whose row was made without the bulb
	if got := byRow("SHADE") + byRow("LAMP"); got != "[[LAMP] [] []][[SHADE] [BULB] []]" {
		t.Errorf("restored it is %s", got)
	}
}

func TestWhatIsWithdrawnIsNoChoiceAndNoDealAndHasNoOffers(t *testing.T) {
	s := newShelf(t)
	s.of.families = map[string]string{"LAMP": "red", "BULB": "blue", "SHADE": "green"}
	s.of.past = map[string]*catalogv1.PriceHistory{"LAMP": changed(1, 150, 1), "BULB": changed(1, 900, 1)}
	s.of.past["BULB"].Sku = "BULB"
	s.of.offers = []*catalogv1.Product{{Sku: "used", OfferOf: "LAMP", Seller: "Acme"}}
	deals := func() (skus []string) {
		cards, err := s.Deals(t.Context())
		must(t, err)
		for _, c := range cards {
			skus = append(skus, c.GetSku())
		}
		return skus
	}
	must(t, s.Rebuild(t.Context(), "LAMP", "SHADE", "BULB"))
	if page, _ := s.page(t, "SHADE"); len(page.GetVariants()) != 3 || len(deals()) != 2 {
		t.Fatalf("at first there are %v, %v", page, deals())
	}
	s.become(t, "LAMP", true)
	if page, _ := s.page(t, "SHADE"); beside(page) != "[[] [] [BULB SHADE]]" {
		t.Errorf("its family's page has %s", beside(page))
	}
	page, _ := s.page(t, "LAMP")
	if beside(page) != "[[BULB SHADE] [BULB] []]" || len(page.GetOffers()) > 0 || page.GetReduction() != nil {
		t.Errorf("its own page is %v", page)
	}
	if got := fmt.Sprint(deals()); got != "[BULB]" {
		t.Errorf("the deals are %s", got)
	}
	s.become(t, "LAMP", false)
	if page, _ := s.page(t, "LAMP"); len(page.GetVariants()) != 3 || len(page.GetOffers()) != 1 || page.GetReduction() == nil || len(deals()) != 2 {
		t.Errorf("restored it is %v, with %v", page, deals())
	}
}

func TestTheFamilyOfWhatIsWithdrawnHasCardsAsAnyProduct(t *testing.T) {
	s := newShelf(t)
	s.of.price("CORD", 50) // neither popular nor bought with it
	s.of.families, s.of.withdrawn["LAMP"] = map[string]string{"LAMP": "red", "CORD": "blue"}, true
	s.of.past = map[string]*catalogv1.PriceHistory{"CORD": changed(1, 100, 1)}
	s.of.past["CORD"].Sku = "CORD"
	page, _ := s.page(t, "LAMP")
	if beside(page) != "[[CORD SHADE] [BULB] []]" || page.GetRelated()[0].GetReduction().GetWas().GetMinorUnits() != 100 {
		t.Errorf("it has %v", page)
	}
}

func TestThePageOfWhatIsWithdrawnSaysSoAndLeadsOn(t *testing.T) {
	s := newShop(t)
	s.withdrawn = true
	w := s.get("/p/LAMP")
	body := w.Body.String()
	if w.Code != http.StatusGone || w.Header().Get("Cache-Control") != "private, no-store" {
		t.Errorf("answered %d, %v", w.Code, w.Header())
	}
	for text, there := range map[string]bool{
		"<h1>A &lt;b&gt;&#34;lamp&#34;&lt;/b&gt;</h1>": true, "This is no longer sold.": true, `<meta name="robots" content="noindex">`: true, `href="/c/Home%20&amp;%20Kitchen/Lamps">See all of Lamps`: true,
		`<a class="tap" href="/orders">`: true, `href="/p/LAMP/reviews"`: true, `<a href="/p/SHADE">A shade</a>`: true,
		"ld+json": false, `rel="canonical"`: false, "Add to cart": false, "$1,234.56</p>": false,
	} {
		if strings.Contains(body, text) != there {
			t.Errorf("it has %s, %v: %s", text, !there, body)
		}
	}
	for _, k := range w.Result().Cookies() {
		if k.Name == seenCookie {
			t.Errorf("it is among what was looked at: %v", k)
		}
	}
	for _, path := range []string{"/p/LAMP/reviews", "/p/LAMP/questions"} {
		w := s.get(path)
		if body := w.Body.String(); w.Code != http.StatusOK || !strings.Contains(body, `content="noindex"`) || strings.Contains(body, `rel="canonical"`) || strings.Contains(body, "Ask a question") {
			t.Errorf("%s answers %d, %s", path, w.Code, body)
		}
	}
	if w := s.get("/images/LAMP.svg"); w.Code != http.StatusOK { // orders show it
		t.Errorf("its picture answers %d", w.Code)
	}
}

func TestWhatIsWithdrawnIsNotShownAgainNorRecommended(t *testing.T) {
	for _, withdrawn := range []bool{false, true} {
		s := newShop(t)
		s.who, s.withdrawn = guest, withdrawn
		home := s.get("/", &http.Cookie{Name: seenCookie, Value: "LAMP"}).Body.String()
		if strings.Contains(home, `id="seen"`) == withdrawn {
			t.Errorf("withdrawn %v, the front page has %s", withdrawn, home)
		}
		if cart := s.get("/cart").Body.String(); strings.Contains(cart, `id="with"`) == withdrawn {
			t.Errorf("withdrawn %v, the cart has %s", withdrawn, cart)
		}
	}
}

func TestTheCartIsNotCheckedOutWhileSomethingInItIsWithdrawn(t *testing.T) {
	s := newShop(t)
	s.who = guest
	gone := &cartv1.Line{Sku: "GONE", Title: "The old lamp", Quantity: 1, Withdrawn: true}
	c := cartWith{cartFake{shop: s}, []*cartv1.Line{line("NEW", 1, 300, 300), gone}}
	s.deps.Carts = c
	body := s.get("/cart").Body.String()
	for text, times := range map[string]int{
		"This is no longer sold.": 1, ">The old lamp</a>": 1, `Remove<span class="hidden"> The old lamp`: 1, `Save for later<span class="hidden">: The old lamp`: 1, `id="quantity-NEW"`: 1,
		"Take out what is no longer sold": 1, `id="quantity-GONE"`: 0, "Sold out for now": 0, `href="/checkout"`: 0,
	} {
		if strings.Count(body, text) != times {
			t.Errorf("it says %d times %q: %s", strings.Count(body, text), text, body)
		}
	}
	c.lines = c.lines[:1]
	s.deps.Carts = c
	if body := s.get("/cart").Body.String(); !strings.Contains(body, `href="/checkout"`) || strings.Contains(body, "no longer sold") {
		t.Errorf("taken out, it is %s", body)
	}
	saved := savedWith{cartFake{shop: s}, gone}
	s.deps.Carts = saved
	if body := s.get("/cart").Body.String(); !strings.Contains(body, "This is no longer sold.") || strings.Contains(body, "Move to cart") || !strings.Contains(body, "The old lamp, saved for later") {
		t.Errorf("saved, it is %s", body)
	}
	s.refused = problem.New(problem.Precondition, "PRODUCT_WITHDRAWN", "in the service's words")
	s.deps.Carts = c
	w := s.post("/cart", map[string][]string{"sku": {"GONE"}})
	if w.Code != http.StatusUnprocessableEntity || !strings.Contains(w.Body.String(), "has to be taken out before you check out") {
		t.Errorf("put in, it answers %d, %s", w.Code, w.Body)
	}
}

// savedWith one line that is saved for later.
type savedWith struct {
	cartFake
	line *cartv1.Line
}

func (c savedWith) GetCart(context.Context, *cartv1.GetCartRequest) (*cartv1.GetCartResponse, error) {
	return &cartv1.GetCartResponse{Cart: &cartv1.Cart{Subtotal: money.USD(0).Proto(), Saved: []*cartv1.Line{c.line}}}, nil
}

func TestCardsOfEarlierRowsAreShown(t *testing.T) {
	old := []*storefrontv1.Card{{Sku: "A"}, {Sku: "B"}, {Sku: "C"}}
	got := anew(old, map[string]*storefrontv1.Card{"B": {Sku: "B", Withdrawn: true}, "C": {Sku: "C", Title: "new"}})
	if len(got) != 2 || got[0].GetSku() != "A" || got[1].GetTitle() != "new" {
		t.Errorf("it shows %v", got)
	}
}

func TestListsThatAreKeptAreLookedForAnewWhenSomethingIsWithdrawn(t *testing.T) {
	rows := newShelf(t)
	event := func() []byte {
		return []byte(sqldbtest.Texts(t, rows.deps.DB, "SELECT encode(payload, 'escape') FROM outbox ORDER BY id DESC LIMIT 1")[0])
	}
	s := newShop(t)
	s.fallen = []*storefrontv1.Card{fallenCard("PAN", "")}
	shows := func() bool { return strings.Contains(s.get("/").Body.String(), "The PAN") }
	if !shows() {
		t.Fatal("there is no deal to begin with")
	}
	s.fallen, s.query = nil, ""
	must(t, rows.Rebuild(t.Context(), "LAMP"))
	must(t, s.Rebuilt(t.Context(), event()))
	if !shows() || s.query != "" {
		t.Error("each page that is made anew has everything looked for")
	}
	rows.of.withdrawn["LAMP"] = true
	must(t, rows.Rebuild(t.Context(), "LAMP", "SHADE"))
	must(t, s.Rebuilt(t.Context(), event()))
	if shows() || s.query == "" {
		t.Error("what is withdrawn is shown as long as any")
	}
}
