// Package enginetest says what every search engine must do.
package enginetest

import (
	"cmp"
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	catalogv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/catalog/v1"
	searchv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/search/v1"
	"github.com/cellar-commerce/cellar/internal/money"
	"github.com/cellar-commerce/cellar/services/search"
)

// Run the suite against engines that open makes, each empty.
func Run(t *testing.T, open func(t *testing.T) search.Engine) {
	for name, check := range map[string]func(*testing.T, search.Engine){
		"every word must match somewhere":                 everyWord,
		"words match in all their forms":                  forms,
		"a typo is forgiven when nothing else is found":   typo,
		"words are left out when nothing has all of them": leftOut,
		"titles count more than descriptions":             titles,
		"popularity decides between equals":               popularity,
		"Prime decides a little, narrows and is counted":  prime,
		"filters narrow and do not rank":                  filters,
		"facets count the matches":                        facets,
		"sorts":                                           sorts,
		"no words match everything, most popular first":   everything,
		"the highest version wins":                        versions,
		"what is withdrawn is not found":                  withdrawn,
		"a limit is kept and the total is not cut by it":  limits,
		"a family is found once, by its best":             families,
		"totals and facets count a family once":           counts,
		"a list has as many as are counted":               whole,
		"suggestions follow the products":                 suggest,
		"odd input is harmless":                           odd,
		"searching while indexing":                        concurrent,
	} {
		t.Run(name, func(t *testing.T) { check(t, open(t)) })
	}
}

// Product for a test; title, brand and price tell it apart.
func Product(sku, title string, change ...func(*catalogv1.Product)) *catalogv1.Product {
	p := &catalogv1.Product{Sku: sku, Title: title, Brand: "Acme", CategoryPath: []string{"Home", "Things"}, Price: money.USD(1000).Proto(), Version: 1}
	for _, c := range change {
		c(p)
	}
	return p
}

func index(t *testing.T, e search.Engine, products ...*catalogv1.Product) {
	t.Helper()
	if err := e.Index(products); err != nil {
		t.Fatal(err)
	}
}

func find(t *testing.T, e search.Engine, q search.Query) search.Results {
	t.Helper()
	if q.Limit == 0 {
		q.Limit = 50
	}
	res, err := e.Search(context.Background(), q)
	if err != nil {
		t.Fatal(err)
	}
	return res
}

func skus(res search.Results) string {
	var all []string
	for _, h := range res.Hits {
		all = append(all, h.Product.SKU)
	}
	return strings.Join(all, " ")
}

func want(t *testing.T, e search.Engine, q search.Query, expected string) {
	t.Helper()
	if got := skus(find(t, e, q)); got != expected {
		t.Errorf("%+v finds %q, want %q", q, got, expected)
	}
}

func words(w string) search.Query { return search.Query{Words: w} }

func everyWord(t *testing.T, e search.Engine) {
	index(t, e, Product("a", "Steel kettle", func(p *catalogv1.Product) { p.Attributes = map[string]string{"colour": "crimson"} }),
		Product("b", "Steel pan"), Product("c", "Glass kettle"))
	want(t, e, words("steel kettle"), "a")
	want(t, e, words("KETTLE crimson"), "a")
	want(t, e, words("acme steel pan"), "b")
}

func forms(t *testing.T, e search.Engine) {
	index(t, e, Product("a", "Running shoes"), Product("b", "Clock"))
	want(t, e, words("shoe run"), "a")
	want(t, e, words("clocks"), "b")
}

func typo(t *testing.T, e search.Engine) {
	index(t, e, Product("a", "Stainless kettle"), Product("b", "Settle bench"), Product("c", "Wireless headphones"), Product("d", "Wired headphones"))
	want(t, e, words("kxxtle"), "") // two edits apart
	want(t, e, words("kettlle"), "a")
	want(t, e, words("stainles kettle"), "a")
	if got := skus(find(t, e, words("wireles headphones"))); !strings.Contains(got, "c") { // by its stem it is nearer to the other
		t.Errorf("a word that is one letter off finds %q, without what it means", got)
	}
	want(t, e, words("kettle"), "a")
}

func leftOut(t *testing.T, e search.Engine) {
	index(t, e, Product("a", "Red cotton towel"), Product("b", "Blue vase"))
	want(t, e, words("red cotton towel xyzzyq"), "a")
	want(t, e, words("purple vase"), "b")
}

