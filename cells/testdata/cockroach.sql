-- Every statement as CockroachDB gets it. Made by: go test ./cells -run CockroachDB -update

-- account.answer_challenge (cellar_customer)
UPDATE accounts
SET challenged_at = $3
WHERE region = $1 AND customer_id = $2 AND erased_at IS NULL AND (challenged_at IS NULL OR challenged_at < $3);

-- account.claim_email (cellar_global)
INSERT INTO email_directory (email, customer_id, claimed_at)
VALUES ($1, $2, $3)
ON CONFLICT (email) DO NOTHING;

-- account.count_addresses (cellar_customer)
SELECT count(*)
FROM addresses
WHERE region = $1 AND customer_id = $2;

-- account.count_passkeys (cellar_customer)
SELECT count(*)
FROM passkeys
WHERE region = $1 AND customer_id = $2;

-- account.count_payment_methods (cellar_customer)
SELECT count(*)
FROM payment_methods
WHERE region = $1 AND customer_id = $2;

-- account.delete_address (cellar_customer)
DELETE FROM addresses
WHERE region = $1 AND customer_id = $2 AND address_id = $3;

-- account.delete_passkey (cellar_customer)
DELETE FROM passkeys
WHERE region = $1 AND customer_id = $2 AND passkey_id = $3;

-- account.delete_payment_method (cellar_customer)
DELETE FROM payment_methods
WHERE region = $1 AND customer_id = $2 AND payment_method_id = $3;

-- account.drop_links (cellar_customer)
DELETE FROM account_tokens
WHERE region = $1 AND customer_id = $2 AND purpose = $3;

-- account.erase_addresses (cellar_customer)
DELETE FROM addresses
WHERE region = $1 AND customer_id = $2;

-- account.erase_links (cellar_customer)
DELETE FROM account_tokens
WHERE region = $1 AND customer_id = $2;

-- account.erase_passkeys (cellar_customer)
DELETE FROM passkeys
WHERE region = $1 AND customer_id = $2;

-- account.erase_payment_methods (cellar_customer)
DELETE FROM payment_methods
WHERE region = $1 AND customer_id = $2;

-- account.erased (cellar_customer)
UPDATE accounts
SET erasure_due_at = NULL
WHERE region = $1 AND customer_id = $2 AND erased_at IS NOT NULL;

-- account.erasure_due (cellar_customer)
UPDATE accounts
SET erasure_due_at = $3
WHERE region = $1 AND customer_id = $2 AND erasure_due_at IS NOT NULL;

-- account.erasures_due (cellar_customer)
SELECT customer_id
FROM accounts
WHERE region = $1 AND erasure_due_at IS NOT NULL AND erasure_due_at <= $2
ORDER BY erasure_due_at
LIMIT $3;

-- account.find_email (cellar_global)
SELECT customer_id
FROM email_directory
WHERE email = $1;

-- account.forget_email (cellar_customer)
UPDATE accounts
SET email = ''
WHERE region = $1 AND customer_id = $2 AND erased_at IS NOT NULL;

-- account.forget_link (cellar_customer)
DELETE FROM account_tokens
WHERE region = $1 AND customer_id = $2 AND token_id = $3;

-- account.get (cellar_customer)
SELECT customer_id, email, name, password_hash, created_at, session_generation, verified_at, erased_at
FROM accounts
WHERE region = $1 AND customer_id = $2;

-- account.get_address (cellar_customer)
SELECT address_id, address
FROM addresses
WHERE region = $1 AND customer_id = $2 AND address_id = $3;

-- account.get_card_token (cellar_customer)
SELECT card_token
FROM payment_methods
WHERE region = $1 AND customer_id = $2 AND payment_method_id = $3;

-- account.insert (cellar_customer)
INSERT INTO accounts (region, customer_id, email, name, password_hash, created_at)
VALUES ($1, $2, $3, $4, $5, $6)
ON CONFLICT (region, customer_id) DO NOTHING;

-- account.insert_address (cellar_customer)
INSERT INTO addresses (region, customer_id, address_id, address, created_at)
VALUES ($1, $2, $3, $4, $5);

-- account.insert_link (cellar_customer)
INSERT INTO account_tokens (region, customer_id, token_id, purpose, hash, expires_at)
VALUES ($1, $2, $3, $4, $5, $6);

