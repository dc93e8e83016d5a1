package events

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	eventsv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/events/v1"
	"github.com/cellar-commerce/cellar/internal/ident"
	"github.com/cellar-commerce/cellar/internal/outbox"
	"github.com/cellar-commerce/cellar/internal/problem"
)

func checkRegion(v *problem.Violations, field, region string) {
	v.Check(slices.Contains(ident.Regions(), ident.Region(region)), field, "must be a region")
}

// GetLag implements EventsService.
func (s *Service) GetLag(ctx context.Context, req *eventsv1.GetLagRequest) (*eventsv1.GetLagResponse, error) {
	var v problem.Violations
	checkRegion(&v, "region", req.GetRegion())
	if err := v.Err(); err != nil {
		return nil, err
	}
	resp := &eventsv1.GetLagResponse{}
	for _, db := range s.outboxes() {
		all, err := outbox.Lags(ctx, db, ident.Region(req.GetRegion()))
		if err != nil {
			return nil, err
		}
		for _, l := range all {
			resp.Lags = append(resp.Lags, &eventsv1.Lag{
				Region: req.GetRegion(), Database: string(db.Database()), Destination: string(l.Destination), Pending: l.Pending, Oldest: timestamppb.New(l.Oldest),
			})
		}
	}
	return resp, nil
}

// GetFeedLag implements EventsService.
func (s *Service) GetFeedLag(ctx context.Context, req *eventsv1.GetFeedLagRequest) (*eventsv1.GetFeedLagResponse, error) {
	var v problem.Violations
	checkRegion(&v, "region", req.GetRegion())
	if err := v.Err(); err != nil {
		return nil, err
	}
	if ident.Region(req.GetRegion()) != s.deps.Region {
		return nil, problem.New(problem.Unavailable, "FOREIGN_BROKER", "a region's broker is asked by its own cells")
	}
	all, err := s.deps.Feed(ctx)
	if err != nil {
		return nil, problem.Wrap(err, problem.Unavailable, "BROKER_UNREACHABLE", "the region's broker does not say how far the feed is behind")
	}
	resp := &eventsv1.GetFeedLagResponse{}
	for _, l := range all {
		lag := &eventsv1.FeedLag{Region: req.GetRegion(), Index: l.Index, Consumer: l.Consumer, Pending: int64(min(l.Messages, math.MaxInt64))}
		if !l.Last.IsZero() {
			lag.Last = timestamppb.New(l.Last)
		}
		resp.Lags = append(resp.Lags, lag)
	}
	return resp, nil
}

// cursor of a replay over several outboxes: the outbox, the time before which events were acknowledged that are meant, and the
// outbox's own cursor.
type cursor struct {
	outbox int
	before time.Time
	own    string
}

func (c cursor) String() string {
	return fmt.Sprintf("%d/%d/%s", c.outbox, c.before.UnixMicro(), c.own)
}

func parseCursor(text string, outboxes int, now time.Time) (cursor, error) {
	if text == "" {
		return cursor{before: now}, nil
	}
	parts := strings.SplitN(text, "/", 3)
	if len(parts) == 3 {
		n, err1 := strconv.Atoi(parts[0])
		before, err2 := strconv.ParseInt(parts[1], 10, 64)
		if err1 == nil && err2 == nil && n >= 0 && n < outboxes {
			return cursor{outbox: n, before: time.UnixMicro(before).UTC(), own: parts[2]}, nil
		}
	}
	return cursor{}, problem.New(problem.Invalid, "WRONG_CURSOR", "the cursor is not one that was answered")
}

