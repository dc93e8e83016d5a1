package payment

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/cellar-commerce/cellar/internal/cardnetwork"
	paymentv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/payment/v1"
	"github.com/cellar-commerce/cellar/internal/ident"
	"github.com/cellar-commerce/cellar/internal/problem"
)

// hear of a payment's first request by event, or by asking.
func (w world) hear(how byte, p purchase) error {
	ctx := context.Background()
	if how == 'P' {
		_, err := w.Refresh(ctx, &paymentv1.RefreshRequest{CustomerId: string(p.customer), OrderId: string(p.order)})
		return err
	}
	charge, _, err := w.network.FindByKey(ctx, string(p.order))
	if err != nil {
		return err
	}
	_, err = w.TakeEvent(ctx, &paymentv1.TakeEventRequest{
		CustomerId: string(p.customer), OrderId: string(p.order), Key: string(p.order), ChargeId: charge.ID, Status: string(charge.Status), DeclineCode: charge.DeclineCode,
	})
	return err
}

// The client's answer (A), the network's event (W) and a poll (P).
func TestAnswerEventAndPollInAnyOrderMakeOneCaptureAndOneState(t *testing.T) {
	w := newWorld(t)
	for token, want := range map[string]paymentv1.State{"tok_visa": captured, "tok_declined": paymentv1.State_STATE_DECLINED} {
		for _, order := range []string{"AWP", "APW", "WAP", "PAW", "WPA", "PWA", "WWPPA", "AWWPP", "W", "P", "WP", "PW"} {
			t.Run(token+" "+order, func(t *testing.T) {
				p := newPurchase()
				before, after, answered := strings.Cut(order, "A")
				w.link.beforeAnswer(func() {
					for _, how := range []byte(before) {
						if err := w.hear(how, p); err != nil {
							t.Error(err)
						}
					}
					if !answered {
						w.link.set(true) // the answer never comes, and nobody can ask
					}
				})
				if !answered {
					w.link.loses(func(after bool) bool { return after })
				}
				err := w.pay(p, token)
				w.link.set(false)
				w.link.loses(nil)
				if answered && want == captured && err != nil {
					t.Error(err)
				}
				for _, how := range []byte(after) {
					if err := w.hear(how, p); err != nil {
						t.Error(err)
					}
				}
				captures := map[paymentv1.State]int{captured: 1}[want]
				w.expect(t, p, want, captures, 0)
				err = w.pay(p, token) // the shopper asks again
				if (err == nil) != (want == captured) {
					t.Error(err)
				}
				w.expect(t, p, want, captures, 0)
			})
		}
	}
}

