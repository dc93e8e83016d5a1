package search_test

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/cellar-commerce/cellar/internal/bus"
	"github.com/cellar-commerce/cellar/internal/clock"
	catalogv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/catalog/v1"
	searchv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/search/v1"
	"github.com/cellar-commerce/cellar/internal/ident"
	"github.com/cellar-commerce/cellar/services/search"
)

// shelf is an engine with one product that every query finds.
type shelf struct{ search.Engine }

func (shelf) Index([]*catalogv1.Product) error { return nil }

func (shelf) Search(context.Context, search.Query) (search.Results, error) {
	return search.Results{Hits: []search.Hit{{Product: &search.Product{SKU: "A", Title: "A lamp"}}}, Total: 1}, nil
}

// journal is a broker and an observer of what becomes of logs.
type journal struct {
	mu        sync.Mutex
	published []bus.Message
	batches   int
	lost      int
	// away is what Publish does instead; nil takes all.
	away func(ctx context.Context) error
}

func (j *journal) Publish(ctx context.Context, _ ident.Region, messages []bus.Message) error {
	if j.away != nil {
		return j.away(ctx)
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	j.published, j.batches = append(j.published, messages...), j.batches+1
	return nil
}

func (j *journal) SearchesLogged(int) {}

func (j *journal) SearchLogsLost(searches int) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.lost += searches
}

func logging(t *testing.T, j *journal) *search.Service {
	t.Helper()
	s := search.New(search.Deps{
		Engine: shelf{}, Source: source(nil), Log: slog.New(slog.DiscardHandler), Publisher: j, ObserveLog: j, Clock: clock.System{}, Region: "us-east-1", Cell: "use1-a",
	})
	if err := s.Build(t.Context()); err != nil {
		t.Fatal(err)
	}
	return s
}

func ask(t *testing.T, s *search.Service, req *searchv1.SearchRequest) {
	t.Helper()
	if _, err := s.Search(t.Context(), req); err != nil {
		t.Fatal(err)
	}
}

// runLog until the test's bubble is idle, in which time passes as it likes.
func runLog(t *testing.T, s *search.Service, meanwhile func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); s.RunLog(ctx) }()
	meanwhile()
	cancel()
	<-done
}

func TestASearchIsLoggedWithWhatWasFound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		j := &journal{}
		s := logging(t, j)
		runLog(t, s, func() {
			ask(t, s, &searchv1.SearchRequest{Query: " Red  LAMP ", Category: "Home", Brands: []string{"Acme"}, MinPriceMinorUnits: 5, MaxPriceMinorUnits: 9, Prime: true, Sort: searchv1.Sort_SORT_POPULARITY})
			if _, err := s.Search(t.Context(), &searchv1.SearchRequest{PageSize: -1}); err == nil {
				t.Error("a bad request was answered")
			}
			synctest.Wait()
		})
		if len(j.published) != 1 || j.lost > 0 {
			t.Fatalf("published %v, lost %d", j.published, j.lost)
		}
		m := j.published[0]
		var e searchv1.SearchLogged
		if err := proto.Unmarshal(m.Data, &e); err != nil || m.ID != "search/"+e.GetId() || len(e.GetId()) < 20 || m.Subject != "search.us-east-1.logged" || !e.GetAt().IsValid() {
			t.Errorf("%v, %+v", err, m)
		}
		want := &searchv1.SearchLogged{
			Id: e.GetId(), At: e.GetAt(), Cell: "use1-a", Query: "red lamp", Category: "Home", Brands: []string{"Acme"}, MinPriceMinorUnits: 5, MaxPriceMinorUnits: 9, Prime: true,
			Sort: searchv1.Sort_SORT_POPULARITY, Total: 1, Skus: []string{"A"}, TookUs: e.GetTookUs(),
		}
		if !proto.Equal(&e, want) {
			t.Errorf("logged %v, want %v", &e, want)
		}
	})
}

func TestWordsThatMaySayWhoSomebodyIsAreNotLogged(t *testing.T) {
	queries := map[string]string{
		"lamp":                                  "lamp",
		"iPhone 15 128 GB":                      "iphone 15 128 gb",
		"canon eos 5d 24-70":                    "canon eos 5d 24-70",
		"gift for jane.doe@example.com":         "gift for",
		"call +1 (212) 555-0100 now":            "call now",
		"4111 1111 1111 1111":                   "",
		"order use1-7KQ2-M8XD":                  "order use1-7kq2-m8xd",
		"٠١٢٣٤٥٦٧ lamp":                         "lamp",
		"x@y 12 34 56 ring":                     "ring",
		"usb-c 100w 2m cable":                   "usb-c 100w 2m cable",
		strings.Repeat("9", 200) + " red shoes": "red shoes",
	}
	synctest.Test(t, func(t *testing.T) {
		j := &journal{}
		s := logging(t, j)
		var want []string
		runLog(t, s, func() {
			for query, logged := range queries {
				ask(t, s, &searchv1.SearchRequest{Query: query})
				want = append(want, logged)
			}
			<-time.After(time.Second)
		})
		var got []string
		for _, m := range j.published {
			var e searchv1.SearchLogged
			if err := proto.Unmarshal(m.Data, &e); err != nil {
				t.Fatal(err)
			}
			got = append(got, e.GetQuery())
		}
		slices.Sort(want)
		slices.Sort(got)
		if !slices.Equal(got, want) {
			t.Errorf("logged %q, want %q", got, want)
		}
	})
}

func TestASearchNeverWaitsForItsLog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		j := &journal{away: func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }} // it hangs
		s := logging(t, j)
		const n = 10_000
		runLog(t, s, func() {
			begun := time.Now()
			for range n {
				ask(t, s, &searchv1.SearchRequest{Query: "lamp"})
			}
			if took := time.Since(begun); took > 0 { // time stands still unless somebody waits
				t.Errorf("searches waited for %s", took)
			}
			<-time.After(time.Minute)
		})
		if j.lost != n || len(j.published) > 0 {
			t.Errorf("%d of %d logs are lost, %d published", j.lost, n, len(j.published))
		}
		// It is back.
		j.away = nil
		runLog(t, s, func() {
			for range 1200 {
				ask(t, s, &searchv1.SearchRequest{Query: "lamp"})
			}
			<-time.After(time.Minute)
		})
		if len(j.published) != 1200 || j.batches > 4 {
			t.Errorf("%d logs are published, in %d batches", len(j.published), j.batches)
		}
	})
}

func TestLogsOfABrokerThatRefusesAreLostAndCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		j := &journal{away: func(context.Context) error { return errors.New("refused") }}
		s := logging(t, j)
		runLog(t, s, func() {
			ask(t, s, &searchv1.SearchRequest{Query: "lamp"})
			synctest.Wait()
		})
		if j.lost != 1 {
			t.Errorf("%d are lost", j.lost)
		}
	})
}
