package account

import (
	"net/http"
	"strings"
	"testing"

	"connectrpc.com/connect"

	accountv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/account/v1"
	postalv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/postal/v1"
	"github.com/cellar-commerce/cellar/internal/problem"
	"github.com/cellar-commerce/cellar/internal/session"
	"github.com/cellar-commerce/cellar/internal/sqldb/sqldbtest"
)

func TestABadFieldOfASignUpIsNamed(t *testing.T) {
	w := newWorld(t)
	for name, c := range map[string]struct {
		field  string
		change func(*accountv1.SignUpRequest)
	}{
		"no address":           {"email", func(r *accountv1.SignUpRequest) { r.Email = "" }},
		"no at":                {"email", func(r *accountv1.SignUpRequest) { r.Email = "ada.example.com" }},
		"no domain":            {"email", func(r *accountv1.SignUpRequest) { r.Email = "ada@" }},
		"no dot":               {"email", func(r *accountv1.SignUpRequest) { r.Email = "ada@localhost" }},
		"a name before":        {"email", func(r *accountv1.SignUpRequest) { r.Email = "Ada <ada@example.com>" }},
		"two addresses":        {"email", func(r *accountv1.SignUpRequest) { r.Email = "a@example.com, b@example.com" }},
		"a zero byte":          {"email", func(r *accountv1.SignUpRequest) { r.Email = "a\x00da@example.com" }},
		"255 characters":       {"email", func(r *accountv1.SignUpRequest) { r.Email = longEmail(255) }},
		"a short password":     {"password", func(r *accountv1.SignUpRequest) { r.Password = "123456789" }},
		"a long password":      {"password", func(r *accountv1.SignUpRequest) { r.Password = strings.Repeat("ü", 129) }},
		"no name":              {"name", func(r *accountv1.SignUpRequest) { r.Name = "" }},
		"only spaces":          {"name", func(r *accountv1.SignUpRequest) { r.Name = "   " }},
		"a long name":          {"name", func(r *accountv1.SignUpRequest) { r.Name = strings.Repeat("ü", 121) }},
		"a control character":  {"name", func(r *accountv1.SignUpRequest) { r.Name = "A\nda" }},
		"a name not of UTF-8":  {"name", func(r *accountv1.SignUpRequest) { r.Name = "\xff" }},
		"a word not of UTF-8":  {"password", func(r *accountv1.SignUpRequest) { r.Password = strings.Repeat("\xff", 12) }},
		"an email not of UTF8": {"email", func(r *accountv1.SignUpRequest) { r.Email = "\xff@example.com" }},
	} {
		t.Run(name, func(t *testing.T) {
			req := &accountv1.SignUpRequest{Email: "ada@example.com", Password: secretWord, Name: "Ada"}
			c.change(req)
			_, err := w.SignUp(t.Context(), req)
			refusesField(t, err, c.field)
		})
	}
	if left := sqldbtest.Texts(t, w.global, "SELECT email FROM email_directory"); len(left) != 0 {
		t.Errorf("what was refused left claims: %v", left)
	}
}

// longEmail of so many characters.
func longEmail(n int) string { return strings.Repeat("x", n-len("@example.com")) + "@example.com" }

func TestTheShortestAndTheLongestFieldsOfASignUpPass(t *testing.T) {
	w := newWorld(t)
	for _, req := range []*accountv1.SignUpRequest{
		{Email: "a@b.c", Password: "1234567890", Name: "A"},
		{Email: longEmail(254), Password: strings.Repeat("ü", 128), Name: strings.Repeat("ü", 120)},
	} {
		_, err := w.SignUp(t.Context(), req)
		must(t, err)
		_, err = w.enter(req.GetEmail(), req.GetPassword())
		must(t, err)
	}
}

func TestABadFieldOfASignInIsNamed(t *testing.T) {
	w := newWorld(t)
	_, err := w.enter("nowhere", secretWord)
	refusesField(t, err, "email")
	for _, word := range []string{"", strings.Repeat("x", 513)} {
		_, err = w.enter("ada@example.com", word)
		refusesField(t, err, "password")
	}
}

