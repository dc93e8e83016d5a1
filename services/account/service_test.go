package account

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cellar-commerce/cellar/internal/fence"
	"github.com/cellar-commerce/cellar/internal/fence/fencetest"
	accountv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/account/v1"
	cartv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/cart/v1"
	problemv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/problem/v1"
	"github.com/cellar-commerce/cellar/internal/ident"
	"github.com/cellar-commerce/cellar/internal/problem"
	"github.com/cellar-commerce/cellar/internal/sqldb"
	"github.com/cellar-commerce/cellar/internal/sqldb/sqldbtest"
)

func TestWhoSignsUpIsKnownFromThenOn(t *testing.T) {
	w := newWorld(t)
	resp, err := w.SignUp(t.Context(), &accountv1.SignUpRequest{Email: " Ada@Example.COM ", Password: secretWord, Name: "Ada Löve"})
	must(t, err)
	proved, err := w.sessions.Verify(resp.GetSession().GetToken(), w.clock.Now())
	must(t, err)
	id := proved.CustomerID
	if string(id) != resp.GetSession().GetCustomerId() || id.Guest() || id.Region() != "us-east-1" {
		t.Errorf("the session is %s's, the answer says %s", id, resp.GetSession().GetCustomerId())
	}
	profile, err := w.GetProfile(as(id), &accountv1.GetProfileRequest{})
	must(t, err)
	if profile.GetEmail() != "ada@example.com" || profile.GetName() != "Ada Löve" || profile.GetRing() != "us-east-1" ||
		profile.GetCustomerId() != string(id) || !profile.GetCreatedAt().AsTime().Equal(opened) {
		t.Errorf("profile: %v", profile)
	}
	for _, spelling := range []string{"ada@example.com", "ADA@EXAMPLE.COM", "\tada@Example.com "} {
		if got, err := w.enter(spelling, secretWord); err != nil || got != id {
			t.Errorf("%q: %s, %v", spelling, got, err)
		}
	}
	hash := strings.Join(sqldbtest.Texts(t, w.customers, "SELECT password_hash FROM accounts"), "")
	if !strings.HasPrefix(hash, fmt.Sprintf("$argon2id$v=19$m=%d,t=2,p=1$", newHashMemory)) {
		t.Errorf("kept as %s", hash)
	}
}

func TestAnAddressThatHasAnAccountIsTakenHoweverItIsSpelled(t *testing.T) {
	w := newWorld(t)
	id, err := w.join(t.Context(), "ada@example.com")
	must(t, err)
	for _, spelling := range []string{"ada@example.com", "Ada@Example.com", " ADA@EXAMPLE.COM"} {
		_, err := w.SignUp(t.Context(), &accountv1.SignUpRequest{Email: spelling, Password: "another password", Name: "Mallory"})
		refused(t, err, problem.AlreadyExists, "EMAIL_TAKEN")
	}
	if got, err := w.enter("ada@example.com", secretWord); err != nil || got != id {
		t.Errorf("the first password: %s, %v", got, err)
	}
	_, err = w.enter("ada@example.com", "another password")
	refused(t, err, problem.Unauthenticated, "BAD_CREDENTIALS")
}

func TestOfManySignUpsAtOnceWithOneAddressOneWins(t *testing.T) {
	const tries = 6
	w := newWorld(t)
	var winner atomic.Int64
	won := 0
	for _, err := range together(tries, func(i int) error {
		_, err := w.SignUp(context.Background(), &accountv1.SignUpRequest{
			Email: strings.Repeat("A", i%2) + strings.Repeat("a", 1-i%2) + "da@example.com", Password: fmt.Sprint(secretWord, i), Name: "Ada",
		})
		if err == nil {
			winner.Store(int64(i))
		}
		return err
	}) {
		if err == nil {
			won++
			continue
		}
		refused(t, err, problem.AlreadyExists, "EMAIL_TAKEN")
	}
	if accounts := sqldbtest.Texts(t, w.customers, "SELECT email FROM accounts"); won != 1 || len(accounts) != 1 {
		t.Fatalf("%d won, and there are %d accounts", won, len(accounts))
	}
	if _, err := w.enter("ada@example.com", fmt.Sprint(secretWord, winner.Load())); err != nil {
		t.Errorf("the winner cannot sign in: %v", err)
	}
}

