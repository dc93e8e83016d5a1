package account

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	accountv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/account/v1"
	"github.com/cellar-commerce/cellar/internal/ident"
	"github.com/cellar-commerce/cellar/internal/passkey"
	"github.com/cellar-commerce/cellar/internal/passkey/passkeytest"
	"github.com/cellar-commerce/cellar/internal/problem"
	"github.com/cellar-commerce/cellar/internal/session"
	"github.com/cellar-commerce/cellar/internal/sqldb"
	"github.com/cellar-commerce/cellar/internal/sqldb/sqldbtest"
)

// justIn is a customer who has signed in just now.
func (w world) justIn(id ident.CustomerID) context.Context {
	return session.With(context.Background(), session.Principal{CustomerID: id, SessionID: session.NewIDOf(0, w.clock.Now())})
}

// toAdd is what a customer's device makes a passkey with. A moment passes: no two challenges are asked at once.
func (w world) toAdd(id ident.CustomerID) (string, error) {
	w.clock.Advance(time.Second)
	resp, err := w.PreparePasskey(w.justIn(id), &accountv1.PreparePasskeyRequest{})
	return resp.GetOptions(), err
}

func (w world) add(id ident.CustomerID, answer string) (*accountv1.Passkey, error) {
	resp, err := w.AddPasskey(w.justIn(id), &accountv1.AddPasskeyRequest{Answer: answer, Name: "Telephone"})
	return resp.GetPasskey(), err
}

// device of a customer with a passkey.
func (w world) device(t testing.TB, id ident.CustomerID) *passkeytest.Authenticator {
	t.Helper()
	a := passkeytest.New(t, shopOrigin)
	options, err := w.toAdd(id)
	must(t, err)
	_, err = w.add(id, a.Make(t, options))
	must(t, err)
	return a
}

// answer of a device to a new challenge.
func (w world) answer(t testing.TB, a *passkeytest.Authenticator) string {
	t.Helper()
	w.clock.Advance(time.Second)
	resp, err := w.PreparePasskeySignIn(context.Background(), &accountv1.PreparePasskeySignInRequest{})
	must(t, err)
	return a.Use(t, resp.GetOptions())
}

func (w world) enterBy(answer string) (*accountv1.SignInWithPasskeyResponse, error) {
	return w.SignInWithPasskey(context.Background(), &accountv1.SignInWithPasskeyRequest{Answer: answer})
}

func TestAPasskeySignsInItsCustomerAndNobodySaysWho(t *testing.T) {
	w := newWorld(t)
	id, other := w.member(t), w.member(t)
	a := w.device(t, id)
	w.device(t, other)
	must(t, w.endSessions(t.Context(), id)) // the next generation
	guest := ident.NewGuest("use1")
	resp, err := w.SignInWithPasskey(as(guest), &accountv1.SignInWithPasskeyRequest{Answer: w.answer(t, a)})
	must(t, err)
	p, err := w.sessions.Verify(resp.GetSession().GetToken(), w.clock.Now())
	if err != nil || p.CustomerID != id || p.Generation() != 1 || !p.Begun().Equal(w.clock.Now()) {
		t.Errorf("the session is %+v, %v", p, err)
	}
	if asked := fmt.Sprint(w.carts.asked); asked != fmt.Sprintf("[%s into %s]", guest, id) {
		t.Errorf("merged: %s", asked)
	}
	list, err := w.ListPasskeys(as(id), &accountv1.ListPasskeysRequest{})
	must(t, err)
	if len(list.GetPasskeys()) != 1 || list.GetPasskeys()[0].GetName() != "Telephone" || !list.GetPasskeys()[0].GetUsedAt().AsTime().Equal(w.clock.Now()) {
		t.Errorf("listed: %v", list)
	}
}

