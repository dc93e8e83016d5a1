package bus

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nkeys"

	"github.com/cellar-commerce/cellar/internal/ident"
	"github.com/cellar-commerce/cellar/internal/problem"
)

// Reasons of a connection that is not to be had, or not for this, as the log and errors say them.
const (
	// ReasonUnreadable: the credential's file is missing, or is none.
	ReasonUnreadable = "BROKER_CREDENTIAL_UNREADABLE"
	// ReasonRefused: the broker does not know the credential, or not any more.
	ReasonRefused = "BROKER_CREDENTIAL_REFUSED"
	// ReasonDenied: the broker knows it, and does not let it publish or read this.
	ReasonDenied = "BROKER_PERMISSION_DENIED"
)

// maxCredential bounds what is read by mistake: a seed has 58 bytes, a file of a user's JWT with many permissions some kilobytes.
const maxCredential = 64 << 10

// jwtMark begins a file that has a user's JWT besides its seed, as nsc writes it.
const jwtMark = "-----BEGIN NATS USER JWT-----"

// MakeCredential makes a file with the seed of a new NATS user that only its owner may read, unless it is there.
func MakeCredential(path string) error {
	user, err := nkeys.CreateUser()
	if err != nil {
		return fmt.Errorf("make credential: %w", err)
	}
	defer user.Wipe()
	seed, err := user.Seed()
	if err != nil {
		return fmt.Errorf("make credential: %w", err)
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("make credential: %w", err)
	}
	_, err = f.Write(append(seed, '\n'))
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return fmt.Errorf("make credential %s: %w", path, err)
	}
	return nil
}

// PublicKey of the user whose seed a file has: what a broker is told.
func PublicKey(path string) (string, error) {
	_, user, err := readCredential(path)
	if err != nil {
		return "", err
	}
	defer user.Wipe()
	return user.PublicKey()
}

// readCredential of a file: a seed alone, or what nsc writes, which has a JWT too.
func readCredential(path string) (hasJWT bool, user nkeys.KeyPair, err error) {
	info, err := os.Stat(path)
	if err != nil {
		return false, nil, fmt.Errorf("read credential: %w", err)
	}
	if info.Size() > maxCredential {
		return false, nil, fmt.Errorf("read credential %s: %d bytes are none", path, info.Size())
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return false, nil, fmt.Errorf("read credential: %w", err)
	}
	// What the parser says may quote a part of the file.
	if user, err = nkeys.ParseDecoratedUserNKey(b); err != nil {
		return false, nil, fmt.Errorf("read credential %s: it must have the seed of a NATS user", path)
	}
	return bytes.Contains(b, []byte(jwtMark)), user, nil
}

// login to a broker with what a credential's file has now. It is told apart from another by who.
type login struct {
	who     string
	options []nats.Option
}

func readLogin(path string) (login, error) {
	if path == "" {
		return login{}, nil
	}
	hasJWT, user, err := readCredential(path)
	if err != nil {
		return login{}, problem.Wrap(err, problem.Unavailable, ReasonUnreadable, "the credential for the broker cannot be read")
	}
	defer user.Wipe()
	who, err := user.PublicKey()
	if err != nil {
		return login{}, problem.Wrap(err, problem.Unavailable, ReasonUnreadable, "the credential for the broker cannot be read")
	}
	if hasJWT { // the client reads the file at every connection
		return login{who: who, options: []nats.Option{nats.UserCredentials(path)}}, nil
	}
	sign := func(nonce []byte) ([]byte, error) {
		_, user, err := readCredential(path)
		if err != nil {
			return nil, err
		}
		defer user.Wipe()
		return user.Sign(nonce)
	}
	return login{who: who, options: []nats.Option{nats.Nkey(who, sign)}}, nil
}

// refused tells whether a connection is away because the broker does not take its credential, or asks for one.
func refused(err error) bool {
	if err == nil {
		return false
	}
	text := strings.ToLower(err.Error())
	for _, said := range []error{nats.ErrAuthorization, nats.ErrAuthExpired, nats.ErrAuthRevoked, nats.ErrAccountAuthExpired} {
		if errors.Is(err, said) || strings.HasPrefix(text, said.Error()) {
			return true
		}
	}
	return strings.Contains(text, "nkeys not supported") // a client's word for a broker that knows no users
}

// inboxPrefix of a region's users: each reads the answers to its own requests, and nobody else's.
func inboxPrefix(region ident.Region) string { return "_INBOX." + string(region) }
