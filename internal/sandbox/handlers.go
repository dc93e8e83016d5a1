package sandbox

import (
	"crypto/rand"
	"fmt"
	"net/http"
	"strconv"
)

const (
	// maxAmount keeps sums of any realistic number of entries far from overflow, in minor units.
	maxAmount = 1_000_000_000_000
	// maxReference in bytes: an order number is a tenth of it.
	maxReference = 255
	// defaultPage and maxPage bound one answer of the ledger, in entries: the largest is about 3 MB.
	defaultPage = 1000
	maxPage     = 10_000
)

// chargeRequest is the body of POST /v1/charges. Amount is in minor units of Currency.
type chargeRequest struct {
	Amount    int64  `json:"amount"`
	Currency  string `json:"currency"`
	Token     string `json:"token"`
	Reference string `json:"reference"`
	// Capture takes the money at once, as is the custom when it is not said; false only holds it.
	Capture *bool `json:"capture"`
}

// amountRequest is the body of a refund.
type amountRequest struct {
	Amount int64 `json:"amount"`
}

// captureRequest is the body of a capture.
type captureRequest struct {
	Amount int64 `json:"amount"`
	// Final lets go of what is left, as is the custom when it is not said; false keeps it for another capture.
	Final *bool `json:"final,omitempty"`
}

// newChargeID is random, so that two runs without a ledger file never give one id to two charges.
func newChargeID() string { return "ch_" + rand.Text() }

func (n *CardNetwork) createToken(w http.ResponseWriter, r *http.Request) error {
	var q tokenRequest
	if err := decode(r.Body, &q); err != nil {
		return err
	}
	c, err := q.card(n.clock.Now())
	if err != nil {
		return err
	}
	writeJSON(w, http.StatusOK, struct {
		Token string `json:"token"`
		Brand string `json:"brand"`
		Last4 string `json:"last4"`
	}{mint(c), brands[c.brand], fmt.Sprintf("%04d", c.last4)})
	return nil
}

func (n *CardNetwork) createCharge(w http.ResponseWriter, r *http.Request) error {
	key, err := idempotencyKey(r.Header)
	if err != nil {
		return err
	}
	var q chargeRequest
	if err := decode(r.Body, &q); err != nil {
		return err
	}
	if err := checkAmount(q.Amount); err != nil {
		return err
	}
	if !isCurrency(q.Currency) {
		return unprocessable("invalid_currency", "currency must be three capital letters (ISO 4217)")
	}
	if q.Reference == "" || len(q.Reference) > maxReference {
		return unprocessable("invalid_reference", "reference must be 1 to 255 bytes")
	}
	behaviour, err := resolve(q.Token)
	if err != nil {
		return err
	}
	kind := KindCapture
	if q.Capture != nil && !*q.Capture {
		kind = KindAuthorize
	}
	sale := kind == KindCapture
	q.Capture = &sale // said or not, it is the same request
	intent := Entry{Kind: kind, Amount: q.Amount, Currency: q.Currency, Reference: q.Reference}
	return n.perform(w, r, operation{key: key, behaviour: behaviour, intent: intent, opens: true, body: q})
}

func (n *CardNetwork) captureCharge(w http.ResponseWriter, r *http.Request) error {
	var q captureRequest
	if err := decode(r.Body, &q); err != nil {
		return err
	}
	if err := checkAmount(q.Amount); err != nil {
		return err
	}
	more := q.Final != nil && !*q.Final
	if !more {
		q.Final = nil // said or not, it is the same request
	}
	return n.change(w, r, operation{intent: Entry{Kind: KindCapture, Amount: q.Amount}, more: more, body: q})
}

func (n *CardNetwork) refundCharge(w http.ResponseWriter, r *http.Request) error {
	var q amountRequest
	if err := decode(r.Body, &q); err != nil {
		return err
	}
	if err := checkAmount(q.Amount); err != nil {
		return err
	}
	return n.change(w, r, operation{intent: Entry{Kind: KindRefund, Amount: q.Amount}, body: q})
}

