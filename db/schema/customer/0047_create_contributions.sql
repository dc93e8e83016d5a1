-- What customers write about products: reviews, questions and answers. The published copies are made of it by events.
CREATE TABLE IF NOT EXISTS contributions (
  region crdb_internal_region NOT NULL, -- the author's ring
  contribution_id text NOT NULL, -- <ring>-…; of a review it follows from author, order and line, so that there is one
  customer_id text NOT NULL, -- the author
  kind text NOT NULL, -- REVIEW, QUESTION, ANSWER
  sku text NOT NULL, -- about what
  order_id text NOT NULL, -- of a review: the order it is about; else empty
  line int4 NOT NULL, -- of a review: the order's line; else 0
  question_id text NOT NULL, -- of an answer: to what; else empty
  rating int4 NOT NULL, -- of a review: 1 to 5 stars; 0 else, and when it is deleted
  title text NOT NULL, -- of a review
  body text NOT NULL, -- what is said; empty when it is deleted
  author text NOT NULL, -- as the author wants to be called; empty when the account is erased
  buyer bool NOT NULL, -- the author has bought the product
  state text NOT NULL, -- PUBLISHED, HELD, REJECTED, DELETED
  held_for text NOT NULL, -- rules of moderation that stopped it, joined by commas
  reason text NOT NULL, -- what the operator who decided said
  version int8 NOT NULL, -- grows with each change
  written_at timestamptz NOT NULL, -- first time of writing
  changed_at timestamptz NOT NULL, -- last change
  CONSTRAINT contributions_pk PRIMARY KEY (region, contribution_id),
  CONSTRAINT contributions_kind_is_listed CHECK (kind IN ('REVIEW', 'QUESTION', 'ANSWER')),
  CONSTRAINT contributions_state_is_listed CHECK (state IN ('PUBLISHED', 'HELD', 'REJECTED', 'DELETED')),
  CONSTRAINT contributions_reviews_have_stars CHECK ((rating BETWEEN 1 AND 5) = (kind = 'REVIEW' AND state <> 'DELETED'))
) /*@LOCALITY REGIONAL BY ROW AS region@*/;
