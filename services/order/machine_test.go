package order

import (
	"context"
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"

	orderv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/order/v1"
	"github.com/cellar-commerce/cellar/internal/problem"
	"github.com/cellar-commerce/cellar/internal/sqldb"
	"github.com/cellar-commerce/cellar/internal/sqldb/sqldbtest"
)

// machine drives one order, and knows what should have become of it.
type machine struct {
	world
	placement
	status  Status // empty: never created
	held    bool
	parcel  map[string]string // by FC: requested, packed, shipped, canceled
	back    map[int32]int64   // units returned, by line
	returns int
}

func TestTheStatusIsAlwaysWhatTheEventsAddUpTo(t *testing.T) {
	db := sqldbtest.New(t, sqldb.Customer)
	rapid.Check(t, func(t *rapid.T) {
		m := &machine{world: onDB(db), placement: newPlacement(), parcel: map[string]string{}, back: map[int32]int64{}}
		t.Repeat(map[string]func(*rapid.T){
			"create": m.create, "pay": m.pay, "fail": m.fail, "ship": m.ship, "ship more": m.ship, "pack": m.pack, "cancel": m.cancel, "return": m.giveBack, "": m.check,
		})
		m.checkRequests(t)
	})
}

func (m *machine) create(t *rapid.T) {
	must(t, m.world.create(m.placement))
	if m.status == "" {
		m.status = Pending
	}
}

// end places the order well or not, and tells whether this is what happens.
func (m *machine) end(t *rapid.T, err error, well bool) bool {
	switch {
	case m.status == "" && well:
		refused(t, err, problem.NotFound, "UNKNOWN_ORDER")
	case m.status == "": // failing what was never made is fine
		must(t, err)
	case m.status == Pending:
		must(t, err)
		return true
	case well == (m.status != Failed):
		must(t, err)
	default:
		refused(t, err, problem.Precondition, "ORDER_ENDED")
	}
	return false
}

func (m *machine) pay(t *rapid.T) {
	held := rapid.Bool().Draw(t, "held")
	if m.status != Pending {
		held = m.held
	}
	if m.end(t, m.payAs(m.placement, held), true) {
		m.status, m.held = Paid, held
		for _, p := range m.parcels() {
			m.parcel[p.GetFcId()] = "requested"
		}
	}
}

func (m *machine) fail(t *rapid.T) {
	if m.end(t, m.world.fail(m.placement), false) {
		m.status = Failed
	}
}

func anyFC(t *rapid.T) string { return rapid.SampledFrom([]string{"iad1", "sea1"}).Draw(t, "fc") }

func (m *machine) pack(t *rapid.T) {
	fc := anyFC(t)
	if m.parcel[fc] == "requested" && m.centers.become(fc, string(m.id), "packed") {
		m.parcel[fc] = "packed"
	}
}

func (m *machine) ship(t *rapid.T) {
	fc := anyFC(t)
	err := m.world.ship(m.placement, fc, "shipment-of-"+fc)
	switch {
	case m.status == "":
		refused(t, err, problem.NotFound, "UNKNOWN_ORDER")
	case m.status == Pending || m.status == Failed:
		refused(t, err, problem.Precondition, "ORDER_NOT_PAID")
	case m.parcel[fc] == "canceled":
		refused(t, err, problem.Precondition, "PARCEL_CANCELED")
	default:
		must(t, err)
		m.centers.become(fc, string(m.id), "shipped")
		m.parcel[fc] = "shipped"
	}
	m.Drain()
	m.settle()
}

func (m *machine) settle() {
	left, waiting := false, false
	for _, s := range m.parcel {
		left, waiting = left || s == "shipped", waiting || s == "requested" || s == "packed"
	}
	if m.status == Paid && !waiting {
		if m.status = Canceled; left {
			m.status = Shipped
		}
	}
}

func (m *machine) cancel(t *rapid.T) {
	resp, err := m.CancelOrder(m.session(context.Background()), &orderv1.CancelOrderRequest{OrderId: string(m.id), Reason: "changed my mind"})
	switch m.status {
	case "":
		refused(t, err, problem.NotFound, "UNKNOWN_ORDER")
		return
	case Pending:
		refused(t, err, problem.Precondition, "ORDER_BEING_PLACED")
		return
	case Failed:
		refused(t, err, problem.Precondition, "ORDER_ENDED")
		return
	}
	kept := 0
	for fc, s := range m.parcel {
		if s == "requested" {
			m.parcel[fc] = "canceled"
		}
		if m.parcel[fc] != "canceled" {
			kept++
		}
	}
	if kept == len(m.parcel) {
		refused(t, err, problem.Precondition, "TOO_LATE_TO_CANCEL")
	} else if must(t, err); len(resp.GetKept()) != kept {
		t.Fatalf("%d parcels are kept, want %d", len(resp.GetKept()), kept)
	}
	m.settle()
}

func (m *machine) giveBack(t *rapid.T) {
	line, units := int32(rapid.IntRange(1, 2).Draw(t, "line")), int64(rapid.IntRange(1, 3).Draw(t, "units"))
	m.returns++
	_, err := m.ReturnItems(m.session(context.Background()), &orderv1.ReturnItemsRequest{
		OrderId: string(m.id), ReturnId: fmt.Sprint("r", m.returns), Lines: []*orderv1.ReturnLine{{Line: line, Quantity: units}},
	})
	switch {
	case m.status == "":
		refused(t, err, problem.NotFound, "UNKNOWN_ORDER")
	case units > m.unitsOf(line, "shipped")-m.back[line]:
		refused(t, err, problem.Precondition, "RETURNS_TOO_MUCH")
	default:
		must(t, err)
		m.back[line] += units
	}
}

