package search

import (
	"context"
	"fmt"

	"google.golang.org/protobuf/proto"

	catalogv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/catalog/v1"
)

const (
	// maxChanged products wait to be indexed; then the events wait where they come from.
	maxChanged = 1000
	// changeBatch is indexed at once: a batch costs an index little more than one product does.
	changeBatch = 500
)

// HandleChanged hands a changed product to Run; it waits while too many are waiting.
func (s *Service) HandleChanged(ctx context.Context, payload []byte) error {
	var changed catalogv1.ProductChanged
	if err := proto.Unmarshal(payload, &changed); err != nil {
		return fmt.Errorf("product changed: %w", err)
	}
	if isOffer(changed.GetProduct()) {
		return nil
	}
	select {
	case s.changed <- changed.GetProduct():
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Run indexes changed products until ctx ends: all that wait, in one batch, without waiting for more.
func (s *Service) Run(ctx context.Context) {
	for {
		var batch []*catalogv1.Product
		select {
		case p := <-s.changed:
			batch = append(batch, p)
		case <-ctx.Done():
			return
		}
		for len(batch) < changeBatch && len(s.changed) > 0 {
			batch = append(batch, <-s.changed)
		}
		if err := s.deps.Engine.Index(batch); err != nil {
			s.deps.Log.ErrorContext(ctx, "changed products could not be indexed", "products", len(batch), "error", err)
			continue
		}
		s.deps.Indexed(len(batch))
	}
}
