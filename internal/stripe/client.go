package stripe

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	sdk "github.com/stripe/stripe-go/v82"

	"github.com/cellar-commerce/cellar/internal/cardnetwork"
)

const (
	// requestTimeout of one request; a charge is two.
	requestTimeout = 5 * time.Second
	// keyName of our idempotency key in Stripe's metadata.
	keyName = "cellar_key"
	// maxRefunds of an intent that are looked through for a key.
	maxRefunds = 100
)

// Config of a client.
type Config struct {
	// SecretKey of the account, sk_….
	SecretKey string
	// BaseURL of the API, https://api.stripe.com.
	BaseURL string
	// HTTPClient sends the requests; nil is one with a timeout of 5 s.
	HTTPClient *http.Client
}

// Client of one account. It is safe for concurrent use.
type Client struct{ api *sdk.Client }

// New client; it needs a key and an address.
func New(config Config) (*Client, error) {
	if config.SecretKey == "" || config.BaseURL == "" {
		return nil, errors.New("new Stripe client: SecretKey and BaseURL are required")
	}
	client := config.HTTPClient
	if client == nil {
		client = &http.Client{Timeout: requestTimeout}
	}
	backends := sdk.NewBackendsWithConfig(&sdk.BackendConfig{
		URL: sdk.String(config.BaseURL), HTTPClient: client,
		MaxNetworkRetries: sdk.Int64(0), // retries are the caller's policy
		EnableTelemetry:   sdk.Bool(false),
		LeveledLogger:     &sdk.LeveledLogger{Level: sdk.LevelNull}, // its lines would quote what is sent
	})
	return &Client{api: sdk.NewClient(config.SecretKey, sdk.WithBackends(backends))}, nil
}

// Charge asks for a new charge; see the package comment of internal/cardnetwork for the answers.
func (c *Client) Charge(ctx context.Context, q cardnetwork.ChargeRequest) (cardnetwork.Charge, error) {
	intent, err := c.create(ctx, q)
	if err != nil {
		return cardnetwork.Charge{}, fmt.Errorf("charge with key %s: %w", q.Key, explain(err))
	}
	confirm := &sdk.PaymentIntentConfirmParams{ErrorOnRequiresAction: sdk.Bool(true)}
	confirm.SetIdempotencyKey(q.Key + "/confirm")
	confirm.AddExpand("latest_charge")
	if strings.HasPrefix(q.Token, "ctoken_") {
		confirm.ConfirmationToken = sdk.String(q.Token)
	} else {
		confirm.PaymentMethod = sdk.String(q.Token)
	}
	confirmed, err := c.api.V1PaymentIntents.Confirm(ctx, intent.ID, confirm)
	if code, is := declineOf(err); is {
		return cardnetwork.Charge{
			ID: intent.ID, Status: cardnetwork.Declined, Amount: q.Amount, Currency: q.Currency, Reference: q.Reference, DeclineCode: code,
		}, nil
	}
	if state, is := unexpectedState(err); is {
		confirmed, err = state, nil // it was confirmed before, and Stripe has forgotten the key
		if confirmed == nil {
			confirmed, err = c.read(ctx, intent.ID)
		}
	}
	if err != nil {
		return cardnetwork.Charge{}, fmt.Errorf("charge with key %s: %w", q.Key, explain(err))
	}
	made, has := charge(confirmed)
	if !has {
		return cardnetwork.Charge{}, fmt.Errorf("charge with key %s: %w: the intent is %s", q.Key, cardnetwork.ErrUnknownOutcome, confirmed.Status)
	}
	return made, nil
}

