package account

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"runtime"
	"strings"

	"golang.org/x/crypto/argon2"

	"github.com/cellar-commerce/cellar/internal/problem"
)

// Cost of a hash: the least that OWASP's Password Storage Cheat Sheet gives for argon2id.
const (
	argonMemory  = 19 << 10 // KiB
	argonTime    = 2
	argonThreads = 1
	argonKey     = 32
	argonSalt    = 16
	// maxArgon bounds what a stored hash may ask for, so that a damaged row cannot exhaust the process.
	maxArgonMemory = 256 << 10
	maxArgonTime   = 16
)

// newHashMemory of hashes that are made from now on, in KiB. Only this package's tests change it: under the race detector the
// real cost is most of their time.
var newHashMemory uint32 = argonMemory

var errBadHash = errors.New("the stored hash is malformed")

// phc is a hash in the PHC string format: $argon2id$v=19$m=…,t=…,p=…$salt$key.
type phc struct {
	memory, time uint32
	threads      uint8
	salt, key    []byte
}

func (h phc) String() string {
	enc := base64.RawStdEncoding
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s", argon2.Version, h.memory, h.time, h.threads, enc.EncodeToString(h.salt), enc.EncodeToString(h.key))
}

func parsePHC(s string) (phc, error) {
	parts := strings.Split(s, "$")
	if len(s) > 256 || len(parts) != 6 || parts[0] != "" || parts[1] != "argon2id" || parts[2] != fmt.Sprintf("v=%d", argon2.Version) {
		return phc{}, errBadHash
	}
	var h phc
	var end string
	n, _ := fmt.Sscanf(parts[3]+" .", "m=%d,t=%d,p=%d %s", &h.memory, &h.time, &h.threads, &end) // n tells whether all was there
	if n != 4 || end != "." || h.memory < 8 || h.memory > maxArgonMemory || h.time < 1 || h.time > maxArgonTime || h.threads < 1 {
		return phc{}, errBadHash
	}
	var err error
	if h.salt, err = base64.RawStdEncoding.DecodeString(parts[4]); err != nil || len(h.salt) < 8 {
		return phc{}, errBadHash
	}
	if h.key, err = base64.RawStdEncoding.DecodeString(parts[5]); err != nil || len(h.key) < 16 {
		return phc{}, errBadHash
	}
	return h, nil
}

func (h phc) matches(password string) bool {
	key := argon2.IDKey([]byte(password), h.salt, h.time, h.memory, h.threads, uint32(len(h.key)))
	return subtle.ConstantTimeCompare(key, h.key) == 1
}

func newHash(password string) phc {
	h := phc{memory: newHashMemory, time: argonTime, threads: argonThreads, salt: make([]byte, argonSalt)}
	_, _ = rand.Read(h.salt) // never fails: the program stops if the system has no randomness
	h.key = argon2.IDKey([]byte(password), h.salt, h.time, h.memory, h.threads, argonKey)
	return h
}

const (
	// maxHashers run at once: each takes 19 MiB and a core for some 20 ms.
	maxHashers = 4
	// hashQueue wait at most: two seconds' work of one.
	hashQueue = 64
)

// hashersOn so many cores: one is left to those who have something to do for less than a millisecond. Go takes a core from who
// is hashing after 10 ms, and so long pages would wait.
func hashersOn(cores int) int { return min(max(cores-1, 1), maxHashers) }

// hasher bounds the work on passwords.
type hasher struct {
	running chan struct{}
	waiting chan struct{}
	// dummy is verified where there is no account, so that the time of an answer tells nothing.
	dummy phc
}

func newHasher() *hasher {
	n := hashersOn(runtime.GOMAXPROCS(0))
	return &hasher{running: make(chan struct{}, n), waiting: make(chan struct{}, n+hashQueue), dummy: newHash("no password at all")}
}

// do runs work on a password when there is room. EXHAUSTED TOO_MANY_SIGN_INS when too many wait.
func (h *hasher) do(ctx context.Context, work func()) error {
	select {
	case h.waiting <- struct{}{}:
		defer func() { <-h.waiting }()
	default:
		return problem.New(problem.Exhausted, "TOO_MANY_SIGN_INS", "too many sign-ins at once; try again in a moment")
	}
	select {
	case h.running <- struct{}{}:
		defer func() { <-h.running }()
	case <-ctx.Done():
		return ctx.Err()
	}
	work()
	return nil
}

// hash a new password, as a PHC string.
func (h *hasher) hash(ctx context.Context, password string) (string, error) {
	var out string
	err := h.do(ctx, func() { out = newHash(password).String() })
	return out, err
}

// verify a password against a stored hash; an empty one stands for "no account" and never matches.
func (h *hasher) verify(ctx context.Context, stored, password string) (bool, error) {
	known := h.dummy
	if stored != "" {
		var err error
		if known, err = parsePHC(stored); err != nil {
			return false, err
		}
	}
	var same bool
	err := h.do(ctx, func() { same = known.matches(password) })
	return same && stored != "", err
}
