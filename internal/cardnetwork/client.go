package cardnetwork

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

const (
	// defaultTimeout leaves a checkout, which may take 10 s, time to ask what became of a lost answer.
	defaultTimeout = 5 * time.Second
	// maxIdleConns is for one host: a cell's concurrent captures reuse connections instead of opening new ones.
	maxIdleConns = 64
	// idleTimeout is below the two minutes after which the network closes a connection, so that the client closes first.
	idleTimeout = 90 * time.Second
	dialTimeout = 2 * time.Second
	// maxAnswerBytes bounds an answer: a full ledger page with the longest keys and references is 8 MB.
	maxAnswerBytes = 16 << 20
)

// Config of a client.
type Config struct {
	// BaseURL of the network, such as http://127.0.0.1:8070.
	BaseURL string
	// HTTPClient sends the requests; nil is one tuned for many concurrent calls to one host.
	HTTPClient *http.Client
	// Timeout of each call, the reading of the answer included; 5 s when zero.
	Timeout time.Duration
}

// Client talks to one card network. It is safe for concurrent use.
type Client struct {
	base    string
	http    *http.Client
	timeout time.Duration
}

// New makes a client; it fails on a BaseURL that is not http or https with a host.
func New(config Config) (*Client, error) {
	base, err := url.Parse(config.BaseURL)
	if err != nil {
		return nil, fmt.Errorf("new card network client: %w", err)
	}
	if (base.Scheme != "http" && base.Scheme != "https") || base.Host == "" {
		return nil, fmt.Errorf("new card network client: BaseURL %q is not an http address", config.BaseURL)
	}
	c := &Client{base: strings.TrimSuffix(config.BaseURL, "/"), http: config.HTTPClient, timeout: config.Timeout}
	if c.http == nil {
		c.http = &http.Client{Transport: transport()}
	}
	if c.timeout <= 0 {
		c.timeout = defaultTimeout
	}
	return c, nil
}

func transport() *http.Transport {
	return &http.Transport{
		DialContext:         (&net.Dialer{Timeout: dialTimeout}).DialContext,
		MaxIdleConns:        maxIdleConns,
		MaxIdleConnsPerHost: maxIdleConns,
		IdleConnTimeout:     idleTimeout,
		TLSHandshakeTimeout: dialTimeout,
		DisableCompression:  true, // answers are small
	}
}

// Charge asks for a new charge. A decline is a Charge with Status Declined and no error; see the package comment for
// the errors.
func (c *Client) Charge(ctx context.Context, q ChargeRequest) (Charge, error) {
	body := struct {
		Amount    int64  `json:"amount"`
		Currency  string `json:"currency"`
		Token     string `json:"token"`
		Reference string `json:"reference"`
		Capture   bool   `json:"capture"`
	}{q.Amount, q.Currency, q.Token, q.Reference, q.Capture}
	return c.move(ctx, "/v1/charges", q.Key, body)
}

// Capture takes money that an authorized charge holds.
func (c *Client) Capture(ctx context.Context, q CaptureRequest) (Charge, error) {
	body := struct {
		Amount int64 `json:"amount"`
		Final  bool  `json:"final"`
	}{q.Amount, !q.More}
	return c.move(ctx, chargePath(q.ChargeID, "capture"), q.Key, body)
}

// Refund gives captured money back. More than is left is a *RequestError.
func (c *Client) Refund(ctx context.Context, q RefundRequest) (Charge, error) {
	return c.move(ctx, chargePath(q.ChargeID, "refund"), q.Key, amountBody{q.Amount})
}

// Void lets go of the money that an authorized charge holds.
func (c *Client) Void(ctx context.Context, q VoidRequest) (Charge, error) {
	return c.move(ctx, chargePath(q.ChargeID, "void"), q.Key, struct{}{})
}

// FindByKey returns the present state of the charge that the request with this key made or changed. False means that
// the network has seen no effect of it so far; ErrUnknownOutcome, that it is not known or not done yet: ask again.
func (c *Client) FindByKey(ctx context.Context, key string) (Charge, bool, error) {
	path := "/v1/charges?idempotency_key=" + url.QueryEscape(key)
	var found Charge
	err := c.do(ctx, call{method: http.MethodGet, path: path, lost: ErrUnknownOutcome}, &found)
	var refused *RequestError
	if errors.As(err, &refused) && refused.Code == CodeKeyNotFound {
		return Charge{}, false, nil
	}
	if err == nil {
		err = found.check()
	}
	if err != nil {
		return Charge{}, false, fmt.Errorf("find charge by key %s: %w", key, err)
	}
	return found, true, nil
}

