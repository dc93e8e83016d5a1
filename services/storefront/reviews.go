package storefront

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	accountv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/account/v1"
	catalogv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/catalog/v1"
	orderv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/order/v1"
	reviewv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/review/v1"
	"github.com/cellar-commerce/cellar/internal/ident"
	"github.com/cellar-commerce/cellar/internal/problem"
	"github.com/cellar-commerce/cellar/internal/session"
)

// saidPage is how many reviews or questions one page lists: some 10 kB of text as people write.
const saidPage = 10

// rating of a product, for people.
type rating struct {
	// Mean with one decimal, and Exact with two.
	Mean, Exact string
	Count       int64
	// Rows of the histogram, five stars first.
	Rows []ratingRow
}

type ratingRow struct {
	Stars      int
	Count, All int64
}

// ratingOf what reviews say; nil without any.
func ratingOf(r *reviewv1.Rating) *rating {
	if r.GetReviews() == 0 {
		return nil
	}
	mean := float64(r.GetMeanHundredths()) / 100
	out := &rating{Mean: strconv.FormatFloat(mean, 'f', 1, 64), Exact: strconv.FormatFloat(mean, 'f', 2, 64), Count: r.GetReviews()}
	for i, n := range r.GetHistogram() {
		out.Rows = append(out.Rows, ratingRow{Stars: i + 1, Count: n, All: r.GetReviews()})
	}
	slices.Reverse(out.Rows)
	return out
}

// opinion on a product, and the forms to add to it.
type opinion struct {
	SKU, Link string
	// SignedIn may vote, ask and answer.
	SignedIn bool
	Rating   *rating
	Reviews  []said
	// Questions with their answers.
	Questions []said
	// Ask is the form of a new question.
	Ask askForm
}

// askForm of a question, or of an answer to one.
type askForm struct {
	// ID of the question that is answered; empty to ask one.
	ID, Action, Key, Text, Author string
}

// said by somebody: a review, a question or an answer.
type said struct {
	ID, Title, Text, Author string
	Rating                  int32
	Buyer, Cut              bool
	At                      time.Time
	Helpful                 int64
	Answers                 []said
	// Vote is where one votes on it, empty for strangers; Back is the page that leads on to.
	Vote, Back string
	Answer     askForm
}

// formerCustomer stands where an account is erased.
const formerCustomer = "A former customer"

// saidOf what is published about a product, on the page back.
func saidOf(sku, back string, signedIn bool, all []*reviewv1.Published) []said {
	out := make([]said, len(all))
	for i, p := range all {
		out[i] = said{
			ID: p.GetContributionId(), Title: p.GetTitle(), Text: p.GetText(), Author: p.GetAuthor(), Rating: p.GetRating(), Buyer: p.GetBuyer(), Cut: p.GetCut(),
			At: p.GetWrittenAt().AsTime(), Helpful: p.GetHelpful(), Answers: saidOf(sku, back, signedIn, p.GetAnswers()), Back: back,
		}
		if out[i].Author == "" {
			out[i].Author = formerCustomer
		}
		if signedIn {
			out[i].Vote = productLink(sku) + "/vote"
		}
	}
	return out
}

// askingOf is the form of a question, or of an answer to one. Its key makes a double click ask once. Only who is signed in
// gets one, so that a stranger's page stays the same. One that is refused comes back as it was filled in.
func askingOf(r *http.Request, question, action, author string) askForm {
	f := askForm{ID: question, Action: action, Key: ident.NewToken(), Author: author}
	if r.Method == http.MethodPost && r.PathValue("id") == question {
		f.Key, f.Text, f.Author = r.PostFormValue("key"), r.PostFormValue("text"), r.PostFormValue("author")
	}
	return f
}

