package account

import (
	"context"
	"errors"
	"fmt"

	"google.golang.org/protobuf/proto"

	accountv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/account/v1"
	postalv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/postal/v1"
	"github.com/cellar-commerce/cellar/internal/ident"
	"github.com/cellar-commerce/cellar/internal/problem"
	"github.com/cellar-commerce/cellar/internal/sqldb"
)

var (
	stmtClaim = sqldb.Define(sqldb.Global, "account.claim_email", `
INSERT INTO email_directory (email, customer_id, claimed_at)
VALUES ($1, $2, $3)
ON CONFLICT (email) DO NOTHING`)

	stmtFind = sqldb.Define(sqldb.Global, "account.find_email", `
SELECT customer_id
FROM email_directory
WHERE email = $1`)

	stmtInsert = sqldb.Define(sqldb.Customer, "account.insert", `
INSERT INTO accounts (region, customer_id, email, name, password_hash, created_at)
VALUES ($1, $2, $3, $4, $5, $6)
ON CONFLICT (region, customer_id) DO NOTHING`)

	stmtGet = sqldb.Define(sqldb.Customer, "account.get", `
SELECT customer_id, email, name, password_hash, created_at
FROM accounts
WHERE region = $1 AND customer_id = $2`)

	// Changes of what one customer saved follow each other, so that its limits hold.
	stmtLock = sqldb.Define(sqldb.Customer, "account.lock", `
SELECT customer_id
FROM accounts
WHERE region = $1 AND customer_id = $2
FOR UPDATE`)

	stmtCountAddresses = sqldb.Define(sqldb.Customer, "account.count_addresses", `
SELECT count(*)
FROM addresses
WHERE region = $1 AND customer_id = $2`)

	stmtInsertAddress = sqldb.Define(sqldb.Customer, "account.insert_address", `
INSERT INTO addresses (region, customer_id, address_id, address, created_at)
VALUES ($1, $2, $3, $4, $5)`)

	stmtListAddresses = sqldb.Define(sqldb.Customer, "account.list_addresses", `
SELECT address_id, address
FROM addresses
WHERE region = $1 AND customer_id = $2
ORDER BY created_at, address_id`)

	stmtGetAddress = sqldb.Define(sqldb.Customer, "account.get_address", `
SELECT address_id, address
FROM addresses
WHERE region = $1 AND customer_id = $2 AND address_id = $3`)

	stmtDeleteAddress = sqldb.Define(sqldb.Customer, "account.delete_address", `
DELETE FROM addresses
WHERE region = $1 AND customer_id = $2 AND address_id = $3`)

	stmtCountMethods = sqldb.Define(sqldb.Customer, "account.count_payment_methods", `
SELECT count(*)
FROM payment_methods
WHERE region = $1 AND customer_id = $2`)

	stmtInsertMethod = sqldb.Define(sqldb.Customer, "account.insert_payment_method", `
INSERT INTO payment_methods (region, customer_id, payment_method_id, card_token, label, created_at)
VALUES ($1, $2, $3, $4, $5, $6)`)

	stmtListMethods = sqldb.Define(sqldb.Customer, "account.list_payment_methods", `
SELECT payment_method_id, label
FROM payment_methods
WHERE region = $1 AND customer_id = $2
ORDER BY created_at, payment_method_id`)

	stmtGetToken = sqldb.Define(sqldb.Customer, "account.get_card_token", `
SELECT card_token
FROM payment_methods
WHERE region = $1 AND customer_id = $2 AND payment_method_id = $3`)

	stmtDeleteMethod = sqldb.Define(sqldb.Customer, "account.delete_payment_method", `
DELETE FROM payment_methods
WHERE region = $1 AND customer_id = $2 AND payment_method_id = $3`)
)

// claim an address for a customer id; gives the id that has it, which may be another.
func (s *Service) claim(ctx context.Context, email string, id ident.CustomerID) (ident.CustomerID, error) {
	_, err := s.deps.Global.Exec(ctx, stmtClaim, email, string(id), s.deps.Clock.Now())
	if err != nil {
		return "", err
	}
	holder, _, err := s.find(ctx, email)
	return holder, err
}

// find whose an address is.
func (s *Service) find(ctx context.Context, email string) (id ident.CustomerID, found bool, err error) {
	var raw string
	err = s.deps.Global.QueryRow(ctx, stmtFind, email).Scan(&raw)
	if errors.Is(err, sqldb.ErrNoRows) {
		return "", false, nil
	}
	if err != nil {
		return "", false, err
	}
	id, err = ident.Parse(raw)
	return id, err == nil, err
}

// create the account's row; false when there is one already.
func (s *Service) create(ctx context.Context, a Account) (created bool, err error) {
	err = s.deps.Fence.InSlotTx(ctx, a.CustomerID, func(tx sqldb.Tx) error {
		n, err := tx.Exec(ctx, stmtInsert, string(a.CustomerID.Region()), string(a.CustomerID), a.Email, a.Name, a.PasswordHash, a.CreatedAt)
		created = n == 1
		return err
	})
	return created, err
}

