-- Every statement as CockroachDB gets it. Made by: go test ./cells -run CockroachDB -update

-- account.claim_email (cellar_global)
INSERT INTO email_directory (email, customer_id, claimed_at)
VALUES ($1, $2, $3)
ON CONFLICT (email) DO NOTHING;

-- account.count_addresses (cellar_customer)
SELECT count(*)
FROM addresses
WHERE region = $1 AND customer_id = $2;

-- account.count_payment_methods (cellar_customer)
SELECT count(*)
FROM payment_methods
WHERE region = $1 AND customer_id = $2;

-- account.delete_address (cellar_customer)
DELETE FROM addresses
WHERE region = $1 AND customer_id = $2 AND address_id = $3;

-- account.delete_payment_method (cellar_customer)
DELETE FROM payment_methods
WHERE region = $1 AND customer_id = $2 AND payment_method_id = $3;

-- account.find_email (cellar_global)
SELECT customer_id
FROM email_directory
WHERE email = $1;

-- account.get (cellar_customer)
SELECT customer_id, email, name, password_hash, created_at
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

-- account.insert_payment_method (cellar_customer)
INSERT INTO payment_methods (region, customer_id, payment_method_id, card_token, label, created_at)
VALUES ($1, $2, $3, $4, $5, $6);

-- account.list_addresses (cellar_customer)
SELECT address_id, address
FROM addresses
WHERE region = $1 AND customer_id = $2
ORDER BY created_at, address_id;

-- account.list_payment_methods (cellar_customer)
SELECT payment_method_id, label
FROM payment_methods
WHERE region = $1 AND customer_id = $2
ORDER BY created_at, payment_method_id;

-- account.lock (cellar_customer)
SELECT customer_id
FROM accounts
WHERE region = $1 AND customer_id = $2
FOR UPDATE;

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
WHERE region = $1 AND kind IN ('paid', 'shipped')
ORDER BY order_id, seq;

-- audit.orders (cellar_customer)
SELECT o.order_id, o.status, o.total_minor_units, o.placed_at, coalesce(l.units, 0), coalesce(p.state, ''), coalesce(s.status, ''), coalesce(e.events, 0), o.last_seq
FROM orders AS o
LEFT JOIN (SELECT order_id, sum(quantity)::int8 AS units FROM order_lines WHERE region = $1 GROUP BY order_id) AS l ON l.order_id = o.order_id
LEFT JOIN (SELECT order_id, count(*) AS events FROM order_events WHERE region = $1 GROUP BY order_id) AS e ON e.order_id = o.order_id
LEFT JOIN payments AS p ON p.region = $1 AND p.order_id = o.order_id
LEFT JOIN sagas AS s ON s.region = $1 AND s.saga_id = o.order_id
WHERE o.region = $1;

-- audit.promised (cellar_regional)
SELECT r.fc_id, r.sku, sum(r.quantity)::int8
FROM reservations AS r
WHERE r.region = $1 AND r.state IN ('HELD', 'COMMITTED')
GROUP BY r.fc_id, r.sku;

-- audit.reservations (cellar_regional)
SELECT fc_id, order_id, line, sku, quantity, state, expires_at
FROM reservations
WHERE region = $1 AND line > 0
ORDER BY fc_id, order_id, line;

-- audit.sagas (cellar_customer)
SELECT saga_id, status
FROM sagas
WHERE region = $1 AND kind = 'placement';

-- audit.shipments (cellar_regional)
SELECT fc_id, order_id, shipment_id, state
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

-- cart.add (cellar_customer)
INSERT INTO cart_lines (region, customer_id, sku, quantity, price_minor_units, currency, added_at)
VALUES ($1, $2, $3, $4, $5, $6, $7)
ON CONFLICT (region, customer_id, sku) DO UPDATE
SET quantity = cart_lines.quantity + excluded.quantity, price_minor_units = excluded.price_minor_units, currency = excluded.currency;

