package platform

import (
	"path/filepath"

	"github.com/cellar-commerce/cellar/cells/topology"
)

// mapFile has the newest map: the control plane writes it.
func mapFile(dir string) string { return filepath.Join(dir, "map") }

// processMap is the last good map of one process, which it writes itself.
func processMap(dir, process string) string { return filepath.Join(dir, "maps", process+".map") }

// bootstrapFile has the cells that the platform is made of, for the control plane.
func bootstrapFile(dir string) string { return filepath.Join(dir, "cells.json") }

// ReadMap reads the newest map of the platform.
func (i Info) ReadMap() (*topology.Map, error) {
	keys, err := topology.ReadKeys(i.MapKeys)
	if err != nil {
		return nil, err
	}
	return topology.ReadFile(i.Map, keys)
}
