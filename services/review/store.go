package review

import (
	"context"
	"errors"
	"strings"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	reviewv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/review/v1"
	"github.com/cellar-commerce/cellar/internal/ident"
	"github.com/cellar-commerce/cellar/internal/sqldb"
)

// What lives with its author.
var (
	stmtGet = sqldb.Define(sqldb.Customer, "review.get", `
SELECT contribution_id, customer_id, kind, sku, order_id, line, question_id, rating, title, body, author, buyer, state, held_for, reason, version, written_at, changed_at
FROM contributions
WHERE region = $1 AND contribution_id = $2`)

	stmtLock = sqldb.Define(sqldb.Customer, "review.lock", `
SELECT contribution_id, customer_id, kind, sku, order_id, line, question_id, rating, title, body, author, buyer, state, held_for, reason, version, written_at, changed_at
FROM contributions
WHERE region = $1 AND contribution_id = $2
FOR UPDATE`)

	// The customer is compared too: an id of somebody else's is never overwritten.
	stmtPut = sqldb.Define(sqldb.Customer, "review.put", `
INSERT INTO contributions (region, contribution_id, customer_id, kind, sku, order_id, line, question_id, rating, title, body, author, buyer, state, held_for, reason, version, written_at, changed_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19)
ON CONFLICT (region, contribution_id) DO UPDATE
SET rating = excluded.rating, title = excluded.title, body = excluded.body, author = excluded.author, buyer = excluded.buyer, state = excluded.state,
  held_for = excluded.held_for, reason = excluded.reason, version = excluded.version, changed_at = excluded.changed_at
WHERE contributions.customer_id = excluded.customer_id AND contributions.version = excluded.version - 1`)

	stmtCountWritten = sqldb.Define(sqldb.Customer, "review.count_written", `
SELECT count(*)
FROM contributions
WHERE region = $1 AND customer_id = $2 AND written_at > $3`)

	stmtListOwn = sqldb.Define(sqldb.Customer, "review.list_own", `
SELECT contribution_id, customer_id, kind, sku, order_id, line, question_id, rating, title, body, author, buyer, state, held_for, reason, version, written_at, changed_at
FROM contributions
WHERE region = $1 AND customer_id = $2 AND state <> 'DELETED' AND (written_at, contribution_id) < ($3, $4)
ORDER BY written_at DESC, contribution_id DESC
LIMIT $5`)

	stmtListHeld = sqldb.Define(sqldb.Customer, "review.list_held", `
SELECT contribution_id, customer_id, kind, sku, order_id, line, question_id, rating, title, body, author, buyer, state, held_for, reason, version, written_at, changed_at
FROM contributions
WHERE region = $1 AND state = 'HELD'
ORDER BY changed_at
LIMIT $2`)

	// A page of a customer's contributions that have the customer's name still.
	stmtListNamed = sqldb.Define(sqldb.Customer, "review.list_named", `
SELECT contribution_id, customer_id, kind, sku, order_id, line, question_id, rating, title, body, author, buyer, state, held_for, reason, version, written_at, changed_at
FROM contributions
WHERE region = $1 AND customer_id = $2 AND author <> ''
ORDER BY written_at, contribution_id
LIMIT $3
FOR UPDATE`)

	stmtLockVote = sqldb.Define(sqldb.Customer, "review.lock_vote", `
SELECT vote, version
FROM contribution_votes
WHERE region = $1 AND customer_id = $2 AND contribution_id = $3
FOR UPDATE`)

	stmtPutVote = sqldb.Define(sqldb.Customer, "review.put_vote", `
INSERT INTO contribution_votes (region, customer_id, contribution_id, sku, vote, version, voted_at)
VALUES ($1, $2, $3, $4, $5, $6, $7)
ON CONFLICT (region, customer_id, contribution_id) DO UPDATE
SET vote = excluded.vote, version = excluded.version, voted_at = excluded.voted_at
WHERE contribution_votes.version = excluded.version - 1`)

	stmtListVotes = sqldb.Define(sqldb.Customer, "review.list_votes", `
SELECT sku, contribution_id, vote, voted_at
FROM contribution_votes
WHERE region = $1 AND customer_id = $2 AND contribution_id > $3
ORDER BY contribution_id
LIMIT $4`)
)

