package shop

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"path"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"connectrpc.com/connect"

	"github.com/cellar-commerce/cellar/internal/clock"
	catalogv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/catalog/v1"
	"github.com/cellar-commerce/cellar/internal/gen/cellar/catalog/v1/catalogv1connect"
	orderv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/order/v1"
	"github.com/cellar-commerce/cellar/internal/ident"
	"github.com/cellar-commerce/cellar/internal/problem"
)

// Outcomes of an order that are not a refusal's reason.
const (
	Placed     = "PLACED"
	Unresolved = "UNRESOLVED"
)

// Config of a play.
type Config struct {
	// Routers to shop at, http://host:port; shoppers take them in turn.
	Routers []string
	// Shoppers at once, and Orders in all.
	Shoppers, Orders int
	// Rate of orders a second, begun at times that are drawn, by shoppers who are free then; Shoppers bounds how many are under way.
	// 0 has each shopper begin the next order when the last is done. A sale has no rate.
	Rate float64
	// Seed of everything that is drawn; two plays of one seed ask for the same things.
	Seed uint64
	// Sale, when there is one, is all that shoppers want: each buys a unit of it again and again until it is sold out, and
	// Orders does not count.
	Sale *Sale
	// AwaitShipped bounds the wait for the parcels of the orders placed; 0 does not wait, and nothing is returned.
	AwaitShipped time.Duration
	// Stop, when it is closed, has nobody begin another visit; those under way go on to their end. May be nil.
	Stop <-chan struct{}
	// Observe is told of every call, from many goroutines at once; may be nil.
	Observe func(Call)
	// Placed is told of every order that was placed, from many goroutines at once; may be nil.
	Placed func(Placement)
	// Clock that paces by Rate; nil is the machine's.
	Clock clock.Clock
	// Patience of a shopper with a call that is not answered, or an order whose outcome is not known; 0 is two minutes.
	Patience time.Duration
}

// Call that a shopper has made.
type Call struct {
	// Customer or guest who asked; empty before a first visitor has a session.
	Customer ident.CustomerID
	// Name of the method, for example "PlaceOrder".
	Name  string
	Began time.Time
	Took  time.Duration
	// Err as the client has it; nil when there was an answer.
	Err error
}

// Failed tells whether a shopper had no answer: not a refusal for a reason that a shop may have, nor word that the same key
// is still being worked on.
func (c Call) Failed() bool {
	_, final := refusal(c.Err)
	return c.Err != nil && !final && problem.KindOf(c.Err) != problem.Aborted
}

// Placement is an order that a shopper has placed, and what it takes to ask for it.
type Placement struct {
	// OrderID is as the shop gave it, Token that of the shopper's session, Router where she shops, http://host:port.
	OrderID, Token, Router string
	// At is when she knew, and Took how long she waited for that since the first try.
	At   time.Time
	Took time.Duration
}

// Sale of one product.
type Sale struct {
	SKU string `json:"sku"`
	// Units there are.
	Units int `json:"units"`
}

// Report of a play.
type Report struct {
	Seconds  float64        `json:"seconds"`
	Orders   int            `json:"orders"`
	Outcomes map[string]int `json:"outcomes"`
	Shipped  int            `json:"shipped"`
	// Missed counts orders of which nothing was on any shelf.
	Missed int `json:"missed,omitempty"`
	// Canceled counts what became of cancellations, Returned the returns of items that had come.
	Canceled map[string]int   `json:"canceled,omitempty"`
	Returned int              `json:"returned,omitempty"`
	Calls    []Latency        `json:"calls"`
	Faults   []string         `json:"faults,omitempty"`
	Retried  map[string]int64 `json:"failed_calls,omitempty"`
	Sale     *Sale            `json:"sale,omitempty"`
	Pace     *Pace            `json:"pace,omitempty"`
	Trouble  *Trouble         `json:"trouble,omitempty"`
}

// Trouble that was made on purpose while shoppers were at it.
type Trouble struct {
	// DeclinePercent and TimeoutAfterSuccessPercent of the card network.
	DeclinePercent             int `json:"decline_percent"`
	TimeoutAfterSuccessPercent int `json:"timeout_after_success_percent"`
	// Kills of cells, by cell, and how many of those cells serve again.
	Kills    map[string]int `json:"kills"`
	Restarts int            `json:"restarts"`
}

// Latency of one kind of call, in milliseconds; "place an order" is from the first try to the outcome, "visit since due" at a rate
// from when a shopper was due to the visit's end.
type Latency struct {
	Call  string  `json:"call"`
	Count int     `json:"count"`
	P50   float64 `json:"p50_ms"`
	P90   float64 `json:"p90_ms"`
	P99   float64 `json:"p99_ms"`
	Max   float64 `json:"max_ms"`
}

// maxFaults that a report lists in words; all are counted.
const maxFaults = 10

// result of one visit.
type result struct {
	order, token, router string
	outcome              string
	took                 time.Duration
	// gone: the shopper has canceled all of it.
	gone bool
}