func TestABadFieldOfACardIsNamed(t *testing.T) {
	w := newWorld(t)
	id := w.member(t)
	for name, c := range map[string]struct{ field, token, label string }{
		"no token":                {"card_token", "", "Visa"},
		"no token's beginning":    {"card_token", "visa", "Visa"},
		"a token with a space":    {"card_token", "tok_ visa", "Visa"},
		"a token not of ASCII":    {"card_token", "tok_visü", "Visa"},
		"a token too long":        {"card_token", "tok_" + strings.Repeat("x", 97), "Visa"},
		"no label":                {"label", "tok_visa", ""},
		"a label of spaces":       {"label", "tok_visa", "  "},
		"a label too long":        {"label", "tok_visa", strings.Repeat("ü", 61)},
		"a label of five digits":  {"label", "tok_visa", "Visa 12345"},
		"five digits of Arabia":   {"label", "tok_visa", "Visa ١٢٣٤٥"},
		"a label with a new line": {"label", "tok_visa", "Vi\nsa"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := w.AddPaymentMethod(as(id), &accountv1.AddPaymentMethodRequest{CardToken: c.token, Label: c.label})
			refusesField(t, err, c.field)
		})
	}
	for _, good := range []*accountv1.AddPaymentMethodRequest{
		{CardToken: "tok_" + strings.Repeat("x", 96), Label: strings.Repeat("ü", 60)}, {CardToken: "tok_a", Label: "1234"},
	} {
		_, err := w.AddPaymentMethod(as(id), good)
		must(t, err)
	}
}

func TestABadFieldOfAnAddressIsNamed(t *testing.T) {
	w := newWorld(t)
	id := w.member(t)
	_, err := w.AddAddress(as(id), &accountv1.AddAddressRequest{})
	refusesField(t, err, "address")
	a := home()
	a.Lines = []string{"1 Main St", ""}
	_, err = w.AddAddress(as(id), &accountv1.AddAddressRequest{Address: a})
	refusesField(t, err, "address.lines[1]")
}

// Numbers that the card brands publish for tests.
var cardNumbers = []string{"4242424242424242", "4242 4242 4242 4242", "4242-4242-4242-4242", "378282246310005", "4222222222222", "6304000000000000000"}

func TestACardNumberIsRefusedWhereverSomebodyMightTypeIt(t *testing.T) {
	w := newWorld(t)
	id := w.member(t)
	inAddress := func(change func(a *postalv1.PostalAddress, number string)) func(string) error {
		return func(number string) error {
			a := home()
			change(a, number)
			_, err := w.AddAddress(as(id), &accountv1.AddAddressRequest{Address: a})
			return err
		}
	}
	for place, put := range map[string]func(number string) error{
		"token": func(n string) error { _, err := w.saveCard(id, n); return err },
		"token with its beginning": func(n string) error {
			_, err := w.saveCard(id, "tok_"+n)
			return err
		},
		"label": func(n string) error {
			_, err := w.AddPaymentMethod(as(id), &accountv1.AddPaymentMethodRequest{CardToken: "tok_visa", Label: "Visa " + n})
			return err
		},
		"name": func(n string) error {
			_, err := w.SignUp(t.Context(), &accountv1.SignUpRequest{Email: "ada@example.com", Password: secretWord, Name: "Ada " + n})
			return err
		},
		"email": func(n string) error {
			_, err := w.join(t.Context(), strings.ReplaceAll(n, " ", "-")+"@example.com")
			return err
		},
		"recipient":       inAddress(func(a *postalv1.PostalAddress, n string) { a.Recipient = n }),
		"the second line": inAddress(func(a *postalv1.PostalAddress, n string) { a.Lines = append(a.Lines, "card "+n) }),
		"locality":        inAddress(func(a *postalv1.PostalAddress, n string) { a.Locality = n }),
		"administrative area": inAddress(func(a *postalv1.PostalAddress, n string) {
			a.AdministrativeArea, a.RegionCode, a.PostalCode = n, "DE", "10115"
		}),
	} {
		t.Run(place, func(t *testing.T) {
			for _, number := range cardNumbers {
				refused(t, put(number), problem.Invalid, "CARD_NUMBER_REFUSED")
			}
		})
	}
	for _, table := range []string{"payment_methods", "addresses"} {
		if left := sqldbtest.Texts(t, w.customers, "SELECT customer_id FROM "+table); len(left) != 0 {
			t.Errorf("%s has %d rows", table, len(left))
		}
	}
}

func TestABrowserGetsItsSessionAsACookie(t *testing.T) {
	w := newWorld(t)
	client, _ := w.caller(t)
	ctx, call := connect.NewClientContext(t.Context())
	resp, err := client.SignUp(ctx, &accountv1.SignUpRequest{Email: "ada@example.com", Password: secretWord, Name: "Ada"})
	must(t, err)
	cookie, err := http.ParseSetCookie(call.ResponseHeader().Get("Set-Cookie"))
	must(t, err)
	if cookie.Name != session.CookieName || cookie.Value != resp.GetSession().GetToken() || !cookie.HttpOnly || cookie.Secure {
		t.Errorf("got %v", cookie)
	}
}
