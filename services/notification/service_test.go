package notification_test

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cellar-commerce/cellar/internal/clock"
	"github.com/cellar-commerce/cellar/internal/fence/fencetest"
	accountv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/account/v1"
	moneyv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/money/v1"
	notificationv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/notification/v1"
	"github.com/cellar-commerce/cellar/internal/ident"
	"github.com/cellar-commerce/cellar/internal/mail"
	"github.com/cellar-commerce/cellar/internal/notice"
	"github.com/cellar-commerce/cellar/internal/problem"
	"github.com/cellar-commerce/cellar/internal/sandbox"
	"github.com/cellar-commerce/cellar/internal/session"
	"github.com/cellar-commerce/cellar/internal/sqldb"
	"github.com/cellar-commerce/cellar/internal/sqldb/sqldbtest"
	"github.com/cellar-commerce/cellar/services/notification"
)

func TestMain(m *testing.M) { sqldbtest.Main(m) }

const (
	here       = ident.Region("us-east-1")
	webhookKey = "0123456789abcdef"
)

var opened = time.Date(2031, time.May, 4, 12, 0, 0, 0, time.UTC)

// world is the service before a real SMTP server and HTTP providers, and customers who all have one name.
type world struct {
	*notification.Service
	db     *sqldb.DB
	clock  *clock.Manual
	post   *sandbox.Post
	posted *posted
}

// posted webhooks, with their signatures.
type posted struct {
	mu     sync.Mutex
	bodies []string
	keys   []string
	wrong  int
}

func (p *posted) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	b, _ := io.ReadAll(r.Body)
	at, sum, _ := strings.Cut(strings.TrimPrefix(r.Header.Get(notification.SignatureHeader), "t="), ",v1=")
	mac := hmac.New(sha256.New, []byte(webhookKey))
	mac.Write([]byte(at + "." + string(b)))
	p.mu.Lock()
	defer p.mu.Unlock()
	if sum != hex.EncodeToString(mac.Sum(nil)) {
		p.wrong++
	}
	p.bodies, p.keys = append(p.bodies, string(b)), append(p.keys, r.Header.Get("Idempotency-Key"))
	w.WriteHeader(http.StatusNoContent)
}

// ResolveContact implements notification.Accounts.
func (world) ResolveContact(_ context.Context, req *accountv1.ResolveContactRequest) (*accountv1.ResolveContactResponse, error) {
	if strings.HasSuffix(req.GetCustomerId(), "0") {
		return &accountv1.ResolveContactResponse{}, nil
	}
	return &accountv1.ResolveContactResponse{Email: "ada@example.com", Name: `Ada <b>"L."</b>`}, nil
}

