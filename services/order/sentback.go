package order

import (
	"slices"
	"strings"

	orderv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/order/v1"
	"github.com/cellar-commerce/cellar/internal/ident"
)

// returnSentBack begins the ids of returns that carriers make. Customers' have no dot, so none can be taken for another.
const returnSentBack = "sent-back."

// sentBack adds to a decision, when it holds the news that a parcel could not be delivered and is with its FC again, the
// return of what it had: it goes on the shelf, and its lines' share of the money goes back, as if the customer had sent it.
// Delivery is not given back: it was tried. What the customer has said will come back already is in that return.
func (p *projection) sentBack(d *decision, customer ident.CustomerID, parcel *orderv1.Parcel, shipment string) {
	note, back := "", false
	for _, f := range d.facts {
		if scan, ok := f.detail.(*orderv1.Scanned); ok && scan.GetScan().GetState() == orderv1.WayState_WAY_STATE_SENT_BACK {
			note, back = scan.GetScan().GetNote(), true
		}
	}
	if !back {
		return
	}
	r := &orderv1.Return{ReturnId: returnSentBack + shipment}
	for _, l := range parcel.GetLines() {
		if units := l.GetQuantity() - p.returning(parcel.GetFcId(), l.GetLine()); units > 0 {
			r.Lines = append(r.Lines, &orderv1.ReturnedLine{
				FcId: parcel.GetFcId(), Region: parcel.GetRegion(), Line: l.GetLine(), Sku: l.GetSku(), Quantity: units, Reason: note,
			})
		}
	}
	if len(r.GetLines()) > 0 {
		p.send(d, customer, r)
	}
}

// comesBack tells whether the return of a parcel that was sent back is under way.
func comesBack(o *orderv1.Order) bool {
	return slices.ContainsFunc(o.GetReturns(), func(r *orderv1.Return) bool {
		return strings.HasPrefix(r.GetReturnId(), returnSentBack) && !r.GetDone()
	})
}
