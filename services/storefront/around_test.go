package storefront

import (
	"context"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	searchv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/search/v1"
	"github.com/cellar-commerce/cellar/internal/gen/cellar/search/v1/searchv1connect"
)

// countedSearch counts, and fails when told so.
type countedSearch struct {
	searchv1connect.SearchServiceClient
	n   atomic.Int64
	err error
}

func (c *countedSearch) Search(ctx context.Context, r *searchv1.SearchRequest) (*searchv1.SearchResponse, error) {
	c.n.Add(1)
	if c.err != nil {
		return nil, c.err
	}
	return &searchv1.SearchResponse{Hits: []*searchv1.Hit{{Sku: "LAMP"}, {Sku: "SHADE", Title: "A shade", Price: lamp().GetPrice()}}}, nil
}

func TestWhatStandsAroundAProductIsLookedUpOnceForManyPages(t *testing.T) {
	s, found := newShop(t), &countedSearch{}
	s.deps.Search = found
	for range 3 {
		if w := s.get("/p/LAMP"); w.Code != http.StatusOK || !strings.Contains(w.Body.String(), `href="/p/SHADE"`) {
			t.Fatal(w.Code, w.Body.String())
		}
	}
	if n := found.n.Load(); n != 1 {
		t.Errorf("it was looked up %d times", n)
	}
	s.clock.Advance(aroundFresh + aroundStale)
	s.get("/p/LAMP")
	if n := found.n.Load(); n != 2 {
		t.Errorf("after its time it was looked up %d times", n)
	}
}

func TestAProductWithoutSurroundingsIsShownAlone(t *testing.T) {
	s, found := newShop(t), &countedSearch{err: errBroken}
	s.deps.Search = found
	if w := s.get("/p/LAMP"); w.Code != http.StatusOK || strings.Contains(w.Body.String(), "SHADE") {
		t.Fatal(w.Code, w.Body.String())
	}
	found.err = nil
	if w := s.get("/p/LAMP"); !strings.Contains(w.Body.String(), `href="/p/SHADE"`) {
		t.Error("the failure is kept")
	}
}
