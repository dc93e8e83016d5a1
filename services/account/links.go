package account

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"strings"
	"time"

	notificationv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/notification/v1"
	"github.com/cellar-commerce/cellar/internal/ident"
	"github.com/cellar-commerce/cellar/internal/notice"
	"github.com/cellar-commerce/cellar/internal/problem"
	"github.com/cellar-commerce/cellar/internal/secret"
	"github.com/cellar-commerce/cellar/internal/sqldb"
)

// Purposes of links.
const (
	purposeVerify = "verify"
	purposeReset  = "reset"
)

const (
	// verifyFor and resetFor are how long links work: one waits in a mailbox, the other was just asked for.
	verifyFor = 48 * time.Hour
	resetFor  = 30 * time.Minute
	// maxMails that one address or customer may ask for in mailWindow: somebody else may be asking.
	maxMails   = 3
	mailWindow = time.Hour
)

// linked is what a link is sent with, by its purpose: the notice that takes it to the customer, and how long it works.
var linked = map[string]struct {
	kind notificationv1.Kind
	ttl  time.Duration
}{
	purposeVerify: {notificationv1.Kind_KIND_EMAIL_VERIFICATION, verifyFor},
	purposeReset:  {notificationv1.Kind_KIND_PASSWORD_RESET, resetFor},
}

// Linker makes the tokens of links from what stands in the database, and a key that does not: who reads the database can
// make none, and what is to be sent later need not be kept where it could be read.
type Linker struct{ key []byte }

// NewLinker with a key that is derived from another one, of at least 32 bytes, and used for nothing else.
func NewLinker(from []byte) Linker {
	return Linker{secret.Derive(from, "links in e-mails")}
}

// Token of a link: <customer id>.<token id>.<secret>. The router reads nothing of it; the cell finds the customer's owner.
func (l Linker) Token(customer ident.CustomerID, tokenID, purpose string) string {
	return string(customer) + "." + tokenID + "." + l.secret(customer, tokenID, purpose)
}

// Sent is the Token of the link that a notice of a kind takes to the customer; empty for a kind that takes none.
func (l Linker) Sent(customer ident.CustomerID, tokenID string, kind notificationv1.Kind) string {
	for purpose, sent := range linked {
		if sent.kind == kind {
			return l.Token(customer, tokenID, purpose)
		}
	}
	return ""
}

func (l Linker) secret(customer ident.CustomerID, tokenID, purpose string) string {
	mac := hmac.New(sha256.New, l.key)
	mac.Write([]byte(string(customer) + "\n" + tokenID + "\n" + purpose))
	return base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}

// link of a token: what is compared with the database.
type link struct {
	customer ident.CustomerID
	tokenID  string
	purpose  string
	hash     []byte
}

// parseLink of a token from outside.
func parseLink(token, purpose string) (link, error) {
	parts := strings.Split(token, ".")
	if len(token) > 256 || len(parts) != 3 || !storable(parts[1]) {
		return link{}, linkNotGood()
	}
	customer, err := ident.Parse(parts[0])
	if err != nil || customer.Guest() {
		return link{}, linkNotGood()
	}
	sum := sha256.Sum256([]byte(parts[2]))
	return link{customer, parts[1], purpose, sum[:]}, nil
}

func linkNotGood() error {
	return problem.New(problem.Precondition, "LINK_NOT_GOOD", "this link has been used or is too old; ask for another")
}

// queueLink writes a link for a customer and the notice that takes it to them; links of that purpose from before stop working.
func (s *Service) queueLink(ctx context.Context, tx sqldb.Tx, id ident.CustomerID, purpose, tokenID string, now time.Time) error {
	with := linked[purpose]
	sum := sha256.Sum256([]byte(s.deps.Links.secret(id, tokenID, purpose)))
	var b sqldb.Batch
	b.Queue(stmtDropLinks, nil, string(id.Region()), string(id), purpose)
	b.Queue(stmtInsertLink, nil, string(id.Region()), string(id), tokenID, purpose, sum[:], now.Add(with.ttl))
	err := notice.Queue(&b, id.Region(), now, notice.Notice{Customer: id, Cause: "account/" + purpose + "/" + tokenID, Detail: &notificationv1.Notice{Kind: with.kind, TokenId: tokenID}})
	if err != nil {
		return err
	}
	return tx.Send(ctx, &b)
}

