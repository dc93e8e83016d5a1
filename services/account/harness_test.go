package account

import (
	"bytes"
	"context"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/cellar-commerce/cellar/internal/clock"
	"github.com/cellar-commerce/cellar/internal/fence"
	"github.com/cellar-commerce/cellar/internal/fence/fencetest"
	accountv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/account/v1"
	cartv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/cart/v1"
	postalv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/postal/v1"
	problemv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/problem/v1"
	"github.com/cellar-commerce/cellar/internal/ident"
	"github.com/cellar-commerce/cellar/internal/passkey"
	"github.com/cellar-commerce/cellar/internal/problem"
	"github.com/cellar-commerce/cellar/internal/session"
	"github.com/cellar-commerce/cellar/internal/sqldb"
	"github.com/cellar-commerce/cellar/internal/sqldb/sqldbtest"
)

func TestMain(m *testing.M) {
	newHashMemory = 64 // KiB; TestANewPasswordCostsWhatItShould looks at the real one
	sqldbtest.Main(m)
}

var opened = time.Date(2031, time.May, 4, 12, 0, 0, 0, time.UTC)

const (
	secretWord = "correct horse battery"
	wrongWord  = "correct horse batterz"
	shopOrigin = "https://shop.test"
)

// world is the service of one cell on a clock that stands still, before carts that only take notes.
type world struct {
	*Service
	customers, global *sqldb.DB
	clock             *clock.Manual
	carts             *carts
	rest              *rest
	logged            *bytes.Buffer
	sessions          *session.Signer
}

func newWorld(t testing.TB, options ...sqldbtest.Option) world {
	t.Helper()
	customers := sqldbtest.New(t, sqldb.Customer, options...)
	return onDB(t, customers, sqldbtest.New(t, sqldb.Global), fencetest.Owner(customers, "us-east-1"))
}

func onDB(t testing.TB, customers, global *sqldb.DB, f fence.Fence) world {
	t.Helper()
	sessions, err := session.NewSigner(bytes.Repeat([]byte("s"), 32))
	must(t, err)
	party, err := passkey.New([]string{shopOrigin}, bytes.Repeat([]byte("p"), 32))
	must(t, err)
	w := world{customers: customers, global: global, clock: clock.NewManual(opened), carts: &carts{}, rest: &rest{}, logged: &bytes.Buffer{}, sessions: sessions}
	w.Service = New(Deps{
		Customers: customers, Global: global, Fence: f, Orders: w.rest, Reviews: w.rest, Notifications: w.rest, Links: NewLinker(bytes.Repeat([]byte("l"), 32)), Passkeys: party,
		Rings: func() ([]ident.Region, uint64) { return []ident.Region{"us-east-1"}, 1 }, Sessions: sessions, Carts: w.carts, Clock: w.clock,
		Log: slog.New(slog.NewJSONHandler(w.logged, &slog.HandlerOptions{Level: slog.LevelDebug})),
	})
	return w
}

// carts takes notes of merges, and answers as it is told.
type carts struct {
	mu     sync.Mutex
	asked  []string
	answer *cartv1.MergeGuestCartResponse
	err    error
}

func (c *carts) MergeGuestCart(_ context.Context, req *cartv1.MergeGuestCartRequest) (*cartv1.MergeGuestCartResponse, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.asked = append(c.asked, req.GetGuestId()+" into "+req.GetCustomerId())
	return c.answer, c.err
}

func as(id ident.CustomerID) context.Context {
	return session.With(context.Background(), session.Principal{CustomerID: id})
}

func (w world) join(ctx context.Context, email string) (ident.CustomerID, error) {
	resp, err := w.SignUp(ctx, &accountv1.SignUpRequest{Email: email, Password: secretWord, Name: "R. Reader"})
	return ident.CustomerID(resp.GetSession().GetCustomerId()), err
}

