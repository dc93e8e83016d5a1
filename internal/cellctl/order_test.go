package cellctl

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/timestamppb"

	orderv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/order/v1"
)

// showing plays a cell that shows an order of n events and then dies, or ends with it.
func showing(n int64, ended bool) orderSource {
	return func(_ context.Context, after int64, show func(*orderv1.Order, bool) error) error {
		o := &orderv1.Order{}
		for seq := after + 1; seq <= n; seq++ {
			o.Events = append(o.Events, &orderv1.Event{Seq: seq, Kind: "scanned"})
		}
		if err := show(o, ended); err != nil || ended {
			return err
		}
		return connect.NewError(connect.CodeUnavailable, errors.New("the connection is gone"))
	}
}

func TestAWatchThatBreaksOffGoesOnBehindTheLastEvent(t *testing.T) {
	dead := func(context.Context, int64, func(*orderv1.Order, bool) error) error {
		return connect.NewError(connect.CodeUnavailable, errors.New("nobody listens"))
	}
	var seqs []int64
	err := watchOrder(t.Context(), []orderSource{showing(2, false), dead, showing(2, false), showing(5, true)}, func(o *orderv1.Order, ended bool) (bool, error) {
		for _, e := range o.GetEvents() {
			seqs = append(seqs, e.GetSeq())
		}
		return ended, nil
	})
	if err != nil || !slices.Equal(seqs, []int64{1, 2, 3, 4, 5}) {
		t.Errorf("events %v, %v", seqs, err)
	}
}

func TestAnOrderThatIsNotIsAskedForOnce(t *testing.T) {
	asked := 0
	none := func(context.Context, int64, func(*orderv1.Order, bool) error) error {
		asked++
		return connect.NewError(connect.CodeNotFound, errors.New("there is no such order"))
	}
	err := watchOrder(t.Context(), []orderSource{none, none}, func(*orderv1.Order, bool) (bool, error) { return false, nil })
	if err == nil || asked != 1 {
		t.Errorf("asked %d times, %v", asked, err)
	}
}

func TestAnOrderIsShownByItsParcels(t *testing.T) {
	at := &timestamppb.Timestamp{Seconds: 1_900_000_000}
	scan := &orderv1.Scan{Seq: 1, State: orderv1.WayState_WAY_STATE_OUT_FOR_DELIVERY, At: at, Place: "Boston"}
	o := &orderv1.Order{OrderId: "use1-X", Status: orderv1.Status_STATUS_SHIPPED,
		Parcels: []*orderv1.Parcel{{FcId: "iad1", Region: "us-east-1", State: orderv1.ParcelState_PARCEL_STATE_SHIPPED, Carrier: "Parcel Post", TrackingNumber: "CC1", ShippedAt: at,
			Way: scan.GetState(), Scans: []*orderv1.Scan{scan}}},
		Events: []*orderv1.Event{{Seq: 3, Kind: "cancel_requested", At: at}, {Seq: 4, Kind: "scanned", At: at, FcId: "iad1", Scan: scan}}}
	var out strings.Builder
	if err := errors.Join(eventLines(&out, o.GetEvents()), parcelTable(&out, o)); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"  3  2030-03-17 17:46:40  -       cancel requested\n", "iad1    out for delivery, Boston\n", "order use1-X is shipped", "Parcel Post  CC1", "out_for_delivery"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%q is missing in\n%s", want, out.String())
		}
	}
}
