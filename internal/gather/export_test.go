package gather

// MaxWaiting askers.
const MaxWaiting = maxWaiting

// Waiting askers that no reading has taken.
func (r *Reader[K, V]) Waiting() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.waiting)
}

// Limit the readings under way at once.
func (r *Reader[K, V]) Limit(n int) { r.cfg.Lanes = n }
