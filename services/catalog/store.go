package catalog

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	catalogv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/catalog/v1"
	moneyv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/money/v1"
	"github.com/cellar-commerce/cellar/internal/money"
	"github.com/cellar-commerce/cellar/internal/sqldb"
)

const (
	// inLine are the columns of a product that a line of a cart needs, in the order in which scanLine reads them; behind them when it was
	// withdrawn. None is large.
	inLine = `sku, title, category, price_minor_units, currency, offer_of, seller, condition, prime`

	// given columns of a product, in the order in which scanProduct reads them; behind them when it was withdrawn.
	given = inLine + `, description, brand, image_urls, attributes, weight_grams, popularity, version, updated_at, family, varies_by`

	// withdrawn gives when a product was; an offer is as withdrawn as what it is of.
	withdrawn = `coalesce(withdrawn_at, (SELECT o.withdrawn_at FROM products AS o WHERE o.sku = products.offer_of AND products.offer_of <> ''))`
)

var (
	stmtGet = sqldb.Define(sqldb.Global, "catalog.get", `
SELECT `+given+`, `+withdrawn+`
FROM products
WHERE sku = ANY ($1::text[])`)

	stmtLines = sqldb.Define(sqldb.Global, "catalog.lines", `
SELECT `+inLine+`, `+withdrawn+`
FROM products
WHERE sku = ANY ($1::text[])`)

	stmtScan = sqldb.Define(sqldb.Global, "catalog.scan", `
SELECT `+given+`, `+withdrawn+`
FROM products
WHERE sku > $1
ORDER BY sku
LIMIT $2`)

	stmtFamilies = sqldb.Define(sqldb.Global, "catalog.families", `
SELECT `+given+`, withdrawn_at
FROM unnest($1::text[]) AS f (name)
CROSS JOIN LATERAL (
  SELECT `+given+`, withdrawn_at
  FROM products
  WHERE family = f.name AND family <> '' AND withdrawn_at IS NULL
  ORDER BY sku
  LIMIT $2
) AS p`)

	stmtOffers = sqldb.Define(sqldb.Global, "catalog.offers", `
SELECT `+given+`, withdrawn_at
FROM unnest($1::text[]) AS f (product)
CROSS JOIN LATERAL (
  SELECT `+given+`, withdrawn_at
  FROM products
  WHERE offer_of = f.product AND offer_of <> '' AND `+withdrawn+` IS NULL
  ORDER BY condition, price_minor_units, sku
  LIMIT $2
) AS p`)

	stmtBrowse = sqldb.Define(sqldb.Global, "catalog.browse", `
SELECT popularity, sku
FROM category_listings
WHERE category = $1 AND (popularity, sku) < ($2, $3)
ORDER BY popularity DESC, sku DESC
LIMIT $4`)

	// A whole pass over the listings; the answer is kept for a while (see categoriesFresh).
	stmtCategories = sqldb.Define(sqldb.Global, "catalog.categories", `
SELECT category, count(*)
FROM category_listings
GROUP BY category
ORDER BY category
LIMIT $1`)

	stmtLock = sqldb.Define(sqldb.Global, "catalog.lock", `
SELECT `+given+`, withdrawn_at
FROM products
WHERE sku = $1
FOR UPDATE`)

	// In the order of the SKUs, so that everybody locks alike.
	stmtPrices = sqldb.Define(sqldb.Global, "catalog.prices", `
SELECT sku, price_minor_units, currency
FROM products
WHERE sku = ANY ($1::text[])
ORDER BY sku
FOR UPDATE`)

	// Which of some products are withdrawn.
	stmtWithdrawn = sqldb.Define(sqldb.Global, "catalog.withdrawn", `
SELECT sku, `+withdrawn+`
FROM products
WHERE sku = ANY ($1::text[]) AND `+withdrawn+` IS NOT NULL`)

	stmtWithdraw = sqldb.Define(sqldb.Global, "catalog.withdraw", `
UPDATE products
SET withdrawn_at = $2, version = version + 1, updated_at = $2
WHERE sku = $1 AND withdrawn_at IS NULL`)

	stmtRestore = sqldb.Define(sqldb.Global, "catalog.restore", `
UPDATE products
SET withdrawn_at = NULL, version = version + 1, updated_at = $2
WHERE sku = $1 AND withdrawn_at IS NOT NULL`)

	stmtHistories = sqldb.Define(sqldb.Global, "catalog.price_histories", `
SELECT history
FROM price_histories
WHERE sku = ANY ($1::text[])`)

	stmtKeepHistories = sqldb.Define(sqldb.Global, "catalog.keep_price_histories", `
INSERT INTO price_histories (sku, history)
SELECT h.sku, h.history
FROM unnest($1::text[], $2::bytea[]) AS h (sku, history)
ON CONFLICT (sku) DO UPDATE
SET history = excluded.history`)

	stmtUpsert = sqldb.Define(sqldb.Global, "catalog.upsert", `
INSERT INTO products (`+given+`)
SELECT p.sku, p.title, p.category, p.price, p.currency, p.offer_of, p.seller, p.condition, p.prime,
  p.description, p.brand, ARRAY (SELECT jsonb_array_elements_text(p.image_urls)), p.attributes, p.weight, p.popularity, 1, $12,
  p.family, ARRAY (SELECT jsonb_array_elements_text(p.varies_by))
FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::int8[], $7::text[], $8::jsonb[], $9::jsonb[], $10::int8[], $11::int4[], $13::text[], $14::jsonb[],
  $15::text[], $16::text[], $17::int2[], $18::bool[])
  AS p (sku, title, description, brand, category, price, currency, image_urls, attributes, weight, popularity, family, varies_by, offer_of, seller, condition, prime)
ON CONFLICT (sku) DO UPDATE
SET title = excluded.title, description = excluded.description, brand = excluded.brand, category = excluded.category,
  price_minor_units = excluded.price_minor_units, currency = excluded.currency, image_urls = excluded.image_urls,
  attributes = excluded.attributes, weight_grams = excluded.weight_grams, popularity = excluded.popularity,
  family = excluded.family, varies_by = excluded.varies_by, offer_of = excluded.offer_of, seller = excluded.seller, condition = excluded.condition, prime = excluded.prime,
  version = products.version + 1, updated_at = excluded.updated_at
RETURNING sku, version`)

	stmtUnlist = sqldb.Define(sqldb.Global, "catalog.unlist", `
DELETE FROM category_listings
WHERE sku = ANY ($1::text[])`)

	stmtList = sqldb.Define(sqldb.Global, "catalog.list", `
INSERT INTO category_listings (category, popularity, sku)
SELECT l.category, l.popularity, l.sku
FROM unnest($1::text[], $2::int4[], $3::text[]) AS l (category, popularity, sku)
ON CONFLICT (category, popularity, sku) DO NOTHING`)
)

