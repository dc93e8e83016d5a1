package review

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/cellar-commerce/cellar/internal/fence"
	orderv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/order/v1"
	reviewv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/review/v1"
	"github.com/cellar-commerce/cellar/internal/ident"
	"github.com/cellar-commerce/cellar/internal/problem"
	"github.com/cellar-commerce/cellar/internal/sqldb"
	"github.com/cellar-commerce/cellar/internal/sqldb/sqldbtest"
)

func TestAReviewIsSeenEditedAndDeleted(t *testing.T) {
	w := newWorld(t)
	who, first := w.review(t, "lamp", 5, "Bright.")
	if first.GetState() != reviewv1.State_STATE_PUBLISHED || first.GetVersion() != 1 || !first.GetBuyer() {
		t.Fatalf("got %v", first)
	}
	w.arrive(t)
	if o := w.opinion(t, w.Service, "lamp"); histogram(o) != stars(0, 0, 0, 0, 1) || o.GetRating().GetMeanHundredths() != 500 || o.GetReviews()[0].GetText() != "Bright." {
		t.Fatalf("got %v", o)
	}
	own := func() (*reviewv1.Contribution, error) {
		resp, err := w.GetOwnReview(as(who), &reviewv1.GetOwnReviewRequest{OrderId: first.GetOrderId(), Line: 1})
		return resp.GetContribution(), err
	}
	if got, err := own(); err != nil || got.GetText() != "Bright." {
		t.Fatalf("one's own is %v, %v", got, err)
	}
	edit := &reviewv1.SubmitReviewRequest{OrderId: first.GetOrderId(), Line: 1, Rating: 2, Title: "As told", Text: "It broke.", Author: "Ada"}
	for range 2 { // the second time nothing is new
		resp, err := w.SubmitReview(as(who), edit)
		must(t, err)
		if got := resp.GetContribution(); got.GetContributionId() != first.GetContributionId() || got.GetVersion() != 2 {
			t.Fatalf("got %v", got)
		}
	}
	w.arrive(t)
	if o := w.opinion(t, w.Service, "lamp"); histogram(o) != stars(0, 1, 0, 0, 0) || len(o.GetReviews()) != 1 || o.GetReviews()[0].GetText() != "It broke." {
		t.Fatalf("got %v", o)
	}
	for range 2 {
		_, err := w.DeleteContribution(as(who), &reviewv1.DeleteContributionRequest{ContributionId: first.GetContributionId()})
		must(t, err)
	}
	w.arrive(t)
	if o := w.opinion(t, w.Service, "lamp"); histogram(o) != stars(0, 0, 0, 0, 0) || len(o.GetReviews()) != 0 {
		t.Fatalf("got %v", o)
	}
	for _, table := range []*sqldb.DB{w.deps.Customers, w.deps.Regional} {
		name := map[bool]string{true: "contributions", false: "published_contributions"}[table == w.deps.Customers]
		rows, err := table.QueryText(t.Context(), "SELECT count(*) FROM "+name+" WHERE body <> '' OR author <> '' OR title <> ''")
		must(t, err)
		var n int
		rows.Next()
		must(t, rows.Scan(&n))
		rows.Close()
		if n > 0 {
			t.Errorf("%s still has what was deleted", name)
		}
	}
	_, err := own()
	refused(t, err, problem.NotFound, "UNKNOWN_CONTRIBUTION")
	resp, err := w.SubmitReview(as(who), edit) // and once more
	must(t, err)
	w.arrive(t)
	if o := w.opinion(t, w.Service, "lamp"); resp.GetContribution().GetVersion() != 4 || histogram(o) != stars(0, 1, 0, 0, 0) {
		t.Fatalf("got %v", o)
	}
}

