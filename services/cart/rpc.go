package cart

import (
	"context"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/cellar-commerce/cellar/internal/fence"
	cartv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/cart/v1"
	"github.com/cellar-commerce/cellar/internal/ident"
	"github.com/cellar-commerce/cellar/internal/problem"
	"github.com/cellar-commerce/cellar/internal/session"
)

// maxSKU bounds what is looked up; the catalogue knows which SKUs are good.
const maxSKU = 64

// GetCart implements CartService.
func (s *Service) GetCart(ctx context.Context, _ *cartv1.GetCartRequest) (*cartv1.GetCartResponse, error) {
	p, err := session.Require(ctx)
	if err != nil {
		return nil, err
	}
	cart, err := s.readAll(ctx, p.CustomerID)
	if err != nil {
		return nil, err
	}
	return &cartv1.GetCartResponse{Cart: cart}, nil
}

// AddItem implements CartService.
func (s *Service) AddItem(ctx context.Context, req *cartv1.AddItemRequest) (*cartv1.AddItemResponse, error) {
	p, err := session.Require(ctx)
	if err != nil {
		return nil, err
	}
	quantity := req.GetQuantity()
	if quantity == 0 {
		quantity = 1
	}
	if err := validate(req.GetSku(), quantity, 1); err != nil {
		return nil, err
	}
	cart, err := s.add(ctx, p.CustomerID, req.GetSku(), quantity)
	if err != nil {
		return nil, err
	}
	return &cartv1.AddItemResponse{Cart: cart}, nil
}

// SetQuantity implements CartService.
func (s *Service) SetQuantity(ctx context.Context, req *cartv1.SetQuantityRequest) (*cartv1.SetQuantityResponse, error) {
	p, err := session.Require(ctx)
	if err != nil {
		return nil, err
	}
	if err := validate(req.GetSku(), req.GetQuantity(), 0); err != nil {
		return nil, err
	}
	cart, err := s.set(ctx, p.CustomerID, req.GetSku(), req.GetQuantity())
	if err != nil {
		return nil, err
	}
	return &cartv1.SetQuantityResponse{Cart: cart}, nil
}

// RemoveItem implements CartService.
func (s *Service) RemoveItem(ctx context.Context, req *cartv1.RemoveItemRequest) (*cartv1.RemoveItemResponse, error) {
	p, err := session.Require(ctx)
	if err != nil {
		return nil, err
	}
	if err := validate(req.GetSku(), 0, 0); err != nil {
		return nil, err
	}
	cart, err := s.remove(ctx, p.CustomerID, req.GetSku())
	if err != nil {
		return nil, err
	}
	return &cartv1.RemoveItemResponse{Cart: cart}, nil
}

func validate(sku string, quantity, least int64) error {
	var v problem.Violations
	v.Check(validSKU(sku), "sku", "must be 1 to 64 characters")
	v.Check(quantity >= least && quantity <= maxQuantity, "quantity", "must be "+strconv.FormatInt(least, 10)+" to 999")
	return v.Err()
}

func validSKU(sku string) bool {
	return sku != "" && len(sku) <= maxSKU && utf8.ValidString(sku) && !strings.ContainsFunc(sku, unicode.IsControl)
}

// MergeGuestCart implements CartService.
func (s *Service) MergeGuestCart(ctx context.Context, req *cartv1.MergeGuestCartRequest) (*cartv1.MergeGuestCartResponse, error) {
	customer, err := fence.Owned(ctx, s.deps.Fence, req.GetCustomerId())
	if err != nil {
		return nil, err
	}
	guest, err := ident.Parse(req.GetGuestId())
	if err != nil || !guest.Guest() || customer.Guest() {
		return nil, problem.New(problem.Invalid, "MALFORMED_CUSTOMER_ID", "a guest's cart is merged into a customer's")
	}
	return s.mergeGuest(ctx, customer, guest)
}

// RemoveOrdered implements CartService.
func (s *Service) RemoveOrdered(ctx context.Context, req *cartv1.RemoveOrderedRequest) (*cartv1.RemoveOrderedResponse, error) {
	customer, err := fence.Owned(ctx, s.deps.Fence, req.GetCustomerId())
	if err != nil {
		return nil, err
	}
	order, err := ident.ParseOrder(req.GetOrderId())
	if err != nil {
		return nil, problem.Wrap(err, problem.Invalid, "MALFORMED_ORDER_ID", "the order id is malformed")
	}
	skus, quantities, err := ordered(req)
	if err != nil {
		return nil, err
	}
	return &cartv1.RemoveOrderedResponse{}, s.removeOrdered(ctx, customer, order, skus, quantities)
}

