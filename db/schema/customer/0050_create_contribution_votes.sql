-- How customers voted on what others wrote: one row for each, with the last word.
CREATE TABLE IF NOT EXISTS contribution_votes (
  region crdb_internal_region NOT NULL, -- the voter's ring
  customer_id text NOT NULL, -- the voter
  contribution_id text NOT NULL, -- on what; its author may be of another ring
  sku text NOT NULL, -- what that is about
  vote int2 NOT NULL, -- 1 helpful, -1 not helpful, 0 taken back
  version int8 NOT NULL, -- grows with each change
  voted_at timestamptz NOT NULL, -- last change
  CONSTRAINT contribution_votes_pk PRIMARY KEY (region, customer_id, contribution_id),
  CONSTRAINT contribution_votes_vote_is_listed CHECK (vote IN (-1, 0, 1))
) /*@LOCALITY REGIONAL BY ROW AS region@*/;
