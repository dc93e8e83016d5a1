package search

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"sync/atomic"

	"github.com/cellar-commerce/cellar/internal/clock"
	catalogv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/catalog/v1"
	searchv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/search/v1"
	"github.com/cellar-commerce/cellar/internal/gen/cellar/search/v1/searchv1connect"
	"github.com/cellar-commerce/cellar/internal/ident"
	"github.com/cellar-commerce/cellar/internal/problem"
)

// Source of the products to begin with.
type Source interface {
	// ScanProducts gives up to limit products after an SKU, in the order of SKUs.
	ScanProducts(ctx context.Context, after string, limit int) ([]*catalogv1.Product, error)
}

// Deps of the service.
type Deps struct {
	Engine Engine
	Source Source
	Log    *slog.Logger
	// Indexed is told how many changed products have just become visible; may be nil.
	Indexed func(products int)
	// Publisher takes the logs of searches; nil keeps none. The rest is for them.
	Publisher  Publisher
	ObserveLog LogObserver
	Clock      clock.Clock
	// Region and Cell that answer.
	Region ident.Region
	Cell   string
}

// Service implements cellar.search.v1.SearchService.
type Service struct {
	deps    Deps
	ready   atomic.Bool
	changed chan *catalogv1.Product
	logged  chan *searchv1.SearchLogged // that are not published yet
}

var _ searchv1connect.SearchServiceHandler = (*Service)(nil)

// New service; it answers once Build is done.
func New(deps Deps) *Service {
	if deps.Indexed == nil {
		deps.Indexed = func(int) {}
	}
	return &Service{deps: deps, changed: make(chan *catalogv1.Product, maxChanged), logged: make(chan *searchv1.SearchLogged, maxLogged)}
}

// buildPage products are read and indexed at once: bigger pages make the index's segments bigger and fewer.
const buildPage = 1000

// Build fills the index from the source. Follow the events of changes from before it starts: the higher version wins,
// whichever comes first.
func (s *Service) Build(ctx context.Context) error {
	after, n := "", 0
	for {
		page, err := s.deps.Source.ScanProducts(ctx, after, buildPage)
		if err != nil {
			return fmt.Errorf("build the index: %w", err)
		}
		if len(page) == 0 {
			break
		}
		after = page[len(page)-1].GetSku()
		page = slices.DeleteFunc(page, isOffer)
		if err := s.deps.Engine.Index(page); err != nil {
			return fmt.Errorf("build the index: %w", err)
		}
		n += len(page)
	}
	s.ready.Store(true)
	s.deps.Log.InfoContext(ctx, "the search index is built", "products", n)
	return nil
}

// isOffer tells what is found through its product only.
func isOffer(p *catalogv1.Product) bool { return p.GetOfferOf() != "" }

// Ready tells whether the index is built.
func (s *Service) Ready() bool { return s.ready.Load() }

func (s *Service) requireReady() error {
	if s.Ready() {
		return nil
	}
	return problem.New(problem.Unavailable, "INDEX_NOT_BUILT", "the search index is still being built")
}
