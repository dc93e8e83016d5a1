package order

import (
	"context"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/cellar-commerce/cellar/internal/problem"
	"github.com/cellar-commerce/cellar/internal/sqldb"
	"github.com/cellar-commerce/cellar/internal/sqldb/sqldbtest"
)

// machine drives one order, and knows what should have become of it.
type machine struct {
	world
	placement
	status Status // empty: never created
	kinds  []string
	left   map[string]bool // shipments recorded, by id
	gone   map[string]bool // FCs whose parcel has left
}

func TestTheStatusIsAlwaysWhatTheEventsAddUpTo(t *testing.T) {
	db := sqldbtest.New(t, sqldb.Customer)
	rapid.Check(t, func(t *rapid.T) {
		m := &machine{world: onDB(db), placement: newPlacement(), left: map[string]bool{}, gone: map[string]bool{}}
		t.Repeat(map[string]func(*rapid.T){"create": m.create, "pay": m.pay, "fail": m.fail, "ship": m.ship, "": m.check})
		m.checkRequests(t)
	})
}

func (m *machine) create(t *rapid.T) {
	must(t, m.world.create(m.placement))
	if m.status == "" {
		m.status, m.kinds = Pending, []string{kindPlaced}
	}
}

// end places the order well or not, and tells whether this is what happens.
func (m *machine) end(t *rapid.T, err error, to Status, kind string) {
	switch {
	case m.status == "" && to == Paid:
		refused(t, err, problem.NotFound, "UNKNOWN_ORDER")
	case m.status == "": // failing what was never made is fine
		must(t, err)
	case m.status == Pending:
		must(t, err)
		m.status, m.kinds = to, append(m.kinds, kind)
	case slices.Contains(m.kinds, kind):
		must(t, err)
	default:
		refused(t, err, problem.Precondition, "ORDER_ENDED")
	}
}

func (m *machine) pay(t *rapid.T) { m.end(t, m.world.pay(m.placement), Paid, kindPaid) }

func (m *machine) fail(t *rapid.T) { m.end(t, m.world.fail(m.placement), Failed, kindFailed) }

func (m *machine) ship(t *rapid.T) {
	fc := rapid.SampledFrom([]string{"iad1", "sea1"}).Draw(t, "fc")
	id := "shipment-of-" + fc
	err := m.world.ship(m.placement, fc, id)
	switch m.status {
	case "":
		refused(t, err, problem.NotFound, "UNKNOWN_ORDER")
	case Pending, Failed:
		refused(t, err, problem.Precondition, "ORDER_NOT_PAID")
	default:
		must(t, err)
		if !m.left[id] {
			m.left[id], m.gone[fc], m.kinds = true, true, append(m.kinds, kindShipped)
		}
		if len(m.gone) == len(m.parcels()) {
			m.status = Shipped
		}
	}
}

// check what is stored against what the events add up to, and both against what should be.
func (m *machine) check(t *rapid.T) {
	events, err := listEvents(context.Background(), m.db, m.id)
	must(t, err)
	if m.status == "" {
		if len(events) != 0 {
			t.Fatalf("an order that was never made has events: %v", events)
		}
		return
	}
	var kinds []string
	for i, e := range events {
		if kinds = append(kinds, e.Kind); e.Seq != int64(i+1) {
			t.Fatalf("event %d has seq %d", i+1, e.Seq)
		}
	}
	projected, err := project(events)
	must(t, err)
	var stored projection
	must(t, row(m.db, m.placement, &stored))
	if stored.status != projected.status || stored.lastSeq != projected.lastSeq {
		t.Fatalf("stored as %s at %d, the events say %s at %d", stored.status, stored.lastSeq, projected.status, projected.lastSeq)
	}
	if projected.status != m.status || !slices.Equal(kinds, m.kinds) {
		t.Fatalf("%s by %v, want %s by %v", projected.status, kinds, m.status, m.kinds)
	}
	if got := m.get(t, m.placement); got.GetStatus() != statusProto[m.status] || len(got.GetEvents()) != len(m.kinds) {
		t.Fatalf("shown as %v with %d events", got.GetStatus(), len(got.GetEvents()))
	}
}

// checkRequests: each parcel of a paid order is asked for once, nothing else ever.
func (m *machine) checkRequests(t *rapid.T) {
	requests := 0
	if slices.Contains(m.kinds, kindPaid) {
		requests = len(m.parcels())
	}
	if got := outboxOf(t, m.db, m.id); len(got) != requests {
		t.Fatalf("%d requests to ship, want %d", len(got), requests)
	}
}

func row(db *sqldb.DB, p placement, into *projection) error {
	rows, err := db.QueryText(context.Background(), "SELECT status, last_seq FROM orders WHERE region = 'us-east-1' AND order_id = $1", string(p.id))
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		if err := rows.Scan(&into.status, &into.lastSeq); err != nil {
			return err
		}
	}
	return rows.Err()
}
