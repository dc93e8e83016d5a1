package review

import (
	"context"
	"encoding/hex"
	"fmt"

	"google.golang.org/protobuf/proto"

	reviewv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/review/v1"
	"github.com/cellar-commerce/cellar/internal/ident"
	"github.com/cellar-commerce/cellar/internal/outbox"
	"github.com/cellar-commerce/cellar/internal/sqldb"
)

// The events go where the catalogue's go: they change what a product's page shows.
const (
	// ConsumerName is the durable name of the consumer of a region's events.
	ConsumerName = "review"
	// Subjects matches all of them.
	Subjects       = "catalog.review.*"
	subjectChanged = "catalog.review.changed"
	subjectVoted   = "catalog.review.voted"
)

// tell every region of a contribution as everybody may see it now.
func (s *Service) tell(ctx context.Context, tx sqldb.Tx, ring ident.Region, all ...*reviewv1.Contribution) error {
	var events []outbox.Event
	for _, c := range all {
		e := &reviewv1.ContributionChanged{Sku: c.GetSku(), ContributionId: c.GetContributionId(), Version: c.GetVersion(), Withdrawn: !visible(c)}
		if visible(c) {
			e.Kind, e.QuestionId, e.Rating, e.Title, e.Text = c.GetKind(), c.GetQuestionId(), c.GetRating(), c.GetTitle(), c.GetText()
			e.Author, e.Buyer, e.WrittenAt = c.GetAuthor(), c.GetBuyer(), c.GetWrittenAt()
		}
		for _, region := range s.deps.Regions {
			events = append(events, outbox.Event{
				MessageID: fmt.Sprintf("review/%s/%d/%s", c.GetContributionId(), c.GetVersion(), region), Key: c.GetContributionId(),
				Subject: subjectChanged, Destination: region, Payload: e,
			})
		}
	}
	return outbox.Enqueue(ctx, tx, ring, s.deps.Clock.Now(), events...)
}

// tellVote tells every region of a vote.
func (s *Service) tellVote(ctx context.Context, tx sqldb.Tx, ring ident.Region, e *reviewv1.VoteChanged) error {
	events := make([]outbox.Event, len(s.deps.Regions))
	for i, region := range s.deps.Regions {
		events[i] = outbox.Event{
			MessageID: fmt.Sprintf("vote/%s/%s/%d/%s", e.GetContributionId(), hex.EncodeToString(e.GetVoter()), e.GetVersion(), region), Key: e.GetContributionId(),
			Subject: subjectVoted, Destination: region, Payload: e,
		}
	}
	return outbox.Enqueue(ctx, tx, ring, s.deps.Clock.Now(), events...)
}

// Take is the consumer of the events: it keeps this region's copies. An event that comes again, or late, changes nothing. Gives
// the SKU of the product that it is about.
func (s *Service) Take(ctx context.Context, subject string, payload []byte) (sku string, err error) {
	if subject == subjectVoted {
		var e reviewv1.VoteChanged
		if err := proto.Unmarshal(payload, &e); err != nil {
			return "", fmt.Errorf("vote changed: %w", err)
		}
		return e.GetSku(), s.takeVote(ctx, &e)
	}
	var e reviewv1.ContributionChanged
	if err := proto.Unmarshal(payload, &e); err != nil {
		return "", fmt.Errorf("contribution changed: %w", err)
	}
	return e.GetSku(), s.takeContribution(ctx, &e)
}

const (
	published = "PUBLISHED"
	withdrawn = "WITHDRAWN"
	awaited   = "AWAITED"
)

func (s *Service) takeContribution(ctx context.Context, e *reviewv1.ContributionChanged) error {
	region, now := s.deps.Region, s.deps.Clock.Now()
	kind, state := kindWord(e.GetKind()), published
	if e.GetWithdrawn() {
		kind, state = "", withdrawn
	}
	err := s.deps.Regional.InTx(ctx, func(tx sqldb.Tx) error {
		stars, err := lockOpinion(ctx, tx, region, e.GetSku(), now)
		if err != nil {
			return err
		}
		was, err := readCopy(ctx, tx, region, e.GetSku(), e.GetContributionId())
		if err != nil || e.GetVersion() <= was.version {
			return err
		}
		if _, err := tx.Exec(ctx, stmtPutPublished, string(region), e.GetSku(), e.GetContributionId(), kind, e.GetQuestionId(), e.GetRating(), e.GetTitle(), e.GetText(),
			e.GetAuthor(), e.GetBuyer(), state, e.GetVersion(), e.GetWrittenAt().AsTime()); err != nil {
			return err
		}
		stars = count(stars, was.rating, -1)
		stars = count(stars, e.GetRating(), 1)
		return s.digest(ctx, tx, e.GetSku(), stars)
	})
	if err != nil {
		return fmt.Errorf("take contribution %s: %w", e.GetContributionId(), err)
	}
	return nil
}

// count a rating in or out; no rating counts nothing.
func count(stars [5]int64, rating int32, by int64) [5]int64 {
	if rating >= 1 && rating <= 5 {
		stars[rating-1] += by
	}
	return stars
}

func (s *Service) takeVote(ctx context.Context, e *reviewv1.VoteChanged) error {
	region, now := s.deps.Region, s.deps.Clock.Now()
	vote := signs[e.GetVote()]
	err := s.deps.Regional.InTx(ctx, func(tx sqldb.Tx) error {
		stars, err := lockOpinion(ctx, tx, region, e.GetSku(), now)
		if err != nil {
			return err
		}
		wasVote, version, err := readVote(ctx, tx, stmtGetPublishedVote, string(region), e.GetContributionId(), e.GetVoter())
		if err != nil || e.GetVersion() <= version {
			return err
		}
		if _, err := tx.Exec(ctx, stmtPutPublishedVote, string(region), e.GetContributionId(), e.GetVoter(), vote, e.GetVersion()); err != nil {
			return err
		}
		c, err := readCopy(ctx, tx, region, e.GetSku(), e.GetContributionId())
		if err != nil {
			return err
		}
		if c.state == "" { // the vote has overtaken what it is on
			if _, err := tx.Exec(ctx, stmtPutPublished, string(region), e.GetSku(), e.GetContributionId(), "", "", 0, "", "", "", false, awaited, 0, now); err != nil {
				return err
			}
		}
		helpful, unhelpful := c.helpful, c.unhelpful
		for _, change := range []struct {
			vote int16
			by   int64
		}{{wasVote, -1}, {vote, 1}} {
			switch change.vote {
			case 1:
				helpful += change.by
			case -1:
				unhelpful += change.by
			}
		}
		if _, err := tx.Exec(ctx, stmtCountVotes, string(region), e.GetSku(), e.GetContributionId(), helpful, unhelpful, standing(helpful, unhelpful)); err != nil {
			return err
		}
		return s.digest(ctx, tx, e.GetSku(), stars)
	})
	if err != nil {
		return fmt.Errorf("take vote on %s: %w", e.GetContributionId(), err)
	}
	return nil
}

// signs of votes, as they are stored.
var signs = map[reviewv1.Vote]int16{reviewv1.Vote_VOTE_HELPFUL: 1, reviewv1.Vote_VOTE_UNHELPFUL: -1}
