package catalog

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/cellar-commerce/cellar/internal/cache"
	"github.com/cellar-commerce/cellar/internal/clock"
	"github.com/cellar-commerce/cellar/internal/gather"
	catalogv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/catalog/v1"
	"github.com/cellar-commerce/cellar/internal/gen/cellar/catalog/v1/catalogv1connect"
	"github.com/cellar-commerce/cellar/internal/ident"
	"github.com/cellar-commerce/cellar/internal/money"
	"github.com/cellar-commerce/cellar/internal/outbox"
	"github.com/cellar-commerce/cellar/internal/problem"
	"github.com/cellar-commerce/cellar/internal/sqldb"
)

// Deps of the service.
type Deps struct {
	// DB is cellar_global.
	DB    *sqldb.DB
	Clock clock.Clock
	// PrimaryRegion is the home of the global outbox's rows: its cells relay them.
	PrimaryRegion ident.Region
	// Regions are told of changes.
	Regions []ident.Region
	// Lanes are how many readings for those who ask at the same time are under way at once; 0 is two.
	Lanes int
	// Committed is called after a transaction that left events in the outbox; may be nil.
	Committed func()
}

// Service implements cellar.catalog.v1.CatalogService.
type Service struct {
	deps  Deps
	cache *cache.Cache[string, *catalogv1.Product]
	// rows of products, past the cache, by how much of them is read.
	rows map[catalogv1.ProductView]*gather.Reader[string, *catalogv1.Product]

	categories struct {
		sync.Mutex
		list  []*catalogv1.Category
		until time.Time
	}
}

var _ catalogv1connect.CatalogServiceHandler = (*Service)(nil)

// New service.
func New(deps Deps) *Service {
	if deps.Committed == nil {
		deps.Committed = func() {}
	}
	return &Service{
		deps: deps, cache: cache.New[string, *catalogv1.Product](cache.Config{Size: cacheSize, Fresh: cacheFresh, LoadTime: cacheLoad, Clock: deps.Clock}),
		rows: map[catalogv1.ProductView]*gather.Reader[string, *catalogv1.Product]{
			whole: newRows(deps, readProducts),
			line:  newRows(deps, readLines),
		},
	}
}

// newRows are read for those who ask at the same time.
func newRows(deps Deps, read func(context.Context, sqldb.Querier, []string) ([]*catalogv1.Product, error)) *gather.Reader[string, *catalogv1.Product] {
	return gather.New(gather.Config[string, *catalogv1.Product]{MaxKeys: maxGathered, Timeout: cacheLoad, Lanes: deps.Lanes, Read: func(ctx context.Context, skus []string) (map[string]*catalogv1.Product, error) {
		products, err := read(ctx, deps.DB, skus)
		bySKU := make(map[string]*catalogv1.Product, len(products))
		for _, p := range products {
			bySKU[p.GetSku()] = p
		}
		return bySKU, err
	}})
}

// Views of a product.
const (
	whole = catalogv1.ProductView_PRODUCT_VIEW_UNSPECIFIED
	line  = catalogv1.ProductView_PRODUCT_VIEW_LINE
)

const (
	// cacheSize products of some 3 kB each take 60 MB: the popular head of the catalogue.
	cacheSize = 20_000
	// cacheFresh bounds how old a product may be where its event is late.
	cacheFresh = 5 * time.Second
	// cacheLoad bounds the reading of one row.
	cacheLoad = 5 * time.Second
	// maxGathered products are read at once for those who ask at the same time.
	maxGathered = 500
)

// get one product, from the cache if it may.
func (s *Service) get(ctx context.Context, sku string) (*catalogv1.Product, error) {
	return s.cache.Get(ctx, sku, func(ctx context.Context, sku string) (*catalogv1.Product, error) {
		products, err := s.batch(ctx, whole, []string{sku})
		if err != nil {
			return nil, err
		}
		if len(products) == 0 {
			return nil, unknownProduct()
		}
		return products[0], nil
	})
}

// batch reads products from their rows, past the cache: carts and checkout decide on prices by it. Others who ask at the same time
// are given the same products: nobody may change one.
func (s *Service) batch(ctx context.Context, view catalogv1.ProductView, skus []string) ([]*catalogv1.Product, error) {
	found, err := s.rows[view].Of(ctx, skus...)
	if err != nil {
		return nil, fmt.Errorf("read %d products: %w", len(skus), err)
	}
	products, seen := make([]*catalogv1.Product, 0, len(skus)), make(map[string]bool, len(skus))
	for _, sku := range skus {
		if p := found[sku]; p != nil && !seen[sku] {
			seen[sku], products = true, append(products, p)
		}
	}
	return products, nil
}

