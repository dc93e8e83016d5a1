package audit

import (
	"context"
	"slices"

	"github.com/cellar-commerce/cellar/internal/cardnetwork"
	"github.com/cellar-commerce/cellar/internal/sqldb"
)

var (
	stmtPayments = sqldb.Define(sqldb.Customer, "audit.payments", `
SELECT p.order_id, p.state, p.closing, p.amount_minor_units, p.credit_minor_units, p.uncaptured_minor_units, p.refunded_minor_units,
  coalesce(t.captured, 0), coalesce(t.refunded, 0), coalesce(t.drawn, 0), coalesce(t.kept, 0), coalesce(m.pending, 0)
FROM payments AS p
LEFT JOIN (
  SELECT order_id, sum(captured_minor_units)::int8 AS captured, sum(refunded_minor_units)::int8 AS refunded, sum(amount_minor_units)::int8 AS drawn,
    sum(amount_minor_units - refunded_minor_units - released_minor_units)::int8 AS kept
  FROM payment_tenders
  WHERE region = $1
  GROUP BY order_id
) AS t ON t.order_id = p.order_id
LEFT JOIN (SELECT order_id, count(*) AS pending FROM payment_moves WHERE region = $1 AND state = 'PENDING' GROUP BY order_id) AS m ON m.order_id = p.order_id
WHERE p.region = $1`)

	// One statement, so that balances and entries are of one moment.
	stmtAccounts = sqldb.Define(sqldb.Customer, "audit.accounts", `
SELECT coalesce(b.account, e.account), coalesce(b.balance, 0), coalesce(e.sum, 0)
FROM (
  SELECT 'gift_card/' || encode(code_hash, 'hex') AS account, currency, balance_minor_units AS balance FROM gift_cards WHERE region = $1
  UNION ALL SELECT 'wallet/' || customer_id, currency, balance_minor_units FROM wallets WHERE region = $1
  UNION ALL SELECT 'order/' || t.order_id, p.currency, sum(t.amount_minor_units - t.refunded_minor_units - t.released_minor_units)::int8
  FROM payment_tenders AS t
  INNER JOIN payments AS p ON p.region = $1 AND p.order_id = t.order_id
  WHERE t.region = $1
  GROUP BY t.order_id, p.currency
) AS b
FULL OUTER JOIN (
  SELECT account, currency, sum(amount_minor_units)::int8 AS sum
  FROM ledger_entries
  WHERE region = $1 AND account NOT IN ('issued', 'credited')
  GROUP BY account, currency
) AS e ON e.account = b.account AND e.currency = b.currency`)

	// Movements within one region are whole here; those between two regions are put together from both.
	stmtMovements = sqldb.Define(sqldb.Customer, "audit.movements", `
SELECT movement, currency, sum(amount_minor_units)::int8, count(*)
FROM ledger_entries
WHERE region = $1
GROUP BY movement, currency
HAVING sum(amount_minor_units) <> 0 OR count(*) <> 2`)
)

// payment of an order, as its row and those of its tenders say.
type payment struct {
	state   string
	closing bool
	// amount of it, credit that gift cards and wallet bear, and what was let go of or is still held.
	amount, credit, uncaptured, parts int64
	// of the tenders.
	creditCaptured, creditRefunded, drawn, creditKept int64
	pendingMoves                                      int64
}

// captured and refunded, of all means, as the payment says.
func (p payment) captured() int64 {
	switch p.state {
	case "AUTHORIZED", "CAPTURED", "REFUNDED":
		return p.amount - p.uncaptured
	default:
		return 0
	}
}

func (p payment) refunded() int64 {
	if p.state == "REFUNDED" {
		return p.captured()
	}
	return p.parts
}

// moving tells that a request to the network may be under way.
func (p payment) moving() bool {
	return p.state == "PENDING" || p.pendingMoves > 0 || (p.closing && p.state != "REFUNDED" && p.state != "VOIDED")
}

