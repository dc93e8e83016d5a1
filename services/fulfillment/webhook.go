package fulfillment

import (
	"context"
	"io"
	"net/http"
	"time"

	"github.com/cellar-commerce/cellar/internal/carrier"
	fulfillmentv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/fulfillment/v1"
	"github.com/cellar-commerce/cellar/internal/problem"
)

// CarrierEvents reads what a carrier tells by itself.
type CarrierEvents interface {
	// Event checks the signature of a request and reads it; an error for one that the carrier has not sent.
	Event(header http.Header, body []byte, now time.Time) (carrier.Event, error)
}

var _ CarrierEvents = (*carrier.Webhook)(nil)

// ScanTaker takes scans of a region's shipments.
type ScanTaker interface {
	RecordScans(ctx context.Context, req *fulfillmentv1.RecordScansRequest) (*fulfillmentv1.RecordScansResponse, error)
}

// maxEvent in bytes: a scan has some 500.
const maxEvent = 16 << 10

// Webhook takes scans over HTTP from whoever can sign them. A carrier knows one address and none of our regions, so
// whichever cell it reaches passes a scan on to the FC's. What cannot be taken now is answered 503: the carrier tells it
// again, or is asked.
func (s *Service) Webhook() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(s.takeEvent(w, r))
	})
}

func (s *Service) takeEvent(w http.ResponseWriter, r *http.Request) (status int) {
	if s.deps.CarrierEvents == nil {
		return http.StatusNotFound
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxEvent))
	if err != nil {
		return http.StatusRequestEntityTooLarge
	}
	e, err := s.deps.CarrierEvents.Event(r.Header, body, s.deps.Clock.Now())
	if err != nil {
		s.deps.Log.WarnContext(r.Context(), "a scan is refused", "error", err)
		return http.StatusBadRequest
	}
	scans, err := scansOf(e.Scan)
	if err != nil {
		s.deps.Log.WarnContext(r.Context(), "a scan is refused", "scan", e.ID, "error", err)
		return http.StatusBadRequest
	}
	fc, order, id, ours := parseReference(e.Reference)
	if !ours {
		return http.StatusOK // telling it again would not help
	}
	region, known := s.FC(r.Context(), fc)
	var taker ScanTaker = s
	if region != s.deps.Region {
		taker = s.deps.Scans[region]
	}
	if !known || taker == nil {
		s.deps.Log.WarnContext(r.Context(), "a scan cannot be passed on", "scan", e.ID, "fc", fc)
		return http.StatusServiceUnavailable
	}
	_, err = taker.RecordScans(r.Context(), &fulfillmentv1.RecordScansRequest{FcId: fc, OrderId: string(order), ShipmentId: id, Scans: scans})
	switch {
	case err == nil:
		return http.StatusOK
	case problem.Is(err, reasonUnknownShipment):
		s.deps.Log.WarnContext(r.Context(), "a scan is of no shipment of ours", "scan", e.ID)
		return http.StatusOK
	case problem.Is(err, "NOT_HANDED_OVER"):
		return http.StatusServiceUnavailable // a moment too early: its cell is about to write that it has left
	default:
		s.deps.Log.WarnContext(r.Context(), "a scan cannot be taken now", "scan", e.ID, "error", err)
		return http.StatusServiceUnavailable
	}
}
