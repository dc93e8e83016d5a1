package platform

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

// lockDir keeps a second platform out of a directory. The lock goes with its process, however that ends.
func lockDir(dir string) (*os.File, error) {
	f, err := os.OpenFile(filepath.Join(dir, "platform.lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("platform: lock: %w", err)
	}
	err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return nil, errors.Join(ErrRunning, f.Close())
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("platform: lock: %w", err), f.Close())
	}
	return f, nil
}

// ErrRunning: a platform runs in this directory already.
var ErrRunning = errors.New("a platform is running here already; `cellctl status` shows it, `cellctl down` stops it, --dir and --port-offset start another beside it")

// downTimeout bounds the wait for a platform to end: every process may take stopTimeout, and the kinds follow each other.
const downTimeout = 2 * time.Minute

// AwaitDown waits until no platform runs in a directory.
func AwaitDown(ctx context.Context, dir string) error {
	ctx, cancel := context.WithTimeout(ctx, downTimeout)
	defer cancel()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		f, err := lockDir(dir)
		if err == nil {
			return f.Close()
		}
		if !errors.Is(err, ErrRunning) {
			return err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("the platform does not end: %w", ctx.Err())
		}
	}
}
