package storefront

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"google.golang.org/protobuf/proto"

	"github.com/cellar-commerce/cellar/internal/clock"
	catalogv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/catalog/v1"
	"github.com/cellar-commerce/cellar/internal/gen/cellar/catalog/v1/catalogv1connect"
	"github.com/cellar-commerce/cellar/internal/gen/cellar/recommendation/v1/recommendationv1connect"
	"github.com/cellar-commerce/cellar/internal/gen/cellar/review/v1/reviewv1connect"
	storefrontv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/storefront/v1"
	"github.com/cellar-commerce/cellar/internal/ident"
	"github.com/cellar-commerce/cellar/internal/outbox"
	"github.com/cellar-commerce/cellar/internal/problem"
	"github.com/cellar-commerce/cellar/internal/sqldb"
)

const (
	// ConsumerName is the durable name of the consumer that rebuilds a region's pages.
	ConsumerName = "pages"
	// SubjectRebuilt is the subject of PagesRebuilt events, which stay within a region.
	SubjectRebuilt = "catalog.page.rebuilt"

	// rebuildBatch pages are made at once: with some 5 kB each a transaction of 300 kB.
	rebuildBatch = 64
	// rowLife is how old a row is shown without being asked to be made anew: it bounds how long the page misses what no event
	// tells of, such as what is bought together.
	rowLife = time.Hour
	// maxWanted pages wait to be made because somebody has looked at them; others are asked for again by the next look.
	maxWanted = 1000
	// wantedPause between two tries, while what pages are made of is away.
	wantedPause = time.Second
)

// PagesDeps of Pages.
type PagesDeps struct {
	// DB is cellar_regional.
	DB              *sqldb.DB
	Region          ident.Region
	Catalog         catalogv1connect.CatalogServiceClient
	Reviews         reviewv1connect.ReviewServiceClient
	Recommendations recommendationv1connect.RecommendationServiceClient
	// Committed is called after a transaction that left events in the outbox; may be nil.
	Committed func()
	Clock     clock.Clock
	Log       *slog.Logger
}

// Pages of a region's products: a row each, which can be made again at any time from what other services have.
//
// Whoever makes a row counts itself among those who were asked before it reads anything, and writes unless somebody who was
// asked later has written: two that make the same row at once leave the one that has read last. So nobody needs to own the work.
type Pages struct {
	composer
	deps   PagesDeps
	wanted chan string
}

var _ PageReader = (*Pages)(nil)

// NewPages of a region.
func NewPages(deps PagesDeps) *Pages {
	if deps.Committed == nil {
		deps.Committed = func() {}
	}
	return &Pages{composer: composer{deps.Catalog, deps.Reviews, deps.Recommendations}, deps: deps, wanted: make(chan string, maxWanted)}
}

// Rebuild the pages of products. What is no product gets none. Doing it again changes nothing.
func (p *Pages) Rebuild(ctx context.Context, skus ...string) error {
	for batch := range slices.Chunk(once(skus), rebuildBatch) {
		if err := p.rebuild(ctx, batch); err != nil {
			return fmt.Errorf("rebuild %d pages: %w", len(batch), err)
		}
	}
	return nil
}

func (p *Pages) rebuild(ctx context.Context, skus []string) error {
	asked, err := askPages(ctx, p.deps.DB, p.deps.Region, skus, p.deps.Clock.Now())
	if err != nil {
		return err
	}
	all, lacking, err := p.compose(ctx, skus)
	if err = cmp.Or(err, lacking); err != nil { // what is lacking now would be lacking for long
		return err
	}
	if len(all) == 0 {
		return nil
	}
	rows, withdrawn := make([]row, len(all)), false
	for i, page := range all {
		withdrawn = withdrawn || page.GetProduct().GetWithdrawnAt() != nil
		rows[i] = row{card: packCard(page.GetProduct(), page.GetOpinion().GetRating(), page.GetReduction()), page: page, asked: asked[page.GetProduct().GetSku()]}
	}
	now := p.deps.Clock.Now()
	err = p.deps.DB.InTx(ctx, func(tx sqldb.Tx) error {
		written, err := putPages(ctx, tx, p.deps.Region, rows, now)
		if err != nil || len(written) == 0 {
			return err
		}
		id := ident.NewToken()
		return outbox.Enqueue(ctx, tx, p.deps.Region, now, outbox.Event{
			MessageID: "pages/" + string(p.deps.Region) + "/" + id, Key: id, Subject: SubjectRebuilt, Destination: p.deps.Region,
			Payload: &storefrontv1.PagesRebuilt{Skus: written, Withdrawn: withdrawn},
		})
	})
	if err != nil {
		return err
	}
	p.deps.Committed()
	return nil
}