// charge at the card network.
type charge struct {
	held, captured, refunded int64
	voided                   bool // what was not captured was let go of
}

func readPayments(ctx context.Context, deps Deps, f *findings, orders map[string]*order) error {
	for _, region := range deps.Regions {
		rows, err := deps.Customers.Query(ctx, stmtPayments, string(region))
		if err != nil {
			return err
		}
		for rows.Next() {
			f.checked[noDoubleCharge]++
			p := &payment{}
			var id string
			err := rows.Scan(&id, &p.state, &p.closing, &p.amount, &p.credit, &p.uncaptured, &p.parts, &p.creditCaptured, &p.creditRefunded, &p.drawn, &p.creditKept, &p.pendingMoves)
			if err != nil {
				rows.Close()
				return err
			}
			if orders[id] == nil {
				orders[id] = &order{missing: true}
			}
			orders[id].pay = p
		}
		rows.Close()
		if err := rows.Err(); err != nil {
			return err
		}
	}
	return nil
}

// ledgerPage entries read at once.
const ledgerPage = 5000

// readLedger adds up what the card network says it moved.
func readLedger(ctx context.Context, deps Deps, f *findings, orders map[string]*order) error {
	after := int64(0)
	for {
		page, err := deps.Ledger.Ledger(ctx, after, ledgerPage)
		if err != nil {
			return err
		}
		for _, e := range page.Entries {
			f.checked[noDoubleCharge]++
			o := orders[e.Reference]
			if o == nil {
				o = &order{missing: true}
				orders[e.Reference] = o
			}
			o.moved(e)
		}
		if len(page.Entries) == 0 {
			return nil
		}
		after = page.Next
	}
}

// moved adds an entry of the network's ledger to its charge.
func (o *order) moved(e cardnetwork.Entry) {
	c := o.charges[e.ChargeID]
	first := c == nil
	if first {
		c = &charge{}
	}
	switch e.Kind {
	case cardnetwork.KindAuthorize:
		c.held += e.Amount
	case cardnetwork.KindCapture:
		if first {
			c.held = e.Amount // a sale: held and taken at once
		}
		c.captured += e.Amount
		o.captured += e.Amount
	case cardnetwork.KindRefund:
		c.refunded += e.Amount
		o.refunded += e.Amount
	case cardnetwork.KindVoid:
		c.voided = true
	case cardnetwork.KindDecline:
		return // it moved nothing
	}
	if o.charges == nil {
		o.charges = map[string]*charge{}
	}
	o.charges[e.ChargeID] = c
}

// kept of an order's money: by the network, and of gift cards and the wallet.
func (o *order) kept() int64 {
	kept := o.captured - o.refunded
	if o.pay != nil {
		kept += o.pay.creditCaptured - o.pay.creditRefunded
	}
	return kept
}

// agreed is what the payment says is kept.
func (o *order) agreed() int64 {
	if o.pay == nil {
		return 0
	}
	return o.pay.captured() - o.pay.refunded()
}

func (o *order) checkMoney(f *findings, id string) {
	for name, c := range o.charges {
		switch {
		case c.captured > c.held:
			f.add(noDoubleCharge, id, "%d captured of the %d that %s holds", c.captured, c.held, name)
		case c.refunded > c.captured:
			f.add(noDoubleCharge, id, "%d captured, %d refunded", c.captured, c.refunded)
		}
	}
	switch kept := o.captured - o.refunded; {
	case len(o.charges) > 1:
		names := make([]string, 0, len(o.charges))
		for name := range o.charges {
			names = append(names, name)
		}
		slices.Sort(names)
		f.add(noDoubleCharge, id, "was charged %d times: %s", len(names), short(names))
	case kept > 0 && o.missing && !o.live():
		f.add(noDoubleCharge, id, "%d taken for an order that does not exist", kept)
	case !o.missing && !o.live() && o.pay == nil && kept != 0:
		f.add(noDoubleCharge, id, "%d taken, and it has no payment", kept)
	case !o.live() && o.pay == nil && o.captured == 0 && o.holds() != 0:
		f.add(noDoubleCharge, id, "the card network holds %d, and it has no payment", o.holds())
	}
	if _, told := f.wrong[noDoubleCharge][id]; told || o.pay == nil || o.pay.moving() || o.live() {
		return
	}
	o.pay.check(f, id, o)
}

