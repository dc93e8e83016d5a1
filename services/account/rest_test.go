package account

import (
	"context"
	"errors"
	"sync"

	cartv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/cart/v1"
	notificationv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/notification/v1"
	orderv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/order/v1"
	reviewv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/review/v1"
)

// rest of the services: they take notes of what is erased, and fail when a test says so.
type rest struct {
	mu     sync.Mutex
	erased []string
	// dies at this erasure, counted from 1; 0 never. It is for one.
	dies int
	// open orders.
	open int64
}

func (r *rest) note(what string) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.dies--; r.dies == 0 {
		return errors.New("the process died")
	}
	r.erased = append(r.erased, what)
	return nil
}

func (r *rest) ListOrders(_ context.Context, req *orderv1.ListOrdersRequest) (*orderv1.ListOrdersResponse, error) {
	if req.GetPageToken() == "" {
		return &orderv1.ListOrdersResponse{Orders: []*orderv1.Order{{OrderId: "use1-1"}}, NextPageToken: "more"}, nil
	}
	return &orderv1.ListOrdersResponse{Orders: []*orderv1.Order{{OrderId: "use1-2"}}}, nil
}

func (r *rest) EraseAddresses(context.Context, *orderv1.EraseAddressesRequest) (*orderv1.EraseAddressesResponse, error) {
	return &orderv1.EraseAddressesResponse{Remaining: r.open}, r.note("orders")
}

func (r *rest) ExportAuthor(context.Context, *reviewv1.ExportAuthorRequest) (*reviewv1.ExportAuthorResponse, error) {
	return &reviewv1.ExportAuthorResponse{Contributions: []*reviewv1.Contribution{{Text: "good"}}}, nil
}

func (r *rest) EraseAuthor(context.Context, *reviewv1.EraseAuthorRequest) (*reviewv1.EraseAuthorResponse, error) {
	return &reviewv1.EraseAuthorResponse{}, r.note("reviews")
}

func (r *rest) GetSettings(context.Context, *notificationv1.GetSettingsRequest) (*notificationv1.GetSettingsResponse, error) {
	return &notificationv1.GetSettingsResponse{Settings: &notificationv1.Settings{Phone: "+15550100"}}, nil
}

func (r *rest) EraseSettings(context.Context, *notificationv1.EraseSettingsRequest) (*notificationv1.EraseSettingsResponse, error) {
	return &notificationv1.EraseSettingsResponse{}, r.note("settings")
}

func (c *carts) GetCart(context.Context, *cartv1.GetCartRequest) (*cartv1.GetCartResponse, error) {
	return &cartv1.GetCartResponse{Cart: &cartv1.Cart{Lines: []*cartv1.Line{{Sku: "ale"}}}}, nil
}

func (c *carts) EraseCart(_ context.Context, req *cartv1.EraseCartRequest) (*cartv1.EraseCartResponse, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.asked = append(c.asked, "erase "+req.GetCustomerId())
	return &cartv1.EraseCartResponse{}, nil
}
