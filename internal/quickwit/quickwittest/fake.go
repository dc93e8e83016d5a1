// Package quickwittest is a Quickwit for tests: as much of its REST API as is used, with the documented limits and answers.
//
// It takes index configurations, and documents by POST api/v1/<index>/ingest, of at most 10 MiB a request; it rejects lines that
// are no JSON object or lack the index's timestamp, and counts them in its answer as releases from 0.9 on do. It can be away, and it
// can be busy, which is its answer of 429 while its queue is full.
package quickwittest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"sync"
	"testing"
	"unicode/utf8"
)

const (
	maxBody  = 10 << 20
	maxIndex = 1 << 20
)

// indexID is what Quickwit takes for one.
var indexID = regexp.MustCompile(`^[a-zA-Z][a-zA-Z0-9_.-]{2,254}$`)

// Fake Quickwit.
type Fake struct {
	server *httptest.Server

	mu      sync.Mutex
	indexes map[string]*index
	state   state
	asked   map[state]int
	stored  func()
}

// state of the whole.
type state int

const (
	well state = iota
	away
	busy
)

type index struct {
	config struct {
		Version    string `json:"version"`
		ID         string `json:"index_id"`
		DocMapping *struct {
			Timestamp string `json:"timestamp_field"`
		} `json:"doc_mapping"`
	}
	documents []map[string]any
	committed int // how many of them are found
}

// Start a fake until the test ends.
func Start(t testing.TB) *Fake {
	t.Helper()
	f := &Fake{indexes: map[string]*index{}, asked: map[state]int{}}
	indexes, documents := http.NewServeMux(), http.NewServeMux() // their patterns overlap
	indexes.HandleFunc("POST /api/v1/indexes", f.create)
	indexes.HandleFunc("GET /api/v1/indexes/{index}", f.describe)
	indexes.HandleFunc("DELETE /api/v1/indexes/{index}", f.remove)
	documents.HandleFunc("POST /api/v1/{index}/ingest", f.ingest)
	documents.HandleFunc("GET /api/v1/{index}/search", f.search)
	f.server = httptest.NewServer(f.guarded(indexes, documents))
	t.Cleanup(f.server.Close)
	return f
}

// URL of the fake.
func (f *Fake) URL() string { return f.server.URL }

// Away from now on: connections break, nothing is answered.
func (f *Fake) Away() { f.set(away) }

// Busy from now on: its queue is full.
func (f *Fake) Busy() { f.set(busy) }

// Well from now on.
func (f *Fake) Well() { f.set(well) }

func (f *Fake) set(s state) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.state, f.asked = s, map[state]int{}
}

// Refused requests since it has been away or busy.
func (f *Fake) Refused() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.asked[away] + f.asked[busy]
}

// Stored is called whenever documents have been stored and before that is answered; a panic with http.ErrAbortHandler loses the answer.
func (f *Fake) Stored(call func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.stored = call
}

// Documents of an index in the order in which they were written, committed or not.
func (f *Fake) Documents(id string) []map[string]any {
	f.mu.Lock()
	defer f.mu.Unlock()
	if i := f.indexes[id]; i != nil {
		return append([]map[string]any(nil), i.documents...)
	}
	return nil
}

// Drop an index with all that it has.
func (f *Fake) Drop(id string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.indexes, id)
}

func (f *Fake) guarded(indexes, documents http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		f.mu.Lock()
		now := f.state
		f.asked[now]++
		f.mu.Unlock()
		switch {
		case now == away:
			panic(http.ErrAbortHandler)
		case strings.HasPrefix(r.URL.Path, "/api/v1/indexes"):
			indexes.ServeHTTP(w, r)
		case now == busy && r.Method == http.MethodPost:
			refuse(w, http.StatusTooManyRequests, "the ingest queue is full")
		default:
			documents.ServeHTTP(w, r)
		}
	})
}

func refuse(w http.ResponseWriter, status int, format string, args ...any) {
	answer(w, status, map[string]any{"message": fmt.Sprintf(format, args...)})
}

func answer(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json; charset=UTF-8")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body) // a client that is gone does not read it
}

// read a body that has a limit; false when it was refused.
func read(w http.ResponseWriter, r *http.Request, limit int64) ([]byte, bool) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, limit))
	if err != nil {
		refuse(w, http.StatusRequestEntityTooLarge, "the request payload is too large")
		return nil, false
	}
	return body, true
}

func (f *Fake) create(w http.ResponseWriter, r *http.Request) {
	body, ok := read(w, r, maxIndex)
	if !ok {
		return
	}
	i := &index{}
	if err := json.Unmarshal(body, &i.config); err != nil || i.config.Version == "" || i.config.DocMapping == nil || !indexID.MatchString(i.config.ID) {
		refuse(w, http.StatusBadRequest, "invalid index config: %v", err)
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.indexes[i.config.ID] != nil {
		refuse(w, http.StatusBadRequest, "index `%s` already exists", i.config.ID)
		return
	}
	f.indexes[i.config.ID] = i
	answer(w, http.StatusOK, map[string]any{"index_config": i.config})
}

// of a request; nil when there is none, which has been answered. The lock must be held.
func (f *Fake) of(w http.ResponseWriter, r *http.Request) *index {
	i := f.indexes[r.PathValue("index")]
	if i == nil {
		refuse(w, http.StatusNotFound, "index `%s` not found", r.PathValue("index"))
	}
	return i
}

func (f *Fake) describe(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if i := f.of(w, r); i != nil {
		answer(w, http.StatusOK, map[string]any{"index_config": i.config})
	}
}

func (f *Fake) remove(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if i := f.of(w, r); i != nil {
		delete(f.indexes, i.config.ID)
		answer(w, http.StatusOK, []any{})
	}
}

func (f *Fake) ingest(w http.ResponseWriter, r *http.Request) {
	body, ok := read(w, r, maxBody)
	if !ok {
		return
	}
	commit := r.URL.Query().Get("commit")
	switch {
	case !utf8.Valid(body):
		refuse(w, http.StatusBadRequest, "body is not utf-8")
		return
	case commit != "" && commit != "auto" && commit != "wait_for" && commit != "force":
		refuse(w, http.StatusBadRequest, "unknown variant `%s`", commit)
		return
	}
	f.mu.Lock()
	i := f.of(w, r)
	if i == nil {
		f.mu.Unlock()
		return
	}
	lines, rejected := 0, 0
	for line := range bytes.Lines(body) {
		if line = bytes.TrimSpace(line); len(line) == 0 {
			continue
		}
		lines++
		if !i.take(line) {
			rejected++
		}
	}
	if commit == "wait_for" || commit == "force" {
		i.committed = len(i.documents)
	}
	stored := f.stored
	f.mu.Unlock()
	if stored != nil && lines > rejected {
		stored()
	}
	answer(w, http.StatusOK, map[string]any{"num_docs_for_processing": lines, "num_ingested_docs": lines - rejected, "num_rejected_docs": rejected})
}

func (i *index) take(line []byte) bool {
	var d map[string]any
	if json.Unmarshal(line, &d) != nil || d == nil {
		return false
	}
	if field := i.config.DocMapping.Timestamp; field != "" && d[field] == nil {
		return false
	}
	i.documents = append(i.documents, d)
	return true
}

func (f *Fake) search(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if i := f.of(w, r); i != nil {
		answer(w, http.StatusOK, map[string]any{"num_hits": i.committed, "hits": i.documents[:i.committed]})
	}
}
