package evacuation

import (
	"context"
	"time"

	"github.com/cellar-commerce/cellar/cells/topology"
	topologyv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/topology/v1"
	"github.com/cellar-commerce/cellar/internal/ident"
	"github.com/cellar-commerce/cellar/internal/problem"
	"github.com/cellar-commerce/cellar/internal/saga"
)

const (
	// countedHomed is up to how many accounts, and lines in guests' carts, a ring is counted; beyond that the database's
	// statistics have to do. So many keys are read in some milliseconds.
	countedHomed = 10_000
	// estimateAge is how long an estimate of customers is good for.
	estimateAge = time.Minute
	// estimateTime bounds all of it: a plan without these figures is better than none, above all when the database is slow.
	estimateTime = 150 * time.Millisecond
)

// totals of customers and guests by ring, as estimated at some time.
type totals struct {
	at   time.Time
	ring map[ident.Region]int64
}

// plan a wish with what is known now.
func (m *Moves) plan(ctx context.Context, w Wish) (*topologyv1.Plan, error) {
	now, err := m.newest()
	if err != nil {
		return nil, err
	}
	d, reason, refusal, err := wished(now, w, m.deps.Fleet.Serves)
	if err != nil {
		return nil, err
	}
	m.complete(ctx, d)
	p := d.plan()
	if reason != "" {
		refuse(p, reason, refusal)
	}
	return p, nil
}

// newest map. NO_MAP.
func (m *Moves) newest() (*topology.Map, error) {
	if now := m.deps.Fleet.Map(); now != nil {
		return now, nil
	}
	return nil, problem.New(problem.Unavailable, "NO_MAP", "no map has been published, or read, yet; try again in a moment")
}

// complete a draft with loads and counts, as far as they are to be had in time.
func (m *Moves) complete(ctx context.Context, d *draft) {
	d.load = map[string]float64{}
	for i := range d.m.Cells {
		if load, counted := m.deps.Fleet.Load(d.m.Cells[i].ID); counted {
			d.load[d.m.Cells[i].ID] = load
		}
	}
	ctx, cancel := context.WithTimeout(ctx, estimateTime)
	defer cancel()
	for ring, slots := range slotsIn(d.moves) {
		n, err := saga.UnderWay(ctx, m.deps.Customers, ring, slots)
		if err != nil {
			m.deps.Log.WarnContext(ctx, "a plan does without the number of sagas under way", "ring", ring, "error", err)
		}
		d.sagas += n
	}
	var err error
	if d.homed, err = m.homedIn(ctx, d.m.Rings); err != nil {
		m.deps.Log.WarnContext(ctx, "a plan does without the number of customers", "error", err)
	}
}

// slotsIn moves, by ring, ascending where the moves are.
func slotsIn(moves []topology.SlotMove) map[ident.Region][]int16 {
	in := map[ident.Region][]int16{}
	for _, mv := range moves {
		for s := mv.FromSlot; s <= mv.ToSlot; s++ {
			in[mv.Ring] = append(in[mv.Ring], int16(s))
		}
	}
	return in
}

// homedIn rings: customers with accounts and guests with carts. Slots are the top of a hash, so that each has its 4096th.
func (m *Moves) homedIn(ctx context.Context, rings []topology.Ring) (map[ident.Region]int64, error) {
	now := m.deps.Clock.Now()
	m.mu.Lock()
	kept := m.homed
	m.mu.Unlock()
	if kept.ring != nil && now.Sub(kept.at) < estimateAge {
		return kept.ring, nil
	}
	fresh := totals{at: now, ring: map[ident.Region]int64{}}
	for i := range rings {
		ring := rings[i].Region
		accounts, guests, err := countHomed(ctx, m.deps.Customers, ring, countedHomed)
		if err != nil {
			return nil, err
		}
		if accounts == countedHomed {
			all, err := estimateHomed(ctx, m.deps.Customers)
			if err != nil {
				return nil, err
			}
			accounts = max(accounts, all/int64(len(rings)))
		}
		fresh.ring[ring] = accounts + guests
	}
	m.mu.Lock()
	m.homed = fresh
	m.mu.Unlock()
	return fresh.ring, nil
}
