package payment

import (
	"bytes"
	"log/slog"
	"strings"
	"sync"
	"testing"

	"pgregory.net/rapid"

	paymentv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/payment/v1"
	"github.com/cellar-commerce/cellar/internal/ident"
	"github.com/cellar-commerce/cellar/internal/problem"
)

func TestAnIssueGivesOneCardHoweverOftenItIsAsked(t *testing.T) {
	w := newWorld(t)
	codes := make([]string, 8)
	var wg sync.WaitGroup
	for i := range codes {
		wg.Go(func() {
			resp, err := w.IssueGiftCard(t.Context(), &paymentv1.IssueGiftCardRequest{IssueId: "christmas-1", Amount: usd(2500)})
			if err != nil {
				t.Error(err)
			}
			codes[i] = resp.GetGiftCard().GetCode()
		})
	}
	wg.Wait()
	for _, c := range codes {
		if c != codes[0] || !strings.HasPrefix(c, "GC-USE1-") || len(c) != len("GC-USE1-7KQ2-M8XD-4T9W-C3HN-R") {
			t.Errorf("codes %q", codes)
		}
	}
	if w.left(t, codes[0]) != 2500 {
		t.Errorf("%d on it", w.left(t, codes[0]))
	}
	_, err := w.IssueGiftCard(t.Context(), &paymentv1.IssueGiftCardRequest{IssueId: "christmas-1", Amount: usd(2501)})
	refused(t, err, problem.Precondition, "ISSUE_MISMATCH")
	other, err := w.IssueGiftCard(t.Context(), &paymentv1.IssueGiftCardRequest{IssueId: "christmas-2", Amount: usd(2500)})
	if err != nil || other.GetGiftCard().GetCode() == codes[0] {
		t.Errorf("another issue: %v, %v", other, err)
	}
	w.checkBooks(t)
	for _, bad := range []*paymentv1.IssueGiftCardRequest{
		{IssueId: "", Amount: usd(1)}, {IssueId: "a b", Amount: usd(1)}, {IssueId: "x", Amount: usd(0)}, {IssueId: "x", Amount: usd(maxCredit + 1)},
		{IssueId: "x", Amount: usd(1), Region: "mars-1"},
	} {
		_, err := w.IssueGiftCard(t.Context(), bad)
		refused(t, err, problem.Invalid, "INVALID_FIELDS")
	}
}

func TestWhatIsNoGiftCardIsAlwaysAnsweredAlike(t *testing.T) {
	w := newWorld(t)
	real := w.gift(t, 5)
	wrongCheck := real[:len(real)-1] + map[bool]string{true: "0", false: "1"}[real[len(real)-1] != '0']
	var answers []string
	for _, text := range []string{"", "GC", wrongCheck, string(newCode([]byte("k"), "use1", "i")), strings.Replace(real, "USE1", "MARS", 1), strings.Repeat("A", 1000), "💳"} {
		_, err := w.GetGiftCard(t.Context(), &paymentv1.GetGiftCardRequest{Code: text})
		refused(t, err, problem.NotFound, "UNKNOWN_GIFT_CARD")
		answers = append(answers, err.Error())
	}
	for _, a := range answers {
		if a != answers[0] {
			t.Errorf("answers differ: %q", answers)
		}
	}
}

func TestACodeIsReadAsPeopleTypeIt(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		region := rapid.SampledFrom(ident.Regions()).Draw(t, "region")
		ring, _ := region.Code()
		c := newCode([]byte("key"), ring, rapid.String().Draw(t, "issue"))
		want := c.account(region)
		typed := string(c)
		if rapid.Bool().Draw(t, "lower") {
			typed = strings.ToLower(typed)
		}
		if rapid.Bool().Draw(t, "dashless") {
			typed = strings.ReplaceAll(typed, "-", " ")
		}
		if got, ok := parseCode(typed); !ok || got != want {
			t.Fatalf("%q is read as %v, %v", typed, got, ok)
		}
		// Any other character is caught; 0 and Z are 31 apart, the one pair the modulus cannot tell.
		at := rapid.IntRange(len("GC-USE1-"), len(typed)-3).Draw(t, "at")
		with := rapid.SampledFrom([]byte(codeAlphabet[:31])).Draw(t, "with")
		spoiled := []byte(string(c))
		if spoiled[at] == '-' || spoiled[at] == with || spoiled[at] == 'Z' {
			return
		}
		spoiled[at] = with
		if _, ok := parseCode(string(spoiled)); ok {
			t.Fatalf("%s is accepted instead of %s", spoiled, c)
		}
	})
}

func FuzzParseCode(f *testing.F) {
	f.Add(string(newCode([]byte("k"), "use1", "i")))
	f.Add("gc use1 oil1 0000 0000 0000 0")
	f.Fuzz(func(t *testing.T, s string) {
		if a, ok := parseCode(s); ok {
			if _, known := a.region.Code(); !known || len(a.hash()) != 32 {
				t.Errorf("%q is read as %v", s, a)
			}
		}
	})
}

// Neither card tokens nor gift card codes are logged; and a code is in no row, since only its hash is.
func TestCodesAndTokensAreNeitherLoggedNorStored(t *testing.T) {
	w := newWorld(t)
	var log bytes.Buffer
	w.deps.Log = slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	code := w.gift(t, 500)
	p := newPurchase()
	if _, err := w.buy(p, 800, gift(code), card("tok_visa")); err != nil {
		t.Fatal(err)
	}
	w.mustUndo(t, p, refunded)
	random := strings.ReplaceAll(code, "-", "")
	for _, table := range []string{"payments", "payment_tenders", "payment_moves", "gift_cards", "ledger_entries"} {
		var rows []string
		if err := w.dump(t, table, &rows); err != nil {
			t.Fatal(err)
		}
		for _, row := range rows {
			if strings.Contains(row, code) || strings.Contains(row, random) || strings.Contains(row, code[8:12]+"-") {
				t.Errorf("%s has the code: %s", table, row)
			}
		}
		if len(rows) == 0 && table != "payment_moves" {
			t.Errorf("%s is empty", table)
		}
	}
	if strings.Contains(log.String(), code) || strings.Contains(log.String(), "tok_") {
		t.Errorf("logged: %s", &log)
	}
}
