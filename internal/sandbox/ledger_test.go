package sandbox

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
)

// disk is a file whose last write is lost with the power unless it was synced.
type disk struct {
	mu      sync.Mutex
	written []byte
	synced  int
	syncs   int
	failing error
	// gate, when set, is received from before each sync ends.
	gate chan struct{}
}

var _ storage = (*disk)(nil)

func (d *disk) Write(p []byte) (int, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.written = append(d.written, p...)
	return len(p), nil
}

func (d *disk) Sync() error {
	d.mu.Lock()
	upTo := len(d.written)
	d.mu.Unlock()
	if d.gate != nil {
		<-d.gate
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.syncs++
	if d.failing == nil {
		d.synced = upTo
	}
	return d.failing
}

func (d *disk) Close() error { return nil }

// afterCrash is what a restart would find.
func (d *disk) afterCrash() []byte {
	d.mu.Lock()
	defer d.mu.Unlock()
	return bytes.Clone(d.written[:d.synced])
}

// life runs a ledger through every kind of entry, and returns the network's answers by key.
func life(t *testing.T, h *harness) map[string]reply {
	t.Helper()
	answers := map[string]reply{
		"sale":    h.sale("sale", "tok_visa"),
		"decline": h.sale("decline", "tok_insufficient_funds"),
		"hold":    h.post("/v1/charges", "hold", strings.Replace(saleBody("tok_visa"), "true", "false", 1)),
		"hold2":   h.post("/v1/charges", "hold2", strings.Replace(saleBody("tok_visa"), "true", "false", 1)),
	}
	path := func(key string) string { return "/v1/charges/" + answers[key].charge(t).ID }
	answers["capture"] = h.post(path("hold")+"/capture", "capture", `{"amount":999}`)
	answers["hold3"] = h.post("/v1/charges", "hold3", strings.Replace(saleBody("tok_visa"), "true", "false", 1))
	answers["part"] = h.post(path("hold3")+"/capture", "part", `{"amount":100,"final":false}`)
	answers["part2"] = h.post(path("hold3")+"/capture", "part2", `{"amount":100,"final":false}`)
	answers["void3"] = h.post(path("hold3")+"/void", "void3", "")
	answers["void"] = h.post(path("hold2")+"/void", "void", "")
	answers["refund"] = h.post(path("sale")+"/refund", "refund", `{"amount":1000}`)
	return answers
}

func TestRestartAnswersEveryKeyAsBefore(t *testing.T) {
	dir := t.TempDir()
	before := newHarness(t, openLedger(t, dir))
	answers := life(t, before)
	charges, entries := maps.Clone(before.book.charges), before.entries(t)
	if err := before.ledger.Close(); err != nil {
		t.Fatal(err)
	}

	after := newHarness(t, openLedger(t, dir))
	if fmt.Sprint(after.entries(t)) != fmt.Sprint(entries) || len(entries) != len(answers) {
		t.Fatalf("ledger after: %v\nbefore: %v", after.entries(t), entries)
	}
	for id, was := range charges {
		if is := after.book.charges[id].charge; is != was.charge {
			t.Errorf("charge after: %+v, before: %+v", is, was.charge)
		}
	}
	if again := after.sale("sale", "tok_visa"); again != answers["sale"] {
		t.Errorf("sale after: %+v, before: %+v", again, answers["sale"])
	}
	if again := after.sale("decline", "tok_insufficient_funds"); again != answers["decline"] {
		t.Errorf("decline after: %+v, before: %+v", again, answers["decline"])
	}
	refund := "/v1/charges/" + answers["sale"].charge(t).ID + "/refund"
	if again := after.post(refund, "refund", `{"amount":1000}`); again != answers["refund"] {
		t.Errorf("refund after: %+v, before: %+v", again, answers["refund"])
	}
	expect(t, after.post(refund, "refund", `{"amount":999}`), 422, "idempotency_key_reused")
	expect(t, after.post(refund, "more", `{"amount":1000}`), 422, "amount_too_large")
	expect(t, after.post(refund, "rest", `{"amount":999}`), 200, "")
}

// A kill can leave any prefix of the last write. Each must come up as a prefix of what happened.
func TestRestartAfterAnyTornWrite(t *testing.T) {
	dir := t.TempDir()
	h := newHarness(t, openLedger(t, dir))
	life(t, h)
	all := h.entries(t)
	if err := h.ledger.Close(); err != nil {
		t.Fatal(err)
	}
	whole, err := os.ReadFile(filepath.Join(dir, ledgerFileName))
	if err != nil {
		t.Fatal(err)
	}
	for size := range len(whole) + 1 {
		records, kept, err := readRecords(bytes.NewReader(whole[:size]))
		lines := bytes.Count(whole[:size], []byte("\n"))
		if err != nil || len(records) != lines || int(kept) != bytes.LastIndexByte(whole[:size], '\n')+1 {
			t.Fatalf("cut at %d: %d records, %d bytes, %v; want %d records", size, len(records), kept, err, lines)
		}
		for i, r := range records {
			if r.Entry != all[i] {
				t.Fatalf("cut at %d: entry %+v, want %+v", size, r.Entry, all[i])
			}
		}
	}
	// And through the file system: the torn end goes, the next entry takes its number.
	if err := os.Truncate(filepath.Join(dir, ledgerFileName), int64(len(whole)-3)); err != nil {
		t.Fatal(err)
	}
	again := newHarness(t, openLedger(t, dir))
	expect(t, again.sale("after", "tok_visa"), 200, "")
	if err := again.ledger.Close(); err != nil {
		t.Fatal(err)
	}
	if entries := newHarness(t, openLedger(t, dir)).entries(t); len(entries) != len(all) {
		t.Fatalf("%d entries, want %d", len(entries), len(all))
	}
}

func TestDamageInTheMiddleIsNotGuessedAround(t *testing.T) {
	line := func(seq int, kind, id, key string) string {
		return fmt.Sprintf(`{"seq":%d,"at":"2031-01-01T00:00:00Z","charge_id":%q,"kind":%q,"amount":5,"currency":"USD","reference":"o","idempotency_key":%q,"fingerprint":"f"}`+"\n", seq, id, kind, key)
	}
	for name, c := range map[string]struct{ file, want string }{
		"not json":         {"nonsense\n" + line(2, "capture", "ch_1", "k"), "line 1"},
		"gap":              {line(1, "capture", "ch_1", "k") + line(3, "capture", "ch_2", "l"), "line 2"},
		"two in a line":    {strings.Replace(line(1, "capture", "ch_1", "k"), "\n", line(2, "capture", "ch_2", "l"), 1), "line 1"},
		"foreign field":    {strings.Replace(line(1, "capture", "ch_1", "k"), `"seq"`, `"tip":1,"seq"`, 1), "line 1"},
		"endless line":     {strings.Repeat("x", maxLineBytes+1) + "\n", "line 1"},
		"no key":           {line(1, "capture", "ch_1", ""), "line 1"},
		"refund of none":   {line(1, "refund", "ch_1", "k"), "entry 1"},
		"refund too large": {line(1, "capture", "ch_1", "k") + line(2, "refund", "ch_1", "l") + line(3, "refund", "ch_1", "m"), "entry 3"},
		"key twice":        {line(1, "capture", "ch_1", "k") + line(2, "capture", "ch_2", "k"), "entry 2"},
		"unknown kind":     {line(1, "gift", "ch_1", "k"), "entry 1"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			if err := os.WriteFile(filepath.Join(dir, ledgerFileName), []byte(c.file), 0o600); err != nil {
				t.Fatal(err)
			}
			ledger, err := OpenLedger(dir)
			if err == nil {
				defer func() { _ = ledger.Close() }()
				_, err = newBook(ledger)
			}
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Fatalf("got %v, want something about %s", err, c.want)
			}
		})
	}
}

