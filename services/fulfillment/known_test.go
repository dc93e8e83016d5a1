package fulfillment

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"

	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"

	"github.com/cellar-commerce/cellar/internal/clock"
	inventoryv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/inventory/v1"
)

// table is a region's summaries, that can be read, and counts the readings.
type table struct {
	mu     sync.Mutex
	rows   map[string]*inventoryv1.StockSummary
	reads  int
	err    error
	before func() // each answer
}

func (s *table) ListSummaries(_ context.Context, req *inventoryv1.ListSummariesRequest) (*inventoryv1.ListSummariesResponse, error) {
	s.mu.Lock()
	s.reads++
	resp := &inventoryv1.ListSummariesResponse{}
	for _, sku := range req.GetSkus() {
		if row := s.rows[sku]; row != nil {
			resp.Summaries = append(resp.Summaries, row)
		}
	}
	err := s.err
	s.mu.Unlock()
	if s.before != nil {
		s.before()
	}
	return resp, err
}

func (s *table) set(rows ...*inventoryv1.StockSummary) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, row := range rows {
		s.rows[row.GetSku()] = row
	}
}

func newTable(rows ...*inventoryv1.StockSummary) *table {
	s := &table{rows: map[string]*inventoryv1.StockSummary{}}
	s.set(rows...)
	return s
}

// memory of a service without anything else.
func memory(from Summarizer, size int) (*Service, *clock.Manual) {
	now := clock.NewManual(opened)
	return &Service{known: newKnown(from, now, size)}, now
}

func (s *Service) tell(t interface{ Fatal(...any) }, all ...*inventoryv1.StockSummary) {
	payload, err := proto.Marshal(&inventoryv1.StockSummarized{Summaries: all})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Summarized(context.Background(), payload); err != nil {
		t.Fatal(err)
	}
}

// levelOf a product at the first FC, as it is remembered.
func (s *Service) levelOf(t interface{ Fatal(...any) }, sku string) uint8 {
	all, err := s.known.of(context.Background(), []string{sku})
	if err != nil {
		t.Fatal(err)
	}
	if len(all[0].sources) == 0 || len(all[0].sources[0].holdings) == 0 {
		return 0
	}
	return all[0].sources[0].holdings[0].level
}

func TestASummaryIsReadOnceAndKeptUpWithTheNews(t *testing.T) {
	from := newTable(levels("ale", "us-east-1", 5, 3))
	s, now := memory(from, 10)
	expect := func(what string, level uint8, reads int) {
		t.Helper()
		if got := s.levelOf(t, "ale"); got != level || from.reads != reads {
			t.Errorf("%s: level %d after %d reads; want %d after %d", what, got, from.reads, level, reads)
		}
	}
	expect("first", 3, 1)
	expect("again", 3, 1)
	s.tell(t, levels("ale", "us-east-1", 6, 2), levels("cider", "us-east-1", 1, 9))
	expect("news", 2, 1)
	s.tell(t, levels("ale", "us-east-1", 4, 7))
	expect("old news", 2, 1)
	from.set(levels("ale", "us-east-1", 7, 1))
	now.Advance(knownFor)
	expect("without news for long", 1, 2)
	if err := s.Summarized(t.Context(), []byte("no message")); err == nil {
		t.Error("what cannot be read is swallowed")
	}
}

func TestAnOtherRegionsSummaryStandsBesideTheFirst(t *testing.T) {
	s, _ := memory(newTable(levels("ale", "us-east-1", 5, 3)), 10)
	s.levelOf(t, "ale")
	s.tell(t, levels("ale", "us-west-2", 1, 0, 0, 2))
	all, err := s.known.of(t.Context(), []string{"ale"})
	if err != nil || len(all[0].sources) != 2 || all[0].sources[1].holdings[0] != (holding{ordinal: 2, level: 2}) {
		t.Errorf("%+v, %v", all[0], err)
	}
}

func TestNewsThatComeDuringAReadingAreNotLost(t *testing.T) {
	from := newTable(levels("ale", "us-east-1", 5, 3))
	s, _ := memory(from, 10)
	from.before = func() { s.tell(t, levels("ale", "us-east-1", 6, 1)) }
	if got := s.levelOf(t, "ale"); got != 1 {
		t.Errorf("level %d", got)
	}
}

func TestThoseWhoComeDuringAReadingWaitForIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		from := newTable(levels("ale", "us-east-1", 5, 3))
		s, _ := memory(from, 10)
		release := make(chan struct{})
		from.before = func() { <-release }
		var wg sync.WaitGroup
		for range 20 {
			wg.Go(func() {
				if got := s.levelOf(t, "ale"); got != 3 {
					t.Errorf("level %d", got)
				}
			})
		}
		synctest.Wait()
		gone, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := s.known.of(gone, []string{"ale"}); !errors.Is(err, context.Canceled) {
			t.Errorf("who leaves waits all the same: %v", err)
		}
		close(release)
		wg.Wait()
		if from.reads != 1 {
			t.Errorf("%d readings", from.reads)
		}
	})
}

