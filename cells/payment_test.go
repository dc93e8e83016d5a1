package cells

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/cellar-commerce/cellar/cells/topology"
	"github.com/cellar-commerce/cellar/internal/cardnetwork"
	"github.com/cellar-commerce/cellar/internal/clock"
	"github.com/cellar-commerce/cellar/internal/ident"
	"github.com/cellar-commerce/cellar/internal/stripe"
	"github.com/cellar-commerce/cellar/services/payment"
)

func TestTheCardProviderIsTheOneThatIsConfigured(t *testing.T) {
	c := &Cell{cfg: goodConfig()}
	provider, events, err := c.cardProvider()
	if _, is := provider.(*cardnetwork.Client); err != nil || !is || events != nil {
		t.Errorf("%T, %T, %v", provider, events, err)
	}
	c.keys.cardEvents = "a key"
	if _, events, _ = c.cardProvider(); events == nil {
		t.Error("events are not listened to")
	}
	c.cfg.CardProvider, c.cfg.StripeURL, c.keys.stripe = ProviderStripe, "https://api.stripe.com", "sk_test_1"
	provider, events, err = c.cardProvider()
	if _, is := provider.(*stripe.Client); err != nil || !is {
		t.Errorf("%T, %v", provider, err)
	}
	if _, is := events.(*stripe.Webhook); !is {
		t.Errorf("%T", events)
	}
}

func TestWithoutAMapAnEventHasNobodyToGoTo(t *testing.T) {
	customer := ident.NewCustomer("use1")
	c := &Cell{cfg: goodConfig(), maps: &topology.Holder{}, peers: http.DefaultClient}
	c.services.payment = payment.New(payment.Deps{})
	if _, err := c.paymentsOf(customer); err == nil {
		t.Error("there is no map, and an owner")
	}
}

// Whoever signs its requests needs no session; all else is a page, or goes through the gate.
func TestTheWebhookStandsBeforeTheGate(t *testing.T) {
	c := &Cell{cfg: goodConfig(), clock: clock.System{}}
	c.services.payment = payment.New(payment.Deps{})
	handler, err := c.publicHandler()
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range []struct {
		method, path string
		want         int
	}{
		{http.MethodPost, WebhookPath, http.StatusNotFound}, // nobody listens: there are no keys
		{http.MethodGet, WebhookPath, http.StatusNotFound},
	} {
		answer := httptest.NewRecorder()
		handler.ServeHTTP(answer, httptest.NewRequestWithContext(context.Background(), r.method, r.path, strings.NewReader("{}")))
		gate := strings.Contains(answer.Body.String(), "This page is not here")
		if answer.Code != r.want || gate != (r.method == http.MethodGet) {
			t.Errorf("%s %s: %d %s", r.method, r.path, answer.Code, answer.Body)
		}
	}
}
