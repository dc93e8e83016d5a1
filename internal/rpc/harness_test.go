package rpc_test

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"connectrpc.com/connect"

	"github.com/cellar-commerce/cellar/internal/clock"
	"github.com/cellar-commerce/cellar/internal/fence"
	cartv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/cart/v1"
	"github.com/cellar-commerce/cellar/internal/gen/cellar/cart/v1/cartv1connect"
	catalogv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/catalog/v1"
	"github.com/cellar-commerce/cellar/internal/gen/cellar/catalog/v1/catalogv1connect"
	"github.com/cellar-commerce/cellar/internal/ident"
	"github.com/cellar-commerce/cellar/internal/process"
	"github.com/cellar-commerce/cellar/internal/rpc"
	"github.com/cellar-commerce/cellar/internal/session"
)

const (
	me   = "use1-a"
	peer = "use1-b"
	key  = "the platform's own key"
)

var now = time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)

// cell is the two listeners of a cell with a cart and a catalogue that do what a test says.
type cell struct {
	cartv1connect.UnimplementedCartServiceHandler
	catalogv1connect.UnimplementedCatalogServiceHandler

	signer *session.Signer
	fence  *fence.SlotFence
	clock  *clock.Manual
	public *httptest.Server
	peers  *httptest.Server

	// handle answers GetCart, AddItem, ReadCart and GetProduct; nil answers nothing in particular.
	handle func(ctx context.Context) error

	mu    sync.Mutex
	seen  []context.Context
	ended []string
	log   bytes.Buffer
}

// GetCart implements the cart.
func (c *cell) GetCart(ctx context.Context, _ *cartv1.GetCartRequest) (*cartv1.GetCartResponse, error) {
	return &cartv1.GetCartResponse{}, c.serve(ctx)
}

// AddItem implements the cart.
func (c *cell) AddItem(ctx context.Context, _ *cartv1.AddItemRequest) (*cartv1.AddItemResponse, error) {
	return &cartv1.AddItemResponse{}, c.serve(ctx)
}

// ReadCart implements the cart.
func (c *cell) ReadCart(ctx context.Context, _ *cartv1.ReadCartRequest) (*cartv1.ReadCartResponse, error) {
	return &cartv1.ReadCartResponse{}, c.serve(ctx)
}

// GetProduct implements the catalogue.
func (c *cell) GetProduct(ctx context.Context, _ *catalogv1.GetProductRequest) (*catalogv1.GetProductResponse, error) {
	return &catalogv1.GetProductResponse{}, c.serve(ctx)
}

func (c *cell) serve(ctx context.Context) error {
	c.mu.Lock()
	c.seen = append(c.seen, ctx)
	c.mu.Unlock()
	if c.handle != nil {
		return c.handle(ctx)
	}
	return nil
}

// served calls so far; the last one's context.
func (c *cell) served() (n int, last context.Context) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if n = len(c.seen); n > 0 {
		last = c.seen[n-1]
	}
	return n, last
}

// CallEnded implements rpc.Observer.
func (c *cell) CallEnded(procedure, code string, took time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if took < 0 {
		code += " before it began"
	}
	c.ended = append(c.ended, procedure[strings.LastIndexByte(procedure, '/')+1:]+" "+code)
}

// Write implements io.Writer for the log.
func (c *cell) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.log.Write(p)
}

func (c *cell) logged() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.log.String()
}

// Owner implements fence.Owners: slots of even number are ours.
func (c *cell) Owner(id ident.CustomerID) (string, uint64, bool) {
	if id.Slot()%2 == 0 {
		return me, 4, true
	}
	return peer, 5, true
}

// overridden customers are, for the test's sake, those of every third slot.
func (c *cell) overridden(id ident.CustomerID) bool { return id.Slot()%3 == 0 }

func newCell(t *testing.T, options ...func(*rpc.PublicDeps)) *cell {
	t.Helper()
	c := &cell{clock: clock.NewManual(now)}
	var err error
	if c.signer, err = session.NewSigner(bytes.Repeat([]byte("k"), 32)); err != nil {
		t.Fatal(err)
	}
	if c.fence, err = fence.New(fence.Deps{Cell: me, Region: "us-east-1", Owners: c, Overridden: c.overridden}); err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	handlerOptions := rpc.HandlerOptions(slog.New(slog.NewTextHandler(c, nil)), c)
	mux.Handle(cartv1connect.NewCartServiceHandler(c, handlerOptions...))
	mux.Handle(catalogv1connect.NewCatalogServiceHandler(c, handlerOptions...))
	deps := rpc.PublicDeps{Sessions: c.signer, Fence: c.fence, Clock: c.clock}
	for _, o := range options {
		o(&deps)
	}
	c.public, c.peers = listen(t, rpc.Public(deps, mux)), listen(t, rpc.Internal(key, mux))
	return c
}

// listen as the cell's programs do: HTTP/1.1 and unencrypted HTTP/2.
func listen(t *testing.T, h http.Handler) *httptest.Server {
	t.Helper()
	s := httptest.NewUnstartedServer(nil)
	s.Config = process.NewServer(h)
	s.Start()
	t.Cleanup(s.Close)
	return s
}

func (c *cell) cart(options ...connect.ClientOption) cartv1connect.CartServiceClient {
	return cartv1connect.NewCartServiceClient(http.DefaultClient, c.public.URL, options...)
}

// token of a session of a customer.
func (c *cell) token(id ident.CustomerID) string {
	token, _ := c.signer.Issue(session.Principal{CustomerID: id, SessionID: "s1"}, c.clock.Now())
	return token
}

// theirs is a customer whom the other cell serves: with the whole slot, or by an override.
func (c *cell) theirs(overridden bool) ident.CustomerID {
	for {
		if id := ident.NewCustomer("use1"); !c.fence.Mine(id) && c.overridden(id) == overridden {
			return id
		}
	}
}

// answer of a plain HTTP call, read whole.
type answer struct {
	status int
	header http.Header
	body   string
}

// post JSON the way a browser's script does.
func post(t *testing.T, url, body string, header http.Header) answer {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	for k, v := range header {
		req.Header[k] = v
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer{status: resp.StatusCode, header: resp.Header, body: string(text)}
}

func bearer(token string) http.Header { return http.Header{"Authorization": {"Bearer " + token}} }
