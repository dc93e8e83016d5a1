package payment

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/cellar-commerce/cellar/internal/cardnetwork"
)

// Provider takes money from cards and gives it back. Its words are those of internal/cardnetwork; so are its errors: a
// decline is an answer, a RequestError a request that had no effect and never will have, ErrUnknownOutcome everything
// else. A request that is repeated with its key has one effect.
type Provider interface {
	// Charge takes an amount at once, or only holds it.
	Charge(ctx context.Context, req cardnetwork.ChargeRequest) (cardnetwork.Charge, error)
	// Capture takes a part of what is held.
	Capture(ctx context.Context, req cardnetwork.CaptureRequest) (cardnetwork.Charge, error)
	// Void lets go of what is still held.
	Void(ctx context.Context, req cardnetwork.VoidRequest) (cardnetwork.Charge, error)
	// Refund gives back a part of what was captured.
	Refund(ctx context.Context, req cardnetwork.RefundRequest) (cardnetwork.Charge, error)
	// Find the charge that a request has made; false when it has not had its effect so far. It never makes one.
	Find(ctx context.Context, req cardnetwork.ChargeRequest) (cardnetwork.Charge, bool, error)
	// Abandon is Find for a request that nobody waits for any more: where the provider can, it is kept from having an
	// effect later.
	Abandon(ctx context.Context, req cardnetwork.ChargeRequest) (cardnetwork.Charge, bool, error)
}

var _ Provider = (*cardnetwork.Client)(nil)

// Breaker keeps callers from a provider that does not answer.
type Breaker interface {
	// Do calls unless the breaker is open. An error of the call counts against the provider.
	Do(call func() error) error
}

// Guarded is a provider behind a breaker, which counts only answers that did not come: a decline, or a request that is
// refused, is an answer. While the breaker is open every outcome is unknown.
func Guarded(p Provider, b Breaker) Provider { return guarded{p, b} }

type guarded struct {
	next    Provider
	breaker Breaker
}

// through the breaker.
func (g guarded) through(ctx context.Context, call func() error) error {
	var own error
	open := g.breaker.Do(func() error {
		own = call()
		if own == nil || ctx.Err() != nil {
			return nil //nolint:nilerr // a caller who leaves says nothing about the provider
		}
		if _, answered := errors.AsType[*cardnetwork.RequestError](own); answered {
			return nil
		}
		return own
	})
	if own == nil && open != nil {
		return fmt.Errorf("%w: %w", cardnetwork.ErrUnknownOutcome, open)
	}
	return own
}

// Charge implements Provider.
func (g guarded) Charge(ctx context.Context, req cardnetwork.ChargeRequest) (c cardnetwork.Charge, err error) {
	err = g.through(ctx, func() (err error) { c, err = g.next.Charge(ctx, req); return err })
	return c, err
}

// Capture implements Provider.
func (g guarded) Capture(ctx context.Context, req cardnetwork.CaptureRequest) (c cardnetwork.Charge, err error) {
	err = g.through(ctx, func() (err error) { c, err = g.next.Capture(ctx, req); return err })
	return c, err
}

// Void implements Provider.
func (g guarded) Void(ctx context.Context, req cardnetwork.VoidRequest) (c cardnetwork.Charge, err error) {
	err = g.through(ctx, func() (err error) { c, err = g.next.Void(ctx, req); return err })
	return c, err
}

// Refund implements Provider.
func (g guarded) Refund(ctx context.Context, req cardnetwork.RefundRequest) (c cardnetwork.Charge, err error) {
	err = g.through(ctx, func() (err error) { c, err = g.next.Refund(ctx, req); return err })
	return c, err
}

// Find implements Provider.
func (g guarded) Find(ctx context.Context, req cardnetwork.ChargeRequest) (c cardnetwork.Charge, found bool, err error) {
	err = g.through(ctx, func() (err error) { c, found, err = g.next.Find(ctx, req); return err })
	return c, found, err
}

// Abandon implements Provider.
func (g guarded) Abandon(ctx context.Context, req cardnetwork.ChargeRequest) (c cardnetwork.Charge, found bool, err error) {
	err = g.through(ctx, func() (err error) { c, found, err = g.next.Abandon(ctx, req); return err })
	return c, found, err
}

// refusedRequest tells a request that the provider will never take (an unknown token, say) from a fault of ours. A key
// that was used for something else is one: there is a charge then.
func refusedRequest(err error) (code string, refused bool) {
	re, ok := errors.AsType[*cardnetwork.RequestError](err)
	if !ok || re.Code == "unexplained" || re.Code == cardnetwork.CodeKeyReused {
		return "", false
	}
	switch re.Status {
	case http.StatusBadRequest, http.StatusNotFound, http.StatusUnprocessableEntity:
		return re.Code, true
	default:
		return "", false
	}
}