// authorOf is how the shopper is called by default: the first word of the account's name.
func (s *Service) authorOf(r *http.Request) string {
	if _, err := session.RequireAccount(r.Context()); err != nil {
		return ""
	}
	profile, err := s.deps.Accounts.GetProfile(r.Context(), &accountv1.GetProfileRequest{})
	if err != nil {
		return ""
	}
	first, _, _ := strings.Cut(strings.TrimSpace(profile.GetName()), " ")
	return first
}

// opinionOf a product for its page.
func (s *Service) opinionOf(r *http.Request, sku string, is *reviewv1.Opinion) opinion {
	o := s.about(r, sku)
	back := o.Link
	o.Rating = ratingOf(is.GetRating())
	o.Reviews = saidOf(sku, back, o.SignedIn, is.GetReviews())
	o.Questions = saidOf(sku, back, o.SignedIn, is.GetQuestions())
	return o
}

// about a product, for who looks.
func (s *Service) about(r *http.Request, sku string) opinion {
	_, err := session.RequireAccount(r.Context())
	return opinion{SKU: sku, Link: productLink(sku), SignedIn: err == nil}
}

// rate cards by what their products' reviews say. It is no reason to fail a page.
func (s *Service) rate(ctx context.Context, lists ...[]card) {
	var skus []string
	for _, cards := range lists {
		for _, c := range cards {
			skus = append(skus, c.SKU)
		}
	}
	if len(skus) == 0 {
		return
	}
	resp, err := s.deps.Reviews.BatchGetRatings(ctx, &reviewv1.BatchGetRatingsRequest{Skus: skus})
	if err != nil {
		return
	}
	ratings := map[string]*rating{}
	for _, r := range resp.GetRatings() {
		ratings[r.GetSku()] = ratingOf(r)
	}
	for _, cards := range lists {
		for i := range cards {
			cards[i].Rating = ratings[cards[i].SKU]
		}
	}
}

// saidPageOf is a page of reviews, or of questions, about one product.
type saidPageOf struct {
	Chrome  chrome
	Product *catalogv1.Product
	Crumbs  []crumb
	Opinion opinion
	Newest  bool
	Next    string
}

// saidAbout begins such a page.
func (s *Service) saidAbout(r *http.Request, what string) (*saidPageOf, error) {
	resp, err := s.deps.Catalog.GetProduct(r.Context(), &catalogv1.GetProductRequest{Sku: r.PathValue("sku")})
	if err != nil {
		return nil, err
	}
	p := &saidPageOf{Chrome: s.chromeOf(r), Product: resp.GetProduct(), Opinion: s.about(r, resp.GetProduct().GetSku())}
	p.Chrome.Canonical, p.Chrome.NoIndex = p.Opinion.Link+"/"+what, r.URL.RawQuery != ""
	if p.Product.GetWithdrawnAt() != nil {
		p.Chrome.Canonical, p.Chrome.NoIndex = "", true
	}
	p.Crumbs = append(crumbs(p.Product.GetCategoryPath()), crumb{Name: p.Product.GetTitle(), Link: p.Opinion.Link})
	return p, nil
}

func (s *Service) reviews(w http.ResponseWriter, r *http.Request) error {
	p, err := s.saidAbout(r, "reviews")
	if err != nil {
		return err
	}
	q := r.URL.Query()
	req := &reviewv1.ListReviewsRequest{Sku: p.Opinion.SKU, PageSize: saidPage, PageToken: q.Get("page")}
	if p.Newest = q.Get("sort") == "newest"; p.Newest {
		req.Sort = reviewv1.Sort_SORT_NEWEST
	}
	resp, err := s.deps.Reviews.ListReviews(r.Context(), req)
	if err != nil {
		return err
	}
	whole, err := s.deps.Reviews.GetOpinion(r.Context(), &reviewv1.GetOpinionRequest{Sku: p.Opinion.SKU})
	if err != nil {
		return err
	}
	p.Opinion.Rating = ratingOf(whole.GetOpinion().GetRating())
	p.Opinion.Reviews = saidOf(p.Opinion.SKU, r.URL.RequestURI(), p.Opinion.SignedIn, resp.GetReviews())
	p.Next = nextPage(p.Opinion.Link+"/reviews", q, resp.GetNextPageToken())
	return s.draw(w, r, http.StatusOK, "reviews", p)
}

