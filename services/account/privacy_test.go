package account

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	accountv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/account/v1"
	"github.com/cellar-commerce/cellar/internal/gen/cellar/account/v1/accountv1connect"
	postalv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/postal/v1"
	"github.com/cellar-commerce/cellar/internal/ident"
	"github.com/cellar-commerce/cellar/internal/rpc"
	"github.com/cellar-commerce/cellar/internal/session"
	"github.com/cellar-commerce/cellar/internal/sqldb"
	"github.com/cellar-commerce/cellar/internal/sqldb/sqldbtest"
)

// What a shopper tells in this flow, and nobody may read in a log. In lower case, as it is looked for.
var personal = []string{"wilhelmina", "zaubertrank", "sesamöffne", "falsches", "quittengasse", "hinterhaus", "oberammergau", "82487", "555-0199", "tok_kirsche", "sparkarte", "$argon2id"}

func everythingOf(email, password string) (*accountv1.SignUpRequest, *accountv1.SignInRequest, *accountv1.AddAddressRequest, *accountv1.AddPaymentMethodRequest) {
	return &accountv1.SignUpRequest{Email: email, Password: password, Name: "Wilhelmina Zaubertrank"},
		&accountv1.SignInRequest{Email: email, Password: password},
		&accountv1.AddAddressRequest{Address: &postalv1.PostalAddress{
			Recipient: "Wilhelmina Zaubertrank", Lines: []string{"Quittengasse 7", "Hinterhaus"}, Locality: "Oberammergau", PostalCode: "82487", RegionCode: "DE", Phone: "555-0199",
		}},
		&accountv1.AddPaymentMethodRequest{CardToken: "tok_kirsche", Label: "Sparkarte"}
}

type deaf struct{}

func (deaf) CallEnded(string, string, time.Duration) {}

// caller speaks to the service over a socket through the handler of a cell, which logs what goes wrong.
func (w world) caller(t *testing.T) (accountv1connect.AccountServiceClient, *atomic.Value) {
	t.Helper()
	log := slog.New(slog.NewJSONHandler(w.logged, &slog.HandlerOptions{Level: slog.LevelDebug}))
	path, handler := accountv1connect.NewAccountServiceHandler(w.Service, rpc.HandlerOptions(log, deaf{})...)
	var who atomic.Value
	who.Store(ident.NewGuest("use1"))
	mux := http.NewServeMux()
	mux.HandleFunc(path, func(out http.ResponseWriter, r *http.Request) {
		id, _ := who.Load().(ident.CustomerID)
		handler.ServeHTTP(out, r.WithContext(session.With(r.Context(), session.Principal{CustomerID: id})))
	})
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	return accountv1connect.NewAccountServiceClient(server.Client(), server.URL), &who
}

// flow calls everything, well or not; it gives how many calls failed, and the customer when there is one.
func flow(ctx context.Context, c accountv1connect.AccountServiceClient, who *atomic.Value, email, password string) (failed int) {
	up, in, address, card := everythingOf(email, password)
	note := func(err error) {
		if err != nil {
			failed++
		}
	}
	made, err := c.SignUp(ctx, up)
	note(err)
	_, err = c.SignIn(ctx, in)
	note(err)
	_, err = c.SignIn(ctx, &accountv1.SignInRequest{Email: email, Password: "falsches " + password})
	note(err)
	if id := made.GetSession().GetCustomerId(); id != "" {
		who.Store(ident.CustomerID(id))
	}
	_, err = c.AddAddress(ctx, address)
	note(err)
	_, err = c.ListAddresses(ctx, &accountv1.ListAddressesRequest{})
	note(err)
	_, err = c.AddPaymentMethod(ctx, card)
	note(err)
	_, err = c.ListPaymentMethods(ctx, &accountv1.ListPaymentMethodsRequest{})
	note(err)
	_, err = c.GetProfile(ctx, &accountv1.GetProfileRequest{})
	note(err)
	return failed
}

func TestNothingPersonalReachesTheLogHoweverCallsFail(t *testing.T) {
	var point atomic.Int64
	point.Store(-1)
	w := newWorld(t, sqldbtest.WithFaults(func(p sqldb.Point) error {
		if int64(p) == point.Load() {
			return errors.New("played by a test")
		}
		return nil
	}))
	w.carts.err = errors.New("carts are away")
	client, who := w.caller(t)
	sql := func(text string) func() {
		return func() { must(t, w.customers.ExecText(context.Background(), text)) }
	}
	for _, trouble := range []struct {
		name, email string
		begin       func()
		failed      int // of the flow's eight calls
		end         func()
	}{
		{"none", "wilhelmina@zaubertrank.example", func() {}, 1, func() {}}, // the wrong password
		{"rows are damaged", "wilhelmina@zaubertrank.example", sql(`
UPDATE accounts SET password_hash = '$argon2id$wilhelmina'; UPDATE addresses SET address = 'Wilhelmina'`), 4, func() {}},
		{"nothing begins", "wilhelmina.2@zaubertrank.example", func() { point.Store(int64(sqldb.BeforeWork)) }, 8, func() {}},
		{"nothing is committed", "wilhelmina.3@zaubertrank.example", func() { point.Store(int64(sqldb.BeforeCommit)) }, 8, func() {}},
		{"no answer comes", "wilhelmina.4@zaubertrank.example", func() { point.Store(int64(sqldb.AfterCommit)) }, 7, func() { point.Store(-1) }},
		// The server tells the whole row in the detail of such an error.
		{"every row is refused", "wilhelmina.5@zaubertrank.example", sql(`
ALTER TABLE accounts ADD CONSTRAINT never CHECK (false) NOT VALID; ALTER TABLE addresses ADD CONSTRAINT never CHECK (false) NOT VALID;
ALTER TABLE payment_methods ADD CONSTRAINT never CHECK (false) NOT VALID`), 8, sql(`
ALTER TABLE accounts DROP CONSTRAINT never; ALTER TABLE addresses DROP CONSTRAINT never; ALTER TABLE payment_methods DROP CONSTRAINT never`)},
		{"tables are gone", "wilhelmina.6@zaubertrank.example", sql("DROP TABLE addresses, payment_methods, accounts"), 8, func() {}},
	} {
		trouble.begin()
		if failed := flow(t.Context(), client, who, trouble.email, "sesamöffne dich"); failed != trouble.failed {
			t.Errorf("%s: %d calls failed, want %d", trouble.name, failed, trouble.failed)
		}
		trouble.end()
		if trouble.name == "rows are damaged" { // the one customer there is stays signed in until then
			who.Store(ident.NewGuest("use1"))
		}
	}
	for _, expected := range []string{"a guest's cart was not merged", "a call failed", "the stored hash is malformed", "violates check constraint", "does not exist"} {
		if !strings.Contains(w.logged.String(), expected) {
			t.Errorf("the flow does not log that %q", expected)
		}
	}
	checkPrivate(t, w.logged)
}

func checkPrivate(t *testing.T, logged *bytes.Buffer) {
	t.Helper()
	text := strings.ToLower(logged.String())
	for _, secret := range personal {
		if at := strings.Index(text, secret); at >= 0 {
			t.Errorf("%q is in the log: %s", secret, text[max(0, at-200):min(len(text), at+200)])
		}
	}
}
