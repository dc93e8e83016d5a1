package notice

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cellar-commerce/cellar/internal/clock"
	"github.com/cellar-commerce/cellar/internal/fence"
	notificationv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/notification/v1"
	"github.com/cellar-commerce/cellar/internal/ident"
	"github.com/cellar-commerce/cellar/internal/sqldb"
)

const (
	// sweepEvery is how long somebody waits for an e-mail at most, beside its way.
	sweepEvery = time.Second
	// pageSize and maxPages bound what one sweep reads of a ring: of a region's few cells one owns a good share of each page.
	pageSize = 200
	maxPages = 10
	// maxRuns at once: each waits for a provider, and holds no connection to the database meanwhile.
	maxRuns = 8
	// holdTime after which a claimed notice counts as left behind by a process that died: more than all channels' time-outs.
	holdTime = time.Minute
	// tryTimeout of one channel.
	tryTimeout = 15 * time.Second
	// firstPause after a failure doubles with each, up to maxPause: maxAttempts of them are some five hours.
	firstPause  = 5 * time.Second
	maxPause    = time.Hour
	maxAttempts = 14
	// keepDone is how long the cause of what has been told is remembered, and keepParked how long an operator has.
	keepDone   = 7 * 24 * time.Hour
	keepParked = 30 * 24 * time.Hour
)

// Outcome of a try.
type Outcome int

// Outcomes. The zero value is the careful one.
const (
	// Unknown: it may have arrived.
	Unknown Outcome = iota
	// Told: the receiver has taken it.
	Told
	// Unwanted: the customer does not want it, or there is no such channel, or nobody to tell.
	Unwanted
	// Failed: it has not arrived, and may later.
	Failed
	// Refused: it has not arrived and never will.
	Refused
)

// String names an outcome, as metrics and logs do.
func (o Outcome) String() string {
	return [...]string{"unknown", "told", "unwanted", "failed", "refused"}[o]
}

// Try is one notice on its way by one channel.
type Try struct {
	Customer ident.CustomerID
	// Key is the same for each try of this notice by this channel, and of no other: 32 hexadecimal digits.
	Key     string
	Channel notificationv1.Channel
	Detail  *notificationv1.Notice
	At      time.Time
}

// Courier takes notices to customers.
type Courier interface {
	// Deliver one. The error says why, for the log, without anything personal; nil for Told and Unwanted.
	Deliver(ctx context.Context, t Try) (Outcome, error)
	// DropsTwins tells whether who receives by a channel drops what has a key that it has seen.
	DropsTwins(notificationv1.Channel) bool
}

// Observer counts.
type Observer interface {
	// NoticeTried by a channel, with its outcome.
	NoticeTried(channel, outcome string)
	// NoticeParked after too many failures.
	NoticeParked()
}

// Deps of a Sender.
type Deps struct {
	// DB is cellar_customer.
	DB      *sqldb.DB
	Fence   fence.Fence
	Clock   clock.Clock
	Log     *slog.Logger
	Courier Courier
	// Rings in which this cell may own customers.
	Rings func() (rings []ident.Region, version uint64)
	// Observe may be nil.
	Observe Observer
}

// Sender has notices taken to the customers of one cell.
type Sender struct{ deps Deps }

type silent struct{}

func (silent) NoticeTried(string, string) {}
func (silent) NoticeParked()              {}

// NewSender of a cell.
func NewSender(deps Deps) *Sender {
	if deps.Observe == nil {
		deps.Observe = silent{}
	}
	return &Sender{deps: deps}
}

// Run sweeps until ctx ends.
func (s *Sender) Run(ctx context.Context) {
	for s.deps.Clock.Sleep(ctx, sweepEvery) == nil {
		if _, err := s.Sweep(ctx); err != nil && ctx.Err() == nil {
			s.deps.Log.WarnContext(ctx, "notices could not be sent; the next sweep goes on", "error", err)
		}
	}
}

// Sweep takes what is due and this cell's, several at once, and waits for it; gives how many.
func (s *Sender) Sweep(ctx context.Context) (int, error) {
	var n atomic.Int64
	var failures []error
	var mu sync.Mutex
	var runs sync.WaitGroup
	room := make(chan struct{}, maxRuns)
	err := s.eachDue(ctx, func(p place) {
		room <- struct{}{}
		runs.Go(func() {
			defer func() { <-room }()
			if err := s.run(ctx, p); err != nil {
				mu.Lock()
				failures = append(failures, err)
				mu.Unlock()
				return
			}
			n.Add(1)
		})
	})
	runs.Wait()
	if len(failures) > 0 { // one says enough: they mostly are the database's
		err = errors.Join(err, fmt.Errorf("%d notices: %w", len(failures), failures[0]))
	}
	return int(n.Load()), err
}

