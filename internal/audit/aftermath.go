package audit

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"google.golang.org/protobuf/proto"

	orderv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/order/v1"
	"github.com/cellar-commerce/cellar/internal/sqldb"
)

// What follows an order: cancellations, returns, and money that is taken by shipment.

var (
	stmtEvents = sqldb.Define(sqldb.Customer, "audit.events", `
SELECT order_id, kind, at, detail
FROM order_events
WHERE region = $1 AND kind IN ('paid', 'shipped', 'captured', 'canceled', 'return_requested', 'returned', 'refunded', 'short_picked', 'replanned')
ORDER BY order_id, seq`)

	// Their ids begin with the order's.
	stmtFollowing = sqldb.Define(sqldb.Customer, "audit.following", `
SELECT saga_id, status
FROM sagas
WHERE region = $1 AND kind IN ('cancellation', 'return', 'capture', 'short_pick') AND status <> 'DONE'`)

	stmtReturned = sqldb.Define(sqldb.Regional, "audit.returned", `
SELECT fc_id, source_id, sum(delta)::int8
FROM inventory_events
WHERE region = $1 AND kind = 'return'
GROUP BY fc_id, source_id`)
)

// aftermath of an order, by its events and by the books of others.
type aftermath struct {
	held                       bool // the money was only held at first
	canceled                   map[string]bool
	toldCaptured, toldRefunded int64                       // by the order's events
	coming                     map[string]map[string]int64 // units to come back, by return and FC
	back                       map[string]int64            // units that came back, by FC
	onShelf                    map[string]int64            // the same, by the FCs' ledgers
	following                  bool                        // a saga works on it
	missed                     map[string]bool             // short picks that it has heard of
	dropped                    int64                       // units that no FC has any more
}

// take an event.
func (o *order) take(kind string, at time.Time, detail []byte) error {
	switch kind {
	case "paid":
		return read(detail, func(d *orderv1.Paid) {
			o.paidAt, o.held = at, d.GetAuthorized()
			o.expect(d.GetParcels())
			if !o.held {
				o.toldCaptured = o.total
			}
		})
	case "shipped":
		return read(detail, func(d *orderv1.Shipped) { o.shippedBy = append(o.shippedBy, d.GetFcId()) })
	case "captured":
		return read(detail, func(d *orderv1.Captured) { o.toldCaptured += d.GetAmount().GetMinorUnits() })
	case "canceled":
		return read(detail, func(d *orderv1.Canceled) { put(&o.canceled, d.GetFcId(), true) })
	case "return_requested":
		return read(detail, func(d *orderv1.ReturnRequested) {
			units := map[string]int64{}
			for _, l := range d.GetReturn().GetLines() {
				units[l.GetFcId()] += l.GetQuantity()
			}
			put(&o.coming, d.GetReturn().GetReturnId(), units)
		})
	case "returned":
		return read(detail, func(d *orderv1.Returned) {
			for fc, units := range o.coming[d.GetReturnId()] {
				put(&o.back, fc, o.back[fc]+units)
			}
		})
	case "short_picked":
		return read(detail, o.miss)
	case "replanned":
		return read(detail, func(d *orderv1.Replanned) {
			o.expect(d.GetParcels())
			for _, l := range d.GetCanceled() {
				o.dropped += l.GetQuantity()
			}
		})
	case "refunded":
		return read(detail, func(d *orderv1.Refunded) { o.toldRefunded += d.GetAmount().GetMinorUnits() })
	}
	return nil
}

// expect units of parcels.
func (o *order) expect(parcels []*orderv1.Parcel) {
	for _, p := range parcels {
		for _, l := range p.GetLines() {
			o.parcels[p.GetFcId()] += l.GetQuantity()
			o.lines[lineAt{p.GetFcId(), l.GetLine()}] += l.GetQuantity()
		}
	}
}

// miss units that an FC did not find: it sends them no more. A parcel that has none left is canceled by that.
func (o *order) miss(d *orderv1.ShortPicked) {
	put(&o.missed, d.GetShortPick().GetShortPickId(), true)
	for _, l := range d.GetShortPick().GetLines() {
		o.parcels[d.GetFcId()] -= l.GetQuantity()
		o.lines[lineAt{d.GetFcId(), l.GetLine()}] -= l.GetQuantity()
	}
	if o.parcels[d.GetFcId()] == 0 {
		put(&o.canceled, d.GetFcId(), true)
	}
}

func read[D any, M interface {
	*D
	proto.Message
}](detail []byte, do func(M)) error {
	d := M(new(D))
	if err := proto.Unmarshal(detail, d); err != nil {
		return err
	}
	do(d)
	return nil
}

func put[V any](m *map[string]V, key string, value V) {
	if *m == nil {
		*m = map[string]V{}
	}
	(*m)[key] = value
}

