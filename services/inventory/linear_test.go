package inventory

import (
	"context"
	"fmt"
	"log/slog"
	"math"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/cellar-commerce/cellar/internal/clock"
	inventoryv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/inventory/v1"
	"github.com/cellar-commerce/cellar/internal/problem"
	"github.com/cellar-commerce/cellar/internal/sqldb"
	"github.com/cellar-commerce/cellar/internal/sqldb/sqldbtest"
)

const (
	linearOps     = 20_000 // of one seed
	linearCenters = 50     // of one seed; each has a history of its own
	linearAtOnce  = 25     // centres that are worked on at the same time
	linearClients = 8      // of one centre
	// checkFor a history at most. One that is not decided then counts as wrong.
	checkFor = 30 * time.Second
)

// seeds to run: CELLAR_SEEDS, or a few.
func seeds(t *testing.T) int {
	t.Helper()
	text := os.Getenv("CELLAR_SEEDS")
	if text == "" {
		return 3
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		t.Fatalf("CELLAR_SEEDS is %q, not a number from 1", text)
	}
	return n
}

// twoCells keep the stock of one region. Their clocks go on in whole minutes, and the second is ahead by one.
type twoCells struct {
	cells  [2]*Service
	clocks [2]*clock.Manual
}

func newTwoCells(db *sqldb.DB, centers []string) twoCells {
	w := twoCells{clocks: [2]*clock.Manual{clock.NewManual(opened), clock.NewManual(opened.Add(time.Minute))}}
	for i := range w.cells {
		w.cells[i] = New(Deps{
			DB: db, Region: here, FC: regionOf, Clock: w.clocks[i], Log: slog.New(slog.DiscardHandler),
			Swept: func(context.Context) []string { return centers },
		})
	}
	return w
}

// minute that a cell's clock shows.
func (w twoCells) minute(cell int) int16 {
	return int16(w.clocks[cell].Now().Sub(opened) / time.Minute)
}

func minuteAt(m int16) *timestamppb.Timestamp {
	return timestamppb.New(opened.Add(time.Duration(m) * time.Minute))
}

// center is one FC, and what its clients have done there.
type center struct {
	twoCells
	id   string
	skus [linearSKUs]string
	ids  [linearOrders]string // of orders

	mu      sync.Mutex
	history []porcupine.Operation
}

// Whatever eight clients of a centre see, through two cells that compete for its rows while holds run out and are swept,
// could have been seen had all commands come one by one.
func TestEveryHistoryOfACentreIsThatOfASingleShelf(t *testing.T) {
	db := sqldbtest.New(t, sqldb.Regional)
	n := seeds(t)
	for seed := range n {
		linearSeed(t, db, uint64(seed))
	}
	t.Logf("%d seeds, %d operations each, at %d centres", n, linearOps, linearCenters)
}

func linearSeed(t *testing.T, db *sqldb.DB, seed uint64) {
	t.Helper()
	ids := make([]string, linearCenters)
	for i := range ids {
		ids[i] = fmt.Sprintf("iad%d-%d", seed, i)
	}
	w := newTwoCells(db, ids)
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var background sync.WaitGroup
	defer background.Wait()
	p := &pace{ticks: make(chan struct{}, 1)}
	slots := make(chan struct{}, linearAtOnce)
	var all sync.WaitGroup
	centers := make([]*center, linearCenters)
	background.Go(func() { w.timeGoesOn(ctx, p) })
	for i := range centers {
		slots <- struct{}{}
		c := &center{twoCells: w, id: ids[i], skus: [linearSKUs]string{fmt.Sprintf("ale-%d-%d", seed, i), fmt.Sprintf("cider-%d-%d", seed, i)}}
		for o := range c.ids {
			c.ids[o] = newOrder()
		}
		centers[i] = c
		all.Go(func() {
			defer func() { <-slots }()
			c.work(t, seed<<16|uint64(i), p)
		})
	}
	all.Wait()
	stop()
	background.Wait()
	for _, c := range centers {
		c.check(t, seed)
		checkBooks(t, db, c.id)
	}
}

