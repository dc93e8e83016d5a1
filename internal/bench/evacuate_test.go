package bench

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"

	"github.com/cellar-commerce/cellar/internal/ident"
	"github.com/cellar-commerce/cellar/internal/problem"
	"github.com/cellar-commerce/cellar/internal/shop"
)

func newEvacuateBench() (b *evacuateBench, ours, theirs ident.CustomerID) {
	ours, theirs = ident.NewGuest("use1"), ident.NewGuest("usw2")
	b = &evacuateBench{report: Report{Ratios: map[string]float64{}, Goals: map[string]Goal{}}, tally: newTally(func(id ident.CustomerID) bool { return id == ours })}
	return b, ours, theirs
}

func TestACheckoutFailsByWhatTheShopperIsTold(t *testing.T) {
	for _, c := range []struct {
		call   shop.Call
		failed float64
	}{
		{shop.Call{Name: "PlaceOrder"}, 0},
		{shop.Call{Name: "PlaceOrder", Err: problem.ToConnect(problem.New(problem.Precondition, "OUT_OF_STOCK", "x"))}, 0},
		{shop.Call{Name: "PlaceOrder", Err: problem.ToConnect(problem.New(problem.Aborted, "CHECKOUT_IN_PROGRESS", "x"))}, 0},
		{shop.Call{Name: "PlaceOrder", Err: connect.NewError(connect.CodeUnavailable, errors.New("x"))}, 1},
		{shop.Call{Name: "Quote", Err: connect.NewError(connect.CodeInternal, errors.New("x"))}, 1},
		{shop.Call{Name: "PlaceOrder", Err: errors.New("connection reset")}, 1},
		{shop.Call{Name: "PlaceOrder", Took: tooLong + time.Second}, 1},
		{shop.Call{Name: "Search", Err: errors.New("connection reset")}, 0},
	} {
		b, ours, _ := newEvacuateBench()
		b.tally.enter(caseHung)
		c.call.Customer = ours
		b.tally.call(c.call)
		b.count(shop.Report{}, time.Second)
		if got := b.report.Ratios["failed_checkouts"]; got != c.failed {
			t.Errorf("%s, %v: %v failed, want %v", c.call.Name, c.call.Err, got, c.failed)
		}
		if got := b.report.Ratios["other_cells_error_ratio"]; got != 0 {
			t.Errorf("%s: it counts for other cells", c.call.Name)
		}
	}
}

func TestWithoutAControlPlaneEveryCallCounts(t *testing.T) {
	b, ours, theirs := newEvacuateBench()
	gone := errors.New("gone")
	b.tally.call(shop.Call{Customer: ours, Name: "GetCart", Err: gone})
	b.tally.enter(caseAlone)
	for _, c := range []shop.Call{{Customer: ours, Name: "GetCart"}, {Customer: theirs, Name: "GetCart"}, {Name: "Search"}, {Name: "Search", Err: gone}} {
		b.tally.call(c)
	}
	b.count(shop.Report{}, time.Second)
	if got := b.report.Ratios["errors_without_control_plane"]; got != .25 {
		t.Errorf("the ratio is %v", got)
	}
}

func TestErrorsOfOtherCellsAreThoseOfTheirCustomers(t *testing.T) {
	b, ours, theirs := newEvacuateBench()
	gone := errors.New("gone")
	for _, c := range []shop.Call{{Customer: theirs, Name: "GetCart"}, {Customer: theirs, Name: "GetCart", Err: gone}, {Customer: ours, Name: "GetCart", Err: gone}, {Name: "Search", Err: gone}} {
		b.tally.call(c)
	}
	b.count(shop.Report{Outcomes: map[string]int{shop.Unresolved: 2}}, time.Second)
	if got := b.report.Ratios["other_cells_error_ratio"]; got != .5 {
		t.Errorf("the ratio is %v", got)
	}
	if got := b.report.Ratios["failed_checkouts"]; got != 2 {
		t.Errorf("%v orders are unresolved", got)
	}
}

func TestAKilledCellsCustomersAreServedByWhatBeganAfterwards(t *testing.T) {
	b, _, _ := newEvacuateBench()
	killed := time.Now()
	for w := range watchers {
		b.tally.wrote(w, killed.Add(-time.Millisecond)) // was answered before, though it is told now
	}
	done := make(chan []time.Duration)
	go func() {
		after, err := b.tally.awaitServed(t.Context(), killed)
		if err != nil {
			t.Error(err)
		}
		done <- after
	}()
	for w := range watchers {
		b.tally.wrote(w, time.Now())
	}
	if after := <-done; len(after) != watchers || after[0] < 0 {
		t.Errorf("served after %v", after)
	}
}

func TestAReportOfEvacuationsHasItsMetricsAndGoals(t *testing.T) {
	b, _, _ := newEvacuateBench()
	b.reported, b.observed, b.recovered = []time.Duration{time.Second / 2}, []time.Duration{3 * time.Second}, []time.Duration{time.Second, 3 * time.Second}
	b.count(shop.Report{}, time.Second)
	b.judge([]string{"an order is lost"})
	for metric, want := range map[string]float64{"flip_seconds_p99": 3, "kill_recovery_seconds": 3, "failed_checkouts": 0, "other_cells_error_ratio": 0, "broken_promises": 1, "late_writes": 0} {
		if got, ok := b.report.Ratios[metric]; !ok || got != want || b.report.Goals[metric].Max == nil {
			t.Errorf("%s is %v of goal %s, want %v", metric, got, b.report.Goals[metric], want)
		}
	}
	var out bytes.Buffer
	if err := b.report.Table(&out); err != nil || strings.Count(out.String(), "missed") != 3 || !strings.Contains(out.String(), "an order is lost") {
		t.Error(out.String(), err)
	}
}
