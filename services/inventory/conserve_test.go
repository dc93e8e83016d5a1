package inventory

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/cellar-commerce/cellar/internal/clock"
	inventoryv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/inventory/v1"
	"github.com/cellar-commerce/cellar/internal/ident"
	"github.com/cellar-commerce/cellar/internal/problem"
	"github.com/cellar-commerce/cellar/internal/sqldb"
	"github.com/cellar-commerce/cellar/internal/sqldb/sqldbtest"
)

// What tells a child of this test program that it is a cell: the ring of its orders, and the database.
const (
	envRing     = "CELLAR_TEST_CELL_RING"
	envDatabase = "CELLAR_TEST_CELL_DATABASE"
)

func TestMain(m *testing.M) {
	if ring := os.Getenv(envRing); ring != "" {
		if err := runCompetitor(ident.RingCode(ring), os.Getenv(envDatabase)); err != nil {
			fmt.Println("failed", err)
			os.Exit(1)
		}
		return
	}
	sqldbtest.Main(m)
}

const (
	contestedCenters  = 8
	contestedProducts = 16
	competitorClients = 48
)

func contested() (centers []string) {
	for i := range contestedCenters {
		centers = append(centers, fmt.Sprint("iad", i))
	}
	return centers
}

// tally of what a competitor was answered.
type tally struct{ reserved, sold atomic.Int64 }

// competitor is a cell under load, in a process of its own.
type competitor struct {
	*Service
	ring  ident.RingCode
	tally tally
	// refusals bring a delivery now and then.
	refusals atomic.Int64
}

// runCompetitor until standard input ends; it tells its tally on standard output, the last time when all is done.
func runCompetitor(ring ident.RingCode, url string) error {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	db, err := sqldb.Open(ctx, sqldb.Config{URL: url, Database: sqldb.Regional, KeepDatabase: true})
	if err != nil {
		return err
	}
	defer db.Close()
	c := &competitor{ring: ring, Service: New(Deps{
		DB: db, Region: here, FC: regionOf, Clock: clock.System{}, Log: slog.New(slog.DiscardHandler),
		Swept: func(context.Context) []string { return contested() },
	})}
	var stop atomic.Bool
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin) // it ends when the parent closes it, or dies
		stop.Store(true)
	}()
	go c.Run(ctx)
	var clients sync.WaitGroup
	failed := make(chan error, competitorClients)
	for id := range competitorClients {
		clients.Go(func() {
			r := rand.New(rand.NewPCG(uint64(id), uint64(len(ring))))
			for n := 0; !stop.Load(); n++ {
				if err := c.order(ctx, r); err != nil {
					failed <- err
					return
				}
				if id == 0 && n%20 == 0 {
					c.tell("so far")
				}
			}
		})
	}
	clients.Wait()
	c.tell("at the end")
	select {
	case err := <-failed:
		return err
	default:
		return nil
	}
}

func (c *competitor) tell(when string) {
	fmt.Println(when, c.tally.reserved.Load(), c.tally.sold.Load())
}

// order something, and sell it, give it back or forget it.
func (c *competitor) order(ctx context.Context, r *rand.Rand) error {
	fc, order := fmt.Sprint("iad", r.IntN(contestedCenters)), string(ident.NewOrder(c.ring))
	req := &inventoryv1.ReserveRequest{
		FcId: fc, OrderId: order, Partial: r.IntN(2) == 0, ExpiresAt: timestamppb.New(c.deps.Clock.Now().Add(time.Second)),
	}
	for i := range 1 + r.IntN(9) {
		req.Lines = append(req.Lines, &inventoryv1.ReserveLine{Line: int32(i + 1), Sku: fmt.Sprint("p", r.IntN(contestedProducts)), Quantity: 1 + r.Int64N(2)})
	}
	resp, err := c.Reserve(ctx, req)
	if problem.Is(err, reasonOutOfStock) {
		return c.soldOut(ctx)
	}
	if err != nil {
		return err
	}
	c.tally.reserved.Add(int64(len(resp.GetLines())))
	switch n := r.IntN(20); {
	case n < 9:
		_, err = c.Release(ctx, &inventoryv1.ReleaseRequest{FcId: fc, OrderId: order})
		return err
	case n < 12:
		return nil // it runs out
	}
	_, err = c.Commit(ctx, &inventoryv1.CommitRequest{FcId: fc, OrderId: order})
	if problem.Is(err, reasonHoldExpired) {
		return nil // this machine was slow
	}
	if err != nil {
		return err
	}
	c.tally.sold.Add(1)
	if r.IntN(2) == 0 {
		_, err = c.Ship(ctx, &inventoryv1.ShipRequest{FcId: fc, OrderId: order})
	}
	return err
}

// soldOut brings a delivery for all centres, every so often.
func (c *competitor) soldOut(ctx context.Context) error {
	if c.refusals.Add(1)%200 != 1 {
		return nil
	}
	for _, fc := range contested() {
		req := &inventoryv1.RestockRequest{FcId: fc, DeliveryId: ident.NewToken()}
		for p := range contestedProducts {
			req.Lines = append(req.Lines, &inventoryv1.RestockLine{Sku: fmt.Sprint("p", p), Quantity: 40})
		}
		if _, err := c.Restock(ctx, req); err != nil {
			return err
		}
	}
	return nil
}

// child is a competitor as its parent sees it.
type child struct {
	ring           ident.RingCode
	cmd            *exec.Cmd
	stdin          io.Closer
	reserved, sold int64 // as told last
	ended          error // how it said that it ended
}

// news of a child.
type news struct {
	from *child
	line string // empty: there is no more
}

