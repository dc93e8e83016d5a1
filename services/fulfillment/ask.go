package fulfillment

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	inventoryv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/inventory/v1"
	"github.com/cellar-commerce/cellar/internal/geo"
	"github.com/cellar-commerce/cellar/internal/ident"
	"github.com/cellar-commerce/cellar/internal/problem"
)

// errand is an order to plan.
type errand struct {
	to       geo.Point
	speed    Speed
	wants    []Want
	excluded map[string]bool // FCs
	now      time.Time
}

// doubtfulRounds of questions about what a plan relies on; then everything that is in doubt is asked at once.
const doubtfulRounds = 2

// planOrder by what this region believes that the FCs have, and ask only those on whom a plan relies for more than is
// surely there. The belief is as good as can be: an FC may have as much as its level allows. So a plan that relies on
// nothing doubtful is the best of all, whatever the true counts are. Summaries may be behind: before an order is refused,
// every FC of every region that answers has been asked.
func (s *Service) planOrder(ctx context.Context, e errand) (Plan, error) {
	centers, byOrdinal, err := s.roster(ctx)
	if err != nil {
		return Plan{}, err
	}
	b := s.believe(ctx, byOrdinal, e)
	if b == nil {
		s.deps.Observe.OrderPlanned(true)
		return s.planWithAll(ctx, centers, e)
	}
	asked := false
	if len(e.excluded) > 0 { // somebody was there before: what is believed has not stood the test
		s.inquire(ctx, b, b.everything())
		asked = true
	}
	for round := 0; ; round++ {
		plan, err := b.plan()
		if err != nil {
			s.deps.Observe.OrderPlanned(true)
			plan, err = s.planWithAll(ctx, centers, e)
			s.deps.Observe.SummaryFellShort(err == nil)
			return plan, err
		}
		doubts := b.doubts(plan)
		if len(doubts.regions) == 0 {
			s.deps.Observe.OrderPlanned(asked)
			return plan, nil
		}
		if round >= doubtfulRounds {
			doubts = b.everything()
		}
		s.inquire(ctx, b, doubts)
		asked = true
	}
}

// planWithAll FCs there are, by what each says itself.
func (s *Service) planWithAll(ctx context.Context, centers map[string]Center, e errand) (Plan, error) {
	b := newBelief(e, 0)
	questions := map[ident.Region]*inventoryv1.ListStockRequest{}
	for region := range s.deps.Stock {
		questions[region] = &inventoryv1.ListStockRequest{Skus: b.skus}
	}
	answers, failed := s.ask(ctx, questions)
	rows := map[string]int{}
	for _, stocks := range answers {
		for _, st := range stocks {
			at, there := rows[st.GetFcId()]
			c, known := centers[st.GetFcId()]
			n := slices.Index(b.skus, st.GetSku())
			if !known || n < 0 || e.excluded[c.ID] {
				continue
			}
			if !there {
				at = b.add(&c)
				rows[c.ID] = at
			}
			b.candidates[at].counts[n] = st.GetAvailable()
		}
	}
	s.markAway(b)
	plan, err := b.plan()
	if err != nil && failed != nil && len(answers) == 0 {
		return Plan{}, failed // nobody has answered: that is not "sold out"
	}
	return plan, err
}

// belief is what is believed, for one order, about what FCs have.
type belief struct {
	errand
	skus       []string
	candidates []candidate
	levels     []uint8 // of the candidates, and their counts: one row after the other
	counts     []int64
}

// candidate is an FC that seems to have something.
type candidate struct {
	center *Center
	leg    Leg
	levels []uint8 // of each product
	counts []int64 // what it has said; unasked before
	away   bool    // its region is not relied on, if that can be
	silent bool    // it was asked and has not answered
}

// unasked: an FC has not said how much it has.
const unasked = -1

// newBelief of nothing; room is for how many candidates there will be.
func newBelief(e errand, room int) *belief {
	b := &belief{errand: e, skus: skusOf(e.wants), candidates: make([]candidate, 0, room)}
	b.levels, b.counts = make([]uint8, 0, room*len(b.skus)), make([]int64, 0, room*len(b.skus))
	return b
}

// add an FC, of which nothing is believed; gives its number.
func (b *belief) add(c *Center) int {
	begin, m := len(b.counts), len(b.skus)
	b.levels, b.counts = append(b.levels, make([]uint8, m)...), append(b.counts, make([]int64, m)...)
	b.candidates = append(b.candidates, candidate{center: c, leg: LegOf(c.At, b.to, b.speed, b.now), levels: b.levels[begin : begin+m], counts: b.counts[begin : begin+m]})
	return len(b.candidates) - 1
}

// believe what the summaries say. Nil when everybody is to be asked: nothing is known of a product, or nobody seems to
// have it.
func (s *Service) believe(ctx context.Context, byOrdinal []*Center, e errand) *belief {
	if s.known == nil {
		return nil
	}
	entries, err := s.known.of(ctx, skusOf(e.wants))
	if err != nil {
		s.deps.Log.WarnContext(ctx, "the summaries cannot be read; everybody is asked", "error", err)
		return nil
	}
	room := 0
	for _, one := range entries {
		for _, source := range one.sources {
			room += len(source.holdings)
		}
	}
	b := newBelief(e, min(room, len(byOrdinal)))
	rows := make([]int, len(byOrdinal)) // of each ordinal: the candidate's number, from 1
	for n, one := range entries {
		held := 0
		for _, source := range one.sources {
			held += len(source.holdings)
			for _, h := range source.holdings {
				if int(h.ordinal) >= len(byOrdinal) || byOrdinal[h.ordinal] == nil || e.excluded[byOrdinal[h.ordinal].ID] {
					continue
				}
				if rows[h.ordinal] == 0 {
					rows[h.ordinal] = b.add(byOrdinal[h.ordinal]) + 1
				}
				c := &b.candidates[rows[h.ordinal]-1]
				c.levels[n], c.counts[n] = h.level, unasked
			}
		}
		if held == 0 {
			return nil
		}
	}
	s.markAway(b)
	return b
}

