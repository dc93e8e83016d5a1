package checkout

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/cellar-commerce/cellar/internal/fence"
	"github.com/cellar-commerce/cellar/internal/ident"
	"github.com/cellar-commerce/cellar/internal/problem"
)

const (
	// maxExpiryPages of a sweep: keys of other cells' customers are passed over, and where one of these cells is away for
	// long there may be many.
	maxExpiryPages = 20
	// expiryFanOut is how many customers' keys are forgotten at once; they share transactions.
	expiryFanOut = 64
)

// expired key.
type expired struct {
	at       time.Time
	customer ident.CustomerID
	method   string
	key      string
}

// SweepKeys forgets about limit expired keys of this cell's customers in a ring, or all there are, and tells how many.
func (s *Service) SweepKeys(ctx context.Context, ring ident.Region, limit int) (int64, error) {
	now := s.deps.Clock.Now()
	var forgotten int64
	var last expired
	for range maxExpiryPages {
		page, err := s.expiredAfter(ctx, ring, now, last, limit)
		if err != nil {
			return forgotten, fmt.Errorf("sweep keys of %s: %w", ring, err)
		}
		n, err := s.forgetExpired(ctx, page, now)
		if forgotten += n; err != nil || len(page) < limit || forgotten >= int64(limit) {
			return forgotten, err
		}
		last = page[len(page)-1]
	}
	return forgotten, nil
}

// forgetExpired keys of those customers on a page who are this cell's: by the map, and then by the fence.
func (s *Service) forgetExpired(ctx context.Context, page []expired, now time.Time) (int64, error) {
	keys := map[ident.CustomerID][]expired{}
	for _, k := range page {
		if s.deps.Fence.Mine(k.customer) {
			keys[k.customer] = append(keys[k.customer], k)
		}
	}
	var forgotten atomic.Int64
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(expiryFanOut)
	for customer, all := range keys {
		g.Go(func() error {
			err := s.deps.Fence.Join(ctx, customer, opForget.Part(forgetting{all, now}))
			if problem.Is(err, fence.ReasonWrongCell) {
				return nil // the new owner will
			}
			if err == nil {
				forgotten.Add(int64(len(all)))
			}
			return err
		})
	}
	err := g.Wait()
	return forgotten.Load(), err
}
