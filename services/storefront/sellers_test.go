package storefront

import (
	"net/http"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	catalogv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/catalog/v1"
	storefrontv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/storefront/v1"
	"github.com/cellar-commerce/cellar/internal/money"
)

func TestTheBestOfferIsInStockThenBetterThenCheaperThenTheShopsOwn(t *testing.T) {
	of := func(sku string, condition catalogv1.Condition, cents int64) *storefrontv1.Offer {
		return &storefrontv1.Offer{Sku: sku, Seller: "Acme", Condition: condition, Price: money.USD(cents).Proto()}
	}
	fresh, used := catalogv1.Condition_CONDITION_NEW, catalogv1.Condition_CONDITION_GOOD
	page := &storefrontv1.Page{
		Product: &catalogv1.Product{Sku: "OWN", Price: money.USD(500).Proto()},
		Offers:  []*storefrontv1.Offer{of("CHEAP", fresh, 400), of("SAME", fresh, 500), of("DEAR", fresh, 600), of("USED", used, 1)},
	}
	for _, c := range []struct{ gone, want string }{
		{"", "CHEAP OWN SAME DEAR USED"},
		{"CHEAP", "OWN SAME DEAR USED CHEAP"},
		{"CHEAP OWN SAME DEAR", "USED CHEAP OWN SAME DEAR"},
	} {
		soldOut := map[string]bool{}
		for _, sku := range strings.Fields(c.gone) {
			soldOut[sku] = true
		}
		var got []string
		for _, o := range offersOf(page, soldOut) {
			got = append(got, o.SKU)
		}
		if strings.Join(got, " ") != c.want {
			t.Errorf("without %s it is %v, want %s", c.gone, got, c.want)
		}
	}
}

func TestAProductsPageSellsTheBestOfferAndListsTheOthers(t *testing.T) {
	s := newShop(t)
	page := &storefrontv1.Page{Product: lamp(), Offers: []*storefrontv1.Offer{
		{Sku: "BEST", Seller: "Acme <b>", Condition: catalogv1.Condition_CONDITION_NEW, Price: money.USD(100).Proto()},
		{Sku: "WORN", Seller: "Bo", Condition: catalogv1.Condition_CONDITION_LIKE_NEW, Price: money.USD(50).Proto()},
		{Sku: "GONE", Seller: "Cy", Condition: catalogv1.Condition_CONDITION_NEW, Price: money.USD(1).Proto()},
	}}
	s.deps.Pages = onlyPage{page}
	body := s.get("/p/LAMP").Body.String()
	for _, want := range []string{
		`<p class="price">$1.00</p>`, "New, sold by Acme &lt;b&gt;", `name="sku" value="BEST"`, `"price":"1.00"`, "Other sellers", `name="sku" value="LAMP"`, "Sold by Cellar",
		"$0.50</span> · Like new", `name="sku" value="WORN"`, "Sold by Cy · sold out",
	} {
		if !strings.Contains(body, want) {
			t.Errorf("the page does not have %s", want)
		}
	}
	if strings.Contains(body, `value="GONE"`) {
		t.Error("what is sold out can be put into the cart")
	}
}

func TestAnOffersPageIsItsProducts(t *testing.T) {
	s := newShop(t)
	p := lamp()
	p.Sku, p.OfferOf = "WORN", "LAMP/1"
	s.deps.Pages = onlyPage{&storefrontv1.Page{Product: p}}
	if w := s.get("/p/WORN"); w.Code != http.StatusFound || w.Header().Get("Location") != "/p/LAMP%2F1" {
		t.Errorf("%d %v", w.Code, w.Header())
	}
}

func TestAChangedOfferIsNewOnItsProductsPage(t *testing.T) {
	s := newShelf(t)
	must(t, s.Rebuild(t.Context(), "LAMP"))
	s.of.offers = []*catalogv1.Product{{Sku: "WORN", OfferOf: "LAMP", Seller: "Bo", Condition: catalogv1.Condition_CONDITION_GOOD, Price: money.USD(50).Proto()}}
	payload, err := proto.Marshal(&catalogv1.ProductChanged{Product: s.of.offers[0]})
	must(t, err)
	must(t, s.Changed(t.Context(), payload))
	page, byRow := s.page(t, "LAMP")
	if !byRow || len(page.GetOffers()) != 1 || page.GetOffers()[0].GetSeller() != "Bo" {
		t.Errorf("by row %v it has %v", byRow, page.GetOffers())
	}
}
