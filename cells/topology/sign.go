package topology

import (
	"bufio"
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"strings"

	"github.com/cellar-commerce/cellar/internal/secret"
)

// Why a snapshot is refused.
var (
	// ErrTooBig: more than MaxSnapshot bytes.
	ErrTooBig = errors.New("topology: the snapshot is too big")
	// ErrUnsupported: no snapshot at all, or of a version of the format that this program does not know.
	ErrUnsupported = errors.New("topology: no snapshot of a known format")
	// ErrChecksum: torn or damaged on the way.
	ErrChecksum = errors.New("topology: the snapshot's checksum does not match")
	// ErrUnknownKey: signed with a key that is not among the public keys.
	ErrUnknownKey = errors.New("topology: the snapshot is signed with an unknown key")
	// ErrSignature: not signed by whom it names.
	ErrSignature = errors.New("topology: the snapshot's signature is wrong")
	// ErrInvalid: signed, but no map that can be followed.
	ErrInvalid = errors.New("topology: the snapshot holds no valid map")
	// ErrSplit: another map of the same version is held. There are two control planes.
	ErrSplit = errors.New("topology: another map of the same version is held")
)

// reasons by which metrics tell refusals apart.
var reasons = []struct {
	err    error
	reason string
}{
	{ErrTooBig, "too_big"}, {ErrUnsupported, "unsupported"}, {ErrChecksum, "checksum"}, {ErrUnknownKey, "unknown_key"},
	{ErrSignature, "signature"}, {ErrInvalid, "invalid"}, {ErrSplit, "split"},
}

// Reason of a refusal in one word, for metrics; "other" for an error that is none of this package's.
func Reason(err error) string {
	for _, r := range reasons {
		if errors.Is(err, r.err) {
			return r.reason
		}
	}
	return "other"
}

// The frame of a snapshot, in bytes:
//
//	 0  "CMAP"
//	 4  version of the format, 1
//	 5  id of the key
//	13  body
//	-68 CRC-32C of all before, big endian
//	-64 ed25519 signature of all before
const (
	magic         = "CMAP"
	formatVersion = 1
	keyIDAt       = len(magic) + 1
	bodyAt        = keyIDAt + keyIDSize
	keyIDSize     = 8
	checksumSize  = 4
	tail          = checksumSize + ed25519.SignatureSize
	overhead      = bodyAt + tail
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// KeyID is the first eight bytes of the SHA-256 of a public key.
type KeyID [keyIDSize]byte

// String in hexadecimal digits.
func (id KeyID) String() string { return hex.EncodeToString(id[:]) }

func idOf(public ed25519.PublicKey) KeyID {
	sum := sha256.Sum256(public)
	return KeyID(sum[:keyIDSize])
}

// SigningKey is what the control plane signs maps with.
type SigningKey struct{ private ed25519.PrivateKey }

// NewSigningKey of a seed of 32 bytes.
func NewSigningKey(seed []byte) (SigningKey, error) {
	if len(seed) != ed25519.SeedSize {
		return SigningKey{}, fmt.Errorf("topology: a signing key has %d bytes, not %d", ed25519.SeedSize, len(seed))
	}
	return SigningKey{ed25519.NewKeyFromSeed(seed)}, nil
}

// ReadSigningKey from a file as package secret makes them: 64 hexadecimal digits.
func ReadSigningKey(path string) (SigningKey, error) {
	text, err := secret.Read(path)
	if err != nil {
		return SigningKey{}, fmt.Errorf("topology: %w", err)
	}
	seed, err := hex.DecodeString(text)
	if err != nil {
		return SigningKey{}, fmt.Errorf("topology: the key in %s is not written in hexadecimal digits", path)
	}
	return NewSigningKey(seed)
}

// Public key of it.
func (k SigningKey) Public() ed25519.PublicKey {
	public, _ := k.private.Public().(ed25519.PublicKey) // it is one, by the type of k.private
	return public
}

// ID of its public key.
func (k SigningKey) ID() KeyID { return idOf(k.Public()) }

// Sign a valid map: the snapshot that Open takes. ErrInvalid, ErrTooBig.
func (k SigningKey) Sign(m *Map) ([]byte, error) {
	body, err := Encode(m)
	if err != nil {
		return nil, err
	}
	return k.seal(body), nil
}

func (k SigningKey) seal(body []byte) []byte {
	id := k.ID()
	b := make([]byte, 0, len(body)+overhead)
	b = append(append(b, magic...), formatVersion)
	b = append(append(b, id[:]...), body...)
	b = binary.BigEndian.AppendUint32(b, crc32.Checksum(b, castagnoli))
	return append(b, ed25519.Sign(k.private, b)...)
}

// Keys that snapshots may be signed with, by their ids. More than one while keys are changed.
type Keys map[KeyID]ed25519.PublicKey

// NewKeys of public keys.
func NewKeys(public ...ed25519.PublicKey) Keys {
	keys := Keys{}
	for _, p := range public {
		keys[idOf(p)] = p
	}
	return keys
}

// maxKeys in a file: one in use, one that comes and one that goes, with room to spare.
const maxKeys = 16

// ReadKeys from a file: a public key a line, as hexadecimal digits; lines that are empty or begin with # say nothing.
func ReadKeys(path string) (Keys, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("topology: read the map's keys: %w", err)
	}
	keys := Keys{}
	lines := bufio.NewScanner(bytes.NewReader(b))
	for lines.Scan() {
		line := strings.TrimSpace(lines.Text())
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		public, err := hex.DecodeString(line)
		if err != nil || len(public) != ed25519.PublicKeySize {
			return nil, fmt.Errorf("topology: %s has a line that is no public key of %d hexadecimal digits", path, 2*ed25519.PublicKeySize)
		}
		keys[idOf(public)] = public
	}
	if err := lines.Err(); err != nil || len(keys) == 0 || len(keys) > maxKeys {
		return nil, fmt.Errorf("topology: %s has %d keys, not 1 to %d", path, len(keys), maxKeys)
	}
	return keys, nil
}

