package sandbox

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

const hookKey = "a key for tests of webhooks, long enough"

// hook is a listener that refuses the first tries of each event.
type hook struct {
	url     string
	refuses int

	mu    sync.Mutex
	tries map[string]int
	got   []event
	bad   []string
}

func newHook(t *testing.T, refuses int) *hook {
	h := &hook{refuses: refuses, tries: map[string]int{}}
	server := httptest.NewServer(h)
	t.Cleanup(server.Close)
	h.url = server.URL
	return h
}

func (h *hook) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	var e event
	_ = json.Unmarshal(body, &e)
	h.mu.Lock()
	defer h.mu.Unlock()
	signer := &announcer{key: []byte(hookKey)}
	if want := signer.sign(testNow, body); r.Header.Get(signatureHeader) != want && h.refuses == 0 {
		h.bad = append(h.bad, r.Header.Get(signatureHeader))
	}
	if h.tries[e.ID]++; h.tries[e.ID] <= h.refuses {
		w.WriteHeader(http.StatusServiceUnavailable)
		return
	}
	h.got = append(h.got, e)
}

// events received, "type key", sorted.
func (h *hook) events(n *harness) []string {
	n.Announced()
	h.mu.Lock()
	defer h.mu.Unlock()
	var all []string
	for _, e := range h.got {
		all = append(all, e.Type+" "+e.IdempotencyKey+" "+string(e.Charge.Status))
	}
	slices.Sort(all)
	return all
}

func listening(t *testing.T, hook *hook) *harness {
	t.Helper()
	n := newHarness(t, NewMemoryLedger())
	n.CardNetwork.events.key = []byte(hookKey)
	t.Cleanup(n.Drain)
	expect(t, n.post("/v1/webhook", "", `{"url":"`+hook.url+`"}`), 200, "")
	return n
}

func TestEveryEffectIsTold(t *testing.T) {
	hook := newHook(t, 0)
	n := listening(t, hook)
	life(t, n)
	n.sale("sale", "tok_visa") // repeated: no effect, no event
	n.sale("held", "tok_error_after_success")
	want := []string{
		"charge.authorized hold authorized", "charge.authorized hold2 authorized", "charge.authorized hold3 authorized", "charge.captured capture captured",
		"charge.captured held captured", "charge.captured part authorized", "charge.captured part2 authorized", "charge.captured sale captured",
		"charge.declined decline declined", "charge.refunded refund captured", "charge.voided void voided", "charge.voided void3 captured",
	}
	if got := hook.events(n); !slices.Equal(got, want) {
		t.Errorf("told\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if len(hook.bad) > 0 {
		t.Errorf("signed %q", hook.bad)
	}
	expect(t, n.post("/v1/webhook", "", `{"url":""}`), 200, "")
	n.sale("later", "tok_visa")
	if got := hook.events(n); len(got) != len(want) {
		t.Errorf("told although nobody listens: %q", got)
	}
}

func TestAnEventThatIsNotTakenIsSentAgainButNotForEver(t *testing.T) {
	for refuses, taken := range map[int]int{deliveryTries - 1: 1, deliveryTries: 0} {
		hook := newHook(t, refuses)
		n := listening(t, hook)
		n.sale("k", "tok_visa")
		for range deliveryTries - 1 {
			if err := n.clock.AwaitSleepers(t.Context(), 1); err != nil {
				t.Fatal(err)
			}
			n.clock.Advance(firstPause << deliveryTries)
		}
		if got := hook.events(n); len(got) != taken {
			t.Errorf("after %d refusals %q were taken", refuses, got)
		}
	}
}

func TestFaultsDoubleEventsAndKeepThemBack(t *testing.T) {
	hook := newHook(t, 0)
	n := listening(t, hook)
	expect(t, n.post("/v1/faults", "", `{"webhook_duplicate_percent":100,"webhook_delay_ms":1000,"seed":3}`), 200, "")
	n.sale("a", "tok_visa")
	n.sale("b", "tok_visa")
	for range 2 {
		if err := n.clock.AwaitSleepers(t.Context(), 2); err != nil {
			t.Fatal(err)
		}
		n.clock.Advance(time.Second)
	}
	if got := hook.events(n); len(got) != 4 {
		t.Errorf("told %q", got)
	}
	f := Faults{WebhookDelayMS: 1000}
	if a, b := f.webhookDelay("a", 0), f.webhookDelay("b", 0); a == b || a > time.Second || b > time.Second {
		t.Errorf("delays %s and %s", a, b)
	}
	expect(t, n.post("/v1/faults", "", `{"webhook_duplicate_percent":101}`), 422, "invalid_faults")
	expect(t, n.post("/v1/faults", "", `{"webhook_delay_ms":-1}`), 422, "invalid_faults")
}

func TestAWebhookNeedsAnAddressAndAKey(t *testing.T) {
	n := newHarness(t, NewMemoryLedger())
	expect(t, n.post("/v1/webhook", "", `{"url":"http://127.0.0.1:1"}`), 422, "no_key")
	expect(t, n.post("/v1/webhook", "", `{"url":"127.0.0.1:1"}`), 422, "invalid_url")
	if _, err := NewCardNetwork(Deps{Ledger: NewMemoryLedger(), Clock: n.clock, Logger: n.CardNetwork.log, WebhookURL: "http://x"}); err == nil {
		t.Error("a webhook without a key is accepted")
	}
}
