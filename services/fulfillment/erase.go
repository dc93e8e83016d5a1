package fulfillment

import (
	"context"
	"fmt"

	"google.golang.org/protobuf/proto"

	orderv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/order/v1"
	"github.com/cellar-commerce/cellar/internal/problem"
	"github.com/cellar-commerce/cellar/internal/sqldb"
)

// ConsumerErased takes the region's erasures.
const ConsumerErased = "fulfillment-erased"

// Erased takes the event that the customer of an order that is over has erased the account: where its parcel went is
// forgotten. What it had, who carried it and when it was scanned stays. Again, it changes nothing.
func (s *Service) Erased(ctx context.Context, payload []byte) error {
	e := &orderv1.FulfillmentErased{}
	if err := proto.Unmarshal(payload, e); err != nil {
		return fmt.Errorf("erasure: %w", err)
	}
	region := string(s.deps.Region)
	return s.deps.Regional.InTx(ctx, func(tx sqldb.Tx) error {
		sh, err := lockPicked(ctx, tx, region, parcelKey{e.GetFcId(), e.GetOrderId()})
		if err != nil || sh.request.GetShipTo() == nil {
			return err
		}
		if sh.state == requested || sh.state == short || sh.state == packed {
			return problem.New(problem.Unavailable, "PARCEL_UNDER_WAY", "the parcel needs its address still")
		}
		sh.request.ShipTo = nil
		lines, err := proto.Marshal(sh.request)
		if err != nil {
			return err
		}
		_, err = tx.Exec(ctx, stmtErase, region, e.GetFcId(), e.GetOrderId(), lines)
		return err
	})
}
