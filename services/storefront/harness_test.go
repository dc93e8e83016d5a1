package storefront

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/cellar-commerce/cellar/internal/clock"
	"github.com/cellar-commerce/cellar/internal/gen/cellar/account/v1/accountv1connect"
	cartv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/cart/v1"
	"github.com/cellar-commerce/cellar/internal/gen/cellar/cart/v1/cartv1connect"
	catalogv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/catalog/v1"
	"github.com/cellar-commerce/cellar/internal/gen/cellar/catalog/v1/catalogv1connect"
	checkoutv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/checkout/v1"
	"github.com/cellar-commerce/cellar/internal/gen/cellar/checkout/v1/checkoutv1connect"
	fulfillmentv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/fulfillment/v1"
	inventoryv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/inventory/v1"
	notificationv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/notification/v1"
	orderv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/order/v1"
	"github.com/cellar-commerce/cellar/internal/gen/cellar/order/v1/orderv1connect"
	postalv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/postal/v1"
	searchv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/search/v1"
	"github.com/cellar-commerce/cellar/internal/gen/cellar/search/v1/searchv1connect"
	storefrontv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/storefront/v1"
	"github.com/cellar-commerce/cellar/internal/money"
	"github.com/cellar-commerce/cellar/internal/problem"
	"github.com/cellar-commerce/cellar/internal/session"
)

// shop of services that answer what a test says. A method that a test has not thought of panics.
type shop struct {
	*Service
	who     session.Principal // nobody when empty
	wrong   error             // that the router was told of
	refused error             // by whatever is asked next
	query   string
	// settings that were set.
	settings *notificationv1.Settings
	clock    *clock.Manual
	// planned is what the planner was asked, and unplanned what it fails with.
	planned   []*fulfillmentv1.PlanOrderRequest
	unplanned error
	// past prices of the lamp, the cards of what has become cheaper, and promotions.
	past       *catalogv1.PriceHistory
	fallen     []*storefrontv1.Card
	promotions []*checkoutv1.Promotion
	// meanwhile is what has happened to the order; may be nil.
	meanwhile func(*orderv1.Order)
	// pictured are the lamp's own pictures.
	pictured []string
	// withdrawn is what has become of the lamp.
	withdrawn bool
	// nowhere: nobody says where the centres are.
	nowhere error
}

type catalogFake struct {
	catalogv1connect.CatalogServiceClient
	*shop
}

type searchFake struct {
	searchv1connect.SearchServiceClient
	*shop
}

type cartFake struct {
	cartv1connect.CartServiceClient
	*shop
}

type checkoutFake struct {
	checkoutv1connect.CheckoutServiceClient
	*shop
}

type orderFake struct {
	orderv1connect.OrderServiceClient
	*shop
}

type accountFake struct {
	accountv1connect.AccountServiceClient
	*shop
}

// unstored pages: composed each time.
type unstored struct{ composer }

// Deals are what the shop says, where the catalogue is its own.
func (u unstored) Deals(context.Context) ([]*storefrontv1.Card, error) {
	if own, is := u.catalog.(catalogFake); is {
		return own.fallen, own.refused
	}
	return nil, nil
}

func (u unstored) Page(ctx context.Context, sku string) (*storefrontv1.Page, error) {
	all, _, err := u.compose(ctx, []string{sku})
	if err == nil && len(all) == 0 {
		err = unknownProduct()
	}
	if err != nil {
		return nil, err
	}
	return all[0], nil
}

// stockFake has two of everything but of what is GONE.
type stockFake struct{}

func (stockFake) ListSummaries(_ context.Context, r *inventoryv1.ListSummariesRequest) (*inventoryv1.ListSummariesResponse, error) {
	var resp inventoryv1.ListSummariesResponse
	for _, sku := range r.GetSkus() {
		for _, region := range []string{"us-east-1", "us-west-2"} {
			one := &inventoryv1.StockSummary{Sku: sku, Region: region, Fcs: []byte{0}}
			if region == "us-west-2" && !strings.HasPrefix(sku, "GONE") {
				one.Fcs, one.Units = []byte{0, 4}, 2
			}
			resp.Summaries = append(resp.Summaries, one)
		}
	}
	return &resp, nil
}

