package cells

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync/atomic"

	"github.com/cellar-commerce/cellar/cells/topology"
	"github.com/cellar-commerce/cellar/internal/ident"
)

// peerTransport takes requests to other cells. The host of a request's URL is a region, for any cell there that
// serves, or the id of a cell; the map says where that is, at the time of each request.
type peerTransport struct {
	base  http.RoundTripper
	maps  *topology.Holder
	guard guard
	turn  atomic.Uint32
}

// guard keeps callers away from a region that does not answer.
type guard interface {
	Do(destination ident.Region, call func() error) error
}

var errNoCell = errors.New("no cell there serves")

// RoundTrip implements http.RoundTripper. To a region the way is guarded, and a second cell is tried when the first
// could not be connected to: then nothing was sent. To a cell that is named it is not: one dead cell must not close a
// region.
func (t *peerTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	cells, named := t.targets(r.URL.Host)
	if len(cells) == 0 {
		return nil, fmt.Errorf("%s: %w", r.URL.Host, errNoCell)
	}
	if named {
		return t.send(r, cells[0], false)
	}
	var resp *http.Response
	err := t.guard.Do(cells[0].Region, func() (err error) {
		for i, c := range cells[:min(len(cells), 2)] {
			if i > 0 && r.GetBody == nil && r.Body != nil {
				return err
			}
			resp, err = t.send(r, c, i > 0) //nolint:bodyclose // the caller closes what it is given
			if err == nil || !neverSent(err) {
				return err
			}
		}
		return err
	})
	return resp, err
}

// targets of a host: the cell that is named, or a region's cells, each first in turn.
func (t *peerTransport) targets(host string) (cells []*topology.Cell, named bool) {
	m := t.maps.Load()
	if m == nil {
		return nil, false
	}
	if c := m.Cell(host); c != nil {
		return []*topology.Cell{c}, true
	}
	cells = m.CellsOf(ident.Region(host))
	if len(cells) == 0 {
		return nil, false
	}
	first := int(t.turn.Add(1)) % len(cells)
	return append(cells[first:len(cells):len(cells)], cells[:first]...), false
}

func (t *peerTransport) send(r *http.Request, c *topology.Cell, again bool) (*http.Response, error) {
	out := r.Clone(r.Context())
	out.URL.Host, out.Host = c.Internal, ""
	if again && r.GetBody != nil {
		body, err := r.GetBody()
		if err != nil {
			return nil, err
		}
		out.Body = body
	}
	return t.base.RoundTrip(out)
}

// neverSent tells whether a request failed before anything of it left.
func neverSent(err error) bool {
	op, ok := errors.AsType[*net.OpError](err)
	return ok && op.Op == "dial"
}
