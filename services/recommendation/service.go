package recommendation

import (
	"context"
	"fmt"
	"slices"

	recommendationv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/recommendation/v1"
	"github.com/cellar-commerce/cellar/internal/gen/cellar/recommendation/v1/recommendationv1connect"
	"github.com/cellar-commerce/cellar/internal/sqldb"
)

// Deps of the service.
type Deps struct {
	// DB is cellar_global.
	DB *sqldb.DB
}

// Service implements cellar.recommendation.v1.RecommendationService.
type Service struct{ deps Deps }

var _ recommendationv1connect.RecommendationServiceHandler = (*Service)(nil)

// New service.
func New(deps Deps) *Service { return &Service{deps: deps} }

// maxSeeds products are looked up at once: what was put in or looked at last says most.
const maxSeeds = 20

// with gives what goes with some products.
func (s *Service) with(ctx context.Context, skus []string, limit int) ([]*recommendationv1.Recommended, error) {
	if len(skus) == 0 {
		return nil, nil
	}
	seeds := slices.Clone(skus[:min(len(skus), maxSeeds)])
	slices.Sort(seeds)
	seeds = slices.Compact(seeds)
	others, err := readOthers(ctx, s.deps.DB, seeds)
	if err != nil {
		return nil, fmt.Errorf("recommend for %d products: %w", len(seeds), err)
	}
	return blend(seeds, skus, func(sku string) []*recommendationv1.Recommended { return others[sku] }, limit), nil
}

// withEach gives what goes with each of some products.
func (s *Service) withEach(ctx context.Context, skus []string, limit int) (map[string]*recommendationv1.AlsoBought, error) {
	skus = slices.Clone(skus)
	slices.Sort(skus)
	others, err := readOthers(ctx, s.deps.DB, slices.Compact(skus))
	if err != nil {
		return nil, fmt.Errorf("recommend for each of %d products: %w", len(skus), err)
	}
	all := map[string]*recommendationv1.AlsoBought{}
	for sku, with := range others {
		all[sku] = &recommendationv1.AlsoBought{Others: best(with, limit)}
	}
	return all, nil
}