func TestAClaimThatADeadCellLeftIsAdopted(t *testing.T) {
	died := errors.New("the cell died")
	var dead atomic.Bool
	customers := sqldbtest.New(t, sqldb.Customer, sqldbtest.WithFaults(func(p sqldb.Point) error {
		if p == sqldb.BeforeCommit && dead.Load() {
			return died
		}
		return nil
	}))
	global := sqldbtest.New(t, sqldb.Global)
	first, second := onDB(t, customers, global, fencetest.Owner(customers, "us-east-1")), onDB(t, customers, global, fencetest.Owner(customers, "us-east-1"))
	dead.Store(true)
	if _, err := first.join(t.Context(), "ada@example.com"); !errors.Is(err, died) {
		t.Fatalf("got %v", err)
	}
	claims := sqldbtest.Texts(t, global, "SELECT customer_id FROM email_directory WHERE email = 'ada@example.com'")
	dead.Store(false)
	_, err := second.enter("ada@example.com", secretWord) // nobody is there yet
	refused(t, err, problem.Unauthenticated, "BAD_CREDENTIALS")
	id, err := second.join(t.Context(), "Ada@example.com")
	must(t, err)
	if !slices.Equal(claims, []string{string(id)}) {
		t.Errorf("claimed for %v, adopted as %s", claims, id)
	}
	_, err = first.join(t.Context(), "ada@example.com")
	refused(t, err, problem.AlreadyExists, "EMAIL_TAKEN")
}

func TestASignUpWhoseAnswerWasLostIsDone(t *testing.T) {
	var lose atomic.Bool
	w := newWorld(t, sqldbtest.WithFaults(func(p sqldb.Point) error {
		if p == sqldb.AfterCommit && lose.CompareAndSwap(true, false) {
			return sqldb.ErrAmbiguous
		}
		return nil
	}))
	lose.Store(true)
	if _, err := w.join(t.Context(), "ada@example.com"); !errors.Is(err, sqldb.ErrAmbiguous) {
		t.Fatalf("got %v", err)
	}
	_, err := w.join(t.Context(), "ada@example.com")
	refused(t, err, problem.AlreadyExists, "EMAIL_TAKEN")
	_, err = w.enter("ada@example.com", secretWord)
	must(t, err)
}

func TestACustomerOfAnotherCellIsSentThere(t *testing.T) {
	there := ident.NewCustomer("use1")
	w := fenced(t, there)
	if _, err := w.claim(t.Context(), "bob@example.com", there); err != nil {
		t.Fatal(err)
	}
	_, up := w.join(t.Context(), "bob@example.com") // the claim may be a dead cell's: its slot's owner has to look
	_, in := w.enter("bob@example.com", secretWord)
	elsewhere := onDB(t, w.customers, w.global, fencetest.Owner(w.customers, "us-east-1"))
	if _, err := elsewhere.create(t.Context(), Account{CustomerID: there, Email: "bob@example.com", Name: "Bob", CreatedAt: opened}); err != nil {
		t.Fatal(err)
	}
	_, upAgain := w.join(t.Context(), "bob@example.com") // whether there is an account is the other cell's to say
	_, address := w.ResolveAddress(t.Context(), &accountv1.ResolveAddressRequest{CustomerId: string(there), AddressId: "x"})
	_, card := w.ResolvePaymentMethod(t.Context(), &accountv1.ResolvePaymentMethodRequest{CustomerId: string(there), PaymentMethodId: "x"})
	_, saveAddress := w.saveAddress(there)
	_, saveCard := w.saveCard(there, "tok_visa")
	_, dropAddress := w.DeleteAddress(as(there), &accountv1.DeleteAddressRequest{AddressId: "x"})
	_, dropCard := w.DeletePaymentMethod(as(there), &accountv1.DeletePaymentMethodRequest{PaymentMethodId: "x"})
	for _, err := range []error{up, upAgain, in, address, card, saveAddress, saveCard, dropAddress, dropCard} {
		refused(t, err, problem.Unavailable, fence.ReasonWrongCell)
		if d, _ := problem.Detail[*problemv1.WrongCell](err); d.GetOwner() != peer || d.GetSlot() != uint32(there.Slot()) {
			t.Errorf("sent to %v", d)
		}
	}
	if rows := sqldbtest.Texts(t, w.customers, "SELECT name FROM accounts"); !slices.Equal(rows, []string{"Bob"}) {
		t.Errorf("there are accounts of %v", rows)
	}
	if id, err := w.join(t.Context(), "ada@example.com"); err != nil || id.Slot() == there.Slot() {
		t.Errorf("a new customer: %s, %v", id, err)
	}
}

