package payment

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/cellar-commerce/cellar/internal/cardnetwork"
	paymentv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/payment/v1"
	"github.com/cellar-commerce/cellar/internal/ident"
	"github.com/cellar-commerce/cellar/internal/problem"
	"github.com/cellar-commerce/cellar/internal/sqldb"
)

// Events reads what a provider tells by itself.
type Events interface {
	// Event checks the signature of a request and reads it. False for an event that is none of ours; an error for one that
	// the provider has not sent.
	Event(header http.Header, body []byte, now time.Time) (cardnetwork.Event, bool, error)
}

// EventTaker is what an event needs of the owner's payment service.
type EventTaker interface {
	TakeEvent(ctx context.Context, req *paymentv1.TakeEventRequest) (*paymentv1.TakeEventResponse, error)
}

// maxEvent in bytes: the largest honest one, a Stripe event with its whole object, has some 10 kB.
const maxEvent = 64 << 10

// Webhook takes events over HTTP from whoever can sign them. A provider knows one address and no customers, so whichever
// cell it reaches passes the event on to the owner of the order's customer, as news of parcels is passed on. An event that
// cannot be taken now is answered 503: the provider sends it again, and asking it by key finds out the same without it.
func (s *Service) Webhook() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(s.takeRequest(w, r))
	})
}

func (s *Service) takeRequest(w http.ResponseWriter, r *http.Request) (status int) {
	if s.deps.Events == nil {
		return http.StatusNotFound
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxEvent))
	if err != nil {
		return http.StatusRequestEntityTooLarge
	}
	e, ours, err := s.deps.Events.Event(r.Header, body, s.deps.Clock.Now())
	if err != nil {
		s.deps.Log.WarnContext(r.Context(), "an event of the card network is refused", "error", err)
		return http.StatusBadRequest
	}
	if !ours {
		return http.StatusOK
	}
	err = s.passOn(r.Context(), e)
	switch {
	case err == nil:
		return http.StatusOK
	case problem.Is(err, "UNKNOWN_PAYMENT"):
		s.deps.Log.WarnContext(r.Context(), "an event is of no payment of ours", "event", e.ID, "type", e.Type)
		return http.StatusOK // sending it again would not help
	default:
		s.deps.Log.WarnContext(r.Context(), "an event cannot be taken now", "event", e.ID, "type", e.Type, "error", err)
		return http.StatusServiceUnavailable
	}
}

// passOn an event to the owner of its order's customer.
func (s *Service) passOn(ctx context.Context, e cardnetwork.Event) error {
	id, _, _ := strings.Cut(e.Key, "/")
	order, err := ident.ParseOrder(id)
	if err != nil {
		return unknownPayment()
	}
	p, err := scan(s.deps.DB.QueryRow(ctx, stmtGet, string(order.Region()), string(order)))
	if errors.Is(err, sqldb.ErrNoRows) {
		return unknownPayment()
	}
	if err != nil {
		return err
	}
	if e.Key == string(order) && p.State != Pending && p.State != Voided {
		return nil // known already, as it mostly is: the answer was faster
	}
	var taker EventTaker = s
	if s.deps.Owners != nil {
		if taker, err = s.deps.Owners(p.CustomerID); err != nil {
			return err
		}
	}
	_, err = taker.TakeEvent(ctx, &paymentv1.TakeEventRequest{
		CustomerId: string(p.CustomerID), OrderId: string(order), Key: e.Key,
		ChargeId: e.Charge.ID, Status: string(e.Charge.Status), DeclineCode: e.Charge.DeclineCode,
	})
	return err
}

// told by the provider what a request of ours has come to. It goes the way an answer goes: what is known stays.
func (s *Service) told(ctx context.Context, customer ident.CustomerID, order ident.OrderID, key string, charge cardnetwork.Charge) (Payment, error) {
	p, err := s.get(ctx, customer, order)
	if err != nil {
		return p, err
	}
	rest := strings.TrimPrefix(key, string(order))
	if rest == "" {
		// What is voided may have been charged by a request whose sender died: nobody else would give it back.
		if p.State == Pending || p.State == Voided {
			return s.learn(ctx, p, charge)
		}
		return p, nil
	}
	for _, kind := range []MoveKind{MoveCapture, MoveRefund} {
		prefix := strings.TrimPrefix(Move{Kind: kind}.key(order), string(order))
		if id, of := strings.CutPrefix(rest, prefix); of && id != "" {
			p, _, err = s.settleMove(ctx, customer, order, kind, id, "")
			return p, err
		}
	}
	return p, nil // of a void, or of the refund of everything: whoever closes the payment goes on to its end
}
