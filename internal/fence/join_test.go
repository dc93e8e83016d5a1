package fence_test

import (
	"context"
	"fmt"
	"sync"
	"testing"

	"github.com/cellar-commerce/cellar/internal/fence"
	"github.com/cellar-commerce/cellar/internal/ident"
	"github.com/cellar-commerce/cellar/internal/problem"
	"github.com/cellar-commerce/cellar/internal/sqldb"
	"github.com/cellar-commerce/cellar/internal/sqldb/sqldbtest"
)

var (
	// Each row once; a second is a duplicate.
	stmtNote = sqldb.Define(sqldb.Customer, "fence_test.note", `
INSERT INTO cart_changes (region, customer_id, cause, changed_at, result)
SELECT $1::crdb_internal_region, n.customer_id, n.cause, now(), ''::bytea
FROM unnest($2::text[], $3::text[]) AS n (customer_id, cause)`)

	// A guard that a row can ask for.
	stmtNever = sqldb.Define(sqldb.Customer, "fence_test.never", `SELECT 1 / (count(*) = 0)::int FROM unnest($2::text[]) AS n (cause) WHERE n.cause = 'never' AND $1 <> ''`)

	stmtUnsit = sqldb.Define(sqldb.Customer, "fence_test.unsit", `DELETE FROM cart_changes WHERE region = $1 AND customer_id = $2`)

	stmtNotes = sqldb.Define(sqldb.Customer, "fence_test.notes", `SELECT count(*), count(DISTINCT xmin::text) FROM cart_changes WHERE region = $1 AND customer_id = $2`)

	stmtTransactions = sqldb.Define(sqldb.Customer, "fence_test.transactions", `SELECT count(*), count(DISTINCT xmin::text) FROM cart_changes WHERE region = $1 AND cause = $2`)
)

// note is a row of opNote; seen is what its statement told.
type note struct {
	customer ident.CustomerID
	cause    string
	seen     int
}

var opNote = fence.NewOp("note", func(b *sqldb.Batch, ring ident.Region, rows []*note) {
	var customers, causes []string
	for _, r := range rows {
		customers, causes = append(customers, string(r.customer)), append(causes, r.cause)
	}
	b.Queue(stmtNote, func(int64) error {
		for _, r := range rows {
			r.seen = len(rows)
		}
		return nil
	}, string(ring), customers, causes)
	b.Queue(stmtNever, nil, string(ring), causes)
})

func customers(t *testing.T, db *sqldb.DB, n int) []ident.CustomerID {
	t.Helper()
	all := make([]ident.CustomerID, n)
	for i := range all {
		all[i] = ident.NewCustomer("use1")
		assign(t, db, all[i], me)
	}
	return all
}

func notes(t *testing.T, db *sqldb.DB, id ident.CustomerID) (n, transactions int) {
	t.Helper()
	if err := db.QueryRow(t.Context(), stmtNotes, string(id.Region()), string(id)).Scan(&n, &transactions); err != nil {
		t.Fatal(err)
	}
	return n, transactions
}

// joinAll at once, each a note of its own; gives what each was told.
func joinAll(t *testing.T, f fence.Fence, who []ident.CustomerID, cause func(i int) string) []error {
	t.Helper()
	told := make([]error, len(who))
	var wg sync.WaitGroup
	for i, id := range who {
		wg.Go(func() {
			n := &note{customer: id, cause: cause(i)}
			if told[i] = f.Join(t.Context(), id, opNote.Part(n)); told[i] == nil && n.seen == 0 {
				told[i] = fmt.Errorf("nothing was told of %s", n.cause)
			}
		})
	}
	wg.Wait()
	return told
}

func TestManyWhoJoinAtOnceShareTransactionsAndEachRowIsWritten(t *testing.T) {
	db := sqldbtest.New(t, sqldb.Customer)
	f := newFence(t, db, everythingIs(me))
	who := customers(t, db, 200)
	for i, err := range joinAll(t, f, who, func(int) string { return "together" }) {
		if err != nil {
			t.Errorf("%d: %v", i, err)
		}
	}
	var rows, transactions int
	if err := db.QueryRow(t.Context(), stmtTransactions, string(home), "together").Scan(&rows, &transactions); err != nil {
		t.Fatal(err)
	}
	if rows != len(who) || transactions > len(who)/2 {
		t.Errorf("%d rows in %d transactions", rows, transactions)
	}
}

