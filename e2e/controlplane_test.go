//go:build e2e

package e2e

import (
	"slices"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	topologyv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/topology/v1"
	"github.com/cellar-commerce/cellar/internal/gen/cellar/topology/v1/topologyv1connect"
	"github.com/cellar-commerce/cellar/internal/problem"
	"github.com/cellar-commerce/cellar/internal/rpc"
	"github.com/cellar-commerce/cellar/internal/secret"
)

// plane is the control plane of the platform.
func plane(t *testing.T) topologyv1connect.TopologyServiceClient {
	t.Helper()
	info := running.Info()
	key, err := secret.Read(info.PeerKey)
	if err != nil {
		t.Fatal(err)
	}
	return topologyv1connect.NewTopologyServiceClient(rpc.Peer(key, nil), "http://"+info.ControlPlane, rpc.ClientOptions()...)
}

// owns tells how many slots a cell has.
func owns(t *testing.T, cell string) int32 {
	t.Helper()
	m, err := plane(t).GetMap(t.Context(), &topologyv1.GetMapRequest{})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range m.GetMap().GetCells() {
		if c.GetCellId() == cell {
			return c.GetSlots()
		}
	}
	t.Fatalf("the map has no cell %s", cell)
	return 0
}

// evacuate a cell, unless automation has done so.
func evacuate(t *testing.T, cell string) {
	t.Helper()
	p := plane(t)
	eventually(t, cell+" is being evacuated, or was", func() bool {
		planned, err := p.PlanEvacuation(t.Context(), &topologyv1.PlanEvacuationRequest{CellId: cell})
		if err != nil {
			t.Fatal(err)
		}
		if planned.GetPlan().GetRefusalReason() == "NOTHING_TO_MOVE" {
			return true
		}
		_, err = p.StartEvacuation(t.Context(), &topologyv1.StartEvacuationRequest{
			CellId: cell, PlanHash: planned.GetPlan().GetHash(), ExpiresIn: durationpb.New(time.Hour), Cause: &topologyv1.Cause{Who: "e2e", Reason: t.Name()},
		})
		early := problem.Is(err, "NOBODY_LEFT") // it has just started, and has not been told of the others yet
		if err != nil && !early && !problem.Is(err, "MOVE_UNDER_WAY") && !problem.Is(err, "PLAN_CHANGED") {
			t.Fatal(err)
		}
		return err == nil
	})
	eventually(t, cell+" owns nothing", func() bool { return owns(t, cell) == 0 })
}

// undo the last evacuation of a cell, and wait until it has its slots again.
func undo(t *testing.T, cell string) {
	t.Helper()
	p := plane(t)
	all, err := p.ListEvacuations(t.Context(), &topologyv1.ListEvacuationsRequest{})
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range all.GetEvacuations() {
		if cells := e.GetPlan().GetCells(); e.GetKind() != topologyv1.EvacuationKind_EVACUATION_KIND_EVACUATION || len(cells) != 1 || cells[0] != cell {
			continue
		}
		eventually(t, cell+" has its slots again", func() bool {
			_, err := p.UndoEvacuation(t.Context(), &topologyv1.UndoEvacuationRequest{EvacuationId: e.GetEvacuationId(), Cause: &topologyv1.Cause{Who: "e2e", Reason: t.Name()}})
			return (err == nil || problem.Is(err, "ALREADY_UNDONE")) && owns(t, cell) > 0
		})
		return
	}
	t.Fatalf("%s was not evacuated", cell)
}

// settled waits until nothing moves and a cell has its slots. Automation may have taken them while a test before had the cell
// dead, if it took long to start again: that is given back.
func settled(t *testing.T, cell string) {
	t.Helper()
	eventually(t, "nothing moves", func() bool {
		all, err := plane(t).ListEvacuations(t.Context(), &topologyv1.ListEvacuationsRequest{})
		if err != nil {
			t.Fatal(err)
		}
		return !slices.ContainsFunc(all.GetEvacuations(), func(e *topologyv1.Evacuation) bool { return e.GetEndedAt() == nil })
	})
	if owns(t, cell) == 0 {
		undo(t, cell)
	}
}

// What the control plane does by itself when a process is gone.
func TestADeadCellIsEvacuatedByItselfAndServesAgainWhenSomebodySaysSo(t *testing.T) {
	eventually(t, "somebody serves in each place", func() bool { return owns(t, "euc1-a") > 0 && owns(t, "euc1-b") > 0 })
	if err := running.Kill("cell-euc1-a"); err != nil {
		t.Fatal(err)
	}
	evacuate(t, "euc1-a") // where another cell's was a moment ago, automation waits
	if err := running.Restart(t.Context(), "cell-euc1-a"); err != nil {
		t.Fatal(err)
	}
	if n := owns(t, "euc1-a"); n != 0 {
		t.Errorf("it has %d slots without anybody having said so", n)
	}
	newClient(t, router(2)).buy()
	undo(t, "euc1-a")
	newClient(t, router(2)).buy()
}

func TestThePlatformGoesOnWithoutItsControlPlane(t *testing.T) {
	if err := running.Kill("controlplane"); err != nil {
		t.Fatal(err)
	}
	newClient(t, router(0)).buy()
	// What starts now starts from its own file.
	for _, name := range []string{"router-us-east-1", "cell-use1-b"} {
		if err := running.Restart(t.Context(), name); err != nil {
			t.Fatal(err)
		}
	}
	newClient(t, router(0)).buy()
	if err := running.Restart(t.Context(), "controlplane"); err != nil {
		t.Fatal(err)
	}
	eventually(t, "it leads again", func() bool {
		a, err := plane(t).GetAutomation(t.Context(), &topologyv1.GetAutomationRequest{})
		return err == nil && a.GetLeader() == "controlplane"
	})
}
