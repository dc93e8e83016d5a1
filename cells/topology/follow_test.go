package topology_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cellar-commerce/cellar/cells/topology"
	"github.com/cellar-commerce/cellar/internal/clock"
)

// tap is a source that a test opens.
type tap struct {
	name string
	in   chan []byte // empty breaks the connection
	out  chan error
}

func newTap(name string) *tap { return &tap{name: name, in: make(chan []byte), out: make(chan error)} }

// Name implements topology.Source.
func (s *tap) Name() string { return s.name }

// Watch implements topology.Source.
func (s *tap) Watch(ctx context.Context, offer func([]byte) error) error {
	for {
		select {
		case b := <-s.in:
			if b == nil {
				return errors.New("the line is cut")
			}
			s.out <- offer(b)
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (s *tap) offer(b []byte) error {
	s.in <- b
	return <-s.out
}

// process that follows the map, as a cell or a router does.
type process struct {
	t             *testing.T
	holder        topology.Holder
	clock         *clock.Manual
	path, keyPath string
	// key signs; its public key is in the file of keys.
	key      topology.SigningKey
	follower *topology.Follower
	saved    chan uint64

	mu     sync.Mutex
	more   *sync.Cond // of events
	events []string
	log    bytes.Buffer
}

func newProcess(t *testing.T) *process {
	t.Helper()
	dir := t.TempDir()
	p := &process{t: t, clock: clock.NewManual(time.Unix(1_000_000, 0)), path: filepath.Join(dir, "map"), keyPath: filepath.Join(dir, "map.pub"), key: keyOf(t, 1), saved: make(chan uint64, 100)}
	p.more = sync.NewCond(&p.mu)
	if err := topology.WriteKeys(p.keyPath, p.key.Public()); err != nil {
		t.Fatal(err)
	}
	return p
}

// follow some sources beside the file.
func (p *process) follow(c clock.Clock, sources ...topology.Source) error {
	var err error
	p.follower, err = topology.NewFollower(topology.FollowerDeps{
		Holder: &p.holder, Path: p.path, KeyPath: p.keyPath, Sources: sources, Clock: c, Log: slog.New(slog.NewTextHandler(p, nil)), Observe: p,
	})
	return err
}

// run it until the test ends, or stop is called.
func (p *process) run() (stop func()) {
	ctx, cancel := context.WithCancel(p.t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		p.follower.Run(ctx)
	}()
	stop = func() { cancel(); <-done }
	p.t.Cleanup(stop)
	return stop
}

// Write implements io.Writer for the log.
func (p *process) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.log.Write(b)
}

func (p *process) happened(format string, args ...any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.events = append(p.events, fmt.Sprintf(format, args...))
	p.more.Broadcast()
}

// await something that the observer is told.
func (p *process) await(event string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for !slices.Contains(p.events, event) {
		p.more.Wait()
	}
}

// told of something so often.
func (p *process) told(event string) (n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, e := range p.events {
		if e == event {
			n++
		}
	}
	return n
}

func (p *process) logged(text string) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return strings.Count(p.log.String(), text)
}

// MapTaken implements topology.Observer.
func (p *process) MapTaken(source string, version uint64) { p.happened("taken %s %d", source, version) }

// MapRefused implements topology.Observer.
func (p *process) MapRefused(source, reason string) { p.happened("refused %s %s", source, reason) }

// MapSaved implements topology.Observer.
func (p *process) MapSaved(version uint64) { p.saved <- version }

// SourceFailed implements topology.Observer.
func (p *process) SourceFailed(source string) { p.happened("failed %s", source) }

// version n of the map, signed.
func (p *process) version(n uint64) []byte {
	m := even(p.t)
	m.Version = n
	return sign(p.t, p.key, m)
}

// otherwise is another map of the same version.
func (p *process) otherwise(n uint64) []byte {
	m := even(p.t)
	m.Version, m.Cells[0].Weight = n, 7
	return sign(p.t, p.key, m)
}

func (p *process) expect(version uint64) {
	p.t.Helper()
	m := p.holder.Load()
	if m == nil || m.Version != version {
		p.t.Fatalf("the map held is %+v, not version %d", m, version)
	}
}

// onDisk waits until the file has been written, and checks what is in it.
func (p *process) onDisk(version uint64) {
	p.t.Helper()
	if got := <-p.saved; got != version {
		p.t.Fatalf("version %d was saved, not %d", got, version)
	}
	m, err := topology.ReadFile(p.path, topology.NewKeys(p.key.Public()))
	if err != nil || m.Version != version {
		p.t.Fatalf("the file has %+v, %v", m, err)
	}
}

func TestTheNewestOfAllSourcesIsFollowedAndKept(t *testing.T) {
	p := newProcess(t)
	one, other := newTap("one"), newTap("other")
	if err := p.follow(p.clock, one, other); err != nil {
		t.Fatal(err)
	}
	stop := p.run()
	for _, step := range []struct {
		from          *tap
		offered, held uint64
	}{{one, 5, 5}, {other, 4, 5}, {other, 5, 5}, {other, 7, 7}, {one, 6, 7}, {one, 7, 7}} {
		if err := step.from.offer(p.version(step.offered)); err != nil {
			t.Fatalf("%d by %s: %v", step.offered, step.from.name, err)
		}
		p.expect(step.held)
	}
	if p.told("taken one 5") != 1 || p.told("taken other 7") != 1 || len(p.events) != 2 {
		t.Errorf("observed %q", p.events)
	}
	for version := range p.saved { // the 5 may have been passed over
		if version == 7 {
			break
		}
	}
	stop()

	// Nothing but the file is left: a cold start.
	again := newProcess(t)
	again.path, again.keyPath = p.path, p.keyPath
	if err := again.follow(again.clock); err != nil {
		t.Fatal(err)
	}
	again.expect(7)
	if err := again.follower.First(t.Context(), time.Second, func(m *topology.Map) error { return nil }); err != nil {
		t.Error(err)
	}
}

func TestWhatMustNotBeFollowedIsRefusedAndAlarmed(t *testing.T) {
	p := newProcess(t)
	source := newTap("consul")
	if err := p.follow(p.clock, source); err != nil {
		t.Fatal(err)
	}
	p.run()
	if err := source.offer(p.version(5)); err != nil {
		t.Fatal(err)
	}
	forged := newProcess(t)
	forged.key = keyOf(t, 2)
	torn, unsigned := p.version(9), p.version(9)
	torn[40] ^= 1
	unsigned[len(unsigned)-1] ^= 1
	for _, test := range []struct {
		offered []byte
		want    error
	}{
		{[]byte(`{"version":9}`), topology.ErrUnsupported}, {torn, topology.ErrChecksum}, {unsigned, topology.ErrSignature},
		{forged.version(9), topology.ErrUnknownKey}, {make([]byte, topology.MaxSnapshot+1), topology.ErrTooBig},
		{reseal(p.key, 1, []byte{9}), topology.ErrInvalid}, {p.otherwise(5), topology.ErrSplit},
	} {
		if err := source.offer(test.offered); !errors.Is(err, test.want) {
			t.Errorf("got %v, want %v", err, test.want)
		}
		p.expect(5)
		if reason := topology.Reason(test.want); p.told("refused consul "+reason) != 1 || p.logged("level=ERROR msg=\"a map is refused; the last good map stays\" source=consul reason="+reason) != 1 {
			t.Errorf("%s: observed %q, logged %s", reason, p.events, p.log.String())
		}
	}
	if err := source.offer(p.version(6)); err != nil {
		t.Error(err)
	}
	p.expect(6)
}

// round lets the follower's file be looked at once more.
func (p *process) round() {
	p.t.Helper()
	if err := p.clock.AwaitSleepers(p.t.Context(), 1); err != nil {
		p.t.Fatal(err)
	}
	p.clock.Advance(time.Second)
	if err := p.clock.AwaitSleepers(p.t.Context(), 1); err != nil {
		p.t.Fatal(err)
	}
}

func TestTheFileIsASourceAndIsMendedWhenItIsSpoiled(t *testing.T) {
	p := newProcess(t)
	write := func(b []byte) {
		t.Helper()
		if err := topology.WriteFile(p.path, b); err != nil {
			t.Fatal(err)
		}
		p.round()
	}
	if err := topology.WriteFile(p.path, p.version(3)); err != nil {
		t.Fatal(err)
	}
	if err := p.follow(p.clock); err != nil {
		t.Fatal(err)
	}
	p.run()
	p.onDisk(3)
	write(p.version(4))
	p.expect(4)
	p.onDisk(4)
	for n, spoil := range []func(){
		func() { write([]byte("garbage")) },
		func() { write(p.version(2)) },
		func() { write(p.otherwise(4)) },
		func() {
			if err := os.Remove(p.path); err != nil {
				t.Fatal(err)
			}
			p.round()
		},
	} {
		spoil()
		p.expect(4)
		p.onDisk(4)
		p.round() // it reads what it has written
		if len(p.saved) > 0 {
			t.Errorf("%d: the file was written without need", n)
		}
	}
	if p.told("refused file unsupported") != 2 || p.told("refused file split") != 1 {
		t.Errorf("observed %q", p.events)
	}
}

func TestAWrongFileIsNoMapToBeginWithUnlessSomebodyElseHasOne(t *testing.T) {
	p := newProcess(t)
	if err := p.follow(p.clock); err == nil || !errors.Is(err, os.ErrNotExist) {
		t.Errorf("without a file: %v", err)
	}
	if err := os.WriteFile(p.path, []byte("garbage"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := p.follow(p.clock); !errors.Is(err, topology.ErrUnsupported) {
		t.Errorf("with garbage: %v", err)
	}
	source := newTap("control-plane")
	if err := p.follow(p.clock, source); err != nil {
		t.Fatal(err)
	}
	first := make(chan error)
	wanted := errors.New("the map is not the one")
	go func() {
		first <- p.follower.First(t.Context(), time.Minute, func(m *topology.Map) error {
			if m.Version < 3 {
				return wanted
			}
			return nil
		})
	}()
	for n := range uint64(3) {
		if err := source.offer(p.version(n + 1)); err != nil {
			t.Fatal(err)
		}
	}
	if err := <-first; err != nil {
		t.Error(err)
	}
	p.run()
	p.onDisk(3)
}

func TestWhoGetsNoMapInTimeIsToldWhy(t *testing.T) {
	p := newProcess(t)
	source := newTap("control-plane")
	if err := p.follow(p.clock, source); err != nil {
		t.Fatal(err)
	}
	wanted := errors.New("the map has no cell use1-z")
	for _, want := range []string{"no source has a map", wanted.Error()} {
		first := make(chan error)
		go func() {
			first <- p.follower.First(t.Context(), time.Minute, func(*topology.Map) error { return wanted })
		}()
		if want == wanted.Error() {
			if err := source.offer(p.version(1)); err != nil {
				t.Fatal(err)
			}
		}
		if err := p.clock.AwaitSleepers(t.Context(), 2); err != nil { // the file's watch, and the limit
			t.Fatal(err)
		}
		p.clock.Advance(time.Minute)
		if err := <-first; err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %s", err, want)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := p.follower.First(ctx, time.Minute, func(*topology.Map) error { return wanted }); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

func TestKeysAreReadAgainWhenOneIsNew(t *testing.T) {
	p := newProcess(t)
	source := newTap("control-plane")
	if err := p.follow(p.clock, source); err != nil {
		t.Fatal(err)
	}
	p.run()
	if err := source.offer(p.version(1)); err != nil {
		t.Fatal(err)
	}
	p.onDisk(1)
	old := p.key
	p.key = keyOf(t, 2)
	if err := source.offer(p.version(2)); !errors.Is(err, topology.ErrUnknownKey) {
		t.Fatalf("got %v", err)
	}
	if err := topology.WriteKeys(p.keyPath, old.Public(), p.key.Public()); err != nil {
		t.Fatal(err)
	}
	if err := source.offer(p.version(1)); err != nil { // the same map, signed anew: the file must outlive the old key
		t.Fatal(err)
	}
	p.onDisk(1)
	if err := topology.WriteKeys(p.keyPath, p.key.Public()); err != nil {
		t.Fatal(err)
	}
	if err := source.offer(p.version(2)); err != nil {
		t.Fatal(err)
	}
	p.expect(2)
}

func TestASourceThatFailsIsAskedAgainAndAlarmedOnce(t *testing.T) {
	p := newProcess(t)
	source := newTap("control-plane")
	if err := p.follow(p.clock, source); err != nil {
		t.Fatal(err)
	}
	p.run()
	for range 3 {
		source.in <- nil
		if err := p.clock.AwaitSleepers(t.Context(), 2); err != nil { // the file's watch, and the pause
			t.Fatal(err)
		}
		p.clock.Advance(10 * time.Second)
	}
	if err := source.offer(p.version(1)); err != nil {
		t.Fatal(err)
	}
	if p.told("failed control-plane") != 3 || p.logged("a source of the map fails") != 1 || p.logged("the line is cut") != 1 || p.logged("a source of the map is back") != 1 {
		t.Errorf("observed %q, logged %s", p.events, p.log.String())
	}
}

func TestADiskThatFailsKeepsNobodyFromTheNewMap(t *testing.T) {
	p := newProcess(t)
	dir := filepath.Join(filepath.Dir(p.path), "missing")
	p.path = filepath.Join(dir, "map")
	source := newTap("control-plane")
	if err := p.follow(p.clock, source); err != nil {
		t.Fatal(err)
	}
	p.run()
	if err := source.offer(p.version(1)); err != nil {
		t.Fatal(err)
	}
	p.expect(1)
	if err := p.clock.AwaitSleepers(t.Context(), 2); err != nil { // the file's watch, and the pause after the failure
		t.Fatal(err)
	}
	if p.logged("the map's file could not be written") != 1 {
		t.Errorf("logged %s", p.log.String())
	}
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	p.clock.Advance(5 * time.Second)
	p.onDisk(1)
}

func TestSubscribersHearOfEveryMapThatIsTaken(t *testing.T) {
	var h topology.Holder
	var heard []uint64
	cancel := h.Subscribe(func(m *topology.Map) { heard = append(heard, m.Version, h.Load().Version) })
	offer := func(version uint64) bool {
		m := even(t)
		m.Version = version
		return h.Offer(m)
	}
	if !offer(2) || offer(2) || offer(1) || !offer(5) {
		t.Error("not the newest was taken")
	}
	var late []uint64
	h.Subscribe(func(m *topology.Map) { late = append(late, m.Version) })
	cancel()
	offer(6)
	if fmt.Sprint(heard) != "[2 2 5 5]" || fmt.Sprint(late) != "[5 6]" {
		t.Errorf("heard %v, late %v", heard, late)
	}
}
