package session

import (
	"context"
	"strconv"
	"strings"
	"time"

	"github.com/cellar-commerce/cellar/internal/ident"
	"github.com/cellar-commerce/cellar/internal/problem"
)

// Principal is whom a request is from.
type Principal struct {
	CustomerID ident.CustomerID
	SessionID  string
}

// Guest tells a guest from a customer.
func (p Principal) Guest() bool { return p.CustomerID.Guest() }

// Generation of the customer's sessions to which this one belongs: 0 for the first, and for a guest's. When the account's has
// grown, the sessions of those before are not good any more.
func (p Principal) Generation() int64 {
	text, _, found := strings.Cut(p.SessionID, "-")
	n, err := strconv.ParseInt(text, 10, 64)
	if !found || err != nil {
		return 0
	}
	return n
}

// Begun is when the customer signed in, however often the token was renewed since; the zero time where the session does not say.
func (p Principal) Begun() time.Time {
	parts := strings.Split(p.SessionID, "-")
	if len(parts) != 3 {
		return time.Time{}
	}
	at, err := strconv.ParseInt(parts[1], 10, 64)
	if err != nil {
		return time.Time{}
	}
	return time.Unix(at, 0).UTC()
}

type contextKey struct{}

// With puts a principal into a context.
func With(ctx context.Context, p Principal) context.Context {
	return context.WithValue(ctx, contextKey{}, p)
}

// From finds the principal of a request; false for an anonymous one.
func From(ctx context.Context) (Principal, bool) {
	p, ok := ctx.Value(contextKey{}).(Principal)
	return p, ok
}

// Require finds the principal, or refuses with SESSION_REQUIRED.
func Require(ctx context.Context) (Principal, error) {
	p, ok := From(ctx)
	if !ok {
		return Principal{}, problem.New(problem.Unauthenticated, "SESSION_REQUIRED", "this needs a session")
	}
	return p, nil
}

// RequireAccount finds the principal and refuses guests with ACCOUNT_REQUIRED.
func RequireAccount(ctx context.Context) (Principal, error) {
	p, err := Require(ctx)
	if err == nil && p.Guest() {
		err = problem.New(problem.Denied, "ACCOUNT_REQUIRED", "sign in first; guests cannot do this")
	}
	return p, err
}