// plannerFake sends everything from one centre, in two days.
type plannerFake struct{ *shop }

func (f plannerFake) PlanOrder(_ context.Context, r *fulfillmentv1.PlanOrderRequest) (*fulfillmentv1.PlanOrderResponse, error) {
	f.planned = append(f.planned, r)
	return &fulfillmentv1.PlanOrderResponse{Parcels: []*fulfillmentv1.PlannedParcel{{
		OrderBy: timestamppb.New(now.Add(200*time.Minute + time.Second)), DeliverDay: "2031-05-06",
	}}}, f.unplanned
}

// centersFake has one centre.
type centersFake struct{ *shop }

func (f centersFake) ListCenters(context.Context, *fulfillmentv1.ListCentersRequest) (*fulfillmentv1.ListCentersResponse, error) {
	return &fulfillmentv1.ListCentersResponse{Centers: []*fulfillmentv1.Center{{FcId: "bos1", Place: &fulfillmentv1.Place{Name: "Worcester & Sons", Latitude: 42.27, Longitude: -71.8}}}}, f.nowhere
}

func lamp() *catalogv1.Product {
	return &catalogv1.Product{
		Sku: "LAMP", Title: `A <b>"lamp"</b>`, Brand: "Bright & Sons", CategoryPath: []string{"Home & Kitchen", "Lamps"}, Price: money.USD(123456).Proto(),
		Description: "</script><script>alert(1)</script>", Attributes: map[string]string{"base_colour": "red"},
	}
}

// lamp as it is for sale, or not any more.
func (s *shop) lamp() *catalogv1.Product {
	p := lamp()
	if s.withdrawn {
		p.WithdrawnAt = timestamppb.New(now)
	}
	return p
}

func (f catalogFake) GetProduct(_ context.Context, r *catalogv1.GetProductRequest) (*catalogv1.GetProductResponse, error) {
	if r.GetSku() != "LAMP" {
		return nil, problem.New(problem.NotFound, "UNKNOWN_PRODUCT", "there is no such product")
	}
	return &catalogv1.GetProductResponse{Product: f.lamp()}, f.refused
}

func (f catalogFake) BatchGetProducts(_ context.Context, r *catalogv1.BatchGetProductsRequest) (*catalogv1.BatchGetProductsResponse, error) {
	if !slices.Contains(r.GetSkus(), "LAMP") {
		return &catalogv1.BatchGetProductsResponse{}, f.refused
	}
	p := f.lamp()
	p.ImageUrls = f.pictured
	return &catalogv1.BatchGetProductsResponse{Products: []*catalogv1.Product{p}}, f.refused
}

func (f catalogFake) BrowseCategory(context.Context, *catalogv1.BrowseCategoryRequest) (*catalogv1.BrowseCategoryResponse, error) {
	return &catalogv1.BrowseCategoryResponse{Products: []*catalogv1.Product{lamp(), {Sku: "SHADE", Title: "A shade", Price: lamp().GetPrice()}}}, f.refused
}

func (f catalogFake) ListPriceHistories(_ context.Context, r *catalogv1.ListPriceHistoriesRequest) (*catalogv1.ListPriceHistoriesResponse, error) {
	var resp catalogv1.ListPriceHistoriesResponse
	if f.past != nil && slices.Contains(r.GetSkus(), "LAMP") {
		resp.Histories = append(resp.Histories, f.past)
	}
	return &resp, f.refused
}

func (f checkoutFake) ListPromotions(context.Context, *checkoutv1.ListPromotionsRequest) (*checkoutv1.ListPromotionsResponse, error) {
	return &checkoutv1.ListPromotionsResponse{Promotions: f.promotions}, f.refused
}

func (f catalogFake) ListOffers(context.Context, *catalogv1.ListOffersRequest) (*catalogv1.ListOffersResponse, error) {
	return &catalogv1.ListOffersResponse{}, f.refused
}

func (f catalogFake) ListCategories(context.Context, *catalogv1.ListCategoriesRequest) (*catalogv1.ListCategoriesResponse, error) {
	return &catalogv1.ListCategoriesResponse{Categories: []*catalogv1.Category{{Path: "Home & Kitchen > Lamps", Products: 3}, {Path: "Toys", Products: 9}}}, f.refused
}

