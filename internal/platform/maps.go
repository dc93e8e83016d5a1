package platform

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/cellar-commerce/cellar/cells/topology"
)

// mapFile is the platform's own copy of the newest map.
func mapFile(dir string) string { return filepath.Join(dir, "map") }

// processMap is the last good map of one process. The process writes what it has taken, the platform what it distributes.
func processMap(dir, process string) string { return filepath.Join(dir, "maps", process) }

// processes that follow the map.
func (l Layout) processes() []string {
	var all []string
	for _, c := range l.Cells {
		all = append(all, "cell-"+c.ID)
	}
	for _, r := range l.Routers {
		all = append(all, "router-"+string(r.Region))
	}
	return all
}

// ReadMap reads the newest map of the platform.
func (i Info) ReadMap() (*topology.Map, error) {
	keys, err := topology.ReadKeys(i.MapKeys)
	if err != nil {
		return nil, err
	}
	return topology.ReadFile(i.Map, keys)
}

// newestVersion of a map that anybody has: the next one must be newer, or it would not be followed. 0 when nobody has any.
func (i Info) newestVersion(processes []string) (newest uint64) {
	keys, err := topology.ReadKeys(i.MapKeys)
	if err != nil {
		return 0
	}
	files := []string{i.Map}
	for _, p := range processes {
		files = append(files, processMap(i.Dir, p))
	}
	for _, f := range files {
		if m, err := topology.ReadFile(f, keys); err == nil { // a missing one has no version; a wrong one nobody follows
			newest = max(newest, m.Version)
		}
	}
	return newest
}

// publishMap signs a map and gives it to every process.
func (i Info) publishMap(m *topology.Map, processes []string) error {
	key, err := topology.ReadSigningKey(i.MapKey)
	if err != nil {
		return err
	}
	snapshot, err := key.Sign(m)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(processMap(i.Dir, ""), 0o700); err != nil {
		return fmt.Errorf("publish map: %w", err)
	}
	for _, p := range processes {
		if err := topology.WriteFile(processMap(i.Dir, p), snapshot); err != nil {
			return err
		}
	}
	return topology.WriteFile(i.Map, snapshot)
}
