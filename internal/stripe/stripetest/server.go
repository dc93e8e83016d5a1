package stripetest

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// Cards of the server.
const (
	Visa     = "pm_card_visa"
	Broke    = "pm_card_visa_chargeDeclinedInsufficientFunds"
	NeedsYou = "pm_card_authenticationRequired"
)

type object = map[string]any

// Server is a Stripe that remembers.
type Server struct {
	URL string

	mu      sync.Mutex
	intents map[string]object
	order   []string
	refunds []object
	stored  map[string]answer
	// Fault is asked before and after each request's effect; a status other than 0 is answered instead. Nil is none.
	fault func(moment Moment, method, path string) (status int)
	seen  []string
}

// Moment of a request.
type Moment string

// The moments.
const (
	Before Moment = "before"
	After  Moment = "after"
)

type answer struct {
	fingerprint string
	status      int
	body        []byte
}

// New server, until the test ends.
func New(t testing.TB) *Server {
	t.Helper()
	s := &Server{intents: map[string]object{}, stored: map[string]answer{}}
	server := httptest.NewServer(s)
	t.Cleanup(server.Close)
	s.URL = server.URL
	return s
}

// Fault plays faults from now on; nil for none.
func (s *Server) Fault(f func(moment Moment, method, path string) (status int)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fault = f
}

// ForgetKeys as Stripe does after a day.
func (s *Server) ForgetKeys() {
	s.mu.Lock()
	defer s.mu.Unlock()
	clear(s.stored)
}

// Expire what is held by an intent, as Stripe does after a week.
func (s *Server) Expire(intent string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.intents[intent]["status"], s.intents[intent]["amount_capturable"] = "canceled", int64(0)
}

// Money moved so far: captured and refunded, in minor units, and what is still held.
func (s *Server) Money() (captured, refunded, held int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, i := range s.intents {
		captured += number(i["amount_received"])
		held += number(i["amount_capturable"])
	}
	for _, r := range s.refunds {
		refunded += number(r["amount"])
	}
	return captured, refunded, held
}

// Requests so far, "METHOD path".
func (s *Server) Requests() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]string(nil), s.seen...)
}

func number(v any) int64 {
	n, _ := v.(int64)
	return n
}

// ServeHTTP implements http.Handler. One request at a time: Stripe locks the object it works on.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	form, _ := url.ParseQuery(string(body))
	s.mu.Lock()
	defer s.mu.Unlock()
	s.seen = append(s.seen, r.Method+" "+r.URL.Path)
	if s.fault != nil {
		if status := s.fault(Before, r.Method, r.URL.Path); status != 0 {
			fail(w, status)
			return
		}
	}
	key, fingerprint := r.Header.Get("Idempotency-Key"), r.URL.Path+"?"+form.Encode()
	done, replayed := s.stored[key]
	switch {
	case r.Method != http.MethodPost || !replayed:
		status, out := s.serve(r, form)
		encoded, _ := json.Marshal(out)
		done = answer{fingerprint, status, encoded}
		if r.Method == http.MethodPost && key != "" {
			s.stored[key] = done
		}
	case done.fingerprint != fingerprint:
		done = refusal(http.StatusBadRequest, object{"type": "idempotency_error", "message": "the key was used for something else"})
	default:
		w.Header().Set("Idempotent-Replayed", "true")
	}
	if s.fault != nil {
		if status := s.fault(After, r.Method, r.URL.Path); status != 0 {
			fail(w, status)
			return
		}
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Request-Id", "req_"+strconv.Itoa(len(s.seen)))
	w.WriteHeader(done.status)
	_, _ = w.Write(done.body)
}

func fail(w http.ResponseWriter, status int) {
	w.WriteHeader(status)
	_, _ = io.WriteString(w, `{"error":{"type":"api_error","message":"played by a test"}}`)
}

func refusal(status int, e object) answer {
	encoded, _ := json.Marshal(object{"error": e})
	return answer{status: status, body: encoded}
}

var intentPath = regexp.MustCompile(`^/v1/payment_intents/(pi_\w+)(?:/(\w+))?$`)

func (s *Server) serve(r *http.Request, form url.Values) (int, object) {
	m := intentPath.FindStringSubmatch(r.URL.Path)
	switch {
	case r.URL.Path == "/v1/payment_intents" && r.Method == http.MethodPost:
		return s.create(form)
	case r.URL.Path == "/v1/payment_intents/search":
		return s.search(r.URL.Query().Get("query"))
	case r.URL.Path == "/v1/refunds" && r.Method == http.MethodGet:
		return s.list(r.URL.Query().Get("payment_intent"))
	case r.URL.Path == "/v1/refunds":
		return s.refund(form)
	case m == nil || s.intents[m[1]] == nil:
		return errorOf(http.StatusNotFound, "invalid_request_error", "resource_missing", nil)
	}
	i := s.intents[m[1]]
	switch m[2] {
	case "":
		return http.StatusOK, i
	case "confirm":
		return s.confirm(i, form)
	case "capture":
		return s.capture(i, form)
	case "cancel":
		return s.cancel(i)
	default:
		return errorOf(http.StatusNotFound, "invalid_request_error", "", nil)
	}
}

