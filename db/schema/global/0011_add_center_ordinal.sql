-- A small number for each FC, given once: its place in a set of FCs.
ALTER TABLE fulfillment_centers ADD COLUMN IF NOT EXISTS ordinal int2;
