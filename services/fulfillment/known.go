package fulfillment

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/cellar-commerce/cellar/internal/clock"
	inventoryv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/inventory/v1"
)

const (
	// knownProducts are kept at least, and twice as many at most: of 300 bytes or so each, some 30 MB.
	knownProducts = 50_000
	// knownFor is how long a summary is believed without news of it: the events that change it may be lost to this cell,
	// for it follows them in memory only. A plan by an old summary costs its order a second plan, which asks.
	knownFor = 30 * time.Second
	// readBudget bounds a look at the table; others may wait for it.
	readBudget = 2 * time.Second
)

// holding is one FC that has some of a product.
type holding struct {
	ordinal int16
	level   uint8
}

// source is what one region has of a product, as it said itself.
type source struct {
	region   string
	version  int64
	holdings []holding
}

// entry is what is known of a product. It is never changed, only replaced.
type entry struct {
	sources []source
	until   time.Time
}

// reading of products from the table, that others may wait for.
type reading struct {
	done chan struct{}
	late []*inventoryv1.StockSummary // what was told meanwhile
	err  error
}

// known keeps summaries of stock in memory: read from this region's table when they are first needed, then kept up with
// the events that change them. There are two generations of entries. The young one, once full, becomes the old one; what
// is used in the old one becomes young again; the old one is forgotten as a whole.
type known struct {
	from  Summarizer
	clock clock.Clock
	size  int

	mu         sync.Mutex
	young, old map[string]*entry
	readings   map[string]*reading
}

func newKnown(from Summarizer, clock clock.Clock, size int) *known {
	return &known{from: from, clock: clock, size: size, young: map[string]*entry{}, readings: map[string]*reading{}}
}

// of products: an entry for each, empty where nothing is known.
func (k *known) of(ctx context.Context, skus []string) ([]*entry, error) {
	found, missing, waits := k.look(skus)
	if len(missing) > 0 {
		if err := k.read(ctx, missing); err != nil {
			return nil, err
		}
	}
	for _, r := range waits {
		select {
		case <-r.done:
			if r.err != nil {
				return nil, r.err
			}
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	if len(missing)+len(waits) > 0 {
		k.mu.Lock()
		defer k.mu.Unlock()
		for i, sku := range skus {
			if found[i] == nil {
				found[i] = k.get(sku)
			}
			if found[i] == nil { // forgotten already: more products than fit are asked for at once
				found[i] = &entry{}
			}
		}
	}
	return found, nil
}

// look what is there, what has to be read, and what is being read. What is missing is announced as being read.
func (k *known) look(skus []string) (found []*entry, missing []string, waits []*reading) {
	k.mu.Lock()
	defer k.mu.Unlock()
	now := k.clock.Now()
	found = make([]*entry, len(skus))
	var own *reading
	for i, sku := range skus {
		if e := k.get(sku); e != nil && now.Before(e.until) {
			found[i] = e
			continue
		}
		if r := k.readings[sku]; r != nil {
			if r != own {
				waits = append(waits, r)
			}
			continue
		}
		if own == nil {
			own = &reading{done: make(chan struct{})}
		}
		k.readings[sku] = own
		missing = append(missing, sku)
	}
	return found, missing, waits
}

// get an entry; the caller has the lock.
func (k *known) get(sku string) *entry {
	if e := k.young[sku]; e != nil {
		return e
	}
	e := k.old[sku]
	if e != nil {
		k.put(sku, e)
	}
	return e
}

func (k *known) put(sku string, e *entry) {
	if _, there := k.young[sku]; !there && len(k.young) >= k.size {
		k.young, k.old = make(map[string]*entry, k.size), k.young
	}
	k.young[sku] = e
}

// read products that were announced. Others may wait, so the caller's leaving does not end it.
func (k *known) read(ctx context.Context, skus []string) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), readBudget)
	defer cancel()
	resp, err := k.from.ListSummaries(ctx, &inventoryv1.ListSummariesRequest{Skus: skus})
	k.mu.Lock()
	defer k.mu.Unlock()
	r := k.readings[skus[0]]
	r.err = err
	until := k.clock.Now().Add(knownFor)
	for _, sku := range skus {
		delete(k.readings, sku)
		if err == nil {
			k.put(sku, &entry{until: until})
		}
	}
	if err == nil {
		for _, one := range append(resp.GetSummaries(), r.late...) {
			k.learn(one)
		}
	}
	close(r.done)
	return err
}

// learn a summary of a product that there is an entry of, unless a newer one is known; the caller has the lock.
func (k *known) learn(one *inventoryv1.StockSummary) {
	e := k.young[one.GetSku()]
	if e == nil {
		e = k.old[one.GetSku()]
	}
	if e == nil {
		return
	}
	at := slices.IndexFunc(e.sources, func(s source) bool { return s.region == one.GetRegion() })
	if at >= 0 && e.sources[at].version >= one.GetVersion() {
		return
	}
	fresh := &entry{sources: slices.Clone(e.sources), until: e.until}
	s := source{region: one.GetRegion(), version: one.GetVersion(), holdings: holdingsOf(one)}
	if at >= 0 {
		fresh.sources[at] = s
	} else {
		fresh.sources = append(fresh.sources, s)
	}
	k.put(one.GetSku(), fresh)
}

// maxOrdinal is beyond any network of FCs; a summary that knows more is damaged.
const maxOrdinal = 1 << 12

// holdingsOf a summary. One that has no levels says only who has some.
func holdingsOf(one *inventoryv1.StockSummary) (all []holding) {
	for i, bits := range one.GetFcs()[:min(len(one.GetFcs()), maxOrdinal/8)] {
		for b := range 8 {
			if bits&(1<<b) == 0 {
				continue
			}
			h := holding{ordinal: int16(i*8 + b), level: 1}
			if at := int(h.ordinal) / 2; at < len(one.GetLevels()) {
				h.level = max(one.GetLevels()[at]>>(h.ordinal%2*4)&0xF, 1)
			}
			all = append(all, h)
		}
	}
	return all
}

// Summarized is the follower of summaries that regions tell: each cell keeps its memory up with them.
func (s *Service) Summarized(_ context.Context, payload []byte) error {
	var e inventoryv1.StockSummarized
	if err := proto.Unmarshal(payload, &e); err != nil {
		return fmt.Errorf("stock summarized: %w", err)
	}
	k := s.known
	if k == nil {
		return nil
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, one := range e.GetSummaries() {
		k.learn(one)
		if r := k.readings[one.GetSku()]; r != nil {
			r.late = append(r.late, one)
		}
	}
	return nil
}

// Of a count of level l, from 4^(l-1) to 4^l - 1 units, half of the least is relied on: there are others who buy. So of
// an FC that has fewer than four units nothing is taken without asking.
func reliable(level uint8) int64 {
	if level == 0 {
		return 0
	}
	return int64(1) << (2 * (min(level, 15) - 1)) / 2
}

// highest count of a level.
func highest(level uint8) int64 { return int64(1)<<(2*min(level, 15)) - 1 }