func titles(t *testing.T, e search.Engine) {
	index(t, e, Product("a", "Bag", func(p *catalogv1.Product) { p.Description = "Holds a camera and other things for a trip." }), Product("b", "Camera"))
	want(t, e, words("camera"), "b a")
}

func popularity(t *testing.T, e search.Engine) {
	index(t, e, Product("a", "Desk lamp"), Product("b", "Desk lamp", func(p *catalogv1.Product) { p.Popularity = 500_000 }), Product("c", "Desk lamp"))
	want(t, e, words("desk lamp"), "b a c")
}

func prime(t *testing.T, e search.Engine) {
	is := func(popularity int32) func(*catalogv1.Product) {
		return func(p *catalogv1.Product) { p.Prime, p.Popularity = true, popularity }
	}
	sells := func(popularity int32) func(*catalogv1.Product) {
		return func(p *catalogv1.Product) { p.Popularity = popularity }
	}
	index(t, e, Product("a", "Desk lamp", sells(2000)), Product("b", "Desk lamp", is(1000)), Product("c", "Desk lamp", sells(9000)), Product("d", "A lamp beside the desk, with a shade of linen", is(9000)),
		Product("e", "Lamp for a shelf", is(1)), Product("f", "Vase", is(0)))
	want(t, e, words("desk lamp"), "c b a d") // it outweighs twice the sales, not nine times as many, and no better text
	want(t, e, search.Query{Words: "desk lamp", Prime: true}, "b d")
	want(t, e, search.Query{Words: "lamp", Category: "Home", MaxPrice: 1000, Prime: true, Sort: searchv1.Sort_SORT_POPULARITY}, "d b e")
	want(t, e, search.Query{Prime: true, Sort: searchv1.Sort_SORT_POPULARITY}, "d b e f")
	if res := find(t, e, search.Query{Words: "desk lamp", Counted: true}); fmt.Sprint(res.Prime) != "[{yes 2}]" {
		t.Errorf("of %d matches these are Prime: %v", res.Total, res.Prime)
	}
	index(t, e, Product("b", "Desk lamp", func(p *catalogv1.Product) { p.Version = 2 }), Product("g", "Kettle"))
	want(t, e, search.Query{Words: "desk lamp", Prime: true}, "d")
	for words, primes := range map[string]string{"desk lamp": "[{yes 1}]", "kettle": "[]"} {
		if res := find(t, e, search.Query{Words: words, Counted: true}); fmt.Sprint(res.Prime) != primes {
			t.Errorf("of what %s finds these are Prime: %v", words, res.Prime)
		}
	}
}

func filters(t *testing.T, e search.Engine) {
	in := func(brand string, price int64, path ...string) func(*catalogv1.Product) {
		return func(p *catalogv1.Product) {
			p.Brand, p.Price, p.CategoryPath = brand, money.USD(price).Proto(), path
		}
	}
	index(t, e, Product("a", "Pan", in("Acme", 100, "Home", "Pans")), Product("b", "Pan", in("Bolt", 200, "Home", "Pans", "Woks")), Product("c", "Pan", in("Acme", 300, "Garden")))
	want(t, e, search.Query{Words: "pan", Category: "Home"}, "a b")
	want(t, e, search.Query{Words: "pan", Category: "Home > Pans > Woks"}, "b")
	want(t, e, search.Query{Words: "pan", Category: "Home > P"}, "")
	want(t, e, search.Query{Words: "pan", Brands: []string{"ACME"}}, "a c")
	want(t, e, search.Query{Words: "pan", Brands: []string{"acme", "Bolt"}, MinPrice: 200, MaxPrice: 300}, "b c")
	want(t, e, search.Query{Words: "pan", MaxPrice: 199}, "a")
	all, narrowed := find(t, e, words("pan")), find(t, e, search.Query{Words: "pan", MinPrice: 300})
	if i := slices.IndexFunc(all.Hits, func(h search.Hit) bool { return h.Product.SKU == "c" }); all.Hits[i].Score != narrowed.Hits[0].Score {
		t.Errorf("a filter changes the score from %v to %v", all.Hits[i].Score, narrowed.Hits[0].Score)
	}
}

