package topology

import "slices"

// Clone of a map, to be changed before it is shared.
func (m *Map) Clone() *Map {
	return &Map{Version: m.Version, Cells: slices.Clone(m.Cells), Rings: slices.Clone(m.Rings), Overrides: slices.Clone(m.Overrides)}
}
