package bus_test

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/cellar-commerce/cellar/internal/bus"
	"github.com/cellar-commerce/cellar/internal/bus/bustest"
	"github.com/cellar-commerce/cellar/internal/ident"
	"github.com/cellar-commerce/cellar/internal/problem"
)

const abroad = ident.Region("us-west-2")

// guarded is home's broker, and the files of the regions' credentials.
type guarded struct {
	broker *bustest.Broker
	files  map[ident.Region]string
}

func newGuarded(t *testing.T) guarded {
	t.Helper()
	g := guarded{files: map[ident.Region]string{}}
	users := map[ident.Region]string{}
	for _, region := range []ident.Region{home, abroad} {
		g.files[region] = credential(t)
		key, err := bus.PublicKey(g.files[region])
		if err != nil {
			t.Fatal(err)
		}
		users[region] = key
	}
	g.broker = bustest.Guarded(t, bus.FormatUsers(home, users))
	return g
}

func credential(t *testing.T) (path string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "user.nk")
	if err := bus.MakeCredential(path); err != nil {
		t.Fatal(err)
	}
	return path
}

// as a region's cell, with the credential of a file.
func (g guarded) as(t *testing.T, region ident.Region, file string, log *slog.Logger) *bus.Bus {
	t.Helper()
	b := bus.New(bus.Config{
		URLs: map[ident.Region]string{home: g.broker.URL()}, Credentials: map[ident.Region]string{home: file}, Home: region, Name: t.Name(), Log: log,
	})
	t.Cleanup(b.Close)
	return b
}

func (g guarded) at(t *testing.T, region ident.Region) *bus.Bus {
	t.Helper()
	b := g.as(t, region, g.files[region], slog.New(slog.DiscardHandler))
	await(t, "the broker takes the credential", func() bool { return b.Ready(home) == nil })
	return b
}

// theHome's cell, with the streams declared.
func (g guarded) theHome(t *testing.T) *bus.Bus {
	t.Helper()
	b := g.at(t, home)
	if err := b.EnsureStreams(t.Context(), home); err != nil {
		t.Fatal(err)
	}
	return b
}

func TestEachRegionPublishesWhatItHasToSay(t *testing.T) {
	g := newGuarded(t)
	for region, subjects := range map[ident.Region][]string{
		home:   {"fulfillment.us-east-1.fc.requested", "order.use1.shipped", "order.use1.scanned", "stock.us-east-1.touched", "stock.us-east-1.summarized", "stock.us-west-2.summarized", "catalog.product.changed", "catalog.review.voted", "search.us-east-1.logged"},
		abroad: {"fulfillment.us-east-1.fc.requested", "order.use1.shipped", "order.use1.scanned", "stock.us-west-2.summarized", "catalog.product.changed", "catalog.review.changed", "catalog.review.voted"},
	} {
		owner, from := g.theHome(t), g.at(t, region)
		var sent []bus.Message
		for i, subject := range subjects {
			m := message(i)
			m.ID, m.Subject = string(region)+m.ID, subject
			sent = append(sent, m)
		}
		publish(t, from, sent...) // batches of a stream and single ones
		got := make(chan bus.Message, 100)
		for _, stream := range []string{bus.StreamFulfillment, bus.StreamOrder, bus.StreamStock, bus.StreamCatalog, bus.StreamSearch} {
			c := bus.Consumer{Region: home, Stream: stream, Durable: "of-" + string(region), Subject: strings.ToLower(stream) + ".>"}
			background(t, func(ctx context.Context) error { return owner.Consume(ctx, c, into(got)) })
		}
		seen := map[string]bool{}
		for len(seen) < len(sent) {
			if m := receive(t, got, "what "+string(region)+" has published"); strings.HasPrefix(m.ID, string(region)) {
				seen[m.Subject] = true
			}
		}
	}
}

func TestARegionCannotPublishAnothersEvents(t *testing.T) {
	g := newGuarded(t)
	owner := g.theHome(t)
	for region, subjects := range map[ident.Region][]string{
		home:   {"fulfillment.us-west-2.fc.requested", "order.usw2.shipped", "search.us-west-2.logged"},
		abroad: {"search.us-west-2.logged", "search.us-east-1.logged", "fulfillment.us-west-2.fc.requested", "order.usw2.shipped", "stock.us-east-1.summarized", "stock.us-east-1.touched", "stock.us-west-2.touched", "catalog.other"},
	} {
		from := g.at(t, region)
		for _, subject := range subjects {
			for _, many := range [][]bus.Message{messages(0, 1), messages(1, 4)} {
				for i := range many {
					many[i].Subject = subject
				}
				if err := from.Publish(t.Context(), home, many); !problem.Is(err, bus.ReasonDenied) {
					t.Errorf("%s publishes %d to %s: %v", region, len(many), subject, err)
				}
			}
		}
		publish(t, from, bus.Message{ID: "last-" + string(region), Subject: "order.use1.shipped"}) // and is heard as ever
	}
	got := make(chan bus.Message, 100)
	background(t, func(ctx context.Context) error { return owner.Consume(ctx, orders, into(got)) })
	for range 2 {
		if m := receive(t, got, "the last"); !strings.HasPrefix(m.ID, "last-") {
			t.Errorf("%s of %s was taken", m.ID, m.Subject)
		}
	}
}