func (f searchFake) Search(_ context.Context, r *searchv1.SearchRequest) (*searchv1.SearchResponse, error) {
	f.query = r.GetQuery() + "|" + r.GetCategory() + "|" + strings.Join(r.GetBrands(), ",")
	return &searchv1.SearchResponse{
		Hits:  []*searchv1.Hit{{Sku: "LAMP", Title: lamp().GetTitle(), Price: lamp().GetPrice()}},
		Total: 1, NextPageToken: "next&page", Facets: []*searchv1.Facet{{Field: "brand", Values: []*searchv1.FacetValue{{Value: "Bright & Sons", Count: 1}}}, {Field: "category", Values: []*searchv1.FacetValue{{Value: "Home & Kitchen > Lamps", Count: 1}}}},
	}, f.refused
}

func (f searchFake) Suggest(context.Context, *searchv1.SuggestRequest) (*searchv1.SuggestResponse, error) {
	return &searchv1.SuggestResponse{Suggestions: []string{"lamp"}}, f.refused
}

func (f cartFake) SaveForLater(_ context.Context, r *cartv1.SaveForLaterRequest) (*cartv1.SaveForLaterResponse, error) {
	f.query = "save " + r.GetSku()
	return &cartv1.SaveForLaterResponse{Cart: cartOf(1)}, f.refused
}

func (f cartFake) MoveToCart(_ context.Context, r *cartv1.MoveToCartRequest) (*cartv1.MoveToCartResponse, error) {
	f.query = "move " + r.GetSku()
	return &cartv1.MoveToCartResponse{Cart: cartOf(1)}, f.refused
}

func (f cartFake) RemoveSaved(_ context.Context, r *cartv1.RemoveSavedRequest) (*cartv1.RemoveSavedResponse, error) {
	f.query = "forget " + r.GetSku()
	return &cartv1.RemoveSavedResponse{Cart: cartOf(1)}, f.refused
}

func cartOf(quantity int64) *cartv1.Cart {
	return &cartv1.Cart{Subtotal: money.USD(123456 * quantity).Proto(), Lines: []*cartv1.Line{{Sku: "LAMP", Title: lamp().GetTitle(), Quantity: quantity, AvailableForSale: true, Price: lamp().GetPrice(), PriceAtAdd: money.USD(100).Proto()}}}
}

func (f cartFake) GetCart(context.Context, *cartv1.GetCartRequest) (*cartv1.GetCartResponse, error) {
	cart := cartOf(2)
	cart.Saved = cartOf(3).GetLines()
	return &cartv1.GetCartResponse{Cart: cart}, f.refused
}

func (f cartFake) AddItem(ctx context.Context, r *cartv1.AddItemRequest) (*cartv1.AddItemResponse, error) {
	if _, err := session.Require(ctx); err != nil {
		return nil, err
	}
	return &cartv1.AddItemResponse{Cart: cartOf(r.GetQuantity())}, f.refused
}

func (f checkoutFake) Quote(context.Context, *checkoutv1.QuoteRequest) (*checkoutv1.QuoteResponse, error) {
	m := money.USD(100).Proto()
	return &checkoutv1.QuoteResponse{QuoteToken: "q", ItemsTotal: m, Shipping: m, Tax: m, Total: m, Lines: []*checkoutv1.QuoteLine{{Sku: "LAMP", Title: "Lamp", Quantity: 1, UnitPrice: m}}}, nil
}

func (f checkoutFake) PlaceOrder(context.Context, *checkoutv1.PlaceOrderRequest) (*checkoutv1.PlaceOrderResponse, error) {
	if f.refused != nil {
		return nil, f.refused
	}
	return &checkoutv1.PlaceOrderResponse{Order: &orderv1.Order{OrderId: "use1-1"}}, nil
}

func (f checkoutFake) GetCheckout(_ context.Context, r *checkoutv1.GetCheckoutRequest) (*checkoutv1.GetCheckoutResponse, error) {
	switch r.GetIdempotencyKey() {
	case "placed":
		return &checkoutv1.GetCheckoutResponse{State: checkoutv1.State_STATE_PLACED, OrderId: "use1-1"}, nil
	case "running":
		return &checkoutv1.GetCheckoutResponse{State: checkoutv1.State_STATE_IN_PROGRESS}, nil
	case "failed":
		return &checkoutv1.GetCheckoutResponse{State: checkoutv1.State_STATE_FAILED, FailureReason: "OUT_OF_STOCK"}, nil
	}
	return nil, problem.New(problem.NotFound, "UNKNOWN_CHECKOUT", "nothing was ordered under this key")
}

