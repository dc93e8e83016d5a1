// Package opening fills a platform that has just been made: fulfilment centres, products, and
// the stock that lies there on the first day.
//
// Everything goes through the services' own code and is idempotent, so that an opening that
// was interrupted is simply done again: centres and products are replaced by themselves, and
// opening stock counts once for each product and centre.
package opening

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"slices"

	"golang.org/x/sync/errgroup"
	"google.golang.org/protobuf/proto"

	"github.com/cellar-commerce/cellar/internal/clock"
	catalogv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/catalog/v1"
	moneyv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/money/v1"
	"github.com/cellar-commerce/cellar/internal/ident"
	"github.com/cellar-commerce/cellar/internal/seed"
	"github.com/cellar-commerce/cellar/internal/sqldb"
	"github.com/cellar-commerce/cellar/services/catalog"
	"github.com/cellar-commerce/cellar/services/fulfillment"
	"github.com/cellar-commerce/cellar/services/inventory"
)

// Opener writes into a platform's databases.
type Opener struct {
	global    *sqldb.DB
	regional  *sqldb.DB
	catalog   *catalog.Service
	centers   *fulfillment.Service
	inventory map[ident.Region]*inventory.Service
}

// maxConns of the opener: one for each region's stock, and as many for products.
const maxConns = 6

// New opener on a SQL cluster whose schema is there. Close it.
func New(ctx context.Context, databaseURL string) (*Opener, error) {
	global, err := sqldb.Open(ctx, sqldb.Config{URL: databaseURL, Database: sqldb.Global, MaxConns: maxConns, ApplicationName: "cellctl"})
	if err != nil {
		return nil, err
	}
	regional, err := sqldb.Open(ctx, sqldb.Config{URL: databaseURL, Database: sqldb.Regional, MaxConns: maxConns, ApplicationName: "cellctl"})
	if err != nil {
		global.Close()
		return nil, err
	}
	return assemble(global, regional, clock.System{}), nil
}

func assemble(global, regional *sqldb.DB, now clock.Clock) *Opener {
	log := slog.New(slog.DiscardHandler)
	o := &Opener{global: global, regional: regional, inventory: map[ident.Region]*inventory.Service{}}
	o.catalog = catalog.New(catalog.Deps{DB: global, Clock: now, PrimaryRegion: ident.Regions()[0], Regions: ident.Regions()})
	o.centers = fulfillment.New(fulfillment.Deps{Global: global, Regional: regional, Clock: now, Log: log})
	for _, region := range ident.Regions() {
		o.inventory[region] = inventory.New(inventory.Deps{DB: regional, Region: region, Regions: ident.Regions(), FC: o.centers.FC, Ordinal: o.centers.Ordinal, Clock: now, Log: log})
	}
	return o
}

// Close the connections.
func (o *Opener) Close() {
	o.global.Close()
	o.regional.Close()
}

// Fill a platform whose schema is there: all centres, and n generated products with their stock, both of one seed.
func Fill(ctx context.Context, databaseURL string, n int, seedOf uint64) error {
	o, err := New(ctx, databaseURL)
	if err != nil {
		return err
	}
	defer o.Close()
	if _, err := o.Centers(ctx); err != nil {
		return err
	}
	_, err = o.Generated(ctx, n, seedOf, false)
	return err
}

// Empty tells whether nothing is for sale yet.
func (o *Opener) Empty(ctx context.Context) (bool, error) {
	page, err := o.catalog.ScanProducts(ctx, "", 1)
	return len(page) == 0, err
}

// Centers makes the fulfilment centres of the network.
func (o *Opener) Centers(ctx context.Context) (int, error) {
	var all []fulfillment.Center
	for _, c := range seed.FulfillmentCenters() {
		all = append(all, fulfillment.Center{ID: c.ID, Region: string(c.Region), Name: c.Name, City: c.City, CountryCode: c.CountryCode, At: c.At})
	}
	if err := o.centers.OpenCenters(ctx, all); err != nil {
		return 0, fmt.Errorf("open the fulfilment centres: %w", err)
	}
	return len(all), nil
}

// Options of Products.
type Options struct {
	// Seed of the opening stock's distribution.
	Seed uint64
	// Announce the products to cells that run already.
	Announce bool
	// Former price of a product that is to have become cheaper just now; nil for none. May be nil.
	Former func(*catalogv1.Product) *moneyv1.Money
	// Progress is told how many products are written so far; may be nil.
	Progress func(written int)
}

// batch of products, with their stock, that is written at once.
const batch = 2000

