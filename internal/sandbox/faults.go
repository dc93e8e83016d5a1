package sandbox

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"time"
)

// maxLatencyMS is the longest injected delay: beyond it every sensible caller has given up.
const maxLatencyMS = 30_000

// Faults are what goes wrong on purpose. The zero value is: nothing. Whether a request is hit depends on nothing but
// Seed, its idempotency key and how often that key was tried, so that a drill can be repeated.
type Faults struct {
	// DeclinePercent of new charges are declined by the issuer (card_declined).
	DeclinePercent int `json:"decline_percent"`
	// TimeoutAfterSuccessPercent of effects are never answered, until asked again.
	TimeoutAfterSuccessPercent int `json:"timeout_after_success_percent"`
	// UnavailablePercent of attempts are answered 503 without effect.
	UnavailablePercent int `json:"unavailable_percent"`
	// LatencyMS is waited before each request with an idempotency key is looked at, in milliseconds.
	LatencyMS int `json:"latency_ms"`
	// WebhookDuplicatePercent of events are sent twice.
	WebhookDuplicatePercent int `json:"webhook_duplicate_percent"`
	// WebhookDelayMS is the longest time an event is kept back, in milliseconds; each waits another part of it, so that
	// they arrive in any order.
	WebhookDelayMS int `json:"webhook_delay_ms"`
	// Seed chooses who is hit.
	Seed int64 `json:"seed"`
}

// check refuses what cannot be meant.
func (f Faults) check() error {
	percents := map[string]int{
		"decline_percent":               f.DeclinePercent,
		"timeout_after_success_percent": f.TimeoutAfterSuccessPercent,
		"unavailable_percent":           f.UnavailablePercent,
		"webhook_duplicate_percent":     f.WebhookDuplicatePercent,
	}
	for name, percent := range percents {
		if percent < 0 || percent > 100 {
			return unprocessable("invalid_faults", name+" must be 0 to 100")
		}
	}
	if f.LatencyMS < 0 || f.LatencyMS > maxLatencyMS {
		return unprocessable("invalid_faults", fmt.Sprintf("latency_ms must be 0 to %d", maxLatencyMS))
	}
	if f.WebhookDelayMS < 0 || f.WebhookDelayMS > maxLatencyMS {
		return unprocessable("invalid_faults", fmt.Sprintf("webhook_delay_ms must be 0 to %d", maxLatencyMS))
	}
	return nil
}

func (f Faults) latency() time.Duration {
	return time.Duration(f.LatencyMS) * time.Millisecond
}

// hit tells whether the fault called name befalls this attempt. Each fault draws its own number: otherwise one that
// comes seldom would only ever strike where a frequent one does.
func (f Faults) hit(name string, percent int, key string, attempt int) bool {
	if percent == 0 {
		return false
	}
	sum := sha256.Sum256(fmt.Appendf(nil, "%s\x00%d\x00%d\x00%s", name, f.Seed, attempt, key))
	return binary.BigEndian.Uint64(sum[:8])%100 < uint64(percent)
}

// script is all that will become of one attempt, decided before it starts.
type script struct {
	unavailable bool
	think       bool   // the issuer takes its time before the effect
	decline     string // the issuer's code, empty when it approves
	then        ending
}

// ending is how an attempt that had its effect is answered.
type ending uint8

const (
	endAnswered ending = iota
	endHeld            // not answered at all
	endFailed          // answered 500
)

// script decides attempt number `attempt` (0 is the first) of key. Declines are for new charges only.
func (f Faults) script(b behaviour, opens bool, key string, attempt int) script {
	var s script
	switch b {
	case slow:
		s.think = true
	case timeoutAfterSuccess:
		s.then = endHeld
	case errorAfterSuccess:
		s.then = endFailed
	case unavailableAlways:
		s.unavailable = true
	case unavailableOnce:
		s.unavailable = attempt == 0
	default: // approved or declined: nothing out of the ordinary
	}
	s.decline = b.declineCode()
	if s.decline == "" && opens && f.hit("decline", f.DeclinePercent, key, 0) {
		s.decline = codeCardDeclined // whichever attempt gets through: an issuer does not change its mind
	}
	if f.hit("unavailable", f.UnavailablePercent, key, attempt) {
		s.unavailable = true
	}
	if f.hit("timeout", f.TimeoutAfterSuccessPercent, key, attempt) {
		s.then = endHeld
	}
	if s.decline != "" {
		s.then = endAnswered // "after success" means after money moved
	}
	return s
}
