package storefront

import (
	"context"
	"fmt"
	"html/template"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/cellar-commerce/cellar/internal/cache"
	"github.com/cellar-commerce/cellar/internal/clock"
	"github.com/cellar-commerce/cellar/internal/gen/cellar/account/v1/accountv1connect"
	"github.com/cellar-commerce/cellar/internal/gen/cellar/cart/v1/cartv1connect"
	"github.com/cellar-commerce/cellar/internal/gen/cellar/catalog/v1/catalogv1connect"
	"github.com/cellar-commerce/cellar/internal/gen/cellar/checkout/v1/checkoutv1connect"
	fulfillmentv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/fulfillment/v1"
	inventoryv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/inventory/v1"
	"github.com/cellar-commerce/cellar/internal/gen/cellar/notification/v1/notificationv1connect"
	"github.com/cellar-commerce/cellar/internal/gen/cellar/order/v1/orderv1connect"
	"github.com/cellar-commerce/cellar/internal/gen/cellar/recommendation/v1/recommendationv1connect"
	"github.com/cellar-commerce/cellar/internal/gen/cellar/review/v1/reviewv1connect"
	"github.com/cellar-commerce/cellar/internal/gen/cellar/search/v1/searchv1connect"
	storefrontv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/storefront/v1"
	"github.com/cellar-commerce/cellar/web/store"
)

// Sessions of the shoppers.
type Sessions interface {
	// Guard finds out who asks, and keeps out what is not the shop's own.
	Guard(next http.Handler) http.Handler
	// Guest makes a stranger a guest of this cell; whoever is known stays who they are.
	Guest(ctx context.Context, w http.ResponseWriter) context.Context
	// WrongCell has the router take the request to the cell that err names.
	WrongCell(w http.ResponseWriter, r *http.Request, err error)
	// GiveSession to the browser.
	GiveSession(w http.ResponseWriter, token string, expires time.Time)
	// SignOut takes the session away.
	SignOut(w http.ResponseWriter)
}

// PageReader reads products' pages.
type PageReader interface {
	// Page of a product. NOT_FOUND (UNKNOWN_PRODUCT).
	Page(ctx context.Context, sku string) (*storefrontv1.Page, error)
	// Deals are the cards of products whose price has fallen lately, the newest first; a bounded list.
	Deals(ctx context.Context) ([]*storefrontv1.Card, error)
}

// Stock knows what is in the fulfilment centres.
type Stock interface {
	ListSummaries(context.Context, *inventoryv1.ListSummariesRequest) (*inventoryv1.ListSummariesResponse, error)
}

// Planner of parcels.
type Planner interface {
	PlanOrder(context.Context, *fulfillmentv1.PlanOrderRequest) (*fulfillmentv1.PlanOrderResponse, error)
}

// Centers knows where the fulfilment centres are.
type Centers interface {
	ListCenters(context.Context, *fulfillmentv1.ListCentersRequest) (*fulfillmentv1.ListCentersResponse, error)
}

// Deps of the service.
type Deps struct {
	Sessions Sessions
	Accounts accountv1connect.AccountServiceClient
	Catalog  catalogv1connect.CatalogServiceClient
	Search   searchv1connect.SearchServiceClient
	Carts    cartv1connect.CartServiceClient
	Checkout checkoutv1connect.CheckoutServiceClient
	Orders   orderv1connect.OrderServiceClient
	Reviews  reviewv1connect.ReviewServiceClient
	// Pages of products.
	Pages PageReader
	// Stock of what a product's page lets one choose from.
	Stock Stock
	// Planner tells when a product is at the door.
	Planner Planner
	// Centers are where an order's parcels come from.
	Centers Centers
	// Notifications are what an account's settings are about.
	Notifications notificationv1connect.NotificationServiceClient
	// Recommendations are shown where there are any.
	Recommendations recommendationv1connect.RecommendationServiceClient
	Clock           clock.Clock
	Log             *slog.Logger
	// TestCards offers the card network's test cards at checkout: where nobody has real ones.
	TestCards bool
	// PasskeyDomain whose passkeys the shop takes; empty for none.
	PasskeyDomain string
}

// Service serves the shop's pages.
type Service struct {
	deps   Deps
	pages  map[string]*template.Template
	assets map[string]store.Asset
	routes http.Handler
	// shown pages of products, by SKU.
	shown *cache.Cache[string, *shownProduct]
	// liked by many: there is one list, as it is drawn.
	liked *cache.Cache[struct{}, template.HTML]
	// tops of the category tree.
	tops *cache.Cache[struct{}, *topCategories]
	// front page of who is not known, as it was drawn last.
	front same[frontPage, drawnPage]
	// deals of the region: there is one list.
	deals *cache.Cache[struct{}, *deals]
}

var _ http.Handler = (*Service)(nil)

