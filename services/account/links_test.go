package account

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	accountv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/account/v1"
	"github.com/cellar-commerce/cellar/internal/ident"
	"github.com/cellar-commerce/cellar/internal/problem"
	"github.com/cellar-commerce/cellar/internal/session"
	"github.com/cellar-commerce/cellar/internal/sqldb"
	"github.com/cellar-commerce/cellar/internal/sqldb/sqldbtest"
)

const newWord = "another correct horse"

// linkOf a customer, as the letter has it that is waiting to be sent.
func (w world) linkOf(t testing.TB, id ident.CustomerID, purpose string) string {
	t.Helper()
	ids := sqldbtest.Texts(t, w.customers, "SELECT token_id FROM account_tokens WHERE customer_id = $1 AND purpose = $2", string(id), purpose)
	if len(ids) != 1 {
		t.Fatalf("there are %d links to %s", len(ids), purpose)
	}
	return w.deps.Links.Sent(id, ids[0], linked[purpose].kind)
}

func (w world) askReset(email string) error {
	_, err := w.RequestReset(context.Background(), &accountv1.RequestResetRequest{Email: email})
	return err
}

func (w world) reset(token, password string) error {
	_, err := w.ResetPassword(context.Background(), &accountv1.ResetPasswordRequest{Token: token, Password: password})
	return err
}

func (w world) verify(token string) error {
	_, err := w.VerifyEmail(context.Background(), &accountv1.VerifyEmailRequest{Token: token})
	return err
}

// sessionOf a sign-in.
func (w world) sessionOf(t testing.TB, email, password string) session.Principal {
	t.Helper()
	resp, err := w.SignIn(context.Background(), &accountv1.SignInRequest{Email: email, Password: password})
	must(t, err)
	p, err := w.sessions.Verify(resp.GetSession().GetToken(), w.clock.Now())
	must(t, err)
	return p
}

func TestANewPasswordIsSetOnceByALinkAndEndsEverySession(t *testing.T) {
	w := newWorld(t)
	id, err := w.join(t.Context(), "ada@example.com")
	must(t, err)
	before := w.sessionOf(t, "ada@example.com", secretWord)
	must(t, w.Valid(t.Context(), before))
	must(t, w.askReset(" Ada@example.com"))
	token := w.linkOf(t, id, purposeReset)
	must(t, w.reset(token, newWord))
	refused(t, w.Valid(t.Context(), before), problem.Unauthenticated, "SESSION_ENDED")
	_, err = w.enter("ada@example.com", secretWord)
	refused(t, err, problem.Unauthenticated, "BAD_CREDENTIALS")
	must(t, w.Valid(t.Context(), w.sessionOf(t, "ada@example.com", newWord)))
	refused(t, w.reset(token, secretWord), problem.Precondition, "LINK_NOT_GOOD")
	if kinds := strings.Join(sqldbtest.Texts(t, w.customers, "SELECT kind FROM notifications ORDER BY kind"), " "); kinds != "KIND_EMAIL_VERIFICATION KIND_PASSWORD_CHANGED KIND_PASSWORD_RESET" {
		t.Errorf("told: %s", kinds)
	}
}

func TestALinkThatIsNotGoodDoesNothing(t *testing.T) {
	w := newWorld(t)
	id, err := w.join(t.Context(), "ada@example.com")
	must(t, err)
	must(t, w.askReset("ada@example.com"))
	first := w.linkOf(t, id, purposeReset)
	must(t, w.askReset("ada@example.com")) // the earlier one works no more
	good := w.linkOf(t, id, purposeReset)
	parts := strings.Split(good, ".")
	for name, token := range map[string]string{
		"replaced": first, "empty": "", "a word": "x", "no secret": parts[0] + "." + parts[1] + ".", "another secret": parts[0] + "." + parts[1] + "." + strings.Repeat("A", 43),
		"another customer": string(ident.NewCustomer("use1")) + "." + parts[1] + "." + parts[2], "a guest": string(ident.NewGuest("use1")) + "." + parts[1] + "." + parts[2],
		"for another purpose": w.linkOf(t, id, purposeVerify), "with a zero": parts[0] + ".\x00." + parts[2], "long": good + strings.Repeat("A", 300),
	} {
		if err := w.reset(token, newWord); !problem.Is(err, "LINK_NOT_GOOD") {
			t.Errorf("%s: %v", name, err)
		}
	}
	refused(t, w.verify(good), problem.Precondition, "LINK_NOT_GOOD")
	w.clock.Advance(resetFor)
	refused(t, w.reset(good, newWord), problem.Precondition, "LINK_NOT_GOOD")
	_, err = w.enter("ada@example.com", secretWord)
	must(t, err)
	if n, err := w.Sweep(t.Context()); n != 1 || err != nil {
		t.Errorf("%d old links forgotten, %v", n, err)
	}
}