func facets(t *testing.T, e search.Engine) {
	for i, brand := range []string{"Acme", "Acme", "Bolt"} {
		index(t, e, Product(fmt.Sprint(i), "Pan", func(p *catalogv1.Product) { p.Brand = brand }))
	}
	index(t, e, Product("x", "Lamp"))
	res := find(t, e, search.Query{Words: "pan", Counted: true, Limit: 1})
	if fmt.Sprint(res.Brands) != "[{Acme 2} {Bolt 1}]" || fmt.Sprint(res.Categories) != "[{Home > Things 3}]" {
		t.Errorf("brands %v, categories %v", res.Brands, res.Categories)
	}
	if res = find(t, e, words("pan")); len(res.Brands) != 0 {
		t.Error("facets were counted unasked")
	}
}

func sorts(t *testing.T, e search.Engine) {
	for i, price := range []int64{900, 20_000, 1_000, 5} {
		index(t, e, Product(string(rune('a'+i)), "Pan", func(p *catalogv1.Product) {
			p.Price, p.Popularity = money.USD(price).Proto(), int32(i*7%4)
		}))
	}
	want(t, e, search.Query{Words: "pan", Sort: searchv1.Sort_SORT_PRICE_ASCENDING}, "d a c b")
	want(t, e, search.Query{Words: "pan", Sort: searchv1.Sort_SORT_PRICE_DESCENDING}, "b c a d")
	want(t, e, search.Query{Words: "pan", Sort: searchv1.Sort_SORT_POPULARITY}, "b c d a")
}

func everything(t *testing.T, e search.Engine) {
	index(t, e, Product("a", "Pan"), Product("b", "Lamp", func(p *catalogv1.Product) { p.Popularity = 9 }))
	want(t, e, words("  "), "b a")
	want(t, e, search.Query{Category: "Home", MaxPrice: 1}, "")
}

func versions(t *testing.T, e search.Engine) {
	version := func(v int64, title string) *catalogv1.Product {
		return Product("a", title, func(p *catalogv1.Product) { p.Version = v })
	}
	index(t, e, version(2, "Kettle"))
	index(t, e, version(1, "Toaster"))
	want(t, e, words("kettle"), "a")
	want(t, e, words("toaster"), "")
	index(t, e, version(4, "Blender"), version(3, "Grinder"))
	want(t, e, words("blender"), "a")
	want(t, e, words("kettle"), "")
	want(t, e, words("grinder"), "")
	if e.Count() != 1 {
		t.Errorf("one product counts %d", e.Count())
	}
}

func withdrawn(t *testing.T, e search.Engine) {
	lamp := func(version int64, gone bool) *catalogv1.Product {
		return Product("lamp", "Luminous lamp", func(p *catalogv1.Product) {
			p.Version, p.Brand, p.Family = version, "Bright", "lamps"
			if gone {
				p.WithdrawnAt = timestamppb.New(time.Unix(0, 0))
			}
		})
	}
	there := func(count int, when string) {
		t.Helper()
		all := find(t, e, search.Query{Counted: true})
		if n := len(find(t, e, words("lamp")).Hits) + len(e.Suggest("bri", 5)) + int(all.Total) + len(all.Brands); n != 4*count || e.Count() != count {
			t.Errorf("%s there are %v, %v suggested, and %v counted, %d", when, skus(find(t, e, words("lamp"))), e.Suggest("bri", 5), all, e.Count())
		}
	}
	index(t, e, lamp(2, false))
	there(1, "at first")
	index(t, e, lamp(3, true))
	there(0, "withdrawn")
	index(t, e, lamp(2, false))
	there(0, "told late of what was before")
	index(t, e, lamp(4, false))
	there(1, "restored")
	index(t, e, lamp(3, true))
	there(1, "told late that it was withdrawn")
	index(t, e, lamp(5, false), lamp(6, true), lamp(5, false))
	there(0, "changed and withdrawn in one go")
	index(t, e, Product("never", "A lamp that nobody has seen", func(p *catalogv1.Product) { p.WithdrawnAt = timestamppb.New(time.Unix(0, 0)) }))
	there(0, "with one that was never there")
}

