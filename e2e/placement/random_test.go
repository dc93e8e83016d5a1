package placement

import (
	"fmt"
	"testing"
	"time"

	"pgregory.net/rapid"

	checkoutv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/checkout/v1"
	"github.com/cellar-commerce/cellar/internal/sqldb/sqldbtest"
)

// errors that may befall a cell at a point, and how often: most of the time none does.
var befall = []error{errFault, errAway, errDead}

// plot of one run: what goes wrong at the points that a cell passes, by number.
type plot map[int]error

func drawPlot(t *rapid.T, label string) plot {
	return rapid.MapOfN(rapid.IntRange(0, 60), rapid.SampledFrom(befall), 0, 4).Draw(t, label)
}

func (p plot) at(n int, _ string) error { return p[n] }

// errand of one shopper.
type errand struct {
	shopper
	req  *checkoutv1.PlaceOrderRequest
	want map[string]int64
}

// shelf with a product.
type shelf struct {
	sku   string
	units int64
}

// drawErrand fills a cart from the shelves and gets a quote. More than there is would be refused there: the shoppers take it from
// each other.
func drawErrand(t *rapid.T, c *cell, shelves []shelf, label string) errand {
	e := errand{shopper: c.shopper(), want: map[string]int64{}}
	for _, i := range rapid.SliceOfNDistinct(rapid.IntRange(0, len(shelves)-1), 1, len(shelves), rapid.ID).Draw(t, label+" buys") {
		on := shelves[i]
		e.want[on.sku] = rapid.Int64Range(1, min(4, on.units)).Draw(t, label+" units")
		e.add(t, on.sku, e.want[on.sku])
	}
	card := rapid.SampledFrom([]string{goodCard, goodCard, "tok_declined", "tok_error_after_success", "tok_unavailable_once"}).Draw(t, label+" pays by")
	e.req = payBy(e.quote(t), card)
	return e
}

// emptied expects in the cart what it had, unless that was bought.
func (e errand) emptied(t reporter, at *cell) {
	t.Helper()
	state, order := e.at(at).checkoutState(t, "key-1")
	left := map[string]int64{}
	for _, s := range sqldbtest.Texts(t, e.customers, "SELECT sku || ' ' || quantity FROM cart_lines WHERE region = 'us-east-1' AND customer_id = $1", string(e.id)) {
		var sku string
		var n int64
		if _, err := fmt.Sscan(s, &sku, &n); err != nil {
			t.Fatal(err)
		}
		left[sku] = n
	}
	for sku, n := range e.want {
		want := n
		if state == "PLACED" {
			want = 0
		}
		if left[sku] != want {
			t.Errorf("%s of %s: the cart has %d of %s, want %d", state, order, left[sku], sku, want)
		}
	}
}

func TestWhateverGoesWrongForSeveralShoppersAtOnceTheBooksAgree(t *testing.T) {
	w := newWorld(t)
	rapid.Check(t, func(t *rapid.T) {
		broken, whole := w.start(t, "use1-a"), w.start(t, "use1-b")
		defer broken.stop()
		defer whole.stop()
		shelves := make([]shelf, 2)
		for i := range shelves {
			stock := rapid.MapOfN(rapid.SampledFrom([]string{"ewr1", "iad1", "sea1", "fra1"}), rapid.Int64Range(1, 4), 1, 3).Draw(t, "stock")
			shelves[i].sku = w.stocked(t, stock)
			for _, n := range stock {
				shelves[i].units += n
			}
		}
		errands := make([]errand, rapid.IntRange(1, 3).Draw(t, "shoppers"))
		for i := range errands {
			errands[i] = drawErrand(t, broken, shelves, fmt.Sprint("shopper ", i))
		}
		broken.faults.arm(drawPlot(t, "faults").at)
		whole.faults.arm(drawPlot(t, "faults of the other").at)
		atOnce(len(errands), func(i int) { _, _ = errands[i].place("key-1", errands[i].req) }) // whatever is answered
		broken.checkout.Drain()
		w.clock.Advance(time.Duration(rapid.SampledFrom([]int{0, 1, 20}).Draw(t, "minutes")) * time.Minute)
		if _, err := whole.checkout.Sweep(t.Context()); err != nil {
			t.Fatal(err)
		}
		recovered := w.start(t, "use1-c")
		defer recovered.stop()
		recovered.settle(t)
		for _, e := range errands {
			e.emptied(t, recovered)
		}
		w.consistent(t)
	})
}
