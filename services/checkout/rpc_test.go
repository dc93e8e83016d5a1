package checkout

import (
	"bytes"
	"strings"
	"testing"

	checkoutv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/checkout/v1"
	"github.com/cellar-commerce/cellar/internal/problem"
)

func TestAKeyIsReadBareOrQuoted(t *testing.T) {
	long := strings.Repeat("k", maxKey)
	for raw, want := range map[string]string{
		"k": "k", `"k"`: "k", " k ": "k", "\t\"k\" ": "k", `" "`: " ", "a b": "a b", long: long, `"` + long + `"`: long,
		"8e03978e-40d5-43dd-bc93-6894a57f9324": "8e03978e-40d5-43dd-bc93-6894a57f9324",
	} {
		if got, err := parseKey(raw); err != nil || got != want {
			t.Errorf("%q: got %q, %v, want %q", raw, got, err, want)
		}
	}
	for raw, reason := range map[string]string{
		"": "IDEMPOTENCY_KEY_MISSING", "  ": "IDEMPOTENCY_KEY_MISSING", `""`: "IDEMPOTENCY_KEY_MISSING",
		`"`: "IDEMPOTENCY_KEY_MALFORMED", `"k`: "IDEMPOTENCY_KEY_MALFORMED", `k"`: "IDEMPOTENCY_KEY_MALFORMED", `a"b`: "IDEMPOTENCY_KEY_MALFORMED",
		`"""`: "IDEMPOTENCY_KEY_MALFORMED", "a\x00b": "IDEMPOTENCY_KEY_MALFORMED", "a\nb": "IDEMPOTENCY_KEY_MALFORMED", "a\x7fb": "IDEMPOTENCY_KEY_MALFORMED",
		"clé": "IDEMPOTENCY_KEY_MALFORMED", "\xff": "IDEMPOTENCY_KEY_MALFORMED", long + "k": "IDEMPOTENCY_KEY_MALFORMED",
	} {
		if got, err := parseKey(raw); !problem.Is(err, reason) || problem.KindOf(err) != problem.Invalid {
			t.Errorf("%q: got %q, %v, want %s", raw, got, err, reason)
		}
	}
}

func FuzzParseKey(f *testing.F) {
	for _, seed := range []string{"", "k", `"k"`, `"`, "clé", strings.Repeat("k", maxKey+1)} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		key, err := parseKey(raw)
		if err != nil {
			if problem.KindOf(err) != problem.Invalid || key != "" {
				t.Errorf("%q: got %q, %v", raw, key, err)
			}
			return
		}
		if len(key) < 1 || len(key) > maxKey || strings.ContainsFunc(key, func(r rune) bool { return r < 0x20 || r > 0x7e || r == '"' }) {
			t.Errorf("%q is taken as %q", raw, key)
		}
		if again, err := parseKey(`"` + key + `"`); err != nil || again != key {
			t.Errorf("%q quoted is %q, %v", key, again, err)
		}
	})
}

func TestTwoRequestsHaveOneFingerprintOnlyWhenTheyAreAlike(t *testing.T) {
	card := func(token, card string) *checkoutv1.PlaceOrderRequest {
		return &checkoutv1.PlaceOrderRequest{QuoteToken: token, Payment: &checkoutv1.PlaceOrderRequest_CardToken{CardToken: card}}
	}
	first, err := fingerprintOf(card("q", "tok_visa"))
	if err != nil {
		t.Fatal(err)
	}
	if again, _ := fingerprintOf(card("q", "tok_visa")); !bytes.Equal(first, again) {
		t.Error("the same request has another fingerprint")
	}
	for _, other := range []*checkoutv1.PlaceOrderRequest{
		card("r", "tok_visa"), card("q", "tok_mastercard"), {QuoteToken: "q"},
		{QuoteToken: "q", Payment: &checkoutv1.PlaceOrderRequest_PaymentMethodId{PaymentMethodId: "tok_visa"}},
	} {
		if got, _ := fingerprintOf(other); bytes.Equal(first, got) {
			t.Errorf("%v has the same fingerprint", other)
		}
	}
}