// get an account; false when there is none.
func (s *Service) get(ctx context.Context, id ident.CustomerID) (a Account, found bool, err error) {
	err = s.deps.Customers.QueryRow(ctx, stmtGet, string(id.Region()), string(id)).Scan(&a.CustomerID, &a.Email, &a.Name, &a.PasswordHash, &a.CreatedAt)
	if errors.Is(err, sqldb.ErrNoRows) {
		return Account{}, false, nil
	}
	return a, err == nil, err
}

// limited inserts a row for a customer who has fewer than limit of them.
func (s *Service) limited(ctx context.Context, id ident.CustomerID, count *sqldb.Statement, limit int, insert func(tx sqldb.Tx) error) error {
	return s.deps.Fence.InSlotTx(ctx, id, func(tx sqldb.Tx) error {
		var locked string
		err := tx.QueryRow(ctx, stmtLock, string(id.Region()), string(id)).Scan(&locked)
		if errors.Is(err, sqldb.ErrNoRows) {
			return problem.New(problem.Unauthenticated, "UNKNOWN_ACCOUNT", "there is no such account; sign in again")
		}
		if err != nil {
			return err
		}
		var n int
		if err := tx.QueryRow(ctx, count, string(id.Region()), string(id)).Scan(&n); err != nil {
			return err
		}
		if n >= limit {
			return problem.New(problem.Precondition, "TOO_MANY_SAVED", fmt.Sprintf("at most %d can be saved; delete one first", limit))
		}
		return insert(tx)
	})
}

func (s *Service) insertAddress(ctx context.Context, id ident.CustomerID, a *accountv1.Address) error {
	b, err := proto.Marshal(a.GetAddress())
	if err != nil {
		return err
	}
	now := s.deps.Clock.Now()
	return s.limited(ctx, id, stmtCountAddresses, maxAddresses, func(tx sqldb.Tx) error {
		_, err := tx.Exec(ctx, stmtInsertAddress, string(id.Region()), string(id), a.GetAddressId(), b, now)
		return err
	})
}

func scanAddress(r sqldb.Row) (*accountv1.Address, error) {
	a := &accountv1.Address{Address: &postalv1.PostalAddress{}}
	var b []byte
	if err := r.Scan(&a.AddressId, &b); err != nil {
		return nil, err
	}
	return a, proto.Unmarshal(b, a.GetAddress())
}

func (s *Service) listAddresses(ctx context.Context, id ident.CustomerID) ([]*accountv1.Address, error) {
	return sqldb.Collect(ctx, s.deps.Customers, stmtListAddresses, scanAddress, string(id.Region()), string(id))
}

func (s *Service) getAddress(ctx context.Context, id ident.CustomerID, addressID string) (*accountv1.Address, error) {
	if !storable(addressID) {
		return nil, unknownAddress()
	}
	a, err := scanAddress(s.deps.Customers.QueryRow(ctx, stmtGetAddress, string(id.Region()), string(id), addressID))
	if errors.Is(err, sqldb.ErrNoRows) {
		return nil, unknownAddress()
	}
	return a, err
}

func (s *Service) insertMethod(ctx context.Context, id ident.CustomerID, m *accountv1.PaymentMethod, cardToken string) error {
	now := s.deps.Clock.Now()
	return s.limited(ctx, id, stmtCountMethods, maxPaymentMethods, func(tx sqldb.Tx) error {
		_, err := tx.Exec(ctx, stmtInsertMethod, string(id.Region()), string(id), m.GetPaymentMethodId(), cardToken, m.GetLabel(), now)
		return err
	})
}

func (s *Service) listMethods(ctx context.Context, id ident.CustomerID) ([]*accountv1.PaymentMethod, error) {
	return sqldb.Collect(ctx, s.deps.Customers, stmtListMethods, func(r sqldb.Row) (*accountv1.PaymentMethod, error) {
		var m accountv1.PaymentMethod
		return &m, r.Scan(&m.PaymentMethodId, &m.Label)
	}, string(id.Region()), string(id))
}

func (s *Service) cardToken(ctx context.Context, id ident.CustomerID, methodID string) (token string, err error) {
	if !storable(methodID) {
		return "", unknownMethod()
	}
	err = s.deps.Customers.QueryRow(ctx, stmtGetToken, string(id.Region()), string(id), methodID).Scan(&token)
	if errors.Is(err, sqldb.ErrNoRows) {
		return "", unknownMethod()
	}
	return token, err
}

// remove one saved thing; missing is the answer when it is not there.
func (s *Service) remove(ctx context.Context, id ident.CustomerID, stmt *sqldb.Statement, key string, missing func() error) error {
	if !storable(key) {
		return missing()
	}
	return s.deps.Fence.InSlotTx(ctx, id, func(tx sqldb.Tx) error {
		n, err := tx.Exec(ctx, stmt, string(id.Region()), string(id), key)
		if err == nil && n == 0 {
			return missing()
		}
		return err
	})
}

func unknownAddress() error {
	return problem.New(problem.NotFound, "UNKNOWN_ADDRESS", "there is no such address")
}

func unknownMethod() error {
	return problem.New(problem.NotFound, "UNKNOWN_PAYMENT_METHOD", "there is no such payment method")
}
