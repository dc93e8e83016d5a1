package router

import (
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/cellar-commerce/cellar/cells/topology"
	"github.com/cellar-commerce/cellar/internal/clock"
	"github.com/cellar-commerce/cellar/internal/ident"
)

func testTable(t testing.TB) *table {
	t.Helper()
	var cells []topology.Cell
	for _, region := range ident.Regions() {
		code, _ := region.Code()
		for _, letter := range []string{"a", "b"} {
			cells = append(cells, topology.Cell{ID: string(code) + "-" + letter, Region: region, State: topology.Active, Weight: 1,
				Public: "127.0.0.1:1", Internal: "127.0.0.1:2", Admin: "127.0.0.1:3"})
		}
	}
	m, err := topology.Even(cells)
	if err != nil {
		t.Fatal(err)
	}
	maps := &topology.Holder{}
	maps.Offer(m)
	return newTable(maps)
}

func TestTheDecisionDoesNotAllocate(t *testing.T) {
	table, id := testTable(t), ident.NewCustomer("use1")
	token := "v1." + string(id) + ".session.1.signature"
	decide := func(h http.Header) float64 {
		return testing.AllocsPerRun(100, func() {
			found, ok := customerOf(h)
			if !ok || table.owner(found) == nil {
				t.Fatal("no owner")
			}
		})
	}
	for _, h := range []http.Header{{"Authorization": {"Bearer " + token}}, {"Cookie": {"a=b; cellar_session=" + token}}} {
		if n := decide(h); n != 0 {
			t.Errorf("%v allocations", n)
		}
	}
	table.learn(redirect{owner: "use1-b", ring: "us-east-1", slot: id.Slot(), epoch: 2})
	if n := decide(http.Header{"Authorization": {"Bearer " + token}}); n != 0 {
		t.Errorf("%v allocations with a hint", n)
	}
}

func BenchmarkDecision(b *testing.B) {
	r := New(Deps{Region: "us-east-1", Maps: testTable(b).maps, Clock: clock.System{}, Log: slog.New(slog.DiscardHandler)})
	cookie := "cellar_session=v1." + string(ident.NewCustomer("use1")) + ".session.1.signature"
	b.ReportAllocs()
	for b.Loop() {
		r.Decide("", cookie)
	}
}

// The owner is always the one of the highest epoch that the map or any cell has named, in whatever order they came.
func TestTheNewestWordWins(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		table := testTable(t)
		id := ident.NewCustomer("use1")
		want, newest := table.owner(id).ID, uint64(1)
		for i := range rapid.IntRange(0, 12).Draw(rt, "words") {
			cell := uint16(rapid.IntRange(0, 5).Draw(rt, "cell"))
			epoch := rapid.Uint64Range(1, 6).Draw(rt, "epoch")
			m := table.maps.Load()
			named := m.Cells[cell].ID
			known := epoch > newest
			if rapid.Bool().Draw(rt, "is a map") {
				next := *m
				next.Version += uint64(i) + 1
				next.Rings = append([]topology.Ring(nil), m.Rings...)
				if at := &next.Rings[0].Slots[id.Slot()]; at.Epoch < epoch && known {
					*at = topology.SlotOwner{Cell: cell, Epoch: epoch}
				} else {
					known = false
				}
				table.maps.Offer(&next)
				table.forget()
			} else {
				table.learn(redirect{owner: named, ring: id.Region(), slot: id.Slot(), epoch: epoch})
			}
			if known {
				want, newest = named, epoch
			}
			if got := table.owner(id).ID; got != want {
				rt.Fatalf("got %s, want %s of epoch %d", got, want, newest)
			}
		}
	})
}

func TestOnlySlotsOfTheMapAreRemembered(t *testing.T) {
	table := testTable(t)
	for _, r := range []redirect{
		{owner: "use1-z", ring: "us-east-1", slot: 1, epoch: 9},
		{owner: "use1-b", ring: "mars", slot: 1, epoch: 9},
		{owner: "", ring: "us-east-1", slot: 1, epoch: 9},
	} {
		table.learn(r)
	}
	if len(table.hints) != 0 || table.hinted.Load() {
		t.Errorf("got %v", table.hints)
	}
	empty := newTable(&topology.Holder{})
	if empty.owner(ident.NewCustomer("use1")) != nil || empty.learn(redirect{owner: "use1-a", ring: "us-east-1"}) != nil {
		t.Error("without a map there is an owner")
	}
}

func FuzzParseRedirect(f *testing.F) {
	f.Add("owner=use1-b; ring=us-east-1; slot=17; epoch=3")
	f.Add("owner=;ring=x;slot=0;epoch=0;later=1")
	f.Add("; = ;")
	f.Fuzz(func(t *testing.T, value string) {
		if r, ok := parseRedirect(value); ok && (r.slot >= ident.Slots || r.ring == "") {
			t.Errorf("accepted %+v", r)
		}
	})
}

func TestTimeouts(t *testing.T) {
	for _, c := range []struct {
		header  string
		streams bool
		want    time.Duration
		asked   bool
	}{
		{"", false, 10 * time.Second, false},
		{"", true, 0, false},
		{"250", false, 250 * time.Millisecond, true},
		{"250", true, 250 * time.Millisecond, true},
		{"30000", false, 30 * time.Second, true},
		{"30001", false, 30 * time.Second, true},
		{"60000", true, 0, false},
		{"9223372036854775807", false, 30 * time.Second, true},
		{"99999999999999999999", false, 10 * time.Second, false},
		{"0", false, 10 * time.Second, false},
		{"-5", false, 10 * time.Second, false},
		{"soon", false, 10 * time.Second, false},
	} {
		if got, asked := timeoutOf(c.header, c.streams); got != c.want || asked != c.asked {
			t.Errorf("%q, %v: got %v, %v", c.header, c.streams, got, asked)
		}
	}
}

func TestABreakerKnowsForHowLongItsCellIsAway(t *testing.T) {
	c := clock.NewManual(time.Unix(0, 0))
	var changes []string
	b := newBreaker("use1-a", c.Now, func(cell, state string) { changes = append(changes, cell+" "+state) })
	for range ejectAfter {
		if b.away() != 0 {
			t.Fatal("it is away too early")
		}
		done, ok := b.allow()
		if !ok {
			t.Fatal("it is ejected too early")
		}
		b.ended(done, errEjected)
	}
	c.Advance(3 * time.Second)
	if _, ok := b.allow(); ok || !b.open() || b.away() != 3*time.Second {
		t.Errorf("open %v, away %v", b.open(), b.away())
	}
	if got := strings.Join(changes, ","); got != "use1-a open" {
		t.Errorf("got %s", got)
	}
}