func TestOnlyWhatIsDeliveredAndIsOnesOwnCanBeReviewed(t *testing.T) {
	w := newWorld(t)
	who := member()
	id := w.orders.buy(who, "lamp", "shade")
	submit := func(who ident.CustomerID, order string, line int32) error {
		_, err := w.SubmitReview(as(who), &reviewv1.SubmitReviewRequest{OrderId: order, Line: line, Rating: 3, Title: "t", Text: "text", Author: "Ada"})
		return err
	}
	refused(t, submit(member(), string(id), 1), problem.NotFound, "UNKNOWN_ORDER")
	refused(t, submit(who, string(id), 3), problem.NotFound, "UNKNOWN_LINE")
	refused(t, submit(who, "use1-1", 1), problem.Invalid, "MALFORMED_ORDER_ID")
	parcel := w.orders.lines[id].Parcels[0]
	for _, way := range []orderv1.WayState{orderv1.WayState_WAY_STATE_UNSPECIFIED, orderv1.WayState_WAY_STATE_OUT_FOR_DELIVERY, orderv1.WayState_WAY_STATE_SENT_BACK} {
		parcel.Way = way
		refused(t, submit(who, string(id), 1), problem.Precondition, "NOT_RECEIVED")
	}
	parcel.Carrier = "" // nobody will say more of it than that it has left
	must(t, submit(who, string(id), 1))
	parcel.ShippedAt = nil
	refused(t, submit(who, string(id), 1), problem.Precondition, "NOT_RECEIVED")
	_, err := w.SubmitReview(context.Background(), &reviewv1.SubmitReviewRequest{})
	if problem.KindOf(err) != problem.Unauthenticated {
		t.Errorf("a stranger: %v", err)
	}
}

func TestWhatIsWrongIsSaid(t *testing.T) {
	w := newWorld(t)
	who := member()
	id := string(w.orders.buy(who, "lamp"))
	good := func() *reviewv1.SubmitReviewRequest {
		return &reviewv1.SubmitReviewRequest{OrderId: id, Line: 1, Rating: 3, Title: "t", Text: "text", Author: "Ada"}
	}
	for name, spoil := range map[string]func(*reviewv1.SubmitReviewRequest){
		"no stars": func(r *reviewv1.SubmitReviewRequest) { r.Rating = 0 }, "six stars": func(r *reviewv1.SubmitReviewRequest) { r.Rating = 6 },
		"no title": func(r *reviewv1.SubmitReviewRequest) { r.Title = " " }, "a long title": func(r *reviewv1.SubmitReviewRequest) { r.Title = strings.Repeat("é", maxTitle+1) },
		"lines in a title": func(r *reviewv1.SubmitReviewRequest) { r.Title = "a\nb" }, "no text": func(r *reviewv1.SubmitReviewRequest) { r.Text = "" },
		"a long text": func(r *reviewv1.SubmitReviewRequest) { r.Text = strings.Repeat("é", maxReview+1) }, "a control character": func(r *reviewv1.SubmitReviewRequest) { r.Text = "a\x00b" },
		"no author": func(r *reviewv1.SubmitReviewRequest) { r.Author = "" }, "a long author": func(r *reviewv1.SubmitReviewRequest) { r.Author = strings.Repeat("a", maxAuthor+1) },
	} {
		req := good()
		spoil(req)
		if _, err := w.SubmitReview(as(who), req); !problem.Is(err, "INVALID_FIELDS") {
			t.Errorf("%s: %v", name, err)
		}
	}
	req := good()
	req.Title, req.Text, req.Author = strings.Repeat("é", maxTitle), strings.Repeat("é\n", maxReview/2), strings.Repeat("é", maxAuthor)
	_, err := w.SubmitReview(as(who), req)
	must(t, err)
	_, err = w.AskQuestion(as(who), &reviewv1.AskQuestionRequest{Sku: "lamp", Text: "too short", Author: "Ada", Key: "k"})
	refused(t, err, problem.Invalid, "INVALID_FIELDS")
	_, err = w.AskQuestion(as(ident.NewGuest("use1")), &reviewv1.AskQuestionRequest{Sku: "lamp", Text: "long enough, is it?", Author: "Ada", Key: "k"})
	if problem.KindOf(err) == problem.Internal || err == nil {
		t.Errorf("a guest asks: %v", err)
	}
}

