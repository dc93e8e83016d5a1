package review

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strconv"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/cellar-commerce/cellar/internal/fence"
	reviewv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/review/v1"
	"github.com/cellar-commerce/cellar/internal/ident"
	"github.com/cellar-commerce/cellar/internal/problem"
	"github.com/cellar-commerce/cellar/internal/session"
	"github.com/cellar-commerce/cellar/internal/sqldb"
)

const (
	defaultPage, maxPage       = 10, 50
	defaultOwnPage, maxOwnPage = 20, 100
	maxRatings                 = 200
	// maxHeld in an answer: more than an operator decides about at a sitting.
	maxHeld = 200
	// exportPage is how much of an export is read at once, and maxExport how much of each kind there may be: a row is
	// some kilobytes, so that an answer has some tens of megabytes at the very most.
	exportPage, maxExport = 100, 10_000
)

func checkSKU(v *problem.Violations, sku string) {
	v.Check(validSKU(sku), "sku", "must be 1 to 64 characters of A-Z, a-z, 0-9, '-', '_' and '.'")
}

func checkAuthor(v *problem.Violations, author string) {
	v.Check(validText(author, 1, maxAuthor, false), "author", "must be 1 to 40 characters")
}

func checkKey(v *problem.Violations, key string) {
	v.Check(validText(key, 1, maxKey, false), "key", "must be 1 to 64 characters")
}

// SubmitReview implements ReviewService.
func (s *Service) SubmitReview(ctx context.Context, req *reviewv1.SubmitReviewRequest) (*reviewv1.SubmitReviewResponse, error) {
	p, err := session.Require(ctx)
	if err != nil {
		return nil, err
	}
	order, err := ident.ParseOrder(req.GetOrderId())
	if err != nil {
		return nil, problem.Wrap(err, problem.Invalid, "MALFORMED_ORDER_ID", "the order id is malformed")
	}
	var v problem.Violations
	v.Check(req.GetRating() >= 1 && req.GetRating() <= 5, "rating", "must be 1 to 5")
	v.Check(validText(req.GetTitle(), 1, maxTitle, false), "title", "must be 1 to 120 characters")
	v.Check(validText(req.GetText(), 1, maxReview, true), "text", "must be 1 to 5,000 characters")
	checkAuthor(&v, req.GetAuthor())
	if err := v.Err(); err != nil {
		return nil, err
	}
	line, err := s.bought(ctx, order, req.GetLine())
	if err != nil {
		return nil, err
	}
	c, err := s.write(ctx, p.CustomerID, reviewID(p.CustomerID, order, line.GetLine()), &reviewv1.Contribution{
		Kind: reviewv1.Kind_KIND_REVIEW, Sku: line.GetSku(), OrderId: string(order), Line: line.GetLine(), Rating: req.GetRating(),
		Title: req.GetTitle(), Text: req.GetText(), Author: req.GetAuthor(), Buyer: true,
	})
	return &reviewv1.SubmitReviewResponse{Contribution: c}, err
}

// AskQuestion implements ReviewService.
func (s *Service) AskQuestion(ctx context.Context, req *reviewv1.AskQuestionRequest) (*reviewv1.AskQuestionResponse, error) {
	p, err := session.RequireAccount(ctx)
	if err != nil {
		return nil, err
	}
	var v problem.Violations
	checkSKU(&v, req.GetSku())
	v.Check(validText(req.GetText(), minQuestion, maxQuestion, true), "text", "must be 10 to 1,000 characters")
	checkAuthor(&v, req.GetAuthor())
	checkKey(&v, req.GetKey())
	if err := v.Err(); err != nil {
		return nil, err
	}
	buyer, err := s.buyer(ctx, req.GetSku())
	if err != nil {
		return nil, err
	}
	c, err := s.write(ctx, p.CustomerID, contributionID(p.CustomerID, "question", req.GetSku(), req.GetKey()), &reviewv1.Contribution{
		Kind: reviewv1.Kind_KIND_QUESTION, Sku: req.GetSku(), Text: req.GetText(), Author: req.GetAuthor(), Buyer: buyer,
	})
	return &reviewv1.AskQuestionResponse{Contribution: c}, err
}

