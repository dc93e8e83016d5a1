package sandbox

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/cellar-commerce/cellar/internal/clock"
)

const (
	// defaultSlowDelay is beyond what a shopper forgives and within what a client waits for.
	defaultSlowDelay = 1500 * time.Millisecond
	// holdLimit is how long an answer is withheld from a client that does not give up by itself.
	holdLimit = 10 * time.Second
)

// Deps of a card network.
type Deps struct {
	// Ledger holds what happened so far. One network owns it; the caller closes it afterwards.
	Ledger *Ledger
	// Clock dates ledger entries, judges the expiry of cards and times every delay.
	Clock  clock.Clock
	Logger *slog.Logger
	// SlowDelay is how long tok_slow thinks; 1.5 s when zero.
	SlowDelay time.Duration
	// WebhookKey signs events, WebhookURL is told of them; both may be empty, see POST /v1/webhook.
	WebhookKey, WebhookURL string
}

// CardNetwork is a card network over HTTP/JSON. It is safe for concurrent use.
type CardNetwork struct {
	ledger    *Ledger
	book      *book
	clock     clock.Clock
	log       *slog.Logger
	slowDelay time.Duration
	events    *announcer
	routes    *http.ServeMux
	faults    atomic.Pointer[Faults]

	// draining ends with Drain. It is a context because delays end with whichever of two contexts ends first.
	draining context.Context
	drain    context.CancelFunc
}

var _ http.Handler = (*CardNetwork)(nil)

// NewCardNetwork rebuilds the network's state from its ledger. It fails when the ledger contradicts itself.
func NewCardNetwork(deps Deps) (*CardNetwork, error) {
	if deps.Ledger == nil || deps.Clock == nil || deps.Logger == nil {
		return nil, errors.New("new card network: Ledger, Clock and Logger are required")
	}
	book, err := newBook(deps.Ledger)
	if err != nil {
		return nil, fmt.Errorf("new card network: %w", err)
	}
	events, err := newAnnouncer(deps.WebhookKey, deps.WebhookURL)
	if err != nil {
		return nil, fmt.Errorf("new card network: webhook: %w", err)
	}
	n := &CardNetwork{
		events:    events,
		ledger:    deps.Ledger,
		book:      book,
		clock:     deps.Clock,
		log:       deps.Logger,
		slowDelay: deps.SlowDelay,
		routes:    http.NewServeMux(),
	}
	n.draining, n.drain = context.WithCancel(context.Background())
	if n.slowDelay == 0 {
		n.slowDelay = defaultSlowDelay
	}
	n.faults.Store(&Faults{})
	n.route()
	return n, nil
}

func (n *CardNetwork) route() {
	handlers := map[string]func(http.ResponseWriter, *http.Request) error{
		"POST /v1/tokens":               n.createToken,
		"POST /v1/charges":              n.createCharge,
		"GET /v1/charges":               n.findCharge,
		"GET /v1/charges/{id}":          n.getCharge,
		"POST /v1/charges/{id}/capture": n.captureCharge,
		"POST /v1/charges/{id}/void":    n.voidCharge,
		"POST /v1/charges/{id}/refund":  n.refundCharge,
		"GET /v1/ledger":                n.listLedger,
		"POST /v1/webhook":              n.setWebhook,
		"GET /v1/faults":                n.getFaults,
		"POST /v1/faults":               n.setFaults,
		"DELETE /v1/faults":             n.clearFaults,
		"GET /livez":                    func(http.ResponseWriter, *http.Request) error { return nil },
		"GET /readyz":                   n.ready,
		"/": func(http.ResponseWriter, *http.Request) error {
			return notFound("no_such_endpoint", "no endpoint has this method and path")
		},
	}
	for pattern, handle := range handlers {
		n.routes.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
			r.Body = http.MaxBytesReader(w, r.Body, maxBodyBytes)
			if err := handle(w, r); err != nil {
				refuse(w, n.log, err)
			}
		})
	}
}

// ServeHTTP implements http.Handler.
func (n *CardNetwork) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	n.routes.ServeHTTP(w, r)
}

// Drain ends every delay and withheld answer, so that a server can stop without waiting for them. New requests are
// still served, without delays.
func (n *CardNetwork) Drain() { n.drain() }

// pause waits for d, but not beyond Drain or the end of ctx.
func (n *CardNetwork) pause(ctx context.Context, d time.Duration) {
	if d <= 0 {
		return
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(n.draining, cancel)()
	_ = n.clock.Sleep(ctx, d) // cut short or not, what follows is the same
}

// ready fails once the ledger is broken: nothing but a restart helps then.
func (n *CardNetwork) ready(http.ResponseWriter, *http.Request) error {
	if err := n.ledger.health(); err != nil {
		return unavailableLedger(err)
	}
	return nil
}
