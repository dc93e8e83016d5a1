package platform

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/cellar-commerce/cellar/internal/secret"
)

// Names of the secrets of a platform; each is a file.
const (
	KeySession = "session"
	KeyQuote   = "quote"
	KeyPeer    = "peer"
	// KeyGiftCards is what gift card codes are made with; KeyCardEvents what the card network signs its events with.
	KeyGiftCards  = "gift-cards"
	KeyCardEvents = "card-events"
)

// makeKeys makes the secrets that are missing.
func makeKeys(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("make keys: %w", err)
	}
	for _, name := range []string{KeySession, KeyQuote, KeyPeer, KeyGiftCards, KeyCardEvents} {
		if err := secret.Make(keyFile(dir, name)); err != nil {
			return err
		}
	}
	return nil
}

func keyFile(dir, name string) string { return filepath.Join(dir, name+".key") }
