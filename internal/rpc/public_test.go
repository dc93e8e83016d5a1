package rpc_test

import (
	"context"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"

	cartv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/cart/v1"
	"github.com/cellar-commerce/cellar/internal/gen/cellar/cart/v1/cartv1connect"
	"github.com/cellar-commerce/cellar/internal/gen/cellar/catalog/v1/catalogv1connect"
	problemv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/problem/v1"
	"github.com/cellar-commerce/cellar/internal/problem"
	"github.com/cellar-commerce/cellar/internal/rpc"
	"github.com/cellar-commerce/cellar/internal/session"
)

func TestOutsideOnlyPublicMethodsExist(t *testing.T) {
	c := newCell(t)
	var first answer
	for i, path := range []string{
		"/cellar.nowhere.v1.NoService/NoMethod",               // unknown
		cartv1connect.CartServiceReadCartProcedure,            // internal
		catalogv1connect.CatalogServiceUpsertProductProcedure, // for operators
		cartv1connect.CartServiceGetCartProcedure + "/",       // not quite a method
		"/cellar.cart.v1.CartService",
		"/",
		"/metrics",
	} {
		got := post(t, c.public.URL+path, "{}", bearer(c.token(c.fence.MintCustomer())))
		if i == 0 {
			first = got
		}
		if got.status != http.StatusNotFound || !strings.Contains(got.body, "there is no such method") {
			t.Errorf("%s: got %d %s", path, got.status, got.body)
		}
		if got.body != first.body {
			t.Errorf("%s can be told from an unknown method: %s", path, got.body)
		}
	}
	if n, _ := c.served(); n != 0 {
		t.Errorf("%d calls came through", n)
	}
	if _, err := c.cart().ReadCart(t.Context(), &cartv1.ReadCartRequest{}); !problem.Is(err, "UNKNOWN_METHOD") {
		t.Errorf("a Connect client gets %v", err)
	}
	if _, err := c.cart(connect.WithGRPCWeb()).ReadCart(t.Context(), &cartv1.ReadCartRequest{}); !problem.Is(err, "UNKNOWN_METHOD") {
		t.Errorf("a gRPC-Web client gets %v", err)
	}
}

func TestAShopperWithoutASessionBecomesAGuestOfThisCell(t *testing.T) {
	for name, secure := range map[string]bool{"behind TLS": true, "on one machine": false} {
		t.Run(name, func(t *testing.T) {
			c := newCell(t, func(d *rpc.PublicDeps) { d.SecureCookies = secure })
			got := post(t, c.public.URL+cartv1connect.CartServiceGetCartProcedure, "{}", nil)
			if got.status != http.StatusOK {
				t.Fatalf("got %d %s", got.status, got.body)
			}
			if cache := got.header.Get("Cache-Control"); cache != "private, no-store" {
				t.Errorf("a cart may be kept by a cache: %q", cache)
			}
			minted, err := c.signer.Verify(got.header.Get(session.Header), now)
			if err != nil || !minted.Guest() || !c.fence.Mine(minted.CustomerID) {
				t.Fatalf("got %+v, %v", minted, err)
			}
			_, ctx := c.served()
			if p, ok := session.From(ctx); !ok || p != minted {
				t.Errorf("the handler serves %+v, the answer names %+v", p, minted)
			}
			cookie, err := http.ParseSetCookie(got.header.Get("Set-Cookie"))
			if err != nil {
				t.Fatal(err)
			}
			if cookie.Name != session.CookieName || cookie.Value != got.header.Get(session.Header) || !cookie.HttpOnly || cookie.Secure != secure ||
				cookie.SameSite != http.SameSiteLaxMode || cookie.Path != "/" || !cookie.Expires.Equal(now.Add(session.Lifetime)) {
				t.Errorf("got %v", cookie)
			}
		})
	}
}