// New service. It fails on a template that does not parse.
func New(deps Deps) (*Service, error) {
	s := &Service{deps: deps, shown: cache.New[string, *shownProduct](cache.Config{
		Size: shownSize, Fresh: shownFresh, Stale: shownStale, LoadTime: shownLoad, Clock: deps.Clock,
	}), liked: cache.New[struct{}, template.HTML](cache.Config{Size: 1, Fresh: likedFresh, Stale: likedStale, LoadTime: shownLoad, Clock: deps.Clock}),
		tops:  cache.New[struct{}, *topCategories](cache.Config{Size: 1, Fresh: likedFresh, Stale: likedStale, LoadTime: shownLoad, Clock: deps.Clock}),
		deals: cache.New[struct{}, *deals](cache.Config{Size: 1, Fresh: dealsFresh, Stale: dealsStale, LoadTime: shownLoad, Clock: deps.Clock})}
	var err error
	if s.assets, err = store.Assets(); err != nil {
		return nil, fmt.Errorf("storefront: %w", err)
	}
	if s.pages, err = store.Pages(template.FuncMap{"asset": s.assetLink, "price": price, "day": day, "moment": moment, "left": left, "enumerated": enumerated, "optional": optional}); err != nil {
		return nil, fmt.Errorf("storefront: %w", err)
	}
	s.routes = deps.Sessions.Guard(s.mux())
	return s, nil
}

// Anywhere tells which requests any cell may answer, whoever asks: what is the same for everybody, and the forms that
// change who asks.
func Anywhere(r *http.Request) bool {
	for _, prefix := range []string{"/assets/", "/images/", "/suggest", "/robots.txt", "/sitemap"} {
		if strings.HasPrefix(r.URL.Path, prefix) {
			return true
		}
	}
	switch r.URL.Path {
	case "/place", "/signin", "/signin/passkey", "/signup", "/signout", "/reset", "/reset/new", "/verify":
		return true
	}
	return false
}

// ServeHTTP implements http.Handler.
func (s *Service) ServeHTTP(w http.ResponseWriter, r *http.Request) { s.routes.ServeHTTP(w, r) }

// answer of a page: what to send, or an error that a page can be made of.
type answer func(w http.ResponseWriter, r *http.Request) error

func (s *Service) mux() *http.ServeMux {
	mux := http.NewServeMux()
	for pattern, a := range map[string]answer{
		"GET /{$}": s.home, "GET /categories": s.categories, "GET /c/{path...}": s.category, "GET /search": s.search, "GET /suggest": s.suggest,
		"GET /p/{sku}": s.product, "POST /place": s.setPlace, "GET /help": s.help, "GET /deals": s.dealsPage,
		"GET /cart": s.cart, "POST /cart": s.addToCart, "POST /cart/{sku}": s.changeCart, "POST /cart/{sku}/saved": s.changeSaved,
		"GET /signin": s.signInForm, "GET /signin/passkey": s.optionsToSignIn, "POST /signin": s.signIn, "GET /signup": s.signUpForm, "POST /signup": s.signUp, "POST /signout": s.signOut,
		"GET /reset": s.resetForm, "POST /reset": s.askReset, "GET /reset/new": s.newPasswordForm, "POST /reset/new": s.setPassword,
		"GET /verify": s.verifyForm, "POST /verify": s.verify, "POST /account/verify": s.askVerification,
		"GET /account/privacy": s.privacy, "POST /account/password": s.changePassword, "POST /account/signout": s.signOutEverywhere,
		"POST /account/notifications": s.setNotifications, "GET /account/export": s.export, "POST /account/erase": s.eraseAccount,
		"GET /account": s.account, "POST /account/addresses": s.addAddress, "POST /account/addresses/{id}/delete": s.deleteAddress,
		"POST /account/cards": s.addCard, "POST /account/cards/{id}/delete": s.deleteCard,
		"GET /account/passkeys/new": s.optionsToAddPasskey, "POST /account/passkeys": s.addPasskey, "POST /account/passkeys/{id}": s.changePasskey,
		"GET /checkout": s.checkout, "POST /checkout": s.review, "POST /checkout/order": s.placeOrder, "GET /checkout/{key}": s.checkoutStatus,
		"GET /orders": s.orders, "GET /orders/{id}": s.order, "GET /orders/{id}/invoice": s.invoice, "GET /orders/{id}/news": s.news,
		"POST /orders/{id}/cancel": s.cancelOrder, "POST /orders/{id}/return": s.returnItems,
		"GET /p/{sku}/reviews": s.reviews, "GET /p/{sku}/questions": s.questions, "POST /p/{sku}/questions": s.askQuestion,
		"POST /p/{sku}/questions/{id}": s.answerQuestion, "POST /p/{sku}/vote": s.voteHelpful,
		"GET /orders/{id}/lines/{line}/review": s.reviewForm, "POST /orders/{id}/lines/{line}/review": s.submitReview,
		"GET /account/reviews": s.ownReviews, "POST /account/reviews/{id}/delete": s.deleteReview,
		"GET /assets/{name}": s.asset, "GET /images/{name}": s.image, "GET /robots.txt": s.robots, "GET /sitemap.xml": s.sitemap,
		"/": func(http.ResponseWriter, *http.Request) error { return notFound() },
	} {
		mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
			if err := a(w, r); err != nil {
				s.fail(w, r, err)
			}
		})
	}
	return mux
}