func limits(t *testing.T, e search.Engine) {
	var products []*catalogv1.Product
	for i := range 120 {
		products = append(products, Product(fmt.Sprintf("p%03d", i), "Pan"))
	}
	index(t, e, products...)
	res := find(t, e, search.Query{Words: "pan", Limit: 7})
	if len(res.Hits) != 7 || res.Total != 120 {
		t.Errorf("%d hits of %d", len(res.Hits), res.Total)
	}
	longer := find(t, e, search.Query{Words: "pan", Limit: 20})
	if !strings.HasPrefix(skus(longer), skus(res)) {
		t.Errorf("a longer list begins otherwise: %s, %s", skus(longer), skus(res))
	}
}

func suggest(t *testing.T, e search.Engine) {
	brand := func(b string, popularity int32) func(*catalogv1.Product) {
		return func(p *catalogv1.Product) { p.Brand, p.Popularity = b, popularity }
	}
	index(t, e, Product("a", "Kettle bell heavy", brand("Kestrel", 5)), Product("b", "Lamp", brand("Kettler", 900)))
	if got := fmt.Sprint(e.Suggest("  ke", 5)); got != "[Kettler Kestrel Kettle bell Kettle bell heavy]" {
		t.Errorf("ke: %s", got)
	}
	if got := e.Suggest("KETTLE  b", 1); len(got) != 1 || got[0] != "Kettle bell" {
		t.Errorf("kettle b: %v", got)
	}
	index(t, e, Product("b", "Lamp", brand("Other", 900), func(p *catalogv1.Product) { p.Version = 2 }))
	if got := e.Suggest("kettler", 5); len(got) != 0 {
		t.Errorf("a brand that is gone is suggested: %v", got)
	}
}

func odd(t *testing.T, e search.Engine) {
	index(t, e, Product("a", "The thing"))
	for _, w := range []string{"", "the", `"`, `+-&&||!(){}[]^"~*?:\/`, "\x00", strings.Repeat("a ", 500), "日本語", "é́", "ﬀ"} {
		find(t, e, words(w))
		e.Suggest(w, 5)
	}
	find(t, e, search.Query{Words: "thing", Category: `"`, Brands: []string{"", "*"}, MinPrice: 1 << 60})
}

func concurrent(t *testing.T, e search.Engine) {
	var wg sync.WaitGroup
	for w := range 4 {
		wg.Go(func() {
			for i := range 20 {
				if err := e.Index([]*catalogv1.Product{Product(fmt.Sprint(i), "Pan", func(p *catalogv1.Product) { p.Version = int64(w + 1) })}); err != nil {
					t.Error(err)
				}
			}
		})
		wg.Go(func() {
			for i := range 20 {
				err := e.Index([]*catalogv1.Product{Product("x", "Pan", func(p *catalogv1.Product) {
					if p.Version = int64(20*w + i + 1); i%2 == 1 { // the last of all is withdrawn
						p.WithdrawnAt = timestamppb.New(time.Unix(0, 0))
					}
				})})
				if err != nil {
					t.Error(err)
				}
			}
		})
		wg.Go(func() {
			for range 20 {
				res, err := e.Search(context.Background(), search.Query{Words: "pan", Limit: 50, Counted: true})
				if err != nil {
					t.Error(err)
				}
				for _, h := range res.Hits {
					if h.Product == nil {
						t.Error("a hit without a product")
					}
				}
				e.Suggest("pa", 3)
			}
		})
	}
	wg.Wait()
	if e.Count() != 20 || find(t, e, words("pan")).Total != 20 {
		t.Errorf("20 products count %d, %d found", e.Count(), find(t, e, words("pan")).Total)
	}
}

func families(t *testing.T, e search.Engine) {
	of := func(family string, popularity int32) func(*catalogv1.Product) {
		return func(p *catalogv1.Product) { p.Family, p.Popularity = family, popularity }
	}
	var many []*catalogv1.Product
	for i := range 400 {
		many = append(many, Product(fmt.Sprintf("z%03d", i), "Shirt", of("shirt", 500_000)))
	}
	index(t, e, many...)
	index(t, e, Product("a", "Shirt", of("plain", 100)), Product("b", "Shirt", of("plain", 900_000)), Product("c", "Shirt", of("", 200)), Product("d", "Shirt", of("", 150)))
	q := search.Query{Words: "shirt", Sort: searchv1.Sort_SORT_POPULARITY, Counted: true}
	want(t, e, q, "b z000 c d") // though the 400 are more than is fetched at first
	q.Limit = 3
	if res := find(t, e, q); !res.More || res.Total != 4 || skus(res) != "b z000 c" {
		t.Errorf("of the first 3 it says %v %d %s", res.More, res.Total, skus(res))
	}
	q.Limit = 4
	if res := find(t, e, q); res.More {
		t.Error("there are more than four")
	}
}