func TestAReadingThatFailsIsTriedAgainByTheNext(t *testing.T) {
	from := newTable(levels("ale", "us-east-1", 5, 3))
	from.err = errors.New("played by a test")
	s, _ := memory(from, 10)
	if _, err := s.known.of(t.Context(), []string{"ale"}); err == nil {
		t.Error("the failure is hidden")
	}
	from.err = nil
	if got := s.levelOf(t, "ale"); got != 3 || len(s.known.readings) != 0 {
		t.Errorf("level %d, %d readings under way", got, len(s.known.readings))
	}
}

func TestTheMemoryIsBoundedAndKeepsWhatIsUsed(t *testing.T) {
	from := newTable()
	for i := range 1000 {
		from.set(levels(fmt.Sprint("p", i), "us-east-1", 1, 3))
	}
	s, _ := memory(from, 10)
	s.levelOf(t, "p0")
	for i := range 1000 {
		s.levelOf(t, fmt.Sprint("p", i))
		s.levelOf(t, "p0")
		if n := len(s.known.young) + len(s.known.old); n > 20 {
			t.Fatalf("%d entries", n)
		}
	}
	if from.reads != 1000 {
		t.Errorf("%d readings: what is always used was forgotten", from.reads)
	}
}

// In whatever order events and readings come, the newest that was heard of counts.
func TestTheNewestSummaryCounts(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		from := newTable()
		s, _ := memory(from, 3)
		version := map[string]int64{}
		for range rapid.IntRange(1, 40).Draw(t, "steps") {
			sku := rapid.SampledFrom([]string{"a", "b", "c", "d", "e"}).Draw(t, "sku")
			switch rapid.IntRange(0, 2).Draw(t, "what") {
			case 0: // the table has it, and the event comes
				version[sku]++
				one := levels(sku, "us-east-1", version[sku], uint8(1+version[sku]%15))
				from.set(one)
				s.tell(t, one)
			case 1: // an old event comes again
				if v := version[sku]; v > 0 {
					old := rapid.Int64Range(1, v).Draw(t, "version")
					s.tell(t, levels(sku, "us-east-1", old, uint8(1+old%15)))
				}
			default:
				want := uint8(0)
				if v := version[sku]; v > 0 {
					want = uint8(1 + v%15)
				}
				if got := s.levelOf(t, sku); got != want {
					t.Fatalf("%s has level %d, want %d", sku, got, want)
				}
			}
		}
	})
}

func TestHoldingsAreReadFromBitsAndLevels(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		of := rapid.SliceOfN(rapid.Uint8Range(0, 15), 0, 40).Draw(t, "levels")
		one := &inventoryv1.StockSummary{Fcs: make([]byte, (len(of)+7)/8), Levels: make([]byte, (len(of)+1)/2)}
		var want []holding
		for n, level := range of {
			if level > 0 {
				one.Fcs[n/8] |= 1 << (n % 8)
				one.Levels[n/2] |= level << (n % 2 * 4)
				want = append(want, holding{int16(n), level})
			}
		}
		if got := holdingsOf(one); !slices.Equal(got, want) {
			t.Fatalf("%v, want %v", got, want)
		}
	})
}

func FuzzHoldings(f *testing.F) {
	f.Add([]byte{3}, []byte{0x21})
	f.Add([]byte{0, 0, 255}, []byte{})
	f.Fuzz(func(t *testing.T, fcs, levels []byte) {
		last := int16(-1)
		for _, h := range holdingsOf(&inventoryv1.StockSummary{Fcs: fcs, Levels: levels}) {
			if h.ordinal <= last || h.ordinal >= maxOrdinal || h.level < 1 || h.level > 15 || fcs[h.ordinal/8]&(1<<(h.ordinal%8)) == 0 {
				t.Fatalf("%+v of %v and %v", h, fcs, levels)
			}
			last = h.ordinal
		}
	})
}

func TestWhatIsReliedOnIsHalfOfTheLeast(t *testing.T) {
	for level, want := range map[uint8]struct{ reliable, highest int64 }{0: {0, 0}, 1: {0, 3}, 2: {2, 15}, 3: {8, 63}, 4: {32, 255}, 15: {1 << 27, 1<<30 - 1}} {
		if reliable(level) != want.reliable || highest(level) != want.highest {
			t.Errorf("level %d: %d to %d, want %+v", level, reliable(level), highest(level), want)
		}
	}
}
