package order

import (
	"context"
	"fmt"
	"math"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/cellar-commerce/cellar/internal/fence"
	orderv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/order/v1"
	postalv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/postal/v1"
	"github.com/cellar-commerce/cellar/internal/ident"
	"github.com/cellar-commerce/cellar/internal/outbox"
	"github.com/cellar-commerce/cellar/internal/saga"
	"github.com/cellar-commerce/cellar/internal/sqldb"
)

// erasedName stands where a customer's was.
const erasedName = "erased"

// farFuture is after every order; the database's time ends later.
var farFuture = time.UnixMicro(math.MaxInt64 / 100)

// EraseAddresses implements OrderService.
func (s *Service) EraseAddresses(ctx context.Context, req *orderv1.EraseAddressesRequest) (*orderv1.EraseAddressesResponse, error) {
	customer, err := fence.Owned(ctx, s.deps.Fence, req.GetCustomerId())
	if err != nil {
		return nil, err
	}
	resp := &orderv1.EraseAddressesResponse{}
	from := pageStart{before: farFuture}
	for {
		page, err := s.list(ctx, customer, from, maxPage)
		if err != nil {
			return nil, fmt.Errorf("erase addresses: %w", err)
		}
		var ids, all []string
		var addresses [][]byte
		var tells []outbox.Event
		for _, o := range page {
			all = append(all, o.GetOrderId())
			kept := keptOf(o.GetShipTo())
			switch {
			case !Ended(o):
				resp.Remaining++
			case !proto.Equal(kept, o.GetShipTo()):
				b, err := packAddress(kept)
				if err != nil {
					return nil, err
				}
				ids, addresses, tells = append(ids, o.GetOrderId()), append(addresses, b), append(tells, erased(o)...)
			}
		}
		if err := s.replaceAddresses(ctx, customer, all, ids, addresses, tells); err != nil {
			return nil, fmt.Errorf("erase addresses: %w", err)
		}
		if len(page) < maxPage {
			return resp, nil
		}
		last := page[len(page)-1]
		from = pageStart{before: last.GetPlacedAt().AsTime(), id: last.GetOrderId()}
	}
}

// keptOf an address: where tax was due.
func keptOf(a *postalv1.PostalAddress) *postalv1.PostalAddress {
	return &postalv1.PostalAddress{Recipient: erasedName, Locality: a.GetLocality(), AdministrativeArea: a.GetAdministrativeArea(), RegionCode: a.GetRegionCode()}
}

// erased tells each FC that has a parcel of an order to forget where it went.
func erased(o *orderv1.Order) (events []outbox.Event) {
	for _, p := range o.GetParcels() {
		events = append(events, outbox.Event{
			MessageID:   "order/" + o.GetOrderId() + "/" + p.GetFcId() + "/erased",
			Key:         o.GetOrderId(),
			Destination: ident.Region(p.GetRegion()),
			Subject:     "fulfillment." + p.GetRegion() + "." + p.GetFcId() + ".erased",
			Payload:     &orderv1.FulfillmentErased{OrderId: o.GetOrderId(), CustomerId: o.GetCustomerId(), FcId: p.GetFcId()},
		})
	}
	return events
}

// replaceAddresses of some orders, tell their FCs, and forget what the placements of all of them remember: one transaction.
func (s *Service) replaceAddresses(ctx context.Context, customer ident.CustomerID, all, ids []string, addresses [][]byte, tells []outbox.Event) error {
	if len(all) == 0 {
		return nil
	}
	err := s.deps.Fence.InSlotTx(ctx, customer, func(tx sqldb.Tx) error {
		var b sqldb.Batch
		if len(ids) > 0 {
			b.Queue(stmtReplaceAddress, nil, string(customer.Region()), string(customer), ids, addresses)
		}
		saga.QueueForget(&b, customer, all)
		if err := outbox.Queue(&b, customer.Region(), s.deps.Clock.Now(), tells...); err != nil {
			return err
		}
		return tx.SendLast(ctx, &b)
	})
	if err == nil && len(tells) > 0 {
		s.deps.Committed()
	}
	return err
}
