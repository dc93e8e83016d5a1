package fulfillment

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/cellar-commerce/cellar/internal/carrier"
	fulfillmentv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/fulfillment/v1"
	inventoryv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/inventory/v1"
	orderv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/order/v1"
	"github.com/cellar-commerce/cellar/internal/geo"
)

// Carrier takes parcels to the door. Its words and errors are those of internal/carrier: everything may be asked again.
type Carrier interface {
	// Book a parcel; the same key gives the same one.
	Book(ctx context.Context, b carrier.Booking) (carrier.Parcel, error)
	// HandOver a booked parcel: from here on it moves.
	HandOver(ctx context.Context, number string) (carrier.Parcel, error)
	// Find a parcel with its scans.
	Find(ctx context.Context, number string) (carrier.Parcel, error)
}

var _ Carrier = (*carrier.Client)(nil)

// Breaker keeps callers from a carrier that does not answer.
type Breaker interface {
	// Do calls unless the breaker is open. An error of the call counts against the carrier.
	Do(call func() error) error
}

// Guarded is a carrier behind a breaker, which counts only answers that did not come: a refusal is an answer. While the
// breaker is open everything is ErrUnavailable at once, and shipments wait.
func Guarded(c Carrier, b Breaker) Carrier { return guarded{c, b} }

type guarded struct {
	next    Carrier
	breaker Breaker
}

func (g guarded) through(ctx context.Context, call func() (carrier.Parcel, error)) (p carrier.Parcel, err error) {
	open := g.breaker.Do(func() error {
		p, err = call()
		if err == nil || ctx.Err() != nil {
			return nil //nolint:nilerr // a caller who leaves says nothing about the carrier
		}
		if _, answered := errors.AsType[*carrier.RequestError](err); answered {
			return nil
		}
		return err
	})
	if err == nil && open != nil {
		return p, fmt.Errorf("%w: %w", carrier.ErrUnavailable, open)
	}
	return p, err
}

// Book implements Carrier.
func (g guarded) Book(ctx context.Context, b carrier.Booking) (carrier.Parcel, error) {
	return g.through(ctx, func() (carrier.Parcel, error) { return g.next.Book(ctx, b) })
}

// HandOver implements Carrier.
func (g guarded) HandOver(ctx context.Context, number string) (carrier.Parcel, error) {
	return g.through(ctx, func() (carrier.Parcel, error) { return g.next.HandOver(ctx, number) })
}

// Find implements Carrier.
func (g guarded) Find(ctx context.Context, number string) (carrier.Parcel, error) {
	return g.through(ctx, func() (carrier.Parcel, error) { return g.next.Find(ctx, number) })
}

// maxPlaceName in bytes; what a carrier takes.
const maxPlaceName = 120

// bookingOf a shipment that was asked for: from its FC to the door, by the day that was promised when it was paid. It is
// stored, so that whoever asks the carrier again asks the same, whatever has become of the FC's address.
func bookingOf(id string, fc Center, req *orderv1.FulfillmentRequested) *fulfillmentv1.Booking {
	speed, service := Standard, carrier.Standard
	if req.GetExpress() {
		speed, service = Express, carrier.Express
	}
	to, known := geo.Locate(req.GetShipTo().GetRegionCode(), req.GetShipTo().GetPostalCode())
	if !known {
		to = fc.At // a country that was delivered to when the order was placed
	}
	leg := LegOf(fc.At, to, speed, promisedAt(req))
	return &fulfillmentv1.Booking{
		Key: id, Service: string(service), From: place(fc.City, fc.At), To: place(req.GetShipTo().GetLocality(), to), PromisedBy: timestamppb.New(leg.DeliverBy),
	}
}

func place(name string, at geo.Point) *fulfillmentv1.Place {
	return &fulfillmentv1.Place{Name: clip(name, maxPlaceName), Latitude: at.Lat, Longitude: at.Lon}
}

// carried sends the packed shipments on their way, as many as it can: each is booked, handed over, and then taken off the
// books. It gives those that have left.
func (s *Service) carried(ctx context.Context, packed []shipment) []shipment {
	left := make([]bool, len(packed))
	s.each(len(packed), shippers, func(i int) {
		sh := &packed[i]
		err := s.leave(ctx, sh)
		if left[i] = err == nil; err != nil && ctx.Err() == nil {
			s.deps.Log.WarnContext(ctx, "a shipment could not be sent; it comes again", "shipment", sh.id, "fc", sh.fc, "error", err)
		}
	})
	var gone []shipment
	for i, sh := range packed {
		if left[i] {
			gone = append(gone, sh)
		}
	}
	return gone
}

// each of n things, some at once.
func (s *Service) each(n, atOnce int, do func(i int)) {
	slots := make(chan struct{}, atOnce)
	var wg sync.WaitGroup
	for i := range n {
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			do(i)
		})
	}
	wg.Wait()
}

// leave the building: booked by the shipment's id, handed over, and off the books, in this order, so that stock leaves the
// books only when the parcel has. Each may be done again, and does nothing then.
func (s *Service) leave(ctx context.Context, sh *shipment) error {
	if s.deps.Carrier != nil {
		if sh.booking.GetKey() == "" { // asked for by a release that booked nothing
			centers, err := s.Centers(ctx)
			if err != nil {
				return err
			}
			sh.booking = bookingOf(sh.id, centers[sh.fc], sh.request)
		}
		parcel, err := s.deps.Carrier.Book(ctx, carrierBooking(sh))
		if err != nil {
			return err
		}
		if _, err := s.deps.Carrier.HandOver(ctx, parcel.TrackingNumber); err != nil {
			return err
		}
		sh.carrier, sh.tracking = s.deps.CarrierName, parcel.TrackingNumber
	}
	_, err := s.deps.Shipper.Ship(ctx, &inventoryv1.ShipRequest{FcId: sh.fc, OrderId: sh.order})
	return err
}

func carrierBooking(sh *shipment) carrier.Booking {
	b := sh.booking
	at := func(p *fulfillmentv1.Place) carrier.Place {
		return carrier.Place{Name: p.GetName(), Lat: p.GetLatitude(), Lon: p.GetLongitude()}
	}
	return carrier.Booking{
		Key: b.GetKey(), Reference: reference(sh), Service: carrier.Service(b.GetService()), From: at(b.GetFrom()), To: at(b.GetTo()), PromisedBy: b.GetPromisedBy().AsTime(),
	}
}

// trackAt is when a carrier that says nothing is asked first; nil when there is none to ask.
func (s *Service) trackAt(now time.Time) *time.Time {
	if s.deps.Carrier == nil {
		return nil
	}
	at := now.Add(s.deps.TrackEvery)
	return &at
}
