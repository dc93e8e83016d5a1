package sandbox

import (
	"strings"
	"testing"
)

// held makes an authorized charge of 1999 and gives its path.
func held(t *testing.T, h *harness, key string) string {
	t.Helper()
	return "/v1/charges/" + h.post("/v1/charges", key, strings.Replace(saleBody("tok_visa"), "true", "false", 1)).charge(t).ID
}

func TestAnAuthorizationIsCapturedInPartsUpToItsAmount(t *testing.T) {
	h := newHarness(t, NewMemoryLedger())
	path := held(t, h, "hold")
	first := h.post(path+"/capture", "c1", `{"amount":500,"final":false}`)
	if c := first.charge(t); c.Status != StatusAuthorized || c.Captured != 500 {
		t.Fatalf("got %+v", c)
	}
	if again := h.post(path+"/capture", "c1", `{"amount":500,"final":false}`); again != first {
		t.Errorf("again %+v, was %+v", again, first)
	}
	expect(t, h.post(path+"/capture", "c1", `{"amount":500}`), 422, "idempotency_key_reused")
	expect(t, h.post(path+"/refund", "r0", `{"amount":501}`), 422, "amount_too_large")
	expect(t, h.post(path+"/refund", "r1", `{"amount":500}`), 200, "")
	if c := h.get(path).charge(t); c.Status != StatusAuthorized || c.Refunded != 500 {
		t.Errorf("what is still held is %+v", c)
	}
	expect(t, h.post(path+"/capture", "c2", `{"amount":1500,"final":false}`), 422, "amount_too_large")
	if c := h.post(path+"/capture", "c3", `{"amount":1499,"final":false}`).charge(t); c.Status != StatusCaptured || c.Captured != 1999 {
		t.Errorf("all of it is captured: %+v", c)
	}
	expect(t, h.post(path+"/capture", "c4", `{"amount":1}`), 422, "invalid_state")
}

func TestAFinalCaptureOrAVoidLetsGoOfTheRest(t *testing.T) {
	h := newHarness(t, NewMemoryLedger())
	path := held(t, h, "hold")
	expect(t, h.post(path+"/capture", "c1", `{"amount":500,"final":false}`), 200, "")
	if c := h.post(path+"/capture", "c2", `{"amount":500,"final":true}`).charge(t); c.Status != StatusCaptured || c.Captured != 1000 {
		t.Errorf("got %+v", c)
	}
	expect(t, h.post(path+"/void", "v", ""), 422, "invalid_state")

	path = held(t, h, "hold2")
	expect(t, h.post(path+"/capture", "c3", `{"amount":500,"final":false}`), 200, "")
	if c := h.post(path+"/void", "v2", "").charge(t); c.Status != StatusCaptured || c.Captured != 500 {
		t.Errorf("got %+v", c)
	}
	entries := h.entries(t)
	if last := entries[len(entries)-1]; last.Kind != KindVoid || last.Amount != 1499 {
		t.Errorf("the ledger says %+v", last)
	}
	if c := h.post(path+"/refund", "r", `{"amount":500}`).charge(t); c.Status != StatusRefunded {
		t.Errorf("got %+v", c)
	}
}