func TestQuestionsAreAnsweredByBuyersAndOthers(t *testing.T) {
	w := newWorld(t)
	_, q := w.ask(t, "lamp", "Can it be dimmed?")
	buyer, other := member(), member()
	w.orders.buy(buyer, "lamp")
	w.orders.buy(other, "shade")
	answer := func(who ident.CustomerID, text string) (*reviewv1.Contribution, error) {
		resp, err := w.AnswerQuestion(as(who), &reviewv1.AnswerQuestionRequest{Sku: "lamp", QuestionId: q.GetContributionId(), Text: text, Author: "Cy", Key: "k"})
		return resp.GetContribution(), err
	}
	_, err := answer(buyer, "Yes.")
	refused(t, err, problem.NotFound, "UNKNOWN_QUESTION") // it is not known here yet
	w.arrive(t)
	guess, err := answer(other, "I guess.")
	must(t, err)
	yes, err := answer(buyer, "Yes.")
	must(t, err)
	again, err := answer(buyer, "Yes, and in colours.") // the same key
	must(t, err)
	if guess.GetBuyer() || !yes.GetBuyer() || again.GetText() != "Yes." || again.GetVersion() != 1 {
		t.Fatalf("got %v, %v, %v", guess, yes, again)
	}
	w.arrive(t)
	w.helpful(t, guess, 1, 3)
	w.helpful(t, yes, 3, 0)
	w.arrive(t)
	questions, err := w.ListQuestions(t.Context(), &reviewv1.ListQuestionsRequest{Sku: "lamp"})
	must(t, err)
	got := questions.GetQuestions()[0].GetAnswers()
	if len(got) != 2 || got[0].GetText() != "Yes." || got[0].GetHelpful() != 3 || got[1].GetUnhelpful() != 3 {
		t.Fatalf("got %v", got)
	}
	if o := w.opinion(t, w.Service, "lamp"); len(o.GetQuestions()) != 1 || len(o.GetQuestions()[0].GetAnswers()) != 2 || histogram(o) != stars(0, 0, 0, 0, 0) {
		t.Fatalf("got %v", o)
	}
}

func TestACustomerHasOneVote(t *testing.T) {
	w := newWorld(t)
	author, c := w.review(t, "lamp", 4, "Bright.")
	who := member()
	vote := func(who ident.CustomerID, v reviewv1.Vote) error {
		_, err := w.VoteHelpful(as(who), &reviewv1.VoteHelpfulRequest{Sku: "lamp", ContributionId: c.GetContributionId(), Vote: v})
		return err
	}
	refused(t, vote(who, reviewv1.Vote_VOTE_HELPFUL), problem.NotFound, "UNKNOWN_CONTRIBUTION")
	w.arrive(t)
	refused(t, vote(author, reviewv1.Vote_VOTE_HELPFUL), problem.Precondition, "OWN_CONTRIBUTION")
	for _, step := range []struct {
		vote               reviewv1.Vote
		helpful, unhelpful int64
	}{{reviewv1.Vote_VOTE_HELPFUL, 1, 0}, {reviewv1.Vote_VOTE_HELPFUL, 1, 0}, {reviewv1.Vote_VOTE_UNHELPFUL, 0, 1}, {reviewv1.Vote_VOTE_UNSPECIFIED, 0, 0}} {
		must(t, vote(who, step.vote))
		w.arrive(t)
		if got := w.opinion(t, w.Service, "lamp").GetReviews()[0]; got.GetHelpful() != step.helpful || got.GetUnhelpful() != step.unhelpful {
			t.Fatalf("after %v: got %v", step.vote, got)
		}
	}
	for _, e := range w.events(t, here, "") {
		if bytes.Contains(e.payload, []byte(who)) || bytes.Contains(e.payload, []byte(author)) {
			t.Errorf("%s names a customer", e.subject)
		}
	}
}

