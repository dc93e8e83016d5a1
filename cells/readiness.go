package cells

import (
	"sync"

	"github.com/cellar-commerce/cellar/internal/telemetry"
)

// readiness of a cell: it listens, and its index is built.
type readiness struct {
	mu             sync.Mutex
	serving, built bool
	answer         *telemetry.Readiness
}

func newReadiness() *readiness { return &readiness{answer: &telemetry.Readiness{}} }

func (r *readiness) setServing(serving bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.serving && !serving {
		r.answer.Drain()
	}
	r.serving = serving
	r.answer.Set(r.serving && r.built)
}

func (r *readiness) setBuilt() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.built = true
	r.answer.Set(r.serving && r.built)
}
