package cellctl

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// judgedFiles are three products, one line that is none, and judgements.
func judgedFiles(t *testing.T, judgements string) []string {
	t.Helper()
	dir := t.TempDir()
	product := func(sku, title string) string {
		return `{"sku":"` + sku + `","title":"` + title + `","categoryPath":["Home"],"price":{"currencyCode":"USD","minorUnits":"100"}}` + "\n"
	}
	args := []string{"search", "judge"}
	for name, text := range map[string]string{
		"products":   product("A", "Steel kettle") + product("B", "Glass kettle") + product("C", "Red vase") + "not a product\n",
		"judgements": judgements,
	} {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		args = append(args, "--"+name, path)
	}
	return args
}

func TestASearchIsJudgedByFiles(t *testing.T) {
	files := judgedFiles(t, "kettle\tB\t3\nkettle\tA\t0\nvase\tC\t3\nlamp\tC\t0\ntoaster\tC\t1\n")
	out, err := call(t, append(files, "-o", "json")...)
	var r judgedSearch
	if jsonErr := json.Unmarshal([]byte(out), &r); err != nil || jsonErr != nil {
		t.Fatalf("%v, %v: %s", err, jsonErr, out)
	}
	// A stands before B; the vase stands first; there is no toaster.
	if want := (.6309297535714574 + 1 + 0) / 3; r.Products != 3 || r.Refused != 1 || r.At != 10 || r.Skipped != 1 || len(r.Queries) != 3 || r.NDCG < want-1e-9 || r.NDCG > want+1e-9 {
		t.Errorf("want %v: %s", want, out)
	}
	out, err = call(t, append(files, "--worst", "1")...)
	for _, says := range []string{"toaster", "0.000", "3 queries", "0.544", "3 products, 1 lines that are none; 1 queries"} {
		if err != nil || !strings.Contains(out, says) {
			t.Errorf("%v, and it does not say %q: %s", err, says, out)
		}
	}
	if strings.Contains(out, "vase") {
		t.Errorf("more is listed than the worst: %s", out)
	}
}

func TestASearchIsNotJudgedByWhatIsNoJudgement(t *testing.T) {
	if _, err := call(t, judgedFiles(t, "kettle B 3\n")...); err == nil || !strings.Contains(err.Error(), "line 1") {
		t.Errorf("got %v", err)
	}
	for _, args := range [][]string{{"search", "judge"}, append(judgedFiles(t, "k\tB\t1\n"), "--at", "0")} {
		if _, err := call(t, args...); Exit(err) != ExitUsage {
			t.Errorf("%v: %v", args, err)
		}
	}
}
