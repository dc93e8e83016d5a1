package quickwit

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/cellar-commerce/cellar/internal/problem"
)

// Reasons of what Quickwit does not do.
const (
	// ReasonUnavailable: it does not answer, or is not well. Whether it has written is not known.
	ReasonUnavailable = "QUICKWIT_UNAVAILABLE"
	// ReasonBusy: its queue is full.
	ReasonBusy = "QUICKWIT_BUSY"
	// ReasonNoIndex: there is no such index.
	ReasonNoIndex = "QUICKWIT_NO_INDEX"
	// ReasonRefused: it does not take a document, or not so many bytes at once; asking again changes nothing.
	ReasonRefused = "QUICKWIT_REFUSED"
)

// Commit says when written documents are found.
type Commit string

// The commits.
const (
	// Auto: at the index's own pace; the answer does not wait.
	Auto Commit = "auto"
	// Force: before the answer. It makes small splits: for tests and single documents.
	Force Commit = "force"
)

const (
	// MaxBody of a request to write, in bytes, which Quickwit refuses beyond 10 MiB.
	MaxBody = 10 << 20
	// DefaultTimeout of a call with its answer; nobody waits but a worker.
	DefaultTimeout = 4 * time.Second
	// maxAnswer bounds what is read of an answer; that of a write has a hundred bytes, that of an index some kilobytes.
	maxAnswer = 256 << 10
	// maxSaid of an error's message, in bytes.
	maxSaid = 300
)

// Config of a client.
type Config struct {
	// BaseURL of a node, such as http://127.0.0.1:7280.
	BaseURL string
	// Timeout of a call; 0 means DefaultTimeout.
	Timeout time.Duration
}

// Client of one Quickwit. It is safe for concurrent use.
type Client struct {
	base string
	http *http.Client
}

// New client; it fails on a BaseURL that is no http address with a host. Nothing is connected to yet.
func New(cfg Config) (*Client, error) {
	base, err := url.Parse(cfg.BaseURL)
	if err != nil || (base.Scheme != "http" && base.Scheme != "https") || base.Host == "" {
		return nil, fmt.Errorf("new quickwit client: BaseURL %q is no http address", cfg.BaseURL)
	}
	if cfg.Timeout <= 0 {
		cfg.Timeout = DefaultTimeout
	}
	return &Client{
		base: strings.TrimSuffix(cfg.BaseURL, "/") + "/api/v1/",
		http: &http.Client{Timeout: cfg.Timeout, Transport: &http.Transport{MaxIdleConnsPerHost: 4, IdleConnTimeout: 90 * time.Second}},
	}, nil
}

// Index by its id, with its configuration as JSON.
type Index struct {
	ID     string
	Config []byte
}

// EnsureIndex makes an index unless there is one of its id, whatever its configuration.
func (c *Client) EnsureIndex(ctx context.Context, i Index) error {
	there := func() error {
		_, err := c.do(ctx, http.MethodGet, "indexes/"+url.PathEscape(i.ID), nil)
		return err
	}
	err := there()
	if !problem.Is(err, ReasonNoIndex) {
		return wrap(err, "index %s", i.ID)
	}
	if _, err := c.do(ctx, http.MethodPost, "indexes", i.Config); err != nil && there() != nil { // somebody else may have been quicker
		return wrap(err, "create index %s", i.ID)
	}
	return nil
}

// Ingest documents, each JSON without line breaks, in as few requests as their bytes allow. After an error some may be written, or
// all: QUICKWIT_UNAVAILABLE and QUICKWIT_BUSY are for trying again, QUICKWIT_NO_INDEX for EnsureIndex before; of several documents
// with QUICKWIT_REFUSED one by one shows which.
func (c *Client) Ingest(ctx context.Context, index string, commit Commit, documents [][]byte) error {
	for _, body := range bodies(documents) {
		if err := c.ingest(ctx, index, commit, body); err != nil {
			return wrap(err, "ingest into %s", index)
		}
	}
	return nil
}

// bodies of requests, a line a document.
func bodies(documents [][]byte) (all [][]byte) {
	var body []byte
	for _, d := range documents {
		if len(body) > 0 && len(body)+len(d)+1 > MaxBody {
			all, body = append(all, body), nil
		}
		body = append(append(body, d...), '\n')
	}
	if len(body) > 0 {
		all = append(all, body)
	}
	return all
}

func (c *Client) ingest(ctx context.Context, index string, commit Commit, body []byte) error {
	answer, err := c.do(ctx, http.MethodPost, url.PathEscape(index)+"/ingest?commit="+string(commit), body)
	if err != nil {
		return err
	}
	// Older releases do not look at documents before they answer, and say nothing of those that they refuse later.
	var counts struct {
		Taken    *int `json:"num_docs_for_processing"`
		Rejected int  `json:"num_rejected_docs"`
	}
	if err := json.Unmarshal(answer, &counts); err != nil || counts.Taken == nil {
		return problem.Wrap(errors.Join(err, errors.New("the answer has no counts")), problem.Unavailable, ReasonUnavailable, "Quickwit's answer is not understood")
	}
	if counts.Rejected > 0 {
		return problem.New(problem.Invalid, ReasonRefused, fmt.Sprintf("Quickwit refuses %d of %d documents", counts.Rejected, *counts.Taken))
	}
	return nil
}

func (c *Client) do(ctx context.Context, method, path string, body []byte) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, method, c.base+path, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, problem.Wrap(err, problem.Unavailable, ReasonUnavailable, "Quickwit does not answer")
	}
	defer func() { _ = resp.Body.Close() }()
	answer, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return nil, problem.Wrap(err, problem.Unavailable, ReasonUnavailable, "Quickwit's answer broke off")
	}
	return answer, refusal(resp.StatusCode, answer)
}

// refusal that a status stands for; nil for success.
func refusal(status int, answer []byte) error {
	said := fmt.Errorf("%d: %s", status, strings.ToValidUTF8(string(answer[:min(len(answer), maxSaid)]), "?"))
	switch {
	case status >= 200 && status < 300:
		return nil
	case status == http.StatusTooManyRequests:
		return problem.Wrap(said, problem.Exhausted, ReasonBusy, "Quickwit has too much to do")
	case status == http.StatusNotFound:
		return problem.Wrap(said, problem.NotFound, ReasonNoIndex, "Quickwit has no such index")
	case status >= 400 && status < 500 && status != http.StatusRequestTimeout && status != http.StatusUnauthorized && status != http.StatusForbidden:
		return problem.Wrap(said, problem.Invalid, ReasonRefused, "Quickwit refuses a request")
	default: // also of a gateway in front of it, which lets nobody in
		return problem.Wrap(said, problem.Unavailable, ReasonUnavailable, "Quickwit is not well")
	}
}

func wrap(err error, format string, args ...any) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("quickwit: "+format+": %w", append(args, err)...)
}
