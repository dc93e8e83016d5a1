package telemetry

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// RouterMetrics count what a router does; they implement router.Observer.
type RouterMetrics struct {
	requests *prometheus.HistogramVec
	changes  *prometheus.CounterVec
}

// NewRouterMetrics among the metrics of a process.
func NewRouterMetrics(m *Metrics) *RouterMetrics {
	r := &RouterMetrics{
		requests: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "router_requests_seconds", Help: "Requests by cell and result: answered, redirected, or the reason of a refusal.", Buckets: latencyBuckets,
		}, []string{"cell", "result"}),
		changes: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "router_breaker_changes_total", Help: "Changes of the cells' breakers, by cell and new state.",
		}, []string{"cell", "state"}),
	}
	m.register(r.requests, r.changes)
	return r
}

// RequestEnded implements router.Observer.
func (r *RouterMetrics) RequestEnded(cell, result string, took time.Duration) {
	r.requests.WithLabelValues(cell, result).Observe(took.Seconds())
}

// CellChanged implements router.Observer.
func (r *RouterMetrics) CellChanged(cell, state string) {
	r.changes.WithLabelValues(cell, state).Inc()
}
