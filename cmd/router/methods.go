package main

// The descriptors of all services: which methods have no side effects is written there, and the router may ask for
// those twice. Nothing else of them is used.
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
)
