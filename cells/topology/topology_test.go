package topology_test

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/cellar-commerce/cellar/cells/topology"
	"github.com/cellar-commerce/cellar/internal/clock"
	"github.com/cellar-commerce/cellar/internal/ident"
)

func cells() []topology.Cell {
	var all []topology.Cell
	for _, region := range ident.Regions() {
		code, _ := region.Code()
		for _, letter := range []string{"a", "b", "c"} {
			all = append(all, topology.Cell{ID: string(code) + "-" + letter, Region: region, State: topology.Active, Weight: 100,
				Public: "127.0.0.1:1", Internal: "127.0.0.1:2", Admin: "127.0.0.1:3"})
		}
	}
	return all
}

func even(t testing.TB) *topology.Map {
	t.Helper()
	m, err := topology.Even(cells())
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func TestEvenSharesAndOwnersOfTheOwnRegion(t *testing.T) {
	m := even(t)
	for _, c := range m.Cells {
		owned := m.SlotsOf(c.ID)
		if n := len(owned[c.Region]); len(owned) != 1 || n < ident.Slots/3 || n > ident.Slots/3+1 {
			t.Errorf("%s owns %d slots in %d rings", c.ID, n, len(owned))
		}
	}
	id := ident.NewCustomer("euc1")
	if c, epoch, ok := m.OwnerOf(id); !ok || c.Region != "eu-central-1" || epoch != 1 {
		t.Errorf("owner %v, %d, %v", c, epoch, ok)
	}
}

func TestAFileGivesTheSameMapBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m, err := topology.Even(cells())
		if err != nil {
			t.Fatal(err)
		}
		for range rapid.IntRange(0, 50).Draw(t, "moves") {
			ring := rapid.IntRange(0, len(m.Rings)-1).Draw(t, "ring")
			slot := rapid.IntRange(0, ident.Slots-1).Draw(t, "slot")
			m.Rings[ring].Slots[slot] = topology.SlotOwner{Cell: uint16(rapid.IntRange(0, len(m.Cells)-1).Draw(t, "cell")), Epoch: rapid.Uint64Range(1, 99).Draw(t, "epoch")}
		}
		var overrides []topology.Override
		for range rapid.IntRange(0, 5).Draw(t, "overrides") {
			overrides = append(overrides, topology.Override{Customer: ident.NewCustomer("use1"), Cell: uint16(rapid.IntRange(0, len(m.Cells)-1).Draw(t, "override"))})
		}
		m.SetOverrides(overrides)
		b, err := topology.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		back, err := topology.Parse(b)
		if err != nil {
			t.Fatal(err)
		}
		for i := range m.Rings {
			if m.Rings[i] != back.Rings[i] {
				t.Fatal("a ring has changed")
			}
		}
		if !slices.Equal(m.Overrides, back.Overrides) {
			t.Fatal("the overrides have changed")
		}
	})
}

func FuzzParse(f *testing.F) {
	b, err := topology.Marshal(even(f))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Add([]byte(`{"checksum":"","content":{}}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		if m, err := topology.Parse(b); err == nil && m.Validate() != nil {
			t.Error("an invalid map was accepted")
		}
	})
}

func TestAChangedFileIsRefusedAndTheLastGoodMapStays(t *testing.T) {
	path := filepath.Join(t.TempDir(), "map.json")
	if err := topology.WriteFile(path, even(t)); err != nil {
		t.Fatal(err)
	}
	c := clock.NewManual(time.Unix(0, 0))
	var h topology.Holder
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		topology.FileSource{Path: path, Clock: c, Log: slog.New(slog.DiscardHandler)}.Watch(ctx, &h)
	}()
	round := func() {
		t.Helper()
		if err := c.AwaitSleepers(t.Context(), 1); err != nil {
			t.Fatal(err)
		}
		c.Advance(time.Second)
		if err := c.AwaitSleepers(t.Context(), 1); err != nil {
			t.Fatal(err)
		}
	}
	round()
	if h.Load() == nil || h.Load().Version != 1 {
		t.Fatal("the first map was not taken")
	}
	if err := os.WriteFile(path, []byte(`{"checksum":"0","content":{"version":9}}`), 0o600); err != nil {
		t.Fatal(err)
	}
	round()
	if h.Load().Version != 1 {
		t.Error("a wrong map was taken")
	}
	newer := even(t)
	newer.Version = 2
	if err := topology.WriteFile(path, newer); err != nil {
		t.Fatal(err)
	}
	round()
	if h.Load().Version != 2 {
		t.Error("the newer map was not taken")
	}
	cancel()
	<-done
}

func TestLookUpDoesNotAllocate(t *testing.T) {
	m, id := even(t), ident.NewCustomer("use1")
	if n := testing.AllocsPerRun(100, func() { m.OwnerOf(id) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkOwnerOf(b *testing.B) {
	m, id := even(b), ident.NewCustomer("usw2")
	for b.Loop() {
		m.OwnerOf(id)
	}
}

func TestAnOverrideTakesOneCustomerAndNoOther(t *testing.T) {
	m := even(t)
	one, other := ident.NewCustomer("use1"), ident.NewCustomer("use1")
	for one.Slot() != other.Slot() {
		other = ident.NewCustomer("use1")
	}
	was, _, _ := m.OwnerOf(one)
	m.SetOverrides([]topology.Override{{Customer: one, Cell: uint16(len(m.Cells) - 1)}})
	if err := m.Validate(); err != nil {
		t.Fatal(err)
	}
	if c, _, _ := m.OwnerOf(one); c != &m.Cells[len(m.Cells)-1] {
		t.Errorf("the customer is served by %s", c.ID)
	}
	if c, _, _ := m.OwnerOf(other); c != was {
		t.Errorf("a neighbour in the slot is served by %s", c.ID)
	}
	if got := m.OverridesTo(m.Cells[len(m.Cells)-1].ID); len(got) != 1 || got[0] != one {
		t.Errorf("overrides to the cell: %v", got)
	}
	m.SetOverrides(nil)
	if c, _, _ := m.OwnerOf(one); c != was || m.Validate() != nil {
		t.Error("the override is still there")
	}
}