// check a payment that is at rest against the network and against itself.
func (p payment) check(f *findings, id string, o *order) {
	held := p.creditKept - (p.creditCaptured - p.creditRefunded)
	switch {
	case o.kept() != o.agreed():
		f.add(noDoubleCharge, id, "%d kept of %d agreed", o.kept(), o.agreed())
	case p.state != "VOIDED" && p.state != "DECLINED" && o.captured != p.captured()-p.creditCaptured:
		f.add(noDoubleCharge, id, "the card network captured %d, its payment %d of the card", o.captured, p.captured()-p.creditCaptured)
	case p.drawn != p.credit:
		f.add(noDoubleCharge, id, "gift cards and wallet gave %d, its payment says %d", p.drawn, p.credit)
	case held != 0 && p.state != "AUTHORIZED":
		f.add(noDoubleCharge, id, "is %s, and %d of gift cards and wallet is held", p.state, held)
	case p.state == "AUTHORIZED" && o.holds() != p.amount-p.credit:
		f.add(noDoubleCharge, id, "the card network holds %d, its payment says %d", o.holds(), p.amount-p.credit)
	case p.state != "AUTHORIZED" && o.captured == 0 && o.holds() != 0:
		f.add(noDoubleCharge, id, "is %s, and the card network still holds %d", p.state, o.holds())
	}
}

// ended tells that a payment keeps and holds nothing.
func (p payment) ended() bool {
	return p.state == "DECLINED" || p.state == "VOIDED" || p.state == "REFUNDED"
}

// holds is what the network held at first of charges that were not voided since. What a last capture lets go of has no
// entry of its own, so how much of a charge is still held can be told only until something is captured of it.
func (o *order) holds() int64 {
	var n int64
	for _, c := range o.charges {
		if !c.voided {
			n += c.held
		}
	}
	return n
}

// lookAtBooks proves the double-entry ledger of gift cards and wallets: every movement sums to zero over its two entries,
// and every balance is the sum of its account.
func lookAtBooks(ctx context.Context, deps Deps, f *findings) error {
	type half struct {
		sum, entries int64
	}
	halves := map[string]half{}
	for _, region := range deps.Regions {
		rows, err := deps.Customers.Query(ctx, stmtAccounts, string(region))
		if err != nil {
			return err
		}
		for rows.Next() {
			f.checked[noDoubleCharge]++
			var account string
			var balance, sum int64
			if err := rows.Scan(&account, &balance, &sum); err != nil {
				rows.Close()
				return err
			}
			if balance != sum {
				f.add(noDoubleCharge, account, "has %d, its entries sum to %d", balance, sum)
			}
		}
		rows.Close()
		if err := rows.Err(); err != nil {
			return err
		}
		rows, err = deps.Customers.Query(ctx, stmtMovements, string(region))
		if err != nil {
			return err
		}
		for rows.Next() {
			var movement, currency string
			var h half
			if err := rows.Scan(&movement, &currency, &h.sum, &h.entries); err != nil {
				rows.Close()
				return err
			}
			before := halves[movement+" "+currency]
			halves[movement+" "+currency] = half{before.sum + h.sum, before.entries + h.entries}
		}
		rows.Close()
		if err := rows.Err(); err != nil {
			return err
		}
	}
	for movement, h := range halves {
		if h.sum != 0 || h.entries != 2 {
			f.add(noDoubleCharge, "movement "+movement, "its %d entries sum to %d", h.entries, h.sum)
		}
	}
	return nil
}