func TestWhetherAnAddressIsKnownShowsNowhere(t *testing.T) {
	w := newWorld(t)
	_, err := w.join(t.Context(), "ada@example.com")
	must(t, err)
	count := func() string {
		return strings.Join(sqldbtest.Texts(t, w.customers, "SELECT (SELECT count(*) FROM account_tokens) || ' ' || (SELECT count(*) FROM notifications)"), "")
	}
	was := count()
	must(t, w.askReset("ada@example.com"))
	known := count()
	must(t, w.askReset("bob@example.com"))
	if unknown := count(); was != "1 1" || known != "2 2" || unknown != "3 3" {
		t.Errorf("rows of links and letters: %s, then %s for a known address, %s for an unknown one", was, known, unknown)
	}
	for range maxMails - 1 {
		must(t, w.askReset("ada@example.com"), w.askReset("bob@example.com"))
	}
	for _, email := range []string{"ada@example.com", "bob@example.com"} {
		refused(t, w.askReset(email), problem.Exhausted, "TOO_MANY_MAILS")
	}
	w.clock.Advance(mailWindow)
	must(t, w.askReset("ada@example.com"), w.askReset("bob@example.com"))
}

func TestAnAddressIsVerifiedOnce(t *testing.T) {
	w := newWorld(t)
	id, err := w.join(t.Context(), "ada@example.com")
	must(t, err)
	ask := func() error {
		_, err := w.RequestVerification(as(id), &accountv1.RequestVerificationRequest{})
		return err
	}
	must(t, ask())
	token := w.linkOf(t, id, purposeVerify)
	must(t, w.verify(token))
	refused(t, w.verify(token), problem.Precondition, "LINK_NOT_GOOD")
	profile, err := w.GetProfile(as(id), &accountv1.GetProfileRequest{})
	must(t, err)
	must(t, ask()) // and nothing is sent any more
	if n := len(sqldbtest.Texts(t, w.customers, "SELECT kind FROM notifications")); !profile.GetEmailVerified() || n != 2 {
		t.Errorf("verified: %v, %d letters", profile.GetEmailVerified(), n)
	}
}

func TestAChangedPasswordEndsTheOtherSessions(t *testing.T) {
	w := newWorld(t)
	id, err := w.join(t.Context(), "ada@example.com")
	must(t, err)
	other := w.sessionOf(t, "ada@example.com", secretWord)
	_, err = w.ChangePassword(as(id), &accountv1.ChangePasswordRequest{OldPassword: wrongWord, NewPassword: newWord})
	refused(t, err, problem.Unauthenticated, "BAD_CREDENTIALS")
	_, err = w.ChangePassword(as(id), &accountv1.ChangePasswordRequest{OldPassword: secretWord, NewPassword: "short"})
	refusesField(t, err, "new_password")
	resp, err := w.ChangePassword(as(id), &accountv1.ChangePasswordRequest{OldPassword: secretWord, NewPassword: newWord})
	must(t, err)
	own, err := w.sessions.Verify(resp.GetSession().GetToken(), w.clock.Now())
	must(t, err, w.Valid(t.Context(), own))
	refused(t, w.Valid(t.Context(), other), problem.Unauthenticated, "SESSION_ENDED")
	_, err = w.SignOutEverywhere(as(id), &accountv1.SignOutEverywhereRequest{})
	must(t, err)
	refused(t, w.Valid(t.Context(), own), problem.Unauthenticated, "SESSION_ENDED")
	must(t, w.Valid(t.Context(), session.Principal{CustomerID: ident.NewGuest("use1")}))
}

func TestASessionEndsInAnotherCellToo(t *testing.T) {
	w := newWorld(t)
	id, err := w.join(t.Context(), "ada@example.com")
	must(t, err)
	p := w.sessionOf(t, "ada@example.com", secretWord)
	other := onDB(t, w.customers, w.global, w.deps.Fence)
	must(t, other.Valid(t.Context(), p))
	_, err = w.SignOutEverywhere(as(id), &accountv1.SignOutEverywhereRequest{})
	must(t, err)
	other.clock.Advance(knownFor)
	refused(t, other.Valid(t.Context(), p), problem.Unauthenticated, "SESSION_ENDED")
}

func TestManyResetsByOneLinkSetOnePassword(t *testing.T) {
	w := newWorld(t)
	id, err := w.join(t.Context(), "ada@example.com")
	must(t, err)
	must(t, w.askReset("ada@example.com"))
	token, done := w.linkOf(t, id, purposeReset), 0
	for _, err := range together(4, func(int) error { return w.reset(token, newWord) }) {
		if err == nil {
			done++
			continue
		}
		refused(t, err, problem.Precondition, "LINK_NOT_GOOD")
	}
	if done != 1 {
		t.Errorf("%d set the password", done)
	}
}

