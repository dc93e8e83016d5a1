package main

import (
	"context"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestATakenPortSaysWhatToDo(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = taken.Close() }()
	args := []string{"--listen", taken.Addr().String()}
	err = run(t.Context(), args, func(string) string { return "" }, io.Discard)
	if err == nil || !strings.Contains(err.Error(), taken.Addr().String()) || !strings.Contains(err.Error(), "--listen") {
		t.Fatalf("got %v", err)
	}
}

func TestRunEndsCleanlyWithItsContext(t *testing.T) {
	dir := t.TempDir()
	ctx, stop := context.WithCancel(t.Context())
	log, logEnd := io.Pipe()
	ended := make(chan error, 1)
	go func() {
		err := run(ctx, []string{"--listen", "127.0.0.1:0", "--data", dir}, os.Getenv, logEnd)
		_ = logEnd.Close()
		ended <- err
	}()
	line := make([]byte, 4096)
	if n, err := log.Read(line); err != nil || !strings.Contains(string(line[:n]), "sandbox serves") {
		t.Fatalf("first line of the log: %s, %v", line[:n], err)
	}
	stop()
	if _, err := io.Copy(io.Discard, log); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	if files, err := filepath.Glob(filepath.Join(dir, "*.jsonl")); err != nil || len(files) != 2 {
		t.Fatalf("ledger files %v, %v", files, err)
	}
}
