// Package telemetry is logs, metrics and the admin listener; the only importer of Prometheus.
//
// Packages that have something to count declare a small Observer; this package implements
// them. Names follow Prometheus' conventions: base units, `_total`, `_seconds`. Labels are
// cell, region, service and the like, never a customer or an order.
//
// Every process serves on its admin listener /livez (the process runs), /readyz (it takes
// traffic), /metrics, and profiles below /debug/pprof/.
package telemetry
