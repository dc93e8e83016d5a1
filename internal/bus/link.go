package bus

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/cellar-commerce/cellar/internal/ident"
	"github.com/cellar-commerce/cellar/internal/problem"
)

// link is one connection, which makes itself anew for as long as its credential stays the same.
type link struct {
	conn *nats.Conn
	js   jetstream.JetStream
	// who it is, by its public key; empty for nobody.
	who string

	mu sync.Mutex
	// publishing is what is being published now: the broker answers a message that it denies on another way than those that it
	// takes, and the wait for an acknowledgement would last until its time is over.
	publishing map[*publishing]struct{}
}

type publishing struct {
	messages []Message
	end      context.CancelCauseFunc
}

// denied tells whether a broker's refusal is about one of the messages. It names the subject, in quotes.
func (p *publishing) denied(refusal string) bool {
	return slices.ContainsFunc(p.messages, func(m Message) bool { return strings.Contains(refusal, strconv.Quote(m.Subject)) })
}

// link to a region's broker. It need not be connected yet; one whose credential is at fault is an error that says so.
func (b *Bus) link(region ident.Region) (*link, error) {
	lazy, ok := b.links[region]
	if !ok {
		return nil, problem.New(problem.Unavailable, "NO_BROKER", "no broker is configured for the region")
	}
	lazy.mu.Lock()
	defer lazy.mu.Unlock()
	if lazy.link != nil && lazy.link.conn.IsConnected() {
		lazy.complaint = ""
		return lazy.link, nil
	}
	l, err := b.relink(region, lazy.link)
	if l != nil {
		lazy.link = l
	}
	if p := problem.As(err); err != nil && p != nil && p.Reason != lazy.complaint { // once, not at each of the many tries
		lazy.complaint = p.Reason
		b.cfg.Log.Error("there is no connection to a broker; what is meant for it waits, and a mended credential is found", "region", string(region),
			"reason", p.Reason, "file", b.cfg.Credentials[region], "error", err)
	}
	return l, err
}

// relink keeps a link that is not connected, as long as its credential is the one in the file, and makes another otherwise. The
// link is given even with an error, to be kept.
func (b *Bus) relink(region ident.Region, old *link) (*link, error) {
	in, err := readLogin(b.cfg.Credentials[region])
	if err != nil {
		return old, fmt.Errorf("bus: connect to %s: %w", region, err)
	}
	if old != nil && old.who == in.who && !old.conn.IsClosed() {
		if why := old.conn.LastError(); refused(why) {
			return old, problem.Wrap(why, problem.Unavailable, ReasonRefused, "the broker does not take this region's credential")
		}
		return old, nil
	}
	l, err := b.connect(region, in)
	if err == nil && old != nil {
		old.conn.Close()
	}
	return l, err
}

func (b *Bus) connect(region ident.Region, in login) (*link, error) {
	l := &link{who: in.who, publishing: map[*publishing]struct{}{}}
	options := append([]nats.Option{
		nats.Name(b.cfg.Name), nats.RetryOnFailedConnect(true), nats.MaxReconnects(-1),
		nats.ReconnectWait(250 * time.Millisecond), nats.ReconnectJitter(100*time.Millisecond, time.Second),
		nats.PingInterval(pingEvery), nats.MaxPingsOutstanding(maxPings),
		// What cannot be sent now must fail now: the outbox keeps it.
		nats.ReconnectBufSize(-1),
		// A broker that refuses today may be told of the credential tomorrow.
		nats.IgnoreAuthErrorAbort(),
		// A subscription that is denied must fail now, not wait for ever.
		nats.PermissionErrOnSubscribe(true),
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) { b.heard(region, l, err) }),
	}, in.options...)
	if b.cfg.Home != "" {
		options = append(options, nats.CustomInboxPrefix(inboxPrefix(b.cfg.Home)))
	}
	var err error
	if l.conn, err = nats.Connect(b.cfg.URLs[region], options...); err != nil {
		return nil, fmt.Errorf("bus: connect to %s: %w", region, err)
	}
	if l.js, err = jetstream.New(l.conn, jetstream.WithPublishAsyncMaxPending(1024)); err != nil {
		l.conn.Close()
		return nil, fmt.Errorf("bus: jetstream of %s: %w", region, err)
	}
	return l, nil
}

// heard is told what a broker says without being asked.
func (b *Bus) heard(region ident.Region, l *link, err error) {
	if !errors.Is(err, nats.ErrPermissionViolation) {
		return // whoever is concerned gets an error of its own
	}
	denied := problem.Wrap(err, problem.Unavailable, ReasonDenied, "the broker does not let this region's credential do this")
	l.mu.Lock()
	for p := range l.publishing {
		if p.denied(err.Error()) {
			p.end(denied)
		}
	}
	l.mu.Unlock()
	b.cfg.Log.Error("a broker denies what this cell does", "region", string(region), "reason", ReasonDenied, "error", err)
}

// untilDenied is a context that ends, with the reason as its cause, when the broker denies one of the messages.
func (l *link) untilDenied(ctx context.Context, messages []Message) (context.Context, func()) {
	ctx, end := context.WithCancelCause(ctx)
	p := &publishing{messages: messages, end: end}
	l.mu.Lock()
	l.publishing[p] = struct{}{}
	l.mu.Unlock()
	return ctx, func() {
		l.mu.Lock()
		delete(l.publishing, p)
		l.mu.Unlock()
		end(nil)
	}
}

// atHome tells whether a region's streams are this process's to declare.
func (b *Bus) atHome(region ident.Region) bool { return b.cfg.Home == "" || b.cfg.Home == region }
