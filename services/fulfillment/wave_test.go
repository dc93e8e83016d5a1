package fulfillment

import (
	"fmt"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"
	"pgregory.net/rapid"

	fulfillmentv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/fulfillment/v1"
	orderv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/order/v1"
	"github.com/cellar-commerce/cellar/internal/geo"
	"github.com/cellar-commerce/cellar/internal/ident"
	"github.com/cellar-commerce/cellar/internal/problem"
)

// newDaily is a world whose carrier collects once a day. At Ashburn it is 07:00.
func newDaily(t *testing.T) world {
	t.Helper()
	w := newWorld(t, nil)
	w.deps.CollectEvery = 0
	return w
}

// at a time it is then.
func (w world) at(when time.Time) { w.clock.Advance(when.Sub(w.clock.Now())) }

// promised is a request that comes now, by what was said at a time.
func (w world) promised(t *testing.T, fc string, at time.Time) ident.OrderID {
	t.Helper()
	order := ident.NewOrder("usw2")
	req := request(order, fc)
	req.PaidAt, req.PromisedAt = timestamppb.New(w.clock.Now()), timestamppb.New(at)
	payload, err := proto.Marshal(req)
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Requested(t.Context(), Request{MessageID: string(order) + fc, Payload: payload}); err != nil {
		t.Fatal(err)
	}
	return order
}

// Wherever an FC is, whatever was promised and however late it is asked: the wave is the one that was promised, a later promise
// is never in an earlier one, and whoever is asked in time picks before the collection.
func TestAPromiseIsKeptByItsWave(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		fc := Center{ID: "fc", At: geo.Point{Lat: 40, Lon: rapid.Float64Range(-180, 180).Draw(t, "longitude")}}
		minutes := func(name string, most int) time.Duration {
			return time.Duration(rapid.IntRange(0, most).Draw(t, name)) * time.Minute
		}
		said := opened.Add(minutes("promised", 3*24*60))
		asked := said.Add(minutes("asked", 36*60))
		s := &Service{deps: Deps{HandlingTime: minutes("handling", 120)}}
		req := &orderv1.FulfillmentRequested{PaidAt: timestamppb.New(asked), PromisedAt: timestamppb.New(said)}
		leaves, picked := s.waveOf(fc, req, asked)
		if leg := LegOf(fc.At, fc.At, Standard, said); !leaves.Equal(leg.ShipBy) {
			t.Fatalf("promised for %v, and in the wave of %v", leg.ShipBy, leaves)
		}
		ready := asked.Add(s.deps.HandlingTime)
		if picked.Before(ready) || (!ready.After(leaves) && picked.After(leaves)) {
			t.Fatalf("ready at %v, picked at %v, collected at %v", ready, picked, leaves)
		}
		if picked.After(ready) && !picked.Equal(leaves.Add(-pickingTime)) {
			t.Fatalf("ready at %v, it waits until %v for %v", ready, picked, leaves)
		}
		req.PromisedAt = timestamppb.New(said.Add(minutes("later", 48*60)))
		if later, _ := s.waveOf(fc, req, asked); later.Before(leaves) {
			t.Fatalf("a later promise leaves at %v, before %v", later, leaves)
		}
	})
}

func TestAWaveIsPickedFromItsCutOffOnAndLeavesWithItsCollection(t *testing.T) {
	w := newDaily(t)
	early, cutOff := w.promised(t, "iad1", opened), time.Date(2031, time.May, 4, 19, 0, 0, 0, time.UTC)
	w.at(cutOff.Add(-time.Microsecond))
	w.shipDue(t, 0)
	w.at(cutOff.Add(10 * time.Minute))
	w.shipDue(t, 1)
	slow := w.promised(t, "iad1", cutOff.Add(-time.Minute)) // quoted before the cut-off and paid after it: its wave is being picked
	late := w.promised(t, "iad1", cutOff)
	w.shipDue(t, 0)
	w.clock.Advance(handling)
	w.shipDue(t, 1)
	collected := cutOff.Add(pickingTime)
	for _, order := range []ident.OrderID{early, slow} {
		sh := w.shipments(t, order)[0]
		if !sh.GetShipBy().AsTime().Equal(collected) || sh.GetShippedAt().AsTime().After(collected) {
			t.Errorf("%v should leave with the collection of %v", sh, collected)
		}
	}
	w.at(cutOff.Add(day - time.Microsecond))
	w.shipDue(t, 0)
	w.at(cutOff.Add(day))
	w.shipDue(t, 1)
	if sh := w.shipments(t, late)[0]; !sh.GetShipBy().AsTime().Equal(collected.Add(day)) {
		t.Errorf("what came after the cut-off leaves %v", sh.GetShipBy().AsTime())
	}
}

