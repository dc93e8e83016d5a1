package events

import (
	"context"
	"fmt"
	"log/slog"

	"github.com/cellar-commerce/cellar/internal/bus"
	"github.com/cellar-commerce/cellar/internal/clock"
	"github.com/cellar-commerce/cellar/internal/gen/cellar/events/v1/eventsv1connect"
	"github.com/cellar-commerce/cellar/internal/ident"
	"github.com/cellar-commerce/cellar/internal/outbox"
	"github.com/cellar-commerce/cellar/internal/sqldb"
)

// Observer of dead letters.
type Observer interface {
	// LetterBuried is told of each, by the process that gave it up.
	LetterBuried(consumer string)
}

// Deps of the service.
type Deps struct {
	// Global, Customers and Regional each have an outbox; dead letters are in Regional.
	Global, Customers, Regional *sqldb.DB
	// Committed is told that the regional outbox has something.
	Committed func()
	Clock     clock.Clock
	Log       *slog.Logger
	// Observe may be nil.
	Observe Observer
	// Region of this cell, and how far its feed for analytics is behind.
	Region ident.Region
	Feed   func(context.Context) ([]FeedLag, error)
}

// Service implements cellar.events.v1.EventsService, and keeps dead letters.
type Service struct{ deps Deps }

var _ eventsv1connect.EventsServiceHandler = (*Service)(nil)

// New service.
func New(deps Deps) *Service { return &Service{deps: deps} }

var _ bus.Bury = (*Service)(nil).Bury

// Bury implements bus.Bury.
func (s *Service) Bury(ctx context.Context, d bus.DeadLetter) error {
	err := insertLetter(ctx, s.deps.Regional, letter{
		region: d.Region, consumer: d.Consumer, id: d.Message.ID, subject: d.Message.Subject, payload: d.Message.Data,
		why: d.Reason, tries: d.Message.Delivered, buriedAt: s.deps.Clock.Now(),
	})
	if err == nil && s.deps.Observe != nil {
		s.deps.Observe.LetterBuried(d.Consumer)
	}
	return err
}

// replay a letter: from its row into the outbox of its region, in one transaction.
func (s *Service) replay(ctx context.Context, k key) error {
	err := s.deps.Regional.InTx(ctx, func(tx sqldb.Tx) error {
		l, err := selectLetter(ctx, tx, k)
		if err != nil {
			return err
		}
		if err := deleteLetter(ctx, tx, k); err != nil {
			return err
		}
		now := s.deps.Clock.Now()
		return outbox.Enqueue(ctx, tx, l.region, now, outbox.Event{
			MessageID: bus.ReplayID(l.consumer, number(now), l.id), Key: l.id, Subject: l.subject, Destination: l.region, Raw: l.payload,
		})
	})
	if err != nil {
		return fmt.Errorf("replay %s of %s: %w", k.id, k.consumer, err)
	}
	s.deps.Committed()
	return nil
}

// outboxes by the names of their databases, in the order in which a replay goes through them.
func (s *Service) outboxes() []*sqldb.DB {
	return []*sqldb.DB{s.deps.Global, s.deps.Customers, s.deps.Regional}
}
