package aftermath

import (
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	orderv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/order/v1"
	"github.com/cellar-commerce/cellar/internal/problem"
)

// purchases of one race.
const purchases = 40

// Requests, packing, shipping, the news of it and the cancellation of each order meet in any order.
func TestCancelMeetsShip(t *testing.T) {
	for name, held := range map[string]bool{"the money is taken at once": false, "the money is taken by shipment": true} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			bought := make([]purchase, purchases)
			for i := range bought {
				bought[i] = w.buy(t, held)
			}
			w.race(t, bought)
			whole, parts, late := 0, 0, 0
			for _, p := range bought {
				switch w.check(t, p, held) {
				case 0:
					whole++
				case 1:
					parts++
				default:
					late++
				}
			}
			t.Logf("of %d orders, %d were canceled, %d in part, %d not", purchases, whole, parts, late)
			w.checkStock(t)
		})
	}
}

func (w *world) race(t *testing.T, bought []purchase) {
	t.Helper()
	ctx := t.Context()
	var wg sync.WaitGroup
	start := make(chan struct{})
	var mu sync.Mutex
	run := func(what func() error) {
		wg.Go(func() {
			<-start
			if err := what(); err != nil {
				mu.Lock()
				defer mu.Unlock()
				t.Error(err)
			}
		})
	}
	for i, p := range bought {
		if i%2 == 0 { // this one is ready to be packed
			must(t, w.request(ctx, p))
		}
	}
	for _, i := range rand.Perm(len(bought)) {
		p := bought[i]
		if i%4 == 0 {
			run(func() error { return w.ship(ctx) })
			run(func() error { return w.tell(ctx) })
		}
		run(func() error { return w.request(ctx, p) })
		run(func() error {
			_, err := w.orders.CancelOrder(p.context(), &orderv1.CancelOrderRequest{OrderId: p.id})
			if problem.Is(err, "TOO_LATE_TO_CANCEL") {
				return nil
			}
			return err
		})
	}
	close(start)
	wg.Wait()
	for range 2 { // what was packed in between, and asked for late
		w.clock.Advance(time.Minute)
		must(t, w.ship(ctx), w.tell(ctx))
	}
	w.orders.Drain()
}

// check one order, and tell how many of its parcels were sent.
func (w *world) check(t *testing.T, p purchase, held bool) (sent int) {
	t.Helper()
	resp, err := w.orders.GetOrder(p.context(), &orderv1.GetOrderRequest{OrderId: p.id})
	must(t, err)
	o := resp.GetOrder()
	units := map[orderv1.ParcelState]int64{}
	for _, parcel := range o.GetParcels() {
		region, fc := parcel.GetRegion(), parcel.GetFcId()
		units[parcel.GetState()] += parcel.GetLines()[0].GetQuantity()
		left := number(t, w.regional, "SELECT count(*) FROM inventory_events WHERE region = $1 AND fc_id = $2 AND kind = 'ship' AND source_id = $3", region, fc, p.id)
		freed := number(t, w.regional, "SELECT count(*) FROM reservations WHERE region = $1 AND fc_id = $2 AND order_id = $3 AND line > 0 AND state = 'RELEASED'", region, fc, p.id)
		told := number(t, w.regional, "SELECT count(*) FROM shipments WHERE region = $1 AND fc_id = $2 AND order_id = $3 AND state = 'SHIPPED'", region, fc, p.id)
		switch parcel.GetState() {
		case orderv1.ParcelState_PARCEL_STATE_SHIPPED:
			sent++
			if left != 1 || freed != 0 || told != 1 {
				t.Errorf("%s has sent a parcel of %s: %d left, %d given back, %d shipments", fc, p.id, left, freed, told)
			}
		case orderv1.ParcelState_PARCEL_STATE_CANCELED:
			if left != 0 || freed != 1 || told != 0 {
				t.Errorf("%s has canceled a parcel of %s: %d left, %d given back, %d shipments", fc, p.id, left, freed, told)
			}
		default:
			t.Errorf("a parcel of %s is neither sent nor canceled: %v", p.id, parcel)
		}
	}
	w.checkMoney(t, o, units[orderv1.ParcelState_PARCEL_STATE_SHIPPED], held)
	return sent
}

// checkMoney: what is kept is the price of what was sent, with its tax, and delivery when anything was. The tax of a unit is
// 83⅓: who takes its share last bears the rest.
func (w *world) checkMoney(t *testing.T, o *orderv1.Order, sent int64, held bool) {
	t.Helper()
	want := int64(0)
	status := orderv1.Status_STATUS_CANCELED
	if sent > 0 {
		status = orderv1.Status_STATUS_SHIPPED
		want = sent*1000 + 250*sent/3 + 500 + 50
		if !held {
			want = sent*1000 + 250 - 250*(3-sent)/3 + 500 + 50
		}
	}
	if kept := w.till.kept(o.GetOrderId()); kept != want || o.GetStatus() != status || o.GetCaptured().GetMinorUnits()-o.GetRefunded().GetMinorUnits() != want {
		t.Errorf("%s has sent %d units: %d are kept and shown as %v less %v, want %d; it is %v", o.GetOrderId(), sent, kept, o.GetCaptured(), o.GetRefunded(), want, o.GetStatus())
	}
}

// checkStock: what is not on the shelf has left, and nothing is set aside for anybody.
func (w *world) checkStock(t *testing.T) {
	t.Helper()
	for i, fc := range []string{"iad1", "sea1"} {
		region := string(regions[i])
		left := number(t, w.regional, "SELECT coalesce(sum(-delta), 0)::int8 FROM inventory_events WHERE region = $1 AND fc_id = $2 AND kind = 'ship'", region, fc)
		available := number(t, w.regional, "SELECT available FROM inventory WHERE region = $1 AND fc_id = $2 AND sku = 'ale'", region, fc)
		reserved := number(t, w.regional, "SELECT reserved FROM inventory WHERE region = $1 AND fc_id = $2 AND sku = 'ale'", region, fc)
		if available+left != opening || reserved != 0 {
			t.Errorf("%s: %d on the shelf, %d left, %d set aside", fc, available, left, reserved)
		}
	}
	if open := number(t, w.customers, "SELECT count(*) FROM sagas WHERE status <> 'DONE'"); open != 0 {
		t.Errorf("%d sagas have not ended", open)
	}
}

func TestWhatIsReturnedIsOnTheShelfItCameFrom(t *testing.T) {
	w := newWorld(t)
	p := w.buy(t, false)
	ctx := t.Context()
	must(t, w.request(ctx, p), w.ship(ctx), w.tell(ctx))
	for range 2 {
		resp, err := w.orders.ReturnItems(p.context(), &orderv1.ReturnItemsRequest{OrderId: p.id, ReturnId: "r1", Lines: []*orderv1.ReturnLine{{Line: 1, Quantity: 3}}})
		must(t, err)
		if got := resp.GetReturn(); got.GetRefund().GetMinorUnits() != 3250 || len(got.GetLines()) != 2 {
			t.Errorf("got %v", got)
		}
	}
	for i, fc := range []string{"iad1", "sea1"} {
		if n := number(t, w.regional, "SELECT available FROM inventory WHERE region = $1 AND fc_id = $2 AND sku = 'ale'", string(regions[i]), fc); n != opening {
			t.Errorf("%s has %d units", fc, n)
		}
	}
	if kept := w.till.kept(p.id); kept != 550 {
		t.Errorf("%d are kept", kept)
	}
}