// unitsOf a line in parcels of a state.
func (m *machine) unitsOf(line int32, state string) (units int64) {
	for _, p := range m.parcels() {
		for _, l := range p.GetLines() {
			if l.GetLine() == line && m.parcel[p.GetFcId()] == state {
				units += l.GetQuantity()
			}
		}
	}
	return units
}

// check what is stored against what the events add up to, and both against what should be.
func (m *machine) check(t *rapid.T) {
	if m.status == "" {
		if rows := sqldbtest.Texts(t, m.db, "SELECT kind FROM order_events WHERE order_id = $1", string(m.id)); len(rows) != 0 {
			t.Fatalf("an order that was never made has events: %v", rows)
		}
		return
	}
	agreed, events, err := readOrder(context.Background(), m.db, m.customer, m.id)
	must(t, err)
	for i, e := range events {
		if e.Seq != int64(i+1) {
			t.Fatalf("event %d has seq %d", i+1, e.Seq)
		}
	}
	projected, err := project(agreed, events)
	must(t, err)
	stored := sqldbtest.Texts(t, m.db, "SELECT status || ' ' || last_seq FROM orders WHERE order_id = $1", string(m.id))
	if want := fmt.Sprint(projected.status, " ", projected.lastSeq); !slices.Equal(stored, []string{want}) {
		t.Fatalf("stored as %v, the events say %s", stored, want)
	}
	if projected.status != m.status {
		t.Fatalf("it is %s by %v, want %s", projected.status, events, m.status)
	}
	o := m.get(t, m.placement)
	if o.GetStatus() != statusProto[m.status] || len(o.GetEvents()) != len(events) {
		t.Fatalf("shown as %v with %d events", o.GetStatus(), len(o.GetEvents()))
	}
	if m.status != Pending && m.status != Failed {
		m.checkParcels(t, o)
		m.checkMoney(t, o)
	}
}

func (m *machine) checkParcels(t *rapid.T, o *orderv1.Order) {
	for _, p := range o.GetParcels() {
		at := m.parcel[p.GetFcId()]
		shown := map[string][]parcel{"requested": {requested}, "packed": {requested, packed}, "canceled": {canceled}, "shipped": {shipped, partlyReturned, returned}}
		if !slices.Contains(shown[at], p.GetState()) {
			t.Fatalf("the parcel of %s is %s and shown as %v", p.GetFcId(), at, p.GetState())
		}
		if released := slices.Contains(m.centers.released(string(m.id)), p.GetFcId()); released != (at == "canceled") {
			t.Fatalf("the parcel of %s is %s, its stock released: %v", p.GetFcId(), at, released)
		}
	}
	for _, l := range o.GetLines() {
		back := m.centers.cameBack(string(m.id), "iad1", l.GetSku()) + m.centers.cameBack(string(m.id), "sea1", l.GetSku())
		if l.GetCanceled() != m.unitsOf(l.GetLine(), "canceled") || l.GetReturned() != m.back[l.GetLine()] || back != m.back[l.GetLine()] {
			t.Fatalf("line %d: %d canceled, %d returned, %d on the shelf again; want %d returned", l.GetLine(), l.GetCanceled(), l.GetReturned(), back, m.back[l.GetLine()])
		}
	}
}

// checkMoney: what was taken and given back is, to the cent, what the units bear that moved; and the order, the events
// and the till tell the same.
func (m *machine) checkMoney(t *rapid.T, o *orderv1.Order) {
	var taken, given int64
	for _, l := range o.GetLines() {
		if m.held {
			taken += between(l, 0, m.unitsOf(l.GetLine(), "shipped"))
			given += between(l, 0, m.back[l.GetLine()])
		} else {
			given += between(l, 0, m.unitsOf(l.GetLine(), "canceled")+m.back[l.GetLine()])
		}
	}
	total, anySent := o.GetTotal().GetMinorUnits(), m.unitsOf(1, "shipped") > 0
	switch {
	case !m.held && m.status == Canceled:
		taken, given = total, total
	case !m.held:
		taken = total
	case anySent:
		taken += o.GetShipping().GetMinorUnits() + o.GetShippingTax().GetMinorUnits()
	}
	till := m.till.account(string(m.id))
	if till.captured != taken || till.refunded != given || o.GetCaptured().GetMinorUnits() != taken || o.GetRefunded().GetMinorUnits() != given {
		t.Fatalf("taken %d and shown as %d, want %d; given back %d and shown as %d, want %d",
			till.captured, o.GetCaptured().GetMinorUnits(), taken, till.refunded, o.GetRefunded().GetMinorUnits(), given)
	}
	if done := m.status != Paid; done && till.held != 0 {
		t.Fatalf("nothing is to be sent any more, and %d is held", till.held)
	}
}

// checkRequests: each parcel of a paid order is asked for once, nothing else ever.
func (m *machine) checkRequests(t *rapid.T) {
	if got := outboxOf(t, m.db, m.id); len(got) != len(m.parcel) {
		t.Fatalf("%d requests to ship, want %d", len(got), len(m.parcel))
	}
}
