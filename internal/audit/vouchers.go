package audit

import (
	"context"

	"github.com/cellar-commerce/cellar/internal/ident"
	"github.com/cellar-commerce/cellar/internal/sqldb"
)

var (
	// A limit that is counted for everybody ('*') or for a customer, against the redemptions that it should count.
	stmtVoucherUses = sqldb.Define(sqldb.Customer, "audit.voucher_uses", `
SELECT u.code, u.holder, u.uses, coalesce(r.redeemed, 0)
FROM voucher_uses AS u
LEFT JOIN (
  SELECT code, holder, count(*) AS redeemed
  FROM (
    SELECT code, customer_id AS holder FROM voucher_redemptions WHERE region = $1 AND state = 'REDEEMED'
    UNION ALL
    SELECT code, '*' FROM voucher_redemptions WHERE region = $1 AND state = 'REDEEMED'
  ) AS each
  GROUP BY code, holder
) AS r ON r.code = u.code AND r.holder = u.holder
WHERE u.region = $1`)

	stmtRedeemed = sqldb.Define(sqldb.Customer, "audit.redeemed", `
SELECT code, order_id
FROM voucher_redemptions
WHERE region = $1 AND state = 'REDEEMED'`)
)

// lookAtVouchers of a home region: what is counted is what was redeemed, and an order that came to nothing redeems nothing.
func lookAtVouchers(ctx context.Context, deps Deps, f *findings, region ident.Region, orders map[string]*order) error {
	type uses struct {
		code, holder     string
		counted, redeems int64
	}
	counts, err := sqldb.Collect(ctx, deps.Customers, stmtVoucherUses, func(r sqldb.Row) (u uses, err error) {
		err = r.Scan(&u.code, &u.holder, &u.counted, &u.redeems)
		return u, err
	}, string(region))
	if err != nil {
		return err
	}
	for _, u := range counts {
		f.checked[allOrNothing]++
		if u.counted != u.redeems {
			f.add(allOrNothing, "voucher "+u.code+" of "+u.holder, "%d uses are counted, %d orders redeem it", u.counted, u.redeems)
		}
	}
	type redemption struct{ code, order string }
	redeemed, err := sqldb.Collect(ctx, deps.Customers, stmtRedeemed, func(r sqldb.Row) (x redemption, err error) {
		err = r.Scan(&x.code, &x.order)
		return x, err
	}, string(region))
	if err != nil {
		return err
	}
	for _, x := range redeemed {
		f.checked[allOrNothing]++
		if o := orders[x.order]; o != nil && o.status == "FAILED" && !o.live() {
			f.add(allOrNothing, x.order, "has FAILED, and still redeems the voucher %s", x.code)
		}
	}
	return nil
}
