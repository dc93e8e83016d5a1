package sandbox

import (
	"net/http"
	"strings"
	"sync"
	"testing"
)

func TestSaleIsCapturedOnceForItsKey(t *testing.T) {
	h := newHarness(t, NewMemoryLedger())
	first := h.sale("k1", "tok_visa")
	expect(t, first, http.StatusOK, "")
	made := first.charge(t)
	want := Charge{ID: made.ID, Status: StatusCaptured, Amount: 1999, Captured: 1999, Currency: "USD", Reference: "order-1"}
	if made != want {
		t.Fatalf("got %+v, want %+v", made, want)
	}
	// The same thing asked for in other words: spaces, order, and the default for capture.
	again := h.post("/v1/charges", `"k1"`, `{ "reference":"order-1","currency":"USD","token":"tok_visa","amount":1999}`)
	if again != first {
		t.Fatalf("the second answer %+v differs from the first %+v", again, first)
	}
	expect(t, h.post("/v1/charges", "k1", strings.Replace(saleBody("tok_visa"), "1999", "2000", 1)), 422, "idempotency_key_reused")
	expect(t, h.post("/v1/charges/"+made.ID+"/refund", "k1", `{"amount":1}`), 422, "idempotency_key_reused")
	if entries := h.entries(t); len(entries) != 1 || entries[0].Kind != KindCapture || entries[0].IdempotencyKey != "k1" || !entries[0].At.Equal(testNow) {
		t.Fatalf("ledger: %+v", entries)
	}
}

func TestReplayedAnswerIsThatOfThenAndFindIsThatOfNow(t *testing.T) {
	h := newHarness(t, NewMemoryLedger())
	first := h.sale("k1", "tok_visa")
	id := first.charge(t).ID
	expect(t, h.post("/v1/charges/"+id+"/refund", "k2", `{"amount":1999}`), 200, "")
	if again := h.sale("k1", "tok_visa"); again != first {
		t.Fatalf("got %+v, want the first answer", again)
	}
	for _, path := range []string{"/v1/charges?idempotency_key=k1", "/v1/charges?idempotency_key=k2", "/v1/charges/" + id} {
		if now := h.get(path).charge(t); now.Status != StatusRefunded || now.Refunded != 1999 {
			t.Fatalf("%s: %+v", path, now)
		}
	}
}

func TestAuthorizeThenCaptureVoidAndRefund(t *testing.T) {
	h := newHarness(t, NewMemoryLedger())
	authorize := func(key string) string {
		made := h.post("/v1/charges", key, strings.Replace(saleBody("tok_visa"), "true", "false", 1)).charge(t)
		if made.Status != StatusAuthorized || made.Captured != 0 {
			t.Fatalf("got %+v", made)
		}
		return "/v1/charges/" + made.ID
	}
	one, two := authorize("a1"), authorize("a2")
	expect(t, h.post(one+"/refund", "r0", `{"amount":1}`), 422, "invalid_state")
	expect(t, h.post(one+"/capture", "c0", `{"amount":2000}`), 422, "amount_too_large")
	if made := h.post(one+"/capture", "c1", `{"amount":1500}`).charge(t); made.Status != StatusCaptured || made.Captured != 1500 {
		t.Fatalf("got %+v", made)
	}
	expect(t, h.post(one+"/capture", "c2", `{"amount":1}`), 422, "invalid_state")
	expect(t, h.post(one+"/void", "v0", ``), 422, "invalid_state")
	expect(t, h.post(one+"/refund", "r1", `{"amount":1501}`), 422, "amount_too_large")
	if made := h.post(one+"/refund", "r1", `{"amount":500}`).charge(t); made.Status != StatusCaptured || made.Refunded != 500 {
		t.Fatalf("a refused request must leave its key unused, and a part refund the charge captured: %+v", made)
	}
	expect(t, h.post(one+"/refund", "r2", `{"amount":1001}`), 422, "amount_too_large")
	if made := h.post(one+"/refund", "r3", `{"amount":1000}`).charge(t); made.Status != StatusRefunded {
		t.Fatalf("got %+v", made)
	}
	if made := h.post(two+"/void", "v1", `{}`).charge(t); made.Status != StatusVoided {
		t.Fatalf("got %+v", made)
	}
	expect(t, h.post(two+"/capture", "c3", `{"amount":1}`), 422, "invalid_state")
	expect(t, h.post("/v1/charges/ch_none/void", "v2", ""), 404, "charge_not_found")

	var kinds []string
	for i, e := range h.entries(t) {
		if e.Seq != int64(i+1) || e.Currency != "USD" || e.Reference != "order-1" || e.Amount <= 0 {
			t.Fatalf("entry %+v", e)
		}
		kinds = append(kinds, string(e.Kind))
	}
	if got := strings.Join(kinds, " "); got != "authorize authorize capture refund refund void" {
		t.Fatalf("ledger: %s", got)
	}
}

func TestDeclinesOfOneReferenceEachHaveTheirKey(t *testing.T) {
	h := newHarness(t, NewMemoryLedger())
	for key, want := range map[string][2]string{
		"d1": {"tok_declined", "card_declined"},
		"d2": {"tok_insufficient_funds", "insufficient_funds"},
		"d3": {"tok_expired_card", "expired_card"},
	} {
		got := h.sale(key, want[0])
		made := got.charge(t)
		if got.status != http.StatusPaymentRequired || made.Status != StatusDeclined || made.DeclineCode != want[1] || made.Captured != 0 {
			t.Fatalf("%s: %d %+v", want[0], got.status, made)
		}
		if again := h.sale(key, want[0]); again != got {
			t.Fatalf("replay: %+v, want %+v", again, got)
		}
	}
	expect(t, h.sale("d4", "tok_visa"), 200, "")
	if entries := h.entries(t); len(entries) != 4 || entries[0].Kind != KindDecline || entries[3].Kind != KindCapture {
		t.Fatalf("ledger: %+v", entries)
	}
}

