package storefront

import (
	"fmt"
	"net/http"
	"slices"
	"strings"

	"google.golang.org/protobuf/encoding/protojson"

	accountv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/account/v1"
	notificationv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/notification/v1"
	"github.com/cellar-commerce/cellar/internal/notice"
	"github.com/cellar-commerce/cellar/internal/session"
)

// linked is the page of a link that was sent by e-mail.
type linked struct {
	Chrome chrome
	Fields []field
	Token  string
}

func (s *Service) drawLinked(w http.ResponseWriter, r *http.Request, page, token string, fields []field, problems []wrong) error {
	status := http.StatusOK
	if len(problems) > 0 {
		status = http.StatusUnprocessableEntity
	}
	c := s.chromeOf(r)
	c.NoIndex, c.Problems = true, problems
	// The token stands in the address: no page that one goes to from here is told it.
	w.Header().Set("Cache-Control", "no-store")
	return s.draw(w, r, status, page, linked{c, withWrongs(fields, problems), token})
}

func resetFields(email string) []field {
	return []field{{ID: "email", Label: labels["email"], Type: "email", Value: email, Autocomplete: "username", Required: true, MaxLength: 254}}
}

func newPasswordFields() []field {
	return []field{{ID: "password", Label: "New password", Type: "password", Hint: "10 characters or more.", Autocomplete: "new-password", Required: true, MaxLength: 128}}
}

func (s *Service) resetForm(w http.ResponseWriter, r *http.Request) error {
	return s.drawLinked(w, r, "reset", "", resetFields(""), nil)
}

// askReset says the same whether there is such an account.
func (s *Service) askReset(w http.ResponseWriter, r *http.Request) error {
	email := r.PostFormValue("email")
	_, err := s.deps.Accounts.RequestReset(r.Context(), &accountv1.RequestResetRequest{Email: email})
	if refusedForm(err) {
		return s.drawLinked(w, r, "reset", "", resetFields(email), wrongs(err, credentialFields))
	}
	if err != nil {
		return err
	}
	lead(w, r, "/signin", "sent")
	return nil
}

func (s *Service) newPasswordForm(w http.ResponseWriter, r *http.Request) error {
	return s.drawLinked(w, r, "renew", r.URL.Query().Get("t"), newPasswordFields(), nil)
}

func (s *Service) setPassword(w http.ResponseWriter, r *http.Request) error {
	token := r.PostFormValue("t")
	_, err := s.deps.Accounts.ResetPassword(r.Context(), &accountv1.ResetPasswordRequest{Token: token, Password: r.PostFormValue("password")})
	if refusedForm(err) {
		return s.drawLinked(w, r, "renew", token, newPasswordFields(), wrongs(err, credentialFields))
	}
	if err != nil {
		return err
	}
	s.deps.Sessions.SignOut(w)
	lead(w, r, "/signin", "renewed")
	return nil
}

// verifyForm asks once more: what looks through mail for bad links follows them, and presses no buttons.
func (s *Service) verifyForm(w http.ResponseWriter, r *http.Request) error {
	return s.drawLinked(w, r, "verify", r.URL.Query().Get("t"), nil, nil)
}

func (s *Service) verify(w http.ResponseWriter, r *http.Request) error {
	token := r.PostFormValue("t")
	_, err := s.deps.Accounts.VerifyEmail(r.Context(), &accountv1.VerifyEmailRequest{Token: token})
	if refusedForm(err) {
		return s.drawLinked(w, r, "verify", token, nil, wrongs(err, nil))
	}
	if err != nil {
		return err
	}
	lead(w, r, "/", "verified")
	return nil
}

func (s *Service) askVerification(w http.ResponseWriter, r *http.Request) error {
	_, err := s.deps.Accounts.RequestVerification(r.Context(), &accountv1.RequestVerificationRequest{})
	if refusedForm(err) {
		return s.drawAccount(w, r, http.StatusUnprocessableEntity, addressFields(nil), wrongs(err, nil))
	}
	if err != nil {
		return err
	}
	lead(w, r, "/account", "sent")
	return nil
}

// told is a kind of news with its channels.
type told struct {
	Label    string
	Channels []toldBy
}

type toldBy struct {
	Value, Label   string
	Chosen, Always bool
}

// toldLabels of the kinds that a customer is asked about.
var toldLabels = map[notificationv1.Kind]string{
	notificationv1.Kind_KIND_ORDER_PLACED: "An order is placed", notificationv1.Kind_KIND_ORDER_SHIPPED: "A parcel is on its way",
	notificationv1.Kind_KIND_ORDER_DELIVERED: "A parcel is delivered", notificationv1.Kind_KIND_DELIVERY_EXCEPTION: "A parcel is delayed",
	notificationv1.Kind_KIND_ORDER_REFUNDED: "Money comes back",
}

var toldChannels = []struct {
	channel notificationv1.Channel
	label   string
}{{notificationv1.Channel_CHANNEL_EMAIL, "E-mail"}, {notificationv1.Channel_CHANNEL_SMS, "SMS"}, {notificationv1.Channel_CHANNEL_WEBHOOK, "App"}}

func toldValue(k notificationv1.Kind, c notificationv1.Channel) string {
	return fmt.Sprintf("%d-%d", k, c)
}

// toldOf settings: what is told by which channel.
func toldOf(settings *notificationv1.Settings) []told {
	var all []told
	for _, k := range notice.Optional() {
		t := told{Label: toldLabels[k]}
		for _, c := range toldChannels {
			t.Channels = append(t.Channels, toldBy{Value: toldValue(k, c.channel), Label: c.label, Chosen: notice.Chosen(settings, k, c.channel), Always: notice.Always(k, c.channel)})
		}
		all = append(all, t)
	}
	return all
}

