package topology_test

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cellar-commerce/cellar/cells/topology"
	"github.com/cellar-commerce/cellar/cells/topology/consultest"
	"github.com/cellar-commerce/cellar/internal/clock"
)

const consulKey = "cellar/map"

func newConsul(t *testing.T, address string, mode topology.ConsulMode, c clock.Clock) *topology.Consul {
	t.Helper()
	s, err := topology.NewConsul(topology.ConsulConfig{Address: address, Key: consulKey, Mode: mode, Clock: c})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// A real agent: maps come as they are written, garbage is refused, and whatever happens to the agent the last good map stays.
func TestMapsComeOverConsulWhateverHappensToIt(t *testing.T) {
	p, agent := newProcess(t), consultest.New(t)
	keys := topology.NewKeys(p.key.Public())
	taken := make(chan uint64, 10)
	p.holder.Subscribe(func(m *topology.Map) { taken <- m.Version })
	source := newConsul(t, agent.Address, "", clock.System{})
	put := func(version uint64) {
		t.Helper()
		if err := source.Put(t.Context(), p.version(version), keys); err != nil {
			t.Fatalf("put %d: %v", version, err)
		}
		if got := <-taken; got != version {
			t.Fatalf("took %d, not %d", got, version)
		}
		p.await(fmt.Sprintf("taken consul %d", version))
	}

	// The agent is dead at the start: the file serves.
	if err := topology.WriteFile(p.path, p.version(1)); err != nil {
		t.Fatal(err)
	}
	if err := p.follow(clock.System{}, source); err != nil {
		t.Fatal(err)
	}
	if err := p.follower.First(t.Context(), time.Minute, func(*topology.Map) error { return nil }); err != nil || <-taken != 1 {
		t.Fatal(err)
	}
	p.run()
	agent.Start()
	put(2)
	put(3)

	// The value is replaced by garbage, and by an older map.
	agent.Set(consulKey, "garbage")
	p.await("refused consul unsupported")
	agent.Set(consulKey, string(p.otherwise(3)))
	p.await("refused consul split")
	agent.Set(consulKey, string(p.version(1)))
	p.expect(3)
	put(4)

	// Killed and started again, with all its data and without any.
	agent.Kill()
	p.await("failed consul")
	agent.Start()
	put(5)
	agent.Kill()
	agent.Forget()
	agent.Start()
	put(6)
	p.expect(6)
	if m, err := topology.ReadFile(p.path, keys); err != nil || m.Version < 1 {
		t.Errorf("the file has %v", err)
	}
}

func TestPublishersNeverTakeConsulBack(t *testing.T) {
	p, agent := newProcess(t), consultest.New(t)
	keys := topology.NewKeys(p.key.Public())
	agent.Start()
	s := newConsul(t, agent.Address, topology.ConsulConsistent, clock.System{})
	for _, step := range []struct {
		what     string
		snapshot []byte
		want     error
	}{
		{"the first", p.version(5), nil}, {"the same", p.version(5), nil}, {"an older one", p.version(4), topology.ErrNewer},
		{"another of the same version", p.otherwise(5), topology.ErrSplit}, {"a newer one", p.version(6), nil},
		{"garbage", []byte("garbage"), topology.ErrUnsupported},
	} {
		if err := s.Put(t.Context(), step.snapshot, keys); !errors.Is(err, step.want) {
			t.Errorf("%s: %v", step.what, err)
		}
	}
	agent.Set(consulKey, "garbage")
	if err := s.Put(t.Context(), p.version(6), keys); err != nil {
		t.Errorf("over garbage: %v", err)
	}

	// As many as there may be control planes, each with maps of its own: the newest stays.
	var wg sync.WaitGroup
	for i := range uint64(4) {
		wg.Go(func() {
			for n := range uint64(5) {
				if err := s.Put(t.Context(), p.version(10+4*n+i), keys); err != nil && !errors.Is(err, topology.ErrNewer) {
					t.Errorf("put %d: %v", 10+4*n+i, err)
				}
			}
		})
	}
	wg.Wait()
	offered, _ := watch(t, s)
	if m, err := topology.Open([]byte(<-offered), keys); err != nil || m.Version != 29 {
		t.Errorf("consul has %+v, %v", m, err)
	}

	// As big as may be: the limit is Consul's own.
	big := biggest(t, p.key, 30)
	if err := s.Put(t.Context(), big, keys); err != nil {
		t.Errorf("%d bytes: %v", len(big), err)
	}
	agent.Kill()
	if err := s.Put(t.Context(), p.version(40), keys); err == nil {
		t.Error("a dead agent took a map")
	}
}

// biggest snapshot that there may be, but for less than one cell.
func biggest(t *testing.T, key topology.SigningKey, version uint64) []byte {
	t.Helper()
	m := scattered(t, 20, 1<<20)
	m.Version = version
	add := func(n int) {
		for range n {
			c := m.Cells[0]
			c.ID = strings.Repeat("x", 60) + strconv.Itoa(1000+len(m.Cells))
			m.Cells = append(m.Cells, c)
		}
	}
	without := len(sign(t, key, m))
	add(1)
	each := len(sign(t, key, m)) - without
	add((topology.MaxSnapshot-without)/each - 2) // the number of cells may take a byte more
	b := sign(t, key, m)
	if len(b) < topology.MaxSnapshot-2*each {
		t.Fatalf("the biggest map has %d bytes", len(b))
	}
	return b
}

// script is a Consul that answers by the book: for each question the index it should name, and the answer.
type script struct {
	mu    sync.Mutex
	steps []scripted
	asked []string
}

type scripted struct {
	index, modified int // answered
	value           string
}

// ServeHTTP implements http.Handler.
func (s *script) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	query := r.URL.Query()
	how := query.Get("index") + " " + query.Get("wait")
	for _, mode := range []string{"stale", "consistent"} {
		if query.Has(mode) {
			how += " " + mode
		}
	}
	s.asked = append(s.asked, how)
	if len(s.steps) == 0 {
		w.WriteHeader(http.StatusInternalServerError)
		return
	}
	step := s.steps[0]
	s.steps = s.steps[1:]
	w.Header().Set("X-Consul-Index", strconv.Itoa(step.index))
	if step.modified == 0 {
		w.WriteHeader(http.StatusNotFound)
		return
	}
	_, _ = fmt.Fprintf(w, `[{"Key": %q, "ModifyIndex": %d, "Value": %q}]`, consulKey, step.modified, step.value)
}

