package passkey

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"time"

	"github.com/cellar-commerce/cellar/internal/problem"
)

const (
	// Lifetime of a challenge: as long as browsers show their own window.
	Lifetime = 5 * time.Minute
	// A challenge is random bytes, the time it was asked at, and the signature of both and of what it is for.
	challengeRandom = 16
	challengeTime   = 8
	challengeLength = challengeRandom + challengeTime + sha256.Size
)

// purposes of challenges: one for making a passkey is good for the customer it was made for only.
func toMake(user string) string { return "make " + user }

const toUse = "use"

func (p *Party) challenge(purpose string, now time.Time) []byte {
	b := make([]byte, challengeRandom, challengeLength)
	_, _ = rand.Read(b) // never fails: the program stops if the system has no randomness
	b = binary.BigEndian.AppendUint64(b, uint64(now.UnixMicro()))
	return append(b, p.mac(purpose, b)...)
}

// asked tells when a challenge was; CHALLENGE_NOT_GOOD when it is not ours, for something else, or too old.
func (p *Party) asked(challenge, purpose string, now time.Time) (time.Time, error) {
	b, err := base64.RawURLEncoding.DecodeString(challenge)
	if err != nil || len(b) != challengeLength || !hmac.Equal(b[challengeRandom+challengeTime:], p.mac(purpose, b[:challengeRandom+challengeTime])) {
		return time.Time{}, NotGood()
	}
	at := time.UnixMicro(int64(binary.BigEndian.Uint64(b[challengeRandom:]))).UTC()
	if !now.Before(at.Add(Lifetime)) {
		return time.Time{}, NotGood()
	}
	return at, nil
}

func (p *Party) mac(purpose string, b []byte) []byte {
	h := hmac.New(sha256.New, p.key)
	h.Write([]byte(purpose))
	h.Write([]byte{0})
	h.Write(b)
	return h.Sum(nil)
}

// NotGood is the refusal of a challenge that is too old, was answered before, or is not ours.
func NotGood() error {
	return problem.New(problem.Precondition, "CHALLENGE_NOT_GOOD", "this took too long, or was sent before; try again")
}
