package quickwit_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/cellar-commerce/cellar/internal/problem"
	"github.com/cellar-commerce/cellar/internal/quickwit"
	"github.com/cellar-commerce/cellar/internal/quickwit/quickwittest"
)

// engine is the fake, or the real one that the environment names, with an index of the test's own.
type engine struct {
	*quickwit.Client
	url   string
	index quickwit.Index
}

func newEngine(t *testing.T) engine {
	t.Helper()
	e := engine{url: os.Getenv("CELLAR_QUICKWIT_URL")}
	if e.url == "" {
		e.url = quickwittest.Start(t).URL()
	}
	e.Client = client(t, e.url, time.Minute)
	id := fmt.Sprintf("cellar-test-%d", time.Now().UnixNano())
	e.index = quickwit.Index{ID: id, Config: fmt.Appendf(nil, `{"version": "0.8", "index_id": %q, "doc_mapping": {
		"field_mappings": [{"name": "at", "type": "datetime", "input_formats": ["rfc3339"], "fast": true}, {"name": "id", "type": "text", "tokenizer": "raw"}],
		"timestamp_field": "at"}}`, id)}
	t.Cleanup(func() { _, _ = e.call(context.WithoutCancel(t.Context()), http.MethodDelete, "indexes/"+id) })
	return e
}

func client(t *testing.T, url string, timeout time.Duration) *quickwit.Client {
	t.Helper()
	c, err := quickwit.New(quickwit.Config{BaseURL: url, Timeout: timeout})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func (e engine) call(ctx context.Context, method, path string) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, method, e.url+"/api/v1/"+path, nil)
	if err != nil {
		return nil, err
	}
	return http.DefaultClient.Do(req)
}

// ids that are found, sorted.
func (e engine) ids(t *testing.T) (ids []string) {
	t.Helper()
	resp, err := e.call(t.Context(), http.MethodGet, e.index.ID+"/search?query=*&max_hits=1000")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	var found struct{ Hits []struct{ ID string } }
	if err := json.NewDecoder(resp.Body).Decode(&found); err != nil {
		t.Fatal(err)
	}
	for _, h := range found.Hits {
		ids = append(ids, h.ID)
	}
	slices.Sort(ids)
	return ids
}

func document(id string) []byte {
	return fmt.Appendf(nil, `{"id": %q, "at": "2031-05-04T12:00:00Z"}`, id)
}

func TestDocumentsAreFoundOnceTheyAreCommitted(t *testing.T) {
	e := newEngine(t)
	if err := e.Ingest(t.Context(), e.index.ID, quickwit.Force, [][]byte{document("a")}); !problem.Is(err, quickwit.ReasonNoIndex) {
		t.Errorf("into no index: %v", err)
	}
	var wg sync.WaitGroup
	for range 4 { // as cells do that start together
		wg.Go(func() {
			if err := e.EnsureIndex(t.Context(), e.index); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	// The same id twice is there twice: whoever counts does it by id.
	for _, ids := range [][]string{{"a", "b"}, {"b", "c"}} {
		var all [][]byte
		for _, id := range ids {
			all = append(all, document(id))
		}
		if err := e.Ingest(t.Context(), e.index.ID, quickwit.Force, all); err != nil {
			t.Fatal(err)
		}
	}
	if ids := e.ids(t); !slices.Equal(ids, []string{"a", "b", "b", "c"}) {
		t.Errorf("found %v", ids)
	}
}

func TestADocumentThatIsRefusedIsToldAndKeepsNoOther(t *testing.T) {
	e := newEngine(t)
	if err := e.EnsureIndex(t.Context(), e.index); err != nil {
		t.Fatal(err)
	}
	for name, bad := range map[string]string{"no JSON": "{", "no object": "7", "no timestamp": `{"id": "x"}`} {
		if err := e.Ingest(t.Context(), e.index.ID, quickwit.Force, [][]byte{document(name), []byte(bad)}); !problem.Is(err, quickwit.ReasonRefused) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if ids := e.ids(t); len(ids) != 3 {
		t.Errorf("found %v", ids)
	}
}

func TestARequestIsNeverLongerThanQuickwitTakes(t *testing.T) {
	e := newEngine(t)
	if err := e.EnsureIndex(t.Context(), e.index); err != nil {
		t.Fatal(err)
	}
	long := func(id string, more int) []byte { return append(document(id), bytes.Repeat([]byte(" "), more)...) } // cheap to read
	if err := e.Ingest(t.Context(), e.index.ID, quickwit.Force, [][]byte{long("a", 6<<20), long("b", 6<<20), long("c", 1)}); err != nil {
		t.Fatal(err)
	}
	if err := e.Ingest(t.Context(), e.index.ID, quickwit.Force, [][]byte{long("d", quickwit.MaxBody)}); err == nil {
		t.Error("a document beyond the limit was taken")
	}
	if ids := e.ids(t); !slices.Equal(ids, []string{"a", "b", "c"}) {
		t.Errorf("found %v", ids)
	}
}

func TestWhatIsInTheWayIsTold(t *testing.T) {
	for name, c := range map[string]struct {
		answer func(http.ResponseWriter)
		reason string
	}{
		"a full queue":    {status(http.StatusTooManyRequests), quickwit.ReasonBusy},
		"no shards yet":   {status(http.StatusServiceUnavailable), quickwit.ReasonUnavailable},
		"a defect":        {status(http.StatusInternalServerError), quickwit.ReasonUnavailable},
		"a gateway":       {status(http.StatusForbidden), quickwit.ReasonUnavailable},
		"too much":        {status(http.StatusRequestEntityTooLarge), quickwit.ReasonRefused},
		"a bad request":   {status(http.StatusBadRequest), quickwit.ReasonRefused},
		"no index":        {status(http.StatusNotFound), quickwit.ReasonNoIndex},
		"another program": {func(w http.ResponseWriter) { _, _ = w.Write([]byte("welcome")) }, quickwit.ReasonUnavailable},
		"no counts":       {func(w http.ResponseWriter) { _, _ = w.Write([]byte("{}")) }, quickwit.ReasonUnavailable},
		"a lost answer":   {func(http.ResponseWriter) { panic(http.ErrAbortHandler) }, quickwit.ReasonUnavailable},
	} {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { c.answer(w) }))
		err := client(t, server.URL, 0).Ingest(t.Context(), "orders", quickwit.Auto, [][]byte{document("a")})
		server.Close()
		if !problem.Is(err, c.reason) || len(err.Error()) > 1000 {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := quickwit.New(quickwit.Config{BaseURL: "quickwit.example"}); err == nil {
		t.Error("an address without a scheme was accepted")
	}
}

func status(code int) func(http.ResponseWriter) {
	return func(w http.ResponseWriter) {
		w.WriteHeader(code)
		_, _ = w.Write(bytes.Repeat([]byte("x"), code))
	}
}

func TestAQuickwitThatHangsIsNotWaitedForForLong(t *testing.T) {
	release := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-release }))
	defer server.Close()
	defer close(release)
	if err := client(t, server.URL, time.Millisecond).EnsureIndex(t.Context(), quickwit.Index{ID: "orders"}); !problem.Is(err, quickwit.ReasonUnavailable) {
		t.Errorf("got %v", err)
	}
}
