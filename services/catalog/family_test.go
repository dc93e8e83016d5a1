package catalog

import (
	"fmt"
	"strings"
	"testing"

	catalogv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/catalog/v1"
	"github.com/cellar-commerce/cellar/internal/problem"
)

// shirt of a family that varies by colour and size.
func shirt(sku, family, colour, size string) *catalogv1.Product {
	return product(sku, func(p *catalogv1.Product) {
		p.Family, p.VariesBy, p.Attributes = family, []string{"colour", "size"}, map[string]string{"colour": colour, "size": size}
	})
}

func TestAFamilyIsListedAsItIsAndNobodyElses(t *testing.T) {
	f := newFixture(t)
	all := []*catalogv1.Product{shirt("s2", "shirt", "red", "M"), shirt("s1", "shirt", "red", "S"), shirt("t1", "tie", "red", "S"), product("lamp")}
	if _, err := f.Import(t.Context(), all, ImportOptions{}); err != nil {
		t.Fatal(err)
	}
	list := func(families ...string) string {
		resp, err := f.ListFamilies(t.Context(), &catalogv1.ListFamiliesRequest{Families: families})
		if err != nil {
			t.Fatal(err)
		}
		var out []string
		for _, p := range resp.GetProducts() {
			out = append(out, fmt.Sprintf("%s %s %s", p.GetSku(), p.GetFamily(), strings.Join(p.GetVariesBy(), "+")))
		}
		return strings.Join(out, ", ")
	}
	if got := list("shirt", "shirt", "nothing"); got != "s1 shirt colour+size, s2 shirt colour+size" {
		t.Errorf("the family is %s", got)
	}
	f.upsert(t, product("s1")) // it leaves
	if got := list("shirt", "tie"); got != "s2 shirt colour+size, t1 tie colour+size" {
		t.Errorf("the families are %s", got)
	}
	_, err := f.ListFamilies(t.Context(), &catalogv1.ListFamiliesRequest{Families: []string{""}})
	if !problem.Is(err, "INVALID_FIELDS") {
		t.Errorf("no family answers %v", err)
	}
}

func TestAFamilyShowsNoMoreThanItsLimit(t *testing.T) {
	f := newFixture(t)
	var all []*catalogv1.Product
	for i := range maxFamily + 1 {
		all = append(all, shirt(fmt.Sprintf("s%03d", i), "shirt", "red", fmt.Sprint(i)))
	}
	if _, err := f.Import(t.Context(), all, ImportOptions{}); err != nil {
		t.Fatal(err)
	}
	resp, err := f.ListFamilies(t.Context(), &catalogv1.ListFamiliesRequest{Families: []string{"shirt"}})
	if err != nil || len(resp.GetProducts()) != maxFamily || resp.GetProducts()[0].GetSku() != "s000" {
		t.Errorf("%d are listed (%v)", len(resp.GetProducts()), err)
	}
}

func TestWhatAFamilyVariesByMustBeSaidOfEachProduct(t *testing.T) {
	for name, spoil := range map[string]func(*catalogv1.Product){
		"product.family":       func(p *catalogv1.Product) { p.Family = "a b" },
		"product.varies_by":    func(p *catalogv1.Product) { p.VariesBy = nil },
		"product.varies_by[0]": func(p *catalogv1.Product) { p.VariesBy = []string{"fit"} },
		"product.varies_by[1]": func(p *catalogv1.Product) { p.VariesBy = []string{"size", "size"} },
	} {
		p := shirt("s1", "shirt", "red", "S")
		spoil(p)
		var v problem.Violations
		if Validate(&v, "product", p); v.Err() == nil || !strings.Contains(v.Err().Error(), name) {
			t.Errorf("%s: %v", name, v.Err())
		}
	}
	alone := shirt("s1", "", "red", "S")
	var v problem.Violations
	if Validate(&v, "product", alone); v.Err() == nil {
		t.Error("what is of no family varies")
	}
}
