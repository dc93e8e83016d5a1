package account

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	accountv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/account/v1"
	notificationv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/notification/v1"
	"github.com/cellar-commerce/cellar/internal/ident"
	"github.com/cellar-commerce/cellar/internal/notice"
	"github.com/cellar-commerce/cellar/internal/passkey"
	"github.com/cellar-commerce/cellar/internal/problem"
	"github.com/cellar-commerce/cellar/internal/session"
	"github.com/cellar-commerce/cellar/internal/sqldb"
)

// recentFor is how long after signing in one may add a passkey: whoever finds a device that is signed in shall not stay for ever.
const recentFor = 10 * time.Minute

// kept passkey of a customer.
type kept struct {
	shown *accountv1.Passkey
	key   passkey.Key
}

func scanPasskey(r sqldb.Row) (k kept, err error) {
	k.shown = &accountv1.Passkey{}
	var created time.Time
	var used *time.Time
	var uses int64
	err = r.Scan(&k.shown.PasskeyId, &k.key.ID, &k.key.Public, &k.shown.Name, &uses, &k.key.Syncable, &k.key.Synced, &created, &used)
	k.key.Count, k.shown.Synced, k.shown.CreatedAt = uint32(uses), k.key.Synced, timestamppb.New(created)
	if used != nil {
		k.shown.UsedAt = timestamppb.New(*used)
	}
	return k, err
}

func (s *Service) keptOf(ctx context.Context, id ident.CustomerID) ([]kept, error) {
	return sqldb.Collect(ctx, s.deps.Customers, stmtListPasskeys, scanPasskey, string(id.Region()), string(id))
}

func (s *Service) listPasskeys(ctx context.Context, id ident.CustomerID) (shown []*accountv1.Passkey, err error) {
	all, err := s.keptOf(ctx, id)
	for _, k := range all {
		shown = append(shown, k.shown)
	}
	return shown, err
}

func keysOf(all []kept) []passkey.Key {
	keys := make([]passkey.Key, len(all))
	for i, k := range all {
		keys[i] = k.key
	}
	return keys
}

// passkeyID is short, whatever the authenticator's own is, and the same for the same passkey.
func passkeyID(key passkey.Key) string {
	sum := sha256.Sum256(key.ID)
	return base64.RawURLEncoding.EncodeToString(sum[:15])
}

// party of the shop, where it has one. PASSKEYS_OFF.
func (s *Service) party() (*passkey.Party, error) {
	if s.deps.Passkeys == nil {
		return nil, problem.New(problem.Precondition, "PASSKEYS_OFF", "there are no passkeys here; use the password")
	}
	return s.deps.Passkeys, nil
}

// mayAdd a passkey: gives the party, and whom for. SIGN_IN_AGAIN.
func (s *Service) mayAdd(ctx context.Context) (*passkey.Party, passkey.User, error) {
	p, err := session.RequireAccount(ctx)
	if err != nil {
		return nil, passkey.User{}, err
	}
	party, err := s.party()
	if err != nil {
		return nil, passkey.User{}, err
	}
	if s.deps.Clock.Now().Sub(p.Begun()) > recentFor {
		return nil, passkey.User{}, problem.New(problem.Precondition, "SIGN_IN_AGAIN", "you signed in a while ago; sign in again to add a passkey")
	}
	a, found, err := s.get(ctx, p.CustomerID)
	if err != nil {
		return nil, passkey.User{}, err
	}
	if !found || a.ErasedAt != nil {
		return nil, passkey.User{}, unknownAccount()
	}
	return party, passkey.User{ID: string(a.CustomerID), Name: a.Email, Label: a.Name}, nil
}

// PreparePasskey implements AccountService.
func (s *Service) PreparePasskey(ctx context.Context, _ *accountv1.PreparePasskeyRequest) (*accountv1.PreparePasskeyResponse, error) {
	party, user, err := s.mayAdd(ctx)
	if err != nil {
		return nil, err
	}
	known, err := s.keptOf(ctx, ident.CustomerID(user.ID))
	if err != nil {
		return nil, err
	}
	if len(known) >= maxPasskeys {
		return nil, tooManySaved(maxPasskeys)
	}
	options, err := party.ToMake(user, keysOf(known), s.deps.Clock.Now())
	return &accountv1.PreparePasskeyResponse{Options: options}, err
}