// play under way.
type play struct {
	observe  func(Call)
	tell     func(Placement)
	http     *http.Client
	words    []string
	patience time.Duration
	pace     *pace // nil: as fast as they are answered

	mu     sync.Mutex
	times  map[string][]time.Duration
	failed map[string]int64
	report Report
	placed []result
}

// Run a play. An error means that it could not begin or was interrupted; what shoppers met with is in the report.
func Run(ctx context.Context, cfg Config) (Report, error) {
	if len(cfg.Routers) == 0 || cfg.Shoppers < 1 || (cfg.Orders < 1 && cfg.Sale == nil) {
		return Report{}, errors.New("shop: it takes a router, a shopper and an order")
	}
	if cfg.Rate < 0 || (cfg.Rate > 0 && cfg.Sale != nil) {
		return Report{}, errors.New("shop: a rate is not negative, and a sale has none")
	}
	p := &play{http: client(cfg.Shoppers), times: map[string][]time.Duration{}, failed: map[string]int64{}, report: Report{Outcomes: map[string]int{}, Canceled: map[string]int{}, Sale: cfg.Sale}}
	p.observe, p.tell = cfg.Observe, cfg.Placed
	if p.patience = cfg.Patience; p.patience == 0 {
		p.patience = patience
	}
	if cfg.Sale == nil {
		if err := p.learnWords(ctx, cfg.Routers[0]); err != nil {
			return Report{}, err
		}
	}
	start := time.Now()
	if cfg.Rate > 0 {
		p.pace = newPace(cmp.Or[clock.Clock](cfg.Clock, clock.System{}), cfg.Rate, cfg.Seed)
	}
	var left atomic.Int64
	left.Store(int64(cfg.Orders))
	var wg sync.WaitGroup
	for n := range cfg.Shoppers {
		wg.Go(func() {
			s := newShopper(p, cfg.Routers[n%len(cfg.Routers)], rand.New(rand.NewPCG(cfg.Seed, uint64(n))))
			if cfg.Sale == nil {
				p.orders(ctx, s, &left, cfg.Stop)
			}
			for cfg.Sale != nil && ctx.Err() == nil {
				if outcome := p.ended(s.grab(ctx, cfg.Sale.SKU)); outcome != Placed {
					break // sold out, or worse
				}
			}
		})
	}
	wg.Wait()
	p.report.Seconds = time.Since(start).Seconds()
	if cfg.AwaitShipped > 0 {
		p.awaitShipped(ctx, cfg.AwaitShipped)
	}
	return p.finish(), ctx.Err()
}

// orders of one shopper, one after the other, as long as any are left; at the play's pace if it has one.
func (p *play) orders(ctx context.Context, s *shopper, left *atomic.Int64, stop <-chan struct{}) {
	coming, cancel := until(ctx, stop)
	defer cancel()
	for left.Add(-1) >= 0 && ctx.Err() == nil && !stopped(stop) {
		if p.pace == nil {
			p.ended(s.visit(ctx))
			continue
		}
		due, ok := p.pace.await(coming)
		if !ok {
			return
		}
		p.ended(s.visit(ctx))
		p.visited(p.pace.clock.Now().Sub(due))
	}
}

func stopped(stop <-chan struct{}) bool {
	select {
	case <-stop:
		return true
	default:
		return false // also of a nil channel
	}
}

// learnWords takes what shoppers ask for from the categories there are.
func (p *play) learnWords(ctx context.Context, router string) error {
	categories := catalogv1connect.NewCatalogServiceClient(p.http, router, reading()...)
	var resp *catalogv1.ListCategoriesResponse
	err := p.again(ctx, func() (err error) {
		resp, err = categories.ListCategories(ctx, &catalogv1.ListCategoriesRequest{})
		return err
	})
	if err != nil {
		return fmt.Errorf("shop: list categories at %s: %w", router, err)
	}
	for _, c := range resp.GetCategories() {
		var browse *catalogv1.BrowseCategoryResponse
		err := p.again(ctx, func() (err error) {
			browse, err = categories.BrowseCategory(ctx, &catalogv1.BrowseCategoryRequest{Category: c.GetPath(), PageSize: 12})
			return err
		})
		if err != nil {
			return fmt.Errorf("shop: browse %s: %w", c.GetPath(), err)
		}
		for _, product := range browse.GetProducts() {
			p.words = append(p.words, product.GetTitle())
		}
		levels := strings.Split(c.GetPath(), " > ")
		p.words = append(p.words, levels[len(levels)-1])
		if len(p.words) > maxWords {
			break
		}
	}
	if len(p.words) == 0 {
		return errors.New("shop: nothing is for sale; `cellctl seed` fills the shelves")
	}
	return nil
}

// maxWords that shoppers ask for.
const maxWords = 5000

