-- Copies of what customers wrote about products, for reading: each region has all of them, by product, kept by events.
CREATE TABLE IF NOT EXISTS published_contributions (
  region crdb_internal_region NOT NULL, -- the region that reads it
  sku text NOT NULL, -- about what
  contribution_id text NOT NULL, -- as in contributions
  kind text NOT NULL, -- REVIEW, QUESTION, ANSWER; empty while it is awaited or withdrawn
  question_id text NOT NULL, -- of an answer: to what; else empty
  rating int4 NOT NULL, -- of a review: 1 to 5 stars; else 0
  title text NOT NULL, -- of a review
  body text NOT NULL, -- what is said
  author text NOT NULL, -- as the author wants to be called; empty when the account is erased
  buyer bool NOT NULL, -- the author has bought the product
  state text NOT NULL, -- PUBLISHED; WITHDRAWN: a tombstone; AWAITED: only votes on it have come so far
  version int8 NOT NULL, -- of two events the higher one counts; 0 while it is awaited
  helpful int8 NOT NULL, -- votes for it
  unhelpful int8 NOT NULL, -- votes against it
  standing int8 NOT NULL, -- Wilson lower bound of the share of votes for it, in billionths: ranks by helpfulness
  written_at timestamptz NOT NULL, -- first time of writing
  CONSTRAINT published_contributions_pk PRIMARY KEY (region, sku, contribution_id),
  CONSTRAINT published_contributions_state_is_listed CHECK (state IN ('PUBLISHED', 'WITHDRAWN', 'AWAITED')),
  CONSTRAINT published_contributions_votes_are_not_negative CHECK (helpful >= 0 AND unhelpful >= 0)
) /*@LOCALITY REGIONAL BY ROW AS region@*/;
