package fulfillment

import (
	"context"
	"time"

	"google.golang.org/protobuf/proto"

	orderv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/order/v1"
	"github.com/cellar-commerce/cellar/internal/ident"
	"github.com/cellar-commerce/cellar/internal/sqldb"
)

var (
	stmtListCenters = sqldb.Define(sqldb.Global, "fulfillment.list_centers", `
SELECT fc_id, region, name, city, country_code, latitude, longitude, ordinal
FROM fulfillment_centers`)

	// Ordinals follow the highest there is, in the order of ids. Two openings at once would draw the same: then the unique
	// index refuses the later one, which is done again.
	stmtNumberCenters = sqldb.Define(sqldb.Global, "fulfillment.number_centers", `
UPDATE fulfillment_centers AS c
SET ordinal = n.ordinal
FROM (
  SELECT fc_id, (SELECT coalesce(max(ordinal) + 1, 0) FROM fulfillment_centers) + row_number() OVER (ORDER BY fc_id) - 1 AS ordinal
  FROM fulfillment_centers
  WHERE ordinal IS NULL
) AS n
WHERE c.fc_id = n.fc_id`)

	stmtUpsertCenters = sqldb.Define(sqldb.Global, "fulfillment.upsert_centers", `
INSERT INTO fulfillment_centers (fc_id, region, name, city, country_code, latitude, longitude)
SELECT c.fc_id, c.region, c.name, c.city, c.country_code, c.latitude, c.longitude
FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::float8[], $7::float8[])
  AS c (fc_id, region, name, city, country_code, latitude, longitude)
ON CONFLICT (fc_id) DO UPDATE
SET name = excluded.name, city = excluded.city, country_code = excluded.country_code, latitude = excluded.latitude, longitude = excluded.longitude
WHERE fulfillment_centers.region = excluded.region`)

	stmtRequest = sqldb.Define(sqldb.Regional, "fulfillment.request", `
INSERT INTO shipments (region, fc_id, order_id, shipment_id, customer_id, state, lines, tracking_number, requested_at, due_at)
SELECT $1::crdb_internal_region, n.fc_id, n.order_id, n.shipment_id, n.customer_id, 'REQUESTED', n.lines, '', $7, $8
FROM unnest($2::text[], $3::text[], $4::text[], $5::text[], $6::bytea[]) AS n (fc_id, order_id, shipment_id, customer_id, lines)
ON CONFLICT (region, fc_id, order_id) DO NOTHING`)

	// What is packed is sent: from here on a cancellation comes too late. A shipment that is taken again, because whoever
	// packed it has not sent it in time, is packed already.
	stmtPack = sqldb.Define(sqldb.Regional, "fulfillment.pack", `
UPDATE shipments AS s
SET state = 'PACKED', due_at = $3
FROM (
  SELECT region, fc_id, order_id
  FROM shipments
  WHERE region = $1 AND state IN ('REQUESTED', 'PACKED') AND due_at <= $2
  ORDER BY due_at
  LIMIT $4
  FOR UPDATE SKIP LOCKED
) AS d
WHERE s.region = d.region AND s.fc_id = d.fc_id AND s.order_id = d.order_id AND s.state IN ('REQUESTED', 'PACKED')
RETURNING s.fc_id, s.order_id, s.shipment_id, s.customer_id, s.lines, s.requested_at`)

	// Gives those that were still to be sent: another cell may have been first with some.
	stmtShipped = sqldb.Define(sqldb.Regional, "fulfillment.shipped", `
UPDATE shipments AS s
SET state = 'SHIPPED', tracking_number = d.tracking_number, shipped_at = $5
FROM unnest($2::text[], $3::text[], $4::text[]) AS d (fc_id, order_id, tracking_number)
WHERE s.region = $1 AND s.fc_id = d.fc_id AND s.order_id = d.order_id AND s.state = 'PACKED'
RETURNING s.fc_id, s.order_id`)

	// The arbiter between a cancellation and the packing of the same parcel: whoever changes the row first. Where there is
	// no row yet, one is made that keeps the request from becoming a shipment.
	stmtCancel = sqldb.Define(sqldb.Regional, "fulfillment.cancel", `
INSERT INTO shipments (region, fc_id, order_id, shipment_id, customer_id, state, lines, tracking_number, requested_at, due_at)
VALUES ($1, $2, $3, $4, '', 'CANCELED', '', '', $5, $5)
ON CONFLICT (region, fc_id, order_id) DO UPDATE
SET state = 'CANCELED'
WHERE shipments.state = 'REQUESTED'`)

	stmtState = sqldb.Define(sqldb.Regional, "fulfillment.state", `
SELECT state
FROM shipments
WHERE region = $1 AND fc_id = $2 AND order_id = $3`)

	stmtListShipments = sqldb.Define(sqldb.Regional, "fulfillment.list_shipments", `
SELECT fc_id, order_id, shipment_id, customer_id, state, lines, tracking_number, shipped_at
FROM shipments
WHERE region = $1 AND order_id = $2
ORDER BY fc_id`)
)

