package cellctl

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cellar-commerce/cellar/internal/audit"
	"github.com/cellar-commerce/cellar/internal/opening"
	"github.com/cellar-commerce/cellar/internal/platform"
	"github.com/cellar-commerce/cellar/internal/shop"
)

// call the command line as a user would.
func call(t *testing.T, args ...string) (string, error) {
	t.Helper()
	var out bytes.Buffer
	cmd := New()
	cmd.SetOut(&out)
	cmd.SetErr(&out)
	cmd.SetArgs(append([]string{"--dir", t.TempDir()}, args...))
	err := cmd.ExecuteContext(t.Context())
	return out.String(), err
}

func TestWrongArgumentsAreRefusedBeforeAnythingHappens(t *testing.T) {
	for _, c := range []struct {
		args []string
		says string
	}{
		{[]string{"status", "-o", "xml"}, "table, json or yaml"},
		{[]string{"up", "--db", "sqlite"}, "postgres or cockroach"},
		{[]string{"up", "--products", "-1"}, "0 to 1000000"},
		{[]string{"up", "now"}, "unknown command"},
		{[]string{"seed", "--products", "0"}, "1 to 1000000"},
		{[]string{"shop", "--shoppers", "0"}, "1 to 1000"},
		{[]string{"shop", "--orders", "-5"}, "1 to 10000000"},
		{[]string{"shop", "--rate", "-1"}, "--rate must be 0 to 10000"},
		{[]string{"shop", "--rate", "NaN"}, "--rate must be 0 to 10000"},
		{[]string{"shop", "--rate", "1", "--flash-sale"}, "has none"},
		{[]string{"bench", "pages", "--seconds", "61"}, "1 to 60"},
		{[]string{"bench", "pages", "--orders-per-second", "0"}, "above 0"},
		{[]string{"shop", "--decline", "101"}, "0 to 100"},
		{[]string{"shop", "--timeout-after-success", "-1"}, "0 to 100"},
		{[]string{"shop", "--kill-every", "1ms"}, "a second or more"},
		{[]string{"saga", "list", "--status", "gone"}, "parked, running or undoing"},
		{[]string{"saga", "retry", "x", "--yes"}, "--reason is required"},
		{[]string{"saga", "undo", "x", "--reason", " ", "--yes"}, "--reason is required"},
		{[]string{"saga", "show"}, "accepts 1 arg"},
		{[]string{"bench", "evacuate", "--rounds", "0"}, "--rounds 1 to 100"},
		{[]string{"import"}, "accepts 1 arg"},
		{[]string{"restart"}, "accepts 1 arg"},
		{[]string{"nonsense"}, "unknown command"},
		{[]string{"voucher", "create"}, "accepts 1 arg"},
		{[]string{"voucher", "create", "X-1", "--percent", "ten"}, "--percent"},
		{[]string{"voucher", "create", "X-1", "--amount", "5", "--until", "Christmas"}, "--until"},
	} {
		if _, err := call(t, c.args...); err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%v: %v, which does not say %q", c.args, err, c.says)
		}
	}
}

func TestWithoutAPlatformEveryCommandSaysSo(t *testing.T) {
	for _, args := range [][]string{{"status"}, {"down"}, {"restart", "x"}, {"seed"}, {"import", "f"}, {"shop"}, {"audit"}, {"kill", "x"},
		{"map", "show"}, {"cell", "list"}, {"watch"}, {"evacuate", "a", "--dry-run"}, {"bench", "evacuate", "--running"}, {"saga", "list"}, {"saga", "show", "x"}, {"saga", "retry", "x", "--reason", "y"}, {"saga", "demo", "begin"}, {"saga", "demo", "release", "x"}, {"voucher", "create", "X-1", "--percent", "5"}, {"voucher", "show", "X-1"}, {"voucher", "disable", "X-1"}} {
		if _, err := call(t, args...); !errors.Is(err, platform.ErrNotRunning) {
			t.Errorf("%v: %v", args, err)
		}
	}
}

func TestHelpNamesEveryCommand(t *testing.T) {
	out, err := call(t, "help")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"up", "down", "status", "restart", "seed", "import", "shop", "audit", "voucher", "map", "cell", "customer", "evacuate", "undo", "watch", "automation"} {
		if !strings.Contains(out, "\n  "+name+" ") {
			t.Errorf("help does not list %s:\n%s", name, out)
		}
	}
}

func TestTheAuditsJSONHasItsPublicShape(t *testing.T) {
	var b bytes.Buffer
	o := &options{output: "json"}
	report := audit.Report{Promises: []audit.Promise{{Number: 1, Name: "no oversell", Checked: 3, Violations: []string{}}}}
	if err := o.print(&b, report, nil); err != nil {
		t.Fatal(err)
	}
	var shape struct {
		Promises []struct {
			Number     int
			Name       string
			Checked    int
			Violations []string
		}
	}
	if err := json.Unmarshal(b.Bytes(), &shape); err != nil || len(shape.Promises) != 1 || shape.Promises[0].Number != 1 || shape.Promises[0].Violations == nil {
		t.Errorf("%s: %v", b.String(), err)
	}
}

func TestTablesSayWhatIsWrong(t *testing.T) {
	var b bytes.Buffer
	broken := audit.Report{Promises: []audit.Promise{{Number: 4, Name: "all or nothing", Checked: 9, Violations: []string{"use1-X: is half done"}}}}
	if err := auditTable(&b, broken); err != nil || !strings.Contains(b.String(), "promise 4 (all or nothing): use1-X: is half done") || strings.Contains(b.String(), "every promise holds") {
		t.Errorf("%v:\n%s", err, b.String())
	}
	b.Reset()
	if err := auditTable(&b, audit.Report{}); err != nil || !strings.Contains(b.String(), "every promise holds") {
		t.Errorf("%v:\n%s", err, b.String())
	}
	b.Reset()
	if err := statusTable(&b, []platform.Status{{Name: "cell-a", PID: 7, Running: true}, {Name: "cell-b"}}); err != nil || !strings.Contains(b.String(), "not ready") || !strings.Contains(b.String(), "down") {
		t.Errorf("%v:\n%s", err, b.String())
	}
	b.Reset()
	report := shop.Report{Orders: 2, Seconds: 4, Outcomes: map[string]int{shop.Placed: 1, shop.Unresolved: 1}, Faults: []string{"lost"}}
	if err := shopTable(&b, report); err != nil || !strings.Contains(b.String(), "fault: lost") || !strings.Contains(b.String(), "UNRESOLVED") {
		t.Errorf("%v:\n%s", err, b.String())
	}
}

func TestAFileWithoutAProductIsNoImport(t *testing.T) {
	for name, content := range map[string]string{"empty": "", "nonsense": "not a product\n"} {
		path := filepath.Join(t.TempDir(), "products.jsonl")
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := new(opening.Opener).File(t.Context(), path, opening.Options{}); err == nil || !strings.Contains(err.Error(), "no line is a product") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := new(opening.Opener).File(t.Context(), filepath.Join(t.TempDir(), "missing"), opening.Options{}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("missing: %v", err)
	}
}
