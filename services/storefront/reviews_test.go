package storefront

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"google.golang.org/protobuf/types/known/timestamppb"

	accountv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/account/v1"
	orderv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/order/v1"
	reviewv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/review/v1"
	"github.com/cellar-commerce/cellar/internal/gen/cellar/review/v1/reviewv1connect"
	"github.com/cellar-commerce/cellar/internal/problem"
	"github.com/cellar-commerce/cellar/internal/session"
)

var customer = session.Principal{CustomerID: "c-use1-000000000000000000000000"}

type reviewFake struct {
	reviewv1connect.ReviewServiceClient
	*shop
}

func lampRating() *reviewv1.Rating {
	return &reviewv1.Rating{Sku: "LAMP", Histogram: []int64{1, 0, 0, 0, 2}, Reviews: 3, MeanHundredths: 367}
}

func evil(id string) *reviewv1.Published {
	return &reviewv1.Published{ContributionId: id, Rating: 4, Title: "<b>Good</b>", Text: "</p><script>alert(1)</script>", Author: "<b>Ada</b>", Helpful: 2, WrittenAt: timestamppb.New(now)}
}

func (f reviewFake) BatchGetOpinions(ctx context.Context, _ *reviewv1.BatchGetOpinionsRequest) (*reviewv1.BatchGetOpinionsResponse, error) {
	resp, err := f.GetOpinion(ctx, nil)
	return &reviewv1.BatchGetOpinionsResponse{Opinions: map[string]*reviewv1.Opinion{"LAMP": resp.GetOpinion()}}, err
}

func (f reviewFake) GetOpinion(context.Context, *reviewv1.GetOpinionRequest) (*reviewv1.GetOpinionResponse, error) {
	question := evil("use1-q")
	question.Answers = []*reviewv1.Published{{ContributionId: "use1-a", Text: "Yes.", Buyer: true, WrittenAt: timestamppb.New(now)}}
	return &reviewv1.GetOpinionResponse{Opinion: &reviewv1.Opinion{Rating: lampRating(), Reviews: []*reviewv1.Published{evil("use1-r")}, Questions: []*reviewv1.Published{question}}}, f.refused
}

func (f reviewFake) BatchGetRatings(context.Context, *reviewv1.BatchGetRatingsRequest) (*reviewv1.BatchGetRatingsResponse, error) {
	return &reviewv1.BatchGetRatingsResponse{Ratings: []*reviewv1.Rating{lampRating()}}, f.refused
}

func (f reviewFake) ListReviews(_ context.Context, req *reviewv1.ListReviewsRequest) (*reviewv1.ListReviewsResponse, error) {
	f.query = req.GetSort().String() + "|" + req.GetPageToken()
	return &reviewv1.ListReviewsResponse{Reviews: []*reviewv1.Published{evil("use1-r")}, NextPageToken: "next&page"}, f.refused
}

func (f reviewFake) ListQuestions(context.Context, *reviewv1.ListQuestionsRequest) (*reviewv1.ListQuestionsResponse, error) {
	return &reviewv1.ListQuestionsResponse{Questions: []*reviewv1.Published{evil("use1-q")}}, nil
}

func (f reviewFake) ListOwn(context.Context, *reviewv1.ListOwnRequest) (*reviewv1.ListOwnResponse, error) {
	return &reviewv1.ListOwnResponse{Contributions: []*reviewv1.Contribution{
		{ContributionId: "use1-r", Kind: reviewv1.Kind_KIND_REVIEW, Sku: "LAMP", OrderId: "use1-1", Line: 1, Rating: 4, Title: "<b>t</b>", Text: "<b>x</b>", State: reviewv1.State_STATE_REJECTED, Reason: "It names a shop", WrittenAt: timestamppb.New(now)},
		{ContributionId: "use1-q", Kind: reviewv1.Kind_KIND_QUESTION, Sku: "GONE", Text: "Why?", State: reviewv1.State_STATE_HELD, WrittenAt: timestamppb.New(now)},
	}}, f.refused
}

func (f reviewFake) GetOwnReview(context.Context, *reviewv1.GetOwnReviewRequest) (*reviewv1.GetOwnReviewResponse, error) {
	return nil, problem.New(problem.NotFound, "UNKNOWN_CONTRIBUTION", "there is no such contribution")
}

func (f reviewFake) SubmitReview(_ context.Context, req *reviewv1.SubmitReviewRequest) (*reviewv1.SubmitReviewResponse, error) {
	var v problem.Violations
	v.Check(req.GetRating() > 0, "rating", "must be 1 to 5")
	v.Check(req.GetTitle() != "", "title", "must be 1 to 120 characters")
	f.query = req.GetText()
	return &reviewv1.SubmitReviewResponse{Contribution: &reviewv1.Contribution{Sku: "LAMP", State: reviewv1.State_STATE_PUBLISHED}}, v.Err()
}

