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
		var ids []string
		var addresses [][]byte
		for _, o := range page {
			kept := keptOf(o.GetShipTo())
			switch {
			case !Ended(o):
				resp.Remaining++
			case !proto.Equal(kept, o.GetShipTo()):
				b, err := packAddress(kept)
				if err != nil {
					return nil, err
				}
				ids, addresses = append(ids, o.GetOrderId()), append(addresses, b)
			}
		}
		if err := s.replaceAddresses(ctx, customer, ids, addresses); err != nil {
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

func (s *Service) replaceAddresses(ctx context.Context, customer ident.CustomerID, ids []string, addresses [][]byte) error {
	if len(ids) == 0 {
		return nil
	}
	return s.deps.Fence.InSlotTx(ctx, customer, func(tx sqldb.Tx) error {
		_, err := tx.Exec(ctx, stmtReplaceAddress, string(customer.Region()), string(customer), ids, addresses)
		return err
	})
}