// nextPage of a list; empty on the last.
func nextPage(link string, q url.Values, token string) string {
	if token == "" {
		return ""
	}
	q.Set("page", token)
	return link + "?" + q.Encode()
}

func (s *Service) questions(w http.ResponseWriter, r *http.Request) error {
	return s.drawQuestions(w, r, http.StatusOK, nil)
}

func (s *Service) drawQuestions(w http.ResponseWriter, r *http.Request, status int, problems []wrong) error {
	p, err := s.saidAbout(r, "questions")
	if err != nil {
		return err
	}
	p.Chrome.Problems = problems
	q := r.URL.Query()
	resp, err := s.deps.Reviews.ListQuestions(r.Context(), &reviewv1.ListQuestionsRequest{Sku: p.Opinion.SKU, PageSize: saidPage, PageToken: q.Get("page")})
	if err != nil {
		return err
	}
	link := p.Opinion.Link + "/questions"
	p.Opinion.Questions = saidOf(p.Opinion.SKU, link, p.Opinion.SignedIn, resp.GetQuestions())
	if p.Opinion.SignedIn {
		author := s.authorOf(r)
		p.Opinion.Ask = askingOf(r, "", link, author)
		for i := range p.Opinion.Questions {
			one := &p.Opinion.Questions[i]
			one.Answer = askingOf(r, one.ID, link+"/"+url.PathEscape(one.ID), author)
		}
	}
	p.Next = nextPage(link, q, resp.GetNextPageToken())
	return s.draw(w, r, status, "questions", p)
}

// written text leads back to a page, which says what becomes of it.
func written(w http.ResponseWriter, r *http.Request, to string, c *reviewv1.Contribution) {
	notice := "published"
	if c.GetState() != reviewv1.State_STATE_PUBLISHED {
		notice = "held"
	}
	lead(w, r, to, notice)
}

// plainText of a form's field: with line ends as everywhere but in forms.
func plainText(r *http.Request, name string) string {
	return strings.TrimSpace(strings.ReplaceAll(r.PostFormValue(name), "\r\n", "\n"))
}

func (s *Service) askQuestion(w http.ResponseWriter, r *http.Request) error {
	sku := r.PathValue("sku")
	resp, err := s.deps.Reviews.AskQuestion(r.Context(), &reviewv1.AskQuestionRequest{Sku: sku, Text: plainText(r, "text"), Author: plainText(r, "author"), Key: r.PostFormValue("key")})
	if refusedForm(err) {
		return s.drawQuestions(w, r, http.StatusUnprocessableEntity, wrongs(err, map[string]string{"text": "text", "author": "author"}))
	}
	if err != nil {
		return err
	}
	written(w, r, productLink(sku)+"/questions", resp.GetContribution())
	return nil
}

func (s *Service) answerQuestion(w http.ResponseWriter, r *http.Request) error {
	sku, id := r.PathValue("sku"), r.PathValue("id")
	resp, err := s.deps.Reviews.AnswerQuestion(r.Context(), &reviewv1.AnswerQuestionRequest{
		Sku: sku, QuestionId: id, Text: plainText(r, "text"), Author: plainText(r, "author"), Key: r.PostFormValue("key"),
	})
	if refusedForm(err) {
		all := wrongs(err, map[string]string{"text": "text", "author": "author"})
		for i := range all {
			if all[i].Field != "" {
				all[i].Field += "-" + id
			}
		}
		return s.drawQuestions(w, r, http.StatusUnprocessableEntity, all)
	}
	if err != nil {
		return err
	}
	written(w, r, productLink(sku)+"/questions", resp.GetContribution())
	return nil
}

