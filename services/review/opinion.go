package review

import (
	"cmp"
	"context"
	"encoding/base64"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	reviewv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/review/v1"
	"github.com/cellar-commerce/cellar/internal/problem"
	"github.com/cellar-commerce/cellar/internal/sqldb"
)

const (
	// What a product's page shows: enough to decide whether to read on.
	digestReviews, digestQuestions, digestAnswers = 3, 3, 2
	// answersOf a question in a list of questions.
	answersOf = 10
)

// place of a page's beginning: after what has this standing, time and id.
type place struct {
	standing int64
	written  time.Time
	id       string
}

// top is before everything.
func top() place { return place{math.MaxInt64, time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC), ""} }

// token of a place. Times are whole microseconds, as the database keeps them.
func (p place) token() string {
	return base64.RawURLEncoding.EncodeToString(fmt.Appendf(nil, "%d/%d/%s", p.standing, p.written.UnixMicro(), p.id))
}

// maxToken in characters: two numbers and an id.
const maxToken = 200

// parsePlace of a token; the top for none.
func parsePlace(token string) (place, error) {
	if token == "" {
		return top(), nil
	}
	bad := problem.New(problem.Invalid, "BAD_PAGE_TOKEN", "the page token is not from a previous answer")
	text, err := base64.RawURLEncoding.DecodeString(token)
	parts := strings.SplitN(string(text), "/", 3)
	if len(token) > maxToken || err != nil || len(parts) != 3 {
		return place{}, bad
	}
	rank, err := strconv.ParseInt(parts[0], 10, 64)
	if err != nil || rank < 0 {
		return place{}, bad
	}
	micros, err := strconv.ParseInt(parts[1], 10, 64)
	if err != nil || micros < 0 || micros > top().written.UnixMicro() {
		return place{}, bad
	}
	if _, err := ringOf(parts[2]); err != nil {
		return place{}, bad
	}
	return place{rank, time.UnixMicro(micros).UTC(), parts[2]}, nil
}

// after an entry the next page begins.
func (e entry) place() place {
	return place{e.standing, e.shown.GetWrittenAt().AsTime(), e.shown.GetContributionId()}
}

// list a page of what is published about a product.
func (s *Service) list(ctx context.Context, q sqldb.Querier, sku string, kind reviewv1.Kind, sort reviewv1.Sort, from place, limit int) (all []*reviewv1.Published, next string, err error) {
	var entries []entry
	if sort == reviewv1.Sort_SORT_NEWEST {
		entries, err = sqldb.Collect(ctx, q, stmtListByTime, scanEntry, string(s.deps.Region), sku, kindWord(kind), from.written, from.id, limit+1)
	} else {
		entries, err = sqldb.Collect(ctx, q, stmtListByStanding, scanEntry, string(s.deps.Region), sku, kindWord(kind), from.standing, from.written, from.id, limit+1)
	}
	if err != nil {
		return nil, "", err
	}
	if len(entries) > limit {
		entries = entries[:limit]
		next = entries[limit-1].place().token()
	}
	for _, e := range entries {
		all = append(all, e.shown)
	}
	return all, next, nil
}

// answer questions: each gets its best answers.
func (s *Service) answer(ctx context.Context, q sqldb.Querier, sku string, questions []*reviewv1.Published, limit int) error {
	if len(questions) == 0 {
		return nil
	}
	ids, byID := make([]string, len(questions)), map[string]*reviewv1.Published{}
	for i, question := range questions {
		ids[i] = question.GetContributionId()
		byID[ids[i]] = question
	}
	answers, err := sqldb.Collect(ctx, q, stmtListAnswers, scanEntry, string(s.deps.Region), sku, ids, limit)
	if err != nil {
		return err
	}
	slices.SortFunc(answers, func(a, b entry) int { // a join keeps no order
		return cmp.Or(cmp.Compare(b.standing, a.standing), b.shown.GetWrittenAt().AsTime().Compare(a.shown.GetWrittenAt().AsTime()), strings.Compare(b.shown.GetContributionId(), a.shown.GetContributionId()))
	})
	for _, a := range answers {
		question := byID[a.questionID]
		question.Answers = append(question.Answers, a.shown)
	}
	return nil
}

// digest what a product's page shows, and store it. The opinion is locked.
func (s *Service) digest(ctx context.Context, tx sqldb.Tx, sku string, stars [5]int64) error {
	var o reviewv1.Opinion
	var err error
	if o.Reviews, _, err = s.list(ctx, tx, sku, reviewv1.Kind_KIND_REVIEW, reviewv1.Sort_SORT_UNSPECIFIED, top(), digestReviews); err != nil {
		return err
	}
	if o.Questions, _, err = s.list(ctx, tx, sku, reviewv1.Kind_KIND_QUESTION, reviewv1.Sort_SORT_UNSPECIFIED, top(), digestQuestions); err != nil {
		return err
	}
	if err := s.answer(ctx, tx, sku, o.GetQuestions(), digestAnswers); err != nil {
		return err
	}
	shorten(o.GetReviews())
	shorten(o.GetQuestions())
	return putOpinion(ctx, tx, s.deps.Region, sku, stars, &o, s.deps.Clock.Now())
}

// shorten texts to excerpts.
func shorten(all []*reviewv1.Published) {
	for _, p := range all {
		p.Text, p.Cut = excerpt(p.GetText())
		shorten(p.GetAnswers())
	}
}
