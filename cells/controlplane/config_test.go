package controlplane

import (
	"context"
	"encoding/hex"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/cellar-commerce/cellar/cells/topology"
	"github.com/cellar-commerce/cellar/internal/secret"
)

func TestAnIncompleteConfigurationIsRefusedWithAllThatIsWrong(t *testing.T) {
	_, err := NewProcess(t.Context(), Config{CoolDown: -1}, io.Discard)
	if err == nil {
		t.Fatal("it is taken")
	}
	for _, want := range []string{"name", "database-url", "map must", "map-signing-key-file", "map-key-file", "peer-key-file", "pool-size", "cool-down"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%v does not name %s", err, want)
		}
	}
}

func TestAKeyThatNobodyWouldFollowIsRefused(t *testing.T) {
	dir := t.TempDir()
	signing, public, peer := filepath.Join(dir, "map.key"), filepath.Join(dir, "map.pub"), filepath.Join(dir, "peer.key")
	other, err := topology.NewSigningKey(make([]byte, 32))
	err = errors.Join(err, os.WriteFile(signing, []byte(hex.EncodeToString([]byte(strings.Repeat("k", 32)))+"\n"), 0o600), topology.WriteKeys(public, other.Public()), secret.Make(peer))
	if err != nil {
		t.Fatal(err)
	}
	_, err = NewProcess(t.Context(), Config{Name: "x", DatabaseURL: "postgres://127.0.0.1:1/", PoolSize: 8, Map: filepath.Join(dir, "map"), SigningKey: signing, MapKey: public, PeerKey: peer}, io.Discard)
	if err == nil || !strings.Contains(err.Error(), "nobody would follow") {
		t.Errorf("got %v", err)
	}
}

func TestTheBootstrapFileIsReadAsItWasWritten(t *testing.T) {
	path := filepath.Join(t.TempDir(), "cells.json")
	if err := WriteBootstrap(path, fleet()); err != nil {
		t.Fatal(err)
	}
	if got, err := readBootstrap(path); err != nil || !slices.Equal(got, fleet()) {
		t.Errorf("%v: got %+v", err, got)
	}
	if got, err := readBootstrap(""); got != nil || err != nil {
		t.Errorf("none: %v, %v", got, err)
	}
	for name, content := range map[string]string{"no array": "{}", "no region": `[{"id":"a"}]`, "no id": `[{"region":"us-east-1"}]`, "too big": strings.Repeat(" ", maxBootstrap+1)} {
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := readBootstrap(path); err == nil {
			t.Errorf("%s: it is taken", name)
		}
	}
	if _, err := readBootstrap(filepath.Join(t.TempDir(), "none")); err == nil {
		t.Error("a file that is not there is taken")
	}
}

func TestTheMapIsPutIntoItsFileHoweverOftenThatFails(t *testing.T) {
	w := newWorld(t)
	s := w.leader()
	put := make(chan string, 8)
	failures := 2
	o := outlet{name: "test", put: func(_ context.Context, snapshot []byte) error {
		if failures--; failures >= 0 {
			return errors.New("the disk is full")
		}
		put <- string(snapshot)
		return nil
	}}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); o.run(ctx, s.feed, w.clock, s.deps.Log) }()
	for range 2 {
		w.must(w.clock.AwaitSleepers(t.Context(), 1))
		w.clock.Advance(putAgain)
	}
	if got := <-put; got != string(s.feed.newest().snapshot) {
		t.Error("another map was put")
	}
	next := of(s.publisher.setWeight(t.Context(), "use1-a", 7, Cause{Who: "x", Reason: "y"})).must(t)
	if got := <-put; got != string(next.snapshot) {
		t.Error("the next map was not put")
	}
	cancel()
	<-done
	path := filepath.Join(t.TempDir(), "map")
	w.must(fileOutlet(path).put(t.Context(), next.snapshot))
	if v := versionIn(path, s.deps.Keys); v != 2 {
		t.Errorf("the file has version %d", v)
	}
}

func TestWhoeverHasAMapOfADatabaseThatIsGoneGetsANewerOne(t *testing.T) {
	w := newWorld(t)
	s := w.plane("one", true, func(d *Deps) { d.Floor = 41 })
	w.must(s.beginOnce(t.Context()))
	if v := s.feed.newest().m.Version; v != 42 {
		t.Errorf("the first map has version %d", v)
	}
	of(s.publisher.setWeight(t.Context(), "use1-a", 7, Cause{Who: "x", Reason: "y", Seen: 42})).must(t)
	if v := s.feed.newest().m.Version; v != 43 {
		t.Errorf("the second map has version %d", v)
	}
}

func TestAProcessThatStopsSaysThatItDrainsAndEndsItsStreams(t *testing.T) {
	w := newWorld(t)
	p := &Process{service: w.plane("one", false)}
	p.setReady(true)
	if !p.ready.Ready() {
		t.Error("it is not ready")
	}
	p.setReady(false)
	rec := httptest.NewRecorder()
	p.ready.ServeHTTP(rec, nil)
	if rec.Code != http.StatusServiceUnavailable || strings.TrimSpace(rec.Body.String()) != "draining" {
		t.Errorf("%d: %s", rec.Code, rec.Body.String())
	}
	expectReason(t, p.service.feed.watch(t.Context(), w.clock, 0, nil), "STOPPING")
}
