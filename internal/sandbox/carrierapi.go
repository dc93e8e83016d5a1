package sandbox

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"html"
	"math"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/cespare/xxhash/v2"
)

const (
	// maxPlace in bytes of a place's name.
	maxPlace = 120
	// maxPromise is how far ahead a delivery can be promised.
	maxPromise = 60 * 24 * time.Hour
)

// bookingRequest is the body of POST /carrier/v1/parcels.
type bookingRequest struct {
	// Reference of the sender, 1 to 255 bytes.
	Reference string `json:"reference"`
	// Service is standard or express.
	Service string `json:"service"`
	From    Place  `json:"from"`
	To      Place  `json:"to"`
	// PromisedBy is when it is to be at the door.
	PromisedBy time.Time `json:"promised_by"`
}

func (q bookingRequest) check(now time.Time) error {
	switch {
	case q.Reference == "" || len(q.Reference) > maxReference:
		return unprocessable("invalid_reference", "reference must be 1 to 255 bytes")
	case q.Service != "standard" && q.Service != "express":
		return unprocessable("invalid_service", "service must be standard or express")
	case !q.From.valid() || !q.To.valid():
		return unprocessable("invalid_place", "from and to must have a name of at most 120 bytes, lat and lon")
	case q.PromisedBy.After(now.Add(maxPromise)):
		return unprocessable("invalid_promise", "promised_by must be within 60 days")
	}
	return nil
}

func (p Place) valid() bool {
	return p.Name != "" && len(p.Name) <= maxPlace && math.Abs(p.Lat) <= 90 && math.Abs(p.Lon) <= 180
}

// bookParcel gives a parcel its number. The same key gives the same parcel; another body with it is refused.
func (c *Carrier) bookParcel(w http.ResponseWriter, r *http.Request) error {
	key, err := idempotencyKey(r.Header)
	if err != nil {
		return err
	}
	var q bookingRequest
	if err := decode(r.Body, &q); err != nil {
		return err
	}
	now := c.clock.Now()
	if err := q.check(now); err != nil {
		return err
	}
	if c.faults.Load().unavailable(key) {
		return notAvailable("unavailable", "the carrier is busy; try again")
	}
	content, err := json.Marshal(q)
	if err != nil {
		return err
	}
	sum := sha256.Sum256(content)
	entry := parcelEntry{Kind: entryBooked, TrackingNumber: trackingNumber(key), At: now, Booking: &q, Fingerprint: hex.EncodeToString(sum[:])}
	c.mu.Lock()
	if known := c.parcels[entry.TrackingNumber]; known != nil {
		defer c.mu.Unlock()
		if known.fingerprint != entry.Fingerprint {
			return unprocessable("idempotency_key_reused", "the key was used with another body")
		}
		writeJSON(w, http.StatusOK, known.asOf(now))
		return nil
	}
	full := len(c.parcels) >= maxParcels
	c.mu.Unlock()
	if full {
		return notAvailable("full", "the stand-in remembers no more parcels; start it anew")
	}
	return c.record(w, entry, http.StatusCreated)
}

// record an entry: on disk first, then in memory, then answered. Who comes second with the same finds it done.
func (c *Carrier) record(w http.ResponseWriter, e parcelEntry, status int) error {
	one := c.lockOf(e.TrackingNumber)
	one.Lock()
	defer one.Unlock()
	c.mu.Lock()
	known := c.parcels[e.TrackingNumber]
	news := known == nil && e.Kind == entryBooked || known != nil && known.Status == ParcelBooked && e.Kind != entryBooked
	c.mu.Unlock()
	if news {
		if err := c.journal.append(e); err != nil {
			return notAvailable("journal", "the carrier's journal cannot be written")
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if news {
		if err := c.apply(e, e.At); err != nil {
			return err
		}
	}
	writeJSON(w, status, c.parcels[e.TrackingNumber].asOf(c.clock.Now()))
	return nil
}

// lockOf a parcel, which it shares with few others: its entries are written one after the other, and everybody else's
// beside them.
func (c *Carrier) lockOf(number string) *sync.Mutex {
	return &c.each[xxhash.Sum64String(number)%uint64(len(c.each))]
}

// find a parcel that the path names.
func (c *Carrier) find(r *http.Request) (Parcel, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	p := c.parcels[r.PathValue("number")]
	if p == nil {
		return Parcel{}, notFound("no_such_parcel", "no parcel has this number")
	}
	return p.asOf(c.clock.Now()), nil
}

func (c *Carrier) getParcel(w http.ResponseWriter, r *http.Request) error {
	p, err := c.find(r)
	if err != nil {
		return err
	}
	writeJSON(w, http.StatusOK, p)
	return nil
}

// handOver begins a parcel's way. Again it gives the same answer.
func (c *Carrier) handOver(w http.ResponseWriter, r *http.Request) error {
	p, err := c.find(r)
	if err != nil {
		return err
	}
	if p.Status == ParcelCanceled {
		return conflict("canceled", "the parcel was canceled")
	}
	return c.record(w, parcelEntry{Kind: entryHandover, TrackingNumber: p.TrackingNumber, At: c.clock.Now(), Mishap: c.faults.Load().mishap(p.TrackingNumber)}, http.StatusOK)
}

// cancelParcel that was not handed over. Again it gives the same answer.
func (c *Carrier) cancelParcel(w http.ResponseWriter, r *http.Request) error {
	p, err := c.find(r)
	if err != nil {
		return err
	}
	if p.HandedOverAt != nil {
		return conflict("handed_over", "the parcel is on its way")
	}
	return c.record(w, parcelEntry{Kind: entryCanceled, TrackingNumber: p.TrackingNumber, At: c.clock.Now()}, http.StatusOK)
}

// getLabel draws what is stuck on the parcel: where it goes, its number, and the number in bars of two widths.
func (c *Carrier) getLabel(w http.ResponseWriter, r *http.Request) error {
	p, err := c.find(r)
	if err != nil {
		return err
	}
	var bars strings.Builder
	x := 20
	for _, b := range []byte(p.TrackingNumber) {
		for bit := range 7 {
			width := 2
			if b>>bit&1 == 1 {
				width = 4
			}
			if bit%2 == 0 {
				fmt.Fprintf(&bars, `<rect x="%d" y="130" width="%d" height="70"/>`, x, width)
			}
			x += width
		}
	}
	w.Header().Set("Content-Type", "image/svg+xml")
	_, err = fmt.Fprintf(w, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d 240" font-family="sans-serif"><rect width="100%%" height="100%%" fill="#fff"/>`+
		`<text x="20" y="36" font-size="20">%s</text><text x="20" y="66" font-size="14">from %s</text><text x="20" y="96" font-size="22" font-weight="bold">to %s</text>%s`+
		`<text x="20" y="224" font-size="18" letter-spacing="3">%s</text></svg>`,
		x+20, html.EscapeString(strings.ToUpper(p.Service)), html.EscapeString(p.From.Name), html.EscapeString(p.To.Name), bars.String(), p.TrackingNumber)
	return err
}

func (c *Carrier) setWebhook(w http.ResponseWriter, r *http.Request) error {
	var q webhookRequest
	if err := decode(r.Body, &q); err != nil {
		return err
	}
	if err := c.events.listen(q.URL); err != nil {
		return err
	}
	writeJSON(w, http.StatusOK, q)
	return nil
}