-- account.insert_passkey (cellar_customer)
INSERT INTO passkeys (region, customer_id, passkey_id, credential_id, public_key, name, uses, syncable, synced, created_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
ON CONFLICT (region, customer_id, passkey_id) DO NOTHING;

-- account.insert_payment_method (cellar_customer)
INSERT INTO payment_methods (region, customer_id, payment_method_id, card_token, label, created_at)
VALUES ($1, $2, $3, $4, $5, $6);

-- account.list_addresses (cellar_customer)
SELECT address_id, address
FROM addresses
WHERE region = $1 AND customer_id = $2
ORDER BY created_at, address_id;

-- account.list_passkeys (cellar_customer)
SELECT passkey_id, credential_id, public_key, name, uses, syncable, synced, created_at, used_at
FROM passkeys
WHERE region = $1 AND customer_id = $2
ORDER BY created_at, passkey_id;

-- account.list_payment_methods (cellar_customer)
SELECT payment_method_id, label
FROM payment_methods
WHERE region = $1 AND customer_id = $2
ORDER BY created_at, payment_method_id;

-- account.lock (cellar_customer)
SELECT customer_id
FROM accounts
WHERE region = $1 AND customer_id = $2 AND erased_at IS NULL
FOR UPDATE;

-- account.mark_erased (cellar_customer)
UPDATE accounts
SET erased_at = $3, erasure_due_at = $3, session_generation = session_generation + 1, password_hash = '', name = ''
WHERE region = $1 AND customer_id = $2 AND erased_at IS NULL
RETURNING session_generation;

-- account.next_generation (cellar_customer)
UPDATE accounts
SET session_generation = session_generation + 1
WHERE region = $1 AND customer_id = $2 AND erased_at IS NULL
RETURNING session_generation;

-- account.old_links (cellar_customer)
SELECT customer_id, token_id
FROM account_tokens
WHERE region = $1 AND expires_at <= $2
ORDER BY expires_at
LIMIT $3;

-- account.peek_link (cellar_customer)
SELECT token_id
FROM account_tokens
WHERE region = $1 AND customer_id = $2 AND token_id = $3 AND purpose = $4 AND hash = $5 AND expires_at > $6;

-- account.release_email (cellar_global)
DELETE FROM email_directory
WHERE email = $1 AND customer_id = $2;

-- account.rename_passkey (cellar_customer)
UPDATE passkeys
SET name = $4
WHERE region = $1 AND customer_id = $2 AND passkey_id = $3;

-- account.replace_password (cellar_customer)
UPDATE accounts
SET password_hash = $3, session_generation = session_generation + 1
WHERE region = $1 AND customer_id = $2 AND erased_at IS NULL
RETURNING session_generation, email;

-- account.use_link (cellar_customer)
DELETE FROM account_tokens
WHERE region = $1 AND customer_id = $2 AND token_id = $3 AND purpose = $4 AND hash = $5 AND expires_at > $6;

-- account.use_passkey (cellar_customer)
UPDATE passkeys
SET uses = $4, synced = $5, used_at = $6
WHERE region = $1 AND customer_id = $2 AND passkey_id = $3 AND (uses < $4 OR uses = 0 AND $4 = 0);

-- account.verify (cellar_customer)
UPDATE accounts
SET verified_at = coalesce(verified_at, $3)
WHERE region = $1 AND customer_id = $2 AND erased_at IS NULL;

-- audit.accounts (cellar_customer)
SELECT coalesce(b.account, e.account), coalesce(b.balance, 0), coalesce(e.sum, 0)
FROM (
  SELECT 'gift_card/' || encode(code_hash, 'hex') AS account, currency, balance_minor_units AS balance FROM gift_cards WHERE region = $1
  UNION ALL SELECT 'wallet/' || customer_id, currency, balance_minor_units FROM wallets WHERE region = $1
  UNION ALL SELECT 'order/' || t.order_id, p.currency, sum(t.amount_minor_units - t.refunded_minor_units - t.released_minor_units)::int8
  FROM payment_tenders AS t
  INNER JOIN payments AS p ON p.region = $1 AND p.order_id = t.order_id
  WHERE t.region = $1
  GROUP BY t.order_id, p.currency
) AS b
FULL OUTER JOIN (
  SELECT account, currency, sum(amount_minor_units)::int8 AS sum
  FROM ledger_entries
  WHERE region = $1 AND account NOT IN ('issued', 'credited')
  GROUP BY account, currency
) AS e ON e.account = b.account AND e.currency = b.currency;

-- audit.acknowledged (cellar_customer)
SELECT resource_id
FROM idempotency_keys
WHERE region = $1 AND method = 'PlaceOrder' AND answer IS NOT NULL;

-- audit.booked (cellar_regional)
SELECT e.fc_id, e.sku, sum(e.delta)::int8
FROM inventory_events AS e
WHERE e.region = $1
GROUP BY e.fc_id, e.sku;

-- audit.events (cellar_customer)
SELECT order_id, kind, at, detail
FROM order_events
WHERE region = $1 AND kind IN ('paid', 'shipped', 'captured', 'canceled', 'return_requested', 'returned', 'refunded', 'short_picked', 'replanned')
ORDER BY order_id, seq;

-- audit.following (cellar_customer)
SELECT saga_id, status
FROM sagas
WHERE region = $1 AND kind IN ('cancellation', 'return', 'capture', 'short_pick') AND status <> 'DONE';

-- audit.movements (cellar_customer)
SELECT movement, currency, sum(amount_minor_units)::int8, count(*)
FROM ledger_entries
WHERE region = $1
GROUP BY movement, currency
HAVING sum(amount_minor_units) <> 0 OR count(*) <> 2;

-- audit.orders (cellar_customer)
SELECT o.order_id, o.status, o.total_minor_units, o.placed_at, coalesce(l.units, 0), coalesce(s.status, ''), coalesce(e.events, 0), o.last_seq
FROM orders AS o
LEFT JOIN (SELECT order_id, sum(quantity)::int8 AS units FROM order_lines WHERE region = $1 GROUP BY order_id) AS l ON l.order_id = o.order_id
LEFT JOIN (SELECT order_id, count(*) AS events FROM order_events WHERE region = $1 GROUP BY order_id) AS e ON e.order_id = o.order_id
LEFT JOIN sagas AS s ON s.region = $1 AND s.saga_id = o.order_id
WHERE o.region = $1;

-- audit.payments (cellar_customer)
SELECT p.order_id, p.state, p.closing, p.amount_minor_units, p.credit_minor_units, p.uncaptured_minor_units, p.refunded_minor_units,
  coalesce(t.captured, 0), coalesce(t.refunded, 0), coalesce(t.drawn, 0), coalesce(t.kept, 0), coalesce(m.pending, 0)
FROM payments AS p
LEFT JOIN (
  SELECT order_id, sum(captured_minor_units)::int8 AS captured, sum(refunded_minor_units)::int8 AS refunded, sum(amount_minor_units)::int8 AS drawn,
    sum(amount_minor_units - refunded_minor_units - released_minor_units)::int8 AS kept
  FROM payment_tenders
  WHERE region = $1
  GROUP BY order_id
) AS t ON t.order_id = p.order_id
LEFT JOIN (SELECT order_id, count(*) AS pending FROM payment_moves WHERE region = $1 AND state = 'PENDING' GROUP BY order_id) AS m ON m.order_id = p.order_id
WHERE p.region = $1;

-- audit.promised (cellar_regional)
SELECT r.fc_id, r.sku, sum(r.quantity)::int8
FROM reservations AS r
WHERE r.region = $1 AND r.state IN ('HELD', 'COMMITTED')
GROUP BY r.fc_id, r.sku;

-- audit.redeemed (cellar_customer)
SELECT code, order_id
FROM voucher_redemptions
WHERE region = $1 AND state = 'REDEEMED';

-- audit.reservations (cellar_regional)
SELECT fc_id, order_id, line, sku, quantity, state, expires_at
FROM reservations
WHERE region = $1 AND line > 0
ORDER BY fc_id, order_id, line;

-- audit.returned (cellar_regional)
SELECT fc_id, source_id, sum(delta)::int8
FROM inventory_events
WHERE region = $1 AND kind = 'return'
GROUP BY fc_id, source_id;

-- audit.sagas (cellar_customer)
SELECT saga_id, status
FROM sagas
WHERE region = $1 AND kind = 'placement';

-- audit.shipments (cellar_regional)
SELECT fc_id, order_id, shipment_id, state, due_at, short_picks
FROM shipments
WHERE region = $1
ORDER BY fc_id, order_id;

-- audit.shipped (cellar_regional)
SELECT fc_id, source_id, sum(-delta)::int8
FROM inventory_events
WHERE region = $1 AND kind = 'ship'
GROUP BY fc_id, source_id;

-- audit.stock (cellar_regional)
SELECT fc_id, sku, available, reserved
FROM inventory
WHERE region = $1 AND (fc_id, sku) > ($2, $3)
ORDER BY fc_id, sku
LIMIT $4;

-- audit.unpublished (cellar_customer)
SELECT count(*)
FROM outbox
WHERE region = $1 AND published_at IS NULL;

-- audit.voucher_uses (cellar_customer)
SELECT u.code, u.holder, u.uses, coalesce(r.redeemed, 0)
FROM voucher_uses AS u
LEFT JOIN (
  SELECT code, holder, count(*) AS redeemed
  FROM (
    SELECT code, customer_id AS holder FROM voucher_redemptions WHERE region = $1 AND state = 'REDEEMED'
    UNION ALL
    SELECT code, '*' FROM voucher_redemptions WHERE region = $1 AND state = 'REDEEMED'
  ) AS each
  GROUP BY code, holder
) AS r ON r.code = u.code AND r.holder = u.holder
WHERE u.region = $1;

-- cart.add (cellar_customer)
INSERT INTO cart_lines (region, customer_id, sku, quantity, price_minor_units, currency, added_at)
VALUES ($1, $2, $3, $4, $5, $6, $7)
ON CONFLICT (region, customer_id, sku) DO UPDATE
SET quantity = cart_lines.quantity + excluded.quantity, price_minor_units = excluded.price_minor_units, currency = excluded.currency;

-- cart.erase_changes (cellar_customer)
DELETE FROM cart_changes
WHERE region = $1 AND customer_id = $2;

-- cart.erase_lines (cellar_customer)
DELETE FROM cart_lines
WHERE region = $1 AND customer_id = $2;

-- cart.erase_saved (cellar_customer)
DELETE FROM saved_lines
WHERE region = $1 AND customer_id = $2;

-- cart.hold (cellar_customer)
INSERT INTO cart_changes (region, customer_id, cause, changed_at, result)
VALUES ($1, $2, 'lock', $3, ''::bytea)
ON CONFLICT (region, customer_id, cause) DO UPDATE
SET changed_at = excluded.changed_at;

-- cart.list (cellar_customer)
SELECT customer_id, sku, quantity, price_minor_units, currency, added_at
FROM cart_lines
WHERE region = $1 AND customer_id = ANY ($2::text[])
ORDER BY customer_id, added_at, sku;

-- cart.list_saved (cellar_customer)
SELECT sku, quantity, price_minor_units, currency, saved_at
FROM saved_lines
WHERE region = $1 AND customer_id = $2
ORDER BY saved_at, sku;

-- cart.lock (cellar_customer)
SELECT sku, quantity, price_minor_units, currency, added_at
FROM cart_lines
WHERE region = $1 AND customer_id = $2
ORDER BY sku
FOR UPDATE;

-- cart.put (cellar_customer)
INSERT INTO cart_lines (region, customer_id, sku, quantity, price_minor_units, currency, added_at)
SELECT $1::crdb_internal_region, $2, l.sku, l.quantity, l.price, l.currency, l.added_at
FROM unnest($3::text[], $4::int8[], $5::int8[], $6::text[], $7::timestamptz[]) AS l (sku, quantity, price, currency, added_at)
ON CONFLICT (region, customer_id, sku) DO UPDATE
SET quantity = excluded.quantity, price_minor_units = excluded.price_minor_units, currency = excluded.currency;

-- cart.put_saved (cellar_customer)
INSERT INTO saved_lines (region, customer_id, sku, quantity, price_minor_units, currency, saved_at)
SELECT $1::crdb_internal_region, $2, l.sku, l.quantity, l.price, l.currency, l.saved_at
FROM unnest($3::text[], $4::int8[], $5::int8[], $6::text[], $7::timestamptz[]) AS l (sku, quantity, price, currency, saved_at)
ON CONFLICT (region, customer_id, sku) DO UPDATE
SET quantity = excluded.quantity, price_minor_units = excluded.price_minor_units, currency = excluded.currency;

-- cart.recall (cellar_customer)
SELECT result
FROM cart_changes
WHERE region = $1 AND customer_id = $2 AND cause = $3;

-- cart.reduce_bought (cellar_customer)
UPDATE cart_lines AS c
SET quantity = c.quantity - o.quantity
FROM unnest($2::text[], $3::text[], $4::int8[]) AS o (customer_id, sku, quantity)
WHERE c.region = $1 AND c.customer_id = o.customer_id AND c.sku = o.sku AND c.quantity > o.quantity;

-- cart.remember (cellar_customer)
INSERT INTO cart_changes (region, customer_id, cause, changed_at, result)
VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (region, customer_id, cause) DO NOTHING;

-- cart.remember_new (cellar_customer)
INSERT INTO cart_changes (region, customer_id, cause, changed_at, result)
SELECT $1::crdb_internal_region, n.customer_id, n.cause, n.at, ''::bytea
FROM unnest($2::text[], $3::text[], $4::timestamptz[]) AS n (customer_id, cause, at);

-- cart.remove (cellar_customer)
DELETE FROM cart_lines
WHERE region = $1 AND customer_id = $2 AND sku = $3;

-- cart.remove_bought (cellar_customer)
DELETE FROM cart_lines AS c
USING unnest($2::text[], $3::text[], $4::int8[]) AS o (customer_id, sku, quantity)
WHERE c.region = $1 AND c.customer_id = o.customer_id AND c.sku = o.sku AND c.quantity <= o.quantity;

-- cart.remove_saved (cellar_customer)
DELETE FROM saved_lines
WHERE region = $1 AND customer_id = $2 AND sku = $3;

-- catalog.browse (cellar_global)
SELECT popularity, sku
FROM category_listings
WHERE category = $1 AND (popularity, sku) < ($2, $3)
ORDER BY popularity DESC, sku DESC
LIMIT $4;

-- catalog.categories (cellar_global)
SELECT category, count(*)
FROM category_listings
GROUP BY category
ORDER BY category
LIMIT $1;

-- catalog.families (cellar_global)
SELECT sku, title, category, price_minor_units, currency, offer_of, seller, condition, prime, description, brand, image_urls, attributes, weight_grams, popularity, version, updated_at, family, varies_by, withdrawn_at
FROM unnest($1::text[]) AS f (name)
CROSS JOIN LATERAL (
  SELECT sku, title, category, price_minor_units, currency, offer_of, seller, condition, prime, description, brand, image_urls, attributes, weight_grams, popularity, version, updated_at, family, varies_by, withdrawn_at
  FROM products
  WHERE family = f.name AND family <> '' AND withdrawn_at IS NULL
  ORDER BY sku
  LIMIT $2
) AS p;

-- catalog.get (cellar_global)
SELECT sku, title, category, price_minor_units, currency, offer_of, seller, condition, prime, description, brand, image_urls, attributes, weight_grams, popularity, version, updated_at, family, varies_by, coalesce(withdrawn_at, (SELECT o.withdrawn_at FROM products AS o WHERE o.sku = products.offer_of AND products.offer_of <> ''))
FROM products
WHERE sku = ANY ($1::text[]);

-- catalog.keep_price_histories (cellar_global)
INSERT INTO price_histories (sku, history)
SELECT h.sku, h.history
FROM unnest($1::text[], $2::bytea[]) AS h (sku, history)
ON CONFLICT (sku) DO UPDATE
SET history = excluded.history;

-- catalog.lines (cellar_global)
SELECT sku, title, category, price_minor_units, currency, offer_of, seller, condition, prime, coalesce(withdrawn_at, (SELECT o.withdrawn_at FROM products AS o WHERE o.sku = products.offer_of AND products.offer_of <> ''))
FROM products
WHERE sku = ANY ($1::text[]);

-- catalog.list (cellar_global)
INSERT INTO category_listings (category, popularity, sku)
SELECT l.category, l.popularity, l.sku
FROM unnest($1::text[], $2::int4[], $3::text[]) AS l (category, popularity, sku)
ON CONFLICT (category, popularity, sku) DO NOTHING;

-- catalog.lock (cellar_global)
SELECT sku, title, category, price_minor_units, currency, offer_of, seller, condition, prime, description, brand, image_urls, attributes, weight_grams, popularity, version, updated_at, family, varies_by, withdrawn_at
FROM products
WHERE sku = $1
FOR UPDATE;

-- catalog.offers (cellar_global)
SELECT sku, title, category, price_minor_units, currency, offer_of, seller, condition, prime, description, brand, image_urls, attributes, weight_grams, popularity, version, updated_at, family, varies_by, withdrawn_at
FROM unnest($1::text[]) AS f (product)
CROSS JOIN LATERAL (
  SELECT sku, title, category, price_minor_units, currency, offer_of, seller, condition, prime, description, brand, image_urls, attributes, weight_grams, popularity, version, updated_at, family, varies_by, withdrawn_at
  FROM products
  WHERE offer_of = f.product AND offer_of <> '' AND coalesce(withdrawn_at, (SELECT o.withdrawn_at FROM products AS o WHERE o.sku = products.offer_of AND products.offer_of <> '')) IS NULL
  ORDER BY condition, price_minor_units, sku
  LIMIT $2
) AS p;

-- catalog.price_histories (cellar_global)
SELECT history
FROM price_histories
WHERE sku = ANY ($1::text[]);

-- catalog.prices (cellar_global)
SELECT sku, price_minor_units, currency
FROM products
WHERE sku = ANY ($1::text[])
ORDER BY sku
FOR UPDATE;

-- catalog.restore (cellar_global)
UPDATE products
SET withdrawn_at = NULL, version = version + 1, updated_at = $2
WHERE sku = $1 AND withdrawn_at IS NOT NULL;

-- catalog.scan (cellar_global)
SELECT sku, title, category, price_minor_units, currency, offer_of, seller, condition, prime, description, brand, image_urls, attributes, weight_grams, popularity, version, updated_at, family, varies_by, coalesce(withdrawn_at, (SELECT o.withdrawn_at FROM products AS o WHERE o.sku = products.offer_of AND products.offer_of <> ''))
FROM products
WHERE sku > $1
ORDER BY sku
LIMIT $2;

-- catalog.unlist (cellar_global)
DELETE FROM category_listings
WHERE sku = ANY ($1::text[]);

-- catalog.upsert (cellar_global)
INSERT INTO products (sku, title, category, price_minor_units, currency, offer_of, seller, condition, prime, description, brand, image_urls, attributes, weight_grams, popularity, version, updated_at, family, varies_by)
SELECT p.sku, p.title, p.category, p.price, p.currency, p.offer_of, p.seller, p.condition, p.prime,
  p.description, p.brand, ARRAY (SELECT jsonb_array_elements_text(p.image_urls)), p.attributes, p.weight, p.popularity, 1, $12,
  p.family, ARRAY (SELECT jsonb_array_elements_text(p.varies_by))
FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::int8[], $7::text[], $8::jsonb[], $9::jsonb[], $10::int8[], $11::int4[], $13::text[], $14::jsonb[],
  $15::text[], $16::text[], $17::int2[], $18::bool[])
  AS p (sku, title, description, brand, category, price, currency, image_urls, attributes, weight, popularity, family, varies_by, offer_of, seller, condition, prime)
ON CONFLICT (sku) DO UPDATE
SET title = excluded.title, description = excluded.description, brand = excluded.brand, category = excluded.category,
  price_minor_units = excluded.price_minor_units, currency = excluded.currency, image_urls = excluded.image_urls,
  attributes = excluded.attributes, weight_grams = excluded.weight_grams, popularity = excluded.popularity,
  family = excluded.family, varies_by = excluded.varies_by, offer_of = excluded.offer_of, seller = excluded.seller, condition = excluded.condition, prime = excluded.prime,
  version = products.version + 1, updated_at = excluded.updated_at
RETURNING sku, version;

-- catalog.withdraw (cellar_global)
UPDATE products
SET withdrawn_at = $2, version = version + 1, updated_at = $2
WHERE sku = $1 AND withdrawn_at IS NULL;

-- catalog.withdrawn (cellar_global)
SELECT sku, coalesce(withdrawn_at, (SELECT o.withdrawn_at FROM products AS o WHERE o.sku = products.offer_of AND products.offer_of <> ''))
FROM products
WHERE sku = ANY ($1::text[]) AND coalesce(withdrawn_at, (SELECT o.withdrawn_at FROM products AS o WHERE o.sku = products.offer_of AND products.offer_of <> '')) IS NOT NULL;

-- checkout.answer (cellar_customer)
UPDATE idempotency_keys AS k
SET answer = n.answer, refusal = n.refusal
FROM unnest($2::text[], $3::text[], $4::text[], $5::bytea[], $6::bytea[]) AS n (customer_id, method, key, answer, refusal)
WHERE k.region = $1 AND k.customer_id = n.customer_id AND k.method = n.method AND k.key = n.key;

