package order

import (
	"sync"
	"sync/atomic"
	"testing"

	orderv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/order/v1"
)

// BenchmarkMarkPaid with and without a look at the order before, by sixteen at once; most of it is the database's work.
func BenchmarkMarkPaid(b *testing.B) {
	for name, blind := range map[string]bool{"with a look": false, "without": true} {
		b.Run(name, func(b *testing.B) {
			w := newWorld(b)
			orders := make([]placement, b.N)
			for i := range orders {
				orders[i] = newPlacement()
				must(b, w.create(orders[i]))
			}
			var next atomic.Int64
			var wg sync.WaitGroup
			b.ResetTimer()
			for range 16 {
				wg.Go(func() {
					for i := next.Add(1) - 1; i < int64(b.N); i = next.Add(1) - 1 {
						p := orders[i]
						req := &orderv1.MarkPaidRequest{CustomerId: string(p.customer), OrderId: string(p.id), Parcels: p.parcels()[:1]}
						if blind {
							req.ShipTo = p.order().GetShipTo()
						}
						if _, err := w.MarkPaid(b.Context(), req); err != nil {
							b.Error(err)
						}
					}
				})
			}
			wg.Wait()
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "orders/s")
		})
	}
}
