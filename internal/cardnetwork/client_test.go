package cardnetwork_test

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cellar-commerce/cellar/internal/cardnetwork"
	"github.com/cellar-commerce/cellar/internal/clock"
	"github.com/cellar-commerce/cellar/internal/sandbox"
)

// network is the real card network behind a real socket.
type network struct {
	*sandbox.CardNetwork
	url   string
	clock *clock.Manual
}

func start(t *testing.T, ledger *sandbox.Ledger) network {
	t.Helper()
	manual := clock.NewManual(time.Date(2031, 1, 1, 0, 0, 0, 0, time.UTC))
	handler, err := sandbox.NewCardNetwork(sandbox.Deps{Ledger: ledger, Clock: manual, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	t.Cleanup(handler.Drain) // runs first: Close waits for requests
	return network{handler, server.URL, manual}
}

func newClient(t *testing.T, url string, timeout time.Duration) *cardnetwork.Client {
	t.Helper()
	client, err := cardnetwork.New(cardnetwork.Config{BaseURL: url, Timeout: timeout})
	if err != nil {
		t.Fatal(err)
	}
	return client
}

func sale(key, token string) cardnetwork.ChargeRequest {
	return cardnetwork.ChargeRequest{Key: key, Amount: 1999, Currency: "USD", Token: token, Reference: "order-1", Capture: true}
}

func mustCharge(t *testing.T, client *cardnetwork.Client, q cardnetwork.ChargeRequest) cardnetwork.Charge {
	t.Helper()
	made, err := client.Charge(t.Context(), q)
	if err != nil {
		t.Fatal(err)
	}
	return made
}

// entriesOf counts ledger entries by kind.
func entriesOf(t *testing.T, client *cardnetwork.Client) map[cardnetwork.Kind]int {
	t.Helper()
	page, err := client.Ledger(t.Context(), 0, 10_000)
	if err != nil {
		t.Fatal(err)
	}
	count := map[cardnetwork.Kind]int{}
	for _, e := range page.Entries {
		count[e.Kind]++
	}
	return count
}

func TestMoneyGoesAndComesBack(t *testing.T) {
	client := newClient(t, start(t, sandbox.NewMemoryLedger()).url, 0)
	taken := mustCharge(t, client, sale("k1", "tok_visa"))
	if taken.Status != cardnetwork.Captured || taken.Captured != 1999 || taken.Reference != "order-1" {
		t.Fatalf("got %+v", taken)
	}
	back, err := client.Refund(t.Context(), cardnetwork.RefundRequest{Key: "k2", ChargeID: taken.ID, Amount: 1999})
	if err != nil || back.Status != cardnetwork.Refunded || back.Refunded != 1999 {
		t.Fatalf("got %+v, %v", back, err)
	}
	hold := sale("k3", "tok_visa")
	hold.Capture = false
	held := mustCharge(t, client, hold)
	if part, err := client.Capture(t.Context(), cardnetwork.CaptureRequest{Key: "k4", ChargeID: held.ID, Amount: 999}); err != nil || part.Captured != 999 {
		t.Fatalf("got %+v, %v", part, err)
	}
	hold.Key = "k5"
	held = mustCharge(t, client, hold)
	if gone, err := client.Void(t.Context(), cardnetwork.VoidRequest{Key: "k6", ChargeID: held.ID}); err != nil || gone.Status != cardnetwork.Voided {
		t.Fatalf("got %+v, %v", gone, err)
	}
	page, err := client.Ledger(t.Context(), 4, 1)
	if err != nil || len(page.Entries) != 1 || page.Next != 5 || page.Entries[0].IdempotencyKey != "k5" || page.Entries[0].At.IsZero() {
		t.Fatalf("got %+v, %v", page, err)
	}
}

func TestADeclineIsAnAnswer(t *testing.T) {
	client := newClient(t, start(t, sandbox.NewMemoryLedger()).url, 0)
	for range 2 {
		got := mustCharge(t, client, sale("k", "tok_insufficient_funds"))
		if got.Status != cardnetwork.Declined || got.DeclineCode != "insufficient_funds" || got.Captured != 0 {
			t.Fatalf("got %+v", got)
		}
	}
	if count := entriesOf(t, client); count[cardnetwork.KindDecline] != 1 || len(count) != 1 {
		t.Fatalf("ledger: %v", count)
	}
}

func TestARefusedRequestIsKnownToHaveDoneNothing(t *testing.T) {
	client := newClient(t, start(t, sandbox.NewMemoryLedger()).url, 0)
	taken := mustCharge(t, client, sale("k", "tok_visa"))
	other := sale("k", "tok_visa")
	other.Amount++
	_, reused := client.Charge(t.Context(), other)
	_, unknown := client.Charge(t.Context(), sale("k2", "tok_nobody"))
	_, tooMuch := client.Refund(t.Context(), cardnetwork.RefundRequest{Key: "k3", ChargeID: taken.ID, Amount: 2000})
	_, missing := client.Void(t.Context(), cardnetwork.VoidRequest{Key: "k4", ChargeID: "ch/none"})
	_, keyless := client.Charge(t.Context(), sale("", "tok_visa"))
	_, ledger := client.Ledger(t.Context(), 0, 10_001)
	for code, err := range map[string]error{
		cardnetwork.CodeKeyReused:      reused,
		cardnetwork.CodeUnknownToken:   unknown,
		"amount_too_large":             tooMuch,
		cardnetwork.CodeChargeNotFound: missing,
		"idempotency_key_missing":      keyless,
		"invalid_limit":                ledger,
	} {
		var refused *cardnetwork.RequestError
		if !errors.As(err, &refused) || refused.Code != code || errors.Is(err, cardnetwork.ErrUnknownOutcome) {
			t.Errorf("got %v, want %s", err, code)
		}
		if err != nil && strings.Contains(err.Error(), "tok_") {
			t.Errorf("a token is quoted: %v", err)
		}
	}
}

func TestALostAnswerIsUnknownUntilAskedFor(t *testing.T) {
	for token, timeout := range map[string]time.Duration{
		"tok_timeout_after_success": 100 * time.Millisecond,
		"tok_error_after_success":   0,
	} {
		t.Run(token, func(t *testing.T) {
			network := start(t, sandbox.NewMemoryLedger())
			if _, err := newClient(t, network.url, timeout).Charge(t.Context(), sale("k", token)); !errors.Is(err, cardnetwork.ErrUnknownOutcome) {
				t.Fatalf("got %v", err)
			}
			client := newClient(t, network.url, 0)
			found, ok, err := client.FindByKey(t.Context(), "k")
			if err != nil || !ok || found.Status != cardnetwork.Captured {
				t.Fatalf("got %+v, %t, %v", found, ok, err)
			}
			if again := mustCharge(t, client, sale("k", token)); again != found {
				t.Fatalf("again %+v, found %+v", again, found)
			}
			if count := entriesOf(t, client); count[cardnetwork.KindCapture] != 1 {
				t.Fatalf("ledger: %v", count)
			}
		})
	}
}

func TestAnUnavailableNetworkHasDoneNothingOnceAsked(t *testing.T) {
	client := newClient(t, start(t, sandbox.NewMemoryLedger()).url, 0)
	if _, err := client.Charge(t.Context(), sale("k", "tok_unavailable_once")); !errors.Is(err, cardnetwork.ErrUnknownOutcome) {
		t.Fatalf("got %v", err)
	}
	if found, ok, err := client.FindByKey(t.Context(), "k"); err != nil || ok {
		t.Fatalf("got %+v, %t, %v", found, ok, err)
	}
	if made := mustCharge(t, client, sale("k", "tok_unavailable_once")); made.Status != cardnetwork.Captured {
		t.Fatalf("got %+v", made)
	}
}

func TestARunningKeyIsUnknownAndNeverUnseen(t *testing.T) {
	network := start(t, sandbox.NewMemoryLedger())
	client := newClient(t, network.url, 0)
	first := make(chan error, 1)
	go func() {
		_, err := client.Charge(context.WithoutCancel(t.Context()), sale("k", "tok_slow"))
		first <- err
	}()
	if err := network.clock.AwaitSleepers(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	_, ok, err := client.FindByKey(t.Context(), "k")
	if ok || !errors.Is(err, cardnetwork.ErrUnknownOutcome) {
		t.Fatalf("found %t, %v", ok, err)
	}
	_, err = client.Charge(t.Context(), sale("k", "tok_slow"))
	var refused *cardnetwork.RequestError
	if !errors.Is(err, cardnetwork.ErrUnknownOutcome) || !errors.As(err, &refused) || refused.Code != cardnetwork.CodeInProgress {
		t.Fatalf("got %v", err)
	}
	network.clock.Advance(time.Minute)
	if err := <-first; err != nil {
		t.Fatal(err)
	}
}

func TestOneKeyFromManySidesTakesTheMoneyOnce(t *testing.T) {
	ledger, err := sandbox.OpenLedger(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = ledger.Close() }()
	client := newClient(t, start(t, ledger).url, 0)
	var done sync.WaitGroup
	for range 64 {
		done.Go(func() {
			made, err := client.Charge(t.Context(), sale("k", "tok_visa"))
			if err == nil && made.Status != cardnetwork.Captured {
				t.Errorf("got %+v", made)
			}
			if err != nil && !errors.Is(err, cardnetwork.ErrUnknownOutcome) {
				t.Error(err)
			}
		})
	}
	done.Wait()
	if count := entriesOf(t, client); count[cardnetwork.KindCapture] != 1 || len(count) != 1 {
		t.Fatalf("ledger: %v", count)
	}
}

func TestARestartedNetworkKnowsItsKeys(t *testing.T) {
	dir := t.TempDir()
	var before cardnetwork.Charge
	for run := range 2 {
		ledger, err := sandbox.OpenLedger(dir)
		if err != nil {
			t.Fatal(err)
		}
		client := newClient(t, start(t, ledger).url, 0)
		if run == 0 {
			before = mustCharge(t, client, sale("k", "tok_visa"))
		} else if again := mustCharge(t, client, sale("k", "tok_visa")); again != before {
			t.Fatalf("again %+v, before %+v", again, before)
		}
		if count := entriesOf(t, client); count[cardnetwork.KindCapture] != 1 {
			t.Fatalf("ledger: %v", count)
		}
		if err := ledger.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestAnswersThatExplainNothingAreUnknown(t *testing.T) {
	for name, answer := range map[string]http.HandlerFunc{
		"502":            func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadGateway) },
		"408":            func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusRequestTimeout) },
		"204":            func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) },
		"html":           func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("<html>")) },
		"no charge":      func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("{}")) },
		"unknown status": func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(`{"id":"ch_1","status":"lost"}`)) },
		"cut off": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "100")
			_, _ = w.Write([]byte("{"))
		},
		"too large": func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(make([]byte, 17<<20)) },
		"hung up":   func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
	} {
		t.Run(name, func(t *testing.T) {
			server := httptest.NewServer(answer)
			defer server.Close()
			client := newClient(t, server.URL, 0)
			if _, err := client.Charge(t.Context(), sale("k", "tok_visa")); !errors.Is(err, cardnetwork.ErrUnknownOutcome) {
				t.Errorf("charge: %v", err)
			}
			if _, ok, err := client.FindByKey(t.Context(), "k"); ok || !errors.Is(err, cardnetwork.ErrUnknownOutcome) {
				t.Errorf("find: %t, %v", ok, err)
			}
		})
	}
}