func (f reviewFake) AskQuestion(ctx context.Context, req *reviewv1.AskQuestionRequest) (*reviewv1.AskQuestionResponse, error) {
	if _, err := session.RequireAccount(ctx); err != nil {
		return nil, err
	}
	var v problem.Violations
	v.Check(len(req.GetText()) >= 10, "text", "must be 10 to 1,000 characters")
	return &reviewv1.AskQuestionResponse{Contribution: &reviewv1.Contribution{State: reviewv1.State_STATE_HELD}}, v.Err()
}

func (f reviewFake) AnswerQuestion(_ context.Context, req *reviewv1.AnswerQuestionRequest) (*reviewv1.AnswerQuestionResponse, error) {
	var v problem.Violations
	v.Check(req.GetText() != "", "text", "must be 1 to 2,000 characters")
	return &reviewv1.AnswerQuestionResponse{Contribution: &reviewv1.Contribution{State: reviewv1.State_STATE_PUBLISHED}}, v.Err()
}

func (f reviewFake) VoteHelpful(_ context.Context, req *reviewv1.VoteHelpfulRequest) (*reviewv1.VoteHelpfulResponse, error) {
	f.query = req.GetSku() + "|" + req.GetContributionId() + "|" + req.GetVote().String()
	return &reviewv1.VoteHelpfulResponse{}, f.refused
}

func (f accountFake) GetProfile(context.Context, *accountv1.GetProfileRequest) (*accountv1.GetProfileResponse, error) {
	return &accountv1.GetProfileResponse{Name: "Ada Lovelace"}, f.refused
}

// has every text in a page, in their order.
func has(t *testing.T, page string, texts ...string) {
	t.Helper()
	for _, text := range texts {
		at := strings.Index(page, text)
		if at < 0 {
			t.Fatalf("there is no %q behind the ones before in %s", text, page)
		}
		page = page[at+len(text):]
	}
}

func TestAProductsPageShowsWhatIsSaidOfIt(t *testing.T) {
	s := newShop(t)
	page := s.get("/p/LAMP").Body.String()
	has(t, page, "3.7", `<h2 id="reviews">Reviews`, "5 stars", `value="2"`, "1 star", `value="1"`, "&lt;b&gt;Good", "2 people found this helpful", `<h2 id="questions">`, "Yes.", "A former customer", "Bought it here")
	_, rest, _ := strings.Cut(page, `<script type="application/ld+json">`)
	text, _, _ := strings.Cut(rest, "</script>")
	var data struct {
		AggregateRating struct {
			RatingValue string
			ReviewCount int
		}
	}
	if err := json.Unmarshal([]byte(text), &data); err != nil || data.AggregateRating.RatingValue != "3.67" || data.AggregateRating.ReviewCount != 3 {
		t.Errorf("search engines are told %s", text)
	}
	if strings.Contains(page, "/vote") {
		t.Error("a stranger is offered a vote")
	}
	s.who = customer
	has(t, s.get("/p/LAMP").Body.String(), `action="/p/LAMP/vote"`, `value="use1-r"`)
}

func TestCardsShowStars(t *testing.T) {
	has(t, newShop(t).get("/search?q=lamp").Body.String(), `href="/p/LAMP"`, "3.7", " of 5 stars,", "(3")
}

func TestReviewsAreListedByHelpfulnessOrTime(t *testing.T) {
	s := newShop(t)
	has(t, s.get("/p/LAMP/reviews").Body.String(), `href="/p/LAMP/reviews?sort=newest"`, "&lt;b&gt;Ada", `href="/p/LAMP/reviews?page=next%26page"`)
	s.get("/p/LAMP/reviews?sort=newest&page=x")
	if s.query != "SORT_NEWEST|x" {
		t.Errorf("asked for %s", s.query)
	}
	if w := s.get("/p/NOTHING/reviews"); w.Code != http.StatusNotFound {
		t.Errorf("an unknown product's: %d", w.Code)
	}
}

func TestAVoteLeadsBackIntoTheShopOnly(t *testing.T) {
	s := newShop(t)
	s.who = customer
	for back, want := range map[string]string{"/p/LAMP/reviews?page=x": "/p/LAMP/reviews?page=x", "//evil.example": "/", "https://evil.example": "/"} {
		w := s.post("/p/LAMP/vote", url.Values{"id": {"use1-r"}, "vote": {"yes"}, "back": {back}})
		if w.Code != http.StatusSeeOther || w.Header().Get("Location") != want || s.query != "LAMP|use1-r|VOTE_HELPFUL" {
			t.Errorf("%s: %d to %s, asked %s", back, w.Code, w.Header().Get("Location"), s.query)
		}
	}
}