-- checkout.disable_voucher (cellar_global)
UPDATE vouchers
SET disabled = true
WHERE code = $1;

-- checkout.expired (cellar_customer)
SELECT expires_at, customer_id, method, key
FROM idempotency_keys
WHERE region = $1 AND expires_at <= $2 AND (expires_at, customer_id, method, key) > ($3, $4, $5, $6)
ORDER BY expires_at, customer_id, method, key
LIMIT $7;

-- checkout.few_live (cellar_customer)
SELECT 1 / (count(*) = 0)::int
FROM unnest($2::text[]) AS c (customer_id)
WHERE $5 < (
  SELECT count(*)
  FROM idempotency_keys AS k
  WHERE k.region = $1 AND k.customer_id = c.customer_id AND k.method = $3 AND k.answer IS NULL AND k.refusal IS NULL AND k.created_at > $4
);

-- checkout.forget (cellar_customer)
DELETE FROM idempotency_keys
WHERE region = $1 AND customer_id = $2 AND method = $3 AND key = $4 AND expires_at <= $5;

-- checkout.forget_expired (cellar_customer)
DELETE FROM idempotency_keys
WHERE region = $1 AND expires_at <= $5 AND (customer_id, method, key) IN (
  SELECT n.customer_id, n.method, n.key
  FROM unnest($2::text[], $3::text[], $4::text[]) AS n (customer_id, method, key)
);

-- checkout.free_quote (cellar_customer)
DELETE FROM idempotency_keys
WHERE region = $1 AND customer_id = $2 AND method = $3 AND key = $4 AND resource_id = $5;

-- checkout.give_back (cellar_customer)
UPDATE voucher_redemptions
SET state = 'GIVEN_BACK', changed_at = $4
WHERE region = $1 AND code = $2 AND order_id = $3 AND state = 'REDEEMED';

-- checkout.insert_voucher (cellar_global)
INSERT INTO vouchers (code, automatic, percent_basis_points, amount_minor_units, amount_currency, minimum_minor_units, minimum_currency,
  categories, valid_from, valid_until, max_redemptions, max_per_customer, home_region, disabled, created_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, false, $14)
ON CONFLICT (code) DO NOTHING;

-- checkout.live (cellar_customer)
SELECT count(*)
FROM idempotency_keys
WHERE region = $1 AND customer_id = $2 AND method = $3 AND answer IS NULL AND refusal IS NULL AND created_at > $4;

-- checkout.read_voucher (cellar_global)
SELECT code, automatic, percent_basis_points, amount_minor_units, amount_currency, minimum_minor_units, minimum_currency,
  categories, valid_from, valid_until, max_redemptions, max_per_customer, home_region, disabled, created_at
FROM vouchers
WHERE code = $1;

-- checkout.recall (cellar_customer)
SELECT fingerprint, resource_id, answer, refusal
FROM idempotency_keys
WHERE region = $1 AND customer_id = $2 AND method = $3 AND key = $4 AND expires_at > $5;

-- checkout.redeem (cellar_customer)
INSERT INTO voucher_redemptions (region, code, order_id, customer_id, state, changed_at)
VALUES ($1, $2, $3, $4, $5, $6)
ON CONFLICT (region, code, order_id) DO NOTHING;

-- checkout.redemption (cellar_customer)
SELECT state
FROM voucher_redemptions
WHERE region = $1 AND code = $2 AND order_id = $3;

-- checkout.redemptions (cellar_customer)
SELECT count(*)
FROM voucher_redemptions
WHERE region = $1 AND code = $2 AND state = 'REDEEMED';