func (s *Service) privacy(w http.ResponseWriter, r *http.Request) error {
	return s.drawPrivacy(w, r, nil)
}

func (s *Service) drawPrivacy(w http.ResponseWriter, r *http.Request, problems []wrong) error {
	if _, err := session.RequireAccount(r.Context()); err != nil {
		return err
	}
	resp, err := s.deps.Notifications.GetSettings(r.Context(), &notificationv1.GetSettingsRequest{})
	if err != nil {
		return err
	}
	status := http.StatusOK
	if len(problems) > 0 {
		status = http.StatusUnprocessableEntity
	}
	c := s.chromeOf(r)
	c.NoIndex, c.Problems = true, problems
	fields := withWrongs([]field{
		{ID: "old", Label: labels["old"], Type: "password", Autocomplete: "current-password", Required: true, MaxLength: 128},
		{ID: "new", Label: labels["new"], Type: "password", Hint: "10 characters or more.", Autocomplete: "new-password", Required: true, MaxLength: 128},
		{ID: "phone", Label: "Telephone for SMS (optional)", Hint: "With the country's code, such as +15550100.", Type: "tel", Value: resp.GetSettings().GetPhone(), Autocomplete: "tel", MaxLength: 16},
		{ID: "erase", Label: labels["erase"], Type: "password", Autocomplete: "current-password", Required: true, MaxLength: 128},
	}, problems)
	return s.draw(w, r, status, "privacy", struct {
		Chrome   chrome
		Password []field
		Phone    field
		Erase    field
		Kinds    []told
	}{c, fields[:2], fields[2], fields[3], toldOf(resp.GetSettings())})
}

// wrongPassword says it beside the field that it was typed into.
func wrongPassword(err error, id string, fields map[string]string) []wrong {
	all := wrongs(err, fields)
	for i := range all {
		if all[i].Field == "" {
			all[i].Field = id
		}
		if all[i].Text == sentences["BAD_CREDENTIALS"] {
			all[i].Text = "The password is not right."
		}
	}
	return all
}

func (s *Service) changePassword(w http.ResponseWriter, r *http.Request) error {
	resp, err := s.deps.Accounts.ChangePassword(r.Context(), &accountv1.ChangePasswordRequest{OldPassword: r.PostFormValue("old"), NewPassword: r.PostFormValue("new")})
	if refusedForm(err) {
		return s.drawPrivacy(w, r, wrongPassword(err, "old", map[string]string{"new_password": "new"}))
	}
	if err != nil {
		return err
	}
	s.deps.Sessions.GiveSession(w, resp.GetSession().GetToken(), resp.GetSession().GetExpiresAt().AsTime())
	lead(w, r, "/account/privacy", "changed")
	return nil
}

func (s *Service) signOutEverywhere(w http.ResponseWriter, r *http.Request) error {
	if _, err := s.deps.Accounts.SignOutEverywhere(r.Context(), &accountv1.SignOutEverywhereRequest{}); err != nil {
		return err
	}
	s.leave(w)
	lead(w, r, "/", "everywhere")
	return nil
}

// leave nothing of a shopper in the browser.
func (s *Service) leave(w http.ResponseWriter) {
	s.deps.Sessions.SignOut(w)
	rememberCart(w, 0)
	remember(w, seenCookie, "", 0)
}

func (s *Service) setNotifications(w http.ResponseWriter, r *http.Request) error {
	settings := &notificationv1.Settings{Phone: strings.ReplaceAll(strings.TrimSpace(r.PostFormValue("phone")), " ", "")} // FormValue has parsed the form
	for _, k := range notice.Optional() {
		for _, c := range toldChannels {
			wanted := notice.Always(k, c.channel) || slices.Contains(r.PostForm["told"], toldValue(k, c.channel))
			settings.Choices = append(settings.Choices, &notificationv1.Choice{Kind: k, Channel: c.channel, Wanted: wanted})
		}
	}
	_, err := s.deps.Notifications.SetSettings(r.Context(), &notificationv1.SetSettingsRequest{Settings: settings})
	if refusedForm(err) {
		return s.drawPrivacy(w, r, wrongs(err, map[string]string{"phone": "phone"}))
	}
	if err != nil {
		return err
	}
	lead(w, r, "/account/privacy", "saved")
	return nil
}

// export everything as a file. It is bounded: by what a customer can save, a thousand orders, and what one has written.
func (s *Service) export(w http.ResponseWriter, r *http.Request) error {
	all, err := s.deps.Accounts.ExportData(r.Context(), &accountv1.ExportDataRequest{})
	if err != nil {
		return err
	}
	b, err := protojson.MarshalOptions{Multiline: true, EmitUnpopulated: true}.Marshal(all)
	if err != nil {
		return fmt.Errorf("export: %w", err)
	}
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Content-Disposition", `attachment; filename="cellar-data.json"`)
	h.Set("Cache-Control", "private, no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	_, _ = w.Write(b) // the browser may have gone
	return nil
}

func (s *Service) eraseAccount(w http.ResponseWriter, r *http.Request) error {
	_, err := s.deps.Accounts.EraseAccount(r.Context(), &accountv1.EraseAccountRequest{Password: r.PostFormValue("erase")})
	if refusedForm(err) {
		return s.drawPrivacy(w, r, wrongPassword(err, "erase", nil))
	}
	if err != nil {
		return err
	}
	s.leave(w)
	lead(w, r, "/", "erased")
	return nil
}
