package sandbox

import (
	"fmt"
	"net/http"
	"sync/atomic"
	"testing"
)

// BenchmarkSale is sales a second onto a real disk, by 64 callers a processor.
func BenchmarkSale(b *testing.B) {
	h := newHarness(b, openLedger(b, b.TempDir()))
	var keys atomic.Int64
	b.SetParallelism(64)
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if got := h.sale(fmt.Sprintf("key-%d", keys.Add(1)), "tok_visa"); got.status != http.StatusOK {
				b.Errorf("got %+v", got)
			}
		}
	})
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "sales/s")
}
