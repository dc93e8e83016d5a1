package telemetry

import "github.com/prometheus/client_golang/prometheus"

// ControlPlaneMetrics count what a control plane does; they implement controlplane.Observer.
type ControlPlaneMetrics struct {
	version   prometheus.Gauge
	leads     prometheus.Gauge
	reporters *prometheus.GaugeVec
	moves     *prometheus.CounterVec
	state     *prometheus.GaugeVec
}

// NewControlPlaneMetrics among the metrics of a process.
func NewControlPlaneMetrics(m *Metrics) *ControlPlaneMetrics {
	c := &ControlPlaneMetrics{
		version: prometheus.NewGauge(prometheus.GaugeOpts{Name: "map_version", Help: "Version of the newest map."}),
		leads:   prometheus.NewGauge(prometheus.GaugeOpts{Name: "controlplane_leader", Help: "1 while this control plane leads. The sum over all must be 1."}),
		reporters: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "controlplane_reporters", Help: "Routers and cells that are known, and those of them that have spoken in the last seconds (fresh).",
		}, []string{"which"}),
		moves: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "evacuation_steps_total", Help: "Moves of slots that came to a state.",
		}, []string{"state"}),
		state: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "evacuation_state", Help: "1 for the state of the move of slots that changed last.",
		}, []string{"state"}),
	}
	m.register(c.version, c.leads, c.reporters, c.moves, c.state)
	return c
}

// MapHeld implements controlplane.Observer.
func (c *ControlPlaneMetrics) MapHeld(version uint64) { c.version.Set(float64(version)) }

// Leads implements controlplane.Observer.
func (c *ControlPlaneMetrics) Leads(leads bool) {
	c.leads.Set(0)
	if leads {
		c.leads.Set(1)
	}
}

// Reporters implements controlplane.Observer.
func (c *ControlPlaneMetrics) Reporters(known, fresh int) {
	c.reporters.WithLabelValues("known").Set(float64(known))
	c.reporters.WithLabelValues("fresh").Set(float64(fresh))
}

// MoveChanged implements controlplane.Observer.
func (c *ControlPlaneMetrics) MoveChanged(state string) {
	c.moves.WithLabelValues(state).Inc()
	c.state.Reset()
	c.state.WithLabelValues(state).Set(1)
}