// create the intent of a charge, or get the one there is. No money moves.
func (c *Client) create(ctx context.Context, q cardnetwork.ChargeRequest) (*sdk.PaymentIntent, error) {
	params := &sdk.PaymentIntentCreateParams{
		Amount: sdk.Int64(q.Amount), Currency: sdk.String(strings.ToLower(q.Currency)), PaymentMethodTypes: []*string{sdk.String("card")},
		CaptureMethod: sdk.String(string(sdk.PaymentIntentCaptureMethodAutomatic)),
	}
	if !q.Capture {
		params.CaptureMethod = sdk.String(string(sdk.PaymentIntentCaptureMethodManual))
		params.PaymentMethodOptions = &sdk.PaymentIntentCreatePaymentMethodOptionsParams{
			Card: &sdk.PaymentIntentCreatePaymentMethodOptionsCardParams{RequestMulticapture: sdk.String("if_available")},
		}
	}
	params.AddMetadata(keyName, q.Key)
	params.AddMetadata("reference", q.Reference)
	params.SetIdempotencyKey(q.Key)
	return c.api.V1PaymentIntents.Create(ctx, params)
}

func (c *Client) read(ctx context.Context, id string) (*sdk.PaymentIntent, error) {
	params := &sdk.PaymentIntentRetrieveParams{}
	params.AddExpand("latest_charge")
	return c.api.V1PaymentIntents.Retrieve(ctx, id, params)
}

// Find the charge that a request has made; false when the card has not been asked so far.
func (c *Client) Find(ctx context.Context, q cardnetwork.ChargeRequest) (cardnetwork.Charge, bool, error) {
	found, has, _, err := c.find(ctx, q)
	return found, has, err
}

func (c *Client) find(ctx context.Context, q cardnetwork.ChargeRequest) (found cardnetwork.Charge, has bool, intentID string, err error) {
	intent, err := c.create(ctx, q)
	if err != nil {
		return found, false, "", fmt.Errorf("find charge by key %s: %w", q.Key, unknown(err))
	}
	now, err := c.read(ctx, intent.ID)
	if err != nil {
		return found, false, "", fmt.Errorf("find charge by key %s: %w", q.Key, unknown(err))
	}
	if found, has = charge(now); has || pending(now) {
		if !has {
			err = fmt.Errorf("find charge by key %s: %w: the intent is %s", q.Key, cardnetwork.ErrUnknownOutcome, now.Status)
		}
		return found, has, intent.ID, err
	}
	if intent.LastResponse != nil && intent.LastResponse.Header.Get("Idempotent-Replayed") == "true" {
		return found, false, intent.ID, nil
	}
	found, has, err = c.search(ctx, q.Key)
	return found, has, intent.ID, err
}

// search for a charge whose key Stripe has forgotten.
func (c *Client) search(ctx context.Context, key string) (cardnetwork.Charge, bool, error) {
	params := &sdk.PaymentIntentSearchParams{SearchParams: sdk.SearchParams{Query: fmt.Sprintf("metadata['%s']:'%s'", keyName, strings.ReplaceAll(key, "'", "\\'"))}}
	params.AddExpand("data.latest_charge")
	for intent, err := range c.api.V1PaymentIntents.Search(ctx, params) {
		if err != nil {
			return cardnetwork.Charge{}, false, fmt.Errorf("search charge by key %s: %w", key, unknown(err))
		}
		if found, has := charge(intent); has && intent.Metadata[keyName] == key {
			return found, true, nil
		}
	}
	return cardnetwork.Charge{}, false, nil
}

// Abandon is Find, and afterwards the card cannot be asked for this key any more.
func (c *Client) Abandon(ctx context.Context, q cardnetwork.ChargeRequest) (cardnetwork.Charge, bool, error) {
	found, has, intentID, err := c.find(ctx, q)
	if err != nil || has {
		return found, has, err
	}
	cancelled, err := c.api.V1PaymentIntents.Cancel(ctx, intentID, &sdk.PaymentIntentCancelParams{})
	if _, is := unexpectedState(err); is {
		cancelled, err = c.read(ctx, intentID) // confirmed, or cancelled, since it was read
	}
	if err != nil {
		return found, false, fmt.Errorf("abandon charge with key %s: %w", q.Key, unknown(err))
	}
	found, has = charge(cancelled)
	return found, has, nil
}

