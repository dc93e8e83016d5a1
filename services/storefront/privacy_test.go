package storefront

import (
	"context"
	"net/http"
	"net/url"
	"strings"
	"testing"

	accountv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/account/v1"
	notificationv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/notification/v1"
	"github.com/cellar-commerce/cellar/internal/gen/cellar/notification/v1/notificationv1connect"
	"github.com/cellar-commerce/cellar/internal/ident"
	"github.com/cellar-commerce/cellar/internal/notice"
	"github.com/cellar-commerce/cellar/internal/problem"
	"github.com/cellar-commerce/cellar/internal/session"
)

type notificationFake struct {
	notificationv1connect.NotificationServiceClient
	*shop
}

func (f notificationFake) GetSettings(context.Context, *notificationv1.GetSettingsRequest) (*notificationv1.GetSettingsResponse, error) {
	return &notificationv1.GetSettingsResponse{Settings: f.settings}, nil
}

func (f notificationFake) SetSettings(_ context.Context, r *notificationv1.SetSettingsRequest) (*notificationv1.SetSettingsResponse, error) {
	f.settings = r.GetSettings()
	return &notificationv1.SetSettingsResponse{}, f.refused
}

func (f accountFake) RequestReset(context.Context, *accountv1.RequestResetRequest) (*accountv1.RequestResetResponse, error) {
	return &accountv1.RequestResetResponse{}, f.refused
}

func (f accountFake) ResetPassword(context.Context, *accountv1.ResetPasswordRequest) (*accountv1.ResetPasswordResponse, error) {
	return &accountv1.ResetPasswordResponse{}, f.refused
}

func (f accountFake) VerifyEmail(context.Context, *accountv1.VerifyEmailRequest) (*accountv1.VerifyEmailResponse, error) {
	return &accountv1.VerifyEmailResponse{}, f.refused
}

func (f accountFake) ChangePassword(context.Context, *accountv1.ChangePasswordRequest) (*accountv1.ChangePasswordResponse, error) {
	return &accountv1.ChangePasswordResponse{Session: &accountv1.Session{Token: "renewed"}}, f.refused
}

func (f accountFake) EraseAccount(context.Context, *accountv1.EraseAccountRequest) (*accountv1.EraseAccountResponse, error) {
	return &accountv1.EraseAccountResponse{}, f.refused
}

func (f accountFake) ExportData(context.Context, *accountv1.ExportDataRequest) (*accountv1.ExportDataResponse, error) {
	return &accountv1.ExportDataResponse{Profile: &accountv1.GetProfileResponse{Email: "ada@example.com"}}, f.refused
}

func (f accountFake) SignIn(context.Context, *accountv1.SignInRequest) (*accountv1.SignInResponse, error) {
	return &accountv1.SignInResponse{Session: &accountv1.Session{Token: "fresh", CustomerId: string(f.who.CustomerID)}}, f.refused
}

func TestTheCookieOfASignInIsTheCellsOwnWhateverAProxySays(t *testing.T) {
	s := newShop(t)
	w := s.post("/signin", url.Values{"email": {"ada@example.com"}, "password": {"correct horse battery"}})
	for _, c := range w.Result().Cookies() {
		if c.Name == session.CookieName && (c.Value != "fresh" || !c.Secure) {
			t.Errorf("the cookie is %v", c)
		}
	}
	if !strings.Contains(strings.Join(w.Header()["Set-Cookie"], " "), session.CookieName) {
		t.Error("there is no session")
	}
}

func TestLinksOfEMailsWorkWithoutScript(t *testing.T) {
	s := newShop(t)
	for _, c := range []struct{ path, says string }{{"/reset", "Send the link"}, {"/reset/new?t=a%22b", `name="t" value="a&#34;b"`}, {"/verify?t=x", "It is my address"}} {
		if w := s.get(c.path); w.Code != http.StatusOK || !strings.Contains(w.Body.String(), c.says) || !strings.Contains(w.Body.String(), "noindex") {
			t.Errorf("%s: %d %s", c.path, w.Code, w.Body)
		}
	}
	for path, leads := range map[string]string{"/reset": "/signin", "/reset/new": "/signin", "/verify": "/"} {
		form := url.Values{"email": {"ada@example.com"}, "t": {"x"}, "password": {"correct horse battery"}}
		if w := s.post(path, form); w.Code != http.StatusSeeOther || w.Header().Get("Location") != leads {
			t.Errorf("%s leads to %d %s", path, w.Code, w.Header().Get("Location"))
		}
		s.refused = problem.New(problem.Precondition, "LINK_NOT_GOOD", "no")
		if w := s.post(path, form); w.Code != http.StatusUnprocessableEntity || !strings.Contains(w.Body.String(), "Ask for another") {
			t.Errorf("%s refused: %d", path, w.Code)
		}
		s.refused = nil
	}
}

func TestSecurityNotificationsAndDataOfAnAccount(t *testing.T) {
	s := newShop(t)
	if w := s.get("/account/privacy"); w.Code != http.StatusSeeOther {
		t.Errorf("a stranger gets %d", w.Code)
	}
	s.who = session.Principal{CustomerID: ident.NewCustomer("use1")}
	w := s.post("/account/notifications", url.Values{"phone": {" +1 555 0100 "}, "told": {"2-2", "3-1"}})
	if w.Code != http.StatusSeeOther || s.settings.GetPhone() != "+15550100" {
		t.Errorf("%d, %v", w.Code, s.settings)
	}
	body := s.get("/account/privacy").Body.String()
	for value, checked := range map[string]bool{"1-1": true, "2-1": false, "2-2": true, "3-1": true, "3-2": false} {
		if strings.Contains(body, `value="`+value+`" checked`) != checked {
			t.Errorf("%s is not %v", value, checked)
		}
	}
	if w := s.post("/account/password", url.Values{}); w.Code != http.StatusSeeOther || !strings.Contains(w.Header().Get("Set-Cookie"), "renewed") {
		t.Errorf("a new password: %d %v", w.Code, w.Header())
	}
	if w := s.get("/account/export"); w.Header().Get("Content-Disposition") == "" || !strings.Contains(w.Body.String(), "ada@example.com") {
		t.Errorf("the export: %d %v", w.Code, w.Header())
	}
	s.refused = problem.New(problem.Unauthenticated, "BAD_CREDENTIALS", "no")
	if w := s.post("/account/erase", url.Values{}); w.Code != http.StatusUnprocessableEntity || !strings.Contains(w.Body.String(), `id="erase-wrong">The password is not right.`) {
		t.Errorf("with a wrong password: %d", w.Code)
	}
	s.refused = nil
	if w := s.post("/account/erase", url.Values{}); w.Code != http.StatusSeeOther || w.Header().Get("Location") != "/" {
		t.Errorf("erased: %d", w.Code)
	}
}

func TestEveryKindThatOneChoosesHasAName(t *testing.T) {
	for _, k := range toldOf(nil) {
		if k.Label == "" {
			t.Errorf("one of %v is asked about without a name", notice.Optional())
		}
	}
}