func scanProduct(r sqldb.Row) (*catalogv1.Product, error) {
	var (
		p          catalogv1.Product
		attributes []byte
		updatedAt  time.Time
	)
	err := scanInto(r, &p, &p.Description, &p.Brand, &p.ImageUrls, &attributes, &p.WeightGrams, &p.Popularity, &p.Version, &updatedAt, &p.Family, &p.VariesBy)
	if err != nil {
		return nil, err
	}
	p.UpdatedAt = timestamppb.New(updatedAt)
	if err := json.Unmarshal(attributes, &p.Attributes); err != nil {
		return nil, fmt.Errorf("attributes of %s: %w", p.GetSku(), err)
	}
	return &p, nil
}

func scanLine(r sqldb.Row) (*catalogv1.Product, error) {
	p := &catalogv1.Product{}
	return p, scanInto(r, p)
}

// scanInto a product what a line needs of it, and into rest the columns between that and when it was withdrawn.
func scanInto(r sqldb.Row, p *catalogv1.Product, rest ...any) error {
	var (
		category  string
		price     money.Amount
		condition int16
		withdrawn *time.Time
	)
	columns := append([]any{&p.Sku, &p.Title, &category, &price.Minor, &price.Currency, &p.OfferOf, &p.Seller, &condition, &p.Prime}, rest...)
	if err := r.Scan(append(columns, &withdrawn)...); err != nil {
		return err
	}
	p.CategoryPath, p.Price, p.Condition = splitCategory(category), price.Proto(), catalogv1.Condition(condition)
	if withdrawn != nil {
		p.WithdrawnAt = timestamppb.New(*withdrawn)
	}
	return nil
}

func readProducts(ctx context.Context, q sqldb.Querier, skus []string) ([]*catalogv1.Product, error) {
	return sqldb.Collect(ctx, q, stmtGet, scanProduct, skus)
}

func readLines(ctx context.Context, q sqldb.Querier, skus []string) ([]*catalogv1.Product, error) {
	return sqldb.Collect(ctx, q, stmtLines, scanLine, skus)
}