func TestAnAnswerIsGoodOnceAndForFiveMinutes(t *testing.T) {
	w := newWorld(t)
	id := w.member(t)
	a := w.device(t, id)
	older, answer := w.answer(t, a), w.answer(t, a)
	entered := 0
	for i, err := range together(3, func(int) error { _, err := w.enterBy(answer); return err }) {
		if err == nil {
			entered++
		} else if !problem.Is(err, "CHALLENGE_NOT_GOOD") && !problem.Is(err, "PASSKEY_COPIED") {
			t.Errorf("%d of three at once: %v", i, err)
		}
	}
	if entered != 1 {
		t.Errorf("%d of three at once are signed in", entered)
	}
	_, err := w.enterBy(answer)
	if err == nil {
		t.Fatal("it is good twice")
	}
	if _, err := w.enterBy(older); err == nil {
		t.Error("one that was asked before the last is good still")
	}
	a.Count = -1 // one that does not count: its challenge is all there is
	must(t, w.customers.ExecText(t.Context(), "UPDATE passkeys SET uses = 0"))
	answer = w.answer(t, a)
	_, err = w.enterBy(answer)
	must(t, err)
	_, err = w.enterBy(answer)
	refused(t, err, problem.Precondition, "CHALLENGE_NOT_GOOD")
	late := w.answer(t, a)
	w.clock.Advance(passkey.Lifetime)
	_, err = w.enterBy(late)
	refused(t, err, problem.Precondition, "CHALLENGE_NOT_GOOD")
}

func TestAnAnswerThatMadeAPasskeyMakesNoOther(t *testing.T) {
	w := newWorld(t)
	id := w.member(t)
	a := passkeytest.New(t, shopOrigin)
	options, err := w.toAdd(id)
	must(t, err)
	answer := a.Make(t, options)
	added, err := w.add(id, answer)
	must(t, err)
	_, err = w.add(id, answer)
	refused(t, err, problem.Precondition, "CHALLENGE_NOT_GOOD")
	_, err = w.DeletePasskey(as(id), &accountv1.DeletePasskeyRequest{PasskeyId: added.GetPasskeyId()})
	must(t, err)
	_, err = w.add(id, answer)
	refused(t, err, problem.Precondition, "CHALLENGE_NOT_GOOD")
	if options, err = w.toAdd(id); err != nil {
		t.Fatal(err)
	}
	_, err = w.add(id, a.Make(t, options))
	must(t, err)
	again, err := w.toAdd(id)
	must(t, err)
	_, err = w.add(id, a.Make(t, again))
	refused(t, err, problem.AlreadyExists, "PASSKEY_KNOWN")
}

func TestWhoHasNotTheKeyIsRefusedAndLearnsNothing(t *testing.T) {
	w := newWorld(t)
	id := w.member(t)
	a := w.device(t, id)
	forged := passkeytest.New(t, shopOrigin)
	forged.ID, forged.User, forged.Count = a.ID, a.User, 100
	nobody := passkeytest.New(t, shopOrigin)
	nobody.User = []byte(ident.NewCustomer("use1"))
	guest := passkeytest.New(t, shopOrigin)
	guest.User = []byte(ident.NewGuest("use1"))
	for name, device := range map[string]*passkeytest.Authenticator{"a wrong key": forged, "nobody's": nobody, "a guest's": guest} {
		_, err := w.enterBy(w.answer(t, device))
		if problem.KindOf(err) != problem.Unauthenticated || problem.As(err).Error() != badPasskey().Error() {
			t.Errorf("%s: %v", name, err)
		}
	}
	a.Origin = "https://shop.test.evil.example"
	_, err := w.enterBy(w.answer(t, a))
	refused(t, err, problem.Precondition, "WRONG_ORIGIN")
	for _, text := range []string{"", "{}", strings.Repeat("x", 17<<10)} {
		_, err = w.enterBy(text)
		refused(t, err, problem.Invalid, "PASSKEY_REFUSED")
	}
}

func TestAPasskeyThatCountsNoFurtherIsTakenForACopy(t *testing.T) {
	w := newWorld(t)
	id := w.member(t)
	a := w.device(t, id)
	twin := *a
	for range 2 {
		_, err := w.enterBy(w.answer(t, a))
		must(t, err)
	}
	_, err := w.enterBy(w.answer(t, &twin)) // it says 1
	refused(t, err, problem.Unauthenticated, "PASSKEY_COPIED")
	_, err = w.enterBy(w.answer(t, a))
	must(t, err)
}

func TestFailedPasskeysHaveToPauseAsFailedPasswordsDo(t *testing.T) {
	w := newWorld(t)
	id := w.member(t)
	a := w.device(t, id)
	forged := passkeytest.New(t, shopOrigin)
	forged.ID, forged.User = a.ID, a.User
	for range maxFailures {
		_, err := w.enterBy(w.answer(t, forged))
		refused(t, err, problem.Unauthenticated, "BAD_PASSKEY")
	}
	_, err := w.enterBy(w.answer(t, a))
	refused(t, err, problem.Exhausted, "TOO_MANY_FAILURES")
	w.clock.Advance(failureWindow)
	_, err = w.enterBy(w.answer(t, a))
	must(t, err)
}