-- cart.hold (cellar_customer)
INSERT INTO cart_changes (region, customer_id, cause, changed_at, result)
VALUES ($1, $2, 'lock', $3, ''::bytea)
ON CONFLICT (region, customer_id, cause) DO UPDATE
SET changed_at = excluded.changed_at;

-- cart.list (cellar_customer)
SELECT sku, quantity, price_minor_units, currency, added_at
FROM cart_lines
WHERE region = $1 AND customer_id = $2
ORDER BY added_at, sku;

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

-- cart.recall (cellar_customer)
SELECT result
FROM cart_changes
WHERE region = $1 AND customer_id = $2 AND cause = $3;

-- cart.reduce_bought (cellar_customer)
UPDATE cart_lines AS c
SET quantity = c.quantity - o.quantity
FROM unnest($3::text[], $4::int8[]) AS o (sku, quantity)
WHERE c.region = $1 AND c.customer_id = $2 AND c.sku = o.sku AND c.quantity > o.quantity;

-- cart.remember (cellar_customer)
INSERT INTO cart_changes (region, customer_id, cause, changed_at, result)
VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (region, customer_id, cause) DO NOTHING;

-- cart.remove (cellar_customer)
DELETE FROM cart_lines
WHERE region = $1 AND customer_id = $2 AND sku = $3;

-- cart.remove_bought (cellar_customer)
DELETE FROM cart_lines AS c
USING unnest($3::text[], $4::int8[]) AS o (sku, quantity)
WHERE c.region = $1 AND c.customer_id = $2 AND c.sku = o.sku AND c.quantity <= o.quantity;

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

-- catalog.get (cellar_global)
SELECT sku, title, description, brand, category, price_minor_units, currency, image_urls, attributes, weight_grams, popularity, version, updated_at
FROM products
WHERE sku = ANY ($1::text[]);

-- catalog.list (cellar_global)
INSERT INTO category_listings (category, popularity, sku)
SELECT l.category, l.popularity, l.sku
FROM unnest($1::text[], $2::int4[], $3::text[]) AS l (category, popularity, sku)
ON CONFLICT (category, popularity, sku) DO NOTHING;

-- catalog.lock (cellar_global)
SELECT sku, title, description, brand, category, price_minor_units, currency, image_urls, attributes, weight_grams, popularity, version, updated_at
FROM products
WHERE sku = $1
FOR UPDATE;

-- catalog.scan (cellar_global)
SELECT sku, title, description, brand, category, price_minor_units, currency, image_urls, attributes, weight_grams, popularity, version, updated_at
FROM products
WHERE sku > $1
ORDER BY sku
LIMIT $2;

-- catalog.unlist (cellar_global)
DELETE FROM category_listings
WHERE sku = ANY ($1::text[]);

-- catalog.upsert (cellar_global)
INSERT INTO products (sku, title, description, brand, category, price_minor_units, currency, image_urls, attributes, weight_grams, popularity, version, updated_at)
SELECT p.sku, p.title, p.description, p.brand, p.category, p.price, p.currency,
  ARRAY (SELECT jsonb_array_elements_text(p.image_urls)), p.attributes, p.weight, p.popularity, 1, $12
FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::int8[], $7::text[], $8::jsonb[], $9::jsonb[], $10::int8[], $11::int4[])
  AS p (sku, title, description, brand, category, price, currency, image_urls, attributes, weight, popularity)
ON CONFLICT (sku) DO UPDATE
SET title = excluded.title, description = excluded.description, brand = excluded.brand, category = excluded.category,
  price_minor_units = excluded.price_minor_units, currency = excluded.currency, image_urls = excluded.image_urls,
  attributes = excluded.attributes, weight_grams = excluded.weight_grams, popularity = excluded.popularity,
  version = products.version + 1, updated_at = excluded.updated_at
RETURNING sku, version;

-- checkout.answer (cellar_customer)
UPDATE idempotency_keys
SET answer = $5, refusal = $6
WHERE region = $1 AND customer_id = $2 AND method = $3 AND key = $4;

-- checkout.few_live (cellar_customer)
SELECT 1 / (count(*) <= $5)::int
FROM idempotency_keys
WHERE region = $1 AND customer_id = $2 AND method = $3 AND answer IS NULL AND refusal IS NULL AND created_at > $4;

