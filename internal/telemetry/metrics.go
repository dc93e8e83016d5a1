package telemetry

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"github.com/cellar-commerce/cellar/internal/sqldb"
)

// Version of the build, set by the linker.
var Version = "dev"

// Metrics of one process.
type Metrics struct {
	registry  *prometheus.Registry
	labelled  prometheus.Registerer
	calls     *prometheus.HistogramVec
	retries   *prometheus.CounterVec
	trips     *prometheus.CounterVec
	sent      *prometheus.CounterVec
	checkouts *prometheus.HistogramVec
	combined  prometheus.Histogram
	overdue   *prometheus.GaugeVec
	summaries *prometheus.CounterVec
	plans     *prometheus.CounterVec
	events    eventMetrics
}

// latencyBuckets in seconds: from a cache's answer to a shopper's patience.
var latencyBuckets = []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10}

// NewMetrics with labels that every series of the process has, for example region and cell.
func NewMetrics(labels map[string]string) *Metrics {
	m := &Metrics{
		registry: prometheus.NewRegistry(),
		calls: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "rpc_server_call_duration_seconds", Help: "Calls by procedure and Connect code (empty for success).", Buckets: latencyBuckets,
		}, []string{"procedure", "code"}),
		retries: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "sql_transaction_retries_total", Help: "Transactions run again, by database and SQLSTATE.",
		}, []string{"database", "sqlstate"}),
		trips: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "sql_round_trips_total", Help: "Waits for an answer of the database, by database.",
		}, []string{"database"}),
		sent: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "sql_statements_total", Help: "Statements sent to the database, begin and commit among them, by database.",
		}, []string{"database"}),
		checkouts: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "checkout_attempts_seconds", Help: "Placements that ended, by outcome: placed, or the reason of the refusal.", Buckets: latencyBuckets,
		}, []string{"outcome"}),
		combined: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "inventory_batch_commands", Help: "Commands on stock that shared a transaction.", Buckets: prometheus.ExponentialBuckets(1, 2, 10),
		}),
		overdue: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "inventory_holds_overdue", Help: "Holds that had run out and were not yet swept, and seconds since the oldest ran out, at the FCs this cell keeps.",
		}, []string{"what"}),
		summaries: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "stock_summary_answers_total",
			Help: "What summaries of stock said and how it was: bits with stock behind them (right) and without (empty); orders they could not fill that could be (missed) and could not be (sold_out).",
		}, []string{"verdict"}),
		plans: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "fulfillment_plans_total", Help: "Orders planned, by where the counts came from: the summaries alone, or centres that were asked.",
		}, []string{"counts"}),
	}
	build := prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "build_info", Help: "Always 1; the version is a label.", ConstLabels: prometheus.Labels{"version": Version},
	})
	build.Set(1)
	m.labelled = prometheus.WrapRegistererWith(labels, m.registry)
	m.events = newEventMetrics()
	m.register(m.events.pending, m.events.lag, m.events.stuck, m.events.dead, m.calls, m.retries, m.trips, m.sent, m.checkouts, m.combined, m.overdue, m.summaries, m.plans, build, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

// register collectors under the process's labels. Two of one name are a programming error.
func (m *Metrics) register(all ...prometheus.Collector) { m.labelled.MustRegister(all...) }

// CallEnded implements rpc.Observer.
func (m *Metrics) CallEnded(procedure, code string, took time.Duration) {
	m.calls.WithLabelValues(procedure, code).Observe(took.Seconds())
}

// TxRetried implements sqldb.Observer.
func (m *Metrics) TxRetried(database sqldb.Database, sqlState string) {
	m.retries.WithLabelValues(string(database), sqlState).Inc()
}

// Sent implements sqldb.Observer.
func (m *Metrics) Sent(database sqldb.Database, statements int) {
	m.trips.WithLabelValues(string(database)).Inc()
	m.sent.WithLabelValues(string(database)).Add(float64(statements))
}

// CheckoutEnded implements checkout.Observer.
func (m *Metrics) CheckoutEnded(outcome string, took time.Duration) {
	m.checkouts.WithLabelValues(outcome).Observe(took.Seconds())
}

// CommandsCombined implements inventory.Observer.
func (m *Metrics) CommandsCombined(commands int) { m.combined.Observe(float64(commands)) }

// HoldsOverdue implements inventory.Observer.
func (m *Metrics) HoldsOverdue(holds int64, lag time.Duration) {
	m.overdue.WithLabelValues("holds").Set(float64(holds))
	m.overdue.WithLabelValues("seconds").Set(lag.Seconds())
}

// OrderPlanned implements fulfillment.Observer.
func (m *Metrics) OrderPlanned(asked bool) {
	counts := "summaries"
	if asked {
		counts = "asked"
	}
	m.plans.WithLabelValues(counts).Inc()
}

// SummaryAnswered implements fulfillment.Observer.
func (m *Metrics) SummaryAnswered(right, empty int) {
	m.summaries.WithLabelValues("right").Add(float64(right))
	m.summaries.WithLabelValues("empty").Add(float64(empty))
}

// SummaryFellShort implements fulfillment.Observer.
func (m *Metrics) SummaryFellShort(found bool) {
	verdict := "sold_out"
	if found {
		verdict = "missed"
	}
	m.summaries.WithLabelValues(verdict).Inc()
}
