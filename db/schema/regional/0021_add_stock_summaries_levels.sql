-- About how much each FC has of a product, so that most orders can be planned without asking. Empty until it is looked at.
ALTER TABLE stock_summaries ADD COLUMN IF NOT EXISTS levels bytea NOT NULL DEFAULT '';
