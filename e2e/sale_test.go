//go:build e2e

package e2e

import (
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cellar-commerce/cellar/internal/shop"
	"github.com/cellar-commerce/cellar/internal/stockroom"
)

// cellctlJSON runs the program as an operator does; its answer is JSON. Gives how it ended.
func cellctlJSON(t *testing.T, into any, args ...string) (exit int) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), filepath.Join(bin(), "cellctl"), append(args, "--dir", running.Info().Dir, "-o", "json")...)
	out, err := cmd.Output()
	failed, ok := errors.AsType[*exec.ExitError](err)
	if err != nil && !ok {
		t.Fatal(err)
	}
	if err := json.Unmarshal(out, into); err != nil {
		var said []byte
		if ok {
			said = failed.Stderr
		}
		t.Fatalf("cellctl %s: %v: %s\n%v: %s", strings.Join(args, " "), err, out, failed, said)
	}
	if ok {
		return failed.ExitCode()
	}
	return 0
}

// cellctlText runs the program; it has to end well.
func cellctlText(t *testing.T, args ...string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), filepath.Join(bin(), "cellctl"), append(args, "--dir", running.Info().Dir)...)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("cellctl %s: %v: %s", strings.Join(args, " "), err, out)
	}
}

func TestAFlashSaleSellsExactlyWhatThereIs(t *testing.T) {
	var report shop.Report
	exit := cellctlJSON(t, &report, "shop", "--flash-sale", "--units", "150", "--shoppers", "64")
	if exit != 0 || report.Outcomes[shop.Placed] != 150 || report.Outcomes["OUT_OF_STOCK"] != 64 || len(report.Faults) != 0 {
		t.Errorf("exit %d, outcomes %v, faults %v", exit, report.Outcomes, report.Faults)
	}
	if err := finalAudit(); err != nil {
		t.Error(err)
	}
}

func TestAnOperatorReceivesStockAndFindsItsCountsRight(t *testing.T) {
	file := filepath.Join(t.TempDir(), "deliveries.csv")
	if err := os.WriteFile(file, []byte("delivery_id,fc_id,sku,quantity\nE-1,iad1,E2E-1,5\nE-1,sea1,E2E-1,7\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, units := range []int64{12, 0} {
		var got stockroom.Received
		if exit := cellctlJSON(t, &got, "stock", "receive", file); exit != 0 || got.Units != units {
			t.Errorf("exit %d, received %+v, want %d units", exit, got, units)
		}
	}
	var found []stockroom.Finding
	if exit := cellctlJSON(t, &found, "stock", "inconsistencies"); exit != 0 || len(found) != 0 {
		t.Errorf("exit %d, found %+v", exit, found)
	}
	if exit := cellctlJSON(t, &found, "stock", "compensate", "--dry-run"); exit != 0 || len(found) != 0 {
		t.Errorf("exit %d, found %+v", exit, found)
	}
	eventually(t, "every region's summaries are right", func() bool {
		var all []stockroom.Summary
		cellctlJSON(t, &all, "stock", "summary")
		for _, s := range all {
			if s.Bits == 0 || s.ErrorRate > 0 {
				return false
			}
		}
		return true
	})
}