func startChild(t *testing.T, ring ident.RingCode, url string, tell chan<- news) *child {
	t.Helper()
	c := &child{ring: ring, cmd: exec.CommandContext(t.Context(), os.Args[0])}
	c.cmd.Env = append(os.Environ(), envRing+"="+string(ring), envDatabase+"="+url)
	c.cmd.Stderr = os.Stderr
	stdin, err := c.cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := c.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	c.stdin = stdin
	go func() {
		for lines := bufio.NewScanner(stdout); lines.Scan(); {
			tell <- news{c, lines.Text()}
		}
		tell <- news{c, ""}
	}()
	return c
}

// hear what a child says; false when it was its last word.
func (n news) hear(t *testing.T) bool {
	t.Helper()
	words := strings.Fields(n.line)
	if len(words) == 0 {
		return false
	}
	if words[0] == "failed" {
		n.from.ended = errors.New(n.line)
		return true
	}
	var err [2]error
	n.from.reserved, err[0] = strconv.ParseInt(words[len(words)-2], 10, 64)
	n.from.sold, err[1] = strconv.ParseInt(words[len(words)-1], 10, 64)
	if err := errors.Join(err[:]...); err != nil {
		t.Fatalf("a competitor says %q", n.line)
	}
	return true
}

// Two cells, each a process, sell out the same products again and again; one is killed in the middle, and another takes
// its place. No unit is lost or made, and what was answered is what the rows say. CELLAR_RESERVATIONS sets how many.
func TestNoUnitIsLostOrMadeByCellsThatCompeteAndDie(t *testing.T) {
	want := int64(20_000)
	if text := os.Getenv("CELLAR_RESERVATIONS"); text != "" {
		var err error
		if want, err = strconv.ParseInt(text, 10, 64); err != nil || want < 1 {
			t.Fatalf("CELLAR_RESERVATIONS is %q, not a number from 1", text)
		}
	}
	db, url := sqldbtest.NewWithURL(t, sqldb.Regional)
	tell := make(chan news)
	first, second := startChild(t, "use1", url, tell), startChild(t, "usw2", url, tell)
	all := []*child{first, second}
	total := func() (n int64) {
		for _, c := range all {
			n += c.reserved
		}
		return n
	}
	stopping := false
	for running := 2; running > 0; {
		n := <-tell
		switch {
		case !n.hear(t):
			running--
			_ = n.from.cmd.Wait() // how it ended is what it said
		case len(all) == 2 && total() >= want/2:
			if err := first.cmd.Process.Kill(); err != nil {
				t.Fatal(err)
			}
			all = append(all, startChild(t, "euc1", url, tell))
			running++
		case !stopping && total() >= want:
			stopping = true
			for _, c := range all[1:] {
				_ = c.stdin.Close()
			}
		}
	}
	afterTheContest(t, db, all)
	t.Logf("%d reservations, %d orders sold, one of three cells killed", total(), first.sold+second.sold+all[2].sold)
}

// afterTheContest everything that was held runs out, the books are right, and the rows are what was answered.
func afterTheContest(t *testing.T, db *sqldb.DB, all []*child) {
	t.Helper()
	for i, c := range all {
		reserved := number(t, db, "SELECT count(*)::text FROM reservations WHERE region = 'us-east-1' AND line > 0 AND order_id LIKE $1", "%"+string(c.ring)+"%")
		sold := number(t, db, "SELECT count(DISTINCT order_id)::text FROM reservations WHERE region = 'us-east-1' AND state IN ('COMMITTED', 'SHIPPED') AND order_id LIKE $1", "%"+string(c.ring)+"%")
		killed := i == 0
		if c.ended != nil || reserved < c.reserved || sold < c.sold || (!killed && (reserved != c.reserved || sold != c.sold)) {
			t.Errorf("the cell of %s was told of %d reservations and %d sales, the rows have %d and %d; %v", c.ring, c.reserved, c.sold, reserved, sold, c.ended)
		}
	}
	later := New(Deps{
		DB: db, Region: here, FC: regionOf, Clock: clock.NewManual(clock.System{}.Now().Add(time.Hour)), Log: slog.New(slog.DiscardHandler),
		Swept: func(context.Context) []string { return contested() },
	})
	for n := 1; n > 0; {
		var err error
		if n, err = later.Sweep(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	wrong := sqldbtest.Texts(t, db, `
WITH held AS (
  SELECT fc_id, sku, sum(quantity) AS units FROM reservations WHERE region = 'us-east-1' AND state IN ('HELD', 'COMMITTED') GROUP BY fc_id, sku
), counted AS (
  SELECT fc_id, sku, sum(delta) AS units FROM inventory_events WHERE region = 'us-east-1' GROUP BY fc_id, sku
)
SELECT format('%s %s: %s available, %s reserved; %s held, %s counted', i.fc_id, i.sku, i.available, i.reserved, h.units, c.units)
FROM inventory AS i
LEFT JOIN held AS h ON h.fc_id = i.fc_id AND h.sku = i.sku
LEFT JOIN counted AS c ON c.fc_id = i.fc_id AND c.sku = i.sku
WHERE i.region = 'us-east-1' AND (i.available < 0 OR i.reserved <> coalesce(h.units, 0) OR i.available + i.reserved <> coalesce(c.units, 0))`)
	if len(wrong) > 0 {
		t.Errorf("units were lost or made: %v", wrong)
	}
	if rows := number(t, db, "SELECT count(*)::text FROM inventory WHERE region = 'us-east-1'"); rows != contestedCenters*contestedProducts {
		t.Errorf("%d rows of stock", rows)
	}
}

func number(t *testing.T, db *sqldb.DB, query string, args ...any) int64 {
	t.Helper()
	n, err := strconv.ParseInt(sqldbtest.Texts(t, db, query, args...)[0], 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return n
}
