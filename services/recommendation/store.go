package recommendation

import (
	"context"
	"fmt"
	"slices"
	"time"

	"google.golang.org/protobuf/proto"

	recommendationv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/recommendation/v1"
	"github.com/cellar-commerce/cellar/internal/ident"
	"github.com/cellar-commerce/cellar/internal/sqldb"
)

var (
	stmtGet = sqldb.Define(sqldb.Global, "recommendation.get", `
SELECT a.sku, a.others
FROM unnest($1::text[]) AS p (sku)
JOIN also_bought AS a ON a.sku = p.sku`)

	stmtPut = sqldb.Define(sqldb.Global, "recommendation.put", `
INSERT INTO also_bought (sku, others, trained_at)
SELECT n.sku, n.others, $3
FROM unnest($1::text[], $2::bytea[]) AS n (sku, others)
ON CONFLICT (sku) DO UPDATE
SET others = excluded.others, trained_at = excluded.trained_at`)

	// What an earlier training has left between two products; to the end when there is no second.
	stmtClear = sqldb.Define(sqldb.Global, "recommendation.clear", `
DELETE FROM also_bought
WHERE sku > $1 AND (sku <= $2 OR $2 = '') AND trained_at < $3`)

	// A page of the orders that were paid, with what was bought. Offline: no shopper waits for it.
	stmtPurchases = sqldb.Define(sqldb.Customer, "recommendation.purchases", `
SELECT o.customer_id, o.placed_at, o.order_id, l.sku
FROM (
  SELECT customer_id, placed_at, order_id
  FROM orders
  WHERE region = $1 AND (customer_id, placed_at, order_id) > ($2, $3, $4) AND status IN ('PAID', 'SHIPPED')
  ORDER BY customer_id, placed_at, order_id
  LIMIT $5
) AS o
JOIN order_lines AS l ON l.region = $1 AND l.order_id = o.order_id
ORDER BY o.customer_id, o.placed_at, o.order_id, l.line`)
)

// readOthers of products.
func readOthers(ctx context.Context, q sqldb.Querier, skus []string) (map[string][]*recommendationv1.Recommended, error) {
	all := map[string][]*recommendationv1.Recommended{}
	_, err := sqldb.Collect(ctx, q, stmtGet, func(r sqldb.Row) (struct{}, error) {
		var sku string
		var packed []byte
		if err := r.Scan(&sku, &packed); err != nil {
			return struct{}{}, err
		}
		var a recommendationv1.AlsoBought
		err := proto.Unmarshal(packed, &a)
		all[sku] = a.GetOthers()
		return struct{}{}, err
	}, skus)
	return all, err
}

// publishBatch products are written in one transaction of some hundred kilobytes.
const publishBatch = 500

// Publish a model: what it knows of each product replaces what was known, and what it does not know is forgotten. A model
// that knows nothing changes nothing.
func (m *Model) Publish(ctx context.Context, global *sqldb.DB, now time.Time) error {
	skus := make([]string, 0, len(m.others))
	for sku := range m.others {
		skus = append(skus, sku)
	}
	slices.Sort(skus)
	after := ""
	for from := 0; from < len(skus); from += publishBatch {
		batch := skus[from:min(from+publishBatch, len(skus))]
		packed := make([][]byte, len(batch))
		for i, sku := range batch {
			var err error
			if packed[i], err = proto.Marshal(&recommendationv1.AlsoBought{Others: m.others[sku]}); err != nil {
				return fmt.Errorf("publish a model: %w", err)
			}
		}
		to := batch[len(batch)-1]
		if from+publishBatch >= len(skus) {
			to = ""
		}
		err := global.InTx(ctx, func(tx sqldb.Tx) error {
			var b sqldb.Batch
			b.Queue(stmtPut, nil, batch, packed, now)
			b.Queue(stmtClear, nil, after, to, now)
			return tx.SendLast(ctx, &b)
		})
		if err != nil {
			return fmt.Errorf("publish a model after %d products: %w", from, err)
		}
		after = to
	}
	return nil
}

func readPurchases(ctx context.Context, q sqldb.Querier, ring ident.Region, after cursor, limit int) ([]bought, error) {
	return sqldb.Collect(ctx, q, stmtPurchases, func(r sqldb.Row) (b bought, err error) {
		err = r.Scan(&b.customer, &b.placed, &b.order, &b.sku)
		return b, err
	}, string(ring), after.customer, after.placed, after.order, limit)
}