// lockProduct reads one product so that nobody else changes it before the transaction ends.
func lockProduct(ctx context.Context, tx sqldb.Tx, sku string) (*catalogv1.Product, error) {
	p, err := scanProduct(tx.QueryRow(ctx, stmtLock, sku))
	if errors.Is(err, sqldb.ErrNoRows) {
		return nil, unknownProduct()
	}
	return p, err
}

// writeProducts stores products, sorted by SKU and each once, with their listings; it sets version and time in each, and whether it is
// withdrawn, which it stays.
func writeProducts(ctx context.Context, tx sqldb.Tx, products []*catalogv1.Product, now time.Time) error {
	c, err := columnsOf(products)
	if err != nil {
		return err
	}
	histories, err := changedPrices(ctx, tx, products, now)
	if err != nil {
		return err
	}
	versions := make(map[string]int64, len(products))
	rows, err := tx.Query(ctx, stmtUpsert, c.skus, c.titles, c.descriptions, c.brands, c.categories, c.prices, c.currencies, c.images, c.attributes,
		c.weights, c.popularities, now, c.families, c.variesBy, c.offerOf, c.sellers, c.conditions, c.primes)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var sku string
		var version int64
		if err := rows.Scan(&sku, &version); err != nil {
			return fmt.Errorf("versions of products: %w", err)
		}
		versions[sku] = version
	}
	if err := rows.Err(); err != nil {
		return fmt.Errorf("catalog.upsert: %w", err)
	}
	gone, err := withdrawnAmong(ctx, tx, c.skus)
	if err != nil {
		return err
	}
	changed := false
	for _, p := range products {
		p.Version, p.UpdatedAt, p.WithdrawnAt = versions[p.GetSku()], timestamppb.New(now), gone[p.GetSku()]
		changed = changed || p.GetVersion() > 1
	}
	var b sqldb.Batch
	if changed {
		b.Queue(stmtUnlist, nil, c.skus)
	}
	queueListings(&b, products)
	if len(histories) > 0 {
		skus, packed, err := packHistories(histories)
		if err != nil {
			return err
		}
		b.Queue(stmtKeepHistories, nil, skus, packed)
	}
	return tx.Send(ctx, &b)
}

// withdrawnAmong products: when, by SKU.
func withdrawnAmong(ctx context.Context, tx sqldb.Tx, skus []string) (map[string]*timestamppb.Timestamp, error) {
	all := map[string]*timestamppb.Timestamp{}
	_, err := sqldb.Collect(ctx, tx, stmtWithdrawn, func(r sqldb.Row) (struct{}, error) {
		var sku string
		var at time.Time
		err := r.Scan(&sku, &at)
		all[sku] = timestamppb.New(at)
		return struct{}{}, err
	}, skus)
	return all, err
}

// markProduct as withdrawn or restored by a statement, with its listings: gives it as it stands then, and whether it was not so before.
func markProduct(ctx context.Context, tx sqldb.Tx, mark *sqldb.Statement, sku string, now time.Time) (p *catalogv1.Product, changed bool, err error) {
	n, err := tx.Exec(ctx, mark, sku, now)
	if err != nil {
		return nil, false, err
	}
	all, err := readProducts(ctx, tx, []string{sku})
	if err != nil {
		return nil, false, err
	}
	if len(all) == 0 {
		return nil, false, unknownProduct()
	}
	if n == 0 {
		return all[0], false, nil
	}
	var b sqldb.Batch
	b.Queue(stmtUnlist, nil, []string{sku})
	queueListings(&b, all)
	return all[0], true, tx.Send(ctx, &b)
}

// queueListings of the products that stand in categories: one for each category above a product's, and its own. An offer stands on its
// product's page only, and what is withdrawn nowhere.
func queueListings(b *sqldb.Batch, products []*catalogv1.Product) {
	var categories, skus []string
	var popularities []int32
	for _, p := range products {
		if p.GetOfferOf() != "" || p.GetWithdrawnAt() != nil {
			continue
		}
		for _, category := range ancestors(p.GetCategoryPath()) {
			categories, popularities, skus = append(categories, category), append(popularities, p.GetPopularity()), append(skus, p.GetSku())
		}
	}
	if len(skus) > 0 {
		b.Queue(stmtList, nil, categories, popularities, skus)
	}
}