var votes = map[string]reviewv1.Vote{"yes": reviewv1.Vote_VOTE_HELPFUL, "no": reviewv1.Vote_VOTE_UNHELPFUL}

func (s *Service) voteHelpful(w http.ResponseWriter, r *http.Request) error {
	_, err := s.deps.Reviews.VoteHelpful(r.Context(), &reviewv1.VoteHelpfulRequest{Sku: r.PathValue("sku"), ContributionId: r.PostFormValue("id"), Vote: votes[r.PostFormValue("vote")]})
	if err != nil {
		return err
	}
	lead(w, r, localPath(r.PostFormValue("back")), "voted")
	return nil
}

func reviewLink(order string, line int32) string {
	return fmt.Sprintf("%s/lines/%d/review", orderLink(order), line)
}

// reviewPage is the form of a review.
type reviewPage struct {
	Chrome       chrome
	Line         *orderv1.Line
	Image        string
	Link, Action string
	Stars        []choice
	StarsWrong   string
	Fields       []field
	// Known is the review that is edited.
	Known *reviewv1.Contribution
	State string
}

// starLabels of the five ratings, best first.
var starLabels = []choice{{Value: "5", Label: "5 stars: love it"}, {Value: "4", Label: "4 stars: like it"}, {Value: "3", Label: "3 stars: it is all right"}, {Value: "2", Label: "2 stars: do not like it"}, {Value: "1", Label: "1 star: want it gone"}}

func (s *Service) reviewForm(w http.ResponseWriter, r *http.Request) error {
	return s.drawReview(w, r, http.StatusOK, nil)
}

func (s *Service) drawReview(w http.ResponseWriter, r *http.Request, status int, problems []wrong) error {
	o, err := s.orderOf(r)
	if err != nil {
		return err
	}
	number, _ := strconv.Atoi(r.PathValue("line"))
	lines := o.GetLines()
	at := slices.IndexFunc(lines, func(l *orderv1.Line) bool { return int(l.GetLine()) == number })
	if at < 0 {
		return notFound()
	}
	c := s.chromeOf(r)
	c.NoIndex, c.Problems = true, problems
	p := reviewPage{Chrome: c, Line: lines[at], Image: picture(lines[at].GetSku()), Link: orderLink(o.GetOrderId()), Action: reviewLink(o.GetOrderId(), lines[at].GetLine())}
	own, err := s.deps.Reviews.GetOwnReview(r.Context(), &reviewv1.GetOwnReviewRequest{OrderId: o.GetOrderId(), Line: lines[at].GetLine()})
	if err != nil && problem.KindOf(err) != problem.NotFound {
		return err
	}
	if known := own.GetContribution(); known != nil {
		p.Known, p.State = known, contributionStates[known.GetState()]
	}
	stars, title, text, author := strconv.Itoa(int(p.Known.GetRating())), p.Known.GetTitle(), p.Known.GetText(), p.Known.GetAuthor()
	if r.Method == http.MethodPost {
		stars, title, text, author = r.PostFormValue("rating"), r.PostFormValue("title"), r.PostFormValue("text"), r.PostFormValue("author")
	} else if author == "" {
		author = s.authorOf(r)
	}
	for _, c := range starLabels {
		c.Chosen = c.Value == stars
		p.Stars = append(p.Stars, c)
	}
	for _, w := range problems {
		if w.Field == "rating" {
			p.StarsWrong = w.Text
		}
	}
	p.Fields = withWrongs([]field{
		{ID: "title", Label: "Title", Value: title, Required: true, MaxLength: 120},
		{ID: "text", Label: "Your review", Hint: "What would you have liked to know before you bought it? No links and no addresses, please.", Value: text, Required: true, MaxLength: 5000, Type: "area"},
		{ID: "author", Label: "Name to show", Hint: "Everybody sees it.", Value: author, Required: true, MaxLength: 40, Autocomplete: "nickname"},
	}, problems)
	return s.draw(w, r, status, "review", p)
}