// AddPasskey implements AccountService.
func (s *Service) AddPasskey(ctx context.Context, req *accountv1.AddPasskeyRequest) (*accountv1.AddPasskeyResponse, error) {
	party, user, err := s.mayAdd(ctx)
	if err != nil {
		return nil, err
	}
	if err := checkPasskeyName(req.GetName()); err != nil {
		return nil, err
	}
	now, id := s.deps.Clock.Now(), ident.CustomerID(user.ID)
	key, asked, err := party.Made(user, req.GetAnswer(), now)
	if err != nil {
		return nil, err
	}
	added := &accountv1.Passkey{PasskeyId: passkeyID(key), Name: req.GetName(), CreatedAt: timestamppb.New(now), Synced: key.Synced}
	err = s.limited(ctx, id, stmtCountPasskeys, maxPasskeys, func(tx sqldb.Tx) error {
		if err := answered(ctx, tx, id, asked); err != nil {
			return err
		}
		n, err := tx.Exec(ctx, stmtInsertPasskey, string(id.Region()), string(id), added.GetPasskeyId(), key.ID, key.Public, added.GetName(), int64(key.Count), key.Syncable, key.Synced, now)
		if err == nil && n == 0 {
			return problem.New(problem.AlreadyExists, "PASSKEY_KNOWN", "this passkey is yours already")
		}
		if err != nil {
			return err
		}
		return passkeyChanged(ctx, tx, id, notificationv1.Kind_KIND_PASSKEY_ADDED, added.GetPasskeyId(), now)
	})
	if err != nil {
		return nil, err
	}
	return &accountv1.AddPasskeyResponse{Passkey: added}, nil
}

// answered a challenge that was asked at a time: none that was asked at it, or before, is answered any more. CHALLENGE_NOT_GOOD, also
// where the account is erased.
func answered(ctx context.Context, tx sqldb.Tx, id ident.CustomerID, asked time.Time) error {
	n, err := tx.Exec(ctx, stmtAnswerChallenge, string(id.Region()), string(id), asked)
	if err == nil && n == 0 {
		err = passkey.NotGood()
	}
	return err
}

func checkPasskeyName(name string) error {
	var v problem.Violations
	v.Check(oneLine(name, maxLabel), "name", "must be 1 to 60 characters")
	if err := v.Err(); err != nil {
		return err
	}
	return refuseCardNumbers(name)
}

// ListPasskeys implements AccountService.
func (s *Service) ListPasskeys(ctx context.Context, _ *accountv1.ListPasskeysRequest) (*accountv1.ListPasskeysResponse, error) {
	p, err := session.RequireAccount(ctx)
	if err != nil {
		return nil, err
	}
	all, err := s.listPasskeys(ctx, p.CustomerID)
	return &accountv1.ListPasskeysResponse{Passkeys: all}, err
}

// RenamePasskey implements AccountService.
func (s *Service) RenamePasskey(ctx context.Context, req *accountv1.RenamePasskeyRequest) (*accountv1.RenamePasskeyResponse, error) {
	p, err := session.RequireAccount(ctx)
	if err != nil {
		return nil, err
	}
	if err := checkPasskeyName(req.GetName()); err != nil {
		return nil, err
	}
	return &accountv1.RenamePasskeyResponse{}, s.changeOne(ctx, p.CustomerID, stmtRenamePasskey, req.GetPasskeyId(), unknownPasskey, req.GetName())
}

// DeletePasskey implements AccountService.
func (s *Service) DeletePasskey(ctx context.Context, req *accountv1.DeletePasskeyRequest) (*accountv1.DeletePasskeyResponse, error) {
	p, err := session.RequireAccount(ctx)
	if err != nil {
		return nil, err
	}
	now := s.deps.Clock.Now()
	return &accountv1.DeletePasskeyResponse{}, s.deps.Fence.InSlotTx(ctx, p.CustomerID, func(tx sqldb.Tx) error {
		if err := changeOneIn(ctx, tx, p.CustomerID, stmtDeletePasskey, req.GetPasskeyId(), unknownPasskey); err != nil {
			return err
		}
		return passkeyChanged(ctx, tx, p.CustomerID, notificationv1.Kind_KIND_PASSKEY_REMOVED, req.GetPasskeyId(), now)
	})
}

