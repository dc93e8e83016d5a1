package payment

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cellar-commerce/cellar/internal/cardnetwork"
	"github.com/cellar-commerce/cellar/internal/clock"
	"github.com/cellar-commerce/cellar/internal/fence/fencetest"
	moneyv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/money/v1"
	paymentv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/payment/v1"
	"github.com/cellar-commerce/cellar/internal/ident"
	"github.com/cellar-commerce/cellar/internal/problem"
	"github.com/cellar-commerce/cellar/internal/sandbox"
	"github.com/cellar-commerce/cellar/internal/sqldb"
	"github.com/cellar-commerce/cellar/internal/sqldb/sqldbtest"
)

func TestMain(m *testing.M) { sqldbtest.Main(m) }

var opened = time.Date(2031, time.May, 4, 12, 0, 0, 0, time.UTC)

// world is the service before the real card network, behind a real socket.
type world struct {
	*Service
	db      *sqldb.DB
	clock   *clock.Manual
	network *cardnetwork.Client
	link    *link
	// bank is the network itself, and hook where it may post its events.
	bank *sandbox.CardNetwork
	hook string
	url  string
}

const eventKey = "a key of card events for tests only"

// link is the way to the network. It can be cut, and answers can be held back.
type link struct {
	next http.Handler

	mu     sync.Mutex
	broken bool
	// onCharge runs once, before the next charge is passed on.
	onCharge func()
	// onAnswer runs once, when the next charge has had its effect and before its answer is passed back.
	onAnswer func()
	// fails plays a request that is lost, before its effect or after it.
	fails func(after bool) bool
}

func (l *link) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	l.mu.Lock()
	broken, hook, answered, fails := l.broken, l.onCharge, l.onAnswer, l.fails
	if r.Method == http.MethodPost {
		l.onCharge, l.onAnswer = nil, nil
	}
	l.mu.Unlock()
	lost := func(after bool) bool { return r.Method == http.MethodPost && fails != nil && fails(after) }
	broken = broken || lost(false)
	if broken {
		w.WriteHeader(http.StatusBadGateway)
		return
	}
	if hook != nil && r.Method == http.MethodPost {
		hook()
	}
	answer := httptest.NewRecorder()
	l.next.ServeHTTP(answer, r)
	if answered != nil && r.Method == http.MethodPost {
		answered()
	}
	if lost(true) {
		w.WriteHeader(http.StatusBadGateway)
		return
	}
	w.WriteHeader(answer.Code)
	_, _ = answer.Body.WriteTo(w)
}

func (l *link) beforeAnswer(hook func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.onAnswer = hook
}

func (l *link) loses(fails func(after bool) bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.fails = fails
}

func (l *link) set(broken bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.broken = broken
}

func (l *link) beforeCharge(hook func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.onCharge = hook
}

// patience of the client: long enough for every answer that comes, short enough to wait for one that never does.
const patience = 2 * time.Second

func newWorld(t *testing.T, options ...sqldbtest.Option) world {
	t.Helper()
	manual := clock.NewManual(opened)
	network, err := sandbox.NewCardNetwork(sandbox.Deps{Ledger: sandbox.NewMemoryLedger(), Clock: manual, Logger: slog.New(slog.DiscardHandler), WebhookKey: eventKey})
	if err != nil {
		t.Fatal(err)
	}
	way := &link{next: network}
	server := httptest.NewServer(way)
	t.Cleanup(server.Close)
	t.Cleanup(network.Drain) // runs first: Close waits for requests
	client, err := cardnetwork.New(cardnetwork.Config{BaseURL: server.URL, Timeout: patience})
	if err != nil {
		t.Fatal(err)
	}
	db := sqldbtest.New(t, sqldb.Customer, options...)
	events, err := cardnetwork.NewWebhook(eventKey)
	if err != nil {
		t.Fatal(err)
	}
	service := New(Deps{Events: events, DB: db, Fence: fencetest.Owner(db, "us-east-1"), Provider: client, GiftCardKey: []byte("a key of gift cards for tests only"), Clock: manual})
	hook := httptest.NewServer(service.Webhook())
	t.Cleanup(hook.Close)
	return world{Service: service, db: db, clock: manual, network: client, link: way, bank: network, hook: hook.URL, url: server.URL}
}

// purchase is one order to be paid.
type purchase struct {
	customer ident.CustomerID
	order    ident.OrderID
}

func newPurchase() purchase {
	return purchase{customer: ident.NewCustomer("use1"), order: ident.NewOrder("use1")}
}

func (p purchase) bill(token string) *paymentv1.CaptureRequest {
	return &paymentv1.CaptureRequest{
		CustomerId: string(p.customer), OrderId: string(p.order), CardToken: token,
		Amount: &moneyv1.Money{CurrencyCode: "USD", MinorUnits: 1999},
	}
}

func (w world) pay(p purchase, token string) error {
	_, err := w.Capture(context.Background(), p.bill(token))
	return err
}

func (w world) undo(p purchase) (paymentv1.State, error) {
	resp, err := w.Refund(context.Background(), &paymentv1.RefundRequest{CustomerId: string(p.customer), OrderId: string(p.order)})
	return resp.GetPayment().GetState(), err
}

// entries of the network's ledger for an order, by kind.
func (w world) entries(t *testing.T, p purchase) map[cardnetwork.Kind]int {
	t.Helper()
	page, err := w.network.Ledger(t.Context(), 0, 10_000)
	if err != nil {
		t.Fatal(err)
	}
	count := map[cardnetwork.Kind]int{}
	charges := map[string]bool{}
	for _, e := range page.Entries {
		if e.Reference == string(p.order) {
			charges[e.ChargeID] = true
		}
		if charges[e.ChargeID] {
			count[e.Kind]++
		}
	}
	return count
}

// expect the state of a payment and the number of captures and refunds at the network.
func (w world) expect(t *testing.T, p purchase, state paymentv1.State, captures, refunds int) {
	t.Helper()
	resp, err := w.GetPayment(t.Context(), &paymentv1.GetPaymentRequest{CustomerId: string(p.customer), OrderId: string(p.order)})
	if err != nil {
		t.Fatal(err)
	}
	if got := resp.GetPayment().GetState(); got != state {
		t.Errorf("the payment is %v, want %v", got, state)
	}
	got := w.entries(t, p)
	if got[cardnetwork.KindCapture] != captures || got[cardnetwork.KindRefund] != refunds {
		t.Errorf("the network's ledger has %v, want %d captures and %d refunds", got, captures, refunds)
	}
}

func refused(t *testing.T, err error, kind problem.Kind, reason string) {
	t.Helper()
	if problem.KindOf(err) != kind || !problem.Is(err, reason) {
		t.Fatalf("got %v, want %s", err, reason)
	}
}

// postEvent signs a body as of a time, with a key, and gives the answer's status.
func (w world) postEvent(t *testing.T, body, key string, at time.Time) int {
	t.Helper()
	stamp := strconv.FormatInt(at.Unix(), 10)
	mac := hmac.New(sha256.New, []byte(key))
	mac.Write([]byte(stamp + "." + body))
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, w.hook, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set(cardnetwork.SignatureHeader, "t="+stamp+",v1="+hex.EncodeToString(mac.Sum(nil)))
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	_ = response.Body.Close()
	return response.StatusCode
}
