package topology_test

import (
	"bytes"
	"crypto/ed25519"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/cellar-commerce/cellar/cells/topology"
	"github.com/cellar-commerce/cellar/internal/ident"
)

// keyOf a seed of one byte, over and over.
func keyOf(t testing.TB, seed byte) topology.SigningKey {
	t.Helper()
	k, err := topology.NewSigningKey(bytes.Repeat([]byte{seed}, ed25519.SeedSize))
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func sign(t testing.TB, k topology.SigningKey, m *topology.Map) []byte {
	t.Helper()
	b, err := k.Sign(m)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// reseal a body as if its signer had meant it.
func reseal(k topology.SigningKey, seed byte, body []byte) []byte {
	id := k.ID()
	b := append(append([]byte("CMAP\x01"), id[:]...), body...)
	b = binary.BigEndian.AppendUint32(b, crc32.Checksum(b, crc32.MakeTable(crc32.Castagnoli)))
	return append(b, ed25519.Sign(ed25519.NewKeyFromSeed(bytes.Repeat([]byte{seed}, ed25519.SeedSize)), b)...)
}

// drawMap with everything that a map can have.
func drawMap(t *rapid.T) *topology.Map {
	m, err := topology.Even(cells())
	if err != nil {
		t.Fatal(err)
	}
	m.Version = rapid.Uint64Min(1).Draw(t, "version")
	for i := range m.Cells {
		c := &m.Cells[i]
		c.State = rapid.SampledFrom([]topology.State{topology.Active, topology.Draining, topology.Evacuated, topology.Quarantined, topology.Canary}).Draw(t, "state")
		c.Weight, c.Capacity = rapid.IntRange(0, 10_000).Draw(t, "weight"), rapid.IntRange(0, 10_000_000).Draw(t, "capacity")
		c.Public = rapid.StringMatching(`[a-z0-9.]{1,40}`).Draw(t, "host") + ":8100"
	}
	epoch := rapid.Uint64Min(1)
	if rapid.Bool().Draw(t, "small epochs") {
		epoch = rapid.Uint64Range(1, 1000)
	}
	for range rapid.IntRange(0, 60).Draw(t, "runs") {
		ring, from := rapid.IntRange(0, len(m.Rings)-1).Draw(t, "ring"), rapid.IntRange(0, ident.Slots-1).Draw(t, "from")
		o := topology.SlotOwner{Cell: uint16(rapid.IntRange(0, len(m.Cells)-1).Draw(t, "cell")), Epoch: epoch.Draw(t, "epoch")}
		for s := from; s < min(from+rapid.IntRange(1, 300).Draw(t, "slots"), ident.Slots); s++ {
			m.Rings[ring].Slots[s] = o
		}
	}
	if step := rapid.SampledFrom([]int{0, 0, 2, 3}).Draw(t, "scatter"); step > 0 {
		for s := range m.Rings[0].Slots {
			m.Rings[0].Slots[s].Cell = uint16(s % step)
		}
	}
	var overrides []topology.Override
	for range rapid.IntRange(0, 5).Draw(t, "overrides") {
		code, _ := rapid.SampledFrom(ident.Regions()).Draw(t, "home").Code()
		id := ident.CustomerID(rapid.SampledFrom([]string{"c-", "g-"}).Draw(t, "kind") + string(code) + "-" + rapid.StringMatching(`[a-z0-9]{24}`).Draw(t, "id"))
		if !slices.ContainsFunc(overrides, func(o topology.Override) bool { return o.Customer == id }) {
			overrides = append(overrides, topology.Override{Customer: id, Cell: uint16(rapid.IntRange(0, len(m.Cells)-1).Draw(t, "override"))})
		}
	}
	m.SetOverrides(overrides)
	return m
}

func TestASnapshotGivesTheSameMapBack(t *testing.T) {
	key := keyOf(t, 1)
	rapid.Check(t, func(rt *rapid.T) {
		m := drawMap(rt)
		snapshot := sign(t, key, m)
		back, err := topology.Open(snapshot, topology.NewKeys(key.Public()))
		if err != nil {
			rt.Fatal(err)
		}
		if !reflect.DeepEqual(m, back) {
			rt.Fatal("the map has changed")
		}
		if !bytes.Equal(snapshot, sign(t, key, back)) {
			rt.Fatal("the same map gave another snapshot")
		}
	})
}

// scattered is the worst map of three rings and n cells: no two neighbours alike, names and addresses as long as they may
// be, all overrides there can be, and epochs up to most apart.
func scattered(t testing.TB, n int, most uint64) *topology.Map {
	t.Helper()
	host := strings.Repeat("h", 255-len(":65535")) + ":65535"
	m := &topology.Map{Version: 1 << 62}
	for i := range n {
		m.Cells = append(m.Cells, topology.Cell{
			ID: strings.Repeat("n", 62) + string(rune('a'+i/26)) + string(rune('a'+i%26)), Region: ident.Regions()[i%3], State: topology.Canary,
			Weight: 10_000, Capacity: 10_000_000, Public: host, Internal: host, Admin: host,
		})
	}
	for _, region := range ident.Regions() {
		r := topology.Ring{Region: region}
		for s := range r.Slots {
			r.Slots[s] = topology.SlotOwner{Cell: uint16(s * 7 % n), Epoch: 1<<40 + uint64(s)*2654435761%most}
		}
		r.Slots[0].Epoch, r.Slots[1].Epoch = 1<<40, 1<<40+most-1
		m.Rings = append(m.Rings, r)
	}
	var overrides []topology.Override
	for i := range topology.MaxOverrides {
		overrides = append(overrides, topology.Override{Customer: ident.NewCustomer("euc1"), Cell: uint16(i % n)})
	}
	m.SetOverrides(overrides)
	return m
}

// The sum of the worst: 20 names and 60 addresses, 512 overrides, 12,288 slots of 5 bits for the owner and 20 for the epoch.
func TestThreeRingsNeverTakeMoreThan64KiB(t *testing.T) {
	key := keyOf(t, 1)
	for _, test := range []struct {
		cells int
		apart uint64
	}{{6, 1}, {6, 16}, {6, 1 << 20}, {12, 1 << 12}, {20, 16}, {20, 1 << 20}} {
		b := sign(t, key, scattered(t, test.cells, test.apart))
		t.Logf("%d cells, epochs up to %d apart, everything scattered, 512 overrides, longest names: %d bytes", test.cells, test.apart, len(b))
		if len(b) > 64<<10 {
			t.Errorf("%d cells, epochs %d apart: %d bytes", test.cells, test.apart, len(b))
		}
		if _, err := topology.Open(b, topology.NewKeys(key.Public())); err != nil {
			t.Error(err)
		}
	}
	b := sign(t, key, even(t))
	t.Logf("three even rings of nine cells: %d bytes", len(b))
	if len(b) > 1<<10 {
		t.Errorf("three even rings take %d bytes", len(b))
	}
}

func TestWhatIsTooBigIsNeitherMadeNorRead(t *testing.T) {
	m := scattered(t, 20, 1<<62)
	for i := 20; i < 1024; i++ {
		c := m.Cells[0]
		c.ID = strings.Repeat("x", 60) + string(rune('a'+i/676)) + string(rune('a'+i/26%26)) + string(rune('a'+i%26))
		m.Cells = append(m.Cells, c)
	}
	if _, err := keyOf(t, 1).Sign(m); !errors.Is(err, topology.ErrTooBig) {
		t.Errorf("made: %v", err)
	}
	if _, err := topology.Open(make([]byte, topology.MaxSnapshot+1), nil); !errors.Is(err, topology.ErrTooBig) {
		t.Errorf("read: %v", err)
	}
}

func TestEverySingleFlippedBitIsRefused(t *testing.T) {
	key := keyOf(t, 1)
	good := sign(t, key, even(t))
	for at := range len(good) * 8 {
		bad := bytes.Clone(good)
		bad[at/8] ^= 1 << (at % 8)
		want := topology.ErrChecksum
		switch {
		case at < 5*8:
			want = topology.ErrUnsupported
		case at >= (len(good)-ed25519.SignatureSize)*8:
			want = topology.ErrSignature
		}
		if _, err := topology.Open(bad, topology.NewKeys(key.Public())); !errors.Is(err, want) {
			t.Fatalf("bit %d: %v, want %v", at, err, want)
		}
	}
	for n := range good {
		if _, err := topology.Open(good[:n], topology.NewKeys(key.Public())); err == nil {
			t.Fatalf("the first %d bytes were taken", n)
		}
	}
}

func TestOnlyKnownKeysAreBelievedAndSeveralMayBe(t *testing.T) {
	old, next, foreign := keyOf(t, 1), keyOf(t, 2), keyOf(t, 3)
	both := topology.NewKeys(old.Public(), next.Public())
	for _, k := range []topology.SigningKey{old, next} {
		if _, err := topology.Open(sign(t, k, even(t)), both); err != nil {
			t.Error(err)
		}
	}
	if _, err := topology.Open(sign(t, foreign, even(t)), both); !errors.Is(err, topology.ErrUnknownKey) {
		t.Errorf("a foreign key: %v", err)
	}
	// Who names our key and signs with another.
	body, err := topology.Encode(even(t))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := topology.Open(reseal(old, 3, body), both); !errors.Is(err, topology.ErrSignature) {
		t.Errorf("a forged signature: %v", err)
	}
	if _, err := topology.Open(reseal(old, 1, body), both); err != nil {
		t.Errorf("the forger of this test does not forge well: %v", err)
	}
}

func TestAnInvalidMapIsNeitherSignedNorFollowed(t *testing.T) {
	key := keyOf(t, 1)
	spoiled := even(t)
	spoiled.Version = 0
	if _, err := key.Sign(spoiled); !errors.Is(err, topology.ErrInvalid) {
		t.Errorf("signed: %v", err)
	}
	body, err := topology.Encode(even(t))
	if err != nil {
		t.Fatal(err)
	}
	for name, bad := range map[string][]byte{
		"no version":               append([]byte{0}, body[1:]...),
		"a version in two bytes":   append([]byte{0x81, 0}, body[1:]...),
		"something after the end":  append(bytes.Clone(body), 0),
		"something missing":        body[:len(body)-1],
		"nothing":                  nil,
		"two million cells":        {1, 0xff, 0xff, 0x7f},
		"a number of eleven bytes": bytes.Repeat([]byte{0xff}, 11),
	} {
		if _, err := topology.Open(reseal(key, 1, bad), topology.NewKeys(key.Public())); !errors.Is(err, topology.ErrInvalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// What decodes is valid, and is the one way to write it.
func FuzzSnapshot(f *testing.F) {
	key := keyOf(f, 1)
	keys := topology.NewKeys(key.Public())
	for _, m := range []*topology.Map{even(f), scattered(f, 6, 1<<12)} {
		body, err := topology.Encode(m)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(body, true)
		f.Add(sign(f, key, m), false)
	}
	f.Fuzz(func(t *testing.T, b []byte, signed bool) {
		if signed { // as if the control plane had gone mad
			if len(b) > topology.MaxSnapshot-1<<10 {
				return
			}
			b = reseal(key, 1, b)
		}
		m, err := topology.Open(b, keys)
		if err != nil {
			if m != nil || topology.Reason(err) == "other" {
				t.Errorf("an error of no kind: %v", err)
			}
			return
		}
		if err := m.Validate(); err != nil {
			t.Error(err)
		}
		if again := sign(t, key, m); !bytes.Equal(again, b) {
			t.Error("a map can be written in two ways")
		}
	})
}

func TestKeysAreReadAsTheyAreWritten(t *testing.T) {
	path := filepath.Join(t.TempDir(), "map.pub")
	a, b := keyOf(t, 1), keyOf(t, 2)
	if err := topology.WriteKeys(path, a.Public(), b.Public()); err != nil {
		t.Fatal(err)
	}
	keys, err := topology.ReadKeys(path)
	if err != nil || len(keys) != 2 || keys[a.ID()] == nil || keys[b.ID()] == nil {
		t.Errorf("%v, %v", keys, err)
	}
	for name, text := range map[string]string{
		"empty": "", "words": "a key\n", "short": "abcd\n", "no key": "# only words\n", "too many": manyKeys(t),
	} {
		if err := topology.WriteFile(path, []byte(text)); err != nil {
			t.Fatal(err)
		}
		if _, err := topology.ReadKeys(path); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
}

func manyKeys(t *testing.T) string {
	var text strings.Builder
	for i := range byte(17) {
		public := keyOf(t, i+1).Public()
		for _, b := range public {
			text.WriteString(string("0123456789abcdef"[b>>4]) + string("0123456789abcdef"[b&15]))
		}
		text.WriteString("\n")
	}
	return text.String()
}
