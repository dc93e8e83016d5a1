package storefront

import (
	"net/http"
	"strings"

	accountv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/account/v1"
	"github.com/cellar-commerce/cellar/internal/ident"
	"github.com/cellar-commerce/cellar/internal/session"
)

// field of a form.
type field struct {
	ID, Label, Hint, Wrong, Type, Value, Autocomplete, InputMode string
	MaxLength                                                    int
	Required                                                     bool
}

// optional is a field that may be left empty.
func optional(f field) field {
	f.Required = false
	return f
}

// labels of the forms' fields, by id, as sentences about them begin.
var labels = map[string]string{
	"email": "E-mail address", "password": "Password", "name": "Name", "recipient": "Full name", "line1": "Street address", "line2": "Second line", "locality": "City",
	"area": "State or province", "postal": "Postal code", "country": "Country", "phone": "Telephone", "voucher": "Voucher code", "gift": "Gift card code", "speed": "Delivery",
	"old": "Your password", "new": "New password", "erase": "Your password", "passkey": "Name", "rating": "Stars", "title": "Title", "text": "Text", "author": "Name to show",
}

// withWrongs puts what is wrong beside its field.
func withWrongs(fields []field, all []wrong) []field {
	texts := map[string]string{}
	for _, w := range all {
		texts[w.Field] = w.Text
	}
	shown := make([]field, 0, len(fields))
	for _, f := range fields {
		f.Wrong = texts[f.ID]
		shown = append(shown, f)
	}
	return shown
}

// localPath keeps a page to go on to within the shop.
func localPath(to string) string {
	if !strings.HasPrefix(to, "/") || strings.HasPrefix(to, "//") || strings.ContainsAny(to, "\\\r\n") {
		return "/"
	}
	return to
}

// credentials is the form of signing in or up.
type credentials struct {
	Chrome chrome
	Fields []field
	To     string
	// Passkeys are of this domain; empty where there are none.
	Passkeys string
}

func signInFields(email string) []field {
	return []field{
		{ID: "email", Label: labels["email"], Type: "email", Value: email, Autocomplete: "username", Required: true, MaxLength: 254},
		{ID: "password", Label: labels["password"], Type: "password", Autocomplete: "current-password", Required: true, MaxLength: 128},
	}
}

func signUpFields(name, email string) []field {
	return []field{
		{ID: "name", Label: labels["name"], Value: name, Autocomplete: "name", Required: true, MaxLength: 120},
		{ID: "email", Label: labels["email"], Type: "email", Value: email, Autocomplete: "username", Required: true, MaxLength: 254},
		{ID: "password", Label: labels["password"], Type: "password", Hint: "10 characters or more.", Autocomplete: "new-password", Required: true, MaxLength: 128},
	}
}

func (s *Service) drawCredentials(w http.ResponseWriter, r *http.Request, page string, fields []field, to string, problems []wrong) error {
	status := http.StatusOK
	if len(problems) > 0 {
		status = http.StatusUnprocessableEntity
	}
	c := s.chromeOf(r)
	c.NoIndex, c.Problems = true, problems
	return s.draw(w, r, status, page, credentials{c, withWrongs(fields, problems), localPath(to), s.deps.PasskeyDomain})
}

func (s *Service) signInForm(w http.ResponseWriter, r *http.Request) error {
	return s.drawCredentials(w, r, "signin", signInFields(""), r.URL.Query().Get("to"), nil)
}

func (s *Service) signUpForm(w http.ResponseWriter, r *http.Request) error {
	return s.drawCredentials(w, r, "signup", signUpFields("", ""), r.URL.Query().Get("to"), nil)
}

// credentialFields are those of the service's.
var credentialFields = map[string]string{"email": "email", "password": "password", "name": "name"}

func (s *Service) signIn(w http.ResponseWriter, r *http.Request) error {
	if answer := r.PostFormValue("answer"); answer != "" {
		return s.signInWithPasskey(w, r, answer)
	}
	email := r.PostFormValue("email")
	resp, err := s.deps.Accounts.SignIn(r.Context(), &accountv1.SignInRequest{Email: email, Password: r.PostFormValue("password")})
	if refusedForm(err) {
		return s.drawCredentials(w, r, "signin", signInFields(email), r.PostFormValue("to"), wrongs(err, credentialFields))
	}
	if err != nil {
		return err
	}
	s.welcome(w, r, resp.GetSession(), greeting(resp.GetMerged()))
	return nil
}

// greeting of who signs in: the name of a notice.
func greeting(merged []*accountv1.MergedLine) string {
	if len(merged) > 0 {
		return "merged"
	}
	return "welcome"
}

