package topology

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/cellar-commerce/cellar/internal/clock"
	"github.com/cellar-commerce/cellar/internal/ident"
)

// maxFile bounds a map's file: the worst possible one, no two neighbouring slots alike in 64 rings, has some 16 MB.
const maxFile = 32 << 20

// document is a map as a file.
type document struct {
	// Checksum is the SHA-256 of the content, in hexadecimal digits.
	Checksum string  `json:"checksum"`
	Content  content `json:"content"`
}

type content struct {
	Version uint64 `json:"version"`
	Cells   []Cell `json:"cells"`
	Rings   []ring `json:"rings"`
	// Overrides by customer.
	Overrides map[ident.CustomerID]string `json:"overrides,omitempty"`
}

type ring struct {
	Region ident.Region `json:"region"`
	Runs   []run        `json:"slots"`
}

// run of neighbouring slots with one owner and epoch.
type run struct {
	From  int    `json:"from"`
	To    int    `json:"to"` // inclusive
	Owner string `json:"owner"`
	Epoch uint64 `json:"epoch"`
}

// Marshal a valid map.
func Marshal(m *Map) ([]byte, error) {
	if err := m.Validate(); err != nil {
		return nil, err
	}
	c := content{Version: m.Version, Cells: m.Cells}
	for i := range m.Rings {
		c.Rings = append(c.Rings, ring{Region: m.Rings[i].Region, Runs: m.runs(&m.Rings[i])})
	}
	for _, o := range m.Overrides {
		if c.Overrides == nil {
			c.Overrides = map[ident.CustomerID]string{}
		}
		c.Overrides[o.Customer] = m.Cells[o.Cell].ID
	}
	sum, err := checksum(c)
	if err != nil {
		return nil, err
	}
	return json.MarshalIndent(document{Checksum: sum, Content: c}, "", " ")
}

func (m *Map) runs(r *Ring) []run {
	var runs []run
	for s, o := range r.Slots {
		if s > 0 && o.Cell == r.Slots[s-1].Cell && o.Epoch == r.Slots[s-1].Epoch {
			runs[len(runs)-1].To = s
			continue
		}
		runs = append(runs, run{From: s, To: s, Owner: m.Cells[o.Cell].ID, Epoch: o.Epoch})
	}
	return runs
}

func checksum(c content) (string, error) {
	b, err := json.Marshal(c)
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:]), err
}

// Parse a map's file; anything that is not whole and valid is an error.
func Parse(b []byte) (*Map, error) {
	if len(b) > maxFile {
		return nil, fmt.Errorf("topology: a map of %d bytes", len(b))
	}
	var d document
	dec := json.NewDecoder(bytes.NewReader(b))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&d); err != nil {
		return nil, fmt.Errorf("topology: no map: %w", err)
	}
	if sum, err := checksum(d.Content); err != nil || sum != d.Checksum {
		return nil, errors.New("topology: the checksum of the map does not match its content")
	}
	m := &Map{Version: d.Content.Version, Cells: d.Content.Cells}
	for _, r := range d.Content.Rings {
		out := Ring{Region: r.Region}
		if err := m.fill(&out, r.Runs); err != nil {
			return nil, err
		}
		m.Rings = append(m.Rings, out)
	}
	var overrides []Override
	for id, name := range d.Content.Overrides {
		cell := m.index(name)
		if cell < 0 {
			return nil, fmt.Errorf("topology: the override of %s names the unknown cell %q", id, name)
		}
		overrides = append(overrides, Override{Customer: id, Cell: uint16(cell)})
	}
	m.SetOverrides(overrides)
	return m, m.Validate()
}

// fill a ring from its runs, which must cover every slot once, in order.
func (m *Map) fill(r *Ring, runs []run) error {
	next := 0
	for _, x := range runs {
		if x.From != next || x.To < x.From || x.To >= ident.Slots {
			return fmt.Errorf("topology: the slots of %s are not covered once each, at %d", r.Region, x.From)
		}
		cell := m.index(x.Owner)
		if cell < 0 || cell >= maxCells {
			return fmt.Errorf("topology: slot %d of %s belongs to the unknown cell %q", x.From, r.Region, x.Owner)
		}
		for s := x.From; s <= x.To; s++ {
			r.Slots[s] = SlotOwner{Cell: uint16(cell), Epoch: x.Epoch}
		}
		next = x.To + 1
	}
	if next != ident.Slots {
		return fmt.Errorf("topology: the slots of %s end at %d", r.Region, next)
	}
	return nil
}

// index of a cell by its id; negative when there is none.
func (m *Map) index(id string) int {
	return slices.IndexFunc(m.Cells, func(c Cell) bool { return c.ID == id })
}

// ReadFile reads a map.
func ReadFile(path string) (*Map, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("topology: %w", err)
	}
	return Parse(b)
}

// WriteFile replaces a map's file at once: readers see the old one or the new one, also after a crash.
func WriteFile(path string, m *Map) error {
	b, err := Marshal(m)
	if err != nil {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(path), ".map-*")
	if err != nil {
		return fmt.Errorf("topology: write map: %w", err)
	}
	defer func() { _ = os.Remove(f.Name()) }() // fails after the rename, as it should
	_, err = f.Write(b)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return fmt.Errorf("topology: write map: %w", err)
	}
	if err := os.Rename(f.Name(), path); err != nil {
		return fmt.Errorf("topology: write map: %w", err)
	}
	return nil
}

// FileSource watches a map's file.
type FileSource struct {
	Path  string
	Clock clock.Clock
	Log   *slog.Logger
	// Changed is told when the holder has taken a newer map; may be nil.
	Changed func()
}

// watchEvery bounds how late a change of the file is seen.
const watchEvery = 250 * time.Millisecond

// Watch offers every valid version of the file to the holder until ctx ends. A file that is missing or wrong is
// logged once, and the map that is held stays.
func (s FileSource) Watch(ctx context.Context, h *Holder) {
	var seen string
	for {
		if stamp := s.stamp(); stamp != seen {
			seen = stamp
			s.load(ctx, h)
		}
		if s.Clock.Sleep(ctx, watchEvery) != nil {
			return
		}
	}
}

func (s FileSource) stamp() string {
	info, err := os.Stat(s.Path)
	if err != nil {
		return "missing"
	}
	return fmt.Sprint(info.ModTime().UnixNano(), info.Size())
}

func (s FileSource) load(ctx context.Context, h *Holder) {
	m, err := ReadFile(s.Path)
	if err != nil {
		s.Log.ErrorContext(ctx, "the map's file is refused; the last good map stays", "path", s.Path, "error", err)
		return
	}
	if h.Offer(m) {
		s.Log.InfoContext(ctx, "a new map", "version", m.Version)
		if s.Changed != nil {
			s.Changed()
		}
	}
}
