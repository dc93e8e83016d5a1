package search_test

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	catalogv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/catalog/v1"
	problemv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/problem/v1"
	searchv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/search/v1"
	"github.com/cellar-commerce/cellar/internal/problem"
	"github.com/cellar-commerce/cellar/internal/seed"
	"github.com/cellar-commerce/cellar/services/search"
	"github.com/cellar-commerce/cellar/services/search/enginetest"
)

func openBleve(t testing.TB) *search.Bleve {
	b, err := search.NewBleve()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	})
	return b
}

func TestBleveIsAnEngine(t *testing.T) {
	enginetest.Run(t, func(t *testing.T) search.Engine { return openBleve(t) })
}

type source []*catalogv1.Product

func (s source) ScanProducts(_ context.Context, after string, limit int) ([]*catalogv1.Product, error) {
	var page []*catalogv1.Product
	for _, p := range s {
		if p.GetSku() > after && len(page) < limit {
			page = append(page, p)
		}
	}
	return page, nil
}

type brokenSource struct{}

func (brokenSource) ScanProducts(context.Context, string, int) ([]*catalogv1.Product, error) {
	return nil, errors.New("no source")
}

func built(t testing.TB, products ...*catalogv1.Product) *search.Service {
	s := search.New(search.Deps{Engine: openBleve(t), Source: source(products), Log: slog.New(slog.DiscardHandler)})
	if err := s.Build(context.Background()); err != nil {
		t.Fatal(err)
	}
	return s
}

func numbered(n int) []*catalogv1.Product {
	var all []*catalogv1.Product
	for i := range n {
		all = append(all, enginetest.Product(fmt.Sprintf("p%05d", i), "Pan", func(p *catalogv1.Product) { p.Popularity = int32(n - i) }))
	}
	return all
}

func TestPagesFollowEachOtherToTheEnd(t *testing.T) {
	s := built(t, numbered(130)...)
	var seen []string
	token := ""
	for {
		resp, err := s.Search(context.Background(), &searchv1.SearchRequest{Query: "pan", PageSize: 50, PageToken: token})
		if err != nil {
			t.Fatal(err)
		}
		if resp.GetTotal() != 130 || (token == "") != (len(resp.GetFacets()) > 0) {
			t.Errorf("total %d, %d facets on page %q", resp.GetTotal(), len(resp.GetFacets()), token)
		}
		for _, h := range resp.GetHits() {
			seen = append(seen, h.GetSku())
		}
		if token = resp.GetNextPageToken(); token == "" {
			break
		}
	}
	for i, sku := range seen {
		if sku != fmt.Sprintf("p%05d", i) {
			t.Fatalf("place %d has %s", i, sku)
		}
	}
	if len(seen) != 130 {
		t.Errorf("%d of 130", len(seen))
	}
}

func TestWhatIsPrimeIsShownCountedAndAskedFor(t *testing.T) {
	products := numbered(3)
	products[1].Prime = true
	s := built(t, products...)
	resp, err := s.Search(t.Context(), &searchv1.SearchRequest{Query: "pan"})
	if err != nil {
		t.Fatal(err)
	}
	for _, h := range resp.GetHits() {
		if h.GetPrime() != (h.GetSku() == "p00001") {
			t.Errorf("%v", h)
		}
	}
	last := resp.GetFacets()[len(resp.GetFacets())-1]
	if len(resp.GetHits()) != 3 || last.GetField() != "prime" || last.GetValues()[0].GetValue() != "yes" || last.GetValues()[0].GetCount() != 1 {
		t.Errorf("%v", resp)
	}
	resp, err = s.Search(t.Context(), &searchv1.SearchRequest{Query: "pan", Prime: true})
	if err != nil || len(resp.GetHits()) != 1 || resp.GetTotal() != 1 || !resp.GetHits()[0].GetPrime() {
		t.Errorf("%v, %v", resp, err)
	}
}

func TestResultsEndAfterTheFirstThousand(t *testing.T) {
	s := built(t, numbered(1100)...)
	seen, token := 0, ""
	for {
		resp, err := s.Search(context.Background(), &searchv1.SearchRequest{Query: "pan", PageSize: 100, PageToken: token})
		if err != nil {
			t.Fatal(err)
		}
		seen += len(resp.GetHits())
		if token = resp.GetNextPageToken(); token == "" {
			break
		}
	}
	if seen != 1000 {
		t.Errorf("%d results", seen)
	}
}

