package checkout

import (
	"sync"
	"time"

	"github.com/cellar-commerce/cellar/internal/ident"
	"github.com/cellar-commerce/cellar/internal/problem"
)

const (
	// maxLive placements of one customer at once. Each holds stock, and whoever opens many holds it from others.
	maxLive = 5
	// liveFor is how far back unanswered placements count: no hold lasts longer.
	liveFor = time.Hour
)

func tooMany() error {
	return problem.New(problem.Exhausted, "TOO_MANY_PLACEMENTS", "too many orders are being placed for this customer; wait for them to end")
}

// limiter counts the placements that this process runs for each customer. The database counts those that others left,
// and cannot see what is being begun at the same time; a customer has one owner, so this can.
type limiter struct {
	mu   sync.Mutex
	live map[ident.CustomerID]map[string]int // requests by idempotency key
}

// enter unless the customer has too many others; the same key may come again, and finds what became of the first.
func (l *limiter) enter(c ident.CustomerID, key string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.live[c] == nil {
		l.live[c] = map[string]int{}
	}
	if l.live[c][key] == 0 && len(l.live[c]) >= maxLive {
		return false
	}
	l.live[c][key]++
	return true
}

func (l *limiter) leave(c ident.CustomerID, key string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.live[c][key]--; l.live[c][key] > 0 {
		return
	}
	delete(l.live[c], key)
	if len(l.live[c]) == 0 {
		delete(l.live, c)
	}
}
