package platform

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"

	"github.com/cellar-commerce/cellar/cells/topology"
	"github.com/cellar-commerce/cellar/internal/bus"
	"github.com/cellar-commerce/cellar/internal/ident"
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
	// KeyMap is what maps are signed with. Its public key is in a file of its own.
	KeyMap = "map"
)

// makeKeys makes the secrets that are missing.
func makeKeys(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("make keys: %w", err)
	}
	for _, name := range []string{KeySession, KeyQuote, KeyPeer, KeyGiftCards, KeyCardEvents, KeyMap} {
		if err := secret.Make(keyFile(dir, name)); err != nil {
			return err
		}
	}
	for _, region := range ident.Regions() {
		if err := bus.MakeCredential(credentialFile(dir, region)); err != nil {
			return err
		}
	}
	return publishKey(keyFile(dir, KeyMap), publicKeyFile(dir))
}

// publicKeyFile has the public keys that maps may be signed with.
func publicKeyFile(dir string) string { return filepath.Join(dir, KeyMap+".pub") }

// publishKey adds the public key of a signing key to those in a file, unless it is there.
func publishKey(private, public string) error {
	key, err := topology.ReadSigningKey(private)
	if err != nil {
		return err
	}
	known, err := topology.ReadKeys(public)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if known[key.ID()] != nil {
		return nil
	}
	return topology.WriteKeys(public, append(slices.Collect(maps.Values(known)), key.Public())...)
}

// credentialFile has the seed by which a region's cells show the brokers who they are.
func credentialFile(dir string, region ident.Region) string {
	return filepath.Join(dir, "broker-"+string(region)+".nk")
}

// brokerUsers are the public keys of the regions' credentials.
func brokerUsers(dir string) (map[ident.Region]string, error) {
	users := map[ident.Region]string{}
	for _, region := range ident.Regions() {
		key, err := bus.PublicKey(credentialFile(dir, region))
		if err != nil {
			return nil, err
		}
		users[region] = key
	}
	return users, nil
}

func keyFile(dir, name string) string { return filepath.Join(dir, name+".key") }
