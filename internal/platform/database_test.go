package platform

import (
	"os"
	"path/filepath"
	"testing"
)

func TestDataOfAPlatformThatWasDeletedAreSetAside(t *testing.T) {
	dir := t.TempDir()
	folder := filepath.Join(dir, "data")
	data := filepath.Join(folder, "postgres")
	claimed := func(platform string) (aside string) {
		t.Helper()
		aside, err := claim(folder, filepath.Join(dir, platform))
		if err != nil {
			t.Fatal(err)
		}
		return aside
	}
	if err := os.MkdirAll(data, 0o700); err != nil {
		t.Fatal(err)
	}
	for _, when := range []string{"first", "again"} {
		if aside := claimed("one"); aside != "" {
			t.Errorf("%s: its own data went to %s", when, aside)
		}
	}
	aside := claimed("another")
	if _, err := os.Stat(filepath.Join(aside, "postgres")); aside == "" || err != nil {
		t.Errorf("the data of the first platform are not in %q: %v", aside, err)
	}
	if _, err := os.Stat(data); err == nil {
		t.Error("another platform finds the first one's data")
	}
	if aside := claimed("another"); aside != "" {
		t.Errorf("then its own data went to %s", aside)
	}
}