func TestChangesAreFoundOnceTheyAreIndexed(t *testing.T) {
	indexed := make(chan int, 10)
	// What another seller offers is found through its product only.
	offer := enginetest.Product("used", "Skillet", func(p *catalogv1.Product) { p.OfferOf = "new" })
	s := search.New(search.Deps{Engine: openBleve(t), Source: source(append(numbered(3), offer)), Log: slog.New(slog.DiscardHandler), Indexed: func(n int) { indexed <- n }})
	if err := s.Build(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, p := range []*catalogv1.Product{
		enginetest.Product("p00001", "Skillet", func(p *catalogv1.Product) { p.Version = 2 }), enginetest.Product("new", "Skillet"), offer,
	} {
		payload, err := proto.Marshal(&catalogv1.ProductChanged{Product: p})
		if err != nil {
			t.Fatal(err)
		}
		if err := s.HandleChanged(t.Context(), payload); err != nil {
			t.Fatal(err)
		}
	}
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.Run(ctx)
	}()
	if n := <-indexed; n != 2 {
		t.Errorf("two waiting changes are indexed %d at once", n)
	}
	stop()
	<-done
	resp, err := s.Search(t.Context(), &searchv1.SearchRequest{Query: "skillet"})
	if err != nil || len(resp.GetHits()) != 2 {
		t.Errorf("%v, %v", resp, err)
	}
	if err := s.HandleChanged(t.Context(), []byte("garbage")); err == nil {
		t.Error("garbage is taken for an event")
	}
}

func TestWhatIsWithdrawnIsNotFoundHoweverLateTheIndexReadsIt(t *testing.T) {
	e, before := openBleve(t), enginetest.Product("old", "Skillet")
	gone := enginetest.Product("old", "Skillet", func(p *catalogv1.Product) { p.Version, p.WithdrawnAt = 2, timestamppb.Now() })
	other := enginetest.Product("other", "Skillet", func(p *catalogv1.Product) { p.WithdrawnAt = timestamppb.Now() })
	if err := e.Index([]*catalogv1.Product{gone}); err != nil { // an event comes while the index is built of what was read before
		t.Fatal(err)
	}
	s := search.New(search.Deps{Engine: e, Source: source{before, other}, Log: slog.New(slog.DiscardHandler)})
	if err := s.Build(t.Context()); err != nil {
		t.Fatal(err)
	}
	if resp, err := s.Search(t.Context(), &searchv1.SearchRequest{Query: "skillet"}); err != nil || len(resp.GetHits()) > 0 {
		t.Errorf("%v, %v", resp, err)
	}
}

func TestChangesWaitWhereTheyComeFromWhenTooManyWaitHere(t *testing.T) {
	s := search.New(search.Deps{Engine: openBleve(t), Source: source(nil), Log: slog.New(slog.DiscardHandler)})
	ctx, cancel := context.WithCancel(t.Context())
	for range 1000 {
		if err := s.HandleChanged(ctx, nil); err != nil {
			t.Fatal(err)
		}
	}
	cancel()
	if err := s.HandleChanged(ctx, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("the 1,001st change: %v", err)
	}
}

func TestSearchRefusesUntilTheIndexIsBuilt(t *testing.T) {
	s := search.New(search.Deps{Engine: openBleve(t), Source: brokenSource{}, Log: slog.New(slog.DiscardHandler)})
	if err := s.Build(context.Background()); err == nil || s.Ready() {
		t.Errorf("built from nothing: %v, ready %v", err, s.Ready())
	}
	if _, err := s.Search(context.Background(), &searchv1.SearchRequest{}); !problem.Is(err, "INDEX_NOT_BUILT") {
		t.Errorf("search: %v", err)
	}
	if _, err := s.Suggest(context.Background(), &searchv1.SuggestRequest{Prefix: "a"}); !problem.Is(err, "INDEX_NOT_BUILT") {
		t.Errorf("suggest: %v", err)
	}
}

