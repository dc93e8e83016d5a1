package evacuation

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/cellar-commerce/cellar/cells/topology"
	"github.com/cellar-commerce/cellar/internal/clock"
	"github.com/cellar-commerce/cellar/internal/fence"
	problemv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/problem/v1"
	"github.com/cellar-commerce/cellar/internal/ident"
	"github.com/cellar-commerce/cellar/internal/problem"
	"github.com/cellar-commerce/cellar/internal/saga"
	"github.com/cellar-commerce/cellar/internal/sqldb"
	"github.com/cellar-commerce/cellar/internal/sqldb/sqldbtest"
)

// slotsOfWorld that have rows, and customers.
const slotsOfWorld = 384

var (
	// An effect happens once a key, and says which cell wrote it, under which epoch.
	stmtEffect = sqldb.Define(sqldb.Customer, "evacuation_test.effect", `
WITH fresh AS (
  INSERT INTO seen (key)
  SELECT n.key
  FROM unnest($2::text[]) AS n (key)
  ON CONFLICT DO NOTHING
  RETURNING key
)
INSERT INTO effects (key, cell, slot, epoch)
SELECT n.key, n.cell, n.slot, s.epoch
FROM unnest($2::text[], $3::text[], $4::int2[]) AS n (key, cell, slot)
JOIN fresh AS f ON f.key = n.key
JOIN slots AS s ON s.region = $1 AND s.slot = n.slot`)
	// The end of a saga is noted as often as it happens.
	stmtEnd = sqldb.Define(sqldb.Customer, "evacuation_test.end", `
INSERT INTO ends (key)
SELECT n.key
FROM unnest($2::text[]) AS n (key)
WHERE $1 <> ''`)
	stmtEffects = sqldb.Define(sqldb.Customer, "evacuation_test.effects", `SELECT key, count(*) FROM effects GROUP BY key`)
	stmtEnds    = sqldb.Define(sqldb.Customer, "evacuation_test.ends", `SELECT key, count(*) FROM ends GROUP BY key`)
	stmtTwo     = sqldb.Define(sqldb.Customer, "evacuation_test.two", `SELECT slot, epoch FROM effects GROUP BY slot, epoch HAVING count(DISTINCT cell) > 1`)
	stmtLive    = sqldb.Define(sqldb.Customer, "evacuation_test.live", `SELECT count(*) FROM sagas WHERE region = $1 AND status <> 'DONE'`)
)

// effect of a write.
type effect struct {
	key, cell string
	slot      ident.Slot
}

var (
	opEffect = fence.NewOp("evacuation_test.effect", queueEffects)
	opEnd    = fence.NewOp("evacuation_test.end", func(b *sqldb.Batch, ring ident.Region, keys []string) { b.Queue(stmtEnd, nil, string(ring), keys) })
)

func queueEffects(b *sqldb.Batch, ring ident.Region, rows []effect) {
	keys, cells, slots := make([]string, len(rows)), make([]string, len(rows)), make([]int16, len(rows))
	for i, r := range rows {
		keys[i], cells[i], slots[i] = r.key, r.cell, int16(r.slot)
	}
	b.Queue(stmtEffect, nil, string(ring), keys, cells, slots)
}

// simCell is a cell of which there is only what writes: its own sessions, its own map, its fence and its sagas.
type simCell struct {
	id     string
	db     *sqldb.DB
	maps   topology.Holder
	fence  *fence.SlotFence
	engine *saga.Engine
}

// world is some cells of one region, their customers, and the databases.
type world struct {
	t                          *testing.T
	globalURL, customersURL    string
	global, customers          *sqldb.DB
	fleet                      *fleet
	cells                      map[string]*simCell
	names                      []string
	moves                      *Moves  // whose commands operators give; it drives nothing
	driven                     *driven // what leaders use
	background                 context.Context
	running                    sync.WaitGroup
	acknowledged, crashes, all int
}

func newWorld(t *testing.T, connections int) *world {
	t.Helper()
	w := &world{t: t, cells: map[string]*simCell{}, names: []string{"use1-a", "use1-b", "use1-c"}}
	w.global, w.globalURL = sqldbtest.NewWithURL(t, sqldb.Global)
	w.customers, w.customersURL = sqldbtest.NewWithURL(t, sqldb.Customer)
	for _, text := range []string{
		"CREATE TABLE seen (key text PRIMARY KEY)", "CREATE TABLE effects (key text NOT NULL, cell text NOT NULL, slot int2 NOT NULL, epoch int8 NOT NULL)",
		"CREATE TABLE ends (key text NOT NULL)",
	} {
		if err := w.customers.ExecText(t.Context(), text); err != nil {
			t.Fatal(err)
		}
	}
	spare := cellOf("use1-z", east)
	spare.State = topology.Quarantined
	w.fleet = newFleetOf(t, w.global, w.customers, slotsOfWorld, cellOf("use1-a", east), cellOf("use1-b", east), cellOf("use1-c", east), spare)
	w.moves = New(w.deps(w.global, w.customers))
	ctx, stop := context.WithCancel(context.Background())
	w.background = ctx
	for _, id := range w.names {
		w.cells[id] = w.newCell(id, connections)
	}
	w.fleet.offer = w.deliver
	t.Cleanup(func() {
		stop()
		w.running.Wait()
	})
	return w
}