func TestASecondSandboxOnTheSameDirectoryIsRefused(t *testing.T) {
	dir := t.TempDir()
	first := openLedger(t, dir)
	if _, err := OpenLedger(dir); err == nil || !strings.Contains(err.Error(), "another sandbox") {
		t.Fatalf("got %v", err)
	}
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	openLedger(t, dir)
}

// Whatever was answered or shown is on the disk at that moment; and those who wait together share syncs.
func TestAnswersWaitForTheDiskAndShareIt(t *testing.T) {
	d := &disk{gate: make(chan struct{})}
	ledger := newLedger(d, nil)
	h := newHarness(t, ledger)
	const callers = 50
	replies := make(chan string, callers)
	for i := range callers {
		go func() {
			key := fmt.Sprintf("key-%d.", i)
			if h.sale(key, "tok_visa").status == http.StatusOK {
				replies <- key
			}
		}()
	}
	// With the first sync held back, everybody gathers behind it and nobody is answered.
	for len(ledger.snapshot()) < callers {
		select {
		case key := <-replies:
			t.Fatalf("%s was answered before any sync", key)
		default:
			runtime.Gosched()
		}
	}
	if shown := h.entries(t); len(shown) != 0 {
		t.Fatalf("%d entries are shown before any sync", len(shown))
	}
	close(d.gate)
	for range callers {
		if key := <-replies; !bytes.Contains(d.afterCrash(), []byte(`"`+key+`"`)) {
			t.Fatalf("%s was answered and would be lost in a crash", key)
		}
	}
	if err := ledger.Close(); err != nil {
		t.Fatal(err)
	}
	if d.syncs > 3 {
		t.Fatalf("%d syncs for %d requests", d.syncs, callers)
	}
}