// OrderedPart is RemoveOrdered for a transaction of the same customer that is still to come. It is refused when the order's
// lines were taken out before.
func (s *Service) OrderedPart(req *cartv1.RemoveOrderedRequest) (fence.Part, error) {
	skus, quantities, err := ordered(req)
	return opBought.Part(bought{ident.CustomerID(req.GetCustomerId()), ident.OrderID(req.GetOrderId()), skus, quantities, s.deps.Clock.Now()}), err
}

// ordered units by SKU.
func ordered(req *cartv1.RemoveOrderedRequest) (skus []string, quantities []int64, err error) {
	var v problem.Violations
	v.Check(len(req.GetOrdered()) >= 1 && len(req.GetOrdered()) <= maxLines, "ordered", "must be 1 to 200")
	sums := map[string]int64{}
	for i, o := range req.GetOrdered() {
		field := "ordered[" + strconv.Itoa(i) + "]"
		v.Check(validSKU(o.GetSku()), field+".sku", "must be 1 to 64 characters")
		v.Check(o.GetQuantity() >= 1 && o.GetQuantity() <= maxQuantity, field+".quantity", "must be 1 to 999")
		sums[o.GetSku()] += o.GetQuantity()
	}
	if err := v.Err(); err != nil {
		return nil, nil, err
	}
	for sku, n := range sums {
		skus, quantities = append(skus, sku), append(quantities, n)
	}
	return skus, quantities, nil
}

// ReadCart implements CartService.
func (s *Service) ReadCart(ctx context.Context, req *cartv1.ReadCartRequest) (*cartv1.ReadCartResponse, error) {
	customer, err := fence.Owned(ctx, s.deps.Fence, req.GetCustomerId())
	if err != nil {
		return nil, err
	}
	cart, err := s.read(ctx, customer)
	if err != nil {
		return nil, err
	}
	return &cartv1.ReadCartResponse{Cart: cart}, nil
}

// EraseCart implements CartService.
func (s *Service) EraseCart(ctx context.Context, req *cartv1.EraseCartRequest) (*cartv1.EraseCartResponse, error) {
	customer, err := fence.Owned(ctx, s.deps.Fence, req.GetCustomerId())
	if err != nil {
		return nil, err
	}
	return &cartv1.EraseCartResponse{}, s.erase(ctx, customer)
}

// SaveForLater implements CartService.
func (s *Service) SaveForLater(ctx context.Context, req *cartv1.SaveForLaterRequest) (*cartv1.SaveForLaterResponse, error) {
	cart, err := s.changeSaved(ctx, req.GetSku(), s.saveLine)
	return &cartv1.SaveForLaterResponse{Cart: cart}, err
}

// MoveToCart implements CartService.
func (s *Service) MoveToCart(ctx context.Context, req *cartv1.MoveToCartRequest) (*cartv1.MoveToCartResponse, error) {
	cart, err := s.changeSaved(ctx, req.GetSku(), s.move)
	return &cartv1.MoveToCartResponse{Cart: cart}, err
}

// RemoveSaved implements CartService.
func (s *Service) RemoveSaved(ctx context.Context, req *cartv1.RemoveSavedRequest) (*cartv1.RemoveSavedResponse, error) {
	cart, err := s.changeSaved(ctx, req.GetSku(), s.forgetSaved)
	return &cartv1.RemoveSavedResponse{Cart: cart}, err
}

// changeSaved of the session's customer.
func (s *Service) changeSaved(ctx context.Context, sku string, change func(context.Context, ident.CustomerID, string) error) (*cartv1.Cart, error) {
	p, err := session.Require(ctx)
	if err != nil {
		return nil, err
	}
	if err := validate(sku, 0, 0); err != nil {
		return nil, err
	}
	if err := change(ctx, p.CustomerID, sku); err != nil {
		return nil, err
	}
	return s.readAll(ctx, p.CustomerID)
}
