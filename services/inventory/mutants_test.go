//go:build mutants

package inventory

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// mutant is a defect that is put into the code: one text is replaced by another.
type mutant struct {
	name, file, old, new string
}

var mutants = []mutant{
	{"what is reserved stays available", "book.go", "b.stock[sku].available -= wanted[i]\n", "_ = wanted[i]\n"},
	{"parts of several lines are taken from one unit", "book.go", "left[l.sku] -= l.quantity\n", ""},
	{"a part is held anew in rows of the whole", "book.go", "d.partial = false // the rows", "// the rows"},
	{"what is released does not come back", "book.go", "r.become(Released)\n\t\t\tb.stock[r.sku].available += r.quantity\n", "r.become(Released)\n"},
	{"a run-out hold is still answered as held", "book.go", "case expired == 0:", "case expired >= 0:"},
	{"a released order reserves again", "book.go", "if o.tombstone {\n\t\treturn grant{}, released()", "if false {\n\t\treturn grant{}, released()"},
	{"a run-out hold is sold", "book.go", "if r.state == Expired || r.ranOut(b.now) {\n\t\t\treturn nil, ranOut()", "if r.state == Expired {\n\t\t\treturn nil, ranOut()"},
	{"a release leaves no tombstone", "book.go", "o.tombstone, o.buried = true, true", "o.tombstone = true"},
	{"what is shipped ships again", "book.go", "if err != nil || rows[0].state == Shipped {", "if err != nil {"},
	{"an extension shortens", "book.go", "r.state == Held && r.expiresAt.Before(until)", "r.state == Held"},
	{"stock is read without a lock", "store.go", "WHERE region = $1 AND fc_id = s.fc_id AND sku = s.sku\n  FOR UPDATE", "WHERE region = $1 AND fc_id = s.fc_id AND sku = s.sku"},
	{"a delivery counts twice", "store.go", "ON CONFLICT (region, fc_id, kind, source_id, sku) DO NOTHING", "ON CONFLICT (region, fc_id, kind, source_id, sku) DO UPDATE SET delta = excluded.delta"},
	{"held units are listed", "store.go", "r.sku = i.sku AND r.state = 'HELD' AND r.expires_at <= $3\n), 0)::int8 AS available\nFROM inventory AS i", "r.sku = i.sku AND r.state = 'HELD' AND $3::timestamptz IS NOT NULL\n), 0)::int8 AS available\nFROM inventory AS i"},
	{"units that have moved are not written", "store.go", "\nSET available = excluded.available, reserved = excluded.reserved", "\nSET available = excluded.available"},
	{"commands that find too little are done twice", "combiner.go", "\t\tif b, err = d.load(ctx, stock, orders); err != nil {", "\t\tif err != nil {"},
	{"what is taken blindly is more than there is", "store.go", "  WHERE i.available >= m.units\n), @*/", "  WHERE i.available >= 0\n), @*/"},
	{"what is taken blindly is not told when it gets low", "store.go", "WHERE width_bucket(available, $5::int8[]) <> width_bucket(available - units, $5::int8[])", "WHERE width_bucket(available, $5::int8[]) > 99"},
	{"an order is held blindly after its tombstone", "store.go", "SELECT 1 / (count(*) = 0)::int\nFROM unnest($10", "SELECT 1 / (count(*) >= 0)::int\nFROM unnest($10"},
	{"a hold is sold blindly that has run out", "store.go", "state = 'HELD' AND expires_at > $7\n    FOR UPDATE", "state = 'HELD' AND $7::timestamptz IS NOT NULL\n    FOR UPDATE"},
	{"a hold is sold blindly that has shipped", "store.go", "AND sku = n.sku AND quantity = n.quantity AND state = 'HELD' AND expires_at > $7\n    FOR", "AND sku = n.sku AND quantity = n.quantity AND expires_at > $7\n    FOR"},
	{"a tombstone does not keep a hold from being sold blindly", "store.go", "WHERE tombstone.n = 0\n", "WHERE tombstone.n >= 0\n"},
	{"answers go to others", "combiner.go", "cmd.finish(answers[i])", "cmd.finish(answers[len(answers)-1-i])"},
}

// Each defect is caught by the comparisons with the models. The code itself is not touched: the compiler is told to read
// another file in its place.
func TestEveryMutantIsCaught(t *testing.T) {
	for _, m := range mutants {
		t.Run(m.name, func(t *testing.T) {
			if out, caught := m.run(t); !caught {
				t.Errorf("the defect was not noticed:\n%s", out)
			}
		})
	}
}

// run the models' tests with the defect in place.
func (m mutant) run(t *testing.T) (out string, caught bool) {
	t.Helper()
	path, err := filepath.Abs(m.file)
	if err != nil {
		t.Fatal(err)
	}
	code, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(string(code), m.old); n != 1 {
		t.Fatalf("%s has the text %d times, once is needed: %s", m.file, n, m.old)
	}
	dir := t.TempDir()
	changed, overlay := filepath.Join(dir, m.file), filepath.Join(dir, "overlay.json")
	if err := os.WriteFile(changed, []byte(strings.Replace(string(code), m.old, m.new, 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	list, err := json.Marshal(map[string]map[string]string{"Replace": {path: changed}})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(overlay, list, 0o600); err != nil {
		t.Fatal(err)
	}
	test := filepath.Join(dir, "inventory.test")
	if built, err := exec.CommandContext(t.Context(), "go", "test", "-c", "-overlay", overlay, "-o", test, ".").CombinedOutput(); err != nil {
		t.Fatalf("the defect does not compile: %v\n%s", err, built)
	}
	cmd := exec.CommandContext(t.Context(), test, "-test.run", "EveryHistory|EveryCommand|Blindly", "-test.failfast", "-test.timeout", "5m", "-rapid.nofailfile")
	cmd.Env = append(os.Environ(), "CELLAR_SEEDS=3")
	all, err := cmd.CombinedOutput()
	return string(all), err != nil
}