func TestWhatOneOfAGroupCannotWriteKeepsNobodyElse(t *testing.T) {
	db := sqldbtest.New(t, sqldb.Customer)
	f := newFence(t, db, everythingIs(me))
	who := customers(t, db, 60)
	twin, barred, lost := who[7], who[20], who[33]
	if err := f.Join(t.Context(), twin, opNote.Part(&note{customer: twin, cause: "7"})); err != nil {
		t.Fatal(err)
	}
	if err := move(t.Context(), db, lost, peer); err != nil {
		t.Fatal(err)
	}
	told := joinAll(t, f, who, func(i int) string {
		if who[i] == barred {
			return "never"
		}
		return fmt.Sprint(i)
	})
	for i, err := range told {
		_, duplicate := sqldb.UniqueViolation(err)
		switch n, _ := notes(t, db, who[i]); {
		case who[i] == twin && (!duplicate || n != 1):
			t.Errorf("the duplicate is told %v, and has %d rows", err, n)
		case who[i] == barred && (!sqldb.GuardFailed(err) || n != 0):
			t.Errorf("the row that a guard refuses is told %v, and there are %d", err, n)
		case who[i] == lost && (!problem.Is(err, fence.ReasonWrongCell) || n != 0):
			t.Errorf("a customer of another cell is told %v, and has %d rows", err, n)
		case who[i] != twin && who[i] != barred && who[i] != lost && (err != nil || n != 1):
			t.Errorf("%d is told %v, and has %d rows", i, err, n)
		}
	}
}

func TestThePartsOfOneCallerStandOrFallTogether(t *testing.T) {
	db := sqldbtest.New(t, sqldb.Customer)
	f := newFence(t, db, everythingIs(me))
	id := customers(t, db, 1)[0]
	part := func(cause string) fence.Part { return opNote.Part(&note{customer: id, cause: cause}) }
	if err := f.Join(t.Context(), id, part("a"), part("b")); err != nil {
		t.Fatal(err)
	}
	if err := f.Join(t.Context(), id, part("c"), part("b")); err == nil {
		t.Error("a duplicate is written")
	}
	if n, transactions := notes(t, db, id); n != 2 || transactions != 1 {
		t.Errorf("%d rows in %d transactions", n, transactions)
	}
}

// Somebody sits on a customer's row in a transaction of their own. The others of the group do not wait for it.
func TestARowThatSomebodySitsOnKeepsOnlyItsOwn(t *testing.T) {
	db := sqldbtest.New(t, sqldb.Customer)
	f := newFence(t, db, everythingIs(me))
	who := customers(t, db, 20)
	held := who[0]
	if err := f.Join(t.Context(), held, opNote.Part(&note{customer: held, cause: "sit"})); err != nil {
		t.Fatal(err)
	}
	// A duplicate of a row that is being changed waits for that change's end.
	sitting, stand, stood := make(chan struct{}), make(chan struct{}), make(chan error, 1)
	go func() {
		var once sync.Once
		stood <- db.InTx(context.WithoutCancel(t.Context()), func(tx sqldb.Tx) error {
			if _, err := tx.Exec(t.Context(), stmtUnsit, string(home), string(held)); err != nil {
				return err
			}
			once.Do(func() { close(sitting) })
			<-stand
			return nil
		})
	}()
	<-sitting
	waiting := make(chan error, 1)
	go func() { waiting <- f.Join(t.Context(), held, opNote.Part(&note{customer: held, cause: "sit"})) }()
	awaitBlocked(t, db)
	for i, err := range joinAll(t, f, who[1:], func(int) string { return "free" }) {
		if err != nil {
			t.Errorf("%d: %v", i, err)
		}
	}
	close(stand)
	if err := <-stood; err != nil {
		t.Fatal(err)
	}
	if err := <-waiting; err != nil {
		t.Errorf("the one that waited: %v", err)
	}
}

func TestABatchIsSentOnlyByTheOwnerOfTheSlot(t *testing.T) {
	db := sqldbtest.New(t, sqldb.Customer)
	f := newFence(t, db, everythingIs(me))
	who := customers(t, db, 2)
	if err := move(t.Context(), db, who[1], peer); err != nil {
		t.Fatal(err)
	}
	send := func(id ident.CustomerID, cause string) error {
		var b sqldb.Batch
		fence.Queue(&b, home, []fence.Part{opNote.Part(&note{customer: id, cause: cause})})
		return f.Send(t.Context(), id, &b)
	}
	if err := send(who[0], "mine"); err != nil {
		t.Error(err)
	}
	if err := send(who[1], "not mine"); !problem.Is(err, fence.ReasonWrongCell) {
		t.Errorf("got %v", err)
	}
	if err := send(who[0], "never"); !sqldb.GuardFailed(err) {
		t.Errorf("a guard of the batch: %v", err)
	}
	if n, _ := notes(t, db, who[1]); n != 0 {
		t.Errorf("%d rows of a customer of another cell", n)
	}
	if err := f.Join(t.Context(), "nonsense", opNote.Part(&note{})); !problem.Is(err, "MALFORMED_CUSTOMER_ID") {
		t.Errorf("got %v", err)
	}
}
