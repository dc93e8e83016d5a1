package catalog

import (
	"testing"

	"google.golang.org/protobuf/proto"

	catalogv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/catalog/v1"
)

// seen by SKU in a view.
func (f *fixture) seen(t *testing.T, view catalogv1.ProductView) map[string]*catalogv1.Product {
	t.Helper()
	resp, err := f.BatchGetProducts(t.Context(), &catalogv1.BatchGetProductsRequest{Skus: []string{"lamp", "used", "gone", "nothing", "lamp"}, View: view})
	if err != nil || len(resp.GetProducts()) != 3 {
		t.Fatal(resp, err)
	}
	all := map[string]*catalogv1.Product{}
	for _, p := range resp.GetProducts() {
		all[p.GetSku()] = p
	}
	return all
}

func TestALineIsAnsweredWithWhatItNeedsOfAProductAndNothingElse(t *testing.T) {
	f := newFixture(t)
	lamp := shirt("lamp", "lamps", "red", "S")
	lamp.Prime = true
	products := []*catalogv1.Product{lamp, offered("used", "lamp", catalogv1.Condition_CONDITION_GOOD, 100), product("gone")}
	if _, err := f.Import(t.Context(), products, ImportOptions{}); err != nil {
		t.Fatal(err)
	}
	f.withdrawn(t, "gone")
	for _, withdrawn := range []bool{false, true} { // an offer with its product
		if withdrawn {
			f.withdrawn(t, "lamp")
		}
		whole, lines := f.seen(t, catalogv1.ProductView_PRODUCT_VIEW_UNSPECIFIED), f.seen(t, catalogv1.ProductView_PRODUCT_VIEW_LINE)
		for sku, p := range whole {
			if p.GetDescription() == "" || len(p.GetImageUrls()) == 0 || len(p.GetAttributes()) == 0 || p.GetVersion() == 0 {
				t.Errorf("%s is not whole: %v", sku, p)
			}
			want := &catalogv1.Product{
				Sku: p.GetSku(), Title: p.GetTitle(), CategoryPath: p.GetCategoryPath(), Price: p.GetPrice(), OfferOf: p.GetOfferOf(), Seller: p.GetSeller(),
				Condition: p.GetCondition(), Prime: p.GetPrime(), WithdrawnAt: p.GetWithdrawnAt(),
			}
			if got := lines[sku]; !proto.Equal(got, want) {
				t.Errorf("%s: got %v, want %v", sku, got, want)
			}
			if (p.GetWithdrawnAt() != nil) != (withdrawn || sku == "gone") {
				t.Errorf("%s is withdrawn at %v", sku, p.GetWithdrawnAt())
			}
		}
	}
}
