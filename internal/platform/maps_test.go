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

// place of a platform that does not run.
func place(t *testing.T) (Info, Layout) {
	t.Helper()
	dir := t.TempDir()
	keys := filepath.Join(dir, "keys")
	if err := makeKeys(keys); err != nil {
		t.Fatal(err)
	}
	return Info{Dir: dir, Map: mapFile(dir), MapKeys: publicKeyFile(keys), MapKey: keyFile(keys, KeyMap)}, NewLayout(0)
}

func TestEveryProcessGetsTheMapAndTheNextOneIsNewer(t *testing.T) {
	info, l := place(t)
	if n := info.newestVersion(l.processes()); n != 0 {
		t.Errorf("before the first map the newest is %d", n)
	}
	m, err := topology.Even(l.topologyCells())
	if err != nil {
		t.Fatal(err)
	}
	m.Version = 7
	if err := info.publishMap(m, l.processes()); err != nil {
		t.Fatal(err)
	}
	keys, err := topology.ReadKeys(info.MapKeys)
	if err != nil {
		t.Fatal(err)
	}
	if len(l.processes()) != len(l.Cells)+len(l.Routers) {
		t.Errorf("processes %v", l.processes())
	}
	for _, p := range l.processes() {
		if got, err := topology.ReadFile(processMap(info.Dir, p), keys); err != nil || got.Version != 7 {
			t.Errorf("%s has %v", p, err)
		}
	}
	if got, err := info.ReadMap(); err != nil || got.Version != 7 {
		t.Errorf("the platform has %v", err)
	}
	// One process has heard of a newer map than the platform, whose own copy is gone; another's file is spoiled.
	m.Version = 9
	key, err := topology.ReadSigningKey(info.MapKey)
	if err != nil {
		t.Fatal(err)
	}
	newer, err := key.Sign(m)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(topology.WriteFile(processMap(info.Dir, "cell-use1-a"), newer), os.Remove(info.Map), os.WriteFile(processMap(info.Dir, "cell-use1-b"), []byte("x"), 0o600)); err != nil {
		t.Fatal(err)
	}
	if n := info.newestVersion(l.processes()); n != 9 {
		t.Errorf("the newest is %d", n)
	}
	if _, err := info.ReadMap(); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("without a map: %v", err)
	}
}

func TestANewSigningKeyIsAddedToThoseThatAreKnown(t *testing.T) {
	info, l := place(t)
	m, err := topology.Even(l.topologyCells())
	if err != nil {
		t.Fatal(err)
	}
	if err := info.publishMap(m, l.processes()); err != nil {
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
		if err := errors.Join(secret.Make(info.MapKey), publishKey(info.MapKey, info.MapKeys)); err != nil {
			t.Fatal(err)
		}
	}
	publish()
	if n := known(); n != 1 {
		t.Errorf("%d keys, of the one there is", n)
	}
	if err := os.Remove(info.MapKey); err != nil {
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
	if err := publishKey(info.MapKey, info.MapKeys); err == nil {
		t.Error("a file that somebody has spoiled was overwritten")
	}
}
