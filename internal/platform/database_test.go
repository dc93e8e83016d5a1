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
	mark := filepath.Join(folder, "platform.id")
	before, err := os.ReadFile(mark)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Join(folder+"-"+string(before), "in the way"), 0o700); err != nil {
		t.Fatal(err)
	}
	if _, err := claim(folder, filepath.Join(dir, "third")); err == nil {
		t.Error("data that cannot be set aside are claimed")
	}
	if after, err := os.ReadFile(mark); err != nil || string(after) != string(before) {
		t.Errorf("they are marked as somebody else's: %q, %v", after, err)
	}
}