func TestWhatARuleStopsWaitsForAnOperator(t *testing.T) {
	w := newWorld(t)
	who, c := w.review(t, "lamp", 1, "Better at www.example.com")
	if c.GetState() != reviewv1.State_STATE_HELD || !slices.Equal(c.GetHeldFor(), []string{"link"}) {
		t.Fatalf("got %v", c)
	}
	w.arrive(t)
	if o := w.opinion(t, w.Service, "lamp"); o.GetRating().GetReviews() != 0 || len(o.GetReviews()) != 0 {
		t.Fatalf("it is seen: %v", o)
	}
	held, err := w.ListHeld(t.Context(), &reviewv1.ListHeldRequest{Ring: string(here)})
	must(t, err)
	if len(held.GetContributions()) != 1 || held.GetContributions()[0].GetText() != c.GetText() {
		t.Fatalf("held is %v", held)
	}
	decide := func(publish bool, version int64) (*reviewv1.Contribution, error) {
		resp, err := w.DecideContribution(t.Context(), &reviewv1.DecideContributionRequest{ContributionId: c.GetContributionId(), Publish: publish, Version: version, Reason: "looked at"})
		return resp.GetContribution(), err
	}
	_, err = decide(true, 7)
	refused(t, err, problem.Aborted, "CONTRIBUTION_CHANGED")
	for range 2 { // the answer to the first may be lost
		got, err := decide(true, 1)
		must(t, err)
		if got.GetState() != reviewv1.State_STATE_PUBLISHED || got.GetVersion() != 2 {
			t.Fatalf("got %v", got)
		}
	}
	w.arrive(t)
	if o := w.opinion(t, w.Service, "lamp"); histogram(o) != stars(1, 0, 0, 0, 0) {
		t.Fatalf("got %v", o)
	}
	_, err = decide(false, 2)
	must(t, err)
	w.arrive(t)
	if o := w.opinion(t, w.Service, "lamp"); histogram(o) != stars(0, 0, 0, 0, 0) {
		t.Fatalf("got %v", o)
	}
	for _, text := range []string{"A harmless text.", "Another one."} { // what was rejected once is looked at before it is seen again
		resp, err := w.SubmitReview(as(who), &reviewv1.SubmitReviewRequest{OrderId: c.GetOrderId(), Line: 1, Rating: 1, Title: "t", Text: text, Author: "Ada"})
		must(t, err)
		if got := resp.GetContribution(); got.GetState() != reviewv1.State_STATE_HELD || !slices.Equal(got.GetHeldFor(), []string{wasRejected}) {
			t.Fatalf("got %v", got)
		}
	}
	_, err = w.DeleteContribution(as(who), &reviewv1.DeleteContributionRequest{ContributionId: c.GetContributionId()})
	must(t, err)
	_, err = decide(true, 6)
	refused(t, err, problem.Precondition, "CONTRIBUTION_DELETED")
	_, err = w.GetContribution(t.Context(), &reviewv1.GetContributionRequest{ContributionId: "use1-nothing"})
	refused(t, err, problem.NotFound, "UNKNOWN_CONTRIBUTION")
}

func TestAnErasedAuthorHasNoNameAndAnExportHasEverything(t *testing.T) {
	w := newWorld(t)
	who, c := w.review(t, "lamp", 4, "Bright.")
	_, q := w.ask(t, "lamp", "Can it be dimmed?")
	w.arrive(t)
	_, err := w.VoteHelpful(as(who), &reviewv1.VoteHelpfulRequest{Sku: "lamp", ContributionId: q.GetContributionId(), Vote: reviewv1.Vote_VOTE_UNHELPFUL})
	must(t, err)
	all, err := w.ExportAuthor(t.Context(), &reviewv1.ExportAuthorRequest{CustomerId: string(who)})
	must(t, err)
	if len(all.GetContributions()) != 1 || all.GetContributions()[0].GetText() != "Bright." || len(all.GetVotes()) != 1 || all.GetVotes()[0].GetVote() != reviewv1.Vote_VOTE_UNHELPFUL {
		t.Fatalf("exported is %v", all)
	}
	for range 2 {
		_, err = w.EraseAuthor(t.Context(), &reviewv1.EraseAuthorRequest{CustomerId: string(who)})
		must(t, err)
	}
	w.arrive(t)
	o := w.opinion(t, w.Service, "lamp")
	if histogram(o) != stars(0, 0, 0, 1, 0) || o.GetReviews()[0].GetAuthor() != "" || o.GetReviews()[0].GetText() != "Bright." || o.GetQuestions()[0].GetAuthor() != "Bo" {
		t.Fatalf("got %v", o)
	}
	got, err := w.GetContribution(t.Context(), &reviewv1.GetContributionRequest{ContributionId: c.GetContributionId()})
	must(t, err)
	if got.GetContribution().GetAuthor() != "" || got.GetContribution().GetVersion() != 2 {
		t.Fatalf("got %v", got)
	}
}

