//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"connectrpc.com/connect"

	cartv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/cart/v1"
	orderv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/order/v1"
	topologyv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/topology/v1"
	"github.com/cellar-commerce/cellar/internal/ident"
	"github.com/cellar-commerce/cellar/internal/session"
	"github.com/cellar-commerce/cellar/internal/shop"
)

// move of slots, as cellctl prints it.
type move struct {
	EvacuationID string `json:"evacuationId"`
	State        string
	SlotsMoved   int
	Findings     []struct {
		Name  string
		Holds bool
		Text  string
	}
}

// operate runs a command that moves slots, and takes what it reports; it has to end well.
func operate(t *testing.T, args ...string) move {
	t.Helper()
	var m move
	if exit := cellctlJSON(t, &m, append(args, "--reason", t.Name(), "--who", "e2e", "--yes")...); exit != 0 || m.State != "EVACUATION_STATE_DONE" {
		t.Errorf("cellctl %s ends with %d: %+v", strings.Join(args, " "), exit, m)
	}
	return m
}

// shoppers at it until they are stopped, with what they were told; every call that had no answer is counted.
type shoppers struct {
	t      *testing.T
	stop   chan struct{}
	done   chan shop.Report
	calls  atomic.Int64
	mu     sync.Mutex
	failed []string
}

func startShoppers(t *testing.T) *shoppers {
	t.Helper()
	s := &shoppers{t: t}
	s.stop, s.done = startShop(t, shop.Config{
		Shoppers: 4, Seed: 5, AwaitShipped: time.Minute,
		Observe: func(c shop.Call) {
			s.calls.Add(1)
			if c.Failed() {
				s.mu.Lock()
				defer s.mu.Unlock()
				s.failed = append(s.failed, fmt.Sprintf("%s of %s at %s after %s: %v", c.Name, c.Customer, c.Began.UTC().Format("15:04:05.000"), c.Took, c.Err))
			}
		},
	})
	s.progress(40)
	return s
}

// startShop at all routers, without an end: whoever closes stop is given the report. It does not outlive the test.
func startShop(t *testing.T, cfg shop.Config) (stop chan struct{}, done chan shop.Report) {
	t.Helper()
	stop, done = make(chan struct{}), make(chan shop.Report, 1)
	cfg.Routers, cfg.Orders, cfg.Stop = routers(), math.MaxInt32, stop
	ctx, leave := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	t.Cleanup(func() { // a test that has failed leaves them at it
		leave()
		wg.Wait()
	})
	wg.Go(func() {
		report, err := shop.Run(ctx, cfg)
		if err != nil && ctx.Err() == nil {
			t.Error(err)
		}
		done <- report
	})
	return stop, done
}

// progress of so many calls more.
func (s *shoppers) progress(calls int64) {
	s.t.Helper()
	until := s.calls.Load() + calls
	eventually(s.t, "shoppers go on", func() bool { return s.calls.Load() >= until })
}

// end of it: nobody may have been left without an answer.
func (s *shoppers) end() {
	s.t.Helper()
	close(s.stop)
	report := <-s.done
	if len(s.failed) > 0 {
		s.t.Errorf("%d of %d calls had no answer:\n%s", len(s.failed), s.calls.Load(), strings.Join(s.failed, "\n"))
	}
	checkPlay(s.t, report)
}

func TestEvacuatingACellUnderShoppersFailsNobody(t *testing.T) {
	settled(t, "use1-a")
	s := startShoppers(t)
	m := operate(t, "evacuate", "use1-a")
	if n := owns(t, "use1-a"); n != 0 || m.SlotsMoved == 0 {
		t.Errorf("it has %d slots, and %d have moved", n, m.SlotsMoved)
	}
	s.progress(40)
	operate(t, "undo", "use1-a")
	if n := owns(t, "use1-a"); int(n) != m.SlotsMoved {
		t.Errorf("it has %d slots again, of %d", n, m.SlotsMoved)
	}
	s.progress(40)
	s.end()
}

// guestsOf a cell of the first region, with something in their carts.
func guestsOf(t *testing.T, cell string, n int) (all []*client) {
	t.Helper()
	sku := newClient(t, router(0)).plentiful()
	for range 40 * n {
		c := newClient(t, router(0))
		c.add(sku, 1)
		if where(t, c).GetCellId() == cell {
			if all = append(all, c); len(all) == n {
				return all
			}
		}
	}
	t.Fatalf("only %d guests came to %s", len(all), cell)
	return nil
}

