-- The last word of each voter on a published contribution, so that a vote counts once whatever the broker does.
CREATE TABLE IF NOT EXISTS published_votes (
  region crdb_internal_region NOT NULL, -- the region that reads it
  contribution_id text NOT NULL, -- on what
  voter bytea NOT NULL, -- SHA-256 of the contribution's and the voter's ids
  vote int2 NOT NULL, -- 1 helpful, -1 not helpful, 0 taken back
  version int8 NOT NULL, -- of two events the higher one counts
  CONSTRAINT published_votes_pk PRIMARY KEY (region, contribution_id, voter),
  CONSTRAINT published_votes_vote_is_listed CHECK (vote IN (-1, 0, 1))
) /*@LOCALITY REGIONAL BY ROW AS region@*/;