// AnswerQuestion implements ReviewService.
func (s *Service) AnswerQuestion(ctx context.Context, req *reviewv1.AnswerQuestionRequest) (*reviewv1.AnswerQuestionResponse, error) {
	p, err := session.RequireAccount(ctx)
	if err != nil {
		return nil, err
	}
	var v problem.Violations
	checkSKU(&v, req.GetSku())
	v.Check(validText(req.GetText(), 1, maxAnswer, true), "text", "must be 1 to 2,000 characters")
	checkAuthor(&v, req.GetAuthor())
	checkKey(&v, req.GetKey())
	if err := v.Err(); err != nil {
		return nil, err
	}
	if _, err := ringOf(req.GetQuestionId()); err != nil {
		return nil, unknownQuestion()
	}
	question, err := readCopy(ctx, s.deps.Regional, s.deps.Region, req.GetSku(), req.GetQuestionId())
	if err != nil {
		return nil, fmt.Errorf("answer %s: %w", req.GetQuestionId(), err)
	}
	if question.state != published || question.kind != kindWord(reviewv1.Kind_KIND_QUESTION) {
		return nil, unknownQuestion()
	}
	buyer, err := s.buyer(ctx, req.GetSku())
	if err != nil {
		return nil, err
	}
	c, err := s.write(ctx, p.CustomerID, contributionID(p.CustomerID, "answer", req.GetQuestionId(), req.GetKey()), &reviewv1.Contribution{
		Kind: reviewv1.Kind_KIND_ANSWER, Sku: req.GetSku(), QuestionId: req.GetQuestionId(), Text: req.GetText(), Author: req.GetAuthor(), Buyer: buyer,
	})
	return &reviewv1.AnswerQuestionResponse{Contribution: c}, err
}

// DeleteContribution implements ReviewService.
func (s *Service) DeleteContribution(ctx context.Context, req *reviewv1.DeleteContributionRequest) (*reviewv1.DeleteContributionResponse, error) {
	p, err := session.Require(ctx)
	if err != nil {
		return nil, err
	}
	if _, err := ringOf(req.GetContributionId()); err != nil {
		return nil, err
	}
	return &reviewv1.DeleteContributionResponse{}, s.remove(ctx, p.CustomerID, req.GetContributionId())
}

// VoteHelpful implements ReviewService.
func (s *Service) VoteHelpful(ctx context.Context, req *reviewv1.VoteHelpfulRequest) (*reviewv1.VoteHelpfulResponse, error) {
	p, err := session.RequireAccount(ctx)
	if err != nil {
		return nil, err
	}
	var v problem.Violations
	checkSKU(&v, req.GetSku())
	v.Check(reviewv1.Vote_name[int32(req.GetVote())] != "", "vote", "must be one of the votes")
	if err := v.Err(); err != nil {
		return nil, err
	}
	if _, err := ringOf(req.GetContributionId()); err != nil {
		return nil, err
	}
	return &reviewv1.VoteHelpfulResponse{}, s.vote(ctx, p.CustomerID, req.GetSku(), req.GetContributionId(), req.GetVote())
}

// ListOwn implements ReviewService.
func (s *Service) ListOwn(ctx context.Context, req *reviewv1.ListOwnRequest) (*reviewv1.ListOwnResponse, error) {
	p, err := session.Require(ctx)
	if err != nil {
		return nil, err
	}
	size, from, err := pageOf(req.GetPageSize(), defaultOwnPage, maxOwnPage, req.GetPageToken())
	if err != nil {
		return nil, err
	}
	all, err := sqldb.Collect(ctx, s.deps.Customers, stmtListOwn, scanContribution, string(p.CustomerID.Region()), string(p.CustomerID), from.written, from.id, size+1)
	if err != nil {
		return nil, fmt.Errorf("list own contributions: %w", err)
	}
	resp := &reviewv1.ListOwnResponse{Contributions: all}
	if len(all) > size {
		last := all[size-1]
		resp.Contributions = all[:size]
		resp.NextPageToken = place{0, last.GetWrittenAt().AsTime(), last.GetContributionId()}.token()
	}
	return resp, nil
}

// GetOwnReview implements ReviewService.
func (s *Service) GetOwnReview(ctx context.Context, req *reviewv1.GetOwnReviewRequest) (*reviewv1.GetOwnReviewResponse, error) {
	p, err := session.Require(ctx)
	if err != nil {
		return nil, err
	}
	order, err := ident.ParseOrder(req.GetOrderId())
	if err != nil {
		return nil, problem.Wrap(err, problem.Invalid, "MALFORMED_ORDER_ID", "the order id is malformed")
	}
	c, err := s.find(ctx, reviewID(p.CustomerID, order, req.GetLine()))
	if err == nil && c.GetState() == reviewv1.State_STATE_DELETED {
		err = unknownContribution()
	}
	if err != nil {
		return nil, err
	}
	return &reviewv1.GetOwnReviewResponse{Contribution: c}, nil
}

