-- What a payment needs that is not one card charged at once. The defaults are what every older row means.
ALTER TABLE payments
ADD COLUMN IF NOT EXISTS hold bool NOT NULL DEFAULT false, -- the card is only authorized at first
ADD COLUMN IF NOT EXISTS closing bool NOT NULL DEFAULT false, -- everything is being given back: nothing new may begin
ADD COLUMN IF NOT EXISTS credit_minor_units int8 NOT NULL DEFAULT 0, -- part borne by payment_tenders; a card bears the rest
ADD COLUMN IF NOT EXISTS uncaptured_minor_units int8 NOT NULL DEFAULT 0, -- AUTHORIZED: still held; afterwards: let go of
ADD COLUMN IF NOT EXISTS refunded_minor_units int8 NOT NULL DEFAULT 0; -- given back in parts; REFUNDED means all of it
