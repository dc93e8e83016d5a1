package inventory

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"
	"pgregory.net/rapid"

	inventoryv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/inventory/v1"
	"github.com/cellar-commerce/cellar/internal/ident"
	"github.com/cellar-commerce/cellar/internal/sqldb"
	"github.com/cellar-commerce/cellar/internal/sqldb/sqldbtest"
)

// machine drives the service, in two cells, and a model of each FC side by side.
type machine struct {
	world
	cells  []*Service
	fcs    []string
	skus   []string
	orders []string
	models map[string]*model
}

func TestEveryCommandDoesWhatTheModelDoesAndTheBooksStayRight(t *testing.T) {
	db := sqldbtest.New(t, sqldb.Regional)
	orders := []string{newOrder(), newOrder(), newOrder(), newOrder()}
	rapid.Check(t, func(t *rapid.T) {
		m := &machine{world: onDB(db, nil), orders: orders, models: map[string]*model{}}
		other := onDB(db, nil).deps
		other.Clock = m.clock
		m.cells = []*Service{m.Service, New(other)}
		run := ident.NewToken()[:8] // FCs and products of its own keep each run apart in the one database
		m.skus = []string{"ale-" + run, "cider-" + run, "port-" + run}
		for i := range 2 {
			fc := fmt.Sprintf("iad%d-%s", i, run)
			m.fcs, m.models[fc] = append(m.fcs, fc), newModel()
		}
		t.Repeat(map[string]func(*rapid.T){
			"restock": m.restock,
			"reserve": m.reserve, "reserve more": m.reserve, // twice, so that it comes twice as often
			"extend": m.extend, "commit": m.commit, "release": m.release, "ship": m.ship, "adjust": m.adjust,
			"time passes": func(t *rapid.T) {
				m.clock.Advance(time.Duration(rapid.IntRange(1, 40).Draw(t, "minutes")) * time.Minute)
			},
			"sweep": m.sweep,
			"":      m.check,
		})
		checkBooks(t, db, m.fcs...)
	})
}

// drawPlace, and the cell that is asked there: what one remembers the other may have changed.
func (m *machine) drawPlace(t *rapid.T) (*model, string, string) {
	m.Service = rapid.SampledFrom(m.cells).Draw(t, "cell")
	fc := rapid.SampledFrom(m.fcs).Draw(t, "fc")
	return m.models[fc], fc, rapid.SampledFrom(m.orders).Draw(t, "order")
}

func (m *machine) drawUntil(t *rapid.T) time.Time {
	return m.clock.Now().Add(time.Duration(rapid.IntRange(1, 60).Draw(t, "hold")) * time.Minute)
}

// check compares the rows, and what can be had, after each step.
func (m *machine) check(t *rapid.T) {
	resp, err := m.ListStock(context.Background(), &inventoryv1.ListStockRequest{Skus: m.skus})
	if err != nil {
		t.Fatal(err)
	}
	listed := map[string]int64{}
	for _, st := range resp.GetStocks() {
		listed[st.GetFcId()+"/"+st.GetSku()] = st.GetAvailable()
	}
	for fc, model := range m.models {
		// The server's order of rows is that of its collation.
		got := strings.Split(rowsOf(t, m.db, fc), "\n")
		slices.Sort(got)
		if want := model.rows(); strings.Join(got, "\n") != want {
			t.Fatalf("rows of %s:\n%s\nwant:\n%s", fc, strings.Join(got, "\n"), want)
		}
		for _, sku := range m.skus {
			if want := model.free(sku, m.clock.Now()); listed[fc+"/"+sku] != want {
				t.Fatalf("%s at %s: %d can be had, want %d", sku, fc, listed[fc+"/"+sku], want)
			}
			if s := model.stock[sku]; s != nil && (s.available < 0 || s.available+s.reserved != model.sumDelta[sku]) {
				t.Fatalf("the model lost count of %s: %v, ledger %d", sku, *s, model.sumDelta[sku])
			}
		}
	}
}

func same[T comparable](t *rapid.T, what string, got, want T) {
	t.Helper()
	if got != want {
		t.Fatalf("%s: got %v, want %v", what, got, want)
	}
}

func (m *machine) restock(t *rapid.T) {
	model, fc, _ := m.drawPlace(t)
	delivery := fmt.Sprint("delivery-", rapid.IntRange(0, 9).Draw(t, "delivery"))
	lines := rapid.MapOfN(rapid.SampledFrom(m.skus), rapid.Int64Range(1, 6), 1, 3).Draw(t, "lines")
	req := &inventoryv1.RestockRequest{FcId: fc, DeliveryId: delivery}
	for sku, n := range lines {
		req.Lines = append(req.Lines, &inventoryv1.RestockLine{Sku: sku, Quantity: n})
	}
	resp, err := m.Restock(context.Background(), req)
	if err != nil {
		t.Fatal(err)
	}
	same(t, "already counted", resp.GetAlreadyCounted(), model.restock(delivery, lines))
}