// run what a source asks and offers, until the script ends.
func (s *script) run(t *testing.T, mode topology.ConsulMode) (offered []string) {
	t.Helper()
	steps := len(s.steps)
	server := httptest.NewServer(s)
	defer server.Close()
	c := clock.NewManual(time.Unix(0, 0))
	ended := make(chan error, 1)
	go func() {
		ended <- newConsul(t, server.URL, mode, c).Watch(t.Context(), func(b []byte) error { offered = append(offered, string(b)); return nil })
	}()
	for range steps {
		if err := c.AwaitSleepers(t.Context(), 2); err != nil { // the limit of silence, and the pause between questions
			t.Fatal(err)
		}
		c.Advance(100 * time.Millisecond)
	}
	if err := <-ended; err == nil {
		t.Error("an answer of 500 is no error")
	}
	return offered
}

// "YQ==" is "a", "Yg==" "b", "Yw==" "c".
func TestAnIndexThatGoesBackBeginsAnew(t *testing.T) {
	s := &script{steps: []scripted{
		{10, 0, ""},      // no such key yet
		{12, 12, "YQ=="}, // written
		{12, 12, "YQ=="}, // nothing new: the wait is over
		{15, 12, "YQ=="}, // something else has changed
		{4, 4, "Yg=="},   // restored from a backup
		{4, 4, "Yg=="},
		{0, 4, "Yg=="}, // an index that must not be: back again
		{0, 4, "Yg=="}, // and again, or the next question would not block
		{9, 9, "Yw=="},
	}}
	offered := s.run(t, topology.ConsulStale)
	if want := []string{"a", "b", "b", "c"}; !slices.Equal(offered, want) {
		t.Errorf("offered %q, want %q", offered, want)
	}
	want := []string{" 30000ms stale", "10 30000ms stale", "12 30000ms stale", "12 30000ms stale", "15 30000ms stale", " 30000ms stale", "4 30000ms stale", " 30000ms stale", "1 30000ms stale", "9 30000ms stale"}
	if !slices.Equal(s.asked, want) {
		t.Errorf("asked\n%q, want\n%q", s.asked, want)
	}
}

func TestTheModeSaysWhoseWordIsTaken(t *testing.T) {
	for mode, want := range map[topology.ConsulMode]string{"": " 30000ms stale", topology.ConsulStale: " 30000ms stale", topology.ConsulDefault: " 30000ms", topology.ConsulConsistent: " 30000ms consistent"} {
		s := &script{}
		s.run(t, mode)
		if !slices.Equal(s.asked, []string{want}) {
			t.Errorf("%q: asked %q", mode, s.asked)
		}
	}
	for _, cfg := range []topology.ConsulConfig{{Address: "x:1"}, {Address: "x:1", Key: "k", Mode: "fresh"}, {Address: "ftp://x", Key: "k"}} {
		if _, err := topology.NewConsul(cfg); err == nil {
			t.Errorf("%+v was taken", cfg)
		}
	}
}

func TestAnAgentThatHangsIsGivenUp(t *testing.T) {
	hang, asked := make(chan struct{}), make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { close(asked); <-hang }))
	defer server.Close()
	defer close(hang)
	c := clock.NewManual(time.Unix(0, 0))
	_, ended := watch(t, newConsul(t, server.URL, "", c))
	<-asked
	if err := c.AwaitSleepers(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	c.Advance(time.Minute)
	if err := <-ended; err == nil || !strings.Contains(err.Error(), "nothing was heard for too long") {
		t.Errorf("got %v", err)
	}
}