// Products stocks the centres with products and puts them up for sale, in this order: nothing is for sale that has not
// been counted. Gives how many were written.
func (o *Opener) Products(ctx context.Context, products iter.Seq[*catalogv1.Product], options Options) (written int, err error) {
	if options.Progress == nil {
		options.Progress = func(int) {}
	}
	next, stop := iter.Pull(products)
	defer stop()
	for {
		chunk := take(next, batch)
		if len(chunk) == 0 {
			return written, nil
		}
		if err := o.stock(ctx, chunk, options.Seed); err != nil {
			return written, fmt.Errorf("stock after %d products: %w", written, err)
		}
		n, err := o.offer(ctx, chunk, options)
		written += n
		if err != nil {
			return written, err
		}
		options.Progress(written)
	}
}

// Generated products of a seed: the first n, some of which have just become cheaper.
func (o *Opener) Generated(ctx context.Context, n int, seedOf uint64, announce bool) (written int, err error) {
	return o.Products(ctx, seed.Products(n, seedOf), Options{
		Seed: seedOf, Announce: announce, Former: func(p *catalogv1.Product) *moneyv1.Money { return seed.FormerPrice(p, seedOf) },
	})
}

// offer products for sale. That some have become cheaper is announced in any case: cells that are started later hear of it then.
func (o *Opener) offer(ctx context.Context, products []*catalogv1.Product, options Options) (written int, err error) {
	var cheaper, others []*catalogv1.Product
	for _, p := range products {
		if options.Former != nil && options.Former(p) != nil {
			cheaper = append(cheaper, p)
		} else {
			others = append(others, p)
		}
	}
	if err := o.dearer(ctx, cheaper, options); err != nil {
		return 0, err
	}
	if written, err = o.catalog.Import(ctx, others, catalog.ImportOptions{Announce: options.Announce}); err != nil {
		return written, err
	}
	n, err := o.catalog.Import(ctx, cheaper, catalog.ImportOptions{Announce: true})
	return written + n, err
}

// dearer offers products for what they cost formerly, unless they are there already: one that had to become dearer first would not be
// cheaper than it has been.
func (o *Opener) dearer(ctx context.Context, products []*catalogv1.Product, options Options) error {
	if len(products) == 0 {
		return nil
	}
	skus, there := make([]string, len(products)), map[string]bool{}
	for i, p := range products {
		skus[i] = p.GetSku()
	}
	resp, err := o.catalog.BatchGetProducts(ctx, &catalogv1.BatchGetProductsRequest{Skus: skus})
	if err != nil {
		return err
	}
	for _, p := range resp.GetProducts() {
		there[p.GetSku()] = true
	}
	var before []*catalogv1.Product
	for _, p := range products {
		if !there[p.GetSku()] {
			was := proto.CloneOf(p)
			was.Price = options.Former(p)
			before = append(before, was)
		}
	}
	_, err = o.catalog.Import(ctx, before, catalog.ImportOptions{})
	return err
}

// Offer one product whose stock is counted elsewhere.
func (o *Opener) Offer(ctx context.Context, p *catalogv1.Product) error {
	_, err := o.catalog.Import(ctx, []*catalogv1.Product{p}, catalog.ImportOptions{Announce: true})
	return err
}

func take(next func() (*catalogv1.Product, bool), n int) []*catalogv1.Product {
	var chunk []*catalogv1.Product
	for len(chunk) < n {
		p, ok := next()
		if !ok {
			break
		}
		chunk = append(chunk, p)
	}
	return chunk
}

// stock of products, each region's at once.
func (o *Opener) stock(ctx context.Context, products []*catalogv1.Product, seedOf uint64) error {
	byRegion := map[ident.Region][]inventory.Stock{}
	for _, p := range products {
		for _, line := range seed.Stock(p, seedOf) {
			byRegion[line.Region] = append(byRegion[line.Region], inventory.Stock{FC: line.FC, SKU: p.GetSku(), Quantity: line.Quantity})
		}
	}
	g, ctx := errgroup.WithContext(ctx)
	for region, lines := range byRegion {
		service, ok := o.inventory[region]
		if !ok {
			return errors.New("no inventory in " + string(region))
		}
		g.Go(func() error {
			// In the order of the rows' key: neighbours are written together.
			slices.SortFunc(lines, func(a, b inventory.Stock) int {
				return cmp.Or(cmp.Compare(a.FC, b.FC), cmp.Compare(a.SKU, b.SKU))
			})
			return service.Open(ctx, lines)
		})
	}
	return g.Wait()
}
