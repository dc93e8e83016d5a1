package router

import (
	"bytes"
	"io"
	"log/slog"
	"net"
	"slices"
	"testing"
	"time"

	"github.com/cellar-commerce/cellar/internal/clock"
)

// talk with whoever connects: the same answer to each request, which has no body.
func talk(ln net.Listener, answer []byte) {
	conn, err := ln.Accept()
	if err != nil {
		return
	}
	defer conn.Close()
	buffer := make([]byte, 4<<10)
	for have := 0; ; {
		n, err := conn.Read(buffer[have:])
		if err != nil {
			return
		}
		if have += n; !bytes.HasSuffix(buffer[:have], []byte("\r\n\r\n")) {
			continue
		}
		have = 0
		if _, err := conn.Write(answer); err != nil {
			return
		}
	}
}

func listen(t *testing.T) net.Listener {
	t.Helper()
	ln, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = ln.Close() })
	return ln
}

func TestARequestIsPassedOnWithoutAllocating(t *testing.T) {
	for name, answer := range map[string]string{
		"a length": "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 5\r\n\r\nhello",
		"chunks":   "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			behind, before := listen(t), listen(t)
			go talk(behind, []byte(answer))
			table := testTable(t)
			m := *table.maps.Load()
			m.Version++
			m.Cells = slices.Clone(m.Cells)
			for i := range m.Cells {
				m.Cells[i].Public = behind.Addr().String()
			}
			table.maps.Offer(&m)
			r := New(Deps{Region: "us-east-1", Maps: table.maps, Clock: clock.NewManual(time.Unix(0, 0)), Log: slog.New(slog.DiscardHandler)})
			defer r.nodes.close()
			s := NewServer(r)
			go func() { _ = s.Serve(before) }() // it ends with Close
			defer s.Close()
			conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", before.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			request := []byte("GET /test.v1.EchoService/Say HTTP/1.1\r\nHost: shop\r\nCookie: cellar_session=v1." + string(customerOfRing(table, "use1-a")) + ".s.1.x\r\n\r\n")
			buffer := make([]byte, len(answer))
			if n := testing.AllocsPerRun(200, func() {
				if _, err := conn.Write(request); err != nil {
					t.Fatal(err)
				}
				if _, err := io.ReadFull(conn, buffer); err != nil {
					t.Fatal(err)
				}
			}); n != 0 {
				t.Errorf("%v allocations", n)
			}
			if got := string(buffer); len(got) != len(answer) || got[len(got)-5:] != answer[len(answer)-5:] {
				t.Errorf("got %q", got)
			}
		})
	}
}
