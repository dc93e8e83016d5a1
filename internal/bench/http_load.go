package bench

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"sync"
	"time"
)

// loadTimeout ends a measurement whose peer hangs.
const loadTimeout = 10 * time.Second

// httpLoad keeps an HTTP/1.1 server busy over keep-alive connections, each of which sends its one request again as soon as the answer
// is through, until the time is over. It does as little as possible itself, since it shares the machine with what it
// measures; it gives the latency of each request.
func httpLoad(ctx context.Context, address string, requests [][]byte, lasts time.Duration) ([]time.Duration, time.Duration, error) {
	conns := make([]net.Conn, len(requests))
	for i := range conns {
		conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", address)
		if err != nil {
			return nil, 0, fmt.Errorf("load %s: %w", address, err)
		}
		defer conn.Close()
		conns[i] = conn
		if err := exchange(conn, requests[i], make([]byte, loadBuffer)); err != nil { // the first opens connections behind it
			return nil, 0, fmt.Errorf("load %s: %w", address, err)
		}
	}
	var (
		wg    sync.WaitGroup
		mu    sync.Mutex
		all   []time.Duration
		first error
	)
	begun := time.Now()
	for i, conn := range conns {
		wg.Go(func() {
			took, err := loadOne(ctx, conn, requests[i], begun.Add(lasts))
			mu.Lock()
			defer mu.Unlock()
			all = append(all, took...)
			if first == nil && err != nil {
				first = fmt.Errorf("load %s: %w", address, err)
			}
		})
	}
	wg.Wait()
	return all, time.Since(begun), first
}

// loadBuffer holds an answer and its head.
const loadBuffer = 8 << 10

func loadOne(ctx context.Context, conn net.Conn, request []byte, until time.Time) (took []time.Duration, err error) {
	buffer := make([]byte, loadBuffer)
	if err := conn.SetDeadline(until.Add(loadTimeout)); err != nil {
		return nil, err
	}
	took = make([]time.Duration, 0, 16<<10)
	for sent := time.Now(); sent.Before(until) && ctx.Err() == nil; {
		if err := exchange(conn, request, buffer); err != nil {
			return took, err
		}
		now := time.Now()
		took = append(took, now.Sub(sent))
		sent = now
	}
	return took, nil
}

var errAnswer = errors.New("that is no answer with a length")

// exchange a request for an answer of 200; the buffer had better hold it.
func exchange(conn net.Conn, request, buffer []byte) error {
	status, _, err := ask(conn, request, &buffer)
	if err == nil && status != http.StatusOK {
		err = fmt.Errorf("the answer has status %d", status)
	}
	return err
}

// mostAnswer bounds what an answer may have.
const mostAnswer = 1 << 20

// ask for an answer; its body lies in the buffer, which grows where it has to.
func ask(conn net.Conn, request []byte, buffer *[]byte) (status int, body []byte, err error) {
	if _, err := conn.Write(request); err != nil {
		return 0, nil, err
	}
	have, head, whole := 0, 0, 0
	for whole == 0 || have < whole {
		if have == len(*buffer) {
			if have >= mostAnswer {
				return 0, nil, errAnswer
			}
			*buffer = append(*buffer, make([]byte, have)...)
		}
		n, err := conn.Read((*buffer)[have:])
		if err != nil {
			return 0, nil, err
		}
		have += n
		if whole > 0 {
			continue
		}
		if end := bytes.Index((*buffer)[:have], []byte("\r\n\r\n")); end >= 0 {
			var length int
			status, length = parseHead((*buffer)[:end+2])
			if length < 0 {
				return 0, nil, fmt.Errorf("%w: %.200q", errAnswer, (*buffer)[:have])
			}
			head, whole = end+4, end+4+length
		}
	}
	return status, (*buffer)[head:whole], nil
}

// parseHead of an answer: its status, and the length of its body; -1 if there is none.
func parseHead(head []byte) (status, length int) {
	const version = "HTTP/1.1 "
	if len(head) < len(version)+3 || string(head[:len(version)]) != version {
		return 0, -1
	}
	status, err := strconv.Atoi(string(head[len(version) : len(version)+3]))
	if err != nil {
		return 0, -1
	}
	for _, name := range []string{"\r\nContent-Length: ", "\r\ncontent-length: "} {
		if at := bytes.Index(head, []byte(name)); at >= 0 {
			value, _, _ := bytes.Cut(head[at+len(name):], []byte("\r"))
			if n, err := strconv.Atoi(string(value)); err == nil && n >= 0 {
				return status, n
			}
		}
	}
	return status, -1
}
