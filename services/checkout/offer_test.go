package checkout

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/cellar-commerce/cellar/internal/clock"
	cartv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/cart/v1"
	catalogv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/catalog/v1"
	checkoutv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/checkout/v1"
	fulfillmentv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/fulfillment/v1"
	orderv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/order/v1"
	postalv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/postal/v1"
	problemv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/problem/v1"
	"github.com/cellar-commerce/cellar/internal/ident"
	"github.com/cellar-commerce/cellar/internal/money"
	"github.com/cellar-commerce/cellar/internal/problem"
	"github.com/cellar-commerce/cellar/internal/session"
	"github.com/cellar-commerce/cellar/internal/tax"
)

// neighbours plays the services that a quote asks, and what they answer.
type neighbours struct {
	Carts
	Planner
	Products
	cart     []*cartv1.Line
	prices   map[string]int64
	plan     func(context.Context, *fulfillmentv1.PlanOrderRequest) (*fulfillmentv1.PlanOrderResponse, error)
	planned  *fulfillmentv1.PlanOrderRequest
	asked    int
	assessed error
	engine   tax.Engine
}

// ReadCart implements Carts.
func (n *neighbours) ReadCart(context.Context, *cartv1.ReadCartRequest) (*cartv1.ReadCartResponse, error) {
	n.asked++
	return &cartv1.ReadCartResponse{Cart: &cartv1.Cart{Lines: n.cart}}, nil
}

// PlanOrder implements Planner.
func (n *neighbours) PlanOrder(ctx context.Context, req *fulfillmentv1.PlanOrderRequest) (*fulfillmentv1.PlanOrderResponse, error) {
	n.planned = req
	return n.plan(ctx, req)
}

// BatchGetProducts implements Products.
func (n *neighbours) BatchGetProducts(_ context.Context, req *catalogv1.BatchGetProductsRequest) (*catalogv1.BatchGetProductsResponse, error) {
	if req.GetView() != catalogv1.ProductView_PRODUCT_VIEW_LINE {
		return nil, errors.New("a quote has no use for whole products")
	}
	resp := &catalogv1.BatchGetProductsResponse{}
	for _, sku := range req.GetSkus() {
		if cents, sold := n.prices[sku]; sold {
			resp.Products = append(resp.Products, &catalogv1.Product{Sku: sku, Price: money.USD(cents).Proto()})
		}
	}
	return resp, nil
}

// Assess implements tax.Engine.
func (n *neighbours) Assess(ctx context.Context, to tax.Destination, categories []tax.Category) (tax.Assessment, error) {
	if n.assessed != nil {
		return tax.Assessment{}, n.assessed
	}
	return n.engine.Assess(ctx, to, categories)
}

var manhattan = &postalv1.PostalAddress{
	Recipient: "R. Reader", Lines: []string{"1 Main St"}, Locality: "New York", AdministrativeArea: "NY", PostalCode: "10001", RegionCode: "US",
}

// quoting service whose vouchers are in memory.
func (n *neighbours) quoting(known ...promotion) *Service {
	if n.engine == nil {
		n.engine = tax.Published()
	}
	deps := Deps{Carts: n, Planner: n, Products: n, Tax: n, Clock: clock.NewManual(noon), Log: slog.New(slog.DiscardHandler)}
	s := &Service{deps: deps, vouchers: newVouchers(deps), sealer: ours}
	s.vouchers.standingUntil = noon.Add(time.Hour)
	for _, p := range known {
		if p.automatic {
			s.vouchers.list = append(s.vouchers.list, p)
			continue
		}
		s.vouchers.keep(p, noon.Add(time.Hour))
	}
	s.deps.ValidateAddress = func(*problem.Violations, string, *postalv1.PostalAddress) {}
	return s
}

func ask(t *testing.T, s *Service, req *checkoutv1.QuoteRequest) (*checkoutv1.QuoteResponse, error) {
	t.Helper()
	req.Destination = &checkoutv1.QuoteRequest_Address{Address: manhattan}
	return s.Quote(session.With(t.Context(), session.Principal{CustomerID: ident.NewCustomer("use1")}), req)
}

func inCart(sku, category string, cents, quantity int64) *cartv1.Line {
	return &cartv1.Line{Sku: sku, Title: sku, Quantity: quantity, Price: money.USD(cents).Proto(), Category: category, AvailableForSale: true}
}