// Changed is the consumer of ProductChanged events. The pages of a product's family show it among their choices.
func (p *Pages) Changed(ctx context.Context, payloads ...[]byte) error {
	var skus, families []string
	for _, payload := range payloads {
		var e catalogv1.ProductChanged
		if err := proto.Unmarshal(payload, &e); err != nil {
			return fmt.Errorf("product changed: %w", err)
		}
		sku := e.GetProduct().GetSku()
		if of := e.GetProduct().GetOfferOf(); of != "" {
			sku = of // an offer stands on its product's page
		}
		skus = append(skus, sku)
		if family := e.GetProduct().GetFamily(); family != "" {
			families = append(families, family)
		}
	}
	all, err := p.families(ctx, families)
	if err != nil {
		return fmt.Errorf("product changed: %w", err)
	}
	for _, family := range all {
		for _, one := range family {
			skus = append(skus, one.GetSku())
		}
	}
	return p.Rebuild(ctx, skus...)
}

// Run makes the pages that were looked at and had no row, or an old one, until ctx ends.
func (p *Pages) Run(ctx context.Context) {
	for {
		var skus []string
		select {
		case sku := <-p.wanted:
			skus = append(skus, sku)
		case <-ctx.Done():
			return
		}
		for len(skus) < rebuildBatch && len(p.wanted) > 0 {
			skus = append(skus, <-p.wanted)
		}
		if err := p.Rebuild(ctx, skus...); err != nil && ctx.Err() == nil {
			p.deps.Log.WarnContext(ctx, "pages that were looked at could not be made; the next look asks again", "pages", len(skus), "error", err)
			_ = p.deps.Clock.Sleep(ctx, wantedPause)
		}
	}
}

// Page of a product: its row, or what a row would have where there is none or the database is away. NOT_FOUND (UNKNOWN_PRODUCT).
func (p *Pages) Page(ctx context.Context, sku string) (*storefrontv1.Page, error) {
	if !utf8.ValidString(sku) || strings.ContainsRune(sku, 0) {
		return nil, unknownProduct()
	}
	page, builtAt, err := readPage(ctx, p.deps.DB, p.deps.Region, sku)
	if err != nil {
		p.deps.Log.WarnContext(ctx, "the row of a page cannot be read", "sku", sku, "error", err)
	}
	if page != nil {
		if p.deps.Clock.Now().Sub(builtAt) > rowLife {
			p.want(sku)
		}
		return page, nil
	}
	all, lacking, err := p.compose(ctx, []string{sku})
	switch {
	case err != nil:
		return nil, err
	case len(all) == 0:
		return nil, unknownProduct()
	case lacking != nil:
		p.deps.Log.WarnContext(ctx, "a product is shown without all that belongs to it", "sku", sku, "error", lacking)
	}
	p.want(sku)
	return all[0], nil
}

// Deals are the cards of the products whose price has fallen lately, the newest first: at most 240.
func (p *Pages) Deals(ctx context.Context) ([]*storefrontv1.Card, error) {
	cards, err := readDeals(ctx, p.deps.DB, p.deps.Region, p.deps.Clock.Now().Add(-reductionLife))
	if err != nil {
		return nil, fmt.Errorf("read the deals: %w", err)
	}
	return cards, nil
}

// want a page to be made, unless too many are.
func (p *Pages) want(sku string) {
	select {
	case p.wanted <- sku:
	default:
	}
}

func unknownProduct() error {
	return problem.New(problem.NotFound, "UNKNOWN_PRODUCT", "there is no such product")
}
