// Package passkeytest has an authenticator in software, and the browser in front of it.
package passkeytest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"testing"

	"github.com/fxamacker/cbor/v2"
)

// Authenticator with one passkey: an ES256 key, discoverable, that knows who is there. Its fields may be changed to lie.
type Authenticator struct {
	Key *ecdsa.PrivateKey
	ID  []byte
	// User that the passkey is of, as the shop named it.
	User []byte
	// Count of uses; negative is an authenticator that does not count.
	Count int64
	// Origin of the page that its browser shows.
	Origin string
	// Stranger: nobody has shown who is there.
	Stranger bool
}

// New authenticator, in front of a page of an origin.
func New(t testing.TB, origin string) *Authenticator {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	id := make([]byte, 32)
	_, _ = rand.Read(id)
	return &Authenticator{Key: key, ID: id, Origin: origin}
}

var enc = base64.RawURLEncoding

// Flags of authenticator data (Web Authentication, 6.1).
const (
	present   = 0x01
	verified  = 0x04
	attesting = 0x40
)

func (a *Authenticator) data(domain string, flags byte, attested []byte) []byte {
	sum := sha256.Sum256([]byte(domain))
	flags |= present
	if !a.Stranger {
		flags |= verified
	}
	return append(binary.BigEndian.AppendUint32(append(sum[:], flags), uint32(max(a.Count, 0))), attested...)
}

func (a *Authenticator) client(t testing.TB, kind, challenge string) []byte {
	t.Helper()
	return encode(t, map[string]any{"type": kind, "challenge": challenge, "origin": a.Origin, "crossOrigin": false})
}

func encode(t testing.TB, v any) []byte {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func pack(t testing.TB, v any) []byte {
	t.Helper()
	b, err := cbor.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func (a *Authenticator) answer(t testing.TB, response map[string]any) string {
	t.Helper()
	return string(encode(t, map[string]any{
		"id": enc.EncodeToString(a.ID), "rawId": enc.EncodeToString(a.ID), "type": "public-key", "response": response, "clientExtensionResults": map[string]any{}, "authenticatorAttachment": "platform",
	}))
}

// Make a passkey with the options of a shop.
func (a *Authenticator) Make(t testing.TB, options string) string {
	t.Helper()
	var asked struct {
		Challenge string
		RP        struct{ ID string }
		User      struct{ ID string }
	}
	if err := json.Unmarshal([]byte(options), &asked); err != nil {
		t.Fatal(err)
	}
	var err error
	if a.User, err = enc.DecodeString(asked.User.ID); err != nil {
		t.Fatal(err)
	}
	point, err := a.Key.PublicKey.Bytes() // 4, x, y
	if err != nil {
		t.Fatal(err)
	}
	public := pack(t, map[int]any{1: 2, 3: -7, -1: 1, -2: point[1:33], -3: point[33:]})
	attested := append(binary.BigEndian.AppendUint16(make([]byte, 16), uint16(len(a.ID))), append(append([]byte{}, a.ID...), public...)...)
	object := pack(t, map[string]any{"fmt": "none", "attStmt": map[string]any{}, "authData": a.data(asked.RP.ID, attesting, attested)})
	return a.answer(t, map[string]any{"clientDataJSON": enc.EncodeToString(a.client(t, "webauthn.create", asked.Challenge)), "attestationObject": enc.EncodeToString(object), "transports": []string{"internal"}})
}

// Use the passkey with the options of a shop.
func (a *Authenticator) Use(t testing.TB, options string) string {
	t.Helper()
	var asked struct{ Challenge, RPID string }
	if err := json.Unmarshal([]byte(options), &asked); err != nil {
		t.Fatal(err)
	}
	if a.Count >= 0 {
		a.Count++
	}
	data, client := a.data(asked.RPID, 0, nil), a.client(t, "webauthn.get", asked.Challenge)
	said := sha256.Sum256(client)
	sum := sha256.Sum256(append(append([]byte{}, data...), said[:]...))
	signature, err := ecdsa.SignASN1(rand.Reader, a.Key, sum[:])
	if err != nil {
		t.Fatal(err)
	}
	return a.answer(t, map[string]any{
		"clientDataJSON": enc.EncodeToString(client), "authenticatorData": enc.EncodeToString(data), "signature": enc.EncodeToString(signature), "userHandle": enc.EncodeToString(a.User),
	})
}
