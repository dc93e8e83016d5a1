package order

import (
	"fmt"
	"slices"
	"strconv"

	orderv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/order/v1"
)

// scan marks how far one FC's parcel has come. A way is told from its beginning, and no further than its end.
func (p *projection) scan(d *orderv1.Scanned) error {
	parcel := p.parcelOf(d.GetFcId())
	switch {
	case parcel == nil || !hasLeft(parcel.GetState()):
		return fmt.Errorf("%s has sent nothing that could be scanned", d.GetFcId())
	case parcel.GetShipmentId() != d.GetShipmentId():
		return fmt.Errorf("%s has sent %s, not %s", d.GetFcId(), parcel.GetShipmentId(), d.GetShipmentId())
	case int(d.GetScan().GetSeq()) != len(parcel.GetScans())+1 || wayEnded(parcel.GetWay()):
		return fmt.Errorf("scan %d of %s follows %d, %v", d.GetScan().GetSeq(), d.GetShipmentId(), len(parcel.GetScans()), parcel.GetWay())
	}
	parcel.Scans = append(parcel.Scans, d.GetScan())
	parcel.Way = d.GetScan().GetState()
	return nil
}

// scanned are the facts that scans of a parcel make, which knows some of them: those that follow, up to the end of the way.
func scanned(fc, shipment string, scans []*orderv1.Scan, knows int, way orderv1.WayState) (facts []fact) {
	for _, scan := range scans {
		if wayEnded(way) {
			break
		}
		if int(scan.GetSeq()) != knows+1 {
			continue
		}
		knows, way = knows+1, scan.GetState()
		facts = append(facts, fact{kindScanned, causeScan + shipment + "/" + strconv.Itoa(knows), &orderv1.Scanned{FcId: fc, ShipmentId: shipment, Scan: scan}})
	}
	return facts
}

// wayEnded tells whether a parcel is scanned no more.
func wayEnded(w orderv1.WayState) bool {
	return w == orderv1.WayState_WAY_STATE_DELIVERED || w == orderv1.WayState_WAY_STATE_SENT_BACK
}

// Ended tells whether nothing more is to come of an order by itself: it was not placed, or none of its parcels is still to
// be sent or delivered, is being taken back by its FC, or was not found and is planned anew. What its customer may ask for afterwards, a return say, is another matter.
func Ended(o *orderv1.Order) bool {
	switch o.GetStatus() {
	case orderv1.Status_STATUS_FAILED, orderv1.Status_STATUS_CANCELED:
		return true
	case orderv1.Status_STATUS_PAID, orderv1.Status_STATUS_SHIPPED:
	default:
		return false
	}
	return !comesBack(o) && !comesShort(o) && !slices.ContainsFunc(o.GetParcels(), func(parcel *orderv1.Parcel) bool {
		return parcel.GetState() != canceled && !wayEnded(parcel.GetWay())
	})
}
