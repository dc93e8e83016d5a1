package bench

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strings"
	"time"
)

// answerBytes of the backend's answers: a product, a cart.
const answerBytes = 1 << 10

// Backend answers every request on a listener with a kilobyte, as cheaply as it can, until ctx ends. Requests have no
// bodies.
func Backend(ctx context.Context, listen string) error {
	ln, err := (&net.ListenConfig{}).Listen(ctx, "tcp", listen)
	if err != nil {
		return err
	}
	defer context.AfterFunc(ctx, func() { _ = ln.Close() })()
	answer := []byte(fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n\"%s\"",
		answerBytes, strings.Repeat("x", answerBytes-2)))
	for {
		conn, err := ln.Accept()
		if err != nil {
			if ctx.Err() != nil {
				return nil
			}
			return err
		}
		go func() {
			defer conn.Close()
			answerAll(conn, answer)
		}()
	}
}

func answerAll(conn net.Conn, answer []byte) {
	buffer := make([]byte, 16<<10)
	for have := 0; ; {
		n, err := conn.Read(buffer[have:])
		if err != nil {
			return
		}
		have += n
		for {
			end := bytes.Index(buffer[:have], []byte("\r\n\r\n"))
			if end < 0 {
				break
			}
			have = copy(buffer, buffer[end+4:have])
			if _, err := conn.Write(answer); err != nil {
				return
			}
		}
	}
}

// ReverseProxy is the peer that one writes first, with what its documentation leaves at sizes for browsers set right:
// as many idle connections as there are callers, no compression, buffers that are used again.
func ReverseProxy(ctx context.Context, listen, upstream string) error {
	target := &url.URL{Scheme: "http", Host: upstream}
	proxy := &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(target)
			r.Out.Host = r.In.Host
			r.SetXForwarded()
			var id [15]byte
			_, _ = rand.Read(id[:]) // it never fails
			r.Out.Header.Set("X-Request-Id", hex.EncodeToString(id[:]))
		},
		Transport: &http.Transport{
			DialContext:  (&net.Dialer{Timeout: time.Second, KeepAlive: 15 * time.Second}).DialContext,
			MaxIdleConns: 2048, MaxIdleConnsPerHost: 512, IdleConnTimeout: 90 * time.Second, DisableCompression: true,
		},
		BufferPool: make(bufferPool, 256),
	}
	s := &http.Server{Addr: listen, Handler: proxy, ReadHeaderTimeout: 5 * time.Second, IdleTimeout: 120 * time.Second}
	defer context.AfterFunc(ctx, func() { _ = s.Close() })()
	if err := s.ListenAndServe(); ctx.Err() == nil {
		return err
	}
	return nil
}

// bufferPool implements httputil.BufferPool.
type bufferPool chan []byte

// Get implements httputil.BufferPool.
func (p bufferPool) Get() []byte {
	select {
	case b := <-p:
		return b
	default:
		return make([]byte, 32<<10)
	}
}

// Put implements httputil.BufferPool.
func (p bufferPool) Put(b []byte) {
	select {
	case p <- b:
	default:
	}
}