func TestAPasskeyIsAddedByWhoHasJustSignedIn(t *testing.T) {
	w := newWorld(t)
	id := w.member(t)
	a := passkeytest.New(t, shopOrigin)
	ctx := w.justIn(id)
	w.clock.Advance(recentFor)
	resp, err := w.PreparePasskey(ctx, &accountv1.PreparePasskeyRequest{})
	must(t, err)
	w.clock.Advance(time.Second)
	_, err = w.PreparePasskey(ctx, &accountv1.PreparePasskeyRequest{})
	refused(t, err, problem.Precondition, "SIGN_IN_AGAIN")
	_, err = w.AddPasskey(ctx, &accountv1.AddPasskeyRequest{Answer: a.Make(t, resp.GetOptions()), Name: "x"})
	refused(t, err, problem.Precondition, "SIGN_IN_AGAIN")
	_, err = w.PreparePasskey(as(id), &accountv1.PreparePasskeyRequest{}) // of a session that does not say
	refused(t, err, problem.Precondition, "SIGN_IN_AGAIN")
	for _, name := range []string{"", " ", strings.Repeat("x", 61), "a\nb"} {
		_, err = w.AddPasskey(w.justIn(id), &accountv1.AddPasskeyRequest{Answer: "{}", Name: name})
		refusesField(t, err, "name")
	}
	_, err = w.PreparePasskey(w.justIn(ident.NewGuest("use1")), &accountv1.PreparePasskeyRequest{})
	refused(t, err, problem.Denied, "ACCOUNT_REQUIRED")
}

func TestPasskeysAreNamedRemovedAndFew(t *testing.T) {
	w := newWorld(t)
	id := w.member(t)
	var devices []*passkeytest.Authenticator
	for range maxPasskeys {
		devices = append(devices, w.device(t, id))
	}
	_, err := w.toAdd(id)
	refused(t, err, problem.Precondition, "TOO_MANY_SAVED")
	list, err := w.ListPasskeys(as(id), &accountv1.ListPasskeysRequest{})
	must(t, err)
	first := list.GetPasskeys()[0].GetPasskeyId()
	_, err = w.RenamePasskey(as(id), &accountv1.RenamePasskeyRequest{PasskeyId: first, Name: "Old telephone"})
	must(t, err)
	list, err = w.ListPasskeys(as(id), &accountv1.ListPasskeysRequest{})
	if err != nil || list.GetPasskeys()[0].GetName() != "Old telephone" || list.GetPasskeys()[1].GetName() != "Telephone" {
		t.Errorf("%v, %v", list, err)
	}
	for _, who := range []ident.CustomerID{w.member(t), id} {
		for _, key := range []string{first, "nothing", "a\x00b"} {
			if who == id && key == first {
				continue
			}
			_, err = w.RenamePasskey(as(who), &accountv1.RenamePasskeyRequest{PasskeyId: key, Name: "x"})
			refused(t, err, problem.NotFound, "UNKNOWN_PASSKEY")
			_, err = w.DeletePasskey(as(who), &accountv1.DeletePasskeyRequest{PasskeyId: key})
			refused(t, err, problem.NotFound, "UNKNOWN_PASSKEY")
		}
	}
	_, err = w.DeletePasskey(as(id), &accountv1.DeletePasskeyRequest{PasskeyId: first})
	must(t, err)
	_, err = w.enterBy(w.answer(t, devices[0]))
	refused(t, err, problem.Unauthenticated, "BAD_PASSKEY")
	_, err = w.enterBy(w.answer(t, devices[1]))
	must(t, err)
}

func TestAnErasedAccountHasNoPasskeys(t *testing.T) {
	w := newWorld(t)
	id, err := w.join(t.Context(), "reader@example.com")
	must(t, err)
	a := w.device(t, id)
	pending, err := w.toAdd(id)
	must(t, err)
	_, err = w.EraseAccount(as(id), &accountv1.EraseAccountRequest{Password: secretWord})
	must(t, err)
	_, err = w.enterBy(w.answer(t, a))
	refused(t, err, problem.Unauthenticated, "BAD_PASSKEY")
	_, err = w.add(id, passkeytest.New(t, shopOrigin).Make(t, pending))
	refused(t, err, problem.Unauthenticated, "UNKNOWN_ACCOUNT")
	if left, err := w.keptOf(t.Context(), id); err != nil || len(left) != 0 {
		t.Errorf("%d are left, %v", len(left), err)
	}
}

