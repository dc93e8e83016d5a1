// Package review keeps what shoppers write about products: reviews of what they bought, questions
// and answers (contributions, in one word), and the votes on them.
//
// The truth lives with whoever wrote it: a row in cellar_customer, homed and fenced with its
// author; a vote likewise with its voter. Each change has the next version and leaves an event for
// every region, in the same transaction. Each region keeps a published copy by product, and one row
// a product with all that its page shows, so that a page costs one look-up wherever it is drawn:
//
//	SubmitReview, AskQuestion, … ──▶ contributions + outbox ─┐
//	VoteHelpful ──▶ contribution_votes + outbox ─────────────┴▶ catalog.review.* ──▶ published_* ──▶ opinions
//
// Events carry the whole of what they are about with its version, and a copy takes only a higher
// one. So any order and any repetition of events gives the same copies and the same counts.
//
// A contribution is moderated when it is written. Rules, which read nothing but the text, let it
// through or hold it; an operator decides about what is held, and may decide anew at any time:
//
//	          ┌── no rule ──▶ PUBLISHED ◀──approve── HELD
//	written ──┤                   └──reject─▶ REJECTED ◀──reject──┘
//	          └── a rule ───▶ HELD              (edited: HELD again)
//
// DELETED is the author's, from any state. What is not PUBLISHED is withdrawn everywhere.
package review
