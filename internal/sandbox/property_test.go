package sandbox

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// For any sequence of requests, with any faults, the ledger adds up to the charges, and so does a ledger read back.
func TestLedgerAddsUpToTheCharges(t *testing.T) {
	tokens := slices.Sorted(maps.Keys(wellKnownTokens))
	rapid.Check(t, func(rt *rapid.T) {
		d := &disk{}
		ledger := newLedger(d, nil)
		defer func() { _ = ledger.Close() }()
		h := newHarness(rt, ledger)
		h.Drain() // no delays
		ids := []string{"ch_none"}
		answered := map[string]reply{} // by request, key included
		amount := rapid.Int64Range(1, 30)
		steps := rapid.IntRange(1, 40).Draw(rt, "steps")
		for range steps {
			key := fmt.Sprintf("key-%d", rapid.IntRange(0, 25).Draw(rt, "key"))
			path, body := drawRequest(rt, ids, tokens, amount.Draw(rt, "amount"))
			got := h.post(path, key, body)
			if got.status == 200 || got.status == 402 {
				same := key + path + body
				if before, ok := answered[same]; ok && before != got {
					rt.Fatalf("%s: %+v, was %+v", same, got, before)
				}
				answered[same] = got
				ids = append(ids, got.charge(rt).ID)
			}
			if rapid.IntRange(0, 9).Draw(rt, "faults") == 0 {
				h.post("/v1/faults", "", fmt.Sprintf(`{"decline_percent":30,"unavailable_percent":30,"timeout_after_success_percent":30,"seed":%d}`, amount.Draw(rt, "seed")))
			}
		}
		checkSums(rt, h)
		records, _, err := readRecords(bytes.NewReader(d.afterCrash()))
		if err != nil {
			rt.Fatal(err)
		}
		again := newHarness(rt, newLedger(nil, records))
		checkSums(rt, again)
		for id, was := range h.book.charges {
			if is := again.book.charges[id].charge; is != was.charge {
				rt.Fatalf("charge read back: %+v, was %+v", is, was.charge)
			}
		}
		if len(again.book.answers) != len(h.book.answers) {
			rt.Fatalf("%d keys read back, were %d", len(again.book.answers), len(h.book.answers))
		}
	})
}

func drawRequest(rt *rapid.T, ids, tokens []string, amount int64) (path, body string) {
	id := rapid.SampledFrom(ids).Draw(rt, "id")
	switch verb := rapid.SampledFrom([]string{"", "", "capture", "refund", "refund", "void"}).Draw(rt, "verb"); verb {
	case "":
		return "/v1/charges", fmt.Sprintf(`{"amount":%d,"currency":"EUR","token":%q,"reference":"o","capture":%t}`,
			amount, rapid.SampledFrom(tokens).Draw(rt, "token"), rapid.Bool().Draw(rt, "capture"))
	case "capture":
		return "/v1/charges/" + id + "/capture", fmt.Sprintf(`{"amount":%d,"final":%t}`, amount, rapid.Bool().Draw(rt, "final"))
	case "void":
		return "/v1/charges/" + id + "/void", ""
	default:
		return "/v1/charges/" + id + "/" + verb, fmt.Sprintf(`{"amount":%d}`, amount)
	}
}

// checkSums adds the public ledger up by itself, in the plainest way, and compares.
func checkSums(rt *rapid.T, h *harness) {
	captured, refunded, voided := map[string]int64{}, map[string]int64{}, map[string]bool{}
	amounts, keys := map[string]int64{}, map[string]bool{}
	for i, e := range h.entries(rt) {
		if e.Seq != int64(i+1) || keys[e.IdempotencyKey] {
			rt.Fatalf("entry %d: %+v", i+1, e)
		}
		keys[e.IdempotencyKey] = true
		switch e.Kind {
		case KindCapture:
			captured[e.ChargeID] += e.Amount
		case KindRefund:
			refunded[e.ChargeID] += e.Amount
		case KindVoid:
			voided[e.ChargeID] = true
			if e.Amount <= 0 || e.Amount != amounts[e.ChargeID]-captured[e.ChargeID] {
				rt.Fatalf("entry %d lets go of what is not held: %+v", i+1, e)
			}
		case KindAuthorize, KindDecline:
		}
		if _, known := amounts[e.ChargeID]; !known {
			amounts[e.ChargeID] = e.Amount
		}
		if refunded[e.ChargeID] > captured[e.ChargeID] {
			rt.Fatalf("entry %d gives back what was never taken: %+v", i+1, e)
		}
	}
	for id, at := range h.book.charges {
		c := at.charge
		if c.Captured != captured[id] || c.Refunded != refunded[id] || (c.Status == StatusVoided) != (voided[id] && captured[id] == 0) {
			rt.Fatalf("charge %+v; the ledger says captured %d, refunded %d, voided %t", c, captured[id], refunded[id], voided[id])
		}
		if c.Refunded > c.Captured || c.Captured > c.Amount || (c.Status == StatusDeclined && c.Captured != 0) {
			rt.Fatalf("charge %+v", c)
		}
		held := c.Status == StatusAuthorized
		if held && (voided[id] || c.Captured == c.Amount) {
			rt.Fatalf("charge %+v holds nothing", c)
		}
		if refundedAll := !held && c.Captured > 0 && c.Refunded == c.Captured; refundedAll != (c.Status == StatusRefunded) {
			rt.Fatalf("charge %+v", c)
		}
	}
}