// Find the charge that a request made, see FindByKey. It never makes one.
func (c *Client) Find(ctx context.Context, q ChargeRequest) (Charge, bool, error) {
	return c.FindByKey(ctx, q.Key)
}

// Abandon is Find: a request that is still on its way cannot be called back here.
func (c *Client) Abandon(ctx context.Context, q ChargeRequest) (Charge, bool, error) {
	return c.FindByKey(ctx, q.Key)
}

// Ledger returns at most limit entries, 1 to 10,000, whose seq is greater than after. ErrUnavailable when it could not
// be read.
func (c *Client) Ledger(ctx context.Context, after int64, limit int) (LedgerPage, error) {
	path := "/v1/ledger?after=" + strconv.FormatInt(after, 10) + "&limit=" + strconv.Itoa(limit)
	var page LedgerPage
	if err := c.do(ctx, call{method: http.MethodGet, path: path, lost: ErrUnavailable}, &page); err != nil {
		return LedgerPage{}, fmt.Errorf("ledger after %d: %w", after, err)
	}
	return page, nil
}

// amountBody is the body of a refund.
type amountBody struct {
	Amount int64 `json:"amount"`
}

func chargePath(id, verb string) string {
	return "/v1/charges/" + url.PathEscape(id) + "/" + verb
}

// move posts something that may move money.
func (c *Client) move(ctx context.Context, path, key string, body any) (Charge, error) {
	var made Charge
	encoded, err := json.Marshal(body)
	if err == nil {
		err = c.do(ctx, call{method: http.MethodPost, path: path, key: key, body: encoded, lost: ErrUnknownOutcome}, &made)
	}
	if err == nil {
		err = made.check()
	}
	if err != nil {
		return Charge{}, fmt.Errorf("%s with key %s: %w", path, key, err)
	}
	return made, nil
}

// check refuses an answer that is well-formed JSON and still no charge: acting on it would be guessing.
func (c Charge) check() error {
	if c.ID == "" || !c.Status.known() {
		return fmt.Errorf("%w: charge %q has status %q", ErrUnknownOutcome, c.ID, c.Status)
	}
	return nil
}

// call is one HTTP exchange. A failure to get a usable answer wraps lost.
type call struct {
	method string
	path   string
	key    string
	body   []byte
	lost   error
}

// do sends q and decodes a success, or a decline, into answer.
func (c *Client) do(ctx context.Context, q call, answer any) error {
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, q.method, c.base+q.path, bytes.NewReader(q.body))
	if err != nil {
		return err // nothing was sent
	}
	if q.key != "" {
		// net/http repeats a request with this header by itself when a reused connection turns out dead. The network
		// answers both alike, so that is welcome.
		request.Header.Set("Idempotency-Key", q.key)
	}
	if q.method == http.MethodPost {
		request.Header.Set("Content-Type", "application/json")
	}
	response, err := c.http.Do(request) //nolint:bodyclose // readAll closes it
	if err != nil {
		return fmt.Errorf("%w: %w", q.lost, err)
	}
	body, err := readAll(response.Body)
	if err != nil {
		return fmt.Errorf("%w: read answer: %w", q.lost, err)
	}
	switch status := response.StatusCode; {
	case status == http.StatusOK, status == http.StatusPaymentRequired:
		if err := json.Unmarshal(body, answer); err != nil {
			return fmt.Errorf("%w: decode answer: %w", q.lost, err)
		}
		return nil
	case status >= 400 && status < 500 && status != http.StatusRequestTimeout: // a proxy's 408 explains nothing
		return requestError(status, body)
	default:
		return fmt.Errorf("%w: status %d", q.lost, status)
	}
}

// readAll reads a whole answer and ends it, so that its connection can be used again.
func readAll(body io.ReadCloser) ([]byte, error) {
	content, err := io.ReadAll(io.LimitReader(body, maxAnswerBytes+1))
	if err == nil && len(content) > maxAnswerBytes {
		err = errors.New("answer is too large")
	}
	return content, errors.Join(err, body.Close())
}

// requestError decodes a refusal. Its code is "unexplained" when a proxy, say, answered in the network's place.
func requestError(status int, body []byte) error {
	var refusal struct {
		Error struct {
			Code    string `json:"code"`
			Message string `json:"message"`
		} `json:"error"`
	}
	if err := json.Unmarshal(body, &refusal); err != nil || refusal.Error.Code == "" {
		return &RequestError{Status: status, Code: "unexplained", Message: http.StatusText(status)}
	}
	return &RequestError{Status: status, Code: refusal.Error.Code, Message: refusal.Error.Message}
}
