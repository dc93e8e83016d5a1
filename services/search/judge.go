package search

import (
	"context"

	"github.com/cellar-commerce/cellar/internal/relevance"
)

// Judge an engine by what people have judged of its results, by the first of each list. A query is asked as a shopper asks it who has
// narrowed nothing.
func Judge(ctx context.Context, e Engine, judgements []relevance.Judged, at int) (relevance.Report, error) {
	return relevance.Measure(ctx, judgements, at, func(ctx context.Context, query string, limit int) ([]string, error) {
		res, err := e.Search(ctx, Query{Words: query, Limit: limit})
		skus := make([]string, len(res.Hits))
		for i, h := range res.Hits {
			skus[i] = h.Product.SKU
		}
		return skus, err
	})
}