func (m *machine) reserve(t *rapid.T) {
	model, fc, order := m.drawPlace(t)
	lines := model.order(order).asked
	if len(lines) == 0 || rapid.IntRange(0, 3).Draw(t, "other lines") == 0 {
		lines = nil
		for i := range rapid.IntRange(1, 3).Draw(t, "lines") {
			lines = append(lines, line{int32(i + 1), rapid.SampledFrom(m.skus).Draw(t, "sku"), rapid.Int64Range(1, 4).Draw(t, "quantity")})
		}
	}
	until := m.drawUntil(t)
	d := demand{lines, until, rapid.Bool().Draw(t, "partial")}
	req := &inventoryv1.ReserveRequest{FcId: fc, OrderId: order, ExpiresAt: timestamppb.New(until), Partial: d.partial}
	for _, l := range rapid.Permutation(lines).Draw(t, "as sent") {
		req.Lines = append(req.Lines, &inventoryv1.ReserveLine{Line: l.number, Sku: l.sku, Quantity: l.quantity})
	}
	wantReason, want := model.reserve(m.clock.Now(), order, d)
	resp, err := m.Reserve(context.Background(), req)
	same(t, "reserve", reasonOf(t, err), wantReason)
	if err == nil {
		same(t, "expires", resp.GetExpiresAt().AsTime(), want.until)
		same(t, "held", fmt.Sprint(heldLines(resp)), fmt.Sprint(want.lines))
	}
}

func heldLines(resp *inventoryv1.ReserveResponse) (lines []line) {
	for _, l := range resp.GetLines() {
		lines = append(lines, line{l.GetLine(), l.GetSku(), l.GetQuantity()})
	}
	return lines
}

func (m *machine) extend(t *rapid.T) {
	model, fc, order := m.drawPlace(t)
	until := m.drawUntil(t)
	_, err := m.ExtendHold(context.Background(), &inventoryv1.ExtendHoldRequest{FcId: fc, OrderId: order, ExpiresAt: timestamppb.New(until)})
	same(t, "extend", reasonOf(t, err), model.extend(m.clock.Now(), order, until))
}

func (m *machine) commit(t *rapid.T) {
	model, fc, order := m.drawPlace(t)
	_, err := m.Commit(context.Background(), &inventoryv1.CommitRequest{FcId: fc, OrderId: order})
	same(t, "commit", reasonOf(t, err), model.commit(m.clock.Now(), order))
}

func (m *machine) release(t *rapid.T) {
	model, fc, order := m.drawPlace(t)
	resp, err := m.Release(context.Background(), &inventoryv1.ReleaseRequest{FcId: fc, OrderId: order})
	reason, n := model.release(order)
	same(t, "release", reasonOf(t, err), reason)
	if err == nil {
		same(t, "released", resp.GetReleased(), n)
	}
}

func (m *machine) ship(t *rapid.T) {
	model, fc, order := m.drawPlace(t)
	resp, err := m.Ship(context.Background(), &inventoryv1.ShipRequest{FcId: fc, OrderId: order})
	reason, n := model.ship(m.clock.Now(), order)
	same(t, "ship", reasonOf(t, err), reason)
	if err == nil {
		same(t, "shipped", resp.GetShipped(), n)
	}
}

func (m *machine) adjust(t *rapid.T) {
	model, fc, _ := m.drawPlace(t)
	req := &inventoryv1.AdjustRequest{
		FcId: fc, AdjustmentId: fmt.Sprint("count-", rapid.IntRange(0, 9).Draw(t, "count")), Sku: rapid.SampledFrom(m.skus).Draw(t, "sku"),
		Delta: rapid.SampledFrom([]int64{-3, -2, -1, 1, 2}).Draw(t, "delta"), Reason: "stocktaking",
	}
	resp, err := m.Adjust(context.Background(), req)
	reason, already := model.adjust(m.clock.Now(), req.GetAdjustmentId(), req.GetSku(), req.GetDelta())
	same(t, "adjust", reasonOf(t, err), reason)
	if err == nil {
		same(t, "already counted", resp.GetAlreadyCounted(), already)
	}
}

func (m *machine) sweep(t *rapid.T) {
	if _, err := m.Sweep(context.Background()); err != nil { // how many: runs before this one may have left some
		t.Fatal(err)
	}
	for _, model := range m.models {
		model.expire(m.clock.Now(), m.skus...)
	}
}
