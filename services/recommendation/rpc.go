package recommendation

import (
	"context"
	"strconv"

	recommendationv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/recommendation/v1"
	"github.com/cellar-commerce/cellar/internal/problem"
)

const (
	maxSKUs      = 200
	defaultLimit = 6
)

// check what every method is asked, and give the limit.
func check(field string, skus []string, limit int32) (int, error) {
	var v problem.Violations
	v.Check(len(skus) <= maxSKUs, field, "must be at most 200")
	for _, sku := range skus {
		v.Check(validSKU(sku), field, "must be 1 to 64 characters of A-Z, a-z, 0-9, '-', '_' and '.'")
	}
	v.Check(limit >= 0 && limit <= maxOthers, "limit", "must be 0 to "+strconv.Itoa(maxOthers))
	if limit == 0 {
		limit = defaultLimit
	}
	return int(limit), v.Err()
}

// asked for what goes with all of some products.
func (s *Service) asked(ctx context.Context, field string, skus []string, limit int32) ([]*recommendationv1.Recommended, error) {
	n, err := check(field, skus, limit)
	if err != nil {
		return nil, err
	}
	return s.with(ctx, skus, n)
}

// BatchForProduct implements RecommendationService.
func (s *Service) BatchForProduct(ctx context.Context, req *recommendationv1.BatchForProductRequest) (*recommendationv1.BatchForProductResponse, error) {
	n, err := check("skus", req.GetSkus(), req.GetLimit())
	if err != nil || len(req.GetSkus()) == 0 {
		return &recommendationv1.BatchForProductResponse{}, err
	}
	all, err := s.withEach(ctx, req.GetSkus(), n)
	return &recommendationv1.BatchForProductResponse{Others: all}, err
}

// ForProduct implements RecommendationService.
func (s *Service) ForProduct(ctx context.Context, req *recommendationv1.ForProductRequest) (*recommendationv1.ForProductResponse, error) {
	all, err := s.asked(ctx, "sku", []string{req.GetSku()}, req.GetLimit())
	return &recommendationv1.ForProductResponse{Recommended: all}, err
}

// ForCart implements RecommendationService.
func (s *Service) ForCart(ctx context.Context, req *recommendationv1.ForCartRequest) (*recommendationv1.ForCartResponse, error) {
	all, err := s.asked(ctx, "skus", req.GetSkus(), req.GetLimit())
	return &recommendationv1.ForCartResponse{Recommended: all}, err
}

// ForHome implements RecommendationService.
func (s *Service) ForHome(ctx context.Context, req *recommendationv1.ForHomeRequest) (*recommendationv1.ForHomeResponse, error) {
	all, err := s.asked(ctx, "skus", req.GetSkus(), req.GetLimit())
	return &recommendationv1.ForHomeResponse{Recommended: all}, err
}