func newWorld(t *testing.T) world {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	w := world{db: sqldbtest.New(t, sqldb.Customer), clock: clock.NewManual(opened), post: sandbox.NewPost(clock.NewManual(opened)), posted: &posted{}}
	go func() { _ = w.post.ServeSMTP(listener) }()
	providers := http.NewServeMux()
	providers.Handle("/sms/", w.post)
	providers.Handle("/hook", w.posted)
	server := httptest.NewServer(providers)
	t.Cleanup(func() {
		server.Close()
		must(t, w.post.Close())
	})
	mailer, err := mail.New(mail.Config{Address: listener.Addr().String(), From: "Cellar <no-reply@cellar.example>"})
	must(t, err)
	w.Service = notification.New(notification.Deps{
		DB: w.db, Fence: fencetest.Owner(w.db, here), Clock: w.clock, Log: slog.New(slog.DiscardHandler), Accounts: w, Mailer: mailer, SMSURL: server.URL,
		WebhookURL: server.URL + "/hook", WebhookKey: webhookKey, ShopURL: "https://shop.example",
		Link: func(c ident.CustomerID, id string, kind notificationv1.Kind) string {
			return string(c) + "." + id + "." + map[notificationv1.Kind]string{notificationv1.Kind_KIND_EMAIL_VERIFICATION: "verify", notificationv1.Kind_KIND_PASSWORD_RESET: "reset"}[kind]
		},
		Rings: func() ([]ident.Region, uint64) { return []ident.Region{here}, 1 },
	})
	return w
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func as(id ident.CustomerID) context.Context {
	return session.With(context.Background(), session.Principal{CustomerID: id})
}

// tell a customer and sweep.
func (w world) tell(t *testing.T, who ident.CustomerID, cause string, n *notificationv1.Notice) {
	t.Helper()
	must(t, w.db.InTx(context.Background(), func(tx sqldb.Tx) error {
		return notice.Write(context.Background(), tx, here, w.clock.Now(), notice.Notice{Customer: who, Cause: cause, Detail: n})
	}))
	_, err := w.Sweep(t.Context())
	must(t, err)
}

// somebody whom ResolveContact knows.
func somebody() ident.CustomerID {
	for {
		if id := ident.NewCustomer("use1"); !strings.HasSuffix(string(id), "0") {
			return id
		}
	}
}

// channels by which something arrived, in their order.
func (w world) channels() string {
	var all []string
	for _, l := range w.post.Letters() {
		all = append(all, l.Channel)
	}
	for range w.posted.bodies {
		all = append(all, "webhook")
	}
	return strings.Join(all, " ")
}

func TestEachKindReadsAsItShouldAndEscapesWhatOthersWrote(t *testing.T) {
	w, who := newWorld(t), somebody()
	for kind, want := range map[notificationv1.Kind]string{
		notificationv1.Kind_KIND_ORDER_PLACED: "https://shop.example/orders/use1-1", notificationv1.Kind_KIND_ORDER_SHIPPED: "Post & <i>Co</i> brings it under the number T1",
		notificationv1.Kind_KIND_ORDER_DELIVERED: "has been delivered", notificationv1.Kind_KIND_DELIVERY_EXCEPTION: "seen last in <u>Boston</u>",
		notificationv1.Kind_KIND_ORDER_REFUNDED: "12.05 USD", notificationv1.Kind_KIND_EMAIL_VERIFICATION: "https://shop.example/verify?t=" + string(who) + ".k.verify",
		notificationv1.Kind_KIND_PASSWORD_RESET: "https://shop.example/reset/new?t=" + string(who) + ".k.reset", notificationv1.Kind_KIND_PASSWORD_CHANGED: "https://shop.example/reset",
		notificationv1.Kind_KIND_ACCOUNT_ERASED: "last message",
		notificationv1.Kind_KIND_PASSKEY_ADDED:  "A passkey was added to your account", notificationv1.Kind_KIND_PASSKEY_REMOVED: "A passkey was removed from your account",
	} {
		before := len(w.post.Letters())
		w.tell(t, who, kind.String(), &notificationv1.Notice{
			Kind: kind, OrderId: "use1-1", Carrier: "Post & <i>Co</i>", TrackingNumber: "T1", Place: "<u>Boston</u>", TokenId: "k", Amount: &moneyv1.Money{MinorUnits: 1205, CurrencyCode: "USD"},
		})
		got := w.post.Letters()[before:]
		if len(got) != 1 || got[0].To != "ada@example.com" || !strings.Contains(got[0].Text, want) || !strings.Contains(got[0].Text, `Hello Ada <b>"L."</b>`) {
			t.Errorf("%s: %+v", kind, got)
			continue
		}
		for _, tag := range []string{"<b>", "<i>", "<u>"} {
			if strings.Contains(got[0].HTML, tag) {
				t.Errorf("%s: %s is in the page: %s", kind, tag, got[0].HTML)
			}
		}
	}
}

func TestWhatIsToldOfEachKindIsSaidByItAndNothingOfOneThatIsNotKnown(t *testing.T) {
	w, who := newWorld(t), somebody()
	subjects := map[string]notificationv1.Kind{}
	for number := range notificationv1.Kind_name {
		kind := notificationv1.Kind(number)
		if kind == notificationv1.Kind_KIND_UNSPECIFIED {
			continue
		}
		w.tell(t, who, kind.String(), &notificationv1.Notice{Kind: kind, OrderId: "use1-1", TokenId: "k", Amount: &moneyv1.Money{MinorUnits: 1205, CurrencyCode: "USD"}})
		all := w.post.Letters()
		if len(all) != len(subjects)+1 {
			t.Fatalf("%s is not told", kind)
		}
		if twin, taken := subjects[all[len(all)-1].Subject]; taken {
			t.Errorf("%s and %s read alike: %s", kind, twin, all[len(all)-1].Subject)
		}
		subjects[all[len(all)-1].Subject] = kind
	}
	for _, kind := range []notificationv1.Kind{notificationv1.Kind_KIND_UNSPECIFIED, 4711} {
		w.tell(t, who, kind.String(), &notificationv1.Notice{Kind: kind})
	}
	if all := w.post.Letters(); len(all) != len(subjects) {
		t.Errorf("of what nobody knows it says %q", all[len(all)-1].Text)
	}
	if waiting := sqldbtest.Texts(t, w.db, "SELECT state || ' ' || attempts FROM notifications WHERE state = 'WAITING'"); len(waiting) != 2 || waiting[0] != "WAITING 1" {
		t.Errorf("it is not tried again: %v", waiting)
	}
}

func TestSettingsAreHonouredAndWhatIsAlwaysToldIs(t *testing.T) {
	w, who := newWorld(t), somebody()
	set := func(phone string, choices ...*notificationv1.Choice) error {
		_, err := w.SetSettings(as(who), &notificationv1.SetSettingsRequest{Settings: &notificationv1.Settings{Phone: phone, Choices: choices}})
		return err
	}
	choice := func(k notificationv1.Kind, c notificationv1.Channel, wanted bool) *notificationv1.Choice {
		return &notificationv1.Choice{Kind: k, Channel: c, Wanted: wanted}
	}
	const (
		shipped, placed, changed = notificationv1.Kind_KIND_ORDER_SHIPPED, notificationv1.Kind_KIND_ORDER_PLACED, notificationv1.Kind_KIND_PASSWORD_CHANGED
		mailed, texted, hooked   = notificationv1.Channel_CHANNEL_EMAIL, notificationv1.Channel_CHANNEL_SMS, notificationv1.Channel_CHANNEL_WEBHOOK
	)
	must(t, set("+15550100", choice(shipped, mailed, false), choice(shipped, texted, true), choice(shipped, hooked, true), choice(changed, texted, true)))
	w.tell(t, who, "a", &notificationv1.Notice{Kind: shipped, OrderId: "use1-1"})
	if got := w.channels(); got != "sms webhook" {
		t.Errorf("shipped: %s", got)
	}
	w.tell(t, who, "b", &notificationv1.Notice{Kind: changed})
	if got := w.channels(); got != "sms email webhook" {
		t.Errorf("with the change of a password: %s", got)
	}
	for _, c := range []*notificationv1.Choice{choice(placed, mailed, false), choice(changed, mailed, false)} {
		if err := set("", c); !problem.Is(err, "ALWAYS_TOLD") {
			t.Errorf("%v: %v", c, err)
		}
	}
	for _, phone := range []string{"5550100", "+0123456789", "+1555010012345678", "+1 555 0100", "+15550100\n"} {
		if err := set(phone); problem.KindOf(err) != problem.Invalid {
			t.Errorf("%q: %v", phone, err)
		}
	}
	if w.posted.wrong > 0 || len(w.posted.keys[0]) != 32 || !strings.Contains(w.posted.bodies[0], `"kind":"order_shipped"`) {
		t.Errorf("the webhook: %d wrong signatures, %v, %v", w.posted.wrong, w.posted.keys, w.posted.bodies)
	}
	_, err := w.EraseSettings(t.Context(), &notificationv1.EraseSettingsRequest{CustomerId: string(who)})
	must(t, err)
	w.tell(t, who, "c", &notificationv1.Notice{Kind: shipped, OrderId: "use1-2"})
	if got := w.channels(); got != "sms email email webhook" {
		t.Errorf("without settings: %s", got)
	}
}

func TestAnSMSWhoseAnswerIsLostIsSentOnceAndAnEMailTwiceAtMost(t *testing.T) {
	w, who := newWorld(t), somebody()
	_, err := w.SetSettings(as(who), &notificationv1.SetSettingsRequest{Settings: &notificationv1.Settings{Phone: "+15550100", Choices: []*notificationv1.Choice{
		{Kind: notificationv1.Kind_KIND_ORDER_SHIPPED, Channel: notificationv1.Channel_CHANNEL_SMS, Wanted: true},
	}}})
	must(t, err)
	w.post.Fault("lose", "lose", "lose", "lose", "lose", "lose", "lose", "lose")
	w.tell(t, who, "a", &notificationv1.Notice{Kind: notificationv1.Kind_KIND_ORDER_SHIPPED, OrderId: "use1-1"})
	for range 12 {
		w.clock.Advance(2 * time.Hour)
		_, err := w.Sweep(t.Context())
		must(t, err)
	}
	ids, counts := map[string]bool{}, map[string]int{}
	for _, l := range w.post.Letters() {
		counts[l.Channel]++
		if l.Channel == "email" {
			ids[l.MessageID] = true
		}
	}
	if counts["email"] != 2 || counts["sms"] != 1 || len(ids) != 1 {
		t.Errorf("arrived: %v, under %d message ids", counts, len(ids))
	}
}

func TestNobodyIsWrittenToWhereThereIsNoAccount(t *testing.T) {
	w, nobody := newWorld(t), ident.NewCustomer("use1")
	for !strings.HasSuffix(string(nobody), "0") {
		nobody = ident.NewCustomer("use1")
	}
	w.tell(t, nobody, "a", &notificationv1.Notice{Kind: notificationv1.Kind_KIND_PASSWORD_RESET, TokenId: "k"})
	if got := w.post.Letters(); len(got) != 0 {
		t.Errorf("got %v", got)
	}
	w.tell(t, nobody, "b", &notificationv1.Notice{Kind: notificationv1.Kind_KIND_ACCOUNT_ERASED, To: "eve@example.com"})
	if got := w.post.Letters(); len(got) != 1 || got[0].To != "eve@example.com" {
		t.Errorf("got %v", got)
	}
}

func TestAGuestHasNoSettings(t *testing.T) {
	w := newWorld(t)
	_, err := w.GetSettings(as(ident.NewGuest("use1")), &notificationv1.GetSettingsRequest{})
	_, err2 := w.SetSettings(as(ident.NewGuest("use1")), &notificationv1.SetSettingsRequest{})
	for _, err := range []error{err, err2} {
		if !problem.Is(err, "ACCOUNT_REQUIRED") {
			t.Errorf("got %v", errors.Join(err))
		}
	}
}
