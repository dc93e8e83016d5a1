package checkout

import (
	"bytes"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"

	checkoutv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/checkout/v1"
	"github.com/cellar-commerce/cellar/internal/money"
	"github.com/cellar-commerce/cellar/internal/problem"
)

var ours = sealer{bytes.Repeat([]byte("k"), minKey)}

// snapshots of any content.
var snapshots = rapid.Custom(func(t *rapid.T) *checkoutv1.QuoteSnapshot {
	q := &checkoutv1.QuoteSnapshot{CustomerId: rapid.String().Draw(t, "customer"), Nonce: rapid.String().Draw(t, "nonce")}
	for range rapid.IntRange(0, 5).Draw(t, "lines") {
		q.Lines = append(q.Lines, line(rapid.Int64().Draw(t, "price"), rapid.Int64().Draw(t, "quantity")))
	}
	return q
})

func line(cents, quantity int64) *checkoutv1.QuoteLine {
	return &checkoutv1.QuoteLine{Sku: "ale", Title: "Pale ale", Quantity: quantity, UnitPrice: money.USD(cents).Proto()}
}

func TestWhatIsSealedOpensAsItWas(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		q := snapshots.Draw(t, "quote")
		token, err := ours.seal(q)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := ours.open(token); err != nil || !proto.Equal(got, q) {
			t.Fatalf("got %v, %v, want %v", got, err, q)
		}
	})
}

func TestATokenWithAnyCharacterChangedAddedOrLostIsRefused(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		token, err := ours.seal(snapshots.Draw(t, "quote"))
		if err != nil {
			t.Fatal(err)
		}
		at := rapid.IntRange(0, len(token)-1).Draw(t, "at")
		other := string(rapid.Byte().Draw(t, "character"))
		for _, forged := range []string{token[:at] + other + token[at+1:], token[:at] + other + token[at:], token[:at] + token[at+1:], token[:at]} {
			if forged == token {
				continue
			}
			if _, err := ours.open(forged); !problem.Is(err, "MALFORMED_QUOTE") {
				t.Fatalf("%q of %q: got %v", forged, token, err)
			}
		}
	})
}

func TestASignatureOfAnotherKeyOrForAnotherPurposeIsRefused(t *testing.T) {
	token, err := sealer{bytes.Repeat([]byte("x"), minKey)}.seal(&checkoutv1.QuoteSnapshot{Nonce: "1"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := ours.open(token); !problem.Is(err, "MALFORMED_QUOTE") {
		t.Errorf("another key: %v", err)
	}
	body, _, _ := strings.Cut(token, ".")
	// What is signed is not the body alone: another use of the key cannot be handed in as a quote.
	if a, b := ours.mac(body), ours.mac("quote/"+body); a == b || len(a) != 43 {
		t.Errorf("signatures %s and %s", a, b)
	}
}

func TestABodyThatIsSignedAndStillNoQuoteIsRefused(t *testing.T) {
	for _, body := range []string{"", "!", "_w"} { // nothing, no base 64, no protobuf
		_, err := ours.open(body + "." + ours.mac(body))
		if body == "" {
			if err != nil {
				t.Errorf("an empty quote is one: %v", err)
			}
			continue
		}
		if !problem.Is(err, "MALFORMED_QUOTE") {
			t.Errorf("%q: got %v", body, err)
		}
	}
}

func FuzzOpen(f *testing.F) {
	token, err := ours.seal(&checkoutv1.QuoteSnapshot{CustomerId: "c-use1-000000000000000000000000", Nonce: "1"})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(token)
	f.Add("")
	f.Add(".")
	f.Add(token + "\n")
	f.Fuzz(func(t *testing.T, s string) {
		q, err := ours.open(s)
		if err != nil {
			if !problem.Is(err, "MALFORMED_QUOTE") {
				t.Errorf("%q: %v", s, err)
			}
			return
		}
		// Only who has the key makes a token that opens, and the fuzzer does not: it can only find the ones above.
		if s != token && s != "."+ours.mac("") {
			t.Errorf("%q opens as %v", s, q)
		}
	})
}

func TestAShortKeySignsNothing(t *testing.T) {
	if _, err := New(Deps{QuoteKey: make([]byte, minKey-1)}); err == nil {
		t.Error("a key of 31 bytes is taken")
	}
}

func TestWithoutATaxEngineNothingIsSold(t *testing.T) {
	if _, err := New(Deps{QuoteKey: make([]byte, minKey)}); err == nil {
		t.Error("a shop that charges no tax is made")
	}
}
