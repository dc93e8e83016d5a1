package main

// The descriptors of all services: which methods may be asked again is written there. Nothing else of them is used.
import (
	_ "github.com/cellar-commerce/cellar/internal/gen/cellar/account/v1"
	_ "github.com/cellar-commerce/cellar/internal/gen/cellar/cart/v1"
	_ "github.com/cellar-commerce/cellar/internal/gen/cellar/catalog/v1"
	_ "github.com/cellar-commerce/cellar/internal/gen/cellar/checkout/v1"
	_ "github.com/cellar-commerce/cellar/internal/gen/cellar/events/v1"
	_ "github.com/cellar-commerce/cellar/internal/gen/cellar/fulfillment/v1"
	_ "github.com/cellar-commerce/cellar/internal/gen/cellar/inventory/v1"
	_ "github.com/cellar-commerce/cellar/internal/gen/cellar/notification/v1"
	_ "github.com/cellar-commerce/cellar/internal/gen/cellar/order/v1"
	_ "github.com/cellar-commerce/cellar/internal/gen/cellar/payment/v1"
	_ "github.com/cellar-commerce/cellar/internal/gen/cellar/recommendation/v1"
	_ "github.com/cellar-commerce/cellar/internal/gen/cellar/recovery/v1"
	_ "github.com/cellar-commerce/cellar/internal/gen/cellar/review/v1"
	_ "github.com/cellar-commerce/cellar/internal/gen/cellar/search/v1"
	_ "github.com/cellar-commerce/cellar/internal/gen/cellar/topology/v1"

	"github.com/cellar-commerce/cellar/internal/rpc"
	"github.com/cellar-commerce/cellar/router"
)

// forms of the shop's pages that do nothing twice for one key of their address.
var forms = []string{"/checkout/order"}

// repeats tells of every method for shoppers when the router may send it again.
func repeats() map[string]router.Repeat {
	all := map[string]router.Repeat{}
	for path, m := range rpc.Shoppers() {
		switch {
		case m.NoSideEffects:
			all[path] = router.Freely
		case m.Idempotent:
			all[path] = router.InTurn
		case m.IdempotentByKey:
			all[path] = router.WithKey
		}
	}
	for _, path := range forms {
		all[path] = router.WithKeyInQuery
	}
	return all
}