func TestRefusedRequestsHaveNoEffect(t *testing.T) {
	h := newHarness(t, NewMemoryLedger())
	body := saleBody("tok_visa")
	with := func(old, with string) string { return strings.Replace(body, old, with, 1) }
	for name, c := range map[string]struct {
		key, body string
		status    int
		code      string
	}{
		"no key":           {"", body, 400, "idempotency_key_missing"},
		"empty quoted key": {`""`, body, 400, "idempotency_key_missing"},
		"long key":         {strings.Repeat("k", 256), body, 400, "idempotency_key_invalid"},
		"key with blank":   {"a b", body, 400, "idempotency_key_invalid"},
		"no body":          {"k", "", 400, "invalid_body"},
		"two bodies":       {"k", body + body, 400, "invalid_body"},
		"array":            {"k", "[]", 400, "invalid_body"},
		"unknown field":    {"k", with(`"amount"`, `"tip":1,"amount"`), 400, "unknown_field"},
		"wrong type":       {"k", with("1999", `"1999"`), 400, "invalid_body"},
		"fraction":         {"k", with("1999", "19.99"), 400, "invalid_body"},
		"too large":        {"k", with("order-1", strings.Repeat("x", maxBodyBytes)), 413, "body_too_large"},
		"zero":             {"k", with("1999", "0"), 422, "invalid_amount"},
		"negative":         {"k", with("1999", "-5"), 422, "invalid_amount"},
		"absurd":           {"k", with("1999", "1000000000001"), 422, "invalid_amount"},
		"currency":         {"k", with("USD", "usd"), 422, "invalid_currency"},
		"no reference":     {"k", with("order-1", ""), 422, "invalid_reference"},
		"long reference":   {"k", with("order-1", strings.Repeat("x", 256)), 422, "invalid_reference"},
		"unknown token":    {"k", with("tok_visa", "tok_nobody"), 422, "unknown_token"},
	} {
		t.Run(name, func(t *testing.T) { expect(t, h.post("/v1/charges", c.key, c.body), c.status, c.code) })
	}
	for path, want := range map[string]string{
		"/v1/ledger?after=-1":            "invalid_after",
		"/v1/ledger?after=x":             "invalid_after",
		"/v1/ledger?limit=0":             "invalid_limit",
		"/v1/ledger?limit=10001":         "invalid_limit",
		"/v1/charges":                    "idempotency_key_missing",
		"/v1/charges?idempotency_key=k":  "idempotency_key_not_found",
		"/v1/charges/ch_none":            "charge_not_found",
		"/v1/tokens":                     "no_such_endpoint",
		"/v1/charges/ch_none/chargeback": "no_such_endpoint",
	} {
		if got := h.get(path); got.code() != want || got.status < 400 || got.status > 499 {
			t.Errorf("%s: %d %s, want %s", path, got.status, got.body, want)
		}
	}
	if entries := h.entries(t); len(entries) != 0 {
		t.Fatalf("ledger: %+v", entries)
	}
}

func TestLedgerPages(t *testing.T) {
	h := newHarness(t, NewMemoryLedger())
	for _, key := range []string{"a", "b", "c"} {
		h.sale(key, "tok_visa")
	}
	for query, want := range map[string]string{
		"after=0&limit=2":                   `"next":2}`,
		"after=2&limit=2":                   `"next":3}`,
		"after=3":                           `{"entries":[],"next":3}`,
		"after=9223372036854775807&limit=1": `{"entries":[],"next":9223372036854775807}`,
	} {
		if got := h.get("/v1/ledger?" + query); got.status != 200 || !strings.Contains(got.body, want) {
			t.Errorf("%s: %d %s, want %s", query, got.status, got.body, want)
		}
	}
}

func TestOneKeyFromManySidesHasOneEffect(t *testing.T) {
	h := newHarness(t, openLedger(t, t.TempDir()))
	const callers = 64
	var ready, done sync.WaitGroup
	ready.Add(callers)
	replies := make(chan reply, callers)
	for range callers {
		done.Go(func() {
			ready.Done()
			ready.Wait()
			replies <- h.sale("k", "tok_visa")
		})
	}
	done.Wait()
	close(replies)
	want := h.sale("k", "tok_visa")
	for got := range replies {
		if got != want && got.code() != errKeyRunningCode {
			t.Errorf("got %+v, want %+v or %s", got, want, errKeyRunningCode)
		}
	}
	if entries := h.entries(t); len(entries) != 1 {
		t.Fatalf("ledger: %+v", entries)
	}
}

const errKeyRunningCode = "idempotency_key_in_progress"

func TestRacingRefundsNeverGiveBackMoreThanWasTaken(t *testing.T) {
	h := newHarness(t, openLedger(t, t.TempDir()))
	path := "/v1/charges/" + h.sale("k", "tok_visa").charge(t).ID
	var done sync.WaitGroup
	for i := range 32 {
		done.Go(func() { h.post(path+"/refund", "r"+string(rune('A'+i)), `{"amount":500}`) })
	}
	done.Wait()
	if now := h.get(path).charge(t); now.Refunded != 1500 {
		t.Fatalf("refunded %d of 1999 in steps of 500", now.Refunded)
	}
}
