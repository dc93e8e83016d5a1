package placement

import (
	"fmt"
	"testing"

	checkoutv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/checkout/v1"
	"github.com/cellar-commerce/cellar/internal/problem"
)

// halted makes the payments of a cell wait: reached has one for each that does, and goOn lets them all go on.
func halted(c *cell, most int) (reached <-chan struct{}, goOn func()) {
	at, gate := make(chan struct{}, most), make(chan struct{})
	c.faults.meanwhile = func(point string) {
		if point == "before Capture" {
			select {
			case at <- struct{}{}:
				<-gate
			case <-gate:
			}
		}
	}
	return at, func() { close(gate) }
}

// quotes of one cart, as many as are asked for.
func (s shopper) quotes(t reporter, n int) []*checkoutv1.PlaceOrderRequest {
	t.Helper()
	all := make([]*checkoutv1.PlaceOrderRequest, n)
	for i := range all {
		all[i] = payBy(s.quote(t), goodCard)
	}
	return all
}

func TestACustomerHasStockHeldForFiveOrdersAtOnceAtMost(t *testing.T) {
	const tries, live = 12, 5
	w := newWorld(t)
	c := w.cell(t, "use1-a")
	s := c.shopper()
	sku := w.stocked(t, map[string]int64{"ewr1": 99})
	s.add(t, sku, 1)
	requests := s.quotes(t, tries)
	_, goOn := halted(c, live)
	answers := make(chan error, tries)
	for i, req := range requests {
		go func() { _, err := s.place(fmt.Sprint("key-", i), req); answers <- err }()
	}
	for range tries - live {
		refused(t, <-answers, problem.Exhausted, "TOO_MANY_PLACEMENTS")
	}
	goOn()
	for range live {
		must(t, <-answers)
	}
	s.mustPlace(t, "key-last", payBy(s.quoteOf(t, sku, 1), goodCard))
	w.consistent(t)
}

func TestOrdersThatADeadCellLeftCountToo(t *testing.T) {
	const live = 5
	w := newWorld(t)
	dead, next := w.cell(t, "use1-a"), w.cell(t, "use1-b")
	s := dead.shopper()
	s.add(t, w.stocked(t, map[string]int64{"ewr1": 99}), 1)
	requests := s.quotes(t, live+1)
	reached, goOn := halted(dead, live)
	answers := make(chan error, live)
	for i, req := range requests[:live] {
		go func() { _, err := s.place(fmt.Sprint("key-", i), req); answers <- err }()
	}
	for range live {
		<-reached
	}
	_, err := s.at(next).place("key-last", requests[live])
	refused(t, err, problem.Exhausted, "TOO_MANY_PLACEMENTS")
	goOn()
	for range live {
		must(t, <-answers)
	}
	_, err = s.at(next).place("key-last", requests[live])
	must(t, err)
	w.consistent(t)
}
