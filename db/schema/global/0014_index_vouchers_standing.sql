-- Promotions that apply by themselves and are not over.
CREATE INDEX IF NOT EXISTS vouchers_standing ON vouchers (valid_until, code) WHERE automatic AND NOT disabled;