func TestASessionIsTakenFromTheHeaderOrTheCookie(t *testing.T) {
	c := newCell(t)
	a, b := c.fence.MintCustomer(), c.fence.MintGuest()
	cookie := session.CookieName + "=" + c.token(b)
	for name, tc := range map[string]struct {
		header http.Header
		want   session.Principal
	}{
		"the header":                         {bearer(c.token(a)), session.Principal{CustomerID: a, SessionID: "s1"}},
		"the cookie":                         {http.Header{"Cookie": {cookie}}, session.Principal{CustomerID: b, SessionID: "s1"}},
		"the header wins":                    {http.Header{"Authorization": {"Bearer " + c.token(a)}, "Cookie": {cookie}}, session.Principal{CustomerID: a, SessionID: "s1"}},
		"among other cookies":                {http.Header{"Cookie": {"theme=dark; " + cookie + "; lang=en"}}, session.Principal{CustomerID: b, SessionID: "s1"}},
		"beside a cookie that is malformed":  {http.Header{"Cookie": {"theme=da\"rk; " + cookie}}, session.Principal{CustomerID: b, SessionID: "s1"}},
		"beside other ways of authorization": {http.Header{"Authorization": {"Basic eDp5"}, "Cookie": {cookie}}, session.Principal{CustomerID: b, SessionID: "s1"}},
	} {
		got := post(t, c.public.URL+cartv1connect.CartServiceGetCartProcedure, "{}", tc.header)
		_, ctx := c.served()
		if p, _ := session.From(ctx); got.status != http.StatusOK || p != tc.want {
			t.Errorf("%s: got %d, %+v", name, got.status, p)
		}
		if got.header.Get(session.Header) != "" || got.header.Get("Set-Cookie") != "" {
			t.Errorf("%s: the session was replaced", name)
		}
	}
}

func TestABadTokenIsRefusedWithAReasonAndNotReplacedByAGuest(t *testing.T) {
	c := newCell(t)
	mine := c.token(c.fence.MintCustomer())
	parts := strings.Split(mine, ".")
	parts[1] = string(c.fence.MintCustomer())
	for reason, token := range map[string]string{
		"MALFORMED_SESSION": "nonsense",
		"BAD_SESSION":       strings.Join(parts, "."),
	} {
		expectUnauthenticated(t, c, token, reason)
	}
	c.clock.Advance(session.Lifetime - time.Second)
	if got := post(t, c.public.URL+cartv1connect.CartServiceGetCartProcedure, "{}", bearer(mine)); got.status != http.StatusOK {
		t.Errorf("a second before its end: got %d %s", got.status, got.body)
	}
	c.clock.Advance(time.Second)
	expectUnauthenticated(t, c, mine, "SESSION_EXPIRED")
}

func expectUnauthenticated(t *testing.T, c *cell, token, reason string) {
	t.Helper()
	before, _ := c.served()
	for _, path := range []string{cartv1connect.CartServiceGetCartProcedure, catalogv1connect.CatalogServiceGetProductProcedure} {
		got := post(t, c.public.URL+path, "{}", bearer(token))
		if got.status != http.StatusUnauthorized || got.header.Get(session.Header) != "" || strings.Contains(got.body, token) {
			t.Errorf("%s %s: got %d %s", reason, path, got.status, got.body)
		}
	}
	_, err := c.cart(connect.WithInterceptors(with("Authorization", "Bearer "+token))).GetCart(t.Context(), &cartv1.GetCartRequest{})
	if !problem.Is(err, reason) || problem.KindOf(err) != problem.Unauthenticated {
		t.Errorf("got %v, want %s", err, reason)
	}
	if after, _ := c.served(); after != before {
		t.Error("the handler was called")
	}
}

// with sets a header on each call of a client.
func with(name, value string) connect.UnaryInterceptorFunc {
	return func(next connect.UnaryFunc) connect.UnaryFunc {
		return func(ctx context.Context, req connect.AnyRequest) (connect.AnyResponse, error) {
			req.Header().Set(name, value)
			return next(ctx, req)
		}
	}
}