// What each region has to read.
var (
	stmtOpenOpinion = sqldb.Define(sqldb.Regional, "review.open_opinion", `
INSERT INTO opinions (region, sku, stars_1, stars_2, stars_3, stars_4, stars_5, digest, changed_at)
VALUES ($1, $2, 0, 0, 0, 0, 0, ''::bytea, $3)
ON CONFLICT (region, sku) DO NOTHING`)

	stmtLockOpinion = sqldb.Define(sqldb.Regional, "review.lock_opinion", `
SELECT stars_1, stars_2, stars_3, stars_4, stars_5
FROM opinions
WHERE region = $1 AND sku = $2
FOR UPDATE`)

	stmtPutOpinion = sqldb.Define(sqldb.Regional, "review.put_opinion", `
UPDATE opinions
SET stars_1 = $3, stars_2 = $4, stars_3 = $5, stars_4 = $6, stars_5 = $7, digest = $8, changed_at = $9
WHERE region = $1 AND sku = $2`)

	stmtGetOpinion = sqldb.Define(sqldb.Regional, "review.get_opinion", `
SELECT stars_1, stars_2, stars_3, stars_4, stars_5, digest
FROM opinions
WHERE region = $1 AND sku = $2`)

	stmtGetOpinions = sqldb.Define(sqldb.Regional, "review.get_opinions", `
SELECT o.sku, o.stars_1, o.stars_2, o.stars_3, o.stars_4, o.stars_5, o.digest
FROM unnest($2::text[]) AS p (sku)
JOIN opinions AS o ON o.region = $1 AND o.sku = p.sku`)

	stmtGetRatings = sqldb.Define(sqldb.Regional, "review.get_ratings", `
SELECT o.sku, o.stars_1, o.stars_2, o.stars_3, o.stars_4, o.stars_5
FROM unnest($2::text[]) AS p (sku)
JOIN opinions AS o ON o.region = $1 AND o.sku = p.sku`)

	stmtGetPublished = sqldb.Define(sqldb.Regional, "review.get_published", `
SELECT kind, state, version, rating, helpful, unhelpful
FROM published_contributions
WHERE region = $1 AND sku = $2 AND contribution_id = $3`)

	stmtPutPublished = sqldb.Define(sqldb.Regional, "review.put_published", `
INSERT INTO published_contributions (region, sku, contribution_id, kind, question_id, rating, title, body, author, buyer, state, version, helpful, unhelpful, standing, written_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, 0, 0, 0, $13)
ON CONFLICT (region, sku, contribution_id) DO UPDATE
SET kind = excluded.kind, question_id = excluded.question_id, rating = excluded.rating, title = excluded.title, body = excluded.body, author = excluded.author,
  buyer = excluded.buyer, state = excluded.state, version = excluded.version, written_at = excluded.written_at`)

	stmtCountVotes = sqldb.Define(sqldb.Regional, "review.count_votes", `
UPDATE published_contributions
SET helpful = $4, unhelpful = $5, standing = $6
WHERE region = $1 AND sku = $2 AND contribution_id = $3`)

	stmtGetPublishedVote = sqldb.Define(sqldb.Regional, "review.get_published_vote", `
SELECT vote, version
FROM published_votes
WHERE region = $1 AND contribution_id = $2 AND voter = $3`)

	stmtPutPublishedVote = sqldb.Define(sqldb.Regional, "review.put_published_vote", `
INSERT INTO published_votes (region, contribution_id, voter, vote, version)
VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (region, contribution_id, voter) DO UPDATE
SET vote = excluded.vote, version = excluded.version`)

	stmtListByStanding = sqldb.Define(sqldb.Regional, "review.list_by_standing", `
SELECT contribution_id, question_id, rating, title, body, author, buyer, helpful, unhelpful, standing, written_at
FROM published_contributions
WHERE region = $1 AND sku = $2 AND kind = $3 AND question_id = '' AND state = 'PUBLISHED' AND (standing, written_at, contribution_id) < ($4, $5, $6)
ORDER BY standing DESC, written_at DESC, contribution_id DESC
LIMIT $7`)

	stmtListByTime = sqldb.Define(sqldb.Regional, "review.list_by_time", `
SELECT contribution_id, question_id, rating, title, body, author, buyer, helpful, unhelpful, standing, written_at
FROM published_contributions
WHERE region = $1 AND sku = $2 AND kind = $3 AND state = 'PUBLISHED' AND (written_at, contribution_id) < ($4, $5)
ORDER BY written_at DESC, contribution_id DESC
LIMIT $6`)

	// The best answers of each of some questions.
	stmtListAnswers = sqldb.Define(sqldb.Regional, "review.list_answers", `
SELECT a.contribution_id, a.question_id, a.rating, a.title, a.body, a.author, a.buyer, a.helpful, a.unhelpful, a.standing, a.written_at
FROM unnest($3::text[]) AS q (id)
CROSS JOIN LATERAL (
  SELECT contribution_id, question_id, rating, title, body, author, buyer, helpful, unhelpful, standing, written_at
  FROM published_contributions
  WHERE region = $1 AND sku = $2 AND kind = 'ANSWER' AND question_id = q.id AND state = 'PUBLISHED'
  ORDER BY standing DESC, written_at DESC, contribution_id DESC
  LIMIT $4
) AS a`)
)

