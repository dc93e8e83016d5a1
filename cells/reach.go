package cells

import (
	"sync"
	"time"

	"github.com/cellar-commerce/cellar/internal/breaker"
	"github.com/cellar-commerce/cellar/internal/clock"
	"github.com/cellar-commerce/cellar/internal/ident"
)

// trialEvery is how often one plan may count on a region that is not known to be back: what it reserves there closes the
// breaker, or opens it anew. Most plans need nothing from there, so there are ten trials a second; where the region is
// still away the breaker lets one of them wait, and the others are planned anew at once.
const trialEvery = 100 * time.Millisecond

// breakers of one kind of traffic to other regions.
type breakers interface {
	State(destination ident.Region) breaker.State
}

// reach tells which regions can be counted on, by the breakers on the ways there and by whether events flow. It sends nothing
// itself.
type reach struct {
	own      ident.Region
	calls    breakers // to any cell of a region
	commands breakers // to the keepers of its FCs
	flows    func(ident.Region) bool
	clock    clock.Clock

	mu    sync.Mutex
	tried map[ident.Region]time.Time
}

func newReach(r reach) *reach {
	r.tried = map[ident.Region]time.Time{}
	return &r
}

// reachable unless its events wait, or a breaker is open; to its own region a cell needs no way. While the one for commands waits for one that closes it, an asker now and then is
// sent there. That for calls may wait for long: a plan rarely calls.
func (r *reach) reachable(region ident.Region) bool {
	if !r.flows(region) {
		return false
	}
	if region == r.own {
		return true
	}
	state := r.commands.State(region)
	if state == breaker.Open || r.calls.State(region) == breaker.Open {
		return false
	}
	return state == breaker.Closed || r.trial(region)
}

// trial of a region, for one asker at a time.
func (r *reach) trial(region ident.Region) bool {
	now := r.clock.Now()
	r.mu.Lock()
	defer r.mu.Unlock()
	if last, ok := r.tried[region]; ok && now.Before(last.Add(trialEvery)) {
		return false
	}
	r.tried[region] = now
	return true
}