func (w *world) deps(global, customers *sqldb.DB) Deps {
	return Deps{Global: global, Customers: customers, Fleet: w.fleet, Clock: clock.System{}, Log: slog.New(slog.DiscardHandler)}
}

// deliver a map to the cells: some have it late.
func (w *world) deliver(m *topology.Map) {
	for _, c := range w.cells {
		late := time.Duration(0)
		if rand.IntN(3) == 0 {
			late = rand.N(60 * time.Millisecond)
		}
		w.running.Go(func() {
			if (clock.System{}).Sleep(w.background, late) == nil {
				c.maps.Offer(m)
			}
		})
	}
}

func (w *world) newCell(id string, connections int) *simCell {
	w.t.Helper()
	c := &simCell{id: id}
	c.db = sqldbtest.Reopen(w.t, sqldb.Customer, w.customersURL, sqldbtest.WithMaxConns(connections), func(cfg *sqldb.Config) {
		cfg.ApplicationName, cfg.PointPlans = fence.ApplicationName(id), true
	})
	c.maps.Offer(w.fleet.Map())
	var err error
	if c.fence, err = fence.New(fence.Deps{DB: c.db, Cell: id, Region: east, Owners: &c.maps, Overridden: c.maps.Overridden}); err != nil {
		w.t.Fatal(err)
	}
	c.engine = saga.New(saga.Deps{
		DB: c.db, Fence: c.fence, Clock: clock.System{}, Log: slog.New(slog.DiscardHandler), Cell: id, Definitions: []*saga.Definition{c.trip()},
		Rings: func() ([]ident.Region, uint64) {
			m := c.maps.Load()
			return m.RingsOf(id), m.Version
		},
	})
	c.maps.Subscribe(func(*topology.Map) { c.engine.Nudge() })
	w.running.Go(func() { c.engine.SweepEvery(w.background, 250*time.Millisecond) })
	return c
}

// trip is a saga of three steps, each of which takes a while and leaves an effect.
func (c *simCell) trip() *saga.Definition {
	d := &saga.Definition{Kind: "trip", NewState: func() proto.Message { return &wrapperspb.StringValue{} }, Refused: func(proto.Message, error) {}}
	for _, name := range []string{"one", "two", "three"} {
		step := saga.Step{Name: name, Forward: true, Do: func(ctx context.Context, state proto.Message) error {
			key := keyOf(state)
			if err := (clock.System{}).Sleep(ctx, rand.N(8*time.Millisecond)); err != nil {
				return err
			}
			return c.write(ctx, customerOf(key), key+"/"+name, joins)
		}}
		if name == "three" {
			step.With = func(state proto.Message) ([]fence.Part, error) { return []fence.Part{opEnd.Part(keyOf(state))}, nil }
		}
		d.Steps = append(d.Steps, step)
	}
	return d
}

func keyOf(state proto.Message) string { return state.(*wrapperspb.StringValue).GetValue() } //nolint:forcetypeassert // NewState makes nothing else

// keys begin with the customer's id.
func customerOf(key string) ident.CustomerID {
	return ident.CustomerID(key[:len("c-use1-000000000000000000000000")])
}

// way to write through the fence.
type way int

const (
	inTx way = iota
	sends
	joins
	begins // a saga, too
)

// write an effect, once.
func (c *simCell) write(ctx context.Context, id ident.CustomerID, key string, how way) error {
	row := effect{key, c.id, id.Slot()}
	switch how {
	case sends:
		var b sqldb.Batch
		queueEffects(&b, east, []effect{row})
		return c.fence.Send(ctx, id, &b)
	case joins:
		return c.fence.Join(ctx, id, opEffect.Part(row))
	case begins:
		return c.begin(ctx, id, row)
	default:
		return c.fence.InSlotTx(ctx, id, func(tx sqldb.Tx) error {
			_, err := tx.Exec(ctx, stmtEffect, string(east), []string{key}, []string{c.id}, []int16{int16(id.Slot())})
			return err
		})
	}
}

func (c *simCell) begin(ctx context.Context, id ident.CustomerID, row effect) error {
	var ticket saga.Ticket
	var begun bool
	err := c.fence.InSlotTx(ctx, id, func(tx sqldb.Tx) error {
		n, err := tx.Exec(ctx, stmtEffect, string(east), []string{row.key}, []string{c.id}, []int16{int16(row.slot)})
		if begun = n == 1; err != nil || !begun {
			return err
		}
		ticket, err = c.engine.Begin(ctx, tx, "trip", saga.Begun{ID: row.key, CustomerID: id, State: wrapperspb.String(row.key)})
		return err
	})
	if err == nil && begun {
		_, _, _ = c.engine.Run(ctx, ticket) // whoever owns the slot goes on with it
	}
	return err
}

