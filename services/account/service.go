package account

import (
	"context"
	"fmt"
	"log/slog"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/cellar-commerce/cellar/internal/clock"
	"github.com/cellar-commerce/cellar/internal/fence"
	accountv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/account/v1"
	"github.com/cellar-commerce/cellar/internal/gen/cellar/account/v1/accountv1connect"
	cartv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/cart/v1"
	"github.com/cellar-commerce/cellar/internal/ident"
	"github.com/cellar-commerce/cellar/internal/passkey"
	"github.com/cellar-commerce/cellar/internal/problem"
	"github.com/cellar-commerce/cellar/internal/session"
	"github.com/cellar-commerce/cellar/internal/sqldb"
)

// Carts of customers; it takes a guest's cart into a customer's.
type Carts interface {
	GetCart(context.Context, *cartv1.GetCartRequest) (*cartv1.GetCartResponse, error)
	EraseCart(context.Context, *cartv1.EraseCartRequest) (*cartv1.EraseCartResponse, error)
	MergeGuestCart(context.Context, *cartv1.MergeGuestCartRequest) (*cartv1.MergeGuestCartResponse, error)
}

// Deps of the service.
type Deps struct {
	// Customers is cellar_customer, Global is cellar_global.
	Customers *sqldb.DB
	Global    *sqldb.DB
	Fence     fence.Fence
	Sessions  *session.Signer
	Carts     Carts
	// Orders, Reviews and Notifications are needed to export and erase what is kept about a customer.
	Orders        Orders
	Reviews       Reviews
	Notifications Notifications
	// Links makes what is sent by e-mail.
	Links Linker
	// Passkeys of the shop's origins; nil: there are none here.
	Passkeys *passkey.Party
	// Rings in which this cell may own customers.
	Rings func() (rings []ident.Region, version uint64)
	// SecureCookies marks the session cookie Secure: on wherever the router speaks TLS.
	SecureCookies bool
	Clock         clock.Clock
	Log           *slog.Logger
}

// Service implements cellar.account.v1.AccountService.
type Service struct {
	deps     Deps
	hasher   *hasher
	attempts *attempts
	mails    *attempts
	sessions *generations
}

var _ accountv1connect.AccountServiceHandler = (*Service)(nil)

// New service.
func New(deps Deps) *Service {
	return &Service{deps: deps, hasher: newHasher(), attempts: newAttempts(), mails: newMails(), sessions: newGenerations()}
}

// signUp makes an account. A claim of the address that nobody finished is adopted.
func (s *Service) signUp(ctx context.Context, email, password, name string) (ident.CustomerID, error) {
	holder, claimed, err := s.find(ctx, email)
	if err != nil {
		return "", fmt.Errorf("sign up: %w", err)
	}
	if claimed {
		if err := s.takenBy(ctx, holder); err != nil {
			return "", err
		}
	}
	hash, err := s.hasher.hash(ctx, password)
	if err != nil {
		return "", fmt.Errorf("sign up: %w", err)
	}
	if !claimed {
		if holder, err = s.claim(ctx, email, s.deps.Fence.MintCustomer()); err != nil {
			return "", fmt.Errorf("sign up: %w", err)
		}
	}
	created, err := s.create(ctx, Account{CustomerID: holder, Email: email, Name: name, PasswordHash: hash, CreatedAt: s.deps.Clock.Now()})
	if err != nil {
		return "", fmt.Errorf("sign up: %w", err)
	}
	if !created {
		return "", emailTaken()
	}
	return holder, nil
}

// takenBy refuses with EMAIL_TAKEN when a claim has its account, and with WRONG_CELL when another cell has to look.
func (s *Service) takenBy(ctx context.Context, holder ident.CustomerID) error {
	if err := s.deps.Fence.Check(ctx, holder); err != nil {
		return err
	}
	_, exists, err := s.get(ctx, holder)
	if err != nil {
		return fmt.Errorf("sign up: %w", err)
	}
	if exists {
		return emailTaken()
	}
	return nil
}

func emailTaken() error {
	return problem.New(problem.AlreadyExists, "EMAIL_TAKEN", "there is an account with this e-mail address; sign in")
}

// signIn proves a customer by password. BAD_CREDENTIALS for an unknown address and a wrong password alike.
func (s *Service) signIn(ctx context.Context, email, password string) (Account, error) {
	id, claimed, err := s.find(ctx, email)
	if err != nil {
		return Account{}, fmt.Errorf("sign in: %w", err)
	}
	if claimed {
		if err := s.deps.Fence.Check(ctx, id); err != nil {
			return Account{}, err
		}
	}
	return s.tried(ctx, email, password, func() (a Account, err error) {
		if claimed {
			a, _, err = s.get(ctx, id)
		}
		return a, err
	})
}

// tried a password of an address: within the limits, and counted. BAD_CREDENTIALS, also for the zero account, and as slowly.
func (s *Service) tried(ctx context.Context, email, password string, account func() (Account, error)) (Account, error) {
	now := s.deps.Clock.Now()
	if err := s.attempts.enter(email, now); err != nil {
		return Account{}, err
	}
	defer s.attempts.leave(email)
	a, err := account()
	if err != nil {
		return Account{}, fmt.Errorf("try a password: %w", err)
	}
	same, err := s.hasher.verify(ctx, a.PasswordHash, password)
	if err != nil {
		return Account{}, fmt.Errorf("try a password: %w", err)
	}
	if !same {
		s.attempts.failed(email, now)
		return Account{}, badCredentials()
	}
	s.attempts.succeeded(email)
	return a, nil
}

// mergeCart takes the calling guest's cart in. A sign-in does not fail for it: the merge counts once, whenever it
// comes, and the guest's cart stays where it is until then.
func (s *Service) mergeCart(ctx context.Context, id ident.CustomerID) []*accountv1.MergedLine {
	caller, ok := session.From(ctx)
	if !ok || !caller.Guest() {
		return nil
	}
	resp, err := s.deps.Carts.MergeGuestCart(ctx, &cartv1.MergeGuestCartRequest{CustomerId: string(id), GuestId: string(caller.CustomerID)})
	if err != nil {
		s.deps.Log.WarnContext(ctx, "a guest's cart was not merged at sign-in", "error", err)
		return nil
	}
	var merged []*accountv1.MergedLine
	for _, m := range resp.GetMerged() {
		merged = append(merged, &accountv1.MergedLine{Sku: m.GetSku(), GuestQuantity: m.GetGuestQuantity(), Quantity: m.GetQuantity()})
	}
	return merged
}

func (s *Service) newSession(id ident.CustomerID, generation int64) *accountv1.Session {
	now := s.deps.Clock.Now()
	token, expires := s.deps.Sessions.Issue(session.Principal{CustomerID: id, SessionID: session.NewIDOf(generation, now)}, now)
	return &accountv1.Session{Token: token, CustomerId: string(id), ExpiresAt: timestamppb.New(expires)}
}
