package stripe_test

import (
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stripe/stripe-go/v82/webhook"

	"github.com/cellar-commerce/cellar/internal/cardnetwork"
	"github.com/cellar-commerce/cellar/internal/stripe"
	"github.com/cellar-commerce/cellar/internal/stripe/stripetest"
)

func newClient(t *testing.T, url string) *stripe.Client {
	t.Helper()
	c, err := stripe.New(stripe.Config{SecretKey: "sk_test_123", BaseURL: url})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func sale(key string) cardnetwork.ChargeRequest {
	return cardnetwork.ChargeRequest{Key: key, Amount: 1999, Currency: "USD", Token: stripetest.Visa, Reference: "order-1", Capture: true}
}

func hold(key string) cardnetwork.ChargeRequest {
	q := sale(key)
	q.Capture = false
	return q
}

// Every request is one that Stripe's published description of its API allows.
func TestStripesOwnMockTakesEveryRequest(t *testing.T) {
	c := newClient(t, stripetest.Mock(t))
	ctx := t.Context()
	for name, call := range map[string]func() error{
		"sale": func() error { _, err := c.Charge(ctx, sale("k1")); return err },
		"hold": func() error { _, err := c.Charge(ctx, hold("k2")); return err },
		"token": func() error {
			q := sale("k3")
			q.Token = "ctoken_1"
			_, err := c.Charge(ctx, q)
			return err
		},
		"find": func() error { _, _, err := c.Find(ctx, sale("k4")); return err },
		"capture": func() error {
			_, err := c.Capture(ctx, cardnetwork.CaptureRequest{Key: "k5", ChargeID: "pi_1", Amount: 5, More: true})
			return err
		},
		"void": func() error { _, err := c.Void(ctx, cardnetwork.VoidRequest{Key: "k6", ChargeID: "pi_1"}); return err },
		"refund": func() error {
			_, err := c.Refund(ctx, cardnetwork.RefundRequest{Key: "k7", ChargeID: "pi_1", Amount: 5})
			return err
		},
		"abandon": func() error { _, _, err := c.Abandon(ctx, sale("k8")); return err },
	} {
		// The mock gives one fixture whatever was asked, in a state that explains nothing; a request that the description
		// does not allow it refuses with a 400.
		var refused *cardnetwork.RequestError
		if err := call(); errors.As(err, &refused) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestMoneyGoesAndComesBackInParts(t *testing.T) {
	server := stripetest.New(t)
	c, ctx := newClient(t, server.URL), t.Context()
	held, err := c.Charge(ctx, hold("o"))
	if err != nil || held.Status != cardnetwork.Authorized || held.Amount != 1999 || held.Currency != "USD" || held.Reference != "order-1" {
		t.Fatalf("got %+v, %v", held, err)
	}
	for range 2 {
		part, err := c.Capture(ctx, cardnetwork.CaptureRequest{Key: "o/capture/1", ChargeID: held.ID, Amount: 500, More: true})
		if err != nil || part.Status != cardnetwork.Authorized || part.Captured != 500 {
			t.Fatalf("got %+v, %v", part, err)
		}
	}
	last, err := c.Capture(ctx, cardnetwork.CaptureRequest{Key: "o/capture/2", ChargeID: held.ID, Amount: 1000})
	if err != nil || last.Status != cardnetwork.Captured || last.Captured != 1500 {
		t.Fatalf("got %+v, %v", last, err)
	}
	for range 2 {
		if _, err := c.Refund(ctx, cardnetwork.RefundRequest{Key: "o/refund/1", ChargeID: held.ID, Amount: 400}); err != nil {
			t.Fatal(err)
		}
		server.ForgetKeys() // after a day the refund is still known by its key
	}
	var refused *cardnetwork.RequestError
	if _, err := c.Refund(ctx, cardnetwork.RefundRequest{Key: "o/refund/2", ChargeID: held.ID, Amount: 1101}); !errors.As(err, &refused) || refused.Code != "amount_too_large" {
		t.Fatalf("got %v", err)
	}
	if captured, back, rest := server.Money(); captured != 1500 || back != 400 || rest != 0 {
		t.Errorf("captured %d, refunded %d, held %d", captured, back, rest)
	}
}

func TestAVoidLetsGoOfTheRestAlsoWhenStripeWasFaster(t *testing.T) {
	server := stripetest.New(t)
	c, ctx := newClient(t, server.URL), t.Context()
	held, err := c.Charge(ctx, hold("o"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Capture(ctx, cardnetwork.CaptureRequest{Key: "o/capture/1", ChargeID: held.ID, Amount: 500, More: true}); err != nil {
		t.Fatal(err)
	}
	if gone, err := c.Void(ctx, cardnetwork.VoidRequest{Key: "o/void", ChargeID: held.ID}); err != nil || gone.Status != cardnetwork.Captured || gone.Captured != 500 {
		t.Fatalf("got %+v, %v", gone, err)
	}
	held, _ = c.Charge(ctx, hold("p"))
	server.Expire(held.ID)
	if gone, err := c.Void(ctx, cardnetwork.VoidRequest{Key: "p/void", ChargeID: held.ID}); err != nil || gone.Status != cardnetwork.Voided {
		t.Fatalf("got %+v, %v", gone, err)
	}
	var refused *cardnetwork.RequestError
	if _, err := c.Capture(ctx, cardnetwork.CaptureRequest{Key: "p/capture/1", ChargeID: held.ID, Amount: 500}); !errors.As(err, &refused) {
		t.Fatalf("a hold that ran out: %v", err)
	}
}

func TestDeclinesAreAnswersWithTheIssuersReason(t *testing.T) {
	c := newClient(t, stripetest.New(t).URL)
	for card, code := range map[string]string{stripetest.Broke: "insufficient_funds", stripetest.NeedsYou: "authentication_required"} {
		q := sale("key of " + card)
		q.Token = card
		for range 2 {
			if got, err := c.Charge(t.Context(), q); err != nil || got.Status != cardnetwork.Declined || got.DeclineCode != code {
				t.Errorf("%s: %+v, %v", card, got, err)
			}
		}
		if got, has, err := c.Find(t.Context(), q); err != nil || !has || got.Status != cardnetwork.Declined || got.DeclineCode != code {
			t.Errorf("%s found: %+v, %v, %v", card, got, has, err)
		}
	}
}

func TestACardThatDoesNotExistIsARefusedRequest(t *testing.T) {
	c := newClient(t, stripetest.New(t).URL)
	q := sale("k")
	q.Token = "pm_of_nobody"
	var refused *cardnetwork.RequestError
	if _, err := c.Charge(t.Context(), q); !errors.As(err, &refused) || refused.Status != http.StatusBadRequest || strings.Contains(err.Error(), "pm_of") {
		t.Fatalf("got %v", err)
	}
	q.Amount++
	if _, err := c.Charge(t.Context(), q); !errors.As(err, &refused) || refused.Code != cardnetwork.CodeKeyReused {
		t.Fatalf("another amount with the key: %v", err)
	}
}

// lose the answers to what ends in a suffix, after or before its effect.
func lose(moment stripetest.Moment, suffix string) func(stripetest.Moment, string, string) int {
	return func(m stripetest.Moment, method, path string) int {
		if m == moment && method == http.MethodPost && strings.HasSuffix(path, suffix) {
			return http.StatusInternalServerError
		}
		return 0
	}
}

func TestALostAnswerIsUnknownUntilAskedFor(t *testing.T) {
	for name, c := range map[string]struct {
		moment stripetest.Moment
		suffix string
		found  bool
	}{
		"create, no effect":  {stripetest.Before, "payment_intents", false},
		"create, effect":     {stripetest.After, "payment_intents", false},
		"confirm, no effect": {stripetest.Before, "/confirm", false},
		"confirm, effect":    {stripetest.After, "/confirm", true},
	} {
		t.Run(name, func(t *testing.T) {
			server := stripetest.New(t)
			client, ctx := newClient(t, server.URL), t.Context()
			server.Fault(lose(c.moment, c.suffix))
			if _, err := client.Charge(ctx, sale("o")); !errors.Is(err, cardnetwork.ErrUnknownOutcome) {
				t.Fatalf("got %v", err)
			}
			server.Fault(nil)
			got, has, err := client.Find(ctx, sale("o"))
			if err != nil || has != c.found || (has && got.Status != cardnetwork.Captured) {
				t.Fatalf("found %+v, %v, %v", got, has, err)
			}
			if again, err := client.Charge(ctx, sale("o")); err != nil || again.Status != cardnetwork.Captured {
				t.Fatalf("again %+v, %v", again, err)
			}
			if captured, _, _ := server.Money(); captured != 1999 {
				t.Errorf("%d captured", captured)
			}
		})
	}
}

func TestAKeyThatStripeHasForgottenIsFoundInTheMetadata(t *testing.T) {
	server := stripetest.New(t)
	c, ctx := newClient(t, server.URL), t.Context()
	made, err := c.Charge(ctx, sale("o"))
	if err != nil {
		t.Fatal(err)
	}
	server.ForgetKeys()
	if got, has, err := c.Find(ctx, sale("o")); err != nil || !has || got.ID != made.ID {
		t.Fatalf("found %+v, %v, %v", got, has, err)
	}
	if _, has, err := c.Find(ctx, sale("another")); err != nil || has {
		t.Fatalf("found what is not: %v, %v", has, err)
	}
}

func TestWhatIsAbandonedCanNeverBeChargedAgain(t *testing.T) {
	server := stripetest.New(t)
	c, ctx := newClient(t, server.URL), t.Context()
	server.Fault(lose(stripetest.Before, "/confirm"))
	if _, err := c.Charge(ctx, sale("o")); !errors.Is(err, cardnetwork.ErrUnknownOutcome) {
		t.Fatal(err)
	}
	server.Fault(nil)
	for range 2 {
		if _, has, err := c.Abandon(ctx, sale("o")); err != nil || has {
			t.Fatalf("abandoned: %v, %v", has, err)
		}
	}
	if got, err := c.Charge(ctx, sale("o")); err == nil {
		t.Errorf("charged afterwards: %+v", got)
	}
	if captured, _, _ := server.Money(); captured != 0 {
		t.Errorf("%d captured", captured)
	}
	if _, err := c.Charge(ctx, sale("p")); err != nil {
		t.Fatal(err)
	}
	if got, has, err := c.Abandon(ctx, sale("p")); err != nil || !has || got.Status != cardnetwork.Captured {
		t.Errorf("what has its effect is not abandoned: %+v, %v, %v", got, has, err)
	}
}

const endpointSecret = "whsec_of_a_test"

var eventTime = time.Date(2031, 1, 1, 0, 0, 0, 0, time.UTC)

func signed(payload string, at time.Time) (http.Header, []byte) {
	s := webhook.GenerateTestSignedPayload(&webhook.UnsignedPayload{Payload: []byte(payload), Secret: endpointSecret, Timestamp: at})
	return http.Header{"Stripe-Signature": []string{s.Header}}, s.Payload
}

func TestEventsAreReadWhenStripeHasSignedThemLately(t *testing.T) {
	w := stripe.NewWebhook(endpointSecret)
	for payload, want := range map[string]string{
		`{"id":"evt_1","type":"payment_intent.succeeded","created":1,"data":{"object":{"id":"pi_1","status":"succeeded","amount":5,"amount_received":5,"metadata":{"cellar_key":"o"}}}}`:                                           "o captured",
		`{"id":"evt_2","type":"payment_intent.amount_capturable_updated","data":{"object":{"id":"pi_1","status":"requires_capture","metadata":{"cellar_key":"o"}}}}`:                                                               "o authorized",
		`{"id":"evt_3","type":"payment_intent.payment_failed","data":{"object":{"id":"pi_1","status":"requires_payment_method","last_payment_error":{"type":"card_error","code":"card_declined"},"metadata":{"cellar_key":"o"}}}}`: "o declined",
		`{"id":"evt_4","type":"refund.created","data":{"object":{"id":"re_1","status":"succeeded","amount":2,"payment_intent":"pi_1","metadata":{"cellar_key":"o/refund/1"}}}}`:                                                    "o/refund/1 captured",
		`{"id":"evt_5","type":"payment_intent.canceled","data":{"object":{"id":"pi_1","status":"canceled","metadata":{"cellar_key":"o"}}}}`:                                                                                        "",
		`{"id":"evt_6","type":"customer.created","data":{"object":{"id":"cus_1"}}}`:                                                                                                                                                "",
		`{"id":"evt_7","type":"payment_intent.succeeded","data":{"object":{"id":"pi_1","status":"succeeded"}}}`:                                                                                                                    "",
	} {
		header, body := signed(payload, eventTime)
		e, ours, err := w.Event(header, body, eventTime.Add(time.Minute))
		got := ""
		if ours {
			got = e.Key + " " + string(e.Charge.Status)
		}
		if err != nil || got != want {
			t.Errorf("%s: %q, %v; want %q", payload, got, err, want)
		}
	}
	header, body := signed(`{"id":"evt_1","type":"x"}`, eventTime)
	for name, forged := range map[string]func() error{
		"another body": func() error { _, _, err := w.Event(header, append([]byte(" "), body...), eventTime); return err },
		"another key":  func() error { _, _, err := stripe.NewWebhook("whsec_x").Event(header, body, eventTime); return err },
		"too old":      func() error { _, _, err := w.Event(header, body, eventTime.Add(6*time.Minute)); return err },
		"too new":      func() error { _, _, err := w.Event(header, body, eventTime.Add(-6*time.Minute)); return err },
		"no signature": func() error { _, _, err := w.Event(http.Header{}, body, eventTime); return err },
	} {
		if err := forged(); !errors.Is(err, cardnetwork.ErrForged) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func FuzzEvent(f *testing.F) {
	f.Add(`{"id":"evt_1","type":"payment_intent.succeeded","data":{"object":{"id":"pi_1","status":"succeeded","metadata":{"cellar_key":"o"}}}}`)
	f.Fuzz(func(t *testing.T, payload string) {
		header, body := signed(payload, eventTime)
		e, ours, err := stripe.NewWebhook(endpointSecret).Event(header, body, eventTime)
		if ours && (err != nil || e.Key == "" || e.Charge.Status == "") {
			t.Errorf("%q: %+v, %v", payload, e, err)
		}
	})
}

func TestTheSecretKeyIsSentAndNeverQuoted(t *testing.T) {
	client, err := stripe.New(stripe.Config{SecretKey: "sk_test_secret", BaseURL: "http://127.0.0.1:1"})
	if err != nil {
		t.Fatal(err)
	}
	_, err = client.Charge(t.Context(), sale("o"))
	if !errors.Is(err, cardnetwork.ErrUnknownOutcome) || strings.Contains(err.Error(), "sk_test") {
		t.Errorf("got %v", err)
	}
	if _, err := stripe.New(stripe.Config{}); err == nil {
		t.Error("no key is accepted")
	}
}
