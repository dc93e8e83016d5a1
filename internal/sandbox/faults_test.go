package sandbox

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

func TestSlowCardIsBusyMeanwhileAndChargesEvenIfItsClientLeaves(t *testing.T) {
	h := newHarness(t, NewMemoryLedger())
	ctx, leave := context.WithCancel(t.Context())
	request := httptest.NewRequestWithContext(ctx, http.MethodPost, "/v1/charges", strings.NewReader(saleBody("tok_slow")))
	request.Header.Set("Idempotency-Key", "k")
	first := make(chan reply, 1)
	go func() { first <- h.send(request) }()
	awaitSleeper(t, h)
	expect(t, h.sale("k", "tok_slow"), 409, errKeyRunningCode)
	expect(t, h.get("/v1/charges?idempotency_key=k"), 409, errKeyRunningCode)
	leave()
	h.clock.Advance(defaultSlowDelay - time.Millisecond)
	expect(t, h.sale("k", "tok_slow"), 409, errKeyRunningCode)
	h.clock.Advance(time.Millisecond)
	if got := <-first; got.charge(t).Status != StatusCaptured {
		t.Fatalf("got %+v", got)
	}
	if again := h.sale("k", "tok_slow"); again.charge(t).Status != StatusCaptured {
		t.Fatalf("got %+v", again)
	}
}

