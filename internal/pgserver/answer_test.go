package pgserver

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
)

// impostor answers each connection's first message with the given bytes, and hangs up.
func impostor(t *testing.T, answer string) (port int) {
	t.Helper()
	ln, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			var length [4]byte
			if _, err := io.ReadFull(conn, length[:]); err == nil {
				_, _ = io.CopyN(io.Discard, conn, int64(binary.BigEndian.Uint32(length[:]))-4)
			}
			_, _ = io.WriteString(conn, answer)
			_ = conn.Close()
		}
	}()
	t.Cleanup(func() { _ = ln.Close(); <-done })
	return ln.Addr().(*net.TCPAddr).Port
}

// A server that is starting negotiates TLS and refuses sessions; taking it for ready made the first client fail.
func TestOnlyAServerThatTakesSessionsIsReady(t *testing.T) {
	for name, c := range map[string]struct {
		answer string
		want   bool
	}{
		"it asks for authentication": {"R\x00\x00\x00\x08\x00\x00\x00\x00", true},
		"it is starting":             {"E\x00\x00\x00\x0fC57P03\x00", false},
		"it has no TLS":              {"N", false},
		"it hangs up":                {"", false},
	} {
		if got := answersPostgres(t.Context(), impostor(t, c.answer)); got != c.want {
			t.Errorf("%s: got %v", name, got)
		}
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if answersPostgres(ended, impostor(t, "R")) {
		t.Error("it outlives its context")
	}
}

func TestOnlyTheLastOutputOfAServerIsKept(t *testing.T) {
	var out tail
	for i := range 1000 {
		if _, err := fmt.Fprintf(&out, "line %d\n", i); err != nil {
			t.Fatal(err)
		}
	}
	got := out.String()
	if len(got) > tailBytes || !strings.HasSuffix(got, "line 998\nline 999") || strings.Contains(got, "line 1\n") {
		t.Errorf("%d bytes: %.30q … %q", len(got), got, got[max(0, len(got)-30):])
	}
}
