package cells

import (
	"errors"

	"github.com/cellar-commerce/cellar/internal/breaker"
	"github.com/cellar-commerce/cellar/internal/cardnetwork"
	"github.com/cellar-commerce/cellar/internal/gen/cellar/payment/v1/paymentv1connect"
	"github.com/cellar-commerce/cellar/internal/ident"
	"github.com/cellar-commerce/cellar/internal/rpc"
	"github.com/cellar-commerce/cellar/internal/stripe"
	"github.com/cellar-commerce/cellar/services/payment"
)

// WebhookPath is where card providers post their events, at any cell or router.
const WebhookPath = "/webhooks/card-network"

// assemblePayment with the card provider that is configured, behind a breaker.
func (c *Cell) assemblePayment() error {
	provider, events, err := c.cardProvider()
	if err != nil {
		return err
	}
	guard := breaker.NewOne(c.cfg.CardProvider, func(from, to string) {
		c.log.Warn("a breaker changes", "traffic", "cards", "destination", c.cfg.CardProvider, "from", from, "to", to)
	})
	c.services.payment = payment.New(payment.Deps{
		DB: c.customers, Fence: c.services.fence, Provider: payment.Guarded(provider, guard), Events: events, Owners: c.paymentsOf,
		GiftCardKey: []byte(c.keys.giftCards), Clock: c.clock, Log: c.log,
	})
	return nil
}

// cardProvider that is configured, and who reads its events; none without the key they are signed with.
func (c *Cell) cardProvider() (payment.Provider, payment.Events, error) {
	var events payment.Events
	if c.cfg.CardProvider == ProviderStripe {
		if c.keys.cardEvents != "" {
			events = stripe.NewWebhook(c.keys.cardEvents)
		}
		provider, err := stripe.New(stripe.Config{SecretKey: c.keys.stripe, BaseURL: c.cfg.StripeURL})
		return provider, events, err
	}
	if c.keys.cardEvents != "" {
		webhook, err := cardnetwork.NewWebhook(c.keys.cardEvents)
		if err != nil {
			return nil, nil, err
		}
		events = webhook
	}
	provider, err := cardnetwork.New(cardnetwork.Config{BaseURL: c.cfg.CardNetwork})
	return provider, events, err
}

// paymentsOf a customer: the service of the cell that owns the slot.
func (c *Cell) paymentsOf(id ident.CustomerID) (payment.EventTaker, error) {
	owner, _, ok := c.maps.Owner(id)
	if !ok {
		return nil, errors.New("the map has no owner of the customer")
	}
	if owner == c.cfg.Cell {
		return c.services.payment, nil
	}
	return paymentv1connect.NewPaymentServiceClient(c.peers, "http://"+owner, rpc.ClientOptions()...), nil
}
