package topology

import (
	"slices"
	"sync"
	"sync/atomic"

	"github.com/cellar-commerce/cellar/internal/ident"
)

// Holder of the newest map of a process. The zero value holds none.
type Holder struct {
	current atomic.Pointer[Map]

	mu          sync.Mutex // of those who offer and subscribe; readers take no lock
	subscribers []*subscriber
}

type subscriber struct{ changed func(*Map) }

// Load the map; nil before the first.
func (h *Holder) Load() *Map { return h.current.Load() }

// Version of the map; 0 before the first.
func (h *Holder) Version() uint64 {
	if m := h.Load(); m != nil {
		return m.Version
	}
	return 0
}

// Offer a map: it is taken if it is newer than the one held. Subscribers have been told when Offer returns.
func (h *Holder) Offer(m *Map) (taken bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if old := h.current.Load(); old != nil && m.Version <= old.Version {
		return false
	}
	h.current.Store(m)
	for _, s := range h.subscribers {
		s.changed(m)
	}
	return true
}

// Subscribe has changed called with each map that is taken from now on, one at a time and in order, and with the one that is
// held, if any, before Subscribe returns. It is called while maps are being taken: it must not block, nor offer or subscribe.
func (h *Holder) Subscribe(changed func(*Map)) (cancel func()) {
	s := &subscriber{changed: changed}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.subscribers = append(h.subscribers, s)
	if m := h.current.Load(); m != nil {
		changed(m)
	}
	return func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		h.subscribers = slices.DeleteFunc(h.subscribers, func(other *subscriber) bool { return other == s })
	}
}

// Owner implements fence.Owners for whatever map is held.
func (h *Holder) Owner(id ident.CustomerID) (cell string, epoch uint64, ok bool) {
	m := h.Load()
	if m == nil {
		return "", 0, false
	}
	return m.Owner(id)
}
