package checkout

import (
	"context"
	"errors"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"
	"google.golang.org/protobuf/types/known/timestamppb"

	cartv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/cart/v1"
	catalogv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/catalog/v1"
	checkoutv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/checkout/v1"
	fulfillmentv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/fulfillment/v1"
	postalv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/postal/v1"
	problemv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/problem/v1"
	"github.com/cellar-commerce/cellar/internal/ident"
	"github.com/cellar-commerce/cellar/internal/money"
	"github.com/cellar-commerce/cellar/internal/problem"
	"github.com/cellar-commerce/cellar/internal/tax"
)

// planBudget of a quote: the planner gives each region a second and a half, and may ask twice. A shopper who waits longer
// is better off with a price and no promise.
const planBudget = 4 * time.Second

// wish is what a shopper asks a quote for.
type wish struct {
	customer ident.CustomerID
	shipTo   *postalv1.PostalAddress
	speed    checkoutv1.Speed
	voucher  string
}

// quote prices a customer's cart and plans who sends it. Three things are read: the cart, the plan, and the voucher if there
// is one; nothing for each line.
func (s *Service) quote(ctx context.Context, w wish) (*checkoutv1.QuoteSnapshot, error) {
	resp, err := s.deps.Carts.ReadCart(ctx, &cartv1.ReadCartRequest{CustomerId: string(w.customer)})
	if err != nil {
		return nil, err
	}
	now := s.deps.Clock.Now()
	q := &checkoutv1.QuoteSnapshot{
		CustomerId: string(w.customer), ShipTo: w.shipTo, Speed: w.speed, Nonce: ident.NewToken(),
		IssuedAt: timestamppb.New(now), ExpiresAt: timestamppb.New(now.Add(quoteLifetime)),
	}
	var categories []string
	for _, l := range resp.GetCart().GetLines() {
		if l.GetWithdrawn() {
			return nil, productWithdrawn(l.GetSku())
		}
		if l.GetAvailableForSale() {
			q.Lines = append(q.Lines, &checkoutv1.QuoteLine{Sku: l.GetSku(), Title: l.GetTitle(), Seller: l.GetSeller(), Quantity: l.GetQuantity(), UnitPrice: l.GetPrice(), Prime: l.GetPrime()})
			categories = append(categories, l.GetCategory())
		}
	}
	if _, err := grossOf(q); err != nil {
		return nil, err
	}
	g, ctx := errgroup.WithContext(ctx)
	var parcels []*checkoutv1.QuotedParcel
	lines := planLines(q)
	g.Go(func() (err error) {
		parcels, err = s.promise(ctx, w, lines)
		return err
	})
	g.Go(func() error { return s.agree(ctx, q, w, categories, now) })
	if err := g.Wait(); err != nil {
		return nil, err
	}
	q.Parcels = parcels
	return q, nil
}

// agree on what the lines cost: promotions, voucher, delivery and tax.
func (s *Service) agree(ctx context.Context, q *checkoutv1.QuoteSnapshot, w wish, categories []string, now time.Time) error {
	standing, err := s.vouchers.standing(ctx)
	if err != nil {
		return err
	}
	var voucher *promotion
	if w.voucher != "" {
		p, err := s.vouchers.redeemable(ctx, w.voucher, w.customer)
		if err != nil {
			return err
		}
		voucher = &p
	}
	kinds := make([]tax.Category, len(categories))
	for i, c := range categories {
		kinds[i] = tax.CategoryOf(c)
	}
	assessed, err := s.deps.Tax.Assess(ctx, tax.Destination{
		Country: w.shipTo.GetRegionCode(), State: w.shipTo.GetAdministrativeArea(), PostalCode: w.shipTo.GetPostalCode(),
	}, kinds)
	if err != nil {
		return err
	}
	return offer(q, categories, standing, voucher, assessed, now)
}

// offer is the part of a quote that is arithmetic.
func offer(q *checkoutv1.QuoteSnapshot, categories []string, standing []promotion, voucher *promotion, assessed tax.Assessment, now time.Time) error {
	if err := terms(q, categories, standing, voucher, now); err != nil {
		return err
	}
	if len(assessed.Rates) != len(q.GetTerms()) {
		return errors.New("the tax engine has not answered for each line")
	}
	for i, t := range q.GetTerms() {
		t.TaxRate = int32(assessed.Rates[i])
	}
	if err := price(q); err != nil {
		return err
	}
	if !assessed.Shipping || q.GetShipping().GetMinorUnits() == 0 {
		return nil
	}
	if err := taxShipping(q); err != nil {
		return err
	}
	return price(q)
}

func planLines(q *checkoutv1.QuoteSnapshot) []*fulfillmentv1.PlanLine {
	lines := make([]*fulfillmentv1.PlanLine, len(q.GetLines()))
	for i, l := range q.GetLines() {
		lines[i] = &fulfillmentv1.PlanLine{Line: int32(i + 1), Sku: l.GetSku(), Quantity: l.GetQuantity()}
	}
	return lines
}