func TestAShopperOfAnotherCellIsRedirected(t *testing.T) {
	c := newCell(t)
	id := c.theirs(false)
	want := "owner=use1-b; ring=us-east-1; slot=" + strconv.Itoa(int(id.Slot())) + "; epoch=5"
	got := post(t, c.public.URL+cartv1connect.CartServiceAddItemProcedure, "{}", bearer(c.token(id)))
	if got.status != http.StatusServiceUnavailable || got.header.Get(rpc.WrongCellHeader) != want {
		t.Errorf("got %d with %q, want %q", got.status, got.header.Get(rpc.WrongCellHeader), want)
	}
	for name, options := range map[string][]connect.ClientOption{"Connect": nil, "gRPC-Web": {connect.WithGRPCWeb()}} {
		options = append(options, connect.WithInterceptors(with("Authorization", "Bearer "+c.token(id))))
		_, err := c.cart(options...).AddItem(t.Context(), &cartv1.AddItemRequest{})
		expectRedirect(t, name, err, want)
	}
	if n, _ := c.served(); n != 0 {
		t.Errorf("%d calls came through", n)
	}
	// A method that belongs to nobody is served everywhere.
	if got := post(t, c.public.URL+catalogv1connect.CatalogServiceGetProductProcedure, "{}", bearer(c.token(id))); got.status != http.StatusOK {
		t.Errorf("the catalogue answers %d %s", got.status, got.body)
	}
	if _, ctx := c.served(); ctx == nil {
		t.Error("the catalogue was not asked")
	} else if p, _ := session.From(ctx); p.CustomerID != id {
		t.Errorf("the catalogue serves %q", p.CustomerID)
	}
}

func TestARedirectOfAnOverriddenCustomerNamesTheCustomer(t *testing.T) {
	c := newCell(t)
	id := c.theirs(true)
	want := "owner=use1-b; ring=us-east-1; slot=" + strconv.Itoa(int(id.Slot())) + "; epoch=5; customer=" + string(id)
	_, err := c.cart(connect.WithInterceptors(with("Authorization", "Bearer "+c.token(id)))).AddItem(t.Context(), &cartv1.AddItemRequest{})
	expectRedirect(t, "Connect", err, want)
	if d, ok := problem.Detail[*problemv1.WrongCell](err); !ok || d.GetCustomerId() != string(id) {
		t.Errorf("the detail is %v", d)
	}
}

func expectRedirect(t *testing.T, name string, err error, want string) {
	t.Helper()
	if !problem.Is(err, "WRONG_CELL") {
		t.Fatalf("%s: got %v", name, err)
	}
	ce := new(connect.Error)
	if !asConnect(err, &ce) || ce.Meta().Get(rpc.WrongCellHeader) != want {
		t.Errorf("%s: the router would read %q, want %q", name, ce.Meta().Get(rpc.WrongCellHeader), want)
	}
}

func TestTheCatalogueIsForEverybodyAndMintsNoGuests(t *testing.T) {
	c := newCell(t)
	got := post(t, c.public.URL+catalogv1connect.CatalogServiceGetProductProcedure, "{}", nil)
	if got.status != http.StatusOK || got.header.Get(session.Header) != "" || got.header.Get("Set-Cookie") != "" {
		t.Errorf("got %d, %v", got.status, got.header)
	}
	if _, ctx := c.served(); ctx == nil {
		t.Error("the catalogue was not asked")
	} else if p, found := session.From(ctx); found {
		t.Errorf("it serves %+v", p)
	}
}

func TestAMethodWithoutSideEffectsMayBeAskedByGET(t *testing.T) {
	c := newCell(t)
	if _, err := c.cart(connect.WithHTTPGet()).GetCart(t.Context(), &cartv1.GetCartRequest{}); err != nil {
		t.Error(err)
	}
	if m, ok := rpc.MethodOf(cartv1connect.CartServiceGetCartProcedure); !ok || !m.NoSideEffects {
		t.Errorf("got %+v, %v", m, ok)
	}
	if m, ok := rpc.MethodOf(cartv1connect.CartServiceAddItemProcedure); !ok || m.NoSideEffects {
		t.Errorf("got %+v, %v", m, ok)
	}
}