func TestEventsOfAHoldOfItsCapturesAndOfItsRefundsEndWhatNobodyHeardOf(t *testing.T) {
	w, p := newWorld(t), newPurchase()
	w.link.loses(func(after bool) bool { return after })
	events := func(keys ...string) {
		t.Helper()
		for range 2 {
			for _, key := range keys {
				charge, found, err := w.network.FindByKey(t.Context(), string(p.order)+key)
				if err != nil || !found {
					t.Fatalf("%s: %v, %v", key, found, err)
				}
				_, err = w.TakeEvent(t.Context(), &paymentv1.TakeEventRequest{
					CustomerId: string(p.customer), OrderId: string(p.order), Key: string(p.order) + key, ChargeId: charge.ID, Status: string(charge.Status),
				})
				if err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	got, err := w.hold(p, 1000, card("tok_visa")) // a poll within the call finds it
	shows(t, got, err, authorized, 0, 0)
	_, err = w.ship(p, "s1", 600, false)
	refused(t, err, problem.Unavailable, "PAYMENT_UNKNOWN")
	events("/capture/s1")
	w.expect(t, p, authorized, 1, 0)
	_, err = w.giveBackPart(p, "r1", 100)
	refused(t, err, problem.Unavailable, "PAYMENT_UNKNOWN")
	events("", "/refund/r1", "/capture/s1")
	w.link.loses(nil)
	got, err = w.ship(p, "s1", 600, false)
	shows(t, got, err, authorized, 600, 100)
	got, err = w.ship(p, "s2", 400, true)
	shows(t, got, err, captured, 1000, 100)
	w.expectAtNetwork(t, p, 1000, 100)
	events("/capture/s2", "/refund/r1", "", "/capture/s1")
	w.mustUndo(t, p, refunded)
	events("/refund", "")
	w.expectAtNetwork(t, p, 1000, 1000)
}

func TestAnEventOfAChargeThatWasVoidedMeanwhileGivesItBackThoughItsSenderDied(t *testing.T) {
	w, p := newWorld(t), newPurchase()
	w.link.beforeCharge(func() {
		w.clock.Advance(settleTime)
		if _, err := w.undo(p); err != nil {
			t.Error(err)
		}
		w.link.beforeAnswer(nil)
		w.link.loses(func(after bool) bool { return after })
	})
	_ = w.pay(p, "tok_visa")
	w.link.loses(nil)
	if err := w.hear('W', p); err != nil {
		t.Fatal(err)
	}
	w.expect(t, p, refunded, 1, 1)
	if err := w.hear('W', p); err != nil {
		t.Fatal(err)
	}
	w.expect(t, p, refunded, 1, 1)
}

// listen to the network's own events, doubled.
func (w world) listen(t *testing.T) {
	t.Helper()
	for path, body := range map[string]string{"/v1/webhook": fmt.Sprintf(`{"url":%q}`, w.hook), "/v1/faults": `{"webhook_duplicate_percent":100}`} {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, w.url+path, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		response, err := http.DefaultClient.Do(request)
		if err != nil || response.StatusCode != http.StatusOK {
			t.Fatalf("%v, %v", response, err)
		}
		_ = response.Body.Close()
	}
}

func TestTheNetworksOwnEventsSettleAPaymentWhoseAnswerIsLost(t *testing.T) {
	w, p := newWorld(t), newPurchase()
	w.listen(t)
	w.link.loses(func(after bool) bool { return after })
	w.link.beforeAnswer(func() { w.link.set(true) })
	refused(t, w.pay(p, "tok_visa"), problem.Unavailable, "PAYMENT_UNKNOWN")
	w.bank.Announced()
	w.link.set(false)
	w.link.loses(nil)
	w.expect(t, p, captured, 1, 0)
	w.mustUndo(t, p, refunded)
	w.bank.Announced()
	w.expect(t, p, refunded, 1, 1)
}

func TestOnlyFreshSignedEventsOfOursAreTaken(t *testing.T) {
	w, p := newWorld(t), newPurchase()
	if err := w.pay(p, "tok_unavailable"); err == nil {
		t.Fatal("it was charged")
	}
	body := func(key, status string) string {
		return fmt.Sprintf(`{"id":"ev_1","type":"charge.captured","idempotency_key":%q,"charge":{"id":"ch_x","status":%q}}`, key, status)
	}
	good := body(string(p.order), "captured")
	for name, c := range map[string]struct {
		body, key string
		at        time.Time
		want      int
	}{
		"another key":   {good, "x", opened, http.StatusBadRequest},
		"too old":       {good, eventKey, opened.Add(-6 * time.Minute), http.StatusBadRequest},
		"too new":       {good, eventKey, opened.Add(6 * time.Minute), http.StatusBadRequest},
		"no event":      {"{", eventKey, opened, http.StatusBadRequest},
		"no charge":     {body(string(p.order), "lost"), eventKey, opened, http.StatusBadRequest},
		"too long":      {strings.Repeat(" ", maxEvent+1), eventKey, opened, http.StatusRequestEntityTooLarge},
		"another kind":  {`{"id":"ev_1","type":"dispute.opened"}`, eventKey, opened, http.StatusOK},
		"no order":      {body("somebody", "captured"), eventKey, opened, http.StatusOK},
		"unknown order": {body(string(ident.NewOrder("use1")), "captured"), eventKey, opened, http.StatusOK},
	} {
		if got := w.postEvent(t, c.body, c.key, c.at); got != c.want {
			t.Errorf("%s: %d, want %d", name, got, c.want)
		}
	}
	w.expect(t, p, paymentv1.State_STATE_PENDING, 0, 0)
	if got := w.postEvent(t, good, eventKey, opened); got != http.StatusOK {
		t.Errorf("a good one: %d", got)
	}
	w.expect(t, p, captured, 0, 0)
}

// away is an owner that cannot be reached.
type away struct{ calls *int }

func (a away) TakeEvent(context.Context, *paymentv1.TakeEventRequest) (*paymentv1.TakeEventResponse, error) {
	*a.calls++
	return nil, errors.New("played by a test")
}

func TestAnEventIsPassedOnToTheOwnerAndAskedForAgainWhenThatCannotBeReached(t *testing.T) {
	w, p := newWorld(t), newPurchase()
	calls := 0
	w.deps.Owners = func(id ident.CustomerID) (EventTaker, error) {
		if id != p.customer {
			t.Errorf("the owner of %s is asked for", id)
		}
		return away{&calls}, nil
	}
	if err := w.pay(p, "tok_unavailable"); err == nil {
		t.Fatal("it was charged")
	}
	event := fmt.Sprintf(`{"id":"ev_1","type":"charge.captured","idempotency_key":%q,"charge":{"id":"ch_x","status":"captured"}}`, p.order)
	if got := w.postEvent(t, event, eventKey, opened); got != http.StatusServiceUnavailable || calls != 1 {
		t.Errorf("%d after %d calls", got, calls)
	}
}

func FuzzEvent(f *testing.F) {
	f.Add(`{"id":"ev_1","type":"charge.captured","idempotency_key":"o","charge":{"id":"ch_x","status":"captured"}}`, "t=1,v1=00")
	f.Fuzz(func(t *testing.T, body, signature string) {
		hook, _ := cardnetwork.NewWebhook(eventKey)
		if _, ours, err := hook.Event(http.Header{cardnetwork.SignatureHeader: []string{signature}}, []byte(body), opened); ours || err == nil {
			t.Errorf("%q signed %q is taken", body, signature)
		}
	})
}
