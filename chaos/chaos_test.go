package chaos

import (
	"errors"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	orderv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/order/v1"
	"github.com/cellar-commerce/cellar/internal/problem"
	"github.com/cellar-commerce/cellar/internal/shop"
)

// sent is an order as it should be: two parcels, one of them scanned twice.
func sent() *orderv1.Order {
	scan := func(n int32) *orderv1.Scan { return &orderv1.Scan{Seq: n} }
	return &orderv1.Order{
		OrderId: "use1-TEST",
		Parcels: []*orderv1.Parcel{{FcId: "iad1", Scans: []*orderv1.Scan{scan(1), scan(2)}}, {FcId: "sea1"}},
		Events: []*orderv1.Event{
			{Seq: 1, Kind: "placed"}, {Seq: 2, Kind: "paid"}, {Seq: 3, Kind: "shipped", FcId: "iad1"}, {Seq: 4, Kind: "scanned", FcId: "iad1", Scan: scan(1)},
			{Seq: 5, Kind: "shipped", FcId: "sea1"}, {Seq: 6, Kind: "scanned", FcId: "iad1", Scan: scan(2)},
		},
	}
}

func TestAnOrdersFaultsAreFound(t *testing.T) {
	if faults := OrderFaults(sent()); len(faults) > 0 {
		t.Errorf("of an order that is as it should be: %v", faults)
	}
	for what, c := range map[string]struct {
		spoil func(*orderv1.Order)
		says  string
	}{
		"a gap":            {func(o *orderv1.Order) { o.Events[4].Seq, o.Events[5].Seq = 6, 7 }, "event 5 has the number 6"},
		"out of order":     {func(o *orderv1.Order) { o.Events[1], o.Events[2] = o.Events[2], o.Events[1] }, "event 2 has the number 3"},
		"sent twice":       {func(o *orderv1.Order) { o.Events[4].FcId = "iad1" }, `"shipped" for the 2. time`},
		"a scan twice":     {func(o *orderv1.Order) { o.Events[5].Scan.Seq = 1 }, "scan 2 of centre iad1 has the number 1"},
		"a scan not shown": {func(o *orderv1.Order) { o.Parcels[0].Scans = o.Parcels[0].Scans[:1] }, "2 scans happened"},
		"a scan too much":  {func(o *orderv1.Order) { o.Parcels[1].Scans = []*orderv1.Scan{{Seq: 1}} }, "and it shows 1"},
		"no events":        {func(o *orderv1.Order) { o.Events = nil }, "first event"},
	} {
		o := sent()
		c.spoil(o)
		if faults := strings.Join(OrderFaults(o), "\n"); !strings.Contains(faults, c.says) {
			t.Errorf("%s: %q does not say %q", what, faults, c.says)
		}
	}
}

func TestACallBelongsToThePhaseInWhichItBegan(t *testing.T) {
	y := newTally()
	y.call(shop.Call{Name: "Search", Began: time.Now()}) // before all of them
	y.enter(Before)
	began := time.Now()
	y.enter(During)
	y.call(shop.Call{Name: "Quote", Began: began})
	y.call(shop.Call{Name: "PlaceOrder", Began: time.Now(), Took: time.Second})
	y.call(shop.Call{Name: "PlaceOrder", Began: time.Now(), Took: tooLong + 1})
	y.call(shop.Call{Name: "PlaceOrder", Began: time.Now(), Err: problem.New(problem.Precondition, "OUT_OF_STOCK", "sold out")})
	y.call(shop.Call{Name: "Search", Began: time.Now(), Err: errors.New("no answer")})
	y.placed(shop.Placement{OrderID: "a", At: time.Now()})
	y.enter("")
	all := y.phases()
	if len(all) != 2 {
		t.Fatalf("phases %+v", all)
	}
	if b := all[0]; b.Calls != 1 || b.Checkouts != 1 || b.SuccessRate != 1 {
		t.Errorf("before: %+v", b)
	}
	if d := all[1]; d.Calls != 4 || d.Failed != 2 || d.Checkouts != 3 || d.FailedCheckouts != 1 || d.Placed != 1 || d.P99MS < 1000 {
		t.Errorf("during: %+v", d)
	}
}

func TestParcelsOfTheRegionThatLeftOnceTheBrokerWasBackHaveWaited(t *testing.T) {
	at := func(s int) time.Time { return time.Unix(int64(s), 0) }
	r := Report{Region: "us-east-1", Phases: []Phase{{Name: Before}, {Name: During}, {Name: After}}}
	look := func(phase, region string, placed, shipped int) {
		o := sent()
		o.PlacedAt = timestamppb.New(at(placed))
		o.Parcels[0].Region, o.Parcels[0].ShippedAt = region, timestamppb.New(at(shipped))
		r.looked(phase, o, nil, at(10), at(20))
	}
	look(Before, "us-east-1", 5, 6)
	look(Before, "us-east-1", 9, 21)
	look(During, "us-east-1", 12, 23)
	look(During, "us-west-2", 12, 23)
	look(After, "us-east-1", 21, 22)
	if b, d, a := r.Phases[0], r.Phases[1], r.Phases[2]; b.Waited != 1 || d.Waited != 1 || a.Waited != 0 || d.Parcels != 4 || d.There != 1 {
		t.Errorf("%+v", r.Phases)
	}
	if b, d := r.Phases[0], r.Phases[1]; b.Looked != 2 || b.OrdersThere != 2 || d.Looked != 2 || d.OrdersThere != 1 || r.LastThereSeconds != 2 {
		t.Errorf("orders of the region: %+v, the last after %v s", r.Phases, r.LastThereSeconds)
	}
	if r.judge(); r.PlannedAround != 0.5 {
		t.Errorf("planned around: %v", r.PlannedAround)
	}
	if r.LongestWaitSeconds != 12 || len(r.Broken) > 0 {
		t.Errorf("longest wait %v, broken %v", r.LongestWaitSeconds, r.Broken)
	}
}

func TestAReportHoldsOnlyWhenAllOfItDoes(t *testing.T) {
	well := func() Report {
		return Report{Drained: true, Phases: []Phase{{Name: During, Checkouts: 10_000, Placed: 4000}}}
	}
	good := well()
	if good.judge(); !good.Holds || good.SuccessRate != 1 {
		t.Errorf("all is well: %v", good.Why)
	}
	for what, spoil := range map[string]func(*Report){
		"below the SLO":   func(r *Report) { r.Phases[0].FailedCheckouts = 2 },
		"nobody has sold": func(r *Report) { r.Phases[0].Placed = 0 },
		"not drained":     func(r *Report) { r.Drained = false },
		"not sent":        func(r *Report) { r.Unsent = 1 },
		"no outcome":      func(r *Report) { r.Unresolved = 1 },
		"a promise":       func(r *Report) { r.Broken = []string{"oversold"} },
	} {
		r := well()
		spoil(&r)
		if r.judge(); r.Holds || len(r.Why) != 1 {
			t.Errorf("%s: holds %v, %v", what, r.Holds, r.Why)
		}
	}
}

func TestTheBacklogIsSummedByDestination(t *testing.T) {
	b := Backlog{}
	b.Add("us-east-1", 3, time.Unix(9, 0))
	b.Add("us-east-1", 2, time.Unix(5, 0))
	b.Add("us-west-2", 4, time.Unix(1, 0))
	if w := b.For("us-east-1"); w.Events != 5 || w.Oldest.Unix() != 5 {
		t.Errorf("for the region: %+v", w)
	}
	if w := b.Except("us-east-1"); w.Events != 4 {
		t.Errorf("for others: %+v", w)
	}
}