// voidCharge lets go of what is held and not captured. It takes no body, or an empty object.
func (n *CardNetwork) voidCharge(w http.ResponseWriter, r *http.Request) error {
	var q struct{}
	if r.ContentLength != 0 {
		if err := decode(r.Body, &q); err != nil {
			return err
		}
	}
	return n.change(w, r, operation{intent: Entry{Kind: KindVoid}, body: q})
}

// change performs op on the charge that the path names.
func (n *CardNetwork) change(w http.ResponseWriter, r *http.Request, op operation) error {
	key, err := idempotencyKey(r.Header)
	if err != nil {
		return err
	}
	found, err := n.book.charge(r.PathValue("id"))
	if err != nil {
		return err
	}
	op.key, op.intent.ChargeID = key, found.ID
	return n.perform(w, r, op)
}

func (n *CardNetwork) getCharge(w http.ResponseWriter, r *http.Request) error {
	found, err := n.book.charge(r.PathValue("id"))
	if err != nil {
		return err
	}
	writeJSON(w, http.StatusOK, found)
	return nil
}

func (n *CardNetwork) findCharge(w http.ResponseWriter, r *http.Request) error {
	key := r.URL.Query().Get("idempotency_key")
	if key == "" {
		return badRequest("idempotency_key_missing", "the query must have idempotency_key")
	}
	found, err := n.book.chargeByKey(key)
	if err != nil {
		return err
	}
	writeJSON(w, http.StatusOK, found)
	return nil
}

// ledgerPage is a stretch of the ledger. Next is the `after` of the following one, also when there is none yet.
type ledgerPage struct {
	Entries []Entry `json:"entries"`
	Next    int64   `json:"next"`
}

func (n *CardNetwork) listLedger(w http.ResponseWriter, r *http.Request) error {
	query := r.URL.Query()
	after, err := number(query.Get("after"), 0)
	if err != nil || after < 0 {
		return badRequest("invalid_after", "after must be a seq, 0 or more")
	}
	limit, err := number(query.Get("limit"), defaultPage)
	if err != nil || limit < 1 || limit > maxPage {
		return badRequest("invalid_limit", fmt.Sprintf("limit must be 1 to %d", maxPage))
	}
	page := ledgerPage{Entries: n.ledger.page(after, int(limit)), Next: after}
	if count := len(page.Entries); count > 0 {
		page.Next = page.Entries[count-1].Seq
	}
	writeJSON(w, http.StatusOK, page)
	return nil
}

func (n *CardNetwork) getFaults(w http.ResponseWriter, _ *http.Request) error {
	writeJSON(w, http.StatusOK, n.faults.Load())
	return nil
}

func (n *CardNetwork) setFaults(w http.ResponseWriter, r *http.Request) error {
	var f Faults
	if err := decode(r.Body, &f); err != nil {
		return err
	}
	if err := f.check(); err != nil {
		return err
	}
	n.faults.Store(&f)
	n.log.Info("faults set", "faults", f)
	writeJSON(w, http.StatusOK, f)
	return nil
}

func (n *CardNetwork) clearFaults(w http.ResponseWriter, _ *http.Request) error {
	n.faults.Store(&Faults{})
	n.log.Info("faults cleared")
	w.WriteHeader(http.StatusNoContent)
	return nil
}

func checkAmount(amount int64) error {
	if amount <= 0 || amount > maxAmount {
		return unprocessable("invalid_amount", "amount must be positive and in minor units")
	}
	return nil
}

func isCurrency(s string) bool {
	if len(s) != 3 {
		return false
	}
	for _, c := range []byte(s) {
		if c < 'A' || c > 'Z' {
			return false
		}
	}
	return true
}

// number reads an optional query value.
func number(text string, absent int64) (int64, error) {
	if text == "" {
		return absent, nil
	}
	return strconv.ParseInt(text, 10, 64)
}
