//go:build e2e

package e2e

import (
	"errors"
	"math/rand/v2"
	"os"
	"strings"
	"testing"
	"time"

	orderv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/order/v1"
	"github.com/cellar-commerce/cellar/internal/platform"
	"github.com/cellar-commerce/cellar/internal/shop"
)

// play shoppers in the background; the channel gives their report.
func play(t *testing.T, orders int) <-chan shop.Report {
	t.Helper()
	out := make(chan shop.Report, 1)
	go func() {
		report, err := shop.Run(t.Context(), shop.Config{Routers: routers(), Shoppers: 8, Orders: orders, Seed: 3, AwaitShipped: time.Minute})
		if err != nil {
			t.Error(err)
		}
		out <- report
	}()
	return out
}

func checkPlay(t *testing.T, r shop.Report) {
	t.Helper()
	if !r.Clean() || r.Outcomes[shop.Placed] == 0 || r.Shipped+r.Canceled[shop.CanceledWhole] != r.Outcomes[shop.Placed] {
		t.Errorf("outcomes %v, %d shipped, canceled %v, faults %v", r.Outcomes, r.Shipped, r.Canceled, r.Faults)
	}
	if err := finalAudit(); err != nil {
		t.Error(err)
	}
}

func status(t *testing.T, name string) platform.Status {
	t.Helper()
	for _, s := range running.Status(t.Context()) {
		if s.Name == name {
			return s
		}
	}
	return platform.Status{}
}

func TestKillingACellLosesNoOrder(t *testing.T) {
	done := play(t, 150)
	newClient(t, router(0)).buy() // shoppers are at it
	if err := running.Kill("cell-use1-a"); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the cell is down", func() bool { return !status(t, "cell-use1-a").Running })
	if err := running.Restart(t.Context(), "cell-use1-a"); err != nil {
		t.Fatal(err)
	}
	checkPlay(t, <-done)
}

// kills of TestKillingCellsAtRandomMoments, each within killWithin of the one before.
const (
	kills      = 20
	killWithin = 1500 * time.Millisecond
)

func TestKillingCellsAtRandomMomentsLosesNoOrder(t *testing.T) {
	draw, cells := rand.New(rand.NewPCG(11, 0)), running.Layout().Cells
	done := play(t, 80)
	for n := 0; n < kills; {
		select {
		case report := <-done:
			checkPlay(t, report)
			done = play(t, 80)
		case <-time.After(time.Duration(draw.Int64N(int64(killWithin)))):
			name := "cell-" + cells[draw.IntN(len(cells))].ID
			if err := running.Kill(name); err != nil {
				t.Fatal(err)
			}
			n++
			if err := running.Restart(t.Context(), name); err != nil {
				t.Fatal(err)
			}
		}
	}
	checkPlay(t, <-done)
	for _, c := range cells {
		settled(t, c.ID)
	}
}

// What an operator does by docs/recovering-a-saga.md.
func TestTheSagaOfADeadCellIsTakenOverByTheNextOwnerOfItsSlot(t *testing.T) {
	var begun struct{ SagaID string }
	show := func() (status, heldBy string) {
		var shown struct {
			Saga struct{ Status, HeldBy string }
		}
		cellctlJSON(t, &shown, "saga", "show", begun.SagaID)
		return shown.Saga.Status, shown.Saga.HeldBy
	}
	if exit := cellctlJSON(t, &begun, "saga", "demo", "begin", "--cell", "usw2-a"); exit != 0 || begun.SagaID == "" {
		t.Fatalf("exit %d, %+v", exit, begun)
	}
	if err := running.Kill("cell-usw2-a"); err != nil {
		t.Fatal(err)
	}
	evacuate(t, "usw2-a")
	eventually(t, "the other cell holds it", func() bool { _, by := show(); return by == "usw2-b" })
	cellctlText(t, "saga", "demo", "release", begun.SagaID)
	eventually(t, "it is done", func() bool { status, _ := show(); return status == "STATUS_DONE" })
	if err := running.Restart(t.Context(), "cell-usw2-a"); err != nil {
		t.Fatal(err)
	}
	undo(t, "usw2-a")
}

func TestKillingABrokerDelaysParcelsAndNothingElse(t *testing.T) {
	if err := running.Kill("broker-us-east-1"); err != nil {
		t.Fatal(err)
	}
	c := newClient(t, router(0))
	o := c.buy() // to Boston, so that centres of this region send it
	if o.GetStatus() != orderv1.Status_STATUS_PAID {
		t.Errorf("with its broker away the order is %v", o.GetStatus())
	}
	if err := running.Restart(t.Context(), "broker-us-east-1"); err != nil {
		t.Fatal(err)
	}
	c.awaitShipped(o.GetOrderId())
}

func TestKillingTheCardNetworkTakesNothingTwice(t *testing.T) {
	done := play(t, 60)
	if err := running.Kill("sandbox"); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the card network is down", func() bool { return !status(t, "sandbox").Running })
	if err := running.Restart(t.Context(), "sandbox"); err != nil {
		t.Fatal(err)
	}
	checkPlay(t, <-done)
}

func TestASecondPlatformInTheSameFolderIsRefused(t *testing.T) {
	_, err := platform.Start(t.Context(), platform.Config{Dir: running.Info().Dir, BinDir: bin(), PortOffset: 1})
	if !errors.Is(err, platform.ErrRunning) {
		t.Errorf("a second one: %v", err)
	}
}

func TestAPortThatIsTakenIsNamed(t *testing.T) {
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	_, err := platform.Start(t.Context(), platform.Config{Dir: dir, BinDir: bin(), PortOffset: running.Info().PortOffset})
	if err == nil {
		t.Fatal("it starts on ports that are taken")
	}
	for _, word := range []string{"127.0.0.1:", "--port-offset"} {
		if !strings.Contains(err.Error(), word) {
			t.Errorf("%q does not say %q", err, word)
		}
	}
}