func parcel(fc string, by time.Time, lines ...*orderv1.ParcelLine) *fulfillmentv1.PlannedParcel {
	return &fulfillmentv1.PlannedParcel{Region: "us-east-1", FcId: fc, Lines: lines, ShipBy: timestamppb.New(by.Add(-24 * time.Hour)), DeliverBy: timestamppb.New(by), DeliverDay: by.Format(time.DateOnly)}
}

// Case 22.
func TestALineThatNoCentreHasEnoughOfIsPromisedInTwoParcels(t *testing.T) {
	two, three := noon.Add(48*time.Hour), noon.Add(72*time.Hour)
	n := &neighbours{
		cart: []*cartv1.Line{inCart("ale", "Home", 10_00, 5), {Sku: "gone", Quantity: 1}, inCart("stout", "Home", 1_00, 1)},
		plan: func(context.Context, *fulfillmentv1.PlanOrderRequest) (*fulfillmentv1.PlanOrderResponse, error) {
			return &fulfillmentv1.PlanOrderResponse{Parcels: []*fulfillmentv1.PlannedParcel{
				parcel("ewr1", two, &orderv1.ParcelLine{Line: 1, Sku: "ale", Quantity: 3}, &orderv1.ParcelLine{Line: 2, Sku: "stout", Quantity: 1}),
				parcel("iad1", three, &orderv1.ParcelLine{Line: 1, Sku: "ale", Quantity: 2}),
			}}, nil
		},
	}
	s := n.quoting()
	resp, err := ask(t, s, &checkoutv1.QuoteRequest{Speed: express})
	if err != nil {
		t.Fatal(err)
	}
	if len(resp.GetParcels()) != 2 || resp.GetPromiseUnknown() || !resp.GetParcels()[0].GetDeliverBy().AsTime().Equal(two) || resp.GetParcels()[0].GetDeliverDay() != two.Format(time.DateOnly) || resp.GetParcels()[1].GetLines()[0].GetQuantity() != 2 {
		t.Errorf("promised %v", resp)
	}
	if n.planned.GetSpeed() != fulfillmentv1.Speed_SPEED_EXPRESS || len(n.planned.GetLines()) != 2 || n.planned.GetLines()[1].GetLine() != 2 || !proto.Equal(n.planned.GetShipTo(), manhattan) || n.asked != 1 {
		t.Errorf("the planner was asked %v", n.planned)
	}
	q, err := s.sealer.open(resp.GetQuoteToken())
	if err != nil || q.GetParcels()[1].GetFc().GetFcId() != "iad1" || q.GetParcels()[1].GetFc().GetRegion() != "us-east-1" || !q.GetParcels()[0].GetShipBy().AsTime().Equal(two.Add(-24*time.Hour)) {
		t.Errorf("the snapshot has %v, %v", q.GetParcels(), err)
	}
}

func TestAnOrderNamesTheSellersThatItsCartHadWhenItWasQuoted(t *testing.T) {
	ale, own := inCart("ale", "Home", 10_00, 1), inCart("stout", "Home", 1_00, 1)
	ale.Seller, own.Seller = "Acme", "Cellar"
	n := &neighbours{cart: []*cartv1.Line{ale, own}}
	n.plan = func(context.Context, *fulfillmentv1.PlanOrderRequest) (*fulfillmentv1.PlanOrderResponse, error) {
		return &fulfillmentv1.PlanOrderResponse{}, nil
	}
	s := n.quoting()
	resp, err := ask(t, s, &checkoutv1.QuoteRequest{})
	if err != nil {
		t.Fatal(err)
	}
	ale.Seller = "Acme, formerly" // what is signed stays
	q, err := s.sealer.open(resp.GetQuoteToken())
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []string{"Acme", "Cellar"} {
		if quoted, ordered := resp.GetLines()[i].GetSeller(), orderOf(&checkoutv1.PlacementState{Quote: q, OrderId: "use1-7KQ2-M8XD-4TRW-C"}).GetLines()[i].GetSeller(); quoted != want || ordered != want {
			t.Errorf("line %d: %q is quoted and %q ordered, want %q", i+1, quoted, ordered, want)
		}
	}
}