func TestBadRequestsAreRefusedByField(t *testing.T) {
	s := built(t, numbered(1)...)
	for field, req := range map[string]*searchv1.SearchRequest{
		"query":                 {Query: strings.Repeat("x", 257)},
		"category":              {Category: strings.Repeat("x", 2001)},
		"brands":                {Brands: make([]string, 51)},
		"brands[0]":             {Brands: []string{""}},
		"min_price_minor_units": {MinPriceMinorUnits: -1},
		"max_price_minor_units": {MinPriceMinorUnits: 5, MaxPriceMinorUnits: 4},
		"sort":                  {Sort: 99},
		"page_size":             {PageSize: 101},
	} {
		_, err := s.Search(context.Background(), req)
		wantViolation(t, err, field)
	}
	_, err := s.Suggest(context.Background(), &searchv1.SuggestRequest{})
	wantViolation(t, err, "prefix")
	_, err = s.Suggest(context.Background(), &searchv1.SuggestRequest{Prefix: "a", Limit: 21})
	wantViolation(t, err, "limit")
	for _, token := range []string{"x", "ZnJvbS8tMQ", "ZnJvbS85OTk5OTk", "ZnJvbS84LzUwMDA", strings.Repeat("A", 100)} {
		if _, err := s.Search(context.Background(), &searchv1.SearchRequest{PageToken: token}); !problem.Is(err, "BAD_PAGE_TOKEN") {
			t.Errorf("token %q: %v", token, err)
		}
	}
}

func wantViolation(t testing.TB, err error, field string) {
	t.Helper()
	d, ok := problem.Detail[*problemv1.FieldViolations](err)
	if !ok || len(d.GetViolations()) == 0 || d.GetViolations()[0].GetField() != field {
		t.Errorf("%s: got %v", field, err)
	}
}

func TestEveryPageTellsHowManyFamiliesThereAre(t *testing.T) {
	products := numbered(60)
	for i, p := range products {
		p.Family = fmt.Sprint("family", i/3)
	}
	s, token, listed := built(t, products...), "", 0
	for page := 0; page == 0 || token != ""; page++ {
		resp, err := s.Search(context.Background(), &searchv1.SearchRequest{Query: "pan", PageSize: 8, PageToken: token})
		if err != nil {
			t.Fatal(err)
		}
		if resp.GetTotal() != 20 {
			t.Errorf("page %d says that there are %d", page, resp.GetTotal())
		}
		listed, token = listed+len(resp.GetHits()), resp.GetNextPageToken()
	}
	if listed != 20 {
		t.Errorf("%d are listed", listed)
	}
	before := base64.RawURLEncoding.EncodeToString([]byte("from/8"))
	if resp, err := s.Search(context.Background(), &searchv1.SearchRequest{Query: "pan", PageSize: 8, PageToken: before}); err != nil || len(resp.GetHits()) != 8 {
		t.Errorf("a token of the release before: %v, %v", resp, err)
	}
}

func FuzzSearch(f *testing.F) {
	s := built(f, numbered(3)...)
	f.Add("pan", "p", "")
	f.Add(`"pan" -x (a OR b)*`, "\xff", "ZnJvbS8x")
	f.Fuzz(func(t *testing.T, words, prefix, token string) {
		if _, err := s.Search(context.Background(), &searchv1.SearchRequest{Query: words, PageToken: token}); problem.KindOf(err) == problem.Internal && err != nil {
			t.Errorf("search %q: %v", words, err)
		}
		if _, err := s.Suggest(context.Background(), &searchv1.SuggestRequest{Prefix: prefix}); problem.KindOf(err) == problem.Internal && err != nil {
			t.Errorf("suggest %q: %v", prefix, err)
		}
	})
}

func BenchmarkIndex(b *testing.B) {
	products := numbered(1000)
	for b.Loop() {
		if err := openBleve(b).Index(products); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.N*1000)/b.Elapsed().Seconds(), "docs/s")
}

// BenchmarkSearch of a catalogue: without families, and where four products each are one.
func BenchmarkSearch(b *testing.B) {
	for name, size := range map[string]int{"alone": 1, "families of 4": 4} {
		engine := openBleve(b)
		for chunk := range slices.Chunk(slices.Collect(seed.Products(20_000, 1)), 2000) {
			for i, p := range chunk {
				if first := chunk[i-i%size]; size > 1 {
					p.Family, p.Brand, p.CategoryPath = "F-"+first.GetSku(), first.GetBrand(), first.GetCategoryPath()
				}
			}
			if err := engine.Index(chunk); err != nil {
				b.Fatal(err)
			}
		}
		for _, words := range []string{"", "black steel", "light"} {
			b.Run(name+"/"+words, func(b *testing.B) {
				for b.Loop() {
					if _, err := engine.Search(b.Context(), search.Query{Words: words, Limit: 24, Counted: true}); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}