func TestAPasskeyOfAnotherCellsCustomerIsTakenThere(t *testing.T) {
	theirs := ident.NewCustomer("use1")
	w := fenced(t, theirs)
	a := passkeytest.New(t, shopOrigin)
	a.User = []byte(theirs)
	_, err := w.enterBy(w.answer(t, a))
	if !problem.Is(err, "WRONG_CELL") {
		t.Errorf("%v", err)
	}
}

func TestASignInThatIsNotWrittenIsNone(t *testing.T) {
	var broken atomic.Bool
	w := newWorld(t, sqldbtest.WithFaults(func(p sqldb.Point) error {
		if broken.Load() && p == sqldb.BeforeCommit {
			return errors.New("played by a test")
		}
		return nil
	}))
	a := w.device(t, w.member(t))
	answer := w.answer(t, a)
	broken.Store(true)
	if _, err := w.enterBy(answer); problem.KindOf(err) != problem.Internal && problem.As(err) != nil {
		t.Errorf("%v", err)
	}
	broken.Store(false)
	_, err := w.enterBy(answer) // nobody has counted it
	must(t, err)
	if text := w.logged.String(); strings.Contains(text, string(a.User)) || strings.Contains(text, base64.RawURLEncoding.EncodeToString(a.ID)) {
		t.Errorf("logged: %s", text)
	}
}

func TestWithoutAnOriginThereAreNoPasskeys(t *testing.T) {
	w := newWorld(t)
	id := w.member(t)
	w.deps.Passkeys = nil
	_, err := w.PreparePasskeySignIn(t.Context(), &accountv1.PreparePasskeySignInRequest{})
	refused(t, err, problem.Precondition, "PASSKEYS_OFF")
	_, err = w.enterBy("{}")
	refused(t, err, problem.Precondition, "PASSKEYS_OFF")
	_, err = w.toAdd(id)
	refused(t, err, problem.Precondition, "PASSKEYS_OFF")
}

func TestACustomerIsToldOfEachPasskeyThatIsAddedOrRemoved(t *testing.T) {
	w := newWorld(t)
	id, other := w.member(t), w.member(t)
	told := func() string {
		return strings.Join(sqldbtest.Texts(t, w.customers, "SELECT kind FROM notifications WHERE customer_id = $1 AND kind LIKE '%PASSKEY%' ORDER BY kind", string(id)), " ")
	}
	a := passkeytest.New(t, shopOrigin)
	options, err := w.toAdd(id)
	must(t, err)
	added, err := w.add(id, a.Make(t, options))
	must(t, err)
	if got := told(); got != "KIND_PASSKEY_ADDED" {
		t.Errorf("added, they are told %s", got)
	}
	_, err = w.RenamePasskey(as(id), &accountv1.RenamePasskeyRequest{PasskeyId: added.GetPasskeyId(), Name: "Laptop"})
	must(t, err)
	_, err = w.add(id, a.Make(t, options)) // a challenge that is answered already
	refused(t, err, problem.Precondition, "CHALLENGE_NOT_GOOD")
	_, err = w.DeletePasskey(as(other), &accountv1.DeletePasskeyRequest{PasskeyId: added.GetPasskeyId()})
	refused(t, err, problem.NotFound, "UNKNOWN_PASSKEY")
	if got := told(); got != "KIND_PASSKEY_ADDED" {
		t.Errorf("of what has changed nothing of the kind they are told %s", got)
	}
	for range 2 {
		_, err = w.DeletePasskey(as(id), &accountv1.DeletePasskeyRequest{PasskeyId: added.GetPasskeyId()})
	}
	refused(t, err, problem.NotFound, "UNKNOWN_PASSKEY")
	if got := told(); got != "KIND_PASSKEY_ADDED KIND_PASSKEY_REMOVED" {
		t.Errorf("removed, they are told %s", got)
	}
	options, err = w.toAdd(id)
	must(t, err)
	_, err = w.add(id, a.Make(t, options))
	must(t, err)
	if got := told(); got != "KIND_PASSKEY_ADDED KIND_PASSKEY_ADDED KIND_PASSKEY_REMOVED" {
		t.Errorf("added again, they are told %s", got)
	}
}
