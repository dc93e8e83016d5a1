package ident_test

import (
	"testing"

	"pgregory.net/rapid"

	"github.com/cellar-commerce/cellar/internal/ident"
)

func TestNewIdsParseBackAndCarryTheirRing(t *testing.T) {
	for _, region := range ident.Regions() {
		code, ok := region.Code()
		if !ok {
			t.Fatalf("%s has no code", region)
		}
		for _, id := range []ident.CustomerID{ident.NewCustomer(code), ident.NewGuest(code)} {
			got, err := ident.Parse(string(id))
			if err != nil || got != id || got.Region() != region {
				t.Errorf("Parse(%s) = %s, %v", id, got, err)
			}
		}
		if !ident.NewGuest(code).Guest() || ident.NewCustomer(code).Guest() {
			t.Error("a guest is told from a customer by its id")
		}
		order := ident.NewOrder(code)
		if got, err := ident.ParseOrder(string(order)); err != nil || got != order || got.Region() != region {
			t.Errorf("ParseOrder(%s) = %s, %v", order, got, err)
		}
	}
}

// The slot of an id is a promise to every row ever written: these values may never change.
func TestSlotIsPinned(t *testing.T) {
	for id, want := range map[ident.CustomerID]ident.Slot{
		"c-use1-000000000000000000000000": 1746,
		"g-euc1-zzzzzzzzzzzzzzzzzzzzzzzz": 2334,
	} {
		if got := id.Slot(); got != want {
			t.Errorf("slot of %s is %d, want %d", id, got, want)
		}
	}
}

func TestSlotsAreSpreadEvenly(t *testing.T) {
	const ids = 200_000
	var eighths [8]int
	for range ids {
		eighths[ident.NewCustomer("use1").Slot()/(ident.Slots/8)]++
	}
	for i, n := range eighths {
		if n < ids/8*97/100 || n > ids/8*103/100 {
			t.Errorf("eighth %d has %d of %d ids", i, n, ids)
		}
	}
}

func TestAWrongCharacterInAnOrderIdIsCaught(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		id := []byte(ident.NewOrder("usw2"))
		at := rapid.SampledFrom([]int{5, 6, 7, 8, 10, 11, 12, 13, 15, 16, 17, 18}).Draw(t, "at")
		with := rapid.SampledFrom([]byte("0123456789ABCDEFGHJKMNPQRSTVWXY")).Draw(t, "with")
		// 0 and Z are 31 apart, the one pair the modulus cannot tell.
		if id[at] == with || id[at] == 'Z' {
			return
		}
		id[at] = with
		if _, err := ident.ParseOrder(string(id)); err == nil {
			t.Fatalf("%s was accepted", id)
		}
	})
}

func FuzzParse(f *testing.F) {
	f.Add("c-use1-000000000000000000000000")
	f.Add("use1-7KQ2-M8XD-4TRW-C")
	f.Add("g-")
	f.Fuzz(func(t *testing.T, s string) {
		if id, err := ident.Parse(s); err == nil && (id.Region() == "" || id.Slot() >= ident.Slots) {
			t.Errorf("Parse accepted %q", s)
		}
		if id, err := ident.ParseOrder(s); err == nil {
			if again, err := ident.ParseOrder(string(id)); err != nil || again != id || id.Region() == "" {
				t.Errorf("ParseOrder is not stable on %q: %q, %v", s, again, err)
			}
		}
	})
}

func TestParseDoesNotAllocate(t *testing.T) {
	id := string(ident.NewCustomer("use1"))
	if n := testing.AllocsPerRun(100, func() {
		c, _ := ident.Parse(id)
		_ = c.Slot()
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
