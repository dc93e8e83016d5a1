package sandbox

import (
	"context"
	"errors"
	"flag"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

func TestServeFinishesRequestsBeforeItStops(t *testing.T) {
	h := newHarness(t, openLedger(t, t.TempDir()))
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	served := make(chan error, 1)
	go func() { served <- Serve(ctx, listener, h.CardNetwork, nil, nil, slog.New(slog.DiscardHandler)) }()

	answered := make(chan int, 1)
	go func() {
		request, _ := http.NewRequest(http.MethodPost, "http://"+listener.Addr().String()+"/v1/charges", strings.NewReader(saleBody("tok_slow")))
		request.Header.Set("Idempotency-Key", "k")
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			answered <- 0
			return
		}
		answered <- response.StatusCode
		_ = response.Body.Close()
	}()
	awaitSleeper(t, h) // the slow card thinks, and its clock stands still: only the stop can end that
	stop()
	if status := <-answered; status != http.StatusOK {
		t.Fatalf("status %d", status)
	}
	if err := <-served; err != nil {
		t.Fatal(err)
	}
}

func TestServeReportsALostListener(t *testing.T) {
	h := newHarness(t, NewMemoryLedger())
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if err := listener.Close(); err != nil {
		t.Fatal(err)
	}
	if err := Serve(t.Context(), listener, h.CardNetwork, nil, nil, slog.New(slog.DiscardHandler)); !errors.Is(err, net.ErrClosed) {
		t.Fatalf("got %v", err)
	}
}

func TestFlagsOverrideTheEnvironment(t *testing.T) {
	env := map[string]string{"CELLAR_SANDBOX_LISTEN": "127.0.0.1:1", "CELLAR_SANDBOX_DATA": "/env", "CELLAR_SANDBOX_WEBHOOK_URL": "http://hook", "CELLAR_OTHER": "x"}
	getenv := func(key string) string { return env[key] }
	none := func(string) string { return "" }
	for _, c := range []struct {
		args   string
		getenv func(string) string
		want   Config
	}{
		{"", none, Config{Listen: "127.0.0.1:8070", SlowDelay: defaultSlowDelay, CarrierDay: defaultDay}},
		{"", getenv, Config{Listen: "127.0.0.1:1", DataDir: "/env", SlowDelay: defaultSlowDelay, CarrierDay: defaultDay, WebhookURL: "http://hook"}},
		{"--listen 127.0.0.1:2 --data /flag --slow-delay 3s --webhook-url http://flag --webhook-key-file key --carrier-day 1m", getenv,
			Config{Listen: "127.0.0.1:2", DataDir: "/flag", SlowDelay: 3 * time.Second, WebhookURL: "http://flag", WebhookKeyFile: "key", CarrierDay: time.Minute}},
	} {
		got, err := ParseConfig(strings.Fields(c.args), c.getenv, io.Discard)
		if err != nil || got != c.want {
			t.Errorf("%q: %+v, %v; want %+v", c.args, got, err, c.want)
		}
	}
	for _, bad := range []string{"--nonsense", "extra", "--slow-delay 0s", "--slow-delay 11s", "--carrier-day 25h"} {
		if _, err := ParseConfig(strings.Fields(bad), none, io.Discard); err == nil {
			t.Errorf("%q is accepted", bad)
		}
	}
	if _, err := ParseConfig([]string{"--help"}, none, io.Discard); !errors.Is(err, flag.ErrHelp) {
		t.Errorf("help: %v", err)
	}
}

func TestNewCardNetworkWantsAllItsDeps(t *testing.T) {
	if _, err := NewCardNetwork(Deps{Ledger: NewMemoryLedger()}); err == nil {
		t.Fatal("a network without clock and logger was made")
	}
}