func TestNobodyThereIsUnknownAndAForeign404IsNotUnseen(t *testing.T) {
	server := httptest.NewServer(http.NotFoundHandler())
	client := newClient(t, server.URL, 0)
	var refused *cardnetwork.RequestError
	if _, _, err := client.FindByKey(t.Context(), "k"); !errors.As(err, &refused) || refused.Code != "unexplained" {
		t.Errorf("some other server's 404: %v", err)
	}
	server.Close()
	if _, err := client.Charge(t.Context(), sale("k", "tok_visa")); !errors.Is(err, cardnetwork.ErrUnknownOutcome) {
		t.Errorf("charge: %v", err)
	}
	if _, err := client.Ledger(t.Context(), 0, 1); !errors.Is(err, cardnetwork.ErrUnavailable) {
		t.Errorf("ledger: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := client.Charge(ctx, sale("k", "tok_visa")); !errors.Is(err, cardnetwork.ErrUnknownOutcome) || !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

func TestNewWantsAnAddress(t *testing.T) {
	for _, bad := range []string{"", "127.0.0.1:8070", "ftp://host", "http://", "http://[::1"} {
		if _, err := cardnetwork.New(cardnetwork.Config{BaseURL: bad}); err == nil {
			t.Errorf("%q is accepted", bad)
		}
	}
}