// ReplayOutbox implements EventsService.
func (s *Service) ReplayOutbox(ctx context.Context, req *eventsv1.ReplayOutboxRequest) (*eventsv1.ReplayOutboxResponse, error) {
	now := s.deps.Clock.Now()
	since := now.Add(-outbox.ReplayWindow)
	var v problem.Violations
	checkRegion(&v, "region", req.GetRegion())
	checkRegion(&v, "destination", req.GetDestination())
	checkReason(&v, req.GetReason())
	if t := req.GetSince(); t != nil {
		v.Check(t.IsValid() && !t.AsTime().After(now), "since", "must be a time that has been")
		since = t.AsTime()
	}
	if err := v.Err(); err != nil {
		return nil, err
	}
	all := s.outboxes()
	c, err := parseCursor(req.GetCursor(), len(all), now)
	if err != nil {
		return nil, err
	}
	r := outbox.Replay{Region: ident.Region(req.GetRegion()), Destination: ident.Region(req.GetDestination()), Since: since, Before: c.before}
	if req.GetCursor() == "" {
		s.deps.Log.InfoContext(ctx, "acknowledged events are sent once more", "region", req.GetRegion(), "destination", req.GetDestination(), "since", since, "reason", req.GetReason())
	}
	for ; c.outbox < len(all); c.outbox, c.own = c.outbox+1, "" {
		n, next, err := r.Next(ctx, all[c.outbox], c.own)
		if err != nil {
			return nil, err
		}
		if next != "" {
			c.own = next
			return &eventsv1.ReplayOutboxResponse{Events: n, Cursor: c.String()}, nil
		}
	}
	return &eventsv1.ReplayOutboxResponse{}, nil
}

func shown(l letter) *eventsv1.DeadLetter {
	return &eventsv1.DeadLetter{
		Region: string(l.region), Consumer: l.consumer, MessageId: l.id, Subject: l.subject, Reason: l.why,
		Tries: int32(min(l.tries, 1<<30)), BuriedAt: timestamppb.New(l.buriedAt),
	}
}

// ListDeadLetters implements EventsService.
func (s *Service) ListDeadLetters(ctx context.Context, req *eventsv1.ListDeadLettersRequest) (*eventsv1.ListDeadLettersResponse, error) {
	var v problem.Violations
	checkRegion(&v, "region", req.GetRegion())
	if err := v.Err(); err != nil {
		return nil, err
	}
	all, err := selectLetters(ctx, s.deps.Regional, ident.Region(req.GetRegion()), req.GetConsumer())
	if err != nil {
		return nil, err
	}
	resp := &eventsv1.ListDeadLettersResponse{}
	for _, l := range all {
		resp.Letters = append(resp.Letters, shown(l))
	}
	return resp, nil
}

// GetDeadLetter implements EventsService.
func (s *Service) GetDeadLetter(ctx context.Context, req *eventsv1.GetDeadLetterRequest) (*eventsv1.GetDeadLetterResponse, error) {
	l, err := selectLetter(ctx, s.deps.Regional, key{ident.Region(req.GetRegion()), req.GetConsumer(), req.GetMessageId()})
	if err != nil {
		return nil, err
	}
	return &eventsv1.GetDeadLetterResponse{Letter: shown(l), Event: public(l.subject, l.payload)}, nil
}

// ReplayDeadLetter implements EventsService.
func (s *Service) ReplayDeadLetter(ctx context.Context, req *eventsv1.ReplayDeadLetterRequest) (*eventsv1.ReplayDeadLetterResponse, error) {
	k := key{ident.Region(req.GetRegion()), req.GetConsumer(), req.GetMessageId()}
	if err := s.decided(ctx, "a dead letter is shown to its consumer again", k, req.GetReason()); err != nil {
		return nil, err
	}
	return &eventsv1.ReplayDeadLetterResponse{}, s.replay(ctx, k)
}

// DropDeadLetter implements EventsService.
func (s *Service) DropDeadLetter(ctx context.Context, req *eventsv1.DropDeadLetterRequest) (*eventsv1.DropDeadLetterResponse, error) {
	k := key{ident.Region(req.GetRegion()), req.GetConsumer(), req.GetMessageId()}
	if err := s.decided(ctx, "a dead letter is dropped", k, req.GetReason()); err != nil {
		return nil, err
	}
	return &eventsv1.DropDeadLetterResponse{}, deleteLetter(ctx, s.deps.Regional, k)
}

// decided by an operator: the log keeps why.
func (s *Service) decided(ctx context.Context, what string, k key, reason string) error {
	var v problem.Violations
	checkReason(&v, reason)
	if err := v.Err(); err != nil {
		return err
	}
	s.deps.Log.InfoContext(ctx, what, "region", string(k.region), "consumer", k.consumer, "message", k.id, "reason", reason)
	return nil
}