func (p *play) timed(procedure string, took time.Duration, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	name := path.Base(procedure)
	p.times[name] = append(p.times[name], took)
	if err != nil {
		reason, final := refusal(err)
		if !final {
			reason = connect.CodeOf(err).String()
		}
		p.failed[name+" "+reason]++
	}
}

// ended notes how a visit ended.
func (p *play) ended(r result, err error) (outcome string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.report.Orders++
	if err != nil {
		if reason, final := refusal(err); final {
			r.outcome = reason
		} else {
			r.outcome = Unresolved
			if len(p.report.Faults) < maxFaults {
				p.report.Faults = append(p.report.Faults, err.Error())
			}
		}
	}
	p.report.Outcomes[r.outcome]++
	if r.outcome == Placed {
		p.placed = append(p.placed, r)
		p.times[placing] = append(p.times[placing], r.took)
		if p.tell != nil {
			p.tell(Placement{OrderID: r.order, Token: r.token, Router: r.router, At: time.Now(), Took: r.took})
		}
	}
	return r.outcome
}

// visited notes how long a shopper took, from when she was due.
func (p *play) visited(took time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.times[visiting] = append(p.times[visiting], took)
}

// Names of what is no call by itself, among the calls.
const (
	placing  = "place an order"
	visiting = "visit since due"
)

// awaitShipped asks for each order placed until it shows SHIPPED, or that nothing of it was on any shelf.
func (p *play) awaitShipped(ctx context.Context, limit time.Duration) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	open := slices.DeleteFunc(slices.Clone(p.placed), func(r result) bool { return r.gone })
	for len(open) > 0 {
		var still []result
		for _, r := range open {
			s := newShopper(p, r.router, nil)
			o, err := s.order(ctx, r)
			if err == nil && o.GetStatus() == orderv1.Status_STATUS_SHIPPED {
				p.report.Shipped++
				if p.report.Shipped%returnEvery == 0 {
					p.returned(s.sendBack(ctx, o))
				}
				continue
			}
			if err == nil && o.GetStatus() == orderv1.Status_STATUS_CANCELED && len(o.GetShortPicks()) > 0 {
				p.report.Missed++
				continue
			}
			still = append(still, r)
		}
		open = still
		if len(open) > 0 && !pause(ctx) {
			p.report.Faults = append(p.report.Faults, fmt.Sprintf("%d orders are not shipped after %s, for example %s", len(open), limit, open[0].order))
			return
		}
	}
}

// returned notes how a return ended: it may not be refused.
func (p *play) returned(err error) {
	if err == nil {
		p.report.Returned++
		return
	}
	p.fault("return: " + err.Error())
}

// fault in words, as long as there are few.
func (p *play) fault(text string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.report.Faults) < maxFaults {
		p.report.Faults = append(p.report.Faults, text)
	}
}

func (p *play) finish() Report {
	p.mu.Lock()
	defer p.mu.Unlock()
	for call, times := range p.times {
		slices.Sort(times)
		p.report.Calls = append(p.report.Calls, Latency{
			Call: call, Count: len(times), P50: quantile(times, .5), P90: quantile(times, .9), P99: quantile(times, .99), Max: ms(times[len(times)-1]),
		})
	}
	slices.SortFunc(p.report.Calls, func(a, b Latency) int { return cmp.Compare(a.Call, b.Call) })
	p.report.Retried = p.failed
	if p.pace != nil {
		p.report.Pace = p.pace.report()
	}
	return p.report
}

// quantile q of sorted times by the nearest rank, in milliseconds.
func quantile(sorted []time.Duration, q float64) float64 {
	rank := int(q*float64(len(sorted))+0.999999) - 1
	return ms(sorted[min(max(rank, 0), len(sorted)-1)])
}

func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// Clean tells whether every order was placed or refused for a reason that a shop may have, every cancellation had an
// answer, every parcel that was waited for has left, unless it was canceled, and every return was taken; of a sale, that
// exactly its units were sold.
func (r Report) Clean() bool {
	for outcome, n := range r.Outcomes {
		if n > 0 && !expected[outcome] {
			return false
		}
	}
	for outcome, n := range r.Canceled {
		if n > 0 && !expectedOfCancellation[outcome] {
			return false
		}
	}
	if r.Sale != nil && r.Outcomes[Placed] != r.Sale.Units {
		return false
	}
	return len(r.Faults) == 0
}

// expected outcomes: the goods or the money were not there.
var expected = map[string]bool{Placed: true, "OUT_OF_STOCK": true, "PAYMENT_DECLINED": true, "CART_EMPTY": true, "PRICE_CHANGED": true}

// Outcomes of a cancellation; what is too late is answered as TOO_LATE_TO_CANCEL.
const (
	CanceledWhole = "CANCELED"
	CanceledPart  = "CANCELED_IN_PART"
	tooLate       = "TOO_LATE_TO_CANCEL"
)

var expectedOfCancellation = map[string]bool{CanceledWhole: true, CanceledPart: true, tooLate: true}