func (s *Service) signUp(w http.ResponseWriter, r *http.Request) error {
	name, email := r.PostFormValue("name"), r.PostFormValue("email")
	resp, err := s.deps.Accounts.SignUp(r.Context(), &accountv1.SignUpRequest{Name: name, Email: email, Password: r.PostFormValue("password")})
	if refusedForm(err) {
		return s.drawCredentials(w, r, "signup", signUpFields(name, email), r.PostFormValue("to"), wrongs(err, credentialFields))
	}
	if err != nil {
		return err
	}
	s.welcome(w, r, resp.GetSession(), "welcome")
	return nil
}

// welcome gives the browser its new session and leads on. How much is in the merged cart, the cart's page will know.
func (s *Service) welcome(w http.ResponseWriter, r *http.Request, own *accountv1.Session, notice string) {
	s.deps.Sessions.GiveSession(w, own.GetToken(), own.GetExpiresAt().AsTime())
	ctx := session.With(r.Context(), session.Principal{CustomerID: ident.CustomerID(own.GetCustomerId())})
	if cart, err := s.cartOf(ctx); err == nil {
		rememberCart(w, unitsOf(cart))
	}
	lead(w, r, localPath(r.PostFormValue("to")), notice)
}

func (s *Service) signOut(w http.ResponseWriter, r *http.Request) error {
	s.leave(w)
	lead(w, r, "/", "bye")
	return nil
}

func (s *Service) account(w http.ResponseWriter, r *http.Request) error {
	return s.drawAccount(w, r, http.StatusOK, addressFields(nil), nil)
}

func (s *Service) drawAccount(w http.ResponseWriter, r *http.Request, status int, fields []field, problems []wrong) error {
	if _, err := session.RequireAccount(r.Context()); err != nil {
		return err
	}
	profile, err := s.deps.Accounts.GetProfile(r.Context(), &accountv1.GetProfileRequest{})
	if err != nil {
		return err
	}
	addresses, err := s.deps.Accounts.ListAddresses(r.Context(), &accountv1.ListAddressesRequest{})
	if err != nil {
		return err
	}
	cards, err := s.deps.Accounts.ListPaymentMethods(r.Context(), &accountv1.ListPaymentMethodsRequest{})
	if err != nil {
		return err
	}
	passkeys, err := s.deps.Accounts.ListPasskeys(r.Context(), &accountv1.ListPasskeysRequest{})
	if err != nil {
		return err
	}
	c := s.chromeOf(r)
	c.NoIndex, c.Problems = true, problems
	return s.draw(w, r, status, "account", struct {
		Chrome    chrome
		Profile   *accountv1.GetProfileResponse
		Addresses []*accountv1.Address
		Cards     []*accountv1.PaymentMethod
		Fields    []field
		Countries []choice
		TestCards []choice
		Passkeys  []*accountv1.Passkey
		// PasskeyDomain is the passkeys'; empty where none can be added.
		PasskeyDomain string
	}{c, profile, addresses.GetAddresses(), cards.GetPaymentMethods(), withWrongs(fields, problems), countries(r.PostFormValue("country")), s.testCards(""), passkeys.GetPasskeys(), s.deps.PasskeyDomain})
}

func (s *Service) addAddress(w http.ResponseWriter, r *http.Request) error {
	a := addressOf(r)
	_, err := s.deps.Accounts.AddAddress(r.Context(), &accountv1.AddAddressRequest{Address: a})
	if refusedForm(err) {
		return s.drawAccount(w, r, http.StatusUnprocessableEntity, addressFields(a), wrongs(err, addressNames))
	}
	if err != nil {
		return err
	}
	lead(w, r, "/account", "saved")
	return nil
}

func (s *Service) deleteAddress(w http.ResponseWriter, r *http.Request) error {
	if _, err := s.deps.Accounts.DeleteAddress(r.Context(), &accountv1.DeleteAddressRequest{AddressId: r.PathValue("id")}); err != nil {
		return err
	}
	lead(w, r, "/account", "deleted")
	return nil
}

func (s *Service) addCard(w http.ResponseWriter, r *http.Request) error {
	label := strings.TrimSpace(r.PostFormValue("label"))
	if label == "" {
		label = "My card"
	}
	_, err := s.deps.Accounts.AddPaymentMethod(r.Context(), &accountv1.AddPaymentMethodRequest{CardToken: r.PostFormValue("card"), Label: label})
	if refusedForm(err) {
		return s.drawAccount(w, r, http.StatusUnprocessableEntity, addressFields(nil), wrongs(err, nil))
	}
	if err != nil {
		return err
	}
	lead(w, r, "/account", "saved")
	return nil
}

func (s *Service) deleteCard(w http.ResponseWriter, r *http.Request) error {
	if _, err := s.deps.Accounts.DeletePaymentMethod(r.Context(), &accountv1.DeletePaymentMethodRequest{PaymentMethodId: r.PathValue("id")}); err != nil {
		return err
	}
	lead(w, r, "/account", "deleted")
	return nil
}
