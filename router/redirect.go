package router

import (
	"bufio"
	"io"
	"net/http"
	"strconv"
	"strings"

	"github.com/cellar-commerce/cellar/internal/ident"
)

// redirectHeader carries a redirect: "owner=<cell>; ring=<region>; slot=<n>; epoch=<n>", and "customer=<id>" when it is
// about that customer only. It is between cells and routers, and never reaches a client.
const redirectHeader = "Cellar-Wrong-Cell"

// redirect is what a cell that does not own a slot says.
type redirect struct {
	owner    string
	ring     ident.Region
	slot     ident.Slot
	epoch    uint64
	customer ident.CustomerID // empty: it is about the slot
}

// parseRedirect reads the header; false for anything malformed. Names that it does not know are passed over: a later
// release may say more.
func parseRedirect(value string) (r redirect, ok bool) {
	for part := range strings.SplitSeq(value, ";") {
		name, text, found := strings.Cut(strings.TrimSpace(part), "=")
		if !found {
			return redirect{}, false
		}
		var err error
		var n uint64
		switch name {
		case "owner":
			r.owner = text
		case "ring":
			r.ring = ident.Region(text)
		case "slot":
			n, err = strconv.ParseUint(text, 10, 16)
			r.slot = ident.Slot(n)
		case "epoch":
			r.epoch, err = strconv.ParseUint(text, 10, 64)
		case "customer":
			r.customer, err = ident.Parse(text)
		}
		if err != nil {
			return redirect{}, false
		}
	}
	if r.slot >= ident.Slots || r.ring == "" {
		return redirect{}, false
	}
	return r, true // an empty owner is nobody, for now
}

// redirectOf an answer of HTTP/2, if it is one. A gRPC error has its metadata in the trailers, behind an empty body; to
// see them, the answer's first byte is awaited before its headers are passed on.
func redirectOf(resp *http.Response, grpc bool) (redirect, bool) {
	if r, ok := parseRedirect(resp.Header.Get(redirectHeader)); ok || !grpc {
		return r, ok
	}
	body := bufio.NewReader(resp.Body)
	if _, err := body.Peek(1); err != io.EOF {
		resp.Body = struct {
			io.Reader
			io.Closer
		}{body, resp.Body}
		return redirect{}, false
	}
	return parseRedirect(resp.Trailer.Get(redirectHeader))
}
