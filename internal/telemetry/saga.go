package telemetry

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// SagaMetrics count what becomes of sagas; they implement saga.Observer.
type SagaMetrics struct {
	steps    *prometheus.HistogramVec
	failures *prometheus.CounterVec
	parked   *prometheus.CounterVec
	standing *prometheus.GaugeVec
}

// NewSagaMetrics among the metrics of a process.
func NewSagaMetrics(m *Metrics) *SagaMetrics {
	s := &SagaMetrics{
		steps: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "saga_step_duration_seconds", Help: "Tries of sagas' steps, by kind and step; undoing one is the step \"undo <name>\".", Buckets: latencyBuckets,
		}, []string{"kind", "step"}),
		failures: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "saga_step_failures_total", Help: "Tries of sagas' steps that failed or were refused, by kind and step.",
		}, []string{"kind", "step"}),
		parked: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "sagas_parked_total", Help: "Sagas that were parked for an operator, by kind.",
		}, []string{"kind"}),
		standing: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "sagas_parked", Help: "Sagas that stand parked in this cell's slots, by kind.",
		}, []string{"kind"}),
	}
	m.register(s.steps, s.failures, s.parked, s.standing)
	return s
}

// StepTried implements saga.Observer.
func (s *SagaMetrics) StepTried(kind, step string, ok bool, took time.Duration) {
	s.steps.WithLabelValues(kind, step).Observe(took.Seconds())
	if !ok {
		s.failures.WithLabelValues(kind, step).Inc()
	}
}

// SagaParked implements saga.Observer.
func (s *SagaMetrics) SagaParked(kind string) { s.parked.WithLabelValues(kind).Inc() }

// SagasStandParked implements saga.Observer.
func (s *SagaMetrics) SagasStandParked(kind string, sagas int64) {
	s.standing.WithLabelValues(kind).Set(float64(sagas))
}
