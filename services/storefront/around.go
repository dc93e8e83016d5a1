package storefront

import (
	"context"
	"slices"
	"strings"
	"time"

	catalogv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/catalog/v1"
	searchv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/search/v1"
)

// surroundings of a product on its page: the same for everybody, and nothing that anybody decides by. The product itself and
// what is said about it are asked for with each page.
type surroundings struct {
	// related by category, the most popular first.
	related []card
	// also bought by those who bought it.
	also []card
}

const (
	// aroundSize products, whose dozen of cards takes some 5 kB: 50 MB.
	aroundSize = 10_000
	// aroundFresh: prices on the cards of other products are at most this old, and a little when they are read anew at once.
	aroundFresh = 5 * time.Second
	// aroundStale is how long they are shown still, while they are read anew.
	aroundStale = 25 * time.Second
	// aroundLoad bounds the reading: a page rather goes without.
	aroundLoad = 2 * time.Second
	// related products of a page: one row of cards.
	related = 6
)

// around a product. It is no reason to fail the page.
func (s *Service) around(ctx context.Context, p *catalogv1.Product) surroundings {
	found, err := s.surroundings.Get(ctx, p.GetSku(), func(ctx context.Context, _ string) (surroundings, error) { return s.lookAround(ctx, p) })
	if err != nil {
		s.deps.Log.WarnContext(ctx, "a product is shown alone", "sku", p.GetSku(), "error", err)
	}
	return found
}

func (s *Service) lookAround(ctx context.Context, p *catalogv1.Product) (surroundings, error) {
	found, err := s.deps.Search.Search(ctx, &searchv1.SearchRequest{Category: strings.Join(p.GetCategoryPath(), levels), Sort: searchv1.Sort_SORT_POPULARITY, PageSize: related + 1})
	if err != nil {
		return surroundings{}, err
	}
	others := slices.DeleteFunc(hitCards(found.GetHits()), func(o card) bool { return o.SKU == p.GetSku() })
	out := surroundings{related: others[:min(len(others), related)], also: s.alsoBought(ctx, p.GetSku())}
	s.rate(ctx, out.related, out.also)
	return out, nil
}
