package cells

import (
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	fulfillmentv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/fulfillment/v1"
	orderv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/order/v1"
	"github.com/cellar-commerce/cellar/internal/gen/cellar/order/v1/orderv1connect"
	reviewv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/review/v1"
	"github.com/cellar-commerce/cellar/internal/gen/cellar/review/v1/reviewv1connect"
)

// theirs is what somebody else has written, as it is known here by its event.
const theirs = "usw2-0123456789"

// reviewing what was bought, and what others say of it.
func (s *stale) reviewing() []moved {
	var o *orderv1.Order
	written := &reviewv1.SubmitReviewResponse{}
	shipped := func() {
		o = s.order()
		e := &fulfillmentv1.ShipmentShipped{ShipmentId: "s3", TrackingNumber: "T3", ShippedAt: timestamppb.Now()}
		s.ask(orderv1connect.OrderServiceRecordShipmentProcedure, "", nil, &orderv1.RecordShipmentRequest{
			CustomerId: s.id, OrderId: o.GetOrderId(), FcId: "iad1", ShipmentId: e.GetShipmentId(), TrackingNumber: e.GetTrackingNumber(), ShippedAt: e.GetShippedAt(),
		}, nil)
	}
	question := func() {
		payload, err := proto.Marshal(&reviewv1.ContributionChanged{
			Sku: "kettle", ContributionId: theirs, Version: 1, Kind: reviewv1.Kind_KIND_QUESTION, Text: "Does it whistle?", Author: "Bo", WrittenAt: timestamppb.Now(),
		})
		must(s.T, err)
		_, err = s.cell.services.review.Take(s.Context(), "catalog.review.changed", payload)
		must(s.T, err)
	}
	return []moved{
		{procedure: reviewv1connect.ReviewServiceSubmitReviewProcedure, token: s.session, before: shipped, into: written, req: func() proto.Message {
			return &reviewv1.SubmitReviewRequest{OrderId: o.GetOrderId(), Line: 1, Rating: 5, Title: "Whistles", Text: "And boils.", Author: "Reader"}
		}},
		{procedure: reviewv1connect.ReviewServiceAskQuestionProcedure, token: s.session, req: always(&reviewv1.AskQuestionRequest{Sku: "kettle", Text: "How loud is it?", Author: "Reader", Key: "k1"})},
		{procedure: reviewv1connect.ReviewServiceAnswerQuestionProcedure, token: s.session, before: question,
			req: always(&reviewv1.AnswerQuestionRequest{Sku: "kettle", QuestionId: theirs, Text: "It does.", Author: "Reader", Key: "k2"})},
		{procedure: reviewv1connect.ReviewServiceVoteHelpfulProcedure, token: s.session,
			req: always(&reviewv1.VoteHelpfulRequest{Sku: "kettle", ContributionId: theirs, Vote: reviewv1.Vote_VOTE_HELPFUL})},
		{procedure: reviewv1connect.ReviewServiceDecideContributionProcedure, req: func() proto.Message {
			return &reviewv1.DecideContributionRequest{ContributionId: written.GetContribution().GetContributionId(), Version: written.GetContribution().GetVersion(), Reason: "a drill", Forwarded: true}
		}},
		{procedure: reviewv1connect.ReviewServiceEraseAuthorProcedure, req: func() proto.Message { return &reviewv1.EraseAuthorRequest{CustomerId: s.id} }},
		{procedure: reviewv1connect.ReviewServiceDeleteContributionProcedure, token: s.session, req: func() proto.Message {
			return &reviewv1.DeleteContributionRequest{ContributionId: written.GetContribution().GetContributionId()}
		}},
	}
}
