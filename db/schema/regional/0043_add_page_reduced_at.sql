-- Which pages show a reduction of the price.
ALTER TABLE product_pages
  ADD COLUMN IF NOT EXISTS reduced_at timestamptz; -- when the price fell by enough to be among the deals; null when it did not
