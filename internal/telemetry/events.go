package telemetry

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/cellar-commerce/cellar/internal/ident"
	"github.com/cellar-commerce/cellar/internal/sqldb"
)

// eventMetrics of a cell.
type eventMetrics struct {
	pending, lag, stuck *prometheus.GaugeVec
	dead                *prometheus.CounterVec
}

func newEventMetrics() eventMetrics {
	by := []string{"database", "destination"}
	return eventMetrics{
		pending: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "outbox_pending_events", Help: "Events of the region that wait in an outbox, as told by the relay that holds its first lease.",
		}, by),
		lag: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "outbox_lag_seconds", Help: "How long the oldest event that waits in an outbox has waited.",
		}, by),
		stuck: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "outbox_destination_stuck", Help: "1 while this cell plans orders around a region because its events wait.",
		}, []string{"destination"}),
		dead: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "dead_letters_total", Help: "Messages that this process has given up, by consumer.",
		}, []string{"consumer"}),
	}
}

// OutboxLags implements outbox.Observer.
func (m *Metrics) OutboxLags(database sqldb.Database, destination ident.Region, pending int64, oldest time.Duration) {
	m.events.pending.WithLabelValues(string(database), string(destination)).Set(float64(pending))
	m.events.lag.WithLabelValues(string(database), string(destination)).Set(oldest.Seconds())
}

// LetterBuried implements events.Observer.
func (m *Metrics) LetterBuried(consumer string) { m.events.dead.WithLabelValues(consumer).Inc() }

// DestinationStuck tells whether orders are planned around a region because its events wait.
func (m *Metrics) DestinationStuck(destination ident.Region, stuck bool) {
	value := 0.0
	if stuck {
		value = 1
	}
	m.events.stuck.WithLabelValues(string(destination)).Set(value)
}
