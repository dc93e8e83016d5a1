package sandbox

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

type tokenReply struct{ Token, Brand, Last4 string }

func (h *harness) token(tb testing.TB, number string) tokenReply {
	tb.Helper()
	got := h.post("/v1/tokens", "", `{"number":"`+number+`","exp_month":3,"exp_year":2031,"cvc":"123"}`)
	var made tokenReply
	if err := json.Unmarshal([]byte(got.body), &made); err != nil || got.status != 200 {
		tb.Fatalf("%s: %d %s", number, got.status, got.body)
	}
	return made
}

func TestTestNumbersBehaveAsTheTokensBesideThem(t *testing.T) {
	h := newHarness(t, NewMemoryLedger())
	for number, want := range testNumbers {
		made := h.token(t, number)
		got, err := resolve(made.Token)
		if err != nil || got != want || made.Last4 != number[12:] || made.Brand != "visa" {
			t.Errorf("%s: behaviour %d (%v), %+v; want behaviour %d", number, got, err, made, want)
		}
		if !strings.Contains(docOf(t), number) {
			t.Errorf("the table in doc.go lacks %s", number)
		}
	}
	for token := range wellKnownTokens {
		if !strings.Contains(docOf(t), token+" ") {
			t.Errorf("the table in doc.go lacks %s", token)
		}
	}
}

func docOf(t *testing.T) string {
	t.Helper()
	doc, err := os.ReadFile("doc.go")
	if err != nil {
		t.Fatal(err)
	}
	return string(doc)
}

func TestBrands(t *testing.T) {
	h := newHarness(t, NewMemoryLedger())
	for number, brand := range map[string]string{
		"4242 4242 4242 4242": "visa",
		"5555-5555-5555-4444": "mastercard",
		"2221000000000009":    "mastercard",
		"378282246310005":     "amex",
		"6011000990139424":    "discover",
		"3530111333300000":    "unknown",
	} {
		if made := h.token(t, number); made.Brand != brand {
			t.Errorf("%s: %s, want %s", number, made.Brand, brand)
		}
	}
	one, two := h.token(t, "4242424242424242"), h.token(t, "4242424242424242")
	if one.Token == two.Token || one.Last4 != "4242" {
		t.Errorf("tokens of one card: %+v %+v", one, two)
	}
	if made := h.token(t, "4000000000000069"); made.Last4 != "0069" {
		t.Errorf("last4 %q", made.Last4)
	}
}

func TestBadCardsAreRefused(t *testing.T) {
	h := newHarness(t, NewMemoryLedger())
	body := func(number, month, year, cvc string) string {
		return `{"number":"` + number + `","exp_month":` + month + `,"exp_year":` + year + `,"cvc":"` + cvc + `"}`
	}
	const good = "4242424242424242"
	for body, code := range map[string]string{
		body("4242424242424241", "1", "2035", "123"): "invalid_number",
		body("424242424242424x", "1", "2035", "123"): "invalid_number",
		body("", "1", "2035", "123"):                 "invalid_number",
		body("00000000000", "1", "2035", "123"):      "invalid_number",
		body(good, "0", "2035", "123"):               "invalid_expiry",
		body(good, "13", "2035", "123"):              "invalid_expiry",
		body(good, "1", "35", "123"):                 "invalid_expiry",
		body(good, "1", "2052", "123"):               "invalid_expiry",
		body(good, "2", "2031", "123"):               "expired_card",
		body(good, "12", "2030", "123"):              "expired_card",
		body(good, "1", "2035", "12"):                "invalid_cvc",
		body(good, "1", "2035", "12a"):               "invalid_cvc",
	} {
		expect(t, h.post("/v1/tokens", "", body), 422, code)
	}
	h.clock.Advance(2 * time.Second) // testNow is the last second of March
	expect(t, h.post("/v1/tokens", "", body(good, "3", "2031", "123")), 422, "expired_card")
}

func TestTamperedTokensAreUnknown(t *testing.T) {
	token := mint(card{behaviour: declineCard, brand: 1, last4: 2})
	if _, err := resolve(token); err != nil {
		t.Fatal(err)
	}
	for i := range len(token) {
		bad := token[:i] + string('0'+('9'-token[i]+1)%10) + token[i+1:]
		if _, err := resolve(bad); err == nil && bad != token {
			t.Errorf("%s is accepted beside %s", bad, token)
		}
	}
	if _, err := resolve(mint(card{behaviour: behaviourEnd})); err == nil {
		t.Error("a behaviour that does not exist is accepted")
	}
}

func TestCardNumbersAreNeitherStoredNorLoggedNorQuoted(t *testing.T) {
	dir := t.TempDir()
	h := newHarness(t, openLedger(t, dir))
	const number = "4000000000002008"
	made := h.token(t, number)
	h.sale("k", "tok_visa")
	for _, body := range []string{
		`{"number":` + number + `}`,
		`{"number":"` + number + `0","exp_month":1,"exp_year":2035,"cvc":"123"}`,
		`{"` + number + `":1}`,
		`{"exp_month":` + number + number + `}`,
		number + number, `{"cvc":"` + number + `"`,
	} {
		if got := h.post("/v1/tokens", "", body); strings.Contains(got.body, number) || got.status < 400 {
			t.Errorf("answer: %d %s", got.status, got.body)
		}
	}
	file, err := os.ReadFile(filepath.Join(dir, ledgerFileName))
	if err != nil || len(file) == 0 {
		t.Fatalf("ledger file: %d bytes, %v", len(file), err)
	}
	if strings.Contains(string(file), number) || strings.Contains(h.log.String(), number) || strings.Contains(made.Token, number) {
		t.Error("a card number was kept")
	}
}