// WriteKeys replaces a file that ReadKeys reads.
func WriteKeys(path string, public ...ed25519.PublicKey) error {
	text := "# Public keys that maps may be signed with.\n"
	for _, p := range public {
		text += hex.EncodeToString(p) + "\n"
	}
	return replaceFile(path, []byte(text))
}

// Open a snapshot: the map, if its signature is by one of the keys and everything in it is as it should be. Errors are
// those above, the checks in that order.
func Open(snapshot []byte, keys Keys) (*Map, error) {
	body, err := unseal(snapshot, keys)
	if err != nil {
		return nil, err
	}
	return decode(body)
}

// unseal gives the body of a snapshot that is signed by one of the keys.
func unseal(snapshot []byte, keys Keys) (body []byte, err error) {
	if len(snapshot) > MaxSnapshot {
		return nil, fmt.Errorf("%w: %d bytes", ErrTooBig, len(snapshot))
	}
	if len(snapshot) < overhead || string(snapshot[:len(magic)]) != magic || snapshot[len(magic)] != formatVersion {
		return nil, fmt.Errorf("%w: %d bytes", ErrUnsupported, len(snapshot))
	}
	summed, sum := snapshot[:len(snapshot)-tail], snapshot[len(snapshot)-tail:len(snapshot)-ed25519.SignatureSize]
	if crc32.Checksum(summed, castagnoli) != binary.BigEndian.Uint32(sum) {
		return nil, ErrChecksum
	}
	id := KeyID(snapshot[keyIDAt:bodyAt])
	public, known := keys[id]
	if !known {
		return nil, fmt.Errorf("%w: %s", ErrUnknownKey, id)
	}
	signed, signature := snapshot[:len(snapshot)-ed25519.SignatureSize], snapshot[len(snapshot)-ed25519.SignatureSize:]
	if !ed25519.Verify(public, signed, signature) {
		return nil, fmt.Errorf("%w: of the key %s", ErrSignature, id)
	}
	return snapshot[bodyAt : len(snapshot)-tail], nil
}
