package search

import (
	"context"
	"math"
	"slices"
	"strings"

	catalogv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/catalog/v1"
	searchv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/search/v1"
)

// Engine is an index of products. It is safe for concurrent use.
type Engine interface {
	// Index adds products, and takes out those that are withdrawn; one that it has been given before counts when its version is not
	// lower. What Index has returned from is found, or not any more.
	Index(products []*catalogv1.Product) error
	// Search gives the matches of a query.
	Search(ctx context.Context, q Query) (Results, error)
	// Suggest completes a prefix, most popular first.
	Suggest(prefix string, limit int) []string
	// Count of products that can be found.
	Count() int
}

// Query of an engine.
type Query struct {
	// Words as the shopper typed them; none matches everything.
	Words string
	// Category and below, levels joined by " > "; empty for all.
	Category string
	// Brands, any of them; none for all. Compared without case.
	Brands []string
	// MinPrice and MaxPrice in minor units, inclusive; 0 for no bound.
	MinPrice, MaxPrice int64
	// Prime leaves out what is not.
	Prime bool
	Sort  searchv1.Sort
	// Limit of the hits, from the first on: at most MaxResults.
	Limit int
	// Counted are the facets, and the families among the matches, when set: that looks at every match.
	Counted bool
}

// Results of a query.
type Results struct {
	// Hits in order, at most the query's limit; of a family only the first.
	Hits []Hit
	// More hits would follow with a higher limit.
	More bool
	// Total of the matches; a family is one where they are counted.
	Total int64
	// Categories and Brands count the matches by value, the most frequent first, then by the value; at most maxFacet values. A family
	// is one match of each value that any of it has.
	Categories, Brands []FacetValue
	// Prime counts the matches that are, as "yes".
	Prime []FacetValue
}

// FacetValue is one value and how many matches have it.
type FacetValue struct {
	Value string
	Count int64
}

// Hit is one match.
type Hit struct {
	Product *Product
	Score   float64
}

// Product is what a result list shows of one.
type Product struct {
	SKU        string
	Title      string
	Brand      string
	Category   string
	Price      int64 // minor units
	Currency   string
	Image      string
	Popularity int32
	Version    int64
	// Family of products that differ in size, colour and the like; empty for none.
	Family string
	Prime  bool
}

// MaxResults is where every result list ends.
const MaxResults = 1000

const (
	// rerankDepth is how many of the best by text are ranked anew.
	rerankDepth = 300
	// popularityWeight is how much a product of popularity 1,000,000 gains over one of 0.
	popularityWeight = 0.25
	// primeWeight is what a product that is Prime gains: about as much as by selling four times as much.
	primeWeight = 0.025
	// maxFacet values of one facet.
	maxFacet = 20
)

// rerank blends text, popularity and Prime among the best by text: score × (1 + 0.25 × log10(1+popularity)/6, and 0.025 more for what is
// Prime). The gain is bounded, so that it decides between similar texts and never makes a poor one win.
func rerank(hits []Hit) {
	best := hits[:min(len(hits), rerankDepth)]
	for i := range best {
		gain := popularityWeight * math.Log10(1+float64(best[i].Product.Popularity)) / 6
		if best[i].Product.Prime {
			gain += primeWeight
		}
		best[i].Score *= 1 + gain
	}
	slices.SortStableFunc(best, func(a, b Hit) int {
		switch {
		case a.Score > b.Score:
			return -1
		case a.Score < b.Score:
			return 1
		default:
			return strings.Compare(a.Product.SKU, b.Product.SKU)
		}
	})
	// Below the depth only the order means something: keep scores from rising again.
	for i := len(best); i < len(hits); i++ {
		hits[i].Score = min(hits[i].Score, hits[i-1].Score)
	}
}

// collapse hits to the first of each family.
func collapse(hits []Hit) []Hit {
	seen := map[string]bool{}
	return slices.DeleteFunc(hits, func(h Hit) bool {
		family := h.Product.Family
		again := family != "" && seen[family]
		seen[family] = true
		return again
	})
}

// shown is what is kept of a product for result lists.
func shown(p *catalogv1.Product) *Product {
	out := &Product{
		SKU: p.GetSku(), Title: p.GetTitle(), Brand: p.GetBrand(), Category: strings.Join(p.GetCategoryPath(), " > "),
		Price: p.GetPrice().GetMinorUnits(), Currency: p.GetPrice().GetCurrencyCode(), Popularity: p.GetPopularity(), Version: p.GetVersion(),
		Family: p.GetFamily(), Prime: p.GetPrime(),
	}
	if len(p.GetImageUrls()) > 0 {
		out.Image = p.GetImageUrls()[0]
	}
	return out
}
