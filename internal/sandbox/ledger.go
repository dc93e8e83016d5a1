package sandbox

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"sync"
)

// maxPendingBytes bounds what may wait for one fsync. A record is under 1 KiB, so this is some ten thousand requests
// in flight: more than a local disk clears within a caller's patience, so that refusing at once is kinder.
const maxPendingBytes = 8 << 20

// ErrLedgerBroken reports that a write failed. Nothing can be promised from then on, because what is on disk is not
// known: every later effect is refused until a restart reads the file again.
var ErrLedgerBroken = errors.New("ledger broken")

// errLedgerBusy reports that maxPendingBytes wait already. Nothing was appended.
var errLedgerBusy = errors.New("ledger busy")

// storage is what the ledger needs of a file.
type storage interface {
	io.WriteCloser
	Sync() error
}

// commit is the fsync that a record waits for; many records share one.
type commit struct {
	done chan struct{}
	err  error // set before done is closed
}

// wait returns once the records of this commit are on disk, or cannot be.
func (c *commit) wait() error {
	<-c.done
	return c.err
}

// Ledger is the network's append-only memory of effects, in a file or in memory only. It is safe for concurrent use.
type Ledger struct {
	file    storage       // nil: in memory only
	wake    chan struct{} // holds one: there is something pending
	stopped chan struct{} // closed when the committer has ended

	mu      sync.Mutex
	records []record
	durable int     // of records, how many are on disk
	pending []byte  // lines of records[durable:] the committer has not taken yet
	next    *commit // that the pending lines will be part of
	broken  error
	closed  bool
}

// NewMemoryLedger makes a ledger that forgets everything at the end of the process.
func NewMemoryLedger() *Ledger { return newLedger(nil, nil) }

// newLedger starts a ledger with what was read from file, and takes the file over.
func newLedger(file storage, read []record) *Ledger {
	l := &Ledger{
		file:    file,
		wake:    make(chan struct{}, 1),
		stopped: make(chan struct{}),
		records: read,
		durable: len(read),
		next:    &commit{done: make(chan struct{})},
	}
	if file == nil {
		close(l.stopped)
		close(l.next.done) // nothing to wait for, ever
		return l
	}
	go l.commitAll()
	return l
}

// append gives r its sequence number and queues it. Its effect may be shown to nobody before the commit is waited for.
// When append itself fails, nothing was queued.
func (l *Ledger) append(r record) (*commit, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.broken != nil:
		return nil, l.broken
	case l.closed:
		return nil, fmt.Errorf("%w: closed", ErrLedgerBroken)
	case len(l.pending) > maxPendingBytes:
		return nil, errLedgerBusy
	}
	r.Seq = int64(len(l.records)) + 1
	if l.file == nil {
		l.records = append(l.records, r)
		l.durable++
		return l.next, nil
	}
	line, err := json.Marshal(r)
	if err != nil {
		return nil, fmt.Errorf("encode record %d: %w", r.Seq, err)
	}
	l.records = append(l.records, r)
	l.pending = append(append(l.pending, line...), '\n')
	select {
	case l.wake <- struct{}{}:
	default: // the committer has not taken the last signal yet; it will find this record too
	}
	return l.next, nil
}

// commitAll writes whatever is pending until the ledger is closed. While one fsync runs the next group gathers, so
// the group grows just as large as the disk is slow.
func (l *Ledger) commitAll() {
	defer close(l.stopped)
	var spare []byte
	for range l.wake {
		spare = l.commitOnce(spare)
	}
	l.commitOnce(spare) // what came between the last signal and Close
}

// commitOnce writes the pending lines and returns their buffer for reuse; spare becomes the new pending buffer.
func (l *Ledger) commitOnce(spare []byte) []byte {
	l.mu.Lock()
	lines, group, count, err := l.pending, l.next, len(l.records), l.broken
	l.pending, l.next = spare[:0], &commit{done: make(chan struct{})}
	l.mu.Unlock()

	if err == nil && len(lines) > 0 {
		err = l.write(lines)
	}
	l.mu.Lock()
	if err != nil {
		l.broken = err
	} else {
		l.durable = count
	}
	l.mu.Unlock()
	group.err = err
	close(group.done)
	return lines
}

func (l *Ledger) write(lines []byte) error {
	if _, err := l.file.Write(lines); err != nil {
		return fmt.Errorf("%w: write: %w", ErrLedgerBroken, err)
	}
	if err := l.file.Sync(); err != nil {
		return fmt.Errorf("%w: sync: %w", ErrLedgerBroken, err)
	}
	return nil
}

// page returns at most limit entries whose seq is greater than after: only those already on disk.
func (l *Ledger) page(after int64, limit int) []Entry {
	l.mu.Lock()
	defer l.mu.Unlock()
	if after >= int64(l.durable) {
		return []Entry{}
	}
	chosen := l.records[after:min(int(after)+limit, l.durable)]
	entries := make([]Entry, len(chosen))
	for i, r := range chosen {
		entries[i] = r.Entry
	}
	return entries
}

// snapshot returns the records read at the start and appended since. Callers must not change them.
func (l *Ledger) snapshot() []record {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.records[:len(l.records):len(l.records)]
}

// health is nil while the ledger can take effects, else an error that wraps ErrLedgerBroken.
func (l *Ledger) health() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.broken
}

// Close writes what is pending and closes the file. Later effects are refused; closing again does nothing.
func (l *Ledger) Close() error {
	l.mu.Lock()
	if l.closed {
		l.mu.Unlock()
		return nil
	}
	l.closed = true
	close(l.wake) // under the lock: append signals under it too, and looks at closed first
	l.mu.Unlock()
	<-l.stopped
	if l.file == nil {
		return nil
	}
	if err := l.file.Close(); err != nil {
		return fmt.Errorf("close ledger: %w", err)
	}
	return l.health()
}