func (f orderFake) GetOrder(context.Context, *orderv1.GetOrderRequest) (*orderv1.GetOrderResponse, error) {
	m := money.USD(100).Proto()
	o := &orderv1.Order{
		OrderId: "use1-1", Status: orderv1.Status_STATUS_PAID, PlacedAt: timestamppb.New(now), ShipTo: &postalv1.PostalAddress{RegionCode: "US", PostalCode: "02108", Locality: "Boston"}, ItemsTotal: m, Shipping: m, Tax: m, Total: m, Lines: []*orderv1.Line{{Line: 1, Sku: "LAMP", Title: lamp().GetTitle(), Quantity: 2, UnitPrice: m}},
		Parcels: []*orderv1.Parcel{{FcId: "bos1", State: orderv1.ParcelState_PARCEL_STATE_REQUESTED, Lines: []*orderv1.ParcelLine{{Line: 1, Quantity: 2}}}}, Events: []*orderv1.Event{{Seq: 1, Kind: "placed"}, {Seq: 2, Kind: "paid"}},
	}
	if f.meanwhile != nil {
		f.meanwhile(o)
	}
	return &orderv1.GetOrderResponse{Order: o}, f.refused
}

func (s *shop) Guard(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if s.who.CustomerID != "" {
			r = r.WithContext(session.With(r.Context(), s.who))
		}
		next.ServeHTTP(w, r)
	})
}

func (s *shop) Guest(ctx context.Context, _ http.ResponseWriter) context.Context {
	if _, found := session.From(ctx); found {
		return ctx
	}
	return session.With(ctx, session.Principal{CustomerID: "g-use1-000000000000000000000000"})
}

func (s *shop) WrongCell(w http.ResponseWriter, _ *http.Request, err error) {
	s.wrong = err
	w.WriteHeader(http.StatusServiceUnavailable)
}

func (s *shop) GiveSession(w http.ResponseWriter, token string, expires time.Time) {
	http.SetCookie(w, &http.Cookie{Name: session.CookieName, Value: token, Expires: expires, Secure: true, HttpOnly: true})
}

func (s *shop) SignOut(http.ResponseWriter) {}

var now = time.Date(2031, time.May, 4, 12, 0, 0, 0, time.UTC)

func newShop(t testing.TB) *shop {
	t.Helper()
	s := &shop{clock: clock.NewManual(now)}
	service, err := New(Deps{
		Sessions: s, Catalog: catalogFake{shop: s}, Search: searchFake{shop: s}, Carts: cartFake{shop: s}, Checkout: checkoutFake{shop: s}, Orders: orderFake{shop: s}, Accounts: accountFake{shop: s},
		Stock: stockFake{}, Planner: plannerFake{s}, Centers: centersFake{s}, Pages: unstored{composer{catalogFake{shop: s}, reviewFake{shop: s}, recommendationFake{shop: s}}}, Notifications: notificationFake{shop: s}, Reviews: reviewFake{shop: s}, Recommendations: recommendationFake{shop: s},
		Clock: s.clock, Log: slog.New(slog.DiscardHandler), TestCards: true, PasskeyDomain: "shop.example",
	})
	if err != nil {
		t.Fatal(err)
	}
	s.Service = service
	return s
}

func (s *shop) get(path string, cookies ...*http.Cookie) *httptest.ResponseRecorder {
	r := httptest.NewRequest(http.MethodGet, path, nil)
	for _, c := range cookies {
		r.AddCookie(c)
	}
	w := httptest.NewRecorder()
	s.ServeHTTP(w, r)
	return w
}

func (s *shop) post(path string, form url.Values) *httptest.ResponseRecorder {
	r := httptest.NewRequest(http.MethodPost, path, strings.NewReader(form.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	w := httptest.NewRecorder()
	s.ServeHTTP(w, r)
	return w
}

var errBroken = errors.New("the database's own words")
