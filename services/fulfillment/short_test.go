package fulfillment

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"google.golang.org/protobuf/proto"

	fulfillmentv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/fulfillment/v1"
	inventoryv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/inventory/v1"
	orderv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/order/v1"
	"github.com/cellar-commerce/cellar/internal/ident"
	"github.com/cellar-commerce/cellar/internal/problem"
	"github.com/cellar-commerce/cellar/internal/sqldb"
	"github.com/cellar-commerce/cellar/internal/sqldb/sqldbtest"
)

// WriteOff counts units that left the books, by write-off.
func (s *shelf) WriteOff(_ context.Context, req *inventoryv1.WriteOffRequest) (*inventoryv1.WriteOffResponse, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err == nil {
		s.writtenOff[req.GetWriteOffId()] = req.GetLines()[0].GetQuantity()
	}
	return &inventoryv1.WriteOffResponse{}, s.err
}

// short tells that of the one line of a shipment so many units were found.
func (w world) short(t *testing.T, order ident.OrderID, found int64) *orderv1.ShortPick {
	t.Helper()
	resp, err := w.ReportShortPick(t.Context(), reportOf(order, found))
	if err != nil {
		t.Fatal(err)
	}
	return resp.GetShortPick()
}

func reportOf(order ident.OrderID, found int64) *fulfillmentv1.ReportShortPickRequest {
	return &fulfillmentv1.ReportShortPickRequest{FcId: "iad1", OrderId: string(order), Lines: []*fulfillmentv1.FoundLine{{Line: 1, Found: found}}}
}

// shortEvents of a shipment.
func (w world) shortEvents(t *testing.T) (all []*fulfillmentv1.ShipmentShort) {
	t.Helper()
	rows, err := w.db.QueryText(t.Context(), "SELECT payload FROM outbox WHERE region = 'us-east-1' AND subject LIKE 'order.%.short' ORDER BY message_id")
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		var payload []byte
		e := &fulfillmentv1.ShipmentShort{}
		if err := errors.Join(rows.Scan(&payload), proto.Unmarshal(payload, e)); err != nil {
			t.Fatal(err)
		}
		all = append(all, e)
	}
	return all
}

func TestWhatIsNotOnTheShelfLeavesTheBooksAndTheRestGoesOn(t *testing.T) {
	w := newWorld(t, nil)
	order := ident.NewOrder("usw2")
	w.requested(t, order, "iad1")
	w.clock.Advance(handling)
	pick := w.short(t, order, 1)
	if pick.GetLines()[0].GetQuantity() != 1 || len(w.short(t, order, 1).GetLines()) != 0 { // again
		t.Fatalf("missed %v", pick)
	}
	_, err := w.ReportShortPick(t.Context(), reportOf(order, 0))
	refused(t, err, problem.Unavailable, "SHORT_PICK_IN_PROGRESS")
	_, err = w.CancelShipment(t.Context(), &fulfillmentv1.CancelShipmentRequest{FcId: "iad1", OrderId: string(order)})
	refused(t, err, problem.Unavailable, "SHORT_PICK_IN_PROGRESS")
	w.shipDue(t, 1)
	sh := w.shipments(t, order)[0]
	if sh.GetState() != stateShipped || sh.GetLines()[0].GetQuantity() != 1 || len(sh.GetShortPicks()) != 1 || w.shelf.writtenOff["short/"+pick.GetShortPickId()] != 1 {
		t.Errorf("the shipment is %v, written off %v", sh, w.shelf.writtenOff)
	}
	events := w.shortEvents(t)
	if len(events) != 1 || !proto.Equal(events[0].GetShortPicks()[0], pick) || events[0].GetShipmentId() != sh.GetShipmentId() {
		t.Errorf("told %v", events)
	}
	for _, e := range w.outbox(t) {
		if e.subject == "order."+string(order.Ring())+".shipped" && len(e.event.GetShortPicks()) != 1 {
			t.Errorf("the news that it has left says nothing of it: %v", e.event)
		}
	}
	_, err = w.ReportShortPick(t.Context(), reportOf(order, 0))
	refused(t, err, problem.Precondition, "TOO_LATE_TO_PICK")
}

