package passkey

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/go-webauthn/webauthn/protocol"
	"github.com/go-webauthn/webauthn/webauthn"

	"github.com/cellar-commerce/cellar/internal/problem"
	"github.com/cellar-commerce/cellar/internal/secret"
)

// maxAnswer of a browser in bytes: with the largest keys and an authenticator's longest id it is a quarter of it.
const maxAnswer = 16 << 10

// Key is a passkey as it is kept: its public half.
type Key struct {
	// ID is the authenticator's, at most 1,023 bytes; Public is the key as COSE has it.
	ID, Public []byte
	// Count of uses, as its authenticator says; those that are synced between devices say 0 for ever.
	Count uint32
	// Syncable between devices, and Synced.
	Syncable, Synced bool
}

// User whom a passkey is for.
type User struct {
	// ID comes back with each use, of at most 64 bytes. Name and Label are what the authenticator shows.
	ID, Name, Label string
}

// Party is a shop at its origins, to which passkeys belong ("relying party").
type Party struct {
	web *webauthn.WebAuthn
	key []byte
}

// New party at origins ("https://host"), all of the first one's host or below it, with a key that is derived from another one, of at
// least 32 bytes, and used for nothing else.
func New(origins []string, from []byte) (*Party, error) {
	var domain string
	for _, origin := range origins {
		u, err := url.Parse(origin)
		if err != nil || u.Host == "" || (u.Scheme != "https" && (u.Scheme != "http" || u.Hostname() != "localhost")) || u.Scheme+"://"+u.Host != origin {
			return nil, fmt.Errorf("passkeys: %q is no origin that browsers allow them at: https://host, or http://localhost", origin)
		}
		if domain == "" {
			domain = u.Hostname()
		}
		if net.ParseIP(u.Hostname()) != nil || (u.Hostname() != domain && !strings.HasSuffix(u.Hostname(), "."+domain)) {
			return nil, fmt.Errorf("passkeys: %q is not of the domain %s", origin, domain)
		}
	}
	yes := true
	web, err := webauthn.New(&webauthn.Config{
		RPID: domain, RPDisplayName: "Cellar", RPOrigins: origins, AttestationPreference: protocol.PreferNoAttestation,
		AuthenticatorSelection: protocol.AuthenticatorSelection{ResidentKey: protocol.ResidentKeyRequirementRequired, RequireResidentKey: &yes, UserVerification: protocol.VerificationRequired},
		Timeouts:               webauthn.TimeoutsConfig{Login: webauthn.TimeoutConfig{Timeout: Lifetime}, Registration: webauthn.TimeoutConfig{Timeout: Lifetime}},
		// Some password managers tell more than they were asked; nothing of it is looked at.
		ExtensionsUnsolicitedOutputPolicy: protocol.UnsolicitedOutputPolicyIgnore,
	})
	if err != nil {
		return nil, fmt.Errorf("passkeys: %w", err)
	}
	return &Party{web: web, key: secret.Derive(from, "challenges of passkeys")}, nil
}

// Domain whose passkeys they are; empty of no party.
func (p *Party) Domain() string {
	if p == nil {
		return ""
	}
	return p.web.Config.RPID
}

// owner is a User with the keys that are known.
type owner struct {
	User
	keys []Key
}

func (o owner) WebAuthnID() []byte          { return []byte(o.ID) }
func (o owner) WebAuthnName() string        { return o.Name }
func (o owner) WebAuthnDisplayName() string { return o.Label }

func (o owner) WebAuthnCredentials() []webauthn.Credential {
	all := make([]webauthn.Credential, len(o.keys))
	for i, k := range o.keys {
		all[i] = webauthn.Credential{
			ID: k.ID, PublicKey: k.Public, Authenticator: webauthn.Authenticator{SignCount: k.Count},
			Flags: webauthn.CredentialFlags{BackupEligible: k.Syncable, BackupState: k.Synced},
		}
	}
	return all
}

// ToMake is what a browser makes a passkey for a user with, as JSON (PublicKeyCredentialCreationOptionsJSON). An authenticator that has
// one of the known keys makes no other.
func (p *Party) ToMake(user User, known []Key, now time.Time) (string, error) {
	o := owner{user, known}
	made, _, err := p.web.BeginRegistration(o, webauthn.WithExclusions(webauthn.Credentials(o.WebAuthnCredentials()).CredentialDescriptors()), func(options *protocol.PublicKeyCredentialCreationOptions) error {
		options.Challenge = p.challenge(toMake(user.ID), now)
		return nil
	})
	if err != nil {
		return "", fmt.Errorf("options to make a passkey: %w", err)
	}
	return asJSON(made.Response)
}