func TestWhoWritesTooMuchHasToPause(t *testing.T) {
	w := newWorld(t)
	who := member()
	ask := func(i int) error {
		_, err := w.AskQuestion(as(who), &reviewv1.AskQuestionRequest{Sku: "lamp", Text: "Can it be dimmed?", Author: "Bo", Key: fmt.Sprint(i)})
		return err
	}
	for i := range maxWritten {
		must(t, ask(i))
	}
	refused(t, ask(maxWritten), problem.Exhausted, "TOO_MUCH_WRITTEN")
	must(t, ask(0)) // it is known
	w.clock.Advance(writtenWindow + time.Second)
	must(t, ask(maxWritten))
}

func TestADoubleClickAsksOnce(t *testing.T) {
	w := newWorld(t)
	who := member()
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			if _, err := w.AskQuestion(as(who), &reviewv1.AskQuestionRequest{Sku: "lamp", Text: "Can it be dimmed?", Author: "Bo", Key: "k"}); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if n := len(w.events(t, here, "")); n != 1 {
		t.Errorf("%d events", n)
	}
}

func TestEveryReviewIsOnOnePage(t *testing.T) {
	w := newWorld(t)
	want := map[string]bool{}
	for i := range 7 {
		_, c := w.review(t, "lamp", int32(i%5+1), "Bright.")
		want[c.GetContributionId()] = true
		w.arrive(t)
		w.helpful(t, c, i%3, i%2)
		if i%2 == 0 {
			w.clock.Advance(time.Second)
		}
	}
	w.arrive(t)
	for _, sort := range []reviewv1.Sort{reviewv1.Sort_SORT_UNSPECIFIED, reviewv1.Sort_SORT_NEWEST} {
		seen, token := map[string]bool{}, ""
		var last *reviewv1.Published
		for pages := 0; pages == 0 || token != ""; pages++ {
			resp, err := w.ListReviews(t.Context(), &reviewv1.ListReviewsRequest{Sku: "lamp", Sort: sort, PageSize: 3, PageToken: token})
			must(t, err)
			for _, r := range resp.GetReviews() {
				if last != nil && sort == reviewv1.Sort_SORT_NEWEST && r.GetWrittenAt().AsTime().After(last.GetWrittenAt().AsTime()) {
					t.Error("an older one stands first")
				}
				if last != nil && sort != reviewv1.Sort_SORT_NEWEST && standing(r.GetHelpful(), r.GetUnhelpful()) > standing(last.GetHelpful(), last.GetUnhelpful()) {
					t.Error("a less helpful one stands first")
				}
				if seen[r.GetContributionId()] {
					t.Error("one is seen twice")
				}
				seen[r.GetContributionId()], last = true, r
			}
			if token = resp.GetNextPageToken(); pages > 5 {
				t.Fatal("the pages do not end")
			}
		}
		if len(seen) != len(want) {
			t.Errorf("%v: %d of %d are seen", sort, len(seen), len(want))
		}
	}
	opinions, err := w.BatchGetOpinions(t.Context(), &reviewv1.BatchGetOpinionsRequest{Skus: []string{"lamp", "shade", "lamp"}})
	must(t, err)
	if one := w.opinion(t, w.Service, "lamp"); len(opinions.GetOpinions()) != 1 || !proto.Equal(opinions.GetOpinions()["lamp"], one) {
		t.Errorf("together they are %v, one by one %v", opinions, one)
	}
	ratings, err := w.BatchGetRatings(t.Context(), &reviewv1.BatchGetRatingsRequest{Skus: []string{"lamp", "shade", "lamp"}})
	must(t, err)
	if len(ratings.GetRatings()) != 1 || ratings.GetRatings()[0].GetReviews() != 7 {
		t.Errorf("got %v", ratings)
	}
}