func errorOf(status int, kind, code string, extra object) (int, object) {
	e := object{"type": kind, "code": code, "message": "no"}
	for k, v := range extra {
		e[k] = v
	}
	return status, object{"error": e}
}

func unexpected(i object) (int, object) {
	return errorOf(http.StatusBadRequest, "invalid_request_error", "payment_intent_unexpected_state", object{"payment_intent": i})
}

func (s *Server) create(form url.Values) (int, object) {
	amount, _ := strconv.ParseInt(form.Get("amount"), 10, 64)
	id := fmt.Sprintf("pi_%d", len(s.intents)+1)
	i := object{
		"id": id, "object": "payment_intent", "amount": amount, "amount_capturable": int64(0), "amount_received": int64(0), "currency": form.Get("currency"),
		"capture_method": form.Get("capture_method"), "status": "requires_payment_method", "metadata": metadata(form),
	}
	s.intents[id], s.order = i, append(s.order, id)
	return http.StatusOK, i
}

func metadata(form url.Values) object {
	out := object{}
	for name, values := range form {
		if inner, ok := strings.CutPrefix(name, "metadata["); ok {
			out[strings.TrimSuffix(inner, "]")] = values[0]
		}
	}
	return out
}

func (s *Server) confirm(i object, form url.Values) (int, object) {
	if i["status"] != "requires_payment_method" && i["status"] != "requires_confirmation" {
		return unexpected(i)
	}
	switch form.Get("payment_method") + form.Get("confirmation_token") {
	case Visa:
	case Broke:
		return s.decline(i, "card_declined", "insufficient_funds")
	case NeedsYou:
		return s.decline(i, "authentication_required", "authentication_required")
	default:
		return errorOf(http.StatusBadRequest, "invalid_request_error", "resource_missing", nil)
	}
	i["latest_charge"] = object{"id": "ch_" + fmt.Sprint(i["id"]), "object": "charge", "amount_refunded": int64(0)}
	delete(i, "last_payment_error")
	if i["capture_method"] == "manual" {
		i["status"], i["amount_capturable"] = "requires_capture", i["amount"]
	} else {
		i["status"], i["amount_received"] = "succeeded", i["amount"]
	}
	return http.StatusOK, i
}

func (s *Server) decline(i object, code, decline string) (int, object) {
	i["last_payment_error"] = object{"type": "card_error", "code": code, "decline_code": decline}
	return errorOf(http.StatusPaymentRequired, "card_error", code, object{"decline_code": decline, "payment_intent": i})
}

func (s *Server) capture(i object, form url.Values) (int, object) {
	if i["status"] != "requires_capture" {
		return unexpected(i)
	}
	amount, err := strconv.ParseInt(form.Get("amount_to_capture"), 10, 64)
	if err != nil || amount > number(i["amount_capturable"]) {
		return errorOf(http.StatusBadRequest, "invalid_request_error", "amount_too_large", nil)
	}
	i["amount_received"] = number(i["amount_received"]) + amount
	i["amount_capturable"] = number(i["amount_capturable"]) - amount
	if form.Get("final_capture") != "false" || number(i["amount_capturable"]) == 0 {
		i["status"], i["amount_capturable"] = "succeeded", int64(0)
	}
	return http.StatusOK, i
}

func (s *Server) cancel(i object) (int, object) {
	switch i["status"] {
	case "succeeded", "canceled", "processing":
		return unexpected(i)
	}
	i["status"], i["amount_capturable"] = "canceled", int64(0)
	return http.StatusOK, i
}

func (s *Server) refund(form url.Values) (int, object) {
	id := form.Get("payment_intent")
	i := s.intents[id]
	amount, _ := strconv.ParseInt(form.Get("amount"), 10, 64)
	paid, charged := i["latest_charge"].(object)
	if !charged {
		return errorOf(http.StatusNotFound, "invalid_request_error", "resource_missing", nil)
	}
	if left := number(i["amount_received"]) - number(paid["amount_refunded"]); amount <= 0 || amount > left {
		return errorOf(http.StatusBadRequest, "invalid_request_error", "amount_too_large", nil)
	}
	paid["amount_refunded"] = number(paid["amount_refunded"]) + amount
	r := object{
		"id": fmt.Sprintf("re_%d", len(s.refunds)+1), "object": "refund", "amount": amount, "currency": i["currency"], "payment_intent": id,
		"status": "succeeded", "metadata": metadata(form),
	}
	s.refunds = append(s.refunds, r)
	return http.StatusOK, r
}

func (s *Server) list(intent string) (int, object) {
	found := []object{}
	for _, r := range s.refunds {
		if r["payment_intent"] == intent {
			found = append(found, r)
		}
	}
	return http.StatusOK, object{"object": "list", "data": found, "has_more": false, "url": "/v1/refunds"}
}

var searched = regexp.MustCompile(`^metadata\['(\w+)'\]:'(.*)'$`)

func (s *Server) search(query string) (int, object) {
	m := searched.FindStringSubmatch(query)
	found := []object{}
	for _, id := range s.order {
		if meta, _ := s.intents[id]["metadata"].(object); m != nil && meta[m[1]] == m[2] {
			found = append(found, s.intents[id])
		}
	}
	return http.StatusOK, object{"object": "search_result", "data": found, "has_more": false, "url": "/v1/payment_intents/search"}
}
