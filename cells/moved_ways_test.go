package cells

import (
	"github.com/cellar-commerce/cellar/internal/fence"
	"github.com/cellar-commerce/cellar/internal/ident"
	"github.com/cellar-commerce/cellar/internal/sqldb"
)

var stmtMark = sqldb.Define(sqldb.Customer, "cells_test.mark", `
INSERT INTO cart_changes (region, customer_id, cause, changed_at, result)
SELECT $1::crdb_internal_region, $2, n.cause, now(), ''::bytea
FROM unnest($3::text[]) AS n (cause)`)

type mark struct {
	customer ident.CustomerID
	cause    string
}

var opMark = fence.NewOp("cells_test.mark", func(b *sqldb.Batch, ring ident.Region, rows []mark) {
	for _, r := range rows {
		b.Queue(stmtMark, nil, string(ring), string(r.customer), []string{r.cause})
	}
})

// ways to write that the cell's fence gives: whoever uses one is fenced.
func (s *stale) ways() []moved {
	f := s.cell.services.fence
	batch := func(cause string) *sqldb.Batch {
		var b sqldb.Batch
		fence.Queue(&b, ringOf, []fence.Part{opMark.Part(mark{ident.CustomerID(s.id), cause})})
		return &b
	}
	return []moved{
		{name: "InSlotTx", do: func() error {
			return f.InSlotTx(s.Context(), ident.CustomerID(s.id), func(tx sqldb.Tx) error { return tx.Send(s.Context(), batch("InSlotTx")) })
		}},
		{name: "Send", do: func() error { return f.Send(s.Context(), ident.CustomerID(s.id), batch("Send")) }},
		{name: "Join", do: func() error {
			return f.Join(s.Context(), ident.CustomerID(s.id), opMark.Part(mark{ident.CustomerID(s.id), "Join"}))
		}},
	}
}
