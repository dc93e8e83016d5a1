package search

import (
	"context"
	"fmt"

	"google.golang.org/protobuf/proto"

	catalogv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/catalog/v1"
)

// HandleChanged indexes a changed product; one older than the index holds changes nothing.
func (s *Service) HandleChanged(_ context.Context, payload []byte) error {
	var changed catalogv1.ProductChanged
	if err := proto.Unmarshal(payload, &changed); err != nil {
		return fmt.Errorf("product changed: %w", err)
	}
	return s.deps.Engine.Index([]*catalogv1.Product{changed.GetProduct()})
}
