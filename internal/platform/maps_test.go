package platform

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/cellar-commerce/cellar/cells/topology"
	"github.com/cellar-commerce/cellar/internal/secret"
)

// place of a platform that does not run, and the key that it signs maps with.
func place(t *testing.T) (info Info, key string) {
	t.Helper()
	dir := t.TempDir()
	keys := filepath.Join(dir, "keys")
	if err := makeKeys(keys); err != nil {
		t.Fatal(err)
	}
	return Info{Dir: dir, Map: mapFile(dir), MapKeys: publicKeyFile(keys)}, keyFile(keys, KeyMap)
}

func TestANewSigningKeyIsAddedToThoseThatAreKnown(t *testing.T) {
	info, private := place(t)
	if _, err := info.ReadMap(); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("without a map: %v", err)
	}
	m, err := topology.Even(NewLayout(0).topologyCells())
	if err != nil {
		t.Fatal(err)
	}
	key, err := topology.ReadSigningKey(private)
	if err != nil {
		t.Fatal(err)
	}
	snapshot, err := key.Sign(m)
	if err != nil {
		t.Fatal(err)
	}
	if err := topology.WriteFile(info.Map, snapshot); err != nil {
		t.Fatal(err)
	}
	known := func() int {
		keys, err := topology.ReadKeys(info.MapKeys)
		if err != nil {
			t.Fatal(err)
		}
		return len(keys)
	}
	publish := func() {
		if err := errors.Join(secret.Make(private), publishKey(private, info.MapKeys)); err != nil {
			t.Fatal(err)
		}
	}
	publish()
	if n := known(); n != 1 {
		t.Errorf("%d keys, of the one there is", n)
	}
	if err := os.Remove(private); err != nil {
		t.Fatal(err)
	}
	publish()
	if n := known(); n != 2 {
		t.Errorf("%d keys, after a second was made", n)
	}
	if _, err := info.ReadMap(); err != nil {
		t.Errorf("what the first key signed: %v", err)
	}
	if err := os.WriteFile(info.MapKeys, []byte("no key"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := publishKey(private, info.MapKeys); err == nil {
		t.Error("a file that somebody has spoiled was overwritten")
	}
}