// families' products, in the order of their SKUs.
func (s *Service) families(ctx context.Context, families []string) ([]*catalogv1.Product, error) {
	families = slices.Clone(families)
	slices.Sort(families)
	products, err := sqldb.Collect(ctx, s.deps.DB, stmtFamilies, scanProduct, slices.Compact(families), maxFamily)
	if err != nil {
		return nil, fmt.Errorf("read %d families: %w", len(families), err)
	}
	slices.SortFunc(products, func(a, b *catalogv1.Product) int { return strings.Compare(a.GetSku(), b.GetSku()) })
	return products, nil
}

// offers of products, as they are listed.
func (s *Service) offers(ctx context.Context, skus []string) ([]*catalogv1.Product, error) {
	skus = slices.Clone(skus)
	slices.Sort(skus)
	offers, err := sqldb.Collect(ctx, s.deps.DB, stmtOffers, scanProduct, slices.Compact(skus), maxOffers)
	if err != nil {
		return nil, fmt.Errorf("read the offers of %d products: %w", len(skus), err)
	}
	slices.SortFunc(offers, func(a, b *catalogv1.Product) int {
		return cmp.Or(cmp.Compare(a.GetCondition(), b.GetCondition()), cmp.Compare(a.GetPrice().GetMinorUnits(), b.GetPrice().GetMinorUnits()), strings.Compare(a.GetSku(), b.GetSku()))
	})
	return offers, nil
}

// listing is a place in a category: after a popularity and an SKU.
type listing struct {
	popularity int32
	sku        string
}

// browse a page of a category, most popular first.
func (s *Service) browse(ctx context.Context, category string, after listing, limit int) (products []*catalogv1.Product, next *listing, err error) {
	listings, err := sqldb.Collect(ctx, s.deps.DB, stmtBrowse, func(r sqldb.Row) (l listing, err error) {
		err = r.Scan(&l.popularity, &l.sku)
		return l, err
	}, category, after.popularity, after.sku, limit+1)
	if err != nil {
		return nil, nil, fmt.Errorf("browse: %w", err)
	}
	if len(listings) > limit {
		listings = listings[:limit]
		next = &listings[limit-1]
	}
	skus := make([]string, len(listings))
	place := make(map[string]int, len(listings))
	for i, l := range listings {
		skus[i], place[l.sku] = l.sku, i
	}
	if products, err = s.batch(ctx, whole, skus); err != nil {
		return nil, nil, err
	}
	slices.SortFunc(products, func(a, b *catalogv1.Product) int { return place[a.GetSku()] - place[b.GetSku()] })
	return products, next, nil
}

const (
	// categoriesFresh is how long the tree of categories is kept: counting it reads every listing.
	categoriesFresh = 30 * time.Second
	// maxCategories in an answer.
	maxCategories = 10_000
)

func (s *Service) listCategories(ctx context.Context) ([]*catalogv1.Category, error) {
	s.categories.Lock()
	defer s.categories.Unlock() // whoever comes meanwhile waits for this answer instead of counting too
	now := s.deps.Clock.Now()
	if now.Before(s.categories.until) {
		return s.categories.list, nil
	}
	all, err := sqldb.Collect(ctx, s.deps.DB, stmtCategories, func(r sqldb.Row) (*catalogv1.Category, error) {
		var c catalogv1.Category
		return &c, r.Scan(&c.Path, &c.Products)
	}, maxCategories)
	if err != nil {
		return nil, fmt.Errorf("list categories: %w", err)
	}
	s.categories.list, s.categories.until = all, now.Add(categoriesFresh)
	if len(all) == 0 {
		s.categories.until = now // an empty shop is about to be filled
	}
	return all, nil
}

// ImportOptions of an import.
type ImportOptions struct {
	// Announce the changes to caches and indexes. Off only for the first filling of a platform whose cells read
	// everything when they start.
	Announce bool
}

// importBatch products are written in one transaction: with their events some megabytes.
const importBatch = 500

// Import stores products in batches, each a transaction. A product given twice counts with its last version. Products
// must be valid: the first that is not ends the import with INVALID_FIELDS, and its batch is not written. Gives how
// many were written.
func (s *Service) Import(ctx context.Context, products []*catalogv1.Product, options ImportOptions) (int, error) {
	written := 0
	for batch := range slices.Chunk(products, importBatch) {
		if err := s.write(ctx, batch, options.Announce); err != nil {
			return written, fmt.Errorf("import after %d products: %w", written, err)
		}
		written += len(batch)
	}
	return written, nil
}

