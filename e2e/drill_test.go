//go:build e2e

package e2e

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cellar-commerce/cellar/chaos"
	"github.com/cellar-commerce/cellar/internal/shop"
)

func TestABrokerThatHangsFailsNoCheckoutAndIsDeliveredAllThatWaited(t *testing.T) {
	var r chaos.Report
	exit := cellctlJSON(t, &r, "drill", "broker", "--region", "us-east-1", "--for", "10s", "--shoppers", "4")
	if exit != 0 || !r.Holds || len(r.Broken) > 0 {
		t.Errorf("exit %d: %v\n%s\n%s", exit, r.Why, strings.Join(r.Broken, "\n"), strings.Join(r.Notes, "\n"))
	}
	if r.Backlog.Events == 0 || !r.Drained {
		t.Errorf("%d events waited, delivered %v: was the broker away?", r.Backlog.Events, r.Drained)
	}
	if len(r.Phases) != 3 {
		t.Fatalf("phases %+v", r.Phases)
	}
	for _, p := range r.Phases {
		if p.FailedCheckouts > 0 || p.Placed == 0 {
			t.Errorf("%s: %d orders, %d of %d checkouts failed", p.Name, p.Placed, p.FailedCheckouts, p.Checkouts)
		}
	}
	if r.Phases[1].Waited == 0 {
		t.Errorf("no parcel waited: %+v", r.Phases[1])
	}
}

// reachable tells whether a process runs and is not stopped: one that is stopped is still connected to.
func reachable(t *testing.T, name string) bool {
	t.Helper()
	s := status(t, name)
	if !s.Running {
		return false
	}
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", s.PID))
	if err != nil {
		t.Fatal(err)
	}
	_, after, _ := strings.Cut(string(b), ") ")
	return !strings.HasPrefix(after, "T")
}

func TestADrillThatIsInterruptedGivesTheBrokerBack(t *testing.T) {
	for _, how := range []string{chaos.Hang, chaos.Kill} {
		ctx, interrupt := context.WithCancel(t.Context())
		away := false
		_, err := chaos.Broker(ctx, chaos.BrokerConfig{
			Dir: running.Info().Dir, Region: "us-west-2", How: how, For: time.Second, Shoppers: 1, Seed: 2,
			Lag: func(ctx context.Context) (chaos.Backlog, error) { // asked first while the broker is away
				away = !reachable(t, "broker-us-west-2")
				interrupt()
				return nil, ctx.Err()
			},
		})
		if !errors.Is(err, context.Canceled) || !away {
			t.Errorf("%s: it was away: %v; the drill ends with %v", how, away, err)
		}
		if !reachable(t, "broker-us-west-2") {
			t.Errorf("%s: it is not given back", how)
		}
		interrupt()
	}
}

// orderers place orders until they are stopped, and remember each.
type orderers struct {
	t     *testing.T
	stop  chan struct{}
	done  chan shop.Report
	count atomic.Int64

	mu     sync.Mutex
	placed []shop.Placement
}

func startOrderers(t *testing.T) *orderers {
	t.Helper()
	o := &orderers{t: t}
	o.stop, o.done = startShop(t, shop.Config{Shoppers: 3, Seed: 9, Placed: func(p shop.Placement) {
		o.mu.Lock()
		defer o.mu.Unlock()
		o.placed = append(o.placed, p)
		o.count.Add(1)
	}})
	return o
}

// progress of so many orders more.
func (o *orderers) progress(orders int64) {
	o.t.Helper()
	until := o.count.Load() + orders
	eventually(o.t, "orders are placed", func() bool { return o.count.Load() >= until })
}

// end of it: what all have ordered.
func (o *orderers) end() []shop.Placement {
	o.t.Helper()
	close(o.stop)
	if report := <-o.done; !report.Clean() {
		o.t.Errorf("outcomes %v, faults %v", report.Outcomes, report.Faults)
	}
	return o.placed
}

// onTheWay tells whether the carrier has seen a parcel of an order.
func onTheWay(t *testing.T, p shop.Placement) bool {
	t.Helper()
	c := &client{t: t, router: p.Router, token: p.Token}
	for _, parcel := range c.order(p.OrderID).GetParcels() {
		if len(parcel.GetScans()) > 0 {
			return true
		}
	}
	return false
}

func TestAnEvacuationAmongEventsOnTheirWayLosesAndRepeatsNone(t *testing.T) {
	settled(t, "use1-a")
	o := startOrderers(t)
	o.progress(6)
	o.mu.Lock()
	early := o.placed[:6:6]
	o.mu.Unlock()
	eventually(t, "a parcel is on its way", func() bool {
		for _, p := range early {
			if onTheWay(t, p) {
				return true
			}
		}
		return false
	})
	if m := operate(t, "evacuate", "use1-a"); m.SlotsMoved == 0 {
		t.Error("nothing has moved")
	}
	o.progress(6)
	operate(t, "undo", "use1-a")
	o.progress(5)
	all := o.end()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	scans := 0
	for _, p := range all {
		order, err := chaos.AwaitShipped(ctx, browser, p)
		if err != nil {
			t.Fatal(err)
		}
		for _, fault := range chaos.OrderFaults(order) {
			t.Error(fault)
		}
		for _, e := range order.GetEvents() {
			if e.GetKind() == "scanned" {
				scans++
			}
		}
	}
	if scans == 0 {
		t.Errorf("of %d orders no parcel was seen on its way", len(all))
	}
	if err := finalAudit(); err != nil {
		t.Error(err)
	}
}
