package rpc_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/cellar-commerce/cellar/internal/clock"
	"github.com/cellar-commerce/cellar/internal/fence"
	"github.com/cellar-commerce/cellar/internal/ident"
	"github.com/cellar-commerce/cellar/internal/problem"
	"github.com/cellar-commerce/cellar/internal/rpc"
	"github.com/cellar-commerce/cellar/internal/session"
)

// everybody is this cell's.
type everybody struct{ fence.Fence }

func (everybody) Check(context.Context, ident.CustomerID) error { return nil }

// guarded is a page and a method of one cell, where sessions of the first generation have been ended; they tell who asks.
func guarded(t *testing.T) (signer *session.Signer, c *clock.Manual, page, method http.Handler) {
	t.Helper()
	signer, err := session.NewSigner([]byte(strings.Repeat("k", 32)))
	if err != nil {
		t.Fatal(err)
	}
	c = clock.NewManual(now)
	deps := rpc.PublicDeps{Sessions: signer, Fence: everybody{}, Clock: c, SecureCookies: true, Valid: func(_ context.Context, p session.Principal) error {
		if p.Generation() < 1 {
			return problem.New(problem.Unauthenticated, "SESSION_ENDED", "sign in again")
		}
		return nil
	}}
	tells := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		who, _ := session.From(r.Context())
		_, _ = w.Write([]byte("asked by " + string(who.CustomerID)))
	})
	return signer, c, rpc.NewPages(deps, func(*http.Request) bool { return false }).Guard(tells), rpc.Public(deps, tells)
}

func ask(h http.Handler, method, path, token string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, path, strings.NewReader("{}"))
	r.Header.Set("Content-Type", "application/json")
	r.AddCookie(&http.Cookie{Name: session.CookieName, Value: token})
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

func TestASessionThatWasEndedIsNobodysAnyMore(t *testing.T) {
	signer, _, page, method := guarded(t)
	id := ident.NewCustomer("use1")
	for generation, good := range []bool{false, true, true} {
		token, _ := signer.Issue(session.Principal{CustomerID: id, SessionID: session.NewIDOf(int64(generation), now)}, now)
		w := ask(page, http.MethodGet, "/orders", token)
		if strings.Contains(w.Body.String(), string(id)) != good || strings.Contains(w.Header().Get("Set-Cookie"), "Max-Age=0") == good {
			t.Errorf("generation %d: a page says %q, and %v", generation, w.Body, w.Header()["Set-Cookie"])
		}
		w = ask(method, http.MethodPost, "/cellar.cart.v1.CartService/GetCart", token)
		if good != (w.Code == http.StatusOK) || !good && !strings.Contains(w.Body.String(), "SESSION_ENDED") {
			t.Errorf("generation %d: a method answers %d %s", generation, w.Code, w.Body)
		}
	}
}

func TestAPageRenewsASessionThatIsHalfOver(t *testing.T) {
	signer, c, page, _ := guarded(t)
	token, _ := signer.Issue(session.Principal{CustomerID: ident.NewCustomer("use1"), SessionID: session.NewIDOf(1, now)}, now)
	if w := ask(page, http.MethodGet, "/orders", token); len(w.Result().Cookies()) != 0 {
		t.Errorf("a fresh one is renewed: %v", w.Header())
	}
	c.Advance(session.Lifetime / 2)
	cookies := ask(page, http.MethodGet, "/orders", token).Result().Cookies()
	if len(cookies) != 1 || !cookies[0].Secure || cookies[0].Value == token {
		t.Fatalf("got %v", cookies)
	}
	if _, err := signer.Verify(cookies[0].Value, c.Now().Add(session.Lifetime/2)); err != nil {
		t.Error(err)
	}
}
