package storefront

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"google.golang.org/protobuf/proto"

	storefrontv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/storefront/v1"
	"github.com/cellar-commerce/cellar/internal/ident"
	"github.com/cellar-commerce/cellar/internal/sqldb"
)

var (
	// The row of a page, and with it the cards of the products beside it as their own rows have them now.
	stmtPage = sqldb.Define(sqldb.Regional, "storefront.page", `
SELECT true, p.page, p.built_at
FROM product_pages AS p
WHERE p.region = $1 AND p.sku = $2 AND p.built > 0
UNION ALL
SELECT false, n.card, n.built_at
FROM product_pages AS p
CROSS JOIN LATERAL unnest(p.near) AS b (sku)
CROSS JOIN LATERAL (
  SELECT card, built_at
  FROM product_pages
  WHERE region = $1 AND sku = b.sku AND built > 0
  LIMIT 1 -- which it has anyway: so it is looked up for each, also by a plan that was made while the table was empty
) AS n
WHERE p.region = $1 AND p.sku = $2 AND p.built > 0`)

	stmtAsk = sqldb.Define(sqldb.Regional, "storefront.ask", `
INSERT INTO product_pages (region, sku, card, page, near, asked, built, built_at)
SELECT $1::crdb_internal_region, n.sku, ''::bytea, ''::bytea, ARRAY[]::text[], 1, 0, $3::timestamptz
FROM unnest($2::text[]) AS n (sku)
ON CONFLICT (region, sku) DO UPDATE
SET asked = product_pages.asked + 1
RETURNING sku, asked`)

	// Who has read earlier than another who has written already does not write.
	stmtPut = sqldb.Define(sqldb.Regional, "storefront.put", `
UPDATE product_pages AS p
SET card = n.card, page = n.page, near = string_to_array(n.near, ' '), built = n.asked, built_at = $7, reduced_at = n.reduced_at
FROM unnest($2::text[], $3::bytea[], $4::bytea[], $5::text[], $6::int8[], $8::timestamptz[]) AS n (sku, card, page, near, asked, reduced_at)
WHERE p.region = $1 AND p.sku = n.sku AND p.built < n.asked
RETURNING p.sku`)

	stmtDeals = sqldb.Define(sqldb.Regional, "storefront.deals", `
SELECT card
FROM product_pages
WHERE region = $1 AND reduced_at IS NOT NULL AND reduced_at > $2
ORDER BY reduced_at DESC, sku
LIMIT $3`)
)

// row of a page, to be written.
type row struct {
	card  *storefrontv1.Card
	page  *storefrontv1.Page
	asked int64
}

// readPage of a product, and when it was made; nil when there is none yet.
func readPage(ctx context.Context, q sqldb.Querier, region ident.Region, sku string) (page *storefrontv1.Page, builtAt time.Time, err error) {
	cards := map[string]*storefrontv1.Card{}
	_, err = sqldb.Collect(ctx, q, stmtPage, func(r sqldb.Row) (struct{}, error) {
		var own bool
		var packed []byte
		var at time.Time
		if err := r.Scan(&own, &packed, &at); err != nil {
			return struct{}{}, err
		}
		if own {
			page, builtAt = &storefrontv1.Page{}, at
			return struct{}{}, proto.Unmarshal(packed, page)
		}
		c := &storefrontv1.Card{}
		err := proto.Unmarshal(packed, c)
		cards[c.GetSku()] = c
		return struct{}{}, err
	}, string(region), sku)
	if err != nil {
		return nil, time.Time{}, err
	}
	if page != nil {
		page.Related, page.AlsoBought = anew(page.GetRelated(), cards), anew(page.GetAlsoBought(), cards)
	}
	return page, builtAt, nil
}

// anew are cards of a page as their own rows have them now, without those of what is withdrawn since.
func anew(shown []*storefrontv1.Card, now map[string]*storefrontv1.Card) []*storefrontv1.Card {
	for i, c := range shown {
		if own := now[c.GetSku()]; own != nil {
			shown[i] = own
		}
	}
	return slices.DeleteFunc(shown, (*storefrontv1.Card).GetWithdrawn)
}

// askPages to be made anew: gives the number of each one's asking. The SKUs are sorted and each once.
func askPages(ctx context.Context, q sqldb.Querier, region ident.Region, skus []string, now time.Time) (map[string]int64, error) {
	asked := map[string]int64{}
	_, err := sqldb.Collect(ctx, q, stmtAsk, func(r sqldb.Row) (struct{}, error) {
		var sku string
		var n int64
		err := r.Scan(&sku, &n)
		asked[sku] = n
		return struct{}{}, err
	}, string(region), skus, now)
	return asked, err
}

// putPages that nobody has made later; gives the SKUs of those that are written.
func putPages(ctx context.Context, tx sqldb.Tx, region ident.Region, rows []row, now time.Time) ([]string, error) {
	n := len(rows)
	skus, cards, pages, near, asked, reduced := make([]string, n), make([][]byte, n), make([][]byte, n), make([]string, n), make([]int64, n), make([]*time.Time, n)
	for i, r := range rows {
		var err error
		if cards[i], err = proto.Marshal(r.card); err != nil {
			return nil, fmt.Errorf("card of %s: %w", r.card.GetSku(), err)
		}
		if pages[i], err = proto.Marshal(r.page); err != nil {
			return nil, fmt.Errorf("page of %s: %w", r.card.GetSku(), err)
		}
		skus[i], near[i], asked[i] = r.card.GetSku(), strings.Join(nearSKUs(r.page), " "), r.asked
		if r.card.GetReduction() != nil {
			reduced[i] = new(r.card.GetReduction().GetSince().AsTime())
		}
	}
	return sqldb.Collect(ctx, tx, stmtPut, func(r sqldb.Row) (sku string, err error) {
		err = r.Scan(&sku)
		return sku, err
	}, string(region), skus, cards, pages, near, asked, now, reduced)
}

// readDeals are the cards of the products whose price has fallen since a time, the newest first.
func readDeals(ctx context.Context, q sqldb.Querier, region ident.Region, since time.Time) ([]*storefrontv1.Card, error) {
	return sqldb.Collect(ctx, q, stmtDeals, func(r sqldb.Row) (*storefrontv1.Card, error) {
		var packed []byte
		if err := r.Scan(&packed); err != nil {
			return nil, err
		}
		c := &storefrontv1.Card{}
		return c, proto.Unmarshal(packed, c)
	}, string(region), since, maxDeals)
}