// pageOf a request: its size and its beginning.
func pageOf(size int32, usual, most int, token string) (int, place, error) {
	var v problem.Violations
	v.Check(size >= 0 && int(size) <= most, "page_size", "must be 0 to "+strconv.Itoa(most))
	if err := v.Err(); err != nil {
		return 0, place{}, err
	}
	from, err := parsePlace(token)
	if size == 0 {
		return usual, from, err
	}
	return int(size), from, err
}

// GetOpinion implements ReviewService.
func (s *Service) GetOpinion(ctx context.Context, req *reviewv1.GetOpinionRequest) (*reviewv1.GetOpinionResponse, error) {
	var v problem.Violations
	checkSKU(&v, req.GetSku())
	if err := v.Err(); err != nil {
		return nil, err
	}
	o, err := readOpinion(ctx, s.deps.Regional, s.deps.Region, req.GetSku())
	if err != nil {
		return nil, fmt.Errorf("opinion of %s: %w", req.GetSku(), err)
	}
	return &reviewv1.GetOpinionResponse{Opinion: o}, nil
}

// eachOnce of the SKUs of a batch, sorted.
func eachOnce(skus []string) ([]string, error) {
	var v problem.Violations
	v.Check(len(skus) <= maxRatings, "skus", "must be at most 200")
	for _, sku := range skus {
		checkSKU(&v, sku)
	}
	skus = slices.Clone(skus)
	slices.Sort(skus)
	return slices.Compact(skus), v.Err()
}

// BatchGetOpinions implements ReviewService.
func (s *Service) BatchGetOpinions(ctx context.Context, req *reviewv1.BatchGetOpinionsRequest) (*reviewv1.BatchGetOpinionsResponse, error) {
	skus, err := eachOnce(req.GetSkus())
	if err != nil || len(skus) == 0 {
		return &reviewv1.BatchGetOpinionsResponse{}, err
	}
	all, err := readOpinions(ctx, s.deps.Regional, s.deps.Region, skus)
	if err != nil {
		return nil, fmt.Errorf("opinions of %d products: %w", len(skus), err)
	}
	return &reviewv1.BatchGetOpinionsResponse{Opinions: all}, nil
}

// BatchGetRatings implements ReviewService.
func (s *Service) BatchGetRatings(ctx context.Context, req *reviewv1.BatchGetRatingsRequest) (*reviewv1.BatchGetRatingsResponse, error) {
	skus, err := eachOnce(req.GetSkus())
	if err != nil || len(skus) == 0 {
		return &reviewv1.BatchGetRatingsResponse{}, err
	}
	all, err := sqldb.Collect(ctx, s.deps.Regional, stmtGetRatings, func(r sqldb.Row) (*reviewv1.Rating, error) {
		var sku string
		var stars [5]int64
		err := r.Scan(&sku, &stars[0], &stars[1], &stars[2], &stars[3], &stars[4])
		return ratingOf(sku, stars), err
	}, string(s.deps.Region), skus)
	if err != nil {
		return nil, fmt.Errorf("ratings of %d products: %w", len(skus), err)
	}
	return &reviewv1.BatchGetRatingsResponse{Ratings: slices.DeleteFunc(all, func(r *reviewv1.Rating) bool { return r.GetReviews() == 0 })}, nil
}

// ListReviews implements ReviewService.
func (s *Service) ListReviews(ctx context.Context, req *reviewv1.ListReviewsRequest) (*reviewv1.ListReviewsResponse, error) {
	var v problem.Violations
	checkSKU(&v, req.GetSku())
	v.Check(reviewv1.Sort_name[int32(req.GetSort())] != "", "sort", "must be one of the orders")
	if err := v.Err(); err != nil {
		return nil, err
	}
	size, from, err := pageOf(req.GetPageSize(), defaultPage, maxPage, req.GetPageToken())
	if err != nil {
		return nil, err
	}
	all, next, err := s.list(ctx, s.deps.Regional, req.GetSku(), reviewv1.Kind_KIND_REVIEW, req.GetSort(), from, size)
	if err != nil {
		return nil, fmt.Errorf("reviews of %s: %w", req.GetSku(), err)
	}
	return &reviewv1.ListReviewsResponse{Reviews: all, NextPageToken: next}, nil
}