// passkeyChanged tells the customer. Without the passkey's name: whoever has got at the account may have written it, and the letter is the shop's.
func passkeyChanged(ctx context.Context, tx sqldb.Tx, id ident.CustomerID, kind notificationv1.Kind, passkeyID string, now time.Time) error {
	cause := fmt.Sprintf("account/passkey/%s/%d/%d", passkeyID, kind, now.UnixMicro()) // one may be added again once it is removed
	return notice.Write(ctx, tx, id.Region(), now, notice.Notice{Customer: id, Cause: cause, Detail: &notificationv1.Notice{Kind: kind}})
}

func unknownPasskey() error {
	return problem.New(problem.NotFound, "UNKNOWN_PASSKEY", "there is no such passkey")
}

// PreparePasskeySignIn implements AccountService.
func (s *Service) PreparePasskeySignIn(context.Context, *accountv1.PreparePasskeySignInRequest) (*accountv1.PreparePasskeySignInResponse, error) {
	party, err := s.party()
	if err != nil {
		return nil, err
	}
	options, err := party.ToUse(s.deps.Clock.Now())
	return &accountv1.PreparePasskeySignInResponse{Options: options}, err
}

// SignInWithPasskey implements AccountService.
func (s *Service) SignInWithPasskey(ctx context.Context, req *accountv1.SignInWithPasskeyRequest) (*accountv1.SignInWithPasskeyResponse, error) {
	party, err := s.party()
	if err != nil {
		return nil, err
	}
	answer, err := passkey.Read(req.GetAnswer())
	if err != nil {
		return nil, err
	}
	id, err := ident.Parse(answer.User)
	if err != nil || id.Guest() {
		return nil, badPasskey()
	}
	if err := s.deps.Fence.Check(ctx, id); err != nil {
		return nil, err
	}
	a, err := s.provenBy(ctx, party, id, answer)
	if err != nil {
		return nil, err
	}
	return &accountv1.SignInWithPasskeyResponse{Merged: s.mergeCart(ctx, id), Session: s.answerSession(ctx, id, a.Generation)}, nil
}

// provenBy a passkey's answer, which is counted as a try of a password is. Nothing of a customer is in what is answered or kept of a
// failure, so that it tells nobody who is one.
func (s *Service) provenBy(ctx context.Context, party *passkey.Party, id ident.CustomerID, answer passkey.Answer) (Account, error) {
	now, who := s.deps.Clock.Now(), "passkey/"+string(id)
	if err := s.attempts.enter(who, now); err != nil {
		return Account{}, err
	}
	defer s.attempts.leave(who)
	a, _, err := s.get(ctx, id)
	if err != nil {
		return Account{}, err
	}
	known, err := s.keptOf(ctx, id)
	if err != nil {
		return Account{}, err
	}
	key, asked, err := party.Used(answer, keysOf(known), now)
	if err == nil {
		err = s.writeUse(ctx, id, key, asked, now)
	}
	switch {
	case errors.Is(err, passkey.ErrCopied):
		s.attempts.failed(who, now)
		s.deps.Log.WarnContext(ctx, "a passkey counts no further than before: it may have been copied")
		return Account{}, problem.New(problem.Unauthenticated, "PASSKEY_COPIED", "this passkey may have been copied; sign in with your password and remove it")
	case errors.Is(err, passkey.ErrNotProven):
		s.attempts.failed(who, now)
		return Account{}, badPasskey()
	case err != nil:
		return Account{}, err
	}
	s.attempts.succeeded(who)
	return a, nil
}

// writeUse of a passkey: its count, and that the challenge is answered.
func (s *Service) writeUse(ctx context.Context, id ident.CustomerID, key passkey.Key, asked, now time.Time) error {
	return s.deps.Fence.InSlotTx(ctx, id, func(tx sqldb.Tx) error {
		if err := answered(ctx, tx, id, asked); err != nil {
			return err
		}
		n, err := tx.Exec(ctx, stmtUsePasskey, string(id.Region()), string(id), passkeyID(key), int64(key.Count), key.Synced, now)
		if err == nil && n == 0 {
			return passkey.ErrNotProven // it was removed meanwhile, or used elsewhere with this count
		}
		return err
	})
}

func badPasskey() error {
	return problem.New(problem.Unauthenticated, "BAD_PASSKEY", "nobody here has this passkey; sign in with your password")
}