// eachDue notice of customers that this cell owns by the map.
func (s *Sender) eachDue(ctx context.Context, do func(place)) error {
	rings, _ := s.deps.Rings()
	now := s.deps.Clock.Now()
	for _, ring := range rings {
		after := place{due: time.Unix(0, 0)}
		for range maxPages {
			page, err := s.list(ctx, ring, now, after)
			if err != nil {
				return fmt.Errorf("notices due in %s: %w", ring, err)
			}
			for _, p := range page {
				if s.deps.Fence.Mine(p.customer) {
					do(p)
				}
			}
			if len(page) < pageSize {
				break
			}
			after = page[len(page)-1]
		}
	}
	return nil
}

// run one notice: claim it, try each channel that is left, and store what became of them.
func (s *Sender) run(ctx context.Context, p place) error {
	r, err := s.claim(ctx, p)
	if err != nil || r == nil {
		return err
	}
	detail, err := unpack(r.detail)
	if err != nil {
		return fmt.Errorf("notice %s: %w", p.cause, err)
	}
	refused := s.try(ctx, p, r, detail)
	// The process may be told to stop while a provider answers. What it answered is stored all the same.
	ending, cancel := context.WithTimeout(context.WithoutCancel(ctx), tryTimeout)
	defer cancel()
	return s.settle(ending, p, r, refused)
}

// claim a notice for a try of the channels that are pending; nil when there is nothing to try. What had ended is forgotten.
func (s *Sender) claim(ctx context.Context, p place) (*row, error) {
	now := s.deps.Clock.Now()
	var claimed *row
	var gaveUp bool
	err := s.deps.Fence.InSlotTx(ctx, p.customer, func(tx sqldb.Tx) error {
		claimed, gaveUp = nil, false
		r, err := lock(ctx, tx, p, now)
		if err != nil || r == nil {
			return err
		}
		if r.state != waiting {
			return forget(ctx, tx, p)
		}
		s.doubt(r)
		if r.pending == 0 || r.attempts >= maxAttempts {
			gaveUp = r.pending != 0
			r.end(gaveUp)
			return store(ctx, tx, p, r, r.keptUntil(now))
		}
		r.attempts++
		r.begun |= r.pending
		claimed = r
		return store(ctx, tx, p, r, now.Add(holdTime))
	})
	if err == nil && gaveUp {
		s.park(ctx, p)
	}
	return claimed, err
}

// doubt the tries that nobody knows the end of: by a channel that does not drop twins there is one repetition.
func (s *Sender) doubt(r *row) {
	for _, c := range Channels() {
		switch b := bit(c); {
		case r.pending&r.begun&b == 0 || s.deps.Courier.DropsTwins(c):
		case r.repeated&b == 0:
			r.repeated |= b
		default:
			r.pending &^= b
		}
	}
}

// end a notice, and empty it when nobody needs to look at it any more.
func (r *row) end(gaveUp bool) {
	r.state = done
	if gaveUp {
		r.state = parked
		return
	}
	r.detail = []byte{}
}

func (r *row) keptUntil(now time.Time) time.Time {
	if r.state == parked {
		return now.Add(keepParked)
	}
	return now.Add(keepDone)
}

// try every channel that is pending, and note in r what became of it; gives whether one has refused it for ever.
func (s *Sender) try(ctx context.Context, p place, r *row, detail *notificationv1.Notice) (refused bool) {
	for _, c := range Channels() {
		b := bit(c)
		if r.pending&b == 0 {
			continue
		}
		own, cancel := context.WithTimeout(ctx, tryTimeout)
		outcome, err := s.deps.Courier.Deliver(own, Try{Customer: p.customer, Key: keyOf(p.customer, p.cause, c), Channel: c, Detail: detail, At: s.deps.Clock.Now()})
		cancel()
		s.deps.Observe.NoticeTried(c.String(), outcome.String())
		if err != nil {
			s.deps.Log.WarnContext(ctx, "a notice was not delivered", "kind", detail.GetKind().String(), "channel", c.String(), "outcome", outcome.String(), "attempt", r.attempts, "error", err)
		}
		switch outcome {
		case Told, Unwanted:
			r.pending &^= b
		case Refused:
			r.begun &^= b
			refused = true
		case Failed:
			r.begun &^= b
		case Unknown:
		}
	}
	return refused
}

// settle what became of a try.
func (s *Sender) settle(ctx context.Context, p place, r *row, refused bool) error {
	now := s.deps.Clock.Now()
	due := now.Add(pause(r.attempts))
	gaveUp := r.pending != 0 && (refused || r.attempts >= maxAttempts)
	if gaveUp || r.pending == 0 {
		r.end(gaveUp)
		due = r.keptUntil(now)
	}
	err := s.deps.Fence.InSlotTx(ctx, p.customer, func(tx sqldb.Tx) error { return end(ctx, tx, p, r, due) })
	if err == nil && gaveUp {
		s.park(ctx, p)
	}
	return err
}

func (s *Sender) park(ctx context.Context, p place) {
	s.deps.Observe.NoticeParked()
	s.deps.Log.ErrorContext(ctx, "a notice is parked: it cannot be delivered", "cause", p.cause)
}

// pause after a number of tries.
func pause(attempts int32) time.Duration {
	d := firstPause
	for range attempts - 1 {
		if d *= 2; d >= maxPause {
			return maxPause
		}
	}
	return d
}