func TestAQuestionThatIsRefusedComesBackFilledIn(t *testing.T) {
	s := newShop(t)
	s.who = customer
	w := s.post("/p/LAMP/questions", url.Values{"text": {"<b>why"}, "author": {"Bo"}, "key": {"the key"}})
	if w.Code != http.StatusUnprocessableEntity {
		t.Fatalf("answered %d", w.Code)
	}
	has(t, w.Body.String(), `href="#text"`, `value="the key"`, "&lt;b&gt;why", `value="Bo"`)
	w = s.post("/p/LAMP/questions/use1-q", url.Values{"author": {"Cy"}, "key": {"another"}})
	has(t, w.Body.String(), `href="#text-use1-q"`, `value="another"`, `value="Cy"`, `action="/p/LAMP/questions"`, `value="Ada"`)
	w = s.post("/p/LAMP/questions", url.Values{"text": {"long enough a question"}, "author": {"Bo"}, "key": {"k"}})
	if w.Code != http.StatusSeeOther || w.Header().Get("Location") != "/p/LAMP/questions" || !strings.Contains(w.Header().Get("Set-Cookie"), "held") {
		t.Errorf("answered %d %v", w.Code, w.Header())
	}
	s.who = guest
	if w = s.post("/p/LAMP/questions", url.Values{"text": {"long enough a question"}}); w.Header().Get("Location") != "/signin?to=/p/LAMP/questions" {
		t.Errorf("a guest is led to %s", w.Header().Get("Location"))
	}
}

func TestAReviewIsWrittenOrComesBackWithWhatIsWrong(t *testing.T) {
	s := newShop(t)
	s.who = customer
	has(t, s.get("/orders/use1-1/lines/1/review").Body.String(), "Write a review", `type="radio" id="rating"`, `value="Ada"`)
	if w := s.get("/orders/use1-1/lines/7/review"); w.Code != http.StatusNotFound {
		t.Errorf("a line that is not there: %d", w.Code)
	}
	w := s.post("/orders/use1-1/lines/1/review", url.Values{"text": {"one\r\ntwo"}, "author": {"Ada"}})
	if w.Code != http.StatusUnprocessableEntity || s.query != "one\ntwo" {
		t.Fatalf("answered %d, asked %q", w.Code, s.query)
	}
	has(t, w.Body.String(), `href="#rating"`, `href="#title"`, `id="rating-wrong"`, `id="title-wrong"`, "one")
	w = s.post("/orders/use1-1/lines/1/review", url.Values{"rating": {"5"}, "title": {"t"}, "text": {"x"}, "author": {"Ada"}})
	if w.Code != http.StatusSeeOther || w.Header().Get("Location") != "/p/LAMP" {
		t.Errorf("answered %d %v", w.Code, w.Header())
	}
}

func TestOnesOwnReviewsSayHowTheyStand(t *testing.T) {
	s := newShop(t)
	if w := s.get("/account/reviews"); w.Header().Get("Location") != "/signin?to=/account/reviews" {
		t.Errorf("a stranger is led to %s", w.Header().Get("Location"))
	}
	s.who = customer
	has(t, s.get("/account/reviews").Body.String(), "Review:", "Not published", "It names a shop", "/orders/use1-1/lines/1/review", `action="/account/reviews/use1-r/delete"`, "Question:", "GONE", "Being looked at")
}

func TestWhatIsDeliveredCanBeReviewedFromItsOrder(t *testing.T) {
	line, parcel := &orderv1.Line{Line: 1, Sku: "LAMP", Title: "Lamp", Quantity: 2}, &orderv1.Parcel{Lines: []*orderv1.ParcelLine{{Line: 1, Quantity: 2}}}
	o := &orderv1.Order{OrderId: "use1-1", Lines: []*orderv1.Line{line, {Line: 2, Sku: "SHADE"}}, Parcels: []*orderv1.Parcel{parcel}}
	if p := pageOf(o); p.CanReview || p.Lines[0].Review != "" {
		t.Errorf("before it has left: %+v", p)
	}
	parcel.ShippedAt, parcel.Carrier = timestamppb.New(now), "Parcel Post"
	if p := pageOf(o); p.CanReview || p.Lines[0].Review != "" {
		t.Errorf("on its way: %+v", p)
	}
	parcel.Way, parcel.Lines[0].Returned = orderv1.WayState_WAY_STATE_DELIVERED, 2 // what came back can be reviewed too
	if p := pageOf(o); !p.CanReview || p.Lines[0].Review != "/orders/use1-1/lines/1/review" || p.Lines[1].Review != "" {
		t.Errorf("when it is delivered: %+v", p)
	}
}
