package sandbox

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cellar-commerce/cellar/internal/clock"
)

const (
	// maxDeliveries bounds how many events are on their way at once, their pauses included. More are dropped: an event is
	// a courtesy, and whoever has to know asks.
	maxDeliveries = 4096
	// deliveryTries of one event, with pauses that double from firstPause: some six seconds in all.
	deliveryTries = 6
	firstPause    = 200 * time.Millisecond
	// deliveryTimeout of one try.
	deliveryTimeout = 5 * time.Second
	maxWebhookURL   = 2000
)

// signatureHeader of an event: "t=<Unix seconds>,v1=<hexadecimal HMAC-SHA256 over "<t>.<body>">".
const signatureHeader = "Card-Network-Signature"

// event is told to the webhook after an effect is on disk.
type event struct {
	ID             string    `json:"id"`
	Type           string    `json:"type"`
	At             time.Time `json:"at"`
	IdempotencyKey string    `json:"idempotency_key"`
	Charge         Charge    `json:"charge"`
}

var eventTypes = map[Kind]string{
	KindAuthorize: "charge.authorized",
	KindCapture:   "charge.captured",
	KindDecline:   "charge.declined",
	KindVoid:      "charge.voided",
	KindRefund:    "charge.refunded",
}

// announcer tells a webhook of effects. It keeps nothing: what is under way when the process ends is lost.
type announcer struct {
	key    []byte
	url    atomic.Pointer[string] // nil: nobody listens
	client *http.Client
	slots  chan struct{}
	busy   sync.WaitGroup
}

func newAnnouncer(key, address string) (*announcer, error) {
	a := &announcer{
		key: []byte(key), slots: make(chan struct{}, maxDeliveries),
		client: &http.Client{Timeout: deliveryTimeout, Transport: &http.Transport{MaxIdleConnsPerHost: 64, IdleConnTimeout: idleTimeout}},
	}
	if address == "" {
		return a, nil
	}
	return a, a.listen(address)
}

// listen sets who is told from now on; empty for nobody.
func (a *announcer) listen(address string) error {
	if address == "" {
		a.url.Store(nil)
		return nil
	}
	u, err := url.Parse(address)
	if err != nil || len(address) > maxWebhookURL || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https") {
		return unprocessable("invalid_url", "url must be an http address")
	}
	if len(a.key) == 0 {
		return unprocessable("no_key", "the network was started without a key to sign events with")
	}
	a.url.Store(&address)
	return nil
}

// sign a body as of now.
func (a *announcer) sign(at time.Time, body []byte) string {
	t := strconv.FormatInt(at.Unix(), 10)
	mac := hmac.New(sha256.New, a.key)
	mac.Write([]byte(t + "."))
	mac.Write(body)
	return "t=" + t + ",v1=" + hex.EncodeToString(mac.Sum(nil))
}

// announce an effect, in the background, once it is on disk.
func (n *CardNetwork) announce(made answer, r record) {
	target := n.events.url.Load()
	if target == nil {
		return
	}
	select {
	case n.events.slots <- struct{}{}:
	default:
		n.log.Warn("an event is dropped: too many are on their way", "charge_id", made.charge.ID)
		return
	}
	sum := sha256.Sum256([]byte(r.IdempotencyKey))
	e := event{ID: "ev_" + hex.EncodeToString(sum[:12]), Type: eventTypes[r.Kind], At: r.At, IdempotencyKey: r.IdempotencyKey, Charge: made.charge}
	faults := *n.faults.Load()
	n.events.busy.Go(func() {
		defer func() { <-n.events.slots }()
		if made.saved.wait() != nil {
			return
		}
		copies := 1
		if faults.hit("webhook_duplicate", faults.WebhookDuplicatePercent, r.IdempotencyKey, 0) {
			copies = 2
		}
		for i := range copies {
			n.pause(n.draining, faults.webhookDelay(r.IdempotencyKey, i))
			n.deliver(*target, e)
		}
	})
}

// webhookDelay is up to WebhookDelayMS, another one for each event, so that they overtake each other.
func (f Faults) webhookDelay(key string, copied int) time.Duration {
	if f.WebhookDelayMS == 0 {
		return 0
	}
	sum := sha256.Sum256(fmt.Appendf(nil, "webhook_delay\x00%d\x00%d\x00%s", f.Seed, copied, key))
	return time.Duration(binary.BigEndian.Uint64(sum[:8])%uint64(f.WebhookDelayMS+1)) * time.Millisecond
}

// deliver an event until it is taken, or not wanted, or tried often enough.
func (n *CardNetwork) deliver(target string, e event) {
	if status := n.events.deliver(n.draining, n.clock, target, signatureHeader, e); status != 0 {
		n.log.Warn("an event was never taken", "event", e.ID, "type", e.Type, "status", status)
	}
}

// neverAnswered stands for a status where there was no answer.
const neverAnswered = -1

// deliver an event until it is taken or ctx ends: 0 then. Tried often enough, it gives the last try's status.
func (a *announcer) deliver(ctx context.Context, c clock.Clock, target, header string, e any) (status int) {
	body, err := json.Marshal(e)
	if err != nil {
		return neverAnswered
	}
	pause := firstPause
	for try := 1; ctx.Err() == nil; try++ {
		status := a.post(ctx, c.Now(), target, header, body)
		if status >= 200 && status < 300 {
			return 0
		}
		if try == deliveryTries {
			return status
		}
		_ = c.Sleep(ctx, pause) // cut short at the end
		pause *= 2
	}
	return 0
}

// post one try.
func (a *announcer) post(ctx context.Context, now time.Time, target, header string, body []byte) (status int) {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, target, bytes.NewReader(body))
	if err != nil {
		return neverAnswered
	}
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set(header, a.sign(now, body))
	response, err := a.client.Do(request)
	if err != nil {
		return neverAnswered
	}
	_ = response.Body.Close()
	return response.StatusCode
}

// Announced waits until every event has been delivered or given up.
func (n *CardNetwork) Announced() { n.events.busy.Wait() }

// webhookRequest is the body of POST /v1/webhook.
type webhookRequest struct {
	// URL that is told of every effect from now on; empty for nobody.
	URL string `json:"url"`
}

func (n *CardNetwork) setWebhook(w http.ResponseWriter, r *http.Request) error {
	var q webhookRequest
	if err := decode(r.Body, &q); err != nil {
		return err
	}
	if err := n.events.listen(q.URL); err != nil {
		return err
	}
	n.log.Info("webhook set", "url", q.URL)
	writeJSON(w, http.StatusOK, q)
	return nil
}