// timeGoesOn by a minute every so many operations, and now and then one cell or the other sweeps.
func (w twoCells) timeGoesOn(ctx context.Context, p *pace) {
	for turn := 0; ; turn++ {
		select {
		case <-p.ticks:
			for _, c := range w.clocks {
				c.Advance(time.Minute)
			}
			if turn%4 < 2 {
				_, _ = w.cells[turn%4].Sweep(ctx) // it may lose a race for rows, and comes again
			}
		case <-ctx.Done():
			return
		}
	}
}

// pace of a seed: a tick every two hundred operations.
type pace struct {
	done  atomic.Int64
	ticks chan struct{}
}

func (p *pace) step() {
	if p.done.Add(1)%200 == 0 {
		select {
		case p.ticks <- struct{}{}:
		default: // one is waiting
		}
	}
}

// work of the clients of a centre.
func (c *center) work(t *testing.T, seed uint64, p *pace) {
	var clients sync.WaitGroup
	defer clients.Wait()
	for id := range linearClients {
		clients.Go(func() {
			r := rand.New(rand.NewPCG(seed, uint64(id)))
			for range linearOps / linearCenters / linearClients {
				if err := c.one(t.Context(), id, r); err != nil {
					t.Errorf("seed %d: %v", seed, err)
					return
				}
				p.step()
			}
		})
	}
}

