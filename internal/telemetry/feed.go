package telemetry

import "github.com/prometheus/client_golang/prometheus"

// FeedMetrics count what is written down for analytics; they implement search.LogObserver and feed.Observer.
type FeedMetrics struct{ searches, documents *prometheus.CounterVec }

// NewFeedMetrics among the metrics of a process.
func NewFeedMetrics(m *Metrics) *FeedMetrics {
	f := &FeedMetrics{
		searches: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "search_logs_total", Help: "Logs of searches by what became of them: published, or lost because they came too fast or the broker was away.",
		}, []string{"outcome"}),
		documents: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "feed_documents_total", Help: "Documents that this process has written for analytics, by index; twins are counted.",
		}, []string{"index"}),
	}
	m.register(f.searches, f.documents)
	return f
}

// SearchesLogged implements search.LogObserver.
func (f *FeedMetrics) SearchesLogged(searches int) {
	f.searches.WithLabelValues("published").Add(float64(searches))
}

// SearchLogsLost implements search.LogObserver.
func (f *FeedMetrics) SearchLogsLost(searches int) {
	f.searches.WithLabelValues("lost").Add(float64(searches))
}

// DocumentsWritten implements feed.Observer.
func (f *FeedMetrics) DocumentsWritten(index string, documents int) {
	f.documents.WithLabelValues(index).Add(float64(documents))
}