func TestABrokenDiskStopsEverything(t *testing.T) {
	d := &disk{}
	ledger := newLedger(d, nil)
	h := newHarness(t, ledger)
	id := h.sale("good", "tok_visa").charge(t).ID
	expect(t, h.get("/readyz"), 200, "")
	d.mu.Lock()
	d.failing = errors.New("no space")
	d.mu.Unlock()
	for range 2 {
		expect(t, h.sale("bad", "tok_visa"), 503, "ledger_unavailable")
	}
	expect(t, h.sale("worse", "tok_error_after_success"), 503, "ledger_unavailable")
	expect(t, h.get("/v1/charges?idempotency_key=bad"), 503, "ledger_unavailable")
	expect(t, h.get("/v1/charges/"+id), 200, "")
	expect(t, h.get("/readyz"), 503, "ledger_unavailable")
	expect(t, h.get("/livez"), 200, "")
	if entries := h.entries(t); len(entries) != 1 {
		t.Fatalf("shown: %+v", entries)
	}
	if err := ledger.Close(); !errors.Is(err, ErrLedgerBroken) {
		t.Fatalf("close: %v", err)
	}
}

func TestABusyOrClosedLedgerRefusesWithoutEffect(t *testing.T) {
	d := &disk{gate: make(chan struct{})}
	ledger := newLedger(d, nil)
	h := newHarness(t, ledger)
	ledger.mu.Lock()
	ledger.pending = make([]byte, maxPendingBytes+1)
	ledger.mu.Unlock()
	expect(t, h.sale("k", "tok_visa"), 503, "ledger_busy")
	expect(t, h.get("/v1/charges?idempotency_key=k"), 404, "idempotency_key_not_found")
	ledger.mu.Lock()
	ledger.pending = nil
	ledger.mu.Unlock()
	close(d.gate)
	for range 2 {
		if err := ledger.Close(); err != nil {
			t.Fatal(err)
		}
	}
	expect(t, h.sale("k", "tok_visa"), 503, "ledger_unavailable")
}