// one command, drawn and done. Commands of one order go to one cell: that a release is seen by a reserve that another
// cell has under way is not promised (see Service.release).
func (c *center) one(ctx context.Context, client int, r *rand.Rand) error {
	in := call{order: r.IntN(linearOrders), kind: drawKind(r), from: c.minute(0)}
	in.until = in.from + 2 + int16(r.IntN(4))
	// What an order asks for is drawn from its number: its reserve is always the same.
	per := rand.New(rand.NewPCG(uint64(in.order), 7))
	in.wanted, in.partial = [linearSKUs]int16{1 + int16(per.IntN(3)), int16(per.IntN(3))}, per.IntN(2) == 0
	if in.kind == "restock" {
		in.delivery = r.IntN(12)
		per = rand.New(rand.NewPCG(uint64(in.delivery), 11))
		in.wanted = [linearSKUs]int16{int16(1 + per.IntN(4)), int16(1 + per.IntN(4))}
	}
	began := nanos()
	out, err := c.send(ctx, c.cells[in.order%2], in)
	ended := nanos()
	in.to = c.minute(1)
	if problem.KindOf(err) == problem.Invalid && in.until <= in.to {
		return nil // time has gone on too far; nothing was asked
	}
	if err != nil {
		return fmt.Errorf("%s at %s: %w", in.kind, c.id, err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.history = append(c.history, porcupine.Operation{ClientId: client, Input: in, Call: began, Output: out, Return: ended})
	return nil
}

func drawKind(r *rand.Rand) string {
	kinds := [...]string{"reserve", "reserve", "reserve", "reserve", "list", "extend", "commit", "release", "ship", "restock"}
	return kinds[r.IntN(len(kinds))]
}

var started = clock.System{}.Now()

// nanos since the tests began, by the monotonic clock.
func nanos() int64 { return int64(clock.System{}.Now().Sub(started)) }

func (c *center) send(ctx context.Context, cell *Service, in call) (out reply, err error) {
	order := c.ids[in.order]
	switch in.kind {
	case "reserve":
		var resp *inventoryv1.ReserveResponse
		req := &inventoryv1.ReserveRequest{FcId: c.id, OrderId: order, ExpiresAt: minuteAt(in.until), Partial: in.partial}
		for sku, n := range in.wanted {
			if n > 0 {
				req.Lines = append(req.Lines, &inventoryv1.ReserveLine{Line: int32(sku + 1), Sku: c.skus[sku], Quantity: int64(n)})
			}
		}
		resp, err = cell.Reserve(ctx, req)
		out.until = int16(resp.GetExpiresAt().AsTime().Sub(opened) / time.Minute)
		for _, l := range resp.GetLines() {
			out.units[l.GetLine()-1] += int16(l.GetQuantity())
		}
	case "extend":
		_, err = cell.ExtendHold(ctx, &inventoryv1.ExtendHoldRequest{FcId: c.id, OrderId: order, ExpiresAt: minuteAt(in.until)})
	case "commit":
		_, err = cell.Commit(ctx, &inventoryv1.CommitRequest{FcId: c.id, OrderId: order})
	case "release":
		var resp *inventoryv1.ReleaseResponse
		resp, err = cell.Release(ctx, &inventoryv1.ReleaseRequest{FcId: c.id, OrderId: order})
		out.units[0] = int16(resp.GetReleased())
	case "ship":
		var resp *inventoryv1.ShipResponse
		resp, err = cell.Ship(ctx, &inventoryv1.ShipRequest{FcId: c.id, OrderId: order})
		out.units[0] = int16(resp.GetShipped())
	case "restock":
		var resp *inventoryv1.RestockResponse
		req := &inventoryv1.RestockRequest{FcId: c.id, DeliveryId: fmt.Sprint(in.delivery)}
		for sku, n := range in.wanted {
			req.Lines = append(req.Lines, &inventoryv1.RestockLine{Sku: c.skus[sku], Quantity: int64(n)})
		}
		resp, err = cell.Restock(ctx, req)
		out.twin = resp.GetAlreadyCounted()
	case "list":
		out.units, err = c.list(ctx, cell)
	}
	out.reason = "ok"
	if p := problem.As(err); p != nil && p.Kind == problem.Precondition {
		out, err = reply{reason: p.Reason}, nil
	}
	return out, err
}

// list what can be had here.
func (c *center) list(ctx context.Context, cell *Service) (units [linearSKUs]int16, err error) {
	resp, err := cell.ListStock(ctx, &inventoryv1.ListStockRequest{Skus: c.skus[:]})
	for _, st := range resp.GetStocks() {
		for sku, name := range c.skus {
			if st.GetSku() == name {
				units[sku] = int16(st.GetAvailable())
			}
		}
	}
	return units, err
}

// check a centre's history.
func (c *center) check(t *testing.T, seed uint64) {
	t.Helper()
	model := linearModel()
	result, info := porcupine.CheckOperationsVerbose(model, c.history, checkFor)
	if result == porcupine.Ok {
		return
	}
	t.Fatalf("seed %d: the history of %s is %s:\n%s", seed, c.id, result, furthest(model, info, c.history))
}

// furthest tells how far a history could be put in order, and what could come next but is wrong.
func furthest(model porcupine.Model, info porcupine.LinearizationInfo, history []porcupine.Operation) string {
	var longest []porcupine.Operation
	for _, all := range info.PartialLinearizationsOperations() {
		for _, ops := range all {
			if len(ops) > len(longest) {
				longest = ops
			}
		}
	}
	var b strings.Builder
	state, placed := model.Init(), map[porcupine.Operation]bool{}
	for _, op := range longest {
		_, state = model.Step(state, op.Input, op.Output)
		placed[op] = true
	}
	for _, op := range longest[max(0, len(longest)-30):] {
		fmt.Fprintln(&b, "  ", model.DescribeOperation(op.Input, op.Output))
	}
	fmt.Fprintf(&b, "  the shelf is then: %v\n  and none of these can be next:\n", state)
	first := int64(math.MaxInt64)
	for _, op := range history {
		if !placed[op] {
			first = min(first, op.Return)
		}
	}
	for _, op := range history {
		if !placed[op] && op.Call <= first {
			fmt.Fprintln(&b, "  ", model.DescribeOperation(op.Input, op.Output))
		}
	}
	return b.String()
}