func TestOnesOwnAreListedAndOthersCannotBeDeleted(t *testing.T) {
	w := newWorld(t)
	who, c := w.review(t, "lamp", 1, "See www.x")
	own, err := w.ListOwn(as(who), &reviewv1.ListOwnRequest{})
	must(t, err)
	if len(own.GetContributions()) != 1 || own.GetContributions()[0].GetState() != reviewv1.State_STATE_HELD {
		t.Fatalf("got %v", own)
	}
	other := member()
	if own, err = w.ListOwn(as(other), &reviewv1.ListOwnRequest{}); err != nil || len(own.GetContributions()) != 0 {
		t.Fatalf("got %v, %v", own, err)
	}
	_, err = w.DeleteContribution(as(other), &reviewv1.DeleteContributionRequest{ContributionId: c.GetContributionId()})
	refused(t, err, problem.NotFound, "UNKNOWN_CONTRIBUTION")
}

// chart says that every customer is the peer's.
type chart struct{}

func (chart) Owner(ident.CustomerID) (string, uint64, bool) { return "use1-b", 1, true }

// peer takes notes of what is forwarded.
type peer struct {
	asked []*reviewv1.DecideContributionRequest
}

func (p *peer) DecideContribution(_ context.Context, req *reviewv1.DecideContributionRequest) (*reviewv1.DecideContributionResponse, error) {
	p.asked = append(p.asked, req)
	return &reviewv1.DecideContributionResponse{Contribution: &reviewv1.Contribution{ContributionId: req.GetContributionId()}}, nil
}

func TestADecisionIsTakenToTheOwner(t *testing.T) {
	customers, regional := sqldbtest.New(t, sqldb.Customer), sqldbtest.New(t, sqldb.Regional)
	w := onDB(customers, regional, nil)
	mine, err := fence.New(fence.Deps{DB: customers, Cell: "use1-b", Region: here, Owners: chart{}})
	must(t, err)
	var all []fence.Assignment
	for slot := range ident.Slot(ident.Slots) {
		all = append(all, fence.Assignment{Slot: slot, Owner: "use1-b", Epoch: 1})
	}
	must(t, fence.Assign(t.Context(), customers, here, opened, all))
	w.deps.Fence = mine
	_, c := w.review(t, "lamp", 1, "See www.x")
	other, err := fence.New(fence.Deps{DB: customers, Cell: "use1-a", Region: here, Owners: chart{}})
	must(t, err)
	owner := &peer{}
	w.deps.Fence, w.deps.At = other, func(cell string) Peer {
		if cell != "use1-b" {
			t.Errorf("%s is asked", cell)
		}
		return owner
	}
	req := &reviewv1.DecideContributionRequest{ContributionId: c.GetContributionId(), Publish: true, Version: 1, Reason: "fine"}
	_, err = w.DecideContribution(t.Context(), req)
	must(t, err)
	if len(owner.asked) != 1 || !owner.asked[0].GetForwarded() || req.GetForwarded() {
		t.Fatalf("asked was %v", owner.asked)
	}
	_, err = w.DecideContribution(t.Context(), owner.asked[0]) // who is asked by another cell asks nobody
	if !problem.Is(err, fence.ReasonWrongCell) || len(owner.asked) != 1 {
		t.Fatalf("got %v", err)
	}
}