func TestAParcelOfWhichNothingIsFoundIsNotSent(t *testing.T) {
	w := newWorld(t, nil)
	order := ident.NewOrder("usw2")
	w.requested(t, order, "iad1")
	w.short(t, order, 0)
	w.clock.Advance(handling)
	w.shipDue(t, 0)
	w.cancel(t, order, "iad1", stateCanceled)
	if len(w.shortEvents(t)) != 1 || w.shelf.count("iad1", order) != 0 {
		t.Errorf("told %v, shipped %d times", w.shortEvents(t), w.shelf.count("iad1", order))
	}
}

func TestNobodyReportsAShortPickOfWhatIsNotPicked(t *testing.T) {
	w := newWorld(t, nil)
	order := ident.NewOrder("usw2")
	_, err := w.ReportShortPick(t.Context(), reportOf(order, 0))
	refused(t, err, problem.NotFound, "UNKNOWN_SHIPMENT")
	w.cancel(t, order, "iad1", stateCanceled)
	w.requested(t, order, "iad1")
	if pick := w.short(t, order, 0); len(pick.GetLines()) != 0 { // it has no lines
		t.Errorf("missed %v", pick)
	}
	_, err = w.ReportShortPick(t.Context(), &fulfillmentv1.ReportShortPickRequest{FcId: "sea1", OrderId: string(order)})
	refused(t, err, problem.Invalid, "FOREIGN_FC")
	req := reportOf(order, -1)
	req.Lines = append(req.Lines, req.GetLines()[0])
	_, err = w.ReportShortPick(t.Context(), req)
	refused(t, err, problem.Invalid, "INVALID_FIELDS")
}