// ListQuestions implements ReviewService.
func (s *Service) ListQuestions(ctx context.Context, req *reviewv1.ListQuestionsRequest) (*reviewv1.ListQuestionsResponse, error) {
	var v problem.Violations
	checkSKU(&v, req.GetSku())
	if err := v.Err(); err != nil {
		return nil, err
	}
	size, from, err := pageOf(req.GetPageSize(), defaultPage, maxPage, req.GetPageToken())
	if err != nil {
		return nil, err
	}
	all, next, err := s.list(ctx, s.deps.Regional, req.GetSku(), reviewv1.Kind_KIND_QUESTION, reviewv1.Sort_SORT_UNSPECIFIED, from, size)
	if err == nil {
		err = s.answer(ctx, s.deps.Regional, req.GetSku(), all, answersOf)
	}
	if err != nil {
		return nil, fmt.Errorf("questions about %s: %w", req.GetSku(), err)
	}
	return &reviewv1.ListQuestionsResponse{Questions: all, NextPageToken: next}, nil
}

// EraseAuthor implements ReviewService.
func (s *Service) EraseAuthor(ctx context.Context, req *reviewv1.EraseAuthorRequest) (*reviewv1.EraseAuthorResponse, error) {
	customer, err := fence.Owned(ctx, s.deps.Fence, req.GetCustomerId())
	if err != nil {
		return nil, err
	}
	return &reviewv1.EraseAuthorResponse{}, s.erase(ctx, customer)
}

// ExportAuthor implements ReviewService.
func (s *Service) ExportAuthor(ctx context.Context, req *reviewv1.ExportAuthorRequest) (*reviewv1.ExportAuthorResponse, error) {
	customer, err := fence.Owned(ctx, s.deps.Fence, req.GetCustomerId())
	if err != nil {
		return nil, err
	}
	resp := &reviewv1.ExportAuthorResponse{}
	ring, from := string(customer.Region()), top()
	for len(resp.GetContributions()) < maxExport {
		page, err := sqldb.Collect(ctx, s.deps.Customers, stmtListOwn, scanContribution, ring, string(customer), from.written, from.id, exportPage)
		if err != nil {
			return nil, fmt.Errorf("export an author: %w", err)
		}
		resp.Contributions = append(resp.Contributions, page...)
		if len(page) < exportPage {
			break
		}
		last := page[len(page)-1]
		from = place{math.MaxInt64, last.GetWrittenAt().AsTime(), last.GetContributionId()}
	}
	for after := ""; len(resp.GetVotes()) < maxExport; {
		page, err := sqldb.Collect(ctx, s.deps.Customers, stmtListVotes, scanVoted, ring, string(customer), after, exportPage)
		if err != nil {
			return nil, fmt.Errorf("export an author's votes: %w", err)
		}
		resp.Votes = append(resp.Votes, page...)
		if len(page) < exportPage {
			break
		}
		after = page[len(page)-1].GetContributionId()
	}
	return resp, nil
}

func scanVoted(r sqldb.Row) (*reviewv1.ExportAuthorResponse_Voted, error) {
	var v reviewv1.ExportAuthorResponse_Voted
	var sign int16
	var at time.Time
	err := r.Scan(&v.Sku, &v.ContributionId, &sign, &at)
	v.VotedAt = timestamppb.New(at)
	for vote, s := range signs {
		if s == sign {
			v.Vote = vote
		}
	}
	return &v, err
}

// ListHeld implements ReviewService.
func (s *Service) ListHeld(ctx context.Context, req *reviewv1.ListHeldRequest) (*reviewv1.ListHeldResponse, error) {
	var v problem.Violations
	v.Check(slices.Contains(ident.Regions(), ident.Region(req.GetRing())), "ring", "must be a region")
	if err := v.Err(); err != nil {
		return nil, err
	}
	all, err := sqldb.Collect(ctx, s.deps.Customers, stmtListHeld, scanContribution, req.GetRing(), maxHeld)
	if err != nil {
		return nil, fmt.Errorf("list held contributions: %w", err)
	}
	return &reviewv1.ListHeldResponse{Contributions: all}, nil
}

// GetContribution implements ReviewService.
func (s *Service) GetContribution(ctx context.Context, req *reviewv1.GetContributionRequest) (*reviewv1.GetContributionResponse, error) {
	c, err := s.find(ctx, req.GetContributionId())
	if err != nil {
		return nil, err
	}
	return &reviewv1.GetContributionResponse{Contribution: c}, nil
}

// DecideContribution implements ReviewService.
func (s *Service) DecideContribution(ctx context.Context, req *reviewv1.DecideContributionRequest) (*reviewv1.DecideContributionResponse, error) {
	var v problem.Violations
	v.Check(validText(req.GetReason(), 1, maxReason, false), "reason", "must be 1 to 500 characters")
	if err := v.Err(); err != nil {
		return nil, err
	}
	c, err := s.decide(ctx, req)
	if err != nil {
		return nil, err
	}
	return &reviewv1.DecideContributionResponse{Contribution: c}, nil
}