func TestAGuestsCartIsMergedAtSignUpAndAtSignIn(t *testing.T) {
	w, guest := newWorld(t), ident.NewGuest("use1")
	w.carts.answer = &cartv1.MergeGuestCartResponse{Merged: []*cartv1.MergeGuestCartResponse_Merged{{Sku: "ale", GuestQuantity: 2, Quantity: 5}}}
	id, err := w.join(as(guest), "ada@example.com")
	must(t, err)
	resp, err := w.SignIn(as(guest), &accountv1.SignInRequest{Email: "ada@example.com", Password: secretWord})
	must(t, err)
	want := string(guest) + " into " + string(id)
	if !slices.Equal(w.carts.asked, []string{want, want}) {
		t.Errorf("merged %v, want %s twice", w.carts.asked, want)
	}
	if m := resp.GetMerged(); len(m) != 1 || m[0].GetSku() != "ale" || m[0].GetGuestQuantity() != 2 || m[0].GetQuantity() != 5 {
		t.Errorf("the answer has %v", m)
	}
	w.carts.asked = nil
	_, wrong := w.SignIn(as(guest), &accountv1.SignInRequest{Email: "ada@example.com", Password: wrongWord})
	refused(t, wrong, problem.Unauthenticated, "BAD_CREDENTIALS")
	_, taken := w.join(as(guest), "ada@example.com")
	refused(t, taken, problem.AlreadyExists, "EMAIL_TAKEN")
	for _, ctx := range []context.Context{t.Context(), as(ident.NewCustomer("use1"))} { // nobody, and no guest
		_, err := w.SignIn(ctx, &accountv1.SignInRequest{Email: "ada@example.com", Password: secretWord})
		must(t, err)
	}
	if len(w.carts.asked) != 0 {
		t.Errorf("merged %v, want nothing", w.carts.asked)
	}
}

func TestASignInDoesNotFailForACartThatCannotBeMerged(t *testing.T) {
	w, guest := newWorld(t), ident.NewGuest("use1")
	w.carts.err = errors.New("carts are away")
	id, err := w.join(as(guest), "ada@example.com")
	must(t, err)
	resp, err := w.SignIn(as(guest), &accountv1.SignInRequest{Email: "ada@example.com", Password: secretWord})
	must(t, err)
	if resp.GetSession().GetCustomerId() != string(id) || len(resp.GetMerged()) != 0 {
		t.Errorf("got %v", resp)
	}
	if n := strings.Count(w.logged.String(), "carts are away"); n != 2 {
		t.Errorf("logged %d times: %s", n, w.logged)
	}
}

func TestAnAddressThatFailsTooOftenPausesUntilItsWindowIsOver(t *testing.T) {
	w := newWorld(t)
	id, err := w.join(t.Context(), "ada@example.com")
	must(t, err)
	fail := func(times int) {
		t.Helper()
		for range times {
			_, err := w.enter("Ada@example.com", wrongWord)
			refused(t, err, problem.Unauthenticated, "BAD_CREDENTIALS")
		}
	}
	fail(9)
	_, err = w.enter("ada@example.com", secretWord) // the last try: and the count begins again
	must(t, err)
	fail(1)
	w.clock.Advance(failureWindow - time.Microsecond)
	fail(9)
	for _, word := range []string{wrongWord, secretWord} {
		_, err := w.enter("ada@EXAMPLE.com", word)
		refused(t, err, problem.Exhausted, "TOO_MANY_FAILURES")
	}
	w.clock.Advance(time.Microsecond) // the window counts from its first failure, and the refused tries add nothing
	if got, err := w.enter("ada@example.com", secretWord); err != nil || got != id {
		t.Errorf("after the window: %s, %v", got, err)
	}
}

func TestAnUnknownAddressPausesLikeAKnownOne(t *testing.T) {
	w := newWorld(t)
	for range maxFailures {
		_, err := w.enter("nobody@example.com", secretWord)
		refused(t, err, problem.Unauthenticated, "BAD_CREDENTIALS")
	}
	_, err := w.enter("nobody@example.com", secretWord)
	refused(t, err, problem.Exhausted, "TOO_MANY_FAILURES")
	_, err = w.enter("somebody@example.com", secretWord) // another address is not held back
	refused(t, err, problem.Unauthenticated, "BAD_CREDENTIALS")
}
