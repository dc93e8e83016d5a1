package placement

import (
	"sync"
	"testing"

	checkoutv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/checkout/v1"
	orderv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/order/v1"
	"github.com/cellar-commerce/cellar/internal/problem"
	"github.com/cellar-commerce/cellar/internal/sqldb/sqldbtest"
)

// atOnce runs n functions that wait for each other at the start.
func atOnce(n int, do func(i int)) {
	var wg sync.WaitGroup
	start := make(chan struct{})
	for i := range n {
		wg.Go(func() {
			<-start
			do(i)
		})
	}
	close(start)
	wg.Wait()
}

func TestOneKeySentManyTimesAtOnceIsOneOrder(t *testing.T) {
	w := newWorld(t)
	w.timeFlies(t)
	cells := []*cell{w.cell(t, "use1-a"), w.cell(t, "use1-b")}
	s := cells[0].shopper()
	req := payBy(s.quoteOf(t, w.stocked(t, map[string]int64{"ewr1": 99}), 1), goodCard)
	const twins = 16
	orders, errs := make([]*orderv1.Order, twins), make([]error, twins)
	atOnce(twins, func(i int) { orders[i], errs[i] = s.at(cells[i%len(cells)]).place("key-1", req) })
	placed := s.mustPlace(t, "key-1", req)
	for i := range twins {
		switch {
		case errs[i] == nil && orders[i].GetOrderId() != placed.GetOrderId():
			t.Errorf("one is told of %s, another of %s", orders[i].GetOrderId(), placed.GetOrderId())
		case errs[i] != nil:
			t.Errorf("one is refused: %v", errs[i])
		}
	}
	if n := len(sqldbtest.Texts(t, w.customers, "SELECT order_id FROM orders WHERE region = 'us-east-1'")); n != 1 {
		t.Errorf("there are %d orders", n)
	}
	if n, _ := w.captures(t, placed.GetOrderId()); n != 1 || len(w.ledger(t)) != 1 {
		t.Errorf("%d captures; the network has %v", n, w.ledger(t))
	}
	w.consistent(t)
}

func TestTwoKeysThatRaceForOneQuoteAreOneOrder(t *testing.T) {
	w := newWorld(t)
	c := w.cell(t, "use1-a")
	s := c.shopper()
	req := payBy(s.quoteOf(t, w.stocked(t, map[string]int64{"ewr1": 99}), 1), goodCard)
	keys := []string{"key-1", "key-2"}
	errs := make([]error, len(keys))
	atOnce(len(keys), func(i int) { _, errs[i] = s.place(keys[i], req) })
	if errs[0] != nil {
		errs[0], errs[1] = errs[1], errs[0]
	}
	must(t, errs[0])
	refused(t, errs[1], problem.Precondition, "QUOTE_ALREADY_USED")
	w.consistent(t)
}

func TestTheLastTenUnitsAreSoldToTenOfThirtyTwoShoppers(t *testing.T) {
	w := newWorld(t)
	cells := []*cell{w.cell(t, "use1-a"), w.cell(t, "use1-b")}
	const crowd, units = 32, 10
	sku := w.stocked(t, map[string]int64{"ewr1": 4, "iad1": 3, "sea1": 3})
	all := make([]shopper, crowd)
	quotes := make([]*checkoutv1.QuoteResponse, crowd)
	for i := range all {
		all[i] = cells[i%len(cells)].shopper()
		quotes[i] = all[i].quoteOf(t, sku, 1)
	}
	errs := make([]error, crowd)
	atOnce(crowd, func(i int) { _, errs[i] = all[i].place("key-1", payBy(quotes[i], goodCard)) })
	sold := 0
	for _, err := range errs {
		switch {
		case err == nil:
			sold++
		case !problem.Is(err, "OUT_OF_STOCK"):
			t.Errorf("refused with %v", err)
		}
	}
	if sold != units {
		t.Errorf("%d of %d units are sold", sold, units)
	}
	w.consistent(t)
}
