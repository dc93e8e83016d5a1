package catalog

import (
	"context"
	"fmt"

	"google.golang.org/protobuf/proto"

	catalogv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/catalog/v1"
	"github.com/cellar-commerce/cellar/internal/outbox"
)

// SubjectChanged is the subject of ProductChanged events.
const SubjectChanged = "catalog.product.changed"

// changes are the events of changed products: one for each region.
func (s *Service) changes(products []*catalogv1.Product) []outbox.Event {
	events := make([]outbox.Event, 0, len(products)*len(s.deps.Regions))
	for _, p := range products {
		for _, region := range s.deps.Regions {
			events = append(events, outbox.Event{
				MessageID: fmt.Sprintf("product/%s/%d/%s", p.GetSku(), p.GetVersion(), region),
				Key:       p.GetSku(), Subject: SubjectChanged, Destination: region, Payload: &catalogv1.ProductChanged{Product: p},
			})
		}
	}
	return events
}

// HandleChanged throws a changed product out of the cache.
func (s *Service) HandleChanged(_ context.Context, payload []byte) error {
	var changed catalogv1.ProductChanged
	if err := proto.Unmarshal(payload, &changed); err != nil {
		return fmt.Errorf("product changed: %w", err)
	}
	s.cache.Forget(changed.GetProduct().GetSku())
	return nil
}