func customer(t *testing.T, c *client) string {
	t.Helper()
	id, ok := session.ParseCustomer(c.token)
	if !ok {
		t.Fatal("she has no session")
	}
	return string(id)
}

func where(t *testing.T, c *client) *topologyv1.GetCustomerResponse {
	t.Helper()
	resp, err := plane(t).GetCustomer(t.Context(), &topologyv1.GetCustomerRequest{CustomerId: customer(t, c)})
	if err != nil {
		t.Fatal(err)
	}
	return resp
}

// lateWrites are sent to the cell that hangs: they reach it, and are read when it wakes.
const lateWrites = 64

func TestWhatAHungCellDoesWhenItWakesCommitsNothing(t *testing.T) {
	cellctlText(t, "automation", "off", "--reason", t.Name())
	defer cellctlText(t, "automation", "on", "--reason", t.Name())
	settled(t, "use1-a")
	guests := guestsOf(t, "use1-a", 4)
	pid := status(t, "cell-use1-a").PID
	if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	resume := sync.OnceFunc(func() { _ = syscall.Kill(pid, syscall.SIGCONT) })
	defer resume()
	var wg sync.WaitGroup
	var committed atomic.Int64
	sku := newClient(t, router(1)).plentiful()
	for n := range lateWrites {
		late := &client{t: t, router: "http://" + running.Layout().Cells[0].Public, token: guests[n%len(guests)].token}
		wg.Go(func() {
			if _, err := late.carts().SetQuantity(t.Context(), &cartv1.SetQuantityRequest{Sku: sku, Quantity: 7}); err == nil {
				committed.Add(1)
			}
		})
	}
	operate(t, "evacuate", "use1-a")
	for _, g := range guests { // while it hangs still
		g.add(sku, 1)
	}
	resume()
	wg.Wait()
	if n := committed.Load(); n > 0 {
		t.Errorf("%d of %d late writes were taken", n, lateWrites)
	}
	for _, g := range guests {
		resp, err := g.carts().GetCart(t.Context(), &cartv1.GetCartRequest{})
		if err != nil {
			t.Fatal(err)
		}
		for _, l := range resp.GetCart().GetLines() {
			if l.GetQuantity() >= 7 {
				t.Errorf("a late write has made it %d of %s", l.GetQuantity(), l.GetSku())
			}
		}
	}
	eventually(t, "it serves again", func() bool { return status(t, "cell-use1-a").Ready })
	undo(t, "use1-a")
	if err := finalAudit(); err != nil {
		t.Error(err)
	}
}

func TestWithoutAControlPlaneNobodyIsFailedOldOrNew(t *testing.T) {
	old := newClient(t, router(0))
	old.buy()
	s := startShoppers(t)
	if err := running.Kill("controlplane"); err != nil {
		t.Fatal(err)
	}
	s.progress(80) // each visit begins as a visitor whom nobody knows
	old.buy()
	s.end()
	// A router that starts now knows the map from its own file.
	if err := running.Restart(t.Context(), "router-us-west-2"); err != nil {
		t.Fatal(err)
	}
	old.router = router(1)
	old.buy()
	newClient(t, router(1)).buy()
	if err := running.Restart(t.Context(), "controlplane"); err != nil {
		t.Fatal(err)
	}
	eventually(t, "it leads again", func() bool {
		a, err := plane(t).GetAutomation(t.Context(), &topologyv1.GetAutomationRequest{})
		return err == nil && a.GetLeader() != ""
	})
}

// startCell of the first region beside those of the platform: with the flags of another, under a name and ports of its own.
func startCell(t *testing.T, id string) (public, internal, admin string) {
	t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", status(t, "cell-use1-b").PID))
	if err != nil {
		t.Fatal(err)
	}
	port := func(before int) string { return fmt.Sprintf("127.0.0.1:%d", before+running.Info().PortOffset) }
	public, internal, admin = port(8110), port(8130), port(8150)
	own := map[string]string{"--id": id, "--public": public, "--internal": internal, "--admin": admin, "--map": filepath.Join(t.TempDir(), "map")}
	args := strings.Split(strings.TrimSuffix(string(b), "\x00"), "\x00")[1:]
	for n := range args {
		if n > 0 && own[args[n-1]] != "" {
			args[n] = own[args[n-1]]
		}
	}
	log, err := os.Create(filepath.Join(running.Info().Dir, "logs", "cell-"+id+".log"))
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(filepath.Join(bin(), "cell"), args...)
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		_ = cmd.Wait()
		_ = log.Close()
	})
	return public, internal, admin
}

