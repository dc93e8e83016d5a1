// Package fencetest gives tests of services a fence whose cell owns every customer.
package fencetest

import (
	"context"

	"github.com/cellar-commerce/cellar/internal/fence"
	"github.com/cellar-commerce/cellar/internal/ident"
	"github.com/cellar-commerce/cellar/internal/sqldb"
)

type owner struct {
	db   *sqldb.DB
	ring ident.RingCode
}

var _ fence.Fence = owner{}

// Owner is a fence that lets everything through; new ids belong to the region's ring.
func Owner(db *sqldb.DB, region ident.Region) fence.Fence {
	code, ok := region.Code()
	if !ok {
		panic("fencetest: no ring in " + string(region))
	}
	return owner{db: db, ring: code}
}

func (o owner) InSlotTx(ctx context.Context, _ ident.CustomerID, fn func(tx sqldb.Tx) error) error {
	return o.db.InTx(ctx, fn)
}

func (o owner) Send(ctx context.Context, _ ident.CustomerID, b *sqldb.Batch) error {
	return o.db.Send(ctx, b)
}

func (o owner) Join(ctx context.Context, id ident.CustomerID, parts ...fence.Part) error {
	var b sqldb.Batch
	fence.Queue(&b, id.Region(), parts)
	return o.db.Send(ctx, &b)
}

func (o owner) Check(context.Context, ident.CustomerID) error { return nil }

func (o owner) Mine(ident.CustomerID) bool { return true }

func (o owner) MintCustomer() ident.CustomerID { return ident.NewCustomer(o.ring) }

func (o owner) MintGuest() ident.CustomerID { return ident.NewGuest(o.ring) }