// speeds of the planner.
var speeds = map[checkoutv1.Speed]fulfillmentv1.Speed{
	checkoutv1.Speed_SPEED_STANDARD: fulfillmentv1.Speed_SPEED_STANDARD,
	checkoutv1.Speed_SPEED_EXPRESS:  fulfillmentv1.Speed_SPEED_EXPRESS,
}

// promise what comes when. OUT_OF_STOCK, with what is left, before anybody pays; no parcels when the planner does not answer:
// the order is planned when it is placed, and a price without a promise is better than none.
func (s *Service) promise(ctx context.Context, w wish, lines []*fulfillmentv1.PlanLine) ([]*checkoutv1.QuotedParcel, error) {
	planning, cancel := context.WithTimeout(ctx, planBudget)
	defer cancel()
	resp, err := s.deps.Planner.PlanOrder(planning, &fulfillmentv1.PlanOrderRequest{ShipTo: w.shipTo, Lines: lines, Speed: speeds[w.speed]})
	if err != nil && ctx.Err() == nil && (problem.KindOf(err) == problem.Unavailable || planning.Err() != nil) {
		s.deps.Log.WarnContext(ctx, "a quote promises nothing: the planner does not answer", "error", err)
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var parcels []*checkoutv1.QuotedParcel
	for _, p := range resp.GetParcels() {
		parcels = append(parcels, &checkoutv1.QuotedParcel{
			Fc:    &checkoutv1.FulfillmentCenter{Region: p.GetRegion(), FcId: p.GetFcId()},
			Lines: p.GetLines(), ShipBy: p.GetShipBy(), DeliverBy: p.GetDeliverBy(), DeliverDay: p.GetDeliverDay(),
		})
	}
	return parcels, nil
}

// answerOf a quote to the shopper.
func answerOf(q *checkoutv1.QuoteSnapshot, token string) *checkoutv1.QuoteResponse {
	resp := &checkoutv1.QuoteResponse{
		QuoteToken: token, Lines: q.GetLines(), ItemsTotal: q.GetItemsTotal(), Discount: q.GetDiscount(), Shipping: q.GetShipping(),
		Tax: q.GetTax(), ShippingTax: q.GetShippingTax(), Total: q.GetTotal(), ExpiresAt: q.GetExpiresAt(),
		Promotions: slices.Clone(q.GetPromotions()), PromiseUnknown: len(q.GetParcels()) == 0,
	}
	if q.GetVoucherCode() != "" {
		resp.Promotions = append(resp.Promotions, q.GetVoucherCode())
	}
	for _, p := range q.GetParcels() {
		resp.Parcels = append(resp.Parcels, &checkoutv1.PromisedParcel{Lines: p.GetLines(), DeliverBy: p.GetDeliverBy(), DeliverDay: p.GetDeliverDay()})
	}
	return resp
}

// passOnPrices compares a quote with today's prices: what has fallen is charged less, what has risen needs the
// shopper's consent (PRICE_CHANGED), what is no longer sold is refused. Promotions, tax rates and delivery stay as quoted.
func (s *Service) passOnPrices(ctx context.Context, q *checkoutv1.QuoteSnapshot) error {
	skus := make([]string, len(q.GetLines()))
	for i, l := range q.GetLines() {
		skus[i] = l.GetSku()
	}
	resp, err := s.deps.Products.BatchGetProducts(ctx, &catalogv1.BatchGetProductsRequest{Skus: skus, View: catalogv1.ProductView_PRODUCT_VIEW_LINE})
	if err != nil {
		return err
	}
	today := map[string]money.Amount{}
	for _, p := range resp.GetProducts() {
		if p.GetWithdrawnAt() != nil {
			return productWithdrawn(p.GetSku())
		}
		today[p.GetSku()] = money.FromProto(p.GetPrice())
	}
	return passOn(q, today)
}

func productWithdrawn(sku string) error {
	return problem.New(problem.Precondition, "PRODUCT_WITHDRAWN", sku+" is not sold any more; take it out of the cart")
}

// passOn prices that are today's by SKU.
func passOn(q *checkoutv1.QuoteSnapshot, today map[string]money.Amount) error {
	var rises problemv1.PriceChanged
	for _, l := range q.GetLines() {
		quoted, now := money.FromProto(l.GetUnitPrice()), today[l.GetSku()]
		switch {
		case now.Currency == "":
			return problem.New(problem.Precondition, "NO_LONGER_SOLD", "a product of the quote is no longer sold")
		case now.Minor > quoted.Minor || now.Currency != quoted.Currency:
			rises.Changes = append(rises.Changes, &problemv1.PriceChanged_Change{Sku: l.GetSku(), Quoted: quoted.Proto(), Current: now.Proto()})
		default:
			l.UnitPrice = now.Proto()
		}
	}
	if len(rises.GetChanges()) > 0 {
		return problem.New(problem.Precondition, "PRICE_CHANGED", "a price has risen since the quote; ask for a new one", &rises)
	}
	return price(q)
}