func TestACellIsAddedAndGetsItsShare(t *testing.T) {
	settled(t, "use1-a")
	settled(t, "use1-b")
	public, internal, admin := startCell(t, "use1-c")
	cellctlText(t, "cell", "add", "use1-c", "--region", "us-east-1", "--public", public, "--internal", internal, "--admin", admin, "--reason", t.Name())
	s := startShoppers(t)
	before := map[string]int32{"use1-a": owns(t, "use1-a"), "use1-b": owns(t, "use1-b")}
	eventually(t, "the control plane sees it serve", func() bool {
		var plan struct{ RefusalReason string }
		return cellctlJSON(t, &plan, "cell", "rebalance", "us-east-1", "--dry-run") == 0
	})
	m := operate(t, "cell", "rebalance", "us-east-1")
	all := int32(ident.Slots)
	if n := owns(t, "use1-c"); n < all/3-2 || n > all/3+2 || int(n) != m.SlotsMoved {
		t.Errorf("it has %d slots of %d, and %d have moved", n, all, m.SlotsMoved)
	}
	guestsOf(t, "use1-c", 1)[0].buy()
	s.progress(40)
	operate(t, "undo", m.EvacuationID)
	s.end()
	for cell, n := range before {
		if now := owns(t, cell); now != n {
			t.Errorf("%s has %d slots again, of %d", cell, now, n)
		}
	}
	cellctlText(t, "cell", "quarantine", "use1-c", "--reason", t.Name(), "--yes")
}

func TestACustomerIsPinnedAndUnpinnedWhileSheShops(t *testing.T) {
	settled(t, "use1-a")
	c := guestsOf(t, "use1-a", 1)[0]
	cellctlText(t, "customer", "pin", customer(t, c), "use1-b", "--reason", t.Name(), "--expires", "1h")
	if w := where(t, c); w.GetCellId() != "use1-b" || w.GetSlotOwner() != "use1-a" || w.GetOverride().GetReason() != t.Name() {
		t.Errorf("she is at %v", w)
	}
	quote := c.quote().GetQuoteToken()
	o, err := c.place(quote, "tok_visa", "pinned-"+ident.NewToken())
	if err != nil || o.GetStatus() != orderv1.Status_STATUS_PAID {
		t.Fatal(o.GetStatus(), err)
	}
	// The cell before must not take anything of hers, whoever asks.
	astray := &client{t: t, router: "http://" + running.Layout().Cells[0].Public, token: c.token}
	if _, err := astray.carts().AddItem(t.Context(), &cartv1.AddItemRequest{Sku: c.plentiful(), Quantity: 1}); err == nil || connect.CodeOf(err) == connect.CodeUnknown {
		t.Errorf("the cell before takes her: %v", err)
	}
	c.buy()
	cellctlText(t, "customer", "unpin", customer(t, c), "--reason", t.Name())
	if w := where(t, c); w.GetCellId() != "use1-a" || w.GetOverride() != nil {
		t.Errorf("she is at %v", w)
	}
	c.buy()
	c.awaitShipped(o.GetOrderId())
}

func TestAnEvacuationWhoseDriverDiesIsFinishedByTheNextOne(t *testing.T) {
	settled(t, "usw2-b")
	s := startShoppers(t)
	var m move
	if exit := cellctlJSON(t, &m, "evacuate", "usw2-b", "--reason", t.Name(), "--yes", "--wait=false"); exit != 0 {
		t.Fatal(exit)
	}
	if err := running.Kill("controlplane"); err != nil { // in the middle of it, wherever that is
		t.Fatal(err)
	}
	s.progress(20)
	if err := running.Restart(t.Context(), "controlplane"); err != nil {
		t.Fatal(err)
	}
	if exit := cellctlJSON(t, &m, "evacuate", "show", m.EvacuationID, "--wait"); exit != 0 || m.State != "EVACUATION_STATE_DONE" || owns(t, "usw2-b") != 0 {
		t.Errorf("exit %d, %+v", exit, m)
	}
	operate(t, "undo", "usw2-b")
	s.end()
}