func awaitSleeper(t *testing.T, h *harness) {
	t.Helper()
	if err := h.clock.AwaitSleepers(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
}

func TestTimeoutAfterSuccessIsHeldAndAnsweredTheSecondTime(t *testing.T) {
	for name, release := range map[string]func(h *harness, leave func()){
		"by the limit":             func(h *harness, _ func()) { h.clock.Advance(holdLimit) },
		"by the client's patience": func(_ *harness, leave func()) { leave() },
		"by a stop of the server":  func(h *harness, _ func()) { h.Drain() },
	} {
		t.Run(name, func(t *testing.T) {
			h := newHarness(t, NewMemoryLedger())
			ctx, leave := context.WithCancel(t.Context())
			defer leave()
			request := httptest.NewRequestWithContext(ctx, http.MethodPost, "/v1/charges", strings.NewReader(saleBody("tok_timeout_after_success")))
			request.Header.Set("Idempotency-Key", "k")
			first := make(chan reply, 1)
			go func() { first <- h.send(request) }()
			awaitSleeper(t, h)
			if seen := h.get("/v1/charges?idempotency_key=k").charge(t); seen.Status != StatusCaptured {
				t.Fatalf("while held: %+v", seen)
			}
			release(h, leave)
			if got := <-first; !got.aborted {
				t.Fatalf("answered %+v", got)
			}
			expect(t, h.sale("k", "tok_timeout_after_success"), 200, "")
			if entries := h.entries(t); len(entries) != 1 {
				t.Fatalf("ledger: %+v", entries)
			}
		})
	}
}

func TestUnavailableTokensHaveNoEffect(t *testing.T) {
	h := newHarness(t, NewMemoryLedger())
	expect(t, h.sale("once", "tok_unavailable_once"), 503, "unavailable")
	expect(t, h.get("/v1/charges?idempotency_key=once"), 404, "idempotency_key_not_found")
	expect(t, h.sale("once", "tok_unavailable_once"), 200, "")
	expect(t, h.sale("other", "tok_unavailable_once"), 503, "unavailable")
	for range 3 {
		expect(t, h.sale("always", "tok_unavailable"), 503, "unavailable")
	}
	if entries := h.entries(t); len(entries) != 1 {
		t.Fatalf("ledger: %+v", entries)
	}
}

func TestErrorAfterSuccessIsAnsweredTheSecondTime(t *testing.T) {
	h := newHarness(t, NewMemoryLedger())
	expect(t, h.sale("k", "tok_error_after_success"), 500, "internal")
	if got := h.sale("k", "tok_error_after_success"); got.status != 200 || got.charge(t).Captured != 1999 {
		t.Fatalf("got %+v", got)
	}
	if entries := h.entries(t); len(entries) != 1 {
		t.Fatalf("ledger: %+v", entries)
	}
}

func TestFaultsAreRepeatableAndNearTheirRate(t *testing.T) {
	outcomes := func(faults string) (string, int) {
		h := newHarness(t, NewMemoryLedger())
		expect(t, h.post("/v1/faults", "", faults), 200, "")
		declined := 0
		var all strings.Builder
		for i := range 2000 {
			got := h.sale(fmt.Sprintf("key-%d", i), "tok_visa")
			if got.status == http.StatusPaymentRequired {
				declined++
			}
			fmt.Fprintf(&all, "%d ", got.status)
		}
		return all.String(), declined
	}
	first, declined := outcomes(`{"decline_percent":20,"unavailable_percent":10,"seed":7}`)
	again, _ := outcomes(`{"decline_percent":20,"unavailable_percent":10,"seed":7}`)
	other, _ := outcomes(`{"decline_percent":20,"unavailable_percent":10,"seed":8}`)
	if first != again || first == other {
		t.Fatalf("same seed, same outcomes: %t; other seed, other outcomes: %t", first == again, first != other)
	}
	if declined < 270 || declined > 450 { // 18 % of 2000, give or take five standard deviations
		t.Fatalf("%d declined", declined)
	}
	if busy := strings.Count(first, "503"); busy < 130 || busy > 270 {
		t.Fatalf("%d unavailable", busy)
	}
}

func TestUnavailableFaultLetsRetriesThrough(t *testing.T) {
	h := newHarness(t, NewMemoryLedger())
	h.post("/v1/faults", "", `{"unavailable_percent":50}`)
	for i := range 50 {
		key, attempts := fmt.Sprintf("key-%d", i), 0
		for h.sale(key, "tok_visa").status != 200 {
			if attempts++; attempts > 30 {
				t.Fatalf("%s never gets through", key)
			}
		}
	}
}

func TestFaultsOfEveryKindStrikeRefundsToo(t *testing.T) {
	h := newHarness(t, NewMemoryLedger())
	path := "/v1/charges/" + h.sale("k", "tok_visa").charge(t).ID + "/refund"
	h.post("/v1/faults", "", `{"unavailable_percent":100}`)
	expect(t, h.post(path, "r", `{"amount":1}`), 503, "unavailable")
	h.post("/v1/faults", "", `{"decline_percent":100,"timeout_after_success_percent":100}`)
	first := make(chan reply, 1)
	go func() { first <- h.post(path, "r", `{"amount":1}`) }()
	awaitSleeper(t, h)
	h.clock.Advance(holdLimit)
	if got := <-first; !got.aborted {
		t.Fatalf("answered %+v", got)
	}
	if got := h.post(path, "r", `{"amount":1}`); got.charge(t).Refunded != 1 {
		t.Fatalf("got %+v", got)
	}
	if got := h.sale("d", "tok_visa"); got.charge(t).DeclineCode != codeCardDeclined {
		t.Fatalf("a decline is answered even when every success is not: %+v", got)
	}
}

func TestLatencyIsWaitedBeforeAnyEffect(t *testing.T) {
	h := newHarness(t, NewMemoryLedger())
	h.post("/v1/faults", "", `{"latency_ms":250}`)
	ctx, leave := context.WithCancel(t.Context())
	request := httptest.NewRequestWithContext(ctx, http.MethodPost, "/v1/charges", strings.NewReader(saleBody("tok_visa")))
	request.Header.Set("Idempotency-Key", "gone")
	first := make(chan reply, 1)
	go func() { first <- h.send(request) }()
	awaitSleeper(t, h)
	leave()
	if got := <-first; !got.aborted {
		t.Fatalf("got %+v", got)
	}
	go func() { first <- h.sale("stays", "tok_visa") }()
	awaitSleeper(t, h)
	h.clock.Advance(250 * time.Millisecond)
	expect(t, <-first, 200, "")
	expect(t, h.get("/v1/charges?idempotency_key=gone"), 404, "idempotency_key_not_found")
}

func TestFaultsAreShownChangedAndCleared(t *testing.T) {
	h := newHarness(t, NewMemoryLedger())
	const body = `{"decline_percent":5,"timeout_after_success_percent":6,"unavailable_percent":7,"latency_ms":8,"webhook_duplicate_percent":10,"webhook_delay_ms":11,"seed":9}`
	expect(t, h.post("/v1/faults", "", body), 200, "")
	if got := h.get("/v1/faults"); strings.TrimSpace(got.body) != body {
		t.Fatalf("got %s", got.body)
	}
	for _, bad := range []string{`{"decline_percent":101}`, `{"unavailable_percent":-1}`, `{"latency_ms":-1}`, `{"latency_ms":30001}`} {
		expect(t, h.post("/v1/faults", "", bad), 422, "invalid_faults")
	}
	expect(t, h.post("/v1/faults", "", `{"declines":1}`), 400, "unknown_field")
	if got := h.get("/v1/faults"); strings.TrimSpace(got.body) != body {
		t.Fatalf("a refused change had an effect: %s", got.body)
	}
	if got := h.send(httptest.NewRequest(http.MethodDelete, "/v1/faults", nil)); got.status != http.StatusNoContent {
		t.Fatalf("got %+v", got)
	}
	if got := h.get("/v1/faults"); strings.Contains(strings.ReplaceAll(got.body, ":0", ""), ":") {
		t.Fatalf("got %s", got.body)
	}
}

func TestAttemptsAreForgottenAtTheirLimit(t *testing.T) {
	h := newHarness(t, NewMemoryLedger())
	for i := range maxAttempts {
		h.book.fail(fmt.Sprint(i))
	}
	h.book.fail("one more")
	if left := len(h.book.attempts); left != 1 {
		t.Fatalf("%d keys are remembered", left)
	}
}