-- checkout.remember (cellar_customer)
INSERT INTO idempotency_keys (region, customer_id, method, key, fingerprint, resource_id, created_at, expires_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
ON CONFLICT (region, customer_id, method, key) DO NOTHING;

-- checkout.remember_new (cellar_customer)
INSERT INTO idempotency_keys (region, customer_id, method, key, fingerprint, resource_id, created_at, expires_at)
SELECT $1::crdb_internal_region, n.customer_id, n.method, n.key, n.fingerprint, n.resource_id, n.at, n.expires_at
FROM unnest($2::text[], $3::text[], $4::text[], $5::bytea[], $6::text[], $7::timestamptz[], $8::timestamptz[])
  AS n (customer_id, method, key, fingerprint, resource_id, at, expires_at);

-- checkout.return_use (cellar_customer)
UPDATE voucher_uses
SET uses = uses - 1
WHERE region = $1 AND code = $2 AND holder = $3;

-- checkout.standing_promotions (cellar_global)
SELECT code, automatic, percent_basis_points, amount_minor_units, amount_currency, minimum_minor_units, minimum_currency,
  categories, valid_from, valid_until, max_redemptions, max_per_customer, home_region, disabled, created_at
FROM vouchers
WHERE automatic AND NOT disabled AND valid_until > $1
ORDER BY valid_until, code
LIMIT $2;

-- checkout.take_use (cellar_customer)
INSERT INTO voucher_uses (region, code, holder, uses)
VALUES ($1, $2, $3, 1)
ON CONFLICT (region, code, holder) DO UPDATE
SET uses = voucher_uses.uses + 1
WHERE voucher_uses.uses < $4;

-- checkout.uses (cellar_customer)
SELECT uses
FROM voucher_uses
WHERE region = $1 AND code = $2 AND holder = $3;

-- controlplane.apply_override (cellar_global)
UPDATE overrides
SET applied = true
WHERE customer_id = $1;

-- controlplane.claim_move (cellar_global)
UPDATE automation
SET moved_cell = $1, moved_at = $2
WHERE name = 'evacuation' AND enabled AND moved_at = $3;

-- controlplane.delete_override (cellar_global)
DELETE FROM overrides
WHERE customer_id = $1;

-- controlplane.forget_maps (cellar_global)
DELETE FROM maps
WHERE version <= $1;

-- controlplane.forget_move (cellar_global)
UPDATE automation
SET moved_cell = '', moved_at = $1
WHERE name = 'evacuation';

-- controlplane.insert_cell (cellar_global)
INSERT INTO cells (cell_id, region, state, weight, capacity, public_address, internal_address, admin_address, changed_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
ON CONFLICT (cell_id) DO NOTHING;

-- controlplane.insert_change (cellar_global)
INSERT INTO topology_changes (change_id, at, who, reason, action, subject, map_version)
VALUES ($1, $2, $3, $4, $5, $6, $7);

-- controlplane.insert_map (cellar_global)
INSERT INTO maps (version, snapshot, made_at, who, reason)
VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (version) DO NOTHING;

-- controlplane.list_cells (cellar_global)
SELECT cell_id, region, state, weight, capacity, public_address, internal_address, admin_address
FROM cells
ORDER BY cell_id;

-- controlplane.list_changes (cellar_global)
SELECT change_id, at, who, reason, action, subject, map_version
FROM topology_changes
ORDER BY change_id DESC
LIMIT $1;

-- controlplane.list_maps (cellar_global)
SELECT version, made_at, who, reason
FROM maps
ORDER BY version DESC
LIMIT $1;

-- controlplane.list_overrides (cellar_global)
SELECT customer_id, cell_id, who, reason, created_at, expires_at, applied
FROM overrides
ORDER BY customer_id;

-- controlplane.make_lever (cellar_global)
INSERT INTO automation (name, enabled, who, reason, changed_at, moved_cell, moved_at)
VALUES ('evacuation', $1, $2, $3, $4, '', $5)
ON CONFLICT (name) DO NOTHING;

-- controlplane.newest_map (cellar_global)
SELECT version, snapshot, made_at, who, reason
FROM maps
ORDER BY version DESC
LIMIT 1;

-- controlplane.newest_version (cellar_global)
SELECT version
FROM maps
ORDER BY version DESC
LIMIT 1;

-- controlplane.put_override (cellar_global)
INSERT INTO overrides (customer_id, cell_id, who, reason, created_at, expires_at, applied)
VALUES ($1, $2, $3, $4, $5, $6, false)
ON CONFLICT (customer_id) DO UPDATE
SET cell_id = excluded.cell_id, who = excluded.who, reason = excluded.reason,
  created_at = excluded.created_at, expires_at = excluded.expires_at, applied = false;

-- controlplane.read_lever (cellar_global)
SELECT enabled, who, reason, changed_at, moved_cell, moved_at
FROM automation
WHERE name = 'evacuation';

-- controlplane.read_map (cellar_global)
SELECT version, snapshot, made_at, who, reason
FROM maps
WHERE version = $1;

-- controlplane.set_addresses (cellar_global)
UPDATE cells
SET public_address = $2, internal_address = $3, admin_address = $4, changed_at = $5
WHERE cell_id = $1;

-- controlplane.set_lever (cellar_global)
UPDATE automation
SET enabled = $1, who = $2, reason = $3, changed_at = $4
WHERE name = 'evacuation';

-- controlplane.set_state (cellar_global)
UPDATE cells
SET state = $2, changed_at = $3
WHERE cell_id = $1;

-- controlplane.set_weight (cellar_global)
UPDATE cells
SET weight = $2, changed_at = $3
WHERE cell_id = $1;

-- evacuation.changing (cellar_global)
SELECT evacuation_id
FROM evacuations
WHERE changing;

-- evacuation.count_homed (cellar_customer)
SELECT
  (SELECT count(*) FROM (SELECT 1 FROM accounts WHERE region = $1 LIMIT $2) AS a),
  (SELECT count(DISTINCT customer_id) FROM (SELECT customer_id FROM cart_lines WHERE region = $1 AND customer_id >= 'g-' AND customer_id < 'g.' LIMIT $2) AS g);

-- evacuation.estimate_homed (cellar_customer)
SELECT 
coalesce(max(estimated_row_count), 0)::int8
FROM crdb_internal.table_row_statistics
WHERE table_name = 'accounts';

-- evacuation.expired (cellar_global)
SELECT evacuation_id
FROM evacuations
WHERE expires_at <= $1 AND state = 'DONE' AND undone_by_id = ''
ORDER BY expires_at
LIMIT 16;

-- evacuation.get (cellar_global)
SELECT evacuation_id, revision, states_before, states_after, map_version, evacuation
FROM evacuations
WHERE evacuation_id = $1;

-- evacuation.insert (cellar_global)
INSERT INTO evacuations (evacuation_id, kind, state, revision, changing, who, reason, started_at, ended_at, expires_at, undoes_id, undone_by_id, states_before, states_after, map_version, evacuation)
VALUES ($1, $2, $3, 1, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15);

-- evacuation.list (cellar_global)
SELECT evacuation_id, revision, states_before, states_after, map_version, evacuation
FROM evacuations
ORDER BY started_at DESC, evacuation_id
LIMIT $1;

-- evacuation.lock_state (cellar_global)
SELECT state
FROM evacuations
WHERE evacuation_id = $1;

-- evacuation.open (cellar_global)
SELECT evacuation_id
FROM evacuations
WHERE ended_at IS NULL
ORDER BY started_at
LIMIT 64;

-- evacuation.save (cellar_global)
UPDATE evacuations
SET state = $3, revision = revision + 1, changing = $4, ended_at = $5, undone_by_id = $6, map_version = $7, evacuation = $8
WHERE evacuation_id = $1 AND revision = $2;

-- events.bury (cellar_regional)
INSERT INTO dead_letters (region, consumer, message_id, subject, payload, reason, tries, buried_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
ON CONFLICT (region, consumer, message_id) DO NOTHING;

-- events.letter (cellar_regional)
SELECT region, consumer, message_id, subject, payload, reason, tries, buried_at
FROM dead_letters
WHERE region = $1 AND consumer = $2 AND message_id = $3;

-- events.letters (cellar_regional)
SELECT region, consumer, message_id, subject, ''::bytea, reason, tries, buried_at
FROM dead_letters
WHERE region = $1 AND ($2 = '' OR consumer = $2)
ORDER BY buried_at, consumer, message_id
LIMIT $3;

-- events.unbury (cellar_regional)
DELETE FROM dead_letters
WHERE region = $1 AND consumer = $2 AND message_id = $3;

-- fence.assign_slots (cellar_customer)
INSERT INTO slots (region, slot, owner, epoch, changed_at)
SELECT $1::crdb_internal_region, s.slot, s.owner, s.epoch, $5
FROM unnest($2::int2[], $3::text[], $4::int8[]) AS s (slot, owner, epoch)
ON CONFLICT (region, slot) DO NOTHING;

-- fence.end_blockers (cellar_customer)
SELECT 0;

-- fence.flip (cellar_customer)
WITH free AS MATERIALIZED (
  SELECT s.slot, n.epoch, n.owner, n.overrides
  FROM unnest($2::int2[], $3::int8[], $4::text[], $5::text[]) AS n (slot, epoch, owner, overrides)
  JOIN slots AS s ON s.region = $1 AND s.slot = n.slot AND s.epoch = n.epoch
  ORDER BY s.slot
  
)
UPDATE slots AS s
SET owner = n.owner, epoch = n.epoch + 1, overrides = n.overrides::jsonb, changed_at = $6
FROM free AS n
WHERE s.region = $1 AND s.slot = n.slot AND s.epoch = n.epoch
RETURNING s.slot;

-- fence.flip_waiting (cellar_customer)
WITH free AS MATERIALIZED (
  SELECT s.slot, n.epoch, n.owner, n.overrides
  FROM unnest($2::int2[], $3::int8[], $4::text[], $5::text[]) AS n (slot, epoch, owner, overrides)
  JOIN slots AS s ON s.region = $1 AND s.slot = n.slot AND s.epoch = n.epoch
  ORDER BY s.slot
  
)
UPDATE slots AS s
SET owner = n.owner, epoch = n.epoch + 1, overrides = n.overrides::jsonb, changed_at = $6
FROM free AS n
WHERE s.region = $1 AND s.slot = n.slot AND s.epoch = n.epoch
RETURNING s.slot;

-- fence.guard (cellar_customer)
SELECT 1 / count(*)
FROM (
  SELECT 1
  FROM slots
  WHERE region = $1 AND slot = $2 AND coalesce(overrides ->> $4::text, owner) = $3
  
) AS s;

-- fence.guard_all (cellar_customer)
SELECT 1 / (count(*) = $4)::int
FROM (
  SELECT 1
  FROM slots AS o
  WHERE region = $1 AND slot = ANY ($2::int2[])
    AND CASE
      WHEN overrides IS NULL THEN owner = $3
      ELSE NOT EXISTS (
        SELECT 1
        FROM unnest($2::int2[], string_to_array($5::text, ',')) AS c (slot, customer_id)
        WHERE c.slot = o.slot AND coalesce(o.overrides ->> c.customer_id, o.owner) <> $3
      )
    END
  
) AS s;

-- fence.hurry (any)
SELECT 1;

-- fence.list_slots (cellar_customer)
SELECT slot, owner, epoch
FROM slots
WHERE region = $1
ORDER BY slot;

-- fence.lock_slot (cellar_customer)
SELECT owner, epoch, overrides ->> $3::text
FROM slots
WHERE region = $1 AND slot = $2;

-- fence.read_ring (cellar_customer)
SELECT slot, owner, epoch, overrides
FROM slots
WHERE region = $1
ORDER BY slot;

-- fence.read_slot (cellar_customer)
SELECT owner, epoch, overrides ->> $3::text
FROM slots
WHERE region = $1 AND slot = $2;

-- fence.set_override (cellar_customer)
UPDATE slots
SET overrides = nullif(coalesce(overrides, '{}'::jsonb) - $3::text || CASE WHEN $4::text = '' THEN '{}'::jsonb ELSE jsonb_build_object($3::text, $4::text) END, '{}'::jsonb),
  epoch = epoch + 1,
  changed_at = $5
WHERE region = $1 AND slot = $2
  AND coalesce(overrides ->> $3::text, '') <> $4::text;

-- fulfillment.advance (cellar_regional)
UPDATE shipments
SET scanned = $4, way = $5, track_at = $6
WHERE region = $1 AND fc_id = $2 AND order_id = $3;

-- fulfillment.cancel (cellar_regional)
INSERT INTO shipments (region, fc_id, order_id, shipment_id, customer_id, state, lines, tracking_number, requested_at, due_at)
VALUES ($1, $2, $3, $4, '', 'CANCELED', '', '', $5, $5)
ON CONFLICT (region, fc_id, order_id) DO UPDATE
SET state = 'CANCELED'
WHERE shipments.state = 'REQUESTED';

-- fulfillment.corrected (cellar_regional)
UPDATE shipments
SET state = $4, due_at = $5
WHERE region = $1 AND fc_id = $2 AND order_id = $3 AND state = 'SHORT'
RETURNING fc_id;

-- fulfillment.erase (cellar_regional)
UPDATE shipments
SET lines = $4, booking = ''
WHERE region = $1 AND fc_id = $2 AND order_id = $3;

-- fulfillment.insert_scans (cellar_regional)
INSERT INTO shipment_scans (region, fc_id, order_id, seq, state, at, place, note)
SELECT $1::crdb_internal_region, $2, $3, n.seq, n.state, n.at, n.place, n.note
FROM unnest($4::int8[], $5::text[], $6::timestamptz[], $7::text[], $8::text[]) AS n (seq, state, at, place, note)
ON CONFLICT (region, fc_id, order_id, seq) DO NOTHING;

-- fulfillment.list_centers (cellar_global)
SELECT fc_id, region, name, city, country_code, latitude, longitude, ordinal
FROM fulfillment_centers;

-- fulfillment.list_picked (cellar_regional)
SELECT fc_id, order_id, shipment_id, lines
FROM shipments
WHERE region = $1 AND state = 'REQUESTED' AND ship_by <= $4 AND due_at <= $2
ORDER BY ship_by, fc_id, due_at
LIMIT $3;

-- fulfillment.list_scans (cellar_regional)
SELECT c.fc_id, c.seq, c.state, c.at, c.place, c.note
FROM unnest($3::text[]) AS f (fc_id)
JOIN shipment_scans AS c ON c.region = $1 AND c.fc_id = f.fc_id AND c.order_id = $2
ORDER BY c.fc_id, c.seq;

-- fulfillment.list_shipments (cellar_regional)
SELECT fc_id, order_id, shipment_id, customer_id, state, lines, tracking_number, shipped_at, carrier, scanned, short_picks, ship_by
FROM shipments
WHERE region = $1 AND order_id = $2
ORDER BY fc_id;

-- fulfillment.list_waves (cellar_regional)
SELECT fc_id, ship_by, min(due_at), sum(CASE state WHEN 'REQUESTED' THEN 1 ELSE 0 END)::int8, sum(CASE state WHEN 'SHORT' THEN 1 ELSE 0 END)::int8,
  sum(CASE state WHEN 'PACKED' THEN 1 ELSE 0 END)::int8
FROM shipments
WHERE region = $1 AND state IN ('REQUESTED', 'SHORT', 'PACKED') AND ($2 = '' OR fc_id = $2)
GROUP BY ship_by, fc_id
ORDER BY ship_by, fc_id
LIMIT $3;

-- fulfillment.lock_picked (cellar_regional)
SELECT shipment_id, customer_id, state, lines, short_picks
FROM shipments
WHERE region = $1 AND fc_id = $2 AND order_id = $3
FOR UPDATE;

-- fulfillment.lock_shipment (cellar_regional)
SELECT shipment_id, customer_id, state, tracking_number, shipped_at, carrier, scanned, way, track_at
FROM shipments
WHERE region = $1 AND fc_id = $2 AND order_id = $3
FOR UPDATE;

-- fulfillment.missed (cellar_regional)
UPDATE shipments
SET state = 'SHORT', lines = $4, short_picks = $5, due_at = $6
WHERE region = $1 AND fc_id = $2 AND order_id = $3;

-- fulfillment.number_centers (cellar_global)
UPDATE fulfillment_centers AS c
SET ordinal = n.ordinal
FROM (
  SELECT fc_id, (SELECT coalesce(max(ordinal) + 1, 0) FROM fulfillment_centers) + row_number() OVER (ORDER BY fc_id) - 1 AS ordinal
  FROM fulfillment_centers
  WHERE ordinal IS NULL
) AS n
WHERE c.fc_id = n.fc_id;

-- fulfillment.pack (cellar_regional)
UPDATE shipments AS s
SET state = 'PACKED', tries = s.tries + 1, due_at = $2::timestamptz + (1 << least(s.tries, 3)::int4) * $3::int8 * interval '1 microsecond'
FROM (
  SELECT region, fc_id, order_id
  FROM shipments
  WHERE region = $1 AND state IN ('REQUESTED', 'PACKED') AND ship_by <= $5 AND due_at <= $2
  ORDER BY ship_by, fc_id, due_at
  LIMIT $4
  FOR UPDATE SKIP LOCKED
) AS d
WHERE s.region = d.region AND s.fc_id = d.fc_id AND s.order_id = d.order_id AND s.state IN ('REQUESTED', 'PACKED')
RETURNING s.fc_id, s.order_id, s.shipment_id, s.customer_id, s.lines, s.booking, s.short_picks;

-- fulfillment.request (cellar_regional)
INSERT INTO shipments (region, fc_id, order_id, shipment_id, customer_id, state, lines, tracking_number, requested_at, due_at, booking, ship_by)
SELECT $1::crdb_internal_region, n.fc_id, n.order_id, n.shipment_id, n.customer_id, 'REQUESTED', n.lines, '', $7, n.due_at, n.booking, n.ship_by
FROM unnest($2::text[], $3::text[], $4::text[], $5::text[], $6::bytea[], $8::timestamptz[], $9::bytea[], $10::timestamptz[])
  AS n (fc_id, order_id, shipment_id, customer_id, lines, due_at, booking, ship_by)
ON CONFLICT (region, fc_id, order_id) DO NOTHING;

-- fulfillment.shipped (cellar_regional)
UPDATE shipments AS s
SET state = 'SHIPPED', tracking_number = d.tracking_number, shipped_at = $5, carrier = $6, track_at = $7
FROM unnest($2::text[], $3::text[], $4::text[]) AS d (fc_id, order_id, tracking_number)
WHERE s.region = $1 AND s.fc_id = d.fc_id AND s.order_id = d.order_id AND s.state = 'PACKED'
RETURNING s.fc_id, s.order_id;

-- fulfillment.state (cellar_regional)
SELECT state
FROM shipments
WHERE region = $1 AND fc_id = $2 AND order_id = $3;

-- fulfillment.take_short (cellar_regional)
UPDATE shipments AS s
SET due_at = $3
FROM (
  SELECT region, fc_id, order_id
  FROM shipments
  WHERE region = $1 AND state = 'SHORT' AND due_at <= $2
  ORDER BY due_at
  LIMIT $4
  FOR UPDATE SKIP LOCKED
) AS d
WHERE s.region = d.region AND s.fc_id = d.fc_id AND s.order_id = d.order_id
RETURNING s.fc_id, s.order_id, s.shipment_id, s.customer_id, s.lines, s.short_picks;

-- fulfillment.track (cellar_regional)
UPDATE shipments AS s
SET track_at = $3
FROM (
  SELECT region, fc_id, order_id
  FROM shipments
  WHERE region = $1 AND track_at IS NOT NULL AND track_at <= $2
  ORDER BY track_at
  LIMIT $4
  FOR UPDATE SKIP LOCKED
) AS d
WHERE s.region = d.region AND s.fc_id = d.fc_id AND s.order_id = d.order_id
RETURNING s.fc_id, s.order_id, s.shipment_id, s.tracking_number;

-- fulfillment.upsert_centers (cellar_global)
INSERT INTO fulfillment_centers (fc_id, region, name, city, country_code, latitude, longitude)
SELECT c.fc_id, c.region, c.name, c.city, c.country_code, c.latitude, c.longitude
FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::float8[], $7::float8[])
  AS c (fc_id, region, name, city, country_code, latitude, longitude)
ON CONFLICT (fc_id) DO UPDATE
SET name = excluded.name, city = excluded.city, country_code = excluded.country_code, latitude = excluded.latitude, longitude = excluded.longitude
WHERE fulfillment_centers.region = excluded.region;

-- inbox.receive (any)
INSERT INTO inbox (region, consumer, message_id, received_at)
VALUES ($1, $2, $3, $4)
ON CONFLICT (region, consumer, message_id) DO NOTHING;

-- inbox.receive_all (any)
INSERT INTO inbox (region, consumer, message_id, received_at)
SELECT $1::crdb_internal_region, $2, n.message_id, $4
FROM unnest($3::text[]) AS n (message_id)
ON CONFLICT (region, consumer, message_id) DO NOTHING;

-- inbox.sweep (cellar_regional)
WITH page AS (
  SELECT consumer, message_id, received_at
  FROM inbox
  WHERE region = $1 AND (consumer, message_id) > ($2, $3)
  ORDER BY consumer, message_id
  LIMIT $5
), gone AS (
  DELETE FROM inbox AS i
  USING page AS p
  WHERE i.region = $1 AND i.consumer = p.consumer AND i.message_id = p.message_id AND p.received_at < $4
  RETURNING i.message_id
)
SELECT consumer, message_id, (SELECT count(*) FROM gone)
FROM page
ORDER BY consumer DESC, message_id DESC
LIMIT 1;

-- inventory.add (cellar_regional)
INSERT INTO inventory (region, fc_id, sku, available, reserved)
SELECT $1::crdb_internal_region, a.fc_id, a.sku, a.delta, 0
FROM unnest($2::text[], $3::text[], $4::int8[]) AS a (fc_id, sku, delta)
ORDER BY a.fc_id, a.sku
ON CONFLICT (region, fc_id, sku) DO UPDATE
SET available = inventory.available + excluded.available;

-- inventory.concerned (cellar_regional)
SELECT r.fc_id, r.sku
FROM unnest($2::text[], $3::text[]) AS o (fc_id, order_id)
INNER LOOKUP JOIN reservations AS r ON r.region = $1 AND r.fc_id = o.fc_id AND r.order_id = o.order_id
WHERE r.state IN ('HELD', 'COMMITTED');

-- inventory.delete_reservations (cellar_regional)
DELETE FROM reservations AS r
USING unnest($4::int4[]) AS n (line)
WHERE r.region = $1 AND r.fc_id = $2 AND r.order_id = $3 AND r.line = n.line;

-- inventory.due_expiries (cellar_regional)
SELECT r.fc_id, r.sku
FROM unnest($2::text[]) AS f (fc_id)
INNER LOOKUP JOIN reservations AS r ON r.region = $1 AND r.fc_id = f.fc_id AND r.state = 'HELD' AND r.expires_at <= $3
LIMIT $4;

-- inventory.hold_blindly (cellar_regional)
WITH made AS (
INSERT INTO reservations (region, fc_id, order_id, line, sku, quantity, state, expires_at, changed_at)
SELECT $1::crdb_internal_region, r.fc_id, r.order_id, r.line, r.sku, r.quantity, r.state, r.expires_at, $9
FROM unnest($2::text[], $3::text[], $4::int4[], $5::text[], $6::int8[], $7::text[], $8::timestamptz[])
  AS r (fc_id, order_id, line, sku, quantity, state, expires_at)
  RETURNING 1
)
SELECT 1 / (count(*) = 0)::int
FROM unnest($10::text[], $11::text[]) AS o (fc_id, order_id)

INNER LOOKUP JOIN reservations AS r ON r.region = $1 AND r.fc_id = o.fc_id AND r.order_id = o.order_id;

-- inventory.inconsistencies (cellar_regional)
SELECT fc_id, sku, sum(available)::int8, sum(reserved)::int8, (sum(booked) - sum(promised))::int8, sum(promised)::int8
FROM (
  SELECT fc_id, sku, available, reserved, 0 AS booked, 0 AS promised
  FROM inventory
  WHERE region = $1
  UNION ALL
  SELECT fc_id, sku, 0, 0, delta, 0
  FROM inventory_events
  WHERE region = $1
  UNION ALL
  SELECT fc_id, sku, 0, 0, 0, quantity
  FROM reservations
  WHERE region = $1 AND state IN ('HELD', 'COMMITTED')
) AS books
GROUP BY fc_id, sku
HAVING sum(reserved) <> sum(promised) OR sum(available) + sum(reserved) <> sum(booked)
ORDER BY fc_id, sku
LIMIT $2;

-- inventory.insert_reservations (cellar_regional)
INSERT INTO reservations (region, fc_id, order_id, line, sku, quantity, state, expires_at, changed_at)
SELECT $1::crdb_internal_region, r.fc_id, r.order_id, r.line, r.sku, r.quantity, r.state, r.expires_at, $9
FROM unnest($2::text[], $3::text[], $4::int4[], $5::text[], $6::int8[], $7::text[], $8::timestamptz[])
  AS r (fc_id, order_id, line, sku, quantity, state, expires_at);

-- inventory.keep_summaries (cellar_regional)
INSERT INTO stock_summaries (region, sku, source_region, fcs, units, version, changed_at, levels)
SELECT $1::crdb_internal_region, s.sku, s.source_region, s.fcs, s.units, s.version, $7, s.levels
FROM unnest($2::text[], $3::text[], $4::bytea[], $5::int8[], $6::int8[], $8::bytea[]) AS s (sku, source_region, fcs, units, version, levels)
ON CONFLICT (region, sku, source_region) DO UPDATE
SET fcs = excluded.fcs, units = excluded.units, version = excluded.version, changed_at = excluded.changed_at, levels = excluded.levels
WHERE stock_summaries.version < excluded.version;

-- inventory.list_stock (cellar_regional)
SELECT i.fc_id, i.sku, i.available + coalesce((
  SELECT sum(r.quantity)
  FROM reservations AS r
  WHERE r.region = $1 AND r.fc_id = i.fc_id AND r.sku = i.sku AND r.state = 'HELD' AND r.expires_at <= $3
), 0)::int8 AS available
FROM inventory AS i
WHERE i.region = $1 AND i.sku = ANY ($2::text[]);

-- inventory.list_stock_at (cellar_regional)
SELECT i.fc_id, i.sku, i.available + coalesce((
  SELECT sum(r.quantity)
  FROM reservations AS r
  WHERE r.region = $1 AND r.fc_id = i.fc_id AND r.sku = i.sku AND r.state = 'HELD' AND r.expires_at <= $3
), 0)::int8 AS available
FROM unnest($2::text[]) AS s (sku)
CROSS JOIN unnest($4::text[]) AS f (fc_id)

INNER LOOKUP JOIN inventory AS i ON i.region = $1 AND i.fc_id = f.fc_id AND i.sku = s.sku;

-- inventory.list_summaries (cellar_regional)
SELECT sku, source_region, fcs, units, version, levels
FROM stock_summaries
WHERE region = $1 AND sku = ANY ($2::text[]);

-- inventory.lock_reservations (cellar_regional)
SELECT r.fc_id, r.order_id, r.line, r.sku, r.quantity, r.state, r.expires_at
FROM unnest($2::text[], $3::text[]) AS o (fc_id, order_id)
INNER LOOKUP JOIN reservations AS r ON r.region = $1 AND r.fc_id = o.fc_id AND r.order_id = o.order_id
ORDER BY r.fc_id, r.order_id, r.line
FOR UPDATE OF r;

-- inventory.lock_stock (cellar_regional)
SELECT i.fc_id, i.sku, i.available, i.reserved
FROM unnest($2::text[], $3::text[]) AS s (fc_id, sku)
INNER LOOKUP JOIN inventory AS i ON i.region = $1 AND i.fc_id = s.fc_id AND i.sku = s.sku
ORDER BY i.fc_id, i.sku
FOR UPDATE OF i;

-- inventory.lock_summaries (cellar_regional)
SELECT one.sku, one.fcs, one.units, one.version, one.levels
FROM unnest($2::text[]) AS s (sku)
INNER LOOKUP JOIN stock_summaries AS one ON one.region = $1 AND one.sku = s.sku AND one.source_region = $3
ORDER BY one.sku
FOR UPDATE OF one;

-- inventory.move (cellar_regional)
INSERT INTO inventory (region, fc_id, sku, available, reserved)
SELECT $1::crdb_internal_region, m.fc_id, m.sku, m.available, m.reserved
FROM unnest($2::text[], $3::text[], $4::int8[], $5::int8[]) AS m (fc_id, sku, available, reserved)
ON CONFLICT (region, fc_id, sku) DO UPDATE
SET available = excluded.available, reserved = excluded.reserved;

-- inventory.open_summaries (cellar_regional)
INSERT INTO stock_summaries (region, sku, source_region, fcs, units, version, changed_at)
SELECT $1::crdb_internal_region, s.sku, $1, ''::bytea, 0, 0, $3
FROM unnest($2::text[]) AS s (sku)
ON CONFLICT (region, sku, source_region) DO NOTHING;

-- inventory.overdue (cellar_regional)
SELECT count(*), min(r.expires_at)
FROM unnest($2::text[]) AS f (fc_id)
CROSS JOIN LATERAL (
  SELECT expires_at
  FROM reservations
  WHERE region = $1 AND fc_id = f.fc_id AND state = 'HELD' AND expires_at <= $3
  ORDER BY expires_at
  LIMIT $4
) AS r;

-- inventory.page_summaries (cellar_regional)
SELECT sku, fcs, levels
FROM stock_summaries
WHERE region = $1 AND source_region = $2 AND sku > $3
ORDER BY sku
LIMIT $4;

-- inventory.record (cellar_regional)
INSERT INTO inventory_events (region, fc_id, kind, source_id, sku, delta, reason, at)
SELECT $1::crdb_internal_region, e.fc_id, $2, $3, e.sku, e.delta, $7, $8
FROM unnest($4::text[], $5::text[], $6::int8[]) AS e (fc_id, sku, delta)
ON CONFLICT (region, fc_id, kind, source_id, sku) DO NOTHING
RETURNING fc_id, sku, delta;

-- inventory.record_shipments (cellar_regional)
INSERT INTO inventory_events (region, fc_id, kind, source_id, sku, delta, reason, at)
SELECT $1::crdb_internal_region, e.fc_id, 'ship', e.order_id, e.sku, e.delta, '', $6
FROM unnest($2::text[], $3::text[], $4::text[], $5::int8[]) AS e (fc_id, order_id, sku, delta);

-- inventory.returned (cellar_regional)
SELECT fc_id, sku, sum(delta)::int8
FROM inventory_events
WHERE region = $1 AND fc_id = $2 AND kind = 'return' AND source_id >= $3 AND source_id < $4
GROUP BY fc_id, sku;

-- inventory.right (cellar_regional)
SELECT
  (SELECT coalesce(sum(delta), 0) FROM inventory_events WHERE region = $1 AND fc_id = $2 AND sku = $3)::int8,
  (SELECT coalesce(sum(quantity), 0) FROM reservations WHERE region = $1 AND fc_id = $2 AND sku = $3 AND state IN ('HELD', 'COMMITTED'))::int8;

-- inventory.run_out (cellar_regional)
SELECT r.fc_id, r.order_id, r.line, r.sku, r.quantity, r.state, r.expires_at
FROM unnest($2::text[], $3::text[]) AS s (fc_id, sku)
INNER LOOKUP JOIN reservations AS r ON r.region = $1 AND r.fc_id = s.fc_id AND r.sku = s.sku AND r.state = 'HELD' AND r.expires_at <= $4
LIMIT $5
FOR UPDATE OF r SKIP LOCKED;

-- inventory.sell_blindly (cellar_regional)
WITH sold AS (
  
  UPDATE reservations AS r
  SET state = 'COMMITTED', changed_at = $7
  FROM unnest($2::text[], $3::text[], $4::int4[], $5::text[], $6::int8[]) AS n (fc_id, order_id, line, sku, quantity)
  WHERE r.region = $1 AND r.fc_id = n.fc_id AND r.order_id = n.order_id AND r.line = n.line
    AND r.sku = n.sku AND r.quantity = n.quantity AND r.state = 'HELD' AND r.expires_at > $7
    AND NOT EXISTS (
      SELECT 1
      FROM reservations AS t
      WHERE t.region = $1 AND t.fc_id = n.fc_id AND t.order_id = n.order_id AND t.line = 0
    )
  RETURNING 1
)
SELECT 1 / (count(*) = $8)::int
FROM sold;

-- inventory.summarize (cellar_regional)
SELECT fc_id, sku, available
FROM inventory
WHERE region = $1 AND sku = ANY ($2::text[]) AND available > 0;

-- inventory.take_blindly (cellar_regional)
WITH moved AS (
  
  UPDATE inventory AS i
  SET available = i.available - m.units, reserved = i.reserved + m.units
  FROM unnest($2::text[], $3::text[], $4::int8[], $7::bytea[]) WITH ORDINALITY AS m (fc_id, sku, units, touched, n)
  WHERE i.region = $1 AND i.fc_id = m.fc_id AND i.sku = m.sku AND i.available >= m.units
  RETURNING m.n, m.touched, width_bucket(i.available + m.units, $5::int8[]) <> width_bucket(i.available, $5::int8[]) AS leveled
), told AS (
  INSERT INTO outbox (region, shard, id, message_id, destination, subject, payload, created_at)
  SELECT $1::crdb_internal_region, $8, $9::int8 + n - 1, $10::text || '/' || n::text, $11, $12, touched, $13
  FROM moved
  WHERE leveled
  RETURNING 1
)
SELECT 1 / ((SELECT count(*) FROM moved) = $6)::int, (SELECT count(*) FROM told);

-- inventory.update_reservations (cellar_regional)
INSERT INTO reservations (region, fc_id, order_id, line, sku, quantity, state, expires_at, changed_at)
SELECT $1::crdb_internal_region, r.fc_id, r.order_id, r.line, r.sku, r.quantity, r.state, r.expires_at, $9
FROM unnest($2::text[], $3::text[], $4::int4[], $5::text[], $6::int8[], $7::text[], $8::timestamptz[])
  AS r (fc_id, order_id, line, sku, quantity, state, expires_at)
ON CONFLICT (region, fc_id, order_id, line) DO UPDATE
SET quantity = excluded.quantity, state = excluded.state, expires_at = excluded.expires_at, changed_at = excluded.changed_at;

-- lease.drop (any)
DELETE FROM leases
WHERE region = $1 AND name = $2 AND holder = $3;

-- lease.holder (any)
SELECT holder
FROM leases
WHERE region = $1 AND name = $2 AND until >= now();

-- lease.take (any)
INSERT INTO leases (region, name, holder, until)
SELECT $1::crdb_internal_region, $2, $3, now() + $4::interval
WHERE NOT EXISTS (
  SELECT 1
  FROM leases
  WHERE region = $1 AND name = $2 AND holder <> $3 AND until >= now()
)
ON CONFLICT (region, name) DO UPDATE
SET holder = excluded.holder, until = excluded.until
WHERE leases.holder = excluded.holder OR leases.until < now();

-- migrate.applied (any)
SELECT number
FROM schema_migrations
WHERE number > 0
ORDER BY number;

-- migrate.drop_lease (any)
DELETE FROM schema_migrations
WHERE number = 0 AND name = $1;

-- migrate.record (any)
INSERT INTO schema_migrations (number, name, at)
VALUES ($1, $2, now())
ON CONFLICT (number) DO NOTHING;

-- migrate.take_lease (any)
INSERT INTO schema_migrations (number, name, at)
VALUES (0, $1, now() + $2::interval)
ON CONFLICT (number) DO UPDATE SET name = excluded.name, at = excluded.at
WHERE schema_migrations.name = excluded.name OR schema_migrations.at < now();

-- notice.due (cellar_customer)
SELECT customer_id, cause, due_at
FROM notifications
WHERE region = $1 AND due_at <= $2 AND (due_at, customer_id, cause) > ($3, $4, $5)
ORDER BY due_at, customer_id, cause
LIMIT $6;

-- notice.end (cellar_customer)
UPDATE notifications
SET detail = $5, pending = $6, begun = $7, state = $8, due_at = $9
WHERE region = $1 AND customer_id = $2 AND cause = $3 AND attempts = $4 AND state = 'WAITING';

-- notice.forget (cellar_customer)
DELETE FROM notifications
WHERE region = $1 AND customer_id = $2 AND cause = $3;

-- notice.insert (cellar_customer)
INSERT INTO notifications (region, customer_id, cause, kind, detail, pending, begun, repeated, state, attempts, due_at, created_at)
SELECT $1::crdb_internal_region, n.customer_id, n.cause, n.kind, n.detail, $6, 0, 0, 'WAITING', 0, $7, $7
FROM unnest($2::text[], $3::text[], $4::text[], $5::bytea[]) AS n (customer_id, cause, kind, detail)
ON CONFLICT (region, customer_id, cause) DO NOTHING;

-- notice.lock (cellar_customer)
SELECT detail, pending, begun, repeated, state, attempts
FROM notifications
WHERE region = $1 AND customer_id = $2 AND cause = $3 AND due_at <= $4
FOR UPDATE;

-- notice.store (cellar_customer)
UPDATE notifications
SET detail = $4, pending = $5, begun = $6, repeated = $7, state = $8, attempts = $9, due_at = $10
WHERE region = $1 AND customer_id = $2 AND cause = $3;

-- notification.erase_settings (cellar_customer)
DELETE FROM notification_settings
WHERE region = $1 AND customer_id = $2;

-- notification.get_settings (cellar_customer)
SELECT settings
FROM notification_settings
WHERE region = $1 AND customer_id = $2;

-- notification.put_settings (cellar_customer)
INSERT INTO notification_settings (region, customer_id, settings, changed_at)
VALUES ($1, $2, $3, $4)
ON CONFLICT (region, customer_id) DO UPDATE
SET settings = excluded.settings, changed_at = excluded.changed_at;

-- order.append (cellar_customer)
INSERT INTO order_events (region, order_id, seq, kind, cause, at, detail)
SELECT $1::crdb_internal_region, $2, e.seq, e.kind, e.cause, $3, e.detail
FROM unnest($4::int8[], $5::text[], $6::text[], $7::bytea[]) AS e (seq, kind, cause, detail);

-- order.find (cellar_customer)
SELECT customer_id, last_seq
FROM orders
WHERE region = $1 AND order_id = $2;

-- order.get (cellar_customer)
SELECT order_id, customer_id, currency, items_minor_units, discount_minor_units, shipping_minor_units, tax_minor_units, shipping_tax_minor_units,
  total_minor_units, ship_to, placed_at
FROM orders
WHERE region = $1 AND order_id = $2 AND customer_id = $3;

-- order.insert (cellar_customer)
INSERT INTO orders (region, order_id, customer_id, status, last_seq, currency, items_minor_units, discount_minor_units, shipping_minor_units,
  tax_minor_units, shipping_tax_minor_units, total_minor_units, ship_to, placed_at)
SELECT $1::crdb_internal_region, n.order_id, n.customer_id, 'PENDING', 1, n.currency, n.items, n.discount, n.shipping, n.tax, n.shipping_tax, n.total,
  n.ship_to, n.placed_at
FROM unnest($2::text[], $3::text[], $4::text[], $5::int8[], $6::int8[], $7::int8[], $8::int8[], $9::int8[], $10::int8[], $11::bytea[], $12::timestamptz[])
  AS n (order_id, customer_id, currency, items, discount, shipping, tax, shipping_tax, total, ship_to, placed_at)
ON CONFLICT (region, order_id) DO NOTHING;

-- order.insert_lines (cellar_customer)
INSERT INTO order_lines (region, order_id, line, sku, title, quantity, unit_price_minor_units, discount_minor_units, tax_minor_units, seller)
SELECT $1::crdb_internal_region, l.order_id, l.line, l.sku, l.title, l.quantity, l.price, l.discount, l.tax, l.seller
FROM unnest($2::text[], $3::int4[], $4::text[], $5::text[], $6::int8[], $7::int8[], $8::int8[], $9::int8[], $10::text[])
  AS l (order_id, line, sku, title, quantity, price, discount, tax, seller)
WHERE NOT EXISTS (
  SELECT 1
  FROM order_events AS e
  WHERE e.region = $1 AND e.order_id = l.order_id
);

-- order.insert_paid (cellar_customer)
INSERT INTO order_events (region, order_id, seq, kind, cause, at, detail)
SELECT $1::crdb_internal_region, n.order_id, (
  SELECT o.last_seq
  FROM orders AS o
  WHERE o.region = $1 AND o.order_id = n.order_id AND o.customer_id = n.customer_id AND o.status = 'PAID' AND o.last_seq = 2 AND o.ship_to = n.ship_to
), 'paid', 'ended', n.at, n.detail
FROM unnest($2::text[], $3::text[], $4::bytea[], $5::timestamptz[], $6::bytea[]) AS n (order_id, customer_id, ship_to, at, detail);

-- order.insert_placed (cellar_customer)
INSERT INTO order_events (region, order_id, seq, kind, cause, at, detail)
SELECT $1::crdb_internal_region, n.order_id, 1, 'placed', 'placed', n.at, ''::bytea
FROM unnest($2::text[], $3::timestamptz[]) AS n (order_id, at)
ON CONFLICT (region, order_id, cause) DO NOTHING;

-- order.list (cellar_customer)
SELECT order_id, customer_id, currency, items_minor_units, discount_minor_units, shipping_minor_units, tax_minor_units, shipping_tax_minor_units,
  total_minor_units, ship_to, placed_at
FROM orders
WHERE region = $1 AND customer_id = $2 AND (placed_at, order_id) < ($3, $4)
ORDER BY placed_at DESC, order_id DESC
LIMIT $5;

-- order.list_events (cellar_customer)
SELECT e.order_id, e.seq, e.kind, e.cause, e.at, e.detail
FROM unnest($2::text[]) AS o (order_id)
JOIN order_events AS e ON e.region = $1 AND e.order_id = o.order_id
ORDER BY e.order_id, e.seq;

-- order.list_lines (cellar_customer)
SELECT l.order_id, l.line, l.sku, l.title, l.quantity, l.unit_price_minor_units, l.discount_minor_units, l.tax_minor_units, l.seller
FROM unnest($2::text[]) AS o (order_id)
JOIN order_lines AS l ON l.region = $1 AND l.order_id = o.order_id
ORDER BY l.order_id, l.line;

-- order.lock (cellar_customer)
SELECT order_id, customer_id, currency, items_minor_units, discount_minor_units, shipping_minor_units, tax_minor_units, shipping_tax_minor_units,
  total_minor_units, ship_to, placed_at
FROM orders
WHERE region = $1 AND order_id = $2 AND customer_id = $3
FOR UPDATE;

-- order.pay (cellar_customer)
UPDATE orders AS o
SET status = 'PAID', last_seq = 2
FROM unnest($2::text[], $3::text[], $4::bytea[]) AS n (order_id, customer_id, ship_to)
WHERE o.region = $1 AND o.order_id = n.order_id AND o.customer_id = n.customer_id AND o.status = 'PENDING' AND o.last_seq = 1 AND o.ship_to = n.ship_to
RETURNING o.order_id, o.customer_id, o.currency, o.items_minor_units, o.discount_minor_units, o.shipping_minor_units, o.tax_minor_units,
  o.shipping_tax_minor_units, o.total_minor_units, o.ship_to, o.placed_at;

-- order.project (cellar_customer)
UPDATE orders
SET status = $3, last_seq = $4
WHERE region = $1 AND order_id = $2;

-- order.replace_address (cellar_customer)
UPDATE orders AS o
SET ship_to = n.ship_to
FROM unnest($3::text[], $4::bytea[]) AS n (order_id, ship_to)
WHERE o.region = $1 AND o.customer_id = $2 AND o.order_id = n.order_id;

-- outbox.enqueue (any)
INSERT INTO outbox (region, shard, id, message_id, destination, subject, payload, created_at)
SELECT $1::crdb_internal_region, e.shard, e.id, e.message_id, e.destination, e.subject, e.payload, $8
FROM unnest($2::int2[], $3::int8[], $4::text[], $5::text[], $6::text[], $7::bytea[]) AS e (shard, id, message_id, destination, subject, payload);

-- outbox.forget (any)
DELETE FROM outbox
WHERE region = $1 AND shard = $2 AND id > $3 AND id <= $4 AND published_at < $5;

-- outbox.heads (any)
SELECT o.destination, min(o.created_at)
FROM unnest($2::int2[]) AS s (shard)
CROSS JOIN LATERAL (
  SELECT p.destination, p.created_at
  FROM outbox AS p
  WHERE p.region = $1 AND p.shard = s.shard AND p.published_at IS NULL
  ORDER BY p.id
  LIMIT 1
) AS o
GROUP BY o.destination;

-- outbox.lag (any)
SELECT count(*), min(created_at)
FROM outbox
WHERE region = $1 AND shard = ANY ($2::int2[]) AND published_at IS NULL;

-- outbox.lags (any)
SELECT d.destination, least(sum(w.pending), $4)::int8, min(w.oldest)
FROM unnest($3::text[]) AS d (destination)
CROSS JOIN unnest($2::int2[]) AS s (shard)
CROSS JOIN LATERAL (
  SELECT count(*) AS pending, min(p.created_at) AS oldest
  FROM (
    SELECT o.created_at
    FROM outbox AS o
    WHERE o.region = $1 AND o.shard = s.shard AND o.destination = d.destination AND o.published_at IS NULL
    LIMIT $4
  ) AS p
) AS w
WHERE w.pending > 0
GROUP BY d.destination
ORDER BY d.destination;

-- outbox.page (any)
SELECT count(*), coalesce(max(id), 0)
FROM (
  SELECT id
  FROM outbox
  WHERE region = $1 AND shard = $2 AND id > $3 AND id < $4
  ORDER BY id
  LIMIT $5
) AS p;

-- outbox.pending (any)
SELECT o.destination, o.shard, o.id, o.message_id, o.subject, o.payload
FROM unnest($3::text[]) AS d (destination)
CROSS JOIN unnest($2::int2[]) AS s (shard)
CROSS JOIN LATERAL (
  SELECT p.destination, p.shard, p.id, p.message_id, p.subject, p.payload
  FROM outbox AS p
  WHERE p.region = $1 AND p.shard = s.shard AND p.destination = d.destination AND p.published_at IS NULL
  ORDER BY p.id
  LIMIT $4
) AS o
ORDER BY o.destination, o.shard, o.id;

-- outbox.published_mark (any)
UPDATE outbox AS o
SET published_at = $5
FROM unnest($2::int2[], $3::int8[], $4::text[]) AS p (shard, id, message_id)
WHERE o.region = $1 AND o.shard = p.shard AND o.id = p.id AND o.message_id = p.message_id;

-- outbox.replay (any)
UPDATE outbox
SET published_at = NULL
WHERE region = $1 AND shard = $2 AND id > $3 AND id <= $4 AND destination = $5 AND published_at >= $6 AND published_at < $7;

-- outbox.waiting (any)
SELECT s.shard
FROM unnest($2::int2[]) AS s (shard)
WHERE EXISTS (
  SELECT 1
  FROM outbox AS o
  WHERE o.region = $1 AND o.shard = s.shard AND o.published_at IS NULL
);

-- payment.add_move (cellar_customer)
INSERT INTO payment_moves (region, order_id, kind, move_id, state, amount_minor_units, card_minor_units, last, refusal, created_at, updated_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, '', $9, $9);

-- payment.add_tender (cellar_customer)
INSERT INTO payment_tenders (region, order_id, position, account_region, account, amount_minor_units, captured_minor_units, refunded_minor_units, released_minor_units)
VALUES ($1, $2, $3, $4, $5, $6, $7, 0, 0);

-- payment.begin (cellar_customer)
INSERT INTO payments (region, order_id, customer_id, state, amount_minor_units, currency, card_token, charge_id, decline_code, created_at, updated_at, hold)
SELECT $1::crdb_internal_region, n.order_id, n.customer_id, 'PENDING', n.amount, n.currency, n.card_token, '', '', n.at, n.at, n.hold
FROM unnest($2::text[], $3::text[], $4::int8[], $5::text[], $6::text[], $7::timestamptz[], $8::bool[])
  AS n (order_id, customer_id, amount, currency, card_token, at, hold)
ON CONFLICT (region, order_id) DO UPDATE
SET updated_at = CASE WHEN payments.state = 'PENDING' AND payments.customer_id = excluded.customer_id THEN excluded.updated_at ELSE payments.updated_at END
RETURNING order_id, customer_id, state, amount_minor_units, currency, card_token, charge_id, decline_code, updated_at, hold, closing, credit_minor_units, uncaptured_minor_units, refunded_minor_units;

-- payment.close (cellar_customer)
INSERT INTO payments (region, order_id, customer_id, state, amount_minor_units, currency, card_token, charge_id, decline_code, created_at, updated_at)
VALUES ($1, $2, $3, 'VOIDED', 0, '', '', '', '', $4, $4)
ON CONFLICT (region, order_id) DO UPDATE
SET closing = payments.closing OR (payments.state IN ('AUTHORIZED', 'CAPTURED') AND payments.customer_id = excluded.customer_id)
RETURNING order_id, customer_id, state, amount_minor_units, currency, card_token, charge_id, decline_code, updated_at, hold, closing, credit_minor_units, uncaptured_minor_units, refunded_minor_units;

-- payment.enter (cellar_customer)
INSERT INTO ledger_entries (region, account, movement, amount_minor_units, currency, reason, at)
VALUES ($1, $2, $3, $4, $5, $6, $7);

-- payment.entered (cellar_customer)
SELECT amount_minor_units, currency
FROM ledger_entries
WHERE region = $1 AND account = $2 AND movement = $3;

-- payment.get (cellar_customer)
SELECT order_id, customer_id, state, amount_minor_units, currency, card_token, charge_id, decline_code, updated_at, hold, closing, credit_minor_units, uncaptured_minor_units, refunded_minor_units
FROM payments
WHERE region = $1 AND order_id = $2;

-- payment.gift_card (cellar_customer)
SELECT code_hash, currency, issued_minor_units, balance_minor_units
FROM gift_cards
WHERE region = $1 AND code_hash = $2;

-- payment.give_gift_card (cellar_customer)
UPDATE gift_cards
SET balance_minor_units = balance_minor_units + $3
WHERE region = $1 AND code_hash = $2;

-- payment.give_wallet (cellar_customer)
INSERT INTO wallets (region, customer_id, currency, balance_minor_units, updated_at)
VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (region, customer_id, currency) DO UPDATE
SET balance_minor_units = wallets.balance_minor_units + excluded.balance_minor_units, updated_at = excluded.updated_at;

-- payment.insert (cellar_customer)
INSERT INTO payments (region, order_id, customer_id, state, amount_minor_units, currency, card_token, charge_id, decline_code, created_at, updated_at, hold)
VALUES ($1, $2, $3, 'PENDING', $4, $5, $6, '', '', $7, $7, $8)
ON CONFLICT (region, order_id) DO NOTHING;

-- payment.issue_gift_card (cellar_customer)
INSERT INTO gift_cards (region, code_hash, issue_id, currency, issued_minor_units, balance_minor_units, created_at)
VALUES ($1, $2, $3, $4, $5, $5, $6)
ON CONFLICT (region, issue_id) DO NOTHING;

-- payment.issued_gift_card (cellar_customer)
SELECT code_hash, currency, issued_minor_units, balance_minor_units
FROM gift_cards
WHERE region = $1 AND issue_id = $2;

-- payment.lock (cellar_customer)
SELECT order_id, customer_id, state, amount_minor_units, currency, card_token, charge_id, decline_code, updated_at, hold, closing, credit_minor_units, uncaptured_minor_units, refunded_minor_units
FROM payments
WHERE region = $1 AND order_id = $2
FOR UPDATE;

-- payment.lock_gift_card (cellar_customer)
SELECT balance_minor_units
FROM gift_cards
WHERE region = $1 AND code_hash = $2 AND currency = $3
FOR UPDATE;

-- payment.lock_wallet (cellar_customer)
SELECT balance_minor_units
FROM wallets
WHERE region = $1 AND customer_id = $2 AND currency = $3
FOR UPDATE;

-- payment.moves (cellar_customer)
SELECT kind, move_id, state, amount_minor_units, card_minor_units, last, refusal
FROM payment_moves
WHERE region = $1 AND order_id = $2
ORDER BY kind, move_id;

-- payment.put (cellar_customer)
UPDATE payments
SET state = $3, charge_id = $4, decline_code = $5, credit_minor_units = $6, uncaptured_minor_units = $7, refunded_minor_units = $8, updated_at = $9
WHERE region = $1 AND order_id = $2;

-- payment.put_move (cellar_customer)
UPDATE payment_moves
SET state = $5, refusal = $6, updated_at = $7
WHERE region = $1 AND order_id = $2 AND kind = $3 AND move_id = $4;

-- payment.put_tender (cellar_customer)
UPDATE payment_tenders
SET captured_minor_units = $4, refunded_minor_units = $5, released_minor_units = $6
WHERE region = $1 AND order_id = $2 AND position = $3;

-- payment.settle (cellar_customer)
UPDATE payments AS p
SET state = CASE WHEN p.state = 'PENDING' THEN n.state ELSE p.state END,
  charge_id = CASE WHEN p.state = 'PENDING' THEN n.charge_id ELSE p.charge_id END,
  decline_code = CASE WHEN p.state = 'PENDING' THEN n.decline_code ELSE p.decline_code END,
  uncaptured_minor_units = CASE WHEN p.state = 'PENDING' THEN n.uncaptured ELSE p.uncaptured_minor_units END,
  updated_at = CASE WHEN p.state = 'PENDING' THEN n.at ELSE p.updated_at END
FROM unnest($2::text[], $3::text[], $4::text[], $5::text[], $6::int8[], $7::timestamptz[]) AS n (order_id, state, charge_id, decline_code, uncaptured, at)
WHERE p.region = $1 AND p.order_id = n.order_id
RETURNING p.order_id, p.customer_id, p.state, p.amount_minor_units, p.currency, p.card_token, p.charge_id, p.decline_code, p.updated_at, p.hold, p.closing, p.credit_minor_units, p.uncaptured_minor_units, p.refunded_minor_units;

-- payment.take_gift_card (cellar_customer)
UPDATE gift_cards
SET balance_minor_units = balance_minor_units - $3
WHERE region = $1 AND code_hash = $2 AND balance_minor_units >= $3;

-- payment.take_wallet (cellar_customer)
UPDATE wallets
SET balance_minor_units = balance_minor_units - $4, updated_at = $5
WHERE region = $1 AND customer_id = $2 AND currency = $3 AND balance_minor_units >= $4;

-- payment.tenders (cellar_customer)
SELECT position, account_region, account, amount_minor_units, captured_minor_units, refunded_minor_units, released_minor_units
FROM payment_tenders
WHERE region = $1 AND order_id = $2
ORDER BY position;

-- payment.wallets (cellar_customer)
SELECT currency, balance_minor_units
FROM wallets
WHERE region = $1 AND customer_id = $2
ORDER BY currency;

-- recommendation.clear (cellar_global)
DELETE FROM also_bought
WHERE sku > $1 AND (sku <= $2 OR $2 = '') AND trained_at < $3;

-- recommendation.get (cellar_global)
SELECT a.sku, a.others
FROM unnest($1::text[]) AS p (sku)
JOIN also_bought AS a ON a.sku = p.sku;

-- recommendation.purchases (cellar_customer)
SELECT o.customer_id, o.placed_at, o.order_id, l.sku
FROM (
  SELECT customer_id, placed_at, order_id
  FROM orders
  WHERE region = $1 AND (customer_id, placed_at, order_id) > ($2, $3, $4) AND status IN ('PAID', 'SHIPPED')
  ORDER BY customer_id, placed_at, order_id
  LIMIT $5
) AS o
JOIN order_lines AS l ON l.region = $1 AND l.order_id = o.order_id
ORDER BY o.customer_id, o.placed_at, o.order_id, l.line;

-- recommendation.put (cellar_global)
INSERT INTO also_bought (sku, others, trained_at)
SELECT n.sku, n.others, $3
FROM unnest($1::text[], $2::bytea[]) AS n (sku, others)
ON CONFLICT (sku) DO UPDATE
SET others = excluded.others, trained_at = excluded.trained_at;

-- review.count_votes (cellar_regional)
UPDATE published_contributions
SET helpful = $4, unhelpful = $5, standing = $6
WHERE region = $1 AND sku = $2 AND contribution_id = $3;

-- review.count_written (cellar_customer)
SELECT count(*)
FROM contributions
WHERE region = $1 AND customer_id = $2 AND written_at > $3;

-- review.get (cellar_customer)
SELECT contribution_id, customer_id, kind, sku, order_id, line, question_id, rating, title, body, author, buyer, state, held_for, reason, version, written_at, changed_at
FROM contributions
WHERE region = $1 AND contribution_id = $2;

-- review.get_opinion (cellar_regional)
SELECT stars_1, stars_2, stars_3, stars_4, stars_5, digest
FROM opinions
WHERE region = $1 AND sku = $2;

-- review.get_opinions (cellar_regional)
SELECT o.sku, o.stars_1, o.stars_2, o.stars_3, o.stars_4, o.stars_5, o.digest
FROM unnest($2::text[]) AS p (sku)
JOIN opinions AS o ON o.region = $1 AND o.sku = p.sku;

-- review.get_published (cellar_regional)
SELECT kind, state, version, rating, helpful, unhelpful
FROM published_contributions
WHERE region = $1 AND sku = $2 AND contribution_id = $3;

-- review.get_published_vote (cellar_regional)
SELECT vote, version
FROM published_votes
WHERE region = $1 AND contribution_id = $2 AND voter = $3;

-- review.get_ratings (cellar_regional)
SELECT o.sku, o.stars_1, o.stars_2, o.stars_3, o.stars_4, o.stars_5
FROM unnest($2::text[]) AS p (sku)
JOIN opinions AS o ON o.region = $1 AND o.sku = p.sku;

-- review.list_answers (cellar_regional)
SELECT a.contribution_id, a.question_id, a.rating, a.title, a.body, a.author, a.buyer, a.helpful, a.unhelpful, a.standing, a.written_at
FROM unnest($3::text[]) AS q (id)
CROSS JOIN LATERAL (
  SELECT contribution_id, question_id, rating, title, body, author, buyer, helpful, unhelpful, standing, written_at
  FROM published_contributions
  WHERE region = $1 AND sku = $2 AND kind = 'ANSWER' AND question_id = q.id AND state = 'PUBLISHED'
  ORDER BY standing DESC, written_at DESC, contribution_id DESC
  LIMIT $4
) AS a;

-- review.list_by_standing (cellar_regional)
SELECT contribution_id, question_id, rating, title, body, author, buyer, helpful, unhelpful, standing, written_at
FROM published_contributions
WHERE region = $1 AND sku = $2 AND kind = $3 AND question_id = '' AND state = 'PUBLISHED' AND (standing, written_at, contribution_id) < ($4, $5, $6)
ORDER BY standing DESC, written_at DESC, contribution_id DESC
LIMIT $7;

-- review.list_by_time (cellar_regional)
SELECT contribution_id, question_id, rating, title, body, author, buyer, helpful, unhelpful, standing, written_at
FROM published_contributions
WHERE region = $1 AND sku = $2 AND kind = $3 AND state = 'PUBLISHED' AND (written_at, contribution_id) < ($4, $5)
ORDER BY written_at DESC, contribution_id DESC
LIMIT $6;

-- review.list_held (cellar_customer)
SELECT contribution_id, customer_id, kind, sku, order_id, line, question_id, rating, title, body, author, buyer, state, held_for, reason, version, written_at, changed_at
FROM contributions
WHERE region = $1 AND state = 'HELD'
ORDER BY changed_at
LIMIT $2;

-- review.list_named (cellar_customer)
SELECT contribution_id, customer_id, kind, sku, order_id, line, question_id, rating, title, body, author, buyer, state, held_for, reason, version, written_at, changed_at
FROM contributions
WHERE region = $1 AND customer_id = $2 AND author <> ''
ORDER BY written_at, contribution_id
LIMIT $3
FOR UPDATE;

-- review.list_own (cellar_customer)
SELECT contribution_id, customer_id, kind, sku, order_id, line, question_id, rating, title, body, author, buyer, state, held_for, reason, version, written_at, changed_at
FROM contributions
WHERE region = $1 AND customer_id = $2 AND state <> 'DELETED' AND (written_at, contribution_id) < ($3, $4)
ORDER BY written_at DESC, contribution_id DESC
LIMIT $5;

-- review.list_votes (cellar_customer)
SELECT sku, contribution_id, vote, voted_at
FROM contribution_votes
WHERE region = $1 AND customer_id = $2 AND contribution_id > $3
ORDER BY contribution_id
LIMIT $4;

-- review.lock (cellar_customer)
SELECT contribution_id, customer_id, kind, sku, order_id, line, question_id, rating, title, body, author, buyer, state, held_for, reason, version, written_at, changed_at
FROM contributions
WHERE region = $1 AND contribution_id = $2
FOR UPDATE;

-- review.lock_opinion (cellar_regional)
SELECT stars_1, stars_2, stars_3, stars_4, stars_5
FROM opinions
WHERE region = $1 AND sku = $2
FOR UPDATE;

-- review.lock_vote (cellar_customer)
SELECT vote, version
FROM contribution_votes
WHERE region = $1 AND customer_id = $2 AND contribution_id = $3
FOR UPDATE;

-- review.open_opinion (cellar_regional)
INSERT INTO opinions (region, sku, stars_1, stars_2, stars_3, stars_4, stars_5, digest, changed_at)
VALUES ($1, $2, 0, 0, 0, 0, 0, ''::bytea, $3)
ON CONFLICT (region, sku) DO NOTHING;

-- review.put (cellar_customer)
INSERT INTO contributions (region, contribution_id, customer_id, kind, sku, order_id, line, question_id, rating, title, body, author, buyer, state, held_for, reason, version, written_at, changed_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19)
ON CONFLICT (region, contribution_id) DO UPDATE
SET rating = excluded.rating, title = excluded.title, body = excluded.body, author = excluded.author, buyer = excluded.buyer, state = excluded.state,
  held_for = excluded.held_for, reason = excluded.reason, version = excluded.version, changed_at = excluded.changed_at
WHERE contributions.customer_id = excluded.customer_id AND contributions.version = excluded.version - 1;

-- review.put_opinion (cellar_regional)
UPDATE opinions
SET stars_1 = $3, stars_2 = $4, stars_3 = $5, stars_4 = $6, stars_5 = $7, digest = $8, changed_at = $9
WHERE region = $1 AND sku = $2;

-- review.put_published (cellar_regional)
INSERT INTO published_contributions (region, sku, contribution_id, kind, question_id, rating, title, body, author, buyer, state, version, helpful, unhelpful, standing, written_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, 0, 0, 0, $13)
ON CONFLICT (region, sku, contribution_id) DO UPDATE
SET kind = excluded.kind, question_id = excluded.question_id, rating = excluded.rating, title = excluded.title, body = excluded.body, author = excluded.author,
  buyer = excluded.buyer, state = excluded.state, version = excluded.version, written_at = excluded.written_at;

-- review.put_published_vote (cellar_regional)
INSERT INTO published_votes (region, contribution_id, voter, vote, version)
VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (region, contribution_id, voter) DO UPDATE
SET vote = excluded.vote, version = excluded.version;

-- review.put_vote (cellar_customer)
INSERT INTO contribution_votes (region, customer_id, contribution_id, sku, vote, version, voted_at)
VALUES ($1, $2, $3, $4, $5, $6, $7)
ON CONFLICT (region, customer_id, contribution_id) DO UPDATE
SET vote = excluded.vote, version = excluded.version, voted_at = excluded.voted_at
WHERE contribution_votes.version = excluded.version - 1;

-- saga.behind (cellar_customer)
SELECT count(*), count(*) FILTER (WHERE b.updated_at > $3)
FROM (
  SELECT s.updated_at
  FROM sagas AS s
  JOIN slots AS o ON o.region = s.region AND o.slot = s.slot
  WHERE s.region = $1 AND s.slot = ANY ($2::int2[]) AND s.status IN ('RUNNING', 'UNDOING') AND s.epoch < o.epoch
  LIMIT $4
) AS b;

-- saga.claim (cellar_customer)
UPDATE sagas AS s
SET holder = $3, due_at = $4, updated_at = $5, epoch = o.epoch
FROM (SELECT coalesce((SELECT epoch FROM slots WHERE region = $1 AND slot = $6), 0) AS epoch) AS o
WHERE s.region = $1 AND s.saga_id = $2 AND s.status IN ('RUNNING', 'UNDOING') AND (s.due_at <= $5 OR s.epoch < o.epoch)
RETURNING kind, customer_id, status, step, state, attempts, due_at, last_error, created_at;

-- saga.count_parked (cellar_customer)
SELECT s.kind, count(*)
FROM sagas AS s
LEFT JOIN slots AS o ON o.region = s.region AND o.slot = s.slot
WHERE s.region = $1 AND s.status = 'PARKED' AND coalesce(o.overrides ->> s.customer_id, o.owner, $2) = $2
GROUP BY s.kind;

-- saga.decide (cellar_customer)
UPDATE sagas
SET status = $3, step = $4, state = $5, attempts = 0, due_at = $6, holder = '', parked_from = '', operator_note = operator_note || $7, updated_at = $8
WHERE region = $1 AND saga_id = $2;

-- saga.due (cellar_customer)
SELECT s.saga_id, s.customer_id
FROM sagas AS s
LEFT JOIN slots AS o ON o.region = s.region AND o.slot = s.slot
WHERE s.region = $1 AND s.due_at <= $2 AND s.kind = ANY ($5::text[]) AND s.status IN ('RUNNING', 'UNDOING')
  AND coalesce(o.overrides ->> s.customer_id, o.owner, $3) = $3
ORDER BY s.due_at
LIMIT $4;

-- saga.forget (cellar_customer)
UPDATE sagas AS s
SET state = ''
FROM unnest($3::text[]) AS n (saga_id)
WHERE s.region = $1 AND s.saga_id = n.saga_id AND s.customer_id = $2 AND s.status IN ('DONE', 'UNDONE') AND s.state <> '';

-- saga.get (cellar_customer)
SELECT kind, customer_id, status, step, state, attempts, due_at, last_error, created_at
FROM sagas
WHERE region = $1 AND saga_id = $2;

-- saga.insert (cellar_customer)
INSERT INTO sagas (region, saga_id, kind, customer_id, slot, status, step, state, attempts, due_at, holder, last_error, created_at, updated_at, epoch)
SELECT $1::crdb_internal_region, n.saga_id, n.kind, n.customer_id, n.slot, 'RUNNING', n.step, n.state, 0, n.due_at, n.holder, '', n.at, n.at, coalesce(o.epoch, 0)
FROM unnest($2::text[], $3::text[], $4::text[], $5::int2[], $6::text[], $7::bytea[], $8::timestamptz[], $9::text[], $10::timestamptz[])
  AS n (saga_id, kind, customer_id, slot, step, state, due_at, holder, at)
LEFT JOIN slots AS o ON o.region = $1 AND o.slot = n.slot;

-- saga.list_live (cellar_customer)
SELECT saga_id, kind, customer_id, status, step, state, attempts, due_at, last_error, created_at, updated_at, holder, parked_from, operator_note
FROM sagas
WHERE region = $1 AND status IN ('RUNNING', 'UNDOING')
ORDER BY due_at
LIMIT $2;

-- saga.list_parked (cellar_customer)
SELECT saga_id, kind, customer_id, status, step, state, attempts, due_at, last_error, created_at, updated_at, holder, parked_from, operator_note
FROM sagas
WHERE region = $1 AND status = 'PARKED'
ORDER BY updated_at
LIMIT $2;

-- saga.look (cellar_customer)
SELECT saga_id, kind, customer_id, status, step, state, attempts, due_at, last_error, created_at, updated_at, holder, parked_from, operator_note
FROM sagas
WHERE region = $1 AND saga_id = $2;

-- saga.look_locked (cellar_customer)
SELECT saga_id, kind, customer_id, status, step, state, attempts, due_at, last_error, created_at, updated_at, holder, parked_from, operator_note
FROM sagas
WHERE region = $1 AND saga_id = $2
FOR UPDATE;

-- saga.parked_from (cellar_customer)
UPDATE sagas
SET parked_from = $3
WHERE region = $1 AND saga_id = $2;

-- saga.save (cellar_customer)
WITH saved AS (
  UPDATE sagas AS s
  SET status = n.status, step = n.step, state = n.state, attempts = n.attempts, due_at = n.due_at, last_error = n.last_error, updated_at = n.at
  FROM unnest($2::text[], $3::text[], $4::text[], $5::text[], $6::bytea[], $7::int4[], $8::timestamptz[], $9::text[], $10::timestamptz[])
    AS n (saga_id, holder, status, step, state, attempts, due_at, last_error, at)
  WHERE s.region = $1 AND s.saga_id = n.saga_id AND s.holder = n.holder AND s.status IN ('RUNNING', 'UNDOING')
  RETURNING 1
)
SELECT 1 / (count(*) = $11)::int
FROM saved;

-- saga.stale (cellar_customer)
SELECT s.saga_id, s.customer_id
FROM sagas AS s
JOIN slots AS o ON o.region = s.region AND o.slot = s.slot
WHERE s.region = $1 AND s.due_at > $2 AND s.kind = ANY ($5::text[]) AND s.status IN ('RUNNING', 'UNDOING')
  AND s.epoch < o.epoch AND coalesce(o.overrides ->> s.customer_id, o.owner) = $3
ORDER BY s.due_at
LIMIT $4;

-- saga.status (cellar_customer)
SELECT status
FROM sagas
WHERE region = $1 AND saga_id = $2;

-- saga.under_way (cellar_customer)
SELECT count(*)
FROM (
  SELECT 1
  FROM sagas
  WHERE region = $1 AND slot = ANY ($2::int2[]) AND status IN ('RUNNING', 'UNDOING')
  LIMIT $3
) AS s;

-- storefront.ask (cellar_regional)
INSERT INTO product_pages (region, sku, card, page, near, asked, built, built_at)
SELECT $1::crdb_internal_region, n.sku, ''::bytea, ''::bytea, ARRAY[]::text[], 1, 0, $3::timestamptz
FROM unnest($2::text[]) AS n (sku)
ON CONFLICT (region, sku) DO UPDATE
SET asked = product_pages.asked + 1
RETURNING sku, asked;

-- storefront.deals (cellar_regional)
SELECT card
FROM product_pages
WHERE region = $1 AND reduced_at IS NOT NULL AND reduced_at > $2
ORDER BY reduced_at DESC, sku
LIMIT $3;

-- storefront.page (cellar_regional)
SELECT true, p.page, p.built_at
FROM product_pages AS p
WHERE p.region = $1 AND p.sku = $2 AND p.built > 0
UNION ALL
SELECT false, n.card, n.built_at
FROM product_pages AS p
CROSS JOIN LATERAL unnest(p.near) AS b (sku)
CROSS JOIN LATERAL (
  SELECT card, built_at
  FROM product_pages
  WHERE region = $1 AND sku = b.sku AND built > 0
  LIMIT 1 -- which it has anyway: so it is looked up for each, also by a plan that was made while the table was empty
) AS n
WHERE p.region = $1 AND p.sku = $2 AND p.built > 0;

-- storefront.put (cellar_regional)
UPDATE product_pages AS p
SET card = n.card, page = n.page, near = string_to_array(n.near, ' '), built = n.asked, built_at = $7, reduced_at = n.reduced_at
FROM unnest($2::text[], $3::bytea[], $4::bytea[], $5::text[], $6::int8[], $8::timestamptz[]) AS n (sku, card, page, near, asked, reduced_at)
WHERE p.region = $1 AND p.sku = n.sku AND p.built < n.asked
RETURNING p.sku;