// Case 3.
func TestWhatHasSoldOutIsToldAtTheQuoteWithWhatIsLeft(t *testing.T) {
	n := &neighbours{cart: []*cartv1.Line{inCart("ale", "Home", 10_00, 5)}}
	n.plan = func(context.Context, *fulfillmentv1.PlanOrderRequest) (*fulfillmentv1.PlanOrderResponse, error) {
		return nil, problem.New(problem.Precondition, "OUT_OF_STOCK", "there is not enough", &problemv1.OutOfStock{Shortages: []*problemv1.Shortage{{Sku: "ale", Requested: 5, Available: 2}}})
	}
	_, err := ask(t, n.quoting(), &checkoutv1.QuoteRequest{})
	short, _ := problem.Detail[*problemv1.OutOfStock](err)
	if !problem.Is(err, "OUT_OF_STOCK") || len(short.GetShortages()) != 1 || short.GetShortages()[0].GetAvailable() != 2 {
		t.Errorf("%v, %v", err, short)
	}
}

func TestWithoutThePlannerThereIsAPriceAndNoPromise(t *testing.T) {
	for name, plan := range map[string]func(context.Context, *fulfillmentv1.PlanOrderRequest) (*fulfillmentv1.PlanOrderResponse, error){
		"it is away": func(context.Context, *fulfillmentv1.PlanOrderRequest) (*fulfillmentv1.PlanOrderResponse, error) {
			return nil, problem.New(problem.Unavailable, "REGION_UNREACHABLE", "away")
		},
		"it hangs": func(ctx context.Context, _ *fulfillmentv1.PlanOrderRequest) (*fulfillmentv1.PlanOrderResponse, error) {
			<-ctx.Done()
			return nil, ctx.Err()
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := &neighbours{cart: []*cartv1.Line{inCart("ale", "Home", 100_00, 1)}, plan: plan}
				resp, err := ask(t, n.quoting(), &checkoutv1.QuoteRequest{})
				if err != nil || !resp.GetPromiseUnknown() || len(resp.GetParcels()) != 0 || resp.GetTotal().GetMinorUnits() != 108_54 {
					t.Errorf("%v, %v", resp, err)
				}
			})
		})
	}
}

func TestAPlannerWithAFaultAndAnImpatientShopperGetNoQuote(t *testing.T) {
	n := &neighbours{cart: []*cartv1.Line{inCart("ale", "Home", 100_00, 1)}}
	n.plan = func(ctx context.Context, _ *fulfillmentv1.PlanOrderRequest) (*fulfillmentv1.PlanOrderResponse, error) {
		return nil, errors.New("a defect")
	}
	if resp, err := ask(t, n.quoting(), &checkoutv1.QuoteRequest{}); err == nil {
		t.Errorf("a defect is hidden: %v", resp)
	}
	ctx, cancel := context.WithCancel(t.Context())
	n.plan = func(ctx context.Context, _ *fulfillmentv1.PlanOrderRequest) (*fulfillmentv1.PlanOrderResponse, error) {
		cancel()
		<-ctx.Done()
		return nil, ctx.Err()
	}
	if _, err := n.quoting().quote(ctx, wish{shipTo: manhattan, speed: standard}); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
}

func inStock(context.Context, *fulfillmentv1.PlanOrderRequest) (*fulfillmentv1.PlanOrderResponse, error) {
	return &fulfillmentv1.PlanOrderResponse{Parcels: []*fulfillmentv1.PlannedParcel{parcel("ewr1", noon.Add(48*time.Hour))}}, nil
}

func TestTaxIsNeverGuessed(t *testing.T) {
	n := &neighbours{cart: []*cartv1.Line{inCart("ale", "Home", 100_00, 1)}, plan: inStock, assessed: problem.New(problem.Unavailable, "TAX_ENGINE_AWAY", "away")}
	if _, err := ask(t, n.quoting(), &checkoutv1.QuoteRequest{}); !problem.Is(err, "TAX_ENGINE_AWAY") {
		t.Errorf("%v", err)
	}
}