-- checkout.forget (cellar_customer)
DELETE FROM idempotency_keys
WHERE region = $1 AND customer_id = $2 AND method = $3 AND key = $4 AND expires_at <= $5;

-- checkout.free_quote (cellar_customer)
DELETE FROM idempotency_keys
WHERE region = $1 AND customer_id = $2 AND method = $3 AND key = $4 AND resource_id = $5;

-- checkout.live (cellar_customer)
SELECT count(*)
FROM idempotency_keys
WHERE region = $1 AND customer_id = $2 AND method = $3 AND answer IS NULL AND refusal IS NULL AND created_at > $4;

-- checkout.recall (cellar_customer)
SELECT fingerprint, resource_id, answer, refusal
FROM idempotency_keys
WHERE region = $1 AND customer_id = $2 AND method = $3 AND key = $4 AND expires_at > $5;

-- checkout.remember (cellar_customer)
INSERT INTO idempotency_keys (region, customer_id, method, key, fingerprint, resource_id, created_at, expires_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
ON CONFLICT (region, customer_id, method, key) DO NOTHING;

-- checkout.remember_new (cellar_customer)
INSERT INTO idempotency_keys (region, customer_id, method, key, fingerprint, resource_id, created_at, expires_at)
VALUES ($1, $2, $3, $4, $5, $6, $8, $9), ($1, $2, $7, $10, ''::bytea, $6, $8, $9);

-- checkout.sweep_keys (cellar_customer)
DELETE FROM idempotency_keys
WHERE region = $1 AND (customer_id, method, key) IN (
  SELECT customer_id, method, key
  FROM idempotency_keys
  WHERE region = $1 AND expires_at <= $2
  ORDER BY expires_at
  LIMIT $3
);

-- fence.assign_slots (cellar_customer)
INSERT INTO slots (region, slot, owner, epoch, changed_at)
SELECT $1::crdb_internal_region, s.slot, s.owner, s.epoch, $5
FROM unnest($2::int2[], $3::text[], $4::int8[]) AS s (slot, owner, epoch)
ON CONFLICT (region, slot) DO NOTHING;

-- fence.guard (cellar_customer)
SELECT 1 / count(*)
FROM (
  SELECT 1
  FROM slots
  WHERE region = $1 AND slot = $2 AND owner = $3
  
) AS s;

-- fence.list_slots (cellar_customer)
SELECT slot, owner, epoch
FROM slots
WHERE region = $1
ORDER BY slot;

-- fence.lock_slot (cellar_customer)
SELECT owner, epoch
FROM slots
WHERE region = $1 AND slot = $2;

-- fence.move_slots (cellar_customer)
UPDATE slots
SET owner = $3, epoch = epoch + 1, changed_at = $4
WHERE region = $1 AND owner = $2;

-- fence.read_slot (cellar_customer)
SELECT owner, epoch
FROM slots
WHERE region = $1 AND slot = $2;

-- fulfillment.list_centers (cellar_global)
SELECT fc_id, region, name, city, country_code, latitude, longitude, ordinal
FROM fulfillment_centers;

-- fulfillment.list_shipments (cellar_regional)
SELECT fc_id, order_id, shipment_id, customer_id, state, lines, tracking_number, shipped_at
FROM shipments
WHERE region = $1 AND order_id = $2
ORDER BY fc_id;

-- fulfillment.number_centers (cellar_global)
UPDATE fulfillment_centers AS c
SET ordinal = n.ordinal
FROM (
  SELECT fc_id, (SELECT coalesce(max(ordinal) + 1, 0) FROM fulfillment_centers) + row_number() OVER (ORDER BY fc_id) - 1 AS ordinal
  FROM fulfillment_centers
  WHERE ordinal IS NULL
) AS n
WHERE c.fc_id = n.fc_id;

-- fulfillment.request (cellar_regional)
INSERT INTO shipments (region, fc_id, order_id, shipment_id, customer_id, state, lines, tracking_number, requested_at, due_at)
VALUES ($1, $2, $3, $4, $5, 'REQUESTED', $6, '', $7, $8)
ON CONFLICT (region, fc_id, order_id) DO NOTHING;

-- fulfillment.shipped (cellar_regional)
UPDATE shipments
SET state = 'SHIPPED', tracking_number = $4, shipped_at = $5
WHERE region = $1 AND fc_id = $2 AND order_id = $3 AND state = 'REQUESTED';

-- fulfillment.take_due (cellar_regional)
UPDATE shipments AS s
SET due_at = $3
FROM (
  SELECT region, fc_id, order_id
  FROM shipments
  WHERE region = $1 AND state = 'REQUESTED' AND due_at <= $2
  ORDER BY due_at
  LIMIT $4
  FOR UPDATE SKIP LOCKED
) AS d
WHERE s.region = d.region AND s.fc_id = d.fc_id AND s.order_id = d.order_id
RETURNING s.fc_id, s.order_id, s.shipment_id, s.customer_id, s.lines, s.requested_at;

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

-- inventory.due_expiries (cellar_regional)
SELECT r.fc_id, r.sku
FROM unnest($2::text[]) AS f (fc_id)
INNER LOOKUP JOIN reservations AS r ON r.region = $1 AND r.fc_id = f.fc_id AND r.state = 'HELD' AND r.expires_at <= $3
LIMIT $4;

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
INSERT INTO stock_summaries (region, sku, source_region, fcs, units, version, changed_at)
SELECT $1::crdb_internal_region, s.sku, s.source_region, s.fcs, s.units, s.version, $7
FROM unnest($2::text[], $3::text[], $4::bytea[], $5::int8[], $6::int8[]) AS s (sku, source_region, fcs, units, version)
ON CONFLICT (region, sku, source_region) DO UPDATE
SET fcs = excluded.fcs, units = excluded.units, version = excluded.version, changed_at = excluded.changed_at
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
SELECT sku, source_region, fcs, units, version
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
SELECT one.sku, one.fcs, one.units, one.version
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
SELECT sku, fcs
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

-- inventory.summarize (cellar_regional)
SELECT fc_id, sku, available
FROM inventory
WHERE region = $1 AND sku = ANY ($2::text[]) AND available > 0;

-- inventory.update_reservations (cellar_regional)
INSERT INTO reservations (region, fc_id, order_id, line, sku, quantity, state, expires_at, changed_at)
SELECT $1::crdb_internal_region, r.fc_id, r.order_id, r.line, r.sku, r.quantity, r.state, r.expires_at, $9
FROM unnest($2::text[], $3::text[], $4::int4[], $5::text[], $6::int8[], $7::text[], $8::timestamptz[])
  AS r (fc_id, order_id, line, sku, quantity, state, expires_at)
ON CONFLICT (region, fc_id, order_id, line) DO UPDATE
SET state = excluded.state, expires_at = excluded.expires_at, changed_at = excluded.changed_at;

-- lease.drop (any)
DELETE FROM leases
WHERE region = $1 AND name = $2 AND holder = $3;

-- lease.take (any)
INSERT INTO leases (region, name, holder, until)
VALUES ($1, $2, $3, now() + $4::interval)
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

-- order.get (cellar_customer)
SELECT order_id, customer_id, status, currency, items_minor_units, shipping_minor_units, tax_minor_units, total_minor_units, ship_to, placed_at
FROM orders
WHERE region = $1 AND order_id = $2 AND customer_id = $3;

-- order.insert (cellar_customer)
INSERT INTO orders (region, order_id, customer_id, status, last_seq, currency, items_minor_units, shipping_minor_units, tax_minor_units, total_minor_units, ship_to, placed_at)
VALUES ($1, $2, $3, 'PENDING', 1, $4, $5, $6, $7, $8, $9, $10)
ON CONFLICT (region, order_id) DO NOTHING;

-- order.insert_event (cellar_customer)
INSERT INTO order_events (region, order_id, seq, kind, cause, at, detail)
VALUES ($1, $2, $3, $4, $5, $6, $7)
ON CONFLICT (region, order_id, cause) DO NOTHING;

-- order.insert_lines (cellar_customer)
INSERT INTO order_lines (region, order_id, line, sku, title, quantity, unit_price_minor_units)
SELECT $1::crdb_internal_region, $2, l.line, l.sku, l.title, l.quantity, l.price
FROM unnest($3::int4[], $4::text[], $5::text[], $6::int8[], $7::int8[]) AS l (line, sku, title, quantity, price)
WHERE NOT EXISTS (
  SELECT 1
  FROM order_events AS e
  WHERE e.region = $1 AND e.order_id = $2
);

-- order.list (cellar_customer)
SELECT order_id, customer_id, status, currency, items_minor_units, shipping_minor_units, tax_minor_units, total_minor_units, ship_to, placed_at
FROM orders
WHERE region = $1 AND customer_id = $2 AND (placed_at, order_id) < ($3, $4)
ORDER BY placed_at DESC, order_id DESC
LIMIT $5;

-- order.list_events (cellar_customer)
SELECT seq, kind, cause, at, detail
FROM order_events
WHERE region = $1 AND order_id = $2
ORDER BY seq;

-- order.list_lines (cellar_customer)
SELECT l.order_id, l.line, l.sku, l.title, l.quantity, l.unit_price_minor_units
FROM unnest($2::text[]) AS o (order_id)
JOIN order_lines AS l ON l.region = $1 AND l.order_id = o.order_id
ORDER BY l.order_id, l.line;

-- order.lock (cellar_customer)
SELECT order_id, customer_id, status, currency, items_minor_units, shipping_minor_units, tax_minor_units, total_minor_units, ship_to, placed_at
FROM orders
WHERE region = $1 AND order_id = $2 AND customer_id = $3
FOR UPDATE;

-- order.project (cellar_customer)
UPDATE orders
SET status = $3, last_seq = $4
WHERE region = $1 AND order_id = $2;

-- outbox.destinations (any)
SELECT DISTINCT destination
FROM outbox
WHERE region = $1 AND shard = $2 AND published_at IS NULL;

-- outbox.enqueue (any)
INSERT INTO outbox (region, shard, id, message_id, destination, subject, payload, created_at)
SELECT $1::crdb_internal_region, e.shard, e.id, e.message_id, e.destination, e.subject, e.payload, $8
FROM unnest($2::int2[], $3::int8[], $4::text[], $5::text[], $6::text[], $7::bytea[]) AS e (shard, id, message_id, destination, subject, payload);

-- outbox.forget (any)
DELETE FROM outbox
WHERE region = $1 AND shard = $2 AND (id, message_id) IN (
  SELECT id, message_id
  FROM outbox
  WHERE region = $1 AND shard = $2 AND published_at < $3
  ORDER BY published_at
  LIMIT $4
);

-- outbox.lag (any)
SELECT count(*), min(created_at)
FROM outbox
WHERE region = $1 AND shard = ANY ($2::int2[]) AND published_at IS NULL;

-- outbox.pending (any)
SELECT id, message_id, subject, payload
FROM outbox
WHERE region = $1 AND shard = $2 AND destination = $3 AND published_at IS NULL
ORDER BY id
LIMIT $4;

-- outbox.published_mark (any)
UPDATE outbox AS o
SET published_at = $5
FROM unnest($3::int8[], $4::text[]) AS p (id, message_id)
WHERE o.region = $1 AND o.shard = $2 AND o.id = p.id AND o.message_id = p.message_id;

-- outbox.waiting (any)
SELECT s.shard
FROM unnest($2::int2[]) AS s (shard)
WHERE EXISTS (
  SELECT 1
  FROM outbox AS o
  WHERE o.region = $1 AND o.shard = s.shard AND o.published_at IS NULL
);

-- payment.get (cellar_customer)
SELECT order_id, customer_id, state, amount_minor_units, currency, card_token, charge_id, decline_code, updated_at
FROM payments
WHERE region = $1 AND order_id = $2;

-- payment.insert (cellar_customer)
INSERT INTO payments (region, order_id, customer_id, state, amount_minor_units, currency, card_token, charge_id, decline_code, created_at, updated_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, '', '', $8, $8)
ON CONFLICT (region, order_id) DO NOTHING;

-- payment.lock (cellar_customer)
SELECT order_id, customer_id, state, amount_minor_units, currency, card_token, charge_id, decline_code, updated_at
FROM payments
WHERE region = $1 AND order_id = $2
FOR UPDATE;

-- payment.refunded (cellar_customer)
UPDATE payments
SET state = 'REFUNDED', charge_id = $3, updated_at = $4
WHERE region = $1 AND order_id = $2;

-- payment.settle (cellar_customer)
UPDATE payments
SET state = $3, charge_id = $4, decline_code = $5, updated_at = $6
WHERE region = $1 AND order_id = $2 AND state = 'PENDING';

-- payment.touch (cellar_customer)
UPDATE payments
SET updated_at = $3
WHERE region = $1 AND order_id = $2 AND state = 'PENDING';

-- saga.claim (cellar_customer)
UPDATE sagas AS s
SET holder = $3, due_at = $4, updated_at = $5, epoch = o.epoch
FROM (SELECT coalesce((SELECT epoch FROM slots WHERE region = $1 AND slot = $6), 0) AS epoch) AS o
WHERE s.region = $1 AND s.saga_id = $2 AND s.status IN ('RUNNING', 'UNDOING') AND (s.due_at <= $5 OR s.epoch < o.epoch)
RETURNING kind, customer_id, status, step, state, attempts, due_at, last_error, created_at;

-- saga.count_parked (cellar_customer)
SELECT kind, count(*)
FROM sagas
WHERE region = $1 AND slot = ANY ($2::int2[]) AND status = 'PARKED'
GROUP BY kind;

-- saga.decide (cellar_customer)
UPDATE sagas
SET status = $3, step = $4, state = $5, attempts = 0, due_at = $6, holder = '', parked_from = '', operator_note = operator_note || $7, updated_at = $8
WHERE region = $1 AND saga_id = $2;

-- saga.due (cellar_customer)
SELECT saga_id, customer_id
FROM sagas
WHERE region = $1 AND due_at <= $2 AND slot = ANY ($3::int2[]) AND kind = ANY ($5::text[]) AND status IN ('RUNNING', 'UNDOING')
ORDER BY due_at
LIMIT $4;

-- saga.get (cellar_customer)
SELECT kind, customer_id, status, step, state, attempts, due_at, last_error, created_at
FROM sagas
WHERE region = $1 AND saga_id = $2;

-- saga.held (cellar_customer)
SELECT 1 / count(*)
FROM (
  SELECT 1
  FROM sagas
  WHERE region = $1 AND saga_id = $2 AND holder = $3 AND status IN ('RUNNING', 'UNDOING')
  FOR UPDATE
) AS s;

-- saga.insert (cellar_customer)
INSERT INTO sagas (region, saga_id, kind, customer_id, slot, status, step, state, attempts, due_at, holder, last_error, created_at, updated_at, epoch)
VALUES ($1, $2, $3, $4, $5, 'RUNNING', $6, $7, 0, $8, $9, '', $10, $10, coalesce((SELECT epoch FROM slots WHERE region = $1 AND slot = $5), 0));

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
UPDATE sagas
SET status = $4, step = $5, state = $6, attempts = $7, due_at = $8, last_error = $9, updated_at = $10
WHERE region = $1 AND saga_id = $2 AND holder = $3 AND status IN ('RUNNING', 'UNDOING');

-- saga.stale (cellar_customer)
SELECT s.saga_id, s.customer_id
FROM sagas AS s
JOIN slots AS o ON o.region = s.region AND o.slot = s.slot
WHERE s.region = $1 AND s.due_at > $2 AND s.slot = ANY ($3::int2[]) AND s.kind = ANY ($5::text[]) AND s.status IN ('RUNNING', 'UNDOING') AND s.epoch < o.epoch
ORDER BY s.due_at
LIMIT $4;
