package main

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"

	"github.com/cellar-commerce/cellar/cells/topology"
	"github.com/cellar-commerce/cellar/cells/topology/consultest"
	"github.com/cellar-commerce/cellar/internal/ident"
	"github.com/cellar-commerce/cellar/internal/secret"
	"github.com/cellar-commerce/cellar/internal/settings"
	"github.com/cellar-commerce/cellar/router"
)

func source(out io.Writer, environ []string, args ...string) settings.Source {
	return settings.Source{Prefix: "CELLAR_ROUTER", Environ: environ, Args: args, Out: out}
}

func TestMistakesAreNamed(t *testing.T) {
	dir := mapOf(t, "127.0.0.1:1")
	peer := filepath.Join(dir, "peer.key")
	if err := secret.Make(peer); err != nil {
		t.Fatal(err)
	}
	for want, args := range map[string][]string{
		"--region":          {"--map", "x"},
		"--map":             {"--region", "us-east-1"},
		"--map-key-file":    {"--region", "us-east-1", "--map", "x"},
		"--peer-key-file":   {"--region", "us-east-1", "--map", "x", "--map-key-file", "x", "--control-plane", "x:1"},
		"no such file":      {"--region", "us-east-1", "--map", "x", "--map-key-file", filepath.Join(t.TempDir(), "none")},
		"no map to begin":   {"--region", "us-east-1", "--map", filepath.Join(t.TempDir(), "none"), "--map-key-file", filepath.Join(dir, "map.pub")},
		"is no host:port":   {"--region", "us-east-1", "--map", filepath.Join(dir, "map"), "--map-key-file", filepath.Join(dir, "map.pub"), "--control-plane", "x", "--peer-key-file", peer},
		"no mode \"fresh\"": {"--region", "us-east-1", "--map", filepath.Join(dir, "map"), "--map-key-file", filepath.Join(dir, "map.pub"), "--consul", "127.0.0.1:1", "--consul-mode", "fresh"},
		"listne":            {"--listne", "x"},
	} {
		if err := run(t.Context(), source(io.Discard, nil, args...), io.Discard); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v: got %v, want %q in it", args, err, want)
		}
	}
	if err := run(t.Context(), source(io.Discard, []string{"CELLAR_ROUTER_LISTNE=x"}), io.Discard); err == nil || !strings.Contains(err.Error(), "CELLAR_ROUTER_LISTNE") {
		t.Errorf("got %v", err)
	}
}

func TestTheDefaultsArePrinted(t *testing.T) {
	var out strings.Builder
	err := run(t.Context(), source(&out, []string{"CELLAR_ROUTER_DRAIN=2s"}, "--print-config"), io.Discard)
	if !errors.Is(err, settings.ErrPrinted) {
		t.Fatal(err)
	}
	for _, want := range []string{"listen=127.0.0.1:8080\t# default", "admin=127.0.0.1:8160\t# default", "drain=2s\t# CELLAR_ROUTER_DRAIN"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in\n%s", want, out.String())
		}
	}
}

// fakeCell is ready, and answers every request.
func fakeCell(t *testing.T) string {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "served") }))
	t.Cleanup(s.Close)
	return s.Listener.Addr().String()
}

// mapOf cells at one address: a directory with the files map and map.pub.
func mapOf(t *testing.T, address string) (dir string) {
	t.Helper()
	var cells []topology.Cell
	for _, region := range ident.Regions() {
		cells = append(cells, topology.Cell{ID: string(region) + "-a", Region: region, State: topology.Active, Weight: 1, Public: address, Internal: address, Admin: address})
	}
	m, err := topology.Even(cells)
	if err != nil {
		t.Fatal(err)
	}
	key, err := topology.NewSigningKey(make([]byte, 32))
	if err != nil {
		t.Fatal(err)
	}
	snapshot, err := key.Sign(m)
	if err != nil {
		t.Fatal(err)
	}
	dir = t.TempDir()
	if err := errors.Join(topology.WriteFile(filepath.Join(dir, "map"), snapshot), topology.WriteKeys(filepath.Join(dir, "map.pub"), key.Public())); err != nil {
		t.Fatal(err)
	}
	return dir
}

// status of a page, and what it says.
func page(t *testing.T, url string) (status int, body string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(b)
}

