package telemetry

import "github.com/prometheus/client_golang/prometheus"

// MapMetrics count what becomes of snapshots of the map; they implement topology.Observer.
type MapMetrics struct {
	taken    *prometheus.CounterVec
	refused  *prometheus.CounterVec
	failures *prometheus.CounterVec
	version  prometheus.Gauge
	saved    prometheus.Gauge
}

// NewMapMetrics among the metrics of a process.
func NewMapMetrics(m *Metrics) *MapMetrics {
	t := &MapMetrics{
		taken: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "map_taken_total", Help: "Maps that were newer than the one held, by the source that had them first.",
		}, []string{"source"}),
		refused: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "map_refused_total", Help: "Maps that must not be followed, by source and reason. Anything but 0 wants somebody to look.",
		}, []string{"source", "reason"}),
		failures: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "map_source_failures_total", Help: "How often a source of the map could not be asked, or its connection broke.",
		}, []string{"source"}),
		version: prometheus.NewGauge(prometheus.GaugeOpts{Name: "map_version", Help: "Version of the map that is followed."}),
		saved:   prometheus.NewGauge(prometheus.GaugeOpts{Name: "map_saved_version", Help: "Version of the last good map in this process's file."}),
	}
	m.register(t.taken, t.refused, t.failures, t.version, t.saved)
	return t
}

// MapTaken implements topology.Observer.
func (t *MapMetrics) MapTaken(source string, version uint64) {
	t.taken.WithLabelValues(source).Inc()
	t.version.Set(float64(version))
}

// MapRefused implements topology.Observer.
func (t *MapMetrics) MapRefused(source, reason string) {
	t.refused.WithLabelValues(source, reason).Inc()
}

// MapSaved implements topology.Observer.
func (t *MapMetrics) MapSaved(version uint64) { t.saved.Set(float64(version)) }

// SourceFailed implements topology.Observer.
func (t *MapMetrics) SourceFailed(source string) { t.failures.WithLabelValues(source).Inc() }
