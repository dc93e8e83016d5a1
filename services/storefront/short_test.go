package storefront

import (
	"testing"

	orderv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/order/v1"
)

func TestWhatWasNotOnTheShelfIsToldAndItsEmptyParcelIsNotShown(t *testing.T) {
	short := &orderv1.ShortPick{FcId: "bos1"}
	o := &orderv1.Order{
		OrderId: "use1-1", Status: orderv1.Status_STATUS_PAID, Lines: []*orderv1.Line{{Line: 1, Sku: "LAMP", Title: "Lamp", Quantity: 1}}, ShortPicks: []*orderv1.ShortPick{short},
		Parcels: []*orderv1.Parcel{{FcId: "bos1", State: orderv1.ParcelState_PARCEL_STATE_CANCELED}}, Events: []*orderv1.Event{{Seq: 1, Kind: "short_picked"}},
	}
	if p := pageOf(o); len(p.Parcels) != 0 || !p.Live || p.Events[0].Text != eventTexts["short_picked"] {
		t.Errorf("shown with %d parcels, drawn anew: %v, by %v", len(p.Parcels), p.Live, p.Events)
	}
	short.Done = true
	o.Parcels = append(o.Parcels, &orderv1.Parcel{FcId: "ewr1", State: orderv1.ParcelState_PARCEL_STATE_SHIPPED, Lines: []*orderv1.ParcelLine{{Line: 1, Quantity: 1}}})
	if p := pageOf(o); len(p.Parcels) != 1 || p.Parcels[0].Number != 1 || p.Live {
		t.Errorf("shown with %v, drawn anew: %v", p.Parcels, p.Live)
	}
}