// shopper of one customer: it sends one write after the other, each until it is acknowledged.
type shopper struct {
	w        *world
	id       ident.CustomerID
	r        *rand.Rand
	at       string // cell that it asks
	acked    []string
	sagas    []string
	failures []error
}

func (w *world) newShopper(seed uint64) *shopper {
	s := &shopper{w: w, r: rand.New(rand.NewPCG(seed, 7))}
	for s.id = ident.NewCustomer("use1"); s.id.Slot() >= slotsOfWorld; {
		s.id = ident.NewCustomer("use1")
	}
	s.at = w.names[s.r.IntN(len(w.names))] // its map is very old
	return s
}

// patience of a shopper with one write: far more than any move takes.
const patience = time.Minute

// shop until ctx ends; what has begun is finished.
func (s *shopper) shop(ctx context.Context) {
	for n := 0; ctx.Err() == nil; n++ {
		key := fmt.Sprintf("%s/%d", s.id, n)
		how := way(s.r.IntN(4))
		asking, cancel := context.WithTimeout(s.w.background, patience)
		err := s.ask(asking, key, how)
		cancel()
		if err != nil {
			s.failures = append(s.failures, fmt.Errorf("%s: %w", key, err))
			return
		}
		s.acked = append(s.acked, key)
		if how == begins {
			s.sagas = append(s.sagas, key)
		}
		_ = clock.System{}.Sleep(ctx, time.Duration(s.r.Int64N(int64(10*time.Millisecond)))) // a low load
	}
}

// ask until somebody acknowledges.
func (s *shopper) ask(ctx context.Context, key string, how way) error {
	for {
		c := s.w.cells[s.at]
		err := c.write(ctx, s.id, key, how)
		if err == nil {
			return nil
		}
		if ctx.Err() != nil {
			return err
		}
		if d, ok := problem.Detail[*problemv1.WrongCell](err); ok && s.w.cells[d.GetOwner()] != nil {
			s.at = d.GetOwner()
			continue
		}
		if err := (clock.System{}).Sleep(ctx, time.Duration(s.r.Int64N(int64(10*time.Millisecond)))); err != nil {
			return err
		}
	}
}

// await something that the database says, for a minute.
func (w *world) await(what string, is func() (bool, error)) {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.background, time.Minute)
	defer cancel()
	for {
		yes, err := is()
		if err != nil {
			w.t.Fatal(err)
		}
		if yes {
			return
		}
		if (clock.System{}).Sleep(ctx, 2*time.Millisecond) != nil {
			w.t.Fatalf("waited too long: %s", what)
		}
	}
}

// counts of keys in a table.
func (w *world) counts(s *sqldb.Statement) map[string]int {
	w.t.Helper()
	n := map[string]int{}
	_, err := sqldb.Collect(w.t.Context(), w.customers, s, func(r sqldb.Row) (struct{}, error) {
		var key string
		var count int
		err := r.Scan(&key, &count)
		n[key] = count
		return struct{}{}, err
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return n
}

// settle: whatever was begun ends, and what the shoppers were told is so. Then the tables are emptied.
func (w *world) settle(shoppers []*shopper) {
	w.t.Helper()
	w.await("sagas end", func() (bool, error) {
		var live int
		err := w.customers.QueryRow(w.t.Context(), stmtLive, string(east)).Scan(&live)
		return live == 0, err
	})
	effects, ends := w.counts(stmtEffects), w.counts(stmtEnds)
	for key, n := range effects {
		if n != 1 {
			w.t.Errorf("%s was written %d times", key, n)
		}
	}
	for _, s := range shoppers {
		for _, err := range s.failures {
			w.t.Errorf("never acknowledged: %v", err)
		}
		for _, key := range s.acked {
			if effects[key] == 0 {
				w.t.Errorf("%s was acknowledged and is lost", key)
			}
		}
		for _, key := range s.sagas {
			if ends[key] != 1 {
				w.t.Errorf("the saga %s ended %d times", key, ends[key])
			}
		}
		w.acknowledged += len(s.acked)
	}
	both, err := sqldb.Collect(w.t.Context(), w.customers, stmtTwo, func(r sqldb.Row) (string, error) {
		var slot, epoch int64
		err := r.Scan(&slot, &epoch)
		return fmt.Sprintf("two cells wrote for slot %d under epoch %d", slot, epoch), err
	})
	if err != nil || len(both) > 0 {
		w.t.Error(both, err)
	}
	if err := w.customers.ExecText(w.t.Context(), "TRUNCATE seen, effects, ends, sagas"); err != nil {
		w.t.Fatal(err)
	}
}
