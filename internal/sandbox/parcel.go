package sandbox

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"math"
	"time"

	"github.com/cellar-commerce/cellar/internal/geo"
)

// ParcelStatus is how far a parcel is.
type ParcelStatus string

// The states of a parcel:
//
//	booked ──handover──▶ picked_up ─▶ in_transit … ─▶ out_for_delivery ─▶ delivered
//	   └──cancel──▶ canceled              └───────────────┬─▶ exception ─▶ out_for_delivery (the next day)
//	                                                      └─▶ exception ─▶ returned
const (
	ParcelBooked         ParcelStatus = "booked"
	ParcelCanceled       ParcelStatus = "canceled"
	ParcelPickedUp       ParcelStatus = "picked_up"
	ParcelInTransit      ParcelStatus = "in_transit"
	ParcelOutForDelivery ParcelStatus = "out_for_delivery"
	ParcelDelivered      ParcelStatus = "delivered"
	ParcelException      ParcelStatus = "exception"
	ParcelReturned       ParcelStatus = "returned"
)

// Parcel as the carrier knows it.
type Parcel struct {
	TrackingNumber string       `json:"tracking_number"`
	Reference      string       `json:"reference"`
	Service        string       `json:"service"`
	From           Place        `json:"from"`
	To             Place        `json:"to"`
	Status         ParcelStatus `json:"status"`
	BookedAt       time.Time    `json:"booked_at"`
	PromisedBy     time.Time    `json:"promised_by"`
	HandedOverAt   *time.Time   `json:"handed_over_at,omitempty"`
	// Scans so far, the first first.
	Scans []Scan `json:"scans"`
}

// Place of a scan, an origin or a destination. A carrier knows more of an address; nothing here needs it.
type Place struct {
	Name string  `json:"name"`
	Lat  float64 `json:"lat"`
	Lon  float64 `json:"lon"`
}

// Scan is one event of a parcel's way. Seq counts from 1 without gaps: who has seen 3 knows whether 2 is missing.
type Scan struct {
	Seq    int          `json:"seq"`
	Status ParcelStatus `json:"status"`
	At     time.Time    `json:"at"`
	Place  Place        `json:"place"`
	Note   string       `json:"note,omitempty"`
}

// mishap of a parcel, chosen at its handover.
type mishap string

const (
	noMishap    mishap = ""
	mishapLate  mishap = "late"      // delivered a day after it was promised
	mishapAgain mishap = "exception" // nobody at the door: delivered the day after
	mishapBack  mishap = "returned"  // cannot be delivered at all
)

// hubEvery is about how far apart a carrier's sorting hubs are, in km.
const hubEvery = 800

// journey lists every scan of a parcel from its handover to its end. It depends on nothing but its arguments, so that it
// need not be kept. day is how long a day of the carrier takes: with less than 24 hours everything goes faster, also what
// was promised.
func journey(p Parcel, handedOver time.Time, wrong mishap, day time.Duration) []Scan {
	seed := sha256.Sum256([]byte(p.TrackingNumber))
	// Somewhere in the last third of what was promised, and not before it can be there.
	part := 0.66 + 0.33*float64(binary.BigEndian.Uint32(seed[:4]))/math.MaxUint32
	whole := max(time.Duration(float64(p.PromisedBy.Sub(p.BookedAt))*float64(day)/float64(24*time.Hour)), day/2)
	if wrong == mishapLate {
		part = 1
		whole += day
	}
	arrives := handedOver.Add(time.Duration(part * float64(whole)))
	j := itinerary{}
	j.add(ParcelPickedUp, handedOver, p.From, "")
	km := geo.DistanceKM(geo.Point{Lat: p.From.Lat, Lon: p.From.Lon}, geo.Point{Lat: p.To.Lat, Lon: p.To.Lon})
	hubs := 1 + int(km/hubEvery)
	for h := range hubs {
		share := (float64(h) + 0.5) / float64(hubs)
		at := handedOver.Add(time.Duration(share * 0.8 * float64(arrives.Sub(handedOver))))
		j.add(ParcelInTransit, at, Place{Name: fmt.Sprintf("hub %d of %d", h+1, hubs), Lat: p.From.Lat + share*(p.To.Lat-p.From.Lat), Lon: p.From.Lon + share*(p.To.Lon-p.From.Lon)}, "")
	}
	out := arrives.Add(-arrives.Sub(handedOver) / 10)
	j.add(ParcelOutForDelivery, out, p.To, "")
	switch wrong {
	case mishapAgain:
		j.add(ParcelException, arrives, p.To, "nobody was there to take it")
		j.add(ParcelOutForDelivery, arrives.Add(day/2), p.To, "")
		j.add(ParcelDelivered, arrives.Add(day), p.To, "")
	case mishapBack:
		j.add(ParcelException, arrives, p.To, "the address is not known")
		j.add(ParcelReturned, arrives.Add(2*day), p.From, "")
	default:
		j.add(ParcelDelivered, arrives, p.To, "")
	}
	return j.scans
}

// itinerary numbers scans.
type itinerary struct{ scans []Scan }

func (j *itinerary) add(s ParcelStatus, at time.Time, where Place, note string) {
	j.scans = append(j.scans, Scan{Seq: len(j.scans) + 1, Status: s, At: at.UTC().Truncate(time.Millisecond), Place: where, Note: note})
}

// trackingNumber of a booking: two letters, eleven digits and a check digit, of its idempotency key, so that a repeat finds
// its own.
func trackingNumber(key string) string {
	sum := sha256.Sum256([]byte("parcel\x00" + key))
	digits := fmt.Sprintf("%011d", binary.BigEndian.Uint64(sum[:8])%100_000_000_000)
	for check := range 10 {
		if n := digits + fmt.Sprint(check); luhn(n) {
			return "CC" + n
		}
	}
	return "CC" + digits + "0" // one of the ten always fits
}
