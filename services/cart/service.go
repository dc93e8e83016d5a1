package cart

import (
	"cmp"
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/cellar-commerce/cellar/internal/clock"
	"github.com/cellar-commerce/cellar/internal/fence"
	"github.com/cellar-commerce/cellar/internal/gather"
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
	// Lanes are how many readings for those who look at the same time are under way at once; 0 is two.
	Lanes int
}

// Service implements cellar.cart.v1.CartService.
type Service struct {
	deps Deps
	// carts as they stand.
	carts *gather.Reader[ident.CustomerID, []Line]
}

const (
	// maxGathered carts are read at once for customers who look at the same time.
	maxGathered = 100
	// readTimeout bounds one reading.
	readTimeout = 5 * time.Second
)

var _ cartv1connect.CartServiceHandler = (*Service)(nil)

// New service.
func New(deps Deps) *Service {
	return &Service{deps: deps, carts: gather.New(gather.Config[ident.CustomerID, []Line]{
		MaxKeys: maxGathered, Timeout: readTimeout, Lanes: deps.Lanes, Read: func(ctx context.Context, customers []ident.CustomerID) (map[ident.CustomerID][]Line, error) {
			return readCarts(ctx, deps.DB, customers)
		},
	})}
}

// price of a product that is for sale. UNKNOWN_PRODUCT or PRODUCT_WITHDRAWN for any other.
func (s *Service) price(ctx context.Context, sku string) (money.Amount, error) {
	products, err := s.products(ctx, []Line{{SKU: sku}})
	if err != nil {
		return money.Amount{}, err
	}
	p, ok := products[sku]
	if !ok {
		return money.Amount{}, problem.New(problem.NotFound, "UNKNOWN_PRODUCT", "there is no such product")
	}
	if p.GetWithdrawnAt() != nil {
		return money.Amount{}, productWithdrawn()
	}
	return money.FromProto(p.GetPrice()), nil
}

// products of lines, by SKU; those of each list are asked for at once.
func (s *Service) products(ctx context.Context, lists ...[]Line) (map[string]*catalogv1.Product, error) {
	all := map[string]*catalogv1.Product{}
	for _, lines := range lists {
		if len(lines) == 0 {
			continue
		}
		skus := make([]string, len(lines))
		for i, l := range lines {
			skus[i] = l.SKU
		}
		resp, err := s.deps.Products.BatchGetProducts(ctx, &catalogv1.BatchGetProductsRequest{Skus: skus, View: catalogv1.ProductView_PRODUCT_VIEW_LINE})
		if err != nil {
			return nil, fmt.Errorf("products of a cart: %w", err)
		}
		for _, p := range resp.GetProducts() {
			all[p.GetSku()] = p
		}
	}
	return all, nil
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

// move what is saved into the cart.
func (s *Service) move(ctx context.Context, id ident.CustomerID, sku string) error {
	products, err := s.products(ctx, []Line{{SKU: sku}})
	if err != nil {
		return err
	}
	if products[sku].GetWithdrawnAt() != nil {
		return productWithdrawn()
	}
	return s.moveLine(ctx, id, sku)
}

func (s *Service) remove(ctx context.Context, id ident.CustomerID, sku string) (*cartv1.Cart, error) {
	lines, err := s.removeLine(ctx, id, sku)
	if err != nil {
		return nil, fmt.Errorf("remove %s: %w", sku, err)
	}
	return s.show(ctx, id, lines)
}

// readAll of a cart, with what is saved.
func (s *Service) readAll(ctx context.Context, id ident.CustomerID) (*cartv1.Cart, error) {
	lines, err := readLines(ctx, s.deps.DB, id)
	if err != nil {
		return nil, fmt.Errorf("read cart: %w", err)
	}
	saved, err := readSaved(ctx, s.deps.DB, id)
	if err != nil {
		return nil, fmt.Errorf("read what is saved: %w", err)
	}
	return s.showAll(ctx, id, lines, saved)
}

func (s *Service) read(ctx context.Context, id ident.CustomerID) (*cartv1.Cart, error) {
	carts, err := s.carts.Of(ctx, id)
	if err != nil {
		return nil, fmt.Errorf("read cart: %w", err)
	}
	return s.show(ctx, id, carts[id])
}

// show a cart with today's prices.
func (s *Service) show(ctx context.Context, id ident.CustomerID, lines []Line) (*cartv1.Cart, error) {
	return s.showAll(ctx, id, lines, nil)
}

// showAll of a cart, with what is saved.
func (s *Service) showAll(ctx context.Context, id ident.CustomerID, lines, saved []Line) (*cartv1.Cart, error) {
	products, err := s.products(ctx, lines, saved)
	if err != nil {
		return nil, err
	}
	cart := &cartv1.Cart{CustomerId: string(id)}
	subtotal := money.USD(0)
	for _, l := range lines {
		p := products[l.SKU]
		line := lineOf(l, p)
		cart.Lines = append(cart.Lines, line)
		if !line.GetAvailableForSale() {
			continue
		}
		if subtotal, err = plus(subtotal, money.FromProto(p.GetPrice()), l.Quantity); err != nil {
			return nil, fmt.Errorf("subtotal: %w", err)
		}
	}
	for _, l := range saved {
		cart.Saved = append(cart.Saved, lineOf(l, products[l.SKU]))
	}
	cart.Subtotal = subtotal.Proto()
	return cart, nil
}

// lineOf a product; nil for one that is not there. What is withdrawn keeps its name, so that one knows what it was.
func lineOf(l Line, p *catalogv1.Product) *cartv1.Line {
	line := &cartv1.Line{Sku: l.SKU, Quantity: l.Quantity, PriceAtAdd: l.PriceAtAdd.Proto()}
	if p == nil {
		return line
	}
	line.Title, line.Seller, line.Withdrawn = titleOf(p), cmp.Or(p.GetSeller(), ownName), p.GetWithdrawnAt() != nil
	if !line.GetWithdrawn() {
		line.Price, line.AvailableForSale, line.Category, line.Prime = p.GetPrice(), true, strings.Join(p.GetCategoryPath(), " > "), p.GetPrime()
	}
	return line
}

// ownName is what the shop calls itself as a seller.
const ownName = "Cellar"

// titleOf a product; of an offer with its condition.
func titleOf(p *catalogv1.Product) string {
	if p.GetOfferOf() == "" {
		return p.GetTitle()
	}
	condition := strings.TrimPrefix(p.GetCondition().String(), "CONDITION_")
	return fmt.Sprintf("%s (%s)", p.GetTitle(), strings.ToLower(strings.ReplaceAll(condition, "_", " ")))
}

func plus(sum, price money.Amount, quantity int64) (money.Amount, error) {
	line, err := price.Times(quantity)
	if err != nil {
		return sum, err
	}
	return sum.Add(line)
}
