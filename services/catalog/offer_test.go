package catalog

import (
	"fmt"
	"strings"
	"testing"

	catalogv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/catalog/v1"
	"github.com/cellar-commerce/cellar/internal/money"
	"github.com/cellar-commerce/cellar/internal/problem"
)

// offered by a seller.
func offered(sku, of string, condition catalogv1.Condition, cents int64) *catalogv1.Product {
	return product(sku, func(p *catalogv1.Product) {
		p.OfferOf, p.Seller, p.Condition, p.Price = of, "Acme", condition, money.USD(cents).Proto()
	})
}

func TestOffersAreListedWithTheirProductAndInNoCategory(t *testing.T) {
	f := newFixture(t)
	used, fresh := catalogv1.Condition_CONDITION_GOOD, catalogv1.Condition_CONDITION_NEW
	all := []*catalogv1.Product{product("lamp"), offered("o1", "lamp", used, 100), offered("o2", "lamp", fresh, 900), offered("o3", "lamp", fresh, 800), offered("o4", "desk", fresh, 1)}
	for i := range maxOffers {
		all = append(all, offered(fmt.Sprintf("x%02d", i), "vase", used, int64(1+i)), offered(fmt.Sprintf("y%02d", i), "vase", fresh, 5000))
	}
	if _, err := f.Import(t.Context(), all, ImportOptions{}); err != nil {
		t.Fatal(err)
	}
	list := func(skus ...string) []*catalogv1.Product {
		resp, err := f.ListOffers(t.Context(), &catalogv1.ListOffersRequest{Skus: skus})
		if err != nil {
			t.Fatal(err)
		}
		return resp.GetOffers()
	}
	var got []string
	for _, o := range list("lamp", "lamp", "nothing") {
		got = append(got, fmt.Sprint(o.GetSku(), " ", o.GetSeller(), " ", o.GetCondition().Number(), " ", o.GetOfferOf()))
	}
	if strings.Join(got, ", ") != "o3 Acme 1 lamp, o2 Acme 1 lamp, o1 Acme 4 lamp" {
		t.Errorf("the offers are %v", got)
	}
	if many := list("vase"); len(many) != maxOffers || many[maxOffers-1].GetCondition() != fresh {
		t.Errorf("of 40 offers %d are listed", len(many))
	}
	if got := f.browse(t, "Home > Kettles"); strings.Join(got, " ") != "lamp" {
		t.Errorf("the category has %v", got)
	}
}

func TestAnOfferMustSayWhatItIsAndAProductMustNot(t *testing.T) {
	for name, spoil := range map[string]func(*catalogv1.Product){
		"product.offer_of":  func(p *catalogv1.Product) { p.OfferOf = p.GetSku() },
		"product.seller":    func(p *catalogv1.Product) { p.Seller = " " },
		"product.condition": func(p *catalogv1.Product) { p.Condition = 77 },
		"product.family":    func(p *catalogv1.Product) { p.Family, p.VariesBy = "f", []string{"colour"} },
	} {
		p := offered("o1", "lamp", catalogv1.Condition_CONDITION_NEW, 1)
		spoil(p)
		var v problem.Violations
		if Validate(&v, "product", p); v.Err() == nil || !strings.Contains(v.Err().Error(), name) {
			t.Errorf("%s: %v", name, v.Err())
		}
	}
	for name, spoil := range map[string]func(*catalogv1.Product){
		"product.seller": func(p *catalogv1.Product) { p.Seller = "Acme" }, "product.condition": func(p *catalogv1.Product) { p.Condition = catalogv1.Condition_CONDITION_NEW },
	} {
		p := product("lamp")
		spoil(p)
		var v problem.Violations
		if Validate(&v, "product", p); v.Err() == nil || !strings.Contains(v.Err().Error(), name) {
			t.Errorf("%s: %v", name, v.Err())
		}
	}
}
