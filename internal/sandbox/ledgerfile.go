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
	"syscall"
)

// ledgerFileName inside the data directory.
const ledgerFileName = "card-ledger.jsonl"

// maxLineBytes bounds a line read back. Keys and references are at most 255 bytes each, six times that when escaped.
const maxLineBytes = 64 << 10

// OpenLedger opens the ledger file in dir, both made when missing, and reads it back. A last line without its end was
// never answered: it is cut off. Any other damage is an error that names the line, since guessing about money is worse
// than not starting. A second process on the same directory is refused.
func OpenLedger(dir string) (*Ledger, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("open ledger: %w", err)
	}
	path := filepath.Join(dir, ledgerFileName)
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open ledger: %w", err)
	}
	records, err := restore(file)
	if err == nil {
		err = syncDir(dir) // else a power cut could lose the new file's name, with all its synced lines
	}
	if err != nil {
		return nil, fmt.Errorf("open ledger %s: %w", path, errors.Join(err, file.Close()))
	}
	return newLedger(file, records), nil
}

// restore locks and reads file, and leaves it ready for the next line.
func restore(file *os.File) ([]record, error) {
	if err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		return nil, fmt.Errorf("another sandbox uses this directory: %w", err)
	}
	records, whole, err := readRecords(file)
	if err != nil {
		return nil, err
	}
	if err := file.Truncate(whole); err != nil {
		return nil, err
	}
	if _, err := file.Seek(whole, io.SeekStart); err != nil {
		return nil, err
	}
	// Lines that were written but not synced before a kill are about to be answered from: make them last first.
	return records, file.Sync()
}

// readRecords returns the records of all whole lines, and how many bytes those lines are.
func readRecords(from io.Reader) (records []record, whole int64, err error) {
	lines := bufio.NewReaderSize(from, maxLineBytes)
	for {
		line, err := lines.ReadSlice('\n')
		if errors.Is(err, io.EOF) {
			return records, whole, nil // what is left in line, if anything, is torn
		}
		if err != nil {
			return nil, 0, fmt.Errorf("line %d: %w", len(records)+1, err)
		}
		r, err := parseRecord(line)
		if err == nil && r.Seq != int64(len(records))+1 {
			err = fmt.Errorf("seq is %d", r.Seq)
		}
		if err != nil {
			return nil, 0, fmt.Errorf("line %d: %w", len(records)+1, err)
		}
		records = append(records, r)
		whole += int64(len(line))
	}
}

// parseRecord reads one line, with or without its end.
func parseRecord(line []byte) (record, error) {
	var r record
	decoder := json.NewDecoder(bytes.NewReader(line))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&r); err != nil {
		return record{}, fmt.Errorf("not a record: %w", err)
	}
	if len(bytes.TrimSpace(line[decoder.InputOffset():])) > 0 {
		return record{}, errors.New("more than one record")
	}
	if r.Seq < 1 || r.ChargeID == "" || r.IdempotencyKey == "" || r.Fingerprint == "" {
		return record{}, errors.New("record lacks seq, charge_id, idempotency_key or fingerprint")
	}
	return r, nil
}

func syncDir(dir string) error {
	handle, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(handle.Sync(), handle.Close())
}
