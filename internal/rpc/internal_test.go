package rpc_test

import (
	"net/http"
	"testing"

	cartv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/cart/v1"
	"github.com/cellar-commerce/cellar/internal/gen/cellar/cart/v1/cartv1connect"
	"github.com/cellar-commerce/cellar/internal/problem"
	"github.com/cellar-commerce/cellar/internal/rpc"
	"github.com/cellar-commerce/cellar/internal/session"
)

func TestInsideOnlyThePlatformsOwnProcessesAreServed(t *testing.T) {
	c := newCell(t)
	for name, client := range map[string]*http.Client{
		"no key":        http.DefaultClient,
		"another key":   rpc.Peer("guessed", nil),
		"an empty key":  rpc.Peer("", nil),
		"part of a key": rpc.Peer(key[:len(key)-1], nil),
	} {
		_, err := cartv1connect.NewCartServiceClient(client, c.peers.URL).ReadCart(t.Context(), &cartv1.ReadCartRequest{})
		if !problem.Is(err, "NOT_A_PEER") || problem.KindOf(err) != problem.Unauthenticated {
			t.Errorf("%s: got %v", name, err)
		}
	}
	if n, _ := c.served(); n != 0 {
		t.Fatalf("%d calls came through", n)
	}
	client := cartv1connect.NewCartServiceClient(rpc.Peer(key, nil), c.peers.URL, rpc.ClientOptions()...)
	if _, err := client.ReadCart(t.Context(), &cartv1.ReadCartRequest{}); err != nil {
		t.Errorf("a peer: %v", err)
	}
	if _, ctx := c.served(); ctx == nil {
		t.Error("the cart was not asked")
	} else if p, found := session.From(ctx); found {
		t.Errorf("a peer is no shopper, and yet it serves %+v", p)
	}
}

func TestAListenerWithoutAKeyServesNobody(t *testing.T) {
	server := listen(t, rpc.Internal("", http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("a call came through") })))
	for name, client := range map[string]*http.Client{"no key": http.DefaultClient, "an empty key": rpc.Peer("", nil)} {
		_, err := cartv1connect.NewCartServiceClient(client, server.URL).ReadCart(t.Context(), &cartv1.ReadCartRequest{})
		if !problem.Is(err, "NOT_A_PEER") {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

func TestThePeersClientLeavesItsCallersRequestAlone(t *testing.T) {
	c := newCell(t)
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, c.peers.URL+"/", nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := rpc.Peer(key, nil).Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusNotFound || len(req.Header) != 0 {
		t.Errorf("got %d; the request's header is %v", resp.StatusCode, req.Header)
	}
}