// counts of any catalogue are those of going through it product by product.
func counts(t *testing.T, e search.Engine) {
	draw := rand.New(rand.NewPCG(3, 1))
	pick := func(name string, n int) string { return fmt.Sprint(name, draw.IntN(n)) }
	var all []*catalogv1.Product
	for i := range 600 {
		all = append(all, Product(fmt.Sprintf("p%03d", i), pick("word", 4)+" pan", func(p *catalogv1.Product) {
			p.Brand, p.CategoryPath = pick("Brand", 30), []string{pick("Top", 2), pick("Leaf", 15)}
			if draw.IntN(3) > 0 {
				p.Family = pick("family", 90)
			}
		}))
	}
	index(t, e, all...)
	for range 60 {
		q := search.Query{Limit: 1 + draw.IntN(40), Counted: true, Words: []string{"", "pan", pick("word", 4)}[draw.IntN(3)], Category: []string{"", pick("Top", 2)}[draw.IntN(2)]}
		if draw.IntN(2) == 0 {
			q.Brands = []string{pick("Brand", 30), pick("Brand", 30)}
		}
		res, want := find(t, e, q), brute(all, q)
		if res.Total != want.Total || fmt.Sprint(res.Brands) != fmt.Sprint(want.Brands) || fmt.Sprint(res.Categories) != fmt.Sprint(want.Categories) {
			t.Fatalf("%+v counts %d, %v, %v\nwant %d, %v, %v", q, res.Total, res.Brands, res.Categories, want.Total, want.Brands, want.Categories)
		}
		if (int64(len(res.Hits)) != min(res.Total, int64(q.Limit))) || res.More != (res.Total > int64(q.Limit)) {
			t.Fatalf("%+v lists %d of %d, more %v", q, len(res.Hits), res.Total, res.More)
		}
	}
}

func whole(t *testing.T, e search.Engine) {
	var all []*catalogv1.Product
	for i := range 1500 {
		all = append(all, Product(fmt.Sprint("p", i), "Pan", func(p *catalogv1.Product) { p.Family = fmt.Sprint("family", i/5) }))
	}
	index(t, e, all...)
	if res := find(t, e, search.Query{Words: "pan", Limit: search.MaxResults, Counted: true}); res.Total != 300 || len(res.Hits) != 300 || res.More {
		t.Errorf("of 300 families it lists %d, and counts %d", len(res.Hits), res.Total)
	}
}

// brute counts by going through all products. Each of them has one word of those that are asked for.
func brute(all []*catalogv1.Product, q search.Query) (r search.Results) {
	total, brands, categories := map[string]bool{}, map[string]map[string]bool{}, map[string]map[string]bool{}
	for _, p := range all {
		path := strings.Join(p.GetCategoryPath(), " > ")
		if !strings.Contains(p.GetTitle(), q.Words) || !strings.HasPrefix(path, q.Category) || (len(q.Brands) > 0 && !slices.Contains(q.Brands, p.GetBrand())) {
			continue
		}
		one := cmp.Or(p.GetFamily(), p.GetSku())
		total[one] = true
		for value, in := range map[string]map[string]map[string]bool{p.GetBrand(): brands, path: categories} {
			if in[value] == nil {
				in[value] = map[string]bool{}
			}
			in[value][one] = true
		}
	}
	return search.Results{Total: int64(len(total)), Brands: most(brands), Categories: most(categories)}
}

// most frequent of the values, as many as a facet has.
func most(values map[string]map[string]bool) (all []search.FacetValue) {
	for value, of := range values {
		all = append(all, search.FacetValue{Value: value, Count: int64(len(of))})
	}
	slices.SortFunc(all, func(a, b search.FacetValue) int {
		return cmp.Or(cmp.Compare(b.Count, a.Count), cmp.Compare(a.Value, b.Value))
	})
	return all[:min(len(all), 20)]
}
