package storefront

import (
	"context"
	"net/http"
	"regexp"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	catalogv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/catalog/v1"
	storefrontv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/storefront/v1"
)

// onlyPage is all that a shop has.
type onlyPage struct{ page *storefrontv1.Page }

func (o onlyPage) Page(context.Context, string) (*storefrontv1.Page, error) { return o.page, nil }

func (o onlyPage) Deals(context.Context) ([]*storefrontv1.Card, error) { return nil, nil }

func TestAProductsPageLeadsToTheOthersOfItsFamily(t *testing.T) {
	s, page := newShop(t), &storefrontv1.Page{Product: lamp()}
	page.Product.Family, page.Product.VariesBy = "lamps", []string{"base_colour", "size", "plug"}
	for _, v := range [][]string{{"LAMP", "red", "M", "UK"}, {"RED-L", "red", "L", "UK"}, {"BLUE-S", "blue", "S", "UK"}, {"GONE-M", "blue", "M", "UK"}, {"RED-S", "red", "S", "UK"}, {"ODD", "", "XL", "UK"}} {
		page.Variants = append(page.Variants, &storefrontv1.Variant{Sku: v[0], Values: v[1:]})
	}
	s.deps.Pages = onlyPage{page}
	w := s.get("/p/LAMP")
	if w.Code != http.StatusOK {
		t.Fatal(w.Code, w.Body.String())
	}
	nav := regexp.MustCompile(`(?s)<nav aria-label="Choices">.*?</nav>`).FindString(w.Body.String())
	var got []string
	for _, m := range regexp.MustCompile(`aria-label="(\w+ ?\w*)">|<a href="/p/([\w-]+)"( aria-current="true")?>(\w+)(<span class="small"> sold out</span>)?`).FindAllStringSubmatch(nav, -1) {
		switch {
		case m[1] != "" && m[1] != "Choices":
			got = append(got, m[1]+":")
		case m[2] != "":
			got = append(got, m[4]+"="+m[2]+map[bool]string{true: " (here)"}[m[3] != ""]+map[bool]string{true: " (sold out)"}[m[5] != ""])
		}
	}
	// Blue leads to what is blue and M, though that is sold out; what there is one of is no choice.
	if want := "Base colour: blue=GONE-M (sold out) red=LAMP (here) Size: S=RED-S M=LAMP (here) L=RED-L XL=ODD"; strings.Join(got, " ") != want {
		t.Errorf("it offers %s\nof %s", strings.Join(got, " "), nav)
	}
}

func TestValuesStandInTheOrderOfPeople(t *testing.T) {
	for _, c := range [][2]string{{"S", "M"}, {"XL", "XXL"}, {"9", "10"}, {"7.5", "8"}, {"blue", "red"}} {
		if inOrder(c[0], c[1]) >= 0 || inOrder(c[1], c[0]) <= 0 {
			t.Errorf("%s does not come before %s", c[0], c[1])
		}
	}
}

func TestAChangeOfOneOfAFamilyIsNewOnThePagesOfAll(t *testing.T) {
	s := newShelf(t)
	s.of.families = map[string]string{"LAMP": "red", "SHADE": "blue"}
	must(t, s.Rebuild(t.Context(), "LAMP", "SHADE", "BULB"))
	s.of.families["BULB"] = "green" // it joins
	payload, err := proto.Marshal(&catalogv1.ProductChanged{Product: s.of.product("BULB")})
	must(t, err)
	must(t, s.Changed(t.Context(), payload))
	for _, sku := range []string{"LAMP", "SHADE", "BULB"} {
		page, byRow := s.page(t, sku)
		if !byRow || len(page.GetVariants()) != 3 || page.GetVariants()[0].GetValues()[0] != "green" {
			t.Errorf("%s, by row %v, has %v", sku, byRow, page.GetVariants())
		}
		if len(page.GetRelated()) != 0 {
			t.Errorf("%s is beside its own family: %v", sku, page.GetRelated())
		}
	}
}

func TestAChoiceThatIsPrimeSaysSo(t *testing.T) {
	s, page := newShop(t), &storefrontv1.Page{Product: lamp()}
	page.Product.Family, page.Product.VariesBy = "lamps", []string{"size"}
	page.Variants = variantsOf(page.GetProduct(), []*catalogv1.Product{
		{Sku: "LAMP", Attributes: map[string]string{"size": "S"}}, {Sku: "M", Attributes: map[string]string{"size": "M"}, Prime: true}, {Sku: "GONE", Attributes: map[string]string{"size": "L"}, Prime: true},
	})
	s.deps.Pages = onlyPage{page}
	body := s.get("/p/LAMP").Body.String()
	for tile, is := range map[string]bool{"S": false, "M": true, "L": true} {
		link := regexp.MustCompile(`<a href="/p/\w+"[^>]*>` + tile + `.*?</a>`).FindString(body)
		if link == "" || strings.Contains(link, `class="prime"`) != is {
			t.Errorf("%s is %s", tile, link)
		}
	}
	if got := strings.Count(body, `class="prime"`); got != 2 {
		t.Errorf("%d badges on a page that is not Prime itself", got)
	}
}