func scanContribution(r sqldb.Row) (*reviewv1.Contribution, error) {
	var c reviewv1.Contribution
	var kind, state, heldFor string
	var written, changed time.Time
	err := r.Scan(&c.ContributionId, &c.CustomerId, &kind, &c.Sku, &c.OrderId, &c.Line, &c.QuestionId, &c.Rating, &c.Title, &c.Text, &c.Author, &c.Buyer,
		&state, &heldFor, &c.Reason, &c.Version, &written, &changed)
	c.Kind, c.State = reviewv1.Kind(reviewv1.Kind_value["KIND_"+kind]), reviewv1.State(reviewv1.State_value["STATE_"+state])
	c.WrittenAt, c.ChangedAt = timestamppb.New(written), timestamppb.New(changed)
	if heldFor != "" {
		c.HeldFor = strings.Split(heldFor, ",")
	}
	return &c, err
}

// one contribution; nil when there is none.
func one(ctx context.Context, q sqldb.Querier, s *sqldb.Statement, ring ident.Region, id string) (*reviewv1.Contribution, error) {
	c, err := scanContribution(q.QueryRow(ctx, s, string(ring), id))
	if errors.Is(err, sqldb.ErrNoRows) {
		return nil, nil
	}
	return c, err
}

// errOvertaken: somebody else has written the same row meanwhile. Rows are locked before they are changed, so that this
// is only when two write the first version at once; a second look then finds it.
var errOvertaken = errors.New("a contribution or vote was written twice at once")

func kindWord(k reviewv1.Kind) string   { return strings.TrimPrefix(k.String(), "KIND_") }
func stateWord(s reviewv1.State) string { return strings.TrimPrefix(s.String(), "STATE_") }

// store the next version of a contribution.
func store(ctx context.Context, tx sqldb.Tx, ring ident.Region, c *reviewv1.Contribution) error {
	n, err := tx.Exec(ctx, stmtPut, string(ring), c.GetContributionId(), c.GetCustomerId(), kindWord(c.GetKind()), c.GetSku(), c.GetOrderId(), c.GetLine(), c.GetQuestionId(),
		c.GetRating(), c.GetTitle(), c.GetText(), c.GetAuthor(), c.GetBuyer(), stateWord(c.GetState()), strings.Join(c.GetHeldFor(), ","), c.GetReason(), c.GetVersion(),
		c.GetWrittenAt().AsTime(), c.GetChangedAt().AsTime())
	if err == nil && n == 0 {
		return errOvertaken
	}
	return err
}

// entry of a page: what is published, and its place in the order of pages.
type entry struct {
	shown      *reviewv1.Published
	questionID string
	standing   int64
}