// start a router until it is ready: with its addresses by listener, and what stops it.
func start(t *testing.T, args ...string) (address map[string]string, stop func()) {
	t.Helper()
	logs, write := io.Pipe()
	ctx, cancel := context.WithCancel(t.Context())
	t.Cleanup(cancel)
	ended := make(chan error, 1)
	go func() {
		err := run(ctx, source(io.Discard, nil, append(args, "--region", "us-east-1", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--drain", "1ms")...), write)
		_ = write.Close()
		ended <- err
	}()
	address = map[string]string{}
	lines := json.NewDecoder(logs)
	for len(address) < 2 {
		var line struct{ Msg, Listener, Address string }
		if err := lines.Decode(&line); err != nil {
			t.Fatal(err, <-ended)
		}
		if line.Msg == "listening" {
			address[line.Listener] = "http://" + line.Address
		}
	}
	go func() { _, _ = io.Copy(io.Discard, logs) }() // the rest is of no interest, but must not block
	deadline := time.Now().Add(time.Minute)
	for status := 0; status != http.StatusOK; status, _ = page(t, address["public"]+"/readyz") {
		if time.Now().After(deadline) {
			t.Fatal("it does not get ready")
		}
	}
	return address, func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}
}

func TestARouterStartsServesAndStops(t *testing.T) {
	dir := mapOf(t, fakeCell(t))
	address, stop := start(t, "--map", filepath.Join(dir, "map"), "--map-key-file", filepath.Join(dir, "map.pub"))
	if status, body := page(t, address["public"]+"/any"); status != http.StatusOK || body != "served" {
		t.Errorf("got %d %q", status, body)
	}
	deadline := time.Now().Add(time.Minute)
	for { // a call is counted when its answer is through
		status, body := page(t, address["admin"]+"/metrics")
		if status == http.StatusOK && strings.Contains(body, `router_requests_seconds_count{cell="us-east-1-a",region="us-east-1",result="answered"} 1`) {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("got %d %s", status, body)
		}
	}
	stop()
}

// Nothing that the map has ever come from is there any more, and nobody notices: neither customers nor visitors, nor after a
// start from nothing but the router's own file.
func TestWhoHasLostAllSourcesOfTheMapServesOn(t *testing.T) {
	agent := consultest.New(t)
	agent.Start()
	dir := mapOf(t, fakeCell(t))
	snapshot, err := os.ReadFile(filepath.Join(dir, "map"))
	if err != nil {
		t.Fatal(err)
	}
	agent.Set("cellar/map", string(snapshot))
	own := filepath.Join(t.TempDir(), "map")
	args := []string{"--map", own, "--map-key-file", filepath.Join(dir, "map.pub"), "--consul", agent.Address}
	customer := "Bearer v1." + string(ident.NewCustomer("euc1")) + ".session.1.signature"
	calls, lost := 0, 0
	shop := func(public string) {
		for _, authorization := range []string{customer, "", "Bearer v1." + string(ident.NewGuest("use1")) + ".session.1.signature"} {
			req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, public+"/any", nil)
			if err != nil {
				t.Fatal(err)
			}
			req.Header.Set("Authorization", authorization)
			calls++
			resp, err := http.DefaultClient.Do(req)
			if err != nil || resp.StatusCode != http.StatusOK || resp.Body.Close() != nil {
				lost++
				t.Log(authorization, resp, err)
			}
		}
	}
	address, stop := start(t, args...)
	shop(address["public"])
	agent.Kill()
	shop(address["public"])
	stop()
	address, stop = start(t, args...)
	shop(address["public"])
	stop()
	if t.Logf("%d calls, %d lost", calls, lost); lost > 0 {
		t.Errorf("%d of %d calls are lost", lost, calls)
	}
}

func TestEveryServicesMethodsAreKnown(t *testing.T) {
	entries, err := filepath.Glob(filepath.Join("..", "..", "internal", "gen", "cellar", "*", "v1", "*connect"))
	if err != nil || len(entries) == 0 {
		t.Fatal(entries, err)
	}
	for _, entry := range entries {
		name := "cellar." + filepath.Base(filepath.Dir(filepath.Dir(entry))) + ".v1"
		found := false
		protoregistry.GlobalFiles.RangeFilesByPackage(protoreflect.FullName(name), func(protoreflect.FileDescriptor) bool {
			found = true
			return false
		})
		if !found {
			t.Errorf("%s is not linked into the router: add it to methods.go", name)
		}
	}
	all := repeats()
	for path, want := range map[string]router.Repeat{
		"/cellar.search.v1.SearchService/Search": router.Freely, "/cellar.checkout.v1.CheckoutService/Quote": router.InTurn,
		"/cellar.checkout.v1.CheckoutService/PlaceOrder": router.WithKey, "/cellar.cart.v1.CartService/AddItem": router.Never,
		"/checkout/order": router.WithKeyInQuery, "/cart": router.Never,
		"/cellar.inventory.v1.InventoryService/Reserve": router.Never, "/cellar.inventory.v1.InventoryService/GetStock": router.Never,
	} {
		if all[path] != want {
			t.Errorf("%s may be sent again: %v, want %v", path, all[path], want)
		}
	}
}
