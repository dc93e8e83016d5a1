package telemetry

import (
	"io"
	"log/slog"
	"net/http"
	"net/http/pprof"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// NewLogger writes JSON lines with fields that every line of the process has.
func NewLogger(out io.Writer, level slog.Level, fields ...any) *slog.Logger {
	return slog.New(slog.NewJSONHandler(out, &slog.HandlerOptions{Level: level})).With(fields...)
}

// Draining is what /readyz says of a process that was ready and has begun to stop: whoever watches can tell that from a
// failure.
const Draining = "draining"

// Readiness of a process: false until Set, and false again while it drains.
type Readiness struct{ ready, drains atomic.Bool }

// Set whether traffic may come.
func (r *Readiness) Set(ready bool) { r.ready.Store(ready) }

// Drain says that no more traffic may come, because the process was told to stop.
func (r *Readiness) Drain() {
	r.drains.Store(true)
	r.ready.Store(false)
}

// Ready tells whether traffic may come.
func (r *Readiness) Ready() bool { return r.ready.Load() }

// ServeHTTP answers 200 while ready, else 503.
func (r *Readiness) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	if !r.Ready() {
		why := "not ready"
		if r.drains.Load() {
			why = Draining
		}
		http.Error(w, why, http.StatusServiceUnavailable)
		return
	}
	_, _ = io.WriteString(w, "ok\n") // the caller may have gone
}

// Admin is the handler of the admin listener.
func Admin(m *Metrics, ready *Readiness) *http.ServeMux {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /livez", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "ok\n") })
	mux.Handle("GET /readyz", ready)
	mux.Handle("GET /metrics", promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{}))
	mux.HandleFunc("GET /debug/pprof/", pprof.Index)
	mux.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
	return mux
}