func scanEntry(r sqldb.Row) (e entry, err error) {
	e.shown = &reviewv1.Published{}
	var written time.Time
	err = r.Scan(&e.shown.ContributionId, &e.questionID, &e.shown.Rating, &e.shown.Title, &e.shown.Text, &e.shown.Author, &e.shown.Buyer,
		&e.shown.Helpful, &e.shown.Unhelpful, &e.standing, &written)
	e.shown.WrittenAt = timestamppb.New(written)
	return e, err
}

// copied is a region's copy of a contribution, as far as events are compared with it.
type copied struct {
	kind, state        string
	version            int64
	rating             int32
	helpful, unhelpful int64
}

// readCopy of a contribution; the zero value when there is none.
func readCopy(ctx context.Context, q sqldb.Querier, region ident.Region, sku, id string) (c copied, err error) {
	err = q.QueryRow(ctx, stmtGetPublished, string(region), sku, id).Scan(&c.kind, &c.state, &c.version, &c.rating, &c.helpful, &c.unhelpful)
	if errors.Is(err, sqldb.ErrNoRows) {
		return copied{}, nil
	}
	return c, err
}

// readVote that s finds; zeroes when there is none.
func readVote(ctx context.Context, tx sqldb.Tx, s *sqldb.Statement, args ...any) (vote int16, version int64, err error) {
	err = tx.QueryRow(ctx, s, args...).Scan(&vote, &version)
	if errors.Is(err, sqldb.ErrNoRows) {
		return 0, 0, nil
	}
	return vote, version, err
}

// lockOpinion of a product, so that no other event of the product is taken meanwhile.
func lockOpinion(ctx context.Context, tx sqldb.Tx, region ident.Region, sku string, now time.Time) (stars [5]int64, err error) {
	if _, err = tx.Exec(ctx, stmtOpenOpinion, string(region), sku, now); err != nil {
		return stars, err
	}
	err = tx.QueryRow(ctx, stmtLockOpinion, string(region), sku).Scan(&stars[0], &stars[1], &stars[2], &stars[3], &stars[4])
	return stars, err
}

func putOpinion(ctx context.Context, tx sqldb.Tx, region ident.Region, sku string, stars [5]int64, digest *reviewv1.Opinion, now time.Time) error {
	packed, err := proto.Marshal(digest)
	if err != nil {
		return err
	}
	_, err = tx.Exec(ctx, stmtPutOpinion, string(region), sku, stars[0], stars[1], stars[2], stars[3], stars[4], packed, now)
	return err
}

// readOpinion of a product; an empty one when nobody has written about it.
// readOpinions of products, by SKU; without those of whom nothing is said.
func readOpinions(ctx context.Context, q sqldb.Querier, region ident.Region, skus []string) (map[string]*reviewv1.Opinion, error) {
	all := map[string]*reviewv1.Opinion{}
	_, err := sqldb.Collect(ctx, q, stmtGetOpinions, func(r sqldb.Row) (struct{}, error) {
		var sku string
		var stars [5]int64
		var digest []byte
		if err := r.Scan(&sku, &stars[0], &stars[1], &stars[2], &stars[3], &stars[4], &digest); err != nil {
			return struct{}{}, err
		}
		o := &reviewv1.Opinion{}
		err := proto.Unmarshal(digest, o)
		o.Rating = ratingOf(sku, stars)
		all[sku] = o
		return struct{}{}, err
	}, string(region), skus)
	return all, err
}

func readOpinion(ctx context.Context, q sqldb.Querier, region ident.Region, sku string) (*reviewv1.Opinion, error) {
	var stars [5]int64
	var digest []byte
	err := q.QueryRow(ctx, stmtGetOpinion, string(region), sku).Scan(&stars[0], &stars[1], &stars[2], &stars[3], &stars[4], &digest)
	if err != nil && !errors.Is(err, sqldb.ErrNoRows) {
		return nil, err
	}
	var o reviewv1.Opinion
	if err := proto.Unmarshal(digest, &o); err != nil {
		return nil, err
	}
	o.Rating = ratingOf(sku, stars)
	return &o, nil
}