func (w world) enter(email, password string) (ident.CustomerID, error) {
	resp, err := w.SignIn(context.Background(), &accountv1.SignInRequest{Email: email, Password: password})
	return ident.CustomerID(resp.GetSession().GetCustomerId()), err
}

// member makes an account without a password: that takes its time, and nobody here signs in with it.
func (w world) member(t testing.TB) ident.CustomerID {
	t.Helper()
	id := ident.NewCustomer("use1")
	created, err := w.create(context.Background(), Account{CustomerID: id, Email: string(id) + "@example.com", Name: "R. Reader", CreatedAt: opened})
	must(t, err)
	if !created {
		t.Fatal("there is such an account already")
	}
	return id
}

func home() *postalv1.PostalAddress {
	return &postalv1.PostalAddress{
		Recipient: "R. Reader", Lines: []string{"1 Main St"}, Locality: "Boston", AdministrativeArea: "MA", PostalCode: "02108", RegionCode: "US",
	}
}

func (w world) saveAddress(id ident.CustomerID) (string, error) {
	resp, err := w.AddAddress(as(id), &accountv1.AddAddressRequest{Address: home()})
	return resp.GetAddress().GetAddressId(), err
}

func (w world) saveCard(id ident.CustomerID, token string) (string, error) {
	resp, err := w.AddPaymentMethod(as(id), &accountv1.AddPaymentMethodRequest{CardToken: token, Label: "Visa ending 4242"})
	return resp.GetPaymentMethod().GetPaymentMethodId(), err
}

func must(t testing.TB, errs ...error) {
	t.Helper()
	for _, err := range errs {
		if err != nil {
			t.Fatal(err)
		}
	}
}

func refused(t testing.TB, err error, kind problem.Kind, reason string) {
	t.Helper()
	if problem.KindOf(err) != kind || !problem.Is(err, reason) {
		t.Fatalf("got %v, want %s", err, reason)
	}
}

// refusesField expects INVALID_FIELDS that names just this field.
func refusesField(t *testing.T, err error, field string) {
	t.Helper()
	refused(t, err, problem.Invalid, "INVALID_FIELDS")
	detail, _ := problem.Detail[*problemv1.FieldViolations](err)
	if len(detail.GetViolations()) != 1 || detail.GetViolations()[0].GetField() != field {
		t.Errorf("got %v, want only %s", detail, field)
	}
}

// together runs n calls that start at once, and gives their errors.
func together(n int, call func(i int) error) []error {
	errs := make([]error, n)
	start := make(chan struct{})
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			<-start
			errs[i] = call(i)
		})
	}
	close(start)
	wg.Wait()
	return errs
}

const (
	me   = "use1-a"
	peer = "use1-b"
)

// chart says whose the customers are, by the map in memory: those it names are the peer's, all others are mine.
type chart map[ident.CustomerID]bool

// Owner implements fence.Owners.
func (c chart) Owner(id ident.CustomerID) (cell string, epoch uint64, ok bool) {
	if c[id] {
		return peer, 3, true
	}
	return me, 3, true
}

// fenced is a world behind a real fence, in whose rows every slot but those of the peer's customers is mine.
func fenced(t *testing.T, peers ...ident.CustomerID) world {
	t.Helper()
	customers := sqldbtest.New(t, sqldb.Customer)
	theirs, slots := chart{}, map[ident.Slot]string{}
	for _, id := range peers {
		theirs[id], slots[id.Slot()] = true, peer
	}
	var all []fence.Assignment
	for slot := range ident.Slot(ident.Slots) {
		owner := me
		if slots[slot] != "" {
			owner = peer
		}
		all = append(all, fence.Assignment{Slot: slot, Owner: owner, Epoch: 3})
	}
	must(t, fence.Assign(t.Context(), customers, "us-east-1", opened, all))
	f, err := fence.New(fence.Deps{DB: customers, Cell: me, Region: "us-east-1", Owners: theirs})
	must(t, err)
	return onDB(t, customers, sqldbtest.New(t, sqldb.Global), f)
}