// Capture takes money that an authorized charge holds.
func (c *Client) Capture(ctx context.Context, q cardnetwork.CaptureRequest) (cardnetwork.Charge, error) {
	params := &sdk.PaymentIntentCaptureParams{AmountToCapture: sdk.Int64(q.Amount)}
	if q.More {
		params.FinalCapture = sdk.Bool(false) // true is the default, and the only value without multicapture
	}
	params.SetIdempotencyKey(q.Key)
	params.AddExpand("latest_charge")
	intent, err := c.api.V1PaymentIntents.Capture(ctx, q.ChargeID, params)
	if _, is := unexpectedState(err); is {
		// Either the authorization ran out, and this is final; or this very capture was made so long ago that Stripe has
		// forgotten its key, and somebody has to look.
		if now, readErr := c.read(ctx, q.ChargeID); readErr != nil || now.AmountReceived > 0 {
			return cardnetwork.Charge{}, fmt.Errorf("capture with key %s: %w: the intent is not to be captured", q.Key, cardnetwork.ErrUnknownOutcome)
		}
	}
	return settled(q.Key, intent, err)
}

// Void lets go of what is held and not captured.
func (c *Client) Void(ctx context.Context, q cardnetwork.VoidRequest) (cardnetwork.Charge, error) {
	params := &sdk.PaymentIntentCancelParams{}
	params.SetIdempotencyKey(q.Key)
	params.AddExpand("latest_charge")
	intent, err := c.api.V1PaymentIntents.Cancel(ctx, q.ChargeID, params)
	if _, is := unexpectedState(err); is {
		// Stripe lets go by itself after some days: what is not held any more is let go of.
		intent, err = c.read(ctx, q.ChargeID)
	}
	return settled(q.Key, intent, err)
}

// Refund gives captured money back.
func (c *Client) Refund(ctx context.Context, q cardnetwork.RefundRequest) (cardnetwork.Charge, error) {
	list := &sdk.RefundListParams{PaymentIntent: sdk.String(q.ChargeID)}
	list.Limit = sdk.Int64(maxRefunds)
	for r, err := range c.api.V1Refunds.List(ctx, list) {
		if err != nil {
			return cardnetwork.Charge{}, fmt.Errorf("refund with key %s: %w", q.Key, explain(err))
		}
		if r.Metadata[keyName] == q.Key {
			return refunded(q, r)
		}
	}
	params := &sdk.RefundCreateParams{PaymentIntent: sdk.String(q.ChargeID), Amount: sdk.Int64(q.Amount)}
	params.AddMetadata(keyName, q.Key)
	params.SetIdempotencyKey(q.Key)
	r, err := c.api.V1Refunds.Create(ctx, params)
	if err != nil {
		return cardnetwork.Charge{}, fmt.Errorf("refund with key %s: %w", q.Key, explain(err))
	}
	return refunded(q, r)
}

// refunded reads a refund: Stripe may take days to carry it out, and may fail to.
func refunded(q cardnetwork.RefundRequest, r *sdk.Refund) (cardnetwork.Charge, error) {
	if r.Status == sdk.RefundStatusFailed || r.Status == sdk.RefundStatusCanceled {
		return cardnetwork.Charge{}, fmt.Errorf("refund with key %s: %w", q.Key,
			&cardnetwork.RequestError{Status: http.StatusUnprocessableEntity, Code: "refund_" + string(r.Status), Message: "the refund was not carried out"})
	}
	return cardnetwork.Charge{ID: q.ChargeID, Status: cardnetwork.Captured, Refunded: r.Amount, Currency: strings.ToUpper(string(r.Currency))}, nil
}

// settled reads the answer to a capture or a void.
func settled(key string, intent *sdk.PaymentIntent, err error) (cardnetwork.Charge, error) {
	if err != nil {
		return cardnetwork.Charge{}, fmt.Errorf("with key %s: %w", key, explain(err))
	}
	made, has := charge(intent)
	if !has {
		return made, fmt.Errorf("with key %s: %w: the intent is %s", key, cardnetwork.ErrUnknownOutcome, intent.Status)
	}
	return made, nil
}
