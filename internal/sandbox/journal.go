package sandbox

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
	"syscall"
)

// errJournalClosed reports that nothing can be written any more: the journal was closed, or a write of it failed.
var errJournalClosed = errors.New("the journal takes nothing more")

// journal is an append-only file of JSON lines. Whoever appends waits until the line is on disk; those who wait together
// share an fsync. Without a file it remembers nothing.
type journal[T any] struct {
	mu      sync.Mutex
	file    *os.File
	broken  error
	pending []byte
	waiting []chan error
	writing bool
}

// openJournal reads the whole lines of a file, made when missing, and goes on behind them. A torn last line was never
// answered, and is cut off; any other damage is an error. An empty dir is a journal without a file.
func openJournal[T any](dir, name string) (*journal[T], []T, error) {
	if dir == "" {
		return &journal[T]{}, nil, nil
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, nil, fmt.Errorf("open journal: %w", err)
	}
	path := filepath.Join(dir, name)
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, nil, fmt.Errorf("open journal: %w", err)
	}
	entries, err := restoreJournal[T](file)
	if err == nil {
		err = syncDir(dir)
	}
	if err != nil {
		return nil, nil, fmt.Errorf("open journal %s: %w", path, errors.Join(err, file.Close()))
	}
	return &journal[T]{file: file}, entries, nil
}

func restoreJournal[T any](file *os.File) ([]T, error) {
	if err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		return nil, fmt.Errorf("another sandbox uses this directory: %w", err)
	}
	var entries []T
	var whole int64
	lines := bufio.NewReaderSize(file, maxLineBytes)
	for {
		line, err := lines.ReadSlice('\n')
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", len(entries)+1, err)
		}
		var entry T
		decoder := json.NewDecoder(bytes.NewReader(line))
		decoder.DisallowUnknownFields()
		if err := decoder.Decode(&entry); err != nil {
			return nil, fmt.Errorf("line %d: %w", len(entries)+1, err)
		}
		entries = append(entries, entry)
		whole += int64(len(line))
	}
	if err := file.Truncate(whole); err != nil {
		return nil, err
	}
	if _, err := file.Seek(whole, io.SeekStart); err != nil {
		return nil, err
	}
	return entries, file.Sync()
}

// append an entry; nil when it is on disk. One append at a time may be cut short by its caller's patience, but never the
// write: an error means that the file's content is unknown, and the journal takes nothing more.
func (j *journal[T]) append(entry T) error {
	line, err := json.Marshal(entry)
	if err != nil {
		return fmt.Errorf("append to the journal: %w", err)
	}
	j.mu.Lock()
	switch {
	case j.broken != nil:
		defer j.mu.Unlock()
		return j.broken
	case j.file == nil:
		defer j.mu.Unlock()
		return nil
	case len(j.pending) > maxPendingBytes:
		defer j.mu.Unlock()
		return errLedgerBusy
	}
	done := make(chan error, 1)
	j.pending, j.waiting = append(append(j.pending, line...), '\n'), append(j.waiting, done)
	lead := !j.writing
	j.writing = true
	j.mu.Unlock()
	if lead {
		j.drain()
	}
	return <-done
}

// drain writes groups until nobody waits. The first to come does it for those who come meanwhile.
func (j *journal[T]) drain() {
	j.mu.Lock()
	defer j.mu.Unlock()
	for len(j.waiting) > 0 {
		lines, group, err := j.pending, j.waiting, j.broken
		j.pending, j.waiting = nil, nil
		if err == nil {
			j.mu.Unlock()
			_, err = j.file.Write(lines)
			if err == nil {
				err = j.file.Sync()
			}
			j.mu.Lock()
		}
		if err != nil && j.broken == nil {
			j.broken = fmt.Errorf("%w: %w", errJournalClosed, err)
		}
		for _, done := range group {
			done <- j.broken
		}
	}
	j.writing = false
}

// close the file; later appends fail.
func (j *journal[T]) close() error {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.broken == nil {
		j.broken = errJournalClosed
	}
	if j.file == nil {
		return nil
	}
	err := j.file.Close()
	j.file = nil
	return err
}
