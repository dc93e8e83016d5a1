package storefront

import (
	"context"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"google.golang.org/protobuf/types/known/timestamppb"

	accountv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/account/v1"
	"github.com/cellar-commerce/cellar/internal/ident"
	"github.com/cellar-commerce/cellar/internal/problem"
	"github.com/cellar-commerce/cellar/internal/session"
)

func (f accountFake) ListAddresses(context.Context, *accountv1.ListAddressesRequest) (*accountv1.ListAddressesResponse, error) {
	return &accountv1.ListAddressesResponse{}, nil
}

func (f accountFake) ListPaymentMethods(context.Context, *accountv1.ListPaymentMethodsRequest) (*accountv1.ListPaymentMethodsResponse, error) {
	return &accountv1.ListPaymentMethodsResponse{}, nil
}

func (f accountFake) ListPasskeys(context.Context, *accountv1.ListPasskeysRequest) (*accountv1.ListPasskeysResponse, error) {
	return &accountv1.ListPasskeysResponse{Passkeys: []*accountv1.Passkey{{PasskeyId: "k-1", Name: "Old <b>telephone</b>", CreatedAt: timestamppb.New(now), UsedAt: timestamppb.New(now), Synced: true}}}, nil
}

func (f accountFake) PreparePasskey(context.Context, *accountv1.PreparePasskeyRequest) (*accountv1.PreparePasskeyResponse, error) {
	return &accountv1.PreparePasskeyResponse{Options: `{"rp":{}}`}, f.refused
}

func (f accountFake) PreparePasskeySignIn(context.Context, *accountv1.PreparePasskeySignInRequest) (*accountv1.PreparePasskeySignInResponse, error) {
	return &accountv1.PreparePasskeySignInResponse{Options: `{"rpId":"x"}`}, f.refused
}

func (f accountFake) SignInWithPasskey(_ context.Context, r *accountv1.SignInWithPasskeyRequest) (*accountv1.SignInWithPasskeyResponse, error) {
	f.query = r.GetAnswer()
	return &accountv1.SignInWithPasskeyResponse{Session: &accountv1.Session{Token: "fresh", CustomerId: string(ident.NewCustomer("use1"))}}, f.refused
}

func (f accountFake) AddPasskey(_ context.Context, r *accountv1.AddPasskeyRequest) (*accountv1.AddPasskeyResponse, error) {
	f.query = "add " + r.GetName() + " " + r.GetAnswer()
	return &accountv1.AddPasskeyResponse{}, f.refused
}

func (f accountFake) RenamePasskey(_ context.Context, r *accountv1.RenamePasskeyRequest) (*accountv1.RenamePasskeyResponse, error) {
	f.query = "rename " + r.GetPasskeyId() + " " + r.GetName()
	return &accountv1.RenamePasskeyResponse{}, f.refused
}

func (f accountFake) DeletePasskey(_ context.Context, r *accountv1.DeletePasskeyRequest) (*accountv1.DeletePasskeyResponse, error) {
	f.query = "delete " + r.GetPasskeyId()
	return &accountv1.DeletePasskeyResponse{}, f.refused
}

func TestASignInByPasskeyIsOfferedToScriptsOnlyAndLeadsOn(t *testing.T) {
	s := newShop(t)
	has(t, s.get("/signin?to=/cart").Body.String(), `data-passkey="get" data-options="/signin/passkey" data-domain="shop.example" hidden>`, `name="to" value="/cart"`, `name="answer"`)
	if w := s.get("/signin/passkey"); w.Code != http.StatusOK || w.Header().Get("Content-Type") != "application/json" || w.Body.String() != `{"rpId":"x"}` || !strings.Contains(w.Header().Get("Cache-Control"), "no-store") {
		t.Errorf("the options: %d %v %s", w.Code, w.Header(), w.Body)
	}
	w := s.post("/signin", url.Values{"answer": {"signed"}, "to": {"/cart"}})
	if w.Header().Get("Location") != "/cart" || s.query != "signed" || !strings.Contains(w.Header().Get("Set-Cookie"), "fresh") {
		t.Errorf("it leads to %v after %q", w.Header(), s.query)
	}
	for _, reason := range []string{"BAD_PASSKEY", "PASSKEY_COPIED"} {
		s.refused = problem.New(problem.Unauthenticated, reason, "nobody has it")
		if w := s.post("/signin", url.Values{"answer": {"forged"}}); w.Code != http.StatusUnprocessableEntity || !strings.Contains(w.Body.String(), "Nobody has it.") || !strings.Contains(w.Body.String(), `name="password"`) {
			t.Errorf("%s: %d %s", reason, w.Code, w.Body)
		}
	}
	s.deps.PasskeyDomain = ""
	if strings.Contains(s.get("/signin").Body.String(), "passkey") {
		t.Error("a shop that has none offers passkeys")
	}
	if !Anywhere(httptest.NewRequest(http.MethodGet, "/signin/passkey", nil)) {
		t.Error("who is not signed in yet has no cell, but is sent to one")
	}
}

func TestPasskeysOfAnAccountAreAddedNamedAndRemoved(t *testing.T) {
	s := newShop(t)
	s.who = session.Principal{CustomerID: ident.NewCustomer("use1")}
	page := s.get("/account").Body.String()
	has(t, page, `action="/account/passkeys/k-1"`, `value="Old &lt;b&gt;telephone&lt;/b&gt;"`, "last used 4 May 2031", "on several devices", `data-passkey="create" data-options="/account/passkeys/new" data-domain="shop.example" hidden>`)
	if w := s.get("/account/passkeys/new"); w.Body.String() != `{"rp":{}}` {
		t.Errorf("the options: %d %s", w.Code, w.Body)
	}
	for _, c := range []struct {
		path, want string
		form       url.Values
	}{
		{"/account/passkeys", "add Telephone made", url.Values{"passkey": {"Telephone"}, "answer": {"made"}}},
		{"/account/passkeys/k-1", "rename k-1 New", url.Values{"passkey": {"New"}}},
		{"/account/passkeys/k-1", "delete k-1", url.Values{"passkey": {"New"}, "remove": {"1"}}},
	} {
		if w := s.post(c.path, c.form); s.query != c.want || w.Header().Get("Location") != "/account" {
			t.Errorf("%v: %q, then to %v", c.form, s.query, w.Header())
		}
	}
	s.refused = problem.New(problem.Precondition, "SIGN_IN_AGAIN", "again")
	if w := s.get("/account/passkeys/new"); w.Code != http.StatusUnprocessableEntity || !strings.Contains(w.Body.String(), `"wrong":"You signed in a while ago.`) {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	if w := s.post("/account/passkeys", url.Values{}); w.Code < http.StatusBadRequest || !strings.Contains(w.Body.String(), "You signed in a while ago.") {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}
