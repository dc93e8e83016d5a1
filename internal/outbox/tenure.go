package outbox

import (
	"context"
	"sync"
)

// tenure is the time until a lease is lost. What is begun by the leases that are held stops and ends with it, before another relay
// may begin.
type tenure struct {
	ctx      context.Context
	end      context.CancelFunc
	underWay sync.WaitGroup
}

// unlessOver gives an error of something that was not stopped.
func (t *tenure) unlessOver(err error) error {
	select {
	case <-t.ctx.Done():
		return nil
	default:
		return err
	}
}

// hold a lease until its context ends: its shards are among those of every round.
func (r *Relay) hold(ctx context.Context, n int) {
	r.mu.Lock()
	r.held[n] = true
	r.mu.Unlock()
	r.Nudge()
	<-ctx.Done()
	r.lose(n)
	if n == 0 {
		r.observe(nil)
	}
}

// lose a lease. What is under way stops, also what is of other leases: one batch has events of all. They begin again.
func (r *Relay) lose(n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.held[n] = false
	if r.tenure != nil {
		r.tenure.end()
		r.tenure.underWay.Wait()
		r.tenure = nil
	}
	r.Nudge()
}

// begin something with the shards that are held now. It is under way until the tenure is told that it is done, and has to stop with
// it; the tenure ends with ctx too.
func (r *Relay) begin(ctx context.Context) (*tenure, []int16) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.tenure == nil {
		r.tenure = &tenure{}
		r.tenure.ctx, r.tenure.end = context.WithCancel(ctx)
	}
	r.tenure.underWay.Add(1)
	var shards []int16
	for shard := range int16(Shards) {
		if r.held[shard%leases] {
			shards = append(shards, shard)
		}
	}
	return r.tenure, shards
}
