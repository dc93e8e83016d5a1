package account

import (
	"context"
	"errors"
	"fmt"
	"time"

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
SELECT customer_id, email, name, password_hash, created_at, session_generation, verified_at, erased_at
FROM accounts
WHERE region = $1 AND customer_id = $2`)

	// Changes of what one customer saved follow each other, so that its limits hold.
	stmtLock = sqldb.Define(sqldb.Customer, "account.lock", `
SELECT customer_id
FROM accounts
WHERE region = $1 AND customer_id = $2 AND erased_at IS NULL
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

	stmtReplacePassword = sqldb.Define(sqldb.Customer, "account.replace_password", `
UPDATE accounts
SET password_hash = $3, session_generation = session_generation + 1
WHERE region = $1 AND customer_id = $2 AND erased_at IS NULL
RETURNING session_generation, email`)

	stmtNextGeneration = sqldb.Define(sqldb.Customer, "account.next_generation", `
UPDATE accounts
SET session_generation = session_generation + 1
WHERE region = $1 AND customer_id = $2 AND erased_at IS NULL
RETURNING session_generation`)

	stmtVerify = sqldb.Define(sqldb.Customer, "account.verify", `
UPDATE accounts
SET verified_at = coalesce(verified_at, $3)
WHERE region = $1 AND customer_id = $2 AND erased_at IS NULL`)

	stmtMarkErased = sqldb.Define(sqldb.Customer, "account.mark_erased", `
UPDATE accounts
SET erased_at = $3, erasure_due_at = $3, session_generation = session_generation + 1, password_hash = '', name = ''
WHERE region = $1 AND customer_id = $2 AND erased_at IS NULL
RETURNING session_generation`)

	stmtEraseAddresses = sqldb.Define(sqldb.Customer, "account.erase_addresses", `
DELETE FROM addresses
WHERE region = $1 AND customer_id = $2`)

	stmtEraseMethods = sqldb.Define(sqldb.Customer, "account.erase_payment_methods", `
DELETE FROM payment_methods
WHERE region = $1 AND customer_id = $2`)

	stmtEraseLinks = sqldb.Define(sqldb.Customer, "account.erase_links", `
DELETE FROM account_tokens
WHERE region = $1 AND customer_id = $2`)

	stmtErasureDue = sqldb.Define(sqldb.Customer, "account.erasure_due", `
UPDATE accounts
SET erasure_due_at = $3
WHERE region = $1 AND customer_id = $2 AND erasure_due_at IS NOT NULL`)

	stmtForgetEmail = sqldb.Define(sqldb.Customer, "account.forget_email", `
UPDATE accounts
SET email = ''
WHERE region = $1 AND customer_id = $2 AND erased_at IS NOT NULL`)

	stmtErased = sqldb.Define(sqldb.Customer, "account.erased", `
UPDATE accounts
SET erasure_due_at = NULL
WHERE region = $1 AND customer_id = $2 AND erased_at IS NOT NULL`)

	stmtErasuresDue = sqldb.Define(sqldb.Customer, "account.erasures_due", `
SELECT customer_id
FROM accounts
WHERE region = $1 AND erasure_due_at IS NOT NULL AND erasure_due_at <= $2
ORDER BY erasure_due_at
LIMIT $3`)

	stmtRelease = sqldb.Define(sqldb.Global, "account.release_email", `
DELETE FROM email_directory
WHERE email = $1 AND customer_id = $2`)

	stmtInsertLink = sqldb.Define(sqldb.Customer, "account.insert_link", `
INSERT INTO account_tokens (region, customer_id, token_id, purpose, hash, expires_at)
VALUES ($1, $2, $3, $4, $5, $6)`)

	stmtDropLinks = sqldb.Define(sqldb.Customer, "account.drop_links", `
DELETE FROM account_tokens
WHERE region = $1 AND customer_id = $2 AND purpose = $3`)

	stmtPeekLink = sqldb.Define(sqldb.Customer, "account.peek_link", `
SELECT token_id
FROM account_tokens
WHERE region = $1 AND customer_id = $2 AND token_id = $3 AND purpose = $4 AND hash = $5 AND expires_at > $6`)

	stmtUseLink = sqldb.Define(sqldb.Customer, "account.use_link", `
DELETE FROM account_tokens
WHERE region = $1 AND customer_id = $2 AND token_id = $3 AND purpose = $4 AND hash = $5 AND expires_at > $6`)

	stmtOldLinks = sqldb.Define(sqldb.Customer, "account.old_links", `
SELECT customer_id, token_id
FROM account_tokens
WHERE region = $1 AND expires_at <= $2
ORDER BY expires_at
LIMIT $3`)

	stmtForgetLink = sqldb.Define(sqldb.Customer, "account.forget_link", `
DELETE FROM account_tokens
WHERE region = $1 AND customer_id = $2 AND token_id = $3`)

	stmtListPasskeys = sqldb.Define(sqldb.Customer, "account.list_passkeys", `
SELECT passkey_id, credential_id, public_key, name, uses, syncable, synced, created_at, used_at
FROM passkeys
WHERE region = $1 AND customer_id = $2
ORDER BY created_at, passkey_id`)

	stmtCountPasskeys = sqldb.Define(sqldb.Customer, "account.count_passkeys", `
SELECT count(*)
FROM passkeys
WHERE region = $1 AND customer_id = $2`)

	stmtInsertPasskey = sqldb.Define(sqldb.Customer, "account.insert_passkey", `
INSERT INTO passkeys (region, customer_id, passkey_id, credential_id, public_key, name, uses, syncable, synced, created_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
ON CONFLICT (region, customer_id, passkey_id) DO NOTHING`)

	stmtRenamePasskey = sqldb.Define(sqldb.Customer, "account.rename_passkey", `
UPDATE passkeys
SET name = $4
WHERE region = $1 AND customer_id = $2 AND passkey_id = $3`)

	stmtDeletePasskey = sqldb.Define(sqldb.Customer, "account.delete_passkey", `
DELETE FROM passkeys
WHERE region = $1 AND customer_id = $2 AND passkey_id = $3`)

	// Of two uses with one count, the later is of a copy.
	stmtUsePasskey = sqldb.Define(sqldb.Customer, "account.use_passkey", `
UPDATE passkeys
SET uses = $4, synced = $5, used_at = $6
WHERE region = $1 AND customer_id = $2 AND passkey_id = $3 AND (uses < $4 OR uses = 0 AND $4 = 0)`)

	stmtAnswerChallenge = sqldb.Define(sqldb.Customer, "account.answer_challenge", `
UPDATE accounts
SET challenged_at = $3
WHERE region = $1 AND customer_id = $2 AND erased_at IS NULL AND (challenged_at IS NULL OR challenged_at < $3)`)

	stmtErasePasskeys = sqldb.Define(sqldb.Customer, "account.erase_passkeys", `
DELETE FROM passkeys
WHERE region = $1 AND customer_id = $2`)

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

// create the account's row, and ask whether the address is the customer's; false when there is a row already.
func (s *Service) create(ctx context.Context, a Account) (created bool, err error) {
	tokenID := ident.NewToken()
	err = s.deps.Fence.InSlotTx(ctx, a.CustomerID, func(tx sqldb.Tx) error {
		n, err := tx.Exec(ctx, stmtInsert, string(a.CustomerID.Region()), string(a.CustomerID), a.Email, a.Name, a.PasswordHash, a.CreatedAt)
		if created = n == 1; !created || err != nil {
			return err
		}
		return s.queueLink(ctx, tx, a.CustomerID, purposeVerify, tokenID, a.CreatedAt)
	})
	return created, err
}

// get an account; false when there is none.
func (s *Service) get(ctx context.Context, id ident.CustomerID) (a Account, found bool, err error) {
	err = s.deps.Customers.QueryRow(ctx, stmtGet, string(id.Region()), string(id)).Scan(&a.CustomerID, &a.Email, &a.Name, &a.PasswordHash, &a.CreatedAt, &a.Generation, &a.VerifiedAt, &a.ErasedAt)
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
			return unknownAccount()
		}
		if err != nil {
			return err
		}
		var n int
		if err := tx.QueryRow(ctx, count, string(id.Region()), string(id)).Scan(&n); err != nil {
			return err
		}
		if n >= limit {
			return tooManySaved(limit)
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

// changeOne saved thing; missing is the answer when it is not there.
func (s *Service) changeOne(ctx context.Context, id ident.CustomerID, stmt *sqldb.Statement, key string, missing func() error, args ...any) error {
	return s.deps.Fence.InSlotTx(ctx, id, func(tx sqldb.Tx) error { return changeOneIn(ctx, tx, id, stmt, key, missing, args...) })
}

func changeOneIn(ctx context.Context, tx sqldb.Tx, id ident.CustomerID, stmt *sqldb.Statement, key string, missing func() error, args ...any) error {
	if !storable(key) {
		return missing()
	}
	n, err := tx.Exec(ctx, stmt, append([]any{string(id.Region()), string(id), key}, args...)...)
	if err == nil && n == 0 {
		return missing()
	}
	return err
}

func unknownAddress() error {
	return problem.New(problem.NotFound, "UNKNOWN_ADDRESS", "there is no such address")
}

func unknownMethod() error {
	return problem.New(problem.NotFound, "UNKNOWN_PAYMENT_METHOD", "there is no such payment method")
}

// peek whether a link works.
func (s *Service) peek(ctx context.Context, l link) error {
	var id string
	err := s.deps.Customers.QueryRow(ctx, stmtPeekLink, string(l.customer.Region()), string(l.customer), l.tokenID, l.purpose, l.hash, s.deps.Clock.Now()).Scan(&id)
	if errors.Is(err, sqldb.ErrNoRows) {
		return linkNotGood()
	}
	return err
}

// use a link: it works no more.
func use(ctx context.Context, tx sqldb.Tx, l link, now time.Time) error {
	n, err := tx.Exec(ctx, stmtUseLink, string(l.customer.Region()), string(l.customer), l.tokenID, l.purpose, l.hash, now)
	if err == nil && n == 0 {
		err = linkNotGood()
	}
	return err
}

func replacePassword(ctx context.Context, tx sqldb.Tx, id ident.CustomerID, hash string) (generation int64, email string, err error) {
	err = tx.QueryRow(ctx, stmtReplacePassword, string(id.Region()), string(id), hash).Scan(&generation, &email)
	if errors.Is(err, sqldb.ErrNoRows) {
		err = unknownAccount()
	}
	return generation, email, err
}

func nextGeneration(ctx context.Context, tx sqldb.Tx, id ident.CustomerID) (generation int64, err error) {
	err = tx.QueryRow(ctx, stmtNextGeneration, string(id.Region()), string(id)).Scan(&generation)
	if errors.Is(err, sqldb.ErrNoRows) {
		err = unknownAccount()
	}
	return generation, err
}

func markVerified(ctx context.Context, tx sqldb.Tx, id ident.CustomerID, now time.Time) error {
	_, err := tx.Exec(ctx, stmtVerify, string(id.Region()), string(id), now)
	return err
}

// markErased takes away everything personal but the address, which has to be released elsewhere first.
func markErased(ctx context.Context, tx sqldb.Tx, id ident.CustomerID, now time.Time) (generation int64, err error) {
	region, customer := string(id.Region()), string(id)
	err = tx.QueryRow(ctx, stmtMarkErased, region, customer, now).Scan(&generation)
	if errors.Is(err, sqldb.ErrNoRows) {
		return 0, unknownAccount()
	}
	if err != nil {
		return 0, err
	}
	var b sqldb.Batch
	for _, stmt := range []*sqldb.Statement{stmtEraseAddresses, stmtEraseMethods, stmtEraseLinks, stmtErasePasskeys} {
		b.Queue(stmt, nil, region, customer)
	}
	return generation, tx.Send(ctx, &b)
}

// write one statement on a customer's rows, which takes their region and the customer first.
func (s *Service) write(ctx context.Context, id ident.CustomerID, stmt *sqldb.Statement, args ...any) error {
	return s.deps.Fence.InSlotTx(ctx, id, func(tx sqldb.Tx) error {
		_, err := tx.Exec(ctx, stmt, append([]any{string(id.Region()), string(id)}, args...)...)
		return err
	})
}

// dueAgain at a time, unless the erasure is finished.
func (s *Service) dueAgain(ctx context.Context, id ident.CustomerID, at time.Time) error {
	return s.write(ctx, id, stmtErasureDue, at)
}

// release an address, for whoever signs up with it next. The id is compared: that may have happened already.
func (s *Service) release(ctx context.Context, email string, id ident.CustomerID) error {
	_, err := s.deps.Global.Exec(ctx, stmtRelease, email, string(id))
	return err
}

func (s *Service) forgetEmail(ctx context.Context, id ident.CustomerID) error {
	return s.write(ctx, id, stmtForgetEmail)
}

func (s *Service) erased(ctx context.Context, id ident.CustomerID) error {
	return s.write(ctx, id, stmtErased)
}

func (s *Service) erasuresDue(ctx context.Context, ring ident.Region) ([]ident.CustomerID, error) {
	return sqldb.Collect(ctx, s.deps.Customers, stmtErasuresDue, func(r sqldb.Row) (id ident.CustomerID, err error) {
		err = r.Scan(&id)
		return id, err
	}, string(ring), s.deps.Clock.Now(), sweepBatch)
}

// forgetLinks of this cell's customers that do not work any more.
func (s *Service) forgetLinks(ctx context.Context, ring ident.Region) (n int, err error) {
	type old struct {
		customer ident.CustomerID
		tokenID  string
	}
	all, err := sqldb.Collect(ctx, s.deps.Customers, stmtOldLinks, func(r sqldb.Row) (o old, err error) {
		err = r.Scan(&o.customer, &o.tokenID)
		return o, err
	}, string(ring), s.deps.Clock.Now(), sweepBatch)
	if err != nil {
		return 0, fmt.Errorf("old links of %s: %w", ring, err)
	}
	for _, o := range all {
		if !s.deps.Fence.Mine(o.customer) {
			continue
		}
		if err := s.write(ctx, o.customer, stmtForgetLink, o.tokenID); err != nil {
			return n, fmt.Errorf("forget a link: %w", err)
		}
		n++
	}
	return n, nil
}
