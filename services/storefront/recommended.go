package storefront

import (
	"context"
	"slices"

	catalogv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/catalog/v1"
	recommendationv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/recommendation/v1"
)

// recommendations of a page: one row of cards.
const recommendations = 6

// goesWith what is in a cart.
func (s *Service) goesWith(ctx context.Context, skus []string) ([]card, error) {
	if len(skus) == 0 {
		return nil, nil
	}
	resp, err := s.deps.Recommendations.ForCart(ctx, &recommendationv1.ForCartRequest{Skus: skus, Limit: recommendations})
	if err != nil {
		return nil, err
	}
	return s.recommended(ctx, resp.GetRecommended())
}

// forYou by what was looked at last.
func (s *Service) forYou(ctx context.Context, seen []card) ([]card, error) {
	if len(seen) == 0 {
		return nil, nil
	}
	skus := make([]string, len(seen))
	for i, c := range seen {
		skus[i] = c.SKU
	}
	resp, err := s.deps.Recommendations.ForHome(ctx, &recommendationv1.ForHomeRequest{Skus: skus, Limit: recommendations})
	if err != nil {
		return nil, err
	}
	return s.recommended(ctx, resp.GetRecommended())
}

// recommended products that are for sale, as cards in their order. Whoever shows them rates them, with all others of the page.
func (s *Service) recommended(ctx context.Context, all []*recommendationv1.Recommended) ([]card, error) {
	if len(all) == 0 {
		return nil, nil
	}
	skus := make([]string, len(all))
	for i, r := range all {
		skus[i] = r.GetSku()
	}
	resp, err := s.deps.Catalog.BatchGetProducts(ctx, &catalogv1.BatchGetProductsRequest{Skus: skus})
	if err != nil {
		return nil, err
	}
	cards := cardsOf(forSale(resp.GetProducts()))
	slices.SortFunc(cards, func(a, b card) int { return slices.Index(skus, a.SKU) - slices.Index(skus, b.SKU) })
	return cards, nil
}