func TestAnErasureIsFinishedHoweverOftenTheProcessDies(t *testing.T) {
	w := newWorld(t)
	id, err := w.join(t.Context(), "ada@example.com")
	must(t, err)
	_, err = w.saveAddress(id)
	must(t, err)
	_, err = w.saveCard(id, "tok_visa")
	must(t, err)
	before := w.sessionOf(t, "ada@example.com", secretWord)
	erase := func(password string) error {
		_, err := w.EraseAccount(as(id), &accountv1.EraseAccountRequest{Password: password})
		return err
	}
	refused(t, erase(wrongWord), problem.Unauthenticated, "BAD_CREDENTIALS")
	w.rest.dies = 1
	must(t, erase(secretWord)) // it is erased, and what is left is done later
	refused(t, w.Valid(t.Context(), before), problem.Unauthenticated, "SESSION_ENDED")
	_, err = w.enter("ada@example.com", secretWord)
	refused(t, err, problem.Unauthenticated, "BAD_CREDENTIALS")
	refused(t, erase(secretWord), problem.Unauthenticated, "UNKNOWN_ACCOUNT")
	_, err = w.saveAddress(id)
	refused(t, err, problem.Unauthenticated, "UNKNOWN_ACCOUNT")
	for dies := 2; dies <= 3; dies++ {
		w.clock.Advance(retryAfter)
		w.rest.dies = dies
		if _, err := w.Sweep(t.Context()); err == nil {
			t.Fatal("it was to die")
		}
	}
	w.rest.dies, w.rest.open = 0, 1
	w.clock.Advance(retryAfter)
	_, err = w.Sweep(t.Context())
	must(t, err)
	again, err := w.join(t.Context(), "ada@example.com") // the address is free before the last order is delivered
	must(t, err)
	w.rest.open = 0
	w.clock.Advance(stillUnderWay)
	_, err = w.Sweep(t.Context())
	must(t, err)
	w.clock.Advance(48 * time.Hour)
	w.rest.erased = nil
	_, err = w.Sweep(t.Context())
	must(t, err)
	if again == id || len(w.rest.erased) != 0 {
		t.Errorf("as %s again; afterwards erased once more: %v", again, w.rest.erased)
	}
	row := strings.Join(sqldbtest.Texts(t, w.customers, "SELECT a::text FROM accounts AS a WHERE customer_id = $1", string(id)), "")
	for _, personal := range []string{"ada", "R. Reader", "argon2id"} {
		if strings.Contains(row, personal) {
			t.Errorf("%q is still in %s", personal, row)
		}
	}
	if left := sqldbtest.Texts(t, w.customers, "SELECT customer_id FROM addresses UNION ALL SELECT customer_id FROM payment_methods"); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
	if told := sqldbtest.Texts(t, w.customers, "SELECT cause FROM notifications WHERE kind = 'KIND_ACCOUNT_ERASED'"); len(told) != 1 {
		t.Errorf("told %v", told)
	}
}

func TestAnErasureWhoseEveryTransactionMayFailIsFinished(t *testing.T) {
	died := errors.New("the process died")
	var at atomic.Int64
	w := newWorld(t, sqldbtest.WithFaults(func(p sqldb.Point) error {
		if p == sqldb.BeforeCommit && at.Add(-1) == 0 {
			return died
		}
		return nil
	}))
	for n := int64(1); n <= 5; n++ {
		at.Store(0)
		email := strings.Repeat("a", int(n)) + "@example.com"
		id, err := w.join(t.Context(), email)
		must(t, err)
		at.Store(n)
		_, err = w.EraseAccount(as(id), &accountv1.EraseAccountRequest{Password: secretWord})
		if n == 1 {
			if !errors.Is(err, died) {
				t.Fatalf("got %v", err)
			}
			at.Store(0)
			_, err = w.EraseAccount(as(id), &accountv1.EraseAccountRequest{Password: secretWord})
		}
		must(t, err)
		at.Store(0)
		w.clock.Advance(retryAfter)
		_, err = w.Sweep(t.Context())
		must(t, err)
	}
	if left := sqldbtest.Texts(t, w.customers, "SELECT customer_id FROM accounts WHERE email <> '' OR erasure_due_at IS NOT NULL"); len(left) > 0 {
		t.Errorf("not finished: %v", left)
	}
	if left := sqldbtest.Texts(t, w.global, "SELECT email FROM email_directory"); len(left) > 0 {
		t.Errorf("still claimed: %v", left)
	}
}

func TestAnExportHasEverything(t *testing.T) {
	w := newWorld(t)
	id, err := w.join(t.Context(), "ada@example.com")
	must(t, err)
	_, err = w.saveAddress(id)
	must(t, err)
	_, err = w.saveCard(id, "tok_visa")
	must(t, err)
	w.device(t, id)
	all, err := w.ExportData(as(id), &accountv1.ExportDataRequest{})
	must(t, err)
	if all.GetProfile().GetEmail() != "ada@example.com" || len(all.GetAddresses()) != 1 || len(all.GetPaymentMethods()) != 1 || len(all.GetOrders()) != 2 ||
		len(all.GetReviews().GetContributions()) != 1 || all.GetNotifications().GetPhone() == "" || len(all.GetCart()) != 1 || len(all.GetPasskeys()) != 1 {
		t.Errorf("got %v", all)
	}
	if strings.Contains(all.String(), "tok_visa") {
		t.Error("the export has a card's token")
	}
	_, err = w.ExportData(as(ident.NewGuest("use1")), &accountv1.ExportDataRequest{})
	refused(t, err, problem.Denied, "ACCOUNT_REQUIRED")
}
