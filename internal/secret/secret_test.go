package secret

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestAKeyIsMadeOnceAndOnlyItsOwnerMayReadIt(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.key")
	var first string
	for range 2 {
		if err := Make(path); err != nil {
			t.Fatal(err)
		}
		key, err := Read(path)
		if err != nil || len(key) != 2*keyBytes || (first != "" && key != first) {
			t.Fatalf("%d characters, %v; changed: %v", len(key), err, first != "" && key != first)
		}
		first = key
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
}

func TestWhatIsNoKeyIsRefused(t *testing.T) {
	dir := t.TempDir()
	if _, err := Read(filepath.Join(dir, "missing")); err == nil {
		t.Error("a missing file is a key")
	}
	for name, content := range map[string]string{
		"short": "abc", "empty": "", "two lines": strings.Repeat("a", 40) + "\n" + strings.Repeat("b", 40), "huge": strings.Repeat("a", maxFile+1),
	} {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := Read(path); err == nil {
			t.Errorf("%s is taken for a key", name)
		}
	}
	if err := Make(filepath.Join(dir, "no", "such", "folder")); err == nil {
		t.Error("a key was made nowhere")
	}
}
