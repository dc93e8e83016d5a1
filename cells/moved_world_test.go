package cells

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"github.com/cellar-commerce/cellar/cells/topology"
	"github.com/cellar-commerce/cellar/db"
	"github.com/cellar-commerce/cellar/internal/clock"
	"github.com/cellar-commerce/cellar/internal/fence"
	catalogv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/catalog/v1"
	inventoryv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/inventory/v1"
	optionsv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/options/v1"
	"github.com/cellar-commerce/cellar/internal/geo"
	"github.com/cellar-commerce/cellar/internal/ident"
	"github.com/cellar-commerce/cellar/internal/money"
	"github.com/cellar-commerce/cellar/internal/rpc"
	"github.com/cellar-commerce/cellar/internal/sandbox"
	"github.com/cellar-commerce/cellar/internal/secret"
	"github.com/cellar-commerce/cellar/internal/sqldb"
	"github.com/cellar-commerce/cellar/internal/sqldb/sqldbtest"
	"github.com/cellar-commerce/cellar/services/fulfillment"
)

const (
	ringOf = ident.Region("us-east-1")
	loser  = "use1-a" // the cell whose map says that it owns the ring
	winner = "use1-b" // the cell to which the rows give the ring
)

// stale is a whole cell with a map that is never changed: it goes on believing that the ring's slots are its own.
type stale struct {
	*testing.T
	cell             *Cell
	tables           []string
	public, internal *httptest.Server
	// charging is called for each request to the card network, before it is answered; may be nil.
	charging func()
	// token and id of the customer whom the cases are about; the first one makes it.
	token, id string
	// answered last.
	answered string
}

func (s *stale) session() string { return s.token }

// rouse what is under way: it is due now.
func (s *stale) rouse() {
	s.sql("UPDATE sagas SET due_at = now() - interval '1 second' WHERE status IN ('RUNNING', 'UNDOING')")
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func newStale(t *testing.T) *stale {
	t.Helper()
	s := &stale{T: t}
	ctx := t.Context()
	server, dir, err := sqldbtest.StartPrivate(ctx)
	must(t, err)
	t.Cleanup(func() { must(t, server.Stop()); _ = os.RemoveAll(dir) })
	prepare(t, server.URL())
	s.cell, err = New(ctx, s.config(server.URL()), io.Discard)
	must(t, err)
	t.Cleanup(func() { must(t, s.cell.Close()) })
	var all []fence.Assignment
	for slot := range ident.Slots {
		all = append(all, fence.Assignment{Slot: ident.Slot(slot), Owner: loser, Epoch: 1})
	}
	must(t, fence.Assign(ctx, s.cell.customers, ringOf, time.Now(), all))
	s.tables = s.texts("SELECT table_name::text FROM information_schema.tables WHERE table_schema = 'public' AND table_name NOT IN ('slots', 'schema_migrations') ORDER BY 1")
	public, err := s.cell.publicHandler()
	must(t, err)
	s.public, s.internal = httptest.NewServer(public), httptest.NewServer(s.cell.internalHandler())
	t.Cleanup(s.public.Close)
	t.Cleanup(s.internal.Close)
	s.stock()
	return s
}

// prepare the three databases of a server.
func prepare(t *testing.T, url string) {
	t.Helper()
	admin, err := sqldb.Open(t.Context(), sqldb.Config{URL: url, Database: sqldb.Any, KeepDatabase: true, MaxConns: 1})
	must(t, err)
	must(t, db.Create(t.Context(), admin))
	admin.Close()
	for _, database := range sqldb.Databases() {
		pool, err := sqldb.Open(t.Context(), sqldb.Config{URL: url, Database: database, MaxConns: 1})
		must(t, err)
		_, err = db.Migrator{DB: pool, Clock: clock.System{}, Holder: "test", Regions: ident.Regions()}.Run(t.Context())
		pool.Close()
		must(t, err)
	}
}

func (s *stale) config(url string) Config {
	dir := s.TempDir()
	key := func(name string) string {
		at := filepath.Join(dir, name+".key")
		must(s.T, secret.Make(at))
		return at
	}
	var cells []topology.Cell
	for _, c := range []struct {
		id    string
		at    ident.Region
		state topology.State
	}{{loser, ringOf, topology.Active}, {winner, ringOf, topology.Draining}, {"usw2-a", "us-west-2", topology.Active}, {"euc1-a", "eu-central-1", topology.Active}} {
		cells = append(cells, topology.Cell{ID: c.id, Region: c.at, State: c.state, Weight: 100, Public: "127.0.0.1:1", Internal: "127.0.0.1:1", Admin: "127.0.0.1:1"})
	}
	m, err := topology.Even(cells)
	must(s.T, err)
	at, keys := filepath.Join(dir, "map"), filepath.Join(dir, "map.pub")
	signing, err := topology.NewSigningKey(make([]byte, 32))
	must(s.T, err)
	snapshot, err := signing.Sign(m)
	must(s.T, err)
	must(s.T, errors.Join(topology.WriteFile(at, snapshot), topology.WriteKeys(keys, signing.Public())))
	network, err := sandbox.NewCardNetwork(sandbox.Deps{Ledger: sandbox.NewMemoryLedger(), Clock: clock.System{}, Logger: discard})
	must(s.T, err)
	cards := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if s.charging != nil {
			s.charging()
		}
		network.ServeHTTP(w, r)
	}))
	s.Cleanup(cards.Close)
	return Config{
		Quickwit: "http://127.0.0.1:1", // nothing is there
		Passkeys: shopOrigin,
		Cell:     loser, Region: string(ringOf), Map: at, MapKey: keys, DatabaseURL: url, PoolSize: 4, Lanes: 2, Brokers: string(ringOf) + "=nats://127.0.0.1:1", CardNetwork: cards.URL,
		CardProvider: ProviderNetwork, CardEventsKey: key("events"), GiftCardKey: key("gifts"), Capture: CaptureAtOnce, SessionKey: key("session"), QuoteKey: key("quote"), PeerKey: key("peer"),
	}
}

