-- What takes something off an order, with its code or by itself. Never deleted: orders and redemptions name it.
CREATE TABLE IF NOT EXISTS vouchers (
  code text NOT NULL, -- upper case
  automatic bool NOT NULL, -- applies by itself; nobody gives its code
  percent_basis_points int4 NOT NULL, -- taken off; 0 for an amount
  amount_minor_units int8 NOT NULL, -- taken off; 0 for a percentage
  amount_currency text NOT NULL, -- ISO 4217; empty for a percentage
  minimum_minor_units int8 NOT NULL, -- least worth of the lines it is for
  minimum_currency text NOT NULL, -- ISO 4217; empty when there is no minimum
  categories text[] NOT NULL, -- paths of categories; empty for everything
  valid_from timestamptz NOT NULL, -- from when
  valid_until timestamptz NOT NULL, -- until when; the year 9999 for ever
  max_redemptions int8 NOT NULL, -- orders in all; 0 for no limit
  max_per_customer int8 NOT NULL, -- orders of one customer; 0 for no limit
  home_region text NOT NULL, -- region of its rows in cellar_customer
  disabled bool NOT NULL, -- no longer accepted
  created_at timestamptz NOT NULL, -- time of definition
  CONSTRAINT vouchers_pk PRIMARY KEY (code),
  CONSTRAINT vouchers_take_a_percentage_or_an_amount CHECK ((percent_basis_points BETWEEN 1 AND 10000) <> (amount_minor_units > 0)),
  CONSTRAINT vouchers_limits_are_not_negative CHECK (minimum_minor_units >= 0 AND max_redemptions >= 0 AND max_per_customer >= 0)
) /*@LOCALITY GLOBAL@*/;