// write products in one transaction, with their events if told so.
func (s *Service) write(ctx context.Context, products []*catalogv1.Product, announce bool) error {
	for i, p := range products {
		var v problem.Violations
		Validate(&v, fmt.Sprintf("products[%d]", i), p)
		if err := v.Err(); err != nil {
			return err
		}
	}
	products = lastOfEach(products)
	now := s.deps.Clock.Now()
	err := s.deps.DB.InTx(ctx, func(tx sqldb.Tx) error {
		if err := writeProducts(ctx, tx, products, now); err != nil || !announce {
			return err
		}
		return outbox.Enqueue(ctx, tx, s.deps.PrimaryRegion, now, s.changes(products)...)
	})
	if err != nil {
		return err
	}
	for _, p := range products {
		s.cache.Forget(p.GetSku())
	}
	s.deps.Committed()
	return nil
}

// lastOfEach SKU, sorted: a statement may not touch a row twice, and everybody locks in the same order. The products
// are copies, because writing sets their version.
func lastOfEach(products []*catalogv1.Product) []*catalogv1.Product {
	last := make(map[string]*catalogv1.Product, len(products))
	for _, p := range products {
		last[p.GetSku()] = p
	}
	out := make([]*catalogv1.Product, 0, len(last))
	for _, p := range last {
		out = append(out, proto.CloneOf(p))
	}
	slices.SortFunc(out, func(a, b *catalogv1.Product) int { return strings.Compare(a.GetSku(), b.GetSku()) })
	return out
}

// setPrice changes only the price.
func (s *Service) setPrice(ctx context.Context, sku string, price money.Amount) (*catalogv1.Product, error) {
	now := s.deps.Clock.Now()
	var p *catalogv1.Product
	err := s.deps.DB.InTx(ctx, func(tx sqldb.Tx) (err error) {
		if p, err = lockProduct(ctx, tx, sku); err != nil {
			return err
		}
		p.Price = price.Proto()
		if err := writeProducts(ctx, tx, []*catalogv1.Product{p}, now); err != nil {
			return err
		}
		return outbox.Enqueue(ctx, tx, s.deps.PrimaryRegion, now, s.changes([]*catalogv1.Product{p})...)
	})
	if err != nil {
		return nil, fmt.Errorf("set price of %s: %w", sku, err)
	}
	s.cache.Forget(sku)
	s.deps.Committed()
	return p, nil
}

// withdraw a product.
func (s *Service) withdraw(ctx context.Context, sku string) (*catalogv1.Product, error) {
	p, err := s.mark(ctx, stmtWithdraw, sku)
	if err != nil {
		return nil, fmt.Errorf("withdraw %s: %w", sku, err)
	}
	return p, nil
}

// restore what is withdrawn.
func (s *Service) restore(ctx context.Context, sku string) (*catalogv1.Product, error) {
	p, err := s.mark(ctx, stmtRestore, sku)
	if err != nil {
		return nil, fmt.Errorf("restore %s: %w", sku, err)
	}
	return p, nil
}

// mark a product by a statement, and tell every region unless it is marked already.
func (s *Service) mark(ctx context.Context, by *sqldb.Statement, sku string) (p *catalogv1.Product, err error) {
	now, changed := s.deps.Clock.Now(), false
	err = s.deps.DB.InTx(ctx, func(tx sqldb.Tx) error {
		if p, changed, err = markProduct(ctx, tx, by, sku, now); err != nil || !changed {
			return err
		}
		return outbox.Enqueue(ctx, tx, s.deps.PrimaryRegion, now, s.changes([]*catalogv1.Product{p})...)
	})
	if err != nil || !changed {
		return p, err
	}
	s.cache.Forget(sku)
	s.deps.Committed()
	return p, nil
}

// ScanProducts gives up to limit products after an SKU, in the order of SKUs: for whoever reads everything.
func (s *Service) ScanProducts(ctx context.Context, after string, limit int) ([]*catalogv1.Product, error) {
	products, err := sqldb.Collect(ctx, s.deps.DB, stmtScan, scanProduct, after, limit)
	if err != nil {
		return nil, fmt.Errorf("scan products after %q: %w", after, err)
	}
	return products, nil
}