// stock a centre with a kettle.
func (s *stale) stock() {
	ctx, c := s.Context(), &s.cell.services
	must(s.T, c.fulfillment.OpenCenters(ctx, []fulfillment.Center{{ID: "iad1", Region: string(ringOf), Name: "Ashburn", City: "Ashburn", CountryCode: "US", At: geo.Point{Lat: 39, Lon: -77.5}}}))
	_, err := c.catalog.UpsertProduct(ctx, &catalogv1.UpsertProductRequest{Product: &catalogv1.Product{Sku: "kettle", Title: "Kettle", CategoryPath: []string{"Home"}, Price: money.USD(19_99).Proto()}})
	must(s.T, err)
	_, err = c.inventory.Restock(ctx, &inventoryv1.RestockRequest{FcId: "iad1", DeliveryId: "d1", Lines: []*inventoryv1.RestockLine{{Sku: "kettle", Quantity: 500}}})
	must(s.T, err)
}

// give the ring to a cell by its rows, under a new epoch. The map is not told.
func (s *stale) give(owner string) {
	s.Helper()
	s.sql(fmt.Sprintf("UPDATE slots SET owner = '%s', epoch = epoch + 1 WHERE region = '%s'", owner, ringOf))
}

func (s *stale) sql(text string) {
	s.Helper()
	must(s.T, s.cell.customers.ExecText(context.WithoutCancel(s.Context()), text))
}

// texts of a query's one column.
func (s *stale) texts(query string) (all []string) {
	s.Helper()
	rows, err := s.cell.customers.QueryText(context.WithoutCancel(s.Context()), query)
	must(s.T, err)
	defer rows.Close()
	for rows.Next() {
		var text string
		must(s.T, rows.Scan(&text))
		all = append(all, text)
	}
	must(s.T, rows.Err())
	return all
}

// contents of the customers' tables: what each has, as one number.
func (s *stale) contents() map[string]string {
	s.Helper()
	var each []string
	for _, table := range s.tables {
		each = append(each, fmt.Sprintf("SELECT '%s ' || count(*) || ' ' || coalesce(sum(hashtextextended(r::text, 0)), 0) FROM %s AS r", table, table))
	}
	all := map[string]string{}
	for _, line := range s.texts(strings.Join(each, " UNION ALL ")) {
		table, rest, _ := strings.Cut(line, " ")
		all[table] = rest
	}
	return all
}

// changed tables between two looks.
func changed(before, after map[string]string) (tables []string) {
	for table, is := range after {
		if before[table] != is {
			tables = append(tables, table)
		}
	}
	return tables
}

// ask the cell for a method, on the listener that is for it.
func (s *stale) ask(procedure, token string, header http.Header, req, into proto.Message) *http.Response {
	s.Helper()
	body, err := protojson.Marshal(req)
	must(s.T, err)
	m, known := rpc.MethodOf(procedure)
	if !known {
		s.Fatalf("there is no %s", procedure)
	}
	url := s.internal.URL
	if m.Audience == optionsv1.Audience_AUDIENCE_PUBLIC {
		url = s.public.URL
	}
	r, err := http.NewRequestWithContext(s.Context(), http.MethodPost, url+procedure, bytes.NewReader(body))
	must(s.T, err)
	r.Header = http.Header{"Content-Type": {"application/json"}, rpc.PeerHeader: {s.cell.keys.peer}}
	for name, values := range header {
		r.Header[name] = values
	}
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	resp, err := http.DefaultClient.Do(r)
	must(s.T, err)
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	must(s.T, err)
	s.answered = string(text)
	resp.Body = io.NopCloser(bytes.NewReader(text))
	if resp.StatusCode == http.StatusOK && into != nil {
		must(s.T, protojson.UnmarshalOptions{DiscardUnknown: true}.Unmarshal(text, into))
	}
	return resp
}
