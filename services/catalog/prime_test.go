package catalog

import (
	"testing"

	catalogv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/catalog/v1"
	"github.com/cellar-commerce/cellar/internal/money"
	"github.com/cellar-commerce/cellar/internal/sqldb"
)

func TestAProductIsPrimeWhereverItIsReadAndUntilItIsSaidNotToBe(t *testing.T) {
	f := newFixture(t)
	lamp := shirt("lamp", "lamps", "red", "S")
	offer := offered("used", "lamp", catalogv1.Condition_CONDITION_GOOD, 100)
	lamp.Prime, offer.Prime = true, true
	if _, err := f.Import(t.Context(), []*catalogv1.Product{lamp, offer, shirt("tall", "lamps", "red", "L")}, ImportOptions{Announce: true}); err != nil {
		t.Fatal(err)
	}
	if _, err := f.SetPrice(t.Context(), &catalogv1.SetPriceRequest{Sku: "lamp", Price: money.USD(5).Proto()}); err != nil {
		t.Fatal(err)
	}
	family, err := f.ListFamilies(t.Context(), &catalogv1.ListFamiliesRequest{Families: []string{"lamps"}})
	if err != nil {
		t.Fatal(err)
	}
	offers, err := f.ListOffers(t.Context(), &catalogv1.ListOffersRequest{Skus: []string{"lamp"}})
	if err != nil {
		t.Fatal(err)
	}
	all, err := f.ScanProducts(t.Context(), "", 9)
	if err != nil {
		t.Fatal(err)
	}
	some, err := f.BatchGetProducts(t.Context(), &catalogv1.BatchGetProductsRequest{Skus: []string{"lamp", "tall", "used"}})
	if err != nil {
		t.Fatal(err)
	}
	var told []*catalogv1.Product
	for _, e := range f.events(t) {
		told = append(told, e.changed.GetProduct())
	}
	for where, products := range map[string][]*catalogv1.Product{
		"the family": family.GetProducts(), "the offers": offers.GetOffers(), "a scan": all, "a batch": some.GetProducts(), "an event": told,
	} {
		if len(products) == 0 {
			t.Errorf("%s has nothing", where)
		}
		for _, p := range products {
			if p.GetPrime() != (p.GetSku() != "tall") {
				t.Errorf("%s says %v of %s", where, p.GetPrime(), p.GetSku())
			}
		}
	}
	lamp.Prime = false
	if f.upsert(t, lamp).GetPrime() {
		t.Error("it cannot be taken back")
	}
}

var stmtOldInsert = sqldb.Define(sqldb.Global, "catalog_test.old_insert", `
INSERT INTO products (sku, title, description, brand, category, price_minor_units, currency, image_urls, attributes, weight_grams, popularity, version, updated_at)
VALUES ('old', 'Lamp', '', '', 'Home', 1, 'USD', ARRAY[]::text[], '{}', 0, 0, 1, $1)`)

func TestWhatWasWrittenBeforeThereWasPrimeIsNot(t *testing.T) {
	f := newFixture(t)
	if _, err := f.db.Exec(t.Context(), stmtOldInsert, f.clock.Now()); err != nil {
		t.Fatal(err)
	}
	resp, err := f.GetProduct(t.Context(), &catalogv1.GetProductRequest{Sku: "old"})
	if err != nil || resp.GetProduct().GetPrime() {
		t.Errorf("%v, %v", resp, err)
	}
}