// shipment as stored.
type shipment struct {
	fc, order, id, customer string
	state                   string
	request                 *orderv1.FulfillmentRequested
	tracking                string
	requestedAt             time.Time
	shippedAt               *time.Time
}

func (s *Service) readCenters(ctx context.Context) ([]Center, error) {
	return sqldb.Collect(ctx, s.deps.Global, stmtListCenters, func(r sqldb.Row) (Center, error) {
		var c Center
		err := r.Scan(&c.ID, &c.Region, &c.Name, &c.City, &c.CountryCode, &c.At.Lat, &c.At.Lon, &c.Ordinal)
		return c, err
	})
}

// OpenCenters makes fulfilment centres, or corrects what is said about them. The region of one that exists never changes:
// its rows are homed there.
func (s *Service) OpenCenters(ctx context.Context, centers []Center) error {
	n := len(centers)
	ids, regions, names, cities, countries := make([]string, n), make([]string, n), make([]string, n), make([]string, n), make([]string, n)
	lats, lons := make([]float64, n), make([]float64, n)
	for i, c := range centers {
		ids[i], regions[i], names[i], cities[i], countries[i], lats[i], lons[i] = c.ID, c.Region, c.Name, c.City, c.CountryCode, c.At.Lat, c.At.Lon
	}
	if _, err := s.deps.Global.Exec(ctx, stmtUpsertCenters, ids, regions, names, cities, countries, lats, lons); err != nil {
		return err
	}
	_, err := s.deps.Global.Exec(ctx, stmtNumberCenters)
	return err
}

// queueShipments of requests that came at the same time. An FC has one for an order, whatever arrives.
func queueShipments(b *sqldb.Batch, region ident.Region, all []shipment, dueAt time.Time) error {
	n := len(all)
	fcs, orders, ids, customers, lines := make([]string, n), make([]string, n), make([]string, n), make([]string, n), make([][]byte, n)
	for i, sh := range all {
		var err error
		if lines[i], err = proto.Marshal(sh.request); err != nil {
			return err
		}
		fcs[i], orders[i], ids[i], customers[i] = sh.fc, sh.order, sh.id, sh.customer
	}
	b.Queue(stmtRequest, nil, string(region), fcs, orders, ids, customers, lines, all[0].requestedAt, dueAt)
	return nil
}

// pack the shipments that are to be sent now: until retryAt nobody else takes them.
func (s *Service) pack(ctx context.Context, now, retryAt time.Time, limit int) ([]shipment, error) {
	return sqldb.Collect(ctx, s.deps.Regional, stmtPack, func(r sqldb.Row) (shipment, error) {
		sh := shipment{request: &orderv1.FulfillmentRequested{}}
		var lines []byte
		if err := r.Scan(&sh.fc, &sh.order, &sh.id, &sh.customer, &lines, &sh.requestedAt); err != nil {
			return sh, err
		}
		return sh, proto.Unmarshal(lines, sh.request)
	}, string(s.deps.Region), now, retryAt, limit)
}

// parcelKey is one FC's part of one order: the key of a shipment in its region.
type parcelKey struct{ fc, order string }

// markShipped those shipments that are packed, and tells which they were.
func markShipped(ctx context.Context, tx sqldb.Tx, region ident.Region, all []shipment, at time.Time) (map[parcelKey]bool, error) {
	fcs, orders, numbers := make([]string, len(all)), make([]string, len(all)), make([]string, len(all))
	for i, sh := range all {
		fcs[i], orders[i], numbers[i] = sh.fc, sh.order, sh.tracking
	}
	keys, err := sqldb.Collect(ctx, tx, stmtShipped, func(r sqldb.Row) (k parcelKey, err error) {
		err = r.Scan(&k.fc, &k.order)
		return k, err
	}, string(region), fcs, orders, numbers, at)
	marked := make(map[parcelKey]bool, len(keys))
	for _, k := range keys {
		marked[k] = true
	}
	return marked, err
}

// cancelShipment unless it is packed, and give the state it is in then.
func (s *Service) cancelShipment(ctx context.Context, fc string, order ident.OrderID) (state string, err error) {
	now, region := s.deps.Clock.Now(), string(s.deps.Region)
	err = s.deps.Regional.InTx(ctx, func(tx sqldb.Tx) error {
		var b sqldb.Batch
		b.Queue(stmtCancel, nil, region, fc, string(order), ident.NewToken(), now)
		b.QueueRead(stmtState, sqldb.Each(func(r sqldb.Row) error { return r.Scan(&state) }), region, fc, string(order))
		return tx.SendLast(ctx, &b)
	})
	return state, err
}

func (s *Service) readShipments(ctx context.Context, order ident.OrderID) ([]shipment, error) {
	return sqldb.Collect(ctx, s.deps.Regional, stmtListShipments, func(r sqldb.Row) (shipment, error) {
		sh := shipment{request: &orderv1.FulfillmentRequested{}}
		var lines []byte
		if err := r.Scan(&sh.fc, &sh.order, &sh.id, &sh.customer, &sh.state, &lines, &sh.tracking, &sh.shippedAt); err != nil {
			return sh, err
		}
		return sh, proto.Unmarshal(lines, sh.request)
	}, string(s.deps.Region), string(order))
}