func TestWhatLeavesNextIsPackedFirstOneCentreAfterTheOther(t *testing.T) {
	w := newDaily(t)
	const each = 3
	for _, said := range []time.Time{opened.Add(day), opened} { // what leaves first is asked for last
		for _, fc := range []string{"iad1", "ewr1"} {
			for range each {
				w.promised(t, fc, said)
			}
			w.clock.Advance(time.Minute)
		}
		w.clock.Advance(2 * day)
	}
	for _, want := range []string{"ewr1 2031-05-05", "iad1 2031-05-05", "ewr1 2031-05-06", "iad1 2031-05-06"} {
		batch, err := w.pack(t.Context(), w.clock.Now(), shipRetry, each)
		if err != nil || len(batch) != each {
			t.Fatalf("packed %v, %v", batch, err)
		}
		for _, sh := range batch {
			leaves, _ := w.waveOf(w.centers[sh.fc], sh.request, opened)
			if got := fmt.Sprint(sh.fc, " ", leaves.Format(time.DateOnly)); got != want {
				t.Errorf("packed one of %s, when that of %s is next", got, want)
			}
		}
	}
}

func TestOpenWavesAreListedTheNextCollectionFirst(t *testing.T) {
	w := newDaily(t)
	tomorrow, today := w.promised(t, "iad1", opened.Add(day)), w.promised(t, "iad1", opened)
	w.promised(t, "ewr1", opened)
	w.promised(t, "iad1", opened)
	w.short(t, today, 0)
	resp, err := w.ListWaves(t.Context(), &fulfillmentv1.ListWavesRequest{})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, wave := range resp.GetWaves() {
		got = append(got, fmt.Sprint(wave.GetFcId(), " ", wave.GetShipBy().AsTime().Format(time.DateTime), " ", wave.GetRequested(), wave.GetShort(), wave.GetPacked()))
	}
	if want := "[ewr1 2031-05-05 01:00:00 1 0 0 iad1 2031-05-05 01:00:00 1 1 0 iad1 2031-05-06 01:00:00 1 0 0]"; fmt.Sprint(got) != want {
		t.Errorf("listed %v, want %s", got, want)
	}
	w.cancel(t, tomorrow, "iad1", stateCanceled)
	if resp, err = w.ListWaves(t.Context(), &fulfillmentv1.ListWavesRequest{FcId: "iad1", Limit: 10}); err != nil || len(resp.GetWaves()) != 1 {
		t.Errorf("listed %v, %v", resp, err)
	}
	_, err = w.ListWaves(t.Context(), &fulfillmentv1.ListWavesRequest{Limit: -1})
	refused(t, err, problem.Invalid, "INVALID_FIELDS")
}

func TestWhereDaysAreShortTheCarrierCollectsOften(t *testing.T) {
	s := &Service{deps: Deps{CollectEvery: 5 * time.Second, HandlingTime: time.Second}}
	for asked, want := range map[time.Duration]time.Duration{0: 5 * time.Second, 4 * time.Second: 5 * time.Second, 4*time.Second + 1: 10 * time.Second} {
		if leaves, picked := s.waveOf(Center{}, &orderv1.FulfillmentRequested{}, opened.Add(asked)); !leaves.Equal(opened.Add(want)) || !picked.Equal(leaves) {
			t.Errorf("asked after %v, it is picked at %v and leaves at %v", asked, picked, leaves)
		}
	}
}