// sendLink to a customer. One whom nobody is gets a row too, and no letter.
func (s *Service) sendLink(ctx context.Context, id ident.CustomerID, purpose string) error {
	now, tokenID := s.deps.Clock.Now(), ident.NewToken()
	return s.deps.Fence.InSlotTx(ctx, id, func(tx sqldb.Tx) error { return s.queueLink(ctx, tx, id, purpose, tokenID, now) })
}

// requestReset sends a link to whoever has the address. Where nobody has it, the same is done for nobody: a new customer id,
// under which there is no account.
func (s *Service) requestReset(ctx context.Context, email string) error {
	id, claimed, err := s.find(ctx, email)
	if err != nil {
		return fmt.Errorf("request a reset: %w", err)
	}
	if !claimed {
		id = s.deps.Fence.MintCustomer()
	}
	if err := s.deps.Fence.Check(ctx, id); err != nil {
		return err
	}
	return s.mails.within(email, s.deps.Clock.Now(), func() error { return s.sendLink(ctx, id, purposeReset) })
}

// resetPassword by a link. The link is looked at before the password is hashed, so that only who has one costs that much.
func (s *Service) resetPassword(ctx context.Context, token, password string) error {
	l, err := parseLink(token, purposeReset)
	if err != nil {
		return err
	}
	if err := s.deps.Fence.Check(ctx, l.customer); err != nil {
		return err
	}
	if err := s.peek(ctx, l); err != nil {
		return err
	}
	hash, err := s.hasher.hash(ctx, password)
	if err != nil {
		return err
	}
	now, generation, email := s.deps.Clock.Now(), int64(0), ""
	err = s.deps.Fence.InSlotTx(ctx, l.customer, func(tx sqldb.Tx) (err error) {
		if err := use(ctx, tx, l, now); err != nil {
			return err
		}
		if generation, email, err = replacePassword(ctx, tx, l.customer, hash); err != nil {
			return err
		}
		if err := markVerified(ctx, tx, l.customer, now); err != nil { // the link came by that address
			return err
		}
		return passwordChanged(ctx, tx, l.customer, l.tokenID, now)
	})
	if err != nil {
		return err
	}
	s.sessions.learn(l.customer, generation, now)
	s.attempts.succeeded(email)
	return nil
}

// passwordChanged tells the customer.
func passwordChanged(ctx context.Context, tx sqldb.Tx, id ident.CustomerID, cause string, now time.Time) error {
	return notice.Write(ctx, tx, id.Region(), now, notice.Notice{
		Customer: id, Cause: "account/password/" + cause, Detail: &notificationv1.Notice{Kind: notificationv1.Kind_KIND_PASSWORD_CHANGED},
	})
}

// verifyEmail by a link.
func (s *Service) verifyEmail(ctx context.Context, token string) error {
	l, err := parseLink(token, purposeVerify)
	if err != nil {
		return err
	}
	if err := s.deps.Fence.Check(ctx, l.customer); err != nil {
		return err
	}
	now := s.deps.Clock.Now()
	return s.deps.Fence.InSlotTx(ctx, l.customer, func(tx sqldb.Tx) error {
		if err := use(ctx, tx, l, now); err != nil {
			return err
		}
		return markVerified(ctx, tx, l.customer, now)
	})
}

// requestVerification sends the session's customer a link, unless the address is known to be theirs.
func (s *Service) requestVerification(ctx context.Context, id ident.CustomerID) error {
	a, found, err := s.get(ctx, id)
	switch {
	case err != nil:
		return err
	case !found || a.ErasedAt != nil:
		return unknownAccount()
	case a.VerifiedAt != nil:
		return nil
	}
	return s.mails.within(a.Email, s.deps.Clock.Now(), func() error { return s.sendLink(ctx, id, purposeVerify) })
}
