// Package secret keeps keys in files: one key a file, as hexadecimal digits, for its owner's eyes only; and derives others from them.
package secret

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
)

const (
	// keyBytes of a new key: 256 bits, as long as the hashes it is used with.
	keyBytes = 32
	// minLength of a key that is read, in characters: what a file of ours has is twice as long.
	minLength = 32
	// maxFile bounds what is read by mistake.
	maxFile = 4 << 10
)

// Make writes a new key, unless the file is there already.
func Make(path string) error {
	var b [keyBytes]byte
	_, _ = rand.Read(b[:]) // never fails: the program stops if the system has no randomness
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("make key: %w", err)
	}
	_, err = f.WriteString(hex.EncodeToString(b[:]) + "\n")
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return fmt.Errorf("make key %s: %w", path, err)
	}
	return nil
}

// Read a key's file: at least 32 characters on one line.
func Read(path string) (string, error) {
	info, err := os.Stat(path)
	if err != nil {
		return "", fmt.Errorf("read key: %w", err)
	}
	if info.Size() > maxFile {
		return "", fmt.Errorf("read key %s: %d bytes are no key", path, info.Size())
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return "", fmt.Errorf("read key: %w", err)
	}
	key := strings.TrimSpace(string(b))
	if len(key) < minLength || strings.ContainsAny(key, " \t\r\n") {
		return "", fmt.Errorf("read key %s: it must be one line of at least %d characters", path, minLength)
	}
	return key, nil
}

// Derive a key of 32 bytes from another one, of at least as many, for a purpose: who knows the one that is derived learns nothing of
// the other (HMAC-SHA256).
func Derive(from []byte, purpose string) []byte {
	mac := hmac.New(sha256.New, from)
	mac.Write([]byte(purpose))
	return mac.Sum(nil)
}
