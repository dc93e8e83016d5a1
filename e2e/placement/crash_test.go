package placement

import (
	"context"
	"sync"
	"time"

	"github.com/cellar-commerce/cellar/internal/problem"
)

// story of one order, told again and again with something else that goes wrong.
type story struct {
	name string
	card string
	// prepare the shelves and a cart. What it gives plays the rest of the world at each point of any cell.
	prepare func(t reporter, s shopper) (meanwhile func(point string))
	// ends as GetCheckout tells it.
	ends string
	// resumed by another cell it may end so as well; empty when not.
	resumed string
}

// fromTwoRegions needs what is there, at both.
func fromTwoRegions(t reporter, s shopper) func(string) {
	t.Helper()
	s.add(t, s.stocked(t, map[string]int64{"ewr1": 2}), 2)
	s.add(t, s.stocked(t, map[string]int64{"sea1": 1}), 1)
	return nil
}

// losing a hold: between the quote, with its plan, and the reservation somebody else takes the unit in Seattle.
func losing(spare map[string]int64) func(t reporter, s shopper) func(string) {
	return func(t reporter, s shopper) func(string) {
		t.Helper()
		stock := map[string]int64{"iad1": 1, "sea1": 1}
		for fc, n := range spare {
			stock[fc] = n
		}
		sku := s.stocked(t, stock)
		s.add(t, sku, 2)
		var once sync.Once
		return func(point string) {
			if point == "before Reserve" {
				once.Do(func() { s.lose(t, "sea1", sku, 1) })
			}
		}
	}
}

// hanging: when the money has been taken the holds have run out, and are swept.
func hanging(t reporter, s shopper) func(string) {
	t.Helper()
	fromTwoRegions(t, s)
	var once sync.Once
	return func(point string) {
		if point == "after Capture" {
			once.Do(func() {
				s.clock.Advance(16 * time.Minute)
				s.sweepHolds(t)
			})
		}
	}
}

// unended: the transaction that would end the placement is refused, because the cart knows of the order already.
func unended(t reporter, s shopper) func(string) {
	t.Helper()
	fromTwoRegions(t, s)
	return func(point string) {
		if point == "before Commit" {
			must(t, s.customers.ExecText(context.Background(), `
INSERT INTO cart_changes (region, customer_id, cause, changed_at, result)
SELECT region, customer_id, 'order/' || saga_id, created_at, '' FROM sagas WHERE customer_id = '`+string(s.id)+`'
ON CONFLICT DO NOTHING`))
		}
	}
}

var stories = []story{
	{"an order from two regions", goodCard, fromTwoRegions, "PLACED", ""},
	{"an order whose card is declined", "tok_declined", fromTwoRegions, "FAILED PAYMENT_DECLINED", ""},
	{"an order that is planned anew", goodCard, losing(map[string]int64{"fra1": 1}), "PLACED", ""},
	{"an order that is sold out after its plan", goodCard, losing(nil), "FAILED OUT_OF_STOCK", ""},
	{"an order whose last steps are done one by one", goodCard, unended, "PLACED", ""},
	{"an order whose holds run out while the money is taken", goodCard, hanging, "FAILED HOLD_EXPIRED", "PLACED"}, // it holds anew what is still there,
}

// telling of a story: what befalls the cell that the shopper asks, how long nobody looks after it then, and what befalls the
// cell that does.
type telling struct {
	at     func(n int, point string) error
	after  time.Duration
	second func(n int, point string) error
}

// soon is after the time that the saga's run has to answer; the holds are still good.
const soon = 20 * time.Second

// recoverWithin is how soon after a cell's death each order has ended, if another sweeps.
const recoverWithin = 30 * time.Second

// tell a story in which a cell meets faults; another sweeps after a while, and the shopper asks there once more. Gives
// how it ended, and the points that each cell passed.
func (st story) tell(t reporter, w *world, how telling) (end string, points, recovery []string) {
	t.Helper()
	first, second := w.start(t, "use1-a"), w.start(t, "use1-b")
	defer first.stop()
	defer second.stop()
	s := first.shopper()
	meanwhile := st.prepare(t, s)
	req := payBy(s.quote(t), st.card)
	first.faults.meanwhile, second.faults.meanwhile = meanwhile, meanwhile
	first.faults.arm(how.at)
	answered, err := s.place("key-1", req)
	first.checkout.Drain()
	points = first.faults.passed()
	first.faults.arm(func(int, string) error { return errDead }) // whatever it meant to do, it does not
	w.clock.Advance(how.after)
	second.faults.arm(how.second)
	second.settle(t, how.after+recoverWithin)
	recovery = second.faults.passed()
	final, finalErr := s.at(second).place("key-1", req)
	end, order := s.at(second).checkoutState(t, "key-1")
	if p := problem.As(finalErr); (finalErr == nil) != (end == "PLACED") || (p != nil && end != "FAILED "+p.Reason) {
		t.Errorf("the order is answered with %v, and GetCheckout tells %s", finalErr, end)
	}
	// What was answered stands; "in progress" and an error of the cell are no answers.
	if err == nil && (finalErr != nil || answered.GetOrderId() != final.GetOrderId()) {
		t.Errorf("it was answered as %s, then as %s, %v", answered.GetOrderId(), order, finalErr)
	}
	if p := problem.As(err); p != nil && p.Kind == problem.Precondition && !problem.Is(finalErr, p.Reason) {
		t.Errorf("it was refused with %v, then %v", err, finalErr)
	}
	return end, points, recovery
}

// once at a point, and never again.
func once(at int, err error) func(int, string) error {
	return func(n int, _ string) error {
		if n == at {
			return err
		}
		return nil
	}
}
