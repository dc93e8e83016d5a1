package cellctl

import (
	"strings"
	"testing"

	"google.golang.org/protobuf/types/known/timestamppb"

	fulfillmentv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/fulfillment/v1"
	orderv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/order/v1"
)

func TestFoundUnitsAreRead(t *testing.T) {
	if l, err := parseFound("3=0"); err != nil || l.GetLine() != 3 || l.GetFound() != 0 {
		t.Errorf("got %v, %v", l, err)
	}
	for _, wrong := range []string{"", "3", "=1", "3=", "x=1", "3=x", "3=1=2"} {
		if l, err := parseFound(wrong); err == nil {
			t.Errorf("%q is read as %v", wrong, l)
		}
	}
}

func TestWhatIsMissingAndWhatIsStillToBePickedIsShown(t *testing.T) {
	var out strings.Builder
	pick := &orderv1.ShortPick{FcId: "iad1", Lines: []*orderv1.ParcelLine{{Line: 2, Sku: "port", Quantity: 3}}}
	if err := shortLines(&out, &fulfillmentv1.ReportShortPickResponse{ShortPick: pick}); err != nil {
		t.Fatal(err)
	}
	if err := shortLines(&out, &fulfillmentv1.ReportShortPickResponse{}); err != nil {
		t.Fatal(err)
	}
	at := &timestamppb.Timestamp{Seconds: 1_900_000_000}
	if err := waveTable(&out, []*fulfillmentv1.Wave{{FcId: "iad1", ShipBy: at, PickedFrom: at, Requested: 41, Short: 2, Packed: 7}}); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"3 of port, line 2, leave the books of iad1", "nothing is missing", "TO PICK", "41", "2030-03-17 17:46:40"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("shows %q, without %q", out.String(), want)
		}
	}
}