func TestARegionCannotReadAnothersStreams(t *testing.T) {
	g := newGuarded(t)
	owner, logged := g.theHome(t), &lines{}
	publish(t, owner, message(1))
	// One that believes itself at home, so that it asks for everything.
	from := g.as(t, home, g.files[abroad], logged.logger())
	await(t, "the broker takes the credential", func() bool { return from.Ready(home) == nil })
	got := make(chan bus.Message, 10)
	stop := background(t, func(ctx context.Context) error { return from.Consume(ctx, orders, into(got)) })
	await(t, "the denial is told", func() bool { return logged.has(bus.ReasonDenied) })
	stop()
	nothing(t, got, "another region's event")
	// One that knows where it is does not even ask.
	if err := g.at(t, abroad).EnsureStreams(t.Context(), home); !problem.Is(err, "FOREIGN_STREAMS") {
		t.Errorf("streams of another region: %v", err)
	}
}

func TestAWrongCredentialIsToldAndAMendedOneIsFound(t *testing.T) {
	g := newGuarded(t)
	right, err := os.ReadFile(g.files[home])
	if err != nil {
		t.Fatal(err)
	}
	wrong, err := os.ReadFile(credential(t))
	if err != nil {
		t.Fatal(err)
	}
	g.theHome(t)
	for name, c := range map[string]struct {
		content []byte
		reason  string
	}{
		"missing":          {nil, bus.ReasonUnreadable},
		"no seed":          {[]byte("not a seed\n"), bus.ReasonUnreadable},
		"huge":             {bytes.Repeat([]byte("A"), 1<<20), bus.ReasonUnreadable},
		"of somebody else": {wrong, bus.ReasonRefused},
	} {
		t.Run(name, func(t *testing.T) {
			file, logged := filepath.Join(t.TempDir(), "user.nk"), &lines{}
			if c.content != nil {
				write(t, file, c.content)
			}
			b := g.as(t, home, file, logged.logger())
			// Again and again, like a relay: the client gives a connection up after the second refusal unless told not to.
			for range 3 {
				await(t, "the reason is an error's", func() bool { return problem.Is(b.Publish(t.Context(), home, messages(1, 2)), c.reason) })
			}
			if !logged.has(`"reason":"` + c.reason + `"`) {
				t.Errorf("the log has no %s: %s", c.reason, logged)
			}
			got := make(chan bus.Message, 100)
			consumer := orders
			consumer.Durable = strings.ReplaceAll(name, " ", "-")
			background(t, func(ctx context.Context) error { return b.Consume(ctx, consumer, into(got)) })
			write(t, file, right)
			publishUntil(t, b, bus.Message{ID: name, Subject: "order.use1.shipped"})
			for receive(t, got, "what was published after the repair").ID != name {
				continue
			}
		})
	}
}

func TestABrokerThatKnowsNoUsersIsTold(t *testing.T) {
	g := guarded{broker: bustest.New(t)}
	b := g.as(t, home, credential(t), slog.New(slog.DiscardHandler))
	await(t, "the reason is an error's", func() bool { return problem.Is(b.Ready(home), bus.ReasonRefused) })
	g = newGuarded(t)
	b = g.as(t, home, "", slog.New(slog.DiscardHandler))
	await(t, "nobody is not let in", func() bool { return problem.Is(b.Ready(home), bus.ReasonRefused) })
}

func TestACredentialIsMadeOnceAndOnlyItsOwnerMayReadIt(t *testing.T) {
	path := credential(t)
	first, err := bus.PublicKey(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := bus.MakeCredential(path); err != nil {
		t.Fatal(err)
	}
	if again, err := bus.PublicKey(path); err != nil || again != first {
		t.Errorf("%s became %s, %v", first, again, err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	if _, err := bus.PublicKey(path + ".no"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a missing one: %v", err)
	}
}

func write(t *testing.T, path string, content []byte) {
	t.Helper()
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
}

// lines of a log.
type lines struct {
	mu  sync.Mutex
	all bytes.Buffer
}

func (l *lines) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.all.Write(b)
}

func (l *lines) logger() *slog.Logger { return slog.New(slog.NewJSONHandler(l, nil)) }

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.all.String()
}

func (l *lines) has(part string) bool { return strings.Contains(l.String(), part) }
