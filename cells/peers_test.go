package cells

import (
	"bytes"
	"errors"
	"io"
	"net"
	"net/http"
	"slices"
	"testing"

	"github.com/cellar-commerce/cellar/cells/topology"
	"github.com/cellar-commerce/cellar/internal/ident"
)

// wire notes where requests go, and with what body.
type wire struct {
	sent   []string
	bodies []string
	fail   map[string]error
}

func (w *wire) RoundTrip(r *http.Request) (*http.Response, error) {
	w.sent = append(w.sent, r.URL.Host)
	if err := w.fail[r.URL.Host]; err != nil {
		return nil, err
	}
	body, err := io.ReadAll(r.Body)
	w.bodies = append(w.bodies, string(body))
	return &http.Response{StatusCode: http.StatusOK, Body: http.NoBody}, err
}

var refusedDial = &net.OpError{Op: "dial", Err: errors.New("refused")}

func newTransport(g guard) (*peerTransport, *wire) {
	m := &topology.Map{Version: 1, Cells: []topology.Cell{
		{ID: "use1-a", Region: "us-east-1", State: topology.Active, Internal: "a:1"}, {ID: "use1-b", Region: "us-east-1", State: topology.Active, Internal: "b:1"},
	}}
	w, maps := &wire{fail: map[string]error{}}, &topology.Holder{}
	maps.Offer(m)
	return &peerTransport{base: w, maps: maps, guard: g}, w
}

func call(t *testing.T, p *peerTransport, host string) error {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+host+"/x", bytes.NewReader([]byte("body")))
	if err != nil {
		t.Fatal(err)
	}
	resp, err := p.RoundTrip(r)
	if err == nil {
		_ = resp.Body.Close()
	}
	return err
}

func TestARegionsCellsAreAskedInTurn(t *testing.T) {
	p, w := newTransport(&gatekeeper{})
	for range 4 {
		if err := call(t, p, "us-east-1"); err != nil {
			t.Fatal(err)
		}
	}
	if w.sent[0] == w.sent[1] || w.sent[0] != w.sent[2] || w.sent[1] != w.sent[3] {
		t.Errorf("sent to %v", w.sent)
	}
}

func TestAnotherCellIsTriedWhenNothingWasSent(t *testing.T) {
	p, w := newTransport(&gatekeeper{})
	w.fail["a:1"] = refusedDial
	for range 2 {
		if err := call(t, p, "us-east-1"); err != nil {
			t.Fatal(err)
		}
	}
	if !slices.Equal(w.bodies, []string{"body", "body"}) || len(w.sent) != 3 {
		t.Errorf("sent to %v, %q arrived", w.sent, w.bodies)
	}
	w.sent, w.fail["a:1"] = nil, errors.New("the connection was lost")
	w.fail["b:1"] = w.fail["a:1"]
	if err := call(t, p, "us-east-1"); err == nil || len(w.sent) != 1 {
		t.Errorf("what may have been sent was sent to %v, %v", w.sent, err)
	}
}

func TestACellThatIsNamedIsAskedWithoutABreaker(t *testing.T) {
	g := &gatekeeper{shut: true}
	p, w := newTransport(g)
	if err := call(t, p, "use1-b"); err != nil || !slices.Equal(w.sent, []string{"b:1"}) {
		t.Errorf("sent to %v, %v", w.sent, err)
	}
	if err := call(t, p, "us-east-1"); err == nil || g.lastRegionSeen != ident.Region("us-east-1") {
		t.Errorf("behind an open breaker: %v", err)
	}
	if err := call(t, p, "eu-central-1"); !errors.Is(err, errNoCell) {
		t.Errorf("got %v", err)
	}
	p.maps = &topology.Holder{}
	if err := call(t, p, "use1-b"); !errors.Is(err, errNoCell) {
		t.Errorf("without a map: %v", err)
	}
}
