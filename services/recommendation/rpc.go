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

// asked is what every method has in common.
func (s *Service) asked(ctx context.Context, field string, skus []string, limit int32) ([]*recommendationv1.Recommended, error) {
	var v problem.Violations
	v.Check(len(skus) <= maxSKUs, field, "must be at most 200")
	for _, sku := range skus {
		v.Check(validSKU(sku), field, "must be 1 to 64 characters of A-Z, a-z, 0-9, '-', '_' and '.'")
	}
	v.Check(limit >= 0 && limit <= maxOthers, "limit", "must be 0 to "+strconv.Itoa(maxOthers))
	if err := v.Err(); err != nil {
		return nil, err
	}
	if limit == 0 {
		limit = defaultLimit
	}
	return s.with(ctx, skus, int(limit))
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
