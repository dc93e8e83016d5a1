package sandbox

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"net/http"
	"time"
)

// CarrierFaults are what goes wrong with parcels on purpose; as [Faults]. Which parcel is hit depends on Seed and its number.
type CarrierFaults struct {
	// UnavailablePercent of bookings are answered 503, until they come under another key or the faults are cleared.
	UnavailablePercent int `json:"unavailable_percent"`
	// LatePercent of parcels come a day later than promised, ExceptionPercent find nobody at first, ReturnedPercent go back.
	LatePercent      int `json:"late_percent"`
	ExceptionPercent int `json:"exception_percent"`
	ReturnedPercent  int `json:"returned_percent"`
	// WebhookLostPercent of scans are never told, WebhookDuplicatePercent are told twice; WebhookDelayMS is the longest time
	// that one is kept back, each another, so that they arrive in any order.
	WebhookLostPercent      int   `json:"webhook_lost_percent"`
	WebhookDuplicatePercent int   `json:"webhook_duplicate_percent"`
	WebhookDelayMS          int   `json:"webhook_delay_ms"`
	Seed                    int64 `json:"seed"`
}

func (f CarrierFaults) check() error {
	for name, percent := range map[string]int{
		"unavailable_percent": f.UnavailablePercent, "late_percent": f.LatePercent, "exception_percent": f.ExceptionPercent,
		"returned_percent": f.ReturnedPercent, "webhook_lost_percent": f.WebhookLostPercent, "webhook_duplicate_percent": f.WebhookDuplicatePercent,
	} {
		if percent < 0 || percent > 100 {
			return unprocessable("invalid_faults", name+" must be 0 to 100")
		}
	}
	if f.WebhookDelayMS < 0 || f.WebhookDelayMS > maxLatencyMS {
		return unprocessable("invalid_faults", fmt.Sprintf("webhook_delay_ms must be 0 to %d", maxLatencyMS))
	}
	return nil
}

// draw a number below 100 for a fault and a subject.
func (f CarrierFaults) draw(name, subject string) int {
	sum := sha256.Sum256(fmt.Appendf(nil, "carrier/%s\x00%d\x00%s", name, f.Seed, subject))
	return int(binary.BigEndian.Uint64(sum[:8]) % 100)
}

func (f CarrierFaults) unavailable(key string) bool {
	return f.draw("unavailable", key) < f.UnavailablePercent
}

// mishap of a parcel: one at most.
func (f CarrierFaults) mishap(number string) mishap {
	switch {
	case f.draw("returned", number) < f.ReturnedPercent:
		return mishapBack
	case f.draw("exception", number) < f.ExceptionPercent:
		return mishapAgain
	case f.draw("late", number) < f.LatePercent:
		return mishapLate
	}
	return noMishap
}

// delays of the copies in which a scan is told: none when it is lost.
func (f CarrierFaults) delays(id string) []time.Duration {
	if f.draw("lost", id) < f.WebhookLostPercent {
		return nil
	}
	copies := []time.Duration{0}
	if f.draw("duplicate", id) < f.WebhookDuplicatePercent {
		copies = append(copies, 0)
	}
	for i := range copies {
		sum := sha256.Sum256(fmt.Appendf(nil, "carrier/delay\x00%d\x00%d\x00%s", f.Seed, i, id))
		copies[i] = time.Duration(binary.BigEndian.Uint64(sum[:8])%uint64(f.WebhookDelayMS+1)) * time.Millisecond
	}
	return copies
}

func (c *Carrier) getFaults(w http.ResponseWriter, _ *http.Request) error {
	writeJSON(w, http.StatusOK, c.faults.Load())
	return nil
}

func (c *Carrier) setFaults(w http.ResponseWriter, r *http.Request) error {
	var f CarrierFaults
	if err := decode(r.Body, &f); err != nil {
		return err
	}
	if err := f.check(); err != nil {
		return err
	}
	c.faults.Store(&f)
	c.log.Info("carrier faults set", "faults", f)
	writeJSON(w, http.StatusOK, f)
	return nil
}

func (c *Carrier) clearFaults(w http.ResponseWriter, _ *http.Request) error {
	c.faults.Store(&CarrierFaults{})
	c.log.Info("carrier faults cleared")
	w.WriteHeader(http.StatusNoContent)
	return nil
}