// The process dies at each commit of a short pick, or inventory does not answer; then the rest goes on, once.
func TestAShortPickWhoseCellDiesAtAnyStepIsFinishedOnce(t *testing.T) {
	var commits, fatal atomic.Int64
	w := newWorld(t, nil, sqldbtest.WithFaults(func(p sqldb.Point) error {
		if p == sqldb.BeforeCommit && commits.Add(1) == fatal.Load() {
			return errors.New("the process died")
		}
		return nil
	}))
	for at := range int64(5) {
		order := ident.NewOrder("usw2")
		w.requested(t, order, "iad1")
		w.clock.Advance(handling)
		commits.Store(0)
		fatal.Store(at + 1)
		_, reported := w.ReportShortPick(t.Context(), reportOf(order, 1))
		if reported == nil {
			w.shelf.fail(errors.New("no answer"))
			_, _ = w.ShipDue(t.Context())
			w.shelf.fail(nil)
			w.clock.Advance(shipRetry)
			_, _ = w.ShipDue(t.Context())
		}
		fatal.Store(0)
		w.short(t, order, 1) // whoever has found too little says so until it is heard
		for range 3 {
			w.clock.Advance(8 * shipRetry)
			if _, err := w.ShipDue(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		sh := w.shipments(t, order)[0]
		if sh.GetState() != stateShipped || len(sh.GetShortPicks()) != 1 || sh.GetLines()[0].GetQuantity() != 1 {
			t.Errorf("it died at %d: %v", at, sh)
		}
	}
	if n := len(w.shortEvents(t)); n != 5 || len(w.shelf.writtenOff) != 5 {
		t.Errorf("told %d times, written off %v", n, w.shelf.writtenOff)
	}
}

func TestACellThatCorrectsTheBooksLateChangesNothing(t *testing.T) {
	w := newWorld(t, nil)
	order := ident.NewOrder("usw2")
	w.requested(t, order, "iad1")
	w.clock.Advance(handling)
	w.short(t, order, 1)
	taken, err := w.takeShort(t.Context(), w.clock.Now())
	if err != nil || len(taken) != 1 {
		t.Fatalf("took %v, %v", taken, err)
	}
	w.shipDue(t, 0) // it is somebody's
	w.clock.Advance(shipRetry)
	w.shipDue(t, 1)
	if err := w.correct(t.Context(), taken[0]); err != nil { // who had taken it wakes up
		t.Fatal(err)
	}
	if sh := w.shipments(t, order)[0]; sh.GetState() != stateShipped || len(w.shortEvents(t)) != 1 || len(w.shelf.writtenOff) != 1 {
		t.Errorf("it is %v, told %v", sh, w.shortEvents(t))
	}
}

func TestShortPickMeetsCancelAndPacking(t *testing.T) {
	const orders = 20
	w := newWorld(t, nil)
	ids, missed, canceled := make([]ident.OrderID, orders), make([]bool, orders), make([]bool, orders)
	for i := range ids {
		ids[i] = ident.NewOrder("use1")
		w.requested(t, ids[i], "iad1")
	}
	w.clock.Advance(handling)
	var wg sync.WaitGroup
	for i, id := range ids {
		wg.Go(func() {
			resp, err := w.ReportShortPick(context.Background(), reportOf(id, 1))
			if missed[i] = len(resp.GetShortPick().GetLines()) > 0; err != nil && !problem.Is(err, "TOO_LATE_TO_PICK") {
				t.Error(err)
			}
		})
		wg.Go(func() {
			resp, err := w.CancelShipment(context.Background(), &fulfillmentv1.CancelShipmentRequest{FcId: "iad1", OrderId: string(id)})
			if canceled[i] = resp.GetCanceled(); err != nil && !problem.Is(err, "SHORT_PICK_IN_PROGRESS") {
				t.Error(err)
			}
		})
		if i%5 == 0 {
			wg.Go(func() { _, _ = w.ShipDue(context.Background()) })
		}
	}
	wg.Wait()
	for range 2 {
		w.clock.Advance(shipRetry)
		_, _ = w.ShipDue(t.Context())
	}
	for i, id := range ids {
		sh := w.shipments(t, id)[0]
		want := int64(2)
		if missed[i] {
			want = 1
		}
		if (sh.GetState() == stateCanceled) != canceled[i] || sh.GetLines()[0].GetQuantity() != want || len(sh.GetShortPicks()) != int(2-want) {
			t.Errorf("missed: %v, canceled: %v; it is %v", missed[i], canceled[i], sh)
		}
	}
}

func TestAPickerWhoFindsNothingSaysSoOfTheSameLinesEachTime(t *testing.T) {
	if Nothing(0) != nil {
		t.Error("a picker is played although all of it is found")
	}
	finds, nothing, line := Nothing(20), 0, &orderv1.ParcelLine{Line: 1, Quantity: 3}
	for i := range 1000 {
		id := fmt.Sprint("shipment-", i)
		n := finds(id, line)
		if n != finds(id, line) || n != 0 && n != 3 {
			t.Fatalf("%d are found", n)
		}
		if n == 0 {
			nothing++
		}
	}
	if nothing < 150 || nothing > 250 {
		t.Errorf("nothing is found %d times of 1000", nothing)
	}
	w := newWorld(t, nil)
	w.extra.Finds = func(string, *orderv1.ParcelLine) int64 { return 0 }
	w.Service = w.cell(w.deps.Global, w.db, nil)
	order := ident.NewOrder("usw2")
	w.requested(t, order, "iad1")
	w.clock.Advance(handling)
	w.shipDue(t, 0)
	if sh := w.shipments(t, order)[0]; sh.GetState() != stateCanceled || len(w.shortEvents(t)) != 1 {
		t.Errorf("it is %v", sh)
	}
}
