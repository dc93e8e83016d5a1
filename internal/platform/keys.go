package platform

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// Names of the secrets of a platform; each is a file of 64 hexadecimal digits.
const (
	KeySession = "session"
	KeyQuote   = "quote"
	KeyPeer    = "peer"
)

// makeKeys makes the secrets that are missing.
func makeKeys(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("make keys: %w", err)
	}
	for _, name := range []string{KeySession, KeyQuote, KeyPeer} {
		var b [32]byte
		_, _ = rand.Read(b[:]) // never fails: the program stops if the system has no randomness
		f, err := os.OpenFile(filepath.Join(dir, name+".key"), os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
		if errors.Is(err, fs.ErrExist) {
			continue
		}
		if err != nil {
			return fmt.Errorf("make key %s: %w", name, err)
		}
		_, err = f.WriteString(hex.EncodeToString(b[:]) + "\n")
		if err = errors.Join(err, f.Close()); err != nil {
			return fmt.Errorf("make key %s: %w", name, err)
		}
	}
	return nil
}

// ReadKey reads a secret's file.
func ReadKey(path string) (string, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return "", fmt.Errorf("read key: %w", err)
	}
	key := strings.TrimSpace(string(b))
	if len(key) < 32 {
		return "", fmt.Errorf("read key %s: it has %d characters, at least 32 are needed", path, len(key))
	}
	return key, nil
}
