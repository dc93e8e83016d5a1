package review

import (
	"context"
	"fmt"
	"testing"

	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"

	reviewv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/review/v1"
	"github.com/cellar-commerce/cellar/internal/ident"
	"github.com/cellar-commerce/cellar/internal/problem"
)

// truth of a product, as its authors' rows and its voters' have it.
func (w world) truth(t reporter, sku string) (counts [5]int64, votes map[string][2]int64) {
	t.Helper()
	rows, err := w.deps.Customers.QueryText(context.Background(), "SELECT rating FROM contributions WHERE kind = 'REVIEW' AND state = 'PUBLISHED' AND sku = '"+sku+"'")
	must(t, err)
	defer rows.Close()
	for rows.Next() {
		var rating int
		must(t, rows.Scan(&rating))
		counts[rating-1]++
	}
	votes = map[string][2]int64{}
	cast, err := w.deps.Customers.QueryText(context.Background(), "SELECT contribution_id, vote FROM contribution_votes WHERE sku = '"+sku+"'")
	must(t, err)
	defer cast.Close()
	for cast.Next() {
		var id string
		var vote int
		must(t, cast.Scan(&id, &vote))
		v := votes[id]
		switch vote {
		case 1:
			v[0]++
		case -1:
			v[1]++
		}
		votes[id] = v
	}
	return counts, votes
}

// Whatever happens to a product's reviews, and in whatever order and however often a region hears of it: its histogram is
// that of the published reviews, its counts those of the votes, and its page that of a region that heard in order.
func TestAnyOrderAndRepetitionOfEventsGivesTheSameOpinion(t *testing.T) {
	w := newWorld(t)
	runs := 0
	rapid.Check(t, func(t *rapid.T) {
		runs++
		sku := fmt.Sprintf("sku-%d.", runs) // none is the beginning of another
		w.live(t, sku)
		events := w.events(t, here, sku)
		if len(events) == 0 {
			return
		}
		for _, e := range events {
			_, err := w.Take(context.Background(), e.subject, e.payload)
			must(t, err)
		}
		shuffled := rapid.Permutation(append(events, rapid.SliceOfN(rapid.SampledFrom(events), 0, 4).Draw(t, "again")...)).Draw(t, "arrivals")
		for _, e := range shuffled {
			_, err := w.far.Take(context.Background(), e.subject, e.payload)
			must(t, err)
		}
		near, far := w.opinion(t, w.Service, sku), w.opinion(t, w.far, sku)
		counts, votes := w.truth(t, sku)
		if got := fmt.Sprint(far.GetRating().GetHistogram()); got != fmt.Sprint(counts[:]) {
			t.Fatalf("the histogram is %s, want %v", got, counts)
		}
		if !proto.Equal(near, far) {
			t.Fatalf("in order: %v\nout of order: %v", near, far)
		}
		resp, err := w.far.ListReviews(context.Background(), &reviewv1.ListReviewsRequest{Sku: sku, PageSize: maxPage})
		must(t, err)
		for _, r := range resp.GetReviews() {
			if v := votes[r.GetContributionId()]; r.GetHelpful() != v[0] || r.GetUnhelpful() != v[1] {
				t.Fatalf("%s has %d and %d votes, want %v", r.GetContributionId(), r.GetHelpful(), r.GetUnhelpful(), v)
			}
		}
	})
}

// live through some things that happen to a product.
func (w world) live(t *rapid.T, sku string) {
	type written struct {
		author ident.CustomerID
		is     *reviewv1.Contribution
	}
	var all []written
	voters := []ident.CustomerID{member(), member()}
	for range rapid.IntRange(1, 8).Draw(t, "deeds") {
		deed := rapid.SampledFrom([]string{"write", "write", "edit", "delete", "decide", "vote", "vote"}).Draw(t, "deed")
		if deed == "write" || len(all) == 0 {
			author, c := w.review(t, sku, rapid.Int32Range(1, 5).Draw(t, "rating"), rapid.SampledFrom([]string{"Bright.", "See www.x"}).Draw(t, "text"))
			all = append(all, written{author, c})
			continue
		}
		one := rapid.SampledFrom(all).Draw(t, "which")
		id := one.is.GetContributionId()
		switch deed {
		case "edit":
			_, err := w.SubmitReview(as(one.author), &reviewv1.SubmitReviewRequest{OrderId: one.is.GetOrderId(), Line: 1, Rating: rapid.Int32Range(1, 5).Draw(t, "new rating"), Title: "t", Text: "New.", Author: "Ada"})
			must(t, err)
		case "delete":
			_, err := w.DeleteContribution(as(one.author), &reviewv1.DeleteContributionRequest{ContributionId: id})
			must(t, err)
		case "decide":
			now, err := w.GetContribution(context.Background(), &reviewv1.GetContributionRequest{ContributionId: id})
			must(t, err)
			if now.GetContribution().GetState() == reviewv1.State_STATE_DELETED {
				continue
			}
			_, err = w.DecideContribution(context.Background(), &reviewv1.DecideContributionRequest{
				ContributionId: id, Version: now.GetContribution().GetVersion(), Publish: rapid.Bool().Draw(t, "publish"), Reason: "looked at",
			})
			must(t, err)
		case "vote":
			w.arriveOf(t, sku) // who votes has seen it
			vote := rapid.SampledFrom([]reviewv1.Vote{reviewv1.Vote_VOTE_UNSPECIFIED, reviewv1.Vote_VOTE_HELPFUL, reviewv1.Vote_VOTE_UNHELPFUL}).Draw(t, "vote")
			_, err := w.VoteHelpful(as(rapid.SampledFrom(voters).Draw(t, "voter")), &reviewv1.VoteHelpfulRequest{Sku: sku, ContributionId: id, Vote: vote})
			if err != nil {
				refused(t, err, problem.NotFound, "UNKNOWN_CONTRIBUTION") // withdrawn
			}
		}
	}
}
