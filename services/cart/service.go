package cart

import (
	"context"
	"fmt"
	"strings"

	"github.com/cellar-commerce/cellar/internal/clock"
	"github.com/cellar-commerce/cellar/internal/fence"
	cartv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/cart/v1"
	"github.com/cellar-commerce/cellar/internal/gen/cellar/cart/v1/cartv1connect"
	catalogv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/catalog/v1"
	"github.com/cellar-commerce/cellar/internal/ident"
	"github.com/cellar-commerce/cellar/internal/money"
	"github.com/cellar-commerce/cellar/internal/problem"
	"github.com/cellar-commerce/cellar/internal/sqldb"
)

// Products knows what is for sale, and today's prices.
type Products interface {
	BatchGetProducts(context.Context, *catalogv1.BatchGetProductsRequest) (*catalogv1.BatchGetProductsResponse, error)
}

// Deps of the service.
type Deps struct {
	// DB is cellar_customer.
	DB       *sqldb.DB
	Fence    fence.Fence
	Products Products
	Clock    clock.Clock
}

// Service implements cellar.cart.v1.CartService.
type Service struct {
	deps Deps
}

var _ cartv1connect.CartServiceHandler = (*Service)(nil)

// New service.
func New(deps Deps) *Service { return &Service{deps: deps} }

// price of a product that is for sale; UNKNOWN_PRODUCT for any other.
func (s *Service) price(ctx context.Context, sku string) (money.Amount, error) {
	products, err := s.products(ctx, []string{sku})
	if err != nil {
		return money.Amount{}, err
	}
	p, ok := products[sku]
	if !ok {
		return money.Amount{}, problem.New(problem.NotFound, "UNKNOWN_PRODUCT", "there is no such product")
	}
	return money.FromProto(p.GetPrice()), nil
}

func (s *Service) products(ctx context.Context, skus []string) (map[string]*catalogv1.Product, error) {
	if len(skus) == 0 {
		return nil, nil
	}
	resp, err := s.deps.Products.BatchGetProducts(ctx, &catalogv1.BatchGetProductsRequest{Skus: skus})
	if err != nil {
		return nil, fmt.Errorf("products of a cart: %w", err)
	}
	bySKU := make(map[string]*catalogv1.Product, len(skus))
	for _, p := range resp.GetProducts() {
		bySKU[p.GetSku()] = p
	}
	return bySKU, nil
}

// add a quantity of a product.
func (s *Service) add(ctx context.Context, id ident.CustomerID, sku string, quantity int64) (*cartv1.Cart, error) {
	price, err := s.price(ctx, sku)
	if err != nil {
		return nil, err
	}
	lines, err := s.addLine(ctx, id, Line{SKU: sku, Quantity: quantity, PriceAtAdd: price, AddedAt: s.deps.Clock.Now()})
	if err != nil {
		return nil, fmt.Errorf("add %s: %w", sku, err)
	}
	return s.show(ctx, id, lines)
}

// set the quantity of a product; 0 removes its line.
func (s *Service) set(ctx context.Context, id ident.CustomerID, sku string, quantity int64) (*cartv1.Cart, error) {
	if quantity == 0 {
		return s.remove(ctx, id, sku)
	}
	price, err := s.price(ctx, sku)
	if err != nil {
		return nil, err
	}
	lines, err := s.putLine(ctx, id, Line{SKU: sku, Quantity: quantity, PriceAtAdd: price, AddedAt: s.deps.Clock.Now()})
	if err != nil {
		return nil, fmt.Errorf("set %s: %w", sku, err)
	}
	return s.show(ctx, id, lines)
}

func (s *Service) remove(ctx context.Context, id ident.CustomerID, sku string) (*cartv1.Cart, error) {
	lines, err := s.removeLine(ctx, id, sku)
	if err != nil {
		return nil, fmt.Errorf("remove %s: %w", sku, err)
	}
	return s.show(ctx, id, lines)
}

func (s *Service) read(ctx context.Context, id ident.CustomerID) (*cartv1.Cart, error) {
	lines, err := readLines(ctx, s.deps.DB, id)
	if err != nil {
		return nil, fmt.Errorf("read cart: %w", err)
	}
	return s.show(ctx, id, lines)
}

// show a cart with today's prices.
func (s *Service) show(ctx context.Context, id ident.CustomerID, lines []Line) (*cartv1.Cart, error) {
	skus := make([]string, len(lines))
	for i, l := range lines {
		skus[i] = l.SKU
	}
	products, err := s.products(ctx, skus)
	if err != nil {
		return nil, err
	}
	cart := &cartv1.Cart{CustomerId: string(id)}
	subtotal := money.USD(0)
	for _, l := range lines {
		line := &cartv1.Line{Sku: l.SKU, Quantity: l.Quantity, PriceAtAdd: l.PriceAtAdd.Proto()}
		if p, ok := products[l.SKU]; ok {
			line.Title, line.Price, line.AvailableForSale = p.GetTitle(), p.GetPrice(), true
			line.Category = strings.Join(p.GetCategoryPath(), " > ")
			if subtotal, err = plus(subtotal, money.FromProto(p.GetPrice()), l.Quantity); err != nil {
				return nil, fmt.Errorf("subtotal: %w", err)
			}
		}
		cart.Lines = append(cart.Lines, line)
	}
	cart.Subtotal = subtotal.Proto()
	return cart, nil
}

func plus(sum, price money.Amount, quantity int64) (money.Amount, error) {
	line, err := price.Times(quantity)
	if err != nil {
		return sum, err
	}
	return sum.Add(line)
}
