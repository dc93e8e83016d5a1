package telemetry

import "github.com/prometheus/client_golang/prometheus"

// NoticeMetrics count what becomes of notices; they implement notice.Observer.
type NoticeMetrics struct {
	tried  *prometheus.CounterVec
	parked prometheus.Counter
}

// NewNoticeMetrics among the metrics of a process.
func NewNoticeMetrics(m *Metrics) *NoticeMetrics {
	n := &NoticeMetrics{
		tried: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "notification_tries_total", Help: "Tries to tell a customer something, by channel and outcome.",
		}, []string{"channel", "outcome"}),
		parked: prometheus.NewCounter(prometheus.CounterOpts{Name: "notifications_parked_total", Help: "Notifications that could not be delivered and are not tried any more."}),
	}
	m.register(n.tried, n.parked)
	return n
}

// NoticeTried implements notice.Observer.
func (n *NoticeMetrics) NoticeTried(channel, outcome string) {
	n.tried.WithLabelValues(channel, outcome).Inc()
}

// NoticeParked implements notice.Observer.
func (n *NoticeMetrics) NoticeParked() { n.parked.Inc() }
