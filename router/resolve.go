package router

import (
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/cellar-commerce/cellar/cells/topology"
	"github.com/cellar-commerce/cellar/internal/ident"
	"github.com/cellar-commerce/cellar/internal/session"
)

// customerOf a request: whom its session says it is from. It does not allocate for what browsers and apps send.
func customerOf(h http.Header) (ident.CustomerID, bool) {
	for _, v := range h["Authorization"] {
		if token, ok := strings.CutPrefix(v, "Bearer "); ok {
			return session.ParseCustomer(strings.TrimSpace(token))
		}
	}
	for _, line := range h["Cookie"] {
		for line != "" {
			var pair string
			pair, line, _ = strings.Cut(line, ";")
			name, value, _ := strings.Cut(strings.TrimSpace(pair), "=")
			if name == session.CookieName {
				return session.ParseCustomer(strings.Trim(value, `"`))
			}
		}
	}
	return "", false
}

// redirect is what a cell that does not own a slot says.
type redirect struct {
	owner string
	ring  ident.Region
	slot  ident.Slot
	epoch uint64
}

// redirectHeader carries it: "owner=<cell>; ring=<region>; slot=<n>; epoch=<n>".
const redirectHeader = "Cellar-Wrong-Cell"

// parseRedirect reads the header; false for anything malformed.
func parseRedirect(value string) (r redirect, ok bool) {
	for part := range strings.SplitSeq(value, ";") {
		name, text, found := strings.Cut(strings.TrimSpace(part), "=")
		if !found {
			return redirect{}, false
		}
		var err error
		var n uint64
		switch name {
		case "owner":
			r.owner = text
		case "ring":
			r.ring = ident.Region(text)
		case "slot":
			n, err = strconv.ParseUint(text, 10, 16)
			r.slot = ident.Slot(n)
		case "epoch":
			r.epoch, err = strconv.ParseUint(text, 10, 64)
		}
		if err != nil {
			return redirect{}, false
		}
	}
	return r, r.slot < ident.Slots && r.ring != ""
}

// table answers who owns a customer: the map, or what cells have said since.
type table struct {
	maps *topology.Holder

	hinted atomic.Bool // whether there are hints at all: almost never
	mu     sync.RWMutex
	hints  map[hintKey]redirect
}

type hintKey struct {
	ring ident.Region
	slot ident.Slot
}

func newTable(maps *topology.Holder) *table { return &table{maps: maps, hints: map[hintKey]redirect{}} }

// owner of a customer; nil when the map knows none. It does not allocate.
func (t *table) owner(id ident.CustomerID) *topology.Cell {
	m := t.maps.Load()
	if m == nil {
		return nil
	}
	cell, epoch, ok := m.OwnerOf(id)
	if !ok {
		return nil
	}
	if !t.hinted.Load() {
		return cell
	}
	t.mu.RLock()
	hint, known := t.hints[hintKey{id.Region(), id.Slot()}]
	t.mu.RUnlock()
	if known && hint.epoch > epoch {
		if named := m.Cell(hint.owner); named != nil {
			return named
		}
	}
	return cell
}

// learn from a redirect what is newer than the map, and give the cell it names; nil for one that the map does not
// know. Only slots of the map's rings are remembered, so there are never more hints than slots.
func (t *table) learn(r redirect) *topology.Cell {
	m := t.maps.Load()
	if m == nil {
		return nil
	}
	cell := m.Cell(r.owner)
	if cell == nil {
		return nil
	}
	if epoch, ok := epochOf(m, r.ring, r.slot); !ok || r.epoch <= epoch {
		return cell
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	key := hintKey{r.ring, r.slot}
	if t.hints[key].epoch < r.epoch {
		t.hints[key] = r
		t.hinted.Store(true)
	}
	return cell
}

// forget the hints that a newer map has made old.
func (t *table) forget() {
	m := t.maps.Load()
	t.mu.Lock()
	defer t.mu.Unlock()
	for key, hint := range t.hints {
		if epoch, ok := epochOf(m, key.ring, key.slot); !ok || hint.epoch <= epoch {
			delete(t.hints, key)
		}
	}
	t.hinted.Store(len(t.hints) > 0)
}

func epochOf(m *topology.Map, ring ident.Region, slot ident.Slot) (uint64, bool) {
	for i := range m.Rings {
		if m.Rings[i].Region == ring {
			return m.Rings[i].Slots[slot].Epoch, true
		}
	}
	return 0, false
}
