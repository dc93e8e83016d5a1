package sandbox

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/cellar-commerce/cellar/internal/clock"
)

var testNow = time.Date(2031, time.March, 31, 23, 59, 59, 0, time.UTC)

// reporter is what *testing.T, *testing.B and *rapid.T have in common.
type reporter interface {
	Helper()
	Fatal(args ...any)
	Fatalf(format string, args ...any)
}

// harness is a network without a socket, on a clock that stands still.
type harness struct {
	*CardNetwork
	clock *clock.Manual
	log   *bytes.Buffer
}

func newHarness(tb reporter, ledger *Ledger) *harness {
	tb.Helper()
	h := &harness{clock: clock.NewManual(testNow), log: new(bytes.Buffer)}
	log := slog.New(slog.NewJSONHandler(h.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	network, err := NewCardNetwork(Deps{Ledger: ledger, Clock: h.clock, Logger: log})
	if err != nil {
		tb.Fatal(err)
	}
	h.CardNetwork = network
	return h
}

// openLedger opens a ledger that is closed with the test, unless the test closes it before.
func openLedger(tb testing.TB, dir string) *Ledger {
	tb.Helper()
	ledger, err := OpenLedger(dir)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = ledger.Close() })
	return ledger
}

// reply is an answer; aborted means that the connection ended without one.
type reply struct {
	status  int
	body    string
	aborted bool
}

func (r reply) charge(tb reporter) Charge {
	tb.Helper()
	var c Charge
	if err := json.Unmarshal([]byte(r.body), &c); err != nil || c.ID == "" {
		tb.Fatalf("not a charge: %d %s", r.status, r.body)
	}
	return c
}

func (r reply) code() string {
	var body errorBody
	_ = json.Unmarshal([]byte(r.body), &body)
	return body.Error.Code
}

func (h *harness) send(request *http.Request) (got reply) {
	recorder := httptest.NewRecorder()
	defer func() {
		if reason := recover(); reason == http.ErrAbortHandler { //nolint:errorlint // a panic's value, not an error chain
			got = reply{aborted: true}
		} else if reason != nil {
			panic(reason)
		}
	}()
	h.ServeHTTP(recorder, request)
	return reply{status: recorder.Code, body: recorder.Body.String()}
}

func (h *harness) post(path, key, body string) reply {
	request := httptest.NewRequest(http.MethodPost, path, strings.NewReader(body))
	if key != "" {
		request.Header.Set("Idempotency-Key", key)
	}
	return h.send(request)
}

func (h *harness) get(path string) reply {
	return h.send(httptest.NewRequest(http.MethodGet, path, nil))
}

// sale charges 1999 for order-1 at once.
func (h *harness) sale(key, token string) reply {
	return h.post("/v1/charges", key, saleBody(token))
}

func saleBody(token string) string {
	return `{"amount":1999,"currency":"USD","token":"` + token + `","reference":"order-1","capture":true}`
}

func (h *harness) entries(tb reporter) []Entry {
	tb.Helper()
	var page ledgerPage
	got := h.get("/v1/ledger?limit=10000")
	if err := json.Unmarshal([]byte(got.body), &page); err != nil {
		tb.Fatalf("ledger: %d %s: %v", got.status, got.body, err)
	}
	return page.Entries
}

func expect(tb reporter, got reply, status int, code string) {
	tb.Helper()
	if got.status != status || got.code() != code {
		tb.Fatalf("got %d %s, want %d %q", got.status, got.body, status, code)
	}
}
