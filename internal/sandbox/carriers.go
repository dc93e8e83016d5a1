package sandbox

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cellar-commerce/cellar/internal/clock"
)

const (
	// carrierJournal inside the data directory.
	carrierJournal = "parcels.jsonl"
	// maxParcels that the stand-in remembers: a day of a region, at some hundred bytes each.
	maxParcels = 2_000_000
	// defaultDay of a carrier is a day.
	defaultDay = 24 * time.Hour
	minDay     = time.Second
)

// CarrierDeps of a carrier.
type CarrierDeps struct {
	// DataDir holds the carrier's journal; empty keeps parcels in memory only.
	DataDir string
	Clock   clock.Clock
	Logger  *slog.Logger
	// Day is how long a day takes, from a second to 24 hours, which is the default: parcels move that much faster.
	Day time.Duration
	// WebhookKey signs scans, WebhookURL is told of them; both may be empty, see POST /carrier/v1/webhook.
	WebhookKey, WebhookURL string
}

// Carrier is a parcel carrier over HTTP/JSON. It is safe for concurrent use.
type Carrier struct {
	journal *journal[parcelEntry]
	clock   clock.Clock
	log     *slog.Logger
	day     time.Duration
	events  *announcer
	routes  *http.ServeMux
	faults  atomic.Pointer[CarrierFaults]

	each [256]sync.Mutex // by parcel, around the journal and the state

	mu      sync.Mutex
	parcels map[string]*parcelState // by tracking number
	due     scanQueue
	wake    chan struct{} // holds one: something new is due

	draining context.Context
	drain    context.CancelFunc
	runs     sync.WaitGroup
}

var _ http.Handler = (*Carrier)(nil)

// parcelEntry of the journal: a booking, a handover or a cancellation.
type parcelEntry struct {
	Kind           string    `json:"kind"`
	TrackingNumber string    `json:"tracking_number"`
	At             time.Time `json:"at"`
	// Of a booking.
	Booking     *bookingRequest `json:"booking,omitempty"`
	Fingerprint string          `json:"fingerprint,omitempty"`
	// Of a handover.
	Mishap mishap `json:"mishap,omitempty"`
}

const (
	entryBooked   = "booked"
	entryHandover = "handed_over"
	entryCanceled = "canceled"
)

// parcelState is a parcel with all that will become of it.
type parcelState struct {
	Parcel
	fingerprint string
	way         []Scan // whole, also what is still to come
}

// NewCarrier rebuilds the carrier's state from its journal. Close it afterwards.
func NewCarrier(deps CarrierDeps) (*Carrier, error) {
	if deps.Clock == nil || deps.Logger == nil {
		return nil, errors.New("new carrier: Clock and Logger are required")
	}
	if deps.Day == 0 {
		deps.Day = defaultDay
	}
	if deps.Day < minDay || deps.Day > defaultDay {
		return nil, fmt.Errorf("new carrier: a day takes %s to %s", minDay, defaultDay)
	}
	events, err := newAnnouncer(deps.WebhookKey, deps.WebhookURL)
	if err != nil {
		return nil, fmt.Errorf("new carrier: webhook: %w", err)
	}
	log, entries, err := openJournal[parcelEntry](deps.DataDir, carrierJournal)
	if err != nil {
		return nil, fmt.Errorf("new carrier: %w", err)
	}
	c := &Carrier{
		journal: log, clock: deps.Clock, log: deps.Logger, day: deps.Day, events: events, routes: http.NewServeMux(),
		parcels: map[string]*parcelState{}, wake: make(chan struct{}, 1),
	}
	c.draining, c.drain = context.WithCancel(context.Background())
	c.faults.Store(&CarrierFaults{})
	now := c.clock.Now()
	for i, e := range entries {
		if err := c.apply(e, now); err != nil {
			return nil, errors.Join(fmt.Errorf("new carrier: entry %d: %w", i+1, err), log.close())
		}
	}
	c.route()
	c.runs.Go(c.announceScans)
	return c, nil
}

// Close ends everything and the journal.
func (c *Carrier) Close() error {
	c.drain()
	c.runs.Wait()
	return c.journal.close()
}

// Drain stops telling of scans.
func (c *Carrier) Drain() { c.drain() }

func (c *Carrier) route() {
	for pattern, handle := range map[string]func(http.ResponseWriter, *http.Request) error{
		"POST /carrier/v1/parcels":                   c.bookParcel,
		"GET /carrier/v1/parcels/{number}":           c.getParcel,
		"GET /carrier/v1/parcels/{number}/label":     c.getLabel,
		"POST /carrier/v1/parcels/{number}/handover": c.handOver,
		"POST /carrier/v1/parcels/{number}/cancel":   c.cancelParcel,
		"POST /carrier/v1/webhook":                   c.setWebhook,
		"GET /carrier/v1/faults":                     c.getFaults,
		"POST /carrier/v1/faults":                    c.setFaults,
		"DELETE /carrier/v1/faults":                  c.clearFaults,
		"/carrier/": func(http.ResponseWriter, *http.Request) error {
			return notFound("no_such_endpoint", "no endpoint has this method and path")
		},
	} {
		c.routes.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
			r.Body = http.MaxBytesReader(w, r.Body, maxBodyBytes)
			if err := handle(w, r); err != nil {
				refuse(w, c.log, err)
			}
		})
	}
}

// ServeHTTP implements http.Handler.
func (c *Carrier) ServeHTTP(w http.ResponseWriter, r *http.Request) { c.routes.ServeHTTP(w, r) }

// apply an entry to the state; scans that are past at `from` are not announced any more. The caller holds mu, or is alone.
func (c *Carrier) apply(e parcelEntry, from time.Time) error {
	p := c.parcels[e.TrackingNumber]
	if e.Kind == entryBooked {
		if e.Booking == nil || p != nil {
			return errors.New("a booking without its request, or booked twice")
		}
		b := e.Booking
		c.parcels[e.TrackingNumber] = &parcelState{fingerprint: e.Fingerprint, Parcel: Parcel{
			TrackingNumber: e.TrackingNumber, Reference: b.Reference, Service: b.Service, From: b.From, To: b.To, Status: ParcelBooked,
			BookedAt: e.At, PromisedBy: b.PromisedBy, Scans: []Scan{},
		}}
		return nil
	}
	if p == nil || p.Status != ParcelBooked {
		return fmt.Errorf("%s is not booked, or more", e.TrackingNumber)
	}
	if e.Kind == entryCanceled {
		p.Status = ParcelCanceled
		return nil
	}
	at := e.At
	p.HandedOverAt, p.Status = &at, ParcelPickedUp
	p.way = journey(p.Parcel, e.At, e.Mishap, c.day)
	for i := range p.way {
		if p.way[i].At.Before(from) {
			continue
		}
		c.due.add(dueScan{at: p.way[i].At, number: e.TrackingNumber, seq: i + 1})
	}
	select {
	case c.wake <- struct{}{}:
	default:
	}
	return nil
}

// asOf is the parcel as it can be seen at a time.
func (p *parcelState) asOf(now time.Time) Parcel {
	seen := p.Parcel
	seen.Scans = []Scan{}
	for _, s := range p.way {
		if s.At.After(now) {
			break
		}
		seen.Scans = append(seen.Scans, s)
		seen.Status = s.Status
	}
	return seen
}
