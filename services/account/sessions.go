package account

import (
	"context"
	"sync"
	"time"

	"github.com/cellar-commerce/cellar/internal/ident"
	"github.com/cellar-commerce/cellar/internal/problem"
	"github.com/cellar-commerce/cellar/internal/session"
	"github.com/cellar-commerce/cellar/internal/sqldb"
)

const (
	// knownFor is how long a generation that was read counts without being read again. The cell that owns a customer learns of
	// its own changes at once; only one that has just got the customer back may hold an old one, for this long.
	knownFor = 10 * time.Second
	// maxKnown generations take some 10 MB.
	maxKnown = 100_000
)

// generations of customers' sessions, as this process knows them.
type generations struct {
	mu    sync.Mutex
	known map[ident.CustomerID]known
}

type known struct {
	generation int64
	until      time.Time
}

func newGenerations() *generations { return &generations{known: map[ident.CustomerID]known{}} }

func (g *generations) learn(id ident.CustomerID, generation int64, now time.Time) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(g.known) >= maxKnown {
		clear(g.known) // they are read again
	}
	g.known[id] = known{generation, now.Add(knownFor)}
}

func (g *generations) of(id ident.CustomerID, now time.Time) (int64, bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	k, found := g.known[id]
	return k.generation, found && now.Before(k.until)
}

// Valid refuses a session that was ended: UNAUTHENTICATED SESSION_ENDED. A database that cannot be asked ends no session:
// what the session is good for needs the same database.
func (s *Service) Valid(ctx context.Context, p session.Principal) error {
	if p.Guest() {
		return nil
	}
	now := s.deps.Clock.Now()
	current, found := s.sessions.of(p.CustomerID, now)
	if !found {
		a, exists, err := s.get(ctx, p.CustomerID)
		if err != nil || !exists {
			return nil //nolint:nilerr // see above; and without an account each service says so itself
		}
		current = a.Generation
		s.sessions.learn(p.CustomerID, current, now)
	}
	if p.Generation() < current {
		return problem.New(problem.Unauthenticated, "SESSION_ENDED", "this session was ended; sign in again")
	}
	return nil
}

// prove that a customer knows the account's password, with the same limits as signing in. BAD_CREDENTIALS.
func (s *Service) prove(ctx context.Context, id ident.CustomerID, password string) (Account, error) {
	a, found, err := s.get(ctx, id)
	if err != nil {
		return a, err
	}
	if !found || a.ErasedAt != nil {
		return a, unknownAccount()
	}
	return s.tried(ctx, a.Email, password, func() (Account, error) { return a, nil })
}

// changePassword of a customer who knows the old one; gives the generation of the sessions to come.
func (s *Service) changePassword(ctx context.Context, id ident.CustomerID, old, password string) (generation int64, err error) {
	if _, err := s.prove(ctx, id, old); err != nil {
		return 0, err
	}
	hash, err := s.hasher.hash(ctx, password)
	if err != nil {
		return 0, err
	}
	now, cause := s.deps.Clock.Now(), ident.NewToken()
	err = s.deps.Fence.InSlotTx(ctx, id, func(tx sqldb.Tx) (err error) {
		if generation, _, err = replacePassword(ctx, tx, id, hash); err != nil {
			return err
		}
		return passwordChanged(ctx, tx, id, cause, now)
	})
	if err == nil {
		s.sessions.learn(id, generation, now)
	}
	return generation, err
}

// endSessions of a customer, all of them.
func (s *Service) endSessions(ctx context.Context, id ident.CustomerID) error {
	var generation int64
	err := s.deps.Fence.InSlotTx(ctx, id, func(tx sqldb.Tx) (err error) {
		generation, err = nextGeneration(ctx, tx, id)
		return err
	})
	if err == nil {
		s.sessions.learn(id, generation, s.deps.Clock.Now())
	}
	return err
}

func unknownAccount() error {
	return problem.New(problem.Unauthenticated, "UNKNOWN_ACCOUNT", "there is no such account; sign in again")
}
