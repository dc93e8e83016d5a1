package fulfillment

import (
	"context"
	"errors"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	fulfillmentv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/fulfillment/v1"
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
INSERT INTO shipments (region, fc_id, order_id, shipment_id, customer_id, state, lines, tracking_number, requested_at, due_at, booking, ship_by)
SELECT $1::crdb_internal_region, n.fc_id, n.order_id, n.shipment_id, n.customer_id, 'REQUESTED', n.lines, '', $7, n.due_at, n.booking, n.ship_by
FROM unnest($2::text[], $3::text[], $4::text[], $5::text[], $6::bytea[], $8::timestamptz[], $9::bytea[], $10::timestamptz[])
  AS n (fc_id, order_id, shipment_id, customer_id, lines, due_at, booking, ship_by)
ON CONFLICT (region, fc_id, order_id) DO NOTHING`)

	// Those that leave with the next collection are packed first, one FC after the other: a batch takes each wave in one go, as
	// far as it reaches. Waves whose collection is after $5 are not open yet.
	//
	// What is packed is sent: from here on a cancellation comes too late. A shipment that is taken again, because whoever
	// packed it has not sent it in time, is packed already; each time it is left alone twice as long, up to eight times.
	stmtPack = sqldb.Define(sqldb.Regional, "fulfillment.pack", `
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
RETURNING s.fc_id, s.order_id, s.shipment_id, s.customer_id, s.lines, s.booking, s.short_picks`)

	// Gives those that were still to be sent: another cell may have been first with some.
	stmtShipped = sqldb.Define(sqldb.Regional, "fulfillment.shipped", `
UPDATE shipments AS s
SET state = 'SHIPPED', tracking_number = d.tracking_number, shipped_at = $5, carrier = $6, track_at = $7
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
SELECT fc_id, order_id, shipment_id, customer_id, state, lines, tracking_number, shipped_at, carrier, scanned, short_picks, ship_by
FROM shipments
WHERE region = $1 AND order_id = $2
ORDER BY fc_id`)

	// Whoever records scans of a shipment waits for whoever else does.
	stmtLockShipment = sqldb.Define(sqldb.Regional, "fulfillment.lock_shipment", `
SELECT shipment_id, customer_id, state, tracking_number, shipped_at, carrier, scanned, way, track_at
FROM shipments
WHERE region = $1 AND fc_id = $2 AND order_id = $3
FOR UPDATE`)

	stmtInsertScans = sqldb.Define(sqldb.Regional, "fulfillment.insert_scans", `
INSERT INTO shipment_scans (region, fc_id, order_id, seq, state, at, place, note)
SELECT $1::crdb_internal_region, $2, $3, n.seq, n.state, n.at, n.place, n.note
FROM unnest($4::int8[], $5::text[], $6::timestamptz[], $7::text[], $8::text[]) AS n (seq, state, at, place, note)
ON CONFLICT (region, fc_id, order_id, seq) DO NOTHING`)

	stmtListScans = sqldb.Define(sqldb.Regional, "fulfillment.list_scans", `
SELECT c.fc_id, c.seq, c.state, c.at, c.place, c.note
FROM unnest($3::text[]) AS f (fc_id)
JOIN shipment_scans AS c ON c.region = $1 AND c.fc_id = f.fc_id AND c.order_id = $2
ORDER BY c.fc_id, c.seq`)

	stmtAdvance = sqldb.Define(sqldb.Regional, "fulfillment.advance", `
UPDATE shipments
SET scanned = $4, way = $5, track_at = $6
WHERE region = $1 AND fc_id = $2 AND order_id = $3`)

	// Parcels that nothing was heard of: until $3 nobody else asks after them.
	stmtTrack = sqldb.Define(sqldb.Regional, "fulfillment.track", `
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
RETURNING s.fc_id, s.order_id, s.shipment_id, s.tracking_number`)

	stmtLockPicked = sqldb.Define(sqldb.Regional, "fulfillment.lock_picked", `
SELECT shipment_id, customer_id, state, lines, short_picks
FROM shipments
WHERE region = $1 AND fc_id = $2 AND order_id = $3
FOR UPDATE`)

	stmtMissed = sqldb.Define(sqldb.Regional, "fulfillment.missed", `
UPDATE shipments
SET state = 'SHORT', lines = $4, short_picks = $5, due_at = $6
WHERE region = $1 AND fc_id = $2 AND order_id = $3`)

	// Until $3 nobody else corrects the books by them.
	stmtTakeShort = sqldb.Define(sqldb.Regional, "fulfillment.take_short", `
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
RETURNING s.fc_id, s.order_id, s.shipment_id, s.customer_id, s.lines, s.short_picks`)

	stmtCorrected = sqldb.Define(sqldb.Regional, "fulfillment.corrected", `
UPDATE shipments
SET state = $4, due_at = $5
WHERE region = $1 AND fc_id = $2 AND order_id = $3 AND state = 'SHORT'
RETURNING fc_id`)

	stmtListPicked = sqldb.Define(sqldb.Regional, "fulfillment.list_picked", `
SELECT fc_id, order_id, shipment_id, lines
FROM shipments
WHERE region = $1 AND state = 'REQUESTED' AND ship_by <= $4 AND due_at <= $2
ORDER BY ship_by, fc_id, due_at
LIMIT $3`)

	stmtErase = sqldb.Define(sqldb.Regional, "fulfillment.erase", `
UPDATE shipments
SET lines = $4, booking = ''
WHERE region = $1 AND fc_id = $2 AND order_id = $3`)

	stmtListWaves = sqldb.Define(sqldb.Regional, "fulfillment.list_waves", `
SELECT fc_id, ship_by, min(due_at), sum(CASE state WHEN 'REQUESTED' THEN 1 ELSE 0 END)::int8, sum(CASE state WHEN 'SHORT' THEN 1 ELSE 0 END)::int8,
  sum(CASE state WHEN 'PACKED' THEN 1 ELSE 0 END)::int8
FROM shipments
WHERE region = $1 AND state IN ('REQUESTED', 'SHORT', 'PACKED') AND ($2 = '' OR fc_id = $2)
GROUP BY ship_by, fc_id
ORDER BY ship_by, fc_id
LIMIT $3`)
)

// shipment as stored.
type shipment struct {
	fc, order, id, customer string
	state                   string
	request                 *orderv1.FulfillmentRequested
	booking                 *fulfillmentv1.Booking
	carrier, tracking       string
	requestedAt             time.Time
	shippedAt               *time.Time
	// scanned is how many scans the order was told, way the state of the last; trackAt when the carrier is asked next.
	scanned int64
	way     string
	trackAt *time.Time
	// shipBy is the collection of its wave, and dueAt when it is picked.
	shipBy, dueAt time.Time
	// short is what was not found of it.
	short *fulfillmentv1.ShortPicks
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
func queueShipments(b *sqldb.Batch, region ident.Region, all []shipment) error {
	n := len(all)
	fcs, orders, ids, customers, lines, bookings := make([]string, n), make([]string, n), make([]string, n), make([]string, n), make([][]byte, n), make([][]byte, n)
	dues, shipBys := make([]time.Time, n), make([]time.Time, n)
	for i, sh := range all {
		dues[i], shipBys[i] = sh.dueAt, sh.shipBy
		var err error
		if lines[i], err = proto.Marshal(sh.request); err != nil {
			return err
		}
		if bookings[i], err = proto.Marshal(sh.booking); err != nil {
			return err
		}
		fcs[i], orders[i], ids[i], customers[i] = sh.fc, sh.order, sh.id, sh.customer
	}
	b.Queue(stmtRequest, nil, string(region), fcs, orders, ids, customers, lines, all[0].requestedAt, dues, bookings, shipBys)
	return nil
}

// pack the shipments that are to be sent now: nobody else takes them for retry, which doubles with each time.
func (s *Service) pack(ctx context.Context, now time.Time, retry time.Duration, limit int) ([]shipment, error) {
	return sqldb.Collect(ctx, s.deps.Regional, stmtPack, func(r sqldb.Row) (shipment, error) {
		sh := shipment{request: &orderv1.FulfillmentRequested{}, booking: &fulfillmentv1.Booking{}, short: &fulfillmentv1.ShortPicks{}}
		var lines, booking, short []byte
		if err := r.Scan(&sh.fc, &sh.order, &sh.id, &sh.customer, &lines, &booking, &short); err != nil {
			return sh, err
		}
		return sh, errors.Join(proto.Unmarshal(lines, sh.request), proto.Unmarshal(booking, sh.booking), proto.Unmarshal(short, sh.short))
	}, string(s.deps.Region), now, retry.Microseconds(), limit, openUntil(now))
}

// parcelKey is one FC's part of one order: the key of a shipment in its region.
type parcelKey struct{ fc, order string }

// markShipped those shipments that are packed, and tells which they were. Their carrier is asked after them at trackAt.
func markShipped(ctx context.Context, tx sqldb.Tx, region ident.Region, all []shipment, at time.Time, trackAt *time.Time) (map[parcelKey]bool, error) {
	fcs, orders, numbers := make([]string, len(all)), make([]string, len(all)), make([]string, len(all))
	for i, sh := range all {
		fcs[i], orders[i], numbers[i] = sh.fc, sh.order, sh.tracking
	}
	keys, err := sqldb.Collect(ctx, tx, stmtShipped, func(r sqldb.Row) (k parcelKey, err error) {
		err = r.Scan(&k.fc, &k.order)
		return k, err
	}, string(region), fcs, orders, numbers, at, all[0].carrier, trackAt)
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

// readShipments of an order, with the scans that the order was told.
func (s *Service) readShipments(ctx context.Context, order ident.OrderID) ([]shipment, map[string][]*orderv1.Scan, error) {
	all, err := sqldb.Collect(ctx, s.deps.Regional, stmtListShipments, func(r sqldb.Row) (shipment, error) {
		sh := shipment{request: &orderv1.FulfillmentRequested{}, short: &fulfillmentv1.ShortPicks{}}
		var lines, short []byte
		if err := r.Scan(&sh.fc, &sh.order, &sh.id, &sh.customer, &sh.state, &lines, &sh.tracking, &sh.shippedAt, &sh.carrier, &sh.scanned, &short, &sh.shipBy); err != nil {
			return sh, err
		}
		return sh, errors.Join(proto.Unmarshal(lines, sh.request), proto.Unmarshal(short, sh.short))
	}, string(s.deps.Region), string(order))
	if err != nil || len(all) == 0 {
		return nil, nil, err
	}
	told, fcs := map[string]int64{}, make([]string, len(all))
	for i, sh := range all {
		fcs[i], told[sh.fc] = sh.fc, sh.scanned
	}
	rows, err := sqldb.Collect(ctx, s.deps.Regional, stmtListScans, scanScan, string(s.deps.Region), string(order), fcs)
	scans := map[string][]*orderv1.Scan{}
	for _, row := range rows {
		if int64(row.scan.GetSeq()) <= told[row.fc] {
			scans[row.fc] = append(scans[row.fc], row.scan)
		}
	}
	return all, scans, err
}

// scanRow is a scan of a shipment of an FC.
type scanRow struct {
	fc   string
	scan *orderv1.Scan
}

func scanScan(r sqldb.Row) (scanRow, error) {
	row := scanRow{scan: &orderv1.Scan{}}
	var state string
	var at time.Time
	err := r.Scan(&row.fc, &row.scan.Seq, &state, &at, &row.scan.Place, &row.scan.Note)
	row.scan.State, row.scan.At = wayState(state), timestamppb.New(at)
	return row, err
}

// lockScanned reads a shipment so that nobody else records scans of it before the transaction ends, adds scans to it, and
// reads all that it has then. The shipment has no id when there is none.
func lockScanned(ctx context.Context, tx sqldb.Tx, region ident.Region, key parcelKey, fresh []*orderv1.Scan) (sh shipment, scans []*orderv1.Scan, err error) {
	n := len(fresh)
	seqs, states, at, places, notes := make([]int64, n), make([]string, n), make([]time.Time, n), make([]string, n), make([]string, n)
	for i, scan := range fresh {
		seqs[i], states[i], at[i] = int64(scan.GetSeq()), wayName(scan.GetState()), scan.GetAt().AsTime()
		places[i], notes[i] = scan.GetPlace(), scan.GetNote()
	}
	var b sqldb.Batch
	b.QueueRead(stmtLockShipment, sqldb.Each(func(r sqldb.Row) error {
		sh.fc, sh.order = key.fc, key.order
		return r.Scan(&sh.id, &sh.customer, &sh.state, &sh.tracking, &sh.shippedAt, &sh.carrier, &sh.scanned, &sh.way, &sh.trackAt)
	}), string(region), key.fc, key.order)
	b.Queue(stmtInsertScans, nil, string(region), key.fc, key.order, seqs, states, at, places, notes)
	b.QueueRead(stmtListScans, sqldb.Each(func(r sqldb.Row) error {
		row, err := scanScan(r)
		scans = append(scans, row.scan)
		return err
	}), string(region), key.order, []string{key.fc})
	err = tx.Send(ctx, &b)
	return sh, scans, err
}

// queueAdvance stores how far a shipment is.
func queueAdvance(b *sqldb.Batch, region ident.Region, sh shipment) {
	b.Queue(stmtAdvance, nil, string(region), sh.fc, sh.order, sh.scanned, sh.way, sh.trackAt)
}

// takeTracked gives shipments whose carrier is to be asked after them; until retryAt nobody else does.
func (s *Service) takeTracked(ctx context.Context, now, retryAt time.Time, limit int) ([]shipment, error) {
	return sqldb.Collect(ctx, s.deps.Regional, stmtTrack, func(r sqldb.Row) (sh shipment, err error) {
		err = r.Scan(&sh.fc, &sh.order, &sh.id, &sh.tracking)
		return sh, err
	}, string(s.deps.Region), now, retryAt, limit)
}
