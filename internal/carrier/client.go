package carrier

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
)

const (
	// defaultTimeout of a call; nobody waits for a carrier but a worker.
	defaultTimeout = 5 * time.Second
	// maxAnswerBytes bounds an answer: a parcel with a hundred scans is 30 KB, a label less.
	maxAnswerBytes = 256 << 10
	// maxIdleConns to the one host.
	maxIdleConns = 32
)

// ErrUnavailable reports that it is not known whether the carrier did what it was asked. Ask again: it does it once.
var ErrUnavailable = errors.New("carrier unavailable")

// Codes of a RequestError that callers act on.
const (
	CodeUnknownParcel = "no_such_parcel"
	CodeHandedOver    = "handed_over"
	CodeCanceled      = "canceled"
)

// RequestError is a 4xx answer: refused, nothing was done, and asking again changes nothing.
type RequestError struct {
	Status  int
	Code    string
	Message string
}

// Error implements error.
func (e *RequestError) Error() string {
	return fmt.Sprintf("carrier: %d %s: %s", e.Status, e.Code, e.Message)
}

// Refused tells whether an error is a refusal with this code.
func Refused(err error, code string) bool {
	refused, ok := errors.AsType[*RequestError](err)
	return ok && refused.Code == code
}

// Config of a client.
type Config struct {
	// BaseURL of the carrier, such as http://127.0.0.1:8070.
	BaseURL string
	// Timeout of a call with its answer; 5 s when zero.
	Timeout time.Duration
}

// Client of one carrier. It is safe for concurrent use.
type Client struct {
	base    string
	http    *http.Client
	timeout time.Duration
}

// New client; it fails on a BaseURL that is no http address with a host.
func New(config Config) (*Client, error) {
	base, err := url.Parse(config.BaseURL)
	if err != nil || (base.Scheme != "http" && base.Scheme != "https") || base.Host == "" {
		return nil, fmt.Errorf("new carrier client: BaseURL %q is no http address", config.BaseURL)
	}
	if config.Timeout <= 0 {
		config.Timeout = defaultTimeout
	}
	transport := &http.Transport{MaxIdleConns: maxIdleConns, MaxIdleConnsPerHost: maxIdleConns, IdleConnTimeout: 90 * time.Second, DisableCompression: true}
	return &Client{base: strings.TrimSuffix(config.BaseURL, "/") + "/carrier/v1", http: &http.Client{Transport: transport}, timeout: config.Timeout}, nil
}

// Book a parcel. The same key gives the same parcel.
func (c *Client) Book(ctx context.Context, b Booking) (Parcel, error) {
	body, err := json.Marshal(b)
	if err != nil {
		return Parcel{}, fmt.Errorf("book parcel %s: %w", b.Key, err)
	}
	p, err := c.parcel(ctx, http.MethodPost, "/parcels", b.Key, body)
	if err != nil {
		return Parcel{}, fmt.Errorf("book parcel %s: %w", b.Key, err)
	}
	return p, nil
}

// HandOver a booked parcel. Again it changes nothing. A RequestError with CodeCanceled or CodeUnknownParcel otherwise.
func (c *Client) HandOver(ctx context.Context, number string) (Parcel, error) {
	return c.about(ctx, http.MethodPost, number, "/handover")
}

// Cancel a parcel that was not handed over. Again it changes nothing. A RequestError with CodeHandedOver or
// CodeUnknownParcel otherwise.
func (c *Client) Cancel(ctx context.Context, number string) (Parcel, error) {
	return c.about(ctx, http.MethodPost, number, "/cancel")
}

// Find a parcel with its scans. A RequestError with CodeUnknownParcel when there is none.
func (c *Client) Find(ctx context.Context, number string) (Parcel, error) {
	return c.about(ctx, http.MethodGet, number, "")
}

// Label of a parcel, an SVG.
func (c *Client) Label(ctx context.Context, number string) ([]byte, error) {
	label, err := c.do(ctx, http.MethodGet, "/parcels/"+url.PathEscape(number)+"/label", "", nil)
	if err != nil {
		return nil, fmt.Errorf("label of %s: %w", number, err)
	}
	return label, nil
}

func (c *Client) about(ctx context.Context, method, number, verb string) (Parcel, error) {
	p, err := c.parcel(ctx, method, "/parcels/"+url.PathEscape(number)+verb, "", nil)
	if err != nil {
		return Parcel{}, fmt.Errorf("parcel %s%s: %w", number, verb, err)
	}
	return p, nil
}

func (c *Client) parcel(ctx context.Context, method, path, key string, body []byte) (Parcel, error) {
	answer, err := c.do(ctx, method, path, key, body)
	if err != nil {
		return Parcel{}, err
	}
	var p Parcel
	if err := json.Unmarshal(answer, &p); err != nil || p.TrackingNumber == "" || !p.Status.known() {
		return Parcel{}, fmt.Errorf("%w: the answer is no parcel", ErrUnavailable)
	}
	return p, nil
}

func (c *Client) do(ctx context.Context, method, path, key string, body []byte) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, method, c.base+path, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	if key != "" {
		request.Header.Set("Idempotency-Key", key)
	}
	if body != nil {
		request.Header.Set("Content-Type", "application/json")
	}
	response, err := c.http.Do(request)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	answer, err := io.ReadAll(io.LimitReader(response.Body, maxAnswerBytes+1))
	err = errors.Join(err, response.Body.Close())
	switch status := response.StatusCode; {
	case err != nil || len(answer) > maxAnswerBytes:
		return nil, fmt.Errorf("%w: the answer could not be read", ErrUnavailable)
	case status == http.StatusOK || status == http.StatusCreated:
		return answer, nil
	case status >= 400 && status < 500 && status != http.StatusRequestTimeout && status != http.StatusTooManyRequests:
		return nil, refusal(status, answer)
	default:
		return nil, fmt.Errorf("%w: status %d", ErrUnavailable, status)
	}
}

// refusal of a carrier; its code is "unexplained" when a proxy, say, answered in its place.
func refusal(status int, body []byte) error {
	var said struct {
		Error struct {
			Code    string `json:"code"`
			Message string `json:"message"`
		} `json:"error"`
	}
	if err := json.Unmarshal(body, &said); err != nil || said.Error.Code == "" {
		return &RequestError{Status: status, Code: "unexplained", Message: http.StatusText(status)}
	}
	return &RequestError{Status: status, Code: said.Error.Code, Message: said.Error.Message}
}