var reviewFields = map[string]string{"rating": "rating", "title": "title", "text": "text", "author": "author"}

func (s *Service) submitReview(w http.ResponseWriter, r *http.Request) error {
	line, _ := strconv.ParseInt(r.PathValue("line"), 10, 32) // what is no number is no line
	stars, _ := strconv.ParseInt(r.PostFormValue("rating"), 10, 32)
	resp, err := s.deps.Reviews.SubmitReview(r.Context(), &reviewv1.SubmitReviewRequest{
		OrderId: r.PathValue("id"), Line: int32(line), Rating: int32(stars), Title: plainText(r, "title"), Text: plainText(r, "text"), Author: plainText(r, "author"),
	})
	if refusedForm(err) {
		return s.drawReview(w, r, http.StatusUnprocessableEntity, wrongs(err, reviewFields))
	}
	if err != nil {
		return err
	}
	written(w, r, productLink(resp.GetContribution().GetSku()), resp.GetContribution())
	return nil
}

// contributionStates for their authors.
var contributionStates = map[reviewv1.State]string{
	reviewv1.State_STATE_PUBLISHED: "Published", reviewv1.State_STATE_HELD: "Being looked at before it is published", reviewv1.State_STATE_REJECTED: "Not published",
}

var contributionKinds = map[reviewv1.Kind]string{reviewv1.Kind_KIND_REVIEW: "Review", reviewv1.Kind_KIND_QUESTION: "Question", reviewv1.Kind_KIND_ANSWER: "Answer"}

// ownReviews lists what the shopper has written.
func (s *Service) ownReviews(w http.ResponseWriter, r *http.Request) error {
	if _, err := session.RequireAccount(r.Context()); err != nil {
		return err
	}
	resp, err := s.deps.Reviews.ListOwn(r.Context(), &reviewv1.ListOwnRequest{PageToken: r.URL.Query().Get("page")})
	if err != nil {
		return err
	}
	type own struct {
		Contribution                           *reviewv1.Contribution
		Kind, State, Product, Link, Edit, Gone string
	}
	var skus []string
	for _, c := range resp.GetContributions() {
		skus = append(skus, c.GetSku())
	}
	titles := map[string]string{}
	if products, err := s.deps.Catalog.BatchGetProducts(r.Context(), &catalogv1.BatchGetProductsRequest{Skus: skus}); err == nil {
		for _, p := range products.GetProducts() {
			titles[p.GetSku()] = p.GetTitle()
		}
	}
	var all []own
	for _, c := range resp.GetContributions() {
		o := own{Contribution: c, Kind: contributionKinds[c.GetKind()], State: contributionStates[c.GetState()], Product: titles[c.GetSku()], Link: productLink(c.GetSku()), Gone: "/account/reviews/" + url.PathEscape(c.GetContributionId()) + "/delete"}
		if o.Product == "" {
			o.Product = c.GetSku()
		}
		if c.GetKind() == reviewv1.Kind_KIND_REVIEW {
			o.Edit = reviewLink(c.GetOrderId(), c.GetLine())
		}
		all = append(all, o)
	}
	c := s.chromeOf(r)
	c.NoIndex = true
	return s.draw(w, r, http.StatusOK, "own", struct {
		Chrome chrome
		Own    []own
		Next   string
	}{c, all, nextPage("/account/reviews", r.URL.Query(), resp.GetNextPageToken())})
}

func (s *Service) deleteReview(w http.ResponseWriter, r *http.Request) error {
	if _, err := s.deps.Reviews.DeleteContribution(r.Context(), &reviewv1.DeleteContributionRequest{ContributionId: r.PathValue("id")}); err != nil {
		return err
	}
	lead(w, r, "/account/reviews", "deleted")
	return nil
}