// markAway the FCs of regions that are not to be relied on right now.
func (s *Service) markAway(b *belief) {
	if s.deps.Reachable == nil {
		return
	}
	reachable := map[string]bool{}
	for i := range b.candidates {
		c := &b.candidates[i]
		there, known := reachable[c.center.Region]
		if !known {
			there = s.deps.Reachable(ident.Region(c.center.Region))
			reachable[c.center.Region] = there
		}
		c.away = !there
	}
}

// plan as if every FC had as much as it may have: without the regions that are away, and with them only when the others
// have too little.
func (b *belief) plan() (Plan, error) {
	plan, err := b.task(false).Plan()
	if err != nil && slices.ContainsFunc(b.candidates, func(c candidate) bool { return c.away }) {
		return b.task(true).Plan()
	}
	return plan, err
}

func (b *belief) task(everybody bool) *Task {
	t := NewTask(b.wants, len(b.candidates))
	for i := range b.candidates {
		c := &b.candidates[i]
		stock := t.Offer(c.center, &c.leg) // also of one that is passed over, with nothing: offers have the candidates' numbers
		if c.silent || (c.away && !everybody) {
			continue
		}
		for n := range stock {
			if stock[n] = c.counts[n]; stock[n] == unasked {
				stock[n] = highest(c.levels[n])
			}
		}
	}
	return t
}

// doubts are what is to be asked: products, in regions.
type doubts struct {
	regions  []string
	products []int
}

// doubts of a plan: where it takes more than is surely there. Of a product that is doubtful the whole region is asked: the
// next plan may take it from a neighbour.
func (b *belief) doubts(plan Plan) (d doubts) {
	taken := make([]int64, len(b.skus))
	for i := range plan.Parcels {
		p := &plan.Parcels[i]
		c := &b.candidates[p.offer]
		clear(taken)
		for _, l := range p.Lines {
			taken[slices.Index(b.skus, l.SKU)] += l.Quantity
		}
		for n, units := range taken {
			if c.counts[n] == unasked && units > reliable(c.levels[n]) {
				d.add(c.center.Region, n)
			}
		}
	}
	return d
}

func (d *doubts) add(region string, product int) {
	if !slices.Contains(d.regions, region) {
		d.regions = append(d.regions, region)
	}
	if !slices.Contains(d.products, product) {
		d.products = append(d.products, product)
	}
}

// everything that nobody has said yet.
func (b *belief) everything() (d doubts) {
	for _, c := range b.candidates {
		for n, count := range c.counts {
			if count == unasked {
				d.add(c.center.Region, n)
			}
		}
	}
	return d
}

// inquire into doubts: what was believed is replaced by what the FCs say. Who does not answer has nothing.
func (s *Service) inquire(ctx context.Context, b *belief, d doubts) {
	questions := map[ident.Region]*inventoryv1.ListStockRequest{}
	for _, region := range d.regions {
		q := &inventoryv1.ListStockRequest{}
		for _, n := range d.products {
			q.Skus = append(q.Skus, b.skus[n])
		}
		for _, c := range b.candidates {
			if c.center.Region == region && slices.ContainsFunc(d.products, func(n int) bool { return c.counts[n] == unasked }) {
				q.FcIds = append(q.FcIds, c.center.ID)
			}
		}
		questions[ident.Region(region)] = q
	}
	answers, _ := s.ask(ctx, questions)
	s.deps.Observe.SummaryAnswered(b.correct(d, questions, answers))
}

// correct what was believed, and count how it was.
func (b *belief) correct(d doubts, questions map[ident.Region]*inventoryv1.ListStockRequest, answers map[ident.Region][]*inventoryv1.Stock) (right, empty int) {
	said := map[string]*inventoryv1.Stock{}
	for _, stocks := range answers {
		for _, st := range stocks {
			said[st.GetFcId()+"/"+st.GetSku()] = st
		}
	}
	for i := range b.candidates {
		c := &b.candidates[i]
		region := ident.Region(c.center.Region)
		if questions[region] == nil {
			continue
		}
		_, answered := answers[region]
		c.silent = c.silent || !answered
		for _, n := range d.products {
			if c.counts[n] != unasked {
				continue
			}
			c.counts[n] = said[c.center.ID+"/"+b.skus[n]].GetAvailable()
			switch {
			case c.counts[n] > 0:
				right++
			case answered:
				empty++
			}
		}
	}
	return right, empty
}

// ask regions what FCs have: those that are named, or all of a region where none is. Gives what each that answered has
// said; the error is that of one that did not.
func (s *Service) ask(ctx context.Context, questions map[ident.Region]*inventoryv1.ListStockRequest) (answers map[ident.Region][]*inventoryv1.Stock, failed error) {
	ctx, cancel := context.WithTimeout(ctx, stockBudget)
	defer cancel()
	answers = map[ident.Region][]*inventoryv1.Stock{}
	var mu sync.Mutex
	var wg sync.WaitGroup
	for region, question := range questions {
		lister := s.deps.Stock[region]
		if lister == nil {
			continue
		}
		wg.Go(func() {
			resp, err := lister.ListStock(ctx, question)
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				failed = problem.Wrap(fmt.Errorf("stock of %s: %w", region, err), problem.Unavailable, "STOCK_UNKNOWN", "the stock cannot be looked up right now")
				return
			}
			answers[region] = resp.GetStocks()
		})
	}
	wg.Wait()
	return answers, failed
}
