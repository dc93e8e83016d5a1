package seed_test

import (
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"

	catalogv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/catalog/v1"
	"github.com/cellar-commerce/cellar/internal/seed"
)

// size of the catalogue that distributions are measured on.
const size = 10_000

var sku = regexp.MustCompile(`^[A-Za-z0-9._-]{1,64}$`)

// accepted fails unless a product keeps the limits that the catalogue's proto tells. Written out, since shared code knows
// no service.
func accepted(t testing.TB, p *catalogv1.Product) {
	t.Helper()
	for what, ok := range map[string]bool{
		"sku":         sku.MatchString(p.GetSku()),
		"title":       strings.TrimSpace(p.GetTitle()) != "" && plain(p.GetTitle(), 500),
		"description": plain(p.GetDescription(), 20_000),
		"brand":       plain(p.GetBrand(), 120),
		"price":       p.GetPrice().GetMinorUnits() > 0 && p.GetPrice().GetCurrencyCode() == "USD",
		"category":    len(p.GetCategoryPath()) >= 1 && len(p.GetCategoryPath()) <= 5,
		"attributes":  len(p.GetAttributes()) <= 100,
		"images":      len(p.GetImageUrls()) <= 20,
		"weight":      p.GetWeightGrams() >= 0 && p.GetWeightGrams() <= 10_000_000,
		"popularity":  p.GetPopularity() >= 0 && p.GetPopularity() <= 1_000_000,
	} {
		if !ok {
			t.Fatalf("the %s is beyond its limits in %v", what, p)
		}
	}
	for name, value := range p.GetAttributes() {
		if name == "" || !plain(name, 80) || !plain(value, 500) {
			t.Fatalf("attribute %q: %q", name, value)
		}
	}
	for _, level := range p.GetCategoryPath() {
		if level == "" || level != strings.TrimSpace(level) || strings.Contains(level, ">") || !plain(level, 80) {
			t.Fatalf("level %q of the category", level)
		}
	}
}

// plain text has at most so many characters and no control characters but line ends and tabs.
func plain(s string, limit int) bool {
	control := func(r rune) bool { return r < 0x20 && r != '\n' && r != '\t' && r != '\r' || r == 0x7f }
	return utf8.ValidString(s) && utf8.RuneCountInString(s) <= limit && !strings.ContainsFunc(s, control)
}

func TestTheCatalogueTakesEachProductAndTheyDiffer(t *testing.T) {
	skus, titles, categories := map[string]bool{}, map[string]bool{}, map[string]int{}
	for p := range seed.Products(size, 1) {
		accepted(t, p)
		skus[p.GetSku()], titles[p.GetTitle()] = true, true
		categories[strings.Join(p.GetCategoryPath(), " > ")]++
		if ending := p.GetPrice().GetMinorUnits() % 100; !slices.Contains([]int64{0, 49, 99}, ending) {
			t.Fatalf("%s costs %v", p.GetSku(), p.GetPrice())
		}
		if p.GetDescription() == "" || p.GetBrand() == "" || p.GetWeightGrams() <= 0 || len(p.GetAttributes()) == 0 {
			t.Fatalf("something is missing in %v", p)
		}
	}
	if len(skus) != size {
		t.Errorf("%d SKUs for %d products", len(skus), size)
	}
	if len(titles) < size*97/100 {
		t.Errorf("only %d titles of %d differ", len(titles), size)
	}
	if len(categories) < 14 {
		t.Errorf("only %d categories", len(categories))
	}
}

func TestAProductDependsOnItsIndexAndTheSeedOnly(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		of := rapid.Uint64().Draw(t, "seed")
		few, many := rapid.IntRange(0, 40).Draw(t, "few"), rapid.IntRange(40, 80).Draw(t, "many")
		first, all := slices.Collect(seed.Products(few, of)), slices.Collect(seed.Products(many, of))
		if len(first) != few || len(all) != many {
			t.Fatalf("asked for %d and %d, got %d and %d", few, many, len(first), len(all))
		}
		for i := range first {
			if !proto.Equal(first[i], all[i]) {
				t.Fatalf("product %d is %v among %d and %v among %d", i, first[i], few, all[i], many)
			}
			if a, b := seed.Stock(first[i], of), seed.Stock(all[i], of); !slices.Equal(a, b) {
				t.Fatalf("stock of product %d is %v and %v", i, a, b)
			}
		}
	})
}

func TestAnotherSeedGivesOtherProducts(t *testing.T) {
	a, b := slices.Collect(seed.Products(100, 1)), slices.Collect(seed.Products(100, 2))
	same := 0
	for i := range a {
		if a[i].GetTitle() == b[i].GetTitle() {
			same++
		}
	}
	if same > 5 {
		t.Errorf("%d of 100 titles are the same", same)
	}
}

// Who changes a product that was given must not change the next one.
func TestProductsShareNothing(t *testing.T) {
	before := slices.Collect(seed.Products(200, 3))
	for p := range seed.Products(200, 3) {
		p.CategoryPath[0] = "changed"
		p.Attributes["material"] = "changed"
	}
	for i, p := range slices.Collect(seed.Products(200, 3)) {
		if !proto.Equal(p, before[i]) {
			t.Fatalf("%v became %v", before[i], p)
		}
	}
}

// By Zipf's law with an exponent of 0.9, ten times the rank sells an eighth.
func TestPopularityFallsLikeZipf(t *testing.T) {
	var all []int
	for p := range seed.Products(size, 1) {
		all = append(all, int(p.GetPopularity()))
	}
	slices.Sort(all)
	slices.Reverse(all)
	if all[0] < 200_000 || all[size-1] != 0 {
		t.Errorf("from %d to %d, want from some hundred thousands to 0", all[0], all[size-1])
	}
	if ratio := float64(all[99]) / float64(all[999]); ratio < 5 || ratio > 13 {
		t.Errorf("rank 100 sells %.1f times what rank 1000 does, want about 8", ratio)
	}
}

// What is Prime is drawn by itself, and says nothing of what else a product is.
func TestFourProductsInTenArePrimeWhateverTheySell(t *testing.T) {
	count, of := map[bool]float64{}, map[bool]float64{}
	for p := range seed.Products(size, 1) {
		popular := p.GetPopularity() >= 1000
		of[popular]++
		if p.GetPrime() {
			count[popular]++
		}
	}
	for popular, n := range of {
		if share := count[popular] / n; n < size/20 || share < 0.36 || share > 0.44 {
			t.Errorf("of the popular (%v) %.0f products %.3f are Prime", popular, n, share)
		}
	}
}

func BenchmarkProducts(b *testing.B) {
	n := 0
	for range seed.Products(b.N, 1) {
		n++
	}
	b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "products/s")
}
