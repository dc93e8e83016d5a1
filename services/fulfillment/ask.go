package fulfillment

import (
	"context"
	"fmt"
	"slices"
	"sync"

	inventoryv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/inventory/v1"
	"github.com/cellar-commerce/cellar/internal/geo"
	"github.com/cellar-commerce/cellar/internal/ident"
	"github.com/cellar-commerce/cellar/internal/problem"
)

// planOrder over the FCs that have some by this region's summaries. They may be behind: before an order is refused,
// every FC of every region that answers has been asked.
func (s *Service) planOrder(ctx context.Context, to geo.Point, wants []want, excluded map[string]bool) ([]parcel, error) {
	centers, err := s.Centers(ctx)
	if err != nil {
		return nil, err
	}
	skus := skusOf(wants)
	if whom, said := s.whoHas(ctx, centers, skus, excluded); whom != nil {
		stocks, _ := s.ask(ctx, skus, whom)
		right := 0
		for _, st := range stocks {
			if said[spot{st.GetFcId(), st.GetSku()}] {
				right++
			}
		}
		s.deps.Observe.SummaryAnswered(right, len(said)-right)
		if parcels, err := plan(wants, offersOf(centers, to, stocks, excluded)); err == nil {
			return parcels, nil
		}
		parcels, err := s.planWithAll(ctx, centers, to, wants, excluded)
		s.deps.Observe.SummaryFellShort(err == nil)
		return parcels, err
	}
	return s.planWithAll(ctx, centers, to, wants, excluded)
}

func (s *Service) planWithAll(ctx context.Context, centers map[string]Center, to geo.Point, wants []want, excluded map[string]bool) ([]parcel, error) {
	everybody := map[ident.Region][]string{}
	for region := range s.deps.Stock {
		everybody[region] = nil
	}
	stocks, failed := s.ask(ctx, skusOf(wants), everybody)
	parcels, err := plan(wants, offersOf(centers, to, stocks, excluded))
	if err != nil && failed != nil && len(stocks) == 0 {
		return nil, failed // nobody has answered: that is not "sold out"
	}
	return parcels, err
}

// skusOf wants, each once.
func skusOf(wants []want) (skus []string) {
	for _, w := range wants {
		if !slices.Contains(skus, w.sku) {
			skus = append(skus, w.sku)
		}
	}
	return skus
}

func offersOf(centers map[string]Center, to geo.Point, stocks []*inventoryv1.Stock, excluded map[string]bool) (offers []offer) {
	byFC := map[string]map[string]int64{}
	for _, st := range stocks {
		if excluded[st.GetFcId()] {
			continue
		}
		if byFC[st.GetFcId()] == nil {
			byFC[st.GetFcId()] = map[string]int64{}
		}
		byFC[st.GetFcId()][st.GetSku()] = st.GetAvailable()
	}
	for id, stock := range byFC {
		if c, ok := centers[id]; ok {
			offers = append(offers, offer{center: c, distance: geo.DistanceKM(c.At, to), stock: stock})
		}
	}
	return offers
}

// spot is a product at an FC.
type spot struct{ fc, sku string }

// whoHas some of the products, by the summaries, and what they say in detail. Nil when everybody is to be asked: nothing
// is known of a product, or nobody seems to have it.
func (s *Service) whoHas(ctx context.Context, centers map[string]Center, skus []string, excluded map[string]bool) (whom map[ident.Region][]string, said map[spot]bool) {
	if s.deps.Summaries == nil {
		return nil, nil
	}
	resp, err := s.deps.Summaries.ListSummaries(ctx, &inventoryv1.ListSummariesRequest{Skus: skus})
	if err != nil {
		s.deps.Log.WarnContext(ctx, "the summaries cannot be read; everybody is asked", "error", err)
		return nil, nil
	}
	sets := map[string][]byte{} // of each product in the world
	for _, one := range resp.GetSummaries() {
		sets[one.GetSku()] = union(sets[one.GetSku()], one.GetFcs())
	}
	for _, sku := range skus {
		if len(sets[sku]) == 0 {
			return nil, nil
		}
	}
	whom, said = map[ident.Region][]string{}, map[spot]bool{}
	for id, c := range centers {
		if c.Ordinal == nil || excluded[id] {
			continue
		}
		some := false
		for _, sku := range skus {
			if contains(sets[sku], int(*c.Ordinal)) {
				some, said[spot{id, sku}] = true, true
			}
		}
		if some {
			whom[ident.Region(c.Region)] = append(whom[ident.Region(c.Region)], id)
		}
	}
	return whom, said
}

// union of two sets of ordinals.
func union(a, b []byte) []byte {
	if len(a) < len(b) {
		a, b = b, a
	}
	out := slices.Clone(a)
	for i, bits := range b {
		out[i] |= bits
	}
	return out
}

func contains(set []byte, n int) bool { return n/8 < len(set) && set[n/8]&(1<<(n%8)) != 0 }

// ask FCs what they have: those that are named, or all of a region where none is. The error is that of a region that did
// not answer.
func (s *Service) ask(ctx context.Context, skus []string, whom map[ident.Region][]string) (all []*inventoryv1.Stock, failed error) {
	ctx, cancel := context.WithTimeout(ctx, stockBudget)
	defer cancel()
	var mu sync.Mutex
	var wg sync.WaitGroup
	for region, fcs := range whom {
		lister := s.deps.Stock[region]
		if lister == nil {
			continue
		}
		wg.Go(func() {
			resp, err := lister.ListStock(ctx, &inventoryv1.ListStockRequest{Skus: skus, FcIds: fcs})
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				failed = problem.Wrap(fmt.Errorf("stock of %s: %w", region, err), problem.Unavailable, "STOCK_UNKNOWN", "the stock cannot be looked up right now")
				return
			}
			all = append(all, resp.GetStocks()...)
		})
	}
	wg.Wait()
	return all, failed
}