func readHistories(ctx context.Context, q sqldb.Querier, skus []string) ([]*catalogv1.PriceHistory, error) {
	return sqldb.Collect(ctx, q, stmtHistories, func(r sqldb.Row) (*catalogv1.PriceHistory, error) {
		var packed []byte
		if err := r.Scan(&packed); err != nil {
			return nil, err
		}
		h := &catalogv1.PriceHistory{}
		return h, proto.Unmarshal(packed, h)
	}, skus)
}

// changedPrices are the histories of those among the products, sorted by SKU, that are about to cost something else. Nobody else
// changes the price of one that exists before the transaction ends.
func changedPrices(ctx context.Context, tx sqldb.Tx, products []*catalogv1.Product, now time.Time) ([]*catalogv1.PriceHistory, error) {
	skus := make([]string, len(products))
	for i, p := range products {
		skus[i] = p.GetSku()
	}
	before := map[string]*moneyv1.Money{}
	_, err := sqldb.Collect(ctx, tx, stmtPrices, func(r sqldb.Row) (struct{}, error) {
		var sku string
		var price money.Amount
		err := r.Scan(&sku, &price.Minor, &price.Currency)
		before[sku] = price.Proto()
		return struct{}{}, err
	}, skus)
	if err != nil {
		return nil, err
	}
	priced := map[string]int64{}
	for _, p := range products {
		priced[p.GetSku()] = p.GetPrice().GetMinorUnits()
	}
	skus = slices.DeleteFunc(skus, func(sku string) bool { return before[sku] == nil || before[sku].GetMinorUnits() == priced[sku] })
	if len(skus) == 0 {
		return nil, nil
	}
	all, err := readHistories(ctx, tx, skus)
	if err != nil {
		return nil, err
	}
	known := map[string]*catalogv1.PriceHistory{}
	for _, h := range all {
		known[h.GetSku()] = h
	}
	changed := make([]*catalogv1.PriceHistory, len(skus))
	for i, sku := range skus {
		changed[i] = changedPrice(known[sku], before[sku], now)
		changed[i].Sku = sku
	}
	return changed, nil
}

func packHistories(all []*catalogv1.PriceHistory) (skus []string, packed [][]byte, err error) {
	for _, h := range all {
		b, err := proto.Marshal(h)
		if err != nil {
			return nil, nil, fmt.Errorf("prices of %s: %w", h.GetSku(), err)
		}
		skus, packed = append(skus, h.GetSku()), append(packed, b)
	}
	return skus, packed, nil
}

// columns of products, for unnest.
type columns struct {
	skus, titles, descriptions, brands, categories, currencies, families, offerOf, sellers []string

	images, attributes, variesBy []string // JSON
	prices, weights              []int64
	popularities                 []int32
	conditions                   []int16
	primes                       []bool
}

func columnsOf(products []*catalogv1.Product) (columns, error) {
	var c columns
	for _, p := range products {
		images, err := json.Marshal(append([]string{}, p.GetImageUrls()...))
		if err != nil {
			return columns{}, fmt.Errorf("images of %s: %w", p.GetSku(), err)
		}
		variesBy, err := json.Marshal(append([]string{}, p.GetVariesBy()...))
		if err != nil {
			return columns{}, fmt.Errorf("what %s varies by: %w", p.GetSku(), err)
		}
		attributes := []byte("{}")
		if len(p.GetAttributes()) > 0 {
			if attributes, err = json.Marshal(p.GetAttributes()); err != nil {
				return columns{}, fmt.Errorf("attributes of %s: %w", p.GetSku(), err)
			}
		}
		c.skus, c.titles, c.descriptions = append(c.skus, p.GetSku()), append(c.titles, p.GetTitle()), append(c.descriptions, p.GetDescription())
		c.brands, c.categories = append(c.brands, p.GetBrand()), append(c.categories, joinCategory(p.GetCategoryPath()))
		c.prices, c.currencies = append(c.prices, p.GetPrice().GetMinorUnits()), append(c.currencies, p.GetPrice().GetCurrencyCode())
		c.images, c.attributes = append(c.images, string(images)), append(c.attributes, string(attributes))
		c.families, c.variesBy = append(c.families, p.GetFamily()), append(c.variesBy, string(variesBy))
		c.weights, c.popularities = append(c.weights, p.GetWeightGrams()), append(c.popularities, p.GetPopularity())
		c.offerOf, c.sellers, c.conditions = append(c.offerOf, p.GetOfferOf()), append(c.sellers, p.GetSeller()), append(c.conditions, int16(p.GetCondition()))
		c.primes = append(c.primes, p.GetPrime())
	}
	return c, nil
}
