package topology

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/cellar-commerce/cellar/internal/clock"
)

// ReadFile reads a snapshot's file. ErrTooBig and what Open says.
func ReadFile(path string, keys Keys) (*Map, error) {
	b, err := readSnapshot(path)
	if err != nil {
		return nil, err
	}
	m, err := Open(b, keys)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return m, nil
}

// readSnapshot reads no more than can be refused for being too big.
func readSnapshot(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("topology: read map: %w", err)
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, MaxSnapshot+1))
	if err != nil {
		return nil, fmt.Errorf("topology: read map: %w", err)
	}
	return b, nil
}

// WriteFile replaces a snapshot's file at once: readers see the old one or the new one, also after a crash.
func WriteFile(path string, snapshot []byte) error { return replaceFile(path, snapshot) }

func replaceFile(path string, content []byte) error {
	dir := filepath.Dir(path)
	f, err := os.CreateTemp(dir, ".map-*")
	if err != nil {
		return fmt.Errorf("topology: write %s: %w", path, err)
	}
	defer func() { _ = os.Remove(f.Name()) }() // fails after the rename, as it should
	_, err = f.Write(content)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return fmt.Errorf("topology: write %s: %w", path, err)
	}
	if err := os.Rename(f.Name(), path); err != nil {
		return fmt.Errorf("topology: write %s: %w", path, err)
	}
	// The rename is the directory's content: without this a power failure may undo it.
	d, err := os.Open(dir)
	if err != nil {
		return fmt.Errorf("topology: write %s: %w", path, err)
	}
	if err := errors.Join(d.Sync(), d.Close()); err != nil {
		return fmt.Errorf("topology: write %s: %w", path, err)
	}
	return nil
}

// watchEvery bounds how late a change of a file is seen.
const watchEvery = 250 * time.Millisecond

// File is a source that others may write to: a process's last good map.
type File struct {
	Path  string
	Clock clock.Clock
}

var _ Source = File{}

// Name implements Source.
func (File) Name() string { return "file" }

// Watch implements Source: whatever the file holds, at the beginning and at each change; nothing, when it has gone.
func (s File) Watch(ctx context.Context, offer func(snapshot []byte) error) error {
	var seen fs.FileInfo
	for {
		info, err := os.Stat(s.Path)
		switch {
		case errors.Is(err, fs.ErrNotExist) && seen != nil:
			seen = nil
			_ = offer(nil) // the follower has told about it, as below
		case err != nil && !errors.Is(err, fs.ErrNotExist):
			return fmt.Errorf("topology: watch map: %w", err)
		case err == nil && !same(seen, info):
			b, err := readSnapshot(s.Path)
			if err != nil {
				return err
			}
			seen = info
			_ = offer(b)
		}
		if err := s.Clock.Sleep(ctx, watchEvery); err != nil {
			return err
		}
	}
}

// same file, not written since. A replaced one is another file, even if the clock stands still.
func same(a, b fs.FileInfo) bool {
	return a != nil && os.SameFile(a, b) && a.ModTime().Equal(b.ModTime()) && a.Size() == b.Size()
}
