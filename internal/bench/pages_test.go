package bench

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/cellar-commerce/cellar/internal/clock"
	"github.com/cellar-commerce/cellar/internal/shop"
)

// leap is a clock for one who does nothing but sleep and work: sleeping takes no time.
type leap struct{ *clock.Manual }

func (l leap) Sleep(ctx context.Context, d time.Duration) error {
	l.Advance(max(d, 0))
	return ctx.Err()
}

func TestASlowPageIsNotHiddenByItsReadersWaitingForIt(t *testing.T) {
	const quick, slow = time.Millisecond, 500 * time.Millisecond
	now := leap{clock.NewManual(time.Date(2031, 5, 4, 12, 0, 0, 0, time.UTC))}
	b := newPagesBench(PagesConfig{Seconds: 2, Readers: 1}, "")
	b.clock = now
	looks := 0
	b.look = func(context.Context, string) (int64, error) {
		if looks++; looks == 25 { // in the window
			now.Advance(slow)
		} else {
			now.Advance(quick)
		}
		return 100, nil
	}
	from := now.Now().Add(time.Second)
	if err := b.read(t.Context(), 0, pageWindow{part: partPaced, from: from, until: from.Add(b.lasts)}); err != nil {
		t.Fatal(err)
	}
	took := map[string][]time.Duration{}
	for c, all := range b.took {
		took[c.since] = append(took[c.since], all...)
	}
	for _, all := range took {
		slices.Sort(all)
		slices.Reverse(all)
	}
	due, asked := took[sinceDue], took[sinceAsked]
	pages := int(b.lasts / readerPause)
	if looks != pages+20 || len(due) != pages || len(asked) != pages {
		t.Fatalf("%d pages looked at, %d and %d counted; %d were due, and 20 to warm up", looks, len(due), len(asked), pages)
	}
	// The next is begun 450 ms late, and the one after that catches up by all but a millisecond of its pause.
	if asked[0] != slow || asked[1] != quick || due[0] != slow || due[1] != slow-readerPause+quick || due[2] != slow-2*readerPause+2*quick || due[11] != quick {
		t.Errorf("asked: %v\ndue: %v", asked[:12], due[:12])
	}
}

func TestThePagesOfEachPartHaveARatioAndOnlyTheFirstAGoal(t *testing.T) {
	b := newPagesBench(PagesConfig{Seconds: 10, Readers: 4, OrdersPerSecond: 18.5}, "")
	b.took = map[pageCase][]time.Duration{
		{"product", partPaced, sinceDue}: {9 * time.Millisecond}, {"product", partPaced, sinceAsked}: {2 * time.Millisecond},
		{"product", partSaturated, sinceDue}: {40 * time.Millisecond},
	}
	r := b.report(bought{placed: 180, Report: shop.Report{Pace: &shop.Pace{}}}, bought{placed: 300})
	if r.Ratios["product_page_p99_ms"] != 9 || r.Ratios["product_page_p99_saturated_ms"] != 40 || r.Ratios["orders_per_second"] != 18 {
		t.Errorf("%v", r.Ratios)
	}
	if _, has := r.Goals["product_page_p99_saturated_ms"]; has || *r.Goals["product_page_p99_ms"].Max != 20 {
		t.Errorf("%v", r.Goals)
	}
}