// readFollowing marks the orders that a cancellation, a return or a capture works on; one that is parked is told at once.
func readFollowing(ctx context.Context, db *sqldb.DB, f *findings, region string, all map[string]*order) error {
	rows, err := db.Query(ctx, stmtFollowing, region)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var saga, status string
		if err := rows.Scan(&saga, &status); err != nil {
			return err
		}
		id, _, _ := strings.Cut(saga, "/")
		o := all[id]
		switch {
		case o == nil:
			f.add(noLostOrder, id, "is followed by %s, and does not exist", saga)
		case status != "RUNNING":
			f.add(noLostOrder, id, "%s is %s: somebody has to decide", saga, status)
		}
		if o != nil {
			o.following = true
		}
	}
	return rows.Err()
}

// readReturned adds to each order the units that its FCs have counted back.
func readReturned(ctx context.Context, deps Deps, orders map[string]*order) error {
	for _, region := range deps.Regions {
		counted, err := sums(ctx, deps.Regional, stmtReturned, region)
		if err != nil {
			return err
		}
		for at, n := range counted { // the source of a "return" entry is the order and the return
			id, _, _ := strings.Cut(at.sku, "/")
			if o := orders[id]; o != nil {
				put(&o.onShelf, at.fc, o.onShelf[at.fc]+n)
			}
		}
	}
	return nil
}

// keeps is how much of its money the order says is kept.
func (o *order) keeps() int64 { return o.toldCaptured - o.toldRefunded }

// sold units, as the order has it: those of parcels that were not canceled.
func (o *order) sold() int64 {
	n := o.units - o.dropped
	for fc := range o.canceled {
		n -= o.parcels[fc]
	}
	return n
}

// payState of the payment; empty when there is none.
func (o *order) payState() string {
	if o.pay == nil {
		return ""
	}
	return o.pay.state
}

// waits tells that a parcel has neither left nor been canceled.
func (o *order) waits() bool {
	for fc := range o.parcels {
		if !o.canceled[fc] && !slices.Contains(o.shippedBy, fc) {
			return true
		}
	}
	return false
}

// paymentFits tells whether the state of the payment goes with what the order says of the money.
func (o *order) paymentFits() bool {
	if o.pay == nil {
		return o.total == 0
	}
	state := o.pay.state
	switch {
	case o.pay.amount != o.total:
		return false
	case o.held && o.toldCaptured < o.total && o.waits():
		return state == "AUTHORIZED" // whatever came back of the parcels that have left
	case o.keeps() > 0:
		return state == "CAPTURED"
	case o.toldCaptured > 0:
		return state == "REFUNDED" // by one refund or by several
	default:
		return state == "VOIDED" // it was only held, or costs nothing: a cancellation leaves a tombstone
	}
}

// checkMissed: the order hears of what was not found of its parcels. Until it has, its books and the FC's differ.
func (o *order) checkMissed(f *findings, id string, now time.Time, grace time.Duration) {
	for _, s := range o.shipments {
		for _, pick := range s.missed {
			f.checked[noLostOrder]++
			if o.missed[pick.GetShortPickId()] || o.canceled[s.fc] {
				continue // a parcel that was canceled misses nothing
			}
			if at := pick.GetFoundAt().AsTime(); now.Sub(at) > grace {
				f.add(noLostOrder, id, "has not heard what %s did not find on %s", s.fc, at.Format(time.RFC3339))
			}
			o.following = true
		}
	}
}

// checkParcels: what was canceled is not sent and is on the shelf again; what came back is counted where it came from.
func (o *order) checkParcels(f *findings, id string) {
	if o.live() {
		return
	}
	for _, r := range o.reservations {
		if o.canceled[r.fc] && r.state != "RELEASED" {
			f.add(allOrNothing, id, "its parcel of %s is canceled, and %d of %s are %s there", r.fc, r.quantity, r.sku, r.state)
		}
	}
	for _, s := range o.shipments {
		switch {
		case o.canceled[s.fc] && s.state != "CANCELED":
			f.add(once, id, "its parcel of %s is canceled, and %s there", s.fc, s.state)
		case !o.canceled[s.fc] && s.state == "CANCELED":
			f.add(noLostOrder, id, "%s has canceled a parcel that the order waits for", s.fc)
		}
	}
	for fc := range o.canceled {
		if slices.Contains(o.shippedBy, fc) {
			f.add(once, id, "its parcel of %s is canceled and has left", fc)
		}
	}
	for fc, n := range o.onShelf {
		if n != o.back[fc] {
			f.add(once, id, "%d units came back to %s, of %d returned", n, fc, o.back[fc])
		}
	}
	for fc, n := range o.back {
		if o.onShelf[fc] == 0 {
			f.add(noStuckStock, id, "%d units are returned to %s, and not on its shelf", n, fc)
		}
	}
}

// checkWaiting: a parcel that is due is packed, and one that is packed is sent.
func (o *order) checkWaiting(f *findings, id string, now time.Time, grace time.Duration) {
	for _, s := range o.shipments {
		if (s.state == "REQUESTED" || s.state == "SHORT" || s.state == "PACKED") && now.Sub(s.dueAt) > grace {
			f.add(noLostOrder, fmt.Sprint(s.fc, "/", id), "its parcel is %s, and due since %s", s.state, s.dueAt.Format(time.RFC3339))
		}
	}
}