// ToUse is what a browser uses any passkey of this shop with, as JSON (PublicKeyCredentialRequestOptionsJSON).
func (p *Party) ToUse(now time.Time) (string, error) {
	used, _, err := p.web.BeginDiscoverableLogin(webauthn.WithChallenge(p.challenge(toUse, now)))
	if err != nil {
		return "", fmt.Errorf("options to use a passkey: %w", err)
	}
	return asJSON(used.Response)
}

func asJSON(options any) (string, error) {
	b, err := json.Marshal(options)
	return string(b), err
}

// Made gives the key that a browser has made (RegistrationResponseJSON), and when it was asked to. Precondition: CHALLENGE_NOT_GOOD,
// WRONG_ORIGIN. Invalid: PASSKEY_REFUSED.
func (p *Party) Made(user User, answer string, now time.Time) (Key, time.Time, error) {
	if len(answer) > maxAnswer {
		return Key{}, time.Time{}, notTaken()
	}
	made, err := protocol.ParseCredentialCreationResponseBytes([]byte(answer))
	if err != nil {
		return Key{}, time.Time{}, notTaken()
	}
	said := made.Response.CollectedClientData
	asked, err := p.heard(said, toMake(user.ID), now)
	if err != nil {
		return Key{}, time.Time{}, err
	}
	c, err := p.web.CreateCredential(owner{User: user}, webauthn.SessionData{
		Challenge: said.Challenge, RelyingPartyID: p.Domain(), UserID: []byte(user.ID), UserVerification: protocol.VerificationRequired, CredParams: webauthn.CredentialParametersDefault(),
	}, made)
	if err != nil {
		return Key{}, time.Time{}, notTaken()
	}
	return keyOf(c), asked, nil
}

func keyOf(c *webauthn.Credential) Key {
	return Key{ID: c.ID, Public: c.PublicKey, Count: c.Authenticator.SignCount, Syncable: c.Flags.BackupEligible, Synced: c.Flags.BackupState}
}

// Answer of a browser that has used a passkey (AuthenticationResponseJSON): it says whose it is, and proves nothing yet.
type Answer struct {
	User   string
	parsed *protocol.ParsedCredentialAssertionData
}

// Read an answer. Invalid: PASSKEY_REFUSED.
func Read(answer string) (Answer, error) {
	if len(answer) > maxAnswer {
		return Answer{}, notTaken()
	}
	parsed, err := protocol.ParseCredentialRequestResponseBytes([]byte(answer))
	if err != nil {
		return Answer{}, notTaken()
	}
	return Answer{User: string(parsed.Response.UserHandle), parsed: parsed}, nil
}

// ErrNotProven is an answer that none of the user's keys has given.
var ErrNotProven = errors.New("the passkey is not the user's")

// ErrCopied is an answer whose key counts no further than it has before: somebody else has a copy of it.
var ErrCopied = errors.New("the passkey has been copied")

// Used gives which of a user's keys has answered, with its new count, and when it was asked. Precondition: CHALLENGE_NOT_GOOD,
// WRONG_ORIGIN. ErrNotProven, ErrCopied.
func (p *Party) Used(answer Answer, known []Key, now time.Time) (Key, time.Time, error) {
	said := answer.parsed.Response.CollectedClientData
	asked, err := p.heard(said, toUse, now)
	if err != nil {
		return Key{}, time.Time{}, err
	}
	o := owner{User{ID: answer.User}, known}
	find := func(_, _ []byte) (webauthn.User, error) { return o, nil }
	_, c, err := p.web.ValidatePasskeyLogin(find, webauthn.SessionData{Challenge: said.Challenge, RelyingPartyID: p.Domain(), UserVerification: protocol.VerificationRequired}, answer.parsed)
	if err != nil {
		return Key{}, time.Time{}, fmt.Errorf("%w: %w", ErrNotProven, err)
	}
	if c.Authenticator.CloneWarning {
		return Key{}, time.Time{}, ErrCopied
	}
	return keyOf(c), asked, nil
}

// heard what a browser says it was asked, by which page.
func (p *Party) heard(said protocol.CollectedClientData, purpose string, now time.Time) (time.Time, error) {
	if !slices.Contains(p.web.Config.RPOrigins, said.Origin) {
		return time.Time{}, problem.New(problem.Precondition, "WRONG_ORIGIN", "passkeys are made and used on the shop's own pages")
	}
	return p.asked(said.Challenge, purpose, now)
}

func notTaken() error {
	return problem.New(problem.Invalid, "PASSKEY_REFUSED", "this is no answer of a browser about a passkey that can be taken")
}