// Case 12: neither another tax rate nor another promotion between quote and placement changes what was agreed; case 11.
func TestWhatIsPlacedIsWhatWasAgreed(t *testing.T) {
	n := &neighbours{cart: []*cartv1.Line{inCart("ale", "Home > Kitchen", 19_99, 1), inCart("stout", "Toys", 5_00, 1)}, plan: inStock, prices: map[string]int64{"ale": 19_99, "stout": 5_00}}
	s := n.quoting(promotion{code: "HOME-10", automatic: true, percent: 10_00, categories: []string{"Home"}}, promotion{code: "TWO-OFF", amount: money.USD(2_00)})
	resp, err := ask(t, s, &checkoutv1.QuoteRequest{VoucherCode: " two-off"})
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(resp.GetPromotions(), []string{"HOME-10", "TWO-OFF"}) || resp.GetDiscount().GetMinorUnits() != 4_00 {
		t.Errorf("%v", resp)
	}
	n.engine, s.vouchers.list = tax.None{}, []promotion{{code: "HALF", automatic: true, percent: 50_00}}
	clear(s.vouchers.known)
	q, err := s.sealer.open(resp.GetQuoteToken())
	if err != nil {
		t.Fatal(err)
	}
	if err := s.passOnPrices(t.Context(), q); err != nil {
		t.Fatal(err)
	}
	if again := answerOf(q, resp.GetQuoteToken()); !proto.Equal(again, resp) {
		t.Errorf("agreed: %v\nplaced: %v", resp, again)
	}
	n.prices["ale"] = 9_99
	if err := s.passOnPrices(t.Context(), q); err != nil {
		t.Fatal(err)
	}
	if q.GetTotal().GetMinorUnits() >= resp.GetTotal().GetMinorUnits() || !proto.Equal(q.GetShipping(), resp.GetShipping()) || q.GetLines()[0].GetDiscount().GetMinorUnits() != 1_00+1_57 {
		t.Errorf("a fall gives %v", q)
	}
	n.prices["stout"] = 5_01
	err = s.passOnPrices(t.Context(), q)
	if changed, _ := problem.Detail[*problemv1.PriceChanged](err); !problem.Is(err, "PRICE_CHANGED") || len(changed.GetChanges()) != 1 || changed.GetChanges()[0].GetCurrent().GetMinorUnits() != 5_01 {
		t.Errorf("a rise: %v", err)
	}
	delete(n.prices, "ale")
	if err := s.passOnPrices(t.Context(), q); !problem.Is(err, "NO_LONGER_SOLD") {
		t.Errorf("%v", err)
	}
}

func TestAVoucherThatIsRefusedRefusesTheQuote(t *testing.T) {
	n := &neighbours{cart: []*cartv1.Line{inCart("ale", "Home", 10_00, 1)}, plan: inStock}
	s := n.quoting(promotion{code: "OVER", percent: 1, until: noon}, promotion{code: "RICH", percent: 1, minimum: money.USD(10_01)})
	for code, reason := range map[string]string{"over": "VOUCHER_EXPIRED", "rich": "VOUCHER_MINIMUM_NOT_REACHED", "?!": "VOUCHER_UNKNOWN"} {
		if _, err := ask(t, s, &checkoutv1.QuoteRequest{VoucherCode: code}); !problem.Is(err, reason) {
			t.Errorf("%s: %v, not %s", code, err, reason)
		}
	}
}

func TestAQuoteFromBeforeThereWereTermsIsPlacedAsItWas(t *testing.T) {
	q := &checkoutv1.QuoteSnapshot{Lines: []*checkoutv1.QuoteLine{line(10_00, 1)}, Speed: standard, Shipping: money.USD(4_99).Proto(), Tax: money.USD(0).Proto(), Total: money.USD(14_99).Proto()}
	if err := passOn(q, map[string]money.Amount{"ale": money.USD(10_00)}); err != nil || q.GetTotal().GetMinorUnits() != 14_99 || q.GetDiscount().GetMinorUnits() != 0 {
		t.Errorf("%v, %v", q, err)
	}
}

// BenchmarkQuote is all of a quote but the network and the databases: cart and plan are in memory.
func BenchmarkQuote(b *testing.B) {
	n := &neighbours{plan: inStock, cart: []*cartv1.Line{
		inCart("ale", "Home > Kitchen", 19_99, 1), inCart("stout", "Toys", 5_00, 3), inCart("port", "Books > Crime", 120_00, 1), inCart("cider", "Home", 7_49, 2),
	}}
	s := n.quoting(promotion{code: "HOME-10", automatic: true, percent: 10_00, categories: []string{"Home"}}, promotion{code: "TWO-OFF", amount: money.USD(2_00)})
	ctx := session.With(b.Context(), session.Principal{CustomerID: ident.NewCustomer("use1")})
	req := &checkoutv1.QuoteRequest{Destination: &checkoutv1.QuoteRequest_Address{Address: manhattan}, VoucherCode: "TWO-OFF"}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := s.Quote(ctx, req); err != nil {
			b.Fatal(err)
		}
	}
}
